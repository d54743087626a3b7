"""The sources' errors, as one small tree. The messages are fit for a client.

SourceError
├── ListingError     the listing, or the folder to be listed: nothing can be read
└── Unreadable       one item; the others are fine
    └── FetchRefused     … a URL that isn't downloaded
        └── OriginFailed     … through a fault of its server's, which may pass
"""


class SourceError(Exception):
    """Base of all errors that the sources raise on purpose."""


class ListingError(SourceError):
    """A listing that cannot be read or written, or a folder that cannot be listed."""


class Unreadable(SourceError):
    """An item that cannot be read, or cannot be split into its parts. The message gives only the reason, without the
    item's name: "no such file or directory"."""


class FetchRefused(Unreadable):
    """A URL that isn't downloaded."""


class OriginFailed(FetchRefused):
    """A URL that is in order, whose server fails. ``late``: it takes too long. ``retry_after``: seconds that it asks to
    wait, if it does."""

    def __init__(self, reason: str, *, late: bool = False, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.late = late
        self.retry_after = retry_after
