"""Everything that hashing can refuse, as one small tree.

HashingError
├── ImageError              one picture; the others of its batch are fine
│   ├── ImageTooLarge       over the byte or pixel limit
│   └── UnreadableImage     no image of a known format, damaged or cut short
└── ModelError              the model file or its card; nothing can be hashed
"""


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
