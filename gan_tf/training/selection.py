"""Scores the EMA generator during training, and keeps the weights with the best scores."""

import contextlib
import dataclasses
import math

from gan_tf.errors import Interrupted
from gan_tf.io import image_files
from gan_tf.io.progress import StagedProgress
from gan_tf.metrics.definitions import INCEPTION, LITE2, default_metric, final_metric, metric_of
from gan_tf.metrics.memorisation import COPY_CHECK
from gan_tf.metrics.score import differences, from_stored, image_size_of, number
from gan_tf.models.variables import named_variables
from gan_tf.report import write_report
from gan_tf.report.summary import describe_protocol
from gan_tf.training.log import COPY_CHECK_TAG
from gan_tf.training.samples import write_grids
from gan_tf.training.schedule import every

FINAL_FIRST = 10**12  # first generated image of the final score; no other score uses images from there on


def automatic_metric(run, image_count, networks) -> str:
    """Returns the metric that selects the best weights for `--metric auto`.

    Args:
        run: Run. One with scores keeps their network, also if another one has become available.
        image_count: number of real images.
        networks: features.Networks.

    Raises:
        UsageError: Inception's weights are unusable.
    """
    best = run.best_meta()
    if best is None:
        return default_metric(image_count, networks.choose_network())
    name = from_stored(best["score"]).name
    network = LITE2 if LITE2 in name else None if name.startswith("swd") else INCEPTION
    return default_metric(image_count, network)


