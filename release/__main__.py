"""``make release``: from a commit to ``dist/``.

    versions, changelog, lock files, commit → audit → make test → wheel, bills of materials, notes, sums

Quick checks come first and report all their problems at once. Nothing is written before everything has passed.
This folder is for those who make releases; it is not part of a release.
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
from release.locks import lock_problems
from release.tree import tree_problems
from release.versions import version_problems


def main(root: Path, version: str, today: date) -> None:
    """Check the commit and write ``dist/``. Raises ReleaseError, and leaves ``dist/`` unchanged, if a check fails."""
    problems = [
        *version_problems(root, version),
        *changelog_problems((root / "CHANGELOG.md").read_text(), version, today),
        *lock_problems(root),
        *tree_problems(root),
    ]
    if problems:
        raise ReleaseError("\n".join(["this commit cannot be released:", *problems]))
    vulnerabilities = audit(root)
    print(vulnerabilities or "No known vulnerability.")
    if subprocess.run(["make", "test"], cwd=root, check=False).returncode:
        raise ReleaseError("the tests fail")
    for file in sorted(write_dist(root, version, vulnerabilities, today).iterdir()):
        print(file.relative_to(root))


if __name__ == "__main__":
    try:
        main(Path(__file__).resolve().parent.parent, __version__, datetime.now(UTC).date())
    except ReleaseError as error:
        sys.exit(f"Error: {error}")
