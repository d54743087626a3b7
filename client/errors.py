"""Everything that can go wrong between a program and the gateway, as one small tree.

ClientError
├── Unreachable          no whole answer came: nothing listens, the connection broke, or the wait was too long
├── Refused              the server answered with an error: ``status``, ``message``, ``position``
│   └── AlreadyInserted  search_add, of a URL that the collection has (409)
├── NotUnderstood        an answer that isn't the gateway's: something else listens there
└── BadLine              a line of a file that isn't what it should be
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import httpx


class ClientError(Exception):
    """Base of every error that the client room raises on purpose; the message is one line."""


class Unreachable(ClientError):
    """No whole answer came. What was asked for may have happened all the same, where it changes something."""


class Refused(ClientError):
    """The server's answer has the error ``status``; ``message`` is its reason, in one line.

    ``position``: which of the images given to add_bulk or restore is meant, counted from 0; None where the server
    didn't say, or where there was only one.
    """

    def __init__(self, status: int, message: str, position: int | None = None) -> None:
        super().__init__(message if position is None else f"image {position:,}, counted from 0: {message}")
        self.status = status
        self.message = message
        self.position = position


class AlreadyInserted(Refused):
    """The collection has an image of this URL already."""


class NotUnderstood(ClientError):
    """The answer has none of the shapes that the gateway gives."""


class BadLine(ClientError):
    """A line of a file that isn't what it should be."""


def refusal(response: httpx.Response) -> Refused:
    """What an answer with an error status says. Three shapes are understood: the gateway's own
    ``{"code", "type", "message"}``, ``{"detail": "text"}``, and ``{"detail": [{"loc", "msg", "type"}, …]}``, of which
    the first problem counts."""
    try:
        body = response.json()
    except ValueError:  # a proxy's page
        body = None
    position = None
    match body:
        case {"message": str(message)} | {"detail": str(message)}:
            pass
        case {"detail": [{"msg": str()} as problem, *others]}:
            position, message = _problem(problem)
            message += f" (and {len(others):,} more)" if others else ""
        case _:
            message = _status_line(response)
    return Refused(response.status_code, " ".join(message.split()), position)


def _problem(problem: Mapping[str, Any]) -> tuple[int | None, str]:
    """``{"loc": ["body", 3, "url"], "msg": "too long"}`` → 3, "url: too long"."""
    loc = problem.get("loc")
    place = list(loc[1:]) if isinstance(loc, list) else []  # the first says where in the request: body, query, path
    position = place.pop(0) if place and isinstance(place[0], int) else None
    return position, ": ".join(filter(None, (".".join(map(str, place)), problem["msg"])))


def _status_line(response: httpx.Response) -> str:
    try:
        phrase = HTTPStatus(response.status_code).phrase
    except ValueError:
        phrase = response.reason_phrase
    led_on = f", which leads to {response.headers['Location']}" if response.has_redirect_location else ""
    return f"the server answered with status {response.status_code} {phrase}".rstrip() + led_on
