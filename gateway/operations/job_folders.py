"""This machine's folders in what jobs say: clients read it, and need the names of files alone."""

import re

#: "/srv/index_store cannot be written" → "index_store cannot be written"
_FOLDERS = re.compile(r"""(?<![^\s'"])/(?:[^/\s'"]+/)*""")


def without_folders(text: str) -> str:
    """Returns ``text`` with the names of files in place of their paths."""
    return _FOLDERS.sub("", text)
