"""Class labels in the commands and the API: requested, drawn from seeds, reported, and errors."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.errors import UsageError
from gan_tf.sampling.interpolate import interpolation_strip
from gan_tf.sampling.project import w_statistics
from tests import conditional

FAMILIES = list(conditional.SIZES)


@pytest.fixture(scope="module", params=FAMILIES)
def run(request, tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / request.param, request.param)


@pytest.fixture(scope="module")
def fastgan(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "kinds")


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "plain", conditional=False, classes=0)


def command(name, run, *arguments):
    return run_command(name, [str(run.folder), *map(str, arguments)])


def read(path):
    return np.asarray(Image.open(path)).astype(int)


def test_generate_draws_classes_by_seed_or_takes_class(run, tmp_path):
    how = ("--precision", "float32")
    assert command("generate", run, "--seeds", "0-11", "--out", tmp_path / "drawn", *how) == 0
    drawn = [Image.open(path).text for path in sorted((tmp_path / "drawn").iterdir())]
    told = [list(text.values())[0].removeprefix("class ") for text in drawn]
    labels = gan_tf.load(run.folder).classes.of_seeds(range(12))
    assert told == [conditional.NAMES[label] for label in labels] and len(set(told)) > 1
    for i in (0, 5):
        out = tmp_path / str(i)
        assert command("generate", run, "--seeds", i, "--class", told[i], "--out", out, *how) == 0
        assert np.abs(read(out / f"seed-{i:06d}.png") - read(tmp_path / "drawn" / f"seed-{i:06d}.png")).max() <= 1
    other = next(name for name in conditional.NAMES if name != told[0])
    assert command("generate", run, "--seeds", 0, "--class", other, "--out", tmp_path / "other", *how) == 0
    assert np.abs(read(tmp_path / "other" / "seed-000000.png") - read(tmp_path / "0" / "seed-000000.png")).max() > 1


def test_the_api_takes_classes(run):
    trained = gan_tf.load(run.folder)
    assert trained.classes.names == tuple(conditional.NAMES)
    cat = trained.sample([1, 2], classes="cat")
    np.testing.assert_array_equal(trained.sample([1, 2], classes=0), cat)
    mixed = trained.sample([1, 2], classes=["cat", "dog"])
    assert np.abs(mixed[0].astype(int) - cat[0]).max() <= 1 < np.abs(mixed[1].astype(int) - cat[1]).max()
    latents = trained.latents([1, 2])
    assert np.abs(trained.images_of(latents, [1, 2], classes="cat").astype(int) - cat).max() <= 1
    walk = trained.interpolate([1, 2], steps=2, classes="cat")
    assert np.abs(walk[0].astype(int) - cat[0]).max() <= 1
    with pytest.raises(UsageError, match="classes 'horse' is not a class of this run; choose from 0 cat, 1 dog, 2 7"):
        trained.sample([1], classes="horse")
    with pytest.raises(UsageError, match="classes are 1 for 2 images"):
        trained.sample([1, 2], classes=["cat"])


def test_mixed_styles_keep_the_classes_of_their_seeds(fastgan):
    trained = gan_tf.load(fastgan.folder)
    same = trained.mix([1], [1], classes="dog")
    assert np.abs(same.astype(int) - trained.sample([1], classes="dog")).max() <= 1


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "styled", "stylegan2")


def near(images, others):
    return np.abs(images.astype(int) - others).max() <= 1


def seeds_of_two_classes(trained):
    """Two seeds that draw different classes."""
    labels = trained.classes.of_seeds(range(32))
    return 0, int(np.flatnonzero(labels != labels[0])[0])


@pytest.mark.slow
def test_styles_have_the_classes_in_them(styled):
    trained = gan_tf.load(styled.folder)
    average = trained.generator.mapping.average.numpy()
    seeds = seeds_of_two_classes(trained)
    drawn = [trained.classes.names[label] for label in trained.classes.of_seeds(seeds)]
    np.testing.assert_allclose(trained.ws(seeds), trained.ws(seeds, classes=drawn), rtol=1e-5)
    cat, dog = (trained.ws(seeds, classes=name) for name in ("cat", "dog"))
    assert cat.shape == (2, 6, 16) and np.abs(cat - dog).max() > 0.1
    for psi in (1.0, 0.5):
        ws = trained.ws(seeds, psi, classes="dog")
        np.testing.assert_allclose(ws, average + psi * (dog - average), rtol=1e-4, atol=1e-5)
        wanted = trained.sample(seeds, psi, classes="dog")
        assert near(trained.images_of(ws=ws, noise_seeds=seeds), wanted)
        assert not near(trained.sample(seeds, psi, classes="cat"), wanted)
        assert near(trained.sample(seeds, psi), trained.sample(seeds, psi, classes=drawn))
    with pytest.raises(UsageError, match="classes are dog, but ws have their class in them"):
        trained.images_of(ws=dog, classes="dog")


@pytest.mark.slow
def test_walks_and_mixtures_of_styles_have_classes(styled):
    trained = gan_tf.load(styled.folder)
    one, two = seeds = seeds_of_two_classes(trained)
    first = trained.classes.names[trained.classes.of_seeds([one])[0]]
    for asked, name in (("dog", "dog"), (None, first)):
        walk = trained.interpolate(seeds, 2, truncation=0.5, classes=asked, space="w")
        ws = trained.ws(seeds, 0.5, classes=name)
        ways = np.stack([ws[0], ws.mean(0), ws[1]])
        assert near(walk, trained.images_of(ws=ways, noise_seeds=one)), name
    for asked in ("dog", None):
        ws = trained.ws(seeds, 0.5, classes=asked)
        mixed = np.concatenate([ws[0, :3], ws[1, 3:]])
        got = trained.mix([one], [two], 0.5, classes=asked, layers="3-")
        assert near(got, trained.images_of(ws=[mixed], noise_seeds=one)), asked
        assert not near(got, trained.sample([one], 0.5, classes=asked)), asked
    assert not near(*(trained.mix([one], [two], classes=asked) for asked in ("dog", "cat")))


@pytest.mark.slow
def test_tools_work_with_classes_in_w(styled, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    how = ("--precision", "float32", "--class", "dog", "--truncation", "0.5")
    trained = gan_tf.load(styled.folder)
    walk = ("--seeds", "0,1", "--steps", "2", "--space", "w", "--rows", "--out", "walk.png")
    assert command("interpolate", styled, *walk, *how) == 0
    assert near(read("walk.png")[:, :16], trained.sample([0], 0.5, classes="dog")[0])
    mix = ("--rows", "0", "--columns", "1", "--layers", "2-3", "--out", "mix.png")
    assert command("style-mix", styled, *mix, *how) == 0
    assert near(read("mix.png")[-16:, -16:], trained.mix([0], [1], 0.5, classes="dog", layers="2-3")[0])
    assert command("generate", styled, "--seeds", "3", "--out", "made", *how) == 0
    capsys.readouterr()
    few = ("made/seed-000003.png", "--steps", "2", "--samples", "8", "--restarts", "2", "--distance", "l2")
    for space, asked in (([], ["--class", "dog"]), (["--space", "w+"], []), (["--space", "z"], ["--class", "dog"])):
        assert command("project", styled, *few, *space, *asked) == 0
        found, in_z = np.load("projected/latent.npz"), "z" in space
        assert ("class" in found, "ws" in found) == (in_z, not in_z)
        assert ("class dog" in capsys.readouterr().out) == in_z
        noise = [found[f"noise_{i}"] for i in range(len(trained.generator.noise_shapes))]
        given = {"latents": [found["latent"]], "classes": int(found["class"])} if in_z else {"ws": [found["ws"]]}
        assert near(trained.images_of(noise=noise, **given)[0], read("projected/projected.png"))


def test_the_reports_ways_have_the_class_of_their_first_seed(styled):
    trained = gan_tf.load(styled.folder)
    one, two = seeds_of_two_classes(trained)
    picture = interpolation_strip(trained.generator, pairs=((one, two), (two, one)), columns=2, classes=trained.classes)
    row = picture.shape[0] // 2
    for i, seed in enumerate((one, two)):
        assert near(picture[(i + 1) * row - 16 : (i + 1) * row, :16], trained.sample([seed])[0])


def test_a_search_in_w_starts_from_the_mean_of_the_class_or_of_all(styled):
    trained = gan_tf.load(styled.folder)
    means = [w_statistics(trained.generator, trained.classes, number)[0] for number in (0, 1, 2, None)]
    shares = np.array(conditional.COUNTS) / sum(conditional.COUNTS)
    *means, mean = means
    means = np.stack(means)
    np.testing.assert_allclose(mean, shares @ means, atol=0.1 * np.abs(means[0] - means[1]).max())
    ws = trained.ws(range(64), classes="dog")[:, 0].mean(0)
    assert np.argmin(np.linalg.norm(means - ws, axis=1)) == 1


@pytest.mark.parametrize(
    "name, arguments",
    [
        ("generate", ["--seeds", "0"]),
        ("interpolate", ["--seeds", "0,1", "--steps", "2", "--out", "a.webp"]),
        ("style-mix", ["--rows", "0", "--columns", "1"]),
        ("neighbours", []),
        ("project", ["picture.png", "--distance", "l2"]),
        ("export", ["--format", "saved_model"]),
    ],
)
def test_unknown_classes_and_unconditional_runs_are_refused(
    fastgan, unconditional, tmp_path, capsys, monkeypatch, name, arguments
):
    monkeypatch.chdir(tmp_path)
    for run, words in (
        (fastgan, "--class 'horse' is not a class of this run; choose from 0 cat, 1 dog, 2 7"),
        (unconditional, f"--class horse: {unconditional.folder} is a run of unconditional networks"),
    ):
        assert command(name, run, *arguments, "--class", "horse") == 2
        error = capsys.readouterr().err.strip()
        assert words in error and "\n" not in error


def test_tools_work_with_classes(fastgan, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert command("interpolate", fastgan, "--seeds", "0,1", "--steps", "2", "--out", "a.webp") == 0
    assert command("style-mix", fastgan, "--rows", "0", "--columns", "1,2", "--class", "cat", "--out", "m.png") == 0
    assert "; classes of the rows: cat; classes of the columns: cat, cat" in "".join(Image.open("m.png").text.values())
    rows = ("--rows", "--seeds", "4,5", "--steps", "2", "--class", "dog", "--out", "r.png")
    assert command("interpolate", fastgan, *rows) == 0
    assert "between seeds 4 5; classes of the rows: dog" in "".join(Image.open("r.png").text.values())
    assert command("generate", fastgan, "--count", "6", "--out", "b", "--best", "2", "--by", "discriminator") == 0
    about = list(Image.open(next(tmp_path.glob("b/*.png"))).text.values())[0]
    assert about.startswith("class ") and "; curated: the best 2 of 6" in about
    assert command("generate", fastgan, "--seeds", "3", "--out", "c", "--precision", "float32", "--class", "dog") == 0
    few = ("--steps", "2", "--samples", "8", "--restarts", "2", "--distance", "l2")
    assert command("project", fastgan, "c/seed-000003.png", *few, "--out", "d", "--class", "dog") == 0
    assert "class dog" in capsys.readouterr().out
    found = np.load("d/latent.npz")
    assert found["class"] == 1
    trained = gan_tf.load(fastgan.folder)
    noise = [found[f"noise_{i}"] for i in range(len(trained.generator.noise_shapes))]
    again = trained.images_of(found["latent"][None], noise=noise, classes=int(found["class"]))[0]
    assert np.abs(again.astype(int) - read("d/projected.png")).max() <= 1
    assert command("project", fastgan, "c/seed-000003.png", *few, "--out", "e") == 0
    assert np.load("e/latent.npz")["class"] in (0, 1, 2)


@pytest.mark.parametrize("chosen", [None, "dog"])
def test_an_exported_file_takes_classes_or_has_one(run, tmp_path, capsys, chosen):
    asked = [] if chosen is None else ["--class", chosen]
    report = tmp_path / "report.json"
    arguments = ("--format", "saved_model", "--out", tmp_path / "file", "--report", report, *asked)
    assert command("export", run, *arguments) == 0
    told, said = json.loads(report.read_text()), capsys.readouterr().out
    assert told["largest"] < 1e-3 and told["classes"] == conditional.NAMES and told["class"] == chosen
    names = {one["name"]: one["type"] for one in told["inputs"]}
    assert names.get("labels") == (None if chosen else "int32")
    assert ("all images are of class dog" if chosen else "classes 0 cat, 1 dog, 2 7") in said
    if chosen is None:
        serve = tf.saved_model.load(str(tmp_path / "file")).signatures["serving_default"]
        latents = gan_tf.load(run.folder).latents([1, 1])
        given = {
            spec.name: tf.zeros([2, *spec.shape[1:]], spec.dtype)
            for spec in serve.structured_input_signature[1].values()
        }
        images = serve(**{**given, "latents": tf.constant(latents), "labels": tf.constant([0, 1])})["images"].numpy()
        assert np.abs(images[0] - images[1]).max() > 1e-3


def test_training_needs_two_classes(tmp_path, capsys):
    from tests.training import tiny

    flat = tiny.images_file(tmp_path)
    one = conditional.class_folders(tmp_path / "one", counts=(3,))
    (one / "dog").mkdir()
    for dataset in (flat, one):
        code, _ = tiny.train(dataset, tmp_path / "runs", conditional=True)
        assert code == 2 and "--conditional" in capsys.readouterr().err.splitlines()[-1]
    code, _ = tiny.train(flat, tmp_path / "runs", classes=2)
    assert code == 2 and "--classes" in capsys.readouterr().err


def test_a_run_keeps_its_classes(tmp_path, capsys):
    from tests.training import tiny

    kinds = conditional.class_folders(tmp_path / "kinds")
    code, run = tiny.train(kinds, tmp_path / "runs", conditional=True, total_kimg=0.016)
    said = capsys.readouterr().out
    assert code == 0 and "learns 2 classes; rows of the sample grid: 1-2 cat, 3-4 dog" in said
    config, data = run.read_settings()
    assert config.classes == 2 and data["class_names"] == ["cat", "dog"] and data["class_counts"] == [8, 6]
    assert tiny.train(kinds, tmp_path / "runs", conditional=True, total_kimg=0.02)[0] == 0
    capsys.readouterr()
    assert tiny.train(kinds, tmp_path / "runs", total_kimg=0.02)[0] == 2
    assert "--conditional is False" in capsys.readouterr().err
    (kinds / "7").mkdir()
    (kinds / "cat" / "0.png").rename(kinds / "7" / "0.png")
    assert tiny.train(kinds, tmp_path / "runs", conditional=True, total_kimg=0.02)[0] == 2
    assert "--dataset has 3 classes" in capsys.readouterr().err
    begun = {"run": "begun", "init_from": run.folder, "total_kimg": 0.02}
    assert tiny.train(kinds, tmp_path / "runs", conditional=True, **begun)[0] == 2
    assert "--init-from" in capsys.readouterr().err
    assert tiny.train(kinds, tmp_path / "runs", **begun)[0] == 2
    assert "--conditional is False" in capsys.readouterr().err


@pytest.fixture
def kinds(tmp_path, monkeypatch):
    """A conditional run and its data set of two classes, whose generator makes flat images of their brightness."""
    from gan_tf.cli.datasets import resolve
    from gan_tf.metrics.definitions import METRICS

    monkeypatch.setitem(METRICS, "swd2k", METRICS["swd2k"]._replace(fakes=32))
    folder = conditional.class_folders(tmp_path / "data")
    run = conditional.make_run(tmp_path / "run", classes=2, dataset=str(folder))
    config, _ = run.read_settings()
    data = {"fingerprint": resolve(str(folder), resolution=64, offline=True).fingerprint, "images": 14}
    run.write_settings(config, {**data, "class_names": ["cat", "dog"], "class_counts": [8, 6]})
    return run


def test_evaluate_scores_each_class_against_its_own_images(kinds, tmp_path, capsys):
    assert command("evaluate", kinds, "--metrics", "swd2k", "--per-class", "--json") == 0
    scores = {score["name"]: score for score in json.loads(capsys.readouterr().out)["scores"]}
    assert list(scores) == ["swd2k", "swd2k/cat", "swd2k/dog"]
    protocols = [scores[name]["protocol"] for name in ("swd2k/cat", "swd2k/dog")]
    assert [(p["class"], p["reals"]) for p in protocols] == [("cat", 8), ("dog", 6)]
    assert len({score["protocol"]["reals_key"] for score in scores.values()}) == 3
    assert "class dog" in protocols[1]["fakes_source"] and "class" not in scores["swd2k"]["protocol"]
    assert len({score["value"] for score in scores.values()}) == 3
    stored = json.loads((kinds.evaluation_folder(conditional.SEEN) / "scores.json").read_text())
    assert [score["name"] for score in stored["scores"]] == list(scores)
    assert command("evaluate", kinds, "--metrics", "swd2k", "--per-class") == 0
    assert "swd2k/dog" in capsys.readouterr().out


def test_classes_of_what_has_none_are_not_scored(kinds, unconditional, tmp_path, capsys):
    plain = conditional.class_folders(tmp_path / "others", counts=(4,))
    for target, dataset, words in (
        (unconditional.folder, kinds.folder.parent / "data", "is a run of unconditional networks"),
        (plain, plain, "is not a run"),
        (kinds.folder, plain, "has no class 'cat'"),
    ):
        given = [str(target), "--dataset", str(dataset), "--metrics", "swd2k", "--per-class"]
        assert run_command("evaluate", given) == 2
        assert words in capsys.readouterr().err.strip().splitlines()[-1]
