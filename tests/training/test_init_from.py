"""Runs that begin with the networks of another run (`--init-from`), and frozen discriminator layers (`--freeze-d`)."""

import shutil

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.models import FAMILIES
from gan_tf.models.variables import named_variables
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import load_generator
from gan_tf.sampling.sampler import Sampler
from gan_tf.training import transfer
from gan_tf.training.recipes import RECIPES
from gan_tf.training.schedule import growing_stages
from tests.convert.file_writers import tensors, write_tensorflow
from tests.convert.states import fastgan_states, pggan_networks, pggan_states
from tests.pretrained.torch_format import write_zip
from tests.training import tiny

SEEN = 8  # images of the source run


@pytest.fixture(scope="module")
def source(dataset, tmp_path_factory):
    """A trained tiny run."""
    return tiny.trained(dataset, tmp_path_factory.mktemp("source"), total_kimg=SEEN / 1000)


def test_it_begins_with_the_networks_of_the_other_run_and_continues_bit_for_bit_without_it(source, dataset, tmp_path):
    copy = shutil.copytree(source.folder, tmp_path / "copy")
    flags = {"init_from": copy, "deterministic": True, "total_kimg": 0.024, "epoch_images": 12, "seed": 7}
    whole = tiny.trained(dataset, tmp_path, **flags, run="whole")
    tiny.assert_equal(tiny.networks(whole, 0), tiny.networks(source, SEEN))
    start = tiny.weights(whole, 0)
    counts = [name for name in start if "_optimizer/" in name or name in ("images_seen", "attempt")]
    assert len(counts) > 10 and not any(np.any(start[name]) for name in counts)
    assert whole.read_settings()[0].init_from == str(copy)
    tiny.trained(dataset, tmp_path, **{**flags, "total_kimg": 0.012}, run="parts")
    shutil.rmtree(copy)
    parts = tiny.trained(dataset, tmp_path, **flags, run="parts")
    tiny.assert_same_state(whole, parts, 24)


def test_its_first_grid_is_that_of_the_last_weights_of_the_other_run(source, dataset, tmp_path):
    new = tiny.trained(dataset, tmp_path, init_from=source.folder, total_kimg=0.004)
    with tiny.in_place():
        sampler = Sampler(load_generator(source, "last").folded(), seed=0)
    images = image_files.grid(sampler.of_seeds(range(16)))
    np.testing.assert_array_equal(image_files.read_png(new.grid_path(0)), images)


def test_after_damage_to_its_only_checkpoint_it_begins_with_the_other_run_again(source, dataset, tmp_path):
    flags = {"init_from": source.folder, "total_kimg": 0.004, "deterministic": True}
    new = tiny.trained(dataset, tmp_path, **flags)
    expected = tiny.networks(new, 4)
    for path in [*new.state.glob("ckpt-000000000004.*"), new.stats, new.best]:
        path.unlink()
    for path in new.state.glob("ckpt-000000000000.data-*"):
        path.write_bytes(b"damaged")
    new = tiny.trained(dataset, tmp_path, **flags)
    tiny.assert_equal(tiny.networks(new, 4), expected)


@pytest.fixture
def best_only(source, tmp_path):
    """A copy of `source` without checkpoints."""
    return shutil.copytree(source.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("ckpt-*", "stats.jsonl"))


def test_a_run_without_checkpoints_provides_its_best_generator(source, best_only, dataset, tmp_path):
    new = tiny.trained(dataset, tmp_path, init_from=best_only, total_kimg=0.004)
    best, first = source.best_weights()[0], tiny.networks(new, 0)
    for player in ("g", "g_ema"):
        tiny.assert_equal({name: first[f"{player}/{name}"] for name in best}, best)


def begin(init_from, **changes):
    """Begins a run with refused networks: nothing is loaded."""
    config = TrainConfig(**{**tiny.FLAGS["fastgan"], **changes, "init_from": str(init_from)})
    with tiny.in_place():
        transfer.begin_with_run(None, config, lambda line: None)


@pytest.mark.parametrize(
    ("changes", "remedy"),
    [
        ({"latent_size": 8, "ngf": 16, "ndf": 16}, "give --latent-size 16 --ngf 8 --ndf 8"),
        ({"resolution": 128}, "give --resolution 64"),
    ],
)
def test_other_architectures_are_refused(changes, remedy, source):
    with pytest.raises(UsageError, match=f"--init-from .*{remedy}"):
        begin(source.folder, **changes)


