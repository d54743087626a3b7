"""Strict JSON, as the server reads it. Python's also reads and writes NaN and infinities, and overflows to them."""

import json
import math

from hashlake.client.answers import Json


def encode(value: Json) -> bytes:
    """Returns ``value`` as JSON. Raises ValueError for NaN and infinities, TypeError for values that JSON lacks."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def decode(text: str) -> Json:
    """Returns the value of ``text``. Raises ValueError, in one line, if it isn't JSON."""
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.colno:,}") from error
    except RecursionError as error:
        raise ValueError("JSON nested too deeply") from error


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number} is no number that JSON can say")
    return value
