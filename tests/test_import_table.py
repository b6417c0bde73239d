"""Imports and names: the import table of CONTRIBUTING.md, no import circles, unique class names and module titles."""

import ast
import collections
import graphlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHARED = {"errors", "io"}  # every package may import these
LIGHT = {"config", "errors", "cli", None}  # imported by --help; None is gan_tf/__init__.py
HEAVY = {"tensorflow", "keras", "tensorflow_datasets", "scipy"}


def package_of(module):
    """Returns the package or root module of a dotted name, None if it is not part of this project."""
    first, _, rest = module.partition(".")
    if first == "gan_tf_datasets":
        return "datasets"
    return rest.partition(".")[0] or None if first == "gan_tf" else None


MODULES = {}  # {dotted name: (path, syntax tree)} of gan_tf and of the datasets
for folder, package in (("gan_tf", "gan_tf"), ("datasets", "gan_tf_datasets")):
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT / folder).with_suffix("").parts
        name = ".".join([package, *(part for part in parts if part != "__init__")])
        MODULES[name] = (path, ast.parse(path.read_text(), str(path)))
PACKAGES = sorted({package_of(name) for name in MODULES} - {None})


def imports_of(module, top_level_only=False):
    """Returns the dotted names that a module imports, by default also inside functions.

    `from gan_tf import x` counts as gan_tf.x.
    """
    path, tree = MODULES[module]
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    deferred = {id(inner) for node in functions for inner in ast.walk(node)} if top_level_only else set()
    names = set()
    for node in ast.walk(tree):
        if id(node) in deferred:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] + "." if node.level else ""
            base = (above + (node.module or "")).rstrip(".")
            names |= {f"{base}.{alias.name}" for alias in node.names}
    return names


def import_table():
    """Reads the rows `| packages | may import |` of CONTRIBUTING.md: {package: set of packages}."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    section = text.partition("## What may import what\n")[2].partition("\n## ")[0]
    allowed = {}
    for packages, imports in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|$", section, re.M):
        names = set(PACKAGES if imports.strip() == "everything" else re.findall(r"`([a-z_]+)`", imports))
        allowed |= dict.fromkeys(re.findall(r"`([a-z_]+)`", packages), names)
    return allowed


def test_every_package_is_in_the_table():
    assert set(PACKAGES) - SHARED <= set(import_table())


def test_packages_import_only_what_the_table_allows():
    table = import_table()
    allowed = {
        package: {package, None, "__version__", "load", *SHARED, *table.get(package, ())} for package in PACKAGES
    }
    forbidden = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports_of(module)
        if package_of(name) not in allowed.get(package_of(module), {None})
    ]
    assert not forbidden, "\n".join(forbidden)


def test_root_has_at_most_four_modules():
    modules = {path.stem for path in (ROOT / "gan_tf").glob("*.py")} - {"__init__"}
    assert len(modules) <= 4, modules


def test_packages_have_no_import_circle():
    graph = collections.defaultdict(set)
    for module in MODULES:
        graph[package_of(module)] |= {package_of(name) for name in imports_of(module)} - {package_of(module), None}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, which names the circle


def test_modules_have_no_import_circle():
    graph = {}
    for module in MODULES:
        imported = imports_of(module, top_level_only=True)
        names = {name if name in MODULES else name.rpartition(".")[0] for name in imported}
        graph[module] = {name for name in names & set(MODULES) if name != module}
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_modules_that_help_needs_import_nothing_heavy_at_top_level():
    heavy = [
        f"{module} imports {name}"
        for module in MODULES
        if package_of(module) in LIGHT
        for name in imports_of(module, top_level_only=True)
        if name.partition(".")[0] in HEAVY
    ]
    assert not heavy, "\n".join(heavy)


def test_class_names_are_unique():
    names = [
        node.name
        for module, (_, tree) in MODULES.items()
        if package_of(module) != "datasets"
        for node in tree.body
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name, count in collections.Counter(names).items() if count > 1] == []


def test_every_module_has_a_title_of_its_own():
    docstrings = {module: ast.get_docstring(tree) or "" for module, (_, tree) in MODULES.items() if tree.body}
    titles = {module: docstring.partition("\n")[0] for module, docstring in docstrings.items()}
    assert [module for module, title in titles.items() if not title] == []
    assert [title for title, count in collections.Counter(titles.values()).items() if count > 1] == []
