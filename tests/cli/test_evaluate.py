"""`gan-tf evaluate` of runs, folders, zips and arrays: a table, a JSON object, files; and every mistake in one line."""

import dataclasses
import json
import shutil
import zipfile

import numpy as np
import pytest
import tensorflow as tf  # noqa: F401 - at the top, so that the CPU is split in time
from PIL import Image

from gan_tf.cli.datasets import resolve
from gan_tf.cli.main import run_command
from gan_tf.metrics import networks
from gan_tf.metrics.definitions import METRICS
from gan_tf.metrics.score import from_stored
from gan_tf.runs.folder import Run
from tests.metrics import stand_in
from tests.training import tiny
from tests.training.tiny import square_images

from ..sampling.trained import BEST_AT, CONFIG, SECOND, make_run

FEW = 24  # images in a score


@pytest.fixture(scope="module")
def images():
    return square_images(24)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, images):
    """The first half, as arrays."""
    path = tmp_path_factory.mktemp("data") / "pictures.npz"
    np.savez(path, images=images[:12])
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory, dataset):
    """A run of that data set."""
    run = make_run(tmp_path_factory.mktemp("runs") / "run")
    config = dataclasses.replace(CONFIG, dataset=str(dataset))
    fingerprint = resolve(str(dataset), resolution=64, offline=True).fingerprint
    run.write_settings(config, {"fingerprint": fingerprint, "images": 12, "class_names": []})
    run.keep_snapshot(run.best_weights()[0], run.best_meta())
    return run


@pytest.fixture
def run(trained, tmp_path):
    return Run(shutil.copytree(trained.folder, tmp_path / "run"))


@pytest.fixture
def folder(tmp_path, images):
    """The other half, as PNG files."""
    path = tmp_path / "made by others"
    path.mkdir()
    for i, image in enumerate(images[12:]):
        Image.fromarray(image).save(path / f"{i}.png")
    return path


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch, tmp_path):
    def looking(*, weights, resize, precision, offline, log):
        return stand_in.networks(resize=resize, custom=weights, precision=precision)

    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(networks, "Networks", looking)
    with stand_in.narrow():
        yield


@pytest.fixture
def few_fakes(monkeypatch):
    for name, metric in METRICS.items():
        monkeypatch.setitem(METRICS, name, metric._replace(fakes=FEW))


def evaluate(*words):
    return run_command("evaluate", [str(word) for word in words])


