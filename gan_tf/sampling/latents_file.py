"""Reads the images that the web app exports as JSON: latents, classes, truncation and styles.

    {
      "format": "gan_tf latents", "version": 1,
      "model": {"name": "panda", "family": "fastgan", "weights": SHA-256 of the weights},
      "images": [
        {"seed": "12" or null, "latent": [Z numbers], "noise_seed": "12", "class": "red" or null, "truncation": 0.7,
         "style": null or {"latent": [Z numbers], "noise_seed": "7", "class": "red" or null, "layers": [0, 1]}}
      ]
    }

Latents are stored before truncation; `seed` is null if the latent is not that of a seed. `layers` are those that take
the style of the other latent: layers of StyleGAN2, excitations of FastGAN.
"""

import dataclasses
import hashlib
import re
import reprlib

import numpy as np

from gan_tf.config.validation import require_type
from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import printable
from gan_tf.io.json_text import json_text
from gan_tf.runs.files import read_json
from gan_tf.sampling.seeds import LARGEST_SEED

FORMAT, VERSION = "gan_tf latents", 1
MAX_BYTES = 64 << 20
MAX_IMAGES = 1000  # 1000 images with styles and latents of 512 numbers need 22 MB
LARGEST_NUMBER = 1000.0  # in a latent; larger ones could overflow in a network
MAX_TRUNCATION = 2.0


@dataclasses.dataclass(frozen=True)
class LatentsFile:
    """The content of a file, of which only the model and the number of images are checked."""

    where: str  # for messages
    model: dict  # "name", "family" and "weights"
    images: list

    @property
    def digest(self):
        """SHA-256 of the images in hex."""
        return hashlib.sha256(json_text(self.images).encode()).hexdigest()


@dataclasses.dataclass(frozen=True)
class SavedImages:
    """Inputs of the generator for N images.

    Attributes:
        content, style: (latents float32 [N, Z], noise seeds int64 [N], labels int32 [N] or None) each. The style of an
            image without style mixing is its own.
        replaced: bool [N, S], layers that take the style; S is 0 for families without style mixing.
        truncation: float32 [N].
        descriptions: N texts.
    """

    content: tuple
    style: tuple
    replaced: np.ndarray
    truncation: np.ndarray
    descriptions: list[str]


def read_latents_file(path) -> LatentsFile:
    """Reads an untrusted file. Raises UsageError if it is damaged, or has another format or too many images."""
    where = f"--latents {path}"
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it is larger than {MAX_BYTES >> 20} MB")
        stored = read_json(path)
    except (OSError, ValueError) as error:
        reason = reason_of(error, path)  # raises if the disk fails, or this user may not read the file
        reason = error.strerror if isinstance(error, OSError) else reason
        raise UsageError(f"{where} cannot be read ({reason}); give a file that the web app has exported") from error
    kind, version = stored.get("format"), stored.get("version")
    if kind != FORMAT or type(version) is not int or version != VERSION:
        raise UsageError(
            f"{where} has the format {reprlib.repr(kind)}, version {reprlib.repr(version)}; give a file of "
            f"{FORMAT!r}, version {VERSION}, as the web app exports it"
        )
    model, images = stored.get("model"), stored.get("images")
    require_type(model, dict, "model", where)
    for name in ("name", "family", "weights"):
        require_type(model.get(name), str, f"model.{name}", where)
    require_type(images, list[dict], "images", where)
    if not 1 <= len(images) <= MAX_IMAGES:
        raise UsageError(f"{where} has {len(images)} images; give a file with 1 to {MAX_IMAGES}")
    return LatentsFile(where, model, images)


def checked_images(file, trained, generator, run) -> SavedImages:
    """Checks the images of a LatentsFile against a generator.

    Args:
        trained: the run's TrainedGenerator.
        generator: the folded one.
        run: name of the run, for messages.

    Raises:
        UsageError: another family or latent size, an unknown class, layer or number, or a feature that the family does
            not have.
    """
    model, family = trained.config.model, file.model["family"]
    if family != model:
        raise UsageError(f"{file.where} is of a {printable(family)} generator, and {run} of {model}; give a run of it")
    checks = _Checks(file.where, run, trained.config, generator, trained.classes)
    rows = [checks.image(image, f"images[{i}]") for i, image in enumerate(file.images)]
    content, style, replaced, truncation, descriptions = zip(*rows, strict=True)
    return SavedImages(_columns(content), _columns(style), np.array(replaced), np.float32(truncation), descriptions)


