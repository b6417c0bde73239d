"""`gan-tf runs checkpoints/`: runs and their snapshots, ranked among those that were measured alike."""

import dataclasses
import json
import math
import shlex
import textwrap
from pathlib import Path
from typing import Annotated

import tyro

from gan_tf.cli import arguments
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path

WIDTH = 100  # columns of the output
FINAL_NOTE = "* scored once more at the end of the run, on images that did not help to pick these weights"
LEAST_DATA_WIDTH = 8  # the column of the data sets is cut short to this where a line would be too long


@dataclasses.dataclass(frozen=True)
class RunsOptions:
    """Ranks the best weights, snapshots and final scores of all runs in a folder. Scores that were measured otherwise
    (another metric, other images, another network) stand in a ranking of their own.
    """

    # A folder that holds runs, or one run.
    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = "checkpoints"
    limit: int | None = None  # show so many of each ranking
    json: bool = False  # print everything as JSON

    def __post_init__(self):
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}; give an integer of at least 1")


@dataclasses.dataclass(frozen=True)
class Entry:
    """One line of a ranking.

    Attributes:
        facts: report.summary.RunSummary of the run.
        scored: report.summary.Scored of its weights.
        kind: "best", "final" (the best weights, scored once more) or "snapshot".
    """

    facts: object
    scored: object
    kind: str

    @property
    def which(self) -> str:
        """What `--which` picks these weights."""
        return str(self.scored.images_seen) if self.kind == "snapshot" else "best"


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no such folder, or no run in it.
    """
    options = arguments.parse(RunsOptions, argv, prog="gan-tf runs")
    from gan_tf.report.summary import read_summary

    found = [read_summary(run) for run in find_runs(options.folder)]
    whole = [facts for facts in found if facts.config is not None]
    rankings = ranked([entry for facts in whole for entry in entries(facts)])
    silent = [facts for facts in whole if not entries(facts)]
    damaged = [problem for facts in found for problem in facts.problems]
    if options.json:
        print(json.dumps(as_json(rankings, silent, damaged, options.limit), indent=2, allow_nan=False))
    else:
        print("\n\n".join(texts(options.folder, len(found), rankings, silent, damaged, options.limit)))
    return 0


def find_runs(folder) -> list:
    """The run that a folder is, or the runs in it, by name.

    Raises:
        UsageError: there is none.
    """
    from gan_tf.runs.folder import Run

    path = user_path(folder)
    try:
        if Run(path).exists():
            return [Run(path)]
        runs = [Run(child) for child in sorted(path.iterdir()) if child.is_dir() and Run(child).exists()]
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(f"FOLDER {folder} cannot be read ({reason}); give the folder that holds the runs") from error
    if not runs:
        raise UsageError(f"FOLDER {folder} holds no run; give a folder such as checkpoints, or a run in it")
    return runs


def entries(facts) -> list[Entry]:
    """What a run has to be ranked. The snapshot that is the best one stands there once."""
    found = [Entry(facts, scored, kind) for kind in ("best", "final") if (scored := getattr(facts, kind)) is not None]
    best = facts.best
    for kept in facts.snapshots:
        if best is None or kept.images_seen != best.images_seen or not kept.score.comparable_with(best.score):
            found.append(Entry(facts, kept, "snapshot"))
    return found


def ranked(found) -> list[list[Entry]]:
    """Groups entries that were measured alike, each best first, NaN last; the groups by metric and images."""
    from gan_tf.report.summary import measured_by

    groups = {}
    for entry in found:
        groups.setdefault(measured_by(entry.scored.score), []).append(entry)

    def place(entry):
        score = entry.scored.score
        value = score.value if score.lower_is_better else -score.value
        return math.isnan(value), 0.0 if math.isnan(value) else value

    rankings = [sorted(group, key=place) for group in groups.values()]
    return sorted(
        rankings, key=lambda group: (sources(group), group[0].scored.score.name, measured_by(group[0].scored.score))
    )


def sources(group) -> list[str]:
    """Names of the real images that a group was measured against: one set may lie in several places."""
    named = [entry.scored.score.protocol.get("reals_source") for entry in group]
    return list(dict.fromkeys(str(name) for name in named if name is not None))


def why_silent(facts) -> str:
    """Why a run has no score."""
    from gan_tf.report.formatting import kimg

    seen = f"{kimg(facts.images_seen)} of {kimg(facts.config.total_images)} kimg seen"
    if facts.problems:
        return f"its scores cannot be read, see below ({seen})"
    if facts.scores:
        return f"scored, but best/ and snapshots/ hold no weights any more ({seen})"
    if origin := facts.data.get("converted_from"):
        return f"converted from {origin}, no score yet; gan-tf evaluate measures it"
    return f"no score yet ({seen}); the first one comes at the end of a scored epoch"


def texts(folder, count, rankings, silent, damaged, limit):
    """Yields the blocks of the output."""
    from gan_tf.report.formatting import describe_protocol

    yield f"{count} run{'s' if count != 1 else ''} in {Path(folder)}; images: gan-tf generate RUN --which WHICH"
    for group in rankings:
        sentence = describe_protocol(group[0].scored.score, sources(group))
        lines = table([row(place, entry) for place, entry in enumerate(group[:limit], 1)])
        more = [f"and {len(group) - limit} more"] if limit is not None and len(group) > limit else []
        note = [FINAL_NOTE] if any(entry.kind == "final" for entry in group[:limit]) else []
        yield "\n".join([*textwrap.wrap(sentence, WIDTH), *lines, *more, *note])
    if silent:
        yield "\n".join(["Without a score:", *(f"{facts.folder}: {why_silent(facts)}" for facts in silent)])
    if damaged:
        yield "\n".join(["Damaged, and left out:", *damaged])


def row(place, entry) -> dict[str, str]:
    """The cells of one line."""
    from gan_tf.report.formatting import kimg, share

    facts, scored = entry.facts, entry.scored
    return {
        "": str(place),
        "score": scored.score.text(),
        "copies": share(scored.copies),
        "kimg": f"{kimg(scored.images_seen)}/{kimg(facts.images_seen)}",
        "model": facts.config.model,
        "size": str(facts.config.resolution),
        "data": facts.dataset,
        "which": entry.which + ("*" if entry.kind == "final" else ""),
        "run": shlex.quote(str(facts.folder)),  # last: a long path then moves nothing else
    }


def table(rows) -> list[str]:
    """Aligned lines under their titles, at most WIDTH columns where cutting names short makes that possible."""
    titles = list(rows[0])
    widths = {title: max(len(title), *(len(cells[title]) for cells in rows)) for title in titles}
    too_long = sum(widths.values()) + 2 * (len(titles) - 1) - WIDTH
    widths["data"] -= max(0, min(too_long, widths["data"] - LEAST_DATA_WIDTH))
    lines = []
    for cells in [dict(zip(titles, titles, strict=True)), *rows]:
        aligned = [fitted(cells[title], widths[title], title in ("", "copies", "kimg", "size")) for title in titles]
        lines.append("  ".join(aligned).rstrip())
    return lines


def fitted(text, width, to_the_right) -> str:
    """`text` in exactly `width` columns, or more where that is the last cell's."""
    if len(text) > width:
        text = text[: width - 1] + "…"
    return text.rjust(width) if to_the_right else text.ljust(width)


