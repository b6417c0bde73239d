"""Rows of the fault matrix, and the Markdown table that a test run prints."""

from typing import NamedTuple

PROPERTY = "fault"  # name of a row in the report of a test
COLUMNS = ("Fault", "What happens", "Work lost", "Time to end", "Equal to undisturbed")

# All faults, in the order of the table.
FAULTS = (
    "a worker is killed",
    "the chief is killed",
    "a worker is frozen",
    "the chief is frozen",
    "a worker gets SIGTERM",
    "the chief gets SIGTERM",
    "a worker gets SIGTERM during a score",
    "a worker never starts",
    "the chief never starts",
    "a worker starts late",
    "a worker dies while they connect",
    "another program has a worker's port",
    "the folder is not shared",
    "workers are given different settings",
    "workers have different images",
    "the chief is killed while it writes a checkpoint",
    "the chief is killed while it removes old checkpoints",
    "the chief is killed while it writes the best weights",
    "the disk is full",
    "the run folder cannot be written",
    "the run folder becomes read-only",
    "the newest checkpoint is cut short",
    "one bit of the newest checkpoint is flipped",
    "the newest checkpoint is deleted",
    "all checkpoints are damaged, and then restored",
    "the chief's clock jumps back an hour",
)


class Row(NamedTuple):
    """A row of the table, as text."""

    fault: str
    outcome: str
    lost: str
    time_to_end: str
    equal: str


def rows_of(reports) -> list[Row]:
    """Returns the rows in test reports, in the order of the table."""
    rows = [Row(*value) for report in reports for name, value in report.user_properties if name == PROPERTY]
    return sorted(rows, key=lambda row: FAULTS.index(row.fault))


def markdown(rows) -> str:
    """Returns the table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (COLUMNS, *rows)]
    return "\n".join([lines[0], "|---" * len(COLUMNS) + "|", *lines[1:]])
