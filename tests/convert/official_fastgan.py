"""Second implementation of the official FastGAN networks: official names, plain operations, evaluation mode.

Shares no code with gan_tf: it runs from a state dict, NCHW with channels-first kernels, and so detects errors in the
networks and in the name map. `shapes_of_generator` and `shapes_of_discriminator` return complete state dicts.
"""

import numpy as np
import tensorflow as tf

G_WIDTHS = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
D_WIDTHS = {4: 16, 8: 16, 16: 8, 32: 4, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)
PARAMETERS = ("weight_orig", ".weight", ".bias")  # ends of their names


def shapes_of_generator(size, ngf, latent_size):
    """{official name: shape}."""
    width = {key: int(value * ngf) for key, value in G_WIDTHS.items()}
    convs = {"init.init.0": (latent_size, 2 * width[4], 4, 4), "to_128": (3, width[128], 1, 1)}
    convs["to_big"] = (3, width[size], 3, 3)
    norms, noises, before = {"init.init.1": 2 * width[4]}, [], width[4]
    for at in SIZES[: SIZES.index(size) + 1]:
        convs[f"feat_{at}.1"] = (2 * width[at], before, 3, 3)
        if at in (8, 32, 128, 512):
            convs[f"feat_{at}.5"] = (2 * width[at], width[at], 3, 3)
            norms |= {f"feat_{at}.3": 2 * width[at], f"feat_{at}.7": 2 * width[at]}
            noises += [f"feat_{at}.2", f"feat_{at}.6"]
        else:
            norms[f"feat_{at}.2"] = 2 * width[at]
        before = width[at]
    for source, at in ((4, 64), (8, 128), (16, 256), (32, 512)):
        if at <= size:
            convs |= excitation(f"se_{at}", width[source], width[at])
    return shapes(convs, norms, "init.init.0") | {f"{name}.weight": (1,) for name in noises}


def shapes_of_discriminator(size, ndf):
    """{official name: shape}."""
    width = {key: int(value * ndf) for key, value in D_WIDTHS.items()}
    convs, norms = {}, {}
    if size == 1024:
        convs |= {"down_from_big.0": (width[1024], 3, 4, 4), "down_from_big.2": (width[512], width[1024], 4, 4)}
        norms["down_from_big.3"] = width[512]
    else:
        convs["down_from_big.0"] = (width[512], 3, 3, 3) if size == 256 else (width[512], 3, 4, 4)
    before = width[512]
    for name, at in (("down_4", 256), ("down_8", 128), ("down_16", 64), ("down_32", 32), ("down_64", 16)):
        convs |= {f"{name}.main.0": (width[at], before, 4, 4), f"{name}.main.3": (width[at], width[at], 3, 3)}
        convs[f"{name}.direct.1"] = (width[at], before, 1, 1)
        norms |= {f"{name}.{place}": width[at] for place in ("main.1", "main.4", "direct.2")}
        before = width[at]
    convs |= {"rf_big.0": (width[8], width[16], 1, 1), "rf_big.3": (1, width[8], 4, 4)}
    norms["rf_big.1"] = width[8]
    for source, at, inputs, outputs in ((2, 16, 512, 64), (4, 32, 256, 32), (8, 64, 128, 16)):
        convs |= excitation(f"se_{source}_{at}", width[inputs], width[outputs])
    convs |= {"down_from_small.0": (width[256], 3, 4, 4), "rf_small": (1, width[32], 4, 4)}
    for place, inputs, outputs in ((2, 256, 128), (3, 128, 64), (4, 64, 32)):
        convs[f"down_from_small.{place}.main.0"] = (width[outputs], width[inputs], 4, 4)
        norms[f"down_from_small.{place}.main.1"] = width[outputs]
    for name, inputs in (("big", width[16]), ("part", width[32]), ("small", width[32])):
        for place, outputs in enumerate((128, 64, 64, 32), start=1):
            convs[f"decoder_{name}.main.{place}.1"] = (2 * outputs, inputs, 3, 3)
            norms[f"decoder_{name}.main.{place}.2"] = 2 * outputs
            inputs = outputs
        convs[f"decoder_{name}.main.5"] = (3, 32, 3, 3)
    return shapes(convs, norms)


def excitation(name, inputs, outputs):
    return {f"{name}.main.1": (outputs, inputs, 4, 4), f"{name}.main.3": (outputs, outputs, 1, 1)}


