"""Progressive GAN against the official networks, losses, optimiser and schedule, at every lod of a reference file.

Sizes and widths are read from the shapes in the file, lods and the recorded quantities from its keys.

The official program upsamples all images to full size for the discriminator, whose first operation reverses that. Here
each level works at its own size, so recorded images are averaged down first, and a gradient at an upsampled image is
the gradient at the small one, spread over the pixels.

Outputs are compared in float32 with the fast forms of training, and gradients in float64: in float32, rounding flips
leaky ReLUs with inputs near zero, which changes a gradient by up to 2e-3 (random weights), and a first Adam step, which
is about the sign of every gradient, by more.
"""

import dataclasses
import json
import re
import unittest.mock

import numpy as np
import tensorflow as tf

from gan_tf.config.presets import PRESETS
from gan_tf.convert import load_state_dict
from gan_tf.convert.pggan import arguments_of
from gan_tf.errors import UsageError
from gan_tf.losses import LOSSES, gradient_penalty, interpolates
from gan_tf.models.pggan import PgganDiscriminator, PgganGenerator
from gan_tf.models.pggan_blocks import LATENT_GAIN
from gan_tf.models.variables import named_variables
from gan_tf.ops import equalised, normalisation, resample
from gan_tf.ops.activations import leaky_relu
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from gan_tf.ops.resample import average_pool_to
from gan_tf.training import state
from gan_tf.training.recipes.pggan import GRADIENT_PENALTY, fade_reals
from gan_tf.training.schedule import growing_stages, growth_at, stage_at
from tests.models.networks import gradients
from tests.parity.report import Quantity, channels_first, channels_last, forward, gradient
from tests.parity.state_dicts import state_dict, to_official

FORWARD = 1e-4
GRADIENT = 1e-3
UPDATE = 1e-3
LOD = 1e-5  # the recorded lods are float32
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
    yield from compare_schedule(arrays, networks[0])
    yield from compare_operations(arrays)


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


def size_of(lod, levels):
    """{level, alpha} of an official lod: at whole numbers the level alone."""
    growth = levels - float(lod)
    level = int(np.ceil(growth - 1e-9))
    alpha = growth - (level - 1)
    return {"level": level, "alpha": None if abs(alpha - 1) < 1e-9 or level == 0 else tf.constant(alpha, tf.float64)}


def images_of(arrays, key, d, level):
    """Recorded images [N, r, r, 3] at a level's size, in the type that D computes in."""
    return average_pool_to(tf.cast(channels_last(arrays[key]), d.compute_dtype), 4 * 2**level)


def compare_outputs(arrays, lod, g, d):
    """Images, logits, penalties and losses."""
    size = size_of(lod, g.levels)
    repeats = 2 ** (g.levels - size["level"])
    key = f"lod{lod}"
    images = g(tf.constant(arrays["in/latents"]), **size)
    yield forward(f"{key}/g_images", enlarged(images, repeats), arrays[f"{key}/g_images"], FORWARD)
    logits = d(images_of(arrays, "in/images", d, size["level"]), **size)
    yield forward(f"{key}/d_scores", logits, arrays[f"{key}/d_scores"], FORWARD)

    between = images_of(arrays, "in/interpolates", d, size["level"])
    penalty = gradient_penalty(lambda x: d(x, **size), between, repeats)
    yield forward(f"{key}/gp/scores", d(between, **size), arrays[f"{key}/gp/scores"], FORWARD)
    yield forward(f"{key}/gp/penalty", penalty, arrays[f"{key}/gp/penalty"], FORWARD)
    norms = np.linalg.norm(slopes_at(d, between, size).reshape(len(between), -1), axis=1) / repeats
    yield forward(f"{key}/gp/grad_norms", norms, arrays[f"{key}/gp/grad_norms"], FORWARD)

    own, penalty = d_losses(arrays, g, d, size)
    yield forward(f"{key}/d_loss_total", own[:, None] + penalty[None], arrays[f"{key}/d_loss_total"], FORWARD)
    g_loss = g_losses(arrays, g, d, size)
    yield forward(f"{key}/g_loss", g_loss[:, None], arrays[f"{key}/g_loss"], FORWARD)


