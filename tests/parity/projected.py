"""Projected GAN against the official networks: features, projection, heads, gradients of both players, Adam's step.

The file has no kernels with spectral norm: they are random numbers, made from each name by the rule of the reference
files. Gradients are compared in float64, since in float32 rounding moves some of millions of ReLUs across their kinks.
"""

import json
import zlib

import keras
import numpy as np
import tensorflow as tf

from gan_tf.convert import fastgan
from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.network import fold
from gan_tf.models.projected import FEATURE_CHANNELS, FeatureHead, ProjectedDiscriminator
from gan_tf.models.variables import named_variables
from gan_tf.ops.normalisation import pixel_norm
from gan_tf.pretrained.efficientnet import load_efficientnet
from tests.parity.report import Quantity, channels_first, channels_last, forward, gradient, relative_l2

FORWARD = 5e-5
GRADIENT = 1e-6  # in float64
IMAGE_GRADIENT32, GRADIENT32 = 2e-2, 1e-2  # in float32: kinks
STEP_SHARE = 1e-3  # of the entries whose first Adam step may differ by more than STEP
STEP = 0.02  # of the learning rate
LR, BETA_2 = 2e-4, 0.99
EPSILON = 1e-8 * (1 - BETA_2) ** 0.5  # PyTorch adds 1e-8 after the bias correction, Keras before: equal in step 1
LARGE_KERNEL, CUT = 20_000, 16  # 4-d kernels of more numbers are stored as [:16, :16]
STRIDES = {1: 8, 2: 16}  # of the stored channels, by type of projection
LEAVES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
LEAVES |= {"kernel": "weight_orig", "u": "weight_u", "v": "weight_v", "bias": "bias"}


def quantities(arrays):
    """Yields a Quantity for each output of a projected reference file."""
    meta = json.loads(str(arrays["meta_json"]))
    features = load_efficientnet("lite0")
    for name in meta["config"]["eff"]:
        maps = features(channels_last(arrays[f"eff/{name}/images"]))
        for i, x in enumerate(maps):
            yield forward(f"eff/{name}/feature{i}", channels_first(x), arrays[f"eff/{name}/feature{i}"], FORWARD)
        if f"proj/{name}/type1/out0" in arrays:
            yield from compare_projection(arrays, name, maps)
    for prefix in ("d/", "ds/"):
        yield from compare_heads(arrays, meta, prefix)
    yield from compare_class_head(arrays, meta)
    for prefix in ("pd/", "pd/blur/"):
        yield from compare_players(arrays, meta, prefix, features)
    for group in ("g_lite", "g_full", "gc_lite", "gc_full"):
        yield from compare_generator(arrays, meta, group)


def compare_projection(arrays, name, maps):
    """Both stages of the projector; the file has the first sample at some channels, and moments of all."""
    projector = discriminator(arrays).projector
    mixed = [layer(x) for layer, x in zip(projector.channels, maps, strict=True)]
    for kind, outputs in ((1, mixed), (2, projector(maps))):
        for i, x in enumerate(outputs):
            key, x = f"proj/{name}/type{kind}/", channels_first(x)
            yield forward(f"{key}out{i}", x[:1, :: STRIDES[kind]], arrays[f"{key}out{i}"], FORWARD)
            yield from compare_moments(arrays, key, x, str(i))


def compare_moments(arrays, key, x, end=""):
    """Spatial mean and root mean square of all channels of x [N, C, H, W]."""
    for name, got in (("mean", x.mean(axis=(2, 3))), ("rms", np.sqrt((x**2).mean(axis=(2, 3))))):
        yield forward(f"{key}{name}{end}", got, arrays[f"{key}{name}{end}"], FORWARD)


def compare_heads(arrays, meta, prefix):
    """All heads on given maps, in evaluation and in training mode, each from the stored state."""
    maps = [channels_last(by_rule(meta, f"features/{i}")) for i in range(len(FEATURE_CHANNELS))]
    for mode in ("eval", "train"):
        d = discriminator(arrays, meta, prefix)
        logits = d.logits(maps, training=mode == "train")
        yield forward(f"{prefix}out/logits_{mode}", logits, arrays[f"{prefix}out/logits_{mode}"], FORWARD)
    yield from compare_buffers(arrays, prefix, f"{prefix}after_train_forward/", d)


