"""``GET /api/machine``: disk, memory and checksums at a glance."""

import asyncio
import os
import shutil
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import psutil
from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from gateway.access.guards import require_admin
from gateway.errors import TO_ADMINS, TorchServeError, refusals
from gateway.services import Services, UsesServices
from searcher.versions.verdict import verdict_on

#: Models that don't say within this time what they take are left out.
_MEASURING_SECONDS = 3.0

router = APIRouter(
    prefix="/api/machine",
    tags=["health"],
    dependencies=[Depends(require_admin)],
    responses=refusals(*TO_ADMINS),
)


class Disk(BaseModel):
    """A folder of this server, and the disk that it is on."""

    folder: str = Field(
        description="index_store: versions and collections; state: keys, jobs, thumbnails; model_store; models",
        examples=["index_store"],
    )
    bytes: int = Field(description="what its files take", examples=[1234567])
    free: int = Field(description="bytes that may still be written to its disk", examples=[52428800000])
    total: int = Field(description="bytes of its disk", examples=[107374182400])


class Memory(BaseModel):
    """The memory of the gateway's machine, in bytes."""

    total: int = Field(examples=[25769803776])
    available: int = Field(description="what a new program could take", examples=[12884901888])
    gateway: int = Field(description="what the gateway's process takes", examples=[115343360])
    models: int | None = Field(
        description="what TorchServe's workers take with their models; null if they don't say", examples=[551550976]
    )


class Damage(BaseModel):
    """A version with a file that isn't what was published."""

    collection: str = Field(description="default: the datalake's", examples=["default"])
    version: str = Field(examples=["1.1.0"])
    file: str = Field(examples=["index.faiss"])


class Checksums(BaseModel):
    """What reading every byte of every index version found, those of collections among them. It is done in the
    background (HASHLAKE_VERIFY_MB_PER_S), again every day."""

    whole: int = Field(description="versions that are as they were published", examples=[3])
    unread: int = Field(description="versions that weren't read to their end yet", examples=[0])
    damaged: list[Damage] = Field(description="restore these, or delete them", examples=[[]])
    oldest: datetime | None = Field(
        description="of the versions that were read, when the one was that was read longest ago, UTC",
        examples=["2020-05-02T12:10:00Z"],
    )


class Machine(BaseModel):
    """The gateway's machine at a glance."""

    cores: int = Field(description="that its processes may use", examples=[2])
    disks: list[Disk] = Field(description="those of the folders that there are")
    memory: Memory = Field(description="of the whole machine, and of ours")
    checksums: Checksums = Field(description="of all index versions")


@router.get("", summary="Disk, memory and checksums at a glance", operation_id="getMachine")
async def machine(services: UsesServices) -> Machine:
    models: int | None = None
    with suppress(TorchServeError, TimeoutError):
        async with asyncio.timeout(_MEASURING_SECONDS):
            models = sum(each.memory_bytes for each in await services.model_servers.loaded())
    return await asyncio.to_thread(_measured, services, models)


def _measured(services: Services, models: int | None) -> Machine:
    settings, memory = services.settings, psutil.virtual_memory()
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        disks=[
            _disk(name, getattr(settings, name))
            for name in ("index_store", "state", "model_store", "models")
            if getattr(settings, name).is_dir()
        ],
        memory=Memory(
            total=memory.total,
            available=memory.available,
            gateway=psutil.Process().memory_info().rss,
            models=models,
        ),
        checksums=_checksums(services),
    )


def _disk(name: str, folder: Path) -> Disk:
    usage = shutil.disk_usage(folder)
    return Disk(folder=name, bytes=_bytes_below(folder), free=usage.free, total=usage.total)


def _bytes_below(folder: Path) -> int:
    """Returns what the files take, those with several names once; what is removed meanwhile doesn't count."""
    files: dict[tuple[int, int], int] = {}
    for place, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                status = os.lstat(f"{place}/{name}")
                files[status.st_dev, status.st_ino] = status.st_size
    return sum(files.values())


def _checksums(services: Services) -> Checksums:
    whole, unread, damaged, times = 0, 0, list[Damage](), list[datetime]()
    for collection, store in services.collections.collections.stores().items():
        for version in store.names():
            verdict = verdict_on(store.folder / version)
            if verdict is None:
                unread += 1
                continue
            times.append(verdict.checked)
            if verdict.damaged is None:
                whole += 1
            else:
                damaged.append(Damage(collection=collection, version=version, file=verdict.damaged))
    return Checksums(whole=whole, unread=unread, damaged=damaged, oldest=min(times, default=None))
