"""The report: contents, escaping, embedded images, damaged runs, speed."""

import base64
import dataclasses
import html
import io
import json
import math
import re
import shlex
import xml.etree.ElementTree as ElementTree

import numpy as np
from PIL import Image

from gan_tf.io import image_files
from gan_tf.report import report_html, write_report
from gan_tf.report.page import LARGE, MOST_GRIDS
from gan_tf.report.summary import MOST_POINTS, format_kimg, format_share, read_summary
from gan_tf.runs.folder import Run
from tests.scored import fid, log_score, make_run, swd, write_images


class Page:
    """The tags, links and text of a page. Tags must be closed in order."""

    def __init__(self, page):
        xml = re.sub(r"<((?:meta|link|img) [^>]*)>", r"<\1/>", page.removeprefix("<!doctype html>"))
        root = ElementTree.fromstring(xml.replace("<details open>", "<details>").replace("&nbsp;", " "))
        root.find("head/style").clear()
        self.tags = [element.tag for element in root.iter()]
        self.links = [link for element in root.iter() for link in (element.get("src"), element.get("href")) if link]
        self.text = " ".join(" ".join(root.itertext()).split())

    def images(self):
        """Embedded images, uint8 [H, W, 3] each."""
        encoded = [link.removeprefix("data:image/webp;base64,") for link in self.links if link.startswith("data:image")]
        decoded = [Image.open(io.BytesIO(base64.b64decode(content, validate=True))) for content in encoded]
        return [np.asarray(image.convert("RGB")) for image in decoded]


def read(run):
    return Page(report_html(run))


def test_report_of_a_finished_run(tmp_path):
    run = make_run(tmp_path / "panda", [swd(90), fid(60), fid(41.05), fid(44)], final=fid(43.2, fakes_source="new"))
    run.log(2500, "change", {"changes": ["--total-kimg: 20.0 -> 40.0"]})
    run.log(3000, "rollback", {"reason": "loss/g became non-finite", "at": 3320, "attempt": 1, "lr_scale": 0.5})
    write_images(run, 2000)
    write_images(run, 4000)
    page = read(run)
    for text in (
        "fastgan · 256x256 · panda · 100 images",
        "4.0 of 40.0 kimg (10%) seen",
        "Best score fid5k 41.05 copies 2 % · 3.0 kimg",
        "fid5k: Fréchet distance of Inception features, lower is better; 5,000 fakes against 100 reals of panda",
        "Final score fid5k 43.2 copies 3 %",
        "a ratio below 0.5 counts as a copy",
        "--which 3000",
        "All 4 scores",
        "changed --total-kimg: 20.0 -> 40.0",
        "learning rate times 0.5: loss/g became non-finite at 3.3 kimg",
        "total_kimg 40",
        "devices CPU",
        "command --dataset panda",
        "Dataset panda Images 100",
    ):
        assert text in page.text, text
    assert {link[:22] for link in page.links} == {"data:,", "data:image/webp;base64"}
    assert page.tags.count("img") == 1 + 2 + 1  # the newest grid, both over time, the copy check
    assert page.tags.count("svg") == 4  # swd2k, fid5k, copies, losses
    assert "script" not in page.tags and "Damaged" not in page.text and "Between two images" not in page.text
    assert not re.search(r"https?://|@import|url\(", report_html(run))
    stats = re.findall(r'class="value">(.*?)</div><div>(<span.*?copies.*?</span>)', report_html(run))
    cells = re.findall(r"<td>fid5k [\d.]+</td><td>(.*?)</td>", report_html(run))
    assert len(stats) == 3 and len(cells) == 3 + 3 and all("copies 2 %" in cell for cell in cells)


def test_report_without_scores_or_without_a_run(tmp_path):
    page = read(make_run(tmp_path / "new", []))
    assert "No score yet" in page.text and "0.0 of 40.0 kimg (0%) seen" in page.text and "svg" not in page.tags
    page = read(Run(tmp_path / "nothing"))
    assert "No score yet" in page.text and "is no run folder" in page.text
    assert not (tmp_path / "nothing").exists()


