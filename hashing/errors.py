"""Everything that hashing can refuse, as one small tree.

HashingError
├── ImageError              one picture; the others of its batch are fine
│   ├── ImageTooLarge       over the byte or pixel limit
│   └── UnreadableImage     no image of a known format, damaged or cut short
├── ModelError              the model file or its card; nothing can be hashed
└── UnknownClass            a name that is no class of the model
"""

from collections.abc import Sequence


class HashingError(Exception):
    """Base of every error that the hashing room raises on purpose."""


class ImageError(HashingError):
    """A picture that cannot become a code. The message is fit for a client: no path, no trace."""


class ImageTooLarge(ImageError):
    """The picture has more bytes or pixels than the limits allow."""


class UnreadableImage(ImageError):
    """The bytes are not an image of a known format, or are damaged or truncated."""


class ModelError(HashingError):
    """The model file, its card or the requested device cannot be used."""


class UnknownClass(HashingError):
    """``name`` is no class of the model. The message lists those that are, and is fit for a client."""

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        known = f"it knows {', '.join(classes)}" if classes else "it knows no classes by name"
        super().__init__(f"{name[:60]!r} is no class of the model; {known}")
