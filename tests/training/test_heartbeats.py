"""Signs of life of workers, and a process that hangs in C."""

import subprocess
import sys

import pytest

from gan_tf.distributed import heartbeats

NAMES = {0: "anna", 1: "bert"}


def pair(folder, names=NAMES):
    return [heartbeats.Heartbeats(folder, index, names) for index in (0, 1)]


@pytest.fixture
def ended(monkeypatch):
    """Exit codes of `end_process`, which then raises SystemExit in place of ending the tests."""
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(heartbeats.os, "_exit", leave)
    return codes


def test_silence_is_counted_by_the_watchers_own_clock(tmp_path):
    mine, other = pair(tmp_path)
    assert mine.look(now=100.0) == {}
    other.beat(7)
    assert mine.look(now=101.0) == {1: 0.0}
    assert mine.look(now=111.0) == {1: 10.0}
    other.beat(3)  # any change is a sign of life, whatever the other's clock says
    assert mine.look(now=112.0) == {1: 0.0}


def test_what_an_earlier_process_writes_is_no_sign_of_life(tmp_path):
    _, earlier = pair(tmp_path, {0: "anna", 1: "carl"})
    mine, other = pair(tmp_path)
    for number in range(3):
        earlier.beat(number)
        assert mine.look(now=1.0) == {}
    assert mine.missing_after(0.0) == [1]
    other.beat(8)
    assert mine.look(now=2.0) == {1: 0.0}
    assert mine.missing_after(0.0) == []


def test_a_worker_in_anothers_place_ends_the_process(tmp_path, ended, capfd):
    mine, other = pair(tmp_path)
    other.beat(1)
    mine.look(now=1.0)
    pair(tmp_path, {0: "anna", 1: "dora"})[1].beat(1)
    with pytest.raises(SystemExit):
        mine.look(now=2.0)
    assert ended == [heartbeats.LOST_WORKER]
    assert "worker 1 was started anew; start all workers again" in capfd.readouterr().err


def test_a_silent_worker_ends_the_process(tmp_path, ended, monkeypatch, capfd):
    monkeypatch.setattr(heartbeats, "SILENCE_SECONDS", -1.0)
    mine, other = pair(tmp_path)
    other.beat(1)
    with pytest.raises(SystemExit):
        mine._run()
    assert ended == [heartbeats.LOST_WORKER]
    assert "worker 1 has been silent for 0 s; start all workers again" in capfd.readouterr().err


def test_a_worker_that_cannot_write_its_sign_ends(tmp_path, ended, monkeypatch, capfd):
    monkeypatch.setattr(heartbeats, "SILENCE_SECONDS", -1.0)
    mine, _ = pair(tmp_path / "missing")
    with pytest.raises(SystemExit):
        mine._run()
    assert ended == [heartbeats.LOST_WORKER]
    assert "this worker cannot write to" in capfd.readouterr().err


def test_a_stop_is_told_to_the_others(tmp_path):
    mine, other = pair(tmp_path)
    other.beat(1)
    mine.look(now=1.0)
    assert not mine.others_stop
    other.is_stopped = lambda: True
    other.beat(2)
    mine.look(now=2.0)
    other.is_stopped = lambda: False
    other.beat(3)
    mine.look(now=3.0)
    assert mine.others_stop


def test_signs_are_taken_back_at_a_clean_end(tmp_path):
    folder = tmp_path / "workers"
    mine, other = pair(folder)
    mine.start()
    other.start()
    other.end()
    assert folder.exists()
    mine.end()
    assert not folder.exists()


HANGS = """
import ctypes, sys
from gan_tf.distributed.watchdog import ends_process_after
with ends_process_after(float(sys.argv[1]), 43, "it hangs"):
    ctypes.PyDLL(None).sleep(int(sys.argv[2]))  # PyDLL: with Python's lock held
print("over")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the process is killed")
def test_a_process_that_hangs_in_c_is_ended_with_our_code():
    hung = subprocess.run([sys.executable, "-c", HANGS, "0.5", "30"], capture_output=True, text=True, timeout=25)
    assert (hung.returncode, hung.stdout, hung.stderr) == (43, "", "it hangs\n")


def test_a_process_that_is_in_time_goes_on():
    fine = subprocess.run([sys.executable, "-c", HANGS, "20", "0"], capture_output=True, text=True, timeout=15)
    assert (fine.returncode, fine.stdout, fine.stderr) == (0, "over\n", "")