def test_threshold_is_that_of_the_copy_check(tmp_path):
    run = make_run(tmp_path / "a", [])
    values = {"metric": "fid5k", "score": 3.0, "copies": 0.1}
    for protocol, text in (({"threshold": 0.25}, "below 0.25 counts"), ({}, "well below 1 counts")):
        run.log(1000, "epoch", {**values, "copy_protocol": protocol})
        assert text in read(run).text


def test_many_copies_are_highlighted(tmp_path):
    few = report_html(make_run(tmp_path / "few", [fid(50)], copies=0.03))
    many = report_html(make_run(tmp_path / "many", [fid(50)], copies=0.99))
    for text in ('<span class="copies warn">copies 99 %</span>', 'class="warn">Clearly more', "This one repeats"):
        assert text in many and text not in few


def test_text_from_files_is_escaped(tmp_path):
    evil = '<script>alert("1")</script>&<b>'
    run = make_run(tmp_path / "a<b>&'\"", [fid(50, f"fid5k{evil}", resize=evil, reals_source=evil)], dataset=evil)
    log_score(run, 2000, 2, dataclasses.replace(fid(40, evil), parts={evil: 1.0}), 0.1)
    run.log(2500, "change", {"changes": [evil]})
    run.log(2600, "rollback", {"reason": evil, "at": 3, "lr_scale": 0.5})
    run.write_environment({evil: evil, "list": [evil]})
    source, page = report_html(run), read(run)
    assert f"gan-tf generate {shlex.quote(str(run.folder))} --which 1000" in page.text
    assert evil in page.text and html.escape(evil, quote=False) in source.replace("&quot;", '"')
    assert "script" not in page.tags and "b" not in page.tags


