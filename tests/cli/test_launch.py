"""`gan-tf launch`: its options, and the GPUs of each worker."""

import subprocess
from pathlib import Path

import pytest

from gan_tf.cli import launch
from gan_tf.cli.main import main
from gan_tf.distributed import launcher

TRAIN = ["--", "train", "--dataset", "demo"]


@pytest.fixture
def fake_gpus(tmp_path, monkeypatch):
    """Returns a function that creates an nvidia-smi with some GPUs, or with an exit code as without a driver."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tools))

    def make(count, code=0):
        lines = "".join(f"echo 'GPU {number}: NVIDIA X (UUID: GPU-{number})'\n" for number in range(count))
        (tools / "nvidia-smi").write_text(f'#!/bin/sh\n[ "$1" = -L ] || exit 1\n{lines}exit {code}\n')
        (tools / "nvidia-smi").chmod(0o755)

    return make


@pytest.fixture
def supervised(monkeypatch):
    """Records the calls of `supervise`: (command, options)."""
    calls = []
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(launcher, "supervise", lambda command, **options: calls.append((command, options)) or 0)
    return calls


@pytest.mark.parametrize("visible, shares", [(None, ["0,1", "2,3"]), ("4,5,6,GPU-a", ["4,5", "6,GPU-a"])])
def test_each_worker_has_its_gpus(monkeypatch, fake_gpus, visible, shares):
    fake_gpus(4)
    if visible:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    environments = launcher.environments(2, gpus_per_worker=2)
    assert [environment["CUDA_VISIBLE_DEVICES"] for environment in environments] == shares


@pytest.mark.parametrize(
    "visible, count, code, expected",
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
def test_visible_gpus(monkeypatch, fake_gpus, visible, count, code, expected):
    if count is not None:
        fake_gpus(count, code)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert launcher.visible_gpus() == expected


@pytest.mark.parametrize(
    "count, options, share",
    [
        (8, "2", 4),
        (3, "2", 1),
        (2, "2", 1),
        (4, "1", None),
        (0, "2", None),
        (1, "2", "too few"),
        (2, "3", "too few"),
        (2, "2 --gpus-per-worker 2", "too few"),
    ],
)
def test_gpus_are_divided_evenly(supervised, fake_gpus, refused, count, options, share):
    fake_gpus(count)
    arguments = ["--workers", *options.split(), *TRAIN]
    if share == "too few":
        assert "--workers" in refused("launch", *arguments) and not supervised
    else:
        assert main(["launch", *arguments]) == 0 and supervised[0][1]["gpus_per_worker"] == share


def test_train_is_started_with_its_options(supervised):
    assert main(["launch", "--workers", "2", "--restarts", "1", *TRAIN]) == 0
    [(command, options)] = supervised
    assert command == [*launch.PROGRAM, *TRAIN[1:]]
    assert options == {"workers": 2, "restarts": 1, "grace_seconds": 60.0, "gpus_per_worker": None}
    for options in ("2 -- train --strategy multi_worker", "1 -- train --strategy mirrored"):
        assert main(["launch", "--workers", *options.split(), "--dataset", "demo"]) == 0
    assert len(supervised) == 3


@pytest.mark.parametrize(
    "arguments, flag",
    [
        ("--workers 0 -- train --dataset demo", "--workers"),
        ("--workers 2 --restarts -1 -- train --dataset demo", "--restarts"),
        ("--workers 2 --grace-seconds nan -- train --dataset demo", "--grace-seconds"),
        ("--workers 2", "--"),
        ("--workers 2 train --dataset demo", "-- is missing before train"),
        ("--workers 2 -- generate runs/a", "generate"),
        ("--workers 2 -- train", "--dataset"),
        ("--workers 2 -- train --dataset demo --wrong", "--wrong"),
        ("--workers 2 --gpus-per-worker 1 -- train --dataset demo", "--gpus-per-worker"),
        ("--workers 2 -- train --dataset demo", "CUDA_VISIBLE_DEVICES"),
        ("--workers 2 -- train --dataset demo --strategy mirrored", "--strategy"),
        ("-- train --dataset demo", "--workers"),
        ("--workers 2 -- train --dataset demo", "TF_CONFIG"),
    ],
)
def test_usage_errors_come_before_any_worker(supervised, monkeypatch, refused, arguments, flag):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    if flag == "TF_CONFIG":
        monkeypatch.setenv("TF_CONFIG", "{}")
    assert flag in refused("launch", *arguments.split()) and not supervised


def test_the_program_is_gan_tf():
    done = subprocess.run([*launch.PROGRAM, "--version"], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0 and done.stdout.startswith("gan-tf ")