def report(capsys):
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *words):
    """The one line that a command ends with."""
    capsys.readouterr()
    assert evaluate(*words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    *before, line = captured.err.splitlines()
    assert line.startswith("gan-tf: error: ") and not any("Traceback" in text for text in before)
    return line.removeprefix("gan-tf: error: ")


# Runs


def stored_names(folder):
    return [score["name"] for score in json.loads((folder / "scores.json").read_text())["scores"]]


def test_a_run_is_measured_against_its_own_images(few_fakes, run, capsys):
    assert evaluate(run.folder) == 0
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["fid5k", "kid5k", "precision_recall", "memorisation"]
    assert rows[3].split()[1].endswith("%")
    [measured_with] = [row for row in rows if row.startswith("measured with")]
    assert "reals 12" in measured_with and f"fakes {FEW}" in measured_with
    assert any(row.startswith("measured by gan tf ") for row in rows)
    assert max(map(len, rows[:4])) < 120
    assert "best weights, 0.5 kimg; precision: " in captured.err and f"written to {run.folder}" in captured.err
    folder = run.evaluations / f"{run.best_meta()['images_seen']:09d}"
    assert stored_names(folder) == ["fid5k", "kid5k", "precision_recall", "memorisation"]
    assert Image.open(folder / "copies.png").width > 64
    assert evaluate(run.folder, "--metrics", "kid5k,is") == 0  # what was measured before stays
    assert stored_names(folder) == ["fid5k", "precision_recall", "memorisation", "kid5k", "is"]
    (folder / "scores.json").write_text("{")
    assert evaluate(run.folder, "--metrics", "is") == 0
    assert stored_names(folder) == ["is"]


def test_json_is_one_object_and_alone(few_fakes, run, tmp_path, capsys):
    words = [run.folder, "--metrics", "swd2k, ms_ssim,swd2k", "--json", "--out", tmp_path / "new" / "out"]
    assert evaluate(*words) == 0
    found = report(capsys)
    assert found["target"] == str(run.folder)
    scores = [from_stored(score) for score in found["scores"]]
    assert [score.name for score in scores] == ["swd2k", "ms_ssim"]
    assert scores[0].protocol["fakes_source"].startswith("averaged generator in ")
    assert json.loads((tmp_path / "new" / "out" / "scores.json").read_text()) == found
    assert not (tmp_path / "new" / "out" / "copies.png").exists()
    assert not (run.folder / "evaluations").exists()


@pytest.mark.parametrize("link", ["evaluations", "evaluations/{}"])
def test_a_link_in_a_run_does_not_lead_what_is_written_elsewhere(few_fakes, run, tmp_path, capsys, link):
    outside = tmp_path / "outside"
    outside.mkdir()
    place = run.folder / link.format(f"{run.best_meta()['images_seen']:09d}")
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(outside)
    told = refusal(capsys, run.folder, "--metrics", "swd2k")
    assert f"leads out of the run folder, to {outside}" in told and "; remove that link" in told
    assert not list(outside.iterdir())
    assert evaluate(run.folder, "--metrics", "swd2k", "--out", tmp_path / "out") == 0
    assert stored_names(tmp_path / "out") == ["swd2k"] and not list(outside.iterdir())


def test_which_weights_and_which_seed(few_fakes, run, capsys):
    found = {}
    for words in (["best"], ["last"], [BEST_AT], ["best", "--seed", 1]):
        assert evaluate(run.folder, "--metrics", "swd2k", "--json", "--precision", "float32", "--which", *words) == 0
        [score] = report(capsys)["scores"]
        found[words[0], len(words)] = score["value"]
        assert f"seed {1 if len(words) > 1 else 0}" in score["protocol"]["fakes_source"]
    assert found["best", 1] == found[BEST_AT, 1]
    assert len(set(found.values())) == 3


def test_training_and_evaluate_agree(tmp_path, capsys):
    """A score of the command is the score that training measured: same seed, images and protocol."""
    code, run = tiny.train(tiny.images_file(tmp_path), tmp_path / "checkpoints")
    assert code == 0
    capsys.readouterr()
    with tiny.in_place():
        assert evaluate(run.folder, "--metrics", "swd2k,memorisation", "--json", "--precision", "float32") == 0
    score, copies = (from_stored(score) for score in report(capsys)["scores"])
    meta = run.best_meta()
    trained = from_stored(meta["score"])
    assert score.value == pytest.approx(trained.value, rel=1e-5) and score.parts.keys() == trained.parts.keys()
    assert score.protocol == trained.protocol
    checked = from_stored(meta["copies"])
    assert (copies.value, copies.protocol) == (checked.value, checked.protocol)
    assert copies.parts == pytest.approx(checked.parts, rel=1e-5)


def test_the_protocols_of_a_run_tell_what_was_looked_at(few_fakes, run, capsys):
    assert evaluate(run.folder, "--metrics", "fid5k,memorisation", "--json") == 0
    fid, copies = (from_stored(score) for score in report(capsys)["scores"])
    assert copies.protocol["mirrored"] is True and copies.protocol["space"] == "pixels+inception"
    assert fid.protocol["network"] == stand_in.OFFICIAL


@pytest.mark.parametrize("names", ["ppl", "swd2k, ppl"])
def test_ppl_is_measured_in_float32(few_fakes, run, capsys, names):
    assert evaluate(run.folder, "--metrics", names, "--json") == 0
    captured = capsys.readouterr()
    *_, score = json.loads(captured.out)["scores"]
    assert "precision: float32 (ppl takes tiny steps)" in captured.err
    assert score["value"] > 0 and "averaged generator in float32" in score["protocol"]["fakes_source"]


def test_another_dataset_for_a_run(few_fakes, run, folder, capsys):
    assert evaluate(run.folder, "--dataset", folder, "--metrics", "swd2k", "--json") == 0
    [score] = report(capsys)["scores"]
    assert score["protocol"]["reals_source"] == "made by others"


# Images of others


def test_a_folder_against_a_zip(folder, images, tmp_path, capsys):
    packed = tmp_path / "reals.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for i, image in enumerate(images[:12]):
            Image.fromarray(image).save(tmp_path / "one.png")
            archive.write(tmp_path / "one.png", f"{i}.png")
    assert evaluate(folder, "--dataset", packed) == 0
    captured = capsys.readouterr()
    rows = captured.out.splitlines()
    assert [row.split()[0] for row in rows[:4]] == ["fid12", "kid12", "precision_recall", "memorisation"]
    assert "12 images, against 12 of" in captured.err and "at 64x64" in captured.err
    assert "written to" not in captured.err


@pytest.mark.parametrize("form", ["npz", "zip", "folder"])
def test_a_set_against_itself_is_at_no_distance(form, dataset, folder, tmp_path, capsys):
    if form == "zip":
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for path in folder.iterdir():
                archive.write(path, path.name)
    target = {"npz": dataset, "zip": tmp_path / "set.zip", "folder": folder}[form]
    words = [target, "--dataset", target, "--metrics", "swd,ms_ssim,fid,memorisation", "--json"]
    assert evaluate(*words, "--out", tmp_path / "out") == 0
    values = {score["name"]: score["value"] for score in report(capsys)["scores"]}
    assert values["swd12"] == values["ms_ssim"] == 0 and abs(values["fid12"]) < 1e-3
    assert values["memorisation"] == 1  # nothing but copies
    assert (tmp_path / "out" / "copies.png").exists()


def test_many_images_get_the_names_of_the_papers(few_fakes, folder, dataset, tmp_path, capsys):
    np.savez(tmp_path / "many.npz", images=square_images(FEW, seed=3))
    assert evaluate(tmp_path / "many.npz", "--dataset", dataset, "--json") == 0
    names = [score["name"] for score in report(capsys)["scores"]]
    assert names == ["fid5k", "kid5k", "precision_recall", "memorisation"]


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["--weights", "0123456789abcdef"], "fid12-custom:01234567"),
        (["--feature-precision", "bfloat16"], "fid12-bfloat16"),
        (["--resize", "clean"], "fid12"),
    ],
)
def test_other_networks_are_other_names(words, name, folder, dataset, capsys):
    assert evaluate(folder, "--dataset", dataset, "--metrics", "fid", "--json", *words) == 0
    [score] = report(capsys)["scores"]
    assert score["name"] == name
    assert score["protocol"]["resize"] == ("clean" if "clean" in words else "pytorch")


