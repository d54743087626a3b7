"""A version's rows, split over several stores, each for a machine of its own.

    index_store/1.5.0, rows 0 … 999 ─▶ shards/0/1.5.0, rows 0 … 333
                                       shards/1/1.5.0, rows 334 … 666, numbered from 0
                                       shards/2/1.5.0, …

The rows of a shard lie before those of the next, so the order of shards and rows is the order of the listing, and
answers merged in it (gateway/shards) have their ties as one machine has them.
"""

from collections.abc import Callable
from pathlib import Path

from searcher.errors import VersionExists, VersionInUse
from searcher.versions.images import IMAGES_FILE, ImageTable
from searcher.versions.journal import Journal
from searcher.versions.store import IndexStore
from searcher.versions.vectors import write_vectors
from searcher.versions.version import IndexVersion


def split(version: IndexVersion, count: int, folder: Path, tell: Callable[[int, IndexStore], None]) -> None:
    """Split ``version`` into ``count`` stores ``folder``/0, …, where it becomes the current version. ``tell`` gets each
    shard's number and store, also of those that an earlier run has made.

    Raises VersionInUse for a collection with changes that aren't in the version, and what publishing raises.
    """
    manifest = version.manifest
    journal = Journal(version.folder.parent)
    if journal.exists() and journal.changes(manifest.folded):
        raise VersionInUse(
            f"{journal.changes(manifest.folded):,} changes of the collection are not in version {manifest.version}: "
            "fold them first (hashlake collections fold default)"
        )
    for shard in range(count):
        store = IndexStore(folder / str(shard))
        start, stop = manifest.count * shard // count, manifest.count * (shard + 1) // count
        with store.indexing():
            try:
                building = store.building(manifest.version)
            except VersionExists:
                tell(shard, store)
                continue
            building.mkdir(parents=True, exist_ok=True)
            (building / IMAGES_FILE).unlink(missing_ok=True)  # of a killed run
            with ImageTable(building / IMAGES_FILE, writable=True) as table:
                table.take(version.folder / IMAGES_FILE, start, stop)
            vectors = {name: array[start:stop] for name, array in version.vectors.items()}
            written = write_vectors(building, manifest.model.spaces, vectors, manifest.mode)
            store.publish(
                manifest.version,
                model=manifest.model,
                count=stop - start,
                skipped=0,
                files=[*written.files, IMAGES_FILE],
                mode=manifest.mode,
                shortlists=written.shortlists,
            )
        tell(shard, store)
