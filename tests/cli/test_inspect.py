"""`gan-tf inspect`: report on standard output, invalid options."""

import json

import pytest

from tests.data.encoded import encoded, write


@pytest.fixture
def folder(tmp_path):
    files = {"cat/a.png": encoded(1), "cat/b.JPG": encoded(2, kind="JPEG"), "dog/c.png": encoded(3), "dog/d.png": b"?"}
    return write(tmp_path / "pets", files)


def test_report_as_text_and_json(folder, done):
    out = done("inspect", folder, "--resolution", 64).out
    for part in ("pets: 3 images", "64x64 (crop)", "dog/d.png: not an image", "3 enlarged to 64x64"):
        assert part in out
    report = json.loads(done("inspect", folder, "--json", "--limit", 3, "--fit", "pad").out)
    assert report["count"] == 2 and report["left_out"] == 1 and report["fit"] == "pad"
    assert report["classes"] == {"cat": 1, "dog": 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "--dataset nowhere"),
        (["{folder}/cat/a.png"], "--dataset"),
        (["{folder}", "--background", "whitish"], "--background"),
        (["{folder}", "--limit", "0"], "--limit"),
        (["{folder}", "--resolution", "0"], "--resolution"),
        (["{folder}", "--fit", "squeeze"], "--fit"),
    ],
)
def test_invalid_options(folder, refused, arguments, message):
    assert message in refused("inspect", *(argument.format(folder=folder) for argument in arguments))