def test_a_refused_start_writes_nothing(source, dataset, tmp_path, capsys):
    assert tiny.train(dataset, tmp_path, init_from=tmp_path / "nothing")[0] == 2
    assert f"--init-from {tmp_path / 'nothing'}" in capsys.readouterr().err
    assert tiny.train(dataset, tmp_path, model="pggan", init_from=source.folder)[0] == 2
    assert "give --model fastgan" in capsys.readouterr().err
    assert not list(tmp_path.glob("*/config.json"))


def test_a_damaged_run_is_refused(source, best_only, tmp_path):
    """The messages do not name `--which`, which commands that read a run have, but train does not have."""
    damaged = Run(shutil.copytree(source.folder, tmp_path / "damaged"))
    for path in damaged.state.glob("ckpt-*.data-*"):
        path.write_bytes(b"damaged")
    damaged_best = Run(shutil.copytree(best_only, tmp_path / "damaged best"))
    damaged_best.best.write_bytes(b"damaged")
    without_best = Run(shutil.copytree(best_only, tmp_path / "without best"))
    without_best.best.unlink()
    for run in (damaged, damaged_best, without_best):
        with pytest.raises(UsageError, match="restore|train until") as caught:
            begin(run.folder)
        assert "--which" not in str(caught.value)


# --freeze-d


@pytest.mark.slow
def test_frozen_layers_have_no_optimiser_slot_and_no_update_also_in_a_continued_run(dataset, tmp_path):
    flags = {"total_kimg": 0.008, "eval_every": 1000, "deterministic": True, "reconstruction": "none"}
    first = tiny.trained(dataset, tmp_path, tiny.FASTGAN, **flags, run="first")
    flags |= {"init_from": first.folder, "freeze_d": 2, "total_kimg": 0.016}
    whole = tiny.trained(dataset, tmp_path, tiny.FASTGAN, **flags, run="whole")
    tiny.trained(dataset, tmp_path, tiny.FASTGAN, **{**flags, "total_kimg": 0.008}, run="parts")
    parts = tiny.trained(dataset, tmp_path, tiny.FASTGAN, **flags, run="parts")
    tiny.assert_same_state(whole, parts, 16, tiny.SCORED)

    config, _ = whole.read_settings()
    trainable, left = freeze(config)
    assert left and trainable - left
    start, end = tiny.weights(whole, 0), tiny.weights(whole, 16)
    for moment in ("m", "v"):
        prefix = f"d_optimizer/{moment}/"
        assert {name.removeprefix(prefix) for name in end if name.startswith(prefix)} == left
    moved = {path for path in trainable if not np.array_equal(start[f"d/{path}"], end[f"d/{path}"])}
    assert moved == {path for path in left if not path.startswith("decoder_layers/")}  # which get no gradient here


def freeze(config):
    """Freezes D's layers. Returns the paths of trainable variables before and after."""
    d = FAMILIES[config.model].discriminator(config, "float32")
    before = {path for path, variable in named_variables(d).items() if variable.trainable}
    transfer.freeze_discriminator(RECIPES[config.model], d, config)
    return before, {path for path in before if named_variables(d)[path].trainable}


def frozen_of(model, count, **settings):
    """Layers of D that are frozen, as the first two parts of the attribute paths."""
    before, after = freeze(TrainConfig(model=model, init_from="x", freeze_d=count, **settings))
    return {"/".join(path.split("/")[:2]) for path in before - after}


@pytest.mark.slow
def test_frozen_layers_of_fastgan():
    sizes, frozen = {"resolution": 256, "ngf": 8, "ndf": 8}, set()
    layers = [
        *(set(), {"stem/0"}, {"blocks/0"}),  # from maps of 256, then 128
        *({"blocks/1", "small_blocks/0"}, {"blocks/2", "small_blocks/1", "excitations/0"}),  # 64, 32
        *({"blocks/3", "small_blocks/2", "excitations/1"}, {"blocks/4", "small_blocks/3", "excitations/2"}),
    ]
    for count, added in enumerate(layers):
        frozen |= added
        assert frozen_of("fastgan", count, **sizes) == frozen, count
    assert frozen_of("fastgan", 1, **sizes | {"resolution": 1024}) == {"stem/0", "stem/1"}
    with pytest.raises(UsageError, match="--freeze-d is 7; .* 6 layers"):
        frozen_of("fastgan", 7, **sizes)


