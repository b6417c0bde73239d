"""The drawn pandas and cats: constant pixels, equality across sizes, transparency, classes; all builders' metadata."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from gan_tf.cli.datasets import resolve
from gan_tf_datasets.catalogue import open_demo
from gan_tf_datasets.demo import demo_dataset_builder
from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.demo.panda_art import IMAGES
from gan_tf_datasets.demo.panda_art import draw_indexed as draw_panda
from gan_tf_datasets.demo_kinds.cat_art import draw_indexed as draw_cat
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import EACH
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import Builder as DemoKindsBuilder
from gan_tf_datasets.demo_sprites.demo_sprites_dataset_builder import Builder as DemoSpritesBuilder
from gan_tf_datasets.faces.faces_dataset_builder import Builder as FacesBuilder
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder

FLAT, HILLS, BAMBOO, DOTS = 4, 1, 9, 6  # pandas in these scenes


def draw_sprite(index, size):
    return draw_panda(index, size, transparent=True)


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("draw", "builder", "size", "digest"),
    [
        (draw_panda, DemoBuilder, (64, 64), "a6a8a5dad57d23836fafa569dcfebd68dda0730b44df0de4dc8bf31cf0d6cfce"),
        (draw_panda, DemoBuilder, (64, 96), "9314833616a46c06"),
        (draw_panda, DemoBuilder, (96, 64), "23cdc75925fbf6a1"),
        (draw_cat, DemoKindsBuilder, (64, 64), "3b173bf890d89c10"),
        (draw_sprite, DemoSpritesBuilder, (64, 64), "7516f20db39754ee"),
    ],
)
def test_pixels_are_those_of_the_version(draw, builder, size, digest):
    # Another digest means other images, so that prepared datasets and runs no longer agree with the code. Raise VERSION
    # in the builder, add a release note, then change the digest.
    assert str(builder.VERSION) == "1.0.0"
    assert hashlib.sha256(b"".join(draw(i, size).tobytes() for i in range(20))).hexdigest().startswith(digest)


@pytest.mark.parametrize("draw", [draw_panda, draw_cat])
@pytest.mark.parametrize("resolution", [128, 256])
def test_an_image_is_the_same_at_all_resolutions(draw, resolution):
    factor = resolution // 64
    means = draw(7, (resolution, resolution)).astype(float).reshape(64, factor, 64, factor, 3).mean((1, 3))
    assert np.abs(draw(7, (64, 64)) - means).mean() < 2


@pytest.mark.parametrize("size", [(64, 128), (96, 64)])
def test_other_shapes_show_the_square_image_and_more_of_its_scene(size):
    height, width = size
    row, column = height - 64, (width - 64) // 2
    for index in (FLAT, HILLS, DOTS):
        square = draw_panda(index, size)[row:, column : column + 64]
        np.testing.assert_array_equal(square, draw_panda(index, (64, 64)))
    for index in (BAMBOO, DOTS):
        image = draw_panda(index, size)
        for edge in (image[:12], image[-12:], image[:, :12], image[:, -12:]):
            assert (edge != edge[0, 0]).any()
    hills = draw_panda(HILLS, size)
    assert (hills[0] == hills[0, 0]).all() and (hills[-1] != hills[0, 0]).any(-1).all()


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_a_sprite_over_the_sky_is_the_image(size):
    """A fringe, or colours multiplied by alpha, would differ at the edges."""
    image, sprite = draw_panda(FLAT, size), draw_sprite(FLAT, size).astype(float)
    alpha = sprite[..., 3:] / 255
    assert np.abs(sprite[..., :3] * alpha + image[0, 0] * (1 - alpha) - image).max() <= 1
    assert not alpha[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    assert (alpha == 1).mean() > 0.2 and 0 < ((alpha > 0) & (alpha < 1)).mean() < 0.1
    assert not sprite[alpha[..., 0] == 0].any()


@pytest.mark.parametrize(
    ("name", "size", "draw"), [("demo", (64, 96), draw_panda), ("demo-sprites", (64, 64), draw_sprite)]
)
def test_sources_of_other_shapes(name, size, draw, tmp_path, monkeypatch):
    monkeypatch.setattr(demo_dataset_builder, "IMAGES", 3)
    lines = []
    for _ in range(2):
        source = resolve(name, size=size, data_dir=tmp_path, log=lines.append)
        assert len(source) == 3 and source.name == name
        np.testing.assert_array_equal(decode(source.read(1)), draw(1, size))
    assert len(lines) == 1 and f"{size[1]}x{size[0]}" in lines[0]


def test_demo_source(tmp_path):
    lines = []
    source = open_demo((64, 64), tmp_path, log=lines.append)
    assert len(source) == IMAGES >= 500 and source.names[41] == "panda-041"
    np.testing.assert_array_equal(decode(source.read(41)), draw_panda(41, (64, 64)))
    again = open_demo((50, 50), tmp_path, log=lines.append)  # the next larger size
    assert again.fingerprint == source.fingerprint
    assert len(lines) == 1 and "64x64" in lines[0]


@pytest.mark.slow
def test_demo_kinds_source_alternates_its_classes(tmp_path):
    source = open_demo((64, 64), tmp_path, kind="demo-kinds")
    assert source.class_names == ("panda", "cat") and len(source) == 2 * EACH
    assert source.labels.tolist() == [0, 1] * EACH and source.names[:3] == ["panda-000", "cat-000", "panda-001"]
    for number, image in ((4, draw_panda(2, (64, 64))), (5, draw_cat(2, (64, 64)))):
        np.testing.assert_array_equal(decode(source.read(number)), image)


@pytest.mark.parametrize("builder", [DemoBuilder, DemoKindsBuilder, DemoSpritesBuilder, FacesBuilder, FewShotBuilder])
def test_every_configuration_is_described(builder, tmp_path):
    """With README.md, CITATIONS.bib, TAGS.txt and checksums next to each."""
    for config in builder.BUILDER_CONFIGS:
        built = builder(config=config.name, data_dir=tmp_path)
        assert built.info.description and built.info.citation and config.description
        assert {"image", "name"} <= set(built.info.features)
    metadata = builder.get_metadata()
    assert metadata.tags and (builder.pkg_dir_path / "checksums.tsv").exists()
