"""Checks that the folder equals the commit to release, and that the commit is on main."""

import subprocess
from pathlib import Path


def tree_problems(root: Path) -> list[str]:
    """Returns the files that differ from the commit, and the branch if it isn't main, one line each."""
    changed = git(root, "status", "--porcelain", "--no-renames", "-z").split("\0")  # "?? name", "M  name"
    problems = [f"{line[3:]}: is not committed" for line in changed if line]
    branch = git(root, "branch", "--show-current").strip()
    if branch != "main":
        problems.append(f"git: the branch is {branch or 'none'}, and should be main")
    return problems


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
