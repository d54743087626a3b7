"""The released commit is what lies in the folder, and it is on main."""

import subprocess
from pathlib import Path


def tree_problems(root: Path) -> list[str]:
    """Files that differ from the commit, and another branch than main, a line each."""
    changed = git(root, "status", "--porcelain", "--no-renames", "-z").split("\0")  # "?? name", "M  name"
    problems = [f"{line[3:]}: is not committed" for line in changed if line]
    branch = git(root, "branch", "--show-current").strip()
    if branch != "main":
        problems.append(f"git: the branch is {branch or 'none'}, and should be main")
    return problems


def git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True).stdout