def shapes(convs, norms, transposed=None):
    """Expands convolutions and batch norms into their tensors in a state dict."""
    found = {}
    for name, shape in convs.items():
        columns = shape[1] if name == transposed else shape[0]
        found |= {f"{name}.weight_orig": shape, f"{name}.weight_u": (columns,)}
        found[f"{name}.weight_v"] = (int(np.prod(shape)) // columns,)
    for name, size in norms.items():
        found |= {f"{name}.{leaf}": (size,) for leaf in ("weight", "bias", "running_mean", "running_var")}
        found[f"{name}.num_batches_tracked"] = ()
    return found


def random_state(wanted, seed=0):
    """{name: array} of the given shapes, with values that keep the scale of the signal."""
    rng = np.random.default_rng(seed)
    state = {}
    for name, shape in wanted.items():
        value = rng.normal(size=shape)
        if name.endswith("running_var"):
            value = 0.1 + 0.1 * np.abs(value)
        elif name.endswith(("weight_u", "weight_v")):
            value /= np.linalg.norm(value)
        elif len(shape) == 1:
            value = 1 + 0.2 * value if name.endswith(".weight") else 0.2 * value
        state[name] = np.asarray(value, np.float32)
    for base in [name.removesuffix("weight_u") for name in state if name.endswith("weight_u")]:
        settle(base, state)
    return state


def parameters(state):
    """The parameters in the order of the state dict, without buffers."""
    return [value for name, value in state.items() if name.endswith(PARAMETERS)]


def settle(base, state):
    """Moves u and v near the first singular vectors, so that no layer amplifies the signal."""
    matrix, v = as_matrix(base, state), state[base + "weight_v"]
    for _ in range(5):
        u = matrix @ v / np.linalg.norm(matrix @ v)
        v = matrix.T @ u / np.linalg.norm(matrix.T @ u)
    state[base + "weight_u"], state[base + "weight_v"] = u, v


def as_matrix(base, state):
    kernel = state[base + "weight_orig"]
    if base == "init.init.0.":
        kernel = kernel.transpose(1, 0, 2, 3)
    return kernel.reshape(kernel.shape[0], -1)


class Official:
    """Layers of a state dict, on maps [N, C, H, W]."""

    def __init__(self, state):
        self.state = state

    def kernel(self, name):
        sigma = self.state[f"{name}.weight_u"] @ as_matrix(name + ".", self.state) @ self.state[f"{name}.weight_v"]
        return self.state[f"{name}.weight_orig"] / sigma

    def conv(self, name, x, stride=1, pad=0):
        x = tf.pad(tf.transpose(x, (0, 2, 3, 1)), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        y = tf.nn.conv2d(x, self.kernel(name).transpose(2, 3, 1, 0), stride, "VALID")
        return tf.transpose(y, (0, 3, 1, 2))

    def norm(self, name, x):
        mean, variance, weight, bias = (
            self.state[f"{name}.{leaf}"][:, None, None] for leaf in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    def up(self, conv, norm, x):
        x = tf.repeat(tf.repeat(x, 2, axis=2), 2, axis=3)
        return gate(self.norm(norm, self.conv(conv, x, pad=1)))

    def excite(self, name, source, x):
        step = source.shape[2] // 4
        pooled = tf.reduce_mean(tf.reshape(source, (*source.shape[:2], 4, step, 4, step)), (3, 5))
        squeezed = self.conv(f"{name}.main.1", pooled)
        return x * tf.sigmoid(self.conv(f"{name}.main.3", squeezed * tf.sigmoid(squeezed)))

    def down(self, name, x):
        main = leak(self.norm(f"{name}.main.1", self.conv(f"{name}.main.0", x, 2, 1)))
        main = leak(self.norm(f"{name}.main.4", self.conv(f"{name}.main.3", main, 1, 1)))
        half = (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4
        return (main + leak(self.norm(f"{name}.direct.2", self.conv(f"{name}.direct.1", half)))) / 2


def gate(x):
    values, gates = tf.split(x, 2, axis=1)
    return values * tf.sigmoid(gates)


def leak(x):
    return tf.where(x > 0, x, 0.2 * x)


def generate(state, z, size):
    """-> (images [N, 3, R, R], small [N, 3, 128, 128]) of the official generator in evaluation mode."""
    net = Official(state)
    x = gate(net.norm("init.init.1", tf.einsum("ni,iohw->nohw", z, net.kernel("init.init.0"))))
    maps = {4: x}
    for at in SIZES[: SIZES.index(size) + 1]:
        name = f"feat_{at}"
        if at in (8, 32, 128, 512):
            x = net.up(f"{name}.1", f"{name}.3", x)
            x = gate(net.norm(f"{name}.7", net.conv(f"{name}.5", x, pad=1)))
        else:
            x = net.up(f"{name}.1", f"{name}.2", x)
        if f"se_{at}.main.1.weight_orig" in state:
            x = net.excite(f"se_{at}", maps[at // 16], x)
        maps[at] = x
    images, small = net.conv("to_big", x, pad=1), net.conv("to_128", maps[128])
    return (tf.tanh(images), tf.tanh(small)) if size == 1024 else (images, small)


def judge(state, images, small, size):
    """-> (logits of the big path [N, 25], of the small path [N, 25], reconstruction of quadrant 1 [N, 3, 128, 128])."""
    net = Official(state)
    x = net.conv("down_from_big.0", images, *((1, 1) if size == 256 else (2, 1)))
    x = leak(x)
    if size == 1024:
        x = leak(net.norm("down_from_big.3", net.conv("down_from_big.2", x, 2, 1)))
    maps = {2: x}
    for at, source in ((4, None), (8, None), (16, 2), (32, 4), (64, 8)):
        x = net.down(f"down_{at}", x)
        if source:
            x = net.excite(f"se_{source}_{at}", maps[source], x)
        maps[at] = x
    big = net.conv("rf_big.3", leak(net.norm("rf_big.1", net.conv("rf_big.0", x))))
    y = leak(net.conv("down_from_small.0", small, 2, 1))
    for place in (2, 3, 4):
        name = f"down_from_small.{place}.main"
        y = leak(net.norm(f"{name}.1", net.conv(f"{name}.0", y, 2, 1)))
    part = maps[32][:, :, :8, 8:]
    for place in (1, 2, 3, 4):
        part = net.up(f"decoder_part.main.{place}.1", f"decoder_part.main.{place}.2", part)
    part = tf.tanh(net.conv("decoder_part.main.5", part, pad=1))
    flat = [tf.reshape(logits, (-1, 25)) for logits in (big, net.conv("rf_small", y))]
    return *flat, part
