"""Schedule of a run: stages with their resolution, batch size and learning rate by images seen, and time limits.

Growing networks (Progressive GAN) train at each size for `stabilise_kimg`, then the next size fades in over
`fade_kimg`. Each of these is a stage, at whose first image both optimisers are reset. The level counts sizes: 0 is 4x4,
1 is 8x8.

Source: Karras et al. 2018 (Progressive GAN), section 2, figure 2 and appendix A. The official program's `lod` is the
last level minus our growth. It checks its schedule every four steps; here a stage is rounded up to whole batches.
"""

import dataclasses
import itertools
import math
import time

from gan_tf.config.settings import round_up
from gan_tf.models.pggan import level_of

EARLY_GRIDS = (40, 80, 160, 320, 640)  # seconds after the start at which sample grids are due: an epoch may take hours


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of the run with fixed sizes. It lasts until the first image of the next stage; the last has no end."""

    first_image: int  # images seen before it
    resolution: int  # of the images, one of `TrainConfig.resolutions`
    batch_size: int  # images per step, all devices together
    lr: float  # learning rate of both optimisers
    ema_kimg: float  # half-life of the EMA generator, thousands of images
    fade_images: int = 0  # images over which the newest resolution fades in, from `first_image` on; 0: no fade
    resets_optimizers: bool = False  # both optimisers are reset at its first image


def stage_at(stages, images_seen) -> Stage:
    """Returns the stage of the image after `images_seen`."""
    return [stage for stage in stages if stage.first_image <= images_seen][-1]


def stage_before(stages, images_seen) -> Stage:
    """Returns the stage of the last of `images_seen` images; at 0 the first stage."""
    return stage_at(stages, max(images_seen - 1, 0))


def every(images, seen, batch_size) -> bool:
    """Returns True if the step that ended at `seen` images reached or crossed a multiple of `images`."""
    return seen // images > (seen - batch_size) // images


def single_stage(config) -> list[Stage]:
    """Returns the schedule of a family that trains at one resolution."""
    lr = config.learning_rates[config.resolution]
    return [Stage(0, config.resolution, config.batch, lr, config.average_kimg(config.batch))]


def growing_stages(config) -> list[Stage]:
    """Returns the schedule of a family that grows: 4x4, then a fade and a stabilising stage for every larger size.

    A run with `--init-from` has only a stabilising stage at full size.
    """
    stages, first_image = [], 0
    for resolution in config.resolutions:
        for fades, kimg in ((True, config.fade_kimg), (False, config.stabilise_kimg)):
            if fades and (kimg == 0 or not stages):
                continue  # without a fade the next size begins immediately; 4x4 never fades in
            batch = config.batch_sizes[resolution]
            images = round_up(math.ceil(round(kimg * 1000, 3)), batch)
            sizes = first_image, resolution, batch, config.learning_rates[resolution], config.average_kimg(batch)
            stages.append(Stage(*sizes, fade_images=images if fades else 0, resets_optimizers=bool(stages)))
            first_image += images
    return stages


def fade_of(stages, level) -> tuple[int, int]:
    """Returns (first image, number of images) of a level's fade; (first image of the level, 0) without a fade."""
    first = next(stage for stage in stages if level_of(stage.resolution) == level)
    return first.first_image, first.fade_images


def alpha_at(stages, stage, images_seen) -> float:
    """Returns the weight of the newest size, 0 to 1, in the step of `stage` that begins at `images_seen`."""
    first, images = fade_of(stages, level_of(stage.resolution))
    return min(max((images_seen - first) / images, 0.0), 1.0) if images else 1.0


def growth_at(stages, stage, images_seen) -> float:
    """Returns the growth of the networks: the level, or during a fade the previous level plus alpha."""
    level = level_of(stage.resolution)
    return level - 1 + alpha_at(stages, stage, images_seen) if level else 0.0


def ends_of(stages, total_images) -> list[int]:
    """Returns the images seen at the end of each stage, at most `total_images`."""
    return [*(min(total_images, later.first_image) for later in stages[1:]), total_images]


def schedule_text(config, stages, epoch_images, metric) -> str:
    """Returns the schedule as text: one line, or for a growing run a table of its stages."""
    kimg = f"{config.total_images / 1000:g} kimg"
    length = f"{math.ceil(config.total_images / epoch_images)} epochs of {epoch_images} images"
    scores = f"{metric} every {config.eval_every} epochs"
    if not config.grows:
        return f"schedule: {kimg} in {length}, {config.batch} images per step; {scores}"
    lines = [f"schedule: {kimg} in {length}; {scores}", f"  {'stage':<19} batch      kimg    until"]
    for stage, end in zip(stages, ends_of(stages, config.total_images), strict=True):
        if stage.first_image < end:
            name = f"{config.size_text_at(stage.resolution)} {'fade' if stage.fade_images else 'stabilise'}"
            images = end - stage.first_image
            lines.append(f"  {name:<19} {stage.batch_size:>5} {images / 1000:>9g} {end / 1000:>8g}")
    lines.append("  --dry-run measures the time of each size")
    warning = short_run_warning(config, stages)
    return "\n".join([*lines, *([f"warning: {warning}"] if warning else [])])


def short_run_warning(config, stages) -> str | None:
    """Returns a warning if the run ends before its last size has completely faded in, else None."""
    fully_grown = stages[-1].first_image
    if config.total_images > fully_grown:
        return None
    last = stage_before(stages, config.total_images)
    needed = math.ceil(fully_grown / 1000 + config.stabilise_kimg)
    return (
        f"--total-kimg is {config.total_kimg:g}: the run ends at {config.size_text_at(last.resolution)}"
        f"{' (fading in)' if last.fade_images else ''}; {config.size_text} has faded in at {fully_grown / 1000:g} kimg."
        f" Give --total-kimg {needed} to train it as long as the other sizes, or shorter stages with --stabilise-kimg "
        "and --fade-kimg"
    )


def ends_of_sizes(stages) -> list[int]:
    """Returns the images seen at the end of every size but the last."""
    return [later.first_image for stage, later in itertools.pairwise(stages) if not stage.fade_images]


class Timer:
    """Time limit and intervals of one start of the program. They affect when it stops and writes, not the training."""

    def __init__(self, config):
        self.started = self.last_save = time.monotonic()
        self.checkpoint_seconds = 60 * config.checkpoint_minutes
        self.end = self.started + 60 * config.max_minutes if config.max_minutes else math.inf
        self._early_grids = 0  # number of those that are written

    def is_up(self) -> bool:
        """Returns True once `--max-minutes` are over."""
        return time.monotonic() >= self.end

    def checkpoint_is_due(self) -> bool:
        """Returns True if the last checkpoint is `--checkpoint-minutes` old."""
        return time.monotonic() - self.last_save >= self.checkpoint_seconds

    def record_save(self):
        """Starts the interval to the next checkpoint."""
        self.last_save = time.monotonic()

    def early_grid_is_due(self) -> bool:
        """Returns True once for each of EARLY_GRIDS; the first makes a checkpoint due."""
        elapsed, written = time.monotonic() - self.started, self._early_grids
        self._early_grids = sum(elapsed >= seconds for seconds in EARLY_GRIDS)
        if not written and self._early_grids:
            self.last_save = -math.inf
        return self._early_grids > written
