"""Everything that the index store and its versions can refuse, as one small tree.

SearcherError
├── BadVersionName     not a name a version may have
├── VersionMissing     no such version, or none is current
├── VersionInUse       the current version is never deleted
├── VersionExists      a published version is never overwritten
├── VersionDamaged     a file is missing, cut short or changed
├── ModelMismatch      codes of another model, or of another preparation of pictures
├── ModeRefused        the mode doesn't suit these codes, or this machine
└── StoreBusy          another process is indexing, or cleaning up
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
