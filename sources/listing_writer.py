"""Writes a folder's listing: one image per line, the folder as typed, followed by the path below it.

walk ─▶ names without line breaks ─▶ a temporary file ─▶ the listing, replaced at once
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from pictures.formats import SUFFIXES
from sources.errors import ListingError
from sources.left_out import LeftOut
from sources.selection import PICTURES, Selection
from sources.walk import walk


def write_listing(
    folder: str,
    listing: Path,
    tell: Callable[[str], None],
    root: Path = Path(),
    left_out: LeftOut | None = None,
    selection: Selection = PICTURES,
) -> int:
    """Write the images below ``folder``, relative to ``root``, to ``listing``. Returns their number.

    ``tell`` gets a line for what cannot be listed; ``left_out`` counts what isn't, though it looks like images.
    ``selection`` says which files count. Raises ListingError, and OSError if ``listing`` cannot
    be written; an existing listing then stays as it is.
    """
    if "\n" in folder:
        raise ListingError("the folder's name holds a line break, which a listing cannot spell")
    below = root / folder
    if not folder or not below.is_dir():
        raise ListingError(f"{folder} is not a folder")
    if listing.is_dir():
        raise ListingError(f"the listing {listing} is a folder")
    counts = LeftOut() if left_out is None else left_out
    with NamedTemporaryFile(dir=listing.parent, prefix=f"{listing.name}.", delete=False) as file:
        try:
            paths = partial(walk, str(below), left_out=counts, selection=selection)
            count = _write(folder, paths, file.write, tell)
            if not count:
                known = " ".join(suffix[1:] for suffix in SUFFIXES)
                raise ListingError("; ".join(filter(None, [f"no image below {folder} (known: {known})", str(counts)])))
            file.flush()
            Path(file.name).chmod(0o644)
            os.replace(file.name, listing)
        except BaseException:
            with suppress(FileNotFoundError):
                Path(file.name).unlink()
            raise
    return count


def _write(
    folder: str,
    walked: Callable[[Callable[[str], None]], Iterator[bytes]],
    write: Callable[[bytes], object],
    tell: Callable[[str], None],
) -> int:
    prefix = os.fsencode(folder.rstrip("/")) + b"/"
    count = broken = unread = 0

    def problem(line: str) -> None:
        nonlocal unread
        unread += 1
        tell(line)

    for path in walked(problem):
        if b"\n" in path:
            broken += 1
        else:
            write(prefix + path + b"\n")
            count += 1
    if unread:
        tell("Warning: some folders could not be read (see above)")
    if broken:
        tell(f"Warning: left out {broken} images whose names hold a line break, which a listing cannot spell")
    return count
