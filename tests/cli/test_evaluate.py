"""`gan-tf evaluate` of runs, folders, zips and arrays: table, JSON, files, and errors."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401 - at the top, so that the CPU is split in time
from PIL import Image

from gan_tf.cli.main import run_command
from gan_tf.metrics import features
from gan_tf.metrics.definitions import METRICS
from gan_tf.metrics.score import Score
from gan_tf.runs.folder import Run
from tests.metrics import stubs
from tests.training import tiny

FEW = 24  # images in a score


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Twelve images as arrays."""
    return tiny.images_file(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, dataset):
    """A run of that data set, whose first weights count as the best."""
    with pytest.MonkeyPatch.context() as patch:
        tiny.set_scores(patch, [1, 2])
        run = tiny.trained(dataset, tmp_path_factory.mktemp("checkpoints"))
    run.keep_snapshot(run.best_weights()[0], run.best_meta())
    return run


@pytest.fixture
def run(trained, tmp_path):
    return Run(shutil.copytree(trained.folder, tmp_path / "run"))


@pytest.fixture
def folder(tmp_path):
    """Twelve other images as PNG files."""
    path = tmp_path / "generated"
    path.mkdir()
    for i, image in enumerate(tiny.square_images(24)[12:]):
        Image.fromarray(image).save(path / f"{i}.png")
    return path


@pytest.fixture(autouse=True)
def stub_networks(monkeypatch, tmp_path):
    def networks(*, weights, resize, precision, offline, log):
        return stubs.networks(resize=resize, custom=weights, precision=precision)

    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(features, "Networks", networks)
    with stubs.narrow(), tiny.in_place():
        yield


@pytest.fixture
def few_fakes(stub_networks):
    with pytest.MonkeyPatch.context() as patch:
        for name, metric in METRICS.items():
            patch.setitem(METRICS, name, metric._replace(fakes=FEW))
        yield


def evaluate(*arguments):
    return run_command("evaluate", [str(argument) for argument in arguments])


def scores_of(capsys, *arguments):
    """{name: score} of a command that prints JSON."""
    capsys.readouterr()
    assert evaluate(*arguments, "--json") == 0
    return {score["name"]: Score(**score) for score in json.loads(capsys.readouterr().out)["scores"]}


def error_of(capsys, *arguments):
    """The error of a command that fails: one line."""
    capsys.readouterr()
    assert evaluate(*arguments) == 2
    out, err = capsys.readouterr()
    line = err.splitlines()[-1]
    assert out == "" and line.startswith("gan-tf: error: ") and "Traceback" not in err
    return line.removeprefix("gan-tf: error: ")


def stored_names(folder):
    return [score["name"] for score in json.loads((folder / "scores.json").read_text())["scores"]]


# Runs


def test_a_run_is_scored_against_its_training_images(few_fakes, run, capsys):
    assert evaluate(run.folder) == 0
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["fid5k", "kid5k", "precision_recall", "memorisation"]
    assert rows[3].split()[1].endswith("%")
    [protocol] = [row for row in rows if row.startswith("measured with")]
    assert "reals 12" in protocol and f"fakes {FEW}" in protocol
    assert any(row.startswith("measured by gan tf ") for row in rows)
    assert "best weights, 0.0 kimg; precision: " in captured.err and f"written to {run.folder}" in captured.err
    folder = run.evaluations / f"{run.best_meta()['images_seen']:09d}"
    assert stored_names(folder) == ["fid5k", "kid5k", "precision_recall", "memorisation"]
    assert Image.open(folder / "copies.png").width > 64
    assert evaluate(run.folder, "--metrics", "kid5k,is") == 0  # other scores are kept
    assert stored_names(folder) == ["fid5k", "precision_recall", "memorisation", "kid5k", "is"]
    (folder / "scores.json").write_text("{")
    assert evaluate(run.folder, "--metrics", "is") == 0
    assert stored_names(folder) == ["is"]


def test_json_is_one_object(few_fakes, run, tmp_path, capsys):
    out = tmp_path / "new" / "out"
    scores = scores_of(capsys, run.folder, "--metrics", "swd2k, ms_ssim,swd2k", "--out", out)
    assert list(scores) == ["swd2k", "ms_ssim"] and scores["swd2k"].protocol["fakes"] == FEW
    printed = [dataclasses.asdict(score) for score in scores.values()]
    assert json.loads((out / "scores.json").read_text()) == {"target": str(run.folder), "scores": printed}
    assert not (out / "copies.png").exists() and not (run.folder / "evaluations").exists()


