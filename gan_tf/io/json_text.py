"""JSON text: reads untrusted objects, and makes all JSON text.

No other place makes any, so that no file and no output contains NaN or Infinity, which are not JSON.
"""

import json


def json_text(value, **options) -> str:
    """Returns a value as JSON text, with null for NaN and infinities.

    Args:
        value: dicts, lists, tuples, text and numbers; np.float64 is a float, other NumPy types raise TypeError.
        options: `indent` and `sort_keys` of json.dumps.
    """
    finite = json.loads(json.dumps(value), parse_constant=lambda name: None)
    return json.dumps(finite, allow_nan=False, **options)


def json_object(content) -> dict:
    """Parses the bytes of an untrusted JSON file. Raises ValueError unless it is an object."""
    try:
        value = json.loads(content)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
