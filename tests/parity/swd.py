"""Sliced Wasserstein distance and MS-SSIM against the official programs.

Pyramids, descriptors and distances from the recorded draws, then the whole official procedure with its own generator.
The official MS-SSIM filters with float32 transforms, so it has about five digits for different images.
"""

import json

import numpy as np

from gan_tf.metrics import diversity, swd
from tests.parity.report import forward

BOUND = 1e-5
SETS = ("real", "fake")
OFFICIAL_PATCHES = 128  # per image
OFFICIAL_DIRECTIONS = (4, 128)  # repeats, directions each


def quantities(arrays):
    """Yields a Quantity for each array of a swd reference file (NCHW, the images of MS-SSIM NHWC)."""
    yield from _from_recorded_draws(arrays)
    yield from _from_official_generator(arrays, json.loads(str(arrays["meta_json"]))["seed"])
    images = arrays["msssim/images"]
    for key, a, b in (
        ("msssim/pairs_01_23", images[0::2], images[1::2]),
        ("msssim/noisy", images, arrays["msssim/noisy_images"]),
        ("msssim/self", images, images),
    ):
        yield forward(key, diversity.ms_ssim(a, b).mean(), arrays[key], BOUND)


def _from_recorded_draws(arrays):
    pyramids = {name: swd.laplacian_pyramid(arrays[f"images_{name}"].astype(np.float32)) for name in SETS}
    for index in range(len(pyramids["real"])):
        descriptors = {}
        for name in SETS:
            level = pyramids[name][index]
            want = arrays[f"pyramid/{name}/{index}"]
            yield forward(f"pyramid/{name}/{index}", level[: len(want)], want, BOUND)
            rows, columns = (arrays[f"draw/{name}/{index}/{axis}"].reshape(len(level), -1) for axis in "yx")
            descriptors[name] = _normalised(swd.patches_at(level, rows, columns))
            want = arrays[f"descriptor/{name}/{index}"]
            yield forward(f"descriptor/{name}/{index}", descriptors[name][: len(want)], want, BOUND)
        directions = np.concatenate([swd.unit_directions(normal) for normal in arrays[f"dirs/{index}"]], axis=1)
        got = _distance(*(descriptors[name] for name in SETS), directions)
        yield forward(f"swd/{index}", got, arrays[f"swd/{index}"], BOUND)


def _from_official_generator(arrays, seed):
    """Calls in the order of the official interface: the reals, then the fakes, then the reals again as fakes."""
    random = np.random.RandomState(seed + 1)
    reals = _describe(arrays["images_real"], random)
    _distances(reals, reals, random)  # the official code measures the reals as well, which uses draws
    for key, name, generator in (
        ("official_api_x1e3", "fake", random),
        ("official_api_same_images_x1e3", "real", np.random.RandomState(seed + 2)),
    ):
        distances = _distances(reals, _describe(arrays[f"images_{name}"], generator), generator)
        yield forward(key, [*distances, np.mean(distances)], arrays[key], BOUND)


def _describe(images, random):
    descriptors = []
    for level in swd.laplacian_pyramid(images.astype(np.float32)):
        centres = len(level), OFFICIAL_PATCHES
        columns = random.randint(swd.MARGIN, level.shape[3] - swd.MARGIN, size=centres)
        rows = random.randint(swd.MARGIN, level.shape[2] - swd.MARGIN, size=centres)
        descriptors.append(_normalised(swd.patches_at(level, rows, columns)))
    return descriptors


def _distances(real, fake, random):
    repeats, count = OFFICIAL_DIRECTIONS
    distances = []
    for pair in zip(real, fake, strict=True):
        normal = [random.randn(pair[0].shape[1], count) for _ in range(repeats)]
        directions = swd.unit_directions(np.concatenate(normal, axis=1))
        distances.append(_distance(*pair, directions))
    return distances


def _normalised(descriptors):
    return swd.normalise(descriptors, *swd.channel_statistics(descriptors))


def _distance(real, fake, directions):
    return swd.wasserstein(*(np.sort(directions.T @ side.T, axis=1) for side in (real, fake)))
