"""What stops a release."""


class ReleaseError(Exception):
    """A step could not be made; the message says which, and why."""
