"""Progressive GAN against the official networks, losses, optimiser and schedule, at every lod of a reference file.

Sizes and widths are read from the shapes in the file, lods and the recorded quantities from its keys.

The official program upsamples all images to full size for the discriminator, whose first operation reverses that. Here
each level works at its own size, so recorded images are averaged down first, and a gradient at an upsampled image is
the gradient at the small one, spread over the pixels.

Outputs are compared in float32 with the fast forms of training, and gradients in float64: in float32, rounding flips
leaky ReLUs with inputs near zero, which changes a gradient by up to 2e-3 (random weights), and a first Adam step, which
is about the sign of every gradient, by more.
"""

import json
import re

import numpy as np
import tensorflow as tf

from gan_tf.convert import load_state_dict
from gan_tf.convert.pggan import arguments_of
from gan_tf.errors import UsageError
from gan_tf.losses import LOSSES, gradient_penalty, interpolates
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.variables import named_variables
from gan_tf.ops.resample import average_pool_to
from gan_tf.training.recipes.pggan import GRADIENT_PENALTY, fade_reals
from gan_tf.training.state import Adam
from tests.parity import pggan_parts
from tests.parity.report import forward, gradient
from tests.parity.state_dicts import state_dict, to_official

FORWARD = 1e-4
GRADIENT = 1e-3
UPDATE = 1e-3
SUPPORTED = {"num_channels": 3, "label_size": 0, "normalize_latents": True, "use_wscale": True, "mbstd_group_size": 4}
LOSS = LOSSES["wgan_gp"]
LEARNING_RATE, BETA_1, BETA_2, EPSILON = 0.001, 0.0, 0.99, 1e-8


def quantities(arrays):
    """Yields every comparison."""
    networks = load(arrays, "float32")
    lods = sorted(set(re.findall(r"^lod([\d.]+)/", "\n".join(arrays), re.MULTILINE)), key=float)
    if not lods:
        raise UsageError(f"{arrays.path} holds nothing of any lod (lod0.0/...): give a Progressive GAN reference file")
    for lod in lods:
        yield from compare_outputs(arrays, lod, *networks)
    precise = load(arrays, "float64")
    for lod in lods:
        yield from compare_gradients(arrays, lod, *precise)
    for lod in sorted(set(re.findall(r"^adam_lod([\d.]+)/", "\n".join(arrays), re.MULTILINE))):
        yield from compare_steps(arrays, lod, *precise)
    yield from compare_reals(arrays, networks[0].levels)
    yield from pggan_parts.schedule(arrays, networks[0])
    yield from pggan_parts.operations(arrays)


def load(arrays, dtype):
    """-> (generator, discriminator) with the weights of the file.

    Raises:
        UsageError: the file has none, or those of networks that the project does not have.
    """
    if not (arrays.group("g/") and arrays.group("d/")):
        raise UsageError(f"{arrays.path} holds no weights (g/..., d/...): give a Progressive GAN reference file")
    recorded = json.loads(str(arrays["meta_json"]))["config"]
    for name, wanted in SUPPORTED.items():
        if recorded.get(name, wanted) != wanted:
            raise UsageError(f"{arrays.path} was made with {name} {recorded[name]}; give a file made with {wanted}")
    networks = []
    for kind, prefix in ((PgganGenerator, "g/"), (PgganDiscriminator, "d/")):
        weights = arrays.group(prefix)
        network = kind(**arguments_of(weights), dtype=dtype)
        network.build()
        load_state_dict(network, weights)
        networks.append(network)
    return networks


def growth_of(lod, levels):
    """{level, alpha} of an official lod: at whole numbers the level alone."""
    growth = levels - float(lod)
    level = int(np.ceil(growth - 1e-9))
    alpha = growth - (level - 1)
    return {"level": level, "alpha": None if abs(alpha - 1) < 1e-9 or level == 0 else tf.constant(alpha, tf.float64)}


def images_of(arrays, key, d, level):
    """Recorded images [N, r, r, 3] at a level's size, in the type that D computes in."""
    images = tf.constant(np.moveaxis(arrays[key], 1, 3), d.compute_dtype)
    return average_pool_to(images, 4 * 2**level)


def compare_outputs(arrays, lod, g, d):
    """Images, logits, penalties and losses."""
    place = growth_of(lod, g.levels)
    repeats = 2 ** (g.levels - place["level"])
    key = f"lod{lod}"
    images = g(tf.constant(arrays["in/latents"]), **place)
    yield forward(f"{key}/g_images", enlarged(images, repeats), arrays[f"{key}/g_images"], FORWARD)
    logits = d(images_of(arrays, "in/images", d, place["level"]), **place)
    yield forward(f"{key}/d_scores", logits, arrays[f"{key}/d_scores"], FORWARD)

    between = images_of(arrays, "in/interpolates", d, place["level"])
    penalty = gradient_penalty(lambda x: d(x, **place), between, repeats)
    yield forward(f"{key}/gp/scores", d(between, **place), arrays[f"{key}/gp/scores"], FORWARD)
    yield forward(f"{key}/gp/penalty", penalty, arrays[f"{key}/gp/penalty"], FORWARD)
    norms = np.linalg.norm(slopes_at(d, between, place).reshape(len(between), -1), axis=1) / repeats
    yield forward(f"{key}/gp/grad_norms", norms, arrays[f"{key}/gp/grad_norms"], FORWARD)

    own, penalty = d_losses(arrays, g, d, place)
    yield forward(f"{key}/d_loss_total", own[:, None] + penalty[None], arrays[f"{key}/d_loss_total"], FORWARD)
    g_loss = g_losses(arrays, g, d, place)
    yield forward(f"{key}/g_loss", g_loss[:, None], arrays[f"{key}/g_loss"], FORWARD)


