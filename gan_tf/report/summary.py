"""Reads a run folder into a RunSummary: settings, scores with their copy checks, snapshots, losses, sample grids.

Records and files may be damaged, or written by an earlier version. Missing fields become None or empty, and damaged
files are listed in `RunSummary.problems`: training must not stop because its report cannot be written.
"""

import dataclasses
import json
import math
from pathlib import Path
from typing import NamedTuple

from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.io.files import printable
from gan_tf.metrics.score import Score

MOST_POINTS = 250  # of a line in a chart
COPY_MARGIN = 0.05  # a share of copies is large if it exceeds that among the training images by more than this


class ScoredWeights(NamedTuple):
    """The score of the weights at one image count, and their copy check."""

    images_seen: int
    score: Score
    copies: float | None = None  # share of generated images that are copies of training images, 0 to 1
    copy_parts: dict = {}  # {name: float}, more numbers of the copy check
    copy_protocol: dict = {}  # how the copy check was made

    @property
    def share_among_reals(self) -> float | None:
        """The share of training images that count as copies of other training images; None if unknown."""
        share = self.copy_parts.get("share_among_reals")
        return share if share is not None and math.isfinite(share) else None

    @property
    def has_many_copies(self) -> bool:
        """True if clearly more generated images than training images count as copies."""
        return self.copies is not None and self.copies > (self.share_among_reals or 0.0) + COPY_MARGIN

    @property
    def threshold(self) -> float | None:
        """The distance ratio below which an image counts as a copy; None if unknown."""
        return _number(self.copy_protocol.get("threshold"))

    @property
    def kimg(self) -> float:
        """Thousands of images seen."""
        return self.images_seen / 1000


class Event(NamedTuple):
    """A change of settings or a rollback."""

    images_seen: int
    text: str


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """Contents of a run folder."""

    folder: Path
    config: TrainConfig | None  # None if config.json is damaged
    data: dict  # about the training images, from config.json
    environment: dict  # versions and devices of the last start
    images_seen: int  # largest image count of all records and checkpoints
    scores: tuple[ScoredWeights, ...]  # of every scored epoch, oldest first
    best: ScoredWeights | None
    final: ScoredWeights | None  # the best weights, scored again on new images at the end of the run
    snapshots: tuple[ScoredWeights, ...]  # oldest first
    events: tuple[Event, ...]  # oldest first
    losses: dict[str, list]  # {name: [(kimg, value), ...]} of training statistics such as "loss/g"
    grids: tuple[tuple[int, Path], ...]  # (image count, path) of every sample grid, oldest first
    panel: tuple[int, Path] | None  # the newest image of the copy check
    phases: tuple[int, Path] | None  # the newest grid with a row for each resolution of a growing network
    problems: tuple[str, ...]  # a line for each damaged file

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.folder.resolve().name

    @property
    def converted_from(self) -> str:
        """The file that the weights were converted from; "" for a run that was trained."""
        return printable(self.data["converted_from"]) if self.data.get("converted_from") else ""

    @property
    def dataset(self) -> str:
        """Name of the training images, without folders."""
        return Path(self.config.dataset).name if self.config else ""


def read_summary(run) -> RunSummary:
    """Reads the folder of a Run. Damaged files do not raise an error."""
    problems = []

    def attempt(read, default):
        try:
            return read()
        except (UsageError, OSError) as error:
            problems.append(str(error))
            return default

    config, data = attempt(run.read_settings, (None, {}))
    records = attempt(run.records, [])
    scores = [_scored_record(record) for record in records if record.get("kind") == "epoch"]
    scores = tuple(scored for scored in scores if scored)
    meta = attempt(run.best_meta, None)
    best = _scored_weights(meta, scores) if meta else None
    if meta and not best and not meta.get("converted_from"):
        problems.append(f"{run.best} has no score that this version can read")
    snapshots = [_scored_weights(meta, scores) for meta in attempt(run.snapshot_metas, [])]
    snapshots = tuple(snapshot for snapshot in snapshots if snapshot)
    readable = {f"{snapshot.images_seen:09d}" for snapshot in snapshots}
    for path in sorted(run.snapshots.glob("*.npz")):
        if path.stem.rpartition("-")[2] not in readable:
            problems.append(f"{path} is damaged or not a snapshot; remove it")
    counts = [record["images_seen"] for record in records] + [seen for seen, _ in run.checkpoints()]
    return RunSummary(
        folder=run.folder,
        config=config,
        data=data,
        environment=attempt(run.read_environment, {}),
        images_seen=max(counts, default=0),
        scores=scores,
        best=best,
        final=_final_score(records, meta, best),
        snapshots=snapshots,
        events=tuple(event for record in records for event in _events(record)),
        losses=_losses(records),
        grids=tuple(run.grids()),
        panel=next(reversed(run.grids("copies")), None),
        phases=next(reversed(run.grids("phases")), None),
        problems=tuple(problems),
    )


