"""Settings: what they mean, what is refused, and how they are stored."""

import dataclasses
import json

import pytest

from gan_tf.config import (
    TrainConfig,
    changed,
    field_names,
    flag,
    from_settings,
    round_up,
    stored_settings,
)
from gan_tf.errors import UsageError
from gan_tf.presets import PRESETS

REFUSED = [
    ({"resolution": 100}, "--resolution is 100; give one of 64, 128, 256, 512, 1024"),
    ({"ngf": 0}, "--ngf is 0; give an integer of at least 1"),
    ({"ngf": 12}, "--ngf is 12; give a multiple of 8"),
    ({"ndf": 20}, "--ndf is 20; give a multiple of 8"),
    ({"latent_size": 0}, "--latent-size is 0; give an integer of at least 1"),
    ({"batch_size": -1}, "--batch-size is -1; give an integer of at least 1"),
    ({"eval_every": 0}, "--eval-every is 0; give an integer of at least 1"),
    ({"keep": 0}, "--keep is 0; give an integer of at least 1"),
    ({"lr": 0.0}, "--lr is 0.0; give a positive number"),
    ({"lr": float("nan")}, "--lr is nan; give a positive number"),
    ({"total_kimg": float("inf")}, "--total-kimg is inf; give a positive number"),
    ({"ema_kimg": -1.0}, "--ema-kimg is -1.0; give a positive number"),
    ({"total_kimg": 0.0}, "--total-kimg is 0.0; give a positive number"),
    ({"checkpoint_minutes": 0.0}, "--checkpoint-minutes is 0.0; give a positive number"),
    ({"memory_gb": 0.0}, "--memory-gb is 0.0; give a positive number"),
    ({"limit": 0}, "--limit is 0; give a positive number"),
    ({"patience": 0}, "--patience is 0; give a positive number"),
    ({"epoch_images": 0}, "--epoch-images is 0; give a positive number"),
    ({"keep_best": 0}, "--keep-best is 0; give an integer of at least 1"),
    ({"max_minutes": 0.0}, "--max-minutes is 0.0; give a positive number"),
    ({"steps_per_call": 0}, "--steps-per-call is 0; give a positive number"),
    ({"beta1": 1.0}, "--beta1 is 1.0; give a number from 0 to below 1"),
    ({"beta2": -0.1}, "--beta2 is -0.1; give a number from 0 to below 1"),
    ({"augment_probability": 1.5}, "--augment-probability is 1.5; give a number from 0 to 1"),
    ({"decoders": 2}, "--decoders is 2; give 3 or more"),
    ({"augment_policy": "colour"}, "--augment-policy is 'colour'; give a list of color, translation, cutout"),
    ({"augment_policy": " , "}, "--augment-policy is ' , '; give a list of color, translation, cutout"),
    ({"run": "a/b"}, "--run is 'a/b'; give letters, digits, . _ and -"),
    ({"run": ".."}, "--run is '..'; give letters, digits, . _ and -"),
    ({"micro_batch": 3}, "--micro-batch is 3; give auto or a divisor of --batch-size (8)"),
    ({"micro_batch": 16}, "--micro-batch is 16; give auto or a divisor of --batch-size (8)"),
    ({"micro_batch": 4, "loss": "dual_contrastive"}, "--micro-batch is 4; give none with --loss dual_contrastive"),
    ({"micro_batch": "auto", "loss": "dual_contrastive"}, "--micro-batch is 'auto'; give none with --loss"),
]


@pytest.mark.parametrize(("settings", "message"), REFUSED, ids=lambda value: str(value)[:40])
def test_refusals_name_flag_value_and_remedy(settings, message):
    with pytest.raises(UsageError) as error:
        TrainConfig(**settings)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_micro_batch_of_the_whole_batch_goes_with_every_loss():
    assert TrainConfig(loss="dual_contrastive", micro_batch=8).micro_batch == 8


