"""The only place that makes JSON text, so that no file and no output contains NaN or Infinity, which are not JSON."""

import json


def json_text(value, **options) -> str:
    """Returns a value as JSON text, with null for NaN and infinities.

    Args:
        value: dicts, lists, tuples, text and numbers; np.float64 is a float, other NumPy types raise TypeError.
        options: `indent` and `sort_keys` of json.dumps.
    """
    try:
        return json.dumps(value, allow_nan=False, **options)
    except ValueError:
        finite = json.loads(json.dumps(value), parse_constant=lambda name: None)
        return json.dumps(finite, allow_nan=False, **options)
