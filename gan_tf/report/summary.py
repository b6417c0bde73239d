"""Reads a run folder into a RunSummary, and formats its scores and counts as text.

Records and files may be damaged, or written by an earlier version. Missing fields become None or empty, and damaged
files are listed in `RunSummary.problems`: training must not stop because its report cannot be written.
"""

import dataclasses
import math
import re
from pathlib import Path
from typing import NamedTuple

from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.io.files import list_folder, printable, raise_fault
from gan_tf.io.json_text import json_text
from gan_tf.metrics.score import Score, image_size_of

MOST_POINTS = 250  # of a line in a chart; more are averaged in groups
COPY_MARGIN = 0.05  # a share of copies is large if it exceeds that among the training images by more than this
METRICS = {
    "fid": "Fréchet distance of Inception features",
    "kid": "kernel distance of Inception features",
    "precision_recall": "harmonic mean of precision and recall in Inception features",
    "precision_recall-pixels": "harmonic mean of precision and recall in 16x16 pixels",
    "density_coverage": "coverage in Inception features",
    "fd-lite": "Fréchet distance of EfficientNet-Lite2's features",
    "kid-lite": "kernel distance of EfficientNet-Lite2's features",
    "precision_recall-lite": "harmonic mean of precision and recall in EfficientNet-Lite2's features",
    "density_coverage-lite": "coverage in EfficientNet-Lite2's features",
    "is": "Inception Score",
    "swd": "sliced Wasserstein distance of image patches",
    "ms_ssim": "similarity of random pairs (MS-SSIM)",
    "lpips_diversity": "perceptual distance of random pairs (LPIPS)",
    "ppl": "perceptual path length",
    "memorisation": "share of copies of training images",
}
# Entries of a protocol that are elsewhere in the sentence of `describe_protocol`.
NOT_LISTED = ("reals", "reals_key", "fakes", "resolution")


class ScoredWeights(NamedTuple):
    """The score of the weights at one image count, and their copy check."""

    images_seen: int
    score: Score
    copies: float | None = None  # share of generated images that are copies of training images, 0 to 1
    copy_parts: dict = {}  # {name: float}, more numbers of the copy check
    copy_protocol: dict = {}  # settings of the copy check

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
    def kimg(self) -> float:
        """Thousands of images seen."""
        return self.images_seen / 1000


@dataclasses.dataclass(frozen=True)
class RunSummary:
    """Contents of a run folder, for the report and `gan-tf runs`. All lists start with the oldest entry."""

    folder: Path
    name: str
    config: TrainConfig | None  # None if config.json is damaged
    data: dict  # about the training images, from config.json
    dataset: str  # name of the training images, without folders
    converted_from: str  # the file that the weights were converted from; "" for a run that was trained
    environment: dict  # versions and devices of the last start
    images_seen: int  # largest image count of all records and checkpoints
    scores: list[ScoredWeights]  # of every scored epoch
    best: ScoredWeights | None
    final: ScoredWeights | None  # the best weights, scored again on new images at the end of the run
    snapshots: list[ScoredWeights]
    events: list[tuple[int, str]]  # (image count, text) of changes of settings and rollbacks
    losses: dict[str, list]  # {name: [(kimg, value), ...]} of training statistics such as "loss/g"
    problems: list[str]  # a line for each damaged file


def read_summary(run) -> RunSummary:
    """Reads the folder of a Run. Damaged files raise no error; each is a line of `problems`."""
    problems = []

    def attempt(read, default):
        try:
            return read()
        except (UsageError, OSError) as error:
            raise_fault(error, run.folder)
            problems.append(str(error))
            return default

    config, data = attempt(run.read_settings, (None, {}))
    records = attempt(run.records, [])
    scores = _scored_records(records, "epoch")
    meta = attempt(run.best_meta, None)
    best = _scored_weights(meta, scores) if meta else None
    if meta and not best and not meta.get("converted_from"):
        problems.append(f"{run.best} has no score that this version can read")
    snapshots = [_scored_weights(meta, scores) for meta in attempt(run.snapshot_metas, [])]
    snapshots = [snapshot for snapshot in snapshots if snapshot]
    readable = {f"{snapshot.images_seen:09d}" for snapshot in snapshots}
    for path in list_folder(run.snapshots, "*.npz"):
        if path.stem.rpartition("-")[2] not in readable:
            problems.append(f"{path} is damaged or not a snapshot; remove it")
    counts = [record["images_seen"] for record in records] + [seen for seen, _ in run.checkpoints()]
    return RunSummary(
        folder=run.folder,
        name=run.folder.resolve().name,
        config=config,
        data=data,
        dataset=Path(config.dataset).name if config else "",
        converted_from=printable(data["converted_from"]) if data.get("converted_from") else "",
        environment=attempt(run.read_environment, {}),
        images_seen=max(counts, default=0),
        scores=scores,
        best=best,
        final=_final_score(_scored_records(records, "final"), meta, best),
        snapshots=snapshots,
        events=[event for record in records for event in _events(record)],
        losses=_losses(records),
        problems=problems,
    )


def read_score(stored) -> Score | None:
    """Returns the Score of a stored dict; None without a valid name, value and direction. Leaves out invalid parts."""
    if not isinstance(stored, dict):
        return None
    name, value, lower_is_better = stored.get("name"), _number(stored, "value"), stored.get("lower_is_better")
    if not isinstance(name, str) or value is None or not isinstance(lower_is_better, bool):
        return None
    return Score(name, value, lower_is_better, _dict(stored.get("protocol")), _numbers(stored.get("parts")))