def compare_class_head(arrays, meta):
    """A conditional head alone."""
    prefix, maps = "sdc/", channels_last(by_rule(meta, "sdc/features"))
    for mode in ("eval", "train"):
        head = FeatureHead((256, 512), classes=meta["config"]["sdc_classes"])
        head.build(maps.shape)
        load(head, names_of_head(head, ""), arrays, meta, prefix)
        logits = head(maps, arrays["sdc/labels"], training=mode == "train")
        want = arrays[f"sdc/out/logits_{mode}"]
        yield forward(f"sdc/out/logits_{mode}", logits, want.reshape(len(want), -1), FORWARD)
    yield from compare_buffers(arrays, prefix, "sdc/after_train_forward/", head, names_of_head(head, ""))


def compare_players(arrays, meta, prefix, features):
    """Images to logits; losses, gradients and buffers of a step of each player, and Adam's step of D."""
    reals, fakes = (channels_last(arrays[f"pd/images_{name}"]) for name in ("real", "fake"))
    if prefix == "pd/":
        resized = channels_first(resize(fakes))[:1, :, [*range(32), *range(100, 132)], :64]
        yield forward("pd/resized224", resized, arrays["pd/resized224_fake_sample0_rows_0_32_100_132"], FORWARD)
        d = discriminator(arrays, meta)
        for name, images in (("real", reals), ("fake", fakes)):
            logits = d(features(resize(images)))
            yield forward(f"pd/eval/logits_{name}", logits, arrays[f"pd/eval/logits_{name}"], FORWARD)
    else:
        yield forward("pd/blur/filter", blur_filter(meta), arrays["pd/blur/filter"], FORWARD)
        reals, fakes = (blurred(tf.cast(images, tf.float64), meta) for images in (reals, fakes))
        want = arrays["pd/blur/images_fake_sample0"]
        yield forward("pd/blur/images_fake", channels_first(fakes)[:1], want, FORWARD)
    for dtype, suffix in (("float32", ""), ("float64", "_f64")):
        network = features if dtype == "float32" else load_efficientnet("lite0", dtype=dtype)
        images = tf.cast(reals, dtype), tf.cast(fakes, dtype)
        yield from compare_generator_pass(arrays, meta, prefix, network, images[1], suffix)
        yield from compare_discriminator_step(arrays, meta, prefix, network, *images, suffix)


def compare_generator_pass(arrays, meta, prefix, features, fakes, suffix):
    d = discriminator(arrays, meta, dtype=fakes.dtype.name)
    with tf.GradientTape() as tape:
        tape.watch(fakes)
        logits = d(features(resize(fakes)), training=True)
        loss = -tf.reduce_mean(logits)
    slopes = tape.gradient(loss, fakes)
    if prefix == "pd/blur/":  # with respect to the images before the blur, a symmetric matrix
        slopes = blurred(slopes, meta)
    got = channels_first(slopes)
    yield forward(f"{prefix}G/logits{suffix}", logits, arrays[f"{prefix}G/logits{suffix}"], FORWARD)
    yield forward(f"{prefix}G/loss{suffix}", loss, arrays[f"{prefix}G/loss{suffix}"], FORWARD)
    name = f"{prefix}G/grad_images{suffix}"
    want, bound = arrays[name], GRADIENT if suffix else IMAGE_GRADIENT32
    yield Quantity(name, max(relative_l2(*pair) for pair in zip(got, want, strict=True)), bound)
    if not suffix:
        yield from compare_buffers(arrays, "d/", f"{prefix}G/after/", d)


