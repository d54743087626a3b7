"""What pip-audit says, and that it is asked about everything."""

import re
from pathlib import Path

import pytest

from release.audit import audit
from release.errors import ReleaseError

REMEDY = (
    "Nothing was written. Release where the package index can be reached itself, not a mirror of it, "
    "or let pip-audit ask another service: PIP_AUDIT_VULNERABILITY_SERVICE=osv make release"
)
TABLE = "Name | Version | ID | Fix Versions\n--- | --- | --- | ---\nclick | 8.5.1 | PYSEC-1 | 8.5.2"


def answering(tools: Path, script: str) -> None:
    (tools / "pip-audit").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "pip-audit").chmod(0o755)


def test_every_shipped_lock_file_is_asked_about_strictly(project: Path, tools: Path) -> None:
    """--strict: a package that the index has no word on fails the audit."""
    answering(tools, f'echo "$@" >{tools}/asked; echo "No known vulnerabilities found" >&2')
    assert audit(project) == ""
    asked = (tools / "asked").read_text().split()
    assert "--strict" in asked
    assert [word for word in asked if word.endswith(".lock")] == [
        str(project / "requirements.lock"),
        str(project / "requirements-cuda.lock"),
    ]


def test_vulnerabilities_are_a_table(project: Path, tools: Path) -> None:
    """Exit code 1 says that there are some."""
    answering(tools, f"echo '{TABLE}'; echo 'Found 1 known vulnerability' >&2; exit 1")
    assert audit(project) == TABLE


@pytest.mark.parametrize(
    "reason", ["ConnectionError: no index", "ERROR:pip_audit._cli:torch: Dependency not found on PyPI"]
)
def test_an_audit_that_fails_says_why(project: Path, tools: Path, reason: str) -> None:
    answering(tools, f"echo 'no route' >&2; echo '{reason}' >&2; exit 1")
    with pytest.raises(ReleaseError, match=rf"^pip-audit failed: {re.escape(reason)}\n{re.escape(REMEDY)}$"):
        audit(project)


def test_a_missing_tool_is_named(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(ReleaseError, match="pip-audit is not installed"):
        audit(project)
