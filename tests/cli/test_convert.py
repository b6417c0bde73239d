"""`gan-tf convert`: from weight files of official programs to run folders that every other command accepts."""

import dataclasses
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.convert import reading
from gan_tf.convert.reading import read_weight_file
from gan_tf.export import FORMATS
from gan_tf.models import FAMILIES
from gan_tf.models.variables import load_weights
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from tests.convert import file_writers, official_pggan
from tests.convert import official_fastgan as official
from tests.convert.test_pggan import IMPORTED, networks, states
from tests.parity.report import relative_l2
from tests.pretrained.torch_format import whole, write_zip
from tests.training.tiny import images_file

COMMAND = [sys.executable, "-c", "import sys; from gan_tf.cli.main import main; sys.exit(main(sys.argv[1:]))"]


@pytest.fixture(scope="module")
def fastgan_states():
    g = official.random_state(official.shapes_of_generator(256, ngf=8, latent_size=12))
    return g, official.random_state(official.shapes_of_discriminator(256, ndf=8), seed=1)


@pytest.fixture(scope="module")
def converted(tmp_path_factory, fastgan_states):
    """A run converted from an all_N.pth whose averaged parameters differ from the generator's."""
    folder = tmp_path_factory.mktemp("fastgan")
    g, d = fastgan_states
    averages = [whole(value * np.float32(1.1)) for value in official.parameters(g)]
    content = {"g": file_writers.tensors(g), "d": file_writers.tensors(d), "g_ema": averages}
    path = write_zip(folder / "all_10.pth", content | {"opt_g": file_writers.optimizer(official.parameters(g))})
    assert run_command("convert", [str(path), str(folder / "run")]) == 0
    return Run(folder / "run")


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """(run converted from a pickle of Progressive GAN, official weights of G, D, Gs)."""
    folder, all_states = tmp_path_factory.mktemp("pggan"), states()
    path = file_writers.write_tensorflow(folder / "network.pkl", networks(all_states))
    assert run_command("convert", [str(path), str(folder / "run")]) == 0
    return Run(folder / "run"), all_states


def built_from(run, name, kind):
    """Returns a network of the run's newest checkpoint."""
    config, _ = run.read_settings()
    network = getattr(FAMILIES[config.model], kind)(config, "float32")
    load_weights(network, newest_networks(run, [name])[0][name], "checkpoint")
    return network


def error_of(capsys):
    """Returns the one line on stderr."""
    line = capsys.readouterr().err.strip()
    assert line.startswith("gan-tf: error: ") and "\n" not in line
    return line


def test_fastgans_images_and_logits_are_the_official_ones(converted, fastgan_states):
    g, d = fastgan_states
    averaged = {n: v * np.float32(1.1) if any(v is p for p in official.parameters(g)) else v for n, v in g.items()}
    z = np.random.default_rng(3).normal(size=(2, 12)).astype(np.float32)
    best, last = (load_generator(converted, which).generator for which in ("best", "last"))
    for network, state in ((best, averaged), (last, averaged), (built_from(converted, "g", "generator"), g)):
        images, small = official.generate(state, tf.constant(z), 256)
        assert relative_l2(network(z)[0], tf.transpose(images, (0, 2, 3, 1))) < 1e-4
        assert relative_l2(network(z)[1], tf.transpose(small, (0, 2, 3, 1))) < 1e-4
    assert relative_l2(last(z)[0], built_from(converted, "g", "generator")(z)[0]) > 1e-2  # and they differ
    real = np.random.default_rng(4).normal(size=(1, 256, 256, 3)).astype(np.float32)
    pair = (real, real[:, ::2, ::2])
    big, small_logits, _ = official.judge(d, *(tf.transpose(x, (0, 3, 1, 2)) for x in pair), 256)
    logits = built_from(converted, "d", "discriminator")(pair)
    assert relative_l2(logits, np.concatenate([big, small_logits], axis=1)) < 1e-4


def test_pggans_images_and_logits_are_the_official_ones(grown):
    run, (g, d, g_ema) = grown
    z = np.random.default_rng(3).normal(size=(4, 6)).astype(np.float32)
    best, last = (load_generator(run, which).generator for which in ("best", "last"))
    for network, state in ((built_from(run, "g", "generator"), g), (best, g_ema), (last, g_ema)):
        images = official_pggan.generate(state, z, 16, fused=True)
        assert relative_l2(network(z), images.transpose(0, 2, 3, 1)) < 1e-4
        assert network.growth.numpy() == 2
    real = np.random.default_rng(5).normal(size=(8, 16, 16, 3)).astype(np.float32)
    logits = official_pggan.judge(d, real.transpose(0, 3, 1, 2), 16)
    assert relative_l2(built_from(run, "d", "discriminator")(real), logits) < 1e-4 and np.std(logits) > 0.01


