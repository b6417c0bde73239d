"""The training loop. Read `train_on` first: it is the whole run, top to bottom."""

import functools
import math
import time

import tensorflow as tf

from gan_tf.distributed.workers import OTHER_SIGNAL
from gan_tf.io import image_files
from gan_tf.report import write_report
from gan_tf.training import adaptation, evaluation, scoring, trial
from gan_tf.training import state as states
from gan_tf.training.clock import Clock
from gan_tf.training.forecast import Workload
from gan_tf.training.monitor import Diverged, Interrupted, ProgressLine, TensorBoard, Watch, check_finite
from gan_tf.training.step import measured_every

RECORDS_IN_EPOCH = 20  # train records
MOST_ROLLBACKS = 2
WON_SHARE = 0.01  # the discriminator has won if its loss is below this share of an undecided one's ...
WON_EPOCHS = 3  # ... for so many epochs in a row


def train(job):
    """Trains until `config.total_images`, `max_minutes` or lost patience; a restarted run continues where it stopped.

    When training diverges, the run goes back to its last good checkpoint with half the learning rate and other draws,
    at most twice.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the run is saved.
        Diverged: rolling back did not help.
        UsageError: the disk is full.
    """
    clock, log = Clock(job.config), job.cluster.log
    if job.cluster.is_chief:
        scoring.set_damaged_best_aside(job, log)
    with TensorBoard(job.run.folder) as board, job.cluster.signals as signals:
        job.evaluators.watch = Watch(job.cluster.stop_requested)
        while True:
            try:
                seen = train_on(job, board, signals, clock, log)
                chief_does(job, functools.partial(finish_run, job, board, seen, log))
                return seen
            except Diverged as accident:
                roll_back(job, board, accident, log)


def train_on(job, board, signals, clock, log):
    """The run from where `job.state` stands to its end."""
    config, state, run = job.config, job.state, job.run
    seen = int(state.images_seen.numpy())
    progress = ProgressLine(Workload(job), job.epoch_images, shown=job.cluster.is_chief)
    if not run.checkpoints():
        save(job)  # what a first accident goes back to

    job.enter(job.stage_before(seen))
    job.sampler.refresh()
    last = seen >= config.total_images
    if not last and job.cluster.is_chief:
        clock.expects_scores_of(job.evaluator.expected_seconds(job.sampler, job.metric))
    if seen and score_is_due(job, seen, last) and not take_up_score(job, seen):
        finish_epoch(job, board, seen, progress, last)  # what a start before this one was stopped in
        save(job)
    else:
        chief_does(job, lambda: show_samples(job, board, seen))
    if seen and job.cluster.is_chief:
        show_phases(job, board, seen, last)
    if last:
        log(f"finished: the run has seen its {config.total_images} images; a larger --total-kimg trains on")
    elif scoring.out_of_patience(job):
        log(f"finished: {config.patience} scores in a row were no better; a larger --patience trains on")
    p, capped = adaptation.probability(state), False
    iterator = None
    while not last and not scoring.out_of_patience(job):
        stage = job.stage_at(seen)
        if iterator is None or stage != job.stage:
            iterator = steps = None  # they hold on to the images of the stage before
            begin_stage(job, stage, seen, log)
            iterator = job.batches(seen)
            progress.enters(job.recipe.words(stage))
        steps, tracing = job.steps(seen)
        count = steps_to_boundary(job, seen)

        started = time.monotonic()
        steps(iterator, tf.constant(count), tf.constant(seen, tf.int64))
        seen += count * stage.batch_size
        state.images_seen.assign(seen)
        job.recipe.arrive(state, job.stages, seen)
        tally = check_finite(job, state.tally.numpy())
        if not tracing:  # the first call says nothing about the speed of the others
            seconds = time.monotonic() - started
            progress.advance(seen, count * stage.batch_size, seconds, clock.seconds_left())
            images = progress.workload.average_images(seen - count * stage.batch_size, seen)
            clock.trained(images, seconds, job.epoch_images, progress.log)

        stopped, out_of_time = job.cluster.sync_flags(signals.received, clock.time_is_up())
        last = seen >= config.total_images or out_of_time
        if due(seen, log_images(job), stage.batch_size) or last:
            progress.values = record_losses(job, board, seen, tally, progress.images_per_second)
            if not capped and (line := adaptation.warning(state, adaptation.rule_of(config), p)):
                if job.cluster.is_chief:
                    progress.log(line)
                capped = True
            p = adaptation.probability(state)
        epoch_ends = due(seen, job.epoch_images, stage.batch_size) or last
        if epoch_ends:
            if not last:
                check_balance(job, seen)
            board.flush()
            save(job)  # first: a score may take long, and whoever stops it loses nothing
            finish_epoch(job, board, seen, progress, last)
        elif job.cluster.is_chief and (clock.first_look_is_due() or job.stage_at(seen) != stage):
            show_samples(job, board, seen)
        if job.cluster.is_chief:
            show_phases(job, board, seen, last)
        if epoch_ends or stopped or clock.checkpoint_is_due():
            board.flush()  # first: a checkpoint promises that what it covers stands in the records
            save(job)
            clock.saved()
        if stopped and not last:
            job.cluster.broadcast()  # the chief has saved
            raise Interrupted(signals.received or OTHER_SIGNAL)
    return seen


