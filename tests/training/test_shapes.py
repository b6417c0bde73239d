"""Training on images that are not square, on grey ones and on RGBA: every family, devices, micro-batches, precision."""

import numpy as np
import pytest

from gan_tf.distributed import devices
from tests.training import tiny

WIDE = {"fastgan": "96x64", "pggan": "24x16", "stylegan2": "24x16"}
QUICK = [("pggan", "wide"), ("pggan", "rgba"), ("stylegan2", "rgba")]
SLOW = [("pggan", "grey"), ("stylegan2", "wide"), ("fastgan", "wide"), ("fastgan", "rgba")]
CASES = QUICK + SLOW
FAMILY = {"fastgan": tiny.FASTGAN}


def settings(model, kind, **changes):
    """Arguments of `tiny.make_trainer` for one kind of images."""
    shape = {"size": WIDE[model]} if kind == "wide" else {"channels": kind}
    return {"tiny": FAMILY.get(model), "model": model, **shape, **changes}


@pytest.mark.parametrize(("model", "kind"), [*QUICK, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)])
def test_all_weights_are_trained(model, kind):
    trainer = tiny.make_trainer(**settings(model, kind))
    seen = trainer.stages[-1].first_image  # fully grown
    before = tiny.player_weights(trainer)
    assert tiny.all_finite(tiny.take_steps(trainer, 1, seen))
    after = tiny.player_weights(trainer)
    unchanged = after.keys() - tiny.changed(before, after)
    # Without a fade, Progressive GAN does not use the colours of smaller sizes.
    assert all("_rgb/" in name and model == "pggan" for name in unchanged), unchanged
    height, width = trainer.config.image_size
    assert trainer.state.g.image_shape == (height, width, trainer.config.image_channels)


@pytest.mark.slow
@pytest.mark.usefixtures("mirrored_is_two_cpus")
@pytest.mark.parametrize(("model", "kind"), CASES)
def test_two_devices_equal_one(model, kind, monkeypatch):
    """FastGAN in float64, like its test with square images; see tests/training/test_replicas.py."""
    if model == "fastgan":
        monkeypatch.setitem(devices.KERAS_POLICIES, "float32", "float64")
    # Its groups would be those of a device.
    options = {"augment": "diffaugment", **({"minibatch_stddev": False} if model == "pggan" else {})}
    trainers = [
        tiny.make_trainer(**settings(model, kind, strategy=strategy, **options)) for strategy in ("default", "mirrored")
    ]
    tiny.assert_same_step(*(tiny.first_step(trainer, trainer.stages[-1].first_image) for trainer in trainers))


@pytest.mark.slow
@pytest.mark.parametrize(("model", "kind"), [("pggan", "rgba"), ("stylegan2", "wide")])
def test_micro_batches_equal_the_whole_batch(model, kind):
    options = {"minibatch_stddev": False} if model == "pggan" else {"mbstd_group": 1, "path_weight": 0.0}
    steps = []
    for micro_batch in (None, 2):
        trainer = tiny.make_trainer(**settings(model, kind, micro_batch=micro_batch, **options))
        steps.append(tiny.first_step(trainer, trainer.stages[-1].first_image))
    tiny.assert_same_step(*steps)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "kind"), [*QUICK, ("fastgan", "wide")])
def test_bfloat16_is_close_to_float32(model, kind):
    gradients = []
    for name in ("float32", "bfloat16"):
        trainer = tiny.make_trainer(**settings(model, kind, precision=name))
        statistics, gradient = tiny.first_step(trainer, trainer.stages[-1].first_image)
        assert tiny.all_finite(statistics)
        gradients.append(gradient["d"] / np.linalg.norm(gradient["d"]))
    assert np.dot(*gradients) > 0.9


@pytest.mark.parametrize("kind", ["wide", "rgba"])
def test_a_continued_run_equals_the_whole_run(kind, tmp_path):
    images = tmp_path / "images.npz"
    np.savez(images, images=tiny.sprites() if kind == "rgba" else tiny.square_images())
    shape = {"size": WIDE["pggan"], "resolution": None} if kind == "wide" else {"channels": "rgba"}
    options = {"model": "pggan", "loss": "logistic", "augment": "ada", "augment_policy": "bgcfnc", **shape}
    whole = tiny.trained(images, tmp_path / "whole", **options)
    tiny.trained(images, tmp_path / "halves", total_kimg=0.12, **options)
    halves = tiny.trained(images, tmp_path / "halves", **options)
    tiny.assert_same_state(halves, whole, 200)
