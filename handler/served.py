"""The collections that a worker answers from, each with all that was acknowledged before the batch began.

The datalake's own is followed, and stays when its next version cannot be served. The others are opened when somebody
asks for them.
"""

import contextlib
import logging
from http import HTTPStatus

from handler.errors import RequestError
from handler.follower import VersionFollower
from searcher.collections_store import DEFAULT, Collections
from searcher.errors import ChangesFolded, CollectionMissing, JournalDamaged, ModelMismatch, SearcherError
from searcher.journal import JOURNAL_FILE
from searcher.overlay import Overlay, View

#: Of a refusal: the collection, which another model answers for.
OTHER_MODEL_HEADER = "X-Hashlake-Other-Model"

#: How often a view is tried anew while versions change under it.
_TRIES = 5

logger = logging.getLogger(__name__)


class Served:
    """The collections of the store that ``follower`` follows; a search may use up to ``threads``.

    ``datalake``: whether the datalake's own collection is this model's to serve, whatever becomes its current version.
    """

    def __init__(self, follower: VersionFollower, threads: int = 1, *, datalake: bool = True) -> None:
        self._follower = follower
        self._datalake = datalake
        self._collections = Collections(follower.store.folder, threads)
        self._overlay: Overlay | None = None
        self._unreadable: dict[str, str] = {}

    def view(self, name: str) -> View:
        """The collection ``name`` as it is now. RequestError (404, 409 or 503) where it cannot be answered from."""
        try:
            view = self._followed() if name == DEFAULT and self._datalake else self._opened(name)
        except CollectionMissing as error:
            raise RequestError(HTTPStatus.NOT_FOUND, f"collection: {error}") from error
        except ModelMismatch as error:
            raise RequestError(HTTPStatus.CONFLICT, f"collection: {error}") from error
        except (SearcherError, OSError) as error:
            if self._unreadable.get(name) != str(error):  # once, not for every request
                self._unreadable[name] = str(error)
                logger.error("the collection %s cannot be read: %s", name, error)
            message = f"the collection {name} cannot be read at the moment; the server's log says why"
            raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, message) from error
        self._unreadable.pop(name, None)
        return view

    def _followed(self) -> View:
        for _ in range(_TRIES):
            version = self._follower.version()
            if version is None:
                raise RequestError(HTTPStatus.SERVICE_UNAVAILABLE, self._follower.reason)
            if self._overlay is None or self._overlay.version is not version:
                self._overlay = Overlay(version, self._follower.store.folder / JOURNAL_FILE)
            with contextlib.suppress(ChangesFolded):
                return self._overlay.view()
            self._follower.look_again()  # there is a newer version
        raise JournalDamaged("the version that is served lacks changes, and no newer one can be served")

    def _opened(self, name: str) -> View:
        view = self._collections.open(name).view()
        manifest = view.version.manifest
        if manifest.model.sha256 != self._follower.identity.sha256:
            raise RequestError(
                HTTPStatus.CONFLICT,
                f"the collection {name} is of the model {manifest.model.name}, which doesn't answer here",
                {OTHER_MODEL_HEADER: name},
            )
        manifest.require_model(self._follower.identity)
        return view
