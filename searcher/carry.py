"""What a new version of the datalake takes over from the collection: images that are in no listing, metadata, and what
was removed.

    at the beginning    which change the version will contain, and which paths stay out of it
    at the end          the images that were added, and the metadata of those that are listed

What changes in between is later than that change, and is laid over the version.
"""

from collections.abc import Iterator

from searcher.collection import Collection
from searcher.collections_store import DEFAULT
from searcher.errors import ModelMismatch, SearcherError
from searcher.images import REMOVED
from searcher.manifest import ModelIdentity
from searcher.overlay import Given, View
from searcher.store import IndexStore


class Carried:
    """What is taken over from the collection in ``store``, by a version that ``model`` makes.

    ``folded`` is the last change of the journal that the version contains. Raises ModelMismatch where images were added
    with another model, and the errors of ``Collection.view``.
    """

    def __init__(self, store: IndexStore, model: ModelIdentity) -> None:
        self._collection = Collection(DEFAULT, store.folder)
        view = self._view()
        self.folded = view.seq if view else 0
        self._removed = _removed(view, self._collection) if view else set()
        if view and view.version.manifest.model.sha256 != model.sha256:
            made_with = view.version.manifest.model.name
            if any(not given.listed for given in view.given()):
                raise ModelMismatch(
                    f"images were added to the collection with model {made_with}, and {model.name} cannot make their "
                    "codes without the pictures: remove them first"
                )

    def is_removed(self, path: str) -> bool:
        return path in self._removed

    def keeps(self, seq: int) -> bool:
        """Whether the journal still has all changes after number ``seq``."""
        return self._collection.journal.trimmed() <= seq

    def given(self) -> Iterator[Given]:
        """The images that the collection has been given something of, as of now."""
        view = self._view()
        return view.given() if view else iter(())

    def _view(self) -> View | None:
        try:
            return self._collection.view()
        except SearcherError:
            if self._collection.journal.exists():
                raise
            return None  # nothing has ever changed


def _removed(view: View, collection: Collection) -> set[str]:
    images = view.version.images
    earlier = {path for path, reason in images.skipped(images.skipped_count()) if reason == REMOVED}
    return {path for path in earlier | collection.journal.removed() if view.image(path) is None}
