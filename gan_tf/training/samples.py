"""Image grids of a run: samples of the EMA generator, reconstructions, augmented reals, and the strip of sizes."""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.augment.choice import ADA_P, augment, augmentation_of
from gan_tf.io import image_files
from gan_tf.ops.pixels import from_uint8
from gan_tf.training.schedule import ends_of_sizes

GRID_SIDES = {512: 4, 1024: 4}  # {resolution: images in a row of the sample grid}
DEFAULT_GRID_SIDE = 8
SHOWN_REALS = 8


def write_grids(trainer, seen, weights=None):
    """Writes the sample grid to samples/ and TensorBoard; reconstructions and augmented reals to TensorBoard only.

    `weights`: result of `Trainer.ema_weights`; None: calls it.
    """
    if not trainer.workers.is_chief:
        return
    grids = {"samples": sample_grid(trainer, trainer.ema_weights() if weights is None else weights)}
    if trainer.recipe.reconstructions and trainer.config.reconstruction != "none":
        grids["reconstructions"] = reconstruction_grid(trainer)
    if trainer.config.augment != "none":
        grids["augmented"] = augmented_grid(trainer)
    for kind, image in grids.items():
        trainer.log.image(seen, kind, image)
    image_files.save_png(trainer.run.grid_path(seen), grids["samples"])
    trainer.log.flush()


def sample_grid(trainer, weights):
    """Returns images of the run's fixed latents, enlarged to its full resolution, as one image uint8 [H, W, 3]."""
    trainer.sampler.load(weights)
    images = trainer.sampler.of_seeds(*grid_seeds(trainer.config, trainer.sampler.classes))
    return image_files.rgb_grid(image_files.enlarge(images, trainer.config.image_size[0]))


def grid_side(config):
    """Returns the number of images in a row, and of rows, of the sample grid."""
    return GRID_SIDES.get(config.resolution, DEFAULT_GRID_SIDE)


def grid_seeds(config, classes):
    """Returns (seeds, class labels or None) of the sample grid, row by row.

    In a conditional run all images of a row have one class. The seeds of each class begin at 0, so that the first rows
    of all classes differ in the class only.
    """
    side = grid_side(config)
    if not classes:
        return list(range(side**2)), None
    labels = [number for number in classes.of_rows(side) for _ in range(side)]
    seeds = [i - labels.index(number) for i, number in enumerate(labels)]
    return seeds, labels


def write_size_strip(trainer, seen, ended):
    """Writes the first row of each size's grid as one image, at the end of a stage or the run of growing networks."""
    is_end = ended or trainer.stage_at(seen) != trainer.stage_before(seen)
    if not (is_end and trainer.workers.is_chief and trainer.config.grows):
        return
    ends = [end for end in ends_of_sizes(trainer.stages) if end < seen]
    paths = [path for end in (*ends, seen) if (path := trainer.run.grid_path(end)).exists()]
    if paths:
        strip = np.concatenate([image_files.read_png(path)[: trainer.config.image_size[0]] for path in paths])
        trainer.log.image(seen, "phases", strip)  # the name of its files and tag since version 0.1.0
        image_files.save_png(trainer.run.grid_path(seen, "phases"), strip)


def reconstruction_grid(trainer):
    """Returns reals, and below each the outputs of D's decoders for it, as one image uint8 [H, W, 3]."""
    reals, labels = shown_reals(trainer)
    rebuilt = trainer.recipe.reconstructions(trainer.state, reals, labels)
    size = next(iter(rebuilt.values())).shape[1:3]
    rows = [tf.image.resize(reals, size, antialias=True), *rebuilt.values()]
    return image_files.rgb_grid(image_files.to_uint8(tf.concat(rows, axis=0)), columns=len(reals))


def augmented_grid(trainer):
    """Returns reals, and below each four augmentations of it as D receives them, as one image uint8 [H, W, 3]."""
    reals, _ = shown_reals(trainer)
    rows, augmentation, p = [reals], augmentation_of(trainer.config), trainer.state.extra.get(ADA_P)
    for i in range(4):
        draws = rng.Draws(trainer.config.seed, i, len(reals), path="shown/")
        rows.append(augment(reals, draws, "reals", augmentation, p))
    return image_files.rgb_grid(image_files.to_uint8(tf.concat(rows, axis=0)), columns=len(reals))


def shown_reals(trainer):
    """Returns the first SHOWN_REALS reals, float32 [n, H, W, C] in [-1, 1], and their labels, int32 [n]."""
    image_set = trainer.pipeline.image_set
    images = from_uint8(np.asarray(image_set.images[:SHOWN_REALS]))
    return images, tf.constant(image_set.labels[:SHOWN_REALS])
