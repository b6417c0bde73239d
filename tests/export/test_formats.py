"""Every exported file gives the images of the trained generator, as other programs run it, and says what it is."""

import dataclasses
import functools
import json
import os
import tempfile
import time

import numpy as np
import pytest
import tensorflow as tf

from gan_tf import rng
from gan_tf.export import FORMATS, compare, metadata, network
from gan_tf.export.network import ExportSettings

from . import trained as networks

pytest.importorskip("ai_edge_litert", reason="needs ai-edge-litert")
pytest.importorskip("onnxruntime", reason="needs onnxruntime")
pytest.importorskip("tf2onnx", reason="needs tf2onnx")

SEEDS = [5, 2, 9]
DYNAMIC = [("fastgan", "constant"), ("fastgan", "input"), ("pggan in a fade", "none"), ("stylegan2", "constant")]
FAMILIES = {
    "fastgan": networks.fastgan,
    "pggan": networks.pggan,
    "pggan with batch norm": lambda: networks.pggan(batch_norm=True),
    "pggan in a fade": lambda: networks.pggan(2.5),
    "pggan at 4x4": lambda: networks.pggan(0.0),
    "stylegan2": networks.stylegan2,
}
# Largest and mean difference from the generator as it was trained, of values in [-1, 1]. A step of a byte is 0.0078.
BOUNDS = {"float32": (1e-4, 1e-5), "float16": (0.01, 0.001), "int8": (0.15, 0.015)}


@pytest.fixture(scope="module")
def made():
    """A function from the name of a family to its `TrainedGenerator`, each made once."""
    return functools.cache(lambda name: FAMILIES[name]())


def written(form, trained, settings, path):
    """Writes a file; returns its run function and metadata."""
    described = metadata.describe(
        trained,
        network.folded(trained, network.UNCOMPILED),
        settings,
        form=form,
        which="best",
        scores={"score": networks.score_dict(), "final": None},
    )
    FORMATS[form].write(trained, settings, described, path)
    return FORMATS[form].open(path), described


def wanted(trained, settings, seeds=SEEDS):
    """(inputs, images) of the trained generator itself, not folded, operation by operation."""
    g = trained.generator
    latents = rng.latents_of_seeds(seeds, g.latent_size)
    maps = rng.noise_of_seeds(seeds, g.noise_shapes)
    inputs = [latents, *maps] if settings.noise == "input" else [latents]
    if settings.noise == "constant":
        maps = [tf.repeat(map_, len(seeds), 0) for map_ in rng.noise_of_seeds([settings.noise_seed], g.noise_shapes)]
    if trained.config.model == "fastgan":
        images = g(latents, noise=maps if settings.noise != "none" else None)[0]
    elif trained.config.model == "stylegan2":
        images = g(latents, noise=maps if settings.noise != "none" else None)
    else:
        growth = float(g.growth.numpy())
        level = int(np.ceil(growth))
        images = g(latents, level=level, alpha=tf.constant(growth - level + 1))
    return [tensor.numpy() for tensor in inputs], np.clip(images.numpy(), -1, 1)


def assert_close(got, images, precision="float32"):
    assert got.dtype == np.float32 and got.shape == images.shape
    assert 0.1 < images.std() < 0.8 and np.mean(np.abs(images) == 1) < 0.2  # or any images would be close
    largest, mean = BOUNDS[precision]
    errors = np.abs(got - images)
    assert errors.max() < largest and errors.mean() < mean


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("family", FAMILIES)
def test_images_are_the_generators(made, tmp_path, form, family):
    trained = made(family)
    settings = ExportSettings(noise="input" if trained.generator.noise_shapes else "none", batch=len(SEEDS))
    run, described = written(form, trained, settings, tmp_path / "file")
    inputs, images = wanted(trained, settings)
    assert_close(run(inputs), images)
    assert described["resolution"] == images.shape[1]
    assert described["grows_to"] == trained.config.resolution


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("noise", ["constant", "none"])
def test_noise_can_be_part_of_the_file_or_left_out(made, tmp_path, form, noise):
    trained = made("fastgan")
    settings = ExportSettings(noise=noise, noise_seed=7, batch=len(SEEDS))
    run, _ = written(form, trained, settings, tmp_path / "file")
    inputs, images = wanted(trained, settings)
    assert len(inputs) == 1
    assert_close(run(inputs), images)
    other = wanted(trained, ExportSettings(noise="constant", noise_seed=8))[1]
    assert np.abs(images - other).max() > 0.05  # the noise and its seed are seen


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("family, noise", DYNAMIC)
def test_a_dynamic_batch_takes_any_number(made, tmp_path, form, family, noise):
    trained, settings = made(family), ExportSettings(noise=noise, batch=None)
    run, _ = written(form, trained, settings, tmp_path / "file")
    for seeds in (SEEDS, SEEDS[:1], SEEDS + [1, 3]):
        inputs, images = wanted(trained, settings, seeds)
        assert_close(run(inputs), images)


