"""One request of a TorchServe batch, understood. All shapes that clients send end in the same fields.

{"body": object or bytes}                        a JSON body, whatever its content type; {"hash": [base64, …]} asks for
                                                 codes
{"data": object or bytes}                        multipart, one part holding the JSON object
{"image": bytes, "top_k": bytes, …}              multipart, the image file itself and plain parts
{"text": bytes, "top_k": bytes, …}               multipart, plain parts alone; likewise {"code": bytes, …}
"""

import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, get_args

import pybase64

from handler.errors import RequestError
from searcher.collections_store import DEFAULT
from searcher.errors import FilterError
from searcher.filters import Condition, parse_filter
from searcher.search import Rank

DEFAULT_TOP_K = 10
MAX_TOP_K = 1000
#: No code is wider, so nothing is farther.
MAX_DISTANCE = 1024
RANKS: tuple[Rank, ...] = get_args(Rank)
DEFAULT_RANK: Rank = "distance"

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_HEX = re.compile(r"([0-9A-Fa-f]{2}){1,128}")
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"

#: Pictures of one request for codes.
MAX_HASHED = 32

#: What a request may ask about.
_SUBJECTS = ("image", "text", "code")
_FLAGS = ("debug", "metadata")


@dataclass(frozen=True)
class GivenCode:
    """What an earlier answer said of its picture: its ``code``, and its ``detail`` code if the client has kept it."""

    code: bytes
    detail: bytes | None = None


@dataclass(frozen=True)
class Request:
    """What a client asks: the images most like ``subject``, an image file's bytes, the name of a class or a code.

    At most ``top_k`` of ``collection`` whose metadata meet ``condition``, none farther than ``max_distance`` bits, in
    the order of ``rank``; with distances if ``debug``, and with their ``metadata``.
    """

    subject: bytes | str | GivenCode
    top_k: int = DEFAULT_TOP_K
    debug: bool = False
    max_distance: int | None = None
    rank: Rank = DEFAULT_RANK
    collection: str = DEFAULT
    condition: Condition | None = None
    metadata: bool = False


@dataclass(frozen=True)
class HashRequest:
    """A request for the codes of ``images``, image files, each or what is wrong with it."""

    images: list[bytes | RequestError]


def parse(item: Mapping[str, Any]) -> Request | HashRequest:
    """The request in ``item``, one element of the list that TorchServe hands over. Raises RequestError (400)."""
    for part in ("body", "data"):
        if part in item:
            fields = _object(item[part])
            return _hash_request(fields["hash"]) if "hash" in fields else _from_object(fields)
    if any(name in item for name in _SUBJECTS):
        return _from_parts(item)
    if any(name.lstrip().startswith("{") for name in item):
        raise _bad("the JSON was sent as a web form, which garbles base64: send Content-Type: application/json")
    raise _bad(
        "the request holds no image, no text and no code: send a JSON object with the field image, text or code, "
        "or multipart with a part of that name"
    )


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


def _from_object(fields: Mapping[str, Any]) -> Request:
    subject = _subject(fields)
    flags = {}
    for name in _FLAGS:
        value = fields.get(name)
        if value is not None and not isinstance(value, bool):
            raise _bad(f"{name} must be true or false, and is {_json_type(value)}")
        flags[name] = bool(value)
    collection = fields.get("collection")
    if collection is not None and not isinstance(collection, str):
        raise _bad(f"collection must be a collection's name, and is {_json_type(collection)}")
    return _request(subject, fields, flags, fields.get("filter"))


def _subject(fields: Mapping[str, Any]) -> bytes | str | GivenCode:
    """What the fields of a JSON object ask about."""
    present = [name for name in _SUBJECTS if fields.get(name) is not None]
    if not present:
        raise _bad("image is missing: give an image file in base64, or text, the name of a class")
    # A form also sends the fields that were left empty.
    name = _only_one([name for name in present if fields[name] != ""]) or present[-1]
    value = fields[name]
    if not isinstance(value, str):
        wanted = {"image": "a string of base64", "text": "the name of a class", "code": "a string of hex digits"}
        raise _bad(f"{name} must be {wanted[name]}, and is {_json_type(value)}")
    if name == "image":
        return _base64(value)
    if name == "text":
        return _class_name(value)
    detail = fields.get("detail_code")
    if detail is not None and not isinstance(detail, str):
        raise _bad(f"detail_code must be a string of hex digits, and is {_json_type(detail)}")
    return _given_code(value, detail)


def _only_one(given: list[str]) -> str | None:
    if len(given) > 1:
        both = "both" if len(given) == 2 else "all"
        raise _bad(f"{', '.join(given[:-1])} and {given[-1]} are {both} given: a request asks about one of them")
    return given[0] if given else None


