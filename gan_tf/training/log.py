"""RunLog: the records of a run in stats.jsonl and TensorBoard, and its progress line."""

import contextlib
import math
import sys
import time

import tensorflow as tf

from gan_tf.distributed.devices import peak_memory_gb
from gan_tf.io.files import list_folder
from gan_tf.io.tensorflow_paths import tensorflow_path
from gan_tf.training.adaptation import ada_scalars

TERMINAL_SECONDS = 1.0  # between two updates of the progress line on a terminal
FILE_SECONDS = 30.0  # between two progress lines in a file
SPEED_MEMORY = 0.9  # weight of the old value in the moving average of the speed
TIMED_SECONDS = 3  # of training are timed before the share of scores is printed
EVALUATION_SHARE = 0.1  # of the time; if scores take more, a larger --eval-every is suggested
COPY_CHECK_TAG = "copies"  # TensorBoard tag of the copy check's image


class RunLog:
    """Writes stats.jsonl, TensorBoard events and the progress line of a run. With `enabled` False it writes nothing.

    As a context manager it closes the event file.
    """

    def __init__(self, run, config, epoch_images, enabled=True):
        self.run, self.config, self.epoch_images, self.enabled = run, config, epoch_images, enabled
        self.images_per_second = None
        self.score = ""  # text of the last score, for the progress line
        # Function that returns the expected seconds of a score; None once their share of the time was printed.
        self.expect_score = None
        self._trained_images, self._trained_seconds = 0, 0.0
        self._losses, self._stage_text = {}, ""
        self._warned_of_ada_limit = False
        self._writer = None
        self._is_terminal, self._line_is_open = sys.stderr.isatty(), False
        self._last_line = time.monotonic()

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        # After an error such as a full disk, closing may fail for the same reason; the first error is raised.
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
        """Records the means of the statistics and resets those; warns once if ADA's p has reached `--ada-max`."""
        statistics = trainer.state.read_statistics()
        trainer.state.reset_statistics()
        if not self.enabled:
            return
        self._losses = {name: float(total / count) for name, (total, count) in statistics.items() if count}
        means = self._losses | ada_scalars(trainer.state)
        self.record(seen, "train", means)
        speed = {"speed/images_per_second": self.images_per_second} if self.images_per_second else {}
        self.scalars(seen, {**means, **trainer.recipe.scalars(trainer.stages, seen), **speed})
        p, highest = means.get("augment/p", 0.0), self.config.ada_max
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
        for name, value in values.items():
            self._summarise(tf.summary.scalar, name, value, step)

    def image(self, step, name, image):
        """Writes an image uint8 [H, W, 3] to TensorBoard."""
        self._summarise(tf.summary.image, name, image[None], step)

    def text(self, step, name, text):
        """Writes Markdown to TensorBoard."""
        self._summarise(tf.summary.text, name, text, step)

    def _summarise(self, summary, *arguments):
        if not self.enabled:
            return
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(tensorflow_path(self.run.folder))
        with self._writer.as_default():
            summary(*arguments)

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

        Image events at `images_seen` are removed too, since the start writes them again, except those of the copy
        check, which belongs to a score that is not repeated. A file is read up to an event that a kill cut short.
        """
        if not self.enabled:
            return
        self.close()
        self.run.cut(images_seen)
        old = list_folder(self.run.folder, "events.out.tfevents.*")
        if not old:
            return
        # The new name sorts after the old ones even if the clock was set back. TensorBoard ignores it until the rename.
        creation_times = [path.name.split(".")[3] for path in old]  # seconds since 1970
        newest = max((int(digits) for digits in creation_times if digits.isdigit()), default=0)
        second = max(int(time.time()), newest + 1)
        complete = self.run.folder / f"events.out.tfevents.{second:010d}.{time.time_ns()}.kept.v2"
        partial = self.run.folder / "events.partial"
        written = set()
        with tf.io.TFRecordWriter(tensorflow_path(partial)) as writer:
            for path in old:
                for event in _read_events(path):
                    values = event.summary.value
                    key = (event.step, tuple(value.tag for value in values))
                    is_repeated = event.step == images_seen and any(
                        value.metadata.plugin_data.plugin_name == "images" and value.tag != COPY_CHECK_TAG
                        for value in values
                    )
                    if event.step <= images_seen and not is_repeated and key not in written:
                        written.add(key)
                        writer.write(event.SerializeToString())
        partial.replace(complete)
        for path in old:
            path.unlink()

    # Progress line

    def enter_stage(self, text):
        """Sets the stage's text in the progress line; if it is new, the measurement of the speed starts again."""
        if text != self._stage_text:
            self.images_per_second = None
        self._stage_text = text

    def report_speed(self, seen, timing, end):
        """Updates the speed and the progress line after a call of the steps; prints the share of scores once.

        Args:
            timing: (images, seconds) of the call; None if the call traced the steps.
            end: value of time.monotonic() at which `--max-minutes` are over; infinity without a limit.
        """
        if not timing or not self.enabled:
            return
        images, seconds = timing
        speed = images / seconds
        old = speed if self.images_per_second is None else self.images_per_second
        self.images_per_second = SPEED_MEMORY * old + (1 - SPEED_MEMORY) * speed
        now = time.monotonic()
        if now - self._last_line >= (TERMINAL_SECONDS if self._is_terminal else FILE_SECONDS):
            self._last_line = now
            line = self.progress_line(seen, end - now)
            start, ending = ("\r", "\033[K") if self._is_terminal else ("", "\n")
            print(f"{start}{line}", end=ending, file=sys.stderr, flush=True)
            self._line_is_open = self._is_terminal
        if line := self.measure_share_of_scores(images, seconds):
            self.print(line)

    def progress_line(self, images_seen, seconds_left):
        """Returns kimg, epoch, stage, losses, score, speed, time left at this speed, and peak memory as text."""
        total = self.config.total_images
        left = min(seconds_left, (total - images_seen) / self.images_per_second)
        parts = [f"{images_seen / 1000:.1f}/{total / 1000:g} kimg", f"epoch {images_seen // self.epoch_images}"]
        if self._stage_text:
            parts.append(self._stage_text)
        if self._losses:
            d_loss = self._losses["loss/d_real"] + self._losses["loss/d_fake"]
            parts.append(f"d {d_loss:.2f}  g {self._losses['loss/g']:.2f}")
        if self.score:
            parts.append(self.score)
        parts += [f"{self.images_per_second:.1f} images/s", f"{duration(max(0.0, left))} left"]
        return "  ".join([*parts, f"{peak_memory_gb():.1f} GB"])

    def measure_share_of_scores(self, images, seconds) -> str | None:
        """Adds a call of the steps to the time of training, until that is TIMED_SECONDS long.

        Returns:
            then, once, a line with the share of the time for scores; if that is above EVALUATION_SHARE, with an
            `--eval-every` that lowers it. Else None.
        """
        if self.expect_score is None:
            return None
        self._trained_images += images
        self._trained_seconds += seconds
        if self._trained_seconds < TIMED_SECONDS:
            return None
        score_seconds, self.expect_score = self.expect_score(), None
        epoch_seconds = self._trained_seconds * self.epoch_images / self._trained_images
        share = score_seconds / (score_seconds + self.config.eval_every * epoch_seconds)
        line = f"scores take about {duration(score_seconds)} each, {share:.0%} of the time"
        if share > EVALUATION_SHARE:
            every = math.ceil(score_seconds * (1 / EVALUATION_SHARE - 1) / epoch_seconds)
            line += f"; --eval-every {every} brings it to {EVALUATION_SHARE:.0%}"
        return line


def _read_events(path):
    with contextlib.suppress(tf.errors.DataLossError):
        for record in tf.data.TFRecordDataset(tensorflow_path(path)):
            yield tf.compat.v1.Event.FromString(record.numpy())


def duration(seconds) -> str:
    """Formats a duration as 45 s, 12 min, 3 h 20 min or 2 d 4 h."""
    minutes, hours = int(seconds // 60), int(seconds // 3600)
    if minutes < 1:
        return f"{seconds:.0f} s"
    if hours < 1:
        return f"{minutes} min"
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
