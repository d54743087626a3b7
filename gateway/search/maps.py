"""Draws the maps of index versions, each once, in a child process.

    python -m gateway.search.maps STORE VERSION FILE

Drawing reads all vectors of a version, which the gateway itself never opens. A map is kept in a file called by what it
was drawn of, so it holds for every version with the same vectors and never goes out of date; reading it takes a few
pages of the file.
"""

import asyncio
import contextlib
import hashlib
import os
import sys
from http import HTTPStatus
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from gateway.errors import CommandFailed, RequestRefused
from gateway.images.open_versions import OpenVersion
from gateway.processes import ChildProcess
from searcher.errors import SearcherError, VersionDamaged
from searcher.versions.manifest import Manifest
from searcher.versions.picture_map import EDITION, PictureMap, draw
from searcher.versions.store import IndexStore

#: Pictures that a map is drawn of at most: about a minute, and half a gigabyte meanwhile.
MOST = 4_000_000
#: How long a request waits for its map.
_PATIENCE_SECONDS = 8.0
_KEPT = 8
_NICE = 10
_SUFFIX = ".npy"


class Maps:
    """The maps of the versions in the store ``store``, kept in ``folder``. Belongs to one event loop."""

    def __init__(self, folder: Path, store: Path) -> None:
        self._folder = folder
        self._store = store
        self._turn = asyncio.Semaphore(1)
        self._drawing: dict[str, asyncio.Task[None]] = {}
        self._open: dict[str, PictureMap] = {}

    async def of(self, version: OpenVersion) -> PictureMap:
        """The map of ``version``. Raises RequestRefused: 503 while it is being drawn, 409 for more pictures than maps
        are drawn of, 500 if drawing failed."""
        manifest = version.manifest
        if manifest.count > MOST:
            raise RequestRefused(
                HTTPStatus.CONFLICT,
                f"maps are drawn of up to {MOST:,} pictures, and version {manifest.version} has {manifest.count:,}: "
                "search instead",
            )
        name = map_name(manifest)
        if (found := self._open.get(name)) is not None:
            return found
        path = self._folder / f"{name}{_SUFFIX}"
        found = await run_in_threadpool(_opened, path, manifest.count)
        if found is None:
            await self._drawn(manifest.version, name, path)
            found = await run_in_threadpool(_opened, path, manifest.count)
        if found is None:
            raise RequestRefused(HTTPStatus.INTERNAL_SERVER_ERROR, "the map was drawn, and is gone")
        self._open[name] = found
        while len(self._open) > _KEPT:
            del self._open[next(iter(self._open))]
        return found

    async def close(self) -> None:
        """End what is being drawn."""
        tasks = [*self._drawing.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _drawn(self, version: str, name: str, path: Path) -> None:
        task = self._drawing.get(name)
        if task is None:
            task = self._drawing[name] = asyncio.create_task(self._draw(version, path))
            task.add_done_callback(lambda _: self._drawing.pop(name, None))
        done, _ = await asyncio.wait({task}, timeout=_PATIENCE_SECONDS)
        if not done or task.cancelled():
            raise RequestRefused(
                HTTPStatus.SERVICE_UNAVAILABLE, f"the map of version {version} is being drawn: ask again"
            )
        if (error := task.exception()) is not None:
            if not isinstance(error, (CommandFailed, OSError)):
                raise error
            raise RequestRefused(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"the map of version {version} could not be drawn: {error}"
            )

    async def _draw(self, version: str, path: Path) -> None:
        async with self._turn:
            self._folder.mkdir(parents=True, exist_ok=True)
            command = [
                sys.executable,
                "-m",
                "gateway.search.maps",
                str(self._store.absolute()),
                version,
                str(path.absolute()),
            ]
            async with ChildProcess.started(command, nice=_NICE) as child:
                await child.succeeded()
            await run_in_threadpool(_forget_oldest, self._folder)


def map_name(manifest: Manifest) -> str:
    """What the map of the version is kept as: the digest of what it is drawn of."""
    drawn_of = "".join(f"{space.name} {manifest.files[space.file].sha256}\n" for space in manifest.spaces)
    return f"{hashlib.sha256(drawn_of.encode()).hexdigest()[:32]}-{EDITION}"


def _opened(path: Path, count: int) -> PictureMap | None:
    """The map in ``path``; None if there is none, or it is damaged: it can be drawn again."""
    try:
        found = PictureMap.open(path, count)
        os.utime(path)  # the least recently opened is forgotten first
    except (FileNotFoundError, VersionDamaged, OSError):
        return None
    return found


def _forget_oldest(folder: Path) -> None:
    """Delete all but the newest maps, and what killed processes left unfinished."""
    dated = []
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            dated.append((path.suffix == _SUFFIX, path.stat().st_mtime_ns, path))
    for _, _, path in sorted(dated, reverse=True)[_KEPT:]:
        path.unlink(missing_ok=True)


def main(arguments: list[str]) -> int:
    """Draw the map for ``arguments``: STORE VERSION FILE."""
    store, version, path = arguments
    try:
        draw(IndexStore(Path(store)).open(version).vectors, Path(path))
    except SearcherError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Error: it cannot be kept ({error.strerror})", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
