"""The error that stops a release."""


class ReleaseError(Exception):
    """A step failed; the message says which and why."""
