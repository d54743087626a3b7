"""Copies that are turned by quarters, or mirrored: each image is asked about with its picture, in eight positions.

No code says how another one would be if its picture were turned. So the server fetches every picture once more, which
takes as long as indexing them eight times. Exact, but for images that cannot be fetched: these are found by others.
"""

from collections.abc import Callable, Iterator
from typing import Any

from hashlake.client.answers import CopyRule, Pair
from hashlake.client.collection import Collection
from hashlake.client.errors import ClientError, Refused

#: Answers wanted at first, and where all of these are copies.
_FEW, _MANY = 16, 1000


def turned_copies(
    collection: Collection, rule: CopyRule, max_distance: int | None, failed: Callable[[str, Refused], None]
) -> Iterator[Pair]:
    """Yields the pairs of images that ``rule`` calls copies in any position, as soon as they are found; with
    ``max_distance`` instead of its own, if that is given. ``failed`` is called for each image whose picture cannot be
    had."""
    most = min(rule.max_distance if max_distance is None else max_distance, rule.bits)
    seen: set[frozenset[str]] = set()
    for url in collection.urls():
        try:
            near = _near(collection, url, rule, most)
        except Refused as error:
            failed(url, error)
            continue
        for other, distance in near:
            pair = frozenset((url, other))
            if len(pair) == 2 and pair not in seen:
                seen.add(pair)
                yield Pair(url, other, distance)


def _near(collection: Collection, url: str, rule: CopyRule, most: int) -> list[tuple[str, int]]:
    """The images within ``most`` bits of the one at ``url`` in any position, with their distances."""
    # Detail codes put the images in order; codes only where there are no embeddings, but others can be left out.
    how: dict[str, Any] = {"rank": "detail"} if rule.space == "detail" else {"max_distance": most}
    near: list[tuple[str, int]] = []
    for limit in (_FEW, _MANY):
        found = collection.search(url, limit=limit, turned=True, **how)
        if any(match.differing_bits is None for match in found):
            raise ClientError("this gateway is too old to find turned copies")
        apart = [(match.url, match.differing_bits or 0) for match in found]
        near = [(other, distance) for other, distance in apart if distance <= most]
        if len(near) < limit:
            break
    return near
