"""hashlake/version.py has the version; other files that repeat it must agree."""

import re
import tomllib
from pathlib import Path

_NUMBERS = r"\d+\.\d+\.\d+"
_CHART = re.compile(r"^(?:version|appVersion): *[\"']?([^\"'\s]+)", re.MULTILINE)
_IMAGE = re.compile(rf"\b(?:efiss-ai:|HASHLAKE_VERSION=)({_NUMBERS})")  # efiss-ai:1.0.0-cpu
_TAG = re.compile(rf"^ *tag: *[\"']?({_NUMBERS})", re.MULTILINE)

REPEATED = (
    ("deploy/helm/*/Chart.yaml", _CHART),
    ("deploy/helm/*/values.yaml", _TAG),
    ("deploy/**/*.yaml", _IMAGE),
    ("deploy/*.md", _IMAGE),
    ("compose.yaml", _IMAGE),
    ("README.md", _IMAGE),
    ("docs/*.md", _IMAGE),
    ("searcher/Dockerfile*", _IMAGE),
)


def version_problems(root: Path, version: str) -> list[str]:
    """Returns the files below ``root`` whose version isn't ``version``, one line each."""
    problems = []
    if not re.fullmatch(_NUMBERS, version):
        problems.append(f"hashlake/version.py: {version!r} is no version to release: it must be three numbers")
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    if "version" in project:
        problems.append("pyproject.toml: has a version of its own; hashlake/version.py is the place")
    for files, written in REPEATED:
        for file in sorted(root.glob(files)):
            for other in sorted(set(written.findall(file.read_text())) - {version}):
                problems.append(f"{file.relative_to(root)}: says {other}, hashlake/version.py says {version}")
    return problems
