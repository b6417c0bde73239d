"""LPIPS: properties of the distance, and the sources of its weights."""

import functools
import hashlib

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained import lpips as lpips_module
from gan_tf.pretrained.lpips import KEPT, STAGES, Lpips, load_lpips, unit_length
from tests.parity.lpips import made_weights
from tests.pretrained.made_weights import made_heads, put_weights


@pytest.fixture(scope="module")
def vgg():
    return made_weights()


@pytest.fixture(scope="module")
def heads():
    return made_heads()


@pytest.fixture(scope="module")
def lpips(vgg, heads):
    return Lpips(vgg, heads, {"vgg16": "a", "heads": "b"})


def images(count, side=32, seed=0):
    return tf.constant(np.random.default_rng(seed).uniform(-1, 1, (count, side, side, 3)).astype(np.float32))


def test_equal_images_and_other_pairs(lpips):
    a, noise = images(3), images(3, seed=1)
    np.testing.assert_array_equal(lpips(a, a), [0, 0, 0])
    np.testing.assert_allclose(lpips(a[1:2], noise[1:2]), lpips(a, noise)[1:2], rtol=1e-5)
    with pytest.raises(ValueError, match="15x15"):
        lpips(a[:, :15, :15], a[:, :15, :15])


def test_known_answer_from_plain_sums(lpips, vgg, heads):
    """The definition in float64, with convolutions as sums over shifted maps."""

    def maps(image):  # [H, W, 3]
        x, found = (image - np.array([-0.030, -0.088, -0.188])) / np.array([0.458, 0.448, 0.450]), []
        for stage in STAGES:
            if found:
                x = x.reshape(x.shape[0] // 2, 2, x.shape[1] // 2, 2, -1).max(axis=(1, 3))
            for index, _ in stage:
                padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
                height, width, _ = x.shape
                kernel = vgg[f"features.{index}.weight"].astype(np.float64)  # [O, I, 3, 3]
                shifts = [(i, j) for i in range(3) for j in range(3)]
                x = sum(padded[i : i + height, j : j + width] @ kernel[:, :, i, j].T for i, j in shifts)
                x = np.maximum(x + vgg[f"features.{index}.bias"], 0)
            found.append(x / (np.sqrt((x**2).sum(-1, keepdims=True)) + 1e-10))
        return found

    a, b = images(1, 16), images(1, 16, seed=1)
    pairs = zip(maps(a[0].numpy()), maps(b[0].numpy()), heads.values(), strict=True)
    want = sum((((x - y) ** 2) * head.reshape(-1)).sum(-1).mean() for x, y, head in pairs)
    np.testing.assert_allclose(lpips(a, b), [want], rtol=1e-5)


def test_computed_in_float32(lpips):
    a, b = images(2), images(2, seed=1)
    halves = [tf.cast(x, tf.bfloat16) for x in (a, b)]
    got = lpips(*halves)
    assert got.dtype == tf.float32
    np.testing.assert_array_equal(got, lpips(*(tf.cast(x, tf.float32) for x in halves)))


def test_a_length_of_zero_has_a_finite_gradient():
    x = tf.zeros([1, 2, 2, 4])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(unit_length(tf.nn.relu(x)))
    assert y == 0
    np.testing.assert_array_equal(tape.gradient(y, x), np.zeros([1, 2, 2, 4]))


def test_gradient_is_the_slope(vgg, heads):
    lpips = Lpips(vgg, heads, {}, dtype=tf.float64)
    a, b, way = (tf.cast(images(2, 16, seed), tf.float64) for seed in range(3))
    with tf.GradientTape() as tape:
        tape.watch(a)
        distance = tf.reduce_sum(lpips(a, b))
    step = 1e-8  # small: hardly any ReLU crosses its kink
    slope = tf.reduce_sum(lpips(a + step * way, b) - lpips(a - step * way, b)) / (2 * step)
    np.testing.assert_allclose(tf.reduce_sum(tape.gradient(distance, a) * way), slope, rtol=1e-4)


def test_a_graph_on_two_replicas(vgg, heads, lpips, two_cpus):
    a, b = images(4), images(4, seed=1)
    with two_cpus.scope():
        spread = Lpips(vgg, heads, {})

    def with_gradient(network, a, b):
        with tf.GradientTape() as tape:
            tape.watch(a)
            distance = network(a, b)
        return distance, tape.gradient(distance, a)

    def share(x):
        return two_cpus.experimental_distribute_values_from_function(
            lambda context: x[2 * context.replica_id_in_sync_group :][:2]
        )

    distance, slope = with_gradient(lpips, a, b)
    for network in (spread, lpips):  # created in the scope, and outside
        run = tf.function(functools.partial(with_gradient, network))
        distances, slopes = (tf.concat(got.values, axis=0) for got in two_cpus.run(run, (share(a), share(b))))
        np.testing.assert_allclose(distances, distance, rtol=1e-5)
        assert np.linalg.norm(slopes - slope) < 1e-4 * np.linalg.norm(slope)


@pytest.fixture
def published(tmp_path, monkeypatch, vgg, heads):
    """The folder in the cache, with made files in place of the published ones."""
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path / "cache"))
    return put_weights(monkeypatch, vgg, heads)


def test_only_the_convolutions_are_kept(published, lpips):
    vgg_file = published / lpips_module.VGG16.name
    digest = hashlib.sha256(vgg_file.read_bytes()).hexdigest()
    lines = []
    a, b = images(1), images(1, seed=1)
    for _ in range(2):  # made, then read
        loaded = load_lpips(offline=True, log=lines.append)
        np.testing.assert_array_equal(loaded(a, b), lpips(a, b))
        assert loaded.protocol["vgg16_sha256"] == digest
        assert len(loaded.protocol["heads_sha256"]) == 64
        assert not vgg_file.exists()
    assert len(lines) == 1 and "kept the convolutions" in lines[0]
    assert (published / KEPT).stat().st_size < 60_000_000


def test_a_damaged_or_foreign_copy_is_refused(published, monkeypatch):
    load_lpips(offline=True, log=len)
    kept = published / KEPT
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 255
    kept.write_bytes(content)
    with pytest.raises(UsageError, match=f"{KEPT}.*delete it"):
        load_lpips(offline=True)
    content[len(content) // 2] ^= 255
    kept.write_bytes(content)
    monkeypatch.setattr(lpips_module, "VGG16", lpips_module.VGG16._replace(sha256="12345678"))
    with pytest.raises(UsageError, match=r"SHA-256 \w{8}\): delete it"):
        load_lpips(offline=True)


@pytest.mark.parametrize("name", ["vgg16-397923af", "lpips-0.1-vgg"])
def test_files_of_another_network(tmp_path, monkeypatch, vgg, heads, name):
    monkeypatch.setenv("GAN_TF_CACHE", str(tmp_path))
    put_weights(monkeypatch, *(({"other": vgg["features.0.bias"]}, heads) if "vgg16" in name else (vgg, vgg)))
    with pytest.raises(UsageError, match=rf"{name}\.pth are of another network"):
        load_lpips(offline=True, log=len)
