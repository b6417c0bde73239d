"""Second implementation of the official Progressive GAN networks: official names, plain NumPy, fused and not fused.

Shares no code with gan_tf: it runs from a state dict, NCHW, and so detects errors in the networks and in the name map.
Fused means upsampling and convolution in one operation. `shapes_of_generator` and `shapes_of_discriminator` return
complete state dicts.
"""

import numpy as np

GAIN = 2**0.5


def width(size, base, most):
    """Channels of the maps of `size` pixels."""
    return min(2 * base // size, most)


def sizes(resolution):
    """8, 16, ... up to the resolution."""
    return [2**power for power in range(3, resolution.bit_length())]


def shapes_of_generator(resolution, base, most, latent_size, fused):
    """{official name: shape}."""
    first = width(4, base, most)
    found = {"4x4/Dense/weight": (latent_size, 16 * first), "4x4/Dense/bias": (first,)}
    found |= layer("4x4/Conv", 3, first, first)
    for size in sizes(resolution):
        before, own = width(size // 2, base, most), width(size, base, most)
        if fused:
            found[f"{size}x{size}/Conv0_up/weight"] = (3, 3, own, before)
            found[f"{size}x{size}/Conv0_up/bias"] = (own,)
        else:
            found |= layer(f"{size}x{size}/Conv0", 3, before, own)
        found |= layer(f"{size}x{size}/Conv1", 3, own, own)
    for lod, size in enumerate(reversed([4, *sizes(resolution)])):
        found |= layer(f"ToRGB_lod{lod}", 1, width(size, base, most), 3)
    return found


def shapes_of_discriminator(resolution, base, most, fused):
    """{official name: shape}, with the minibatch standard deviation."""
    found = {}
    for lod, size in enumerate(reversed([4, *sizes(resolution)])):
        found |= layer(f"FromRGB_lod{lod}", 1, 3, width(size, base, most))
    for size in sizes(resolution):
        own = width(size, base, most)
        found |= layer(f"{size}x{size}/Conv0", 3, own, own)
        found |= layer(f"{size}x{size}/Conv1{'_down' if fused else ''}", 3, own, width(size // 2, base, most))
    first, vector = width(4, base, most), width(2, base, most)
    found |= layer("4x4/Conv", 3, first + 1, first)
    found |= {"4x4/Dense0/weight": (16 * first, vector), "4x4/Dense0/bias": (vector,)}
    return found | {"4x4/Dense1/weight": (vector, 1), "4x4/Dense1/bias": (1,)}


def layer(name, taps, inputs, outputs):
    return {f"{name}/weight": (taps, taps, inputs, outputs), f"{name}/bias": (outputs,)}


def random_state(shapes, seed=0):
    """{name: array} of the given shapes."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def conv(state, name, x, gain=GAIN):
    """x [N, I, H, W] -> [N, O, H, W], zeros around it, without the bias."""
    kernel = state[f"{name}/weight"]
    taps, size = kernel.shape[0], x.shape[2]
    kernel = kernel * gain / np.sqrt(taps * taps * kernel.shape[2])
    x = np.pad(x, ((0, 0), (0, 0), (taps // 2, taps // 2), (taps // 2, taps // 2)))
    return sum(
        np.einsum("nihw,io->nohw", x[:, :, i : i + size, j : j + size], kernel[i, j])
        for i in range(taps)
        for j in range(taps)
    )


def up_conv(state, name, x):
    """The fused form: taps summed over shifts by a pixel, and each pixel of x spread over 4x4 pixels in steps of 2."""
    kernel = state[f"{name}/weight"]  # [3, 3, O, I]
    kernel = kernel * GAIN / np.sqrt(9 * kernel.shape[3])
    taps = np.zeros((4, 4, *kernel.shape[2:]))
    for i in range(2):
        for j in range(2):
            taps[i : i + 3, j : j + 3] += kernel
    count, _, height, breadth = x.shape
    y = np.zeros((count, kernel.shape[2], 2 * height + 2, 2 * breadth + 2))
    for i in range(4):
        for j in range(4):
            spread = np.einsum("nihw,oi->nohw", x, taps[i, j])
            y[:, :, i : i + 2 * height : 2, j : j + 2 * breadth : 2] += spread
    return y[:, :, 1:-1, 1:-1]


def biased(state, name, x):
    return x + state[f"{name}/bias"][:, None, None]


def leak(x):
    return np.where(x > 0, x, 0.2 * x)


def normed(x):
    return x / np.sqrt(np.mean(x**2, axis=1, keepdims=True) + 1e-8)


def enlarged(x):
    return x.repeat(2, axis=2).repeat(2, axis=3)


def halved(x):
    return (x[:, :, ::2, ::2] + x[:, :, 1::2, ::2] + x[:, :, ::2, 1::2] + x[:, :, 1::2, 1::2]) / 4


def dense(state, name, x, gain=GAIN):
    kernel = state[f"{name}/weight"]
    return x.reshape(len(x), -1) @ kernel * gain / np.sqrt(kernel.shape[0])


def generate(state, z, resolution, fused, lod=0.0):
    """Images [N, 3, R, R]; with 0 < lod < 1 the last size fades in."""
    x = dense(state, "4x4/Dense", normed(z), GAIN / 4).reshape(len(z), -1, 4, 4)
    x = normed(leak(biased(state, "4x4/Dense", x)))
    x = normed(leak(biased(state, "4x4/Conv", conv(state, "4x4/Conv", x))))
    before = x
    for size in sizes(resolution):
        before, name = x, f"{size}x{size}"
        x = up_conv(state, f"{name}/Conv0_up", x) if fused else conv(state, f"{name}/Conv0", enlarged(x))
        x = normed(leak(biased(state, f"{name}/Conv0_up" if fused else f"{name}/Conv0", x)))
        x = normed(leak(biased(state, f"{name}/Conv1", conv(state, f"{name}/Conv1", x))))
    images, older = (
        biased(state, name, conv(state, name, maps, 1)) for name, maps in (("ToRGB_lod0", x), ("ToRGB_lod1", before))
    )
    return (1 - lod) * images + lod * enlarged(older)


def judge(state, images, resolution, group_size=4):
    """Logits [N, 1] of the fused form, fully grown."""
    x = leak(biased(state, "FromRGB_lod0", conv(state, "FromRGB_lod0", images)))
    for size in reversed(sizes(resolution)):
        name = f"{size}x{size}"
        x = leak(biased(state, f"{name}/Conv0", conv(state, f"{name}/Conv0", x)))
        x = leak(biased(state, f"{name}/Conv1_down", halved(conv(state, f"{name}/Conv1_down", x))))
    members = min(group_size, len(x))
    groups = x.reshape(members, -1, *x.shape[1:])
    spread = np.sqrt(((groups - groups.mean(0)) ** 2).mean(0) + 1e-8).mean((1, 2, 3))
    spread = np.tile(spread, members)[:, None, None, None] * np.ones((1, 1, 4, 4))
    x = np.concatenate([x, spread], axis=1)
    x = leak(biased(state, "4x4/Conv", conv(state, "4x4/Conv", x)))
    x = leak(dense(state, "4x4/Dense0", x) + state["4x4/Dense0/bias"])
    return dense(state, "4x4/Dense1", x, 1) + state["4x4/Dense1/bias"]
