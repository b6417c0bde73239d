"""A run that begins with the networks of another, and layers of D that stay as they were."""

import shutil

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.training import transfer
from gan_tf.training.recipes import RECIPES
from gan_tf.training.schedule import growing_stages
from gan_tf.training.step import ema_decay
from tests.training import growing, tiny
from tests.training.tiny import assert_same_state, images_file, weights

SCORED = ("stale_epochs",)  # a run that ended before takes a score then


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A trained tiny run, and the file of its pictures."""
    folder = tmp_path_factory.mktemp("source")
    code, run = tiny.train(images_file(folder), folder, total_kimg=0.04)
    assert code == 0
    return run, folder / "images.npz"


def networks_of(run, seen):
    """{name: array} of the networks in a checkpoint."""
    found = {name: value for name, value in weights(run, seen).items() if name.split("/")[0] in ("g", "d", "g_ema")}
    assert len(found) > 10
    return found


def assert_equal(got, want):
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_array_equal(got[name], value, err_msg=name)


def test_the_first_checkpoint_has_the_networks_of_the_other_run_and_nothing_else(source, tmp_path):
    run, data = source
    code, new = tiny.train(data, tmp_path, init_from=run.folder, total_kimg=0.004, seed=7)
    assert code == 0
    assert_equal(networks_of(new, 0), networks_of(run, 40))
    fresh = weights(new, 0)
    counted = {
        name: value for name, value in fresh.items() if "_optimizer/" in name or name in ("images_seen", "attempt")
    }
    assert len(counted) > 10 and not any(np.any(value) for value in counted.values())
    assert new.read_settings()[0].init_from == str(run.folder)


def test_it_continues_bit_for_bit_even_where_the_other_run_is_gone(source, tmp_path):
    run, data = source
    flags = {"init_from": tmp_path / "copy", "deterministic": True, "total_kimg": 0.08}
    shutil.copytree(run.folder, tmp_path / "copy")
    _, whole = tiny.train(data, tmp_path, **flags, run="whole")
    tiny.train(data, tmp_path, **{**flags, "total_kimg": 0.04}, run="parts")
    shutil.rmtree(tmp_path / "copy")
    code, parts = tiny.train(data, tmp_path, **flags, run="parts")
    assert code == 0
    assert_same_state(whole, parts, 80)


def test_a_damaged_first_checkpoint_does_not_make_it_begin_with_others(source, tmp_path):
    run, data = source
    flags = {"init_from": run.folder, "total_kimg": 0.004, "deterministic": True}
    _, new = tiny.train(data, tmp_path, **flags)
    want = networks_of(new, 4)
    for path in [*new.state.glob("ckpt-000000000004.*"), new.stats, new.best]:
        path.unlink()
    for path in new.state.glob("ckpt-000000000000.data-*"):
        path.write_bytes(b"damaged")
    code, new = tiny.train(data, tmp_path, **flags)
    assert code == 0
    assert_equal(networks_of(new, 4), want)


def test_a_run_with_best_weights_alone_gives_the_generator(source, tmp_path, capsys):
    run, data = source
    shutil.copytree(run.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("ckpt-*", "stats.jsonl"))
    code, new = tiny.train(data, tmp_path, init_from=tmp_path / "copy", total_kimg=0.004)
    assert code == 0 and "the best generator, no discriminator" in capsys.readouterr().out
    best, _ = run.best_weights()
    begun = networks_of(new, 0)
    for name, value in best.items():
        for player in ("g", "g_ema"):
            np.testing.assert_array_equal(begun[f"{player}/{name}"], value)


def refusal(capsys, *outcome):
    code, _ = outcome[0]
    error = capsys.readouterr().err.strip()
    assert code == 2 and "\n" not in error
    return error


def test_other_architectures_are_refused_with_both_values(source, tmp_path, capsys):
    run, data = source
    outcome = tiny.train(data, tmp_path, init_from=run.folder, latent_size=8, ngf=16, ndf=16)
    error = refusal(capsys, outcome)
    assert f"--init-from {run.folder}: --latent-size is 8 and is 16 there, --ngf is 16 and is 8 there" in error
    assert "give --latent-size 16 --ngf 8 --ndf 8" in error
    assert "--resolution is 128 and is 64 there" in refusal(
        capsys, tiny.train(data, tmp_path, init_from=run.folder, resolution=128, run="b")
    )
    words = growing.arguments(data, tmp_path, init_from=run.folder)
    assert "--model is 'pggan' and is 'fastgan' there" in refusal(capsys, (run_command("train", words), None))
    assert not (tmp_path / "tiny" / "config.json").exists()


def test_a_folder_that_is_no_run(source, tmp_path, capsys):
    outcome = tiny.train(source[1], tmp_path, init_from=tmp_path / "nothing")
    assert "nothing is no run folder" in refusal(capsys, outcome)


def test_it_is_an_identity_field(source, tmp_path, capsys):
    run, data = source
    tiny.train(data, tmp_path, init_from=run.folder, total_kimg=0.004)
    capsys.readouterr()
    error = refusal(capsys, tiny.train(data, tmp_path, total_kimg=0.008))
    assert "--init-from is None and was" in error


def test_the_average_follows_at_its_full_length_from_the_start():
    early, late = (float(ema_decay(1.0, seen, 8)) for seen in (8, 10**6))
    assert early == late == pytest.approx(0.5 ** (8 / 1000))
    assert float(ema_decay(1.0, 8, 8, ramp=0.1)) < 0.01


# --freeze-d


@pytest.mark.slow
def test_frozen_layers_get_no_slot_and_no_update_and_a_resumed_run_is_the_same(tmp_path):
    data = images_file(tmp_path)
    flags = {
        "total_kimg": 0.008,
        "eval_every": 1000,
        "final_score": None,
        "deterministic": True,
        "reconstruction": "none",
    }
    _, first = tiny.train(data, tmp_path, tiny.FASTGAN, **flags, run="first")
    flags |= {"init_from": first.folder, "freeze_d": 2, "total_kimg": 0.016}
    code, whole = tiny.train(data, tmp_path, tiny.FASTGAN, **flags, run="whole")
    assert code == 0
    tiny.train(data, tmp_path, tiny.FASTGAN, **{**flags, "total_kimg": 0.008}, run="parts")
    code, parts = tiny.train(data, tmp_path, tiny.FASTGAN, **flags, run="parts")
    assert code == 0
    assert_same_state(whole, parts, 16, SCORED)

    config, _ = whole.read_settings()
    d = FAMILIES["fastgan"].discriminator(config, "float32")
    every = {path for path, variable in named_variables(d).items() if variable.trainable}
    transfer.freeze_discriminator(RECIPES["fastgan"], d, config)
    left = {path for path, variable in named_variables(d).items() if variable.trainable}
    frozen = every - left
    assert frozen and left
    start, end = weights(whole, 0), weights(whole, 16)
    for moment in ("m", "v"):
        prefix = f"d_optimizer/{moment}/"
        assert {name.removeprefix(prefix) for name in end if name.startswith(prefix)} == left
    moved = {path for path in every if not np.array_equal(start[f"d/{path}"], end[f"d/{path}"])}
    assert moved == {path for path in left if not path.startswith("decoder_layers/")}  # which learn nothing here


def frozen_of(model, count, **settings):
    """Attribute paths of D's variables that are frozen, cut to layers."""
    config = TrainConfig(model=model, init_from="x", freeze_d=count, **settings)
    d = FAMILIES[model].discriminator(config, "float32")
    before = {path for path, variable in named_variables(d).items() if variable.trainable}
    transfer.freeze_discriminator(RECIPES[model], d, config)
    after = {path for path, variable in named_variables(d).items() if variable.trainable}
    return {"/".join(path.split("/")[:2]) for path in before - after}


