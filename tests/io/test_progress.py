"""Progress lines, and the ordered map over threads."""

import sys
import time

import pytest

from gan_tf.io import progress
from gan_tf.io.progress import Progress, StagedProgress, map_in_order


@pytest.fixture
def clock(monkeypatch):
    """Seconds since the start, in a list that a test changes."""
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: seconds[0])
    return seconds


@pytest.mark.parametrize(("step", "counts"), [(0.02, []), (1, ["30", "60", "90"])])
def test_lines_in_a_log_come_every_30_seconds(clock, capsys, step, counts):
    with Progress(100, "decoded") as work:
        for _ in range(100):
            clock[0] += step
            work.advance()
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("/")[0] for line in lines] == counts
    assert not lines or lines[0] == "30/100 images decoded, 1.0 images/s, 70 s left"


def test_bar_on_a_terminal(clock, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with Progress(528_000_000, "fetched", "MB", scale=1_000_000) as work:
        clock[0] = 11.0
        work.advance(132_000_000)
    shown = capsys.readouterr().err
    assert shown.startswith("\r[#####...............] 132/528 MB fetched, 12 MB/s, 33 s left")
    assert shown.endswith(" \n") and len(shown) == 1 + progress.LINE + 1


@pytest.mark.parametrize(
    ("work", "done", "line"),
    [
        ((0, "fetched", "MB", 1_000_000), 20_000_000, "20 MB fetched, 0.5 MB/s\n"),  # unknown total
        ((2, "decoded"), 3, "3/2 images decoded, 0.1 images/s, 0 s left\n"),
        ((100, "decoded", "images", 1, 10), 0, "10/100 images decoded, 0.0 images/s\n"),  # no division by zero
    ],
)
def test_unknown_and_exceeded_totals_and_no_progress(clock, capsys, work, done, line):
    with Progress(*work) as progress_line:
        clock[0] = 40.0
        progress_line.advance(done)
    assert capsys.readouterr().err == line


def test_a_stage_starts_with_another_verb_or_less_done(clock, capsys):
    stages = StagedProgress()
    for verb, total in (("fakes measured", 100), ("fakes measured", 100), ("steps measured", 50)):
        for done in range(10, total + 1, 10):
            clock[0] += 10
            stages(done, total, verb)
    stages.close()
    stages.close()
    lines = capsys.readouterr().err.splitlines()
    first = ["40/100 images fakes measured, 1.0 images/s, 60 s left", "70/100", "100/100"]
    expected = [*first, *first, "40/50 images steps"]
    assert all(line.startswith(start) for line, start in zip(lines, expected, strict=True)), lines


def test_map_is_ordered_bounded_and_raises(monkeypatch):
    monkeypatch.setattr(progress.os, "cpu_count", lambda: 2)
    started = []

    def slow_first(i):
        started.append(i)
        time.sleep(0.05 if i == 0 else 0)
        return 1 / (i - 30)

    results = map_in_order(slow_first, range(100))
    assert next(results) == -1 / 30 and len(started) <= 5
    with pytest.raises(ZeroDivisionError):
        list(results)
