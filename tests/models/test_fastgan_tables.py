"""The tables of docs/fastgan.md against the networks."""

import pathlib
import re

import pytest

from gan_tf.models.fastgan import RESOLUTIONS, FastGanDiscriminator, FastGanGenerator

DOCS = pathlib.Path(__file__).parents[2] / "docs" / "fastgan.md"


def table(heading):
    """Rows of the first table under `heading`: a list of {column: cell}."""
    section = DOCS.read_text().split(f"## {heading}\n", 1)[1]
    lines = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE).group().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]


def channels(row):
    """{map size: channels} of the columns that are map sizes, empty cells left out."""
    return {int(size): int(cell) for size, cell in row.items() if size.isdigit() and cell}


def pairs(row):
    return re.findall(r"\d+->(\d+)", row["excitation pairs"])


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_generator_table(resolution):
    row = next(row for row in table("Generator") if row["R"] == str(resolution))
    g = FastGanGenerator(resolution)
    built = {4: g.stem.filters // 2} | {8 * 2**i: block.filters for i, block in enumerate(g.blocks)}
    assert channels(row) == built
    assert int(row["S"]) == g.small_resolution and int(row["latents"]) == g.latent_size
    assert [built[int(size)] for size in pairs(row)] == [excitation.filters for excitation in g.excitations]
    assert (row["ends in tanh"] == "yes") == g.tanh


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_discriminator_tables(resolution):
    d = FastGanDiscriminator(resolution)
    row = next(row for row in table("Discriminator, big path") if row["R"] == str(resolution))
    built = [d.stem[-1].filters, *(block.filters for block in d.blocks)]
    assert list(channels(row).values()) == built and max(channels(row)) == d.largest_map
    assert int(row["head"]) == d.head.filters
    assert [channels(row)[int(size)] for size in pairs(row)] == [layer.filters for layer in d.excitations]
    small = next(row for row in table("Discriminator, small path") if str(resolution) in row["R"].split(", "))
    assert list(channels(small).values()) == [block.filters for block in d.small_blocks]
    assert int(small["S"]) == d.small_resolution
