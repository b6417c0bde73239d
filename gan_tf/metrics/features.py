"""Inception features of a stream of images: sampling, resizing and the network side by side, in bounded memory.

    your images -> [thread] -> batches, resized -> [thread] -> network, in the caller's thread -> rows, in order

A thread works ahead of what follows it by AHEAD items at most, so memory does not grow with the number of images. What
goes wrong in a thread is raised in the caller; a stream that is closed early takes its threads with it.
"""

import concurrent.futures
import contextlib
import contextvars
import os
import queue
import threading
from collections.abc import Generator

import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained.inception import FEATURES, RESIZES, network_input

AHEAD = 2  # items that wait between two threads
BATCH_SIZES = {"CPU": 16, "GPU": 64}  # images at once; on a CPU 8 to 32 are equally fast
PRECISIONS = ("float32", "bfloat16")
OFFICIAL = "inception"
END = object()


class Extractor:
    """FID's Inception behind its preprocessing.

    Args:
        network: pretrained.inception.Inception in float32.
        resize: how images come to 299 pixels: "pytorch", "clean" or "tf1".
        precision: "float32", or "bfloat16": faster where the hardware multiplies it, but other features.
        batch_size: images that the network sees at once; default by device. The last batch is filled up with zeros, so
            the network is traced once, and an image's features do not depend on the images around it.

    Attributes:
        name: "inception" if the features are those of the papers, else the tag that the names of their scores carry:
            "-custom:1a2b3c4d", "-bfloat16" or both.
        protocol: what two sets of features must share to be compared, {name: string}.
        compiled: from resized images [batch_size, 299, 299, 3] to features and logits.

    Raises:
        UsageError: unknown `resize` or `precision`.
    """

    def __init__(self, network, resize="pytorch", precision="float32", batch_size=None):
        if resize not in RESIZES:
            raise UsageError(f"--resize {resize!r} is unknown; choose from {', '.join(RESIZES)}")
        if precision not in PRECISIONS:
            raise UsageError(f"features of precision {precision!r} are unknown; choose from {', '.join(PRECISIONS)}")
        self.resize = resize
        self.batch_size = batch_size or BATCH_SIZES["GPU" if tf.config.list_logical_devices("GPU") else "CPU"]
        custom = "" if network.genuine else f"-custom:{network.sha256[:8]}"
        self.name = custom + ("" if precision == "float32" else f"-{precision}") or OFFICIAL
        self.protocol = {"network": network.sha256, "resize": resize, "features": precision}
        self._network = network.with_precision(precision)
        self.compiled = tf.function(self._outputs, autograph=False)

    def stream(self, chunks, on_batch=None):
        """Features and logits of images, in their order.

        Args:
            chunks: iterable of uint8 [n, H, W, 3], n as it likes, from call to call; gone through in another thread
                with the caller's context variables. If it is a generator it is closed there.
            on_batch: called with the number of images done after each batch, in the caller's thread; may raise.

        Yields:
            (features [n, 2048] float32, logits [n, 1008] float32), n the batch size or, once, less. The logits are
            without bias, as the Inception Score takes them.

        Raises:
            ValueError: images that are not uint8 [n, H, W, 3]. Also whatever `chunks` raises.
        """
        done = 0
        with contextlib.closing(ahead(self._inputs(ahead(chunks)))) as batches:
            for inputs, count in batches:
                with full_products():
                    features, logits = (rows[:count].numpy() for rows in self.compiled(inputs))
                done += count
                yield features, logits
                if on_batch is not None:
                    on_batch(done)

    def _outputs(self, inputs):
        """What the network makes of [N, 299, 299, 3]."""
        outputs = self._network(inputs)
        return outputs[str(FEATURES)], outputs["logits_unbiased"]

    def _inputs(self, chunks):
        """Yields (float32 [batch_size, 299, 299, 3], images in it)."""
        with contextlib.closing(chunks), contextlib.ExitStack() as stack:
            mapped = map
            if self.resize == "clean":  # by Pillow, one image at a time
                mapped = stack.enter_context(concurrent.futures.ThreadPoolExecutor(os.cpu_count())).map
            for images in batched(map(checked, chunks), self.batch_size):
                inputs = network_input(images, self.resize, mapped)
                lacking = self.batch_size - len(images)
                yield tf.pad(inputs, [[0, lacking], [0, 0], [0, 0], [0, 0]]) if lacking else inputs, len(images)


@contextlib.contextmanager
def full_products():
    """Within, float32 is multiplied as float32: recent GPUs would round it to TensorFloat-32, and move every score."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def checked(images):
    """The images if they are uint8 [n, H, W, 3]. Raises ValueError otherwise."""
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images must be uint8 [n, H, W, 3], got {images.dtype} {list(images.shape)}")
    return images


def batched(chunks, size):
    """Cuts and joins arrays [n, ...] of any n to arrays [size, ...], the last one smaller."""
    parts, count = [], 0
    for chunk in chunks:
        while len(chunk):
            part, chunk = chunk[: size - count], chunk[size - count :]
            parts.append(part)
            count += len(part)
            if count == size:
                yield np.concatenate(parts)
                parts, count = [], 0
    if parts:
        yield np.concatenate(parts)


def ahead(items, depth=AHEAD):
    """Iterates in another thread, up to `depth` items ahead of the caller.

    Exceptions of `items`, KeyboardInterrupt and its like too, are raised here, after the items in front of them.
    Closing this generator stops the thread after the item that it is at, closes `items` there if it is a generator,
    and waits for that.
    """
    waiting = queue.Queue(depth)  # of (item, None), and at the end (None, an exception or END)
    stopped = threading.Event()

    def work():
        try:
            with contextlib.closing(items) if isinstance(items, Generator) else contextlib.nullcontext():
                for item in items:
                    waiting.put((item, None))
                    if stopped.is_set():
                        return
        except BaseException as error:  # raised again where the items are wanted
            waiting.put((None, error))
        else:
            waiting.put((None, END))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while True:
            item, error = waiting.get()
            if error is END:
                return
            if error is not None:
                raise error
            yield item
    finally:
        stopped.set()
        while not waiting.empty():  # a thread that waits for room finds it, sees that it shall stop, and ends
            waiting.get()
        thread.join()
