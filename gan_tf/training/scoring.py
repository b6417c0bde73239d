"""Scores during training: which weights are the best, which to keep, and whether the generator copies its images."""

import contextlib
import dataclasses

from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.metrics.definitions import final_metric
from gan_tf.metrics.score import differences, from_stored
from gan_tf.report.formatting import describe_protocol
from gan_tf.training import state as states
from gan_tf.training.job import COPIES
from gan_tf.training.monitor import COPIES as PICTURE

FINAL_FIRST = 10**12  # the last score is of images from here on in the endless sequence: no earlier score saw them


def score_epoch(job, board, seen, epoch, log):
    """Scores the averaged generator, keeps it if it is good, and records what was found.

    Returns:
        (a few words about it, what it was measured with).
    """
    job.sampler.refresh()
    result = job.evaluator(job.sampler, progress=job.evaluators.watch)
    job.evaluators.watch.close()
    score, copies = result.scores[job.metric], result.scores[COPIES]
    words = keep_if_best(job, seen, score, copies, log)
    stale_epochs = int(job.state.stale_epochs.numpy())
    job.run.log(seen, "epoch", {"epoch": epoch, **record_of(score, copies), "stale_epochs": stale_epochs})
    board.scalars(seen, {f"score/{score.name}": score.value, "score/copies": copies.value})
    board.picture(seen, PICTURE, result.panel)
    image_files.save_png(job.run.grid_path(seen, PICTURE), result.panel)
    return f"{words}, copies {copies.value:.0%}", describe_protocol(score)


def record_of(score, copies):
    """A score and its copy check, for stats.jsonl."""
    checked = {"copies": copies.value, "copy_parts": copies.parts, "copy_protocol": copies.protocol}
    return {"metric": score.name, "score": score.value, "parts": score.parts, "protocol": score.protocol, **checked}


def keep_if_best(job, seen, score, copies, log):
    """Keeps the weights if few scores were better, replaces best/ if none was, and counts stale epochs if one was.

    Returns:
        a few words about it.
    """
    stored = job.run.best_meta()
    if stored is not None and size_of(stored) > score.protocol["resolution"]:
        # The run went back, as behind a damaged checkpoint: what it had grown to stays, snapshots included.
        return f"{score.text()} (the best weights make {size_of(stored)}x{size_of(stored)})"
    best = comparable_best(job, score, log)
    best_score = from_stored(best["score"]) if best else None
    # A run killed between this and its checkpoint measures the same score again: best still, and not stale.
    again = best is not None and (best["images_seen"], best_score.value) == (seen, score.value)
    meta = {"score": dataclasses.asdict(score), "copies": dataclasses.asdict(copies), "images_seen": seen}
    if best is None or again or score.better_than(best_score):
        weights = weights_of(job)
        keep_among_snapshots(job, score, weights, meta)
        job.run.replace_best(weights, meta)
        job.state.stale_epochs.assign(0)
        return f"{score.text()} (best)"
    keep_among_snapshots(job, score, weights_of(job), meta)
    if is_grown(job):
        job.state.stale_epochs.assign_add(1)
    return f"{score.text()} (best {best_score.value:.4g} at {best['images_seen'] / 1000:.1f} kimg)"


def keep_among_snapshots(job, score, weights, meta):
    """Keeps the `--keep-best` weights with the best scores like this one; of other protocols none is kept."""
    others = [other for other in job.run.snapshot_metas() if other["images_seen"] != meta["images_seen"]]
    alike = [other for other in others if from_stored(other["score"]).comparable_with(score)]
    ranked = sorted([*alike, meta], key=lambda m: rank(from_stored(m["score"])))
    kept = ranked[: job.config.keep_best]
    if meta in kept:
        job.run.keep_snapshot(weights, meta)
    for other in others:
        if other not in kept:
            job.run.remove_snapshot(other["images_seen"])


def rank(score):
    """Sorts scores of one protocol, best first; NaN last."""
    value = score.value if score.lower_is_better else -score.value
    return (value != value, value)


