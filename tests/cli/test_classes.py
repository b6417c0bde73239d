"""Class labels in the commands and the API: requested, drawn from seeds, reported, and errors."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_tf
from docs.make_commands import help_of
from gan_tf.cli.datasets import resolve
from gan_tf.cli.main import COMMANDS
from gan_tf.errors import UsageError
from gan_tf.io.image_files import read_png
from gan_tf.metrics.definitions import METRICS
from gan_tf.sampling.interpolate import interpolation_strip
from gan_tf.sampling.project import w_statistics
from tests import conditional
from tests.training import tiny

FLOAT32 = ("--precision", "float32")
FEW = ("--steps", 2, "--samples", 8, "--restarts", 2, "--distance", "l2")


@pytest.fixture(scope="module", params=list(conditional.SIZES))
def run(request, tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / request.param, request.param)


@pytest.fixture(scope="module")
def fastgan(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "kinds")


@pytest.fixture(scope="module")
def styled(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "styled", "stylegan2")


@pytest.fixture(scope="module")
def unconditional(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "plain", conditional=False, classes=0)


def description(path):
    return Image.open(path).text["Description"]


def near(images, others):
    return np.abs(images.astype(int) - others).max() <= 1


def seeds_of_two_classes(trained):
    """Two seeds that draw different classes."""
    labels = trained.classes.of_seeds(range(32))
    return 0, int(np.flatnonzero(labels != labels[0])[0])


def test_generate_draws_classes_by_seed_or_takes_class(run, tmp_path, done):
    def images(name, *arguments):
        done("generate", run.folder, *arguments, "--out", tmp_path / name, *FLOAT32)
        return [read_png(path) for path in sorted((tmp_path / name).iterdir())]

    drawn = images("drawn", "--seeds", "0-11")
    names = [description(path).removeprefix("class ") for path in sorted((tmp_path / "drawn").iterdir())]
    labels = gan_tf.load(run.folder).classes.of_seeds(range(12))
    assert names == [conditional.NAMES[label] for label in labels] and len(set(names)) > 1
    for i in (0, 5):
        [image] = images(str(i), "--seeds", i, "--class", names[i])
        assert near(image, drawn[i])
    other = next(name for name in conditional.NAMES if name != names[0])
    [image] = images("other", "--seeds", 0, "--class", other)
    assert not near(image, drawn[0])


def test_the_api_takes_classes(run):
    trained = gan_tf.load(run.folder)
    assert trained.classes.names == tuple(conditional.NAMES)
    cat = trained.sample([1, 2], classes="cat")
    np.testing.assert_array_equal(trained.sample([1, 2], classes=0), cat)
    mixed = trained.sample([1, 2], classes=["cat", "dog"])
    assert near(mixed[0], cat[0]) and not near(mixed[1], cat[1])
    assert near(trained.images_of(trained.latents([1, 2]), [1, 2], classes="cat"), cat)
    assert near(trained.interpolate([1, 2], steps=2, classes="cat")[0], cat[0])
    for classes in ("horse", ["cat"]):
        with pytest.raises(UsageError, match="classes"):
            trained.sample([1, 2], classes=classes)


@pytest.mark.slow
def test_styles_include_their_classes(styled):
    trained = gan_tf.load(styled.folder)
    seeds = seeds_of_two_classes(trained)
    drawn = [trained.classes.names[label] for label in trained.classes.of_seeds(seeds)]
    np.testing.assert_allclose(trained.ws(seeds), trained.ws(seeds, classes=drawn), rtol=1e-5)
    cat, dog = (trained.ws(seeds, classes=name) for name in ("cat", "dog"))
    assert cat.shape == (2, 6, 16) and np.abs(cat - dog).max() > 0.1
    for psi in (1.0, 0.5):
        ws = trained.ws(seeds, psi, classes="dog")
        mean = trained.ws(range(2000), classes="dog").mean(axis=0)  # of the class
        np.testing.assert_allclose(ws, mean + psi * (dog - mean), atol=0.05 * np.abs(cat - dog).max())
        expected = trained.sample(seeds, psi, classes="dog")
        assert near(trained.images_of(ws=ws, noise_seeds=seeds), expected)
        assert not near(trained.sample(seeds, psi, classes="cat"), expected)
        assert near(trained.sample(seeds, psi), trained.sample(seeds, psi, classes=drawn))
    with pytest.raises(UsageError, match="classes are dog"):
        trained.images_of(ws=dog, classes="dog")


@pytest.mark.slow
def test_interpolations_and_mixtures_of_styles_have_classes(styled):
    trained = gan_tf.load(styled.folder)
    one, two = seeds = seeds_of_two_classes(trained)
    first = trained.classes.names[trained.classes.of_seeds([one])[0]]
    for classes, name in (("dog", "dog"), (None, first)):
        frames = trained.interpolate(seeds, 2, truncation=0.5, classes=classes, space="w")
        ws = trained.ws(seeds, 0.5, classes=name)
        path = np.stack([ws[0], ws.mean(0), ws[1]])
        assert near(frames, trained.images_of(ws=path, noise_seeds=one)), name
    for classes in ("dog", None):
        ws = trained.ws(seeds, 0.5, classes=classes)
        mixed = trained.mix([one], [two], 0.5, classes=classes, layers="3-")
        assert near(mixed, trained.images_of(ws=[np.concatenate([ws[0, :3], ws[1, 3:]])], noise_seeds=one)), classes
        assert not near(mixed, trained.sample([one], 0.5, classes=classes)), classes
    assert not near(*(trained.mix([one], [two], classes=classes) for classes in ("dog", "cat")))


@pytest.mark.slow
def test_commands_with_classes_in_w(styled, tmp_path, done, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dog = (*FLOAT32, "--class", "dog", "--truncation", "0.5")
    trained = gan_tf.load(styled.folder)
    rows = ("--seeds", "0,1", "--steps", 2, "--space", "w", "--rows", "--out", "walk.png")
    done("interpolate", styled.folder, *rows, *dog)
    assert near(read_png("walk.png")[:, :16], trained.sample([0], 0.5, classes="dog")[0])
    mix = ("--rows", 0, "--columns", 1, "--layers", "2-3", "--out", "mix.png")
    assert "in the layers 2,3" in done("style-mix", styled.folder, *mix, *dog).out
    assert near(read_png("mix.png")[-16:, -16:], trained.mix([0], [1], 0.5, classes="dog", layers="2-3")[0])
    done("generate", styled.folder, "--seeds", 3, "--out", "made", *dog)
    search = ("project", styled.folder, "made/seed-000003.png", *FEW, "--class", "dog", "--overwrite")
    for space, arguments in (("w", []), ("w+", ["--space", "w+"]), ("z", ["--space", "z"])):
        printed = done(*search, *arguments).out
        found = np.load("projected/seed-000003/latent.npz")
        noise = [found[f"noise_{i}"] for i in range(len(trained.generator.noise_shapes))]
        if space == "z":
            assert "ws" not in found and "class dog" in printed and "length of the latent" in printed
            given = {"latents": [found["latent"]], "classes": int(found["class"])}
        else:
            assert "class" not in found and f"distance of {space} from the mean w" in printed
            given = {"ws": [found["ws"]]}
            assert found["ws"].shape == (6, 16) and (found["ws"] == found["ws"][:1]).all() == (space == "w")
        assert near(trained.images_of(noise=noise, **given)[0], read_png("projected/seed-000003/projected.png"))


def test_interpolations_of_the_report_have_the_class_of_their_first_seed(styled):
    trained = gan_tf.load(styled.folder)
    one, two = seeds_of_two_classes(trained)
    strip = interpolation_strip(trained.generator, pairs=((one, two), (two, one)), columns=2, classes=trained.classes)
    for row, seed in zip(np.split(strip, 2), (one, two), strict=True):
        assert near(row[-16:, :16], trained.sample([seed])[0])


def test_a_search_in_w_starts_from_the_mean_of_the_class_or_of_all(styled):
    trained = gan_tf.load(styled.folder)
    *means, mean = [w_statistics(trained.generator, trained.classes, number)[0] for number in (0, 1, 2, None)]
    shares = np.array(conditional.COUNTS) / sum(conditional.COUNTS)
    means = np.stack(means)
    np.testing.assert_allclose(mean, shares @ means, atol=0.1 * np.abs(means[0] - means[1]).max())
    ws = trained.ws(range(64), classes="dog")[:, 0].mean(0)
    assert np.argmin(np.linalg.norm(means - ws, axis=1)) == 1


TAKING_CLASSES = {
    "generate": ["--seeds", "0"],
    "interpolate": ["--seeds", "0,1", "--steps", "2", "--out", "a.webp"],
    "style-mix": ["--rows", "0", "--columns", "1"],
    "neighbours": [],
    "project": ["image.png", "--distance", "l2"],
    "export": ["--format", "saved_model"],
}


@pytest.mark.parametrize("name", TAKING_CLASSES)
def test_unknown_classes_and_unconditional_runs_are_rejected(fastgan, unconditional, refused, name):
    for run, message in ((fastgan, "0 cat, 1 dog, 2 7"), (unconditional, str(unconditional.folder))):
        error = refused(name, run.folder, *TAKING_CLASSES[name], "--class", "horse")
        assert "--class" in error and "horse" in error and message in error


def test_every_command_with_class_prints_its_name(fastgan, output_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (64, 64)).save("image.png")
    assert TAKING_CLASSES.keys() == {name for name in COMMANDS if "--class " in help_of(name)}
    for name, arguments in TAKING_CLASSES.items():
        more = FEW if name == "project" else ()
        code = 2 if name == "neighbours" else 0  # this run has no training images
        printed = output_of(code, name, fastgan.folder, *arguments, *more, "--class", 1)
        assert "class: dog\n" in printed.out + printed.err, name


def test_mixed_styles_keep_the_classes_of_their_seeds(fastgan, unconditional):
    trained = gan_tf.load(fastgan.folder)
    assert near(trained.mix([1], [1], classes="dog"), trained.sample([1], classes="dog"))
    with pytest.raises(UsageError, match="classes"):
        gan_tf.load(unconditional.folder).mix([1], [1], classes="dog")


def test_commands_with_classes(fastgan, tmp_path, done, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done("style-mix", fastgan.folder, "--rows", 0, "--columns", "1,2", "--class", "cat", "--out", "m.png")
    assert "; classes of the rows: cat; classes of the columns: cat, cat" in description("m.png")
    rows = ("--rows", "--seeds", "4,5", "--steps", 2, "--class", "dog", "--out", "r.png")
    done("interpolate", fastgan.folder, *rows)
    assert "between seeds 4 5; classes of the rows: dog" in description("r.png")
    done("generate", fastgan.folder, "--count", 6, "--out", "b", "--best", 2, "--by", "discriminator")
    about = description(next(tmp_path.glob("b/*.png")))
    assert about.startswith("class ") and "; curated: the best 2 of 6" in about
    done("generate", fastgan.folder, "--seeds", 3, "--out", "c", *FLOAT32, "--class", "dog")
    search = ("project", fastgan.folder, "c/seed-000003.png", *FEW, "--out")
    assert "class dog" in done(*search, "d", "--class", "dog").out
    found = np.load("d/latent.npz")
    assert found["class"] == 1 and found["class_name"] == "dog"
    trained = gan_tf.load(fastgan.folder)
    noise = [found[f"noise_{i}"] for i in range(len(trained.generator.noise_shapes))]
    assert near(trained.images_of([found["latent"]], noise=noise, classes=1)[0], read_png("d/projected.png"))
    done(*search, "e")
    assert np.load("e/latent.npz")["class"] in (0, 1, 2)


def test_truncation_0_of_fastgan_keeps_the_class(fastgan):
    trained = gan_tf.load(fastgan.folder)
    cats, dogs = (trained.sample([1, 2], 0, classes=name) for name in ("cat", "dog"))
    assert not near(cats, dogs) and not near(cats, trained.sample([1, 2], classes="cat"))
    np.testing.assert_array_equal(cats[0], trained.images_of(np.zeros((1, trained.latent_size)), 1, classes="cat")[0])


@pytest.mark.parametrize("name", [None, "dog"])
def test_an_exported_file_takes_classes_or_has_one(run, tmp_path, done, name):
    path, out = tmp_path / "report.json", tmp_path / "file"
    chosen = [] if name is None else ["--class", name]
    printed = done("export", run.folder, "--format", "saved_model", "--out", out, "--report", path, *chosen).out
    report = json.loads(path.read_text())
    assert report["largest"] < 1e-3 and report["classes"] == conditional.NAMES and report["class"] == name
    types = {spec["name"]: spec["type"] for spec in report["inputs"]}
    assert types.get("labels") == (None if name else "int32")
    assert ("all images are of class dog" if name else "classes 0 cat, 1 dog, 2 7") in printed
    if name is None:
        serve = tf.saved_model.load(str(out)).signatures["serving_default"]
        specs = serve.structured_input_signature[1].values()
        inputs = {spec.name: tf.zeros([2, *spec.shape[1:]], spec.dtype) for spec in specs}
        latents = tf.constant(gan_tf.load(run.folder).latents([1, 1]))
        images = serve(**{**inputs, "latents": latents, "labels": tf.constant([0, 1])})["images"].numpy()
        assert np.abs(images[0] - images[1]).max() > 1e-3


def test_training_needs_two_classes(dataset, tmp_path, refused):
    one = conditional.class_folders(tmp_path / "one", counts=(3,))
    (one / "dog").mkdir()
    for images, *changes in ((dataset, "--conditional"), (one, "--conditional"), (dataset, "--classes", 2)):
        assert changes[0] in refused("train", *tiny.arguments(images, tmp_path / "runs"), *changes)
    (one / "dataset.json").write_text('{"labels": null}')
    error = refused("train", *tiny.arguments(one, tmp_path / "runs"), "--conditional")
    assert "dataset.json has no labels" in error and error.endswith("or leave out --conditional")


def test_a_run_keeps_its_classes(tmp_path, capsys):
    kinds = conditional.class_folders(tmp_path / "kinds")

    def train(**changes):
        return tiny.train(kinds, tmp_path / "runs", **{"total_kimg": 0.02, **changes})

    code, run = train(conditional=True, total_kimg=0.016)
    assert code == 0 and "rows of the sample grid: 1-2 cat, 3-4 dog" in capsys.readouterr().out
    config, data = run.read_settings()
    assert config.classes == 2 and data["class_names"] == ["cat", "dog"] and data["class_counts"] == [8, 6]
    other_order = {"class_names": ["dog", "cat"], "class_counts": [6, 8]}  # as by an earlier version
    run.write_settings(config, data | other_order)
    assert train(conditional=True)[0] == 0
    assert "rows of the sample grid: 1-2 dog, 3-4 cat" in capsys.readouterr().out
    assert run.read_settings()[1] == data | other_order
    dry = {"conditional": True, "run": "next", "init_from": run.folder, "dry_run": True}
    assert train(**dry)[0] == 0
    assert "rows of the sample grid: 1-2 dog, 3-4 cat" in capsys.readouterr().out
    assert train()[0] == 2
    assert "--conditional is False" in capsys.readouterr().err
    (kinds / "7").mkdir()
    (kinds / "cat" / "0.png").rename(kinds / "7" / "0.png")
    begun = {"run": "begun", "init_from": run.folder}
    for changes, flag in (
        ({"conditional": True}, "--dataset has 3 classes"),
        ({"conditional": True, **begun}, "--init-from"),
        (begun, "--conditional is False"),
    ):
        assert train(**changes)[0] == 2
        assert flag in capsys.readouterr().err


@pytest.fixture
def kinds(tmp_path, monkeypatch):
    """A conditional run and its dataset of two classes, whose generator makes flat images of their brightness."""
    monkeypatch.setitem(METRICS, "swd2k", METRICS["swd2k"]._replace(fakes=32))
    folder = conditional.class_folders(tmp_path / "data")
    run = conditional.make_run(tmp_path / "run", classes=2, dataset=str(folder))
    config, _ = run.read_settings()
    data = {"fingerprint": resolve(str(folder), size=(64, 64), offline=True).fingerprint, "images": 14}
    run.write_settings(config, {**data, "class_names": ["cat", "dog"], "class_counts": [8, 6]})
    return run


def test_evaluate_scores_each_class_against_its_own_images(kinds, done):
    command = ("evaluate", kinds.folder, "--metrics", "swd2k", "--per-class")
    scores = {score["name"]: score for score in json.loads(done(*command, "--json").out)["scores"]}
    assert list(scores) == ["swd2k", "swd2k/cat", "swd2k/dog"]
    protocols = [scores[name]["protocol"] for name in ("swd2k/cat", "swd2k/dog")]
    assert [(p["class"], p["reals"]) for p in protocols] == [("cat", 8), ("dog", 6)]
    assert len({score["protocol"]["reals_key"] for score in scores.values()}) == 3
    assert "class dog" in protocols[1]["fakes_source"] and "class" not in scores["swd2k"]["protocol"]
    assert len({score["value"] for score in scores.values()}) == 3
    stored = json.loads((kinds.evaluation_folder(conditional.SEEN) / "scores.json").read_text())
    assert [score["name"] for score in stored["scores"]] == list(scores)
    assert "swd2k/dog" in done(*command).out


def test_labels_of_the_dataset_replace_its_folders(kinds, done):
    config, data = kinds.read_settings()
    source = resolve(config.dataset, size=(64, 64))
    labels = {"labels": [[name, int(i > 4)] for i, name in enumerate(source.names)], "class_names": data["class_names"]}
    command = ("evaluate", kinds.folder, "--metrics", "swd2k", "--per-class", "--json")
    for started, counts in (("folders", [8, 6]), ("labels", [5, 9])):  # the first by an earlier version
        (source.folder / "dataset.json").write_text(json.dumps(labels))
        if started == "labels":
            labelled = resolve(config.dataset, size=(64, 64))
            labelled.read_label_file()
            kinds.write_settings(config, {**data, "fingerprint": labelled.fingerprint})
        _, *scores = json.loads(done(*command).out)["scores"]
        assert [score["protocol"]["reals"] for score in scores] == counts


def test_targets_without_classes_are_not_scored_by_class(kinds, unconditional, tmp_path, refused):
    plain = conditional.class_folders(tmp_path / "others", counts=(4,))
    for target, dataset in ((unconditional.folder, tmp_path / "data"), (plain, plain), (kinds.folder, plain)):
        error = refused("evaluate", target, "--dataset", dataset, "--metrics", "swd2k", "--per-class")
        assert "--per-class" in error
