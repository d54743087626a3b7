"""Why a picture is refused. The messages are safe to send to a client: no path, no stack trace.

ImageError
├── ImageTooLarge       over the byte or pixel limit
└── UnreadableImage     not an image of a known format, damaged or cut short
"""


class ImageError(Exception):
    """A picture that cannot be decoded; the rest of its batch is fine."""


class ImageTooLarge(ImageError):
    """The picture has more bytes or pixels than the limits allow."""


class UnreadableImage(ImageError):
    """The bytes are not an image of a known format, or are damaged or truncated."""
