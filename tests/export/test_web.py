"""The web app of images that are not square or have another number of channels: description and icons."""

import numpy as np
import pytest
from PIL import Image

from gan_tf.export import network, web
from tests.sampling import trained as networks

from .test_parts import LOW, trained_fastgan, wide_stylegan2


def properties(trained):
    return web.properties(network.folded(trained, network.FAST), trained)


def test_properties_of_wide_images():
    found = properties(wide_stylegan2())
    assert (found["resolution"], found["width"], found["height"], found["channels"]) == (64, 96, 64, "rgb")
    sizes = [(size["width"], size["pixels"], size["output"], size["scaled"]) for size in found["sizes"]]
    assert sizes == [(96, 64, "images_64", False), (48, 32, "images_64", True)]
    assert found["noise"][1]["shape"] == [8, 12] and found["style"]["layers"][-3:] == ["64", "64", "64"]


def test_properties_of_low_images():
    found = properties(trained_fastgan(LOW))
    assert [(size["width"], size["pixels"]) for size in found["sizes"]] == [(512, 128), (256, 64), (128, 32)]
    assert found["style"]["layers"] == ["32", "64", "128"]


def test_properties_of_growing_grey_images():
    found = properties(networks.trained_pggan(1.0, size="24x32", channels="grey"))
    assert (found["width"], found["height"], found["channels"]) == (6, 8, "grey")
    sizes = [(size["width"], size["pixels"], size["output"]) for size in found["sizes"]]
    assert sizes == [(6, 8, "images_8"), (3, 4, "images_4")]


@pytest.mark.parametrize("share", [1.0, 0.5])
def test_icon_has_the_whole_image_in_its_middle(tmp_path, share):
    image = np.zeros((32, 64, 4), np.uint8)
    image[:, :32] = [255, 0, 0, 255]  # the right half is transparent, so grey
    web.write_icon(tmp_path / "icon.png", image, 128, share)
    with Image.open(tmp_path / "icon.png") as icon:
        assert icon.size == (128, 128) and icon.mode == "RGB"
        pixels = np.asarray(icon)
    top, left = 64 - round(32 * share), 64 - round(64 * share)
    red, grey, mean = [255, 0, 0], [128, 128, 128], [191, 64, 64]  # mean of the first and the last row
    for y in (top + 4, 64, 127 - top - 4):
        assert [pixels[y, x].tolist() for x in (left + 4, 60, 68, 127 - left - 4)] == [red, red, grey, grey]
    np.testing.assert_array_equal(pixels[:top], np.broadcast_to(mean, (top, 128, 3)))
