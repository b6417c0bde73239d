"""Python interface: `gan_tf.load(run).sample(seeds)`. See docs/api.md."""

import numpy as np

from gan_tf.data.class_labels import UNCONDITIONAL
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path
from gan_tf.ops.forms import has_gpu
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator
from gan_tf.sampling import generate
from gan_tf.sampling.generate import check_supported, check_truncation
from gan_tf.sampling.interpolate import interpolated_images
from gan_tf.sampling.seeds import LARGEST_SEED

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def load(run, which="best", precision="float32"):
    """Loads the trained generator of a run and returns a `Trained`.

    Args:
        run: path of a run folder.
        which: "best" for the weights with the best score, "last" for the newest checkpoint, or the image count of a
            snapshot.
        precision: "float32" gives the same images on every machine up to rounding; "bfloat16" is faster on hardware
            that supports it.

    Raises:
        UsageError: the run, weights or precision do not exist.
    """
    if precision not in POLICIES:
        raise UsageError(f"precision is {precision!r}; give {' or '.join(POLICIES)}")
    trained = load_generator(Run(user_path(run)), str(which))
    return Trained(trained.folded(POLICIES[precision]), trained.config, trained.images_seen, trained.classes)


class Trained:
    """A trained generator. The image of a seed depends on that seed alone, as in `gan-tf generate`.

    Images are uint8 [N, H, W, C]: C is 1 for grey values, 3 for RGB, and 4 for RGBA with straight alpha.

    In all methods `classes` is the name or number of one class for all images, or a list of N. By default the class is
    drawn from the seed, with the class frequencies of the training images. Invalid arguments, and features that the
    model family lacks, raise UsageError.

    Attributes:
        generator: Keras model, norms folded into its weights.
        config: TrainConfig of the run.
        images_seen: real images seen in training.
        image_shape: (H, W, C) of an image.
        latent_size: Z.
        classes: ClassLabels of the networks, with `names`; empty for unconditional networks.
    """

    def __init__(self, generator, config, images_seen, classes=UNCONDITIONAL):
        self.generator, self.config, self.images_seen, self.classes = generator, config, images_seen, classes
        self.image_shape, self.latent_size = generator.image_shape, generator.latent_size
        self._batch_size = generate.suitable_batch_size(self.image_shape, has_gpu())

    def sample(self, seeds, truncation=1.0, batch_size=None, classes=None):
        """Generates one image for each seed. Returns uint8 [N, H, W, C].

        Args:
            seeds: integers >= 0 as a list, range or array, or one integer.
            truncation: see sampling.generate.check_truncation.
            batch_size: images per batch; default: chosen by resolution and device.
        """
        check_truncation(truncation, self.config, "truncation")
        seeds = _checked_seeds(seeds)
        batch_size = min(batch_size or self._batch_size, len(seeds))
        labels = self._labels(seeds, classes)
        batches = generate.images_of_seeds(self.generator, seeds, batch_size, truncation, labels)
        return np.concatenate([images for _, images in batches])

    def latents(self, seeds, truncation=1.0):
        """Returns the latents that `sample` uses: float32 [N, Z]. With a mapping network, truncation needs `ws`."""
        check_truncation(truncation, self.config, "truncation")
        if truncation != 1 and generate.has_mapping(self.generator):
            raise UsageError(f"truncation of {self.config.model} applies to w, not to latents; see `ws`")
        return generate.latents_of_seeds(self.generator, _checked_seeds(seeds), truncation).numpy()

    def ws(self, seeds, truncation=1.0, classes=None):
        """Returns the styles of all S layers: float32 [N, S, W], for families with a mapping network."""
        check_supported(self.config, "w", "ws")
        check_truncation(truncation, self.config, "truncation")
        seeds = _checked_seeds(seeds)
        labels = self._labels(seeds, classes)
        latents = generate.latents_of_seeds(self.generator, seeds, truncation, labels)
        return self.generator.ws_of(latents, labels).numpy()

    def images_of(self, latents=None, noise_seeds=0, batch_size=None, noise=None, classes=None, ws=None):
        """Generates images of latents or of styles. Returns uint8 [N, H, W, C].

        Args:
            latents: float [N, Z].
            noise_seeds: seeds of the noise maps and of the default classes: N integers, or one for all images.
            batch_size: images per batch; default: chosen by resolution and device.
            noise: noise maps instead of seeds, as stored by `gan-tf project`: for each of the generator's
                `noise_shapes` a float array [h, w, 1] or [N, h, w, 1].
            classes: not allowed with `ws`, which include their class.
            ws: instead of `latents`, for families with a mapping network: float [N, S, W], or [N, 1, W] for all layers.
        """
        if (latents is None) == (ws is None):
            raise UsageError("give either latents or ws")
        if ws is None:
            points = np.asarray(latents, np.float32)
            if points.ndim != 2 or points.shape[1] != self.latent_size or not len(points):
                raise UsageError(f"latents have the shape {list(points.shape)}; give [N, {self.latent_size}]")
        else:
            points = self._checked_ws(ws, classes)
        seeds = _checked_seeds(noise_seeds)
        seeds = seeds * len(points) if len(seeds) == 1 else seeds
        if len(seeds) != len(points):
            raise UsageError(
                f"noise_seeds has {len(seeds)} seeds for {len(points)} latents; give one for each, or one for all"
            )
        maps = None if noise is None else self._checked_noise(noise, len(points))
        labels = self._labels(seeds, classes) if ws is None else None
        batch_size = batch_size or self._batch_size
        batches = generate.images_of_latents(self.generator, points, seeds, batch_size, maps, labels)
        return np.concatenate(list(batches))

    def interpolate(self, seeds, steps=60, loop=False, truncation=1.0, classes=None, space="z"):
        """Interpolates between N seeds, as `gan-tf interpolate` does.

        Returns uint8 [F, H, W, C], where F = (N - 1) * steps + 1, or N * steps for a loop.

        Args:
            seeds: at least two; consecutive ones must differ.
            steps: images from a seed to the next.
            loop: return to the first seed.
            truncation: as for `sample`.
            classes: one class, for all images; default: that of the first seed.
            space: "z", or "w" for families with a mapping network.
        """
        check_truncation(truncation, self.config, "truncation")
        seeds = _checked_seeds(seeds)
        if len(seeds) < 2 or steps < 1:
            raise UsageError(
                f"cannot interpolate {len(seeds)} seeds in {steps} steps; give 2 seeds or more, and a step"
            )
        if space == "w":
            check_supported(self.config, "w", "space w")
        elif space != "z":
            raise UsageError(f"space is {space!r}; give z or w")
        labels = self._labels(seeds[:1], classes)
        frames = interpolated_images(self.generator, [seeds], steps, loop, self._batch_size, truncation, labels, space)
        return np.concatenate(list(frames))

    def mix(self, content, style, truncation=1.0, classes=None, layers=None):
        """Mixes images as `gan-tf style-mix` does. Returns uint8 [N, H, W, C].

        Args:
            content, style: N seeds each; image i has the content of one and the style of the other.
            truncation: as for `sample`.
            classes: of both content and style; default: each seed has its own.
            layers: StyleGAN2's layers that take the style, such as "7-".
        """
        check_supported(self.config, "style_mix", "mix")
        check_truncation(truncation, self.config, "truncation")
        content, style = _checked_seeds(content), _checked_seeds(style)
        if len(content) != len(style):
            raise UsageError(f"content has {len(content)} seeds and style {len(style)}; give the same number of both")
        labels = self._labels(content, classes), self._labels(style, classes)
        layers = generate.style_layers(self.generator, layers, "layers")
        batches = generate.mixed_images(self.generator, content, style, self._batch_size, truncation, labels, layers)
        return np.concatenate(list(batches))

    def _labels(self, seeds, classes):
        """Returns the class labels int32 [N] for seeds; None for unconditional networks."""
        if classes is None:
            return self.classes.of_seeds(seeds)
        if not self.classes:
            raise UsageError(f"classes are {str(classes)[:60]}, but the networks of this run are unconditional")
        if np.ndim(classes) == 0:
            return self.classes.of_seeds(seeds, self.classes.number(classes, "classes"))
        if len(classes) != len(seeds):
            raise UsageError(f"classes are {len(classes)} for {len(seeds)} images; give one for each, or one for all")
        return np.array([self.classes.number(one, "classes") for one in classes], np.int32)

    def _checked_ws(self, ws, classes):
        if classes is not None:
            raise UsageError(f"classes are {str(classes)[:60]}, but ws include their class; leave classes out")
        check_supported(self.config, "w", "ws")
        ws, copies, size = np.asarray(ws, np.float32), self.generator.mapping.copies, self.generator.w_size
        if ws.ndim != 3 or ws.shape[1] not in (1, copies) or ws.shape[2] != size or not len(ws):
            raise UsageError(f"ws have the shape {list(ws.shape)}; give [N, {copies}, {size}] or [N, 1, {size}]")
        return ws

    def _checked_noise(self, noise, count):
        """Returns a list of noise maps [count, h, w, 1], one for each of the generator's."""
        maps, shapes = [np.asarray(one, np.float32) for one in noise], [tuple(s) for s in self.generator.noise_shapes]
        if [one.shape[-3:] for one in maps] != shapes or any(one.shape[:-3] not in ((), (count,)) for one in maps):
            actual = ", ".join(str(list(one.shape)) for one in maps) or "none"
            expected = ", ".join(str(list(shape)) for shape in shapes) or "none"
            raise UsageError(f"noise maps have the shapes {actual}; give {expected}, each once or for {count} images")
        return [np.broadcast_to(one, (count, *shape)) for one, shape in zip(maps, shapes, strict=True)]


def _checked_seeds(seeds):
    """Returns seeds as a list of integers."""
    array = np.atleast_1d(np.asarray(seeds))
    if array.ndim != 1 or not len(array) or array.dtype.kind not in "iu":
        raise UsageError(f"seeds are {str(seeds)[:60]}; give integers, such as range(64) or [1, 5, 9]")
    if array.min() < 0 or array.max() > LARGEST_SEED:
        raise UsageError(f"seeds are {array.min()} to {array.max()}; give integers from 0 to {LARGEST_SEED}")
    return array.tolist()
