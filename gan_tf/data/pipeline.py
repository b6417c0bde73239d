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


class Feed:
    """Endless batches of one image set.

    Args:
        image_set: prepare.ImageSet.
        batch_size: images in a global batch, all replicas together.
        seed: the run's seed.
        mirror: flip every other image, by a fair coin of its own, left to right.
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

        Every global batch is cut into `replicas` equal parts of consecutive images. The elements are the parts
        first .. first + count - 1 of the first global batch, then those of the second, and so on.

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

        def element(k):
            start = images_seen + (k // count) * self.batch_size + (first + k % count) * rows
            index, flip = self.order(start, rows)
            positions = start + tf.range(rows, dtype=tf.int64)
            return {"position": positions, "index": index, "flip": flip, "labels": tf.gather(labels, index)}

        parts = tf.data.Dataset.counter().map(element)
        if not self.resident:
            parts = parts.map(self._with_images, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        options = tf.data.Options()
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return parts.with_options(options).prefetch(2 * count)

    def order(self, start, rows):
        """Which pictures stand at positions start .. start + rows - 1, and which of them are mirrored.

        Args:
            start: int64 scalar.
            rows: Python integer.

        Returns:
            index int64 [rows]: each picture once in every pass over the set; flip bool [rows].
        """
        positions = start + tf.range(rows, dtype=tf.int64)
        index = shuffled(positions, len(self.image_set), stream_key(self.seed, "data order"))
        if not self.mirror:
            return index, tf.zeros([rows], tf.bool)
        return index, coins(start, rows, stream_key(self.seed, "data mirror"))

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
        images = tf.cast(images, tf.float32) / 127.5 - 1.0  # first: not every op takes uint8 on a GPU
        return tf.where(element["flip"][:, None, None, None], tf.reverse(images, [2]), images), element["labels"]

    def _with_images(self, element):
        images = tf.numpy_function(
            lambda index: np.ascontiguousarray(read_rows(self.image_set.images, index)), [element["index"]], tf.uint8
        )
        shape = (element["index"].shape[0], *self.image_set.images.shape[1:])
        return {**element, "images": tf.ensure_shape(images, shape)}


def shuffled(positions, size, key):
    """The endless stream of 0 .. size - 1, each pass in an order of its own, at some positions.

    Args:
        positions: int64 [n], global.
        size: pictures in the set.
        key: 63-bit integer, see rng.stream_key.

    Returns:
        int64 [n] in 0 .. size - 1.
    """
    passes, offsets = positions // size, positions % size
    # The op behind tf.random.experimental.index_shuffle, which pads a list of seeds on the wrong axis (TensorFlow
    # 2.21). It uses 32 bits of each of three seeds.
    words = [tf.fill(tf.shape(passes), tf.constant(word, tf.int64)) for word in (key & 0x7FFFFFFF, key >> 32)]
    seeds = tf.stack([*words, passes], axis=1)
    return tf.raw_ops.RandomIndexShuffle(index=offsets, seed=seeds, max_index=tf.constant(size - 1, tf.int64), rounds=4)


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
