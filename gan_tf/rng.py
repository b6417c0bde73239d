"""Random numbers as pure functions of the seed and the position in the training run.

A draw depends on (seed, attempt, purpose, images seen, index in the global batch) and on nothing else. There is no
generator state to save: a resumed run draws the same numbers as an uninterrupted one, and one, two and eight replicas
draw the same numbers. The generator is always Philox. Floats are computed from its raw bits, which are equal inside and
outside XLA; TensorFlow's own float draws are not, and its bfloat16 draws are not rounded float32 draws.
"""

import dataclasses
import functools
import hashlib
import math

import numpy as np
import tensorflow as tf

ATTEMPT_STRIDE = 2**48  # images_seen is always below this, so that (attempt, images_seen) fits into one int64


def stream_key(seed, purpose):
    """Returns the 63-bit key of the stream of random numbers `purpose` of `seed`; equal on every machine."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def unit_uniform(shape, seed):
    """Uniform float32 of `shape` in [0, 1), multiples of 2**-24; `seed` is int64 [2]."""
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    return tf.cast(tf.bitcast(tf.bitwise.right_shift(bits, 8), tf.int32), tf.float32) * 2.0**-24


def unit_normal(shape, seed):
    """Standard normal float32 of `shape`, by the method of Box and Muller (1958); `seed` is int64 [2]."""
    radius, angle = tf.unstack(unit_uniform((2, *shape), seed))
    return tf.sqrt(-2.0 * tf.math.log1p(-radius)) * tf.cos(2.0 * math.pi * angle)


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """Random tensors for the rows of a global batch, or for every `stride`-th row.

    Each draw has a `purpose`, the name of its stream; equal purposes give equal numbers.
    """

    seed: int  # of the run
    images_seen: tf.Tensor | int  # scalar, images seen before this step
    batch: int  # rows of the global batch, all replicas together
    path: str = ""  # prefix of every purpose, see `fold_in`
    first: tf.Tensor | int = 0  # this object draws for the rows first, first + stride, ...; see `shard`
    stride: int = 1
    attempt: tf.Tensor | int = 0  # number of rollbacks so far; another attempt draws other numbers

    @property
    def count(self):
        """Rows that this object draws for."""
        return self.batch // self.stride

    def fold_in(self, purpose):
        """Returns draws for the same rows from other streams, whose purposes have the prefix `purpose`."""
        return dataclasses.replace(self, path=f"{self.path}{purpose}/")

    def shard(self, index, parts):
        """Returns the draws for a replica or a micro-batch: the rows index, index + parts, ... of this object's rows.

        The rows are not consecutive, so that each group of the minibatch standard deviation, images at equal distances
        in the batch, is entirely within a shard.

        Args:
            index: number of the shard, from 0; may be a tensor.
            parts: number of shards, a divisor of `count`.
        """
        return dataclasses.replace(self, first=self.first + self.stride * index, stride=self.stride * parts)

    def normal(self, purpose, shape=()):
        """Standard normal float32 [count, *shape]."""
        return self._select_rows(unit_normal((self.batch, *shape), self._seed_of(purpose)))

    def uniform(self, purpose, shape=(), low=0.0, high=1.0):
        """Uniform float32 [count, *shape] in [low, high)."""
        unit = unit_uniform((self.batch, *shape), self._seed_of(purpose))
        return self._select_rows(low + (high - low) * unit)

    def integers(self, purpose, shape, low, high):
        """Uniform int32 [count, *shape] in [low, high)."""
        return self._select_rows(self._integers(purpose, (self.batch, *shape), low, high))

    def shared_integer(self, purpose, low, high):
        """One int32 scalar in [low, high), the same for all rows of the global batch and hence for all replicas."""
        return self._integers(purpose, (), low, high)

    def categories(self, purpose, counts):
        """int32 [count]: i with the probability counts[i] / sum(counts), for a list of integers `counts`."""
        return _category(self.integers(purpose, (), 0, sum(counts)), counts)

    def noise(self, purpose, shapes):
        """A list of standard normal maps [count, h, w, 1], one for each entry of a generator's `noise_shapes`."""
        return [self.normal(f"{purpose}/{i}", tuple(shape)) for i, shape in enumerate(shapes)]

    def _integers(self, purpose, shape, low, high):
        return tf.random.stateless_uniform(
            shape, self._seed_of(purpose), minval=low, maxval=high, dtype=tf.int32, alg="philox"
        )

    def _seed_of(self, purpose):
        position = tf.cast(self.images_seen, tf.int64) + ATTEMPT_STRIDE * tf.cast(self.attempt, tf.int64)
        return tf.stack([tf.constant(stream_key(self.seed, self.path + purpose), tf.int64), position])

    def _select_rows(self, values):
        if self.stride == 1:
            return values
        rows = values[self.first :: self.stride]
        return tf.ensure_shape(rows, (self.count, *values.shape[1:]))


def normals_of_seeds(seeds, purpose, shape):
    """Standard normal draws whose row i depends on `seeds[i]` only: a seed gives the same image in any batch.

    seeds int64 [N], the integers of `--seeds`; purpose: name of the stream, such as "latents" -> float32 [N, *shape].
    """
    return _rows_of_seeds(seeds, purpose, functools.partial(unit_normal, shape), shape, tf.float32)


def categories_of_seeds(seeds, counts):
    """`Draws.categories` for images that are requested by seed: seeds int64 [N] -> int32 [N]."""
    return _compiled_categories(tuple(counts))(tf.convert_to_tensor(seeds, tf.int64))


@functools.cache
def _compiled_categories(counts):
    """tf.function: seeds int64 [N] -> categories int32 [N]; without a graph each seed would take a millisecond."""

    def number(seed):
        return tf.random.stateless_uniform((), seed, 0, sum(counts), tf.int32, alg="philox")

    def draw(seeds):
        return _category(_rows_of_seeds(seeds, "class", number, (), tf.int32), counts)

    return tf.function(draw, input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)


def _rows_of_seeds(seeds, purpose, draw, shape, dtype):
    """One row per seed, [N, *shape]; `draw` maps a Philox seed, int64 [2], to a row."""
    key = tf.constant(stream_key("image", purpose), tf.int64)
    seeds = tf.convert_to_tensor(seeds, tf.int64)
    return tf.map_fn(lambda seed: draw(tf.stack([key, seed])), seeds, fn_output_signature=tf.TensorSpec(shape, dtype))


def latents_of_seeds(seeds, latent_size):
    """Latents [N, Z] float32 of images that are requested by seed."""
    return normals_of_seeds(seeds, "latents", (latent_size,))


def noise_of_seeds(seeds, shapes):
    """Noise maps of images that are requested by seed: a list of [N, h, w, 1] float32."""
    return [normals_of_seeds(seeds, f"noise/{i}", tuple(shape)) for i, shape in enumerate(shapes)]


def _category(number, counts):
    """Index of the category that a number in 0 .. sum(counts) - 1 is in: the first `counts[0]` are category 0, etc."""
    return tf.searchsorted(tf.constant(np.cumsum(counts), tf.int32), number, side="right", out_type=tf.int32)
