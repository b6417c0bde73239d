"""Presets: their settings, and the choice by --preset and --model."""

import dataclasses

import pytest

from gan_tf.config.presets import PRESETS, choose
from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.models import FAMILIES
from gan_tf.training.schedule import growing_stages, short_run_warning

PGGAN, STYLEGAN2 = PRESETS["pggan"], PRESETS["stylegan2"]


def test_presets_match_their_names():
    assert PRESETS["fastgan"]["fastgan-256"] == TrainConfig()
    for model, table in PRESETS.items():
        assert all(preset.model == model for preset in table.values())
        assert (table["demo"].dataset, table["demo"].resolution, table["demo"].metric) == ("demo", 64, "swd2k")
        names = [name for name in table if name.rpartition("-")[2].isdigit()]
        assert [table[name].resolution for name in names] == [int(name.rpartition("-")[2]) for name in names]


def test_celebahq_256_is_the_official_table_for_one_gpu():
    config = PRESETS["pggan"]["celebahq-256"]
    assert (config.fmap_base, config.fmap_max, config.latent_size) == (8192, 512, 512)
    assert (config.pixel_norm, config.batch_norm, config.minibatch_stddev) == (True, False, True)
    assert (config.lr, config.beta1, config.beta2) == (0.001, 0.0, 0.99)
    assert (config.fade_kimg, config.stabilise_kimg, config.total_kimg) == (600, 600, 12_000)
    assert config.batch_sizes == {4: 128, 8: 128, 16: 128, 32: 64, 64: 32, 128: 16, 256: 8}
    assert set(config.learning_rates.values()) == {0.001}
    assert (config.loss, config.augment, config.ema_kimg, config.mirror) == ("wgan_gp", "none", None, True)


def test_celebahq_1024_differs_only_in_its_last_resolution():
    large, small = PRESETS["pggan"]["celebahq-1024"], PRESETS["pggan"]["celebahq-256"]
    assert dataclasses.replace(large, resolution=256, phase_lr="") == small
    assert large.batch_sizes == {**small.batch_sizes, 512: 4, 1024: 4}
    assert large.learning_rates == {**dict.fromkeys(large.resolutions, 0.001), 1024: 0.0015}


@pytest.mark.parametrize(
    ("resolution", "batch", "gamma", "lr", "kimg", "widest"),
    [
        (64, 32, 0.0256, 0.0025, 10, 16384),
        (128, 32, 0.1024, 0.0025, 10, 16384),
        (256, 16, 0.8192, 0.0025, 5, 16384),
        (512, 8, 6.5536, 0.0025, 2.5, 32768),
        (1024, 4, 52.4288, 0.002, 1.25, 32768),
    ],
)
def test_automatic_settings_are_the_official_ones_for_one_gpu(resolution, batch, gamma, lr, kimg, widest):
    config = dataclasses.replace(STYLEGAN2["auto"], resolution=resolution)
    assert (config.batch, config.learning_rates) == (batch, {resolution: lr})
    assert config.average_kimg(config.batch) == kimg
    assert config.r1_weight(config.batch) == pytest.approx(gamma)
    assert (config.mapping_layers, config.ema_ramp, config.mbstd_group, config.total_kimg) == (2, 0.05, 4, 25_000)
    assert FAMILIES["stylegan2"].generator(dataclasses.replace(config, channel_max=8), "float32").channel_base == widest


def test_projected_presets_are_the_published_ones():
    for name, model in (("projected", "fastgan"), ("projected-lite", "fastgan"), ("projected", "stylegan2")):
        config = PRESETS[model][name]
        assert (config.discriminator, config.loss) == ("projected", "hinge")
        assert (config.batch, config.micro_batch, config.beta1, config.beta2) == (64, 8, 0, 0.99)
        assert (config.policies, config.cutout) == (("color", "translation", "cutout"), 0.2)
        assert (config.average_kimg(64), config.ema_ramp, config.total_kimg) == (20, 0.05, 10_000)
    full, lite, style = PRESETS["fastgan"]["projected"], PRESETS["fastgan"]["projected-lite"], config
    assert [(each.up_blocks, each.ngf, each.latent_size, each.lr) for each in (full, lite)] == [
        ("full", 128, 256, 2e-4),
        ("lite", 128, 256, 2e-4),
    ]
    assert (style.lr, style.latent_size, style.w_size, style.mapping_layers) == (0.002, 64, 128, 2)
    assert (style.r1_gamma, style.path_weight) == (0, 0)


def test_named_settings_of_stylegan2_are_the_official_ones():
    def numbers(name):
        config = STYLEGAN2[name]
        names = ("batch", "mbstd_group", "lr", "r1_gamma", "ema_kimg", "ema_ramp", "mapping_layers", "total_kimg")
        return tuple(getattr(config, each) for each in names)

    assert numbers("stylegan2") == (32, 4, 0.002, 10, 10, None, 8, 25_000)
    assert numbers("paper256") == (64, 8, 0.0025, 1, 20, None, 8, 25_000)
    assert numbers("cifar") == (64, 32, 0.0025, 0.01, 500, 0.05, 2, 100_000)
    assert numbers("low-shot") == (8, 4, 0.002, 10, 10, None, 2, 300)
    cifar = STYLEGAN2["cifar"]
    assert (cifar.path_weight, cifar.style_mixing, cifar.architecture, cifar.resolution) == (0, 0, "orig", 32)
    assert [STYLEGAN2[name].channel_base for name in ("stylegan2", "paper256", "cifar")] == [32768, 16384, 32768]
    for name, config in STYLEGAN2.items():
        assert (config.beta1, config.beta2, config.latent_size == config.w_size) == (0, 0.99, name != "projected")


@pytest.mark.parametrize("preset", PGGAN.values(), ids=PGGAN.keys())
def test_preset_reaches_full_resolution_and_has_batches_of_whole_groups(preset):
    assert short_run_warning(preset, growing_stages(preset)) is None
    dataclasses.replace(preset, micro_batch=4)  # a group of the minibatch standard deviation


def test_choice():
    assert choose(None, None) == ("fastgan-256", PRESETS["fastgan"]["fastgan-256"])
    assert choose(None, "pggan") == ("celebahq-256", PGGAN["celebahq-256"])
    assert choose("demo", None) == ("demo", PRESETS["fastgan"]["demo"])
    assert choose("demo", "pggan") == ("demo", PGGAN["demo"])
    assert choose("cpu-64", None) == ("cpu-64", PGGAN["cpu-64"])
    assert choose("faces-64", None) == ("faces-64", PGGAN["faces-64"])


@pytest.mark.parametrize(
    ("preset", "model", "message"),
    [
        (
            "celebahq-256",
            "fastgan",
            "--preset celebahq-256 is for --model pggan.* fastgan-256, fastgan-64, projected, projected-lite, demo",
        ),
        ("fastgan-256", "pggan", "--preset fastgan-256 is for --model fastgan.* celebahq-256"),
        ("faces64", None, "--preset 'faces64'.* did you mean faces-64"),
        ("fastgan256", "pggan", "--preset 'fastgan256'.* did you mean fastgan-256"),
        (None, "pgan", "--model 'pgan'.* did you mean pggan"),
        ("demo", "xyzzy", "--model 'xyzzy'.* fastgan, pggan, stylegan2$"),
    ],
)
def test_unknown_choice_is_named_with_the_alternatives(preset, model, message):
    with pytest.raises(UsageError, match=message):
        choose(preset, model)
