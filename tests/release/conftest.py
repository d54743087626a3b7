"""A small project that can be released, to be spoilt in one way a test."""

import subprocess
from pathlib import Path

import pytest

PROJECT = """\
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "hashlake"
dynamic = ["version"]
dependencies = ["click>=8.2"]

[project.optional-dependencies]
train = ["numpy>=2"]
serve = ["hashlake[train]", "faiss-cpu>=1.15"]
dev = ["hashlake[serve]", "pytest>=9", "types-PyYAML"]

[tool.setuptools]
packages = ["hashlake"]

[tool.setuptools.dynamic]
version = { attr = "hashlake.version.__version__" }
"""
CHANGELOG = "# Changelog\n\n## 0.2.0 - 2026-11-20\n\n- Faster.\n\n## 0.1.0\n\n- First.\n"
LOCK = "click==8.5.1\nfaiss-cpu==1.15.1\nnumpy==2.4.6\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Version 0.2.0, committed on main at 2026-11-20 00:00 UTC."""
    root = tmp_path / "project"
    (root / "hashlake").mkdir(parents=True)
    (root / "hashlake" / "__init__.py").touch()
    (root / "hashlake" / "version.py").write_text('__version__ = "0.2.0"\n')
    (root / "pyproject.toml").write_text(PROJECT)
    (root / "CHANGELOG.md").write_text(CHANGELOG)
    (root / "README.md").write_text("docker build -t efiss-ai:latest -t efiss-ai:0.2.0-cpu .\n")
    (root / "requirements.lock").write_text(LOCK)
    (root / "requirements-cuda.lock").write_text(LOCK + "nvidia-cublas==13.1.1.3\n")
    (root / "requirements-dev.lock").write_text(LOCK + "pytest==9.2.0\ntypes-pyyaml==6.0.12\n")
    (root / ".gitignore").write_text("/dist/\n*.pyc\n")
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "Ada")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "ada@example.org")
        monkeypatch.setenv(f"GIT_{name}_DATE", "2026-11-20T00:00:00Z")
    for command in (["init", "--quiet", "--initial-branch", "main"], ["add", "."], ["commit", "--quiet", "-m", "All"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that commands are looked for in first."""
    folder = tmp_path / "tools"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    return folder
