"""Every random number of a run, as a pure function of where it is used.

A draw depends on (seed, attempt, purpose, images seen, index in the global batch) and on nothing else: there is no
hidden generator to save, so a killed run continues with the numbers that it would have had, and one, two and eight
replicas see the same numbers. The generator is always Philox, asked for raw bits: those are the same inside and
outside XLA, while TensorFlow's own float draws are not, nor are bfloat16 draws rounded float32 draws.
"""

import functools
import hashlib
import itertools
import math

import tensorflow as tf

ATTEMPT_STRIDE = 2**48  # images seen stay below this; the attempt number is counted above it


def stream_key(seed, purpose):
    """Returns a 63-bit integer that names the stream `purpose` of `seed`; equal on every machine."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def clock_of(images_seen, attempt=0):
    """Folds the attempt number of a rolled-back run into its image count: int64 scalar for `Draws`."""
    return tf.cast(images_seen, tf.int64) + ATTEMPT_STRIDE * tf.cast(attempt, tf.int64)


def images_of_clock(clock):
    """The image count in what `clock_of` made, without the attempt: int64 scalar."""
    return tf.math.floormod(clock, tf.constant(ATTEMPT_STRIDE, tf.int64))


def unit_uniform(shape, seed):
    """Uniform float32 in [0, 1), a multiple of 2**-24; `seed` is int64 [2]."""
    bits = tf.random.stateless_uniform(shape, seed, minval=None, maxval=None, dtype=tf.uint32, alg="philox")
    return tf.cast(tf.bitcast(tf.bitwise.right_shift(bits, 8), tf.int32), tf.float32) * 2.0**-24


def unit_normal(shape, seed):
    """Standard normal float32 by Box and Muller (1958); `seed` is int64 [2]."""
    radius, angle = tf.unstack(unit_uniform((2, *shape), seed))
    return tf.sqrt(-2.0 * tf.math.log1p(-radius)) * tf.cos(2.0 * math.pi * angle)


class Draws:
    """Random tensors for the rows of one global batch, or for every so many of them.

    Args:
        seed: the run's seed, a Python integer.
        clock: int64 scalar tensor, images seen before this step with the attempt folded in (`clock_of`).
        batch: rows of the global batch, all replicas together.
        path: put in front of every purpose.
        first, stride: this object holds rows first, first + stride, ...; see `share`. `first` may be a tensor.
    """

    def __init__(self, seed, clock, batch, path="", first=0, stride=1):
        self.seed = seed
        self.clock = clock
        self.batch = batch
        self.path = path
        self.first = first
        self.stride = stride
        self.count = batch // stride

    def fold_in(self, purpose):
        """Returns draws of the same rows whose streams are independent of this object's."""
        return Draws(self.seed, self.clock, self.batch, f"{self.path}{purpose}/", self.first, self.stride)

    def shard(self, index, parts):
        """Returns the draws of a replica or a micro-batch: of rows index, index + parts, ... of this object's.

        Not of consecutive rows: groups of images that lie at equal distances in the batch, as those of PGGAN's
        minibatch standard deviation, then lie whole within a share, and are the same however a batch is shared.

        Args:
            index: number of the share, may be a tensor.
            parts: number of shares; divides `count`.
        """
        if self.count % parts:
            raise ValueError(f"{self.count} rows cannot be shared by {parts}")
        first = self.first + self.stride * index
        return Draws(self.seed, self.clock, self.batch, self.path, first, self.stride * parts)

    def normal(self, purpose, shape=()):
        """Standard normal float32 [count, *shape]."""
        return self._own_rows(unit_normal((self.batch, *shape), self._seed_of(purpose)))

    def uniform(self, purpose, shape=(), low=0.0, high=1.0):
        """Uniform float32 [count, *shape] in [low, high)."""
        unit = unit_uniform((self.batch, *shape), self._seed_of(purpose))
        return self._own_rows(low + (high - low) * unit)

    def integers(self, purpose, shape, low, high):
        """Uniform int32 [count, *shape] in [low, high)."""
        return self._own_rows(self._integers(purpose, (self.batch, *shape), low, high))

    def shared_integer(self, purpose, low, high):
        """One int32 scalar in [low, high) that every row of the global batch, hence every replica, shares."""
        return self._integers(purpose, (), low, high)

    def categories(self, purpose, counts):
        """int32 [count] in 0 .. len(counts) - 1, each as often as its share of the sum of `counts` (integers)."""
        return _category(self.integers(purpose, (), 0, sum(counts)), counts)

    def noise(self, purpose, shapes):
        """A list of standard normal maps [count, h, w, 1], one for each entry of a generator's `noise_shapes`."""
        return [self.normal(f"{purpose}/{i}", tuple(shape)) for i, shape in enumerate(shapes)]

    def _integers(self, purpose, shape, low, high):
        return tf.random.stateless_uniform(
            shape, self._seed_of(purpose), minval=low, maxval=high, dtype=tf.int32, alg="philox"
        )

    def _seed_of(self, purpose):
        return tf.stack([tf.constant(stream_key(self.seed, self.path + purpose), tf.int64), self.clock])

    def _own_rows(self, values):
        if self.stride == 1:
            return values
        rows = values[self.first :: self.stride]
        return tf.ensure_shape(rows, (self.count, *values.shape[1:]))


