"""The training recipe of each family."""

from gan_tf.training.recipes import fastgan, pggan, projected, stylegan2

RECIPES = {"fastgan": fastgan.RECIPE, "pggan": pggan.RECIPE, "stylegan2": stylegan2.RECIPE}


def recipe_of(config):
    """Returns the recipe of a TrainConfig."""
    if config.is_projected:
        return projected.RECIPE
    return fastgan.WITH_ENERGY if config.energy_weight else RECIPES[config.model]