@pytest.mark.parametrize("link", ["evaluations", "evaluations/{}"])
def test_nothing_is_written_through_a_link_in_a_run(few_fakes, run, tmp_path, capsys, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = run.folder / link.format(f"{run.best_meta()['images_seen']:09d}")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside)
    assert str(outside) in error_of(capsys, run.folder, "--metrics", "swd2k")
    assert not list(outside.iterdir())
    assert evaluate(run.folder, "--metrics", "swd2k", "--out", tmp_path / "out") == 0
    assert stored_names(tmp_path / "out") == ["swd2k"] and not list(outside.iterdir())


def test_which_weights_and_which_seed(few_fakes, run, capsys):
    values, best_at = {}, run.best_meta()["images_seen"]
    for which, seed in (("best", 0), ("last", 0), (best_at, 0), ("best", 1)):
        options = ["--metrics", "swd2k", "--precision", "float32", "--which", which, "--seed", seed]
        score = scores_of(capsys, run.folder, *options)["swd2k"]
        values[which, seed] = score.value
        assert f"seed {seed}" in score.protocol["fakes_source"]
    assert values["best", 0] == values[best_at, 0]
    assert len(set(values.values())) == 3


def test_training_and_evaluate_agree(run, capsys):
    """The command and training measure the same score: same seed, images and protocol."""
    measured = scores_of(capsys, run.folder, "--metrics", "swd2k,memorisation", "--precision", "float32")
    for score, stored in zip(measured.values(), (run.best_meta()[key] for key in ("score", "copies")), strict=True):
        assert score.parts == pytest.approx(stored["parts"], rel=1e-5) and score.protocol == stored["protocol"]
    assert score.value == stored["value"]  # the share of copies; the value of swd2k was set


def test_the_copy_check_of_a_run_uses_mirrored_images_and_features(few_fakes, run, capsys):
    scores = scores_of(capsys, run.folder, "--metrics", "fid5k,memorisation")
    assert {"mirrored": True, "space": "pixels+inception"}.items() <= scores["memorisation"].protocol.items()
    assert scores["fid5k"].protocol["network"] == stubs.OFFICIAL


def test_ppl_is_measured_in_float32(few_fakes, run, capsys):
    assert evaluate(run.folder, "--metrics", "swd2k, ppl", "--json") == 0
    captured = capsys.readouterr()
    *_, score = json.loads(captured.out)["scores"]
    assert "precision: float32 (ppl" in captured.err
    assert score["value"] > 0 and "in float32" in score["protocol"]["fakes_source"]


def test_another_dataset_for_a_run(few_fakes, run, folder, capsys):
    scores = scores_of(capsys, run.folder, "--dataset", folder, "--metrics", "swd2k")
    assert scores["swd2k"].protocol["reals_source"] == "generated"


# Image files


def test_a_folder_against_an_array(folder, dataset, capsys):
    (folder / "00.png").write_bytes(b"not an image")
    assert evaluate(folder, "--dataset", dataset) == 0
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["fid12", "kid12", "precision_recall", "memorisation"]
    assert "12 images, against 12 of" in captured.err and "at 64x64" in captured.err
    assert "1 unreadable images left out" in captured.err and "written to" not in captured.err


