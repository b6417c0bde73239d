"""What the recipes of families share that train at one size from beginning to end: there is nothing to follow."""

from gan_tf.training.step import Stage


def schedule(config):
    """One stage without an end."""
    batch = config.batch
    return [Stage(0, config.resolution, batch, config.phase_lrs[config.resolution], config.average_kimg(batch))]


def words(stage):
    """What a stage is called in the progress line."""
    return ""


def scalars(stages, images_seen):
    """Where in the schedule the run stands, for TensorBoard: {name: number}."""
    return {}


def arrive(state, stages, images_seen):
    """Notes on the networks how far the run has come; these do not change."""


def work(config, stage):
    """What an image of a stage costs, compared with those of other stages."""
    return 1.0


def no_networks(config, log):
    """The `frozen_networks` of a recipe whose losses look through no networks of others."""
    return {}