def test_frozen_layers_of_pggan():
    sizes = {"resolution": 32, "fmap_base": 64, "fmap_max": 8, "loss": "wgan_gp"}
    assert frozen_of("pggan", 1, **sizes) == {"from_rgb/3"}
    assert frozen_of("pggan", 2, **sizes) == {"from_rgb/3", "blocks/2"}
    assert frozen_of("pggan", 4, **sizes) == {"from_rgb/3", "blocks/2", "blocks/1", "blocks/0"}
    with pytest.raises(UsageError, match="--freeze-d is 5; .* 4 layers"):
        frozen_of("pggan", 5, **sizes)


def test_freezing_needs_a_discriminator(best_only):
    with pytest.raises(UsageError, match="--freeze-d"):
        begin(best_only, freeze_d=1)


# Growing and converted networks


@pytest.mark.slow
def test_a_grown_network_starts_at_full_size(dataset, tmp_path):
    run = tiny.trained(dataset, tmp_path, model="pggan")
    flags = {"model": "pggan", "init_from": run.folder, "freeze_d": 1, "total_kimg": 0.016, "deterministic": True}
    whole = tiny.trained(dataset, tmp_path, **flags, run="whole")
    config, _ = whole.read_settings()
    [stage] = growing_stages(config)
    assert (stage.resolution, stage.first_image, stage.fade_images) == (16, 0, 0)
    first, source, end = tiny.networks(whole, 0), tiny.networks(run, 200), tiny.networks(whole, 16)
    tiny.assert_equal(first, source)
    np.testing.assert_array_equal(end["d/from_rgb/2/kernel"], source["d/from_rgb/2/kernel"])
    assert not np.array_equal(end["d/blocks/1/conv/kernel"], source["d/blocks/1/conv/kernel"])
    tiny.trained(dataset, tmp_path, **{**flags, "total_kimg": 0.008}, run="parts")
    tiny.assert_same_state(whole, tiny.trained(dataset, tmp_path, **flags, run="parts"), 16, tiny.SCORED)


@pytest.mark.slow
def test_a_converted_fastgan_is_fine_tuned(dataset, tmp_path):
    g, d = fastgan_states(latent_size=16)
    path = write_zip(tmp_path / "10.pth", {"g": tensors(g), "d": tensors(d)})
    converted = Run(tmp_path / "converted")
    assert run_command("convert", [str(path), str(converted.folder)]) == 0
    flags = {"resolution": 256, "init_from": converted.folder, "freeze_d": 3, "total_kimg": 0.004, "eval_every": 1000}
    run = tiny.trained(dataset, tmp_path, tiny.FASTGAN, **flags)
    first, end = tiny.networks(run, 0), tiny.networks(run, 4)
    tiny.assert_equal(first, tiny.networks(converted, 0))
    kernels = {name for name in first if name.startswith("d/") and name.endswith("kernel")}
    unchanged = {name for name in kernels if np.array_equal(first[name], end[name])}
    layers = {"/".join(name.split("/")[1:3]) for name in unchanged}
    assert layers == frozen_of("fastgan", 3, resolution=256, ngf=8, ndf=8)
    assert len(kernels - unchanged) > 10 and not np.array_equal(first["g/stem/kernel"], end["g/stem/kernel"])


@pytest.mark.slow
def test_a_converted_pggan_is_trained(dataset, tmp_path):
    path = write_tensorflow(tmp_path / "network.pkl", pggan_networks(pggan_states()))
    assert run_command("convert", [str(path), str(tmp_path / "converted")]) == 0
    flags = {"model": "pggan", "fmap_base": 64, "fmap_max": 16, "latent_size": 6, "total_kimg": 0.008}
    run = tiny.trained(dataset, tmp_path, init_from=tmp_path / "converted", **flags)
    tiny.assert_equal(tiny.networks(run, 0), tiny.networks(Run(tmp_path / "converted"), 0))
