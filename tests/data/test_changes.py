"""Descriptions of what has changed in a set of images."""

import pytest

from gan_tf.data.changes import describe_changes

BEFORE = [("a.png", "1" * 16), ("b.png", "2" * 16), ("c.png", "3" * 16), ("bad.png", "")]


def after(**changes):
    """The contents above with full digests, and with the images {stem: digit of the digest, "", or None} changed."""
    digests = {name.removesuffix(".png"): digest and 4 * digest for name, digest in BEFORE}
    digests |= {stem: digit and 64 * digit for stem, digit in changes.items()}
    return [(f"{stem}.png", digest) for stem, digest in digests.items() if digest is not None]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "the images are the same, but their classes or their order are not"),
        ({"d": "4"}, "1 added (d.png)"),
        ({"a": None, "bad": None}, "2 removed (a.png, bad.png)"),
        ({"a": "9"}, "1 changed (a.png)"),
        ({"a": ""}, "1 not readable now (a.png: Permission denied)"),
        ({"bad": "5"}, "1 readable only now (bad.png)"),
        ({"a": None, "d": "1", "e": "1"}, "1 renamed (a.png -> d.png), 1 added (e.png)"),
        ({"a": None, "b": "1", "d": "2"}, "1 added (d.png), 1 removed (a.png), 1 changed (b.png)"),
        (dict.fromkeys("defgh", "7"), "5 added (d.png, e.png, f.png, ...)"),
        ({"x\ny": "7"}, "1 added (x y.png)"),
    ],
)
def test_every_kind_of_change_is_named(changes, text):
    assert describe_changes(BEFORE, after(**changes), {"a.png": "Permission denied"}) == text
