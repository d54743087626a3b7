"""What the indexer refuses."""


class IndexingError(Exception):
    """No version can be built; nothing was published. The message says why, and what to do."""