def save(job):
    """Writes a checkpoint, if this worker is the one that does."""
    if job.cluster.is_chief:
        states.save(job.state, job.run, job.config.keep)


def chief_does(job, work):
    """Calls work() on the chief, while the other workers wait for it.

    Raises:
        Interrupted: on all of them, if a signal ended the work.
    """
    stop = None
    if job.cluster.is_chief:
        try:
            work()
        except Interrupted as signal:
            stop = signal
    [was_stopped] = job.cluster.broadcast(stop is not None)
    if was_stopped:
        raise stop or Interrupted(OTHER_SIGNAL)


def finish_run(job, board, seen, log):
    """What is left to do when all is trained."""
    scoring.score_finally(job, board, seen, log)
    write_report(job.run)


def take_up_score(job, seen):
    """True if the records hold a score of this moment, which the state then takes over; the same on all workers."""
    known = job.cluster.is_chief and scoring.take_up_score(job, seen)
    known, stale_epochs = job.cluster.broadcast(known, job.state.stale_epochs.numpy())
    job.state.stale_epochs.assign(int(stale_epochs))
    return bool(known)


def begin_stage(job, stage, seen, log):
    """Makes ready for a stage, at its beginning or in the middle of it."""
    job.enter(stage)
    if stage.resets_optimizers and seen == stage.first_image:
        job.state.g_optimizer.reset()
        job.state.d_optimizer.reset()
    if job.config.micro_batch == "auto":
        trial.find_micro_batch(job, log)


def due(seen, every, batch):
    """True if the step that ends at `seen` images crossed a multiple of `every`."""
    return seen // every > (seen - batch) // every


