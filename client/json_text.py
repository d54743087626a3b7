"""JSON as the server reads it. Python's own also reads and writes NaN, infinities, and numbers that become them."""

import json
import math

from client.answers import Json


def encode(value: Json) -> bytes:
    """``value`` as JSON. ValueError for NaN and infinities; TypeError for what is no JSON."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def decode(text: str) -> Json:
    """What ``text`` says. ValueError, in one line, for what is no JSON."""
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