def score_is_due(trainer, seen, ended) -> bool:
    """Returns True at the end of every `--eval-every`-th epoch, and of the run."""
    epoch_ends = every(trainer.epoch_images, seen, trainer.stage_before(seen).batch_size)
    return ended or (epoch_ends and seen // trainer.epoch_images % trainer.config.eval_every == 0)


def find_missing_score(trainer, seen, ended) -> bool:
    """Returns True, on all workers, if a score is due at `seen` images and was not recorded.

    If it was recorded, sets `stale_epochs` to the record's: a kill may have prevented the checkpoint after it.
    """
    if not seen or not score_is_due(trainer, seen, ended):
        return False
    recorded, stale_epochs = False, trainer.state.stale_epochs.numpy()
    if trainer.workers.is_chief:
        records = [r for r in trainer.run.records() if (r["kind"], r["images_seen"]) == ("epoch", seen)]
        if recorded := bool(records):
            stale_epochs = records[-1].get("stale_epochs", stale_epochs)
    recorded, stale_epochs = trainer.workers.broadcast(recorded, stale_epochs)
    trainer.state.stale_epochs.assign(int(stale_epochs))
    return not recorded


def expected_score_seconds(trainer) -> float:
    """Estimates the duration of a score in seconds from a few images.

    Batch norm statistics are left out: they take at most a quarter of a score, and their functions seconds to trace.
    """
    trainer.sampler.load(named_variables(trainer.state.g_ema))
    return trainer.evaluator().expected_seconds(trainer.sampler, trainer.metric)


def finish_epoch(trainer, seen, ended):
    """Ends an epoch: scores the EMA generator if due, keeps the best weights, writes the grids and the report.

    Raises:
        Interrupted: a signal arrived; the next start repeats the score.
    """
    weights = trainer.ema_weights(EvaluationProgress(trainer.workers))
    if score_is_due(trainer, seen, ended):
        score_epoch(trainer, seen, weights)
    write_grids(trainer, seen, weights)
    write_report(trainer.run)


def score_epoch(trainer, seen, weights):
    """Scores the EMA generator, keeps it if it is among the best, and records the score and the copy check.

    `weights`: result of `Trainer.ema_weights`.
    """
    log, epoch = trainer.log, seen // trainer.epoch_images
    result = evaluate(trainer, weights, [trainer.metric, COPY_CHECK])
    score, copies = result.scores[trainer.metric], result.scores[COPY_CHECK]
    text = f"{keep_if_best(trainer, seen, weights, score, copies)}, copies {copies.value:.0%}"
    stale_epochs = int(trainer.state.stale_epochs.numpy())
    log.record(seen, "epoch", {"epoch": epoch, **score_record(score, copies), "stale_epochs": stale_epochs})
    log.scalars(seen, {f"score/{score.name}": score.value, "score/copies": copies.value})
    log.image(seen, COPY_CHECK_TAG, result.panel)
    image_files.save_png(trainer.run.grid_path(seen, COPY_CHECK_TAG), result.panel)
    if not log.score:
        log.print(f"scores of this run: {describe_protocol(score)}")
    log.score = text
    speed = f"; {1000 / log.images_per_second:.3g} s/kimg" if log.images_per_second else ""
    log.print(f"{seen / 1000:.1f} kimg, epoch {epoch}: {text}{speed}")


def evaluate(trainer, weights, metrics, first=0):
    """Measures metrics of generator weights, {attribute path: array or variable}; returns an Evaluation.

    Args:
        first: number of the sampler's first image.

    Raises:
        Interrupted: a signal arrived.
    """
    trainer.sampler.load(weights, first)
    with contextlib.closing(EvaluationProgress(trainer.workers)) as progress:
        return trainer.evaluator()(trainer.sampler, metrics, progress)


class EvaluationProgress(StagedProgress):
    """Shows the progress of an evaluation; raises Interrupted once a worker has received a signal."""

    def __init__(self, workers):
        super().__init__()
        self._workers = workers

    def __call__(self, done, total, verb):
        if signal_name := self._workers.stop_requested():
            raise Interrupted(signal_name)
        super().__call__(done, total, verb)


def score_record(score, copies):
    """Returns a score and its copy check as stored in stats.jsonl."""
    return {
        "metric": score.name,
        "score": score.value,
        "parts": score.parts,
        "protocol": score.protocol,
        "copies": copies.value,
        "copy_parts": copies.parts,
        "copy_protocol": copies.protocol,
    }


def keep_if_best(trainer, seen, weights, score, copies) -> str:
    """Replaces best/ by `weights` if the score is better than that of best/, and keeps snapshots.

    Returns the score as text. Also counts `stale_epochs`, the scores at full resolution since the best one.
    """
    run, state = trainer.run, trainer.state
    stored = run.best_meta()
    if stored is not None and pixels_of(stored["score"]["protocol"]) > pixels_of(score.protocol):
        # After a damaged checkpoint a run may continue at a smaller size: the larger best weights and snapshots stay.
        return f"{score.text()} (the best weights are for images of {image_size_of(stored['score']['protocol'])})"
    best = make_best_comparable(trainer, score)
    best_score = from_stored(best["score"]) if best else None
    # A run that was killed between writing best/ and the checkpoint measures the same score again: it is not stale.
    is_repeated = best is not None and (best["images_seen"], best_score.value) == (seen, score.value)
    meta = {"score": dataclasses.asdict(score), "copies": dataclasses.asdict(copies), "images_seen": seen}
    keep_snapshots(trainer, score, weights, meta)
    if best is None or is_repeated or score.better_than(best_score):
        run.replace_best(weights, meta)
        state.stale_epochs.assign(0)
        return f"{score.text()} (best)"
    if trainer.sampler.resolution == trainer.config.resolution:  # smaller sizes do not count against --patience
        state.stale_epochs.assign_add(1)
    return f"{score.text()} (best {number(best_score.value)} at {best['images_seen'] / 1000:.1f} kimg)"


def keep_snapshots(trainer, score, weights, meta):
    """Keeps the `--keep-best` snapshots with the best scores; removes the others, and those of other protocols."""
    others = [other for other in trainer.run.snapshot_metas() if other["images_seen"] != meta["images_seen"]]
    comparable = [other for other in others if from_stored(other["score"]).comparable_with(score)]
    ranked = sorted([*comparable, meta], key=lambda snapshot: from_stored(snapshot["score"]).rank)
    kept = ranked[: trainer.config.keep_best]
    if meta in kept:
        trainer.run.keep_snapshot(weights, meta)
    for other in others:
        if other not in kept:
            trainer.run.remove_snapshot(other["images_seen"])


def make_best_comparable(trainer, score):
    """Scores the best weights again if `score` has another protocol than theirs, and returns their stored meta.

    Returns None without best weights, or if they generate smaller images: a generator that has grown replaces those
    regardless of its score.
    """
    best = trainer.run.best_meta()
    if best is None:
        return None
    stored = from_stored(best["score"])
    if pixels_of(best["score"]["protocol"]) < pixels_of(score.protocol):
        return None
    if stored.comparable_with(score):
        return best
    difference = f"by {stored.name}" if stored.name != score.name else "; ".join(differences(stored, score))
    trainer.log.print(f"the best weights so far have a score of another protocol ({difference}): scoring them again")
    weights, best = trainer.run.best_weights()
    again = evaluate(trainer, weights, [trainer.metric]).scores[trainer.metric]
    best = {**best, "score": dataclasses.asdict(again)}
    trainer.run.replace_best(weights, best)
    trainer.run.keep_snapshot(weights, best)
    return best


def pixels_of(protocol):
    """Returns the number of pixels of the images of a score."""
    return math.prod(map(int, image_size_of(protocol).split("x")))


def finish_run(trainer, seen):
    """Measures the final score and writes the report.

    The final score is that of the best weights, with the image count of papers, on new images, since the best of many
    scores is slightly optimistic. It is measured once for the same weights and protocol.

    Raises:
        Interrupted: a signal arrived; the next start measures it.
    """
    name = final_metric(trainer.metric, len(trainer.dataset)) if trainer.config.final_score else None
    if name is not None and trainer.run.best_meta() is not None:
        best = measure_final_score(trainer, name)
        score, copies = from_stored(best["final"]), from_stored(best["final_copies"])
        recorded = [(r["of"], r["metric"]) for r in trainer.run.records() if r["kind"] == "final"]
        if (best["images_seen"], score.name) not in recorded:
            trainer.log.record(seen, "final", {"of": best["images_seen"], **score_record(score, copies)})
            trainer.log.scalars(seen, {f"final/{score.name}": score.value})
    write_report(trainer.run)


def measure_final_score(trainer, name):
    """Measures the final score and copy check unless the best weights have them, and returns the stored meta."""
    log, extractor = trainer.log, trainer.metric_networks.extractor_of(metric_of(name).network)
    weights, best = trainer.run.best_weights()
    if "final" in best:
        stored = from_stored(best["final"])
        if stored.name == name + extractor.tag and extractor.protocol.items() <= stored.protocol.items():
            return best
    log.print(f"scoring the best weights, of {best['images_seen'] / 1000:.1f} kimg, again: {name} on new images")
    scores = evaluate(trainer, weights, [name, COPY_CHECK], first=FINAL_FIRST).scores
    score, copies = scores[name], scores[COPY_CHECK]
    best = {**best, "final": dataclasses.asdict(score), "final_copies": dataclasses.asdict(copies)}
    trainer.run.replace_best(weights, best)
    log.print(f"final {score.text()}, copies {copies.value:.0%}: {describe_protocol(score)}")
    return best


def is_out_of_patience(trainer) -> bool:
    """Returns True after `--patience` scores at full resolution without a better one."""
    patience = trainer.config.patience
    return patience is not None and int(trainer.state.stale_epochs.numpy()) >= patience


def reason_to_end(trainer, seen) -> str | None:
    """Returns why training ends at `seen` images, and what continues the run; None if it does not end."""
    config, ends = trainer.config, {}  # {reason: what continues the run}
    if seen >= config.total_images:
        is_passed = seen - trainer.stage_before(seen).batch_size >= config.total_images  # more than the last step
        more = f", and {seen / 1000:g} kimg are trained already" if is_passed else ""
        ends[f"--total-kimg is {config.total_kimg:g}{more}"] = f"--total-kimg above {seen / 1000:g}"
    if is_out_of_patience(trainer):
        stale = int(trainer.state.stale_epochs.numpy())
        age = f"the best score is {stale} score{'s' * (stale > 1)} old"
        ends[f"--patience is {config.patience}, and {age}"] = f"--patience above {stale} (or none)"
    verb = "continue" if len(ends) > 1 else "continues"
    return f"{'; '.join(ends)}; {' and '.join(ends.values())} {verb} the run" if ends else None