def compare_discriminator_step(arrays, meta, prefix, features, reals, fakes, suffix):
    d, key = discriminator(arrays, meta, dtype=fakes.dtype.name), f"{prefix}D/"
    before = official_arrays(d)
    variables = {path: v for path, v in named_variables(d).items() if v.trainable}
    with tf.GradientTape() as tape:
        logits = {name: d(features(resize(x)), training=True) for name, x in (("fake", fakes), ("real", reals))}
        losses = [tf.reduce_mean(tf.nn.relu(1 + logits["fake"])), tf.reduce_mean(tf.nn.relu(1 - logits["real"]))]
        loss = tf.add_n(losses)
    gradients = dict(zip(variables, tape.gradient(loss, [v.value for v in variables.values()]), strict=True))
    for name, value in logits.items():
        yield forward(f"{key}logits_{name}{suffix}", value, arrays[f"{key}logits_{name}{suffix}"], FORWARD)
    yield forward(f"{key}loss{suffix}", loss, arrays[f"{key}loss{suffix}"], FORWARD)
    if prefix != "pd/":
        return
    official, bound = official_arrays(d, gradients), GRADIENT if suffix else GRADIENT32
    for name in meta["chosen_parameters"]:
        yield gradient(f"{key}grad{suffix}/{name}", cut(official[name]), arrays[f"{key}grad{suffix}/{name}"], bound)
    if suffix:
        lengths = np.array([np.linalg.norm(official.get(name, 0.0)) for name in meta["all_parameters"]])
        is_live = [name not in meta["dead_biases"] for name in meta["all_parameters"]]
        want = arrays[f"{key}grad_l2_of_all_parameters_f64"]
        yield gradient(f"{key}grad_l2_of_all_parameters_f64", lengths[is_live], want[is_live], GRADIENT)
        return
    yield from compare_buffers(arrays, "d/", f"{key}after/", d)
    optimizer = keras.optimizers.Adam(LR, 0.0, BETA_2, EPSILON)
    optimizer.apply(list(gradients.values()), list(variables.values()))
    after = official_arrays(d)
    for name in meta["chosen_parameters"]:
        got, want = (cut(x[name]) - cut(before[name]) for x in (after, arrays.group(f"{key}after_adam/")))
        share = np.mean(np.abs(got - want) > STEP * LR)
        yield Quantity(f"{key}after_adam/{name}, differing steps", float(share), STEP_SHARE)


def compare_generator(arrays, meta, group):
    """Images in evaluation and training mode, and the buffers after the latter. The recorded noise has no effect."""
    prefix, config = f"{group}/", meta["config"]
    classes = config["classes"] if group.startswith("gc") else 0
    labels = arrays["g/labels"] if classes else None
    yield forward("g/z_normalised", pixel_norm(arrays["g/z"]), arrays["g/z_normalised"], FORWARD)
    for mode in ("eval", "train"):
        g = FastGanGenerator(256, config["ngf"], config["z_dim"], up_blocks=group.partition("_")[2], classes=classes)
        g.build()
        variables, names = named_variables(g), names_of_generator(g)
        for ours, theirs in names.items():
            value = arrays[prefix + theirs] if prefix + theirs in arrays else by_rule(meta, prefix + theirs)
            if ours == "stem/kernel":
                value = value.transpose(0, 2, 3, 1)
            elif not ours.startswith("stem/"):
                value = from_official(ours, value, variables)
            variables[ours].assign(value)
        images, _ = g(arrays["g/z"], labels, training=mode == "train")
        x, key = channels_first(images), f"{prefix}out/{mode}_"
        yield forward(f"{key}corner", x[:, :, :64, :64], arrays[f"{key}corner"], FORWARD)
        yield forward(f"{key}every4", x[:, :, 2::4, 1::4], arrays[f"{key}every4"], FORWARD)
        yield from compare_moments(arrays, key, x)
        if mode == "eval":
            folded = fold(g)(arrays["g/z"], labels)
            yield Quantity(f"{prefix}folded", relative_l2(folded, images), FORWARD)
    for name, want in arrays.group(f"{prefix}after_train_forward/").items():
        if not name.endswith("num_batches_tracked"):
            ours = next(ours for ours, theirs in names.items() if theirs == name)
            got = np.asarray(variables[ours])
            got = got if ours.startswith("stem/") else to_official(ours, got, variables)
            yield forward(f"{prefix}after_train_forward/{name}", got, want, FORWARD)