@pytest.mark.slow
def test_which_layers_of_fastgan_are_frozen():
    sizes = {"resolution": 256, "ngf": 8, "ndf": 8}
    assert frozen_of("fastgan", 0, **sizes) == set()
    assert frozen_of("fastgan", 1, **sizes) == {"stem/0"}  # maps of 256
    assert frozen_of("fastgan", 2, **sizes) == {"stem/0", "blocks/0"}  # 128
    third = {"stem/0", "blocks/0", "blocks/1", "small_blocks/0"}  # 64
    assert frozen_of("fastgan", 3, **sizes) == third
    fourth = third | {"blocks/2", "small_blocks/1", "excitations/0"}  # 32
    assert frozen_of("fastgan", 4, **sizes) == fourth
    whole = {
        f"{kind}/{i}"
        for kind, n in (("stem", 1), ("blocks", 5), ("excitations", 3), ("small_blocks", 4))
        for i in range(n)
    }
    assert frozen_of("fastgan", 6, **sizes) == whole
    assert frozen_of("fastgan", 1, **sizes | {"resolution": 1024}) == {"stem/0", "stem/1"}
    with pytest.raises(UsageError, match="--freeze-d is 7; .* has 6 layers that can be frozen"):
        frozen_of("fastgan", 7, **sizes)


def test_which_layers_of_pggan_are_frozen():
    sizes = {"resolution": 32, "fmap_base": 64, "fmap_max": 8, "loss": "wgan_gp"}
    assert frozen_of("pggan", 1, **sizes) == {"from_rgb/3"}
    assert frozen_of("pggan", 2, **sizes) == {"from_rgb/3", "blocks/2"}
    assert frozen_of("pggan", 4, **sizes) == {"from_rgb/3", "blocks/2", "blocks/1", "blocks/0"}
    with pytest.raises(UsageError, match="has 4 layers that can be frozen"):
        frozen_of("pggan", 5, **sizes)


def test_freezing_needs_a_run_to_begin_with_and_a_discriminator(source, tmp_path, capsys):
    run, data = source
    assert "--freeze-d is 2; give --init-from RUN with it" in refusal(capsys, tiny.train(data, tmp_path, freeze_d=2))
    shutil.copytree(run.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("ckpt-*", "stats.jsonl"))
    config = TrainConfig(**{**tiny.FLAGS, "init_from": str(tmp_path / "copy"), "freeze_d": 1})
    with tiny.in_place(), pytest.raises(UsageError, match="has no discriminator, only a generator"):
        transfer.begin_with_run(None, config, print)


