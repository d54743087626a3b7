"""An error as JSON, in one shape at every door: for programs what it is, for people what was wrong and what to do.

    {"code": 413, "type": "RequestEntityTooLarge", "reason": "too_large",
     "message": "the body has more than 64 MiB", "advice": "Send less at once: …"}

``code``, ``type`` and ``message`` are TorchServe's own fields; its clients know them. ``type`` is the status in words;
``reason`` tells apart what has one status, and stays the same when a message is worded anew.
"""

from collections.abc import Mapping
from http import HTTPStatus

from pydantic import BaseModel, Field

#: What to do next, for each reason that an error may have.
ADVICE: Mapping[str, str] = {
    "malformed": "Correct what the message names and ask again. /docs on the gateway has examples.",
    "several_keys": "Send the key once: as X-API-Key, or as Authorization: Bearer.",
    "key_missing": "Send a key as X-API-Key. On the server, `hashlake keys create NAME --role search` (or admin) "
    "makes one.",
    "key_unknown": "Look at the key's spelling. On the server, `hashlake keys list` has those that count, and "
    "`hashlake keys create NAME --role search` (or admin) makes another.",
    "forbidden": "Ask whoever runs the server: its settings don't allow this.",
    "admin_key_needed": "Send an admin key. On the server, `hashlake keys create NAME --role admin` makes one.",
    "read_only": "Send this to the gateway that may change collections: where "
    "HASHLAKE_COLLECTIONS_READ_ONLY isn't set.",
    "other_site": "Ask from a program, or have the site added to HASHLAKE_ALLOWED_ORIGINS.",
    "not_found": "Look up what there is: lists are at /api/collections, /api/versions and /api/jobs.",
    "no_such_route": "Look at the address: /docs lists every route.",
    "no_such_version": "GET /api/versions lists the versions, as does `hashlake versions list`. Without any, "
    "`hashlake refresh FOLDER` makes the first.",
    "no_such_collection": "GET /api/collections lists the collections; POST /api/collections makes one.",
    "no_such_job": "GET /api/jobs lists the newest jobs.",
    "method_not_allowed": "Use a method that the header Allow names; /docs lists every route.",
    "too_slow": "Send the request without pauses.",
    "conflict": "Look at what the message names, then ask again.",
    "too_large": "Send less: a smaller picture, or fewer at once. The message has the limit.",
    "unsupported": "Send a whole JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, HEIC or JPEG 2000.",
    "unknown_host": "Ask by a name in HASHLAKE_ALLOWED_HOSTS, or add this one to it.",
    "invalid": "Correct the field that the message names. /docs has examples of every body.",
    "too_early": "Ask again.",
    "too_many_wrong_keys": "Wait as long as Retry-After says; a right key always gets in.",
    "header_too_large": "Send fewer and shorter header fields; pictures and long texts belong into the body.",
    "failed": "Ask again; if that fails too, the server's log says why.",
    "elsewhere_failed": "The message names the server that failed: ask again later, or send the picture.",
    "unavailable": "Ask again in as many seconds as Retry-After says. On the server, `hashlake doctor` says what "
    "is missing.",
    "elsewhere_too_slow": "The message names the server that was too slow: ask again later, or send the picture.",
    "disk_full": "Free space on the server's disk, then ask again. `hashlake versions prune` deletes old versions.",
}
_REASONS: Mapping[int, str] = {
    HTTPStatus.BAD_REQUEST: "malformed",
    HTTPStatus.UNAUTHORIZED: "key_missing",
    HTTPStatus.FORBIDDEN: "forbidden",
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_TIMEOUT: "too_slow",
    HTTPStatus.CONFLICT: "conflict",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "too_large",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "unsupported",
    HTTPStatus.MISDIRECTED_REQUEST: "unknown_host",
    HTTPStatus.UNPROCESSABLE_ENTITY: "invalid",
    HTTPStatus.TOO_EARLY: "too_early",
    HTTPStatus.TOO_MANY_REQUESTS: "too_many_wrong_keys",
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE: "header_too_large",
    HTTPStatus.INTERNAL_SERVER_ERROR: "failed",
    HTTPStatus.BAD_GATEWAY: "elsewhere_failed",
    HTTPStatus.SERVICE_UNAVAILABLE: "unavailable",
    HTTPStatus.GATEWAY_TIMEOUT: "elsewhere_too_slow",
    HTTPStatus.INSUFFICIENT_STORAGE: "disk_full",
}


class ErrorBody(BaseModel):
    """Every error of every route."""

    code: int = Field(description="the HTTP status", examples=[404])
    type: str = Field(description="the status in words", examples=["NotFound"])
    reason: str = Field(
        description="the kind of error, for programs: one of " + ", ".join(ADVICE), examples=["no_such_version"]
    )
    message: str = Field(description="what was wrong", examples=["there is no version 1.7.0"])
    advice: str = Field(description="what to do next", examples=[ADVICE["no_such_version"]])


def error_body(status: int, message: str, reason: str | None = None, kind: str | None = None) -> ErrorBody:
    """Returns the body of an error. ``reason``: one of ADVICE, else what ``status`` usually means. ``kind``: the name
    of ``status``, else the one that HTTP has for it."""
    found = reason or _REASONS.get(status) or ("malformed" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "failed")
    return ErrorBody(code=status, type=kind or _name_of(status), reason=found, message=message, advice=ADVICE[found])


def _name_of(status: int) -> str:
    return HTTPStatus(status).phrase.title().replace(" ", "").replace("-", "")
