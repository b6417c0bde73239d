"""`gan-tf runs FOLDER`: ranks the best weights, snapshots and final scores of all runs."""

import dataclasses
import textwrap
from pathlib import Path
from typing import Annotated, NamedTuple

import tyro

from gan_tf.cli import arguments
from gan_tf.errors import UsageError
from gan_tf.io.files import raise_fault, user_path
from gan_tf.io.json_text import json_text
from gan_tf.io.shell import quote
from gan_tf.report.summary import (
    RunSummary,
    ScoredWeights,
    describe_protocol,
    format_kimg,
    format_share,
    read_summary,
)
from gan_tf.runs.folder import Run

WIDTH = 100  # columns of the output
FINAL_NOTE = "* scored again at the end of the run, on images that were not used to choose these weights"
LEAST_DATA_WIDTH = 8  # of the column "data", which is shortened if lines are too long
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


class RankedWeights(NamedTuple):
    """One row of a ranking."""

    run: RunSummary
    scored: ScoredWeights
    kind: str  # "best", "final" (the best weights, scored again) or "snapshot"
    which: str  # the value of `--which` that selects these weights


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(RunsOptions, argv, prog="gan-tf runs")
    runs = [read_summary(run) for run in find_runs(options.folder)]
    readable = [run for run in runs if run.config is not None]
    rankings = rank([row for run in readable for row in ranked_weights(run)])
    unscored = [(run, unscored_reason(run)) for run in readable if not ranked_weights(run)]
    damaged = [problem for run in runs for problem in run.problems]
    if options.json:
        content = {
            "rankings": [ranking_as_json(ranking, options.limit) for ranking in rankings],
            "without_score": [{"run": run.name, "path": str(run.folder), "why": reason} for run, reason in unscored],
            "damaged": damaged,
        }
        print(json_text(content, indent=2))
        return 0
    count = f"{len(runs)} run{'s' if len(runs) != 1 else ''} in {Path(options.folder)}"
    blocks = [[f"{count}; images: gan-tf generate RUN --which WHICH"]]
    blocks += [ranking_lines(ranking, options.limit) for ranking in rankings]
    if unscored:
        blocks.append(["Without a score:", *(f"{run.folder}: {reason}" for run, reason in unscored)])
    if damaged:
        blocks.append(["Not readable, and left out:", *damaged])
    print("\n\n".join("\n".join(lines) for lines in blocks))
    return 0


def find_runs(folder) -> list[Run]:
    """Returns the Run in a folder, or the Runs in its subfolders, by name.

    Raises:
        UsageError: there is none.
    """
    path = user_path(folder)
    if Run(path).exists():
        return [Run(path)]
    try:
        runs = [Run(child) for child in sorted(path.iterdir()) if Run(child).exists()]
    except OSError as error:
        raise_fault(error, path)
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
    rows = [RankedWeights(run, best, "best", "best")] if best else []
    rows += [RankedWeights(run, run.final, "final", "best")] if run.final else []
    for snapshot in run.snapshots:
        if not (best and snapshot.images_seen == best.images_seen and snapshot.score.comparable_with(best.score)):
            rows.append(RankedWeights(run, snapshot, "snapshot", str(snapshot.images_seen)))
    return rows


def rank(rows) -> list[list[RankedWeights]]:
    """Groups rows with comparable scores. In each group the best is first, values that are not finite last."""
    groups = {}
    for row in rows:
        score = row.scored.score
        key = json_text([score.name, score.lower_is_better, score.compared], sort_keys=True)
        groups.setdefault(key, []).append(row)

    order = sorted(groups, key=lambda key: (source_names(groups[key]), groups[key][0].scored.score.name, key))
    return [sorted(groups[key], key=lambda row: row.scored.score.rank) for key in order]


def source_names(ranking) -> list[str]:
    """Returns the names of the real images of a ranking; the same images may have several."""
    names = [row.scored.score.protocol.get("reals_source") for row in ranking]
    return list(dict.fromkeys(str(name) for name in names if name is not None))


def unscored_reason(run) -> str:
    """Returns the reason why a run has no score."""
    seen = f"{format_kimg(run.images_seen)} of {format_kimg(run.config.total_images)} kimg seen"
    if run.problems:
        return f"its scores cannot be read, see below ({seen})"
    if run.scores:
        return f"scored, but its best/ and snapshots/ contain no weights any more ({seen})"
    if run.converted_from:
        return f"converted from {run.converted_from}, no score yet; score it with gan-tf evaluate"
    return f"no score yet ({seen}); the first one comes at the end of a scored epoch"


def ranking_lines(ranking, limit) -> list[str]:
    """Returns the protocol and the first rows of a ranking as text.

    Columns are aligned, and lines have at most WIDTH columns if shorter names of datasets suffice for that.
    """
    shown = ranking[:limit]
    rows = [
        {
            "": str(place),
            "score": row.scored.score.text(),
            "copies": format_share(row.scored.copies),
            "kimg": f"{format_kimg(row.scored.images_seen)}/{format_kimg(row.run.images_seen)}",
            "model": row.run.config.model,
            "size": row.run.config.size or str(row.run.config.resolution),
            "data": row.run.dataset,
            "which": row.which + ("*" if row.kind == "final" else ""),
            "run": quote(row.run.folder),  # in the last column, so that a long path moves no other
        }
        for place, row in enumerate(shown, 1)
    ]
    rows.insert(0, {name: name for name in rows[0]})
    widths = {name: max(len(row[name]) for row in rows) for name in rows[0]}
    excess = sum(widths.values()) + 2 * (len(widths) - 1) - WIDTH
    widths["data"] -= max(0, min(excess, widths["data"] - LEAST_DATA_WIDTH))
    lines = textwrap.wrap(describe_protocol(shown[0].scored.score, source_names(ranking)), WIDTH)
    for row in rows:
        texts = []
        for name, text in row.items():
            text = text if len(text) <= widths[name] else text[: widths[name] - 1] + "…"
            texts.append(text.rjust(widths[name]) if name in RIGHT_ALIGNED else text.ljust(widths[name]))
        lines.append("  ".join(texts).rstrip())
    lines += [f"and {len(ranking) - len(shown)} more"] if len(shown) < len(ranking) else []
    return lines + ([FINAL_NOTE] if any(row.kind == "final" for row in shown) else [])


def ranking_as_json(ranking, limit) -> dict:
    """Returns a ranking for `--json`."""
    entries = []
    for place, (run, scored, kind, which) in enumerate(ranking[:limit], 1):
        entries.append(
            {
                "place": place,
                "run": run.name,
                "kind": kind,
                "model": run.config.model,
                "resolution": run.config.resolution,
                "size": run.config.size_text,
                "dataset": run.config.dataset,
                "images_seen": scored.images_seen,
                "run_images_seen": run.images_seen,
                "text": scored.score.text(),
                "score": dataclasses.asdict(scored.score),
                "copies": scored.copies,
                "copy_parts": scored.copy_parts,
                "path": str(run.folder),
                "which": which,
            }
        )
    score = ranking[0].scored.score
    return {
        "metric": score.name,
        "lower_is_better": score.lower_is_better,
        "protocol": score.compared,
        "entries": entries,
        "left_out": len(ranking) - len(entries),
    }
