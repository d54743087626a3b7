"""The bill of materials."""

import json
from pathlib import Path
from typing import Any

import pytest

from release.bill import bill_of_materials
from release.errors import ReleaseError

CLICK = {"name": "click", "version": "8.5.1", "type": "library"}
FAISS = {"name": "faiss-cpu", "version": "1.15.1", "type": "library"}


def listing(tools: Path, *components: dict[str, str]) -> None:
    """cyclonedx-py, as far as this project is concerned: it lists components, dated by the environment."""
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "components": components,
        "metadata": {"component": {"name": "hashlake", "type": "application"}, "timestamp": "MOMENT"},
    }
    script = f"""echo "$@" >{tools}/asked; echo '{json.dumps(bill)}' | sed "s/MOMENT/$SOURCE_DATE_EPOCH/" """
    (tools / "cyclonedx-py").write_text(f"#!/bin/sh\n{script}\n")
    (tools / "cyclonedx-py").chmod(0o755)


def test_packages_are_listed_below_the_version(project: Path, tools: Path) -> None:
    listing(tools, CLICK, FAISS)
    bill = json.loads(bill_of_materials(project / "requirements.lock", "0.2.0", 1_800_000_000))
    assert bill["components"] == [CLICK, FAISS]
    assert bill["metadata"] == {
        "component": {
            "name": "hashlake",
            "type": "application",
            "version": "0.2.0",
            "purl": "pkg:pypi/hashlake@0.2.0",
        },
        "timestamp": "1800000000",
    }
    assert (tools / "asked").read_text().split()[:2] == ["requirements", str(project / "requirements.lock")]


def test_a_failure_says_why(project: Path, tools: Path) -> None:
    (tools / "cyclonedx-py").write_text("#!/bin/sh\necho 'CRITICAL: not valid' >&2\nexit 1\n")
    (tools / "cyclonedx-py").chmod(0o755)
    with pytest.raises(ReleaseError, match=r"^cyclonedx-py failed: CRITICAL: not valid$"):
        bill_of_materials(project / "requirements.lock", "0.2.0", 0)


def test_a_missing_tool_is_named(project: Path, tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(ReleaseError, match="cyclonedx-py is not installed"):
        bill_of_materials(project / "requirements.lock", "0.2.0", 0)
