"""Tiny runs of all families, and networks for training tests that do not depend on FastGAN's.

These networks are trained by FastGAN's recipe, whose step is traced in a second. The generator is linear, with 8x8
maps, batch norm and a noise map; the discriminator is linear, with 50 logits and three linear decoders.
"""

import contextlib
import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from gan_tf import models
from gan_tf.cli.main import run_command
from gan_tf.config.presets import choose
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.metrics.definitions import METRICS
from gan_tf.metrics.evaluate import Evaluator
from gan_tf.models import statistics
from gan_tf.models.variables import load_weights, named_variables
from gan_tf.ops.layers import BatchNorm
from gan_tf.runs.checkpoints import read_arrays
from gan_tf.runs.folder import Run
from gan_tf.training import recipes, samples
from gan_tf.training.recipes import fastgan
from gan_tf.training.state import trainable
from gan_tf.training.step import Phase
from gan_tf.training.trainer import build_trainer
from tests.parity.report import relative_l2

RESOLUTION = 64
MAP = 8
FAKES = 32  # images per score, so that scores are fast
SCORED = ("stale_epochs",)  # differs between two runs of which one ended earlier, with one more score
COMMON = {"metric": "swd2k", "precision": "float32", "run": "tiny", "keep": 100}
COMMON |= {"augment": "none"}  # tracing it takes a third of a run; tests of resuming and replicas use "diffaugment"
SIZES = {
    "fastgan": {"resolution": RESOLUTION, "ngf": 8, "ndf": 8, "latent_size": 16},
    "pggan": {"resolution": 16, "fmap_base": 32, "fmap_max": 8, "latent_size": 8},
    "stylegan2": {
        "resolution": 16,
        "channel_base": 128,
        "channel_max": 8,
        "latent_size": 8,
        "w_size": 8,
        "mapping_layers": 2,
    },
}
# A stage of Progressive GAN has 40 images: 4x4, 8x8 that fades in from image 40, 8x8 from 80, 16x16 that fades in from
# 120, 16x16 from 160.
LENGTHS = {
    "fastgan": {"batch_size": 4, "epoch_images": 40, "total_kimg": 0.08},
    "pggan": {"phase_batch": "4", "fade_kimg": 0.04, "stabilise_kimg": 0.04, "epoch_images": 40, "total_kimg": 0.2},
    "stylegan2": {"batch_size": 8, "epoch_images": 80, "total_kimg": 0.16},
}
FLAGS = {model: {**COMMON, **SIZES[model], **LENGTHS[model]} for model in SIZES}


