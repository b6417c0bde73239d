"""The report: what stands in it, escaping, speed."""

import dataclasses
import html
import json
import math
import re
import time
from pathlib import Path

from gan_tf.report import report_html, write_report
from gan_tf.report.formatting import describe_protocol, kimg, share
from gan_tf.report.summary import MOST_LOSSES, MOST_POINTS, measured_by, read_summary
from tests.report.pages import Reader, read
from tests.scored import draw_pictures, fid, log_score, make_run, swd


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
    from gan_tf.runs.folder import Run

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
    facts = read_summary(make_run(tmp_path / "a", [fid(60), fid(50), fid(55)], copies=[0.1, 0.2, 0.3], final=fid(52)))
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
    assert describe_protocol(fid(1, "fid5k-custom:1a2b3c4d"), ["panda", "photos"]) == (
        "fid5k-custom:1a2b3c4d: Fréchet distance of Inception features, lower is better; 5,000 fakes against 100 "
        "reals of panda or photos (1a2b3c4d) at 256x256; covariance over N - 1, network 6726825d, resize pytorch, "
        "features float32."
    )


def test_losses_are_thinned_by_means(tmp_path):
    run = make_run(tmp_path / "a", [])
    lines = [{"images_seen": 8 * i, "kind": "train", "loss/g": float(i % 2)} for i in range(4 * MOST_POINTS)]
    lines[5]["loss/g"] = math.nan
    run.stats.write_text("".join(json.dumps(line) + "\n" for line in lines))
    [line] = read_summary(run).losses.values()
    assert len(line) == MOST_POINTS and line[0] == (0.012, 0.5) and math.isnan(line[1][1])
    assert [value for _, value in line[2:]] == [0.5] * (MOST_POINTS - 2)


def test_many_names_of_losses_do_not_fill_the_page(tmp_path):
    run = make_run(tmp_path / "a", [])
    run.log(8, "train", {f"loss/{i}": 1.0 for i in range(1000)} | {f"x{i}/y": 1.0 for i in range(1000)})
    assert len(read_summary(run).losses) == MOST_LOSSES
    assert read(run).tags.count("svg") == 1


def test_the_page_of_converted_weights_is_true(tmp_path):
    run = make_run(tmp_path / "official", [], dataset="")
    config, _ = run.read_settings()
    origin = "karras2018iclr-celebahq-1024x1024.pkl <b>"
    run.write_settings(config, {"fingerprint": "", "images": 0, "class_names": [], "converted_from": origin})
    page = read(run)
    for words in (
        f"fastgan · 256x256 · converted from {origin}",
        f"Its weights were converted with gan_tf 0.1.0 from {origin}; how they were trained is not recorded here.",
        "It makes images like those that its weights were trained on: for study",
        f"Not recorded here: the weights come from {origin}, whose authors know.",
        "It has not been scored here.",
        f"The licence of {origin}, from which they were converted, goes with them.",
    ):
        assert words in page.text, words
    for words in (" 0 images", "kimg", "like those of :", "It was trained", "No score yet", "Data set", "the seed 0"):
        assert words not in page.text.partition("Settings")[0], words
    assert "b" not in page.tags


def test_the_card_warns_of_a_generator_that_copies(tmp_path):
    warning = "This one repeats training images"
    assert warning in read(make_run(tmp_path / "a", [fid(50)], copies=0.5)).text
    assert warning not in read(make_run(tmp_path / "b", [fid(50)], copies=0.03)).text
    assert "It has not been scored yet" in read(make_run(tmp_path / "c", [])).text


def test_the_report_is_light():
    import subprocess
    import sys

    script = "import sys, gan_tf.report; sys.exit(' '.join({'tensorflow', 'keras', 'scipy'} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=Path(__file__).parents[2])
