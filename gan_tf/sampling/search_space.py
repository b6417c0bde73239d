"""Spaces in which a projection searches: latents, or what a mapping network makes of them.

* z: one on the sphere of radius sqrt(Z) for networks that take only a latent's direction; others pay for a length that
  random latents do not have.
* w: one point for all layers. The first place starts at the mean w, the others at the best random ones. Early in the
  search points are shaken, by less and less, so that it finds its valley before it goes down.
* w+: the same with a point for each layer, which comes nearer to any picture and further away from what the generator
  makes of latents.

Source: Karras et al. 2020 (Analyzing and Improving the Image Quality of StyleGAN), appendix D, for w; Abdal et al. 2019
(Image2StyleGAN), section 4, for w+.
"""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.data.class_labels import UNCONDITIONAL

LENGTH_WEIGHT = 0.1  # of (|z|^2 / Z - 1)^2
Z_STEP, W_STEP = 0.05, 0.1  # of Adam, at its largest
SPREAD_OF, AT_ONCE = 8192, 1024  # random latents whose mean w and spread are taken
SHAKEN, UNTIL = 0.05, 0.75  # deviations (of the length of w - mean) at first; share of the search until it is none
EPSILON = 1e-8


class Latents:
    """z.

    Args:
        on_sphere: the network takes only the direction of a latent.
    """

    name, largest_step = "z", Z_STEP

    def __init__(self, on_sphere):
        self.on_sphere = on_sphere

    def points_of(self, latents, labels=None):
        """Points of latents [K, Z] and their classes: the latents themselves."""
        return latents

    def starts(self, best):
        """Where the search starts in K places, of the best random points [K, Z]: there."""
        return best

    def shake(self, share):
        """Deviation of what is added to points after a share of the search."""
        return 0.0

    def penalty(self, points):
        """What points pay for being unlike random ones: [K]."""
        return 0.0 if self.on_sphere else LENGTH_WEIGHT * length_penalty(points)

    def settled(self, points):
        """Points brought back after a step."""
        if not self.on_sphere:
            return points
        return points * tf.math.rsqrt(tf.reduce_mean(points**2, axis=1, keepdims=True) + EPSILON)

    def length(self, point):
        """Length of a latent [Z], that of random ones being 1."""
        return float(np.sqrt(np.mean(point**2)))


class Styles:
    """w, or w+ if `plus`.

    Args:
        g: folded generator with a mapping network.
        classes: ClassLabels of the networks. The mean w and the spread about it are those of all classes, each as
            often as the training images have it.
        wanted: number of the class of which they are instead, or None.
    """

    largest_step = W_STEP

    def __init__(self, g, plus, classes=UNCONDITIONAL, wanted=None):
        self.g, self.plus, self.name = g, plus, "w+" if plus else "w"
        draws = rng.Draws(0, tf.constant(0, tf.int64), SPREAD_OF, path="project/")
        latents = draws.normal("spread", (g.latent_size,))
        labels = classes.sample(draws, wanted)
        mapping = tf.function(lambda *given: g.mapping(*given)[:, 0], autograph=False)
        parts = (tf.split(values, SPREAD_OF // AT_ONCE) for values in (latents, labels) if values is not None)
        w = np.concatenate([mapping(*part).numpy() for part in zip(*parts, strict=True)])
        self.mean = w.mean(axis=0)
        self.deviation = float(np.sqrt(np.sum(np.square(w - self.mean, dtype=np.float64)) / len(w)))

    def points_of(self, latents, labels=None):
        """Points of latents [K, Z] and their classes: [K, 1, W], or [K, S, W] in w+."""
        ws = self.g.mapping(latents, labels)
        return ws if self.plus else ws[:, :1]

    def starts(self, best):
        """Where the search starts in K places, of the best random points: at the mean w, and at the best but one."""
        mean = tf.broadcast_to(tf.constant(self.mean, best.dtype), (1, *best.shape[1:]))
        return tf.concat([mean, best[:-1]], axis=0)

    def shake(self, share):
        """Deviation of what is added to every component of w, the same in all layers."""
        return SHAKEN * self.deviation * max(0.0, 1.0 - share / UNTIL) ** 2

    def penalty(self, points):
        """None: any point will do."""
        return 0.0

    def settled(self, points):
        """Points stay where they are."""
        return points

    def length(self, point):
        """Distance of ws [S or 1, W] from the mean w, that of random ones being 1; the layers' quadratic mean."""
        return float(np.sqrt(np.sum((point - self.mean) ** 2, axis=-1).mean()) / self.deviation)


def space_of(g, name, on_sphere, classes, wanted):
    """The space called "z", "w" or "w+" of a folded generator; see `Styles` for its classes."""
    return Latents(on_sphere) if name == "z" else Styles(g, name == "w+", classes, wanted)


def length_penalty(latents):
    """How far latents [N, Z] are from the length that random ones have: [N]."""
    return (tf.reduce_mean(latents**2, axis=1) - 1.0) ** 2
