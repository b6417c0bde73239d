"""Pictures in the report: which, how large, and where they may not come from."""

import numpy as np

from gan_tf.io import image_files
from gan_tf.report import report_html
from gan_tf.report.page import LARGE, MOST_MOMENTS
from tests.report.pages import Reader, decoded, read
from tests.scored import draw_pictures, fid, make_run


def test_pictures_of_the_run_are_in_the_page(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    for seen in range(0, 20_000, 1000):
        image = np.full((64, 64, 3), seen // 100, np.uint8)
        image_files.save_png(run.grid_path(seen), image)
    shown = [decoded(link) for link in read(run).links if link.startswith("data:image")]
    assert [image.shape for image in shown] == [(64, 64, 3)] * (1 + MOST_MOMENTS)
    values = [int(image.mean().round()) for image in shown]
    assert abs(values[0] - 190) <= 2 and values[1] <= 2 and abs(values[-1] - 190) <= 2
    assert values[1:] == sorted(values[1:])
    assert "Over time: 12 of 20 moments" in read(run).text


def test_large_pictures_are_made_smaller(tmp_path):
    run = make_run(tmp_path / "a", [])
    image_files.save_png(run.grid_path(0), np.zeros((1024, 2048, 3), np.uint8))
    [link] = [link for link in read(run).links if link.startswith("data:image")]
    assert decoded(link).shape == (LARGE // 2, LARGE, 3)


def test_a_walk_is_shown_where_there_is_one(tmp_path):
    run = make_run(tmp_path / "a", [])
    assert "Between two images" not in read(run).text
    walk = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    page = Reader(report_html(run, walk))
    assert "Between two images" in page.text and decoded(page.links[-1]).shape == walk.shape


def test_a_damaged_picture_is_named_in_its_place(tmp_path):
    run = make_run(tmp_path / "a<b>", [fid(50)])
    draw_pictures(run, 1000)
    path = run.grid_path(1000)
    path.write_bytes(path.read_bytes()[:100])
    page = read(run)
    assert f"{path} is damaged" in page.text and "b" not in page.tags and page.tags.count("img") == 1


def test_a_picture_that_is_replaced_is_read_again(tmp_path):
    run = make_run(tmp_path / "a", [])
    for value, side in ((10, 32), (200, 48)):
        image_files.save_png(run.grid_path(0), np.full((side, side, 3), value, np.uint8))
        [link] = [link for link in read(run).links if link.startswith("data:image")]
        assert abs(decoded(link).mean() - value) < 3


def test_a_link_to_a_private_picture_is_not_followed(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    image_files.save_png(tmp_path / "private.png", np.zeros((8, 8, 3), np.uint8))
    for kind in ("samples", "copies", "phases"):
        run.grid_path(1000, kind).symlink_to(tmp_path / "private.png")
    assert "img" not in read(run).tags
