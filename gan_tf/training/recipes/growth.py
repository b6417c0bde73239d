"""The growth of a network from 4x4 pixels: phases, how far each moment of them has come, and a table for people.

At each size the networks are trained as they are for `stabilise_kimg`, then the next size fades in over `fade_kimg`.
The level counts sizes: 0 is 4x4, 1 is 8x8. Both players' optimisers start anew whenever a phase begins.

Source: Karras et al. 2018 (Progressive GAN), section 2, figure 2 and appendix A; phases as in the official program,
where lod = last level - growth. The official program looks at its clock every four steps; here a phase is rounded up
to whole batches.
"""

import math
from typing import NamedTuple

from gan_tf.config.settings import round_up
from gan_tf.models.pggan import level_of
from gan_tf.training.step import Stage


def phases(config) -> list[Stage]:
    """4x4, then for every larger size its fade and its stabilising phase; the last one has no end.

    A run that begins with the networks of another (`--init-from`) has the last phase alone.

    Args:
        config: TrainConfig of a family that grows.
    """
    stages, first_image = [], 0
    for resolution in config.resolutions:
        for fades, kimg in ((True, config.fade_kimg), (False, config.stabilise_kimg)):
            if fades and (kimg == 0 or not stages):
                continue  # the next size comes at once; and nothing fades into 4x4
            batch = config.phase_batches[resolution]
            images = round_up(math.ceil(round(kimg * 1000, 3)), batch)
            stages.append(
                Stage(
                    first_image=first_image,
                    resolution=resolution,
                    batch_size=batch,
                    lr=config.phase_lrs[resolution],
                    ema_kimg=config.average_kimg(batch),
                    fade_images=images if fades else 0,
                    resets_optimizers=bool(stages),
                )
            )
            first_image += images
    return stages


def fade_of(stages, level: int) -> tuple[int, int]:
    """(first image, images) of the fade of a level; (first image of the level, 0) where it does not fade.

    Raises:
        ValueError: the stages do not reach that level.
    """
    for stage in stages:
        if level_of(stage.resolution) == level:
            return stage.first_image, stage.fade_images
    raise ValueError(f"no stage has level {level}; the last has level {level_of(stages[-1].resolution)}")


def alpha_at(stages, stage, images_seen: int) -> float:
    """Weight of the newest size, 0 to 1, in the step that begins at `images_seen` within `stage`."""
    first, images = fade_of(stages, level_of(stage.resolution))
    return min(max((images_seen - first) / images, 0.0), 1.0) if images else 1.0


def growth_at(stages, stage, images_seen: int) -> float:
    """How far the networks have grown: the level, and between two levels as far as the new one has faded in."""
    level = level_of(stage.resolution)
    return level - 1 + alpha_at(stages, stage, images_seen) if level else 0.0


class Row(NamedTuple):
    """A phase for people. end_image: images seen when it is over; None: it lasts as long as the run."""

    name: str
    resolution: int
    batch_size: int
    kimg: float
    first_image: int
    end_image: int | None


def rows(config) -> list[Row]:
    """The phases that a run of `config.total_images` goes through, the last one cut there."""
    stages, total = phases(config), config.total_images
    ends = [stage.first_image for stage in stages[1:]] + [None]
    table = []
    for stage, end in zip(stages, ends, strict=True):
        if stage.first_image < total:
            name = f"{stage.resolution}x{stage.resolution} {'fade' if stage.fade_images else 'stabilise'}"
            end = end if end is None else min(end, total)
            kimg = ((total if end is None else end) - stage.first_image) / 1000
            table.append(Row(name, stage.resolution, stage.batch_size, kimg, stage.first_image, end))
    return table


def too_short(config) -> str | None:
    """A warning in one line if the run ends before its last size has wholly faded in, else None."""
    stages, total = phases(config), config.total_images
    whole = stages[-1].first_image
    if total > whole:
        return None
    last = rows(config)[-1]
    size, need = config.resolution, math.ceil(whole / 1000 + config.stabilise_kimg)
    fading = ", which is still fading in" if last.name.endswith("fade") else ""
    return (
        f"--total-kimg is {config.total_kimg:g}: the run ends at {last.resolution}x{last.resolution}{fading}; "
        f"{size}x{size} has faded in at {whole / 1000:g} kimg: give --total-kimg {need} to train it as long as the "
        "other sizes, or shorter phases with --stabilise-kimg and --fade-kimg"
    )
