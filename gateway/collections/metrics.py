"""The collections' figures at ``/metrics``."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from searcher.collections import Collections
from searcher.engines.foreign import ForeignCollection
from searcher.errors import SearcherError
from searcher.versions.verdict import verdict_on


class CollectionMetrics(Collector):
    """Each collection's additions, removals and folds since the start, its images and its unfolded changes."""

    def __init__(self, collections: Collections, registry: CollectorRegistry) -> None:
        self._collections = collections
        self._added = Counter(
            "hashlake_gateway_collection_added", "Images added or replaced.", ["collection"], registry=registry
        )
        self._removed = Counter(
            "hashlake_gateway_collection_removed", "Images removed.", ["collection"], registry=registry
        )
        self._folds = Counter(
            "hashlake_gateway_collection_folds",
            "Folds of the journal into a new version, by how they ended.",
            ["collection", "result"],
            registry=registry,
        )
        registry.register(self)

    def changed(self, name: str, added: int, removed: int) -> None:
        """Count the images ``added`` to and ``removed`` from the collection ``name``."""
        self._added.labels(name).inc(added)
        self._removed.labels(name).inc(removed)

    def folded(self, name: str, result: str) -> None:
        """Count a fold of the collection ``name``; ``result`` is ``succeeded`` or ``failed``."""
        self._folds.labels(name, result).inc()

    def collect(self) -> Iterator[Metric]:
        """Yields the figures that are looked up at each request for ``/metrics``."""
        unfolded = GaugeMetricFamily(
            "hashlake_gateway_collection_unfolded_changes",
            "Changes that are not part of the current version yet.",
            labels=["collection"],
        )
        images = GaugeMetricFamily("hashlake_gateway_collection_images", "Images.", labels=["collection"])
        verified = GaugeMetricFamily(
            "hashlake_gateway_collection_verified_timestamp_seconds",
            "When every byte of the current version was last found to be as published.",
            labels=["collection"],
        )
        damaged = GaugeMetricFamily(
            "hashlake_gateway_collection_damaged",
            "Whether a file of the current version isn't what was published.",
            labels=["collection"],
        )
        for name in self._collections.names():
            try:
                collection = self._collections.open(name)
                if isinstance(collection, ForeignCollection):
                    continue  # its engine has figures of its own, and counting there may take seconds
                verdict = verdict_on(collection.folder / (collection.store.current() or ""))
                if verdict is not None:
                    damaged.add_metric([name], verdict.damaged is not None)
                    verified.add_metric([name], 0 if verdict.damaged else verdict.checked.timestamp())
                unfolded.add_metric([name], collection.unfolded())
                images.add_metric([name], collection.view().count)
            except SearcherError:
                continue  # no version yet, or deleted just now; the collection's own routes report errors
        yield verified
        yield damaged
        yield unfolded
        yield images