def names_of_generator(g):
    """{our name: official name}. Conditional batch norm has no own factors and offsets, and these are not named."""
    plain = FastGanGenerator(256, g.ngf, g.latent_size, up_blocks=g.up_blocks)
    plain.build()
    names = {ours: f"synthesis.{theirs}" for ours, theirs in fastgan.official_names(plain).items()}
    if not g.classes:
        return names
    names = {ours: theirs for ours, theirs in names.items() if not ours.startswith("blocks/")}
    names["embed/kernel"] = "synthesis.embed.weight"
    for ours in named_variables(g):
        if not ours.startswith("blocks/") or ours.endswith(("gamma", "beta")):
            continue
        _, index, layer, *rest = ours.split("/")
        number = "" if g.up_blocks == "lite" else {"up": 1, "conv": 2}[layer.partition("_")[0]]
        block = f"synthesis.feat_{2 ** (int(index) + 3)}"
        if layer == "conv_noise":
            names[ours] = f"{block}.noise.weight"
        elif layer.endswith("norm"):
            leaf = {"moving_mean": "stored_mean", "moving_variance": "stored_var"}[rest[0]]
            names[ours] = f"{block}.bn{number}.{leaf}"
        elif layer.endswith("terms"):
            part = {"factor": "gain", "offset": "bias"}[rest[0]]
            names[ours] = f"{block}.bn{number}.{part}.{LEAVES[rest[1]]}"
        else:
            names[ours] = f"{block}.conv{number}.{LEAVES[rest[0]]}"
    return names


def resize(images):
    """Resizes images [N, S, S, 3] to 224 pixels. TensorFlow's operation has no float64, and a matrix replaces it."""
    if images.dtype == tf.float32:
        return tf.image.resize(images, (224, 224))
    size = images.shape[1]
    positions = np.clip((np.arange(224) + 0.5) * size / 224 - 0.5, 0, size - 1)
    weights = tf.constant(np.maximum(0.0, 1.0 - np.abs(positions[:, None] - np.arange(size))))
    return tf.einsum("ih,jw,nhwc->nijc", weights, weights, images)


def blur_filter(meta):
    """Taps of the blur, which fades out in the first images of a run; the published recipes do not use it."""
    config = meta["config"]
    sigma = max(1 - config["blur_nimg"] / (1000 * config["blur_fade_kimg"]), 0) * config["blur_init"]
    reach = int(3 * sigma)
    taps = np.exp2(-((np.arange(-reach, reach + 1) / sigma) ** 2))
    return taps / taps.sum()


def blurred(images, meta):
    """Convolves rows and columns with the filter; zeros outside."""
    values, taps = np.asarray(images, np.float64), blur_filter(meta)
    for axis in (1, 2):
        values = np.apply_along_axis(np.convolve, axis, values, taps, mode="same")
    return tf.cast(values, images.dtype)


def cut(array):
    return array[:CUT, :CUT] if array.ndim == 4 and array.size > LARGE_KERNEL else array


def compare_buffers(arrays, state, key, network, names=None):
    """Spectral vectors and running statistics. The official running means include the biases, which are not here."""
    official = official_arrays(network, names=names)
    for name, want in arrays.group(key).items():
        if name.endswith("num_batches_tracked"):
            continue
        got = official[name]
        if name.endswith("running_mean"):
            got = got + arrays.get(state + bias_before(name), 0.0)
        yield forward(key + name, got, want, FORWARD)


def bias_before(name):
    """Name of the bias of the convolution before a batch norm, by a name of the batch norm's."""
    return name.rpartition(".")[0].removesuffix("1") + "0.bias"


