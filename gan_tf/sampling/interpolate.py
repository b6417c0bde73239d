"""Images along walks through latents: frames of an animation, or rows of a picture."""

import numpy as np
import tensorflow as tf

from gan_tf import rng
from gan_tf.io import image_files
from gan_tf.sampling.generate import images_of_latents, latents_of_seeds
from gan_tf.sampling.walk import sphere_walk, straight_walk

RANDOM_SEEDS = 1_000_000  # random seeds are below


def random_seeds(count, seed):
    """`count` different seeds that follow from one number."""
    draws = rng.Draws(seed, tf.constant(0, tf.int64), 2 * count + 16, path="interpolate/")
    found = list(dict.fromkeys(draws.integers("seeds", (), 0, RANDOM_SEEDS).numpy().tolist()))
    return found[:count]


def walk_images(g, walks, steps, loop, batch_size, truncation=1.0, labels=None, space="z"):
    """Makes the images of several walks, moment by moment.

    Noise stays what it is for the first seed of a walk: with each key's own, detail would boil from frame to frame.

    Args:
        g: folded generator.
        walks: lists of seeds, all of one length.
        steps: images from a seed to the next.
        loop: come back to the first seed.
        batch_size: images at once.
        truncation: of the latents.
        labels: the class of each walk, [W], None for unconditional networks: as noise, it stays on the whole way.
        space: "z": on the sphere of latents; "w": straight through what the mapping network makes of them.

    Yields:
        uint8 [W, R, R, 3]: an image of each walk, as often as `sphere_walk` has frames.
    """
    paths = []
    for i, seeds in enumerate(walks):
        keys = latents_of_seeds(g, tf.constant(seeds, tf.int64))
        if space == "w":
            of_keys = None if labels is None else tf.fill([len(seeds)], labels[i])
            paths.append(straight_walk(g.mapping(keys, of_keys)[:, 0].numpy(), steps, loop)[:, None])
        else:
            paths.append(sphere_walk(keys.numpy(), steps, loop))
    latents = np.stack(paths, axis=1)  # [F, W, Z], or [F, W, 1, size of w]
    frames = len(latents)
    noise_seeds = [seeds[0] for seeds in walks] * frames
    left = np.zeros((0, g.resolution, g.resolution, 3), np.uint8)
    of_images = None if labels is None else np.tile(labels, frames)
    flat = latents.reshape(frames * len(walks), *latents.shape[2:])
    # Truncated after the walk, of which the directions are the same: at 0 the keys themselves would have none.
    how = {"labels": of_images, "truncation": truncation}
    for images in images_of_latents(g, flat, noise_seeds, batch_size, **how):
        left = np.concatenate([left, images])
        while len(left) >= len(walks):
            yield left[: len(walks)]
            left = left[len(walks) :]


def rows_picture(moments):
    """Rows of images, a walk each, from left to right: moments as `walk_images` yields them -> uint8 [H, W, 3]."""
    images = np.stack(list(moments), axis=1)  # [W, F, R, R, 3]
    return image_files.grid(images.reshape(-1, *images.shape[2:]), images.shape[1])
