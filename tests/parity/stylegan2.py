"""StyleGAN2 against the official networks, penalties and training phases, in both forms of the modulated convolution.

Sizes and widths are read from the shapes in the file, the rest of the configuration from its metadata. A key of the
file that is not compared counts as a failure.

Outputs are compared in float32, and gradients in float64: in float32, rounding flips leaky ReLUs with inputs near zero,
which changes a gradient by up to 6e-3.
"""

import dataclasses
import functools
import json
import types
import unittest.mock

import numpy as np
import tensorflow as tf

from gan_tf.config.presets import PRESETS
from gan_tf.convert import load_state_dict
from gan_tf.convert.stylegan2 import arguments_of
from gan_tf.errors import UsageError
from gan_tf.losses import (
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
from gan_tf.training import step
from gan_tf.training.recipes import stylegan2 as recipe
from gan_tf.training.state import trainable
from tests.models.networks import gradients
from tests.parity import stylegan2_ops
from tests.parity.report import Quantity, channels_first, forward, gradient
from tests.parity.state_dicts import to_official

FORWARD = 1e-4
GRADIENT = 1e-3
CLAMP = 1.5  # of the networks of clamp15/*
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
    given, synthesis = Inputs(arrays, g), functools.partial(g.synthesis, noise=CONST)
    directions, mean = given.images(arrays["pl/y_raw"]), tf.constant(arrays["pl/pl_mean_before"], given.dtype)

    def ws_of():
        return g.mapping(given.z[: len(directions)], given.rows(len(directions)))

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


class RecordedDraws:
    """Replaces Draws by the arrays of a file, and the generator's own noise maps."""

    def __init__(self, latents, directions, g):
        self.count = self.batch = len(latents)
        self._normals = {"latents": latents, "directions": directions}
        pairs = zip([None, *g.synthesis.first_convs], g.synthesis.convs, strict=True)
        self._maps = [layer.noise.value[None, :, :, None] for pair in pairs for layer in pair if layer is not None]

    def fold_in(self, purpose):
        return self

    def normal(self, purpose, shape=()):
        return self._normals[purpose]

    def noise(self, purpose, shapes):
        return self._maps


def compare_phases(arrays, config, g, d):
    """Gradients of the phases of the recipe, which are those of the official training loop, and its running means."""
    given, found = Inputs(arrays, g), {}
    mean = tf.Variable(arrays["pl/pl_mean_before"], dtype=tf.float32)
    state = types.SimpleNamespace(g=g, d=d, g_optimizer=None, d_optimizer=None, loss_scale=1.0, scales_loss=False)
    state.extra = {recipe.PATH_MEAN: mean}
    weights = {"r1_gamma": config["r1_gamma_in_phase"], "path_weight": float(config["pl_weight"])}
    settings = dataclasses.replace(PRESETS["stylegan2"]["auto"], **weights, augment="none", style_mixing=0.0)
    variant = step.Variant(settings, settings.resolution, len(given.z), parts=1, lr=1.0, ema_kimg=1.0)
    labels = tf.zeros([len(given.z)], tf.int32) if given.labels is None else given.labels
    draws = RecordedDraws(given.z, given.images(arrays["pl/y_raw"]), g)
    before = g.mapping.average.numpy()
    for name, phase in zip(("Gmain", "Greg", "Dmain", "Dreg"), recipe.RECIPE.phases, strict=True):
        found.clear()
        with unittest.mock.patch.object(step, "apply_gradients", lambda state, _, new, lr: found.update(new) or 0.0):
            phase.update(state, given.reals, labels, draws, variant)
        network = g if name.startswith("G") else d
        slopes = {path: found.get(path, tf.zeros_like(v.value)) for path, v in trainable(network).items()}
        yield from compare_all(arrays, f"phase_{name}/", to_official(network, slopes), complete=True)
        if name == "Gmain":
            key = "phase_Gmain_w_avg_after"
            yield forward(key, g.mapping.average, arrays[key], FORWARD)
        g.mapping.average.assign(before)
    key = "phase_Greg_pl_mean_after"
    yield forward(key, mean, arrays[key], FORWARD)


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