@pytest.mark.parametrize("form", FORMATS)
def test_a_fixed_batch_takes_no_other_number(made, tmp_path, form):
    trained, settings = made("pggan"), ExportSettings(batch=2)
    run, _ = written(form, trained, settings, tmp_path / "file")
    if form == "tflite":  # LiteRT sets a file to the number that it is given, from the one that is in the file
        [latents] = run.owner.get_input_details()
        assert list(latents["shape"]) == list(latents["shape_signature"]) == [2, trained.generator.latent_size]
        [images] = run.owner.get_output_details()
        assert list(images["shape"]) == [2, 32, 32, 3]
        return
    with pytest.raises(Exception, match="(?i)dimension|shape|incompatible"):
        run(wanted(trained, settings)[0])


@pytest.mark.parametrize("precision, saved", [("float16", 0.45), ("int8", 0.65)])
@pytest.mark.parametrize("family", ["fastgan", "pggan in a fade", "stylegan2"])
@pytest.mark.parametrize("batch", [1, None])
def test_smaller_weights_cost_what_is_said(made, tmp_path, precision, saved, family, batch):
    trained = made(family)
    noise = "constant" if trained.generator.noise_shapes else "none"
    written("tflite", trained, ExportSettings(noise=noise, batch=batch), tmp_path / "full")
    settings = ExportSettings(precision, noise, 0, batch)
    run, _ = written("tflite", trained, settings, tmp_path / "small")
    images = np.concatenate([run([wanted(trained, settings, [seed])[0][0]]) for seed in SEEDS])
    assert_close(images, wanted(trained, settings)[1], precision)
    kernels = 4 * sum(int(np.prod(v.shape)) for v in network.folded(trained, network.TRANSPOSED).variables)  # bytes
    full, small = (compare.size_of(tmp_path / name) for name in ("full", "small"))
    assert full - small > saved * kernels


