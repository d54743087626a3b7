"""Picture files as text: base64 in any spelling that clients send.

"iVBORw0KGgo…"   standard or URL-safe alphabet, padded or not, with or without white space
"data:image/png;base64,iVBORw0KGgo…"
"""

import contextlib

import pybase64

_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_WHITE_SPACE = b" \t\r\n\f\v"


class NotBase64(ValueError):
    """Text that isn't base64. The message continues the name of what was sent: "is not base64 (…)"."""


def decoded(text: str) -> bytes:
    """Returns the bytes that ``text`` spells. Raises NotBase64."""
    if text[:5].lower() == "data:":
        header, comma, text = text.partition(",")
        if not comma or not header.rstrip().lower().endswith(";base64"):
            raise NotBase64("starts like a data: URL but is not data:image/…;base64,…")
    try:
        return pybase64.b64decode(text, validate=True)  # most clients send the plain form
    except ValueError:
        return _tidied(text)


def file_in(part: bytes) -> bytes:
    """Returns the picture file in a part of a form: the part itself, or what it spells in base64."""
    if part.isascii():  # no picture file is pure ASCII
        with contextlib.suppress(NotBase64):  # else it is a file that isn't a picture
            return decoded(part.decode())
    return part


def _tidied(text: str) -> bytes:
    try:
        data = text.encode("ascii")
    except UnicodeEncodeError as error:
        raise NotBase64(f"is not base64: it has a character outside ASCII at position {error.start}") from error
    data = data.translate(_URL_SAFE, _WHITE_SPACE).rstrip(b"=")
    try:
        return pybase64.b64decode(data + b"=" * (-len(data) % 4), validate=True)
    except ValueError as error:
        raise NotBase64(f"is not base64 ({str(error)[:100]})") from error
