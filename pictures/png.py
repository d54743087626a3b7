"""What a PNG says of its samples, and Pillow doesn't pass on."""

import struct

_SIGNATURE = 8  # bytes
_CHUNK = struct.Struct(">I4s")
#: Real files have a few chunks before their pixels.
_MOST_CHUNKS = 100


def significant_bits(data: bytes) -> int | None:
    """The bits of each sample that count, as the chunk sBIT of the PNG in ``data`` says: the most of any colour."""
    place = _SIGNATURE
    for _ in range(_MOST_CHUNKS):
        if place + _CHUNK.size > len(data):
            break
        length, kind = _CHUNK.unpack_from(data, place)
        place += _CHUNK.size
        if kind == b"sBIT":
            return max(data[place : place + length][:3], default=0) or None
        if kind == b"IDAT":
            break
        place += length + 4  # its checksum
    return None
