"""Lock files against pyproject.toml, without an index: what is asked for is pinned, within its range.

    dependencies                       requirements.lock
    dependencies, faiss for the GPU    requirements-cuda.lock
    dependencies and the extra "dev"   requirements-dev.lock, and so on

The first two are shipped. A package that stands in several has one version in all of them.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from release.errors import ReleaseError

SHIPPED = ("requirements.lock", "requirements-cuda.lock")


def shipped_pins(root: Path) -> dict[str, str]:
    """Canonical name → version of all that the shipped lock files in ``root`` install."""
    return {package: version for name in SHIPPED for package, version in pins((root / name).read_text(), name).items()}


def pins(lock: str, name: str) -> dict[str, str]:
    """Canonical name → version of each line of ``lock``. Raises ReleaseError, naming the file ``name``, for a line
    that pins nothing."""
    found: dict[str, str] = {}
    for line in lock.splitlines():
        text = line.partition("#")[0].rstrip("\\ ").strip()
        if not text or text.startswith("-"):  # an option, or a hash of the line before
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise ReleaseError(f"{name}: {text!r} is no requirement") from error
        specifiers = list(requirement.specifier)
        if [one.operator for one in specifiers] != ["=="] or specifiers[0].version.endswith("*"):
            raise ReleaseError(f"{name}: {text!r} is not pinned")
        found[canonicalize_name(requirement.name)] = specifiers[0].version
    return found


def lock_problems(root: Path) -> list[str]:
    """What is missing from the lock files in ``root`` or is out of step in them, a line each."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted = {
        "requirements.lock": project["dependencies"],
        "requirements-cuda.lock": [each.replace("faiss-cpu", "faiss-gpu") for each in project["dependencies"]],
    }
    for extra, dependencies in project.get("optional-dependencies", {}).items():
        wanted[f"requirements-{extra}.lock"] = project["dependencies"] + dependencies

    problems = [
        f"{lock.name}: belongs to no extra of pyproject.toml"
        for lock in sorted(root.glob("requirements*.lock"))
        if lock.name not in wanted
    ]
    first: dict[str, tuple[str, str]] = {}  # package → version, and the lock file that has it
    for name, dependencies in wanted.items():
        if not (root / name).exists():
            problems.append(f"{name}: is missing")
            continue
        locked = pins((root / name).read_text(), name)
        problems += _unmet(dependencies, locked, name)
        for package, version in locked.items():
            other, where = first.setdefault(package, (version, name))
            if other != version:
                problems.append(f"{name}: has {package} {version}, {where} has {other}")
    return problems


def _unmet(dependencies: list[str], locked: dict[str, str], name: str) -> Iterator[str]:
    for dependency in map(Requirement, dependencies):
        if dependency.marker and not dependency.marker.evaluate():
            continue
        version = locked.get(canonicalize_name(dependency.name))
        if version is None:
            yield f"{name}: lacks {dependency.name}, which pyproject.toml asks for"
        elif not dependency.specifier.contains(version):
            yield f"{name}: has {dependency.name} {version}, pyproject.toml asks for {dependency.specifier}"
