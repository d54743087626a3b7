"""``make release``: from a commit to ``dist/``.

    versions, changelog, lock files, OpenAPI, commit → audit → make test → wheel, bills of materials, notes, sums

What takes seconds is checked first, and all of it is told at once; nothing is written before everything passed.
A folder of its own beside ``benchmarks/``: it is for those who release, and no part of what they release.
"""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

from hashlake.version import __version__
from release.audit import audit
from release.changelog import changelog_problems
from release.dist import write_dist
from release.errors import ReleaseError
from release.locks import lock_problems, shipped_pins
from release.openapi import openapi_problems
from release.tree import tree_problems
from release.versions import version_problems


def main(root: Path, version: str, today: date) -> None:
    """Raises ReleaseError, and leaves ``dist/`` as it was, if the commit cannot be released."""
    problems = [
        *version_problems(root, version),
        *changelog_problems((root / "CHANGELOG.md").read_text(), version, today),
        *lock_problems(root),
        *openapi_problems(root, version),
        *tree_problems(root),
    ]
    if problems:
        raise ReleaseError("\n".join(["this commit cannot be released:", *problems]))
    found = audit(shipped_pins(root))
    for one in found:
        print(f"{one.package} {one.version}: {one.name}, fixed in {', '.join(one.fixed_in) or 'no version'}")
    if subprocess.run(["make", "test"], cwd=root, check=False).returncode:
        raise ReleaseError("the tests fail")
    for file in sorted(write_dist(root, version, found, today).iterdir()):
        print(file.relative_to(root))


if __name__ == "__main__":
    try:
        main(Path(__file__).resolve().parent.parent, __version__, datetime.now(UTC).date())
    except ReleaseError as error:
        sys.exit(f"Error: {error}")
