"""The drawn pandas and cats: constant pixels, equality across resolutions, classes; metadata of all TFDS builders."""

import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from gan_tf_datasets.catalogue import open_demo
from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.demo.panda_art import IMAGES
from gan_tf_datasets.demo.panda_art import draw_indexed as draw_panda
from gan_tf_datasets.demo_kinds.cat_art import draw_indexed as draw_cat
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import EACH
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import Builder as DemoKindsBuilder
from gan_tf_datasets.faces.faces_dataset_builder import Builder as FacesBuilder
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("draw", "builder", "digest"),
    [
        (draw_panda, DemoBuilder, "a6a8a5dad57d23836fafa569dcfebd68dda0730b44df0de4dc8bf31cf0d6cfce"),
        (draw_cat, DemoKindsBuilder, "3b173bf890d89c10"),
    ],
)
def test_pixels_are_those_of_the_version(draw, builder, digest):
    # Another digest means other images, so that prepared datasets and runs no longer agree with the code. Raise VERSION
    # in the builder, add a release note, then change the digest.
    assert str(builder.VERSION) == "1.0.0"
    assert hashlib.sha256(b"".join(draw(i, 64).tobytes() for i in range(20))).hexdigest().startswith(digest)


@pytest.mark.parametrize("draw", [draw_panda, draw_cat])
@pytest.mark.parametrize("resolution", [128, 256])
def test_an_image_is_the_same_at_all_resolutions(draw, resolution):
    factor = resolution // 64
    means = draw(7, resolution).astype(float).reshape(64, factor, 64, factor, 3).mean((1, 3))
    assert np.abs(draw(7, 64) - means).mean() < 2


def test_demo_source(tmp_path):
    lines = []
    source = open_demo(64, tmp_path, log=lines.append)
    assert len(source) == IMAGES >= 500 and source.names[41] == "panda-041"
    np.testing.assert_array_equal(decode(source.read(41)), draw_panda(41, 64))
    again = open_demo(50, tmp_path, log=lines.append)  # the next larger size
    assert again.fingerprint == source.fingerprint
    assert len(lines) == 1 and "64x64" in lines[0]


@pytest.mark.slow
def test_demo_kinds_source_alternates_its_classes(tmp_path):
    source = open_demo(64, tmp_path, kinds=True)
    assert source.class_names == ("panda", "cat") and len(source) == 2 * EACH
    assert source.labels.tolist() == [0, 1] * EACH and source.names[:3] == ["panda-000", "cat-000", "panda-001"]
    for number, image in ((4, draw_panda(2, 64)), (5, draw_cat(2, 64))):
        np.testing.assert_array_equal(decode(source.read(number)), image)


@pytest.mark.parametrize("builder", [DemoBuilder, DemoKindsBuilder, FacesBuilder, FewShotBuilder])
def test_every_configuration_is_described(builder, tmp_path):
    """With README.md, CITATIONS.bib, TAGS.txt and checksums next to each."""
    for config in builder.BUILDER_CONFIGS:
        built = builder(config=config.name, data_dir=tmp_path)
        assert built.info.description and built.info.citation and config.description
        assert {"image", "name"} <= set(built.info.features)
    metadata = builder.get_metadata()
    assert metadata.tags and (builder.pkg_dir_path / "checksums.tsv").exists()
