"""The indexer's error."""


class IndexingError(Exception):
    """No version could be built, and nothing was published. The message says why and what to do."""
