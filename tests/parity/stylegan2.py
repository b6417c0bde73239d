"""StyleGAN2 against the official networks, losses and penalties, in both forms of the modulated convolution.

Sizes and widths are read from the shapes in the file, the rest of the configuration from its metadata. A key of the
file that is not compared counts as a failure.

Outputs are compared in float32, and gradients in float64: in float32, rounding flips leaky ReLUs with inputs near zero,
which changes a gradient by up to 6e-3.
"""

import functools
import json

import numpy as np
import tensorflow as tf

from gan_tf.convert import load_state_dict
from gan_tf.convert.stylegan2 import arguments_of
from gan_tf.errors import UsageError
from gan_tf.losses import (
    logistic_discriminator,
    logistic_generator,
    path_length_penalty,
    path_lengths,
    path_slopes,
    r1_penalty,
)
from gan_tf.models.stylegan2 import StyleGan2Discriminator, StyleGan2Generator
from gan_tf.models.stylegan2_blocks import CONST
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from gan_tf.ops.normalisation import append_minibatch_stddev
from tests.models.networks import gradients
from tests.parity import stylegan2_ops
from tests.parity.report import Quantity, channels_first, forward, gradient
from tests.parity.state_dicts import to_official

FORWARD = 1e-4
GRADIENT = 1e-3
CLAMP = 1.5  # of the networks of clamp15/*
G_INTERVAL, D_INTERVAL = 4, 16  # steps between lazy regularisers, and their weights
MADE_WITH = {"pl_decay": 0.01, "style_mixing_prob": 0}


def quantities(arrays):
    """Yields every comparison, then the keys that were left out."""
    config = configuration(arrays)
    compared = set()
    for q in _all(arrays, config):
        compared.add(q.name.split(" ")[0])
        yield q
    for key in arrays:
        if key not in compared and not is_input(key):
            yield Quantity(f"{key} (left uncompared)", np.inf, 0)


def _all(arrays, config):
    yield from stylegan2_ops.operations(arrays)
    for forms, note in ((FAST, ""), (PLAIN, " (own kernels)")):
        with use_forms(forms):
            found = list(compare_outputs(arrays, config))
            networks = load(arrays, config, "float64")
            for part in (compare_gradients, compare_r1, compare_path_length, compare_phases):
                found += part(arrays, config, *networks)
        yield from (Quantity(q.name + note, q.error, q.bound) for q in found)


def is_input(key):
    """True for keys of inputs, which are not compared."""
    parts = key.split("/")
    if parts[0] == "op":
        return parts[-1] != "out" and len(parts) > 2
    return parts[0] in ("g", "d", "in", "meta_json") or key in ("pl/y_raw", "pl/pl_mean_before")


def configuration(arrays):
    """The configuration in the metadata of a file.

    Raises:
        UsageError: a file of another family, or made with settings that the comparison does not support.
    """
    if not (arrays.group("g/synthesis.") and arrays.group("d/b4.")):
        raise UsageError(f"{arrays.path} holds no weights (g/synthesis..., d/b4...): give a StyleGAN2 reference file")
    config = json.loads(str(arrays["meta_json"]))["config"]
    for name, wanted in MADE_WITH.items():
        if config.get(name, wanted) != wanted:
            raise UsageError(f"{arrays.path} was made with {name} {config[name]}; give a file made with {wanted}")
    return config


def load(arrays, config, dtype, **more):
    """-> (generator, discriminator) with the weights of the file."""
    made = []
    own = {"mbstd_group": config["mbstd_group_size"]}
    for kind, prefix, known in ((StyleGan2Generator, "g/", {}), (StyleGan2Discriminator, "d/", own)):
        weights = arrays.group(prefix)
        network = kind(**arguments_of(weights), **known, **more, dtype=dtype)
        network.build()
        load_state_dict(network, weights)
        made.append(network)
    return made


