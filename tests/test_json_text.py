"""JSON text has no NaN or Infinity, and one function makes all of it."""

import json
import math

import numpy as np
import pytest

from gan_tf.io.json_text import json_text


def strict(text):
    """The value of JSON text; numbers that are not part of JSON fail."""
    return json.loads(text, parse_constant=pytest.fail)


def test_numbers_that_are_not_finite_become_null():
    value = {"a": (1.5, math.nan, [np.float64("inf")]), "b": {"-inf": -math.inf}, "é": "NaN", "c": None}
    assert strict(json_text(value, indent=2)) == {"a": [1.5, None, [None]], "b": {"-inf": None}, "é": "NaN", "c": None}
    with pytest.raises(TypeError):
        json_text({"a": np.float32(1)})
