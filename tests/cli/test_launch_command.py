"""`gan-tf launch`: which GPUs the workers get, and what the command hands to the supervisor."""

import subprocess
from pathlib import Path

import pytest

from gan_tf.cli import launch
from gan_tf.cli.main import main
from gan_tf.distributed import launcher as supervisor


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes a stand-in for nvidia-smi that lists some GPUs, or fails as without a driver, or none at all."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tools))

    def has(listed, code=0):
        lines = "".join(f"echo 'GPU {number}: NVIDIA X (UUID: GPU-{number})'\n" for number in range(listed))
        (tools / "nvidia-smi").write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 1\n{lines}exit {code}\n')
        (tools / "nvidia-smi").chmod(0o755)

    return has


@pytest.mark.parametrize("visible, shares", [(None, ["0,1", "2,3"]), ("4,5,6,GPU-a", ["4,5", "6,GPU-a"])])
@pytest.mark.parametrize("listed", [4, None])
def test_gpus_are_shared_out(monkeypatch, machine, visible, shares, listed):
    if listed:
        machine(listed)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert [own["CUDA_VISIBLE_DEVICES"] for own in supervisor.environments(2, 2)] == shares


@pytest.mark.parametrize(
    "visible, listed, code, found",
    [
        (None, None, 0, None),
        (None, 0, 9, []),  # no driver
        (None, 3, 0, ["0", "1", "2"]),
        ("2, GPU-a", 8, 0, ["2", "GPU-a"]),
        ("", 8, 0, []),
        ("-1", 8, 0, []),
        ("0,-1,1", 8, 0, ["0"]),
    ],
)
def test_gpus_are_found_without_tensorflow(monkeypatch, machine, visible, listed, code, found):
    if listed is not None:
        machine(listed, code)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert supervisor.visible_gpus() == found


@pytest.mark.parametrize("listed, workers, each", [(8, 2, 4), (3, 2, 1), (2, 2, 1), (4, 1, None), (0, 2, None)])
def test_without_the_option_all_gpus_are_shared_out_evenly(supervised, machine, capsys, listed, workers, each):
    machine(listed)
    assert main(["launch", "--workers", str(workers), "--", "train", "--dataset", "demo"]) == 0
    assert supervised[0][1]["gpus_per_worker"] == each
    assert (f"{each} of {listed} GPUs for each of {workers} workers" in capsys.readouterr().err) == (each is not None)


@pytest.mark.parametrize("listed, few", [(1, "2"), (2, "3"), (2, "2 --gpus-per-worker 2")])
def test_fewer_gpus_than_workers_are_refused(supervised, machine, capsys, listed, few):
    machine(listed)
    assert main(["launch", "--workers", *few.split(), "--", "train", "--dataset", "demo"]) == 2
    told = capsys.readouterr().err
    assert f"--workers {few[0]}" in told.replace(" is", "") and f"nvidia-smi lists {listed}" in told
    assert "give " in told and len(told.splitlines()) == 1 and not supervised


@pytest.fixture
def supervised(monkeypatch):
    """What the command would supervise."""
    calls = []
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(supervisor, "supervise", lambda command, **options: calls.append((command, options)) or 0)
    return calls


def test_the_command_starts_train_with_its_options(supervised):
    assert main(["launch", "--workers", "2", "--restarts", "1", "--", "train", "--dataset", "demo"]) == 0
    [(command, options)] = supervised
    assert command == [*launch.PROGRAM, "train", "--dataset", "demo"]
    assert options == {"workers": 2, "restarts": 1, "grace_seconds": 60.0, "gpus_per_worker": None}


@pytest.mark.parametrize(
    "words, said",
    [
        ("--workers 0 -- train --dataset demo", "--workers is 0; give a number of at least 1"),
        ("--workers 2 --restarts -1 -- train --dataset demo", "--restarts is -1; give"),
        ("--workers 2 --grace-seconds nan -- train --dataset demo", "--grace-seconds is nan; give"),
        ("--workers 2", "the command after -- is missing; give train"),
        ("--workers 2 -- generate runs/a", "the command after -- is 'generate'; give train"),
        ("--workers 2 -- train", "--dataset is missing"),
        ("--workers 2 -- train --dataset demo --wrong", "Unrecognized options: --wrong"),
        ("--workers 2 --gpus-per-worker 1 -- train --dataset demo", "--gpus-per-worker 1 needs 2 GPUs"),
        ("--workers 2 -- train --dataset demo", "--workers is 2, and CUDA_VISIBLE_DEVICES names 1"),
        ("--workers 2 -- train --dataset demo --strategy mirrored", "--strategy is mirrored"),
        ("--workers 2 -- train --dataset demo --strategy=default", "give auto or multi_worker"),
        ("-- train --dataset demo", "--workers"),
    ],
)
def test_mistakes_are_told_once_in_a_line(supervised, monkeypatch, capsys, words, said):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert main(["launch", *words.split()]) == 2
    assert not supervised
    told = capsys.readouterr().err
    assert told.startswith("gan-tf: error: ") and said in told and len(told.splitlines()) == 1


@pytest.mark.parametrize("words", ["2 -- train --strategy multi_worker", "1 -- train --strategy mirrored"])
def test_strategies_of_one_training_are_accepted(supervised, words):
    assert main(["launch", "--workers", *words.split(), "--dataset", "demo"]) == 0
    assert supervised


def test_a_cluster_that_exists_is_not_replaced(supervised, monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", "{}")
    assert main(["launch", "--workers", "2", "--", "train", "--dataset", "demo"]) == 2
    assert "TF_CONFIG is set" in capsys.readouterr().err


def test_the_workers_program_is_gan_tf():
    shown = subprocess.run([*launch.PROGRAM, "--version"], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert shown.returncode == 0 and shown.stdout.startswith("gan-tf ")