def _from_parts(parts: Mapping[str, Any]) -> Request:
    text, code = (_text(parts.get(name, ""), name) for name in ("text", "code"))
    given = (
        _only_one(
            [
                name
                for name, value in (("image", parts.get("image")), ("text", text.strip()), ("code", code.strip()))
                if value
            ]
        )
        or [name for name in _SUBJECTS if name in parts][-1]
    )
    subject: bytes | str | GivenCode
    if given == "image":
        subject = _image_file(parts["image"])
    elif given == "text":
        subject = _class_name(text)
    else:
        subject = _given_code(code, _text(parts.get("detail_code", ""), "detail_code"))
    flags = {}
    for name in _FLAGS:
        flag = _text(parts.get(name, "false"), name).strip().lower()
        if flag not in ("true", "false", "1", "0", ""):
            raise _bad(f"{name} must be true or false, and is {flag[:20]!r}")
        flags[name] = flag in ("true", "1")
    fields = {
        name: value.encode() if isinstance(value, str) else value
        for name, value in parts.items()
        if value not in ("", b"")
    }
    for name in ("rank", "collection"):
        fields[name] = _text(parts.get(name, ""), name).strip() or None
    given_filter = parts.get("filter") or None  # TorchServe reads parts of type application/json
    if isinstance(given_filter, (str, bytes, bytearray)):
        try:
            given_filter = json.loads(given_filter)
        except (ValueError, RecursionError) as error:
            raise _bad(f"filter is not JSON ({str(error)[:100]})") from error
    return _request(subject, fields, flags, given_filter)


def _request(
    subject: bytes | str | GivenCode, fields: Mapping[str, Any], flags: Mapping[str, bool], given_filter: Any
) -> Request:
    rank = _rank(fields)
    if rank == "detail" and isinstance(subject, str):
        raise _bad('rank "detail" needs an image: text names a class, which has no detail code')
    if rank == "detail" and isinstance(subject, GivenCode) and subject.detail is None:
        raise _bad('rank "detail" needs detail_code beside code')
    condition = None
    if given_filter is not None:
        try:
            condition = parse_filter(given_filter)
        except FilterError as error:
            raise _bad(f"filter: {error}") from error
    return Request(
        subject, _top_k(fields), flags["debug"], _max_distance(fields), rank, fields.get("collection") or DEFAULT,
        condition, flags["metadata"],
    )  # fmt: skip


def _hash_request(given: Any) -> HashRequest:
    if not isinstance(given, list) or not 0 < len(given) <= MAX_HASHED:
        raise _bad(f"hash must be a list of 1 to {MAX_HASHED} image files in base64")
    images: list[bytes | RequestError] = []
    for each in given:
        try:
            if not isinstance(each, str):
                raise _bad(f"image must be a string of base64, and is {_json_type(each)}")
            images.append(_base64(each))
        except RequestError as error:
            images.append(error)
    return HashRequest(images)


def _class_name(text: str) -> str:
    name = text.strip()
    if not name:
        raise _bad("text is empty")
    return name


def _given_code(code: str, detail: str | None) -> GivenCode:
    return GivenCode(_hex(code, "code"), _hex(detail, "detail_code") if detail else None)


def _hex(text: str, name: str) -> bytes:
    text = text.strip()
    if not _HEX.fullmatch(text):
        raise _bad(f"{name} must be hex digits, two a byte, as an answer in debug mode gives them")
    return bytes.fromhex(text)


def _image_file(image: Any) -> bytes:
    if not image:
        raise _bad("image is empty")
    if not isinstance(image, (str, bytes, bytearray)):
        raise _bad(f"image must be a file, and is {_json_type(image)}")
    if isinstance(image, str) or image.isascii():  # no image file is ASCII throughout: this may be base64
        with contextlib.suppress(RequestError):  # if not, it is a file that is no image
            image = _base64(_text(image, "image"))
    if isinstance(image, str):
        image = image.encode()
    return bytes(image)


def _top_k(fields: Mapping[str, Any]) -> int:
    for name in ("top_k", "topk"):  # the second is what older clients send
        if fields.get(name) is not None:
            return _integer(fields[name], name, 1, MAX_TOP_K)
    return DEFAULT_TOP_K


def _max_distance(fields: Mapping[str, Any]) -> int | None:
    value = fields.get("max_distance")
    return None if value is None else _integer(value, "max_distance", 0, MAX_DISTANCE)


def _rank(fields: Mapping[str, Any]) -> Rank:
    value = fields.get("rank")
    if value is None:
        return DEFAULT_RANK
    for rank in RANKS:
        if value == rank:
            return rank
    found = repr(value[:20]) if isinstance(value, str) else _json_type(value)
    raise _bad(f'rank must be "distance" or "detail", and is {found}')


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
    if not isinstance(value, (bytes, bytearray)):  # TorchServe reads parts of type application/json
        raise _bad(f"{name} must be text, and is {_json_type(value)}")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise _bad(f"{name} is not text") from error


def _json_type(value: Any) -> str:
    kinds = {type(None): "null", bool: "a boolean", int: "an integer", float: "a number", str: "a string"}
    return kinds.get(type(value), "an array" if isinstance(value, list) else "an object")


def _bad(message: str) -> RequestError:
    return RequestError(HTTPStatus.BAD_REQUEST, message)