@pytest.mark.parametrize("form", ["npz", "zip", "folder"])
def test_the_distance_of_a_set_to_itself_is_0(few_fakes, form, dataset, folder, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for image in folder.iterdir():
            archive.write(image, image.name)
    target = {"npz": dataset, "zip": tmp_path / "set.zip", "folder": folder}[form]
    options = ["--metrics", "swd,ms_ssim,fid,memorisation", "--out", tmp_path / "out"]
    scores = scores_of(capsys, target, "--dataset", target, *options)
    assert scores["swd12"].value == scores["ms_ssim"].value == 0 and abs(scores["fid12"].value) < 1e-3
    assert scores["memorisation"].value == 1
    assert (tmp_path / "out" / "copies.png").exists()


def test_options_of_inception(folder, dataset, capsys):
    options = ["--weights", "0123456789abcdef", "--feature-precision", "bfloat16", "--resize", "clean"]
    scores = scores_of(capsys, folder, "--dataset", dataset, "--metrics", "fid", *options)
    assert scores["fid12-custom:01234567-bfloat16"].protocol["resize"] == "clean"


def test_images_are_compared_at_the_size_of_the_target_or_at_resolution(folder, tmp_path, capsys):
    np.savez(tmp_path / "large.npz", images=tiny.square_images().repeat(2, axis=1).repeat(2, axis=2))
    for options, resolution in (([], 64), (["--resolution", 32], 32)):
        scores = scores_of(capsys, folder, "--dataset", tmp_path / "large.npz", "--metrics", "swd", *options)
        assert scores["swd12"].protocol["resolution"] == resolution


# Errors


def test_images_need_reals(folder, tmp_path, capsys):
    for target in (folder, tmp_path / "nowhere"):
        line = error_of(capsys, target)
        assert "--dataset" in line and str(target) in line


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--metrics", "fid3k"], ["fid3k", "fid5k"]),
        (["--metrics", ","], ["--metrics"]),
        (["--metrics", "fid5k"], ["fid5k", "5000", "12", "metric fid,"]),
        (["--metrics", "swd2k,kid50k"], ["kid50k", "50000", "metric kid,"]),
        (["--metrics", "ppl"], ["ppl"]),
        (["--resize", "nearest"], ["--resize", "nearest", "clean"]),
        (["--resolution", "48", "--metrics", "swd"], ["power of two", "48"]),
        (["--feature-precision", "float8"], ["--feature-precision", "float8"]),
        (["--which", "last"], ["--which is last"]),
        (["--precision", "bfloat16"], ["--precision is bfloat16"]),
        (["--seed", "1"], ["--seed is 1"]),
    ],
    ids=lambda value: " ".join(value)[:24],
)
def test_wrong_options_for_images(options, expected, folder, dataset, capsys):
    line = error_of(capsys, folder, "--dataset", dataset, *options)
    assert all(text in line for text in expected), line


def test_a_missing_data_set_is_named(folder, tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    assert error_of(capsys, folder, "--dataset", nowhere).startswith(f"--dataset {nowhere}")
    assert error_of(capsys, nowhere, "--dataset", folder).startswith(f"{nowhere}")


@pytest.mark.parametrize(("name", "size"), [("0.png", (64, 48)), ("7.png", (32, 32))])
def test_images_that_are_not_square_or_have_several_sizes_need_a_resolution(folder, dataset, capsys, name, size):
    Image.open(folder / name).resize(size).save(folder / name)
    arguments = [folder, "--dataset", dataset, "--metrics", "swd"]
    line = error_of(capsys, *arguments)
    assert "--resolution" in line and f"{size[0]}x{size[1]}" in line
    assert evaluate(*arguments, "--resolution", 64) == 0


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--resolution", "128"], ["--resolution is 128", "64"]),
        (["--metrics", "fid"], ["fid5k"]),
        (["--metrics", "ppl", "--precision", "bfloat16"], ["--precision is bfloat16", "ppl", "float32"]),
        (["--which", "worst"], ["--which", "worst"]),
        (["--which", "777"], ["--which 777", "40"]),
    ],
    ids=lambda value: " ".join(value)[:24],
)
def test_wrong_options_for_runs(options, expected, run, capsys):
    line = error_of(capsys, run.folder, *options)
    assert all(text in line for text in expected), line


def test_an_unwritable_folder_is_an_error_before_anything_is_measured(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gan_tf.metrics.evaluate.Evaluator", lambda *given: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    assert error_of(capsys, run.folder, "--out", tmp_path / "file").startswith(f"--out {tmp_path / 'file'}")
    run.evaluations.write_text("")
    assert f"--out {run.evaluations}" in error_of(capsys, run.folder)


def test_scores_are_printed_even_if_they_cannot_be_written(run, few_fakes, tmp_path, monkeypatch, capsys):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_tf.cli.evaluate.write_atomically", full)
    assert evaluate(run.folder, "--metrics", "swd2k", "--out", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("swd2k ") and "No space left" in captured.err


def test_missing_weights_of_inception(run, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    line = error_of(capsys, run.folder, "--metrics", "fid5k", "--offline")
    assert "https://github.com/mseitzer/" in line and "swd2k" in line
