"""The files of a release: wheel, bills of materials, notes, and their checksums."""

import hashlib
import shutil
import tempfile
from datetime import date
from pathlib import Path

from release.bill import bill_of_materials
from release.changelog import sections
from release.locks import SHIPPED
from release.tree import git
from release.wheel import build_wheel


def write_dist(root: Path, version: str, vulnerabilities: str, today: date) -> Path:
    """Replace ``dist/`` of the repository at ``root`` once all files are complete. Returns its path."""
    moment = int(git(root, "log", "-1", "--format=%ct"))
    changes = sections((root / "CHANGELOG.md").read_text())[0][1]
    notes = release_notes(version, changes, vulnerabilities, today)
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


def release_notes(version: str, changes: str, vulnerabilities: str, today: date) -> str:
    """Returns Markdown: ``changes``, the changelog's section, and the known vulnerabilities of the dependencies."""
    found = vulnerabilities or "No known vulnerability."
    return f"# hashlake {version}\n\n{changes}\n\n## pip-audit, {today}: {' and '.join(SHIPPED)}\n\n{found}\n"


def checksums(folder: Path) -> str:
    """Returns one line per file of ``folder``, as ``sha256sum --check`` reads them."""
    return "".join(
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in sorted(folder.iterdir())
    )
