"""JSON text has no NaN or Infinity, and one function makes all of it."""

import ast
import json
import math
from pathlib import Path

import numpy as np
import pytest

from gan_tf.io.json_text import json_text

ROOT = Path(__file__).resolve().parent.parent
SOURCES = [path for name in ("gan_tf", "datasets", "benchmarks", "deploy") for path in (ROOT / name).rglob("*.py")]


def strict(text):
    """The value of JSON text; numbers that are not part of JSON fail."""
    return json.loads(text, parse_constant=pytest.fail)


def test_numbers_that_are_not_finite_become_null():
    value = {"a": (1.5, math.nan, [np.float64("inf")]), "b": {"-inf": -math.inf}, "é": "NaN", "c": None}
    assert strict(json_text(value, indent=2)) == {"a": [1.5, None, [None]], "b": {"-inf": None}, "é": "NaN", "c": None}
    with pytest.raises(TypeError):
        json_text({"a": np.float32(1)})


def test_no_other_code_makes_json_text():
    assert len(SOURCES) > 100
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        writes = {"json.dump", "json.dumps", "json.JSONEncoder"} & used or "json" in imported
        assert not writes or path.name == "json_text.py", f"{path}: use gan_tf.io.json_text"
