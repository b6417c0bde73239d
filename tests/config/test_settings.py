"""TrainConfig: derived values, rejected settings, and the settings stored in config.json."""

import dataclasses
import json

import pytest

from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig, changed, field_names, flag, from_stored_settings, stored_settings
from gan_tf.config.validation import RESOLUTIONS, nearest_size
from gan_tf.errors import UsageError

NAN, INFINITY = float("nan"), float("inf")
# {family: [settings that are rejected]}; the error names the flag of the first.
REJECTED = {
    "fastgan": [
        *({"resolution": value} for value in (100, 16)),
        *({"ngf": value} for value in (0, 12)),
        *({"ndf": 20}, {"latent_size": 0}, {"batch_size": -1}, {"eval_every": 0}, {"keep": 0}, {"keep_best": 0}),
        *({"lr": value} for value in (0.0, NAN)),
        *({"total_kimg": value} for value in (INFINITY, 0.0)),
        *({"ema_kimg": -1.0}, {"checkpoint_minutes": 0.0}, {"memory_gb": 0.0}, {"limit": 0}, {"patience": 0}),
        *({"epoch_images": 0}, {"max_minutes": 0.0}, {"steps_per_call": 0}, {"decoders": 2}, {"batch_size": None}),
        *({"beta1": 1.0}, {"beta2": -0.1}, {"augment_probability": 1.5}),
        *({"augment_policy": value} for value in ("colour", " , ", "")),
        {"augment_policy": "color", "augment": "none"},
        {"augment_policy": "color,translation", "augment": "ada"},
        {"augment_policy": "blit,geom", "augment": "ada"},
        {"augment_policy": "bgc", "augment": "diffaugment"},
        {"augment_probability": 0.5, "augment": "ada"},
        {"augment": "ada", "loss": "dual_contrastive"},
        *({"ada_target": 1.0}, {"ada_max": 1.01}, {"ada_kimg": 0.0}),
        {"classes": 1, "conditional": True},
        *({"classes": 2}, {"freeze_d": 2}, {"freeze_d": -1}, {"run": "a/b"}, {"run": ".."}),
        *({"micro_batch": value} for value in (0, 3, 16)),
        {"micro_batch": 4, "loss": "dual_contrastive"},
        {"micro_batch": "auto", "loss": "dual_contrastive"},
        *({"loss": "wgan_gp"}, {"model": "gan"}),
        *({"fmap_base": 512}, {"phase_batch": "16"}, {"fade_kimg": 1.0}, {"path_weight": 1.0}),
    ],
    "pggan": [
        *({"batch_size": 16}, {"ngf": 32}, {"tanh": True}, {"reconstruction": "none"}, {"loss": "dual_contrastive"}),
        *({"resolution": 8}, {"fmap_max": 0}, {"fmap_base": 100}, {"fade_kimg": -1.0}, {"stabilise_kimg": 0.0}),
        {"r1_gamma": -1.0, "loss": "logistic"},
        {"r1_gamma": 5.0, "loss": "wgan_gp"},
        *({"micro_batch": value} for value in (0, 48)),
        {"micro_batch": 16, "phase_batch": "24", "resolution": 16},
        *({"phase_batch": value} for value in ("", "many", "0", "2.5", "4:8,16", "4:8,12:4", "2:8", "x:8", "4:8,4:9")),
        *({"phase_batch": value} for value in ("4:8,8:x", "4:8,8:0", "4:8,8:")),
        {"phase_batch": "4:64,16:8", "resolution": 32},
        *({"phase_lr": value} for value in ("0.001", "4:0", "4:inf", "4:nan", "6:0.1")),
    ],
    "stylegan2": [
        *({"resolution": 48}, {"loss": "hinge"}, {"channel_base": 64}, {"channel_max": 0}, {"style_mixing": 1.2}),
        *({"path_weight": -1.0}, {"r1_gamma": NAN}, {"conv_clamp": 0.0}, {"micro_batch": 3}, {"ngf": 32}),
    ],
}
ALL_PRESETS = {f"{model} {name}": preset for model, table in PRESETS.items() for name, preset in table.items()}
# Settings that config.json of an early version lacks, and the values that they had.
ADDED_LATER = {
    **{"augment_policy": None, "init_from": None, "freeze_d": 0, "conditional": False, "classes": 0},
    **{"ada_target": 0.6, "ada_kimg": None, "ada_max": 0.8, "ema_ramp": 0.1},
}


def pggan(**settings):
    return TrainConfig(model="pggan", **settings)