def square_images(count=12, seed=0):
    """Smooth images uint8 [count, 64, 64, 3], all different."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:RESOLUTION, :RESOLUTION] / RESOLUTION
    waves = [np.sin(6 * (rng.uniform(0, 3) * x + rng.uniform(0, 3) * y + rng.uniform())) for _ in range(3 * count)]
    channels = np.stack(waves).reshape(count, 3, RESOLUTION, RESOLUTION)
    return (127.5 + 127.5 * channels).astype(np.uint8).transpose(0, 2, 3, 1)


class Linear(keras.layers.Layer):
    """x [N, I] -> [N, units]."""

    def __init__(self, units, seed, **kwargs):
        super().__init__(**kwargs)
        self.units, self.seed = units, seed

    def build(self, shape):
        normal = keras.initializers.RandomNormal(stddev=shape[-1] ** -0.5, seed=self.seed)
        self.kernel = self.add_weight(name="kernel", shape=(shape[-1], self.units), initializer=normal, autocast=False)

    def call(self, x):
        return tf.matmul(tf.cast(x, self.compute_dtype), tf.cast(self.kernel.value, self.compute_dtype))


class TinyGenerator(keras.Model):
    """Has the interface of FastGAN's generator, with batch norm only if `normalised`."""

    noise_shapes = [(MAP, MAP, 1)]
    resolution, small_resolution, base = RESOLUTION, RESOLUTION // 2, (4, 4)
    image_shape, small_shape = (RESOLUTION, RESOLUTION, 3), (RESOLUTION // 2, RESOLUTION // 2, 3)

    def __init__(self, latent_size, seed=0, normalised=True, **kwargs):
        super().__init__(**kwargs)
        self.latent_size = latent_size
        self.layers_in_list = [Linear(MAP * MAP * 3, seed, dtype=self.dtype_policy)]  # tf.train.Checkpoint drops lists
        self.norm = BatchNorm(seed, dtype=self.dtype_policy) if normalised else None

    def build(self, shape=None):
        self.layers_in_list[0].build((None, self.latent_size))
        if self.norm:
            self.norm.build((None, MAP, MAP, 3))

    def call(self, z, labels=None, noise=None, training=False):
        x = tf.reshape(self.layers_in_list[0](z), (-1, MAP, MAP, 3))
        if self.norm:
            x = self.norm(x, training=training)
        x = tf.cast(x, tf.float32) + (0.1 * tf.cast(noise[0], tf.float32) if noise else 0.0)
        return _enlarged(tf.tanh(x), self.resolution), _enlarged(tf.tanh(x), self.small_resolution)


class TinyDiscriminator(keras.Model):
    """Has the interface of FastGAN's discriminator."""

    small_resolution = RESOLUTION // 2
    small_shape = (RESOLUTION // 2, RESOLUTION // 2, 3)

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.critics = [Linear(25, seed + i, dtype=self.dtype_policy) for i in range(2)]
        self.decoders = {
            name: Linear(MAP * MAP * 3, seed, dtype=self.dtype_policy) for name in ("big", "small", "part")
        }

    def build(self, shape=None):
        for layer in (*self.critics, *self.decoders.values()):
            layer.build((None, MAP * MAP * 3))

    def call(self, inputs, labels=None, training=False):
        logits = [tf.cast(critic(_pooled(x)), tf.float32) for critic, x in zip(self.critics, inputs, strict=True)]
        return tf.concat(logits, axis=1)

    def logits_and_reconstructions(self, inputs, part, labels=None, training=False):
        maps = _pooled(inputs[0])
        rebuilt = {
            name: _enlarged(tf.tanh(tf.cast(tf.reshape(decoder(maps), (-1, MAP, MAP, 3)), tf.float32)), RESOLUTION // 2)
            for name, decoder in self.decoders.items()
        }
        return self(inputs, labels, training=training), rebuilt


def _pooled(images):
    """[N, R, R, 3] -> [N, 8 * 8 * 3], means over squares."""
    side = images.shape[1] // MAP
    cells = tf.reshape(images, (-1, MAP, side, MAP, side, 3))
    return tf.reshape(tf.reduce_mean(cells, axis=(2, 4)), (-1, MAP * MAP * 3))


def _enlarged(images, size):
    return tf.repeat(tf.repeat(images, size // MAP, axis=1), size // MAP, axis=2)


class TinyFolded(TinyGenerator):
    """Has the interface of a folded FastGAN generator, which gives images alone."""

    def call(self, z, labels=None, noise=None, training=False):
        return super().call(z, labels, noise, training)[0]

    def refresh(self, weights):
        if isinstance(weights, keras.Model):
            weights = named_variables(weights)
        load_weights(self, {path: np.asarray(value) for path, value in weights.items()}, "generator")


def family(train_step=fastgan.train_step, normalised=True):
    """(tiny networks, FastGAN's recipe), whose step may be replaced by `train_step`."""

    def built(network):
        network.build()
        return network

    def fold(g, policy=None):
        folded = built(TinyFolded(g.latent_size, normalised=normalised, dtype=policy or g.dtype_policy))
        folded.refresh(g)
        return folded

    phases = (Phase(train_step, fastgan.STATISTICS),)
    networks = models.Family(
        generator=lambda config, policy: built(
            TinyGenerator(config.latent_size, config.seed, normalised, dtype=policy)
        ),
        discriminator=lambda config, policy: built(TinyDiscriminator(config.seed, dtype=policy)),
        fold=fold,
        image_logits=lambda discriminator, generator: lambda image, labels=None: discriminator(image, training=False),
    )
    return networks, dataclasses.replace(fastgan.RECIPE, phases=phases)


FASTGAN = models.FAMILIES["fastgan"], fastgan.RECIPE  # the real networks, in the sizes of FLAGS


@contextlib.contextmanager
def in_place(tiny=None, fakes=FAKES):
    """Makes `--model fastgan` train `tiny` (default: `family()`); scores, statistics and grids use few images."""
    networks, recipe = tiny or family()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.FAMILIES, "fastgan", networks)
        patch.setitem(recipes.RECIPES, "fastgan", recipe)
        for name in ("swd2k", "memorisation"):
            patch.setitem(METRICS, name, METRICS[name]._replace(fakes=fakes))
        patch.setattr(statistics, "IMAGES", FAKES)
        patch.setitem(samples.GRID_SIDES, RESOLUTION, 4)
        yield


def arguments(dataset, checkpoints, model="fastgan", **changes):
    """Command-line arguments of a tiny run: True is a flag without a value, None leaves the flag out."""
    arguments = ["--model", model]
    for name, value in {"dataset": dataset, "checkpoints": checkpoints, **FLAGS[model], **changes}.items():
        if value is not None:
            arguments += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return arguments


def images_file(folder, seed=0):
    """Writes a dataset of 12 images to `folder` and returns its path."""
    path = folder / "images.npz"
    np.savez(path, images=square_images(seed=seed))
    return path


def train(dataset, checkpoints, tiny=None, **changes):
    """Runs `gan-tf train` for a tiny run in this process, and returns (exit code, Run)."""
    with in_place(tiny):
        code = run_command("train", arguments(dataset, checkpoints, **changes))
    return code, Run(checkpoints / changes.get("run", COMMON["run"]))


def trained(dataset, checkpoints, tiny=None, **changes):
    """Trains a tiny run to its end, and returns the Run."""
    code, run = train(dataset, checkpoints, tiny, **changes)
    assert code == 0
    return run


def set_scores(monkeypatch, values):
    """Makes swd2k return these values, one after the other."""
    metric, values = METRICS["swd2k"], iter(values)

    def measure(side, chunks):
        return metric.measure(side, chunks)._replace(value=next(values))

    monkeypatch.setattr(Evaluator, "expected_seconds", lambda *arguments: 0.0)
    monkeypatch.setitem(METRICS, "swd2k", metric._replace(measure=measure))


def sprites(count=12):
    """Images uint8 [count, 64, 64, 4]: those of `square_images` in ellipses with soft edges on transparent ground."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[-1 : 1 : RESOLUTION * 1j, -1 : 1 : RESOLUTION * 1j]
    radii = [np.hypot(x / rng.uniform(0.4, 0.9), y / rng.uniform(0.4, 0.9)) for _ in range(count)]
    alpha = (255 * np.clip(8 * (1 - np.stack(radii)) + 0.5, 0, 1)).astype(np.uint8)
    return np.concatenate([square_images(count), alpha[..., None]], axis=3)


def make_trainer(tiny=None, model="fastgan", log=lambda line: None, **changes):
    """Returns the Trainer of a new tiny run, in its first stage. It writes nothing."""
    _, preset = choose(None, model)
    config = TrainConfig(**{**vars(preset), **FLAGS[model], **changes})
    pixels = sprites() if config.channels == "rgba" else square_images()
    images = prepare(ArraySource("images", pixels), size=config.image_size, channels=config.channels)
    with in_place(tiny):
        return build_trainer(config, images, Run("unused"), log=log)


def take_steps(trainer, count, seen=0):
    """Takes steps one by one from image `seen` on.

    Returns:
        {statistic: float32 [count]}, 0 in steps that do not measure it.
    """
    trainer.enter(trainer.stage_at(seen))
    steps = []
    for _ in range(count):
        trainer.state.reset_statistics()
        seen, statistics, _ = trainer.take_steps(seen, count=1)
        steps.append({name: total for name, (total, _) in statistics.items()})
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


def all_finite(statistics):
    """True if all statistics are finite."""
    return all(np.isfinite(values).all() for values in statistics.values())


def assert_close(statistics, expected, rtol=1e-5, atol=1e-6):
    """Asserts that two dictionaries of arrays agree."""
    assert statistics.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(statistics[name], values, rtol=rtol, atol=atol, err_msg=name)


def first_step(trainer, seen=0):
    """(statistics, {player: gradient vector}) of the first step, the latter from Adam's (1 - beta1) times gradient."""
    statistics, gradients = take_steps(trainer, 1, seen), {}
    for player, optimizer in (("d", trainer.state.d_optimizer), ("g", trainer.state.g_optimizer)):
        gradients[player] = np.concatenate([m.numpy().ravel() for m in optimizer.m.values()]) / (1 - optimizer.beta1)
    return statistics, gradients


def assert_same_step(step, expected):
    """Asserts that two pairs (statistics, gradients) of a first step agree to 1e-5."""
    assert_close(step[0], expected[0])
    for player, gradient in expected[1].items():
        assert relative_l2(step[1][player], gradient) < 1e-5, player


def player_weights(trainer):
    """{name: array} of the trainable weights of G and D."""
    players = {player: trainable(getattr(trainer.state, player)) for player in ("g", "d")}
    return {f"{player}/{path}": v.numpy() for player, variables in players.items() for path, v in variables.items()}


def changed(before, after):
    """Names of the arrays that differ."""
    return {name for name, value in after.items() if not np.array_equal(value, before[name])}


def weights(run, seen):
    """{name: array} of everything in the checkpoint at `seen` images, with the names of TrainState.named_variables."""
    return read_arrays(run.checkpoint_prefix(seen))


def networks(run, seen):
    """{name: array} of the networks in a checkpoint."""
    return {name: value for name, value in weights(run, seen).items() if name.split("/")[0] in ("g", "d", "g_ema")}


def assert_equal(arrays, expected):
    """Asserts that two dictionaries of arrays are equal, bit for bit."""
    assert arrays.keys() == expected.keys()
    different = [name for name in arrays if not np.array_equal(arrays[name], expected[name], equal_nan=False)]
    assert not different, f"{len(different)} of {len(arrays)} arrays differ, such as {different[:3]}"


def assert_same_state(run, expected, seen, but=()):
    """Asserts that the checkpoints of two runs are equal, bit for bit, except for the names in `but`."""
    kept = [{name: value for name, value in weights(each, seen).items() if name not in but} for each in (run, expected)]
    assert_equal(*kept)


def assert_same_run(run, expected, seen):
    """Asserts that state, records, best score, sample grids and TensorBoard events of two runs are equal.

    A run that was stopped has additional grids, of the moment at which it continued; it has each event once.
    """
    assert_same_state(run, expected, seen)
    assert records(run) == records(expected)
    assert run.best_meta() == expected.best_meta()
    tags = events(run)
    assert len(tags) == len(set(tags)) and set(events(expected)) <= set(tags)
    for path in expected.samples.glob("samples-*.png"):
        assert path.read_bytes() == (run.samples / path.name).read_bytes()


def records(run, *kinds):
    """Records of stats.jsonl as dictionaries, of some kinds or all."""
    found = [json.loads(line) for line in run.stats.read_text().splitlines()]
    return [record for record in found if not kinds or record["kind"] in kinds]


def events(run):
    """(tag, step) of every value in the event files, except for speeds, which some steps lack."""
    return [(tag, step) for tag, step, _ in event_values(run) if not tag.startswith("speed/")]


def event_values(run):
    """(tag, step, tensor protocol buffer) of every value in the event files."""
    values = []
    for path in sorted(run.folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            values += [(value.tag, event.step, value.tensor) for value in event.summary.value]
    return values
