"""Images of a trained run for Python programs: `gan_tf.load(run).sample(seeds)`. See docs/api.md."""

import numpy as np
import tensorflow as tf

from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path
from gan_tf.models import FAMILIES
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.generate import (
    check_truncation,
    has_mapping,
    images_of_latents,
    images_of_seeds,
    latents_of_seeds,
    suitable_batch_size,
)
from gan_tf.sampling.interpolate import walk_images
from gan_tf.sampling.seeds import LARGEST_SEED
from gan_tf.sampling.style_mix import mixed_images, styled_layers

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
    generator = trained.folded(POLICIES[precision])
    return Trained(generator, trained.config, trained.images_seen, trained.classes)


class Trained:
    """A trained generator that makes images. An image depends on its seed alone, as with `gan-tf generate`.

    Attributes:
        generator: folded Keras model, for what is not offered here.
        config: TrainConfig of the run.
        images_seen: real images that it was trained on.
        resolution: R, pixels of its images.
        latent_size: Z.
        classes: ClassLabels that conditional networks know, with their `names`; empty for unconditional ones.

    Where `classes` is asked for: a name or number for all images, or N of them. None: for each image the class that its
    seed draws, as often as the training images have it.
    """

    def __init__(self, generator, config, images_seen, classes=UNCONDITIONAL):
        self.generator, self.config, self.images_seen, self.classes = generator, config, images_seen, classes
        self.resolution, self.latent_size = generator.resolution, generator.latent_size

    def sample(self, seeds, truncation=1.0, batch_size=None, classes=None):
        """Makes images of seeds.

        Args:
            seeds: integers from 0 on: a list, a range, an array, or one number.
            truncation: scale of the latents; see sampling.generate.check_truncation.
            batch_size: images at once; default what keeps the machine busy.
            classes: of the images.

        Returns:
            uint8 [N, R, R, 3].

        Raises:
            UsageError: no seeds, or negative ones; a truncation that the family does not have; an unknown class.
        """
        check_truncation(truncation, self.config.model)
        seeds, batch_size = _checked(seeds), batch_size or self._batch_size
        labels = self._labels(seeds, classes)
        made = [images for _, images in images_of_seeds(self.generator, seeds, batch_size, truncation, labels=labels)]
        return np.concatenate(made)

    def latents(self, seeds, truncation=1.0):
        """The latents that `sample` uses: float32 [N, Z]. Raises UsageError as `sample` does, and for a truncation of a
        family that truncates w.
        """
        check_truncation(truncation, self.config.model)
        if truncation != 1 and has_mapping(self.generator):
            raise UsageError(f"truncation of {self.config.model} changes w and no latents; see `ws`")
        return latents_of_seeds(self.generator, tf.constant(_checked(seeds), tf.int64), truncation).numpy()

    def ws(self, seeds, truncation=1.0, classes=None):
        """What the mapping network makes of seeds, a style for each layer: float32 [N, S, W].

        Args:
            seeds, truncation, classes: as for `sample`. A class is in the styles, and not asked for again.

        Raises:
            UsageError: as `sample`; a family without a mapping network.
        """
        self._refuse_w("ws")
        check_truncation(truncation, self.config.model)
        seeds = _checked(seeds)
        latents = latents_of_seeds(self.generator, tf.constant(seeds, tf.int64))
        return self.generator.ws_of(latents, self._labels(seeds, classes), truncation=truncation).numpy()

    def images_of(self, latents=None, noise_seeds=0, batch_size=None, noise=None, classes=None, ws=None):
        """Makes images of latents of one's own.

        Args:
            latents: float [N, Z].
            noise_seeds: seeds whose noise maps the images get: N, or one number for all.
            batch_size: images at once.
            noise: noise maps in place of seeds for them, as `gan-tf project` stores them: a list with a float map
                [h, w, 1] or [N, h, w, 1] for each of the generator's `noise_shapes`.
            classes: of the images; None: those that `noise_seeds` draw. Not for ws, which have their class in them.
            ws: styles in place of latents, float [N, S, W] or [N, 1, W] for all layers, for families that have them.

        Returns:
            uint8 [N, R, R, 3].

        Raises:
            UsageError: another shape; latents and ws, or neither; ws and classes; an unknown class.
        """
        if (latents is None) == (ws is None):
            raise UsageError("give latents or ws, one of them")
        if ws is not None and classes is not None:
            raise UsageError(f"classes are {str(classes)[:60]}, but ws have their class in them; leave classes out")
        latents = self._points(latents) if ws is None else self._styles(ws)
        seeds = _checked(noise_seeds)
        seeds = seeds * len(latents) if len(seeds) == 1 else seeds
        if len(seeds) != len(latents):
            raise UsageError(f"noise_seeds are {len(seeds)} for {len(latents)} latents; give as many, or one")
        maps = None if noise is None else self._noise(noise, len(latents))
        labels = self._labels(seeds, classes) if ws is None else None
        made = images_of_latents(self.generator, latents, seeds, batch_size or self._batch_size, maps, labels)
        return np.concatenate(list(made))

    def _labels(self, seeds, classes):
        """Classes int32 [N] of images of seeds, None for unconditional networks."""
        if classes is None:
            return self.classes.of_seeds(seeds)
        if not self.classes:
            raise UsageError(f"classes are {str(classes)[:60]}, but the networks of this run are unconditional")
        if np.ndim(classes) == 0:
            return self.classes.of_seeds(seeds, self.classes.number(classes, "classes"))
        if len(classes) != len(seeds):
            raise UsageError(f"classes are {len(classes)} for {len(seeds)} images; give as many, or one")
        return np.array([self.classes.number(one, "classes") for one in classes], np.int32)

    def _points(self, latents):
        latents = np.asarray(latents, np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_size or not len(latents):
            raise UsageError(f"latents have the shape {list(latents.shape)}; give [N, {self.latent_size}]")
        return latents

    def _styles(self, ws):
        self._refuse_w("ws")
        ws, copies, size = np.asarray(ws, np.float32), self.generator.mapping.copies, self.generator.w_size
        if ws.ndim != 3 or ws.shape[1] not in (1, copies) or ws.shape[2] != size or not len(ws):
            raise UsageError(f"ws have the shape {list(ws.shape)}; give [N, {copies}, {size}] or [N, 1, {size}]")
        return ws

    def _refuse_w(self, what):
        if not has_mapping(self.generator):
            raise UsageError(f"{what}: {self.config.model} {FAMILIES[self.config.model].unsupported['w']}")

    def _noise(self, noise, count):
        """Noise maps as given, one [count, h, w, 1] for each that the generator takes."""
        maps, shapes = [np.asarray(one, np.float32) for one in noise], [tuple(s) for s in self.generator.noise_shapes]
        if [one.shape[-3:] for one in maps] != shapes or any(one.shape[:-3] not in ((), (count,)) for one in maps):
            found = ", ".join(str(list(one.shape)) for one in maps) or "none"
            wanted = ", ".join(str(list(shape)) for shape in shapes) or "none"
            raise UsageError(f"noise maps have the shapes {found}; give {wanted}, each once or for {count} images")
        return [np.broadcast_to(one, (count, *shape)) for one, shape in zip(maps, shapes, strict=True)]

    def interpolate(self, seeds, steps=60, loop=False, truncation=1.0, classes=None, space="z"):
        """Walks smoothly from seed to seed, as `gan-tf interpolate` does.

        Args:
            seeds: two or more.
            steps: images from a seed to the next.
            loop: come back to the first.
            truncation: as for `sample`.
            classes: name or number of the class of the walk; None: that of the first seed.
            space: "z", or "w" for families that have a mapping network.

        Returns:
            uint8 [F, R, R, 3]: F = (N - 1) * steps + 1, or N * steps for a loop.

        Raises:
            UsageError: fewer than two seeds, two equal ones next to each other, or no steps; as `sample`.
        """
        check_truncation(truncation, self.config.model)
        seeds = _checked(seeds)
        if len(seeds) < 2 or steps < 1:
            raise UsageError(f"{len(seeds)} seeds and {steps} steps make no way; give 2 seeds or more, and a step")
        if space == "w":
            self._refuse_w("space w")
        elif space != "z":
            raise UsageError(f"space is {space!r}; give z or w")
        how = {"truncation": truncation, "labels": self._labels(seeds[:1], classes), "space": space}
        return np.concatenate(list(walk_images(self.generator, [seeds], steps, loop, self._batch_size, **how)))

    def mix(self, content, style, truncation=1.0, classes=None, layers=None):
        """Gives images the style of others, pair by pair, as `gan-tf style-mix` does.

        Args:
            content, style: N seeds each.
            truncation: as for `sample`.
            classes: of content and style alike; None: each has that of its own seed.
            layers: those that take the style, as the flag has them, such as "7-"; for StyleGAN2.

        Returns:
            uint8 [N, R, R, 3].

        Raises:
            UsageError: not as many of one as of the other; a family whose styles cannot be mixed.
        """
        model = self.config.model
        if reason := FAMILIES[model].unsupported.get("style_mix"):
            raise UsageError(f"styles of {model} cannot be mixed: it {reason}")
        check_truncation(truncation, model)
        content, style = _checked(content), _checked(style)
        if len(content) != len(style):
            raise UsageError(f"content has {len(content)} seeds and style {len(style)}; give as many of each")
        labels = tuple(self._labels(seeds, classes) for seeds in (content, style))
        labels = labels if self.classes else None
        how = {"truncation": truncation, "labels": labels, "layers": styled_layers(self.generator, layers)}
        return np.concatenate(list(mixed_images(self.generator, content, style, self._batch_size, **how)))

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