def as_json(rankings, silent, damaged, limit) -> dict:
    """Everything for other programs; numbers that are none become null."""
    return {
        "rankings": [
            {
                "metric": group[0].scored.score.name,
                "lower_is_better": group[0].scored.score.lower_is_better,
                "protocol": finite(group[0].scored.score.compared),
                "entries": [entry_json(place, entry) for place, entry in enumerate(group[:limit], 1)],
                "left_out": max(0, len(group) - limit) if limit is not None else 0,
            }
            for group in rankings
        ],
        "without_score": [{"run": facts.name, "path": str(facts.folder), "why": why_silent(facts)} for facts in silent],
        "damaged": damaged,
    }


def entry_json(place, entry) -> dict:
    """One line of a ranking for other programs."""
    facts, scored = entry.facts, entry.scored
    return {
        "place": place,
        "run": facts.name,
        "kind": entry.kind,
        "model": facts.config.model,
        "resolution": facts.config.resolution,
        "dataset": facts.config.dataset,
        "images_seen": scored.images_seen,
        "run_images_seen": facts.images_seen,
        "text": scored.score.text(),
        "score": finite(dataclasses.asdict(scored.score)),
        "copies": finite(scored.copies),
        "copy_parts": finite(scored.copy_parts),
        "path": str(facts.folder),
        "which": entry.which,
    }


def finite(value):
    """The same with None for NaN and infinities, which JSON does not have."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