@pytest.mark.parametrize("precision", ["float32", "float16", "int8"])
@pytest.mark.parametrize("family", ["fastgan", "pggan in a fade", "stylegan2"])
@pytest.mark.parametrize("batch", [1, None])
def test_tflite_has_built_in_operators_and_aligned_buffers_only(made, tmp_path, precision, family, batch):
    from ai_edge_litert import schema_py_generated as schema

    noise = "input" if made(family).generator.noise_shapes else "none"
    written("tflite", made(family), ExportSettings(precision, noise, 0, batch), tmp_path / "file")
    content = (tmp_path / "file").read_bytes()
    assert content[4:8] == b"TFL3"
    model = schema.Model.GetRootAs(content, 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    assert codes and all(code.BuiltinCode() != schema.BuiltinOperator.CUSTOM for code in codes)
    assert not any(code.CustomCode() for code in codes)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    places = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(places) > 5 and all(place % 16 == 0 for place in places)


@pytest.mark.parametrize("form", FORMATS)
def test_metadata_travel_inside(made, tmp_path, form):
    settings = ExportSettings(noise="constant", noise_seed=7, batch=2)
    _, described = written(form, made("fastgan"), settings, tmp_path / "file")
    read = FORMATS[form].read_metadata(tmp_path / "file")
    assert read == json.loads(json.dumps(described))
    assert (read["family"], read["resolution"], read["latent_size"]) == ("fastgan", 64, 16)
    assert (read["noise"], read["noise_seed"], read["batch"], read["images_seen"]) == ("constant", 7, 2, 12_000)
    assert read["inputs"][0]["shape"] == [2, 16] and read["outputs"][0]["shape"] == [2, 64, 64, 3]
    assert read["score"]["value"] == 28.5 and read["score"]["protocol"]["fakes"] == 2000
    assert "rights" in read["licence"]


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_tells_of_the_makers_computer(made, tmp_path, form):
    path = tmp_path / "file"
    written(form, made("fastgan"), ExportSettings(noise="constant", batch=1), path)
    files = [part for part in path.rglob("*") if part.is_file()] if path.is_dir() else [path]
    content = b"".join(part.read_bytes() for part in files)
    assert b"photos of pandas" in content  # the protocol's source, without the folder that it lies in
    for place in (b"/home/anna", str(tmp_path).encode(), __file__.rpartition("tests")[0].encode()):
        assert place not in content


def test_onnx_can_be_had_by_the_names_it_states(made, tmp_path):
    import onnxruntime

    written("onnx", made("fastgan"), ExportSettings(noise="input", batch=None), tmp_path / "file")
    session = onnxruntime.InferenceSession(str(tmp_path / "file"), providers=["CPUExecutionProvider"])
    names = ["latents", "noise_0", "noise_1", "noise_2", "noise_3"]
    assert [value.name for value in session.get_inputs()] == names
    assert session.get_inputs()[0].shape == ["N", 16]
    assert [(value.name, value.shape) for value in session.get_outputs()] == [("images", ["N", 64, 64, 3])]
    assert json.loads(session.get_modelmeta().custom_metadata_map["gan_tf"])["family"] == "fastgan"


def test_constant_noise_is_stored_as_maps_and_not_multiplied_out(made, tmp_path):
    sizes = {}
    for noise in ("constant", "none"):
        for form in FORMATS:
            (tmp_path / noise).mkdir(exist_ok=True)
            written(form, made("fastgan"), ExportSettings(noise=noise, batch=1), tmp_path / noise / form)
            sizes[noise, form] = compare.size_of(tmp_path / noise / form)
    maps = 4 * sum(int(np.prod(shape)) for shape in made("fastgan").generator.noise_shapes)
    for form in FORMATS:
        assert 0 < sizes["constant", form] - sizes["none", form] < 2 * maps + 30_000


def test_comparison_finds_a_file_that_is_off(made, tmp_path):
    trained, settings = made("pggan"), ExportSettings(batch=3)
    run, _ = written("onnx", trained, settings, tmp_path / "file")
    done = []
    exact = compare.compare(trained, settings, tmp_path / "file", run, done.append)
    assert sum(done) == exact.seeds == 64 and exact.finite
    assert exact.largest < 1e-4 and exact.ms_per_image > 0 and exact.timed_batch == 3
    assert exact.bytes == (tmp_path / "file").stat().st_size

    def off(inputs):
        images = run(inputs)
        images[0, 0, 0, 0] += 0.25
        return images

    found = compare.compare(trained, settings, tmp_path / "file", off)
    assert found.largest == pytest.approx(0.25, abs=1e-4)
    values = 64 * 32 * 32 * 3
    assert found.mean == pytest.approx(exact.mean + 0.25 * 22 / values, rel=1e-3)  # in each of 22 batches of 3

    broken = compare.compare(trained, settings, tmp_path / "file", lambda inputs: run(inputs) * np.nan)
    assert not broken.finite


@pytest.mark.parametrize("batch", [64, 16, None])
def test_the_first_run_prepares_the_others_and_is_not_timed(made, tmp_path, batch):
    trained, settings = made("pggan at 4x4"), ExportSettings(batch=batch)
    images_of, counts = network.reference(network.folded(trained, network.FAST), settings), []

    def run(inputs):
        counts.append(len(inputs[0]))
        if len(counts) == 1:
            time.sleep(1.5)
        return images_of(inputs)

    (tmp_path / "file").write_bytes(b"1")
    found = compare.compare(trained, settings, tmp_path / "file", run)
    assert counts == [counts[0], *compare.batch_sizes(batch)]
    assert found.ms_per_image * found.timed_batch < 1000 and found.timed_batch == counts[0]


def test_threads_are_those_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {3, 7, 8}, raising=False)
    assert network.usable_cores() == 3


@pytest.mark.parametrize("form", FORMATS)
def test_no_other_disk_than_that_of_the_file_is_written_to(made, tmp_path, monkeypatch, form):
    """The system's folder for temporary files may be a small one in memory; here it is missing."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    written(form, made("pggan at 4x4"), ExportSettings(batch=1), tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_users_words_do_not_hide_where_weights_come_from(made):
    trained = dataclasses.replace(made("pggan"), converted_from="network.pkl (SHA-256 0)")
    words = {"form": "onnx", "which": "best", "scores": {}, "licence": "CC BY 4.0."}
    described = metadata.describe(trained, network.folded(trained, network.UNCOMPILED), ExportSettings(), **words)
    assert described["licence"] == f"CC BY 4.0. {metadata.CONVERTED}"
    assert described["converted_from"] == "network.pkl (SHA-256 0)"


def test_every_seed_is_compared_in_batches_of_two_sizes_where_any_is_allowed():
    assert compare.batch_sizes(None) == [1] * 32 + [4] * 8
    assert compare.batch_sizes(5) == [5] * 13
