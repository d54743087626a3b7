"""Known vulnerabilities of the packages in the lock files, as pip-audit finds them.

pip-audit asks the package index. With --strict it fails if the index knows nothing about a package, instead of skipping
it; a mirror knows nothing about any. So an audit that didn't happen stops the release. A vulnerability doesn't, because
not every one has a fix: the release notes list it.
"""

import subprocess
from pathlib import Path

from release.errors import ReleaseError
from release.locks import SHIPPED

_REMEDY = (
    "Nothing was written. Release where the package index can be reached itself, not a mirror of it, "
    "or let pip-audit ask another service: PIP_AUDIT_VULNERABILITY_SERVICE=osv make release"
)


def audit(root: Path) -> str:
    """Returns a Markdown table of the vulnerabilities of the shipped lock files in ``root``; empty if none is known.

    Raises ReleaseError if pip-audit could not check every package.
    """
    command = ["pip-audit", "--strict", "--no-deps", "--disable-pip", "--format", "markdown"]
    for name in SHIPPED:
        command += ["--requirement", str(root / name)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ReleaseError("pip-audit is not installed: see requirements-release.lock") from None
    table = done.stdout.strip()
    if done.returncode and not table:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ReleaseError(f"pip-audit failed: {last}\n{_REMEDY}")
    return table
