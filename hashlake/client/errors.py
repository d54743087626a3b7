"""The client's errors, as one small tree.

ClientError
├── Unreachable          no complete answer came: nothing listens, the connection broke, or the wait was too long
├── Refused              the server answered with an error: ``status``, ``reason``, ``message``, ``advice``
│   └── AlreadyInserted  search_add for a URL that the collection has (409)
├── NotUnderstood        the answer isn't a gateway's: something else listens there
└── BadLine              a line of a file has the wrong format
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx


class ClientError(Exception):
    """The base of every error that the client raises on purpose; the message is one line."""


class Unreachable(ClientError):
    """No complete answer came. A change may have happened all the same."""


class Refused(ClientError):
    """The server answered with the error ``status``; ``message`` says in one line what was wrong.

    ``reason``: the kind of error, for programs (``"no_such_version"``), and ``advice``: what to do next, in words; None
    and empty if the server, or a proxy, didn't say. ``position``: which image of add_bulk or restore was refused,
    counted from 0; None if the server didn't say, or if there was only one.
    """

    def __init__(
        self,
        status: int,
        message: str,
        position: int | None = None,
        *,
        reason: str | None = None,
        advice: str = "",
    ) -> None:
        super().__init__(message if position is None else f"image {position:,}, counted from 0: {message}")
        self.status = status
        self.message = message
        self.reason = reason
        self.advice = advice
        self.position = position


class AlreadyInserted(Refused):
    """The collection already has an image of this URL."""


class NotUnderstood(ClientError):
    """The answer doesn't have the shape of a gateway's answer."""


class BadLine(ClientError):
    """A line of a file has the wrong format."""


def refusal(response: httpx.Response) -> Refused:
    """Returns the error in an answer with an error status. It understands three shapes: the gateway's own
    ``{"code", "type", "reason", "message", "advice"}``, ``{"detail": "text"}``, and ``{"detail": [{"loc", "msg",
    "type"}, …]}``, where the first problem counts, since it has the position."""
    try:
        body = response.json()
    except ValueError:  # a proxy's page
        body = None
    position = None
    match body:
        case {"detail": [{"msg": str()} as problem, *others]}:
            position, message = _problem(problem)
            message += f" (and {len(others):,} more)" if others else ""
        case {"message": str(message)} | {"detail": str(message)}:
            pass
        case _:
            message = _status_line(response)
    match body:
        case {"reason": str(reason), "advice": str(advice)}:
            told = {"reason": reason, "advice": advice}
        case _:
            told = {}
    return Refused(response.status_code, " ".join(message.split()), position, **told)


def _problem(problem: Mapping[str, Any]) -> tuple[int | None, str]:
    """``{"loc": ["body", 3, "url"], "msg": "too long"}`` → 3, "url: too long"."""
    loc = problem.get("loc")
    place = list(loc[1:]) if isinstance(loc, list) else []  # the first is body, query or path
    position = place.pop(0) if place and isinstance(place[0], int) else None
    return position, ": ".join(filter(None, (".".join(map(str, place)), problem["msg"])))


def _status_line(response: httpx.Response) -> str:
    try:
        phrase = HTTPStatus(response.status_code).phrase
    except ValueError:
        phrase = response.reason_phrase
    led_on = f", which leads to {response.headers['Location']}" if response.has_redirect_location else ""
    return f"the server answered with status {response.status_code} {phrase}".rstrip() + led_on
