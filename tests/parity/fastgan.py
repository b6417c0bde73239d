"""FastGAN against the official networks: one training step and evaluation, from a reference file.

Width, latent size and resolution are read from the shapes in the file.

The forward pass is compared in float32 with the fast forms of training, and everything in float64: a first Adam step
is about the sign of each gradient, which rounding decides for entries near zero; leaky ReLUs then flip (in float32,
errors of up to 3e-3 in the gradients after the step).

The official generator draws noise in evaluation too. Its strengths are zero before the recorded step and one Adam step
long (the learning rate, either sign) after it, so the recorded evaluation images depend on noise that the file lacks,
by about 2e-3. The noise enters almost linearly: the maps that explain the images best are a least-squares problem with
far fewer unknowns than pixels. If the networks agree, the residual is rounding, and the noise has variance 1.
"""

import keras
import numpy as np
import scipy.sparse.linalg
import tensorflow as tf

from gan_tf.convert import load_state_dict
from gan_tf.convert.fastgan import discriminator_arguments, generator_arguments
from gan_tf.errors import UsageError
from gan_tf.models.fastgan import FastGanDiscriminator, FastGanGenerator, reconstruction_targets
from gan_tf.models.variables import named_variables
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.ops.resample import nearest_resize
from tests.models.networks import gradients
from tests.parity.report import Quantity, channels_first, channels_last, forward, gradient, relative_l2
from tests.parity.state_dicts import state_dict, to_official

FORWARD = 1e-4
GRADIENT = 1e-3
UPDATE = 1e-2
NOISE_SPREAD = 5e-2  # accepted distance of the recovered noise's standard deviation from 1
PROBES = 8  # random vectors that estimate how strongly each noise pixel acts
ITERATIONS = 90  # brings the error of the images from 2e-3 to 1e-5 at 256 pixels
QUADRANT = 2  # bottom left, as in the reference
LEARNING_RATE, BETA_1, BETA_2 = 2e-4, 0.5, 0.999
EPSILON = 1e-8 * (1 - BETA_2) ** 0.5  # PyTorch adds 1e-8 after the bias correction, Keras before: equal in step 1
NOISE_STRENGTHS = (".2.weight", ".6.weight")  # of [1]: their gradient depends on noise that is not recorded


def quantities(arrays):
    """Yields every comparison."""
    g, d = load(arrays, "float32")
    _, outputs = discriminate(d, channels_last(arrays["real"]), g(tf.constant(arrays["z"]), training=True))
    yield from compare("train/", outputs, arrays, "float32 ")

    g, d = load(arrays, "float64")
    before = {"g": state_dict(g), "d": state_dict(d)}
    outputs, slopes = step(g, d, tf.constant(arrays["z"]), channels_last(arrays["real"]))
    yield from compare("train/", outputs, arrays)
    for player in "dg":
        for name, want in arrays.group(f"train/grad_{player}/").items():
            if not is_strength(name, want):
                yield gradient(f"train/grad_{player}/{name}", slopes[player][name], want, GRADIENT)
    for player, network in (("g", g), ("d", d)):
        yield from compare_state(player, before[player], state_dict(network), arrays)
    yield from compare_evaluation(g, d, arrays)


def load(arrays, dtype):
    """-> (generator, discriminator) that hold the state of the file before the step."""
    g_arrays, d_arrays = arrays.group("g/"), arrays.group("d/")
    if not (g_arrays and d_arrays):
        raise UsageError(f"{arrays.path} holds no FastGAN state dicts (g/..., d/...): give a FastGAN reference file")
    g = FastGanGenerator(**generator_arguments(g_arrays), dtype=dtype)
    d = FastGanDiscriminator(**discriminator_arguments(d_arrays), dtype=dtype)
    for network, state in ((g, g_arrays), (d, d_arrays)):
        network.build()
        load_state_dict(network, state)
    return g, d


def discriminate(d, real, fakes):
    """D on real images with reconstruction, then on fakes.

    Returns:
        (loss of D, {name: array in the official layout} with the fakes among them).
    """
    part = tf.constant(QUADRANT)
    small = nearest_resize(real, d.small_resolution)
    logits_real, rebuilt = d.logits_and_reconstructions((real, small), part, training=True)
    targets = reconstruction_targets(real, part, d.small_resolution)
    loss_rec = sum(tf.reduce_mean(tf.abs(rebuilt[name] - targets[name])) for name in rebuilt)
    loss_real = tf.reduce_mean(tf.nn.relu(1 - logits_real))
    fakes = tuple(map(tf.stop_gradient, fakes))
    logits_fake = d(fakes, training=True)
    loss_fake = tf.reduce_mean(tf.nn.relu(1 + logits_fake))
    outputs = {"fake_big": channels_first(fakes[0]), "fake_128": channels_first(fakes[1])}
    outputs |= {f"rec_{name}": channels_first(images) for name, images in rebuilt.items()}
    outputs |= {"pred_real": flat(logits_real), "pred_fake": flat(logits_fake)}
    losses = {"loss_real": loss_real, "loss_rec": loss_rec, "loss_fake": loss_fake}
    return loss_real + loss_rec + loss_fake, outputs | {name: loss.numpy() for name, loss in losses.items()}


