"""RunLog: the records of a run in stats.jsonl and TensorBoard, and its progress line."""

import contextlib
import math
import sys
import time

import tensorflow as tf

from gan_tf.distributed.devices import peak_memory_gb
from gan_tf.training.adaptation import ada_scalars
from gan_tf.training.timing import duration

TERMINAL_SECONDS = 1.0  # between two updates of the progress line on a terminal
FILE_SECONDS = 30.0  # between two progress lines in a file
SPEED_MEMORY = 0.9  # weight of the old value in the moving average of the speed
COPY_CHECK = "copies"  # TensorBoard tag of the copy check's image


class RunLog:
    """Writes records, TensorBoard events and the progress line of a run; does nothing on workers other than the chief.

    As a context manager it closes the event file.

    Args:
        run: runs.folder.Run.
        total_images, epoch_images: length of the run and of an epoch.
        enabled: False on workers other than the chief.
    """

    def __init__(self, run, total_images, epoch_images, enabled=True):
        self.run, self.total_images, self.epoch_images, self.enabled = run, total_images, epoch_images, enabled
        self.images_per_second = None
        self.score = ""  # text of the last score, for the progress line
        self._losses, self._stage_text = {}, ""
        self._warned_of_ada_limit = False
        self._writer = None
        self._is_terminal, self._line_is_open = sys.stderr.isatty(), False
        self._last_line = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        # After an error such as a full disk, closing may fail for the same reason: the first error is the one to show.
        with contextlib.suppress(*([tf.errors.OpError] if error else [])):
            self.close()

    def print(self, text):
        """Prints a line below the progress line."""
        if not self.enabled:
            return
        if self._line_is_open:
            print(file=sys.stderr)
            self._line_is_open = False
        print(text, flush=True)

    # Records

    def record_losses(self, trainer, seen):
        """Writes the means of the statistics since the last record, and resets them."""
        statistics = trainer.state.read_statistics()
        trainer.state.reset_statistics()
        if not self.enabled:
            return
        means = {name: float(total / count) for name, (total, count) in statistics.items() if count}
        self._losses = means
        means = means | ada_scalars(trainer.state)
        self.record(seen, "train", means)
        self.scalars(seen, {**means, **trainer.recipe.scalars(trainer.stages, seen)})
        if self.images_per_second:
            self.scalars(seen, {"speed/images_per_second": self.images_per_second})
        self._warn_of_ada_limit(trainer)

    def _warn_of_ada_limit(self, trainer):
        """Prints a warning, once per start, when ADA's probability has reached `--ada-max`."""
        p, highest = ada_scalars(trainer.state).get("augment/p", 0.0), trainer.config.ada_max
        if not self._warned_of_ada_limit and p > 0 and math.isclose(p, highest, rel_tol=1e-6):
            self._warned_of_ada_limit = True
            self.print(
                f"warning: augmentation has reached --ada-max {highest:g}, and the discriminator still memorises the "
                "images. More augmentation would show in the samples; more images, --init-from with --freeze-d, or a "
                "shorter run help"
            )

    def record(self, seen, kind, values):
        """Appends a record to stats.jsonl."""
        if self.enabled:
            self.run.log(seen, kind, values)

    # TensorBoard

    def scalars(self, step, values):
        """Writes {name: number} to TensorBoard."""
        if self.enabled:
            with self._open().as_default():
                for name, value in values.items():
                    tf.summary.scalar(name, value, step)

    def image(self, step, name, image):
        """Writes an image uint8 [H, W, 3] to TensorBoard."""
        if self.enabled:
            with self._open().as_default():
                tf.summary.image(name, image[None], step)

    def text(self, step, name, text):
        """Writes Markdown to TensorBoard."""
        if self.enabled:
            with self._open().as_default():
                tf.summary.text(name, text, step)

    def flush(self):
        """Writes all events to the disk."""
        if self._writer:
            self._writer.flush()

    def close(self):
        """Closes the event file; the next event opens a new one."""
        if self._writer:
            self._writer.close()
            self._writer = None

    def cut(self, images_seen):
        """Removes records, grids and events after `images_seen`, which training will write again.

        Images of that moment are removed too, since resuming writes them again; those of the copy check stay, since
        the score that they belong to is not measured again. An event that a kill cut short ends its file.
        """
        if not self.enabled:
            return
        self.close()
        self.run.cut(images_seen)
        old = sorted(self.run.folder.glob("events.out.tfevents.*"))
        if not old:
            return
        # The new name sorts after the old ones at any clock. TensorBoard ignores the file until it is renamed.
        second = max(int(time.time()), *(_second_of(path) + 1 for path in old))
        complete = self.run.folder / f"events.out.tfevents.{second:010d}.{time.time_ns()}.kept.v2"
        partial = self.run.folder / "events.partial"
        written = set()
        with tf.io.TFRecordWriter(str(partial)) as writer:
            for path in old:
                for event in _read_events(path):
                    key = (event.step, tuple(value.tag for value in event.summary.value))
                    stays = event.step < images_seen or (event.step == images_seen and not _is_repeated(event))
                    if stays and key not in written:
                        written.add(key)
                        writer.write(event.SerializeToString())
        partial.replace(complete)
        for path in old:
            path.unlink()

    def _open(self):
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(str(self.run.folder))
        return self._writer

    # Progress line

    def enter_stage(self, text):
        """Sets the stage's text in the progress line; the speed of a new stage is measured again."""
        if text != self._stage_text:
            self.images_per_second = None
        self._stage_text = text

    def report_speed(self, trainer, seen, timing):
        """Updates the progress line after a call of the steps, and prints once the share of the time for scores.

        Args:
            seen: images seen after the call.
            timing: (images, seconds) of the call; None if it was traced, which takes longer.
        """
        if not timing or not self.enabled:
            return
        images, seconds = timing
        self._set_progress(seen, images, seconds, trainer.timer.seconds_left())
        line = trainer.timer.share_of_scores(images, seconds, self.epoch_images)
        if line:
            self.print(line)

    def _set_progress(self, images_seen, images, seconds, seconds_left):
        speed = images / seconds
        old = speed if self.images_per_second is None else self.images_per_second
        self.images_per_second = SPEED_MEMORY * old + (1 - SPEED_MEMORY) * speed
        now = time.monotonic()
        if now - self._last_line < (TERMINAL_SECONDS if self._is_terminal else FILE_SECONDS):
            return
        self._last_line = now
        line = self.progress_line(images_seen, seconds_left)
        print(f"\r{line}\033[K" if self._is_terminal else line, end="" if self._is_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()
        self._line_is_open = self._is_terminal

    def progress_line(self, images_seen, seconds_left=math.inf):
        """kimg, epoch, stage, losses, score, speed, time left at this speed, and memory."""
        left = min(seconds_left, (self.total_images - images_seen) / self.images_per_second)
        kimg = f"{images_seen / 1000:.1f}/{self.total_images / 1000:g} kimg"
        parts = [kimg, f"epoch {images_seen // self.epoch_images}"]
        if self._stage_text:
            parts.append(self._stage_text)
        if self._losses:
            d_loss = self._losses["loss/d_real"] + self._losses["loss/d_fake"]
            parts.append(f"d {d_loss:.2f}  g {self._losses['loss/g']:.2f}")
        if self.score:
            parts.append(self.score)
        parts += [f"{self.images_per_second:.1f} images/s", f"{duration(max(0.0, left))} left"]
        return "  ".join([*parts, f"{peak_memory_gb():.1f} GB"])


def _second_of(path):
    """The creation time in an event file's name, in seconds since 1970."""
    digits = path.name.split(".")[3]
    return int(digits) if digits.isdigit() else 0


def _is_repeated(event):
    """True if resuming at the event's step writes it again."""
    values = event.summary.value
    return any(value.metadata.plugin_data.plugin_name == "images" and value.tag != COPY_CHECK for value in values)


def _read_events(path):
    try:
        for record in tf.data.TFRecordDataset(str(path)):
            yield tf.compat.v1.Event.FromString(record.numpy())
    except tf.errors.DataLossError:
        return
