"""What ``/metrics`` says of collections."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from searcher.collections_store import Collections
from searcher.errors import SearcherError


class CollectionMetrics(Collector):
    """Additions, removals and folds of each collection since the start, and its changes that are not folded yet."""

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
        """So many images were added to, and removed from, the collection ``name``."""
        self._added.labels(name).inc(added)
        self._removed.labels(name).inc(removed)

    def folded(self, name: str, result: str) -> None:
        """A fold of the collection ``name`` has ended: ``succeeded`` or ``failed``."""
        self._folds.labels(name, result).inc()

    def collect(self) -> Iterator[Metric]:
        """What is looked up when somebody asks."""
        unfolded = GaugeMetricFamily(
            "hashlake_gateway_collection_unfolded_changes",
            "Changes that are not part of the current version yet.",
            labels=["collection"],
        )
        images = GaugeMetricFamily("hashlake_gateway_collection_images", "Images.", labels=["collection"])
        for name in self._collections.names():
            try:
                collection = self._collections.open(name)
                unfolded.add_metric([name], collection.unfolded())
                images.add_metric([name], collection.view().count)
            except SearcherError:
                continue  # no version yet, or deleted just now; the collection's own routes say what is wrong
        yield unfolded
        yield images
