"""Exported files: their images are those of the trained generator, their metadata describe them."""

import dataclasses
import functools
import json
import tempfile
import time

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.export import FORMATS, comparison, network
from gan_tf.export.formats import tflite_runner
from gan_tf.export.network import ExportSettings
from gan_tf.io.image_files import to_uint8

from .. import conditional
from ..sampling import trained as networks
from .test_parts import trained_fastgan, wide_stylegan2

for needed in ("onnxruntime", "tf2onnx"):
    pytest.importorskip(needed, reason=f"needs {needed}")

SEEDS = [5, 2, 9]
DYNAMIC = [("fastgan", "constant"), ("fastgan", "input"), ("pggan in a fade", "none"), ("stylegan2", "constant")]


def trained_rgba():
    trained = trained_fastgan(dataclasses.replace(networks.CONFIG, size="96x64", channels="rgba"))
    conditional.ready(trained.generator)
    norm = trained.generator.blocks[-1].norm
    norm.gamma.assign(0.25 * norm.gamma)  # noise is visible enough
    return trained


FAMILIES = {
    "fastgan": networks.trained_fastgan,
    "pggan": networks.trained_pggan,
    "pggan with batch norm": lambda: networks.trained_pggan(batch_norm=True),
    "pggan in a fade": lambda: networks.trained_pggan(2.5),
    "pggan at 4x4": lambda: networks.trained_pggan(0.0),
    "stylegan2": networks.trained_stylegan2,
    "rgba fastgan": trained_rgba,
    "grey pggan": lambda: networks.trained_pggan(size="48x32", channels="grey"),
    "wide stylegan2": wide_stylegan2,
}
# Largest and mean difference from the generator as it was trained, of values in [-1, 1]. A step of a byte is 0.0078.
BOUNDS = {"float32": (1e-4, 1e-5), "float16": (0.01, 0.001), "int8": (0.15, 0.015)}
SAVED = {"float16": 0.45, "int8": 0.65}  # least share of the bytes of kernels


