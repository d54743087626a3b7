"""A client's request, as all shards get it: in debug mode, whatever shape it came in.

    JSON, with any content type      ┐                   JSON, or the same form, with debug: true
    a form, with its parts or one    ├─▶ top_k, debug, ─▶
    of JSON                          ┘   rank, path

What cannot be understood here is passed on as it is: a shard says what is wrong with it.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from multidict import CIMultiDict
from pydantic_core import from_json, to_json
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import FormParser, MultiPartException, MultiPartParser

from contract.query import DEFAULT_RANK, DEFAULT_TOP_K, MAX_TOP_K, RANKS, Rank

_TRUE = (True, "true", "1")
_JSON = "application/json"
#: A part holds at most a whole body.
_PART_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Asked:
    """The request for the shards, and what its merged answer depends on. ``path``: the indexed image that it is about,
    which only one shard has."""

    headers: CIMultiDict[str]
    body: bytes
    top_k: int = DEFAULT_TOP_K
    rank: Rank = DEFAULT_RANK
    debug: bool = False
    path: str | None = None
    collapse: bool = False
    diversity: int = 1
    fields: Mapping[str, Any] | None = None

    def about_codes(self, code: str, detail_code: str | None) -> "Asked":
        """Returns the same request about the image with these codes, in hex, instead of one by its path."""
        asked = {name: value for name, value in (self.fields or {}).items() if name not in ("path", "topk")}
        asked |= {"code": code, "top_k": self.top_k} | ({"detail_code": detail_code} if detail_code else {})
        return _asked(asked)


async def understood(content_type: str, body: bytes) -> Asked:
    """Returns the request in ``body``."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("multipart/form-data", "application/x-www-form-urlencoded"):
        return await _of_form(content_type, kind, body)
    return _of_json(content_type, body)


def _of_json(content_type: str, body: bytes) -> Asked:
    try:
        fields = from_json(body)
    except ValueError:
        fields = None
    return _asked(fields) if isinstance(fields, dict) else _as_it_is(content_type, body)


async def _of_form(content_type: str, kind: str, body: bytes) -> Asked:
    async def stream() -> Any:
        yield body

    headers = Headers({"content-type": content_type})
    try:
        if kind == "multipart/form-data":
            form = await MultiPartParser(headers, stream(), max_part_size=_PART_BYTES).parse()
        else:
            form = await FormParser(headers, stream()).parse()
    except (MultiPartException, KeyError, ValueError):
        return _as_it_is(content_type, body)
    parts = {
        name: (await value.read(), value.filename or "") if isinstance(value, UploadFile) else value
        for name, value in form.multi_items()
    }
    await form.close()
    whole = parts.get("data")
    if whole is not None:
        return _of_json(_JSON, whole[0] if isinstance(whole, tuple) else whole.encode())
    texts = {name: value for name, value in parts.items() if isinstance(value, str)}
    files = {name: value for name, value in parts.items() if isinstance(value, tuple)}
    if any(name.lstrip().startswith("{") for name in texts):  # JSON, sent as a form by mistake
        return _as_it_is(content_type, body)
    sent = httpx.Request(
        "POST",
        "http://shard",
        data={**texts, **_of_all(texts), "debug": "true"},
        files={name: (title, io.BytesIO(data)) for name, (data, title) in files.items()} or None,
    )
    return _asked(texts, CIMultiDict({"Content-Type": sent.headers["Content-Type"]}), sent.read())


def _asked(fields: Mapping[str, Any], headers: CIMultiDict[str] | None = None, body: bytes | None = None) -> Asked:
    top_k = _number(fields.get("top_k") or fields.get("topk"), DEFAULT_TOP_K)
    rank = fields.get("rank")
    path = fields.get("path")
    return Asked(
        headers or CIMultiDict({"Content-Type": _JSON}),
        to_json({**fields, **_of_all(fields), "debug": True}) if body is None else body,
        top_k,
        rank if rank in RANKS else DEFAULT_RANK,
        fields.get("debug") in _TRUE,
        path if isinstance(path, str) and path else None,
        fields.get("collapse") in _TRUE,
        _number(fields.get("diversity"), 1),
        fields,
    )


def _of_all(fields: Mapping[str, Any]) -> dict[str, Any]:
    """What shards are asked instead of every n-th answer: all of them, since no shard alone can tell the n-th."""
    top_k, diversity = _number(fields.get("top_k") or fields.get("topk"), DEFAULT_TOP_K), fields.get("diversity")
    times = _number(diversity, 1)
    if times == 1 or top_k * times > MAX_TOP_K:  # which the shards refuse
        return {}
    in_text = isinstance(diversity, str)  # as in a form
    return {"top_k": str(top_k * times), "diversity": "1"} if in_text else {"top_k": top_k * times, "diversity": 1}


def _number(given: Any, default: int) -> int:
    """``given`` as a field's number is understood; ``default`` for what the shards refuse."""
    try:
        return min(max(int(float(given or default)), 1), MAX_TOP_K)
    except (TypeError, ValueError, OverflowError):
        return default


def _as_it_is(content_type: str, body: bytes) -> Asked:
    return Asked(CIMultiDict({"Content-Type": content_type} if content_type else {}), body)
