"""Checks the lock files against pyproject.toml, without an index: every dependency is pinned within its range.

    dependencies, extras "serve" and "sources"   requirements.lock, and requirements-cuda.lock, whose torch has CUDA
    dependencies, extra "dev"                    requirements-dev.lock, and so on; "train" is part of "dev"

The first two are shipped. A package that several files pin has the same version in all of them.
"""

import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from release.errors import ReleaseError

SHIPPED = ("requirements.lock", "requirements-cuda.lock")
#: What the images have: pictures come from anywhere.
_SHIPPED_EXTRAS = ("serve", "sources")

#: Extras whose lock file is another one: the images', or the one of the tests.
_WITHIN_OTHERS = (
    "serve", "train", "docs", "formats", "import", "layout", "milvus", "objects", "parquet", "pdf", "pgvector", "ray",
    "sources", "verify", "watch",
)  # fmt: skip


def pins(lock: str, name: str) -> dict[str, str]:
    """Returns canonical name → version for each line of ``lock``. Raises ReleaseError, naming the file ``name``, for a
    line that pins nothing."""
    found: dict[str, str] = {}
    for line in lock.splitlines():
        text = line.partition("#")[0].rstrip("\\ ").strip()
        if not text or text.startswith("-"):  # an option, or the hash of the line before
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
    """Returns what the lock files in ``root`` lack or disagree on, one line each."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    locked_with: dict[str, tuple[str, ...]] = dict.fromkeys(SHIPPED, _SHIPPED_EXTRAS)
    locked_with |= {f"requirements-{extra}.lock": (extra,) for extra in extras if extra not in _WITHIN_OTHERS}
    wanted = {
        name: [*project["dependencies"], *(each for extra in locked for each in _with_others(extra, extras))]
        for name, locked in locked_with.items()
    }

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


def _with_others(extra: str, extras: dict[str, list[str]]) -> Iterator[str]:
    """Yields the requirements of ``extra`` and of the extras that it names, such as ``hashlake[train]``."""
    for dependency in extras.get(extra, []):
        one = Requirement(dependency)
        if one.name == "hashlake":
            for other in one.extras:
                yield from _with_others(other, extras)
        else:
            yield dependency


def _unmet(dependencies: list[str], locked: dict[str, str], name: str) -> Iterator[str]:
    for dependency in map(Requirement, dependencies):
        if dependency.marker and not dependency.marker.evaluate():
            continue
        version = locked.get(canonicalize_name(dependency.name))
        if version is None:
            yield f"{name}: lacks {dependency.name}, which pyproject.toml asks for"
        elif not dependency.specifier.contains(version):
            yield f"{name}: has {dependency.name} {version}, pyproject.toml asks for {dependency.specifier}"
