"""Names that become names of files: which a version and a collection may have, in any file system.

Windows reserves some names in any case and with any ending (``nul``, ``con.jpg``), and drops dots at the end.
"""

import re

from searcher.errors import BadVersionName

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,63}")
_DEVICE = re.compile(r"(CON|PRN|AUX|NUL|COM[0-9]|LPT[0-9])(\..*)?", re.IGNORECASE)

#: Other things in an index store, or in a version; what begins so is taken as well.
_TAKEN = (
    "CURRENT", "COLLECTIONS", "COLLECTION.JSON", "ENGINE.JSON", "JOURNAL.DB", "JOURNAL.ACKNOWLEDGED", "THUMBNAILS",
    "MANIFEST.JSON", "IMAGES.DB",
)  # fmt: skip


def is_name(name: str) -> bool:
    """Whether a version or a collection can have been called ``name``."""
    return _NAME.fullmatch(name) is not None


def is_new_name(name: str) -> bool:
    """Whether something new may be called ``name``: not what the store, or Windows, calls something else."""
    if not is_name(name) or name.endswith(".") or _DEVICE.fullmatch(name):
        return False
    upper = name.upper()
    return upper not in _TAKEN and not upper.startswith(("CURRENT.", "JOURNAL.DB-"))


def check_name(name: str) -> str:
    """Returns ``name`` if a version may have it, else raises BadVersionName."""
    if not is_name(name) or name.upper().startswith(_TAKEN):
        raise _bad(name)
    return name


def check_new_name(name: str) -> str:
    """Returns ``name`` if a new version may have it, else raises BadVersionName."""
    if not is_new_name(check_name(name)):
        raise _bad(name)
    return name


def line_of(name: str) -> tuple[str, int]:
    """The version from which ``name`` was folded, and how often: 1.5.0-f2 → (1.5.0, 2), 1.5.0 → (1.5.0, 0)."""
    line, _, number = name.rpartition("-f")
    return (line, int(number)) if line and number.isascii() and number.isdigit() else (name, 0)


def _bad(name: str) -> BadVersionName:
    return BadVersionName(
        f"{name!r} cannot be a version's name: use up to 64 letters, digits, dots, dashes and underscores, "
        "starting with a letter or a digit, such as 1.5.0; names of the store's own files and of Windows' devices are "
        "taken"
    )