@pytest.mark.parametrize(
    ("model", "settings"),
    [(model, settings) for model, table in REJECTED.items() for settings in table],
    ids=lambda value: str(value)[:60],
)
def test_rejected_setting_is_named_in_one_line(model, settings):
    base = vars(PRESETS["stylegan2"]["auto"]) if model == "stylegan2" else {"model": model}
    name = next(iter(settings))
    with pytest.raises(UsageError, match=f"^{flag(name)} ") as error:
        TrainConfig(**{**base, **settings})
    assert "\n" not in str(error.value)
    assert repr(settings[name]) in str(error.value) or "is for --model" in str(error.value)


def test_micro_batch_may_be_the_whole_batch_or_larger_than_a_phase_batch():
    TrainConfig(loss="dual_contrastive", micro_batch=8)
    for micro_batch, phase_batch in ((128, "24"), (8, "24"), ("auto", "7"), (16, "4:64,8:8,16:1")):
        pggan(resolution=16, micro_batch=micro_batch, phase_batch=phase_batch)


def test_batch_and_learning_rate_at_each_resolution():
    config = pggan(resolution=16, lr=0.001, phase_batch=" 16:2, 4:128 ,8:64,1024:4,", phase_lr="16:2e-3, 64:1")
    assert list(config.batch_sizes.items()) == [(4, 128), (8, 64), (16, 2)]
    assert config.learning_rates == {4: 0.001, 8: 0.001, 16: 0.002}
    assert pggan(resolution=16, phase_batch="12").batch_sizes == {4: 12, 8: 12, 16: 12}


def test_resolutions_of_a_fixed_and_a_growing_family():
    config = TrainConfig(resolution=128, batch_size=4, lr=0.01)
    assert (config.resolutions, config.batch_sizes, config.learning_rates) == ((128,), {128: 4}, {128: 0.01})
    assert pggan(resolution=32).resolutions == (4, 8, 16, 32)
    assert pggan(resolution=32, init_from="run").resolutions == (32,)


def test_policies_and_their_default():
    assert TrainConfig(augment_policy="cutout, color").policies == ("cutout", "color")
    assert TrainConfig(augment="none").policies == ()
    for augment, default in (("diffaugment", ("color", "translation")), ("ada", ("bgc",))):
        config = TrainConfig(augment=augment)
        assert config.policies == default
        assert TrainConfig(augment=augment, augment_policy=",".join(default)) == config  # the same run


def test_run_length_is_a_multiple_of_a_constant_batch_and_exact_for_a_growing_family():
    for kimg, batch_size, images in ((1.0, 8, 1000), (1.0, 7, 1001), (0.001, 8, 8), (400.0, 8, 400_000)):
        assert TrainConfig(total_kimg=kimg, batch_size=batch_size).total_images == images
    config = pggan(total_kimg=1.001, phase_batch="7")
    assert (config.total_images, config.epoch_length(100), config.epoch_length(1234)) == (1001, 100, 1234)
    assert pggan(total_kimg=0.0001).total_images == 1


@pytest.mark.parametrize(
    ("settings", "image_count", "images"),
    [
        ({}, 100, 10_000),  # a small set: the minimum length
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


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"dataset": "panda"}, "panda"),
        ({"dataset": "panda", "resolution": 128}, "panda-128"),
        ({"dataset": "/data/My photos/"}, "My-photos"),
        ({"dataset": "~/pokemon-256.zip", "resolution": 64}, "pokemon-256-64"),
        ({"dataset": "/data/photos.v2"}, "photos.v2"),
        ({"dataset": "tfds:cifar10/plain"}, "plain"),
        ({"dataset": "tfds:oxford_flowers102"}, "oxford_flowers102"),
        ({"dataset": ".."}, "run"),
        ({"dataset": "panda", "run": "mine"}, "mine"),
        ({"dataset": "panda", "model": "pggan"}, "panda-pggan"),
        ({"dataset": "faces.npz", "model": "pggan", "resolution": 128}, "faces-pggan-128"),
    ],
)
def test_run_name(settings, name):
    config = TrainConfig(**settings)
    assert config.run_name == name
    assert config.run_folder.name == name


@pytest.mark.parametrize("preset", ALL_PRESETS.values(), ids=ALL_PRESETS.keys())
def test_stored_settings_round_trip(preset):
    settings = json.loads(json.dumps(stored_settings(preset)))
    assert not set(settings) & set(field_names("session"))
    restored = from_stored_settings(settings, "config.json")
    for group in ("identity", "run"):
        assert not changed(preset, restored, group)


