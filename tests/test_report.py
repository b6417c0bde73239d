"""The report: what stands in it, escaping, odd records, speed; and the chart's geometry."""

import base64
import dataclasses
import html
import io
import json
import math
import re
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gan_tf import pictures
from gan_tf.report import report_html, write_report
from gan_tf.report.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Mark, axis, line_chart
from gan_tf.report.facts import MOST_LOSSES, MOST_POINTS, measured_by, read_facts
from gan_tf.report.page import LARGE, MOST_MOMENTS
from gan_tf.report.words import kimg, protocol_words, share
from tests.scored import draw_pictures, fid, log_score, make_run, swd

VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Reads a page: its tags, its words, the addresses that it names; fails where tags are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.words, self.tags, self.links = [], [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.links += [value for name, value in attributes if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def read(run):
    return Reader(report_html(run))


def test_report_of_a_whole_run(tmp_path):
    run = make_run(tmp_path / "panda", [swd(90), fid(60), fid(41.05), fid(44)], final=fid(43.2, fakes_source="new"))
    run.log(2500, "change", {"changes": ["--total-kimg: 20.0 -> 40.0"]})
    reason = {"reason": "loss/g became non-finite", "at": 3320, "attempt": 1, "lr_scale": 0.5}
    run.log(3000, "rollback", reason)
    draw_pictures(run, 2000)
    draw_pictures(run, 4000)
    page = read(run)
    for words in (
        "panda",
        "fastgan · 256x256 · panda · 100 images",
        "4.0 of 40.0 kimg (10%) seen",
        "Best score fid5k 41.05 copies 2 % · 3.0 kimg",
        "fid5k: Fréchet distance of Inception features, lower is better; 5,000 fakes against 100 reals of panda",
        "Final score fid5k 43.2 copies 3 %",
        "Newest score fid5k 44",
        "the share of copies is 2 %, the median ratio is 0.97, the training images show 1 % among themselves",
        "below 0.5 it counts as one",
        "gan-tf generate",
        "--which 3000",
        "All 4 scores",
        "changed --total-kimg: 20.0 -> 40.0",
        "rolled back to here, learning rate times 0.5: loss/g became non-finite at 3.3 kimg",
        "total_kimg 40",
        "devices CPU",
        "command --dataset panda",
        "The same seeds in every grid, not picked; the averaged generator at 4 kimg",
        "Over time: all moments",
        "The closest pairs, at 4 kimg",
        "d real",
        "Data set panda Images 100 Made square by crop Mirrored too yes Fingerprint ffffffff",
        "Model card Model A generator of RGB images at 256x256 pixels: FastGAN (Liu et al. 2021), 256 numbers in",
        "fid5k 43.2 on images that had no part in picking the weights",
        "Of its images, 3 % count as copies of a training image",
    ):
        assert words in page.text, words
    assert {link[:22] for link in page.links} == {"data:,", "data:image/webp;base64"}
    assert page.tags.count("img") == 1 + 2 + 1  # the newest grid, both over time, the copy check
    assert page.tags.count("svg") == 4  # swd2k, fid5k, copies, losses
    assert "script" not in page.tags and "Damaged" not in page.text
    assert not re.search(r"https?://|@import|url\(", report_html(run))


def test_a_run_without_scores_has_a_page(tmp_path):
    page = read(make_run(tmp_path / "new", []))
    assert "No score yet" in page.text and "0.0 of 40.0 kimg (0%) seen" in page.text and "svg" not in page.tags


def test_an_empty_folder_has_a_page(tmp_path):
    from gan_tf.run import Run

    page = read(Run(tmp_path / "nothing"))
    assert "No score yet" in page.text and "is no run folder" in page.text
    assert list(tmp_path.iterdir()) == []


def test_wherever_a_score_stands_its_copies_do(tmp_path):
    page = report_html(make_run(tmp_path / "a", [fid(61.5), fid(50.5), fid(55.5)], copies=0.02, final=fid(51.5)))
    cells = re.findall(r"<td>fid5k [\d.]+</td><td>(.*?)</td>", page)
    assert len(cells) == 3 + 3 and all("copies 2 %" in cell for cell in cells)
    stats = re.findall(r'class="value">(.*?)</div><div>(<span.*?copies.*?</span>)', page)
    assert len(stats) == 3


def test_the_threshold_is_the_one_of_the_check(tmp_path):
    run = make_run(tmp_path / "a", [])
    values = {"metric": "fid5k", "score": 3.0, "copies": 0.1, "copy_protocol": {"threshold": 0.25}}
    run.log(1000, "epoch", values)
    assert "below 0.25 it counts as one" in read(run).text
    run.log(2000, "epoch", {**values, "copy_protocol": {}})
    assert "well below 1 it counts as one" in read(run).text


def test_many_copies_are_pointed_out(tmp_path):
    few = read(make_run(tmp_path / "few", [fid(50)], copies=0.02))
    many = report_html(make_run(tmp_path / "many", [fid(50)], copies=0.99))
    assert "training images over again" not in few.text
    assert "training images over again" in many and '<span class="copies warn">copies 99 %</span>' in many


def test_everything_from_files_is_escaped(tmp_path):
    evil = '<script>alert("1")</script>&<b>'
    run = make_run(tmp_path / "a<b>&'\"", [fid(50, f"fid5k{evil}", resize=evil, reals_source=evil)], dataset=evil)
    log_score(run, 2000, 2, dataclasses.replace(fid(40, evil), parts={evil: 1.0}), 0.1)
    run.log(2500, "change", {"changes": [evil]})
    run.log(2600, "rollback", {"reason": evil, "at": 3, "lr_scale": 0.5})
    run.write_environment({evil: evil, "list": [evil]})
    page = report_html(run)
    reader = Reader(page)
    assert evil in reader.text and html.escape(evil, quote=False) in page.replace("&quot;", '"')
    assert "script" not in reader.tags and "b" not in reader.tags


def test_a_strange_folder_name_is_quoted_for_the_shell(tmp_path):
    run = make_run(tmp_path / "my run; ls", [fid(50)])
    assert f"gan-tf generate '{run.folder}' --which 1000" in read(run).text


def test_damaged_files_are_named(tmp_path):
    run = make_run(tmp_path / "a", [fid(50), fid(60)])
    broken = [run.best, run.snapshots / "generator-000001000.npz", run.folder / "config.json"]
    for path in [*broken, run.folder / "environment.json"]:
        path.write_bytes(path.read_bytes()[:50])
    page = read(run)
    assert "Damaged files" in page.text
    for path in broken:
        assert str(path) in page.text
    assert "environment.json is damaged" in page.text
    assert "Newest score fid5k 60" in page.text and "--which 2000" in page.text


ODD = [
    3,
    None,
    [],
    {},
    {"kind": "epoch"},
    {"images_seen": "many", "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": -1, "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": True, "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": 10**400, "kind": "epoch", "metric": "fid5k", "score": 1.0},
    {"images_seen": 10, "kind": "epoch"},
    {"images_seen": 10, "kind": "epoch", "metric": "swd2k"},
    {"images_seen": 10, "kind": "epoch", "metric": 7, "score": 3.0},
    {"images_seen": 20, "kind": "epoch", "metric": "swd2k", "score": 3.0},
    {"images_seen": 20, "kind": "epoch", "metric": "", "score": 3.0},
    {"images_seen": 30, "kind": "epoch", "metric": "swd2k", "score": "low"},
    {"images_seen": 40, "kind": "epoch", "metric": "swd2k", "score": math.nan, "copies": math.nan},
    {"images_seen": 50, "kind": "epoch", "metric": "swd2k", "score": math.inf, "copies": -math.inf},
    {"images_seen": 60, "kind": "epoch", "metric": "swd2k", "score": 10**400, "copies": 1e308},
    {"images_seen": 70, "kind": "epoch", "metric": "swd2k", "score": 1e308, "copies": 10**400},
    {"images_seen": 75, "kind": "epoch", "metric": "swd2k", "score": -1e308, "copies": 5e-324},
    {"images_seen": 80, "kind": "epoch", "metric": "swd2k", "score": 3, "copies": "1 %", "copy_parts": [1]},
    {
        "images_seen": 80,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3,
        "copies": 1,
        "copy_parts": {"share_among_reals": None},
    },
    {
        "images_seen": 80,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3,
        "copies": 1,
        "copy_parts": {"share_among_reals": math.nan},
    },
    {
        "images_seen": 80,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3,
        "copies": 1,
        "copy_protocol": {"threshold": "x"},
    },
    {"images_seen": 90, "kind": "epoch", "metric": "swd2k", "score": 3.0, "parts": "x", "protocol": 1},
    {"images_seen": 90, "kind": "epoch", "metric": "swd2k", "score": 3.0, "parts": {"standard_error": "x", "a": None}},
    {"images_seen": 90, "kind": "epoch", "metric": "swd2k", "score": 3.0, "protocol": {"fakes": "x", "reals": [1]}},
    {
        "images_seen": 90,
        "kind": "epoch",
        "metric": "swd2k",
        "score": 3.0,
        "protocol": {"reals_key": 3, "a": {"b": [None]}},
    },
    {"images_seen": 95, "kind": "final"},
    {"images_seen": 95, "kind": "final", "metric": "fid5k", "score": 3.0, "of": "x"},
    {"images_seen": 99, "kind": "change"},
    {"images_seen": 99, "kind": "change", "changes": 3},
    {"images_seen": 99, "kind": "rollback"},
    {"images_seen": 99, "kind": "rollback", "at": "x", "reason": 3, "lr_scale": "x"},
    {"images_seen": 99, "kind": "rollback", "at": 10**400, "lr_scale": 10**400},
    {"images_seen": 99},
    {"images_seen": 99, "kind": ["epoch"]},
]


@pytest.mark.parametrize("record", [*ODD, ODD], ids=str)
def test_odd_records_never_end_a_run(tmp_path, record):
    run = make_run(tmp_path / "a", [fid(50)])
    with open(run.stats, "a") as file:
        for one in record if record is ODD else [record]:
            file.write(json.dumps(one) + "\n")
    assert "Best score fid5k 50 copies 2 %" in read(run).text


@pytest.mark.parametrize(
    "meta",
    [
        3,
        {},
        {"images_seen": 1000},
        {"score": 3, "images_seen": 1000},
        {"score": {"name": "swd2k", "value": 1.0}, "images_seen": 1000},
        {"score": {"name": "swd2k", "value": None, "lower_is_better": True}, "images_seen": 1000},
        {"score": {"name": "swd2k", "value": 1.0, "lower_is_better": True}},
        {"score": {"name": "swd2k", "value": 1.0, "lower_is_better": True}, "images_seen": 1000, "final": 3},
        {"score": {"name": "swd2k", "value": 1.0, "lower_is_better": True, "new": 1}, "images_seen": 10**400},
    ],
    ids=str,
)
def test_odd_metas_never_end_a_run(tmp_path, meta):
    run = make_run(tmp_path / "a", [fid(50)])
    run.replace_best({"w": np.zeros(1)}, meta)
    sound = isinstance(meta, dict) and "final" in meta
    assert ("holds no score that this version can read" in read(run).text) != sound


def test_write_report_replaces_the_page(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    write_report(run)
    assert run.report.read_text() == report_html(run)
    log_score(run, 2000, 2, fid(60), 0.0)
    write_report(run)
    assert "All 2 scores" in run.report.read_text()
    assert not list(run.folder.glob("*.part"))


def test_a_thousand_records_take_little_time(tmp_path):
    run = make_run(tmp_path / "a", [])
    lines = []
    for epoch in range(1, 501):
        score = fid(100 / epoch)
        values = {"metric": score.name, "score": score.value, "copies": 0.01, "copy_parts": {"median_ratio": 1.0}}
        lines.append({"images_seen": 1000 * epoch, "kind": "train", "loss/g": 0.5})
        lines.append({"images_seen": 1000 * epoch, "kind": "epoch", **values, "protocol": score.protocol})
    run.stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seconds = []
    for _ in range(5):
        started = time.process_time()  # the tests beside this one do not count
        page = report_html(run)
        seconds.append(time.process_time() - started)
    assert "All 500 scores" in page and min(seconds) < 0.05


def test_copies_of_a_snapshot_are_those_of_its_own_epoch(tmp_path):
    facts = read_facts(make_run(tmp_path / "a", [fid(60), fid(50), fid(55)], copies=[0.1, 0.2, 0.3], final=fid(52)))
    assert (facts.best.images_seen, facts.best.copies) == (2000, 0.2)
    assert [(kept.images_seen, kept.copies) for kept in facts.snapshots] == [(1000, 0.1), (2000, 0.2), (3000, 0.3)]
    assert (facts.final.images_seen, facts.final.copies, facts.final.score.value) == (2000, 0.03, 52)


def test_measured_alike_is_what_score_says():
    scores = [
        fid(1),
        fid(2),
        fid(1, versions={}),
        fid(1, reals_source="b"),
        fid(1, resize="clean"),
        swd(1),
        fid(1, "x"),
    ]
    for one in scores:
        for other in scores:
            assert (measured_by(one) == measured_by(other)) == one.comparable_with(other)


def test_words():
    assert [share(value) for value in (None, 0.0, 0.0002, 0.02, 0.125, 1.0)] == [
        "?",
        "0 %",
        "0.02 %",
        "2 %",
        "12 %",
        "100 %",
    ]
    assert share(math.nan) == "nan"
    assert [kimg(images) for images in (0, 12_345, 431_000)] == ["0.0", "12.3", "431"]
    assert protocol_words(fid(1, "fid5k-custom:1a2b3c4d"), ["panda", "photos"]) == (
        "fid5k-custom:1a2b3c4d: Fréchet distance of Inception features, lower is better; 5,000 fakes against 100 "
        "reals of panda or photos (1a2b3c4d) at 256x256; covariance over N - 1, network 6726825d, resize pytorch, "
        "features float32."
    )


def test_pictures_of_the_run_are_in_the_page(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    for seen in range(0, 20_000, 1000):
        image = np.full((64, 64, 3), seen // 100, np.uint8)
        pictures.save_png(run.grid_path(seen), image)
    shown = [decoded(link) for link in read(run).links if link.startswith("data:image")]
    assert [image.shape for image in shown] == [(64, 64, 3)] * (1 + MOST_MOMENTS)
    values = [int(image.mean().round()) for image in shown]
    assert abs(values[0] - 190) <= 2 and values[1] <= 2 and abs(values[-1] - 190) <= 2
    assert values[1:] == sorted(values[1:])
    assert "Over time: 12 of 20 moments" in read(run).text


def test_large_pictures_are_made_smaller(tmp_path):
    run = make_run(tmp_path / "a", [])
    pictures.save_png(run.grid_path(0), np.zeros((1024, 2048, 3), np.uint8))
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
        pictures.save_png(run.grid_path(0), np.full((side, side, 3), value, np.uint8))
        [link] = [link for link in read(run).links if link.startswith("data:image")]
        assert abs(decoded(link).mean() - value) < 3


def test_a_link_to_a_private_picture_is_not_followed(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    pictures.save_png(tmp_path / "private.png", np.zeros((8, 8, 3), np.uint8))
    for kind in ("samples", "copies", "phases"):
        run.grid_path(1000, kind).symlink_to(tmp_path / "private.png")
    assert "img" not in read(run).tags


def test_losses_are_thinned_by_means(tmp_path):
    run = make_run(tmp_path / "a", [])
    lines = [{"images_seen": 8 * i, "kind": "train", "loss/g": float(i % 2)} for i in range(4 * MOST_POINTS)]
    lines[5]["loss/g"] = math.nan
    run.stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    [line] = read_facts(run).losses.values()
    assert len(line) == MOST_POINTS and line[0] == (0.012, 0.5) and math.isnan(line[1][1])
    assert [value for _, value in line[2:]] == [0.5] * (MOST_POINTS - 2)


def test_many_names_of_losses_do_not_fill_the_page(tmp_path):
    run = make_run(tmp_path / "a", [])
    run.log(8, "train", {f"loss/{i}": 1.0 for i in range(1000)} | {f"x{i}/y": 1.0 for i in range(1000)})
    assert len(read_facts(run).losses) == MOST_LOSSES
    assert read(run).tags.count("svg") == 1


def test_the_card_warns_of_a_generator_that_copies(tmp_path):
    warning = "This one repeats training images"
    assert warning in read(make_run(tmp_path / "a", [fid(50)], copies=0.5)).text
    assert warning not in read(make_run(tmp_path / "b", [fid(50)], copies=0.03)).text
    assert "It has not been scored yet" in read(make_run(tmp_path / "c", [])).text


def decoded(link):
    """uint8 [H, W, 3] of the picture in an address."""
    content = base64.b64decode(link.removeprefix("data:image/webp;base64,"), validate=True)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


# The chart


def shapes(svg):
    root = ElementTree.fromstring(svg)
    return {kind: [element.attrib for element in root.iter(kind)] for kind in ("polyline", "circle", "path", "text")}


def points(polyline):
    return [tuple(map(float, pair.split(","))) for pair in polyline["points"].split()]


def test_line_goes_through_its_values():
    chart = shapes(line_chart([[(0, 0.0), (5, 50.0), (10, 100.0)]], title="t", text=str))
    left, right, top, bottom = LEFT, WIDTH - RIGHT, TOP, HEIGHT - BOTTOM
    assert points(chart["polyline"][0]) == [(left, bottom), ((left + right) / 2, (top + bottom) / 2), (right, top)]
    assert len(chart["circle"]) == 3


def test_line_breaks_at_nan_which_gets_a_cross():
    values = [3.0, 4.0, math.nan, 5.0, 6.0, math.inf, 7.0]
    chart = shapes(line_chart([list(enumerate(values))], title="t", text=str))
    assert [len(points(line)) for line in chart["polyline"]] == [2, 2]
    assert sum(path["class"] == "lost" for path in chart["path"]) == 2
    assert len(chart["circle"]) == 6  # one for each finite value, and the last one, which stands alone, once more


def test_one_point_and_none():
    chart = shapes(line_chart([[(1, 30.0)]], title="t", text=str))
    assert chart["polyline"] == [] and float(chart["circle"][0]["cx"]) == WIDTH - RIGHT
    assert shapes(line_chart([[(0, 0.0)]], title="t", text=str))["circle"]
    assert "No finite value" in line_chart([[(1, math.nan)]], title="t", text=str)
    assert "No finite value" in line_chart([], title="t", text=str)


def test_lines_have_their_own_colours_and_many_points_no_dots():
    chart = shapes(line_chart([[(x, x) for x in range(100)], [(x, 50) for x in range(200)]], title="t", text=str))
    assert [line["class"] for line in chart["polyline"]] == ["line s0", "line s1"] and chart["circle"] == []


def test_everything_stays_inside():
    for values in (
        [41.0, 41.0],
        [1e-9, 3e-9],
        [1e99, -1e99],
        [5e-324, 0.0],
        [1e6, 1e6 + 1],
        [-3.0, -2.0],
        [0.0, 1e-300],
    ):
        line = list(enumerate(values, 1))
        marks = [Mark(x, y, "best", below) for x, y in line for below in (True, False)]
        chart = shapes(line_chart([line], title="t", text=lambda value: f"{value:.4g}", marks=marks, level=values[0]))
        for circle in chart["circle"]:
            assert LEFT <= float(circle["cx"]) <= WIDTH - RIGHT and TOP <= float(circle["cy"]) <= HEIGHT - BOTTOM
        for text in chart["text"]:
            assert 0 <= float(text["x"]) <= WIDTH + 4 and 8 <= float(text["y"]) <= HEIGHT


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0, 100, [0, 25, 50, 75, 100]),
        (41, 180, [0, 50, 100, 150, 200]),
        (81, 152, [80, 100, 120, 140, 160]),
        (30, 30, [26, 28, 30, 32, 34]),
        (0, 0, [-1, -0.5, 0, 0.5, 1]),
        (-3, 3, [-4, -2, 0, 2, 4]),
    ],
)
def test_axis_is_round_and_holds_its_ends(low, high, wanted):
    np.testing.assert_allclose(axis(low, high), wanted, atol=1e-12)


def test_the_report_is_light():
    import subprocess
    import sys

    script = "import sys, gan_tf.report; sys.exit(' '.join({'tensorflow', 'keras', 'scipy'} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parent.parent)