def normals_of_seeds(seeds, purpose, shape):
    """Standard normal draws whose row i depends on `seeds[i]` alone: the same image in any batch, on any day.

    Args:
        seeds: int64 [N], what the user calls `--seeds`.
        purpose: name of the stream, such as "latents".
        shape: shape of one row.

    Returns:
        float32 [N, *shape].
    """
    return _rows_of_seeds(seeds, purpose, functools.partial(unit_normal, tuple(shape)), tuple(shape), tf.float32)


def categories_of_seeds(seeds, counts):
    """The draws of `Draws.categories` for the images that users ask for by seed: int64 [N] -> int32 [N]."""
    return _compiled_categories(tuple(counts))(tf.convert_to_tensor(seeds, tf.int64))


@functools.cache
def _compiled_categories(counts):
    """tf.function: seeds int64 [N] -> categories int32 [N]; one at a time in Python would take a millisecond each."""

    def number(where):
        return tf.random.stateless_uniform((), where, 0, sum(counts), tf.int32, alg="philox")

    def draw(seeds):
        return _category(_rows_of_seeds(seeds, "class", number, (), tf.int32), counts)

    return tf.function(draw, input_signature=[tf.TensorSpec([None], tf.int64)], autograph=False)


def _rows_of_seeds(seeds, purpose, draw, shape, dtype):
    """A row for each seed, [N, *shape]: `draw` takes the two integers that say where in the stream it begins."""
    key = tf.constant(stream_key("image", purpose), tf.int64)
    seeds = tf.convert_to_tensor(seeds, tf.int64)
    return tf.map_fn(lambda seed: draw(tf.stack([key, seed])), seeds, fn_output_signature=tf.TensorSpec(shape, dtype))


def latents_of_seeds(seeds, latent_size):
    """Latents [N, Z] float32 for the images that users ask for by seed."""
    return normals_of_seeds(seeds, "latents", (latent_size,))


def noise_of_seeds(seeds, shapes):
    """Noise maps for the images that users ask for by seed: a list of [N, h, w, 1] float32."""
    return [normals_of_seeds(seeds, f"noise/{i}", tuple(shape)) for i, shape in enumerate(shapes)]


def _category(number, counts):
    """Which category a number in 0 .. sum(counts) - 1 falls into: the first `counts[0]` are category 0, and so on."""
    ends = tf.constant(list(itertools.accumulate(counts)), tf.int32)
    return tf.searchsorted(ends, number, side="right", out_type=tf.int32)