def step(g, d, z, real):
    """One training step in the official order, without augmentation or label noise.

    Returns:
        ({name: array}, {"d" or "g": {official name: gradient}}), in the official layout.
    """
    with tf.GradientTape() as g_tape:
        fakes = g(z, training=True)
        with g_tape.stop_recording():
            with tf.GradientTape() as d_tape:
                d_loss, outputs = discriminate(d, real, fakes)
            d_gradients = descend(d, d_tape, d_loss)
        logits = d(fakes, training=True)
        g_loss = -tf.reduce_mean(logits)
    g_gradients = descend(g, g_tape, g_loss)
    outputs |= {"pred_g": flat(logits), "loss_g": g_loss.numpy()}
    return outputs, {"d": to_official(d, d_gradients), "g": to_official(g, g_gradients)}


def descend(network, tape, loss):
    """Takes the first Adam step; returns {our name: gradient}."""
    found = gradients(loss, network, tape, unconnected_gradients="zero")
    variables = named_variables(network)
    optimizer = keras.optimizers.Adam(LEARNING_RATE, BETA_1, BETA_2, EPSILON)
    optimizer.apply(list(found.values()), [variables[name] for name in found])
    return found


def compare(prefix, outputs, arrays, label=""):
    """Compares every output with the array of the same name."""
    for name, got in outputs.items():
        yield forward(f"{label}{prefix}{name}", got, arrays[prefix + name], FORWARD)


def compare_state(player, before, after, arrays):
    """Parameters by their update, spectral vectors and running statistics by their value."""
    for name, want in arrays.group(f"after/{player}/").items():
        label = f"after/{player}/{name}"
        if name.endswith(("weight_u", "weight_v", "running_mean", "running_var")):
            yield forward(label, after[name], want, FORWARD)
        elif not (name.endswith("num_batches_tracked") or is_strength(name, want)):
            yield gradient(label, after[name] - before[name], want - before[name], UPDATE)


def compare_evaluation(g, d, arrays):
    """Running statistics and stored spectral vectors; the generator's images up to noise that was not recorded."""
    real, z = channels_last(arrays["real"]), tf.constant(arrays["z"])
    logits = d((real, nearest_resize(real, d.small_resolution)), training=False)
    yield from compare("eval/", {"pred_real": flat(logits)}, arrays)
    wanted = channels_last(arrays["eval/fake_big"]), channels_last(arrays["eval/fake_128"])
    images = g(z, training=False)
    if any(relative_l2(got, want) > FORWARD for got, want in zip(images, wanted, strict=True)):
        for name, variable in named_variables(g).items():
            if name.endswith("/strength"):
                variable.assign([LEARNING_RATE])  # of either sign, which becomes part of the noise
        noise = fit_noise(g, z, wanted)
        images = g(z, noise=noise, training=False)
        spread = np.sqrt(np.mean(np.concatenate([np.ravel(map_) for map_ in noise]) ** 2))
        yield Quantity("eval/recovered noise, distance of its spread from 1", abs(spread - 1), NOISE_SPREAD)
    yield from compare("eval/", {"fake_big": channels_first(images[0]), "fake_128": channels_first(images[1])}, arrays)


def is_strength(name, array):
    return array.shape == (1,) and name.startswith("feat_") and name.endswith(NOISE_STRENGTHS)


def flat(logits):
    """[N, 50] -> all logits of the big path, then all of the small path."""
    return np.concatenate([np.ravel(half) for half in np.split(logits.numpy(), 2, axis=1)])


def fit_noise(generator, z, images):
    """Returns the noise maps, [N, h, w, 1] float32, that minimise the distance of the generator's images to `images`.

    Args:
        generator: built, with its noise strengths set; run in evaluation mode.
        z: [N, Z].
        images: pair of [N, R, R, 3] and [N, S, S, 3] that it should make.

    Least squares by LSQR, around zero noise, with columns scaled by an estimate of their lengths.
    """
    zero = [tf.zeros((z.shape[0], *shape)) for shape in generator.noise_shapes]

    @tf.function
    def ahead(change):
        with tf.autodiff.ForwardAccumulator(zero, change) as accumulator:
            outputs = generator(z, noise=zero, training=False)
        return [accumulator.jvp(output) for output in outputs]

    @tf.function
    def back(slopes):
        with tf.GradientTape() as tape:
            tape.watch(zero)
            outputs = generator(z, noise=zero, training=False)
        return tape.gradient(outputs, zero, output_gradients=slopes)

    with use_forms(PLAIN):
        start = generator(z, noise=zero, training=False)
        residual = _flat([want - got for want, got in zip(images, start, strict=True)])
        probes = np.random.default_rng(0).choice([-1.0, 1.0], (PROBES, len(residual)))
        squares = np.mean([_flat(back(_shaped(probe, start))) ** 2 for probe in probes], axis=0)
        scales = 1 / np.sqrt(squares + 0.1 * np.mean(squares))
        operator = scipy.sparse.linalg.LinearOperator(
            (len(residual), len(scales)),
            matvec=lambda noise: _flat(ahead(_shaped(scales * noise, zero))),
            rmatvec=lambda slopes: scales * _flat(back(_shaped(slopes, start))),
        )
        return _shaped(scales * scipy.sparse.linalg.lsqr(operator, residual, iter_lim=ITERATIONS)[0], zero)


def _flat(tensors):
    """float64 vector of all entries of a list of tensors."""
    return np.concatenate([np.float64(tensor).ravel() for tensor in tensors])


def _shaped(vector, like):
    """The entries of a vector as float32 tensors of the shapes of `like`: the inverse of `_flat`."""
    parts = np.split(vector, np.cumsum([np.size(tensor) for tensor in like])[:-1])
    return [tf.constant(part.reshape(one.shape), tf.float32) for part, one in zip(parts, like, strict=True)]
