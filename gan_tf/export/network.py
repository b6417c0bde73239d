"""The function that every exported file computes: latents to images, with all weights folded."""

import dataclasses
import os

import tensorflow as tf

from gan_tf import rng
from gan_tf.ops.forms import FAST, PLAIN, Forms, use_forms

LATENTS, LABELS, IMAGES = "latents", "labels", "images"
# TensorFlow elsewhere need not have XLA.
UNCOMPILED = dataclasses.replace(FAST, compiled_chains=False)
# Kernels of 3x3 taps and not of 4x4 (smaller files), and upsampling as converters know it.
CONVERTIBLE = dataclasses.replace(PLAIN, resize_operation=True)
TRANSPOSED = dataclasses.replace(CONVERTIBLE, transposed_up_conv=True)


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """What the user chose.

    precision: "float32", "float16" or "int8", of the stored weights. Inputs and images are float32 in each.
    noise: "constant": the maps of `noise_seed` are part of the file; "input": the caller gives them; "none": nothing is
        added, the only choice for a family without noise.
    batch: images at once, None for any number.
    label: the class of all images, for conditional networks; None: the caller gives one for each.
    """

    precision: str = "float32"
    noise: str = "none"
    noise_seed: int = 0
    batch: int | None = None
    label: int | None = None


def usable_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def folded(trained, forms: Forms):
    """The generator of a `TrainedGenerator` for inference, in float32, built in these forms."""
    with use_forms(forms):
        return trained.folded()


def input_specs(generator, settings: ExportSettings):
    """Shapes and names of what a file takes: latents, then classes and noise maps, if they are inputs."""
    specs = [tf.TensorSpec([settings.batch, generator.latent_size], tf.float32, LATENTS)]
    if takes_labels(generator, settings):
        specs.append(tf.TensorSpec([settings.batch], tf.int32, LABELS))
    if settings.noise == "input":
        for i, shape in enumerate(generator.noise_shapes):
            specs.append(tf.TensorSpec([settings.batch, *shape], tf.float32, f"noise_{i}"))
    return specs


def takes_labels(generator, settings: ExportSettings) -> bool:
    """True if the caller of a file says which class each image shall have."""
    return bool(generator.classes) and settings.label is None


def split(generator, settings: ExportSettings, inputs):
    """(latents, classes or None, the others) of what a file is given, with the class that it has itself."""
    latents, *others = inputs
    if takes_labels(generator, settings):
        return latents, others[0], others[1:]
    labels = tf.fill(tf.shape(latents)[:1], settings.label) if generator.classes else None
    return latents, labels, others


def traced(trained, settings: ExportSettings, forms: Forms):
    """Returns a tf.function of `input_specs` that gives {"images": float32 [N, R, R, 3] in [-1, 1]}.

    Networks may leave [-1, 1] a little; a program that turns floats into bytes without clipping would wrap there.
    """
    generator = folded(trained, forms)
    # As arrays: tensors of here would become inputs of the function.
    constants = [map_.numpy() for map_ in rng.noise_of_seeds([settings.noise_seed], generator.noise_shapes)]

    @tf.function(input_signature=input_specs(generator, settings), autograph=False)
    def make(*inputs):
        latents, labels, maps = split(generator, settings, inputs)
        if settings.noise == "constant":
            maps = [constant + unknown_zero(latents) for constant in constants]
        images = generator(latents, labels, noise=list(maps) or None, training=False)
        return {IMAGES: tf.clip_by_value(images, -1.0, 1.0)}

    with use_forms(forms):
        make.get_concrete_function()
    return make


def unknown_zero(latents):
    """The number 0, float32 [], in a way that a converter cannot know.

    It would else multiply a constant map [1, h, w, 1] by its strengths [C] for good, and store [1, h, w, C]: 20 MB more
    in FastGAN's file at 256 pixels. (A one to multiply by does not help: factors are put into another order.)
    """
    return tf.nn.relu(-tf.reduce_mean(latents**2))


def inputs_of_seeds(generator, settings: ExportSettings, seeds):
    """What a file is given to make the images of `seeds`: a list of arrays. Classes come in turn."""
    inputs = [rng.latents_of_seeds(seeds, generator.latent_size)]
    if takes_labels(generator, settings):
        inputs.append(tf.constant([seed % generator.classes for seed in seeds], tf.int32))
    if settings.noise == "input":
        inputs += rng.noise_of_seeds(seeds, generator.noise_shapes)
    return [tensor.numpy() for tensor in inputs]


def reference(generator, settings: ExportSettings):
    """Returns what a file is compared with: a function of the same inputs that runs the folded Keras generator."""
    constants = rng.noise_of_seeds([settings.noise_seed], generator.noise_shapes)
    make = tf.function(generator, autograph=False)

    def images_of(inputs):
        latents, labels, maps = split(generator, settings, [tf.constant(array) for array in inputs])
        if settings.noise == "constant":
            maps = [tf.repeat(constant, len(latents), axis=0) for constant in constants]
        return tf.clip_by_value(make(latents, labels, noise=maps or None, training=False), -1.0, 1.0).numpy()

    return images_of
