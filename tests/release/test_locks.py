"""Lock files in step with pyproject.toml."""

from pathlib import Path

import pytest

from release.errors import ReleaseError
from release.locks import lock_problems, pins

ROOT = Path(__file__).parents[2]


def test_this_projects_lock_files_are_in_step() -> None:
    assert lock_problems(ROOT) == []


def test_pins_are_read_by_canonical_name() -> None:
    text = "# made\nTypes_PyYAML==6.0.12 ; python_version > '3'\n--pre\npip==26.3 \\\n    --hash=sha256:00  # why\n"
    assert pins(text, "a.lock") == {"types-pyyaml": "6.0.12", "pip": "26.3"}


@pytest.mark.parametrize("line", ["click", "click>=8", "click==8.*", "click==8,!=8.1"])
def test_a_line_without_a_pin_is_refused(line: str) -> None:
    with pytest.raises(ReleaseError, match=r"a\.lock: 'click.*' is not pinned"):
        pins(line, "a.lock")


def test_a_line_that_is_none_is_refused() -> None:
    with pytest.raises(ReleaseError, match=r"a\.lock: '<<<<<<< HEAD' is no requirement"):
        pins("<<<<<<< HEAD\n", "a.lock")


def test_lock_files_in_step(project: Path) -> None:
    assert lock_problems(project) == []


@pytest.mark.parametrize(
    ("file", "old", "new", "problems"),
    [
        (
            "requirements.lock", "click==8.5.1\n", "",
            ["requirements.lock: lacks click, which pyproject.toml asks for"],
        ),
        (
            "requirements-cuda.lock", "faiss-cpu", "faiss-gpu",
            ["requirements-cuda.lock: lacks faiss-cpu, which pyproject.toml asks for"],
        ),
        (
            "requirements-dev.lock", "numpy==2.4.6\n", "",
            ["requirements-dev.lock: lacks numpy, which pyproject.toml asks for"],
        ),
        (
            "requirements-dev.lock", "pytest==9.2.0", "pytest==8.4.2",
            ["requirements-dev.lock: has pytest 8.4.2, pyproject.toml asks for >=9"],
        ),
        (
            "requirements-dev.lock", "types-pyyaml==6.0.12\n", "",
            ["requirements-dev.lock: lacks types-PyYAML, which pyproject.toml asks for"],
        ),
        (
            "requirements-dev.lock", "click==8.5.1", "click==8.5.2",
            ["requirements-dev.lock: has click 8.5.2, requirements.lock has 8.5.1"],
        ),
        (
            "pyproject.toml", "click>=8.2", "click>=8.2,<8.5",
            [
                "requirements.lock: has click 8.5.1, pyproject.toml asks for <8.5,>=8.2",
                "requirements-cuda.lock: has click 8.5.1, pyproject.toml asks for <8.5,>=8.2",
                "requirements-dev.lock: has click 8.5.1, pyproject.toml asks for <8.5,>=8.2",
            ],
        ),
        (
            "pyproject.toml", "dev =", "manual =",
            [
                "requirements-dev.lock: belongs to no extra of pyproject.toml",
                "requirements-manual.lock: is missing",
            ],
        ),
    ],
)  # fmt: skip
def test_lock_files_out_of_step(project: Path, file: str, old: str, new: str, problems: list[str]) -> None:
    text = (project / file).read_text()
    assert old in text
    (project / file).write_text(text.replace(old, new))
    assert lock_problems(project) == problems


def test_a_dependency_of_another_system_is_not_missed(project: Path) -> None:
    file = project / "pyproject.toml"
    file.write_text(file.read_text().replace('"click>=8.2"', '"click>=8.2", "colorama ; os_name == \'nt\'"'))
    assert lock_problems(project) == []
