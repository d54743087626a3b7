"""Parses one request of a TorchServe batch. Every shape that clients send ends in the same fields.

{"body": object or bytes}                        a JSON body, with any content type; the gateway alone may ask for
                                                 codes: {"hash": [base64, …]}, {"complete": [base64, …]}
{"data": object or bytes}                        multipart: one part holds the JSON object
{"image": bytes, "top_k": bytes, …}              multipart: the image file itself and plain parts
{"text": bytes, "top_k": bytes, …}               multipart: plain parts only; likewise {"code": bytes, …}

    shape ─▶ the one subject and the other fields ─▶ contract.query.QueryFields, which knows limits ─▶ SearchRequest
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from contract.names import DEFAULT_COLLECTION
from contract.query import DEFAULT_TEXT_WEIGHT, MAX_COMPLETED, MAX_TOP_K, SUBJECTS, WANTED, WITH_TEXT, QueryFields
from handler.errors import RequestError, bad_request
from handler.json_types import json_type, text_of
from handler.picture_bytes import decode_base64, file_of_part
from handler.request import (
    CodesRequest,
    CompletionRequest,
    IndexedImage,
    QueryCodes,
    QueryEmbedding,
    SearchRequest,
    Subject,
    Words,
)
from searcher.errors import FilterError
from searcher.filters import parse_filter

#: The most pictures in one request for codes.
MAX_HASHED = 32

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{0,9}\.?[0-9]{1,18}")
_HEX = re.compile(r"([0-9A-Fa-f]{2}){1,128}")
#: The fields to ignore beside each subject: a form also sends the fields that were left empty.
_BESIDE = {
    name: {*SUBJECTS, "detail_code"}
    - {name}
    - ({"detail_code"} if name == "code" else set())
    - ({"text"} if name in WITH_TEXT else set())
    for name in SUBJECTS
}
_FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}


def parse(item: Mapping[str, Any], from_gateway: bool = False) -> SearchRequest | CodesRequest | CompletionRequest:
    """Returns the request in ``item``, one element of TorchServe's batch; ``from_gateway``: whether it came with the
    secret. Raises RequestError (400, and 403 for what the gateway alone may ask)."""
    for part in ("body", "data"):
        if part in item:
            fields = _object(item[part])
            wanted = next((name for name in ("hash", "complete") if name in fields), None)
            if wanted is None:
                return _from_object(fields)
            if not from_gateway:  # 32 pictures of the largest size would keep a worker for minutes
                raise RequestError(HTTPStatus.FORBIDDEN, f"{wanted}: only the gateway may ask for codes")
            return _codes_request(fields["hash"]) if wanted == "hash" else _completion(fields["complete"])
    if any(name in item for name in SUBJECTS):
        return _from_parts(item)
    if any(name.lstrip().startswith("{") for name in item):
        raise bad_request("the JSON was sent as a web form, which garbles base64: send Content-Type: application/json")
    raise bad_request(
        "the request holds no image, no text and no code, and no path: send a JSON object with the field image, text, "
        "code or path, or multipart with a part of that name"
    )


def _object(payload: Any) -> Mapping[str, Any]:
    if isinstance(payload, (bytes, bytearray, str)):
        if not payload:
            raise bad_request("the request has no body")
        payload = _json(payload, "the request")
    if not isinstance(payload, dict):
        raise bad_request(f"the request must be a JSON object, and is {json_type(payload)}")
    return payload


def _json(text: str | bytes | bytearray, what: str) -> Any:
    try:
        return from_json(text)  # ten times as fast as json.loads
    except ValueError:
        try:  # json.loads also takes half surrogate pairs and UTF-16, and its message says what is wrong
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad_request(f"{what} is not JSON ({str(error)[:100]})") from error


def _from_object(fields: Mapping[str, Any]) -> SearchRequest:
    present = [name for name in SUBJECTS if fields.get(name) is not None]
    if not present:
        raise bad_request(
            "image is missing: give an image file in base64, or text, the name of a class, or path, an indexed image"
        )
    # A form also sends the fields that were left empty.
    subject = _only_one([name for name in present if fields[name] not in ("", [])]) or present[-1]
    return _request(subject, fields)


def _from_parts(parts: Mapping[str, Any]) -> SearchRequest:
    """Like ``_from_object``, for text: numbers are digits and flags are words."""
    fields = {name: _part(name, value) for name, value in parts.items() if name != "image" and value not in ("", b"")}
    fields = {name: value for name, value in fields.items() if value not in ("", None)}
    given = {"image": parts.get("image")} | fields
    subject = (
        _only_one([name for name in SUBJECTS if given.get(name)])
        or [name for name in SUBJECTS if name in parts][-1]
    )  # fmt: skip
    picture = file_of_part(parts["image"]) if subject == "image" else None
    return _request(subject, fields, picture)


def _part(name: str, value: Any) -> Any:
    """Returns the value of the part ``name``, in the type that the field has in JSON."""
    if name in ("top_k", "topk", "max_distance"):
        if not isinstance(value, (str, bytes, bytearray)):  # TorchServe parses parts of type application/json
            return value
        digits = text_of(value, name).strip()
        if not _INTEGER.fullmatch(digits):
            raise _wrong(name, repr(digits[:20]))
        return int(digits)
    if name in ("debug", "metadata", "turned", "exact", "collapse"):
        word = text_of(value, name).strip().lower()
        if word not in _FLAGS:
            raise _wrong(name, repr(word[:20]))
        return _FLAGS[word]
    if name == "path":
        return text_of(value, name)  # unstripped: white space may belong to the path
    if name in ("text_weight", "diversity") and isinstance(value, (str, bytes, bytearray)):
        number = text_of(value, name).strip()
        if not _DECIMAL.fullmatch(number):
            raise _wrong(name, repr(number[:20]))
        return float(number)
    if name in ("text", "negative_text", "code", "detail_code", "rank", "collection", "crop"):
        return text_of(value, name).strip()
    if name in ("filter", "embedding") and isinstance(value, (str, bytes, bytearray)):
        return _json(value, name)
    return value


def _only_one(given: list[str]) -> str | None:
    """Returns what a request with the fields ``given`` asks about, with or without words beside it."""
    if len(given) == 2 and "text" in given and given[0] != given[1]:
        (other,) = set(given) - {"text"}
        given = [other] if other in WITH_TEXT else given
    if len(given) > 1:
        both = "both" if len(given) == 2 else "all"
        raise bad_request(f"{', '.join(given[:-1])} and {given[-1]} are {both} given: a request asks about one of them")
    return given[0] if given else None


def _request(subject: str, fields: Mapping[str, Any], picture: bytes | None = None) -> SearchRequest:
    """Returns the request about the field ``subject``, or about the ``picture`` of a form."""
    told = {name: value for name, value in fields.items() if value is not None}
    for name in _BESIDE[subject]:
        told.pop(name, None)
    try:
        asked = QueryFields.model_validate(told)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise _wrong(str(first["loc"][0]), _shown(first["type"], first["input"])) from error
    about = _subject(subject, asked) if picture is None else picture
    words = _words(asked, beside=subject != "text")
    if words is not None and asked.rank == "detail":
        raise bad_request('rank "detail" needs an image alone: words have no detail code')
    if words is not None and isinstance(about, QueryCodes):
        raise bad_request("negative_text needs image, text, path or embedding: words cannot be added to a code")
    if asked.rank == "detail" and isinstance(about, str):
        raise bad_request('rank "detail" needs an image: text names a class, which has no detail code')
    if asked.rank == "detail" and isinstance(about, QueryCodes) and about.detail is None:
        raise bad_request('rank "detail" needs detail_code beside code')
    if asked.turned and not isinstance(about, bytes):
        raise bad_request("turned needs an image: codes cannot be turned")
    if asked.crop == "auto" and not isinstance(about, bytes):
        raise bad_request("crop needs an image: nothing else has a main object")
    diversity = max(1, int(asked.diversity))
    if asked.top_k * diversity > MAX_TOP_K:
        raise bad_request(f"top_k times diversity must be at most {MAX_TOP_K}, and is {asked.top_k * diversity}")
    where = None
    if asked.filter is not None:
        try:
            where = parse_filter(asked.filter)
        except FilterError as error:
            raise bad_request(f"filter: {error}") from error
    return SearchRequest(
        about, asked.top_k, asked.debug, asked.max_distance, asked.rank,
        asked.collection or DEFAULT_COLLECTION, where, asked.metadata, asked.turned, asked.exact, words,
        asked.collapse, diversity, asked.crop,
    )  # fmt: skip


def _words(asked: QueryFields, *, beside: bool) -> Words | None:
    """Returns what is said beside the subject, which is not the text itself if ``beside``."""
    text = (asked.text or "").strip() or None if beside else None
    negative = (asked.negative_text or "").strip() or None
    if text is None and negative is None:
        return None
    return Words(text, DEFAULT_TEXT_WEIGHT if asked.text_weight is None else asked.text_weight, negative)


def _subject(name: str, asked: QueryFields) -> Subject:
    if name == "image":
        return decode_base64(asked.image or "")
    if name == "code":
        detail = asked.detail_code and _bytes_of_hex(asked.detail_code, "detail_code")
        return QueryCodes(_bytes_of_hex(asked.code or "", "code"), detail or None)
    if name == "embedding":
        if not any(asked.embedding or ()):
            raise bad_request("embedding has no direction: it is empty, or all zero")
        return QueryEmbedding(tuple(asked.embedding or ()))
    given = asked.path if name == "path" else (asked.text or "").strip()
    if not given:
        raise bad_request(f"{name} is empty")
    return IndexedImage(given) if name == "path" else given


def _codes_request(given: Any) -> CodesRequest:
    if not isinstance(given, list) or not 0 < len(given) <= MAX_HASHED:
        raise bad_request(f"hash must be a list of 1 to {MAX_HASHED} image files in base64")
    images: list[bytes | RequestError] = []
    for each in given:
        try:
            if not isinstance(each, str):
                raise _wrong("image", json_type(each))
            images.append(decode_base64(each))
        except RequestError as error:
            images.append(error)
    return CodesRequest(images)


def _completion(given: Any) -> CompletionRequest:
    if not isinstance(given, list) or not 0 < len(given) <= MAX_COMPLETED or not all(isinstance(x, str) for x in given):
        raise bad_request(f"complete must be a list of 1 to {MAX_COMPLETED} embeddings in base64")
    return CompletionRequest([decode_base64(each) for each in given])


def _bytes_of_hex(text: str, name: str) -> bytes:
    text = text.strip()
    if not _HEX.fullmatch(text):
        raise bad_request(f"{name} must be hex digits, two a byte, as an answer in debug mode gives them")
    return bytes.fromhex(text)


def _wrong(name: str, found: str) -> RequestError:
    return bad_request(f"{name} must be {WANTED['top_k' if name == 'topk' else name]}, and is {found}")


def _shown(kind: str, value: Any) -> str:
    """Returns what the client sent, for the message: the value if its type is right, else its type."""
    if isinstance(value, str):
        return repr(value[:20]) if kind == "literal_error" else json_type(value)
    in_range = kind not in ("greater_than_equal", "less_than_equal")
    return json_type(value) if in_range else str(value)[:20]
