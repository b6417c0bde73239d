"""`gan-tf style-mix RUN --rows SEEDS --columns SEEDS`: the content of some images with the style of others."""

import dataclasses
from pathlib import Path
from typing import Annotated, Literal

import tyro

from gan_tf.cli import arguments
from gan_tf.cli.trained import check_batch_size, on_device, open_run, refuse
from gan_tf.errors import UsageError
from gan_tf.sampling.seeds import parse_seeds

PICTURE_PIXELS = 16384  # longest side that other programs still open


@dataclasses.dataclass(frozen=True)
class StyleMixOptions:
    """Mixes images: those of --rows give the content, those of --columns the style. The picture shows both beside."""

    # Folder of the run, such as checkpoints/panda.
    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    rows: str = "0-5"  # seeds that give the content: numbers and ranges with commas between them
    columns: str = "6-11"  # seeds that give the style
    out: str = "style-mix.png"  # picture
    truncation: float = 1.0  # scale of the latents, as for generate
    which: str = "best"  # weights of the run: best, last, or the image count of a snapshot
    batch_size: int | None = None  # images at once; default as many as keep the machine busy
    precision: Literal["auto", "float32", "bfloat16"] = "auto"  # auto: bfloat16 where the hardware multiplies it
    verbose: bool = False  # let TensorFlow speak

    def __post_init__(self):
        check_batch_size(self)
        if Path(self.out).suffix.lower() != ".png":
            raise UsageError(f"--out {self.out} is no picture that this writes; give a .png")
        for name in ("rows", "columns"):
            seeds_of(self, name)


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, networks whose styles cannot be mixed, too little memory, or a
            file that cannot be written.
    """
    return on_device(style_mix, arguments.parse(StyleMixOptions, argv, prog="gan-tf style-mix"))


def style_mix(options) -> int:
    """Mixes and writes. Returns the exit code."""
    from gan_tf import pictures
    from gan_tf.progress import Progress
    from gan_tf.sampling.generate import check_truncation
    from gan_tf.sampling.style_mix import mixed_picture, mixed_table

    rows, columns = seeds_of(options, "rows"), seeds_of(options, "columns")
    opened = open_run(options)
    g, model = opened.generator, opened.trained.config.model
    refuse(options, model, "style_mix", "style-mix")
    check_truncation(options.truncation, model)
    if (max(len(rows), len(columns)) + 2) * g.resolution > PICTURE_PIXELS:
        raise UsageError(
            f"--rows names {len(rows)} seeds and --columns {len(columns)}: the picture would have more than "
            f"{PICTURE_PIXELS} pixels a side; give fewer"
        )

    def cells(progress):
        for cell in mixed_table(g, rows, columns, opened.batch_size, options.truncation):
            yield cell
            progress.advance()

    with Progress((len(rows) + 1) * (len(columns) + 1) - 1, "mixed") as progress:
        picture = mixed_picture(g, rows, columns, cells(progress))
    out = Path(options.out).expanduser()
    words = (
        f"style mixing of {options.run}: content of seeds {options.rows} (rows), style of {options.columns} (columns)"
    )
    pictures.save_png(out, picture, about=words)
    print(f"{len(rows)} x {len(columns)} mixtures, content from the left, style from above: {out}")
    return 0


def seeds_of(options, name):
    """The seeds that `--rows` or `--columns` names.

    Raises:
        UsageError: it names none.
    """
    try:
        return parse_seeds(getattr(options, name))
    except UsageError as error:
        raise UsageError(str(error).replace("--seeds", f"--{name}", 1)) from error
