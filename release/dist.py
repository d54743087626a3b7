"""What a release consists of: wheel, bills of materials, notes, and the checksums of these."""

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path

from release.audit import Vulnerability
from release.bill import bill_of_materials
from release.changelog import sections
from release.locks import SHIPPED, shipped_pins
from release.notes import release_notes
from release.tree import git
from release.wheel import build_wheel


def write_dist(root: Path, version: str, found: Sequence[Vulnerability], today: date) -> Path:
    """Replace ``dist/`` of the repository at ``root``, once all of it is there, and answer its path."""
    moment = int(git(root, "log", "-1", "--format=%ct"))
    changes = sections((root / "CHANGELOG.md").read_text())[0][1]
    notes = release_notes(version, changes, found, len(shipped_pins(root)), today)
    dist = root / "dist"
    with tempfile.TemporaryDirectory(dir=root, prefix=".dist-") as scratch:
        new = Path(scratch) / "dist"
        new.mkdir()
        for name in SHIPPED:  # requirements-cuda.lock → hashlake-1.2.0-cuda.cdx.json
            bill = new / f"hashlake-{version}{name.removeprefix('requirements').removesuffix('.lock')}.cdx.json"
            bill.write_text(bill_of_materials(root / name, version, moment))
        (new / f"hashlake-{version}.md").write_text(notes)
        build_wheel(root, new, moment)
        (new / "SHA256SUMS").write_text(checksums(new))
        shutil.rmtree(dist, ignore_errors=True)
        new.rename(dist)
    return dist


def checksums(folder: Path) -> str:
    """A line for each file of ``folder``, as ``sha256sum --check`` reads them."""
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(folder.iterdir())
    )
