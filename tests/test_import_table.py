"""Which room of the project may import which: the table in CONTRIBUTING.md is the rule, the code is checked by it."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOR_ALL = {"errors", "io"}  # root modules that every room may import
LIGHT = {"config", "errors", "cli"}  # rooms on the way to --help, which must not wait for these:
HEAVY = {"tensorflow", "keras", "tensorflow_datasets", "scipy"}


def table():
    """Reads CONTRIBUTING.md's rows `| rooms | may import |`: {room: set of rooms, or None for everything}."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## What may import what\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", section, re.M)
    rows = [row for row in rows if row[0] != "Package or module" and not row[0].startswith("-")]
    allowed = {}
    for rooms, imports in rows:
        found = None if imports.strip() == "everything" else set(re.findall(r"`([a-z_]+)`", imports))
        allowed |= dict.fromkeys(re.findall(r"`([a-z_]+)`", rooms), found)
    return allowed


def room_of(module):
    """The room that a module's dotted name belongs to, None for a module that is not ours."""
    first, _, rest = module.partition(".")
    if first == "gan_tf_datasets":
        return "datasets"
    return rest.partition(".")[0] or None if first == "gan_tf" else None


def imports_of(path, module):
    """Yields (imported dotted name, whether at the module's top level) for each import in a file.

    Imports inside functions and under TYPE_CHECKING count too; `from gan_tf import x` counts as gan_tf.x.
    """
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(), str(path))
    deferred = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        at_top = id(node) not in deferred
        if isinstance(node, ast.Import):
            yield from ((alias.name, at_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            base = (above + (node.module or "")).rstrip(".")
            yield from ((f"{base}.{alias.name}", at_top) for alias in node.names)


def modules():
    """All modules of the package and of the data sets: (path, dotted name)."""
    for folder, package in (("gan_tf", "gan_tf"), ("datasets", "gan_tf_datasets")):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            yield path, ".".join([package, *(part for part in parts if part != "__init__")])


def violations(path, module, allowed):
    """Names that a file imports against the table."""
    room = room_of(module)
    may = allowed.get(room, set()) if room else set()
    if may is None:
        return []
    wanted = {name: room_of(name) for name, _ in imports_of(path, module)}
    ok = {room, None, "__version__", "load", *FOR_ALL, *may}
    return [f"{path.relative_to(ROOT)} imports {name}" for name, target in wanted.items() if target not in ok]


def test_every_room_stands_in_the_table():
    rooms = {room_of(module) for _, module in modules()} - {None}
    assert rooms - FOR_ALL <= set(table())


@pytest.mark.parametrize("room", sorted({room_of(module) for _, module in modules()} - {None}))
def test_room_imports_only_what_the_table_allows(room):
    allowed = table()
    found = [bad for path, module in modules() if room_of(module) == room for bad in violations(path, module, allowed)]
    assert not found, "\n".join(found)


def test_rooms_on_the_way_to_help_import_nothing_heavy_at_their_top():
    slow = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path, module in modules()
        if room_of(module) in LIGHT | {None}
        for name, at_top in imports_of(path, module)
        if at_top and name.partition(".")[0] in HEAVY
    ]
    assert not slow, "\n".join(slow)


def test_a_forbidden_import_is_found(tmp_path):
    for line in ("import gan_tf.training.train", "from gan_tf import training", "from ..training import loop"):
        path = tmp_path / "new.py"
        path.write_text(f"def later():\n    {line}\n")
        wanted = {room_of(name) for name, _ in imports_of(path, "gan_tf.models.new")}
        assert wanted == {"training"}