def test_a_generator_imported_from_theano(tmp_path, capsys):
    all_states = states(fused=False)
    path = file_writers.write_tensorflow(tmp_path / "karras.pkl", networks(all_states, **IMPORTED))
    assert run_command("convert", [str(path), str(tmp_path / "run")]) == 0
    output = capsys.readouterr().out
    assert "left out: D, " in output and "left out: g, " in output and "new discriminator" in output
    z = np.random.default_rng(3).normal(size=(2, 6)).astype(np.float32)
    images = official_pggan.generate(all_states[2], z, 16, fused=False).transpose(0, 2, 3, 1)
    assert relative_l2(load_generator(Run(tmp_path / "run")).generator(z), images) < 1e-4


def test_the_run_folder(converted):
    config, data = converted.read_settings()
    assert (config.model, config.resolution, config.ngf, config.ndf, config.latent_size) == ("fastgan", 256, 8, 8, 12)
    assert data["images"] == 0 and data["converted_from"].startswith("all_10.pth (SHA-256 ")
    assert converted.best_meta() == {"images_seen": 0, "converted_from": data["converted_from"]}
    assert not list(converted.folder.parent.glob("*.part"))


def test_the_summary(tmp_path, fastgan_states, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    g, d = fastgan_states
    content = {"g": file_writers.tensors(g), "d": file_writers.tensors(d)}
    content["opt_g"] = file_writers.optimizer(official.parameters(g))
    run_command("convert", [str(write_zip(tmp_path / "a.pth", content)), "my run's"])
    output = capsys.readouterr().out
    assert "resolution 256, latent_size 12, ngf 8, tanh False, ndf 8, decoders 3" in output
    assert f"left out: opt_g: {3 * len(official.parameters(g))} tensors" in output
    lines = output.splitlines()
    generate, _, train = (shlex.split(line) for line in lines[lines.index("next:") + 1 :])
    assert generate[:3] == ["gan-tf", "generate", "my run's"]
    assert train[4:6] == ["--init-from", "my run's"] and "--latent-size 12 --ngf 8 --ndf 8" in " ".join(train)


def test_generate_evaluate_and_runs_accept_it(grown, tmp_path, capsys):
    run, _ = grown
    assert run_command("generate", [str(run.folder), "--seeds", "0-3", "--out", str(tmp_path / "out"), "--grid"]) == 0
    assert (tmp_path / "out-grid.png").exists()
    assert run_command("generate", [str(run.folder), "--seeds", "0", "--out", str(tmp_path), "--which", "last"]) == 0
    data = str(images_file(tmp_path))
    assert run_command("evaluate", [str(run.folder), "--dataset", data, "--metrics", "swd2k"]) == 0
    assert "swd2k" in capsys.readouterr().out
    assert (run.folder / "evaluations" / "000000000" / "scores.json").exists()
    assert run_command("evaluate", [str(run.folder), "--metrics", "swd2k"]) == 2
    assert "--dataset" in error_of(capsys)
    assert run_command("runs", [str(run.folder.parent)]) == 0
    assert "converted from network.pkl" in capsys.readouterr().out


def test_it_cannot_be_continued(grown, tmp_path, capsys):
    run, _ = grown
    flags = ["--dataset", str(images_file(tmp_path)), "--model", "pggan", "--resolution", "16"]
    flags += ["--checkpoints", str(run.folder.parent), "--run", "run", "--metric", "swd2k"]
    assert run_command("train", flags) == 2
    assert "--init-from" in error_of(capsys)


@pytest.mark.parametrize("existing", ["file", "run", "folder"])
def test_existing_files_are_not_overwritten(tmp_path, grown, capsys, existing):
    run, _ = grown
    target = {"file": tmp_path / "file", "run": run.folder, "folder": tmp_path}[existing]
    (tmp_path / "file").write_text("kept")
    before = contents(run.folder)
    assert run_command("convert", [str(run.folder.parent / "network.pkl"), str(target)]) == 2
    assert f"RUN: {target}" in error_of(capsys)
    assert (tmp_path / "file").read_text() == "kept"
    assert contents(run.folder) == before and len(before) > 5


def contents(folder):
    """{path: (bytes, time of the last change)} of all files."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", [".", "", "..", "/", "new/.."])
def test_a_run_without_a_name(tmp_path, grown, monkeypatch, capsys, name):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert run_command("convert", [str(grown[0].folder.parent / "network.pkl"), name]) == 2
    assert f"RUN is {name!r}" in error_of(capsys)


def test_an_unknown_home_folder(tmp_path, capsys):
    assert run_command("convert", ["~nobody-of-this-name/a.pth", str(tmp_path / "run")]) == 2
    assert "~nobody-of-this-name/a.pth" in error_of(capsys)


def test_a_file_that_vanishes(tmp_path, grown, monkeypatch, capsys):
    path = tmp_path / "network.pkl"
    path.write_bytes((grown[0].folder.parent / "network.pkl").read_bytes())

    def read_and_remove(path):
        weights = read_weight_file(path)
        path.unlink()
        return weights

    monkeypatch.setattr(reading, "read_weight_file", read_and_remove)
    assert run_command("convert", [str(path), str(tmp_path / "run")]) == 2
    assert f"cannot read {path}" in error_of(capsys)
    assert list(tmp_path.iterdir()) == []


def test_networks_larger_than_the_memory(tmp_path, grown, monkeypatch, capsys):
    def fail(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setitem(FAMILIES, "pggan", dataclasses.replace(FAMILIES["pggan"], generator=fail))
    path = grown[0].folder.parent / "network.pkl"
    assert run_command("convert", [str(path), str(tmp_path / "run")]) == 2
    assert f"{path}: its networks need more memory" in error_of(capsys)


def test_half_grown_networks_are_no_start_of_a_run(tmp_path, capsys):
    g_ema = networks(states())[2]
    g_ema.state["variables"][-1] = ("lod", np.float32(0.5))
    path = file_writers.write_tensorflow(tmp_path / "half.pkl", g_ema)
    assert run_command("convert", [str(path), str(tmp_path / "my run")]) == 0
    output = capsys.readouterr().out
    assert "half grown: to 8x8 of 16x16" in output and "gan-tf train" not in output
    assert "minibatch_stddev" not in output.splitlines()[0]  # of the discriminator, which the file does not have
    flags = ["--dataset", str(images_file(tmp_path)), "--model", "pggan", "--resolution", "16", "--metric", "swd2k"]
    flags += ["--fmap-base", "64", "--fmap-max", "16", "--latent-size", "6", "--checkpoints", str(tmp_path)]
    assert run_command("train", [*flags, "--run", "new", "--init-from", str(tmp_path / "my run")]) == 2
    error = error_of(capsys)
    assert "--init-from" in error and "8x8 of 16x16" in error and "half.pkl" in error


def test_a_killed_conversion_leaves_no_run_and_the_next_one_removes_its_files(tmp_path, grown):
    source, run = grown[0].folder.parent / "network.pkl", tmp_path / "run"
    (tmp_path / "run.0123.part").mkdir()  # not a name of an incomplete run
    (tmp_path / "run.01234567.part").write_text("a file")
    process = subprocess.Popen([*COMMAND, "convert", str(source), str(run)])
    try:
        deadline = time.monotonic() + 120
        while not (parts := list(tmp_path.glob("run.*.part/best/generator.npz"))):
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        process.send_signal(signal.SIGSTOP)
        other = run_command("convert", [str(source), str(run)])  # next to a running conversion, whose files are kept
        assert other == 0 and parts[0].exists()
        shutil.rmtree(run)
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert parts[0].exists() and not run.exists()
    assert run_command("convert", [str(source), str(run)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.0123.part", "run.01234567.part"]
    assert load_generator(Run(run)).images_seen == 0


def test_an_exported_file_names_its_source(converted, tmp_path, capsys):
    out = tmp_path / "official"
    arguments = ["--format", "saved_model", "--batch", "1", "--which", "last", "--out", str(out)]
    assert run_command("export", [str(converted.folder), *arguments]) == 0
    assert "converted from all_10.pth (SHA-256 " in capsys.readouterr().out
    inside = FORMATS["saved_model"].read_metadata(out)
    assert inside["converted_from"].startswith("all_10.pth (SHA-256 ")
    assert "Apache-2.0" in inside["licence"] and "publisher" in inside["licence"]


@pytest.mark.parametrize("growth", [99.0, -1.0, np.nan, [1.0, 2.0], "text"])
def test_an_impossible_growth_in_the_run(tmp_path, grown, capsys, growth):
    run = Run(shutil.copytree(grown[0].folder, tmp_path / "run"))
    weights, meta = run.best_weights()
    run.replace_best(weights | {"growth": np.array(growth) if growth == "text" else np.float32(growth)}, meta)
    assert run_command("generate", [str(run.folder), "--seeds", "0", "--out", str(tmp_path / "out")]) == 2
    assert "generator.npz" in error_of(capsys)


def test_files_that_do_not_fit_leave_nothing(tmp_path, fastgan_states, capsys):
    g, _ = fastgan_states
    narrow = official.random_state(official.shapes_of_generator(256, ngf=4, latent_size=12))
    for reason, state in (
        ("missing", {key: value for key, value in g.items() if key != "se_64.main.1.weight_orig"}),
        ("left over", g | {"extra.weight": np.zeros(3, np.float32)}),
        ("--ngf is 4", narrow),
    ):
        path = write_zip(tmp_path / "a.pth", {"g": file_writers.tensors(state)})
        assert run_command("convert", [str(path), str(tmp_path / "run")]) == 2
        error = error_of(capsys)
        assert reason in error and str(path) in error
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth"]


def test_a_folder_that_cannot_be_written(grown, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    source = grown[0].folder.parent / "network.pkl"
    assert run_command("convert", [str(source), str(tmp_path / "file" / "run")]) == 2
    assert "RUN: " in error_of(capsys)
