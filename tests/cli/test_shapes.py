"""Commands on runs whose images are not square, grey or transparent: a tiny Progressive GAN through all of them."""

import json

import numpy as np
import pytest
from PIL import Image

import gan_tf
from tests.training import tiny

KINDS = {  # {kind: (flags, shape of the images)}
    "wide": ({"size": "24x16", "resolution": None, "fit": "pad"}, (16, 24, 3)),
    "rgba": ({"channels": "auto"}, (16, 16, 4)),
    "grey": ({"channels": "grey"}, (16, 16, 1)),
}


@pytest.fixture(scope="module", params=["wide", "rgba", pytest.param("grey", marks=pytest.mark.slow)])
def made(request, tmp_path_factory):
    """(run, its images' shape, dataset) of a short run of each kind."""
    folder = tmp_path_factory.mktemp(request.param)
    flags, shape = KINDS[request.param]
    images = folder / "images.npz"
    np.savez(images, images=tiny.sprites() if request.param == "rgba" else tiny.square_images())
    run = tiny.trained(images, folder, model="pggan", **flags)
    return run, shape, images


def size_and_mode(path):
    with Image.open(path) as image:
        return image.size, image.mode


def test_a_run_writes_grids_and_its_report_in_rgb(made, done):
    run, (height, width, _), _ = made
    assert size_and_mode(run.newest_grid()) == ((8 * width, 8 * height), "RGB")
    done("report", run.folder, "--overwrite")
    assert f"{width}x{height}" in run.report.read_text()


def test_images_have_the_shape_and_channels(made, tmp_path, done):
    run, (height, width, channels), _ = made
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    done("generate", run.folder, "--seeds", "0-5", "--out", tmp_path / "images", "--grid")
    assert size_and_mode(tmp_path / "images/seed-000000.png") == ((width, height), mode)
    assert size_and_mode(tmp_path / "images-grid.png") == ((3 * width, 2 * height), "RGB")
    done("generate", run.folder, "--seeds", "0-5", "--out", tmp_path / "images.npz", "--precision", "float32")
    with np.load(tmp_path / "images.npz") as file:
        images = file["images"]
    np.testing.assert_array_equal(images, gan_tf.load(run.folder).sample(range(6)))
    assert images.shape == (6, height, width, channels)


def test_animations(made, tmp_path, done, refused):
    run, (height, width, channels), _ = made
    for name in ("a.webp", "a.gif", "frames"):
        options = ["--background", "#ff0000"] if channels == 4 and name == "a.gif" else []
        done("interpolate", run.folder, "--seeds", "1,2", "--steps", "3", "--out", tmp_path / name, *options)
    with Image.open(tmp_path / "a.webp") as image:
        assert image.size == (width, height) and image.has_transparency_data == (channels == 4)
    assert size_and_mode(tmp_path / "frames/frame-000000.png")[0] == (width, height)
    with Image.open(tmp_path / "a.gif") as image:
        assert not image.has_transparency_data
    if channels != 4:
        error = refused("interpolate", run.folder, "--background", "red", "--out", tmp_path / "b.gif")
        assert error.startswith("--background is 'red', but")
    done("progress", run.folder, "--out", tmp_path / "progress.webp")


def test_scores_name_the_size_and_the_channels(made, tmp_path, done, refused):
    run, (height, width, channels), _ = made
    metrics = "precision_recall-pixels,memorisation"
    done("evaluate", run.folder, "--metrics", metrics, "--out", tmp_path, "--which", "last")
    protocol = json.loads((tmp_path / "scores.json").read_text())["scores"][0]["protocol"]
    assert protocol["resolution"] == (height if height == width else f"{width}x{height}")
    assert protocol.get("channels") == {1: "grey", 3: None, 4: "rgba"}[channels]
    other = "rgb" if channels == 4 else "rgba"
    assert f"--channels is {other}, but the run" in refused("evaluate", run.folder, "--channels", other)


def test_an_image_is_projected(made, tmp_path, done):
    run, (height, width, _), images = made
    with np.load(images) as file:
        Image.fromarray(file["images"][0]).save(tmp_path / "one.png")
    options = ["--distance", "l2", "--steps", "2", "--samples", "4", "--restarts", "1"]
    done("project", run.folder, tmp_path / "one.png", *options, "--out", tmp_path / "found")
    assert size_and_mode(tmp_path / "found/projected.png")[0] == (width, height)
    assert size_and_mode(tmp_path / "found/side-by-side.png") == ((2 * width, height), "RGB")


def test_fits_are_undone(made, tmp_path, done, refused):
    run, shape, _ = made
    arguments = [str(run.folder), "--seeds", "0", "--out", str(tmp_path / "images"), "--undo-fit", "64x64"]
    if shape[1] == 24:
        done("generate", *arguments)
        assert size_and_mode(tmp_path / "images/seed-000000.png") == ((64, 64), "RGB")
        original = ["--seeds", "1", "--undo-fit", "original", "--out", tmp_path / "original.npz"]
        done("generate", run.folder, *original)
        with np.load(tmp_path / "original.npz") as file:
            assert file["images"].shape == (1, 64, 64, 3)
        assert "--undo-fit" in refused("generate", *arguments, "--best", "1")
    else:
        assert "--undo-fit is 64x64" in refused("generate", *arguments)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--size", "96x64", "--resolution", "128"], "--size 96x64 and --resolution 128: leave one of them out"),
        (["--size", "100x60"], "--size is 100x60; give one of the nearest possible sizes"),
        (["--channels", "rgba"], "12 of 12 images of"),
        (
            ["--model", "stylegan2", "--init-from", "ffhq256", "--channels", "grey"],
            "--channels is 'grey', but --init-from",
        ),
        (["--channels", "rgba", "--background", "red"], "--background is 'red'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(flags, message, tmp_path, refused):
    images = tiny.images_file(tmp_path)
    assert message in refused("train", "--dataset", images, "--checkpoints", tmp_path / "runs", *flags)


def test_a_set_that_mixes_sprites_and_opaque_images_is_refused(tmp_path, refused):
    images = tiny.sprites()
    images[[3, 7], ..., 3] = 255
    np.savez(tmp_path / "mixed.npz", images=images, names=[f"{i}.png" for i in range(12)])
    flags = ["--dataset", tmp_path / "mixed.npz", "--checkpoints", tmp_path / "runs", "--resolution", "64"]
    for channels in ("rgba", "auto"):
        error = refused("train", *flags, "--channels", channels)
        assert "2 of 12 images of" in error and "such as 3.png; remove them, or give --channels rgb" in error


def test_other_shapes_than_those_of_the_run_are_refused(tmp_path, capsys):
    images = tiny.images_file(tmp_path)
    tiny.trained(images, tmp_path, model="pggan", total_kimg=0.008)
    for changes in ({"channels": "grey"}, {"size": "24x16"}):
        name, value = next(iter(changes.items()))
        assert tiny.train(images, tmp_path, model="pggan", **changes)[0] == 2
        assert f"--{name} is '{value}' and was" in capsys.readouterr().err
        assert tiny.train(images, tmp_path, model="pggan", run="next", init_from=tmp_path / "tiny", **changes)[0] == 2
        assert f"--{name} is '{value}'" in capsys.readouterr().err
