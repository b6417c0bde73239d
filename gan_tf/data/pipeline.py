"""Endless batches of an image set, starting at any image count.

The image at position p of the stream, and whether it is mirrored, depend only on the set, the seed and p. A run that
continues at `images_seen` therefore gets the same stream without reading the part before, and any number of replicas
get the same global batches. Small sets are kept on the accelerator (resident); then batches contain only indices.
"""

import numpy as np
import tensorflow as tf

from gan_tf.data.cache import read_rows
from gan_tf.ops.pixels import from_uint8
from gan_tf.rng import stream_key

RESIDENT_BYTES = 1 << 30  # sets up to this size are kept on the accelerator


class InputPipeline:
    """Endless batches of one image set.

    Args:
        image_set: prepare.ImageSet.
        batch_size: images in a global batch of all replicas together.
        seed: the run's seed.
        mirror: flip about half of the images left to right, drawn for each position of the stream.
        resident: keep the images on the accelerator; None: if they are in memory and at most RESIDENT_BYTES.
    """

    def __init__(self, image_set, batch_size, seed, mirror=True, resident=None):
        self.image_set = image_set
        self.batch_size = batch_size
        self.seed = seed
        self.mirror = mirror
        small = not image_set.mapped and image_set.images.nbytes <= RESIDENT_BYTES
        self.resident = small if resident is None else resident
        self.pixels = None  # uint8 [N, H, W, C] variable of a resident set

    def place(self):
        """Copies a resident set to the accelerator. Call it in the strategy's scope, before `load` is traced."""
        if self.resident and self.pixels is None:
            self.pixels = tf.Variable(
                self.image_set.images, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )

    def dataset(self, images_seen, replicas=1, first=0, count=None):
        """Returns the endless input of one worker, from position `images_seen` of the stream on.

        Each global batch is split into `replicas` equal parts: part r holds its images r, r + replicas, ... (see
        rng.Draws.shard for the reason). The elements are the worker's parts first .. first + count - 1 of the first
        global batch (default: all from `first` on), then those of the second, and so on.

        Returns:
            tf.data.Dataset of dicts: position int64 [n], index int64 [n] of the image in the set, flip bool [n], labels
            int32 [n]; and images uint8 [n, H, W, C] if the set is not resident. n = batch_size / replicas.
        """
        count = replicas - first if count is None else count
        labels = tf.constant(self.image_set.labels, tf.int32)
        mirror_key = stream_key(self.seed, "data mirror")

        def split_batch(k, index):
            start = images_seen + k * self.batch_size
            flip = random_flips(start, self.batch_size, mirror_key) if self.mirror else tf.zeros_like(index, tf.bool)
            batch = {
                "position": start + tf.range(self.batch_size, dtype=tf.int64),
                "index": index,
                "flip": flip,
                "labels": tf.gather(labels, index),
            }
            shape = [self.batch_size // replicas, replicas]
            parts = {key: tf.transpose(tf.reshape(values, shape)) for key, values in batch.items()}
            return {key: values[first : first + count] for key, values in parts.items()}

        parts = self._order(images_seen).enumerate().map(split_batch).unbatch()
        if not self.resident:
            parts = parts.map(self._with_images, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return parts.with_options(options).prefetch(2 * count)

    def _order(self, images_seen):
        """Returns a dataset of int64 [batch_size]: the indices of the images from position `images_seen` on."""
        size = len(self.image_set)
        key = stream_key(self.seed, "data order")
        first_pass, offset = divmod(images_seen, size)

        def rest_of_pass(number):
            return permutation(key, number, size)[tf.where(number == first_pass, offset, 0) :]

        passes = tf.data.Dataset.counter(first_pass).map(rest_of_pass).prefetch(1)
        return passes.rebatch(self.batch_size).map(lambda index: tf.ensure_shape(index, [self.batch_size]))

    def _with_images(self, element):
        images = tf.numpy_function(
            lambda index: np.ascontiguousarray(read_rows(self.image_set.images, index)), [element["index"]], tf.uint8
        )
        shape = (element["index"].shape[0], *self.image_set.images.shape[1:])
        return {**element, "images": tf.ensure_shape(images, shape)}

    def load(self, element):
        """Converts an element to images float32 [n, H, W, C] in [-1, 1] and labels int32 [n].

        Call it in the training step, on the replica's device.
        """
        images = tf.gather(self.pixels, element["index"]) if self.resident else element["images"]
        images = from_uint8(images)
        return tf.where(element["flip"][:, None, None, None], tf.reverse(images, [2]), images), element["labels"]


def permutation(key, number, size):
    """Returns the order of pass `number` (int64 scalar) over the data: int64 [size], each index once.

    Sorts random int64 of the stream `key` (see rng.stream_key). tf.random.experimental.index_shuffle needs no sorting,
    but has only 256 orders of a small set.
    """
    seed = tf.stack([tf.constant(key, tf.int64), number])
    draws = tf.random.stateless_uniform([size], seed, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return tf.cast(tf.argsort(draws, stable=True), tf.int64)


def random_flips(start, count, key):
    """Draws fair booleans [count] for positions from `start` (int64 scalar) on; each depends on key and position only.

    Philox gives four words per counter value. The counter starts at start // 4, so that a position has the same value
    in every batch that contains it.
    """
    counter = tf.cast(tf.stack([start // 4, tf.zeros_like(start)]), tf.uint64)
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[count + 3], key=tf.constant([key], tf.uint64), counter=counter, alg=1, dtype=tf.uint32
    )
    words = tf.ensure_shape(words[start % 4 :][:count], [count])
    return tf.bitwise.bitwise_and(words, 1) == 1