def test_settings_added_later_have_the_values_of_before():
    config = dataclasses.replace(PRESETS["fastgan"]["demo"], augment="none")
    stored = stored_settings(config)
    assert stored == {**stored, **ADDED_LATER}
    earlier = {name: value for name, value in stored.items() if name not in ADDED_LATER}
    assert stored_settings(from_stored_settings(earlier, "config.json")) == stored


def test_settings_of_other_families_and_session_settings_are_not_stored():
    stored = stored_settings(pggan(resolution=64))
    assert {"fmap_base", "phase_batch", "fade_kimg", "lr"} <= set(stored)
    assert not {"ngf", "batch_size", "reconstruction"} & set(stored)
    assert stored_settings(TrainConfig(run="mine", verbose=True)) == stored_settings(TrainConfig())


def test_changes_by_group_among_the_settings_of_the_first_family():
    before, after = TrainConfig(), TrainConfig(loss="bce", patience=3, verbose=True)
    assert changed(before, after, "identity") == {"loss": ("hinge", "bce")}
    assert changed(before, after, "run") == {"patience": (None, 3)}
    pairs = changed(TrainConfig(ngf=32), pggan(fmap_base=1024, loss="wgan_gp"), "identity")
    assert pairs == {"model": ("fastgan", "pggan"), "ngf": (32, 64), "loss": ("hinge", "wgan_gp")}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batchsize": 8}, "'batchsize'.*did you mean batch_size"),
        ({"xyzzy": 8}, "'xyzzy'"),
        ({"lr": "fast"}, "lr is 'fast'"),
        ({"lr": True}, "lr is True"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"mirror": 1}, "mirror is 1"),
        ({"fit": "squeeze"}, "fit is 'squeeze'"),
        ({"model": ["fastgan"]}, "model is"),
        ({"micro_batch": "all"}, "micro_batch is 'all'"),
        ({"resolution": 100}, "--resolution is 100"),
    ],
    ids=str,
)
def test_invalid_stored_setting_is_named_with_its_file(settings, message):
    with pytest.raises(UsageError, match=f"^here.*{message}"):
        from_stored_settings(settings, "here")


@pytest.mark.parametrize(
    ("size", "resolution", "base"),
    [
        ("384x256", 256, (4, 6)),
        ("640x384", 512, (3, 5)),
        ("256x384", 256, (6, 4)),
        ("48x64", 64, (4, 3)),
        ("96x96", 128, (3, 3)),
        ("512x256", 256, (4, 8)),  # of the maps 8x4 and 4x2, whose areas are as near to 4x4, the larger
    ],
)
def test_sizes_that_are_not_square(size, resolution, base):
    config = TrainConfig(dataset="set", size=size)
    assert (config.resolution, config.base, config.size_text) == (resolution, base, size)
    assert config.run_name == f"set-{size}" and config.image_size_at(64) == (16 * base[0], 16 * base[1])
    assert from_stored_settings(stored_settings(config), "config.json") == config


def test_a_square_size_is_a_resolution():
    assert TrainConfig(size="128x128") == TrainConfig(resolution=128)
    assert TrainConfig().image_size == (256, 256) and TrainConfig().base == (4, 4)


@pytest.mark.parametrize(
    ("aspect", "size"),
    [(1.5, "384x256"), (1.0, "256x256"), (1.02, "256x256"), (16 / 9, "448x256"), (0.75, "192x256"), (1.12, "256x224")],
)
def test_the_size_nearest_to_an_aspect_ratio(aspect, size):
    assert nearest_size(aspect, 256, RESOLUTIONS["fastgan"]) == size


def test_a_changed_size_is_named_by_one_flag():
    square, wide = TrainConfig(resolution=64), TrainConfig(size="96x64")
    assert changed(wide, square, "identity") == {"size": ("96x64", "64x64")}
    assert changed(TrainConfig(), square, "identity") == {"resolution": (256, 64)}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": "100x60"}, "--size is 100x60; give one of the nearest possible sizes: 96x64"),
        ({"size": "wide"}, "--size is 'wide'; give WIDTHxHEIGHT"),
        ({"size": "24x16"}, "--size is 24x16; give one of the nearest"),  # Progressive GAN only
        ({"channels": "rgba", "background": "black"}, "--background is 'black'; give none with --channels rgba"),
        ({"channels": "rgba", "reconstruction": "lpips"}, "--reconstruction"),
        ({"channels": "rgba", "discriminator": "projected"}, "--discriminator"),
    ],
)
def test_invalid_shapes_and_channels_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**settings)
