"""Every file that repeats the version."""

from pathlib import Path

import pytest

from hashlake.version import __version__
from release.versions import version_problems

ROOT = Path(__file__).parents[2]


def test_this_projects_files_agree() -> None:
    assert version_problems(ROOT, __version__) == []


def test_files_that_agree(project: Path) -> None:
    assert version_problems(project, "0.2.0") == []


@pytest.mark.parametrize(
    ("file", "text", "other"),
    [
        ("README.md", "-t efiss-ai:latest -t efiss-ai:1.0.0-cpu", "1.0.0"),
        ("docs/kubernetes.md", "helm install --set image=efiss-ai:0.1.9-cuda", "0.1.9"),
        ("compose.yaml", "services:\n  serve:\n    image: efiss-ai:0.1.0-cpu\n", "0.1.0"),
        ("deploy/helm/hashlake/Chart.yaml", 'version: 0.2.0\nappVersion: "0.1.0"\n', "0.1.0"),
        ("deploy/helm/hashlake/Chart.yaml", "apiVersion: v2\nversion: 0.3.0-rc1\n", "0.3.0-rc1"),
        ("deploy/helm/hashlake/values.yaml", "image:\n  repository: efiss-ai\n  tag: 0.1.0-cpu\n", "0.1.0"),
        ("deploy/README.md", "docker run efiss-ai:0.1.0-cpu\n", "0.1.0"),
        ("searcher/Dockerfile.cuda", "# docker build -t efiss-ai:latest -t efiss-ai:0.1.0-cuda\n", "0.1.0"),
        ("README.md", "docker build --build-arg HASHLAKE_VERSION=0.1.0 .\n", "0.1.0"),
    ],
)
def test_a_file_that_says_another_version(project: Path, file: str, text: str, other: str) -> None:
    (project / file).parent.mkdir(parents=True, exist_ok=True)
    (project / file).write_text(text)
    assert version_problems(project, "0.2.0") == [f"{file}: says {other}, hashlake/version.py says 0.2.0"]


def test_a_second_place_for_the_version(project: Path) -> None:
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace('dynamic = ["version"]', 'version = "0.2.0"'))
    assert version_problems(project, "0.2.0") == [
        "pyproject.toml: has a version of its own; hashlake/version.py is the place"
    ]


def test_a_version_that_is_none_to_release(project: Path) -> None:
    assert "hashlake/version.py: '0.2.0.dev1' is no version to release: it must be three numbers" in version_problems(
        project, "0.2.0.dev1"
    )
