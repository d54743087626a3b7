"""All errors of the searcher room, as one small tree.

SearcherError
├── BadVersionName     not a valid name for a version
├── VersionMissing     no such version, or none is current
├── VersionInUse       the current version is never deleted
├── VersionExists      a published version is never overwritten
├── VersionDamaged     a file is missing, cut short or changed
├── ModelMismatch      codes of another model, or of another preparation of pictures
├── ModeRefused        the mode doesn't suit these codes, or this machine
├── CompilerMissing    numba cannot be loaded, and nothing can be searched without it
├── StoreBusy          another process is indexing, or cleaning up
├── StoreUnwritable    the disk is full, read-only or gone
├── JournalDamaged     the changes of a collection cannot be read or written
├── ChangesFolded      changes have since become part of a newer version: look again
├── BadCollectionName  not a valid name for a collection
├── CollectionMissing  no such collection
├── CollectionExists   a collection of that name already exists
├── CollectionInUse    the collection `default` is never deleted
├── CopyDiffers        a collection didn't become a copy of another one
├── EngineRefused      a collection cannot live where it is asked to
├── EngineUnavailable  the engine of a collection cannot be reached, or fails
├── TooFewPictures     the nearest images are regions of too few pictures
└── FilterError        not a valid filter of metadata
"""


class SearcherError(Exception):
    """Base of every error that the searcher room raises on purpose."""


class BadVersionName(SearcherError):
    """The name is not valid for a version."""


class VersionMissing(SearcherError):
    """The store has no such version."""


class VersionInUse(SearcherError):
    """The version is the current one."""


class VersionExists(SearcherError):
    """A version of that name is already published."""


class VersionDamaged(SearcherError):
    """The version's folder doesn't hold what its manifest says."""


class ModelMismatch(SearcherError):
    """The version was made with another model than the one in use."""


class ModeRefused(SearcherError):
    """The index cannot be built in this mode, or would not gain from it."""


class CompilerMissing(SearcherError):
    """numba, which compiles the search, cannot be loaded."""


class StoreBusy(SearcherError):
    """Another process holds the store."""


class StoreUnwritable(SearcherError):
    """The store's folder cannot be written; nothing has changed."""


class JournalDamaged(SearcherError):
    """The journal of a collection cannot be read or written."""


class ChangesFolded(SearcherError):
    """The version in use lacks changes that are no longer kept."""


class BadCollectionName(SearcherError):
    """The name is not valid for a collection."""


class CollectionMissing(SearcherError):
    """The index store has no such collection."""


class CollectionExists(SearcherError):
    """A collection of that name already exists, and is never overwritten."""


class CollectionInUse(SearcherError):
    """The collection is the datalake's own, which is never deleted."""


class AliasesDamaged(SearcherError):
    """The file that says what the collections are called cannot be read."""


class CopyDiffers(SearcherError):
    """A copy of a collection has not become equal to it; copying again goes on."""


class EngineRefused(SearcherError):
    """No such engine, or its address or table doesn't suit the collection. The message has no credentials."""


class EngineUnavailable(SearcherError):
    """The engine that keeps a collection cannot be reached, or fails. The message has no credentials."""


class TooFewPictures(SearcherError):
    """The nearest images are regions of fewer pictures than are wanted."""

    def __init__(self, pictures: int, images: int) -> None:
        super().__init__(f"the {images:,} nearest images are of {pictures:,} pictures: ask for no more")


class FilterError(SearcherError):
    """The filter is not valid, or is too large."""
