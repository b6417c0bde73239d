"""The function that an exported file computes, latents to images, and the metadata that describe it."""

import dataclasses
import os
import re

import tensorflow as tf

import gan_tf
from gan_tf import rng
from gan_tf.ops.forms import FAST, PLAIN, Forms, use_forms

LATENTS, LABELS, IMAGES = "latents", "labels", "images"
METADATA_FORMAT = 1
# For SavedModel: the TensorFlow that loads it may lack XLA.
UNCOMPILED = dataclasses.replace(FAST, compiled_chains=False)
# Kernels of 3x3 instead of 4x4 taps (smaller files), and upsampling by an operation that converters support.
CONVERTIBLE = dataclasses.replace(PLAIN, resize_operation=True, shared_small_modulation=True)
TRANSPOSED = dataclasses.replace(CONVERTIBLE, transposed_up_conv=True)
ROUNDED = "rows from the top; for bytes: round((x + 1) * 127.5)"
MEANINGS = {  # of images, by the setting `channels`
    "rgb": f"RGB, {ROUNDED}",
    "grey": f"grey values, {ROUNDED}",
    "rgba": "RGBA with colours multiplied by alpha, rows from the top; for bytes with straight alpha: alpha "
    "round((a + 1) * 127.5), each colour min(255, round(255 * (x + 1) / (a + 1))), or 0 where alpha is 0",
}
LICENCE = (
    "The weights were learned from a set of images. The rights in those images may limit what may be done with this "
    "file and with the images that it generates; if you pass it on, name the training images. "
    "gan_tf, which wrote it, is under Apache-2.0; that licence does not cover the weights."
)
CONVERTED = (
    "The weights were converted from the file of another program named in `converted_from`: the terms of its publisher "
    "apply to them and to this file."
)


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """Settings of an exported file."""

    precision: str = "float32"  # or "float16", "int8"; of the stored weights. Inputs and images are always float32
    # "constant": the noise maps of `noise_seed` are stored; "input": noise maps are inputs; "none": no noise
    noise: str = "none"
    noise_seed: int = 0
    batch: int | None = None  # batch size; None: any
    label: int | None = None  # class of all images of a conditional generator; None: labels are an input


def usable_cores() -> int:
    """Returns the number of CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def folded(trained, forms: Forms):
    """Returns the generator of a TrainedGenerator for inference in float32, built with these forms of operations."""
    with use_forms(forms):
        return trained.folded()


def input_specs(generator, settings: ExportSettings):
    """Returns the TensorSpecs of the inputs: latents, labels and noise maps, as far as they are inputs."""
    specs = [tf.TensorSpec([settings.batch, generator.latent_size], tf.float32, LATENTS)]
    if generator.classes and settings.label is None:
        specs.append(tf.TensorSpec([settings.batch], tf.int32, LABELS))
    if settings.noise == "input":
        for i, shape in enumerate(generator.noise_shapes):
            specs.append(tf.TensorSpec([settings.batch, *shape], tf.float32, f"noise_{i}"))
    return specs


def split_inputs(generator, settings: ExportSettings, inputs):
    """Splits the inputs of a file into (latents, labels or None, list of noise maps). Adds a fixed class label."""
    latents, *others = inputs
    if not generator.classes:
        return latents, None, others
    if settings.label is None:
        return latents, others[0], others[1:]
    return latents, tf.fill(tf.shape(latents)[:1], settings.label), others


def traced(trained, settings: ExportSettings, forms: Forms):
    """Returns the tf.function of an exported file: inputs as `input_specs` -> {"images": float32 [N, H, W, C]}.

    Images are clipped to [-1, 1]: networks may exceed it a little, and a program that casts to bytes would wrap around.
    """
    generator = folded(trained, forms)
    # As arrays: captured tensors would become inputs of the function.
    constants = [noise.numpy() for noise in rng.noise_of_seeds([settings.noise_seed], generator.noise_shapes)]

    @tf.function(input_signature=input_specs(generator, settings), autograph=False)
    def generate(*inputs):
        latents, labels, noise = split_inputs(generator, settings, inputs)
        if settings.noise == "constant":
            # Converters fold constants: they would multiply a map [1, h, w, 1] by its strengths [C] and store
            # [1, h, w, C], 20 MB more in FastGAN's file at 256 pixels. They do not recognise this sum with 0.
            zero = tf.nn.relu(-tf.reduce_mean(latents**2))
            noise = [constant + zero for constant in constants]
        images = generator(latents, labels, noise=list(noise) or None, training=False)
        return {IMAGES: tf.clip_by_value(images, -1.0, 1.0)}

    with use_forms(forms):
        generate.get_concrete_function()
    return generate


def describe(trained, generator, settings, *, format_name, which, scores, licence=None) -> dict:
    """Returns the metadata of a file, as JSON values.

    Args:
        trained: TrainedGenerator.
        generator: its folded form.
        settings: ExportSettings.
        format_name: key of FORMATS.
        which: the weights: "best", "last" or an image count.
        scores: {name: Score as dict, or None if not measured} for "score", "final", "copies" and "final_copies".
        licence: text of the user; default: LICENCE. CONVERTED is added for converted weights.
    """
    batch = "dynamic" if settings.batch is None else settings.batch
    count, shape = "N" if settings.batch is None else batch, list(generator.image_shape)
    inputs = [
        {
            "name": spec.name,
            "type": spec.dtype.name,
            "shape": [count, *spec.shape[1:]],
            "meaning": "class numbers" if spec.name == LABELS else "standard normal numbers",
        }
        for spec in input_specs(generator, settings)
    ]
    image = {"name": IMAGES, "type": "float32", "shape": [count, *shape], "range": [-1, 1]}
    image["meaning"] = MEANINGS[trained.config.channels]
    return {
        "format": METADATA_FORMAT,
        "made_by": f"gan_tf {gan_tf.__version__}",
        "file": format_name,
        "family": trained.config.model,
        "resolution": generator.resolution,  # height and width of square images; see models/network.py
        "grows_to": trained.config.resolution,
        **image_properties(generator, trained),
        "latent_size": generator.latent_size,
        "precision": settings.precision,
        "batch": batch,
        "noise": settings.noise,
        "noise_seed": settings.noise_seed if settings.noise == "constant" else None,
        "classes": list(trained.classes.names),
        "class": None if settings.label is None else trained.classes.names[settings.label],
        "inputs": inputs,
        "outputs": [image],
        "weights": which,
        "images_seen": trained.images_seen,
        **{name: score and _without_folders(score) for name, score in scores.items()},
        "converted_from": trained.converted_from,
        "licence": licence_text(trained, licence),
    }


def image_properties(generator, trained) -> dict:
    """Returns width, height and kind of channels of the images, for metadata."""
    height, width, _ = generator.image_shape
    return {"width": width, "height": height, "channels": trained.config.channels}


def licence_text(trained, licence=None) -> str:
    """Returns the licence in the metadata of a file. licence: text of the user; default: LICENCE."""
    return " ".join([licence or LICENCE] + ([CONVERTED] if trained.converted_from else []))


def _without_folders(score):
    """Returns a score dict without private paths: of the path of an image set, only the last part is kept."""
    protocol = dict(score["protocol"])
    for name, value in protocol.items():
        if name.endswith("_source") and isinstance(value, str):
            protocol[name] = re.split(r"[/\\]", value.rstrip("/\\"))[-1]
    return {**score, "protocol": protocol}
