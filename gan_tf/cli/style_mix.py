"""`gan-tf style-mix RUN --rows SEEDS --columns SEEDS`: the content of some images with the style of others."""

import dataclasses
from pathlib import Path

from gan_tf.cli import arguments
from gan_tf.cli.generator_options import GeneratorOptions, check_supported, load_from_options, run_on_device
from gan_tf.errors import UsageError
from gan_tf.io.files import check_writable, user_path
from gan_tf.sampling.seeds import parse_seeds


@dataclasses.dataclass(frozen=True)
class StyleMixOptions(GeneratorOptions):
    """Mixes images: those of --rows give the content, those of --columns the style. The picture shows both beside."""

    rows: str = "0-5"  # seeds that give the content: numbers and ranges with commas between them
    columns: str = "6-11"  # seeds that give the style
    # stylegan2: layers that take the style of --columns, the others keep that of --rows. 0-2 are coarse (pose, shape),
    # 3-6 middle, from 7 on fine (colours); default 7-, up to 32 pixels the upper half. 0-6 is the official program's
    layers: str | None = None
    out: str = "style-mix.png"  # picture

    def __post_init__(self):
        super().__post_init__()
        if Path(self.out).suffix.lower() != ".png":
            raise UsageError(f"--out {self.out} is no picture that this writes; give a .png")
        for name in ("rows", "columns"):
            parse_seeds(getattr(self, name), f"--{name}")


def main(argv) -> int:
    """Runs the command. Returns the exit code.

    Raises:
        UsageError: a wrong option, no trained generator, networks whose styles cannot be mixed, too little memory, or a
            file that cannot be written.
    """
    options = arguments.parse(StyleMixOptions, argv, prog="gan-tf style-mix")
    check_writable(user_path(options.out), "--out")
    return run_on_device(style_mix, options)


def style_mix(options) -> int:
    """Mixes and writes. Returns the exit code."""
    from gan_tf.io import image_files
    from gan_tf.io.progress import Progress
    from gan_tf.sampling.generate import check_truncation
    from gan_tf.sampling.style_mix import mixed_picture, mixed_table, styled_layers

    rows, columns = (parse_seeds(getattr(options, name), f"--{name}") for name in ("rows", "columns"))
    opened = load_from_options(options)
    g, model = opened.generator, opened.trained.config.model
    check_supported(options, model, "style_mix", "style-mix")
    check_truncation(options.truncation, model)
    layers = styled_layers(g, options.layers)
    width, height = ((count + 2) * g.resolution for count in (len(columns), len(rows)))  # with headers, and a gap
    what = f"--rows names {len(rows)} seeds and --columns {len(columns)}"
    image_files.check_image_size(width, height, what, "give fewer")

    def cells(progress):
        how = {"truncation": options.truncation, "layers": layers}
        how["labels_of"] = opened.labels if opened.trained.classes else None
        for cell in mixed_table(g, rows, columns, opened.batch_size, **how):
            yield cell
            progress.advance()

    with Progress((len(rows) + 1) * (len(columns) + 1) - 1, "mixed") as progress:
        picture = mixed_picture(g, rows, columns, cells(progress))
    out = user_path(options.out)
    of_layers = f" in the layers {','.join(map(str, sorted(layers)))}" if layers else ""
    words = (
        f"style mixing of {options.run}: content of seeds {options.rows} (rows), style of {options.columns} (columns)"
        f"{of_layers}"
    )
    words += opened.describe_classes(rows, "; classes of the rows")
    words += opened.describe_classes(columns, "; classes of the columns")
    image_files.save_png(out, picture, description=words)
    print(f"{len(rows)} x {len(columns)} mixtures, content from the left, style from above{of_layers}: {out}")
    return 0