class _Checks:
    """The limits of one generator, and methods that return a checked part of an image."""

    def __init__(self, where, run, config, generator, classes):
        from gan_tf.models import family_of  # with TensorFlow, which starts after the file is read

        self.where, self.run, self.model, self.classes = where, run, config.model, classes
        self.latent_size, self.unsupported = generator.latent_size, family_of(config).unsupported
        if hasattr(generator, "mapping"):
            self.layers = generator.mapping.copies
        else:
            self.layers = 0 if "style_mix" in self.unsupported else len(generator.excitations)

    def image(self, image, name):
        """Returns (content, style, replaced [S], truncation, description) of an image."""
        content, truncation = self.source(image, name), self.truncation(image.get("truncation"), f"{name}.truncation")
        description, style, layers = [], image.get("style"), []
        if image.get("seed") is not None:
            description.append(f"seed {self.seed(image['seed'], f'{name}.seed')}")
        if content[2] is not None:
            description.append(f"class {self.classes.names[content[2]]}")
        if truncation != 1:
            description.append(f"truncation {truncation:g}")
        if style is not None:
            require_type(style, dict, f"{name}.style", self.where)
            self.supported("style_mix", f"{name}.style", "null")
            layers = self.chosen(style.get("layers"), f"{name}.style.layers")
            style = self.source(style, f"{name}.style")
            description.append(f"style of another image in the layers {','.join(map(str, layers))}")
        replaced = [layer in layers for layer in range(self.layers)]
        return content, style or content, replaced, truncation, "; ".join(description) or "saved latent"

    def source(self, stored, name):
        """Returns (latent, noise seed, label or None)."""
        latent = stored.get("latent")
        require_type(latent, list, f"{name}.latent", self.where)
        if len(latent) != self.latent_size:
            raise UsageError(
                f"{self.where}: {name}.latent has {len(latent)} numbers, and the latents of {self.run} have "
                f"{self.latent_size}; give the run of this file"
            )
        for i, number in enumerate(latent):
            if type(number) not in (int, float) or not abs(number) <= LARGEST_NUMBER:
                raise UsageError(
                    f"{self.where}: {name}.latent[{i}] is {reprlib.repr(number)}; give a number from "
                    f"-{LARGEST_NUMBER:g} to {LARGEST_NUMBER:g}"
                )
        return latent, self.seed(stored.get("noise_seed"), f"{name}.noise_seed"), self.label(stored.get("class"), name)

    def seed(self, text, name):
        """Returns an integer that is stored as text, since numbers of JavaScript have 53 bits."""
        if not (isinstance(text, str) and re.fullmatch(r"\d{1,19}", text, re.ASCII) and int(text) <= LARGEST_SEED):
            value = reprlib.repr(text)
            raise UsageError(f'{self.where}: {name} is {value}; give an integer up to {LARGEST_SEED}, such as "12"')
        return int(text)

    def label(self, value, name):
        """Returns the label of a class given by name; None for unconditional networks."""
        if not self.classes:
            if value is not None:
                value = reprlib.repr(value)
                raise UsageError(
                    f"{self.where}: {name}.class is {value}, and {self.run} has no classes; set it to null"
                )
            return None
        require_type(value, str, f"{name}.class", self.where)
        return self.classes.number(value, f"{self.where}: {name}.class")

    def truncation(self, value, name):
        """Returns a truncation psi, see sampling.generate.check_truncation."""
        require_type(value, float, name, self.where)
        if not abs(value) <= MAX_TRUNCATION:
            limits = f"{-MAX_TRUNCATION:g} to {MAX_TRUNCATION:g}"
            raise UsageError(f"{self.where}: {name} is {value:g}; give a number from {limits}")
        if value != 1:
            self.supported("truncation", name, "1")
        return value

    def supported(self, feature, name, neutral):
        """Raises UsageError if the family does not have a feature; `neutral` is the value without it."""
        if reason := self.unsupported.get(feature):
            raise UsageError(
                f"{self.where}: {name} is for other families, because {self.model} {reason}; set it to {neutral}"
            )

    def chosen(self, layers, name):
        """Returns numbers of layers."""
        require_type(layers, list[int], name, self.where)
        if wrong := [layer for layer in layers if not 0 <= layer < self.layers]:
            last = self.layers - 1
            raise UsageError(f"{self.where}: {name} has {wrong[0]}, and the layers of {self.run} are 0 to {last}")
        return layers


def _columns(sources):
    """[(latent, noise seed, label)] of N images as arrays."""
    latents, seeds, labels = zip(*sources, strict=True)
    return np.float32(latents), np.int64(seeds), None if labels[0] is None else np.int32(labels)