def steps_to_boundary(job, seen):
    """Steps in the next call: at most `steps_per_call`, and none past a record, an epoch, a stage or the end."""
    ends = [(seen // every + 1) * every for every in (log_images(job), job.epoch_images)]
    ends += [job.config.total_images, *(later.first_image for later in job.stages if later.first_image > seen)]
    return min(job.steps_per_call, math.ceil((min(ends) - seen) / job.stage.batch_size))


def log_images(job):
    """Images between two train records."""
    return math.ceil(job.epoch_images / RECORDS_IN_EPOCH)


def record_losses(job, board, seen, tally, images_per_second):
    """Writes the means since the last record, empties the tally, and returns {name: mean}."""
    means = means_of(job, seen, tally)
    job.state.tally.assign(tf.zeros_like(job.state.tally))
    if not job.cluster.is_chief:
        return means
    means |= adaptation.shown(job.state)
    job.run.log(seen, "train", means)
    board.scalars(seen, {**means, **job.recipe.scalars(job.stages, seen)})
    if images_per_second:
        board.scalars(seen, {"speed/images_per_second": images_per_second})
    return means


def means_of(job, seen, tally):
    """{name: mean over the steps of a tally in which it was measured}; without what was measured in none of them."""
    steps, lazy, means = int(tally[-1]), measured_every(job.recipe), {}
    last = seen // job.stage_before(seen).batch_size
    for name, value in zip(job.recipe.STATISTICS, tally, strict=False):
        every = lazy.get(name, 1)
        times = steps if every == 1 else -(-last // every) - -(-(last - steps) // every)
        if times:
            means[name] = float(value / times)
    return means


def score_is_due(job, seen, last):
    """True if the averaged generator is scored at this moment."""
    epoch_ends = due(seen, job.epoch_images, job.stage_before(seen).batch_size)
    return last or (epoch_ends and seen // job.epoch_images % job.config.eval_every == 0)


def finish_epoch(job, board, seen, progress, last):
    """Scores the averaged generator, keeps it if it is good, and shows samples.

    Raises:
        Interrupted: a signal came while scoring; the next start scores this epoch first.
    """

    def look():
        epoch = seen // job.epoch_images
        if score_is_due(job, seen, last):
            is_first = not progress.score
            progress.score, protocol = scoring.score_epoch(job, board, seen, epoch, progress.log)
            if is_first:
                progress.log(f"scores of this run are {protocol}")
            progress.log(f"{seen / 1000:.1f} kimg, epoch {epoch}: {progress.score}")
        show_samples(job, board, seen)
        write_report(job.run)

    chief_does(job, look)
    [stale_epochs] = job.cluster.broadcast(job.state.stale_epochs.numpy())
    job.state.stale_epochs.assign(int(stale_epochs))
    job.sampler.refresh()  # on the workers that did not look


def check_balance(job, seen):
    """Notices a discriminator that has won: its adversarial loss stays below a bound for several epochs.

    Raises:
        Diverged: WON_EPOCHS epochs in a row were below WON_SHARE of the loss of an undecided discriminator.
    """
    if job.undecided_loss is None:
        return
    won = job.cluster.is_chief and has_won(job, seen)
    [won] = job.cluster.broadcast(won)
    job.state.won_epochs.assign(job.state.won_epochs + 1 if won else 0)
    if int(job.state.won_epochs.numpy()) >= WON_EPOCHS:
        raise Diverged(f"the discriminator has won: its loss stayed below {WON_SHARE:.0%} for {WON_EPOCHS} epochs")


def has_won(job, seen):
    """True if the discriminator's mean loss of the last epoch is below the bound."""
    epoch = [r for r in job.run.records() if r["kind"] == "train" and r["images_seen"] > seen - job.epoch_images]
    losses = [record["loss/d_real"] + record["loss/d_fake"] for record in epoch]
    return bool(losses) and sum(losses) / len(losses) < WON_SHARE * job.undecided_loss


def roll_back(job, board, accident, log):
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
    seen = restore(job, log)
    job.state.attempt.assign(attempt)
    job.state.lr_scale.assign(0.5**attempt)
    job.state.won_epochs.assign(0)
    if not job.cluster.is_chief:
        return
    board.close()
    board.cut(seen)
    job.run.cut(seen)
    job.run.log(seen, "rollback", {"reason": str(accident), "at": at, "attempt": attempt, "lr_scale": 0.5**attempt})
    states.save(job.state, job.run, job.config.keep)
    log(f"{accident} at {at} images: back to {seen} with half the learning rate and other draws (attempt {attempt})")


def restore(job, log):
    """Restores the newest whole checkpoint, the chief's choice on every worker: its image count, None without one."""
    seen = states.restore_newest(job.state, job.run, log) if job.cluster.is_chief else None
    [told] = job.cluster.broadcast(-1 if seen is None else seen)
    if not job.cluster.is_chief and told >= 0:
        states.restore_at(job.state, job.run, int(told))
    return None if told < 0 else int(told)


def show_phases(job, board, seen, last):
    """At the end of a phase, writes the same few images at every size that a growing run has come through."""
    if not job.config.grows or not (last or job.stage_at(seen) != job.stage_before(seen)):
        return
    strip = evaluation.phase_strip(job, seen)
    if strip is not None:
        board.picture(seen, "phases", strip)
        image_files.save_png(job.run.grid_path(seen, "phases"), strip)


def show_samples(job, board, seen):
    """Writes the sample grid, and with it what D rebuilds and sees."""
    grids = {"samples": evaluation.sample_grid(job)}
    if job.recipe.reconstructions and job.config.reconstruction != "none":
        grids["reconstructions"] = evaluation.reconstruction_grid(job)
    if job.config.augment != "none":
        grids["augmented"] = evaluation.augmented_grid(job)
    for kind, image in grids.items():
        board.picture(seen, kind, image)
    image_files.save_png(job.run.grid_path(seen), grids["samples"])
    board.flush()
