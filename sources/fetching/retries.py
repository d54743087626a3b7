"""Whether a download that failed is tried again, and when.

    429, 502, 503, 504, or a connection that breaks off ─▶ the longer of our own pause and the server's Retry-After
                                                        ─▶ again, as long as tries and seconds are left

A server that asks for more patience than there is isn't asked again: its Retry-After is passed on.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

#: The server is busy, or a proxy before it reaches nobody (RFC 9110, 15.6; RFC 6585, 4).
PASSING = {
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
#: Seconds before the second and the third try.
_PAUSES = (0.5, 2.0)
#: The longest pause that a server may ask for.
_MOST_SECONDS = 10.0


class PassingFault(Exception):
    """A fault that may pass. The message follows the server's name; ``retry_after``: seconds that the server asks to
    wait, if it does."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Patience:
    """What is left for one download, all its redirects together: ``seconds``, and pauses between tries."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.tries = 1

    def pause(self, fault: PassingFault) -> float | None:
        """Returns the seconds to wait before trying again, which are then used up; None to give up."""
        if self.tries > len(_PAUSES):
            return None
        seconds = max(_PAUSES[self.tries - 1], fault.retry_after or 0.0)
        if seconds > _MOST_SECONDS or seconds >= self.seconds:
            return None
        self.tries += 1
        self.seconds -= seconds
        return seconds


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Returns the seconds that the answer's ``headers`` ask to wait (RFC 9110, 10.2.3), at least 0; None if they don't.

    A date is compared with the server's own clock, if its answer has the time.
    """
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    until = date_in(text)
    if until is None:
        return None
    return max(0.0, (until - (date_in(headers.get("Date", "")) or datetime.now(UTC))).total_seconds())


def date_in(text: str) -> datetime | None:
    """Returns the time that ``text`` spells as HTTP does; None if it is none."""
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)
