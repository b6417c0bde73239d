"""`gan-tf augment-preview DATASET --out FILE.png`: what the discriminator will see of the user's images.

One row shows the images as they are, one each augmentation alone, and the last what training applies: all of
`--augment-policy` together. `--augment ada` moves its probability in training; `--p` says which one is shown.
"""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.datasets import resolve
from gan_tf.cli.quiet import start_tensorflow
from gan_tf.config.validation import POLICIES, policies_of
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path, writing

LABEL_WIDTH = 160  # pixels of the strip that names the rows
LABEL_SIZE = 16  # pixels, height of its letters


@dataclasses.dataclass(frozen=True)
class PreviewOptions:
    """Shows every augmentation, and their combination, on images of the data set."""

    # A known name (panda, demo, ...), tfds:NAME, a folder, a .zip or an .npz.
    dataset: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="DATASET")]
    out: str = "augment-preview.png"  # PNG file to write
    images: int = 8  # images shown, spread evenly over the set
    resolution: int = 256  # pixels that they are trained at
    fit: Literal["crop", "pad", "stretch"] = "crop"  # how an image becomes square
    background: str = "white"  # colour under transparent and padded parts: a name or #rrggbb
    augment: Literal["diffaugment", "ada"] = "diffaugment"  # augmentation in front of the discriminator
    # diffaugment: comma-separated choice of color, translation, cutout (default color,translation). ada: blit, geom,
    # color, filter, noise, cutout, bg, bgc (default), bgcf, bgcfn or bgcfnc.
    augment_policy: str | None = None
    augment_probability: float = 1.0  # diffaugment: share of the images that are augmented, 0 to 1
    p: float = 0.5  # ada: probability of each transform, 0 to 1
    seed: int = 0  # other random changes with another seed
    offline: bool = False  # forbid every fetch
    verbose: bool = False  # let TensorFlow speak

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the augmentations that training would apply, in order; of ada, the one name of its policy."""
        return policies_of(self.augment, self.augment_policy)


def main(argv) -> int:
    """Writes the preview. Returns the exit code.

    Raises:
        UsageError: a wrong option, no readable image, or a file that cannot be written.
    """
    options = arguments.parse(PreviewOptions, argv, prog="gan-tf augment-preview")
    check(options)
    start_tensorflow(options.verbose)
    from gan_tf.augment.choice import Augmentation
    from gan_tf.data.prepare import prepare
    from gan_tf.io.image_files import save_png

    source = resolve(options.dataset, resolution=options.resolution, offline=options.offline)
    images = prepare(
        source,
        resolution=options.resolution,
        fit=options.fit,
        background=options.background,
        limit=options.images,
    ).images
    chosen = Augmentation(options.augment, options.policies, options.augment_probability)
    rows = preview_rows(images, chosen, options.p, options.seed)
    with writing(options.out, "--out"):
        save_png(user_path(options.out), labelled_rows(rows))
    print(f"{options.out}: {len(images)} images; rows from the top: {', '.join(rows)}")
    return 0


def check(options):
    """Raises UsageError for an option that makes no sense, before anything is read."""
    _ = options.policies  # raises if there is no such policy
    if not 0 <= options.augment_probability <= 1:
        raise UsageError(f"--augment-probability must be from 0 to 1, got {options.augment_probability}")
    if not 0 <= options.p <= 1:
        raise UsageError(f"--p must be from 0 to 1, got {options.p}")
    if options.augment == "ada" and options.augment_probability != 1:
        raise UsageError("--augment-probability belongs to --augment diffaugment: use --p with ada")
    if options.augment == "diffaugment" and options.p != PreviewOptions.p:
        raise UsageError("--p belongs to --augment ada: use --augment-probability with diffaugment")
    if options.images < 1:
        raise UsageError(f"--images must be at least 1, got {options.images}")
    if not user_path(options.out).absolute().parent.is_dir():
        raise UsageError(f"--out {options.out}: there is no folder {Path(options.out).parent}")


def preview_rows(images, chosen, p, seed):
    """Augments images the way training does.

    Args:
        images: uint8 [N, R, R, 3].
        chosen: gan_tf.augment.choice.Augmentation, for the last row.
        p: of ada, probability of each transform, 0 to 1.
        seed: of the draws; the row of an augmentation alone uses the same draws as the last one.

    Returns:
        {name of the row: uint8 [N, R, R, 3]}, from the top. Alone stand all that diffaugment has, and the groups of
        ada's policy.
    """
    import tensorflow as tf

    from gan_tf.augment.choice import Augmentation, augment
    from gan_tf.io.image_files import to_uint8
    from gan_tf.rng import Draws, clock_of

    scaled = tf.cast(images, tf.float32) / 127.5 - 1.0
    draws = Draws(seed, clock_of(0), len(images))

    def shown(augmentation):
        return to_uint8(augment(scaled, draws, "reals", augmentation, p))

    if chosen.kind == "ada":
        alone, share = ada_groups(*chosen.policies), f" at {p:g}"
    else:
        alone, share = POLICIES, "" if chosen.probability == 1 else f" at {chosen.probability:g}"
    rows = {"original": images}
    rows |= {name: shown(Augmentation(chosen.kind, (name,))) for name in alone}
    return {**rows, "+".join(chosen.policies) + share + " (training)": shown(chosen)}


def ada_groups(policy):
    """The groups of transforms whose all members a policy of adaptive augmentation has."""
    from gan_tf.augment.ada import GROUPS, transforms_of

    return [name for name, transforms in GROUPS.items() if set(transforms) <= set(transforms_of(policy))]


def labelled_rows(rows):
    """{name: uint8 [N, R, R, 3]} -> one uint8 picture with a row for each entry and its name to the left."""
    import numpy as np
    from PIL import Image, ImageDraw, ImageFont

    from gan_tf.io.image_files import grid

    first = next(iter(rows.values()))
    cells = grid(np.concatenate(list(rows.values())), columns=len(first))
    strip = Image.new("RGB", (LABEL_WIDTH, len(cells)), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(LABEL_SIZE)
    for i, name in enumerate(rows):
        lines = name.replace("+", "\n+ ").replace(" (", "\n(")
        middle = (i + 0.5) * first.shape[1]
        draw.multiline_text((LABEL_WIDTH / 2, middle), lines, "black", font, anchor="mm", align="center")
    return np.concatenate([np.asarray(strip), cells], axis=1)