def compare_gradients(arrays, lod, g, d):
    """Gradients of the mean losses, of the penalty and at the images, as far as the file has them for this lod."""
    place = growth_of(lod, g.levels)
    key = f"lod{lod}"
    if f"{key}/gp/grad_images" in arrays:
        repeats = 2 ** (g.levels - place["level"])
        slopes = slopes_at(d, images_of(arrays, "in/interpolates", d, place["level"]), place)
        yield gradient(
            f"{key}/gp/grad_images", enlarged(slopes, repeats) / repeats**2, arrays[f"{key}/gp/grad_images"], GRADIENT
        )

    def mean_penalty():
        between = images_of(arrays, "in/interpolates", d, place["level"])
        return tf.reduce_mean(gradient_penalty(lambda x: d(x, **place), between, 2 ** (g.levels - place["level"])))

    recorded = {
        "grad_g_loss_mean": (g, lambda: tf.reduce_mean(g_losses(arrays, g, d, place))),
        "grad_d_loss_mean": (d, lambda: tf.reduce_mean(tf.add(*d_losses(arrays, g, d, place)))),
        "gp/grad_mean_penalty": (d, mean_penalty),
    }
    for name, (network, loss) in recorded.items():
        wanted = arrays.group(f"{key}/{name}/")
        got = to_official(network, gradients_of(loss, network)) if wanted else {}
        for variable, want in wanted.items():
            yield gradient(f"{key}/{name}/{variable}", got[variable], want, GRADIENT)


def compare_steps(arrays, lod, g, d):
    """Steps of the discriminator on the same images, compared by the change of the weights since the first.

    TensorFlow 1's Adam adds epsilon before the bias correction: ours is equal with an adjusted epsilon at every step.
    """
    place = growth_of(lod, g.levels)
    before = state_dict(d)
    optimizer = Adam({name: v for name, v in named_variables(d).items() if v.trainable}, BETA_1, BETA_2)
    steps = sorted({int(key.split("/")[0][4:]) for key in arrays.group(f"adam_lod{lod}/")})
    for step in range(1, max(steps) + 1):
        optimizer.epsilon = EPSILON / (1 - BETA_2**step) ** 0.5
        found = gradients_of(lambda: tf.reduce_mean(tf.add(*d_losses(arrays, g, d, place))), d)
        optimizer.apply({name: tf.constant(slope) for name, slope in found.items()}, LEARNING_RATE)
        after = state_dict(d)
        for name, want in arrays.group(f"adam_lod{lod}/step{step}/").items():
            moved = after[name] - before[name], want - before[name]
            yield gradient(f"adam_lod{lod}/step{step}/{name}", *moved, UPDATE)
    load_state_dict(d, before)


def compare_reals(arrays, levels):
    """Real images after the official pre-processing."""
    for lod in sorted({key.split("/")[0][3:] for key in arrays.group("process_reals/")}, key=float):
        place = growth_of(lod, levels)
        stored = np.moveaxis(arrays[f"process_reals/lod{lod}/in_uint8"], 1, 3)
        shown = fade_reals(tf.constant(stored / np.float32(127.5) - 1), place["alpha"])
        wanted = arrays[f"process_reals/lod{lod}/out"]
        yield forward(f"process_reals/lod{lod}", enlarged(shown, wanted.shape[2] // shown.shape[1]), wanted, FORWARD)


def d_losses(arrays, g, d, place):
    """-> ([N] of reals and fakes, [N] weighted penalty)."""
    reals = images_of(arrays, "in/images", d, place["level"])
    fakes = tf.stop_gradient(g(tf.constant(arrays["in/latents"], g.compute_dtype), **place))
    own = tf.add_n(LOSS.discriminator(d(reals, **place), d(fakes, **place), None))
    between = interpolates(reals, fakes, tf.constant(arrays["in/mixing_factors"]))
    repeats = 2 ** (g.levels - place["level"])
    return own, GRADIENT_PENALTY * gradient_penalty(lambda x: d(x, **place), between, repeats)


def g_losses(arrays, g, d, place):
    """[N]."""
    return LOSS.generator(d(g(tf.constant(arrays["in/latents"], g.compute_dtype), **place), **place))


def slopes_at(d, images, place):
    """Gradient of every logit at its image, float [N, r, r, 3]."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = d(images, **place)
    return tape.gradient(logits, images).numpy()


def gradients_of(loss, network):
    """{our name: gradient} of loss() for every trainable variable: zeros where it is not reached."""
    variables = {name: v for name, v in named_variables(network).items() if v.trainable}
    with tf.GradientTape() as tape:
        value = loss()
    found = tape.gradient(value, [v.value for v in variables.values()], unconnected_gradients="zero")
    return {name: slope.numpy() for name, slope in zip(variables, found, strict=True)}


def enlarged(images, repeats):
    """[N, r, r, 3] -> [N, 3, R, R], every pixel `repeats` by `repeats` times."""
    return np.moveaxis(np.asarray(images).repeat(repeats, axis=1).repeat(repeats, axis=2), 3, 1)
