"""The training loop. Read this first: `train` is the whole run from top to bottom."""

from gan_tf.distributed.workers import OTHER_SIGNAL
from gan_tf.errors import Interrupted
from gan_tf.training.recovery import find_divergence, roll_back
from gan_tf.training.resume import save_checkpoint, start_run
from gan_tf.training.samples import write_grids, write_size_strip
from gan_tf.training.schedule import Timer, every
from gan_tf.training.selection import find_missing_score, finish_epoch, finish_run, is_out_of_patience, reason_to_end
from gan_tf.training.trial import find_micro_batch


def train(trainer) -> int:
    """Trains until `config.total_images`, `--max-minutes` or `--patience` ends the run; a restarted run continues.

    All workers run this loop. Files, scores and log lines are written by the chief only. Decisions on the time, a file
    or a signal that change their steps are shared by a collective operation, so that all take the same branch.

    Args:
        trainer: Trainer.

    Returns:
        the number of real images seen.

    Raises:
        Interrupted: SIGINT, SIGTERM or SIGHUP arrived; the run is saved.
        Diverged: training failed again after MAX_ROLLBACKS rollbacks (recovery.py).
        UsageError: the run folder does not fit the settings, the disk is full, or not even one image fits into memory.
    """
    config, workers, log = trainer.config, trainer.workers, trainer.log
    timer = trainer.timer = Timer(config)

    with workers.signals, log:
        # Creates the run folder and a first checkpoint, or restores the newest one.
        seen = first = start_run(trainer)
        is_starting, ended = True, seen >= config.total_images

        while True:
            if is_starting:  # a new, continued or rolled back run
                trainer.enter(trainer.stage_before(seen))  # the stage that these weights come from
                # The previous process may have ended before the score of these weights was recorded.
                if find_missing_score(trainer, seen, ended):
                    on_chief(trainer, finish_epoch, trainer, seen, ended)
                    save_checkpoint(trainer)
                elif seen or config.init_from:  # an untrained generator would delay the first step
                    write_grids(trainer, seen)
                write_size_strip(trainer, seen, ended)
                is_starting = False
            if ended or is_out_of_patience(trainer):
                break

            # Steps: one call of the tf.function, at most to the next record of losses or the end of an epoch or stage.
            stage = trainer.stage_at(seen)
            if stage != trainer.stage or trainer.iterator is None:  # first pass, new stage, or rollback
                trainer.enter(stage, seen)  # input in its sizes; a stage may reset the optimisers
                if config.micro_batch == "auto":
                    save_checkpoint(trainer)  # the system may end a process that needs too much memory
                    find_micro_batch(trainer)
            seen, statistics, timing = trainer.take_steps(seen)
            log.report_speed(seen, timing, timer.end)

            stop_signal, out_of_time = workers.sync_flags(timer.is_up())
            ended = seen >= config.total_images or out_of_time
            epoch_ends = every(trainer.epoch_images, seen, stage.batch_size) or ended

            # Losses, and the check for divergence.
            if every(trainer.images_per_record, seen, stage.batch_size) or ended:
                log.record_losses(trainer, seen)
            problem = find_divergence(trainer, statistics, seen, is_epoch=epoch_ends and not ended)
            if problem:
                seen = roll_back(trainer, problem)
                is_starting, ended = True, False
                continue

            # Score, best weights and images.
            if epoch_ends:
                save_checkpoint(trainer)  # before the score, which takes long; the one below includes its result
                on_chief(trainer, finish_epoch, trainer, seen, ended)
            elif timer.early_grid_is_due() or trainer.stage_at(seen) != stage:
                write_grids(trainer, seen)
            write_size_strip(trainer, seen, ended)  # growing networks only

            # Checkpoint.
            if epoch_ends or stop_signal or timer.checkpoint_is_due():
                save_checkpoint(trainer)
            if stop_signal and not ended:
                workers.broadcast()  # waits until the chief has saved
                raise Interrupted(stop_signal)

        on_chief(trainer, finish_run, trainer, seen)  # final score and report
        end = reason_to_end(trainer, seen)
        if end is None:
            end = f"--max-minutes {config.max_minutes:g} are over; the same command continues the run"
        log.print(f"{'nothing to train' if seen == first else 'finished'} after {seen} images: {end}")
    return seen


def on_chief(trainer, function, *arguments):
    """Calls a function on the chief while the other workers wait.

    They then get the chief's `stale_epochs`, on which `--patience` depends.

    Raises:
        Interrupted: on all workers, if a signal ended the call. Any other exception ends the chief only; the other
            workers detect that (`distributed/liveness.py`).
    """
    workers, stale_epochs, interruption = trainer.workers, trainer.state.stale_epochs, None
    if workers.is_chief:
        try:
            function(*arguments)
        except Interrupted as error:
            interruption = error
    was_interrupted, stale = workers.broadcast(interruption is not None, stale_epochs.numpy())
    if was_interrupted:
        if interruption is None:  # on the other workers
            interruption = Interrupted(workers.stop_requested() or OTHER_SIGNAL)
        raise interruption
    stale_epochs.assign(int(stale))
