"""From a commit to ``dist/``, or to a reason why not."""

import subprocess
from datetime import date
from pathlib import Path

import pytest

from release.__main__ import main
from release.errors import ReleaseError
from tests.release.test_audit import TABLE, answering
from tests.release.test_bill import CLICK, FAISS, listing

TODAY = date(2026, 11, 21)


@pytest.fixture
def ready(project: Path, tools: Path) -> Path:
    """A commit that can be released, with vulnerabilities in one package. Its tests leave a file beside the project."""
    (project / "Makefile").write_text("test:\n\t@touch ../tested\n")
    commit(project)
    listing(tools, CLICK, FAISS)
    answering(tools, f"echo '{TABLE}'; exit 1")
    return project


def commit(project: Path) -> None:
    subprocess.run(["git", "add", "."], cwd=project, check=True)
    subprocess.run(["git", "commit", "--quiet", "--message", "More"], cwd=project, check=True)


def test_a_release_is_written_and_told(ready: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(ready, "0.2.0", TODAY)
    assert capsys.readouterr().out.splitlines() == [
        *TABLE.splitlines(),
        "dist/SHA256SUMS",
        "dist/hashlake-0.2.0-cuda.cdx.json",
        "dist/hashlake-0.2.0-py3-none-any.whl",
        "dist/hashlake-0.2.0.cdx.json",
        "dist/hashlake-0.2.0.md",
    ]
    assert TABLE in (ready / "dist" / "hashlake-0.2.0.md").read_text()
    assert (ready.parent / "tested").exists()


def test_everything_that_is_wrong_is_told_at_once(ready: Path) -> None:
    subprocess.run(["git", "switch", "--quiet", "--create", "side"], cwd=ready, check=True)
    (ready / "requirements.lock").write_text("click==8.5.1\n")
    with pytest.raises(ReleaseError) as refused:
        main(ready, "0.3.0", TODAY)
    assert str(refused.value).splitlines() == [
        "this commit cannot be released:",
        "README.md: says 0.2.0, hashlake/version.py says 0.3.0",
        "CHANGELOG.md: the newest section is '0.2.0 - 2026-11-20', and should be '0.3.0 - 2026-11-21'",
        "requirements.lock: lacks numpy, which pyproject.toml asks for",
        "requirements.lock: lacks faiss-cpu, which pyproject.toml asks for",
        "requirements.lock: is not committed",
        "git: the branch is side, and should be main",
    ]
    assert not (ready.parent / "tested").exists()


def test_nothing_is_released_that_was_not_audited(ready: Path, tools: Path) -> None:
    answering(tools, "echo 'nvidia-cublas: Dependency not found on PyPI' >&2; exit 1")
    with pytest.raises(ReleaseError, match="nvidia-cublas: Dependency not found"):
        main(ready, "0.2.0", TODAY)
    assert not (ready / "dist").exists()


def test_nothing_is_released_whose_tests_fail(ready: Path) -> None:
    (ready / "Makefile").write_text("test:\n\t@false\n")
    commit(ready)
    with pytest.raises(ReleaseError, match="the tests fail"):
        main(ready, "0.2.0", TODAY)
    assert not (ready / "dist").exists()
