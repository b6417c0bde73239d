"""`gan-tf evaluate` of runs, folders, zips and arrays: table, JSON, files, and errors."""

import dataclasses
import json
import shutil
import zipfile
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageOps

from gan_tf.cli.main import run_command
from gan_tf.metrics.definitions import METRICS
from gan_tf.metrics.score import Score
from gan_tf.runs.folder import Run
from tests.metrics import stubs
from tests.training import tiny

FEW = 24  # images in a score


@pytest.fixture(scope="module")
def trained(tmp_path_factory, dataset):
    """A run of that dataset, whose first weights count as the best."""
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
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    stubs.replace_networks(monkeypatch)
    with tiny.in_place():
        yield


@pytest.fixture
def few_fakes(stub_networks):
    with pytest.MonkeyPatch.context() as patch:
        for name, metric in METRICS.items():
            patch.setitem(METRICS, name, metric._replace(fakes=FEW))
        yield


@pytest.fixture
def scores_of(done):
    """Function that evaluates and returns {name: score}."""

    def parsed(*arguments):
        scores = json.loads(done("evaluate", *arguments, "--json").out)["scores"]
        return {score["name"]: Score(**score) for score in scores}

    return parsed


def stored(folder):
    """{name: protocol} of the scores in a folder."""
    return {score["name"]: score["protocol"] for score in json.loads((folder / "scores.json").read_text())["scores"]}


# Runs


def test_a_run_is_scored_against_its_training_images(few_fakes, run, done):
    out, err = done("evaluate", run.folder)
    rows = out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["fid5k", "kid5k", "precision_recall", "memorisation"]
    assert rows[3].split()[1].endswith("%")
    [protocol] = [row for row in rows if row.startswith("measured with")]
    assert "reals 12" in protocol and f"fakes {FEW}" in protocol
    assert any(row.startswith("measured by gan tf ") for row in rows)
    assert "best weights, 0.0 kimg; precision: " in err and f"written to {run.folder}" in err
    folder = run.evaluations / f"{run.best_meta()['images_seen']:09d}"
    protocols = stored(folder)
    assert list(protocols) == ["fid5k", "kid5k", "precision_recall", "memorisation"]
    assert {"mirrored": True, "space": "pixels+inception"}.items() <= protocols["memorisation"].items()
    assert protocols["fid5k"]["network"] == stubs.OFFICIAL
    assert Image.open(folder / "copies.png").width > 64
    done("evaluate", run.folder, "--metrics", "kid5k,is")  # other scores are kept
    assert list(stored(folder)) == ["fid5k", "precision_recall", "memorisation", "kid5k", "is"]
    (folder / "scores.json").write_text("{")
    done("evaluate", run.folder, "--metrics", "is")
    assert list(stored(folder)) == ["is"]


def test_precision_and_recall_need_no_network(run, folder, dataset, scores_of, monkeypatch):
    monkeypatch.setattr(stubs.Extractor, "stream", Mock(side_effect=AssertionError("a network was used")))
    name = "precision_recall-pixels"
    monkeypatch.setitem(METRICS, name, METRICS[name]._replace(fakes=FEW))
    for target, count in ((run.folder, FEW), (folder, 12)):  # a folder of fewer images: all of them
        score = scores_of(target, "--dataset", dataset, "--metrics", name)[name]
        assert score.parts.keys() == {"precision", "recall"} and not score.lower_is_better
        assert {"fakes": count, "reals": 12, "k": 3}.items() <= score.protocol.items()


def test_json_is_one_object(few_fakes, run, folder, tmp_path, scores_of):
    out = tmp_path / "new" / "out"
    scores = scores_of(run.folder, "--dataset", folder, "--metrics", "swd2k, ms_ssim,swd2k", "--out", out)
    assert list(scores) == ["swd2k", "ms_ssim"]
    assert {"fakes": FEW, "reals_source": "generated"}.items() <= scores["swd2k"].protocol.items()
    printed = [dataclasses.asdict(score) for score in scores.values()]
    assert json.loads((out / "scores.json").read_text()) == {"target": str(run.folder), "scores": printed}
    assert not (out / "copies.png").exists() and not (run.folder / "evaluations").exists()


