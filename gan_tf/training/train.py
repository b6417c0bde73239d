"""The training loop. Read this first: `train` is the whole run from top to bottom."""

from gan_tf.distributed.workers import OTHER_SIGNAL
from gan_tf.errors import Interrupted
from gan_tf.training.recovery import find_divergence, roll_back
from gan_tf.training.resume import save_checkpoint, start_run
from gan_tf.training.samples import write_grids, write_size_strip
from gan_tf.training.schedule import Timer, every
from gan_tf.training.selection import finish_epoch, finish_run, is_out_of_patience, score_is_missing
from gan_tf.training.trial import find_micro_batch


def train(trainer) -> int:
    """Trains until `config.total_images`, `--max-minutes` or the end of patience; a restarted run continues.

    All workers run this loop. Files, scores and log lines are written by the chief only. A decision that depends on a
    clock, a file or a signal is shared by a collective operation, so that all workers take the same branch.

    Args:
        trainer: Trainer.

    Returns:
        the number of images seen.

    Raises:
        Interrupted: SIGINT or SIGTERM arrived; the run is saved.
        Diverged: rolling back did not help.
        UsageError: the run folder does not fit the settings, or the disk is full.
    """
    config, workers, log = trainer.config, trainer.workers, trainer.log
    timer = trainer.timer = Timer(config)

    with workers.signals, log:
        seen = start_run(trainer)  # creates the run folder, or restores the newest checkpoint
        is_restarted, ended = True, seen >= config.total_images

        while True:
            if is_restarted:  # at the start and after a rollback
                trainer.enter(trainer.stage_before(seen))
                if score_is_missing(trainer, seen, ended):  # an earlier start was interrupted in this score
                    on_chief(trainer, finish_epoch, trainer, seen, ended)
                    save_checkpoint(trainer)
                else:
                    on_chief(trainer, write_grids, trainer, seen)
                write_size_strip(trainer, seen, ended)
                is_restarted = False
            if ended or is_out_of_patience(trainer):
                break

            # Train: one call of the graph, up to the next record, or the end of an epoch, a stage or the run.
            stage = trainer.stage_at(seen)
            if stage != trainer.stage or trainer.iterator is None:
                trainer.enter(stage, seen)  # its images and batch size; optimisers are reset if the stage asks for it
                if config.micro_batch == "auto":
                    find_micro_batch(trainer)
            seen, statistics, timing = trainer.take_steps(seen)
            log.report_speed(seen, timing, timer.end)

            stop_signal, out_of_time = workers.sync_flags(timer.is_up())
            ended = seen >= config.total_images or out_of_time
            epoch_ends = every(trainer.epoch_images, seen, stage.batch_size) or ended

            # Losses, and the check that training is sound.
            if every(trainer.record_images, seen, stage.batch_size) or ended:
                log.record_losses(trainer, seen)
            problem = find_divergence(trainer, statistics, seen, epoch_ends and not ended)
            if problem:
                seen = roll_back(trainer, problem)
                is_restarted, ended = True, False
                continue

            # Score, best weights and images.
            if epoch_ends:
                save_checkpoint(trainer)  # before the score, which may take long and may be interrupted
                on_chief(trainer, finish_epoch, trainer, seen, ended)
            elif timer.first_grid_is_due() or trainer.stage_at(seen) != stage:
                write_grids(trainer, seen)
            write_size_strip(trainer, seen, ended)

            # Checkpoint.
            if epoch_ends or stop_signal or timer.checkpoint_is_due():
                save_checkpoint(trainer)
            if stop_signal and not ended:
                workers.broadcast()  # a barrier: the chief has saved
                raise Interrupted(stop_signal)

        on_chief(trainer, finish_run, trainer, seen)  # final score and report
    return seen


def on_chief(trainer, function, *arguments):
    """Calls a function on the chief while the other workers wait; afterwards all have the chief's stale epochs.

    Raises:
        Interrupted: on all workers, if a signal ended the call.
    """
    workers, stale_epochs, interruption = trainer.workers, trainer.state.stale_epochs, None
    if workers.is_chief:
        try:
            function(*arguments)
        except Interrupted as signal:
            interruption = signal
    was_interrupted, stale = workers.broadcast(interruption is not None, stale_epochs.numpy())
    if was_interrupted:
        raise interruption or Interrupted(workers.stop_requested() or OTHER_SIGNAL)
    stale_epochs.assign(int(stale))
