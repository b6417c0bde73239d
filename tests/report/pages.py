"""Parses the pages of `gan_tf.report`."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from gan_tf.report import report_html

VOID = {"meta", "img", "br", "link"}


class Reader(HTMLParser):
    """Collects the tags, texts and addresses of a page; fails if tags are not closed in order."""

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


def images(page):
    """Embedded images of a page, uint8 [H, W, 3] each."""
    encoded = [link.removeprefix("data:image/webp;base64,") for link in page.links if link.startswith("data:image")]
    decoded = [Image.open(io.BytesIO(base64.b64decode(content, validate=True))) for content in encoded]
    return [np.asarray(image.convert("RGB")) for image in decoded]
