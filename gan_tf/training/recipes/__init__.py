"""The training recipe of each family."""

from gan_tf.training.recipes import fastgan, pggan, stylegan2

RECIPES = {"fastgan": fastgan.RECIPE, "pggan": pggan.RECIPE, "stylegan2": stylegan2.RECIPE}