@functools.cache
def made(family):
    """Returns the TrainedGenerator of a key of FAMILIES."""
    return FAMILIES[family]()


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function from (format, family, ExportSettings) to (path, run function, metadata) of a file, written once."""

    @functools.cache
    def make(form, family, settings):
        path = tmp_path_factory.mktemp("export") / "file"
        return path, *write(form, made(family), settings, path)

    return make


def write(form, trained, settings, path):
    """Writes a file. Returns (its run function, its metadata)."""
    described = network.describe(
        trained,
        network.folded(trained, network.UNCOMPILED),
        settings,
        format_name=form,
        which="best",
        scores={"score": dataclasses.asdict(networks.SCORE), "final": None},
    )
    FORMATS[form].write(trained, settings, described, path)
    return FORMATS[form].open(path), described


def expected(trained, settings, seeds=SEEDS):
    """(inputs, images) of the trained generator itself: not folded, one operation after the other."""
    g = trained.generator
    latents = rng.latents_of_seeds(seeds, g.latent_size)
    noise = rng.noise_of_seeds(seeds, g.noise_shapes)
    inputs = [latents, *noise] if settings.noise == "input" else [latents]
    if settings.noise == "constant":
        noise = [tf.repeat(one, len(seeds), 0) for one in rng.noise_of_seeds([settings.noise_seed], g.noise_shapes)]
    if trained.config.model == "fastgan":
        images = g(latents, noise=noise if settings.noise != "none" else None)[0]
    elif trained.config.model == "stylegan2":
        images = g(latents, noise=noise if settings.noise != "none" else None)
    else:
        growth = float(g.growth.numpy())
        level = int(np.ceil(growth))
        images = g(latents, level=level, alpha=tf.constant(growth - level + 1))
    return [tensor.numpy() for tensor in inputs], np.clip(images.numpy(), -1, 1)


def assert_close(got, images, precision="float32"):
    assert got.dtype == np.float32 and got.shape == images.shape
    assert 0.1 < images.std() < 0.8 and np.mean(np.abs(images) == 1) < 0.2  # else all images would be close
    largest, mean = BOUNDS[precision]
    errors = np.abs(got - images)
    assert errors.max() < largest and errors.mean() < mean


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("family", FAMILIES)
def test_images_are_those_of_the_generator(written, form, family):
    trained = made(family)
    settings = ExportSettings(noise="input" if trained.generator.noise_shapes else "none", batch=len(SEEDS))
    _, run, described = written(form, family, settings)
    inputs, images = expected(trained, settings)
    assert_close(run(inputs), images)
    assert described["resolution"] == images.shape[1]
    assert described["grows_to"] == trained.config.resolution
    assert described["outputs"][0]["shape"] == list(images.shape)
    found = (described["height"], described["width"], described["channels"])
    assert found == (*images.shape[1:3], trained.config.channels)


def test_rgba_values_become_bytes_as_the_metadata_say(written):
    settings = ExportSettings(noise="input", batch=len(SEEDS))
    _, run, described = written("tflite", "rgba fastgan", settings)
    images = run(expected(made("rgba fastgan"), settings)[0]).astype(np.float64)
    x, a = images[..., :3], images[..., 3:]
    [meaning] = [output["meaning"] for output in described["outputs"]]
    assert "alpha round((a + 1) * 127.5), each colour min(255, round(255 * (x + 1) / (a + 1)))" in meaning
    alpha, colours = np.round((a + 1) * 127.5), np.minimum(255, np.round(255 * (x + 1) / np.maximum(a + 1, 1e-9)))
    assert (alpha == 0).any() and 0 < np.mean(alpha) < 250
    got = np.concatenate([np.where(alpha > 0, colours, 0), alpha], axis=-1)
    assert np.abs(got - to_uint8(images)).max() <= 1 and np.mean(got != to_uint8(images)) < 1e-3  # float32 there


CONSTANT, NONE = (ExportSettings(noise=noise, noise_seed=7, batch=len(SEEDS)) for noise in ("constant", "none"))


@pytest.mark.parametrize("form", FORMATS)
def test_noise_is_stored_as_maps_or_left_out(written, form):
    other = expected(made("fastgan"), dataclasses.replace(CONSTANT, noise_seed=8))[1]
    for settings in (CONSTANT, NONE):
        inputs, images = expected(made("fastgan"), settings)
        assert len(inputs) == 1
        assert_close(written(form, "fastgan", settings)[1](inputs), images)
        assert np.abs(images - other).max() > 0.05  # noise and its seed are visible
    # Maps are not multiplied by their strengths, which would store them once for each channel.
    constant, none = (comparison.size_of(written(form, "fastgan", settings)[0]) for settings in (CONSTANT, NONE))
    maps = 4 * sum(int(np.prod(shape)) for shape in made("fastgan").generator.noise_shapes)
    assert 0 < constant - none < 2 * maps + 30_000


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("family, noise", DYNAMIC)
def test_dynamic_batch_takes_any_number(written, form, family, noise):
    settings = ExportSettings(noise=noise, batch=None)
    _, run, _ = written(form, family, settings)
    for seeds in (SEEDS, SEEDS[:1], SEEDS + [1, 3]):
        inputs, images = expected(made(family), settings, seeds)
        assert_close(run(inputs), images)


@pytest.mark.parametrize("form", FORMATS)
def test_fixed_batch_takes_one_number(written, form):
    trained, settings = made("pggan"), ExportSettings(batch=2)
    path, run, _ = written(form, "pggan", settings)
    if form == "tflite":  # LiteRT resizes the inputs of a file to those that it gets
        runner = tflite_runner(path)
        latents, images = runner.get_input_details()["latents"], runner.get_output_details()["images"]
        assert list(latents["shape"]) == list(latents["shape_signature"]) == [2, trained.generator.latent_size]
        assert list(images["shape"]) == [2, 32, 32, 3]
        return
    with pytest.raises(Exception, match="(?i)dimension|shape|incompatible"):
        run(expected(trained, settings)[0])


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("family", ["fastgan", "pggan in a fade", "stylegan2"])
@pytest.mark.parametrize("batch", [1, pytest.param(None, marks=pytest.mark.slow)])
def test_tflite_precisions(written, precision, family, batch):
    """Images are close, files smaller, operators built in, and buffers aligned."""
    from ai_edge_litert import schema_py_generated as schema

    trained = made(family)
    settings = ExportSettings(precision, "constant" if trained.generator.noise_shapes else "none", 0, batch)
    path, run, _ = written("tflite", family, settings)
    images = np.concatenate([run([expected(trained, settings, [seed])[0][0]]) for seed in SEEDS])
    assert_close(images, expected(trained, settings)[1], precision)
    content = path.read_bytes()
    if precision != "float32":
        kernels = 4 * sum(int(np.prod(v.shape)) for v in network.folded(trained, network.TRANSPOSED).variables)  # bytes
        full, _, _ = written("tflite", family, dataclasses.replace(settings, precision="float32"))
        assert full.stat().st_size - len(content) > SAVED[precision] * kernels
    assert content[4:8] == b"TFL3"
    model = schema.Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    assert codes and all(code.BuiltinCode() != schema.BuiltinOperator.CUSTOM for code in codes)
    assert not any(code.CustomCode() for code in codes)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    offsets = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(offsets) > 5 and all(offset % 16 == 0 for offset in offsets)


@pytest.mark.parametrize("form", FORMATS)
def test_metadata_are_stored_without_private_paths(written, form):
    path, _, described = written(form, "fastgan", CONSTANT)
    read = FORMATS[form].read_metadata(path)
    assert read == json.loads(json.dumps(described))
    assert (read["family"], read["resolution"], read["latent_size"]) == ("fastgan", 64, 16)
    assert (read["noise"], read["noise_seed"], read["batch"], read["images_seen"]) == ("constant", 7, 3, 12_000)
    assert read["inputs"][0]["shape"] == [3, 16] and read["outputs"][0]["shape"] == [3, 64, 64, 3]
    assert read["score"]["value"] == 28.5 and read["score"]["protocol"]["fakes"] == 2000
    assert "rights" in read["licence"]
    files = [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
    content = b"".join(part.read_bytes() for part in files)
    assert b"photos of pandas" in content  # the name of the image folder, without those above it
    for folder in (b"/home/anna", str(path.parent).encode(), __file__.rpartition("tests")[0].encode()):
        assert folder not in content


def test_licence_of_the_user_keeps_the_origin_of_converted_weights():
    trained = dataclasses.replace(made("pggan"), converted_from="network.pkl (SHA-256 0)")
    options = {"format_name": "onnx", "which": "best", "scores": {}, "licence": "CC BY 4.0."}
    described = network.describe(trained, network.folded(trained, network.UNCOMPILED), ExportSettings(), **options)
    assert described["licence"] == f"CC BY 4.0. {network.CONVERTED}"
    assert described["converted_from"] == "network.pkl (SHA-256 0)"


def test_onnx_inputs_and_outputs_have_the_names_of_the_metadata(written):
    import onnxruntime

    path, _, _ = written("onnx", "fastgan", ExportSettings(noise="input", batch=None))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = ["latents", "noise_0", "noise_1", "noise_2", "noise_3"]
    assert [value.name for value in session.get_inputs()] == names
    assert session.get_inputs()[0].shape == ["N", 16]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("images", ["N", 64, 64, 3])]
    assert json.loads(session.get_modelmeta().custom_metadata_map["gan_tf"])["family"] == "fastgan"


@pytest.mark.parametrize("form", FORMATS)
def test_only_the_disk_of_the_file_is_written_to(tmp_path, monkeypatch, form):
    """The system's folder for temporary files may be small; here it is missing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    write(form, made("pggan at 4x4"), ExportSettings(batch=1), tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# The comparison with Keras


