"""`python train.py`: from a folder of images to a run, and the mistakes that a user can make in the arguments."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gan_tf.cli.train import parse_arguments
from gan_tf.config.presets import PRESETS
from gan_tf.runs.folder import Run
from tests.training import tiny

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name, side, changes",
    [
        ("my-photos-pggan-16", 128, {"model": "pggan", "stabilise_kimg": 0.008, "fade_kimg": 0.004}),  # 4x4, then 8x8
        pytest.param("my-photos-64", 512, {"augment": None}, marks=pytest.mark.slow),  # FastGAN with DiffAugment
    ],
)
def test_folder_of_images_becomes_a_run(tmp_path, name, side, changes):
    folder = tmp_path / "my photos"
    folder.mkdir()
    for i, pixels in enumerate(tiny.square_images()):
        Image.fromarray(pixels[:, : 64 - 2 * i]).save(folder / f"{i}.png")  # no two of one shape
    (folder / "broken.png").write_bytes(b"not an image")
    arguments = tiny.arguments(folder, tmp_path / "runs", total_kimg=0.016, epoch_images=16, run=None, **changes)
    command = [sys.executable, "train.py", *map(str, arguments)]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert all("kimg" in line for line in process.stderr.splitlines())  # only progress: TensorFlow is quiet
    run = tmp_path / "runs" / name
    for part in ("12 images", "broken.png", "float32", "swd2k", "(best)", "gan-tf generate", "samples-000000016.png"):
        assert part in process.stdout
    names = {path.name.split(".")[0] for path in run.iterdir()}
    assert {"config", "environment", "stats", "events", "samples", "state", "best"} <= names
    assert Image.open(run / "samples" / "samples-000000016.png").size == (side, side)
    assert [record["images_seen"] for record in tiny.records(Run(run), "train")] == [4, 8, 12, 16]
    [score] = tiny.records(Run(run), "epoch")
    assert score["metric"] == "swd2k" and score["score"] > 0
    environment = json.loads((run / "environment.json").read_text())
    assert environment["replicas"] == 1 and environment["precision"] == "float32"


def test_dry_run_measures_and_writes_nothing(dataset, tmp_path, done):
    with tiny.in_place():
        printed = done("train", *tiny.arguments(dataset, tmp_path / "runs", dry_run=True)).out
    for part in ("batch_size 4", "memory", "disk", "swd2k"):
        assert part in printed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ([], ["--dataset", "panda"]),
        (["--dataset", "pandaa"], ["pandaa", "did you mean panda"]),
        (["--dataset"], ["--dataset has no value"]),
        (["--preset"], ["--preset has no value", "fastgan-256"]),
        (["--model", "stylegan9"], ["--model", "stylegan9", "fastgan, pggan"]),
        (["--total-kmig", "3"], ["--total-kmig, 3; did you mean --total-kimg?"]),
        (["--loss", "hings"], ["--loss", "hings", "hinge"]),
        (["--batch-size", "many"], ["--batch-size is 'many'; give INT"]),
        (["--resolution", "100"], ["--resolution is '100'; choose from '64', '128'"]),
        (["--model", "pggan", "--batch-size", "16"], ["--batch-size is for", "--phase-batch"]),
        (["--model", "pggan", "--no-tanh"], ["--tanh is for --model fastgan"]),
        (["--preset", "faces-64", "--ngf", "64"], ["--ngf is for --model fastgan"]),
        (["--fade_kimg", "600"], ["--fade-kimg is for --model pggan"]),
        (["--model", "pggan", "--phase-batch", "4:128"], ["--phase-batch is '4:128'", "at 8, 16"]),
    ],
    ids=lambda value: " ".join(value)[-40:],
)
def test_mistakes_end_with_one_line_and_code_2(arguments, parts, refused):
    dataset = [] if "--dataset" in arguments or not arguments else ["--dataset", "panda"]
    line = refused("train", *dataset, *arguments)
    assert all(part in line for part in parts), line


def test_preset_and_model_set_the_defaults_of_other_flags():
    config, preset = parse_arguments(["--dataset", "faces.npz", "--model=pggan", "--resolution", "128"])
    assert (preset, config.loss, config.run_name) == ("celebahq-256", "wgan_gp", "faces-pggan-128")
    assert parse_arguments(["--preset=demo", "--model", "pggan"]) == (PRESETS["pggan"]["demo"], "demo")
    arguments = "--dataset x --preset faces-64 --phase-batch 8 --no-pixel-norm --ema-kimg None"
    config, _ = parse_arguments(arguments.split())
    assert config.model == "pggan" and set(config.batch_sizes.values()) == {8}
    assert not config.pixel_norm and config.ema_kimg is None
