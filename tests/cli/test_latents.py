"""`gan-tf generate --latents`: the images that the web app has exported."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import gan_tf
from gan_tf.cli.main import run_command
from gan_tf.data.class_labels import UNCONDITIONAL, ClassLabels
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.image_files import read_png
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables, weights_digest
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.latents_file import MAX_IMAGES, checked_images, read_latents_file
from tests import conditional
from tests.sampling.trained import difference, write_run

SEEDS, OTHERS = [3, 2**63 - 1, 11], [5, 8, 9]
FLOAT32 = ("--precision", "float32")


QUICK = [("fastgan", 3), ("pggan", 0), ("stylegan2", 3)]
SLOW = [("fastgan", 0), ("pggan", 3), ("stylegan2", 0)]


@pytest.fixture(scope="module", params=[*QUICK, *(pytest.param(one, marks=pytest.mark.slow) for one in SLOW)])
def run(request, tmp_path_factory):
    """A run of each family, without and with classes."""
    model, classes = request.param
    config = conditional.settings(model, classes=classes, conditional=bool(classes))
    g = FAMILIES[model].generator(config, "float32")
    conditional.ready(g)
    for name, variable in named_variables(g).items():
        if name.startswith("excitations") and name.endswith("/u"):
            variable.assign(variable / 10)  # images of different styles differ visibly: the kernel is divided by a norm
    names, counts = (conditional.NAMES, conditional.COUNTS) if classes else ([], [])
    folder = tmp_path_factory.mktemp("runs") / f"{model}-{classes}"
    return write_run(folder, config, g, images=12, class_names=names, class_counts=counts)


@pytest.fixture
def generated(run, tmp_path, done):
    """Function that runs `generate --latents`, and returns (images [N, R, R, 3], descriptions, printed text)."""

    def generate(content):
        (tmp_path / "a.json").write_text(json.dumps(content))
        out = tmp_path / "out"
        printed = done("generate", run.folder, "--latents", tmp_path / "a.json", "--out", out, "--overwrite", *FLOAT32)
        paths = sorted(out.iterdir())
        assert [path.name for path in paths] == [f"seed-{i:06d}.png" for i in range(len(content["images"]))]
        return np.stack(list(map(read_png, paths))), [Image.open(path).text["Description"] for path in paths], printed

    return generate


def saved(run, trained, truncations, styles=()):
    """The content of a file with the images of SEEDS; `styles`: (seed, layers) or None for each."""
    model = {"name": "a", "family": trained.config.model, "weights": weights_digest(load_generator(run).generator)}
    images = []
    for seed, truncation, style in zip(SEEDS, truncations, [*styles, None, None, None], strict=False):
        image = {"seed": str(seed), **source(trained, seed), "truncation": truncation, "style": None}
        if style is not None:
            image["style"] = {**source(trained, style[0]), "layers": style[1]}
        images.append(image)
    return {"format": "gan_tf latents", "version": 1, "model": model, "images": images}


def source(trained, seed):
    name = trained.classes.names[trained.classes.of_seeds([seed])[0]] if trained.classes else None
    return {"latent": trained.latents([seed])[0].tolist(), "noise_seed": str(seed), "class": name}


def test_the_latent_of_a_seed_gives_its_image(run, generated, tmp_path, done):
    trained = gan_tf.load(run.folder)
    images, descriptions, printed = generated(saved(run, trained, [1, 1.0, 1]))
    seeds = ",".join(map(str, SEEDS))
    done("generate", run.folder, "--seeds", seeds, "--out", tmp_path / "seeds", *FLOAT32)
    expected = [read_png(tmp_path / "seeds" / f"seed-{seed:06d}.png") for seed in SEEDS]
    assert difference(images, expected) <= 1 and difference(images[0], images[1]) > 5
    assert "other weights" not in printed.out
    for seed, text in zip(SEEDS, descriptions, strict=True):
        name = source(trained, seed)["class"]
        assert text == (f"seed {seed}; class {name}" if name else f"seed {seed}")


def test_each_image_has_its_truncation_and_style(run, generated, refused, tmp_path):
    trained = gan_tf.load(run.folder)
    if trained.config.model == "pggan":
        for content in (saved(run, trained, [1, 0.7, 1]), saved(run, trained, [1, 1, 1], [(5, [0])])):
            (tmp_path / "a.json").write_text(json.dumps(content))
            assert "images[" in refused("generate", run.folder, "--latents", tmp_path / "a.json")
        return
    psi = [1, 0.7, -0.5]
    images, descriptions, _ = generated(saved(run, trained, psi))
    plain = [trained.sample([seed], each)[0] for seed, each in zip(SEEDS, psi, strict=True)]
    assert difference(images, plain) <= 1
    assert descriptions[1].endswith("truncation 0.7")
    layers = [0] if trained.config.model == "fastgan" else [1, 4, 5]
    images, descriptions, _ = generated(saved(run, trained, psi, [(OTHERS[0], layers), None, (OTHERS[2], layers)]))
    text = None if trained.config.model == "fastgan" else ",".join(map(str, layers))
    for i in (0, 2):
        mixed = trained.mix([SEEDS[i]], [OTHERS[i]], psi[i], layers=text)[0]
        assert difference(images[i], mixed) <= 1 and difference(images[i], plain[i]) > 5
    assert difference(images[1], plain[1]) <= 1
    assert descriptions[0].endswith(f"style of another image in the layers {','.join(map(str, layers))}")


@pytest.fixture(scope="module")
def fast(tmp_path_factory):
    return conditional.make_run(tmp_path_factory.mktemp("runs") / "fast")


def test_an_interrupted_command_continues_with_the_same_file_only(fast, tmp_path, done, refused, monkeypatch):
    content = saved(fast, gan_tf.load(fast.folder), [1, 1, 1])
    content["model"]["weights"] = "0" * 64
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    command = ["generate", fast.folder, "--latents", path, "--batch-size", 2, *FLOAT32, "--out"]
    assert f"{path} was made with other weights" in done(*command, tmp_path / "whole").out
    to_uint8, batches = image_files.to_uint8, []

    def interrupt(images):
        if batches:
            raise KeyboardInterrupt
        batches.append(images)
        return to_uint8(images)

    with monkeypatch.context() as patch:
        patch.setattr("gan_tf.io.image_files.to_uint8", interrupt)
        assert run_command("generate", [*map(str, command[1:]), str(tmp_path / "out")]) == 42
    content["images"].reverse()
    (tmp_path / "b.json").write_text(json.dumps(content))
    assert "(--latents)" in refused(*command, tmp_path / "out", "--latents", tmp_path / "b.json")
    assert "2 of 3 images exist" in done(*command, tmp_path / "out").out
    for file in (tmp_path / "whole").iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()


def test_other_options_and_files_are_refused(fast, tmp_path, refused):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(saved(fast, gan_tf.load(fast.folder), [1, 1, 1])))
    options = (("--seeds", "1"), ("--count", "2"), ("--best", "1"), ("--truncation", "0.5"), ("--class", "cat"))
    for option in options:
        error = refused("generate", fast.folder, "--latents", path, *option)
        assert error.startswith(f"{option[0]} is {option[1]}") and "--latents" in error
    for missing in (tmp_path / "missing.json", tmp_path):
        assert f"--latents {missing}" in refused("generate", fast.folder, "--latents", missing)
    path.write_text("{")
    assert f"--latents {path} cannot be read" in refused("generate", fast.folder, "--latents", path)


# Of one image of a generator with classes and six layers.
IMAGE = {"seed": "1", "latent": [0.5, 1, -2], "noise_seed": "1", "class": "cat", "truncation": 0.5}
IMAGE |= {"style": {"latent": [0, 0, 1], "noise_seed": "2", "class": "dog", "layers": [0, 5]}}
MODEL = {"name": "a", "family": "stylegan2", "weights": "0"}
CONTENT = {"format": "gan_tf latents", "version": 1, "model": MODEL, "images": [IMAGE]}
STYLED = SimpleNamespace(latent_size=3, mapping=SimpleNamespace(copies=6))


def read(path, content, family="stylegan2", classes=("cat", "dog")):
    path.write_text(json.dumps(content))
    labels = ClassLabels(tuple(classes), (1,) * len(classes)) if classes else UNCONDITIONAL
    trained = SimpleNamespace(config=SimpleNamespace(model=family, up_blocks="alternating"), classes=labels)
    return checked_images(read_latents_file(path), trained, STYLED, "runs/a")


def test_a_file_is_read_into_arrays(tmp_path):
    images = read(tmp_path / "a.json", CONTENT)
    np.testing.assert_array_equal(images.content[0], np.float32([[0.5, 1, -2]]))
    assert [values.tolist() for values in images.style] == [[[0, 0, 1]], [2], [1]]
    assert images.replaced.tolist() == [[True, False, False, False, False, True]] and images.truncation == [0.5]
    assert images.descriptions == ("seed 1; class cat; truncation 0.5; style of another image in the layers 0,5",)
    own = read(tmp_path / "a.json", {**CONTENT, "images": [{**IMAGE, "style": None, "seed": None, "truncation": 1}]})
    tf.nest.map_structure(np.testing.assert_array_equal, own.style, own.content)
    assert not own.replaced.any() and own.descriptions == ("class cat",)


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("format", "gan_tf site", "'gan_tf site'"),
        ("format", None, "None"),
        ("version", 2, "version 2"),
        ("version", True, "version True"),
        ("model", [], "model"),
        ("model.family", "pggan", "pggan"),
        ("model.weights", 5, "model.weights"),
        ("images", [], "0 images"),
        ("images", [IMAGE] * (MAX_IMAGES + 1), f"{MAX_IMAGES + 1} images"),
        ("images", [1], "images"),
        ("images.0.seed", 12, "images[0].seed"),
        ("images.0.seed", "-1", "images[0].seed"),
        ("images.0.noise_seed", str(2**63), "images[0].noise_seed"),
        ("images.0.noise_seed", None, "images[0].noise_seed"),
        ("images.0.latent", [1, 2], "has 2 numbers"),
        ("images.0.latent", "abc", "images[0].latent"),
        ("images.0.latent.1", float("nan"), "images[0].latent[1] is nan"),
        ("images.0.latent.2", float("inf"), "images[0].latent[2] is inf"),
        ("images.0.latent.2", 10**400, "images[0].latent[2]"),
        ("images.0.latent.0", True, "images[0].latent[0]"),
        ("images.0.class", "horse", "images[0].class 'horse'"),
        ("images.0.class", None, "images[0].class"),
        ("images.0.truncation", 2.5, "images[0].truncation"),
        ("images.0.truncation", float("nan"), "images[0].truncation"),
        ("images.0.truncation", None, "images[0].truncation"),
        ("images.0.style", [], "images[0].style"),
        ("images.0.style.latent", [1], "images[0].style.latent"),
        ("images.0.style.class", "x", "images[0].style.class"),
        ("images.0.style.layers", [6], "images[0].style.layers"),
        ("images.0.style.layers", [-1], "images[0].style.layers"),
        ("images.0.style.layers", ["0"], "images[0].style.layers"),
    ],
)
def test_wrong_content_is_refused(tmp_path, place, value, message):
    content = json.loads(json.dumps(CONTENT))
    *inside, last = place.split(".")
    holder = content
    for name in inside:
        holder = holder[int(name) if isinstance(holder, list) else name]
    holder[int(last) if isinstance(holder, list) else last] = value
    path = tmp_path / "a.json"
    with pytest.raises(UsageError) as caught:
        read(path, content)
    assert message in str(caught.value) and f"--latents {path}" in str(caught.value) and str(caught.value).isprintable()


def test_a_class_of_a_run_without_classes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no classes"):
        read(tmp_path / "a.json", CONTENT, classes=())