# A family that grows


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A Progressive GAN that has grown to the end, and the file of its pictures."""
    folder = tmp_path_factory.mktemp("grown")
    code, run = growing.train(images_file(folder), folder)
    assert code == 0
    return run, folder / "images.npz"


@pytest.mark.slow
def test_a_grown_network_begins_at_its_full_size(grown, tmp_path):
    run, data = grown
    flags = {"init_from": run.folder, "freeze_d": 1, "total_kimg": 0.016, "deterministic": True}
    code, whole = growing.train(data, tmp_path, **flags, run="whole")
    assert code == 0
    config, _ = whole.read_settings()
    [stage] = growing_stages(config)
    assert (stage.resolution, stage.first_image, stage.fade_images) == (16, 0, 0)
    begun, before, end = networks_of(whole, 0), networks_of(run, 200), networks_of(whole, 16)
    assert_equal(begun, before)
    np.testing.assert_array_equal(end["d/from_rgb/2/kernel"], before["d/from_rgb/2/kernel"])
    assert not np.array_equal(end["d/blocks/1/conv/kernel"], before["d/blocks/1/conv/kernel"])
    growing.train(data, tmp_path, **{**flags, "total_kimg": 0.008}, run="parts")
    assert_same_state(whole, growing.train(data, tmp_path, **flags, run="parts")[1], 16, SCORED)


@pytest.mark.slow
def test_a_half_grown_network_is_refused(tmp_path, capsys):
    data = images_file(tmp_path)
    growing.train(data, tmp_path, total_kimg=0.1, run="half")
    capsys.readouterr()
    error = refusal(capsys, growing.train(data, tmp_path, init_from=tmp_path / "half", run="new"))
    assert "have grown to 8x8 of 16x16" in error


@pytest.mark.slow
def test_a_converted_fastgan_is_one_to_fine_tune(tmp_path):
    from tests.convert import file_writers, official_fastgan
    from tests.pretrained.torch_format import write_zip

    g = official_fastgan.random_state(official_fastgan.shapes_of_generator(256, ngf=8, latent_size=16))
    d = official_fastgan.random_state(official_fastgan.shapes_of_discriminator(256, ndf=8), seed=1)
    path = write_zip(tmp_path / "10.pth", {"g": file_writers.tensors(g), "d": file_writers.tensors(d)})
    converted = Run(tmp_path / "converted")
    assert run_command("convert", [str(path), str(converted.folder)]) == 0
    flags = {"resolution": 256, "init_from": converted.folder, "freeze_d": 3, "total_kimg": 0.004, "final_score": None}
    flags |= {"reconstruction": "l1", "eval_every": 1000}
    code, run = tiny.train(images_file(tmp_path), tmp_path, tiny.FASTGAN, **flags)
    assert code == 0
    begun, end = networks_of(run, 0), networks_of(run, 4)
    assert_equal(begun, networks_of(converted, 0))
    kernels = {name for name in begun if name.startswith("d/") and name.endswith("kernel")}
    still = {name for name in kernels if np.array_equal(begun[name], end[name])}
    layers = {"/".join(name.split("/")[1:3]) for name in still}
    assert layers == frozen_of("fastgan", 3, resolution=256, ngf=8, ndf=8)
    assert len(kernels - still) > 10 and not np.array_equal(begun["g/stem/kernel"], end["g/stem/kernel"])


def test_a_damaged_run_is_not_told_to_use_other_weights(source, tmp_path, capsys):
    """`--which` belongs to commands that read a run, and train has none."""
    run, data = source
    copy = Run(shutil.copytree(run.folder, tmp_path / "copy"))
    for path in copy.state.glob("ckpt-*.data-*"):
        path.write_bytes(b"damaged")
    error = refusal(capsys, tiny.train(data, tmp_path, init_from=copy.folder, run="a"))
    assert "none of the" in error and "give another run" in error and "--which" not in error
    shutil.rmtree(copy.state)
    copy.best.write_bytes(b"damaged")
    error = refusal(capsys, tiny.train(data, tmp_path, init_from=copy.folder, run="a"))
    assert "generator.npz is damaged; give another run" in error and "--which" not in error
    copy.best.unlink()
    error = refusal(capsys, tiny.train(data, tmp_path, init_from=copy.folder, run="a"))
    assert "has no best weights yet" in error and "--which" not in error


def test_a_converted_run_is_one_to_begin_with(tmp_path):
    from tests.convert.file_writers import write_tensorflow
    from tests.convert.test_pggan import networks, states

    path = write_tensorflow(tmp_path / "network.pkl", networks(states()))
    assert run_command("convert", [str(path), str(tmp_path / "converted")]) == 0
    sizes = {"fmap_base": 64, "fmap_max": 16, "latent_size": 6}
    code, run = growing.train(
        images_file(tmp_path), tmp_path, init_from=tmp_path / "converted", total_kimg=0.008, **sizes
    )
    assert code == 0
    assert_equal(networks_of(run, 0), networks_of(Run(tmp_path / "converted"), 0))