def _scored_records(records, kind) -> list[ScoredWeights]:
    """Returns the scores in the records of a kind, "epoch" or "final"."""
    scored = []
    for record in records:
        # Records of earlier versions have no `lower_is_better`.
        stored = {"lower_is_better": True, **record, "name": record.get("metric"), "value": record.get("score", "")}
        if record.get("kind") == kind and (score := read_score(stored)):
            parts, protocol = _numbers(record.get("copy_parts")), _dict(record.get("copy_protocol"))
            copies = None if record.get("copies") is None else _number(record, "copies")  # None: not measured
            scored.append(ScoredWeights(record["images_seen"], score, copies, parts, protocol))
    return scored


def _scored_weights(meta, scores) -> ScoredWeights | None:
    """Returns the score in the meta dict of a weight file, or None.

    Earlier versions did not store the copy check there; it is then taken from `scores`, at the same image count.
    """
    score, seen = read_score(meta.get("score")), meta["images_seen"]
    if score is None:
        return None
    if copies := read_score(meta.get("copies")):
        return ScoredWeights(seen, score, copies.value, copies.parts, copies.protocol)
    checks = [scored for scored in scores if scored.images_seen == seen and scored.copies is not None]
    return ScoredWeights(seen, score, *(checks[-1][2:] if checks else ()))


def _final_score(finals, meta, best) -> ScoredWeights | None:
    """Returns the score of the best weights at the end of the run, or None. `finals`: scores in final records."""
    if best is None:
        return finals[-1] if finals else None
    score = read_score(meta.get("final"))
    if score is None:
        return None
    same = [final for final in finals if final.score.comparable_with(score)]
    return ScoredWeights(best.images_seen, score, *(same[-1][2:] if same else ()))


def _events(record):
    """Yields (image count, text) of a record of kind "change" or "rollback"."""
    seen, kind = record["images_seen"], record.get("kind")
    if kind == "change":
        changes = record.get("changes")
        for change in changes if isinstance(changes, list) else [changes]:
            yield seen, f"changed {change}"
    elif kind == "rollback":
        at, scale = _number(record, "at"), _number(record, "lr_scale")
        scaled = f", learning rate times {scale:g}" if scale is not None else ""
        where = f" at {at / 1000:.1f} kimg" if at is not None else ""
        yield seen, f"rolled back to here{scaled}: {record.get('reason', 'unknown reason')}{where}"


def _losses(records) -> dict:
    """Returns {name: [(kimg, value), ...]} of the training records, at most MOST_POINTS means of each."""
    lines = {}
    for record in records:
        if record.get("kind") == "train":
            for name in record:
                if "/" in name and (number := _number(record, name)) is not None:
                    lines.setdefault(name, []).append((record["images_seen"] / 1000, number))
    for name, line in lines.items():
        size = -(-len(line) // MOST_POINTS)
        groups = [line[first : first + size] for first in range(0, len(line), size)]
        lines[name] = [tuple(sum(values) / len(group) for values in zip(*group, strict=True)) for group in groups]
    return lines


def _number(stored, name) -> float | None:
    """Returns a number of a dict from JSON as float; NaN for null; None for anything else."""
    value = stored.get(name, "")
    if value is None:
        return math.nan
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(str(value)) if is_number else None  # by way of text: float() of an int of 400 digits raises an error


def _numbers(value) -> dict:
    return {name: number for name in _dict(value) if (number := _number(value, name)) is not None}


def _dict(value) -> dict:
    return value if isinstance(value, dict) else {}


# Text


def describe_protocol(score, sources=None) -> str:
    """Describes how a Score was measured, in one sentence.

    Args:
        sources: names of the real images, if the sentence is for several scores; default: those of the score.
    """
    protocol = score.protocol
    names = re.match(r"([a-z_]*)\d*k?(-pixels|-lite)?", score.name).groups("")
    metric = METRICS.get("".join(names), "score")
    direction = "lower is better" if score.lower_is_better else "higher is better"
    sources = sources or [str(protocol[name]) for name in ("reals_source",) if name in protocol]
    counts = {name: f"{n:,}" if isinstance(n, int) else str(n) for name, n in protocol.items()}
    images = [f"{counts['fakes']} fakes"] if "fakes" in protocol else []
    if "reals" in protocol:
        source = f" of {' or '.join(sources)}" if sources else ""
        key = f" ({format_value(protocol['reals_key'])})" if protocol.get("reals_key") else ""
        images.append(f"{counts['reals']} reals{source}{key}")
    size = f" at {image_size_of(protocol)}" if "resolution" in protocol else ""
    details = [f"{name} {format_value(value)}" for name, value in score.compared.items() if name not in NOT_LISTED]
    clauses = [f"{score.name}: {metric}, {direction}", " against ".join(images) + size, ", ".join(details)]
    return "; ".join(clause for clause in clauses if clause) + "."


def format_value(value) -> str:
    """Formats a JSON value; hashes are cut to 8 digits."""
    if isinstance(value, list):
        return " ".join(map(format_value, value))
    text = json_text(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return text[:8] if re.fullmatch(r"[0-9a-f]{16,}", text) else text


def format_share(share) -> str:
    """Formats 0.02 as "2 %", None as "?" and NaN as "n/a"."""
    if share is None or not math.isfinite(share):
        return "?" if share is None else "n/a"
    percent = 100 * share
    return f"{percent:.0f} %" if percent >= 10 or percent == 0 else f"{percent:.2g} %"


def format_kimg(images) -> str:
    """Formats 12000 images as "12.0" and 431000 as "431"."""
    return f"{images / 1000:.{1 if images < 100_000 else 0}f}"
