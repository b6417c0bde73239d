"""`gan-tf augment-preview DATASET --out FILE.png`: a grid of augmented images.

The first row has the original images, the next ones each augmentation alone, and the last one the combination used in
training. ADA changes its probability p during training; the preview uses `--p`.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import tyro
from PIL import Image, ImageDraw, ImageFont

from gan_tf.cli import arguments
from gan_tf.cli.datasets import resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.validation import POLICIES, policies_of
from gan_tf.data.prepare import prepare
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, user_path, writing

LABEL_WIDTH = 160  # pixels of the strip with the names of the rows
LABEL_SIZE = 16  # pixels, height of its letters


@dataclasses.dataclass(frozen=True)
class PreviewOptions:
    """Shows each augmentation, and their combination, on images of the dataset."""

    # A dataset name (panda, demo, ...), tfds:NAME, a folder, a .zip or an .npz.
    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    out: str = "augment-preview.png"  # PNG file to write
    images: int = 8  # number of images, spread evenly over the dataset
    resolution: int = 256  # training resolution in pixels
    size: str | None = None  # WIDTHxHEIGHT of training images that are not square, in place of --resolution
    channels: Literal["rgb", "grey", "rgba"] = "rgb"  # colours, grey values, or colours and transparency
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how images get this shape
    background: str = "white"  # colour under transparent and padded parts: a name or #rrggbb
    bits: int = 16  # bits that hold data in 16-bit images
    augment: Literal["diffaugment", "ada"] = "diffaugment"  # augmentation of the discriminator's input
    # diffaugment: comma-separated choice of color, translation, cutout (default color,translation). ada: blit, geom,
    # color, filter, noise, cutout, bg, bgc (default), bgcf, bgcfn or bgcfnc.
    augment_policy: str | None = None
    augment_probability: float = 1.0  # diffaugment: share of the images that are augmented, 0 to 1
    p: float = 0.5  # ada: probability of each transform, 0 to 1
    seed: int = 0  # seed of the random transforms
    offline: bool = False  # never download
    overwrite: bool = False  # replace existing files
    verbose: bool = False  # show TensorFlow's messages

    def __post_init__(self):
        for name in ("augment_probability", "p"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise UsageError(f"--{name.replace('_', '-')} is {value}; give a number from 0 to 1")
        if self.augment == "ada" and self.augment_probability != 1:
            raise UsageError("--augment-probability is for --augment diffaugment; use --p with ada")
        if self.augment == "diffaugment" and self.p != PreviewOptions.p:
            raise UsageError("--p is for --augment ada; use --augment-probability with diffaugment")
        if self.images < 1:
            raise UsageError(f"--images is {self.images}; give an integer of at least 1")
        if Path(self.out).suffix.lower() != ".png":
            raise UsageError(f"--out is {self.out}; give a name that ends in .png")


def main(argv) -> int:
    """Writes the preview and returns the exit code."""
    options = arguments.parse(PreviewOptions, argv, prog="gan-tf augment-preview")
    policies = policies_of(options.augment, options.augment_policy)
    if not user_path(options.out).absolute().parent.is_dir():
        raise UsageError(f"--out {options.out}: there is no folder {Path(options.out).parent}; create it")
    check_writable(user_path(options.out), "--out", overwrite=options.overwrite)
    start_tensorflow(options.verbose)
    from gan_tf.augment.choice import Augmentation

    size = arguments.size_of_options(options)
    source = resolve(options.dataset, size=size, offline=options.offline)
    settings = {name: getattr(options, name) for name in ("channels", "fit", "background", "bits")}
    images = prepare(source, size=size, **settings, limit=options.images).images
    augmentation = Augmentation(options.augment, policies, options.augment_probability)
    rows = preview_rows(images, augmentation, options.p, options.seed)
    with writing(options.out, "--out"):
        image_files.save_png(user_path(options.out), labelled_rows(rows))
    print(f"{options.out}: {len(images)} images; rows from the top: {', '.join(rows)}")
    return 0


def preview_rows(images, augmentation, p, seed):
    """Augments images uint8 [N, H, W, C] as in training. Returns {name of the row: uint8 [N, H, W, C]} from the top.

    The last row has `augmentation`; the rows above have single ones: those of diffaugment, or the groups of ada's
    policy, whose transforms have the probability `p`. All rows use the same random draws, those of `seed`.
    """
    from gan_tf.augment.ada import GROUPS
    from gan_tf.augment.ada import POLICIES as ADA_POLICIES
    from gan_tf.augment.choice import Augmentation, augment
    from gan_tf.ops.pixels import from_uint8
    from gan_tf.rng import Draws

    scaled = from_uint8(images)
    draws = Draws(seed, 0, len(images))

    def apply(augmentation):
        return image_files.to_uint8(augment(scaled, draws, "reals", augmentation, p))

    if augmentation.kind == "ada":
        transforms = set(ADA_POLICIES[augmentation.policies[0]])
        single, suffix = [name for name, group in GROUPS.items() if transforms.issuperset(group)], f" at {p:g}"
    else:
        single, suffix = POLICIES, f" at {augmentation.probability:g}" if augmentation.probability != 1 else ""
    rows = {"original": images}
    rows |= {name: apply(Augmentation(augmentation.kind, (name,))) for name in single}
    return {**rows, f"{'+'.join(augmentation.policies)}{suffix} (training)": apply(augmentation)}


def labelled_rows(rows):
    """Returns {name: uint8 [N, H, W, C]} as one uint8 image, a row per entry with its name on the left."""
    first = next(iter(rows.values()))
    cells = image_files.rgb_grid(np.concatenate(list(rows.values())), columns=len(first))
    strip = Image.new("RGB", (LABEL_WIDTH, len(cells)), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(LABEL_SIZE)
    for i, name in enumerate(rows):
        lines = name.replace("+", "\n+ ").replace(" (", "\n(")
        middle = (i + 0.5) * first.shape[1]
        draw.multiline_text((LABEL_WIDTH / 2, middle), lines, "black", font, anchor="mm", align="center")
    return np.concatenate([np.asarray(strip), cells], axis=1)
