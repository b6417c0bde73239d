"""How each family is trained: a schedule, the variants of a step, and the step itself."""

from gan_tf.training.recipes import fastgan, pggan, stylegan2

RECIPES = {"fastgan": fastgan, "pggan": pggan, "stylegan2": stylegan2}