def read_score(stored) -> Score | None:
    """Returns the Score of a stored dict, or None without a valid name and value. Invalid parts are left out."""
    if not isinstance(stored, dict):
        return None
    name, value, lower_is_better = stored.get("name"), _number(stored.get("value")), stored.get("lower_is_better")
    if not isinstance(name, str) or value is None or not isinstance(lower_is_better, bool):
        return None
    return Score(name, value, lower_is_better, _dict(stored.get("protocol")), _numbers(stored.get("parts")))


def comparison_key(score) -> str:
    """Returns a text that is equal for two scores exactly if they are comparable."""
    return json.dumps([score.name, score.lower_is_better, score.compared], sort_keys=True, default=str)


def _scored_record(record) -> ScoredWeights | None:
    """Returns the score in a record of kind "epoch" or "final", or None."""
    stored = {"lower_is_better": True, **record}  # records of earlier versions do not have it
    score = read_score({**stored, "name": record.get("metric"), "value": record.get("score")})
    if score is None:
        return None
    parts, protocol = _numbers(record.get("copy_parts")), _dict(record.get("copy_protocol"))
    return ScoredWeights(record["images_seen"], score, _number(record.get("copies")), parts, protocol)


def _scored_weights(meta, scores) -> ScoredWeights | None:
    """Returns the score in the meta dict of a weight file, or None.

    Earlier versions did not store the copy check there; it is then taken from the newest epoch of the same image count.
    """
    score, seen = read_score(meta.get("score")), meta["images_seen"]
    if score is None:
        return None
    if copies := read_score(meta.get("copies")):
        return ScoredWeights(seen, score, copies.value, copies.parts, copies.protocol)
    checks = [scored for scored in scores if scored.images_seen == seen and scored.copies is not None]
    return ScoredWeights(seen, score, *(checks[-1][2:] if checks else ()))


def _final_score(records, meta, best) -> ScoredWeights | None:
    """Returns the score of the best weights at the end of the run, or None."""
    scored = [_scored_record(record) for record in records if record.get("kind") == "final"]
    scored = [final for final in scored if final]
    if best is None:
        return scored[-1] if scored else None
    score = read_score(meta.get("final"))
    if score is None:
        return None
    same = [final for final in scored if comparison_key(final.score) == comparison_key(score)]
    return ScoredWeights(best.images_seen, score, *(same[-1][2:] if same else ()))


def _events(record):
    """Yields the Events of a record of kind "change" or "rollback"."""
    seen, kind = record["images_seen"], record.get("kind")
    if kind == "change":
        changes = record.get("changes")
        for change in changes if isinstance(changes, list) else [changes]:
            yield Event(seen, f"changed {change}")
    elif kind == "rollback":
        at, scale = _number(record.get("at")), _number(record.get("lr_scale"))
        scaled = f", learning rate times {scale:g}" if scale is not None else ""
        where = f" at {at / 1000:.1f} kimg" if at is not None else ""
        yield Event(seen, f"rolled back to here{scaled}: {record.get('reason', 'unknown reason')}{where}")


def _losses(records) -> dict:
    """Returns {name: [(kimg, value), ...]} of the training records, at most MOST_POINTS means of each."""
    lines = {}
    for record in records:
        if record.get("kind") == "train":
            for name, value in record.items():
                if "/" in name and (number := _number(value)) is not None:
                    lines.setdefault(name, []).append((record["images_seen"] / 1000, number))
    thinned = {}
    for name, line in lines.items():
        size = -(-len(line) // MOST_POINTS)
        groups = [line[first : first + size] for first in range(0, len(line), size)]
        thinned[name] = [tuple(sum(values) / len(group) for values in zip(*group, strict=True)) for group in groups]
    return thinned


def _number(value) -> float | None:
    """Returns a JSON number as float, NaN and infinities included; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _numbers(value) -> dict:
    return {name: number for name, item in _dict(value).items() if (number := _number(item)) is not None}


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}
