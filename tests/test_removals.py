"""Files are removed and replaced by a few functions, each of which touches only what the program wrote."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMES = ("unlink", "rmtree", "rmdir", "rglob", "removedirs", "rename")

# {file: functions}. Before you add one: which files of the user may be there, and does it leave them alone?
KNOWN = {
    "datasets/catalogue.py": {"open_few_shot"},
    "gan_tf/cli/convert.py": {"convert", "remove_parts"},
    "gan_tf/data/cache.py": {"writing"},
    "gan_tf/data/prepare.py": {"_make_smaller"},
    "gan_tf/distributed/workers.py": {"require_shared_folder"},
    "gan_tf/export/comparison.py": {"size_of"},
    "gan_tf/export/formats.py": {"output"},
    "gan_tf/faces/results.py": {"_remove_windows", "remove", "write_npz", "write_folder"},
    "gan_tf/io/files.py": {"check_writable", "part_file", "remove_parts"},
    "gan_tf/metrics/features.py": {"compute"},
    "gan_tf/pretrained/downloads.py": {"_open_rest", "fetch"},
    "gan_tf/pretrained/lpips.py": {"_keep_convolutions"},
    "gan_tf/runs/folder.py": {"cut", "remove_checkpoints", "remove_snapshot"},
    "gan_tf/sampling/image_writer.py": {"missing_seeds", "_folder_writer"},
    "gan_tf/training/log.py": {"cut"},
    "gan_tf/training/resume.py": {"start_run"},
}


def removes(node):
    """True for a call that removes or replaces a file, or finds files in all sub-folders."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return False
    module = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
    if node.func.attr == "replace":  # of os or of a path, not of text or a dataclass
        return module == "os" or (len(node.args) == 1 and not node.keywords and module != "dataclasses")
    return node.func.attr in NAMES or (module, node.func.attr) in (("os", "remove"), ("shutil", "move"))


def test_only_known_functions_remove_or_replace_files():
    found = {}
    for path in sorted([*ROOT.glob("gan_tf/**/*.py"), *ROOT.glob("datasets/**/*.py")]):
        for function in ast.walk(ast.parse(path.read_text())):
            if isinstance(function, ast.FunctionDef) and any(map(removes, ast.walk(function))):
                found.setdefault(path.relative_to(ROOT).as_posix(), set()).add(function.name)
    assert found == KNOWN
