"""Queries and images of models that make a code and perhaps a detail code, as most tests need them."""

from typing import Any

from numpy.typing import NDArray

from contract.space import CODE, DETAIL, Space
from searcher.entry import Entry
from searcher.scan.ranking import Query


def by_space(code: Any, detail: Any = None) -> dict[str, Any]:
    """``code`` and, unless it is None, ``detail`` by the spaces that they are in."""
    return {CODE: code} if detail is None else {CODE: code, DETAIL: detail}


def query_of(code: NDArray[Any], detail: NDArray[Any] | None = None, *rest: Any, **more: Any) -> Query:
    """``rest`` and ``more`` are the query's top_k, max_distance and rank."""
    return Query(by_space(code, detail), *rest, **more)


def entry_of(path: str, code: bytes, detail: bytes | None = None, *rest: Any, **more: Any) -> Entry:
    """``rest`` and ``more`` are the image's metadata, digest and fetched."""
    return Entry(path, by_space(code, detail), *rest, **more)


def spaces_of(bits: int, detail_bits: int | None = None) -> tuple[Space, ...]:
    widths = by_space(bits, detail_bits)
    return tuple(Space(name=name, width=width) for name, width in widths.items())
