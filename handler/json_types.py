"""Values from JSON and from forms, described in words for the client that sent them."""

from typing import Any

from handler.errors import bad_request

_KINDS = {type(None): "null", bool: "a boolean", int: "an integer", float: "a number", str: "a string"}


def json_type(value: Any) -> str:
    """Returns JSON's name for the type of ``value``, such as "an array"."""
    return _KINDS.get(type(value), "an array" if isinstance(value, list) else "an object")


def text_of(value: Any, name: str) -> str:
    """Returns the text in the part ``name`` of a form. Raises RequestError (400) if it isn't text."""
    if isinstance(value, str):
        return value
    if not isinstance(value, (bytes, bytearray)):  # TorchServe parses parts of type application/json
        raise bad_request(f"{name} must be text, and is {json_type(value)}")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise bad_request(f"{name} is not text") from error