def test_comparison_measures_differences(written):
    trained, settings, counts = made("pggan"), ExportSettings(batch=len(SEEDS)), []
    path, run, _ = written("onnx", "pggan", settings)
    exact = comparison.compare_with_keras(trained, settings, path, run, counts.append)
    assert sum(counts) == exact.seeds == 64 and exact.finite
    assert exact.largest < 1e-4 and exact.ms_per_image > 0 and exact.timed_batch == 3
    assert exact.bytes == path.stat().st_size

    def run_with_errors(inputs):
        images = run(inputs)
        images[0, 0, 0, 0] += 0.25
        return images

    found = comparison.compare_with_keras(trained, settings, path, run_with_errors)
    assert found.largest == pytest.approx(0.25, abs=1e-4)
    values = 64 * 32 * 32 * 3
    assert found.mean == pytest.approx(exact.mean + 0.25 * 22 / values, rel=1e-3)  # in each of 22 batches of 3

    broken = comparison.compare_with_keras(trained, settings, path, lambda inputs: run(inputs) * np.nan)
    assert not broken.finite


@pytest.mark.parametrize("batch", [64, 16, 5, None])
def test_comparison_has_a_warm_up_that_is_not_timed(tmp_path, batch):
    trained, settings = made("pggan at 4x4"), ExportSettings(batch=batch)
    images_of, counts = comparison.keras_reference(network.folded(trained, network.FAST), settings), []

    def run(inputs):
        counts.append(len(inputs[0]))
        if len(counts) == 1:
            time.sleep(1.5)
        return images_of(inputs)

    (tmp_path / "file").write_bytes(b"1")
    found = comparison.compare_with_keras(trained, settings, tmp_path / "file", run)
    sizes = {64: [64], 16: [16] * 4, 5: [5] * 13, None: [1] * 32 + [4] * 8}[batch]
    assert counts == [sizes[0], *sizes]
    assert found.ms_per_image * found.timed_batch < 1000 and found.timed_batch == sizes[0]
