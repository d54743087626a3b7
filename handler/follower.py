"""The version that answers: the store's current one, followed live.

TorchServe hands a request to one process of several, so no request could tell all of them about a new version. Each
batch therefore looks at CURRENT (one stat, microseconds) and swaps the whole version when it was replaced. A version
that cannot be served, damaged or of another model, is refused: the one before it stays. A worker that has none yet,
being new, then takes the newest version that it can serve; so two models can be served side by side while one replaces
the other, and a worker that dies meanwhile comes back.
"""

import logging
import time
from collections.abc import Callable

from searcher.errors import SearcherError
from searcher.manifest import ModelIdentity
from searcher.store import IndexStore
from searcher.version import IndexVersion

_RETRY_SECONDS = 5.0

logger = logging.getLogger(__name__)


class VersionFollower:
    """Follows ``store`` for the model ``identity``; a search may use up to ``threads``. ``accelerate`` is told each
    version that is served.

    ``refused`` counts the versions that could not be served.
    """

    def __init__(
        self,
        store: IndexStore,
        identity: ModelIdentity,
        threads: int = 1,
        accelerate: Callable[[IndexVersion], None] | None = None,
    ) -> None:
        self.store = store
        self.identity = identity
        self._threads = threads
        self._accelerate = accelerate
        self._version: IndexVersion | None = None
        self._seen: tuple[int, int] | None = None
        self._retry_at = 0.0
        self.refused = 0
        self.reason = "no index version is published yet"

    def version(self) -> IndexVersion | None:
        """The version to answer from now, or None while there is none (``reason`` says why)."""
        signature = self.store.signature()
        if signature != self._seen or time.monotonic() >= self._retry_at > 0:
            self._swap(signature)
        return self._version

    def look_again(self) -> None:
        """Open the current version anew with the next call of ``version``."""
        self._retry_at = time.monotonic()

    def _swap(self, signature: tuple[int, int] | None) -> None:
        new = signature != self._seen
        self._seen = signature
        self._retry_at = 0.0
        if signature is None:  # CURRENT was taken away; what is open stays whole
            return
        try:
            version = self._open(None)
        except (SearcherError, OSError) as error:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            if new:
                self.refused += 1
                logger.error("index version refused: %s", error)
            self.reason = "the current index version cannot be served; the server's log says why"
            if self._version is not None:
                return
            other = self._newest()
            if other is None:
                return
            version = other
        self._version = version
        logger.warning("serving index version %s, %d images", version.name, version.manifest.count)
        precision = version.manifest.model.precision
        if precision != self.identity.precision:
            logger.warning(
                "its images were hashed in %s, and queries are hashed in %s: now and then a bit differs",
                precision,
                self.identity.precision,
            )
        if self._accelerate:
            self._accelerate(version)

    def _open(self, name: str | None) -> IndexVersion:
        version = self.store.open(name, threads=self._threads)
        version.manifest.require_model(self.identity)
        version.warm_up()
        return version

    def _newest(self) -> IndexVersion | None:
        """The newest version of this model that is whole, or None."""
        for manifest in reversed(self.store.manifests()):
            try:
                return self._open(manifest.version)
            except (SearcherError, OSError):
                continue
        return None
