"""What pip-audit says, and what it leaves out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from release.audit import Vulnerability, audit, vulnerabilities
from release.errors import ReleaseError

REMEDY = (
    "Nothing was written. Release where the package index can be reached itself, not a mirror of it, "
    "or let pip-audit ask another service: PIP_AUDIT_VULNERABILITY_SERVICE=osv make release"
)
LOCKED = {"click": "8.5.1", "torch": "2.13.0"}
CLICK: dict[str, Any] = {"name": "click", "version": "8.5.1", "vulns": []}
TORCH: dict[str, Any] = {
    "name": "Torch",
    "version": "2.13.0",
    "vulns": [
        {"id": "PYSEC-2026-1", "fix_versions": ["2.13.1", "2.14.0"], "aliases": ["CVE-2026-1"], "description": "Bad."},
        {"id": "PYSEC-2026-2", "fix_versions": [], "aliases": [], "description": "Worse."},
    ],
}


def test_vulnerabilities_are_listed_by_package() -> None:
    assert vulnerabilities({"dependencies": [CLICK, TORCH]}, LOCKED) == [
        Vulnerability("torch", "2.13.0", "PYSEC-2026-1", ("2.13.1", "2.14.0")),
        Vulnerability("torch", "2.13.0", "PYSEC-2026-2", ()),
    ]
    assert vulnerabilities({"dependencies": [CLICK]}, {"click": "8.5.1"}) == []


@pytest.mark.parametrize(
    "report",
    [
        [CLICK],
        [CLICK, {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited"}],
        [CLICK, {"name": "torch", "version": "2.13.0", "skip_reason": "Dependency not found on PyPI"}],
        [CLICK, TORCH | {"version": "2.12.0"}],
    ],
    ids=["absent", "skipped", "skipped by version", "another version"],
)
def test_an_audit_of_a_part_is_none(report: list[dict[str, Any]]) -> None:
    with pytest.raises(ReleaseError) as refused:
        vulnerabilities({"dependencies": report}, LOCKED)
    assert str(refused.value).splitlines() == [
        "pip-audit: nothing could be learnt of 1 of 2 packages: torch 2.13.0",
        REMEDY,
    ]


def test_no_more_than_five_are_named() -> None:
    with pytest.raises(ReleaseError, match=r"of 9 of 9 packages: a 1, b 1, c 1, d 1, e 1, …\n"):
        vulnerabilities({"dependencies": []}, dict.fromkeys("abcdefghi", "1"))


def answering(tools: Path, script: str) -> None:
    (tools / "pip-audit").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "pip-audit").chmod(0o755)


def test_every_pin_is_asked_for(tools: Path) -> None:
    """Exit code 1 says that there are vulnerabilities."""
    report = json.dumps({"dependencies": [CLICK, TORCH]})
    answering(tools, f'[ "$1" = --requirement ] && cp "$2" {tools}/asked\necho \'{report}\'\nexit 1')
    assert [one.name for one in audit(LOCKED)] == ["PYSEC-2026-1", "PYSEC-2026-2"]
    assert (tools / "asked").read_text() == "click==8.5.1\ntorch==2.13.0\n"


def test_an_audit_that_fails_says_why(tools: Path) -> None:
    answering(tools, "echo 'no route' >&2; echo 'ConnectionError: no index' >&2; exit 1")
    with pytest.raises(ReleaseError, match=rf"^pip-audit failed: ConnectionError: no index\n{re.escape(REMEDY)}$"):
        audit(LOCKED)


def test_a_missing_tool_is_named(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(ReleaseError, match="pip-audit is not installed"):
        audit(LOCKED)
