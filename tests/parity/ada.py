"""Adaptive augmentation against official outputs: every transform by percentile, and from recorded random draws.

Each geometric output is computed as in training, where maps that keep axes parallel have a faster method, and by the
general method. An array of the file that is not compared counts as a failure.
"""

import numpy as np
import tensorflow as tf

from gan_tf.augment import ada_maps, ada_resample
from gan_tf.augment.ada import GROUPS, POLICIES, ROTATIONS, TRANSFORMS, UNIFORM, apply, parameters
from gan_tf.ops.forms import FAST, PLAIN, use_forms
from tests.parity.report import Quantity, channels_last, forward, gradient

FORWARD_BOUND = 1e-4
GRADIENT_BOUND = 1e-3
NAMES = {**POLICIES, "rotate": ROTATIONS, "imgfilter": GROUPS["filter"]}  # their names in the file
FILTER_REACH = 6  # pixels that the official program adds to the margins for its filters
COMPARED = ("out", "grad_images", "affine_theta", "reflect_pad_lrtb", "grid_size", "p")
ROUNDING = 1e-4  # pixels, of the official float32 margins, before they are rounded up


def quantities(arrays):
    """Yields a Quantity for every array of an ada reference file (NCHW) that is an output.

    arrays: in/images, in/cotangent; const/...; <case>/out and, with a geometric transform, <case>/affine_theta,
        /reflect_pad_lrtb and /grid_size; of some cases /grad_images; of random ones /p and /draw/<transform>/...
    """
    images, slopes = (channels_last(arrays[f"in/{key}"]) for key in ("images", "cotangent"))
    unused = set(arrays) - {"meta_json", "in/images", "in/cotangent"}
    yield forward("const/Hz_geom", ada_resample.LOWPASS, arrays["const/Hz_geom"], FORWARD_BOUND)
    yield forward("const/Hz_fbank", ada_maps.filter_bank(), arrays["const/Hz_fbank"], FORWARD_BOUND)
    unused -= {"const/Hz_geom", "const/Hz_fbank"}
    for name in [key.removesuffix("/out") for key in arrays if key.endswith("/out")]:
        known = _parameters(arrays, name)
        if known is None:
            continue
        kept = arrays.group(f"{name}/")
        for note, output, slope in _methods(images, slopes, known):
            yield forward(f"{name}/out{note}", output, channels_last(kept["out"]), FORWARD_BOUND)
            if "grad_images" in kept:
                want = channels_last(kept["grad_images"])
                yield gradient(f"{name}/grad_images{note}", slope, want, GRADIENT_BOUND)
        if "affine_theta" in kept:
            yield from _map(arrays, name, known)
        drawn = {key for key in kept if key.startswith("draw/") and key.endswith(("/value", "/gate"))}
        unused -= {f"{name}/{key}" for key in (*COMPARED, *drawn)}
    yield Quantity(f"arrays left uncompared{''.join(f' {key}' for key in sorted(unused)[:3])}", len(unused), 0)


def _parameters(arrays, name):
    """Parameters of the transforms of a recorded call; None if its name is not known."""
    count = len(arrays["in/images"])
    match name.split("/"):
        case "debug", q, transform:
            return parameters(at_percentile(float(q), NAMES.get(transform, [transform]), count), 1.0)
        case "p0", *more:
            return parameters(at_percentile(0.25, NAMES.get(more[0], more), count), 0.0)
        case "rnd", *_:
            draws = arrays.group(f"{name}/draw/")
            names = {key.split("/")[0] for key in draws}
            drawn = {own: [tf.constant(draws[f"{own}/{part}"]) for part in ("value", "gate")] for own in names}
            return parameters(drawn, arrays[f"{name}/p"])
    return None


def at_percentile(q, names, count):
    """Values and gates of `ada.draw` if every value were at the percentile q of its range and every gate open.

    Normal values are erfinv(2q - 1), without the factor sqrt(2) of the normal quantile, as in the official program. The
    second rotation is none, the value of noise erfinv(q).

    Args:
        q: in (0, 1).
        names: transforms.
        count: images, all with the same values.
    """
    drawn = {}
    for name in names:
        transform = TRANSFORMS[name]
        value = float(q) if transform.kind == UNIFORM else tf.math.erfinv(2.0 * q - 1.0)
        if name == "rotate_post":
            value = 0.5
        elif name == "noise":
            value = tf.math.erfinv(float(q))
        shape = (count, transform.columns) if transform.columns > 1 else (count,)
        drawn[name] = (tf.fill(shape, tf.cast(value, tf.float32)), tf.zeros([count]))
    return drawn


def _methods(images, slopes, known):
    """Yields note, images and gradient: as in training, by the general method, and by its plain form."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        output = apply(images, known)
    yield "", output, tape.gradient(output, images, slopes)
    if ada_maps.GEOMETRIC.keys().isdisjoint(known):
        return
    # Colours are applied after the geometric maps; their gradient was compared above.
    colors = {name: value for name, value in known.items() if name in GROUPS["color"]}
    maps = ada_maps.geometric_map(known, images.shape[1:3])
    for note, forms in ((" (any map)", FAST), (" (any map, plain)", PLAIN)):
        with use_forms(forms):
            resampled = ada_resample.general(images, maps)
            with tf.GradientTape() as tape:
                tape.watch(resampled)
                output = apply(resampled, colors)
            slope = ada_resample.general_transposed(tape.gradient(output, resampled, slopes), maps)
        yield note, output, slope


def _map(arrays, name, known):
    """The map in the official form: margins by reflection, and a map of positions from -1 to 1."""
    kept = arrays.group(f"{name}/")
    count, channels, side, _ = arrays["in/images"].shape
    maps = np.float64(ada_maps.geometric_map(known, (side, side)))
    left, right, top, bottom = margins = np.float64(kept["reflect_pad_lrtb"])
    yield Quantity(f"{name}/reflect_pad_lrtb", np.max(np.abs(margins - _margins(maps, side, margins))), 0)
    density = 2 * (side + FILTER_REACH)
    want = [count, channels, density, density]
    yield Quantity(f"{name}/grid_size", np.max(np.abs(kept["grid_size"] - want)), 0)
    # Of two samples to a pixel, the first is the pixel itself: a quarter of a pixel before the middle of both.
    theta = maps @ _translation(1 / 4, 1 / 4) @ np.diag([density / 4, density / 4, 1])
    theta = _translation((left - right) / 2 - 1 / 4, (top - bottom) / 2 - 1 / 4) @ theta
    theta = np.diag([2 / (side + left + right), 2 / (side + top + bottom), 1]) @ theta
    yield forward(f"{name}/affine_theta", theta[:, :2], kept["affine_theta"], FORWARD_BOUND)


def _margins(maps, side, stored):
    """Pixels of reflection on each side that contain the mapped corners of every image and the filters' reach.

    Quarter turns map a corner to a whole pixel, which rounding may move to either side: there `stored` decides.
    """
    half = (side - 1) / 2
    corners = np.array([(x, y, 1) for x in (-half, half) for y in (-half, half)])
    x, y, _ = np.moveaxis(maps @ corners.T, 1, 0)
    need = np.array([-x.min(), x.max(), -y.min(), y.max()]) + FILTER_REACH - half
    low, high = (np.ceil(np.clip(need + error, 0, side - 1)) for error in (-ROUNDING, ROUNDING))
    return np.clip(stored, low, high)


def _translation(x, y):
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1]])
