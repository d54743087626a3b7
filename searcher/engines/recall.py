"""What share of the nearest an approximate index finds, measured with images of the collection itself."""

from datetime import UTC, datetime

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
    collection.engine.index(kind)
    exact = collection.configuration.model_copy(update={"index": None})
    if kind is None:
        return exact
    unmeasured = ApproximateIndex(kind=kind, recall=1, queries=0, images=0, measured=datetime.now(UTC))
    indexed = exact.model_copy(update={"index": unmeasured})
    engine = engine_of(indexed)(indexed)
    try:
        return exact.model_copy(update={"index": _measured(engine, kind)})
    finally:
        engine.rest()


def _measured(engine: ForeignEngine, kind: str) -> ApproximateIndex:
    spaces = engine.identity.spaces
    sample = engine.sample(_QUERIES)
    vectors = [{space.name: space.array([entry.vectors[space.name]])[0] for space in spaces} for entry in sample]
    # One more than counts: each finds itself.
    found = engine.search([Query(each, _NEAREST + 1) for each in vectors])
    right = engine.search([Query(each, _NEAREST + 1, exact=True) for each in vectors])
    wanted = near = 0
    for entry, one, best in zip(sample, found, right, strict=True):
        limits = _others(best, entry.path)
        wanted += len(limits)
        # Of images at one distance, any is right.
        near += sum(distance <= limits[-1] for distance in _others(one, entry.path)) if limits else 0
    recall = near / wanted if wanted else 1.0
    return ApproximateIndex(
        kind=kind, recall=recall, queries=len(sample), images=engine.count(), measured=datetime.now(UTC)
    )


def _others(found: Matches, path: str) -> list[float]:
    """The distances of the nearest ten but for ``path``."""
    return [far for each, far in zip(found.paths, found.distances, strict=True) if each != path][:_NEAREST]
