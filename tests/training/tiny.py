"""A family whose step is traced in a second, for every test of training that is not about FastGAN's networks.

It is trained by FastGAN's recipe; only the networks are others: a linear generator of 8x8 maps with batch norm and a
noise map, and a linear discriminator with 50 logits and three linear decoders.
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
from gan_tf.config.settings import TrainConfig
from gan_tf.data.prepare import prepare
from gan_tf.data.sources import ArraySource
from gan_tf.metrics.definitions import METRICS
from gan_tf.models.variables import load_weights, named_variables
from gan_tf.ops.layers import BatchNorm
from gan_tf.runs.folder import Run
from gan_tf.sampling.sampler import SAMPLE_BATCH
from gan_tf.training import recipes, samples
from gan_tf.training.recipes import fastgan
from gan_tf.training.step import Phase, Recipe
from gan_tf.training.trainer import build_trainer

RESOLUTION = 64
MAP = 8
FAKES = 32  # images in a score, so that it takes no time
FLAGS = {
    "resolution": RESOLUTION,
    "ngf": 8,
    "ndf": 8,
    "latent_size": 16,
    "batch_size": 4,
    "epoch_images": 40,
    "metric": "swd2k",
    "total_kimg": 0.08,
    "precision": "float32",
    "run": "tiny",
    "keep": 100,
    "augment": "none",  # its tracing takes a third of a run; tests of resuming and replicas put it back
}


def square_pictures(count=12, seed=0):
    """Smooth pictures uint8 [count, 64, 64, 3], all different."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:RESOLUTION, :RESOLUTION] / RESOLUTION
    waves = [np.sin(6 * (rng.uniform(0, 3) * x + rng.uniform(0, 3) * y + rng.uniform())) for _ in range(3 * count)]
    return (
        (127.5 + 127.5 * np.stack(waves).reshape(count, 3, RESOLUTION, RESOLUTION))
        .astype(np.uint8)
        .transpose(0, 2, 3, 1)
    )


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
    """The call of models.fastgan.FastGanGenerator. Its moments follow the batch only if `normalised`."""

    noise_shapes = [(MAP, MAP, 1)]
    resolution, small_resolution = RESOLUTION, RESOLUTION // 2

    def __init__(self, latent_size, seed=0, normalised=True, **kwargs):
        super().__init__(**kwargs)
        self.latent_size = latent_size
        self.layers_in_list = [Linear(MAP * MAP * 3, seed, dtype=self.dtype_policy)]  # a list: checkpoints lose those
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
    """The calls of models.fastgan.FastGanDiscriminator."""

    small_resolution = RESOLUTION // 2

    def __init__(self, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.judges = [Linear(25, seed + i, dtype=self.dtype_policy) for i in range(2)]
        self.decoders = {
            name: Linear(MAP * MAP * 3, seed, dtype=self.dtype_policy) for name in ("big", "small", "part")
        }

    def build(self, shape=None):
        for layer in (*self.judges, *self.decoders.values()):
            layer.build((None, MAP * MAP * 3))

    def call(self, inputs, labels=None, training=False):
        logits = [tf.cast(judge(_pooled(x)), tf.float32) for judge, x in zip(self.judges, inputs, strict=True)]
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
    """The call of a folded FastGanGenerator: the images alone."""

    def call(self, z, labels=None, noise=None, training=False):
        return super().call(z, labels, noise, training)[0]

    def refresh(self, weights):
        if isinstance(weights, keras.Model):
            weights = named_variables(weights)
        load_weights(self, {path: np.asarray(value) for path, value in weights.items()}, "generator")


@dataclasses.dataclass(frozen=True)
class Tiny:
    """What takes FastGAN's place: networks and a recipe."""

    family: models.Family
    recipe: Recipe


def family(train_step=fastgan.train_step, normalised=True):
    """Tiny networks under FastGAN's recipe, perhaps with another step around its own."""

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
        judge=lambda discriminator, generator: lambda image, labels=None: discriminator(image, training=False),
    )
    return Tiny(networks, dataclasses.replace(fastgan.RECIPE, phases=phases))


FASTGAN = Tiny(models.FAMILIES["fastgan"], fastgan.RECIPE)  # the real one, at the width and size of FLAGS


