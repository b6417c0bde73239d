"""FastGAN against the official networks: one training step and evaluation, from a reference file.

Width, latent size and resolution are read from the shapes in the file.
"""

import keras
import numpy as np
import tensorflow as tf

from gan_tf.convert.fastgan import (
    discriminator_arguments,
    generator_arguments,
    load_state_dict,
    state_dict,
    to_official,
)
from gan_tf.models.fastgan import Discriminator, Generator, reconstruction_targets
from gan_tf.models.variables import named_variables
from gan_tf.ops.resample import nearest_resize
from tests.parity.report import forward, gradient

FORWARD = 1e-4
GRADIENT = 1e-3
UPDATE = 1e-2
QUADRANT = 2  # bottom left, the one of the reference
NOISE_STRENGTHS = (".2.weight", ".6.weight")  # of [1]: their gradient is the official run's unrecorded noise


def quantities(arrays):
    """Yields every comparison, in the order of the reference step."""
    g, d = load(arrays)
    before = {"g": state_dict(g), "d": state_dict(d)}
    outputs, gradients = step(g, d, tf.constant(arrays["z"]), to_nhwc(arrays["real"]))
    yield from compare("train/", outputs, arrays)
    for player in "dg":
        for name, want in arrays.group(f"train/grad_{player}/").items():
            if not depends_on_noise(name, want):
                yield gradient(f"train/grad_{player}/{name}", gradients[player][name], want, GRADIENT)
    for player, network in (("g", g), ("d", d)):
        yield from compare_state(player, before[player], state_dict(network), arrays)
    yield from compare("eval/", evaluate(g, d, arrays), arrays)


def load(arrays):
    """-> (generator, discriminator) that hold the state of the file before the step."""
    g_arrays, d_arrays = arrays.group("g/"), arrays.group("d/")
    g = Generator(**generator_arguments(g_arrays))
    d = Discriminator(**discriminator_arguments(d_arrays))
    for network, state in ((g, g_arrays), (d, d_arrays)):
        network.build()
        load_state_dict(network, state)
    return g, d


def step(g, d, z, real):
    """One training step in the official order, without augmentation or label noise.

    Returns:
        ({name: array}, {"d" or "g": {official name: gradient}}), in the official layout.
    """
    g_adam, d_adam = (keras.optimizers.Adam(2e-4, 0.5, 0.999, epsilon=1e-8) for _ in range(2))
    with tf.GradientTape() as g_tape:
        fakes = g(z, training=True)
        with g_tape.stop_recording():
            outputs, d_gradients = discriminator_step(d, d_adam, real, fakes)
        logits = d(fakes, training=True)
        loss = -tf.reduce_mean(logits)
    g_gradients = gradients_of(g_tape, loss, g)
    descend(g_adam, g, g_gradients)
    outputs |= {"fake_big": to_nchw(fakes[0]), "fake_128": to_nchw(fakes[1])}
    outputs |= {"pred_g": flat(logits), "loss_g": loss.numpy()}
    return outputs, {"d": to_official(d, d_gradients), "g": to_official(g, g_gradients)}


def discriminator_step(d, adam, real, fakes):
    """Real images with reconstruction, then fakes; the two gradients add up to one Adam step."""
    part = tf.constant(QUADRANT)
    with tf.GradientTape() as tape:
        small = nearest_resize(real, d.small_resolution)
        logits_real, rebuilt = d.logits_and_reconstructions((real, small), part, training=True)
        targets = reconstruction_targets(real, part, d.small_resolution)
        loss_rec = sum(tf.reduce_mean(tf.abs(rebuilt[name] - targets[name])) for name in rebuilt)
        loss_real = tf.reduce_mean(tf.nn.relu(1 - logits_real))
        logits_fake = d(tuple(map(tf.stop_gradient, fakes)), training=True)
        loss_fake = tf.reduce_mean(tf.nn.relu(1 + logits_fake))
        loss = loss_real + loss_rec + loss_fake
    gradients = gradients_of(tape, loss, d)
    descend(adam, d, gradients)
    outputs = {f"rec_{name}": to_nchw(images) for name, images in rebuilt.items()}
    outputs |= {"pred_real": flat(logits_real), "pred_fake": flat(logits_fake)}
    losses = {"loss_real": loss_real.numpy(), "loss_rec": loss_rec.numpy(), "loss_fake": loss_fake.numpy()}
    return outputs | losses, gradients


def evaluate(g, d, arrays):
    """Outputs with running statistics and stored spectral vectors."""
    real = to_nhwc(arrays["real"])
    big, small = g(tf.constant(arrays["z"]), training=False)
    logits = d((real, nearest_resize(real, d.small_resolution)), training=False)
    return {"fake_big": to_nchw(big), "fake_128": to_nchw(small), "pred_real": flat(logits)}


def compare(prefix, outputs, arrays):
    """Compares every output; one that the file lacks is an error of the file."""
    for name, got in outputs.items():
        yield forward(prefix + name, got, arrays[prefix + name], FORWARD)


def compare_state(player, before, after, arrays):
    """Parameters by their update, spectral vectors and running statistics by their value."""
    for name, want in arrays.group(f"after/{player}/").items():
        label = f"after/{player}/{name}"
        if name.endswith(("weight_u", "weight_v", "running_mean", "running_var")):
            yield forward(label, after[name], want, FORWARD)
        elif not (name.endswith("num_batches_tracked") or depends_on_noise(name, want)):
            yield gradient(label, after[name] - before[name], want - before[name], UPDATE)


def depends_on_noise(name, array):
    return array.shape == (1,) and name.startswith("feat_") and name.endswith(NOISE_STRENGTHS)


def gradients_of(tape, loss, network):
    """{our name: gradient as array} of every trainable variable."""
    variables = {name: v for name, v in named_variables(network).items() if v.trainable}
    found = tape.gradient(loss, [v.value for v in variables.values()], unconnected_gradients="zero")
    return {name: np.asarray(value) for name, value in zip(variables, found, strict=True)}


def descend(adam, network, gradients):
    variables = named_variables(network)
    adam.apply([tf.constant(value) for value in gradients.values()], [variables[name] for name in gradients])


def flat(logits):
    """[N, 50] -> all logits of the big path, then all of the small path."""
    return np.concatenate([np.ravel(half) for half in np.split(logits.numpy(), 2, axis=1)])


def to_nhwc(images):
    return tf.constant(np.ascontiguousarray(images.transpose(0, 2, 3, 1)))


def to_nchw(images):
    return images.numpy().transpose(0, 3, 1, 2)
