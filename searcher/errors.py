"""Everything that the index store and its versions can refuse, as one small tree.

SearcherError
├── BadVersionName     not a name a version may have
├── VersionMissing     no such version, or none is current
├── VersionInUse       the current version is never deleted
├── VersionExists      a published version is never overwritten
├── VersionDamaged     a file is missing, cut short or changed
├── ModelMismatch      codes of another model, or of another preparation of pictures
├── ModeRefused        the mode doesn't suit these codes, or this machine
├── StoreBusy          another process is indexing, or cleaning up
├── JournalDamaged     the changes of a collection cannot be read or written
├── ChangesFolded      changes have become part of a version meanwhile: look again
├── BadCollectionName  not a name a collection may have
├── CollectionMissing  no such collection
├── CollectionExists   a collection of that name is there already
├── CollectionInUse    the collection `default` is never deleted
└── FilterError        a filter of metadata that isn't one
"""


class SearcherError(Exception):
    """Base of every error that the searcher room raises on purpose."""


class BadVersionName(SearcherError):
    """The name cannot be a version's."""


class VersionMissing(SearcherError):
    """The store has no such version."""


class VersionInUse(SearcherError):
    """The version is the current one."""


class VersionExists(SearcherError):
    """A version of that name is published already."""


class VersionDamaged(SearcherError):
    """The version's folder doesn't hold what its manifest says."""


class ModelMismatch(SearcherError):
    """The version was made with another model than the one that asks."""


class ModeRefused(SearcherError):
    """The index cannot be built in this mode, or would not gain from it."""


class StoreBusy(SearcherError):
    """Another process holds the store."""


class JournalDamaged(SearcherError):
    """The journal of a collection cannot be read, or not be written."""


class ChangesFolded(SearcherError):
    """What was looked at is older than the changes that are still kept."""


class BadCollectionName(SearcherError):
    """The name cannot be a collection's."""


class CollectionMissing(SearcherError):
    """The index store has no such collection."""


class CollectionExists(SearcherError):
    """A collection is never overwritten."""


class CollectionInUse(SearcherError):
    """The collection is the datalake's own."""


class FilterError(SearcherError):
    """What is given as a filter cannot be understood, or is too large."""
