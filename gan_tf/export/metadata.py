"""What travels inside every exported file: what it takes and gives, and where it comes from."""

import re

import gan_tf
from gan_tf.export import network

FORMAT = 1
LICENCE = (
    "The weights were learned from a set of images. The rights in those images may limit what may be done with this "
    "file and with the images that it makes; whoever passes it on should say which images they were. "
    "gan_tf, which made it, is under Apache-2.0; its licence says nothing about the weights."
)


CONVERTED = (
    "The weights come from a file of another program, which `converted_from` names: its publisher's terms hold for "
    "them, and for this file."
)


def describe(trained, generator, settings, *, form, which, scores, licence=None) -> dict:
    """Returns the metadata of one file, of plain JSON values.

    Args:
        trained: TrainedGenerator.
        generator: its folded form, whose sizes are the file's.
        settings: network.ExportSettings.
        form: name of the file's format.
        which: weights that were asked for: "best", "last" or an image count.
        scores: {"score", "final", "copies", "final_copies"}: dicts of a Score each, or None where it was not measured.
        licence: the user's own words, default LICENCE. Behind either stands CONVERTED, where it holds.
    """
    count = "N" if settings.batch is None else settings.batch
    size = generator.resolution
    inputs = [
        {
            "name": spec.name,
            "type": spec.dtype.name,
            "shape": [count, *spec.shape[1:]],
            "meaning": "numbers of classes" if spec.name == network.LABELS else "standard normal numbers",
        }
        for spec in network.input_specs(generator, settings)
    ]
    image = {"name": network.IMAGES, "type": "float32", "shape": [count, size, size, 3], "range": [-1, 1]}
    meaning = "RGB, rows from the top; for bytes: round((x + 1) * 127.5)"
    return {
        "format": FORMAT,
        "made_by": f"gan_tf {gan_tf.__version__}",
        "file": form,
        "family": trained.config.model,
        "resolution": size,
        "grows_to": trained.config.resolution,
        "latent_size": generator.latent_size,
        "precision": settings.precision,
        "batch": "dynamic" if settings.batch is None else settings.batch,
        "noise": settings.noise,
        "noise_seed": settings.noise_seed if settings.noise == "constant" else None,
        "classes": list(trained.classes.names),
        "class": None if settings.label is None else trained.classes.names[settings.label],
        "inputs": inputs,
        "outputs": [{**image, "meaning": meaning}],
        "weights": which,
        "images_seen": trained.images_seen,
        **{name: without_paths(score) for name, score in scores.items()},
        "converted_from": trained.converted_from,
        "licence": " ".join([licence or LICENCE] + ([CONVERTED] if trained.converted_from else [])),
    }


def without_paths(score):
    """A score whose protocol names a folder of its maker's computer by the last part alone: the file is for others."""
    if score is None:
        return None
    protocol = {
        name: re.split(r"[/\\]", value.rstrip("/\\"))[-1]
        if name.endswith("_source") and isinstance(value, str)
        else value
        for name, value in score["protocol"].items()
    }
    return {**score, "protocol": protocol}