def test_results_of_another_target_are_kept(few_fakes, run, folder, dataset, tmp_path, done, refused):
    out, options = tmp_path / "out", ("--metrics", "swd2k", "--out", tmp_path / "out")
    done("evaluate", run.folder, *options)
    assert f"{out / 'scores.json'} exists" in refused("evaluate", folder, "--dataset", dataset, *options)
    done("evaluate", f"{run.folder}/", *options[:1], "kid5k", *options[2:])
    assert list(stored(out)) == ["swd2k", "kid5k"]


def test_json_has_no_numbers_that_are_not_json(few_fakes, run, tmp_path, done):
    white = tmp_path / "white.npz"
    np.savez(white, images=np.full((8, 64, 64, 3), 255, np.uint8))
    command = ["evaluate", run.folder, "--dataset", white, "--metrics", "swd2k,fid5k,memorisation"]
    printed = done(*command, "--json", "--out", tmp_path / "out").out
    for text in (printed, (tmp_path / "out" / "scores.json").read_text()):
        *_, copies = json.loads(text, parse_constant=pytest.fail)["scores"]
        assert copies["value"] == 0 and copies["parts"]["median_ratio"] is None
    assert "median ratio n/a" in done(*command).out


@pytest.mark.parametrize("link", ["evaluations", "evaluations/{}"])
def test_nothing_is_written_through_a_link_in_a_run(few_fakes, run, tmp_path, refused, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    path = run.folder / link.format(f"{run.best_meta()['images_seen']:09d}")
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside)
    assert str(outside) in refused("evaluate", run.folder, "--metrics", "swd2k")
    assert not list(outside.iterdir())


def test_which_weights_and_which_seed(few_fakes, run, scores_of):
    values, best_at = {}, run.best_meta()["images_seen"]
    for which, seed in (("best", 0), ("last", 0), (best_at, 0), ("best", 1)):
        options = ["--metrics", "swd2k", "--precision", "float32", "--which", which, "--seed", seed]
        score = scores_of(run.folder, *options)["swd2k"]
        values[which, seed] = score.value
        assert f"seed {seed}" in score.protocol["fakes_source"]
    assert values["best", 0] == values[best_at, 0]
    assert len(set(values.values())) == 3


def test_training_and_evaluate_agree(run, scores_of):
    """The command and training measure the same score: same seed, images and protocol."""
    measured = scores_of(run.folder, "--metrics", "swd2k,memorisation", "--precision", "float32")
    for score, stored in zip(measured.values(), (run.best_meta()[key] for key in ("score", "copies")), strict=True):
        assert score.parts == pytest.approx(stored["parts"], rel=1e-5) and score.protocol == stored["protocol"]
    assert score.value == stored["value"]  # the share of copies; the value of swd2k was set


def test_ppl_is_measured_in_float32(few_fakes, run, done):
    out, err = done("evaluate", run.folder, "--metrics", "swd2k, ppl", "--json")
    *_, score = json.loads(out)["scores"]
    assert "precision: float32 (ppl" in err
    assert score["value"] > 0 and "in float32" in score["protocol"]["fakes_source"]


# Image files


def test_a_folder_against_an_array(folder, dataset, done):
    (folder / "00.png").write_bytes(b"not an image")
    out, err = done("evaluate", folder, "--dataset", dataset)
    rows = out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["fid12", "kid12", "precision_recall", "memorisation"]
    assert "12 images, against 12 of" in err and "at 64x64" in err
    assert "1 unreadable images left out" in err and "written to" not in err


