"""What a run folder tells: settings, scores with their copy shares, snapshots, changes.

Records and files may be of an older version, or damaged. What lacks something is left out or None here, and never an
error: a page about a run must not end the run. A damaged file is named in `RunSummary.problems`.
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

DAMAGED = (UsageError, OSError, EOFError)  # what reading a damaged file raises; EOFError: an empty one
MOST_POINTS = 250  # of a line: more are not seen
MOST_LOSSES = 40  # lines; a family logs eight
ABOVE_EXPECTED = 0.05  # a share of copies that lies so far above the reals' own is pointed out
MOST_IMAGES = 10**15  # more is no image count, and too large for a float


class Scored(NamedTuple):
    """A score of the weights of one moment, and what the copy check said of the same weights.

    images_seen: int. score: Score. copies: share 0..1, None where it is not known. copy_parts: {name: float},
    copy_protocol: dict, of the copy check.
    """

    images_seen: int
    score: Score
    copies: float | None = None
    copy_parts: dict = {}
    copy_protocol: dict = {}

    @property
    def share_among_reals(self) -> float | None:
        """The share of copies that the training images show among themselves, None where it is not known."""
        found = self.copy_parts.get("share_among_reals")
        return found if found is not None and math.isfinite(found) else None

    @property
    def copies_much(self) -> bool:
        """True if clearly more images look copied than the reals do among themselves."""
        return self.copies is not None and self.copies > (self.share_among_reals or 0.0) + ABOVE_EXPECTED

    @property
    def threshold(self) -> float | None:
        """The ratio below which an image counted as a copy, None where the record does not tell."""
        return real(self.copy_protocol.get("threshold"))

    @property
    def kimg(self) -> float:
        """Thousands of images seen."""
        return self.images_seen / 1000


class Event(NamedTuple):
    """A change of settings or a roll-back, in words."""

    images_seen: int
    text: str


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """What is known of a run.

    Attributes:
        folder: Path of the run.
        config: TrainConfig; None where config.json is damaged.
        data: what config.json says of the images.
        environment: versions and devices of the last start.
        images_seen: most images that a record or a checkpoint tells of.
        scores: Scored of every scored epoch, oldest first.
        best, final: Scored of the best weights, and once more at the end of the run; None before there is one. They are
            of the same weights.
        snapshots: Scored of every file in snapshots/, oldest first.
        events: Events, oldest first.
        losses: {name: list of (kimg, value)} of what training logs of itself, such as "loss/g", thinned by means.
        grids: (image count, Path) of every sample grid, oldest first.
        panel, phases: (image count, Path) of the newest picture of the copy check, and of the newest one of the sizes
            that a network grew through, or None.
        problems: a line for each damaged file.
    """

    folder: Path
    config: TrainConfig | None
    data: dict
    environment: dict
    images_seen: int
    scores: tuple
    best: Scored | None
    final: Scored | None
    snapshots: tuple
    events: tuple
    losses: dict
    grids: tuple
    panel: tuple | None
    phases: tuple | None
    problems: tuple

    @property
    def name(self) -> str:
        """What the run is called."""
        return self.folder.resolve().name

    @property
    def converted_from(self) -> str:
        """What the weights were converted from; "" for a run that was trained here."""
        return printable(self.data["converted_from"]) if self.data.get("converted_from") else ""

    @property
    def dataset(self) -> str:
        """What it is trained on, without the path."""
        return Path(self.config.dataset).name if self.config else ""


def read_summary(run) -> RunSummary:
    """Reads a run.Run."""
    problems = []
    config, data = or_else((None, {}), run.read_settings, problems, run.folder)
    records = whole_records(run, problems)
    scores = tuple(found for record in records if record.get("kind") == "epoch" and (found := scored(record)))
    checkpoints = [seen for seen, _ in run.checkpoints()]
    best, final = best_and_final(run, records, scores, problems)
    return RunSummary(
        folder=run.folder,
        config=config,
        data=dict_or_empty(data),
        environment=or_else({}, run.read_environment, problems, run.folder),
        images_seen=max([record["images_seen"] for record in records] + checkpoints, default=0),
        scores=scores,
        best=best,
        final=final,
        snapshots=snapshots_of(run, scores, problems),
        events=tuple(event for record in records for event in events_of(record)),
        losses=losses_of(records),
        grids=tuple(run.grids()),
        panel=next(reversed(run.grids("copies")), None),
        phases=next(reversed(run.grids("phases")), None),
        problems=tuple(problems),
    )


def whole_records(run, problems) -> list[dict]:
    """Records that tell when they were made."""
    found = or_else([], run.records, problems, run.stats)
    return [record for record in found if isinstance(record, dict) and is_count(record.get("images_seen"))]


def losses_of(records) -> dict:
    """{name: list of (kimg, value)} of records of kind "train", thinned."""
    found = {}
    for record in records:
        if record.get("kind") == "train":
            for name, value in record.items():
                if "/" in name and (name in found or len(found) < MOST_LOSSES) and (number := real(value)) is not None:
                    found.setdefault(name, []).append((record["images_seen"] / 1000, number))
    return {name: thinned(line) for name, line in found.items()}


def thinned(line) -> list:
    """At most MOST_POINTS of (kimg, value), each a mean; values that are not finite make it so, and stay in sight."""
    size = -(-len(line) // MOST_POINTS)
    parts = [line[first : first + size] for first in range(0, len(line), size)]
    return [tuple(sum(values) / len(part) for values in zip(*part, strict=True)) for part in parts]


def scored(record) -> Scored | None:
    """What a record of kind "epoch" or "final" says; None if it has no score."""
    score = read_score(
        {
            "name": record.get("metric"),
            "value": record.get("score"),
            "lower_is_better": record.get("lower_is_better", True),  # older ones do not say; every gate is a distance
            "protocol": record.get("protocol"),
            "parts": record.get("parts"),
        }
    )
    if score is None:
        return None
    parts, protocol = numbers(record.get("copy_parts")), dict_or_empty(record.get("copy_protocol"))
    return Scored(record["images_seen"], score, real(record.get("copies")), parts, protocol)


def read_score(stored) -> Score | None:
    """A stored score, with only what is sound in it; None if name or value are missing."""
    stored = dict_or_empty(stored)
    name, value = stored.get("name"), real(stored.get("value"))
    if not isinstance(name, str) or value is None or not isinstance(stored.get("lower_is_better"), bool):
        return None
    protocol, parts = dict_or_empty(stored.get("protocol")), numbers(stored.get("parts"))
    return Score(name, value, stored["lower_is_better"], protocol, parts)


def measured_by(score) -> str:
    """Equal for two scores exactly if they may be ranked together."""
    return json.dumps([score.name, score.lower_is_better, score.compared], sort_keys=True, default=str)


def best_and_final(run, records, scores, problems):
    """(Scored or None, Scored or None) of the best weights."""
    meta = or_else(None, run.best_meta, problems, run.best)
    best = None if meta is None else kept(meta, scores)
    if meta is not None and best is None and not dict_or_empty(meta).get("converted_from"):
        problems.append(f"{run.best} holds no score that this version can read")
    last = [found for record in records if record.get("kind") == "final" and (found := scored(record))]
    if best is None:
        return None, last[-1] if last else None
    final = read_score(meta.get("final"))
    if final is None:
        return best, None
    same = [found for found in last if measured_by(found.score) == measured_by(final)]
    return best, Scored(best.images_seen, final, *(same[-1][2:] if same else ()))


def snapshots_of(run, scores, problems):
    """Scored of every readable snapshot; the others become problems."""
    metas = or_else(None, run.snapshot_metas, problems, run.snapshots)
    if metas is None:
        return ()
    found = [snapshot for meta in metas if (snapshot := kept(meta, scores))]
    known = {snapshot.images_seen for snapshot in found}
    for path in sorted(run.snapshots.glob("*.npz")):
        number = path.stem.rpartition("-")[2]
        if not number.isdigit() or int(number) not in known:
            problems.append(f"{path} is damaged, or no snapshot; remove it")
    return tuple(found)


def kept(meta, scores) -> Scored | None:
    """What is stored beside weights; where that tells of no copy check, with the newest of the same moment."""
    meta = dict_or_empty(meta)
    score, seen = read_score(meta.get("score")), meta.get("images_seen")
    if score is None or not is_count(seen):
        return None
    if (copies := read_score(meta.get("copies"))) is not None:
        return Scored(seen, score, copies.value, copies.parts, copies.protocol)
    checks = [found for found in scores if found.images_seen == seen and found.copies is not None]
    return Scored(seen, score, *(checks[-1][2:] if checks else ()))


def events_of(record):
    """Yields what a record of kind "change" or "rollback" says."""
    seen, kind = record["images_seen"], record.get("kind")
    if kind == "change":
        changes = record.get("changes")
        for change in changes if isinstance(changes, list) else [changes]:
            yield Event(seen, f"changed {change}")
    elif kind == "rollback":
        at = record.get("at")
        where = f" at {at / 1000:.1f} kimg" if is_count(at) else ""
        scale = real(record.get("lr_scale"))
        then = f", learning rate times {scale:g}" if scale is not None else ""
        yield Event(seen, f"rolled back to here{then}: {record.get('reason', 'unknown reason')}{where}")


def or_else(default, read, problems, what):
    """What `read` returns; `default` if a file of `what` is damaged, which `problems` is then told."""
    try:
        return read()
    except DAMAGED as error:
        problems.append(str(error) if isinstance(error, UsageError) else f"{what}: {error}")
        return default


def is_count(value) -> bool:
    """True for a number of images."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MOST_IMAGES


def real(value) -> float | None:
    """A number as float, NaN and infinities too; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # JSON's integers have no bound
        return math.inf


def numbers(values) -> dict:
    """The numbers of a dict."""
    return {name: found for name, value in dict_or_empty(values).items() if (found := real(value)) is not None}


def dict_or_empty(value) -> dict:
    """`value` if it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}
