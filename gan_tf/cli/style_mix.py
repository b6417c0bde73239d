"""`gan-tf style-mix RUN --rows SEEDS --columns SEEDS`: combines the content and style of images."""

import dataclasses
from pathlib import Path

from gan_tf.cli import arguments
from gan_tf.cli.generate import GeneratorOptions, load_from_options, run_on_device
from gan_tf.errors import UsageError
from gan_tf.io import image_files
from gan_tf.io.files import check_writable, user_path
from gan_tf.io.progress import Progress
from gan_tf.sampling.seeds import parse_seeds


@dataclasses.dataclass(frozen=True)
class StyleMixOptions(GeneratorOptions):
    """Writes a table of mixed images: content from the seeds of --rows, style from those of --columns."""

    rows: str = "0-5"  # content seeds: integers and ranges
    columns: str = "6-11"  # style seeds
    # stylegan2: layers that take the style of --columns; the others keep that of --rows. 0-2 are coarse (pose, shape),
    # 3-6 middle, from 7 on fine (colours); default 7-, below 64 pixels the upper half. The official program uses 0-6
    layers: str | None = None
    out: str = "style-mix.png"  # image to write

    def __post_init__(self):
        super().__post_init__()
        if Path(self.out).suffix.lower() != ".png":
            raise UsageError(f"--out {self.out}: style-mix writes PNG files; give a .png")
        for name in ("rows", "columns"):
            parse_seeds(getattr(self, name), f"--{name}")


def main(argv) -> int:
    """Runs the command and returns its exit code."""
    options = arguments.parse(StyleMixOptions, argv, prog="gan-tf style-mix")
    check_writable(user_path(options.out), "--out", overwrite=options.overwrite)
    return run_on_device(style_mix, options)


def style_mix(options) -> int:
    """Generates and writes the table; returns the exit code."""
    from gan_tf.sampling.generate import check_supported, mixed_table, style_layers

    rows, columns = (parse_seeds(getattr(options, name), f"--{name}") for name in ("rows", "columns"))
    loaded = load_from_options(options)
    g = loaded.generator
    check_supported(loaded.trained.config, "style_mix", "style-mix", options.run)
    layers = style_layers(g, options.layers)
    height, width, _ = g.image_shape
    width, height = (len(columns) + 2) * width, (len(rows) + 2) * height  # with headers and a gap
    table = f"--rows names {len(rows)} seeds and --columns {len(columns)}"
    image_files.check_image_size(width, height, table, "give fewer")
    with Progress((len(rows) + 1) * (len(columns) + 1) - 1, "mixed") as progress:
        image = mixed_table(
            g, rows, columns, loaded.batch_size, options.truncation, loaded.labels, layers, progress.advance
        )
    out = user_path(options.out)
    in_layers = f" in the layers {','.join(map(str, sorted(layers)))}" if layers else ""
    about = f"style mixing of {options.run}: content of seeds {options.rows} (rows), "
    about += f"style of {options.columns} (columns){in_layers}"
    about += loaded.describe_classes(rows, "; classes of the rows")
    about += loaded.describe_classes(columns, "; classes of the columns")
    image_files.save_png(out, image, description=about)
    print(f"{len(rows)} x {len(columns)} mixed images, content from the left, style from the top{in_layers}: {out}")
    return 0