@contextlib.contextmanager
def in_place(tiny=None, fakes=FAKES):
    """`--model fastgan` trains `tiny` (default: the tiny family); scores and grids take a few images only."""
    tiny = tiny or family()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.FAMILIES, "fastgan", tiny.family)
        patch.setitem(recipes.RECIPES, "fastgan", tiny.recipe)
        for name in ("swd2k", "memorisation"):
            patch.setitem(METRICS, name, METRICS[name]._replace(fakes=fakes))
        patch.setitem(samples.GRID_SEEDS, RESOLUTION, SAMPLE_BATCH)
        yield


def arguments(dataset, checkpoints, **changes):
    """The command line of a tiny run; True and None are flags without a value and flags left out."""
    flags = {"dataset": dataset, "checkpoints": checkpoints, **FLAGS, **changes}
    words = []
    for name, value in flags.items():
        if value is not None:
            words += [f"--{name.replace('_', '-')}", *([] if value is True else [str(value)])]
    return words


def pictures_file(folder):
    """A data set of 12 pictures: the path of an .npz in `folder`."""
    path = folder / "pictures.npz"
    np.savez(path, images=square_pictures())
    return path


def train(dataset, checkpoints, tiny=None, **changes):
    """Trains a tiny run in this process as the command line does: (exit code, Run)."""
    with in_place(tiny):
        code = run_command("train", arguments(dataset, checkpoints, **changes))
    return code, Run(checkpoints / changes.get("run", FLAGS["run"]))


def make_trainer(tiny=None, folder="unused", **changes):
    """The trainer of a new tiny run, which writes nothing until it is trained."""
    image_set = prepare(ArraySource("pictures", square_pictures()), resolution=RESOLUTION)
    with in_place(tiny):
        return build_trainer(TrainConfig(**{**FLAGS, **changes}), image_set, Run(folder), log=lambda line: None)


def take_steps(trainer, count, seen=0):
    """Takes steps one by one from image `seen` on: {statistic: float32 [count]}, 0 in steps that do not measure it."""
    trainer.enter(trainer.stage_at(seen))
    steps = []
    for _ in range(count):
        trainer.state.reset_statistics()
        seen, statistics, _ = trainer.take_steps(seen, count=1)
        steps.append({name: total for name, (total, _) in statistics.items()})
    return {name: np.array([step[name] for step in steps]) for name in steps[0]}


def all_finite(statistics):
    """True if all values of `take_steps` are finite."""
    return np.isfinite(list(statistics.values())).all()


def assert_close(statistics, expected, rtol=1e-5, atol=1e-6):
    """All values of two calls of `take_steps` agree."""
    assert statistics.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(statistics[name], values, rtol=rtol, atol=atol, err_msg=name)


def first_gradients(trainer):
    """Gradients of the one step that was taken, {player: vector}: Adam's first moment is (1 - beta1) of them."""
    found = {}
    for player, optimizer in (("d", trainer.state.d_optimizer), ("g", trainer.state.g_optimizer)):
        found[player] = np.concatenate([m.numpy().ravel() for m in optimizer.m.values()]) / (1 - optimizer.beta1)
    return found


def relative_l2(value, expected):
    return np.linalg.norm(value - expected) / np.linalg.norm(expected)


def weights(run, seen):
    """{name: array} of everything in the checkpoint at `seen` images."""
    reader = tf.train.load_checkpoint(str(run.checkpoint_prefix(seen)))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name}


def assert_same_state(one, other, seen, but=()):
    """Every variable of two runs' checkpoints is equal, bit for bit, but those of these names."""
    ours, theirs = (
        {name: value for name, value in weights(run, seen).items() if name.split("/")[0] not in but}
        for run in (one, other)
    )
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not np.array_equal(ours[name], theirs[name], equal_nan=False)]
    assert not different, f"{len(different)} of {len(ours)} variables differ, such as {different[:3]}"


def records(run, *kinds):
    """Lines of stats.jsonl as the file has them, of some kinds or all."""
    lines = run.stats.read_text().splitlines()
    return [line for line in lines if not kinds or json.loads(line)["kind"] in kinds]


def events(run):
    """(tag, step) of every value in the event files, in any order; speeds, which some steps lack, are left out."""
    found = []
    for path in sorted(run.folder.glob("events.*")):
        for record in tf.data.TFRecordDataset(str(path)):
            event = tf.compat.v1.Event.FromString(record.numpy())
            tags = [value.tag for value in event.summary.value]
            found += [(tag, event.step) for tag in tags if not tag.startswith("speed/")]
    return found
