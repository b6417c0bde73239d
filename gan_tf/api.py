"""Images of a trained run for Python programs: `gan_tf.load(run).sample(seeds)`. See docs/api.md."""

import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.files import user_path
from gan_tf.models import FAMILIES
from gan_tf.run import Run
from gan_tf.sampling.generate import (
    check_truncation,
    images_of_latents,
    images_of_seeds,
    latents_of_seeds,
    suitable_batch_size,
)
from gan_tf.sampling.interpolate import walk_images
from gan_tf.sampling.seeds import LARGEST_SEED
from gan_tf.sampling.style_mix import mixed_images
from gan_tf.weights import load_generator

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def load(run, which="best", precision="float32"):
    """Reads the trained generator of a run.

    Args:
        run: path of a run folder.
        which: "best": the weights with the best score; "last": those of the newest checkpoint; a number: those of the
            snapshot at so many images.
        precision: "float32": the same images on every machine, but for rounding; "bfloat16": faster where the hardware
            multiplies it.

    Returns:
        Trained.

    Raises:
        UsageError: no run, no such weights, or an unknown precision.
    """
    if precision not in POLICIES:
        raise UsageError(f"precision is {precision!r}; give {' or '.join(POLICIES)}")
    trained = load_generator(Run(user_path(run)), str(which))
    generator = FAMILIES[trained.config.model].fold(trained.generator, POLICIES[precision])
    return Trained(generator, trained.config, trained.images_seen)


class Trained:
    """A trained generator that makes images. An image depends on its seed alone, as with `gan-tf generate`.

    Attributes:
        generator: folded Keras model, for what is not offered here.
        config: TrainConfig of the run.
        images_seen: real images that it was trained on.
        resolution: R, pixels of its images.
        latent_size: Z.
    """

    def __init__(self, generator, config, images_seen):
        self.generator, self.config, self.images_seen = generator, config, images_seen
        self.resolution, self.latent_size = generator.resolution, generator.latent_size

    def sample(self, seeds, truncation=1.0, batch_size=None):
        """Makes images of seeds.

        Args:
            seeds: integers from 0 on: a list, a range, an array, or one number.
            truncation: scale of the latents; see sampling.generate.check_truncation.
            batch_size: images at once; default what keeps the machine busy.

        Returns:
            uint8 [N, R, R, 3].

        Raises:
            UsageError: no seeds, or negative ones; a truncation that the family does not have.
        """
        check_truncation(truncation, self.config.model)
        seeds, batch_size = _checked(seeds), batch_size or self._batch_size
        made = [images for _, images in images_of_seeds(self.generator, seeds, batch_size, truncation)]
        return np.concatenate(made)

    def latents(self, seeds, truncation=1.0):
        """The latents that `sample` uses: float32 [N, Z]. Raises UsageError as `sample` does."""
        check_truncation(truncation, self.config.model)
        return latents_of_seeds(self.generator, tf.constant(_checked(seeds), tf.int64), truncation).numpy()

    def images_of(self, latents, noise_seeds=0, batch_size=None, noise=None):
        """Makes images of latents of one's own.

        Args:
            latents: float [N, Z].
            noise_seeds: seeds whose noise maps the images get: N, or one number for all.
            batch_size: images at once.
            noise: noise maps in place of seeds for them, as `gan-tf project` stores them: a list with a float map
                [h, w, 1] or [N, h, w, 1] for each of the generator's `noise_shapes`.

        Returns:
            uint8 [N, R, R, 3].

        Raises:
            UsageError: another shape.
        """
        latents = np.asarray(latents, np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_size or not len(latents):
            raise UsageError(f"latents have the shape {list(latents.shape)}; give [N, {self.latent_size}]")
        seeds = _checked(noise_seeds)
        seeds = seeds * len(latents) if len(seeds) == 1 else seeds
        if len(seeds) != len(latents):
            raise UsageError(f"noise_seeds are {len(seeds)} for {len(latents)} latents; give as many, or one")
        maps = None if noise is None else self._noise(noise, len(latents))
        made = images_of_latents(self.generator, latents, seeds, batch_size or self._batch_size, maps)
        return np.concatenate(list(made))

    def _noise(self, noise, count):
        """Noise maps as given, one [count, h, w, 1] for each that the generator takes."""
        maps, shapes = [np.asarray(one, np.float32) for one in noise], [tuple(s) for s in self.generator.noise_shapes]
        if [one.shape[-3:] for one in maps] != shapes or any(one.shape[:-3] not in ((), (count,)) for one in maps):
            found = ", ".join(str(list(one.shape)) for one in maps) or "none"
            wanted = ", ".join(str(list(shape)) for shape in shapes) or "none"
            raise UsageError(f"noise maps have the shapes {found}; give {wanted}, each once or for {count} images")
        return [np.broadcast_to(one, (count, *shape)) for one, shape in zip(maps, shapes, strict=True)]

    def interpolate(self, seeds, steps=60, loop=False, truncation=1.0):
        """Walks smoothly from seed to seed, as `gan-tf interpolate` does.

        Args:
            seeds: two or more.
            steps: images from a seed to the next.
            loop: come back to the first.
            truncation: as for `sample`.

        Returns:
            uint8 [F, R, R, 3]: F = (N - 1) * steps + 1, or N * steps for a loop.

        Raises:
            UsageError: fewer than two seeds, two equal ones next to each other, or no steps; as `sample`.
        """
        check_truncation(truncation, self.config.model)
        seeds = _checked(seeds)
        if len(seeds) < 2 or steps < 1:
            raise UsageError(f"{len(seeds)} seeds and {steps} steps make no way; give 2 seeds or more, and a step")
        return np.concatenate(list(walk_images(self.generator, [seeds], steps, loop, self._batch_size, truncation)))

    def mix(self, content, style, truncation=1.0):
        """Gives images the style of others, pair by pair, as `gan-tf style-mix` does.

        Args:
            content, style: N seeds each.
            truncation: as for `sample`.

        Returns:
            uint8 [N, R, R, 3].

        Raises:
            UsageError: not as many of one as of the other; a family whose styles cannot be mixed.
        """
        model = self.config.model
        if reason := FAMILIES[model].cannot.get("style_mix"):
            raise UsageError(f"styles of {model} cannot be mixed: it {reason}")
        check_truncation(truncation, model)
        content, style = _checked(content), _checked(style)
        if len(content) != len(style):
            raise UsageError(f"content has {len(content)} seeds and style {len(style)}; give as many of each")
        return np.concatenate(list(mixed_images(self.generator, content, style, self._batch_size, truncation)))

    @property
    def _batch_size(self):
        return suitable_batch_size(self.resolution, bool(tf.config.list_logical_devices("GPU")))


def _checked(seeds):
    """Seeds as a list of integers."""
    array = np.atleast_1d(np.asarray(seeds))
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise UsageError(f"seeds are {str(seeds)[:60]}; give integers, such as range(64) or [1, 5, 9]")
    if array.min() < 0 or array.max() > LARGEST_SEED:
        raise UsageError(f"seeds go from {array.min()} to {array.max()}; give integers from 0 to {LARGEST_SEED}")
    return [int(seed) for seed in array]
