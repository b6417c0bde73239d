"""Text of run folders and data sets is escaped in TensorBoard and in the report."""

import json
from html.parser import HTMLParser

import pytest
import tensorflow as tf  # noqa: F401  split into two devices before anything else uses it
from tensorboard.plugin_util import markdown_to_safe_html

from gan_tf.config.settings import TrainConfig
from gan_tf.report import report_html
from gan_tf.runs.folder import Run
from gan_tf.training.resume import settings_table
from tests.fuzz import seeds

TEXTS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "a | b | c",
    "[text](javascript:alert(1))",
    "**bold** _it_ `code`",
    "a\nb\n\n# title",
    "\"&amp;'",
    "~/bilder/münchen",
]


class Page(HTMLParser):
    """Tags, attributes and texts of a page."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts = set(), set(), []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("text", TEXTS)
def test_tensorboard_shows_settings_as_text(text):
    table = settings_table(TrainConfig(dataset=text, background=text))
    page = Page(markdown_to_safe_html(table))
    assert page.tags <= {"table", "thead", "tbody", "tr", "th", "td"} and page.attributes == set()
    assert page.texts.count(text) == 2


@pytest.mark.parametrize("text", TEXTS)
def test_the_report_shows_names_as_text(tmp_path, text):
    plain = Page(report_html(written(tmp_path / "plain", "x")))
    page = Page(report_html(written(tmp_path / "other", text)))
    assert page.tags == plain.tags and page.attributes == plain.attributes
    assert text in " ".join(page.texts)


def written(folder, text):
    """A run folder with `text` in every text field."""
    folder.mkdir()
    whole = json.loads(json.dumps(seeds.settings()[0]))
    whole["settings"]["background"] = whole["data"]["fingerprint"] = text.replace("\n", " ")
    whole["data"]["class_names"] = [text.replace("\n", " ")]
    (folder / "config.json").write_text(json.dumps(whole))
    (folder / "environment.json").write_text(json.dumps({text: text}))
    score = {"images_seen": 8, "kind": "epoch", "metric": text, "score": 1.0, "parts": {text: 1.0}, "copies": 0.1}
    change = {"images_seen": 8, "kind": "change", "changes": [text]}
    rollback = {"images_seen": 8, "kind": "rollback", "reason": text}
    (folder / "stats.jsonl").write_text("\n".join(map(json.dumps, (score, change, rollback))))
    return Run(folder)