def test_policies_keep_their_order_and_lose_spaces():
    assert TrainConfig(augment_policy="cutout, color").policies == ("cutout", "color")


@pytest.mark.parametrize(
    ("kimg", "batch_size", "images"), [(1.0, 8, 1000), (1.0, 7, 1001), (0.001, 8, 8), (400.0, 8, 400_000)]
)
def test_run_length_is_whole_batches(kimg, batch_size, images):
    assert TrainConfig(total_kimg=kimg, batch_size=batch_size).total_images == images


@pytest.mark.parametrize(
    ("settings", "image_count", "images"),
    [
        ({}, 100, 10_000),  # a small set: the least length
        ({}, 70_000, 70_000),  # a large set: one pass
        ({"batch_size": 7}, 70_000, 70_000),
        ({"batch_size": 7}, 70_001, 70_007),  # whole batches
        ({"epoch_images": 1000}, 100, 1000),
        ({"epoch_images": 1000}, 5000, 5000),
        ({"total_kimg": 9.0}, 100, 904),  # a short run: ten epochs
        ({"total_kimg": 0.008}, 1, 8),
    ],
)
def test_epoch_length(settings, image_count, images):
    assert TrainConfig(**settings).epoch_length(image_count) == images


def test_round_up():
    assert [round_up(value, 8) for value in (0, 1, 8, 9)] == [8, 8, 8, 16]


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"dataset": "panda"}, "panda"),
        ({"dataset": "panda", "resolution": 128}, "panda-128"),
        ({"dataset": "/data/My photos/"}, "My-photos"),
        ({"dataset": "~/pokemon-256.zip", "resolution": 64}, "pokemon-256-64"),
        ({"dataset": "tfds:cifar10/plain"}, "plain"),
        ({"dataset": "tfds:oxford_flowers102"}, "oxford_flowers102"),
        ({"dataset": ".."}, "run"),
        ({"dataset": "panda", "run": "mine"}, "mine"),
    ],
)
def test_run_name(settings, name):
    config = TrainConfig(**settings)
    assert config.run_name == name
    assert config.run_folder.name == name


def test_folder_whose_name_has_a_dot_keeps_it(tmp_path):
    (tmp_path / "photos.v2").mkdir()
    assert TrainConfig(dataset=str(tmp_path / "photos.v2")).run_name == "photos.v2"


def test_every_field_has_a_group_and_a_type_that_json_keeps():
    groups = {name for group in ("identity", "run", "session") for name in field_names(group)}
    assert groups == {field.name for field in dataclasses.fields(TrainConfig)}


ALL_PRESETS = {f"{model} {name}": preset for model, table in PRESETS.items() for name, preset in table.items()}


@pytest.mark.parametrize("preset", ALL_PRESETS.values(), ids=ALL_PRESETS.keys())
def test_stored_settings_come_back(preset):
    settings = json.loads(json.dumps(stored_settings(preset)))
    assert not set(settings) & set(field_names("session"))
    back = from_settings(settings, "config.json")
    for group in ("identity", "run"):
        assert not changed(preset, back, group)


def test_session_fields_are_not_stored():
    config = TrainConfig(run="mine", verbose=True, offline=True)
    assert stored_settings(config) == stored_settings(TrainConfig())


def test_changes_are_told_by_group():
    before, after = TrainConfig(), TrainConfig(loss="bce", patience=3, verbose=True)
    assert changed(before, after, "identity") == {"loss": ("hinge", "bce")}
    assert changed(before, after, "run") == {"patience": (None, 3)}


def test_unknown_setting_is_named_with_the_nearest_known_one():
    with pytest.raises(UsageError, match=r"here has the unknown setting 'batchsize' \(did you mean batch_size\?\)"):
        from_settings({"batchsize": 8}, "here")
    with pytest.raises(UsageError, match="unknown setting 'xyzzy'; it was written by another version"):
        from_settings({"xyzzy": 8}, "here")


def test_flag():
    assert flag("total_kimg") == "--total-kimg"
