"""What a person sees of a run: the progress line, TensorBoard, and a polite answer to Ctrl-C."""

import contextlib
import math
import sys
import time

import tensorflow as tf

from gan_tf.distributed.devices import peak_memory_gb
from gan_tf.io.progress import StagedProgress

TERMINAL_SECONDS = 1.0  # between two states of the line on a terminal
LOG_SECONDS = 30.0  # between two lines in a file
COPIES = "copies"  # tag of the copy check's picture
SPEED_MEMORY = 0.9  # share of the old speed that a new measurement leaves


class Interrupted(Exception):
    """SIGINT or SIGTERM: the run has been saved and can be continued."""


class Diverged(Exception):
    """Training went wrong in a way that more of it will not mend; the message says how."""


class Watch:
    """Shows how far a long look at the generator is, and leaves it when a signal came.

    Called with (done, total, what is done).

    Args:
        heard: function that tells the signal that came, None before one does.

    Raises:
        Interrupted: a signal came.
    """

    def __init__(self, heard):
        self._heard = heard
        self._stages = StagedProgress()

    def __call__(self, done, total, verb):
        if signal_name := self._heard():
            self.close()
            raise Interrupted(signal_name)
        self._stages(done, total, verb)

    def close(self):
        """Ends the line."""
        self._stages.close()


class ProgressLine:
    """One calm line on stderr: kimg, epoch, losses, score, images/s, time left, memory.

    Args:
        workload: forecast.Workload: images of later stages may cost more than those of now.
        epoch_images: images in an epoch.
        shown: False on workers whose line would only repeat the chief's.
    """

    def __init__(self, workload, epoch_images, shown=True):
        self.workload, self._shown = workload, shown
        self.epoch_images = epoch_images
        self.images_per_second = None
        self.values = {}
        self.score = ""
        self._work_per_second = None
        self._where = ""
        self._terminal = sys.stderr.isatty()
        self._last = time.monotonic()
        self._open = False

    def advance(self, images_seen, images, seconds, most_seconds=math.inf):
        """Notes that `images` took `seconds`, and shows the line when it is time. The end comes in `most_seconds`."""
        work = self.workload.between(images_seen - images, images_seen)
        self.images_per_second = smoothed(self.images_per_second, images / seconds)
        self._work_per_second = smoothed(self._work_per_second, work / seconds)
        now = time.monotonic()
        if not self._shown or now - self._last < (TERMINAL_SECONDS if self._terminal else LOG_SECONDS):
            return
        self._last = now
        self.show(images_seen, most_seconds)

    def enters(self, where):
        """Notes a new stage, and what to call it; its images may take another time."""
        if where != self._where:
            self.images_per_second = self._work_per_second = None
        self._where = where

    def show(self, images_seen, most_seconds=math.inf):
        """Shows the line."""
        left = max(0.0, min(most_seconds, self.workload.left(images_seen) / self._work_per_second))
        parts = [
            f"{images_seen / 1000:.1f}/{self.workload.total_images / 1000:g} kimg",
            f"epoch {images_seen // self.epoch_images}",
            *([self._where] if self._where else []),
            *(f"{name} {value:.2f}" for name, value in self._losses()),
            *([self.score] if self.score else []),
            f"{self.images_per_second:.1f} images/s",
            f"{duration(left)} left",
            f"{peak_memory_gb():.1f} GB",
        ]
        line = "  ".join(parts)
        print(f"\r{line}\033[K" if self._terminal else line, end="" if self._terminal else "\n", file=sys.stderr)
        sys.stderr.flush()
        self._open = self._terminal

    def log(self, text):
        """Prints a line of its own, below the progress line."""
        if self._open:
            print(file=sys.stderr)
            self._open = False
        print(text, flush=True)

    def _losses(self):
        if not self.values:
            return []
        d = self.values["loss/d_real"] + self.values["loss/d_fake"]
        return [("d", d), ("g", self.values["loss/g"])]


class TensorBoard:
    """Writes scalars, pictures and text into the run folder's event files, each step once.

    As a context it ends the file. What an error within began is then told, and not what follows from it: a disk that
    is full takes no last values either.
    """

    def __init__(self, folder):
        self.folder = folder
        self._writer = None

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        with contextlib.suppress(*([tf.errors.OpError] if kind else [])):
            self.close()

    def cut(self, images_seen):
        """Rewrites the event files without what lies past `images_seen`, since training will write it again.

        Pictures of that very moment go too: training on begins by showing them. The copy check's stays: it came with a
        score, which is not measured again.

        A record cut short by a kill ends its file: what follows cannot be read and is left out.
        """
        old = sorted(self.folder.glob("events.out.tfevents.*"))
        if not old:
            return
        # A name that sorts after the old ones, whatever the clock says, and that TensorBoard does not read until it is
        # complete.
        second = max(int(time.time()), *(_second_of(path) + 1 for path in old))
        whole = self.folder / f"events.out.tfevents.{second:010d}.{time.time_ns()}.kept.v2"
        partial = self.folder / "events.partial"
        seen = set()
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for path in old:
                for event in _events(path):
                    key = (event.step, tuple(value.tag for value in event.summary.value))
                    is_covered = event.step < images_seen or (event.step == images_seen and not _is_shown_again(event))
                    if is_covered and key not in seen:
                        seen.add(key)
                        writer.write(event.SerializeToString())
        partial.replace(whole)
        for path in old:
            path.unlink()

    def scalars(self, step, values):
        """Writes {name: number}."""
        with self._open().as_default():
            for name, value in values.items():
                tf.summary.scalar(name, value, step)

    def picture(self, step, name, image):
        """Writes one uint8 [H, W, 3]."""
        with self._open().as_default():
            tf.summary.image(name, image[None], step)

    def text(self, step, name, text):
        """Writes Markdown."""
        with self._open().as_default():
            tf.summary.text(name, text, step)

    def flush(self):
        """Puts what was written on the disk."""
        if self._writer:
            self._writer.flush()

    def close(self):
        """Ends the file."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def _open(self):
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.folder))
        return self._writer


def check_finite(job, tally):
    """Returns the tally [K + 1] if the run is sound.

    Raises:
        Diverged: a loss, a logit or a gradient is not finite.
    """
    bad = [name for name, value in zip(job.recipe.STATISTICS, tally, strict=False) if not math.isfinite(value)]
    if bad:
        raise Diverged(f"{', '.join(bad)} became non-finite")
    if job.state.scales_loss and float(job.state.loss_scale.numpy()) < 2.0**-10:
        raise Diverged("float16 gradients overflow at any loss scale; --precision float32 has no such limit")
    return tally


def smoothed(old, new):
    """A speed that follows new measurements slowly; `old` is None before the first."""
    return new if old is None else SPEED_MEMORY * old + (1 - SPEED_MEMORY) * new


def duration(seconds):
    """A length of time for people: 45 s, 12 min, 3 h 20 min, 2 d 4 h."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    if hours < 48:
        return f"{hours} h {minutes % 60} min"
    return f"{hours // 24} d {hours % 24} h"


def _second_of(path):
    """When TensorFlow or `cut` named an event file: seconds since 1970."""
    digits = path.name.split(".")[3]
    return int(digits) if digits.isdigit() else 0


def _is_shown_again(event):
    values = event.summary.value
    return any(value.metadata.plugin_data.plugin_name == "images" and value.tag != COPIES for value in values)


def _events(path):
    try:
        for record in tf.data.TFRecordDataset(str(path)):
            yield tf.compat.v1.Event.FromString(record.numpy())
    except tf.errors.DataLossError:
        return
