"""The objects that the gateway's routes work with: made in one place from the settings, reached by one dependency.

    create_app ─▶ Services.create(settings) ─▶ app.state.services ◀─ services_of(request), or UsesServices in a route

Making them opens files only; ``running`` connects them, and at its end waits for work in progress.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Annotated, Self

from fastapi import Depends, Request

from gateway.access.body_budget import BodyBudget
from gateway.access.failed_tries import FailedTries
from gateway.access.keys import KEYS_FILE, KeyStore
from gateway.collections.adding import Adding
from gateway.collections.duplicates import Duplicates
from gateway.collections.metrics import CollectionMetrics
from gateway.collections.open_collections import OpenCollections
from gateway.extractor.extraction import Extraction
from gateway.images.collection_thumbnails import CollectionThumbnails
from gateway.images.open_versions import OpenVersions
from gateway.images.source_pictures import SourcePictures
from gateway.images.thumbnail_cache import ThumbnailCache
from gateway.images.thumbnails import Thumbnails
from gateway.metrics import Metrics
from gateway.operations.reindex_runner import Reindexing
from gateway.readiness import Readiness, ServedHere
from gateway.search.maps import Maps
from gateway.settings import GatewaySettings
from gateway.shards.shards import Shards
from gateway.torchserve.client import TorchServeClient
from gateway.torchserve.embedding import Hashing
from gateway.torchserve.model_folder import ModelFolder
from gateway.torchserve.model_servers import ModelServers
from searcher.collections import Collections
from searcher.scrubbing import Scrubbing
from searcher.versions.store import IndexStore
from sources.fetching.fetcher import Fetcher
from sources.originals import Originals


@dataclass(frozen=True)
class Services:
    """One object of each kind. Once ``running``, they belong to one event loop."""

    settings: GatewaySettings
    keys: KeyStore
    failed_tries: FailedTries
    bodies: BodyBudget
    versions: OpenVersions
    models: ModelFolder
    metrics: Metrics
    torchserve: TorchServeClient
    readiness: Readiness
    reindexing: Reindexing
    extraction: Extraction | None
    model_servers: ModelServers
    fetcher: Fetcher
    hashing: Hashing
    collections: OpenCollections
    adding: Adding
    duplicates: Duplicates
    thumbnails: Thumbnails
    collection_thumbnails: CollectionThumbnails
    originals: Originals
    source_pictures: SourcePictures
    maps: Maps
    shards: Shards | None

    @classmethod
    def create(cls, settings: GatewaySettings) -> Self:
        """Makes the services for ``settings``. Raises GatewayError when the keys file or the jobs file cannot be
        used."""
        keys = KeyStore(settings.state / KEYS_FILE)
        keys.has_admin()  # raises now if the file is damaged
        versions = OpenVersions(IndexStore(settings.index_store))
        metrics = Metrics(versions)
        collections = Collections(settings.index_store)
        models = ModelFolder(settings.models)
        open_collections = OpenCollections(
            collections, models, CollectionMetrics(collections, metrics.registry), settings.fold_after
        )
        torchserve = TorchServeClient(settings.inference, settings.run, settings.start_timeout)
        model_servers = ModelServers(torchserve, settings, collections, models)
        hashing = Hashing(torchserve, model_servers)
        bodies = BodyBudget(settings.bodies_max_mb * 1024 * 1024)
        fetcher = Fetcher(settings.fetching)
        reindexing = Reindexing(settings, torchserve)
        originals = Originals(*filter(None, [settings.source]), *reindexing.sources())
        source_pictures = SourcePictures(originals, fetcher)
        shards = Shards(settings.shards) if settings.shards else None
        thumbnails = Thumbnails(
            ThumbnailCache(settings.state / "thumbnails", settings.thumbnail_cache_mb * 1024 * 1024)
        )
        return cls(
            settings=settings,
            keys=keys,
            failed_tries=FailedTries(),
            bodies=bodies,
            versions=versions,
            models=models,
            metrics=metrics,
            torchserve=torchserve,
            readiness=Readiness(shards.ready if shards else ServedHere(torchserve, versions).ready),
            reindexing=reindexing,
            extraction=None if settings.extractor_port is None else Extraction(settings),
            model_servers=model_servers,
            fetcher=fetcher,
            hashing=hashing,
            collections=open_collections,
            adding=Adding(open_collections, hashing, fetcher, source_pictures, settings),
            duplicates=Duplicates(settings.index_store),
            thumbnails=thumbnails,
            collection_thumbnails=CollectionThumbnails(thumbnails, bodies),
            originals=originals,
            source_pictures=source_pictures,
            maps=Maps(settings.state / "maps", settings.index_store),
            shards=shards,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The services work within the block. At its end, work in progress is finished or cleanly given up."""
        async with self.torchserve, self.fetcher, self.shards or nullcontext():
            self.collections.folding.start()
            scrubbing = Scrubbing(self.settings.index_store, self.settings.verify_mb_per_s * 1e6)
            scrubbing.start()
            if self.extraction is not None:
                self.extraction.start()
            yield
            if self.extraction is not None:
                await self.extraction.close()
            await asyncio.to_thread(scrubbing.close)
            await self.hashing.close()
            await self.collections.close()
            await self.collection_thumbnails.close()
            await self.reindexing.close()
            await self.maps.close()
            self.originals.close()


def services_of(request: Request) -> Services:
    """Returns the services of the application that handles ``request``."""
    services: Services = request.app.state.services
    return services


#: The type of a route's parameter that receives the services.
UsesServices = Annotated[Services, Depends(services_of)]
