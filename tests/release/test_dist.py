"""What a release consists of, by value."""

import hashlib
import os
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import pytest

from release.dist import checksums, release_notes, write_dist
from release.errors import ReleaseError
from release.wheel import build_wheel
from tests.release.test_audit import TABLE
from tests.release.test_bill import CLICK, FAISS, listing

TODAY = date(2026, 11, 21)


def test_notes_are_the_changes_and_what_is_known_of_the_packages() -> None:
    assert release_notes("0.2.0", "- Faster.", "", TODAY) == (
        "# hashlake 0.2.0\n\n- Faster.\n\n## pip-audit, 2026-11-21: requirements.lock and requirements-cuda.lock\n\n"
        "No known vulnerability.\n"
    )
    assert release_notes("0.2.0", "- Faster.", TABLE, TODAY).endswith(f".lock\n\n{TABLE}\n")


def test_checksums_are_those_that_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "a").write_bytes(b"a")
    assert checksums(tmp_path) == f"{hashlib.sha256(b'a').hexdigest()}  a\n{hashlib.sha256(b'b').hexdigest()}  b\n"


def test_the_wheel_is_the_commits(project: Path, tmp_path: Path) -> None:
    """Not what lies in the folder; and the same commit gives the same bytes."""
    (project / "hashlake" / "version.py").write_text('__version__ = "9.9.9"\n')
    (project / "hashlake" / "uncommitted.py").touch()
    (project / "build" / "lib" / "hashlake").mkdir(parents=True)
    (project / "build" / "lib" / "hashlake" / "left.py").touch()
    built = []
    for folder, umask in ((tmp_path / "one", 0o077), (tmp_path / "two", 0o002)):
        before = os.umask(umask)
        try:
            built.append(build_wheel(project, folder, 1_800_000_000))
        finally:
            os.umask(before)
    assert built[0].name == "hashlake-0.2.0-py3-none-any.whl"
    assert built[0].read_bytes() == built[1].read_bytes()
    with zipfile.ZipFile(built[0]) as wheel:
        names = {name for name in wheel.namelist() if name.startswith("hashlake/")}
        assert names == {"hashlake/__init__.py", "hashlake/version.py"}
        assert wheel.getinfo("hashlake/version.py").date_time == (2027, 1, 15, 8, 0, 0)


def test_a_wheel_that_cannot_be_built_says_why(project: Path, tmp_path: Path) -> None:
    (project / "pyproject.toml").write_text("[project")
    subprocess.run(["git", "commit", "--quiet", "--all", "-m", "Broken"], cwd=project, check=True)
    with pytest.raises(ReleaseError, match="the wheel could not be built: "):
        build_wheel(project, tmp_path, 0)


def test_a_release_is_five_files(project: Path, tools: Path) -> None:
    listing(tools, CLICK, FAISS)
    (project / "dist").mkdir()
    (project / "dist" / "hashlake-0.1.0.md").touch()  # of an earlier release
    dist = write_dist(project, "0.2.0", TABLE, TODAY)
    assert dist == project / "dist"
    assert sorted(file.name for file in dist.iterdir()) == [
        "SHA256SUMS",
        "hashlake-0.2.0-cuda.cdx.json",
        "hashlake-0.2.0-py3-none-any.whl",
        "hashlake-0.2.0.cdx.json",
        "hashlake-0.2.0.md",
    ]
    assert "- Faster." in (dist / "hashlake-0.2.0.md").read_text()
    assert TABLE in (dist / "hashlake-0.2.0.md").read_text()
    assert '"timestamp": "1795132800"' in (dist / "hashlake-0.2.0.cdx.json").read_text()  # the commit's
    subprocess.run(["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=dist, check=True)
    assert not list(project.glob(".dist-*"))


def test_a_release_that_fails_leaves_the_former_one(project: Path, tools: Path) -> None:
    (tools / "cyclonedx-py").write_text("#!/bin/sh\nexit 1\n")
    (tools / "cyclonedx-py").chmod(0o755)
    (project / "dist").mkdir()
    (project / "dist" / "kept").touch()
    with pytest.raises(ReleaseError, match="cyclonedx-py failed"):
        write_dist(project, "0.2.0", TABLE, TODAY)
    assert [file.name for file in (project / "dist").iterdir()] == ["kept"]
    assert not list(project.glob(".dist-*"))
