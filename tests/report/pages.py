"""Reads the pages that `gan_tf.report` makes."""

import base64
import io
from html.parser import HTMLParser

import numpy as np
from PIL import Image

from gan_tf.report import report_html

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


def decoded(link):
    """uint8 [H, W, 3] of the picture in an address."""
    content = base64.b64decode(link.removeprefix("data:image/webp;base64,"), validate=True)
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