class Inputs:
    """Inputs in a file, in the type that a network computes in, channels last."""

    def __init__(self, arrays, network):
        self.dtype = network.variable_dtype
        self.z = tf.constant(arrays["in/z"], self.dtype)
        self.labels = tf.constant(arrays["in/c"], self.dtype) if network.classes else None
        self.reals = self.images(arrays["in/real"])

    def images(self, values):
        """[N, C, H, W] -> [N, H, W, C]."""
        return tf.constant(np.moveaxis(values, 1, 3), self.dtype)

    def rows(self, count):
        """Labels of the first images."""
        return None if self.labels is None else self.labels[:count]

    def paths(self, arrays, g):
        """-> (directions, synthesis as a function of ws, function that maps the first latents, running mean before)."""
        directions = self.images(arrays["pl/y_raw"])
        count, mean = len(directions), tf.constant(arrays["pl/pl_mean_before"], self.dtype)
        synthesis = functools.partial(g.synthesis, noise=CONST)
        return directions, synthesis, lambda: g.mapping(self.z[:count], self.rows(count)), mean


def compare_outputs(arrays, config):
    """Styles, features, images, logits."""
    g, d = load(arrays, config, "float32")
    given = Inputs(arrays, g)

    def compare(name, got):
        return forward(name, got, arrays[name], FORWARD)

    ws = g.mapping(given.z, given.labels)
    yield compare("out/ws_psi1", ws)
    yield compare("out/ws_psi07", g.mapping(given.z, given.labels, truncation=0.7))
    yield compare("out/ws_psi07_cutoff3", g.mapping(given.z, given.labels, truncation=0.7, cutoff=3))
    images = g(given.z, given.labels, noise=CONST)
    yield compare("out/img_const", channels_first(images))
    yield compare("out/img_none", channels_first(g.synthesis(ws)))
    yield compare("out/img_psi07_const", channels_first(g(given.z, given.labels, noise=CONST, truncation=0.7)))
    mixed = tf.constant(arrays["in/ws_mixed"])
    yield compare("out/img_ws_mixed_const", channels_first(g.synthesis(mixed, noise=CONST)))
    for size, (features, so_far) in zip(g.synthesis.sizes, g.synthesis.maps(ws, CONST), strict=True):
        yield compare(f"mid/g_b{size}_x0", channels_first(features[:2]))
        yield compare(f"mid/g_b{size}_img0", channels_first(so_far[:2]))

    yield compare("out/d_logits_fake", d(given.images(arrays["out/img_const"]), given.labels))
    yield compare("out/d_logits_real", d(given.reals, given.labels))
    for count in (4, 2):
        yield compare(f"out/d_logits_real_first{count}", d(given.reals[:count], given.rows(count)))
    blocks = d.features(given.reals)
    for size, features in zip(d.sizes, blocks, strict=True):
        yield compare(f"mid/d_b{size}_x0", channels_first(features[:2]))
    spread = append_minibatch_stddev(blocks[-1], d.mbstd_group, d.mbstd_channels)[:, 0, 0, -1]
    yield compare("mid/d_mbstd", spread)
    if d.classes:
        yield compare("mid/d_cmap", d.mapping(None, given.labels))
    g, d = load(arrays, config, "float32", conv_clamp=CLAMP)
    yield compare("clamp15/img_const", channels_first(g(given.z, given.labels, noise=CONST)))
    yield compare("clamp15/d_logits_real", d(given.reals, given.labels))


def compare_gradients(arrays, config, g, d):
    """Gradients of the generator's loss through both networks."""
    given = Inputs(arrays, g)

    def loss():
        logits = d(g(given.z, given.labels, noise=CONST), given.labels)
        return tf.reduce_sum(logistic_generator(logits))

    value, slopes = differentiate(loss, {"g": g, "d": d}, given.z)
    yield forward("grad_gen/loss_sum", value, arrays["grad_gen/loss_sum"], FORWARD)
    yield gradient("grad_gen/z", slopes["z"], arrays["grad_gen/z"], GRADIENT)
    for player in ("g", "d"):
        yield from compare_all(arrays, f"grad_gen/{player}/", slopes[player])


