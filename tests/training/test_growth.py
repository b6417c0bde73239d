"""Schedule of a growing family: stages, fades and the printed table. tests/parity has the official schedule."""

import dataclasses

import numpy as np
import pytest

from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import TrainConfig
from gan_tf.training import schedule
from gan_tf.training.schedule import Stage, alpha_at, growing_stages, growth_at, short_run_warning, stage_at

SMALL = TrainConfig(
    model="pggan",
    resolution=16,
    phase_batch="4:100,8:50,16:30",
    phase_lr="16:0.002",
    lr=0.001,
    stabilise_kimg=1.0,
    fade_kimg=2.0,
    ema_kimg=0.5,
    total_kimg=8.0,
)


def with_changes(**changes):
    return dataclasses.replace(SMALL, **changes)


def test_stages_of_a_small_run():
    assert growing_stages(SMALL) == [
        Stage(0, 4, 100, 0.001, 0.5),
        Stage(1000, 8, 50, 0.001, 0.5, fade_images=2000, resets_optimizers=True),
        Stage(3000, 8, 50, 0.001, 0.5, resets_optimizers=True),
        Stage(4000, 16, 30, 0.002, 0.5, fade_images=2010, resets_optimizers=True),  # whole batches of 30
        Stage(6010, 16, 30, 0.002, 0.5, resets_optimizers=True),
    ]


def test_every_stage_has_whole_batches():
    for config in [*PRESETS["pggan"].values(), with_changes(phase_batch="7"), with_changes(stabilise_kimg=0.0001)]:
        stages = growing_stages(config)
        assert len(stages) == 2 * len(config.resolutions) - 1
        for stage, later in zip(stages, stages[1:], strict=False):
            images = later.first_image - stage.first_image
            assert images > 0 and images % stage.batch_size == 0
            assert stage.fade_images in (0, images)


def test_decimal_kimg_are_rounded_before_they_are_rounded_up():
    config = with_changes(stabilise_kimg=1.1, phase_batch="100")  # 1.1 * 1000 is 1100.0000000000002
    assert growing_stages(config)[1].first_image == 1100


def test_default_ema_half_life_depends_on_the_batch():
    for stage in growing_stages(with_changes(ema_kimg=None)):
        kept = 0.5 ** (stage.batch_size / (1000 * stage.ema_kimg))
        assert kept == pytest.approx(0.999, rel=1e-12)


def test_without_fading_the_next_size_begins_immediately():
    config = with_changes(fade_kimg=0.0)
    stages = growing_stages(config)
    assert [(stage.resolution, stage.first_image) for stage in stages] == [(4, 0), (8, 1000), (16, 2000)]
    assert [stage.resets_optimizers for stage in stages] == [False, True, True]
    assert schedule.fade_of(stages, 1) == (1000, 0)
    assert [growth_at(stages, stage, stage.first_image) for stage in stages] == [0.0, 1.0, 2.0]


def test_alpha_and_growth():
    stages = growing_stages(SMALL)
    seen = [0, 900, 1000, 1500, 2950, 3000, 3950, 4000, 5005, 6010, 10**9]
    alpha = [alpha_at(stages, stage_at(stages, images), images) for images in seen]
    np.testing.assert_allclose(alpha, [1, 1, 0, 0.25, 0.975, 1, 1, 0, 0.5, 1, 1], atol=1e-12)
    growth = [growth_at(stages, stage_at(stages, images), images) for images in seen]
    np.testing.assert_allclose(growth, [0, 0, 0, 0.25, 0.975, 1, 1, 1, 1.5, 2, 2], atol=1e-12)
    assert all(0 <= alpha_at(stages, stages[1], images) <= 1 for images in seen)  # also outside of its stage


def table(config):
    """Rows of the printed schedule, each split into its columns."""
    rows = [line.split() for line in schedule.schedule_text(config, growing_stages(config), 1000, "swd2k").splitlines()]
    return [row for row in rows if row[1:2] in (["stabilise"], ["fade"])]


def test_printed_schedule_ends_with_the_run():
    assert table(SMALL) == [
        ["4x4", "stabilise", "100", "1", "1"],
        ["8x8", "fade", "50", "2", "3"],
        ["8x8", "stabilise", "50", "1", "4"],
        ["16x16", "fade", "30", "2.01", "6.01"],
        ["16x16", "stabilise", "30", "1.99", "8"],
    ]
    assert table(with_changes(total_kimg=3.5))[2:] == [["8x8", "stabilise", "50", "0.5", "3.5"]]


@pytest.mark.parametrize(("kimg", "last"), [(0.5, "4x4"), (2.0, "8x8"), (6.0, "16x16"), (6.01, "16x16")])
def test_a_short_run_has_a_warning(kimg, last):
    config = with_changes(total_kimg=kimg)
    warning = short_run_warning(config, growing_stages(config))
    assert "\n" not in warning
    assert all(part in warning for part in (f"--total-kimg is {kimg:g}", last, "--total-kimg 8", "--fade-kimg"))
    for long in (with_changes(total_kimg=6.011), *PRESETS["pggan"].values()):
        assert short_run_warning(long, growing_stages(long)) is None


@pytest.mark.parametrize(
    ("kimg", "lod", "resolution"),
    [(0, 3, 4), (600, 3, 8), (900, 2.5, 8), (1200, 2, 8), (2100, 1.5, 16), (3300, 0.5, 32), (9000, 0, 32)],
)
def test_growth_equals_the_paper(kimg, lod, resolution):
    """Two stages of 600 kimg per size; with batches that divide 600,000 they begin as in the paper."""
    stages = growing_stages(dataclasses.replace(PRESETS["pggan"]["celebahq-256"], resolution=32, phase_batch="125"))
    stage = stage_at(stages, kimg * 1000)
    assert 3 - growth_at(stages, stage, kimg * 1000) == pytest.approx(lod, abs=1e-12)
    assert stage.resolution == resolution
