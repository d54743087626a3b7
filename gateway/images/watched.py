"""The sources that watches have filled a collection from, whose pictures may be shown: an operator named them.

They are noted in ``watch.db`` beside the collection's journal (indexer/watch_state.py), which no request writes.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

_STATE_FILE = "watch.db"
#: More than anybody fills a collection from.
_MOST = 100


def watched_sources(folder: Path) -> list[str]:
    """Returns the addresses of the sources of the collection in ``folder``; none if no watch has filled it."""
    path = folder / _STATE_FILE
    if not path.is_file():
        return []
    found: list[str] = []
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as table:
            while len(found) < _MOST:  # one step of the index each, among millions of items
                after = found[-1] if found else ""
                (source,) = table.execute("SELECT min(source) FROM items WHERE source > ?", (after,)).fetchone()
                if source is None:
                    break
                found.append(source)
    except sqlite3.Error:  # being made, or damaged: the watch says so
        return []
    return found
