"""The version that a collection serves: its store's current one, followed live.

Serving processes are not notified. Each checks CURRENT before it answers (one stat, microseconds), and swaps the whole
version if CURRENT was replaced. A version that cannot be opened is refused, and the previous one stays in use; the
refused one is tried again every few seconds. So it is when CURRENT is lost, or names no version.

The version in use is looked at every second: once a file of it is known to be damaged (``versions/verdict.py``), it is
dropped, and the newest whole version of its model is used in its place.

A worker follows the datalake for one model. It also refuses versions of other models, and a new worker without a
version takes the newest that it can serve. So two models can be served side by side while one replaces the other, and a
worker that dies meanwhile comes back.
"""

import logging
import time

from contract.model import ModelIdentity
from searcher.errors import SearcherError, VersionDamaged, VersionMissing
from searcher.versions.store import IndexStore
from searcher.versions.version import IndexVersion

_RETRY_SECONDS = 5.0
#: How long the version in use is trusted after a look at its files, which costs some ten microseconds.
_TRUST_SECONDS = 1.0
_NOTHING_YET = "no index version is published yet"
_REFUSED = "the current index version cannot be served; the server's log says why"

logger = logging.getLogger(__name__)


class VersionFollower:
    """Follows ``store``; a search may use up to ``threads``. The caller must make threads take turns.

    ``warm_up``: this process searches, so versions are warmed up before they are used. ``model``: only its versions are
    followed. ``refused`` counts the versions that could not be used, and ``reason`` tells clients why there is none.
    """

    def __init__(
        self, store: IndexStore, threads: int = 1, *, warm_up: bool = False, model: ModelIdentity | None = None
    ) -> None:
        self.store = store
        self.model = model
        self.refused = 0
        self.reason = _NOTHING_YET
        self._threads = threads
        self._warm_up = warm_up
        self._version: IndexVersion | None = None
        self._seen: tuple[int, int] | None = None
        self._stale = True
        self._error: SearcherError | None = None
        self._retry_at = 0.0
        self._trusted_until = 0.0

    def version(self) -> IndexVersion:
        """The version to use now. Raises VersionMissing while none is published, and the error of the current one if
        none can be used."""
        self._check_the_one_in_use()
        signature = self.store.signature()
        while self._stale or signature != self._seen or (self._error and time.monotonic() >= self._retry_at):
            self._swap(signature)
            signature = self.store.signature()
        if self._version is not None:
            return self._version
        if self._error is not None:
            raise type(self._error)(str(self._error))  # a new instance: threads may raise it at the same time
        raise VersionMissing(f"no version is published in {self.store.folder} yet")

    def require_current(self) -> IndexVersion:
        """Like ``version``, but raises the error of a current version that cannot be used."""
        version = self.version()
        if self._error is not None:
            raise type(self._error)(str(self._error))
        return version

    def look_again(self) -> None:
        """Reopen the current version when it is next needed."""
        self._stale = True

    def rest(self) -> None:
        """Release the version until it is needed again, but not one that is used in place of the current one."""
        if self._error is None:
            self._version = None
            self._stale = True

    def _check_the_one_in_use(self) -> None:
        """Drop a version whose files are no longer what was published."""
        version, now = self._version, time.monotonic()
        if version is None or now < self._trusted_until:
            return
        self._trusted_until = now + _TRUST_SECONDS
        try:
            version.check()
        except VersionDamaged as error:
            if not version.folder.is_dir():
                return  # deleted: what is open stays whole
            self._refuse(error, new=True)
            self._version = self._newest(version.name)
            if self._version is not None:
                self._announce(self._version, instead=True)

    def _swap(self, signature: tuple[int, int] | None) -> None:
        new = signature != self._seen
        self._seen, self._stale = signature, False
        if signature is None and not self._is_lost():
            return
        try:
            version = self._open(None)
        except (SearcherError, OSError) as error:
            if self.store.signature() != signature:
                return  # another one became current meanwhile, and this one may have been deleted
            self._refuse(error, new=new)
            found = self._newest(None) if self._version is None else None
            if found is None:
                return
            version = found
        else:
            self._error = None
            self.reason = _NOTHING_YET
        self._version = version
        self._announce(version, instead=self._error is not None)

    def _is_lost(self) -> bool:
        """Whether there should be a CURRENT; else the store is new, or gone."""
        if self.store.names():
            return True
        if self.model is None:  # a collection was deleted; the datalake, which a worker follows, never is
            self._version = self._error = None
        self.reason = _NOTHING_YET
        return False

    def _refuse(self, error: SearcherError | OSError, *, new: bool) -> None:
        if not isinstance(error, SearcherError):
            error = VersionDamaged(f"the current version cannot be read ({error.strerror})")
        self._error = error
        self._retry_at = time.monotonic() + _RETRY_SECONDS
        self.reason = _REFUSED
        if new:
            self.refused += 1
            if self._version is not None or self.model is not None:  # else the caller gets the error
                logger.error("index version refused: %s", error)

    def _open(self, name: str | None) -> IndexVersion:
        version = self.store.open(name, threads=self._threads)
        if self.model is not None:
            version.manifest.require_model(self.model)
        if self._warm_up:
            version.warm_up()
        return version

    def _newest(self, damaged: str | None) -> IndexVersion | None:
        """The newest whole version of the model, or None. Without a model: of that of the ``damaged`` one, or of the
        current one."""
        if self.model is not None:
            names = [each.version for each in reversed(self.store.manifests())]
        elif isinstance(self._error, VersionDamaged):
            names = self.store.substitutes(damaged or self._current())
        else:
            return None
        for name in names:
            try:
                return self._open(name)
            except (SearcherError, OSError):
                continue
        return None

    def _current(self) -> str | None:
        try:
            return self.store.current()
        except VersionDamaged:
            return None

    def _announce(self, version: IndexVersion, *, instead: bool) -> None:
        if self.model is None:
            if instead:  # nobody else says so
                logger.error("index version %s is used in place of the current one: %s", version.name, self._error)
            return
        logger.warning("serving index version %s, %d images", version.name, version.manifest.count)
        precision = version.manifest.model.precision
        if precision != self.model.precision:
            logger.warning(
                "its images were hashed in %s, and queries are hashed in %s: now and then a bit differs",
                precision,
                self.model.precision,
            )
