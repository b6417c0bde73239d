"""`gan-tf convert`: from weight files of official programs to run folders that every other command accepts."""

import dataclasses
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections import OrderedDict
from unittest.mock import Mock

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.cli.main import run_command
from gan_tf.convert.fastgan import BUFFERS
from gan_tf.export import FORMATS
from gan_tf.models import FAMILIES
from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.statistics import BATCH
from gan_tf.models.variables import load_weights
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator, newest_networks
from gan_tf.sampling.generate import images_of_seeds
from tests.convert.file_writers import optimizer, tensors, write_tensorflow
from tests.convert.states import assert_same, averaged, built, fastgan_states, parameters, pggan_networks, pggan_states
from tests.parity.fastgan import discriminate
from tests.parity.report import channels_first, channels_last, read_arrays, relative_l2
from tests.parity.state_dicts import state_dict
from tests.parity.test_parity import reference
from tests.pretrained.torch_format import whole, write_zip

# Converts, and stops itself before the settings are written.
STOPPING = """
import os, signal, sys
from gan_tf.cli.main import main
from gan_tf.runs.folder import Run
Run.write_environment = lambda *arguments: os.kill(os.getpid(), signal.SIGSTOP)
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
    assert run_command("convert", [str(path), str(folder / "run"), "--keep-statistics"]) == 0
    return Run(folder / "run")


@pytest.fixture
def few_images(monkeypatch):
    """Statistics of batch norm are estimated from few images."""
    monkeypatch.setattr("gan_tf.models.statistics.IMAGES", 2 * BATCH)


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


def test_settings_and_weights_are_those_of_the_file(converted, grown):
    config, data = converted.read_settings()
    assert (config.model, config.resolution, config.ngf, config.ndf, config.latent_size) == ("fastgan", 256, 8, 8, 12)
    assert data["images"] == 0 and data["converted_from"].startswith("all_10.pth (SHA-256 ")
    assert converted.best_meta() == {"images_seen": 0, "converted_from": data["converted_from"]}
    first, second = ({n: v for n, v in state.items() if "num_batches" not in n} for state in fastgan_states())
    assert load_generator(grown).generator.growth.numpy() == load_generator(grown, "last").generator.growth.numpy() == 2
    for run, (g, d, g_ema) in ((converted, (first, second, averaged(first, 1.1))), (grown, pggan_states())):
        for network, state in (
            (load_generator(run, "best").generator, g_ema),
            (newest(run, "g_ema", "generator"), g_ema),
            (newest(run, "g", "generator"), g),
            (newest(run, "d", "discriminator"), d),
        ):
            assert_same(state_dict(network), state)


def test_statistics_are_estimated_if_the_file_has_those_of_other_weights(tmp_path, few_images, done):
    """As the official program writes it: averaged weights with the buffers of an untrained generator."""
    g, d = fastgan_states()
    state = built(FastGanGenerator, {"resolution": 256, "ngf": 8, "latent_size": 12}, seed=3)
    buffers = {name: value for name, value in state_dict(state).items() if name.endswith(BUFFERS)}
    for name, content in (("own", g), ("other", g | buffers)):
        path = write_zip(tmp_path / f"{name}.pth", {"g": tensors(content), "d": tensors(d)})
        output = done("convert", path, tmp_path / name).out
        assert f"statistics of batch norm: of {2 * BATCH} generated images" in output and "--keep-statistics" in output
    assert "of batch norm" not in done("convert", path, tmp_path / "kept", "--keep-statistics").out
    own, other, kept = (load_generator(Run(tmp_path / name)).folded() for name in ("own", "other", "kept"))
    [images, again, grey] = (next(images_of_seeds(g, [0, 1, 2], 3))[1] for g in (own, other, kept))
    assert images.std() > 5 and np.abs(images - again.astype(float)).max() <= 2
    assert np.abs(images - grey.astype(float)).mean() > 5
    last = load_generator(Run(tmp_path / "other"), "last").folded()
    np.testing.assert_allclose(last.stem.kernel, other.stem.kernel, rtol=1e-3, atol=1e-5)


def test_arguments_that_agree_with_the_file_are_accepted(source, tmp_path, done, refused):
    done("convert", source, tmp_path / "run", "--model", "pggan", "--resolution", 16)
    for name, value, actual in (("model", "fastgan", "pggan"), ("resolution", 32, 16)):
        error = refused("convert", source, tmp_path / "new", f"--{name}", value)
        assert f"--{name} is {value}, but {source} has networks of --{name} {actual}" in error
    assert not (tmp_path / "new").exists()


def test_the_summary(tmp_path, few_images, monkeypatch, done):
    monkeypatch.chdir(tmp_path)
    g, d = fastgan_states()
    content = {"g": tensors(g), "d": tensors(d), "opt_g": optimizer(parameters(g))}
    output = done("convert", write_zip(tmp_path / "a.pth", content), "my run's").out
    assert (
        "resolution 256, latent_size 12, ngf 8, tanh False, up_blocks alternating, discriminator own, ndf 8, decoders 3"
        in output
    )
    assert f"left out: opt_g: {3 * len(parameters(g))} tensors" in output
    lines = output.splitlines()
    generate, _, train = (shlex.split(line) for line in lines[lines.index("next:") + 1 :])
    assert generate[:3] == ["gan-tf", "generate", "my run's"]
    assert train[4:6] == ["--init-from", "my run's"] and "--latent-size 12 --ngf 8 --ndf 8" in " ".join(train)


def test_generate_evaluate_and_runs_accept_it_and_train_does_not_continue_it(grown, dataset, tmp_path, done, refused):
    run = grown.folder
    done("generate", run, "--seeds", "0-3", "--out", tmp_path / "out", "--grid")
    assert (tmp_path / "out-grid.png").exists()
    done("generate", run, "--seeds", 0, "--out", tmp_path, "--which", "last")
    assert "swd2k" in done("evaluate", run, "--dataset", dataset, "--metrics", "swd2k").out
    assert (run / "evaluations" / "000000000" / "scores.json").exists()
    assert "--dataset" in refused("evaluate", run, "--metrics", "swd2k")
    assert "converted from network.pkl" in done("runs", run.parent).out
    flags = ["--model", "pggan", "--resolution", "16", "--metric", "swd2k", "--run", "run"]
    assert "--init-from" in refused("train", *flags, "--dataset", dataset, "--checkpoints", run.parent)


def test_folders_that_exist_or_cannot_be_made(tmp_path, grown, source, monkeypatch, refused):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("kept")
    before = {path: path.stat().st_mtime_ns for path in grown.folder.rglob("*")}
    for target in (tmp_path, tmp_path / "file", grown.folder):
        assert f"RUN: {target}" in refused("convert", source, target)
    assert "RUN: " in refused("convert", source, tmp_path / "file" / "run")
    assert (tmp_path / "file").read_text() == "kept"
    assert {path: path.stat().st_mtime_ns for path in grown.folder.rglob("*")} == before
    monkeypatch.chdir(tmp_path / "empty")
    for name in (".", "", "..", "/", "new/.."):
        assert f"RUN is {name!r}" in refused("convert", source, name)


def test_networks_larger_than_the_memory(tmp_path, source, monkeypatch, refused):
    fail = Mock(side_effect=tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor"))
    monkeypatch.setitem(FAMILIES, "pggan", dataclasses.replace(FAMILIES["pggan"], generator=fail))
    assert f"{source}: its networks need more memory" in refused("convert", source, tmp_path / "run")


def test_half_grown_networks_are_no_start_of_a_run(dataset, tmp_path, done, refused):
    g_ema = pggan_networks(pggan_states())[2]
    g_ema.state["variables"][-1] = ("lod", np.float32(0.5))
    path = write_tensorflow(tmp_path / "half.pkl", g_ema)
    output = done("convert", path, tmp_path / "my run").out
    assert "half grown: to 8x8 of 16x16" in output and "gan-tf train" not in output
    assert "minibatch_stddev" not in output.splitlines()[0]  # of the discriminator, which the file does not have
    flags = ["--model", "pggan", "--resolution", 16, "--fmap-base", 64, "--fmap-max", 16, "--latent-size", 6]
    flags += ["--metric", "swd2k", "--run", "new"]
    flags += ["--dataset", dataset, "--checkpoints", tmp_path, "--init-from", tmp_path / "my run"]
    error = refused("train", *flags)
    assert "--init-from" in error and "8x8 of 16x16" in error and "half.pkl" in error


def test_a_killed_conversion_leaves_no_run_and_the_next_one_removes_its_files(tmp_path, source, done):
    run = tmp_path / "run"
    (tmp_path / "run.0123.part").mkdir()  # not a name of an incomplete run
    (tmp_path / "run.01234567.part").write_text("a file")
    process = subprocess.Popen([sys.executable, "-c", STOPPING, "convert", str(source), str(run)])
    try:
        assert os.WIFSTOPPED(os.waitpid(process.pid, os.WUNTRACED)[1])
        parts = list(tmp_path.glob("run.*.part/best/generator.npz"))
        # Another conversion next to a running one, whose files are kept.
        done("convert", source, run)
        assert parts[0].exists()
        shutil.rmtree(run)
    finally:
        process.kill()
        assert process.wait() == -signal.SIGKILL
    assert parts[0].exists() and not run.exists()
    done("convert", source, run)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.0123.part", "run.01234567.part"]
    assert load_generator(Run(run)).images_seen == 0


def test_an_exported_file_names_its_source(converted, tmp_path, done):
    out = tmp_path / "official"
    arguments = ("--format", "saved_model", "--batch", 1, "--which", "last", "--out", out)
    assert "converted from all_10.pth (SHA-256 " in done("export", converted.folder, *arguments).out
    inside = FORMATS["saved_model"].read_metadata(out)
    assert inside["converted_from"].startswith("all_10.pth (SHA-256 ")
    assert "Apache-2.0" in inside["licence"] and "publisher" in inside["licence"]


@pytest.mark.parametrize("growth", [99.0, -1.0, np.nan, [1.0, 2.0], "text"])
def test_an_impossible_growth_in_the_run(tmp_path, grown, refused, growth):
    run = Run(shutil.copytree(grown.folder, tmp_path / "run"))
    weights, meta = run.best_weights()
    run.replace_best(weights | {"growth": np.array(growth) if growth == "text" else np.float32(growth)}, meta)
    assert "generator.npz" in refused("generate", run.folder, "--seeds", "0", "--out", tmp_path / "out")


def test_files_that_do_not_fit_leave_nothing(tmp_path, refused):
    path = write_zip(tmp_path / "a.pth", {"g": tensors(fastgan_states(ngf=4)[0])})
    error = refused("convert", path, tmp_path / "run")
    assert "--ngf is 4" in error and str(path) in error
    assert [p.name for p in tmp_path.iterdir()] == ["a.pth"]


def stepped(torch, parameters):
    """The state dict of Adam after a step."""
    parameters = [torch.nn.Parameter(value.clone()) for value in parameters]
    optimizer = torch.optim.Adam(parameters, lr=2e-4, betas=(0.5, 0.999))
    sum((value**2).sum() for value in parameters).backward()
    optimizer.step()
    return optimizer.state_dict()


@pytest.mark.slow
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("kind", ["N.pth", "module.", "all_N.pth", "generator"])
def test_checkpoints_written_by_pytorch_have_the_official_images_and_logits(torch, tmp_path, kind, new):
    arrays = read_arrays(reference("fastgan"))
    prefix = "module." if kind == "module." else ""
    g, d = (
        OrderedDict((prefix + name, torch.tensor(value)) for name, value in arrays.group(f"{player}/").items())
        for player in "gd"
    )
    content = g if kind == "generator" else {"g": g, "d": d}
    if kind == "all_N.pth":
        content["g_ema"] = [value.clone() for value in parameters(g)]
        content |= {"opt_g": stepped(torch, content["g_ema"]), "opt_d": stepped(torch, parameters(d))}
        content["g"] = OrderedDict((name, value if name.endswith(BUFFERS) else -value) for name, value in g.items())
    torch.save(content, tmp_path / "10.pth", _use_new_zipfile_serialization=new)
    assert run_command("convert", [str(tmp_path / "10.pth"), str(tmp_path / "run"), "--keep-statistics"]) == 0
    run = Run(tmp_path / "run")
    fakes = load_generator(run).generator(tf.constant(arrays["z"]), training=True)
    for got, name in zip(fakes, ("train/fake_big", "train/fake_128"), strict=True):
        assert relative_l2(channels_first(got), arrays[name]) < 1e-4
    if kind != "generator":
        _, outputs = discriminate(newest(run, "d", "discriminator"), channels_last(arrays["real"]), fakes)
        for name in ("pred_real", "pred_fake", "rec_big", "rec_small", "rec_part"):
            assert relative_l2(outputs[name], arrays[f"train/{name}"]) < 1e-4
