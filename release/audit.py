"""Known vulnerabilities of what the lock files install, as pip-audit finds them.

pip-audit asks the package index. Where that has no word on a package, and a mirror has none on any, pip-audit skips it,
and says "No known vulnerabilities found" although it knows nothing; so a skipped package counts as an audit that was
not made, and stops the release. A vulnerability doesn't: not each has a remedy, so it is told in the release notes.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass
from typing import Any

from packaging.utils import canonicalize_name

from release.errors import ReleaseError

_REMEDY = (
    "Nothing was written. Release where the package index can be reached itself, not a mirror of it, "
    "or let pip-audit ask another service: PIP_AUDIT_VULNERABILITY_SERVICE=osv make release"
)


@dataclass(frozen=True)
class Vulnerability:
    """``fixed_in``: versions that don't have it any more; often there is none."""

    package: str
    version: str
    name: str
    fixed_in: tuple[str, ...]


def audit(locked: dict[str, str]) -> list[Vulnerability]:
    """Those of every package of ``locked``, name → version. Raises ReleaseError if pip-audit could not tell of each."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write("".join(f"{name}=={version}\n" for name, version in locked.items()))
        requirements.flush()
        command = ["pip-audit", "--requirement", requirements.name, "--no-deps", "--disable-pip", "--format", "json"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            raise ReleaseError("pip-audit is not installed: see requirements-release.lock") from None
    try:
        report = json.loads(done.stdout)
    except ValueError:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ReleaseError(f"pip-audit failed: {last}\n{_REMEDY}") from None
    return vulnerabilities(report, locked)


def vulnerabilities(report: dict[str, Any], locked: dict[str, str]) -> list[Vulnerability]:
    """What pip-audit's ``report`` says; ReleaseError unless it speaks of every package of ``locked``."""
    audited: dict[str, dict[str, Any]] = {
        canonicalize_name(each["name"]): each for each in report["dependencies"] if "skip_reason" not in each
    }
    unknown = [
        f"{name} {version}" for name, version in locked.items() if audited.get(name, {}).get("version") != version
    ]
    if unknown:
        few = ", ".join(unknown[:5]) + (", …" if len(unknown) > 5 else "")
        raise ReleaseError(
            f"pip-audit: nothing could be learnt of {len(unknown)} of {len(locked)} packages: {few}\n{_REMEDY}"
        )
    return [
        Vulnerability(name, locked[name], found["id"], tuple(found["fix_versions"]))
        for name, each in sorted(audited.items())
        for found in each["vulns"]
    ]
