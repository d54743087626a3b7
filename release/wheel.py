"""Builds the wheel from a commit, not a folder: ignored files and leftovers of earlier builds cannot slip in."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from release.errors import ReleaseError


def build_wheel(root: Path, into: Path, moment: int) -> Path:
    """Build the wheel of HEAD of the repository at ``root`` in the folder ``into``. Returns its path.

    The same commit gives the same bytes. ``moment``: the date of the wheel's parts, in seconds since 1970.
    """
    commit = subprocess.run(["git", "archive", "HEAD"], cwd=root, check=True, capture_output=True).stdout
    with tempfile.TemporaryDirectory(prefix="hashlake-wheel-") as scratch:
        subprocess.run(["tar", "-x", "-C", scratch], input=commit, check=True)
        command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
        done = subprocess.run(
            [*command, "--wheel-dir", str(into), scratch],
            env=os.environ | {"SOURCE_DATE_EPOCH": str(moment)},
            umask=0o022,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ReleaseError(f"the wheel could not be built: {last}")
    return next(into.glob("*.whl"))
