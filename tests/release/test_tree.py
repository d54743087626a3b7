"""What lies in the folder is the commit, on main."""

import subprocess
from pathlib import Path

from release.tree import tree_problems


def test_a_clean_commit_on_main(project: Path) -> None:
    (project / "ignored.pyc").touch()
    assert tree_problems(project) == []


def test_files_that_are_not_committed(project: Path) -> None:
    (project / "README.md").write_text("changed")
    (project / "new file.py").touch()
    subprocess.run(["git", "mv", "requirements.lock", "moved.lock"], cwd=project, check=True)
    assert tree_problems(project) == [
        "README.md: is not committed",
        "moved.lock: is not committed",
        "requirements.lock: is not committed",
        "new file.py: is not committed",
    ]


def test_another_branch(project: Path) -> None:
    subprocess.run(["git", "switch", "--quiet", "--create", "side"], cwd=project, check=True)
    assert tree_problems(project) == ["git: the branch is side, and should be main"]
    subprocess.run(["git", "switch", "--quiet", "--detach"], cwd=project, check=True)
    assert tree_problems(project) == ["git: the branch is none, and should be main"]
