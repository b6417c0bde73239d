"""`gan-tf convert`: from weight files of official programs to run folders that every other command accepts."""

import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.export import FORMATS
from gan_tf.models import FAMILIES
from gan_tf.models.variables import load_weights
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from tests.convert.file_writers import optimizer, tensors, write_tensorflow
from tests.convert.states import (
    IMPORTED,
    assert_same,
    averaged,
    fastgan_states,
    parameters,
    pggan_networks,
    pggan_states,
)
from tests.parity.state_dicts import state_dict
from tests.pretrained.torch_format import whole, write_zip
from tests.training.tiny import images_file

# Converts, and stops itself before the settings are written.
STOPPING = """
import os, signal, sys
from gan_tf.cli.main import main
from gan_tf.runs.folder import Run
Run.write_settings = lambda *arguments: os.kill(os.getpid(), signal.SIGSTOP)
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A run converted from an all_N.pth whose averaged parameters differ from the generator's."""
    folder = tmp_path_factory.mktemp("fastgan")
    g, d = fastgan_states()
    averages = [whole(value) for value in parameters(averaged(g, 1.1))]
    content = {"g": tensors(g), "d": tensors(d), "g_ema": averages, "opt_g": optimizer(parameters(g))}
    path = write_zip(folder / "all_10.pth", content)
    assert run_command("convert", [str(path), str(folder / "run")]) == 0
    return Run(folder / "run")


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A run converted from a pickle of Progressive GAN."""
    folder = tmp_path_factory.mktemp("pggan")
    path = write_tensorflow(folder / "network.pkl", pggan_networks(pggan_states()))
    assert run_command("convert", [str(path), str(folder / "run")]) == 0
    return Run(folder / "run")


@pytest.fixture
def source(grown):
    """The pickle of `grown`."""
    return grown.folder.parent / "network.pkl"


def newest(run, name, kind):
    """Returns a network of the run's newest checkpoint."""
    config, _ = run.read_settings()
    network = getattr(FAMILIES[config.model], kind)(config, "float32")
    load_weights(network, newest_networks(run, [name])[0][name], "checkpoint")
    return network


def refusal(capsys, command, *arguments):
    """Runs a command that fails, and returns the one line on stderr."""
    assert run_command(command, [str(argument) for argument in arguments]) == 2
    line = capsys.readouterr().err.strip()
    assert line.startswith("gan-tf: error: ") and "\n" not in line
    return line


def test_fastgans_networks_have_the_weights_of_the_file(converted):
    g, d = fastgan_states()
    for network, state in (
        (load_generator(converted, "best").generator, averaged(g, 1.1)),
        (load_generator(converted, "last").generator, averaged(g, 1.1)),
        (newest(converted, "g", "generator"), g),
        (newest(converted, "d", "discriminator"), d),
    ):
        assert_same(state_dict(network), {n: v for n, v in state.items() if not n.endswith("num_batches_tracked")})


def test_pggans_networks_have_the_weights_of_the_file(grown):
    g, d, g_ema = pggan_states()
    best, last = (load_generator(grown, which).generator for which in ("best", "last"))
    assert best.growth.numpy() == last.growth.numpy() == 2
    for network, state in ((best, g_ema), (last, g_ema), (newest(grown, "g", "generator"), g)):
        assert_same(state_dict(network), state)
    assert_same(state_dict(newest(grown, "d", "discriminator")), d)


def test_a_generator_imported_from_theano(tmp_path, capsys):
    path = write_tensorflow(tmp_path / "karras.pkl", pggan_networks(pggan_states(fused=False), **IMPORTED))
    assert run_command("convert", [str(path), str(tmp_path / "run")]) == 0
    output = capsys.readouterr().out
    assert "left out: D, " in output and "left out: g, " in output and "new discriminator" in output
    assert_same(state_dict(load_generator(Run(tmp_path / "run")).generator), pggan_states()[2])


def test_the_run_folder(converted):
    config, data = converted.read_settings()
    assert (config.model, config.resolution, config.ngf, config.ndf, config.latent_size) == ("fastgan", 256, 8, 8, 12)
    assert data["images"] == 0 and data["converted_from"].startswith("all_10.pth (SHA-256 ")
    assert converted.best_meta() == {"images_seen": 0, "converted_from": data["converted_from"]}
    assert not list(converted.folder.parent.glob("*.part"))


