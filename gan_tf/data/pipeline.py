"""From prepared pictures to endless batches, starting at any image count.

The picture at position p of the endless stream, and whether it is mirrored, are functions of (seed, p). So a run that
goes on at `images_seen` continues the stream without reading what lies before, and any number of replicas sees the
same global batches. A small set lives on the accelerator and the input then carries picture numbers only.
"""

import numpy as np
import tensorflow as tf

from gan_tf.data.cache import read_rows
from gan_tf.rng import stream_key

RESIDENT_BYTES = 1 << 30  # sets up to this size are held on the accelerator


class InputPipeline:
    """Endless batches of one image set.

    Args:
        image_set: prepare.ImageSet.
        batch_size: images in a global batch, all replicas together.
        seed: the run's seed.
        mirror: flip about every other image left to right, by a coin of its position in the stream.
        resident: hold the images on the accelerator; None: if they are in memory and at most RESIDENT_BYTES.
    """

    def __init__(self, image_set, batch_size, seed, mirror=True, resident=None):
        if batch_size < 1:
            raise ValueError(f"batch_size must be positive, got {batch_size}")
        self.image_set = image_set
        self.batch_size = batch_size
        self.seed = seed
        self.mirror = mirror
        small = not image_set.mapped and image_set.images.nbytes <= RESIDENT_BYTES
        self.resident = small if resident is None else resident
        self.pixels = None  # uint8 [N, R, R, 3] variable of a resident feed

    def place(self):
        """Puts a resident set on the accelerator; call it inside the strategy's scope, before `load` is traced."""
        if self.resident and self.pixels is None:
            self.pixels = tf.Variable(
                self.image_set.images, trainable=False, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
            )

    def dataset(self, images_seen, replicas=1, first=0, count=None):
        """Returns the endless tf.data.Dataset of one worker.

        Every global batch is dealt out to `replicas` equal parts: part r holds its images r, r + replicas, ... (see
        rng.Draws.share for the reason). The elements are the parts first .. first + count - 1 of the first global
        batch, then those of the second, and so on.

        Args:
            images_seen: global position of the first image of the first batch.
            replicas: parts of a global batch; divides the batch size.
            first: number of the first part that this worker holds.
            count: parts that this worker holds; default all from `first` on.

        Returns:
            dataset of dicts: position int64 [n], index int64 [n] of the picture in the set, flip bool [n], labels
            int32 [n]; and images uint8 [n, R, R, 3] if the feed is not resident. n = batch_size / replicas.
        """
        count = replicas - first if count is None else count
        if self.batch_size % replicas:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of the number of replicas, {replicas}")
        if not 0 <= first < first + count <= replicas:
            raise ValueError(f"parts {first}..{first + count - 1} must lie in 0..{replicas - 1}")
        rows = self.batch_size // replicas
        labels = tf.constant(self.image_set.labels, tf.int32)

        def parts_of_batch(k, index):
            start = images_seen + k * self.batch_size
            batch = {
                "position": start + tf.range(self.batch_size, dtype=tf.int64),
                "index": index,
                "flip": self._flips(start),
                "labels": tf.gather(labels, index),
            }
            dealt = {key: tf.transpose(tf.reshape(values, [rows, replicas])) for key, values in batch.items()}
            return {key: values[first : first + count] for key, values in dealt.items()}

        parts = self._order(images_seen).enumerate().map(parts_of_batch).unbatch()
        if not self.resident:
            parts = parts.map(self._with_images, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return parts.with_options(options).prefetch(2 * count)

    def _order(self, images_seen):
        """Dataset of int64 [batch_size]: which pictures stand at images_seen, images_seen + 1, ..."""
        size = len(self.image_set)
        key = stream_key(self.seed, "data order")
        first_pass, offset = divmod(images_seen, size)

        def rest_of_pass(number):
            return permutation(key, number, size)[tf.where(number == first_pass, offset, 0) :]

        passes = tf.data.Dataset.counter(first_pass).map(rest_of_pass).prefetch(1)
        batches = passes.rebatch(self.batch_size)
        return batches.map(lambda index: tf.ensure_shape(index, [self.batch_size]))

    def _flips(self, start):
        """bool [batch_size]: which of the pictures at start, start + 1, ... are mirrored."""
        if not self.mirror:
            return tf.zeros([self.batch_size], tf.bool)
        return coins(start, self.batch_size, stream_key(self.seed, "data mirror"))

    def load(self, element):
        """Turns an element into training input; run inside the training step, on the replica's device.

        Returns:
            images float32 [n, R, R, 3] in [-1, 1] and labels int32 [n].
        """
        if self.resident:
            if self.pixels is None:
                raise ValueError("call Feed.place() in the strategy's scope before Feed.load()")
            images = tf.gather(self.pixels, element["index"])
        else:
            images = element["images"]
        # Floats first: not every op takes uint8 on a GPU. The difference is exact, so that one rounding is left and
        # plain, traced and XLA code agree to the bit.
        images = (tf.cast(images, tf.float32) - 127.5) * (1 / 127.5)
        return tf.where(element["flip"][:, None, None, None], tf.reverse(images, [2]), images), element["labels"]

    def _with_images(self, element):
        images = tf.numpy_function(
            lambda index: np.ascontiguousarray(read_rows(self.image_set.images, index)), [element["index"]], tf.uint8
        )
        shape = (element["index"].shape[0], *self.image_set.images.shape[1:])
        return {**element, "images": tf.ensure_shape(images, shape)}


def permutation(key, number, size):
    """The order of one pass over the data.

    By sorting random numbers, once for each pass. (tf.random.experimental.index_shuffle, which needs no sorting, knows
    only 256 orders of a small set as its second seed word changes, and takes 5 us for each of 100 images, 50 of 8.)

    Args:
        key: 63-bit integer, see rng.stream_key.
        number: int64 scalar, the pass.
        size: pictures in the set.

    Returns:
        int64 [size], every picture once.
    """
    seed = tf.stack([tf.constant(key, tf.int64), number])
    draws = tf.random.stateless_uniform([size], seed, minval=None, maxval=None, dtype=tf.int64, alg="philox")
    return tf.cast(tf.argsort(draws, stable=True), tf.int64)


def coins(start, count, key):
    """Fair coins of positions start .. start + count - 1; each depends on the key and its own position only.

    Philox numbers its output words: four to a counter value. Starting the counter at start // 4 reads them from the
    middle, so that the coin of a position is the same whichever batch it falls into.

    Args:
        start: int64 scalar.
        count: Python integer.
        key: 63-bit integer, see rng.stream_key.

    Returns:
        bool [count].
    """
    counter = tf.cast(tf.stack([start // 4, tf.zeros_like(start)]), tf.uint64)
    words = tf.raw_ops.StatelessRandomUniformFullIntV2(
        shape=[count + 3], key=tf.constant([key], tf.uint64), counter=counter, alg=1, dtype=tf.uint32
    )
    own = tf.ensure_shape(words[start % 4 :][:count], [count])
    return tf.bitwise.bitwise_and(own, 1) == 1
