"""Carries the edits of the collection into a new version of the datalake: images in no listing, metadata, removals.

    at the beginning    the last change that the version will contain, and the pictures that stay out of it
    at the end          the added images, and the metadata of listed ones

Changes made in between have higher numbers, and are laid over the version.
"""

from collections.abc import Iterator

from contract.model import ModelIdentity
from contract.names import DEFAULT_COLLECTION
from searcher.errors import JournalDamaged, ModelMismatch, SearcherError
from searcher.live.collection import Collection
from searcher.live.view import Edited, View
from searcher.versions.store import IndexStore


class Carried:
    """The edits of the collection in ``store`` that a version made by ``model`` takes over.

    ``folded`` is the last change of the journal that the version contains. Raises ModelMismatch if images were added
    with another model, and the errors of ``Collection.view``.
    """

    def __init__(self, store: IndexStore, model: ModelIdentity) -> None:
        self._collection = Collection(DEFAULT_COLLECTION, store.folder)
        view = self._view()
        self.folded = view.seq if view else 0
        self._removed = _removed(view, self._collection) if view else {}
        if view and view.version.manifest.model.sha256 != model.sha256:
            made_with = view.version.manifest.model.name
            if any(not edited.listed for edited in view.edited()):
                raise ModelMismatch(
                    f"images were added to the collection with model {made_with}, and {model.name} cannot make their "
                    "codes without the pictures: remove them first"
                )

    def is_removed(self, path: str, digest: bytes) -> bool:
        """Whether the picture at ``path`` was removed: one of another content comes back."""
        return path in self._removed and self._removed[path] in (None, digest)

    def keeps(self, seq: int) -> bool:
        """Whether the journal still has all changes after number ``seq``."""
        return self._collection.journal.trimmed() <= seq

    def edited(self) -> Iterator[Edited]:
        """The images that were added to the collection, or given metadata, as of now; not those whose metadata came
        from their source, which gives them again."""
        view = self._view()
        if view is None:
            return
        for edited in view.edited():
            path = edited.entry.path
            said = view.version.images.sourced([path]).get(path) if edited.listed else None
            if said is None or said.metadata != edited.entry.metadata:
                yield edited

    def _view(self) -> View | None:
        try:
            return self._collection.view()
        except SearcherError as error:
            if self._collection.journal.exists() or isinstance(error, JournalDamaged):
                raise
            return None  # nothing has ever changed


def _removed(view: View, collection: Collection) -> dict[str, bytes | None]:
    found = view.version.images.removed() | collection.journal.removed()
    return {path: digest for path, digest in found.items() if view.image(path) is None}
