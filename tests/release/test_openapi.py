"""docs/openapi.json in step with the gateway."""

from pathlib import Path

import pytest

from release.openapi import openapi_problems

OUT_OF_STEP = ["docs/openapi.json: is out of step: python -m gateway.openapi > docs/openapi.json"]


@pytest.fixture
def documented(project: Path) -> Path:
    """A gateway whose document has nothing but the version, 0.2.0."""
    for folder in ("gateway", "docs"):
        (project / folder).mkdir()
    (project / "gateway" / "__init__.py").touch()
    (project / "gateway" / "openapi.py").write_text('print(\'{"info": {"version": "0.2.0"}}\')\n')
    (project / "docs" / "openapi.json").write_text('{"info": {"version": "0.2.0"}}\n')
    return project


def test_a_document_in_step(documented: Path) -> None:
    assert openapi_problems(documented, "0.2.0") == []


def test_a_document_out_of_step(documented: Path) -> None:
    (documented / "docs" / "openapi.json").write_text('{"openapi": "3.1.0"}\n')
    assert openapi_problems(documented, "0.2.0") == OUT_OF_STEP


def test_a_package_that_was_installed_before_its_version_was_raised(documented: Path) -> None:
    assert openapi_problems(documented, "0.3.0") == [
        "gateway.openapi: says 0.2.0, hashlake/version.py says 0.3.0: install it anew "
        "(pip install --no-deps --no-build-isolation -e .), and remove a hashlake.egg-info from this folder"
    ]


def test_no_document(documented: Path) -> None:
    (documented / "docs" / "openapi.json").unlink()
    assert openapi_problems(documented, "0.2.0") == OUT_OF_STEP


def test_a_gateway_that_cannot_tell(documented: Path) -> None:
    (documented / "gateway" / "openapi.py").write_text("raise ValueError('no such route')\n")
    assert openapi_problems(documented, "0.2.0") == ["gateway.openapi failed: ValueError: no such route"]


def test_no_code_that_could_tell(project: Path) -> None:
    assert openapi_problems(project, "0.2.0") == [
        "gateway/openapi.py: is missing, so nothing can tell whether docs/openapi.json is in step"
    ]