@pytest.mark.parametrize("form", ["npz", "zip", "folder"])
def test_the_distance_of_a_set_to_itself_is_0(few_fakes, form, dataset, folder, tmp_path, scores_of):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for image in folder.iterdir():
            archive.write(image, image.name)
    target = {"npz": dataset, "zip": tmp_path / "set.zip", "folder": folder}[form]
    options = ["--metrics", "swd,ms_ssim,fid,memorisation", "--out", tmp_path / "out"]
    scores = scores_of(target, "--dataset", target, *options)
    assert scores["swd12"].value == scores["ms_ssim"].value == 0 and abs(scores["fid12"].value) < 1e-3
    assert scores["memorisation"].value == 1
    assert (tmp_path / "out" / "copies.png").exists()


def test_options_of_inception_and_images_of_another_size(folder, tmp_path, scores_of):
    np.savez(tmp_path / "large.npz", images=tiny.square_images().repeat(2, axis=1).repeat(2, axis=2))
    options = ["--weights", "0123456789abcdef", "--feature-precision", "bfloat16", "--resize", "clean"]
    for size, resolution in (([], 64), (["--resolution", 32], 32)):
        arguments = ["--dataset", tmp_path / "large.npz", "--metrics", "fid,swd", *options, *size]
        scores = scores_of(folder, *arguments)
        assert scores["fid12-custom:01234567-bfloat16"].protocol["resize"] == "clean"
        assert scores["swd12"].protocol["resolution"] == resolution


def test_mirrored_copies_in_a_folder_are_found(few_fakes, folder, tmp_path, scores_of):
    for image in folder.iterdir():
        ImageOps.mirror(Image.open(image)).save(image)
    np.savez(tmp_path / "set.npz", images=tiny.square_images(24)[12:])
    copies = scores_of(folder, "--dataset", tmp_path / "set.npz", "--metrics", "memorisation")["memorisation"]
    assert copies.value == 1 and copies.protocol["mirrored"]


def test_mirrored_copies_count_for_a_converted_run(few_fakes, run, dataset, scores_of):
    config, data = run.read_settings()
    for origin, mirrored in (("", False), ("network.pkl", True)):
        run.write_settings(dataclasses.replace(config, mirror=False), {**data, "converted_from": origin})
        scores = scores_of(run.folder, "--dataset", dataset, "--metrics", "memorisation")
        assert scores["memorisation"].protocol["mirrored"] is mirrored


@pytest.mark.parametrize("jpeg_first", [True, False])
def test_jpeg_files_against_others_resized_and_repeated_images_are_noted(folder, tmp_path, done, jpeg_first):
    jpeg = tmp_path / "jpeg"
    jpeg.mkdir()
    for image in folder.iterdir():
        Image.open(image).resize((32, 32)).save(jpeg / f"{image.stem}.jpg")
    pair = (jpeg, folder) if jpeg_first else (folder, jpeg)
    out, err = done("evaluate", pair[0], "--dataset", pair[1], "--metrics", "swd2k", "--resolution", 64)
    [warning] = [line for line in err.splitlines() if line.startswith("warning: ")]
    assert f"{jpeg} has JPEG files, and {folder} has not" in warning
    assert f"{jpeg}: 12 resized to 64x64, most from 32x32, 12 of them enlarged" in err
    assert "swd2k takes 32 images: the 12 of" in err and "different fakes 12" in out
    assert (", JPEG, 12 resized" in out) == jpeg_first
    err = done("evaluate", folder, "--dataset", folder, "--metrics", "swd").err
    assert "JPEG" not in err and "resized" not in err and "repeated" not in err


# Errors