def compare_gradients(arrays, lod, g, d):
    """Gradients of the mean losses, of the penalty and at the images, as far as the file has them for this lod."""
    size = size_of(lod, g.levels)
    key = f"lod{lod}"
    if f"{key}/gp/grad_images" in arrays:
        repeats = 2 ** (g.levels - size["level"])
        slopes = slopes_at(d, images_of(arrays, "in/interpolates", d, size["level"]), size)
        yield gradient(
            f"{key}/gp/grad_images", enlarged(slopes, repeats) / repeats**2, arrays[f"{key}/gp/grad_images"], GRADIENT
        )

    def mean_penalty():
        between = images_of(arrays, "in/interpolates", d, size["level"])
        return tf.reduce_mean(gradient_penalty(lambda x: d(x, **size), between, 2 ** (g.levels - size["level"])))

    recorded = {
        "grad_g_loss_mean": (g, lambda: tf.reduce_mean(g_losses(arrays, g, d, size))),
        "grad_d_loss_mean": (d, lambda: tf.reduce_mean(tf.add(*d_losses(arrays, g, d, size)))),
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
    size = size_of(lod, g.levels)
    before = state_dict(d)
    optimizer = state.Adam({name: v for name, v in named_variables(d).items() if v.trainable}, BETA_1, BETA_2)
    steps = sorted({int(key.split("/")[0][4:]) for key in arrays.group(f"adam_lod{lod}/")})
    for step in range(1, max(steps) + 1):
        found = gradients_of(lambda: tf.reduce_mean(tf.add(*d_losses(arrays, g, d, size))), d)
        with unittest.mock.patch.object(state, "EPSILON", EPSILON / (1 - BETA_2**step) ** 0.5):
            optimizer.apply(found, LEARNING_RATE)
        after = state_dict(d)
        for name, want in arrays.group(f"adam_lod{lod}/step{step}/").items():
            moved = after[name] - before[name], want - before[name]
            yield gradient(f"adam_lod{lod}/step{step}/{name}", *moved, UPDATE)
    load_state_dict(d, before)


def compare_reals(arrays, levels):
    """Real images after the official pre-processing."""
    for lod in sorted({key.split("/")[0][3:] for key in arrays.group("process_reals/")}, key=float):
        size = size_of(lod, levels)
        stored = channels_last(arrays[f"process_reals/lod{lod}/in_uint8"] / np.float32(127.5) - 1)
        shown = fade_reals(stored, size["alpha"])
        wanted = arrays[f"process_reals/lod{lod}/out"]
        yield forward(f"process_reals/lod{lod}", enlarged(shown, wanted.shape[2] // shown.shape[1]), wanted, FORWARD)


def d_losses(arrays, g, d, size):
    """-> ([N] of reals and fakes, [N] weighted penalty)."""
    reals = images_of(arrays, "in/images", d, size["level"])
    fakes = tf.stop_gradient(g(tf.constant(arrays["in/latents"], g.compute_dtype), **size))
    own = tf.add_n(LOSS.discriminator(d(reals, **size), d(fakes, **size), None))
    between = interpolates(reals, fakes, tf.constant(arrays["in/mixing_factors"]))
    repeats = 2 ** (g.levels - size["level"])
    return own, GRADIENT_PENALTY * gradient_penalty(lambda x: d(x, **size), between, repeats)


def g_losses(arrays, g, d, size):
    """[N]."""
    return LOSS.generator(d(g(tf.constant(arrays["in/latents"], g.compute_dtype), **size), **size))


def slopes_at(d, images, size):
    """Gradient of every logit at its image, float [N, r, r, 3]."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        logits = d(images, **size)
    return tape.gradient(logits, images).numpy()


def gradients_of(loss, network):
    """{our name: gradient} of loss() for every trainable variable: zeros where it is not reached."""
    with tf.GradientTape() as tape:
        value = loss()
    return gradients(value, network, tape, unconnected_gradients="zero")


def enlarged(images, repeats):
    """[N, r, r, 3] -> [N, 3, R, R], every pixel `repeats` by `repeats` times."""
    return channels_first(images).repeat(repeats, axis=2).repeat(repeats, axis=3)


def compare_schedule(arrays, generator):
    """Every row of the recorded schedule: thousands of images, lod, resolution, batch, learning rate.

    Our stages are whole batches, so that each starts up to one batch per earlier stage later than officially: this lag
    is the bound of the lods. With batches of 125, which divide 600 kimg, the lods are equal too.
    """
    preset = PRESETS["pggan"]["celebahq-1024" if generator.resolution == 1024 else "celebahq-256"]
    config = dataclasses.replace(preset, resolution=generator.resolution)
    stages, exact = (growing_stages(each) for each in (config, dataclasses.replace(config, phase_batch="125")))
    rows, got = arrays["schedule/kimg_lod_res_minibatch_lrate"], []
    for seen in (round(kimg * 1000) for kimg in rows[:, 0]):
        lods = [generator.levels - growth_at(each, stage_at(each, seen), seen) for each in (stages, exact)]
        stage = stage_at(stages, seen)
        got.append((*lods, stage.resolution, stage.batch_size, stage.lr))
    errors = np.max(np.abs(np.array(got) - rows[:, [1, 1, 2, 3, 4]]), axis=0)
    lag = sum(stage.batch_size for stage in stages[:-1]) / (1000 * config.fade_kimg)
    names = ("lod (stages of whole batches)", "lod", "resolution", "batch", "learning rate")
    for name, error, bound in zip(names, errors, (lag, LOD, 0, 0, 0), strict=True):
        yield Quantity(f"schedule/{name}", error, bound)


def compare_operations(arrays):
    """Single layers, in both forms where there are two."""
    x, even = channels_last(arrays["op/x"]), channels_last(arrays["op/x_even"])

    def compare(name, got):
        return forward(f"op/{name}", np.moveaxis(np.asarray(got), -1, 1), arrays[f"op/{name.split()[0]}/out"], FORWARD)

    def applied(layer, kernel, x):
        layer.build(x.shape)
        layer.kernel.assign(kernel)
        return layer(x)

    up = arrays["op/upscale2d_conv2d/weight"][::-1, ::-1].swapaxes(2, 3)
    yield compare("upscale2d_conv2d", applied(equalised.EqualisedUpConv(up.shape[3]), up, x))
    taps = resample.transposed_taps(up * np.float32(equalised.HE_GAIN / np.sqrt(9 * up.shape[2])))
    yield compare("upscale2d_conv2d (transposed)", resample.up_convolution(x, taps))
    for name, options in (("conv2d", {"kernel_size": 3}), ("torgb_gain1", {"kernel_size": 1, "gain": 1.0})):
        kernel = arrays[f"op/{name}/weight"]
        yield compare(name, applied(equalised.EqualisedConv(kernel.shape[3], **options), kernel, x))
    kernel, rows = arrays["op/dense/weight"], arrays["op/x"].reshape(len(x), -1)
    yield compare("dense", applied(equalised.EqualisedDense(kernel.shape[1], LATENT_GAIN), kernel, rows))
    kernel = arrays["op/conv2d_downscale2d/weight"]
    for forms, note in ((FAST, ""), (PLAIN, " (plain)")):
        with use_forms(forms):
            down = applied(equalised.EqualisedDownConv(kernel.shape[3]), kernel, even)
        yield compare(f"conv2d_downscale2d{note}", down)
    yield compare("downscale2d", average_pool_to(even, even.shape[1] // 2))
    yield compare("upscale2d", resample.upsample_nearest(x))
    yield compare("pixel_norm", normalisation.pixel_norm(x))
    yield compare("minibatch_stddev_g4", normalisation.append_minibatch_stddev(channels_last(arrays["op/mbstd_x"])))
    yield compare("apply_bias_lrelu", leaky_relu(x + arrays["op/apply_bias_lrelu/bias"]))
