"""`--reconstruction lpips`: the sum over the batch as in the official program, and training with it."""

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.training import resume
from gan_tf.training.recipes.fastgan import perceptual_reconstruction
from tests.pretrained.made_weights import put_weights
from tests.training import tiny


class Brightness:
    """Replaces LPIPS: the distance of two images is that of their means."""

    def __init__(self):
        self.calls = 0

    def features(self, images):
        self.calls += 1
        return tf.reduce_mean(images, axis=[1, 2, 3])

    def distance_of_features(self, a, b):
        return tf.abs(a - b)


def test_sum_over_decoders_times_the_batch():
    """The step divides by the batch of 8; each image of a replica then adds the official sum."""
    rebuilt = {name: tf.zeros([2, 4, 4, 3]) for name in ("big", "small", "part")}
    grey = tf.fill([2, 4, 4, 3], 0.5)
    targets = {"big": grey, "small": grey, "part": tf.constant([1.0, -2.0])[:, None, None, None] * tf.ones([4, 4, 3])}
    network = Brightness()
    np.testing.assert_allclose(perceptual_reconstruction(network, rebuilt, targets, 8), [8 * 2.0, 8 * 3.0])
    assert network.calls == 3 + 2  # `big` and `small` have the same target


@pytest.fixture
def weights(tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    return put_weights(monkeypatch)


def first_step(trainer):
    """(reconstruction loss, {path: gradient} of the decoders, from Adam's first moment)."""
    [loss], optimizer = tiny.take_steps(trainer, 1)["loss/reconstruction"], trainer.state.d_optimizer
    moments = {path: m.numpy() / (1 - optimizer.beta1) for path, m in optimizer.m.items() if "decoders" in path}
    return loss, moments


@pytest.mark.slow
def test_decoder_gradients_on_two_devices_equal_those_on_one(weights, mirrored_is_two_cpus):
    changes = {"reconstruction": "lpips", "offline": True, "lr": 1e-2}
    one, two = (tiny.make_trainer(strategy=strategy, **changes) for strategy in ("default", "mirrored"))
    assert not [name for name in one.state.named_variables() if "lpips" in name or "frozen" in name]
    assert len(resume.environment(one)["frozen"]["lpips"]["vgg16_sha256"]) == 64
    loss, gradients = first_step(one)
    loss_of_two, gradients_of_two = first_step(two)
    assert len(gradients) == 3 and all(np.abs(value).max() > 0 for value in gradients.values())
    assert loss_of_two == pytest.approx(loss, rel=1e-5)
    for path, value in gradients.items():
        assert tiny.relative_l2(gradients_of_two[path], value) < 1e-5, path
    later = tiny.take_steps(one, 6, seen=4)["loss/reconstruction"]
    assert np.mean(later[-3:]) < 0.97 * loss


INCEPTION = "https://github.com/mseitzer/", "pt_inception-2015-12-05-6726825d.pth", "swd2k"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [({"reconstruction": "lpips"}, ("--offline", "--reconstruction l1")), ({"metric": "fid5k"}, INCEPTION)],
)
def test_missing_weights_are_reported_before_the_first_step(changes, parts, dataset, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    code, run = tiny.train(dataset, tmp_path / "runs", offline=True, **changes)
    [line] = capsys.readouterr().err.splitlines()
    assert code == 2 and not run.exists()
    assert all(part in line for part in (*parts, str(tmp_path))), line