@pytest.mark.parametrize(
    "target, options, expected",
    [
        ("images", "--metrics fid3k", "fid3k fid5k"),
        ("images", "--metrics ,", "--metrics"),
        ("images", "--metrics fid5k", "fid5k 5000 12 fid,"),
        ("images", "--metrics swd2k,kid50k", "kid50k 50000 kid,"),
        ("images", "--metrics ppl", "ppl"),
        ("images", "--resize nearest", "--resize nearest clean"),
        ("images", "--resolution 8 --metrics swd", "16x16 pixels or more, got 8x8"),
        ("images", "--feature-precision float8", "--feature-precision float8"),
        ("images", "--which last", "--which last"),
        ("images", "--precision bfloat16", "--precision bfloat16"),
        ("images", "--seed 1", "--seed 1"),
        ("run", "--resolution 128", "--resolution 128 64"),
        ("run", "--metrics fid", "fid5k"),
        ("run", "--metrics ppl --precision bfloat16", "--precision bfloat16 ppl float32"),
        ("run", "--which 777", "--which 777 40"),
    ],
)
def test_wrong_options(target, options, expected, folder, dataset, trained, refused):
    target = [folder, "--dataset", dataset] if target == "images" else [trained.folder]
    line = refused("evaluate", *target, *options.split())
    assert all(text in line for text in expected.split()), line


@pytest.mark.parametrize("with_run", [False, True])
def test_an_unknown_metric_is_refused_before_images_are_loaded(with_run, folder, trained, monkeypatch, refused):
    monkeypatch.setattr("gan_tf.data.prepare.prepare", lambda *given, **options: pytest.fail("loaded"))
    monkeypatch.setattr("gan_tf.cli.evaluate.prepare", lambda *given, **options: pytest.fail("loaded"))
    target = [trained.folder] if with_run else [folder, "--dataset", folder]
    assert "'fid6k'" in refused("evaluate", *target, "--metrics", "swd2k,fid6k")


def test_missing_images_are_named(folder, tmp_path, refused):
    nowhere = tmp_path / "nowhere"
    for target in (folder, nowhere):
        error = refused("evaluate", target)
        assert "--dataset" in error and str(target) in error
    assert refused("evaluate", folder, "--dataset", nowhere).startswith(f"--dataset {nowhere}")
    assert refused("evaluate", nowhere, "--dataset", folder).startswith(f"{nowhere}")
    for path in folder.iterdir():
        path.write_bytes(b"?")
    assert f"{folder}: none of 12 images is readable" in refused("evaluate", folder, "--dataset", folder)


@pytest.mark.parametrize(("name", "size"), [("0.png", (64, 48)), ("7.png", (32, 32))])
def test_images_that_are_not_square_or_have_several_sizes_need_a_resolution(folder, dataset, done, refused, name, size):
    Image.open(folder / name).resize(size).save(folder / name)
    command = ["evaluate", folder, "--dataset", dataset, "--metrics", "swd"]
    line = refused(*command)
    assert "--resolution" in line and f"{size[0]}x{size[1]}" in line
    done(*command, "--resolution", 64)


def test_an_unwritable_folder_is_an_error_before_anything_is_measured(run, tmp_path, monkeypatch, refused):
    monkeypatch.setattr("gan_tf.metrics.evaluate.Evaluator", lambda *given: pytest.fail("measured"))
    (tmp_path / "file").write_text("")
    assert refused("evaluate", run.folder, "--out", tmp_path / "file").startswith(f"--out {tmp_path / 'file'}")
    run.evaluations.write_text("")
    assert f"--out {run.evaluations}" in refused("evaluate", run.folder)


def test_scores_are_printed_even_if_they_cannot_be_written(run, few_fakes, tmp_path, monkeypatch, capsys):
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr("gan_tf.cli.evaluate.write_json", full)
    assert run_command("evaluate", [str(run.folder), "--metrics", "swd2k", "--out", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("swd2k ") and "No space left" in captured.err


def test_missing_weights_of_inception(run, tmp_path, monkeypatch, refused):
    monkeypatch.undo()
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    line = refused("evaluate", run.folder, "--metrics", "fid5k", "--offline")
    assert "https://github.com/mseitzer/" in line and "swd2k" in line
