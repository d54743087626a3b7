"""Packs many images into few request bodies, each limited in images and bytes."""

from collections.abc import Iterable, Iterator

from hashlake.client.answers import Json
from hashlake.client.json_text import encode

#: A quarter of the gateway's limit.
MAX_BYTES = 16 * 1024 * 1024


def batches(items: Iterable[Json], most: int, most_bytes: int = MAX_BYTES) -> Iterator[tuple[int, bytes]]:
    """Yields JSON arrays of at most ``most`` items, each with its number of items. An array has at most ``most_bytes``
    bytes, unless a single item is larger."""
    waiting: list[bytes] = []
    size = 1  # the opening bracket; each item adds a comma or the closing bracket
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
