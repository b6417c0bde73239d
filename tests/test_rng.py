"""Draws: pure functions of seed, attempt, purpose, images seen and row of the global batch."""

import hashlib

import numpy as np
import pytest
import tensorflow as tf

from gan_tf.rng import Draws, latents_of_seeds, noise_of_seeds, normals_of_seeds, stream_key, unit_normal, unit_uniform

BATCH = 8
KINDS = {
    "normal": lambda draws: draws.normal("x", (3,)),
    "uniform": lambda draws: draws.uniform("x", (3,), -2.0, 5.0),
    "integers": lambda draws: draws.integers("x", (3,), -4, 9),
    "scalars": lambda draws: draws.uniform("x"),
}


def draws_at(seen=40, seed=7, attempt=0):
    return Draws(seed, seen, BATCH, attempt=attempt)


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def kind(request):
    return request.param


@pytest.mark.parametrize("other", [{"seen": 48}, {"seed": 8}, {"seed": -7}, {"attempt": 1}])
def test_draws_depend_on_seed_attempt_and_images_seen(kind, other):
    assert not np.array_equal(kind(draws_at()), kind(draws_at(**other)))


def test_draws_depend_on_purpose_and_fold_in():
    draws = draws_at()
    folded = draws.fold_in("x")
    streams = [draws.normal("x"), draws.normal("y"), folded.normal("x"), folded.fold_in("x").normal("x")]
    assert len({stream.numpy().tobytes() for stream in streams}) == 4


@pytest.mark.parametrize("whole", [draws_at(), draws_at().shard(1, 2)], ids=["global batch", "replica"])
@pytest.mark.parametrize("count", [2, 4])
def test_shards_are_the_rows_of_the_batch_or_of_their_replica(kind, whole, count):
    parts = [kind(whole.shard(i, count)) for i in range(count)]
    np.testing.assert_array_equal(np.stack(parts, axis=1).reshape(-1, *parts[0].shape[1:]), kind(whole))


def test_shared_integer_is_equal_in_all_shards():
    values = {int(draws_at().shard(i, 4).shared_integer("part", 0, 4)) for i in range(4)}
    assert len(values) == 1
    assert {int(draws_at(seen).shared_integer("part", 0, 4)) for seen in range(0, 512, 8)} == {0, 1, 2, 3}


@pytest.mark.parametrize("jit", [False, True])
def test_draws_are_the_same_inside_a_function_and_under_xla(kind, jit):
    compiled = tf.function(lambda seen: kind(Draws(7, seen, BATCH)), jit_compile=jit)
    eager, traced = kind(draws_at()).numpy(), compiled(tf.constant(40, tf.int64)).numpy()
    if jit and eager.dtype == np.float32:  # the random bits are equal; the arithmetic has one rounding less
        np.testing.assert_allclose(traced, eager, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(traced, eager)


def test_uniform_is_uniform_and_below_one_and_has_the_same_bits_under_xla():
    seed = tf.constant([1, 2], tf.int64)
    values = unit_uniform((100_000,), seed).numpy()
    compiled = tf.function(lambda: unit_uniform((100_000,), seed), jit_compile=True)
    np.testing.assert_array_equal(compiled(), values)
    assert values.dtype == np.float32
    assert values.min() >= 0 and values.max() < 1
    np.testing.assert_allclose(np.bincount((values * 10).astype(int)), 10_000, atol=500)  # five standard deviations


def test_normal_is_normal():
    values = unit_normal((100_000,), tf.constant([1, 2], tf.int64)).numpy()
    assert np.isfinite(values).all() and values.dtype == np.float32
    assert abs(values.mean()) < 0.016 and abs(values.std() - 1) < 0.012
    inside = [np.mean(np.abs(values) < bound) for bound in (1, 2, 3)]
    np.testing.assert_allclose(inside, [0.6827, 0.9545, 0.9973], atol=0.007)


def test_draws_are_within_their_bounds():
    values = draws_at().uniform("x", (1000,), -2.0, 5.0).numpy()
    integers = draws_at().integers("x", (1000,), -4, 9).numpy()
    assert values.min() >= -2 and values.max() < 5
    assert integers.dtype == np.int32 and set(np.unique(integers)) == set(range(-4, 9))


def test_each_noise_map_has_different_draws():
    first, second = draws_at().noise("noise", [(4, 4, 1), (4, 4, 1)])
    assert first.shape == (BATCH, 4, 4, 1) and not np.array_equal(first, second)


def test_stream_key_is_part_of_a_sha256_digest():
    digest = hashlib.sha256(b"7/latents").digest()
    assert stream_key(7, "latents") == int.from_bytes(digest[:8], "little") // 2
    assert 0 <= stream_key(7, "latents") < 2**63


def test_draws_of_a_seed_do_not_depend_on_the_other_seeds():
    many = normals_of_seeds([3, 1, 4, 1, -5], "latents", (6,)).numpy()
    np.testing.assert_array_equal(many[1], many[3])
    for i, seed in enumerate((3, 1, 4, 1, -5)):
        np.testing.assert_array_equal(normals_of_seeds([seed], "latents", (6,))[0], many[i])
    np.testing.assert_array_equal(latents_of_seeds([3, 1, 4, 1, -5], 6), many)
    [noise] = noise_of_seeds([3, 4], [(2, 2, 1)])
    assert noise.shape == (2, 2, 2, 1) and not np.array_equal(noise[0], noise[1])
