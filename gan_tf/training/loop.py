"""The training loop. Read `train_on` first: it is the whole run, top to bottom."""

import dataclasses
import math
import time

import tensorflow as tf

from gan_tf import pictures
from gan_tf.config import TrainConfig
from gan_tf.report import write_report
from gan_tf.run import Run
from gan_tf.training import evaluation, scoring
from gan_tf.training import state as states
from gan_tf.training.clock import Clock
from gan_tf.training.monitor import Diverged, Interrupted, ProgressLine, Signals, TensorBoard, Watch
from gan_tf.training.step import compile_steps

RECORDS_IN_EPOCH = 20  # train records
MOST_ROLLBACKS = 2
WON_SHARE = 0.01  # the discriminator has won if its loss is below this share of an undecided one's ...
WON_EPOCHS = 3  # ... for so many epochs in a row


@dataclasses.dataclass
class Job:
    """What `train` works with; made by `setup.build_job`."""

    config: TrainConfig
    run: Run
    state: states.TrainState
    recipe: object  # module of gan_tf.training.recipes
    feed: object  # data.pipeline.Feed
    strategy: tf.distribute.Strategy
    sampler: evaluation.Sampler
    metric: str  # the score that picks the best weights
    evaluator: object  # metrics.evaluate.Evaluator of that metric and the copy check
    parts: int  # micro-batches in a replica's share
    steps_per_call: int
    epoch_images: int
    undecided_loss: float  # D's adversarial loss at logits of zero

    @property
    def log_images(self):
        """Images between two train records."""
        return math.ceil(self.epoch_images / RECORDS_IN_EPOCH)


def train(job, say=print):
    """Trains until `config.total_images`, `max_minutes` or lost patience; a restarted run continues where it stopped.

    When training diverges, the run goes back to its last good checkpoint with half the learning rate and other draws,
    at most twice.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the run is saved.
        Diverged: rolling back did not help.
        UsageError: the disk is full.
    """
    board, clock = TensorBoard(job.run.folder), Clock(job.config)
    scoring.set_damaged_best_aside(job, say)
    try:
        with Signals() as signals:
            job.evaluator.watch = Watch(signals)
            while True:
                try:
                    seen = train_on(job, board, signals, clock, say)
                    scoring.score_finally(job, board, seen, say)
                    write_report(job.run)
                    return seen
                except Diverged as accident:
                    roll_back(job, board, accident, say)
    finally:
        board.close()


def train_on(job, board, signals, clock, say):
    """The run from where `job.state` stands to its end."""
    config, state, run = job.config, job.state, job.run
    seen = int(state.images_seen.numpy())
    stages = job.recipe.schedule(config)
    progress = ProgressLine(config.total_images, job.epoch_images)
    if not run.checkpoints():
        states.save(state, run, config.keep)  # what a first accident goes back to

    iterator, compiled, stage = None, {}, None
    last = seen >= config.total_images
    if not last:
        clock.expects_scores_of(job.evaluator.expected_seconds(job.sampler, job.metric))
    if seen and score_is_due(job, seen, last) and not scoring.take_up_score(job, seen):
        finish_epoch(job, board, seen, progress, last)  # what a start before this one was stopped in
        states.save(state, run, config.keep)
    else:
        show_samples(job, board, seen)
    if last:
        say(f"finished: the run has seen its {config.total_images} images; a larger --total-kimg trains on")
    elif scoring.out_of_patience(job):
        say(f"finished: {config.patience} scores in a row were no better; a larger --patience trains on")
    while not last and not scoring.out_of_patience(job):
        if stage != stage_at(stages, seen):
            stage = stage_at(stages, seen)
            iterator = batches(job, seen)
        variant = job.recipe.variant(config, stage, seen, job.parts)
        tracing = (stage, variant) not in compiled
        if tracing:
            compiled[stage, variant] = compile_steps(job.recipe, state, job.feed, job.strategy, config, stage, variant)
        count = steps_to_boundary(job, stages, stage, seen)

        started = time.monotonic()
        compiled[stage, variant](iterator, tf.constant(count), tf.constant(seen, tf.int64))
        seen += count * stage.batch_size
        state.images_seen.assign(seen)
        tally = check_finite(job, state.tally.numpy())
        if not tracing:  # the first call says nothing about the speed of the others
            seconds = time.monotonic() - started
            progress.advance(seen, count * stage.batch_size, seconds, clock.seconds_left())
            clock.trained(count * stage.batch_size, seconds, job.epoch_images, progress.say)

        last = seen >= config.total_images or clock.time_is_up()
        if due(seen, job.log_images, stage.batch_size) or last:
            progress.values = record_losses(job, board, seen, tally, progress.images_per_second)
        epoch_ends = due(seen, job.epoch_images, stage.batch_size) or last
        if epoch_ends:
            if not last:
                check_balance(job, seen)
            board.flush()
            states.save(state, run, config.keep)  # first: a score may take long, and whoever stops it loses nothing
            finish_epoch(job, board, seen, progress, last)
        elif clock.first_look_is_due():
            show_samples(job, board, seen)
        if epoch_ends or signals.received or clock.checkpoint_is_due():
            board.flush()  # first: a checkpoint promises that what it covers stands in the records
            states.save(state, run, config.keep)
            clock.saved()
        if signals.received and not last:
            raise Interrupted(signals.received)
    return seen


