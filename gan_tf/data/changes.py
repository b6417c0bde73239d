"""What has changed in a set of images since a run was started."""

from gan_tf.io.files import printable

DIGITS = 16  # of a SHA-256 in hex: enough to compare the versions of one image
SHOWN = 3  # names of each kind in a message


def describe_changes(before, after, reasons=()) -> str:
    """Returns the differences of two sets as text such as "2 added (a.png, b.png), 1 changed (c.png)".

    Args:
        before, after: [(name, SHA-256 hex of the content, "" if it cannot be read)] of all images. Digests may be
            shortened to DIGITS.
        reasons: {name: reason} of images that cannot be read now.
    """
    old, new = ({name: digest[:DIGITS] for name, digest in images} for images in (before, after))
    removed = {digest: name for name, digest in old.items() if name not in new and digest}
    added = [name for name in new if name not in old]
    renamed = {name: removed.pop(new[name]) for name in added if new[name] in removed}
    kinds = {
        "renamed": [f"{previous} -> {name}" for name, previous in renamed.items()],
        "added": [name for name in added if name not in renamed],
        "removed": [name for name in old if name not in new and name not in renamed.values()],
        "changed": [name for name in new if new[name] and old.get(name, new[name]) not in (new[name], "")],
        "readable only now": [name for name in new if new[name] and old.get(name) == ""],
        "not readable now": [name for name in new if not new[name] and old.get(name)],
    }
    parts = []
    for kind, names in kinds.items():
        if names:
            reason = f": {reasons[names[0]]}" if kind == "not readable now" and names[0] in reasons else ""
            shown = ", ".join(map(printable, names[:SHOWN])) + (", ..." if len(names) > SHOWN else "")
            parts.append(f"{len(names)} {kind} ({shown}{reason})")
    return ", ".join(parts) or "the images are the same, but their classes or their order are not"