def test_images_of_two_sizes_meet_at_the_targets(folder, tmp_path, capsys):
    np.savez(tmp_path / "large.npz", images=square_images(12).repeat(2, axis=1).repeat(2, axis=2))
    assert evaluate(folder, "--dataset", tmp_path / "large.npz", "--metrics", "swd", "--json") == 0
    [score] = report(capsys)["scores"]
    assert score["protocol"]["resolution"] == 64
    words = [folder, "--dataset", tmp_path / "large.npz", "--metrics", "swd", "--json", "--resolution", 32]
    assert evaluate(*words) == 0
    assert report(capsys)["scores"][0]["protocol"]["resolution"] == 32


def test_unreadable_images_are_counted(folder, dataset, capsys):
    (folder / "00.png").write_bytes(b"not a picture")
    assert evaluate(folder, "--dataset", dataset, "--metrics", "swd") == 0
    assert "1 unreadable images left out" in capsys.readouterr().err


# Mistakes


def test_images_need_reals(folder, tmp_path, capsys):
    line = refusal(capsys, folder)
    assert "--dataset is missing" in line and str(folder) in line
    line = refusal(capsys, tmp_path / "nowhere")
    assert "--dataset is missing" in line and "nowhere is no run" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--metrics", "fid3k"], ["metric 'fid3k' is unknown", "fid5k"]),
        (["--metrics", ","], ["--metrics is ','", "fid5k,memorisation"]),
        (["--metrics", "fid5k"], ["fid5k takes 5000 images", "has 12", "give metric fid"]),
        (["--metrics", "swd2k,kid50k"], ["kid50k takes 50000 images", "give metric kid"]),
        (["--metrics", "ppl"], ["'ppl' follows paths of a generator", "give a run"]),
        (["--resize", "nearest"], ["--resize", "nearest", "clean"]),
        (["--resolution", "48", "--metrics", "swd"], ["power of two", "48"]),
        (["--feature-precision", "float8"], ["--feature-precision", "float8"]),
    ],
    ids=lambda value: " ".join(value)[:24],
)
def test_mistakes_with_images(words, said, folder, dataset, capsys):
    line = refusal(capsys, folder, "--dataset", dataset, *words)
    assert all(word in line for word in said), line


def test_a_missing_data_set_is_named(folder, tmp_path, capsys):
    nowhere = tmp_path / "nowhere"
    assert refusal(capsys, folder, "--dataset", nowhere).startswith(f"--dataset {nowhere}: no such file or folder")
    assert refusal(capsys, nowhere, "--dataset", folder).startswith(f"{nowhere}: no such file or folder")


def test_images_that_are_not_square_need_a_resolution(folder, dataset, images, capsys):
    Image.fromarray(images[0][:48]).save(folder / "0.png")
    line = refusal(capsys, folder, "--dataset", dataset, "--metrics", "swd")
    assert "--resolution is missing" in line and "0.png is 64x48" in line
    assert evaluate(folder, "--dataset", dataset, "--metrics", "swd", "--resolution", 64) == 0


