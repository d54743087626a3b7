"""A request's picture as the bytes of a file, whether it came as a file or in any spelling of base64."""

from typing import Any

from handler.errors import bad_request
from handler.json_types import json_type
from pictures.base64_text import NotBase64, decoded, file_in


def decode_base64(text: str) -> bytes:
    """Returns the picture file that ``text`` spells in base64. Raises RequestError (400)."""
    try:
        image = decoded(text)
    except NotBase64 as error:
        raise bad_request(f"image {error}") from error
    if not image:
        raise bad_request("image is empty")
    return image


def file_of_part(image: Any) -> bytes:
    """Returns the file in the part ``image`` of a form; the part may also hold base64. Raises RequestError (400)."""
    if not image:
        raise bad_request("image is empty")
    if not isinstance(image, (str, bytes, bytearray)):
        raise bad_request(f"image must be a file, and is {json_type(image)}")
    return file_in(image.encode() if isinstance(image, str) else bytes(image))