def test_the_summary(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    g, d = fastgan_states()
    content = {"g": tensors(g), "d": tensors(d), "opt_g": optimizer(parameters(g))}
    run_command("convert", [str(write_zip(tmp_path / "a.pth", content)), "my run's"])
    output = capsys.readouterr().out
    assert "resolution 256, latent_size 12, ngf 8, tanh False, ndf 8, decoders 3" in output
    assert f"left out: opt_g: {3 * len(parameters(g))} tensors" in output
    lines = output.splitlines()
    generate, _, train = (shlex.split(line) for line in lines[lines.index("next:") + 1 :])
    assert generate[:3] == ["gan-tf", "generate", "my run's"]
    assert train[4:6] == ["--init-from", "my run's"] and "--latent-size 12 --ngf 8 --ndf 8" in " ".join(train)


def test_generate_evaluate_and_runs_accept_it_and_train_does_not_continue_it(grown, tmp_path, capsys):
    run, data = str(grown.folder), str(images_file(tmp_path))
    assert run_command("generate", [run, "--seeds", "0-3", "--out", str(tmp_path / "out"), "--grid"]) == 0
    assert (tmp_path / "out-grid.png").exists()
    assert run_command("generate", [run, "--seeds", "0", "--out", str(tmp_path), "--which", "last"]) == 0
    assert run_command("evaluate", [run, "--dataset", data, "--metrics", "swd2k"]) == 0
    assert "swd2k" in capsys.readouterr().out
    assert (grown.folder / "evaluations" / "000000000" / "scores.json").exists()
    assert "--dataset" in refusal(capsys, "evaluate", run, "--metrics", "swd2k")
    assert run_command("runs", [str(grown.folder.parent)]) == 0
    assert "converted from network.pkl" in capsys.readouterr().out
    flags = ["--dataset", data, "--model", "pggan", "--resolution", "16", "--metric", "swd2k"]
    flags += ["--checkpoints", grown.folder.parent, "--run", "run"]
    assert "--init-from" in refusal(capsys, "train", *flags)


@pytest.mark.parametrize("existing", ["file", "run", "folder"])
def test_existing_files_are_not_overwritten(tmp_path, grown, source, capsys, existing):
    target = {"file": tmp_path / "file", "run": grown.folder, "folder": tmp_path}[existing]
    (tmp_path / "file").write_text("kept")
    before = contents(grown.folder)
    assert f"RUN: {target}" in refusal(capsys, "convert", source, target)
    assert (tmp_path / "file").read_text() == "kept"
    assert contents(grown.folder) == before and len(before) > 5


def contents(folder):
    """{path: (bytes, time of the last change)} of all files."""
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


def test_folders_that_cannot_be_made(tmp_path, source, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    assert "RUN: " in refusal(capsys, "convert", source, tmp_path / "file" / "run")
    monkeypatch.chdir(tmp_path / "empty")
    for name in (".", "", "..", "/", "new/.."):
        assert f"RUN is {name!r}" in refusal(capsys, "convert", source, name)


def test_networks_larger_than_the_memory(tmp_path, source, monkeypatch, capsys):
    def fail(*arguments):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setitem(FAMILIES, "pggan", dataclasses.replace(FAMILIES["pggan"], generator=fail))
    assert f"{source}: its networks need more memory" in refusal(capsys, "convert", source, tmp_path / "run")


def test_half_grown_networks_are_no_start_of_a_run(tmp_path, capsys):
    g_ema = pggan_networks(pggan_states())[2]
    g_ema.state["variables"][-1] = ("lod", np.float32(0.5))
    path = write_tensorflow(tmp_path / "half.pkl", g_ema)
    assert run_command("convert", [str(path), str(tmp_path / "my run")]) == 0
    output = capsys.readouterr().out
    assert "half grown: to 8x8 of 16x16" in output and "gan-tf train" not in output
    assert "minibatch_stddev" not in output.splitlines()[0]  # of the discriminator, which the file does not have
    flags = ["--dataset", str(images_file(tmp_path)), "--model", "pggan", "--resolution", "16", "--metric", "swd2k"]
    flags += ["--fmap-base", "64", "--fmap-max", "16", "--latent-size", "6", "--checkpoints", str(tmp_path)]
    error = refusal(capsys, "train", *flags, "--run", "new", "--init-from", tmp_path / "my run")
    assert "--init-from" in error and "8x8 of 16x16" in error and "half.pkl" in error


def test_a_killed_conversion_leaves_no_run_and_the_next_one_removes_its_files(tmp_path, source):
    run = tmp_path / "run"
    (tmp_path / "run.0123.part").mkdir()  # not a name of an incomplete run
    (tmp_path / "run.01234567.part").write_text("a file")
    process = subprocess.Popen([sys.executable, "-c", STOPPING, "convert", str(source), str(run)])
    try:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        parts = list(tmp_path.glob("run.*.part/best/generator.npz"))
        # Another conversion next to a running one, whose files are kept.
        assert run_command("convert", [str(source), str(run)]) == 0 and parts[0].exists()
        shutil.rmtree(run)
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
    run = Run(shutil.copytree(grown.folder, tmp_path / "run"))
    weights, meta = run.best_weights()
    run.replace_best(weights | {"growth": np.array(growth) if growth == "text" else np.float32(growth)}, meta)
    assert "generator.npz" in refusal(capsys, "generate", run.folder, "--seeds", "0", "--out", tmp_path / "out")


def test_files_that_do_not_fit_leave_nothing(tmp_path, capsys):
    g = fastgan_states()[0]
    for reason, state in (
        ("missing", {key: value for key, value in g.items() if key != "se_64.main.1.weight_orig"}),
        ("left over", g | {"extra.weight": np.zeros(3, np.float32)}),
        ("--ngf is 4", fastgan_states(ngf=4)[0]),
    ):
        path = write_zip(tmp_path / "a.pth", {"g": tensors(state)})
        error = refusal(capsys, "convert", path, tmp_path / "run")
        assert reason in error and str(path) in error
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.pth"]
