"""Evaluator: the protocols of all metrics, shared passes, image files, copies, and progress."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.metrics.definitions import FEATURES, FOLDER_METRICS, METRICS, default_metric, family_of, final_metric
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.image_sets import RealImages, StoredImages
from gan_tf.metrics.score import Score

from .stubs import LITE, OFFICIAL, Generator, networks, replace_networks

HIGHER = {"precision_recall", "precision_recall-pixels", "density_coverage", "is", "lpips_diversity"}
HIGHER |= {"precision_recall-lite2", "density_coverage-lite2"}


def waves(count, seed=0):
    """Smooth images uint8 [count, 32, 32, 3], all different and none like its mirror image."""
    draws = np.random.default_rng(seed).uniform([2, 2, 0], [9, 9, 6], (count, 3, 3))[..., None, None]
    y, x = np.mgrid[:32, :32] / 32
    values = np.sin(draws[:, :, 0] * x + draws[:, :, 1] * y + draws[:, :, 2])
    return (127.5 + 120 * values).astype(np.uint8).transpose(0, 2, 3, 1)


REALS = waves(40)


@pytest.fixture(autouse=True)
def few_columns(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    replace_networks(monkeypatch)


@pytest.fixture
def few_fakes(monkeypatch):
    """Every metric of METRICS takes 48 images; the names stay."""
    for name, metric in METRICS.items():
        monkeypatch.setitem(METRICS, name, metric._replace(fakes=48))


@pytest.fixture
def few_pairs(monkeypatch):
    monkeypatch.setitem(METRICS, "ms_ssim", METRICS["ms_ssim"]._replace(fakes=500))


def evaluator(names, images=REALS, mirror=False, **options):
    return Evaluator(names, RealImages(images, "a" * 32, "waves", mirror), networks(**options))


def test_every_score_has_a_protocol(few_fakes):
    every = evaluator(METRICS)
    found = every(Generator(waves(60, seed=1)))
    assert set(found.scores) == set(METRICS)
    for name, score in found.scores.items():
        metric, protocol = METRICS[name], score.protocol
        assert score.name == name
        assert score.lower_is_better == (family_of(name) not in HIGHER)
        assert np.isfinite([score.value, *score.parts.values()]).all(), name
        assert (protocol["reals"], protocol["fakes"], protocol["resolution"]) == (40, 48, 32)
        assert (protocol["reals_source"], protocol["fakes_source"]) == ("waves", Generator.source)
        assert protocol["reals_key"] == "a" * 16
        assert protocol["versions"].keys() == {"gan_tf", "tensorflow", "numpy", "scipy", "pillow"}
        if name.endswith("-lite2"):
            assert {"network": LITE, "resize": "bicubic 224", "features": "float32"}.items() <= protocol.items(), name
        elif metric.needs == FEATURES or name == "memorisation":
            inception = {"network": OFFICIAL, "resize": "pytorch", "features": "float32"}
            assert inception.items() <= protocol.items(), name
        if metric.uses_lpips:
            assert protocol["network"] == "squares"
        assert Score(**json.loads(json.dumps(dataclasses.asdict(score)))) == score, name
    assert found.scores["swd2k"].protocol["seed"] == found.scores["kid5k"].protocol["seed"] == 0
    assert found.scores["memorisation"].protocol["space"] == "pixels+inception"
    assert found.panel.dtype == np.uint8 and found.panel.ndim == 3


def test_names_fix_the_number_of_images():
    counts = {name: metric.fakes for name, metric in METRICS.items()}
    for name, count in counts.items():
        digits = re.findall(r"(\d+)k", name)
        assert not digits or count == 1000 * int(digits[0]), name
    assert all(METRICS[name].fakes > 0 for name in FOLDER_METRICS.values())


def test_scores_are_reproducible(few_fakes):
    names = ["fid5k", "kid5k", "precision_recall", "swd2k", "ms_ssim", "lpips_diversity", "memorisation", "ppl"]
    generator = Generator(waves(60, seed=1))
    again = evaluator(names)
    assert again(generator).scores == again(generator).scores == evaluator(names)(generator).scores


def test_ppl_of_a_generator_with_a_mapping_is_in_w(few_fakes):
    generator = Generator(waves(60, seed=1))
    in_z = evaluator(["ppl"])(generator).scores["ppl"]
    assert in_z.protocol["latents"] == "z"
    generator.mapping = lambda latents, seeds: 0.0 * latents + 1.0  # all latents are one point: nothing ever changes
    in_w = evaluator(["ppl"])(generator).scores["ppl"]
    assert in_w.protocol["latents"] == "w" and in_w.value == 0 < in_z.value


def test_all_metrics_on_features_share_one_pass(monkeypatch):
    counts = {"fid5k": 24, "kid5k": 48, "precision_recall": 40, "density_coverage": 40, "is": 30, "memorisation": 32}
    for name, count in counts.items():
        monkeypatch.setitem(METRICS, name, METRICS[name]._replace(fakes=count))
    generator, measuring = Generator(waves(60, seed=1)), evaluator(counts)
    scores = measuring(generator).scores
    assert measuring.networks.extractor.streams == [40, 48]  # the reals, the fakes
    assert generator.restarts == [None, 48]
    assert {name: score.protocol["fakes"] for name, score in scores.items()} == counts
    assert measuring(generator).scores == scores and measuring.networks.extractor.streams == [40, 48, 48]
    assert scores["fid5k"] == evaluator(["fid5k"])(generator).scores["fid5k"]


def test_each_network_makes_one_pass(few_fakes):
    generator, measuring = (
        Generator(waves(60, seed=1)),
        evaluator(["fid5k", "fd5k-lite2", "kid5k-lite2", "memorisation"]),
    )
    scores = measuring(generator).scores
    assert measuring.networks.extractor.streams == measuring.networks.lite.streams == [40, 48]
    assert scores["memorisation"].protocol["space"] == "pixels+inception"
    assert not scores["fid5k"].comparable_with(scores["fd5k-lite2"])
    alone = evaluator(["fd5k-lite2", "memorisation"])
    again = alone(generator).scores
    assert again["fd5k-lite2"] == scores["fd5k-lite2"] and again["memorisation"].protocol["space"] == "pixels"
    assert alone.networks.extractor.streams == [] and alone.networks.lite.streams == [48]  # reals: cached


def test_the_copy_check_shares_the_pass_of_a_metric_on_images(few_fakes):
    generator = Generator(waves(60, seed=1))
    beside = evaluator(["swd2k", "memorisation"])(generator).scores["memorisation"]
    assert generator.restarts == [None, 48]
    assert beside == evaluator(["memorisation"])(generator).scores["memorisation"]
    assert beside.protocol["space"] == "pixels" and "network" not in beside.protocol


def test_other_weights_and_precisions_change_the_name(few_fakes):
    generator = Generator(waves(60, seed=1))
    names = ["fid5k", "swd2k", "memorisation"]
    changed = evaluator(names, weights="0123456789abcdef", precision="bfloat16")
    own, official = changed(generator).scores, evaluator(names)(generator).scores
    assert own["fid5k"].name == "fid5k-custom:01234567-bfloat16" and own["fid5k"].value == official["fid5k"].value
    assert not own["fid5k"].comparable_with(official["fid5k"])
    assert own["swd2k"].comparable_with(official["swd2k"])
    assert not own["memorisation"].comparable_with(official["memorisation"])


# Image files


def test_a_set_against_itself(few_pairs):
    scores = evaluator(["fid", "kid", "swd", "ms_ssim", "precision_recall"])(StoredImages(REALS, "the same")).scores
    assert [score.name for score in scores.values()] == ["fid40", "kid40", "swd40", "ms_ssim", "precision_recall"]
    assert scores["swd"].value == 0 and scores["ms_ssim"].value == 0
    assert scores["fid"].value == pytest.approx(0, abs=1e-6)
    assert scores["kid"].value <= 1e-3
    assert scores["precision_recall"].value == 1
    assert scores["swd"].protocol["fakes"] == scores["fid"].protocol["fakes"] == 40


def test_the_other_half_scores_better_than_noise(few_pairs):
    images = waves(120)
    names = ["fid", "kid", "swd", "ms_ssim"]
    measuring = evaluator(names, images[:60])
    halves = measuring(StoredImages(images[60:], "the other half")).scores
    noise = np.random.default_rng(0).integers(0, 256, images[60:].shape, np.uint8)
    far = measuring(StoredImages(noise, "noise")).scores
    for name in names:
        assert halves[name].better_than(far[name]) and far[name].value > 3 * abs(halves[name].value), name


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("fid5k", "give metric fid,"),
        ("is50k", "give metric is,"),
        ("precision_recall50k", "give metric precision_recall,"),
        ("ppl", "give a run"),
    ],
)
def test_too_few_files_are_an_error_before_anything_is_measured(name, remedy):
    refusing = evaluator([name])
    with pytest.raises(UsageError, match=f"{name}.* {remedy}"):
        refusing(StoredImages(REALS, "40 images of mine"))
    assert refusing.networks.extractor.streams == []


def modes(*chosen, shift=0.0):
    """30 images of each chosen mode, uint8 [n, 32, 32, 3]: stripes of one direction, at 30 positions close together."""
    y, x = np.mgrid[:32, :32] / 32
    positions = (np.arange(30) + shift) / 60
    grey = [np.sin(9 * np.cos(mode) * x + 9 * np.sin(mode) * y + at) for mode in chosen for at in positions]
    return np.repeat((127.5 + 120 * np.stack(grey)[..., None]).astype(np.uint8), 3, axis=-1)


@pytest.mark.parametrize(
    ("chosen", "precision", "recall"),
    [((0, 1, 2, 3), 1, 1), ((0, 2), 1, 0.5), ((0.5, 2.5), 0, 0), ((1, 1.5), 0.5, 0.25)],
)
def test_precision_and_recall_of_pixels_count_modes(chosen, precision, recall):
    measuring = evaluator(["precision_recall-pixels"], modes(0, 1, 2, 3))
    score = measuring(StoredImages(modes(*chosen, shift=0.5), "modes")).scores["precision_recall-pixels"]
    assert score.parts == {"precision": precision, "recall": recall}
    assert score.value == (2 * precision * recall / (precision + recall) if recall else 0)
    assert {"k": 3, "space": "pixels16", "reals": 120, "fakes": 30 * len(chosen)}.items() <= score.protocol.items()


def test_precision_and_recall_of_pixels_ignore_colour_and_contrast():
    faint = (modes(0, 1) * np.float32([0.5, 0.5, 0.5]) + np.float32([20, 60, 100])).astype(np.uint8)
    scores = evaluator(["precision_recall-pixels"], modes(0, 1))(StoredImages(faint, "faint")).scores
    assert min(scores["precision_recall-pixels"].parts.values()) == 1


@pytest.mark.parametrize("name", ["precision_recall", "density_coverage", "is", "memorisation", "lpips_diversity"])
def test_names_without_a_number_take_all_files(name):
    score = evaluator([name])(StoredImages(waves(30, seed=1), "30 images")).scores[name]
    assert score.name == name and score.protocol["fakes"] == 30


@pytest.mark.parametrize("name", FOLDER_METRICS)
def test_folder_metrics_of_a_generator_are_an_error(name):
    with pytest.raises(UsageError, match=f"give {FOLDER_METRICS[name]} for a run"):
        evaluator([name])(Generator(REALS))


@pytest.mark.parametrize(("name", "least"), [("fid", 2), ("precision_recall", 4), ("density_coverage", 6), ("is", 10)])
def test_too_few_images_of_either_side_are_an_error(name, least):
    few = REALS[: least - 1]
    with pytest.raises(UsageError, match=f"needs at least {least} images, but few has {least - 1}"):
        evaluator([name])(StoredImages(few, "few"))
    with pytest.raises(UsageError, match=f"needs at least {least} images, but waves has {least - 1}"):
        evaluator([name], few)(StoredImages(REALS, "many"))


@pytest.mark.parametrize("wrong", [REALS[:, :16, :16], REALS.astype(np.float32)], ids=["size", "type"])
def test_images_of_another_size_or_type_are_an_error(wrong, few_fakes):
    for name in ("fid5k", "swd2k", "memorisation"):
        with pytest.raises(ValueError, match=r"fakes must be uint8 \(48, 32, 32, 3\), got"):
            evaluator([name])(Generator(wrong))


# Copies


def test_mirrored_copies_are_copies_if_the_set_is_mirrored():
    images, names = waves(60), ["memorisation", "fid"]
    mirrored = StoredImages(images[:, :, ::-1], "mirrored")
    assert evaluator(names, images, mirror=True)(mirrored).scores["memorisation"].value == 1
    assert evaluator(names, images, mirror=False)(mirrored).scores["memorisation"].value < 0.2


def test_the_closest_pairs_are_measured_by_lpips_if_it_is_loaded():
    checking = evaluator(["memorisation"])
    fakes = StoredImages(REALS[:5], "copies")
    assert "lpips_of_the_closest" not in checking(fakes).scores["memorisation"].parts
    checking.networks.has_lpips = True
    assert checking(fakes).scores["memorisation"].parts["lpips_of_the_closest"] == 0


def test_the_inception_score_does_not_measure_the_reals():
    checking = evaluator(["is"])
    checking(StoredImages(REALS, "files"))
    assert checking.networks.extractor.streams == [len(REALS)]


def test_progress_is_reported_for_each_pass(few_fakes):
    seen = []
    sampler = Generator(waves(60, seed=1))
    evaluator(["fid5k", "swd2k", "ppl"])(sampler, progress=lambda *done: seen.append(done))
    verbs = list(dict.fromkeys(what for _, _, what in seen))
    assert verbs == ["real images measured", "fakes measured", "fakes measured for swd2k", "steps measured for ppl"]
    for what in verbs:
        done = [(number, total) for number, total, this in seen if this == what]
        assert done == sorted(done) and done[-1][0] == done[-1][1]


@pytest.mark.parametrize("name", ["fid5k", "swd2k", "ppl", "memorisation", "lpips_diversity"])
def test_a_stop_comes_within_a_chunk_and_leaves_no_file(few_fakes, name, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, name, METRICS[name]._replace(fakes=1000))
    stopped = []

    def progress(done, total, verb):
        if verb != "real images measured":
            stopped.append(done)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluator([name])(Generator(REALS), progress=progress)
    assert len(stopped) == 1 and stopped[0] <= 64
    scratch = tmp_path / "cache" / "scratch"
    assert not scratch.exists() or list(scratch.iterdir()) == []


@pytest.mark.parametrize("name", ["fid5k", "swd2k"])
def test_expected_seconds_does_not_measure_the_reals(name):
    trying = evaluator([name])
    seconds = trying.expected_seconds(Generator(REALS), name)
    assert seconds > 0
    assert sum(trying.networks.extractor.streams) in (0, 64)


def test_default_metrics_depend_on_the_number_of_images():
    assert [default_metric(n) for n in (999, 1000)] == ["fid5k", "fid10k"]
    assert final_metric("fid5k", 999) == "fid5k" and final_metric("fid10k", 1000) == "fid50k"
    assert final_metric("kid5k", 1000) == "kid50k" and final_metric("swd2k", 1000) is None
    assert [default_metric(1000, network) for network in ("lite2", None)] == ["fd5k-lite2", "swd2k"]
    assert final_metric("fd5k-lite2", 1000) == "fd5k-lite2"
    assert [family_of(name) for name in ("fd5k-lite2", "precision_recall50k")] == ["fd-lite2", "precision_recall"]


MEASURE = """
import sys
import numpy as np
from tests.metrics.stubs import Generator, networks
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.metrics.image_sets import RealImages
from gan_tf.metrics.definitions import METRICS

count = int(sys.argv[1])
for name in ("fid5k", "kid5k", "swd2k", "memorisation"):
    METRICS[name] = METRICS[name]._replace(fakes=count)
reals = np.random.default_rng(0).integers(0, 256, (300, 128, 128, 3), np.uint8)
fakes = Generator(np.random.default_rng(1).integers(0, 256, (300, 128, 128, 3), np.uint8))
Evaluator(["fid5k", "kid5k", "memorisation"], RealImages(reals, "a" * 32, "noise"), networks())(fakes)
[peak] = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(int(peak) / 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of memory is read from /proc")
def test_memory_does_not_grow_with_the_number_of_fakes(tmp_path):
    peaks = []
    for count in (2000, 8000):
        done = subprocess.run([sys.executable, "-c", MEASURE, str(count)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        peaks.append(float(done.stdout.split()[-1]))
    # 6,000 images of 128x128 more: 295 MB as images, 73 MB as features that the kernel may keep mapped.
    assert peaks[1] - peaks[0] < 120, peaks
