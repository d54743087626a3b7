"""Files that are replaced whole: nobody ever reads half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


@contextmanager
def new_file(path: Path) -> Iterator[IO[bytes]]:
    """Yields a file that becomes the one at ``path`` at the end of the block."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def replace_text(path: Path, text: str) -> None:
    """Make ``text`` the content of the file at ``path``."""
    with new_file(path) as file:
        file.write(text.encode("utf-8", "replace"))