def due(seen, every, batch):
    """True if the step that ends at `seen` images crossed a multiple of `every`."""
    return seen // every > (seen - batch) // every


def stage_at(stages, seen):
    """The stage that the image after `seen` belongs to."""
    return [stage for stage in stages if stage.first_image <= seen][-1]


def steps_to_boundary(job, stages, stage, seen):
    """Steps in the next call: at most `steps_per_call`, and none past a record, an epoch, a stage or the end."""
    ends = [(seen // every + 1) * every for every in (job.log_images, job.epoch_images)]
    ends += [job.config.total_images, *(later.first_image for later in stages if later.first_image > seen)]
    return min(job.steps_per_call, math.ceil((min(ends) - seen) / stage.batch_size))


def compiled_steps(job, seen):
    """The compiled steps of image `seen`, for those who take steps outside of the loop."""
    stage = stage_at(job.recipe.schedule(job.config), seen)
    variant = job.recipe.variant(job.config, stage, seen, job.parts)
    return compile_steps(job.recipe, job.state, job.feed, job.strategy, job.config, stage, variant)


def batches(job, seen):
    """An iterator over the endless batches from image `seen` on, split over the replicas."""
    strategy = job.strategy

    def worker_dataset(context):
        local = strategy.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * local
        return job.feed.dataset(seen, strategy.num_replicas_in_sync, first, local)

    if strategy.num_replicas_in_sync == 1:
        return iter(job.feed.dataset(seen))
    return iter(strategy.distribute_datasets_from_function(worker_dataset))


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


def record_losses(job, board, seen, tally, images_per_second):
    """Writes the means since the last record, empties the tally, and returns {name: mean}."""
    means = {name: float(value / tally[-1]) for name, value in zip(job.recipe.STATISTICS, tally, strict=False)}
    job.state.tally.assign(tf.zeros_like(job.state.tally))
    job.run.log(seen, "train", means)
    board.scalars(seen, means)
    if images_per_second:
        board.scalars(seen, {"speed/images_per_second": images_per_second})
    return means


def score_is_due(job, seen, last):
    """True if the averaged generator is scored at this moment."""
    epoch_ends = due(seen, job.epoch_images, job.config.batch_size)
    return last or (epoch_ends and seen // job.epoch_images % job.config.eval_every == 0)


def finish_epoch(job, board, seen, progress, last):
    """Scores the averaged generator, keeps it if it is good, and shows samples.

    Raises:
        Interrupted: a signal came while scoring; the next start scores this epoch first.
    """
    epoch = seen // job.epoch_images
    if score_is_due(job, seen, last):
        is_first = not progress.score
        progress.score, protocol = scoring.score_epoch(job, board, seen, epoch, progress.say)
        if is_first:
            progress.say(f"scores of this run are {protocol}")
        progress.say(f"{seen / 1000:.1f} kimg, epoch {epoch}: {progress.score}")
    show_samples(job, board, seen)
    write_report(job.run)


def check_balance(job, seen):
    """Notices a discriminator that has won: its adversarial loss stays below a bound for several epochs.

    Raises:
        Diverged: WON_EPOCHS epochs in a row were below WON_SHARE of the loss of an undecided discriminator.
    """
    epoch = [r for r in job.run.records() if r["kind"] == "train" and r["images_seen"] > seen - job.epoch_images]
    losses = [record["loss/d_real"] + record["loss/d_fake"] for record in epoch]
    won = bool(losses) and sum(losses) / len(losses) < WON_SHARE * job.undecided_loss
    job.state.won_epochs.assign(job.state.won_epochs + 1 if won else 0)
    if int(job.state.won_epochs.numpy()) >= WON_EPOCHS:
        raise Diverged(f"the discriminator has won: its loss stayed below {WON_SHARE:.0%} for {WON_EPOCHS} epochs")


def roll_back(job, board, accident, say):
    """Goes back to the last good checkpoint with half the learning rate and other draws.

    Raises:
        Diverged: it has happened too often.
    """
    attempt = int(job.state.attempt.numpy()) + 1
    at = int(job.state.images_seen.numpy())
    if attempt > MOST_ROLLBACKS:
        raise Diverged(
            f"{accident} at {at} images, after {MOST_ROLLBACKS} roll-backs; the best weights so far are kept. "
            "Start another run (--run NAME) with a smaller --lr or --precision float32"
        )
    seen = states.restore_newest(job.state, job.run, say)
    job.state.attempt.assign(attempt)
    job.state.lr_scale.assign(0.5**attempt)
    job.state.won_epochs.assign(0)
    board.close()
    board.cut(seen)
    job.run.cut(seen)
    job.run.log(seen, "rollback", {"reason": str(accident), "at": at, "attempt": attempt, "lr_scale": 0.5**attempt})
    states.save(job.state, job.run, job.config.keep)
    say(f"{accident} at {at} images: back to {seen} with half the learning rate and other draws (attempt {attempt})")


def show_samples(job, board, seen):
    """Writes the sample grid, and with it what D rebuilds and sees."""
    grids = {"samples": evaluation.sample_grid(job)}
    if job.config.reconstruction != "none":
        grids["reconstructions"] = evaluation.reconstruction_grid(job)
    if job.config.augment != "none":
        grids["augmented"] = evaluation.augmented_grid(job)
    for kind, image in grids.items():
        board.picture(seen, kind, image)
    pictures.save_png(job.run.grid_path(seen), grids["samples"])
    board.flush()