def discriminator(arrays, meta=None, prefix="d/", dtype="float32"):
    """Returns a discriminator with the stored projector and, with `meta`, the state of `prefix`."""
    d = ProjectedDiscriminator(separable=prefix == "ds/", dtype=dtype)
    d.build()
    for i, (channels, scales) in enumerate(zip(d.projector.channels, d.projector.scales, strict=True)):
        for layer, name in ((channels, f"layer{i}_ccm"), (scales, f"layer{i}_csm.out_conv")):
            layer.kernel.assign(arrays[f"proj/{name}.weight"].transpose(2, 3, 1, 0))
            layer.bias.assign(arrays[f"proj/{name}.bias"])
    if meta:
        load(d, names_of(d), arrays, meta, prefix)
    return d


def load(network, names, arrays, meta, prefix):
    """Copies an official state into a network. Running means are relative to the biases that are left out."""
    variables = named_variables(network)
    for ours, theirs in names.items():
        value = arrays[prefix + theirs] if prefix + theirs in arrays else by_rule(meta, prefix + theirs)
        if theirs.endswith("running_mean"):
            value = value - arrays.get(prefix + bias_before(theirs), 0.0)
        variables[ours].assign(from_official(ours, value, variables))


def by_rule(meta, key):
    """Returns an array that the file leaves out."""
    rule = meta["by_rule"][key]
    random = np.random.default_rng(zlib.crc32((meta["salt"] + key).encode()))
    array = random.uniform(-rule["bound"], rule["bound"], rule["shape"]).astype(np.float32)
    np.testing.assert_allclose(array.ravel()[:4], rule["first4"])
    return array


def names_of(d):
    """{our name: official name} of the variables of a discriminator, without the projector."""
    names = {}
    for i, head in enumerate(d.heads):
        names |= {f"heads/{i}/{ours}": theirs for ours, theirs in names_of_head(head, f"mini_discs.{i}.").items()}
    return names


def names_of_head(head, prefix):
    names = {}
    for ours in named_variables(head):
        *parts, leaf = ours.split("/")
        if parts[:1] == ["blocks"]:
            layer = {"conv": "main.0", "norm": "main.1", "depthwise": "main.0.depthwise"}[parts[2]]
            if parts[2] == "conv" and head.blocks[0].separable:
                layer += ".pointwise"
            names[ours] = f"{prefix}main.{parts[1]}.{layer}.{LEAVES[leaf]}"
        elif parts == ["to_logits"]:
            last = "cls" if head.classes else f"main.{len(head.blocks)}"
            names[ours] = f"{prefix}{last}.{LEAVES[leaf]}"
        else:
            names[ours] = {"embed": "embed.weight", "class_kernel": "embed_proj.0.weight"}.get(
                (parts or [leaf])[0], "embed_proj.0.bias"
            )
    return names


def from_official(ours, value, variables):
    """An official array in our layout: kernels [O, I, h, w], v [I * h * w], dense kernels [out, in]."""
    if value.ndim == 4:
        return value.transpose(2, 3, 1, 0)
    if value.ndim == 2 and len(variables[ours].shape) == 4:  # a dense layer is a 1x1 convolution here
        return value.T[None, None]
    if ours.endswith("/v"):
        height, width, inputs, _ = variables[ours.removesuffix("v") + "kernel"].shape
        return value.reshape(inputs, height, width).transpose(1, 2, 0).ravel()
    return value.T if ours.endswith("class_kernel") else value


def official_arrays(network, values=None, names=None):
    """{official name: array in the official layout} of variables or of {our name: gradient}."""
    variables = named_variables(network)
    values = values or variables
    out = {}
    for ours, theirs in (names or names_of(network)).items():
        if ours in values:
            out[theirs] = to_official(ours, np.asarray(values[ours]), variables)
    return out


def to_official(ours, value, variables):
    if value.ndim == 4:
        return value.transpose(3, 2, 0, 1)
    if ours.endswith("/v"):
        height, width, inputs, _ = variables[ours.removesuffix("v") + "kernel"].shape
        return value.reshape(height, width, inputs).transpose(2, 0, 1).ravel()
    return value.T if ours.endswith("class_kernel") else value
