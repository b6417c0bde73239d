"""`python train.py` from the command line to the last words, and every mistake that a user can make on the way."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from gan_tf.cli.main import run_command
from gan_tf.cli.train_arguments import parse_arguments
from gan_tf.config.presets import PRESETS
from gan_tf.config.settings import FAMILIES, TrainConfig, flag
from tests.training import tiny

ROOT = Path(__file__).parents[2]


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, "train.py", *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, **options
    )


@pytest.fixture
def folder_of_pngs(tmp_path):
    folder = tmp_path / "my photos"
    folder.mkdir()
    for i, pixels in enumerate(tiny.square_pictures()):
        Image.fromarray(pixels[:, : 64 - 2 * i]).save(folder / f"{i}.png")  # no two of one shape
    (folder / "broken.png").write_bytes(b"not a picture")
    return folder


def test_folder_of_pictures_becomes_a_run(folder_of_pngs, tmp_path):
    flags = {"dataset": folder_of_pngs, "checkpoints": tmp_path / "runs", **tiny.FLAGS, "run": None}
    flags |= {"total_kimg": 0.016, "epoch_images": 16, "augment": None}
    done = command(*tiny.arguments(flags.pop("dataset"), flags.pop("checkpoints"), **flags))
    assert done.returncode == 0, done.stderr
    assert all("kimg" in line for line in done.stderr.splitlines())  # progress alone: TensorFlow is quiet
    run = tmp_path / "runs" / "my-photos-64"
    for words in ("my photos: 12 images", "broken.png", "precision: float32", "swd2k", "(best)", "gan-tf generate"):
        assert words in done.stdout
    assert f"samples: {run / 'samples' / 'samples-000000016.png'}" in done.stdout
    assert "best swd2k " in done.stdout and "report: " in done.stdout
    names = {path.name.split(".")[0] for path in run.iterdir()}
    assert {"config", "environment", "stats", "events", "samples", "state", "best"} <= names
    assert Image.open(run / "samples" / "samples-000000016.png").size == (512, 512)
    records = [json.loads(line) for line in (run / "stats.jsonl").read_text().splitlines()]
    assert [record["images_seen"] for record in records if record["kind"] == "train"] == [4, 8, 12, 16]
    [score] = [record for record in records if record["kind"] == "epoch"]
    assert score["metric"] == "swd2k" and score["score"] > 0
    environment = json.loads((run / "environment.json").read_text())
    assert environment["replicas"] == 1 and environment["precision"] == "float32"


def test_dry_run_measures_and_writes_nothing(tmp_path, capsys):
    dataset = tiny.pictures_file(tmp_path)
    code, run = tiny.train(dataset, tmp_path / "runs", dry_run=True)
    said = capsys.readouterr().out
    assert code == 0
    assert all(
        word in said for word in ("schedule:", "batch_size 4", "memory:", "disk:", "images/s", "swd2k:", "time:")
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("model", ["fastgan", "pggan"])
def test_help_does_not_wait_for_tensorflow(model):
    program = (
        "import sys; from gan_tf.cli import train; sys.modules['tensorflow'] = None; "
        f"train.main(['--model', '{model}', '--help'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "--total-kimg" in done.stdout and "--dataset" in done.stdout
    said = " ".join(done.stdout.replace("│", " ").split())
    assert f"the family of networks (default: {model})" in said


def test_help_says_which_family_a_flag_is_for(capsys):
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for field in dataclasses.fields(TrainConfig):
        # Two tell what each family takes, and one is no flag.
        if field.name not in ("resolution", "loss", "classes"):
            told = re.search(rf"{flag(field.name)}[ ,].*?\(default:", said)[0]
            owners = tuple(model for model in FAMILIES if re.search(rf" {model}(, \w+)*: ", told))
            assert (owners or FAMILIES) == field.metadata["models"], told
    for model, table in PRESETS.items():
        assert f"{model}: {', '.join(table)}" in said


def refusal(capsys, *arguments):
    """The one line that a command ends with."""
    assert run_command("train", list(arguments)) == 2
    captured = capsys.readouterr()
    [line] = captured.err.splitlines()
    assert line.startswith("gan-tf: error: ")
    return line.removeprefix("gan-tf: error: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["--dataset is missing", "panda"]),
        (["--dataset", "panda", "--preset", "demmo"], ["--preset 'demmo' is unknown", "did you mean demo?"]),
        (["--preset"], ["--preset needs a value"]),
        (["--dataset", "panda", "--total-kmig", "3"], ["--total-kmig"]),
        (["--dataset", "panda", "--loss", "hings"], ["--loss", "hings", "hinge"]),
        (["--dataset", "panda", "--batch-size", "many"], ["--batch-size", "many"]),
        (["--dataset", "panda", "--resolution", "100"], ["--resolution is 100", "256"]),
        (["--dataset", "panda", "--model", "stylegan9"], ["--model", "stylegan9", "fastgan, pggan"]),
        (["--model", "pggan", "--preset"], ["--preset needs a value"]),
        (["--dataset", "panda", "--preset", "celebahq-256", "--model", "fastgan"], ["fastgan-256, demo"]),
        (["--dataset", "panda", "--model", "pggan", "--batch-size", "16"], ["--batch-size is for", "--phase-batch"]),
        (["--dataset", "panda", "--model", "pggan", "--batch-size=8"], ["--batch-size is for", "--phase-batch"]),
        (["--dataset", "panda", "--model", "pggan", "--no-tanh"], ["--tanh is for --model fastgan"]),
        (["--dataset", "panda", "--preset", "faces-64", "--ngf", "64"], ["--ngf is for --model fastgan"]),
        (["--dataset", "panda", "--fade_kimg", "600"], ["--fade-kimg is for --model pggan"]),
        (
            ["--dataset", "panda", "--model", "pggan", "--phase-batch", "4:128"],
            ["is '4:128'", "at 8, 16"],
        ),
        (["--dataset", "panda", "--model", "pggan", "--loss", "dual_contrastive"], ["--loss is 'dual", "wgan_gp"]),
        (["--dataset", "pandaa"], ["pandaa", "did you mean panda"]),
        (["--dataset", "/no/such/folder"], ["/no/such/folder", "no such file or folder"]),
    ],
    ids=lambda value: " ".join(value)[-40:],
)
def test_mistakes_end_in_one_line(arguments, words, capsys):
    line = refusal(capsys, *arguments)
    assert all(word in line for word in words), line


def test_presets_set_other_defaults():
    config, preset = parse_arguments(["--preset=demo", "--lr", "0.001"])
    assert preset == "demo"
    assert (config.lr, config.resolution, config.dataset) == (0.001, PRESETS["fastgan"]["demo"].resolution, "demo")
    config, preset = parse_arguments(["--dataset", "panda"])
    assert preset == "fastgan-256" and config.resolution == 256


def test_model_and_preset_find_each_other():
    config, preset = parse_arguments(["--dataset", "faces.npz", "--model=pggan", "--resolution", "128"])
    assert (preset, config.model, config.loss, config.run_name) == (
        "celebahq-256",
        "pggan",
        "wgan_gp",
        "faces-pggan-128",
    )
    config, preset = parse_arguments(["--preset", "demo", "--model", "pggan"])
    assert config == PRESETS["pggan"]["demo"] and preset == "demo"
    config, preset = parse_arguments(
        ["--dataset", "x", "--preset", "faces-64", "--phase-batch", "8", "--no-pixel-norm"]
    )
    assert config.model == "pggan" and set(config.phase_batches.values()) == {8} and not config.pixel_norm
    config, _ = parse_arguments(["--dataset", "x", "--model", "pggan", "--ema-kimg", "None"])
    assert config.ema_kimg is None


def test_unknown_command_is_one_line(capsys):
    assert run_command("trian", []) == 2
    assert "unknown command 'trian'" in capsys.readouterr().err