def test_images_of_several_sizes_need_a_resolution(folder, dataset, images, capsys):
    Image.fromarray(images[0][:32, :32]).save(folder / "7.png")
    line = refusal(capsys, folder, "--dataset", dataset, "--metrics", "swd")
    assert "--resolution is missing" in line and "are of 2 sizes, such as 64x64 and 32x32" in line
    assert evaluate(folder, "--dataset", dataset, "--metrics", "swd", "--resolution", 64) == 0


def test_a_folder_without_one_readable_image(folder, dataset, capsys):
    for path in folder.iterdir():
        path.write_bytes(b"not a picture")
    assert "none of 12 images is readable" in refusal(capsys, folder, "--dataset", dataset)


def test_changed_images_of_a_run_are_refused(few_fakes, run, dataset, tmp_path, images, capsys):
    other = tmp_path / "pictures.npz"
    np.savez(other, images=images[:11])
    config, data = run.read_settings()
    run.write_settings(dataclasses.replace(config, dataset=str(other)), data)
    line = refusal(capsys, run.folder)
    assert "are not those that the run was trained on" in line and f"give --dataset {other}" in line
    assert evaluate(run.folder, "--dataset", other, "--metrics", "swd2k") == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--resolution", "128"], ["--resolution is 128", "trained at 64"]),
        (["--metrics", "fid"], ["takes all images of a folder", "give fid5k for a run"]),
        (["--metrics", "ppl", "--precision", "bfloat16"], ["--precision is bfloat16", "ppl", "float32"]),
        (["--which", "worst"], ["--which 'worst' is unknown"]),
        (["--which", "777"], ["--which 777", "no snapshot", f"it has {BEST_AT}"]),
    ],
    ids=lambda value: " ".join(value)[:24],
)
def test_mistakes_with_runs(words, said, run, capsys):
    line = refusal(capsys, run.folder, *words)
    assert all(word in line for word in said), line


def test_weights_that_are_missing_or_damaged(run, capsys):
    [snapshot] = run.snapshots.iterdir()
    for path, which in ((snapshot, BEST_AT), (run.best, "best")):
        path.write_bytes(path.read_bytes()[:3000])
        line = refusal(capsys, run.folder, "--which", which)
        assert f"{path} is damaged" in line and "--which last" in line
        path.unlink()
    assert "has no best weights yet" in refusal(capsys, run.folder)
    assert "no snapshot of that many images; it has none" in refusal(capsys, run.folder, "--which", SECOND)


def test_a_place_that_cannot_be_written_is_found_before_the_work(run, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gan_tf.metrics.evaluate.Evaluator", lambda *given: pytest.fail("the work has begun"))
    (tmp_path / "file").write_text("in the way")
    told = refusal(capsys, run.folder, "--metrics", "swd2k", "--out", tmp_path / "file")
    assert told.startswith(f"--out {tmp_path / 'file'} cannot be written")
    run.evaluations.write_text("in the way")
    assert f"--out {run.evaluations}" in refusal(capsys, run.folder, "--metrics", "swd2k")


def test_a_cache_that_cannot_be_written_is_named_and_not_out(run, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "file" / "cache"))
    told = refusal(capsys, run.folder, "--metrics", "swd2k", "--out", tmp_path / "out")
    assert told.startswith(f"GAN_TF_CACHE: the cache in {tmp_path / 'file' / 'cache'} cannot be written")
    assert "or set GAN_TF_CACHE to another folder" in told and "--out" not in told


def test_scores_are_told_even_if_they_cannot_be_written(run, few_fakes, tmp_path, monkeypatch, capsys):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gan_tf.cli.evaluate.write_atomically", full)
    assert evaluate(run.folder, "--metrics", "swd2k", "--out", tmp_path / "out") == 2
    captured = capsys.readouterr()
    assert captured.out.startswith("swd2k ") and "cannot be written: No space left" in captured.err


def test_missing_weights_of_inception_are_told(run, tmp_path, monkeypatch, capsys):
    monkeypatch.undo()
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    line = refusal(capsys, run.folder, "--metrics", "fid5k", "--offline")
    assert "https://github.com/mseitzer/" in line and "swd2k" in line


@pytest.mark.parametrize("option", [["--which", "last"], ["--precision", "bfloat16"], ["--seed", "1"]])
def test_what_concerns_a_generator_is_refused_for_images(folder, dataset, capsys, option):
    line = refusal(capsys, folder, "--dataset", dataset, *option)
    assert f"{option[0]} is {option[1]}, but" in line and "leave it out" in line
