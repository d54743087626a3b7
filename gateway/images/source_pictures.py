"""Pictures that are no files of the datalake, to be shown, read again where they were found.

s3://…, photos.zip#…, a.pdf#page=3     from the sources that the operator named (sources/originals.py)
http://…, canvases of IIIF             downloaded, as for collections (sources/web_pictures.py)
"""

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress

from anyio import to_thread

from gateway.errors import OriginFault, PictureRefused
from sources.errors import OriginFailed, SourceError, Unreadable
from sources.fetching.fetcher import Fetcher
from sources.originals import Originals
from sources.web_pictures import downloaded, urls_of

#: Longest wait for one picture, with the turn that a host asked for by many must be waited for.
SECONDS = 60.0


class SourcePictures:
    """Reads them from ``originals``, or by ``fetcher``. Belongs to one event loop."""

    def __init__(self, originals: Originals, fetcher: Fetcher) -> None:
        self._originals = originals
        self._fetcher = fetcher

    def has(self, name: str, metadata: str | None = None) -> bool:
        """Whether the picture called ``name``, of which its source said ``metadata``, is one of them by its name."""
        return self._originals.has(name) or bool(urls_of(name, metadata))

    def admit(self, sources: Iterable[str]) -> None:
        """Show the pictures of these sources, too; those that cannot be opened here have none."""
        for source in sources:
            with suppress(SourceError):
                self._originals.admit(source)

    async def read(self, name: str, metadata: str | None = None) -> bytes:
        """Returns the picture called ``name``, if ``has`` says so. Raises PictureRefused; OriginFault if the place that
        it comes from fails, or takes too long."""
        with refused():
            if self._originals.has(name):
                return await to_thread.run_sync(self._originals.read, name)
            try:
                async with asyncio.timeout(SECONDS):
                    return await downloaded(self._fetcher, name, urls_of(name, metadata), metadata)
            except TimeoutError as error:
                raise OriginFailed("its server is asked for too much at once", late=True, retry_after=1.0) from error

    def link(self, name: str, seconds: int) -> str | None:
        """Returns a URL that shows the picture for so long; None where there are no such links. Raises OriginFault."""
        with refused():
            return self._originals.link(name, seconds) if self._originals.has(name) else None


@contextmanager
def refused() -> Iterator[None]:
    """Raises what sources raise in the block as PictureRefused, or as OriginFault where they fail themselves."""
    try:
        yield
    except OriginFailed as error:
        raise OriginFault(str(error), late=error.late, retry_after=error.retry_after) from error
    except Unreadable as error:
        raise PictureRefused(str(error)) from error
    except SourceError as error:
        raise OriginFault("the place that the picture comes from cannot be read") from error
