"""The collections that a worker answers from, each with every change acknowledged before the batch began.

The datalake's collection is always open and follows its versions of this worker's model (``VersionFollower``). The
others are opened on their first request.
"""

import logging
from http import HTTPStatus
from pathlib import Path

from contract.model import ModelIdentity
from contract.names import DEFAULT_COLLECTION, OTHER_MODEL_HEADER
from handler.errors import RequestError, unavailable
from searcher.collections import Collections
from searcher.errors import CollectionMissing, EngineUnavailable, ModelMismatch, SearcherError
from searcher.live.collection import Collection
from searcher.open_collection import OpenView
from searcher.versions.version import IndexVersion

logger = logging.getLogger(__name__)


class Served:
    """The collections in the index store ``folder`` that ``model`` answers for. A search uses up to ``threads``.

    ``datalake``: whether this model serves the datalake's collection, whatever its current version becomes.
    """

    def __init__(self, folder: Path, model: ModelIdentity, threads: int = 1, *, datalake: bool = True) -> None:
        self._model = model
        self._collections = Collections(folder, threads, warm_up=True)
        self._datalake: Collection | None = None
        if datalake:
            self._datalake = Collection(DEFAULT_COLLECTION, folder, threads, warm_up=True, model=model)
        self._unreadable: dict[str, str] = {}

    def version(self) -> IndexVersion | None:
        """Returns the datalake's served version, or None while there is none; ``reason`` says why."""
        return self._datalake.version() if self._datalake else None

    @property
    def reason(self) -> str | None:
        return self._datalake.follower.reason if self._datalake else None

    @property
    def refused(self) -> int:
        """How many versions of all collections could not be served."""
        return self._collections.refused + (self._datalake.follower.refused if self._datalake else 0)

    def view(self, name: str) -> OpenView:
        """Returns the collection ``name`` as it is now. Raises RequestError (404, 409 or 503) if it cannot be read."""
        try:
            view: OpenView
            if name == DEFAULT_COLLECTION and self._datalake is not None:
                view = self._datalake.view()
            else:
                view = self._of_this_model(name)
        except (SearcherError, OSError) as error:
            raise self._refusal(name, error) from error
        self._unreadable.pop(name, None)
        return view

    def _of_this_model(self, name: str) -> OpenView:
        view = self._collections.open(name).view()
        if view.model.sha256 != self._model.sha256:
            raise RequestError(
                HTTPStatus.CONFLICT,
                f"the collection {name} is of the model {view.model.name}, which doesn't answer here",
                {OTHER_MODEL_HEADER: name},
            )
        view.require_model(self._model)
        return view

    def _refusal(self, name: str, error: Exception) -> RequestError:
        if name == DEFAULT_COLLECTION and self._datalake is not None and self._datalake.version() is None:
            return RequestError(HTTPStatus.SERVICE_UNAVAILABLE, self._datalake.follower.reason)
        if isinstance(error, CollectionMissing):
            return RequestError(HTTPStatus.NOT_FOUND, f"collection: {error}")
        if isinstance(error, ModelMismatch):
            return RequestError(HTTPStatus.CONFLICT, f"collection: {error}")
        if isinstance(error, EngineUnavailable):
            return unavailable(error)
        if self._unreadable.get(name) != str(error):  # log once, not for every request
            self._unreadable[name] = str(error)
            logger.error("the collection %s cannot be read: %s", name, error)
        return RequestError(
            HTTPStatus.SERVICE_UNAVAILABLE,
            f"the collection {name} cannot be read at the moment; the server's log says why",
        )