def test_write_report_replaces_the_page(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    write_report(run)
    log_score(run, 2000, 2, fid(60), 0.0)
    write_report(run)
    assert run.report.read_text() == report_html(run) and "All 2 scores" in report_html(run)
    assert not list(run.folder.glob("*.part"))


def test_report_of_converted_weights(tmp_path):
    run = make_run(tmp_path / "official", [], dataset="")
    config, _ = run.read_settings()
    origin = "karras2018iclr-celebahq-1024x1024.pkl <b>"
    run.write_settings(config, {"fingerprint": "", "images": 0, "class_names": [], "converted_from": origin})
    page = read(run)
    for text in (f"256x256 · converted from {origin}", f"with gan_tf 0.1.0 from {origin}", "Not recorded here"):
        assert text in page.text, text
    for text in (" 0 images", "kimg", "images of :", "It was trained", "No score yet", "Dataset", "the seed 0"):
        assert text not in page.text.partition("Settings")[0], text
    assert "b" not in page.tags


# Images


def test_evenly_spaced_grids_are_embedded(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    for seen in range(0, 20_000, 1000):
        image_files.save_png(run.grid_path(seen), np.full((64, 64, 3), seen // 100, np.uint8))
    page = read(run)
    assert [image.shape for image in page.images()] == [(64, 64, 3)] * (1 + MOST_GRIDS)
    values = [int(image.mean().round()) for image in page.images()]
    assert abs(values[0] - 190) <= 2 and values[1] <= 2 and abs(values[-1] - 190) <= 2
    assert values[1:] == sorted(values[1:])
    assert "Over time: 12 of 20 grids" in page.text


def test_large_images_are_shrunk_and_replaced_ones_read_again(tmp_path):
    run = make_run(tmp_path / "a", [])
    for shape, value, shown in (((1024, 2048, 3), 10, (LARGE // 2, LARGE, 3)), ((48, 32, 3), 200, (48, 32, 3))):
        image_files.save_png(run.grid_path(0), np.full(shape, value, np.uint8))
        [image] = read(run).images()
        assert image.shape == shown and abs(image.mean() - value) < 3
    walk = np.random.default_rng(0).integers(0, 255, (40, 80, 3), np.uint8)
    page = Page(report_html(run, walk))
    assert "Between two images" in page.text and page.images()[-1].shape == walk.shape


def test_links_to_images_outside_the_run_are_not_followed(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    image_files.save_png(tmp_path / "private.png", np.zeros((8, 8, 3), np.uint8))
    for kind in ("samples", "copies", "phases"):
        run.grid_path(1000, kind).symlink_to(tmp_path / "private.png")
    assert "img" not in read(run).tags


# Damaged runs


def test_damaged_files_are_named(tmp_path):
    run = make_run(tmp_path / "a", [fid(50), fid(60)])
    write_images(run, 1000)
    names = ("best/generator.npz", "snapshots/generator-000001000.npz", "config.json", "environment.json")
    damaged = [run.grid_path(1000), *(run.folder / name for name in names)]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:50])
    page = read(run)
    assert page.tags.count("img") == 1  # the other image
    assert "Damaged files" in page.text and all(f"{path} is damaged" in page.text for path in damaged)
    assert "Newest score fid5k 60" in page.text and "--which 2000" in page.text


SCORED = {"images_seen": 80, "kind": "epoch", "metric": "swd2k", "score": 3.0}
DAMAGED_RECORDS = [
    {**SCORED, "metric": 7},
    {**SCORED, "score": "low"},
    {**SCORED, "score": math.nan, "copies": math.nan},
    {**SCORED, "copies": "1 %", "copy_parts": [1]},
    {**SCORED, "parts": {"standard_error": "x", "a": None}, "protocol": 1},
    {**SCORED, "protocol": {"fakes": "x", "reals": [1], "reals_key": 3, "a": {"b": [None]}}},
    {"images_seen": 95, "kind": "final", "metric": "fid5k", "score": 3.0, "of": "x"},
    {"images_seen": 99, "kind": "change", "changes": 3},
    {"images_seen": 99, "kind": "rollback", "at": "x", "reason": 3, "lr_scale": "x"},
]


def test_damaged_records_do_not_stop_the_report(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    with open(run.stats, "a") as file:
        file.writelines(json.dumps(record) + "\n" for record in DAMAGED_RECORDS)
    assert "Best score fid5k 50 copies 2 %" in read(run).text


def test_damaged_scores_of_the_best_weights_are_named(tmp_path):
    run = make_run(tmp_path / "a", [fid(50)])
    no_value = {"name": "swd2k", "value": "x", "lower_is_better": True}
    for meta in (3, {"score": 3, "images_seen": 1000}, {"score": no_value, "images_seen": 1000}):
        run.replace_best({"w": np.zeros(1)}, meta)
        assert str(run.best) in read(run).text
    run.replace_best({"w": np.zeros(1)}, {"score": dataclasses.asdict(swd(1)), "images_seen": 1000, "final": 3})
    assert str(run.best) not in read(run).text


# Summary and formatting


def test_copies_are_those_of_the_same_epoch(tmp_path):
    run = make_run(tmp_path / "a", [fid(60), fid(50), fid(55)], copies=[0.1, 0.2, 0.3], final=fid(52))
    summary = read_summary(run)
    assert (summary.best.images_seen, summary.best.copies) == (2000, 0.2)
    assert [(kept.images_seen, kept.copies) for kept in summary.snapshots] == [(1000, 0.1), (2000, 0.2), (3000, 0.3)]
    assert (summary.final.images_seen, summary.final.copies, summary.final.score.value) == (2000, 0.03, 52)


def test_losses_are_averaged_to_few_points(tmp_path):
    run = make_run(tmp_path / "a", [])
    lines = [{"images_seen": 8 * i, "kind": "train", "loss/g": float(i % 2)} for i in range(4 * MOST_POINTS)]
    lines[5]["loss/g"], lines[6]["loss/g"] = math.nan, None  # as earlier versions wrote NaN, and as it is written now
    run.stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    [line] = read_summary(run).losses.values()
    assert len(line) == MOST_POINTS and line[0] == (0.012, 0.5) and math.isnan(line[1][1])
    assert [value for _, value in line[2:]] == [0.5] * (MOST_POINTS - 2)


def test_formatting():
    shares = {None: "?", 0.0: "0 %", 0.0002: "0.02 %", 0.02: "2 %", 0.125: "12 %", 1.0: "100 %", math.inf: "n/a"}
    assert [format_share(share) for share in shares] == list(shares.values())
    assert [format_kimg(images) for images in (0, 12_345, 431_000)] == ["0.0", "12.3", "431"]
