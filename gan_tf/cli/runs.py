"""`gan-tf runs checkpoints/`: rankings of the best weights, snapshots and final scores of all runs."""

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
FINAL_NOTE = "* scored again at the end of the run, on images that were not used to choose these weights"
LEAST_DATA_WIDTH = 8  # of the column of data sets, which is shortened if lines are too long
RIGHT_ALIGNED = ("", "copies", "kimg", "size")


@dataclasses.dataclass(frozen=True)
class RunsOptions:
    """Ranks the best weights, snapshots and final scores of all runs in a folder. Scores with different protocols
    (metric, real images, network) are in separate rankings.
    """

    # A folder that contains runs, or one run.
    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")] = "checkpoints"
    limit: int | None = None  # number of rows of each ranking
    json: bool = False  # print one JSON object

    def __post_init__(self):
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit is {self.limit}; give an integer of at least 1")


@dataclasses.dataclass(frozen=True)
class RankedWeights:
    """One row of a ranking."""

    run: object  # report.summary.RunSummary
    scored: object  # report.summary.ScoredWeights
    kind: str  # "best", "final" (the best weights, scored again) or "snapshot"

    @property
    def which(self) -> str:
        """The value of `--which` that selects these weights."""
        return str(self.scored.images_seen) if self.kind == "snapshot" else "best"


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: an option is invalid, or the folder contains no run.
    """
    options = arguments.parse(RunsOptions, argv, prog="gan-tf runs")
    from gan_tf.report.summary import read_summary

    runs = [read_summary(run) for run in find_runs(options.folder)]
    readable = [run for run in runs if run.config is not None]
    rankings = rank([row for run in readable for row in ranked_weights(run)])
    unscored = [run for run in readable if not ranked_weights(run)]
    damaged = [problem for run in runs for problem in run.problems]
    if options.json:
        print(json.dumps(as_json(rankings, unscored, damaged, options.limit), indent=2, allow_nan=False))
    else:
        print("\n\n".join(text_blocks(options.folder, len(runs), rankings, unscored, damaged, options.limit)))
    return 0


def find_runs(folder) -> list:
    """Returns the Run in a folder, or the Runs in its subfolders, by name.

    Raises:
        UsageError: there is none.
    """
    from gan_tf.runs.folder import Run

    path = user_path(folder)
    if Run(path).exists():
        return [Run(path)]
    try:
        runs = [Run(child) for child in sorted(path.iterdir()) if Run(child).exists()]
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"FOLDER {folder} cannot be read ({reason}); give the folder that contains the runs"
        ) from error
    if not runs:
        raise UsageError(f"FOLDER {folder} contains no run; give a folder such as checkpoints, or one run")
    return runs


def ranked_weights(run) -> list[RankedWeights]:
    """Returns the rows of one RunSummary. The snapshot with the best score is left out: it is the best weights."""
    best = run.best
    rows = [RankedWeights(run, best, "best")] if best else []
    rows += [RankedWeights(run, run.final, "final")] if run.final else []
    for snapshot in run.snapshots:
        if not (best and snapshot.images_seen == best.images_seen and snapshot.score.comparable_with(best.score)):
            rows.append(RankedWeights(run, snapshot, "snapshot"))
    return rows


def rank(rows) -> list[list[RankedWeights]]:
    """Groups rows with comparable scores; the best first in each group, NaN last."""
    from gan_tf.report.summary import comparison_key

    groups = {}
    for row in rows:
        groups.setdefault(comparison_key(row.scored.score), []).append(row)

    def sort_key(row):
        value = row.scored.score.value if row.scored.score.lower_is_better else -row.scored.score.value
        return math.isnan(value), 0.0 if math.isnan(value) else value

    order = sorted(groups, key=lambda key: (source_names(groups[key]), groups[key][0].scored.score.name, key))
    return [sorted(groups[key], key=sort_key) for key in order]


def source_names(ranking) -> list[str]:
    """Returns the names of the real images of a ranking; the same images may have several."""
    names = [row.scored.score.protocol.get("reals_source") for row in ranking]
    return list(dict.fromkeys(str(name) for name in names if name is not None))


def unscored_reason(run) -> str:
    """Returns why a run has no row."""
    from gan_tf.report.formatting import format_kimg

    seen = f"{format_kimg(run.images_seen)} of {format_kimg(run.config.total_images)} kimg seen"
    if run.problems:
        return f"its scores cannot be read, see below ({seen})"
    if run.scores:
        return f"scored, but its best/ and snapshots/ contain no weights any more ({seen})"
    if run.converted_from:
        return f"converted from {run.converted_from}, no score yet; score it with gan-tf evaluate"
    return f"no score yet ({seen}); the first one comes at the end of a scored epoch"


def text_blocks(folder, count, rankings, unscored, damaged, limit):
    """Yields the paragraphs of the output."""
    from gan_tf.report.formatting import describe_protocol

    yield f"{count} run{'s' if count != 1 else ''} in {Path(folder)}; images: gan-tf generate RUN --which WHICH"
    for ranking in rankings:
        shown = ranking[:limit]
        protocol = textwrap.wrap(describe_protocol(shown[0].scored.score, source_names(ranking)), WIDTH)
        lines = [*protocol, *table([cells(place, row) for place, row in enumerate(shown, 1)])]
        lines += [f"and {len(ranking) - len(shown)} more"] if len(shown) < len(ranking) else []
        lines += [FINAL_NOTE] if any(row.kind == "final" for row in shown) else []
        yield "\n".join(lines)
    if unscored:
        yield "\n".join(["Without a score:", *(f"{run.folder}: {unscored_reason(run)}" for run in unscored)])
    if damaged:
        yield "\n".join(["Damaged, and left out:", *damaged])


def cells(place, row) -> dict[str, str]:
    """Returns {column: text} of one row."""
    from gan_tf.report.formatting import format_kimg, format_share

    return {
        "": str(place),
        "score": row.scored.score.text(),
        "copies": format_share(row.scored.copies),
        "kimg": f"{format_kimg(row.scored.images_seen)}/{format_kimg(row.run.images_seen)}",
        "model": row.run.config.model,
        "size": str(row.run.config.resolution),
        "data": row.run.dataset,
        "which": row.which + ("*" if row.kind == "final" else ""),
        "run": shlex.quote(str(row.run.folder)),  # in the last column, so that a long path moves no other
    }


def table(rows) -> list[str]:
    """Returns aligned lines with a header, of at most WIDTH columns if shorter names of data sets suffice for that."""
    columns = list(rows[0])
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in columns}
    excess = sum(widths.values()) + 2 * (len(columns) - 1) - WIDTH
    widths["data"] -= max(0, min(excess, widths["data"] - LEAST_DATA_WIDTH))
    lines = []
    for row in [dict(zip(columns, columns, strict=True)), *rows]:
        texts = []
        for name, text in row.items():
            text = text if len(text) <= widths[name] else text[: widths[name] - 1] + "…"
            texts.append(text.rjust(widths[name]) if name in RIGHT_ALIGNED else text.ljust(widths[name]))
        lines.append("  ".join(texts).rstrip())
    return lines


def as_json(rankings, unscored, damaged, limit) -> dict:
    """Returns the content of `--json`."""
    return {
        "rankings": [
            {
                "metric": ranking[0].scored.score.name,
                "lower_is_better": ranking[0].scored.score.lower_is_better,
                "protocol": replace_nan(ranking[0].scored.score.compared),
                "entries": [row_as_json(place, row) for place, row in enumerate(ranking[:limit], 1)],
                "left_out": len(ranking) - len(ranking[:limit]),
            }
            for ranking in rankings
        ],
        "without_score": [{"run": run.name, "path": str(run.folder), "why": unscored_reason(run)} for run in unscored],
        "damaged": damaged,
    }


def row_as_json(place, row) -> dict:
    """Returns one row for `--json`."""
    run, scored = row.run, row.scored
    return {
        "place": place,
        "run": run.name,
        "kind": row.kind,
        "model": run.config.model,
        "resolution": run.config.resolution,
        "dataset": run.config.dataset,
        "images_seen": scored.images_seen,
        "run_images_seen": run.images_seen,
        "text": scored.score.text(),
        "score": replace_nan(dataclasses.asdict(scored.score)),
        "copies": replace_nan(scored.copies),
        "copy_parts": replace_nan(scored.copy_parts),
        "path": str(run.folder),
        "which": row.which,
    }


def replace_nan(value):
    """Returns a JSON value with None for NaN and infinities, which are not part of JSON."""
    if isinstance(value, dict):
        return {key: replace_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [replace_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