def compare_r1(arrays, config, g, d):
    """R1 and its gradients."""
    given = Inputs(arrays, d)
    with tf.GradientTape() as tape:
        tape.watch(given.reals)
        logits = d(given.reals, given.labels)
    slopes = channels_first(tape.gradient(logits, given.reals))
    yield gradient("r1/grad_image", slopes, arrays["r1/grad_image"], GRADIENT)
    penalty = r1_penalty(lambda x: d(x, given.labels), given.reals)
    yield forward("r1/penalty", penalty, arrays["r1/penalty"], FORWARD)
    _, slopes = differentiate(lambda: tf.reduce_mean(r1_penalty(lambda x: d(x, given.labels), given.reals)), {"d": d})
    yield from compare_all(arrays, "r1/grad_mean_penalty/", slopes["d"])


def compare_path_length(arrays, config, g, d):
    """Path lengths of the first images, their penalty and its gradients."""
    directions, synthesis, ws_of, mean = Inputs(arrays, g).paths(arrays, g)
    ws = ws_of()
    yield gradient("pl/jty", path_slopes(synthesis, ws, directions), arrays["pl/jty"], GRADIENT)
    lengths = path_lengths(synthesis, ws, directions)
    yield forward("pl/lengths", lengths, arrays["pl/lengths"], FORWARD)
    penalty, after = path_length_penalty(lengths, mean)
    yield forward("pl/pl_mean_after", after, arrays["pl/pl_mean_after"], FORWARD)
    yield forward("pl/penalty", penalty, arrays["pl/penalty"], FORWARD)

    def loss():
        return tf.reduce_mean(2 * path_length_penalty(path_lengths(synthesis, ws_of(), directions), mean)[0])

    _, slopes = differentiate(loss, {"g": g})
    yield from compare_all(arrays, "pl/grad_mean_2penalty/", slopes["g"])


def compare_phases(arrays, config, g, d):
    """Gradients of every phase of the official training loop, and its running means."""
    given = Inputs(arrays, g)
    directions, synthesis, ws_of, mean = given.paths(arrays, g)

    def logits_of_fakes():
        return d(g(given.z, given.labels, noise=CONST), given.labels)

    def lengths():
        return path_lengths(synthesis, ws_of(), directions)

    def discriminator():
        return tf.add(*logistic_discriminator(d(given.reals, given.labels), logits_of_fakes()))

    weights = {"pl": config["pl_weight"] * G_INTERVAL, "r1": config["r1_gamma_in_phase"] / 2 * D_INTERVAL}
    phases = {
        "Gmain": (g, lambda: logistic_generator(logits_of_fakes())),
        "Greg": (g, lambda: weights["pl"] * path_length_penalty(lengths(), mean)[0]),
        "Dmain": (d, discriminator),
        "Dreg": (d, lambda: weights["r1"] * r1_penalty(lambda x: d(x, given.labels), given.reals)),
    }
    for name, (network, loss) in phases.items():
        _, slopes = differentiate(lambda loss=loss: tf.reduce_mean(loss()), {"own": network})
        yield from compare_all(arrays, f"phase_{name}/", slopes["own"], complete=True)
    key = "phase_Greg_pl_mean_after"
    yield forward(key, path_length_penalty(lengths(), mean)[1], arrays[key], FORWARD)
    before = g.mapping.average.numpy()
    g.mapping(given.z, given.labels, training=True)
    key = "phase_Gmain_w_avg_after"
    yield forward(key, g.mapping.average, arrays[key], FORWARD)
    g.mapping.average.assign(before)


def differentiate(loss, networks, z=None):
    """-> (loss, {name: {official name: gradient}, zeros where a variable is not reached, and "z" if z is given})."""
    inputs = {} if z is None else {"z": z}
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        value = loss()
    slopes = tape.gradient(value, inputs)
    for name, network in networks.items():
        slopes[name] = to_official(network, gradients(value, network, tape, unconnected_gradients="zero"))
    return value, slopes


def compare_all(arrays, prefix, slopes, complete=False):
    """Every recorded gradient; with `complete`, one that is not recorded fails too."""
    wanted = arrays.group(prefix)
    for name in slopes if complete else wanted:
        if name in wanted:
            yield gradient(f"{prefix}{name}", slopes[name], wanted[name], GRADIENT)
        else:
            yield Quantity(f"{prefix}{name} (not in the file)", np.inf, 0)
