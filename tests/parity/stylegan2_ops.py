"""Single operations of StyleGAN2, with the arguments that a reference file notes for every case."""

import json

import numpy as np
import tensorflow as tf

from gan_tf.models.stylegan2_blocks import FILTER, StyleDense
from gan_tf.ops.activations import bias_act
from gan_tf.ops.filtered import fir_filter, modulated_conv, resampled_conv, upfirdn2d, upsample2d
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from gan_tf.ops.normalisation import append_minibatch_stddev, pixel_norm
from tests.parity.report import Quantity, channels_last, forward

BOUND = 1e-4


def operations(arrays):
    """Every case that the file has an output of."""
    notes = json.loads(str(arrays["meta_json"]))["ops"]
    yield forward("op/filter_1331", FILTER, arrays["op/filter_1331"], BOUND)
    for case in [key.split("/")[1] for key in arrays if key.startswith("op/") and key.endswith("/out")]:
        kind = next((kind for kind in CASES if case.startswith(kind)), None)
        if kind is None:
            yield Quantity(f"op/{case}/out (unknown here)", np.inf, 0)
            continue
        got = np.asarray(CASES[kind](arrays, case, notes[case]))
        if got.ndim == 4:
            got = np.moveaxis(got, 3, 1)
        yield forward(f"op/{case}/out", got, arrays[f"op/{case}/out"], BOUND)
    whole = downsample2d(channels_last(arrays["op/upfirdn/x"]), FILTER)  # of odd sizes; recorded under another name
    key = "op/upfirdn_down2_pad1/out"
    yield forward(f"{key} (downsample2d)", np.moveaxis(whole, 3, 1), arrays[key], BOUND)


def _upfirdn(arrays, case, notes):
    x, f = channels_last(arrays["op/upfirdn/x"]), _filter(arrays, notes["filter"])
    more = {"pad": notes.get("padding", 0), "gain": notes.get("gain", 1), "flip": notes.get("flip_filter", False)}
    return upfirdn2d(x, f, notes.get("up", 1), notes.get("down", 1), **more)


def _resize(arrays, case, notes):
    function = {"upsample2d": upsample2d, "downsample2d": downsample2d, "filter2d": filter2d}[case]
    x = channels_last(arrays["op/upfirdn/x"])
    if case == "downsample2d":
        # Recorded without the last row and column of a map of odd sizes, which the file's notes do not say: so the
        # recorded numbers are reproduced to 1e-7, and with them only where the filter does not reach their edge.
        x = x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2]
    return function(x, _filter(arrays, notes["filter"]))


def filter2d(x, f):
    """The official `filter2d`: filters without a change of size."""
    return upfirdn2d(x, f, pad=[pad for side in f.shape[::-1] for pad in (side // 2, (side - 1) // 2)])


def downsample2d(x, f):
    """The official `downsample2d`: filters and halves."""
    return upfirdn2d(x, f, down=2, pad=[pad for side in f.shape[::-1] for pad in ((side - 1) // 2, (side - 2) // 2)])


def _conv(arrays, case, notes):
    x, kernel = channels_last(arrays["op/conv/x"]), _kernel(arrays[f"op/conv/{notes['weight']}"])
    factors = notes.get("up", 1), notes.get("down", 1)
    return resampled_conv(x, kernel, _filter(arrays, notes["filter"]), *factors, convolve=not notes["flip_weight"])


def _modulated(arrays, case, notes):
    x, kernel = channels_last(arrays["op/conv/x"]), _kernel(arrays[f"op/conv/{notes['weight']}"])
    styles, factors = tf.constant(arrays["op/modconv/styles"]), (notes["up"], notes["down"])
    noise = notes["noise"] and channels_last(arrays[f"op/modconv/{notes['noise']}"])
    more = {"noise": noise, "convolve": not notes["flip_weight"]}
    with use_forms(PLAIN if notes["fused_modconv"] else FAST):
        return modulated_conv(x, kernel, styles, FILTER, *factors, notes["demodulate"], **more)


def _bias_act(arrays, case, notes):
    more = {"leak": notes["alpha"]} if "alpha" in notes else {}
    x, bias = channels_last(arrays["op/conv/x"]), tf.constant(arrays["op/bias_act/b"])
    return bias_act(x, bias, notes["act"], notes.get("gain"), notes.get("clamp"), **more)


def _dense(arrays, case, notes):
    kept = arrays.group(f"op/{case}/")
    layer = StyleDense(len(kept["weight"]), notes["activation"], notes["lr_multiplier"])
    layer.build((None, kept["weight"].shape[1]))
    layer.kernel.assign(kept["weight"].T)
    layer.bias.assign(kept["bias"])
    return layer(kept["x"])


CASES = {  # by how the name of a case begins
    "upfirdn": _upfirdn,
    "upsample2d": _resize,
    "downsample2d": _resize,
    "filter2d": _resize,
    "conv": _conv,
    "modconv": _modulated,
    "bias_act": _bias_act,
    "fc": _dense,
    "normalize_2nd_moment": lambda arrays, case, notes: pixel_norm(tf.constant(arrays[f"op/{case}/x"])),
    "mbstd": lambda arrays, case, notes: append_minibatch_stddev(
        channels_last(arrays[f"op/{case}/x"]), notes["group_size"], notes["num_channels"]
    ),
}


def _filter(arrays, name):
    known = {None: None, "None": None, "1331": fir_filter()}
    return known[name] if name in known else arrays[f"op/upfirdn/{name}"]


def _kernel(weight):
    """[O, I, k, k] -> [k, k, I, O]."""
    return tf.constant(weight.transpose(2, 3, 1, 0))
