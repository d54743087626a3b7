"""What share of the nearest an approximate index finds, measured with images of the collection itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from contract.space import Vectors
from searcher.engines.configuration import ApproximateIndex, Configuration
from searcher.engines.engine import ForeignEngine
from searcher.engines.foreign import ForeignCollection
from searcher.engines.registry import engine_of
from searcher.matches import Matches
from searcher.scan.ranking import Query

_QUERIES = 100
_NEAREST = 10


def with_index(collection: ForeignCollection, kind: str | None) -> Configuration:
    """Returns the configuration of ``collection`` with the approximate index ``kind``, which is built and measured;
    with None, any index is removed. Raises EngineRefused for a kind that the engine hasn't, and EngineUnavailable."""
    exact = collection.configuration.model_copy(update={"index": None})
    if kind is None:
        collection.engine.index(None)
        return exact
    # Asked before it is built: some engines have to read all images, once they have an index.
    asked = _asked(collection.engine)
    collection.engine.index(kind)
    unmeasured = ApproximateIndex(kind=kind, recall=1, queries=0, images=0, measured=datetime.now(UTC))
    indexed = exact.model_copy(update={"index": unmeasured})
    engine = engine_of(indexed)(indexed)
    try:
        return exact.model_copy(update={"index": _measured(engine, kind, asked)})
    finally:
        engine.rest()


@dataclass(frozen=True)
class _Asked:
    """The vectors of the image at ``path``, and the ``distances`` of the others that are nearest to it."""

    path: str
    vectors: Vectors
    distances: list[float]


def _asked(engine: ForeignEngine) -> list[_Asked]:
    """Images of the collection, and what an exact search finds for them."""
    sample, spaces = engine.sample(_QUERIES), engine.identity.spaces
    vectors = [{space.name: space.array([entry.vectors[space.name]])[0] for space in spaces} for entry in sample]
    # One more than counts: each finds itself.
    right = engine.search([Query(each, _NEAREST + 1, exact=True) for each in vectors])
    return [
        _Asked(entry.path, of, _others(best, entry.path))
        for entry, of, best in zip(sample, vectors, right, strict=True)
    ]


def _measured(engine: ForeignEngine, kind: str, asked: Sequence[_Asked]) -> ApproximateIndex:
    found = engine.search([Query(each.vectors, _NEAREST + 1) for each in asked])
    wanted = near = 0
    for each, one in zip(asked, found, strict=True):
        limits = each.distances
        wanted += len(limits)
        # Of images at one distance, any is right.
        near += sum(distance <= limits[-1] for distance in _others(one, each.path)) if limits else 0
    recall = near / wanted if wanted else 1.0
    return ApproximateIndex(
        kind=kind, recall=recall, queries=len(asked), images=engine.count(), measured=datetime.now(UTC)
    )


def _others(found: Matches, path: str) -> list[float]:
    """The distances of the nearest ten but for ``path``."""
    return [far for each, far in zip(found.paths, found.distances, strict=True) if each != path][:_NEAREST]
