"""One request of a TorchServe batch → a query. All shapes that clients send end in the same fields.

{"body": object or bytes}                        a JSON body, whatever its content type
{"data": object or bytes}                        multipart, one part holding the JSON object
{"image": bytes, "top_k": bytes, …}              multipart, the image file itself and plain parts
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import pybase64

from handler.errors import RequestError

DEFAULT_TOP_K = 10
MAX_TOP_K = 1000
#: No code is wider, so nothing is farther.
MAX_DISTANCE = 1024

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"


@dataclass(frozen=True)
class Query:
    """What a client asks: the images most like ``image`` (an image file's bytes), none farther than ``max_distance``
    bits, with distances if ``debug``."""

    image: bytes
    top_k: int
    debug: bool
    max_distance: int | None = None


def parse(item: Mapping[str, Any]) -> Query:
    """The query in ``item``, one element of the list that TorchServe hands over. Raises RequestError (400)."""
    for part in ("body", "data"):
        if part in item:
            return _from_object(_object(item[part]))
    if "image" in item:
        return _from_parts(item)
    if any(name.lstrip().startswith("{") for name in item):
        raise _bad("the JSON was sent as a web form, which garbles base64: send Content-Type: application/json")
    raise _bad("the request holds no image: send a JSON object with the field image, or multipart with a part image")


def _object(payload: Any) -> Mapping[str, Any]:
    if isinstance(payload, (bytes, bytearray, str)):
        if not payload:
            raise _bad("the request has no body")
        try:
            payload = json.loads(payload)
        except (ValueError, RecursionError) as error:
            raise _bad(f"the request is not JSON ({str(error)[:100]})") from error
    if not isinstance(payload, dict):
        raise _bad(f"the request must be a JSON object, and is {_json_type(payload)}")
    return payload


def _from_object(fields: Mapping[str, Any]) -> Query:
    image = fields.get("image")
    if image is None:
        raise _bad("image is missing: give an image file in base64")
    if not isinstance(image, str):
        raise _bad(f"image must be a string of base64, and is {_json_type(image)}")
    debug = fields.get("debug")
    if debug is not None and not isinstance(debug, bool):
        raise _bad(f"debug must be true or false, and is {_json_type(debug)}")
    return Query(_base64(image), _top_k(fields), bool(debug), _max_distance(fields))


def _from_parts(parts: Mapping[str, Any]) -> Query:
    image = parts["image"]
    if not image:
        raise _bad("image is empty")
    if not isinstance(image, (str, bytes, bytearray)):
        raise _bad(f"image must be a file, and is {_json_type(image)}")
    if isinstance(image, str) or image.isascii():  # no image file is ASCII throughout: this may be base64
        with contextlib.suppress(RequestError):  # if not, it is a file that is no image
            image = _base64(_text(image, "image"))
    if isinstance(image, str):
        image = image.encode()
    debug = _text(parts.get("debug", "false"), "debug").strip().lower()
    if debug not in ("true", "false", "1", "0", ""):
        raise _bad(f"debug must be true or false, and is {debug[:20]!r}")
    numbers = {name: value.encode() if isinstance(value, str) else value for name, value in parts.items()}
    return Query(bytes(image), _top_k(numbers), debug in ("true", "1"), _max_distance(numbers))


def _top_k(fields: Mapping[str, Any]) -> int:
    for name in ("top_k", "topk"):  # the second is what older clients send
        if fields.get(name) is not None:
            return _integer(fields[name], name, 1, MAX_TOP_K)
    return DEFAULT_TOP_K


def _max_distance(fields: Mapping[str, Any]) -> int | None:
    value = fields.get("max_distance")
    return None if value is None else _integer(value, "max_distance", 0, MAX_DISTANCE)


def _integer(value: Any, name: str, least: int, greatest: int) -> int:
    """An integer of a JSON object, or its digits in a multipart part."""
    wanted = f"{name} must be an integer from {least} to {greatest}"
    if isinstance(value, (bytes, bytearray)):
        text = _text(value, name).strip()
        if not _INTEGER.fullmatch(text):
            raise _bad(f"{wanted}, and is {text[:20]!r}")
        value = int(text)
    if isinstance(value, bool) or not isinstance(value, int):
        raise _bad(f"{wanted}, and is {_json_type(value)}")
    if not least <= value <= greatest:
        raise _bad(f"{wanted}, and is {str(value)[:20]}")
    return value


def _base64(text: str) -> bytes:
    """Bytes from base64: standard or URL-safe alphabet, padded or not, white space and a data: prefix allowed."""
    if text[:5].lower() == "data:":
        header, comma, text = text.partition(",")
        if not comma or not header.rstrip().lower().endswith(";base64"):
            raise _bad("image starts like a data: URL but is not data:image/…;base64,…")
    try:
        image = pybase64.b64decode(text, validate=True)  # most clients send the plain form: no need to tidy it first
    except ValueError:
        image = _tidied_base64(text)
    if not image:
        raise _bad("image is empty")
    return image


def _tidied_base64(text: str) -> bytes:
    try:
        data = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise _bad(f"image is not base64: it has a character outside ASCII at position {error.start}") from error
    data = data.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
    try:
        return pybase64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except ValueError as error:
        raise _bad(f"image is not base64 ({str(error)[:100]})") from error


def _text(value: Any, name: str) -> str:
    if isinstance(value, str):
        return value
    try:
        return bytes(value).decode()
    except (UnicodeDecodeError, TypeError, ValueError) as error:
        raise _bad(f"{name} is not text") from error


def _json_type(value: Any) -> str:
    kinds = {type(None): "null", bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return kinds.get(type(value), "an array" if isinstance(value, list) else "an object")


def _bad(message: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, message)
