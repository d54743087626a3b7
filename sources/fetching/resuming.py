"""A download that broke off goes on where it stopped, if the server can say that the file is still the same.

200, ETag "a", half the body, broken off ─▶ Range: bytes=N-, If-Range: "a" ─▶ 206: the rest
                                                                          └▶ 200: the file has changed, all of it
"""

import re
from collections.abc import Mapping
from datetime import timedelta

from sources.fetching.retries import PassingFault, date_in

_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/(?:[0-9]{1,18}|\*)")


class Begun:
    """What has come of a file so far, in ``pieces`` of ``length`` bytes together."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.length = 0
        self._validator: str | None = None

    def asked(self) -> dict[str, str]:
        """Returns the headers that ask for the rest; none where all must be sent again."""
        if not self.length or self._validator is None:
            return {}
        return {"Range": f"bytes={self.length}-", "If-Range": self._validator}

    def whole(self, headers: Mapping[str, str]) -> None:
        """The server begins to send the whole file."""
        self.pieces, self.length, self._validator = [], 0, _validator(headers)

    def rest(self, headers: Mapping[str, str]) -> None:
        """The server begins to send the rest. Raises PassingFault, to begin anew, if that isn't what was asked for."""
        place = _CONTENT_RANGE.fullmatch(headers.get("Content-Range", "").strip())
        tag = headers.get("ETag", self._validator)
        if not place or int(place[1]) != self.length or tag != self._validator:
            self.anew()
            raise PassingFault("sends another part than was asked for")

    def anew(self) -> None:
        """Forget what has come."""
        self.whole({})

    def add(self, piece: bytes) -> None:
        self.pieces.append(piece)
        self.length += len(piece)


def _validator(headers: Mapping[str, str]) -> str | None:
    """Returns what tells this content from every other (RFC 9110, 8.8): a strong ETag, or, without one, a time of
    change that is a second past."""
    tag = headers.get("ETag")
    if tag is not None:
        return tag if tag.startswith('"') else None
    modified, now = date_in(headers.get("Last-Modified", "")), date_in(headers.get("Date", ""))
    return headers["Last-Modified"] if modified and now and now - modified >= timedelta(seconds=1) else None
