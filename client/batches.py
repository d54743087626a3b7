"""Many images become few request bodies, each bounded in images and in bytes."""

from collections.abc import Iterable, Iterator

from client.answers import Json
from client.json_text import encode

#: A quarter of what the gateway reads.
MAX_BYTES = 16 * 1024 * 1024


def batches(items: Iterable[Json], most: int, most_bytes: int = MAX_BYTES) -> Iterator[tuple[int, bytes]]:
    """JSON arrays of at most ``most`` items, each with the number of its items. An array has at most ``most_bytes``
    bytes, unless a single item has more."""
    waiting: list[bytes] = []
    size = 1  # the opening bracket; each item brings a comma or the closing one
    for item in items:
        encoded = encode(item)
        if waiting and (len(waiting) == most or size + len(encoded) + 1 > most_bytes):
            yield len(waiting), _array(waiting)
            waiting, size = [], 1
        waiting.append(encoded)
        size += len(encoded) + 1
    if waiting:
        yield len(waiting), _array(waiting)


def _array(items: list[bytes]) -> bytes:
    return b"[" + b",".join(items) + b"]"