def comparable_best(job, score, log):
    """What is stored beside the best weights, scored again if that was done by another protocol; None if none are.

    None also if they make smaller images: a generator that has grown since is kept whatever its score, which is that
    of another task.
    """
    best = job.run.best_meta()
    if best is None:
        return None
    stored = from_stored(best["score"])
    if size_of(best) < score.protocol["resolution"]:
        return None
    if stored.comparable_with(score):
        return best
    why = f"by {stored.name}" if stored.name != score.name else "; ".join(differences(stored, score))
    log(f"the best weights so far were scored otherwise ({why}): scoring them as this epoch's")
    weights, best = job.run.best_weights()
    with instead_of_average(job, weights):
        again = job.evaluator(job.sampler, [job.metric], job.evaluators.watch).scores[job.metric]
    job.evaluators.watch.close()
    best = {**best, "score": dataclasses.asdict(again)}
    job.run.replace_best(weights, best)
    job.run.keep_snapshot(weights, best)
    return best


def size_of(meta):
    """Pixels of the images that stored weights make."""
    return meta["score"]["protocol"]["resolution"]


def score_finally(job, board, seen, log):
    """At the end of a run, scores the best weights as papers do, and on images that did not help to pick them.

    Of many scores the best is a little lucky; this one is not. Measured once for the same weights and protocol.
    """
    name = final_metric(job.metric, len(job.image_set)) if job.config.final_score else None
    if name is None or job.run.best_meta() is None:
        return
    weights, best = job.run.best_weights()
    if not is_final(job, best, name):
        best = measured_finally(job, weights, best, name, log)
    score, copies = from_stored(best["final"]), from_stored(best["final_copies"])
    known = [(r["of"], r["metric"]) for r in job.run.records() if r["kind"] == "final"]
    if (best["images_seen"], score.name) not in known:
        job.run.log(seen, "final", {"of": best["images_seen"], **record_of(score, copies)})
        board.scalars(seen, {f"final/{score.name}": score.value})


def is_final(job, best, name):
    """True if the best weights have their last score, measured as it would be now."""
    if "final" not in best:
        return False
    score, extractor = from_stored(best["final"]), job.evaluators.networks.extractor
    tag = extractor.name if extractor.name.startswith("-") else ""
    return score.name == name + tag and extractor.protocol.items() <= score.protocol.items()


def measured_finally(job, weights, best, name, log):
    """Measures the last score and its copy check, and stores them beside the best weights; returns what is there."""
    log(f"scoring the best weights, of {best['images_seen'] / 1000:.1f} kimg, once more: {name} on new images")
    with instead_of_average(job, weights):
        job.sampler.first = FINAL_FIRST
        try:
            result = job.evaluator(job.sampler, [name, COPIES], job.evaluators.watch)
        finally:
            job.sampler.first = 0
    job.evaluators.watch.close()
    score, copies = result.scores[name], result.scores[COPIES]
    best = {**best, "final": dataclasses.asdict(score), "final_copies": dataclasses.asdict(copies)}
    job.run.replace_best(weights, best)
    log(f"final {score.text()}, copies {copies.value:.0%}: {describe_protocol(score)}")
    return best


@contextlib.contextmanager
def instead_of_average(job, weights):
    """Within, the sampler shows `weights`; the run's own average is untouched after it."""
    variables = states.named_variables(job.state.g_ema)
    own = weights_of(job)
    try:
        for path, variable in variables.items():
            variable.assign(weights[path])
        job.sampler.refresh()
        yield
    finally:
        for path, variable in variables.items():
            variable.assign(own[path])
        job.sampler.refresh()


def weights_of(job):
    """{attribute path: array} of the averaged generator."""
    return {path: variable.numpy() for path, variable in states.named_variables(job.state.g_ema).items()}


def take_up_score(job, seen):
    """True if the records hold a score of this moment.

    A kill between that record and the checkpoint after it leaves a checkpoint that does not know of the score; what the
    score changed is put right here.
    """
    for record in reversed(job.run.records()):
        if (record["kind"], record["images_seen"]) == ("epoch", seen):
            job.state.stale_epochs.assign(record.get("stale_epochs", job.state.stale_epochs))
            return True
    return False


def is_grown(job):
    """True if the generator makes images of the run's full resolution."""
    return job.sampler.resolution == job.config.resolution


def out_of_patience(job):
    """True if `--patience` scored epochs of the full resolution went by without a better score."""
    return job.config.patience is not None and int(job.state.stale_epochs.numpy()) >= job.config.patience


def set_damaged_best_aside(job, log):
    """Renames best weights that cannot be read, so that the next score takes their place."""
    if not job.run.best.exists():
        return
    try:
        job.run.best_weights()
    except UsageError as error:
        aside = job.run.best.with_suffix(".damaged")
        job.run.best.replace(aside)
        log(f"warning: {error}; it is now {aside.name}, and the next score takes its place")
