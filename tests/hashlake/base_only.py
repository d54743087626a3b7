"""``python -m tests.hashlake.base_only ARGUMENTS…`` is ``hashlake ARGUMENTS…`` where `pip install hashlake` installed
it, without an extra: packages that the base dependencies don't bring cannot be imported."""

import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from types import ModuleType

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[2] / "pyproject.toml"


def brought_by(dependencies: Iterable[str]) -> set[str]:
    """Canonical names of the distributions that ``dependencies`` install, with all that these need themselves."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in dependencies]
    while waiting:
        one = waiting.pop()
        name = canonicalize_name(one.name)
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        found.add(name)
        try:
            waiting += map(Requirement, requires(name) or [])
        except PackageNotFoundError:  # for another system
            found.discard(name)
    return found


class Missing(MetaPathFinder):
    """Finds none of ``modules``, as if they were not installed."""

    def __init__(self, modules: set[str]) -> None:
        self._modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] in self._modules:
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


def forget_extras() -> None:
    """From now on, only what the base dependencies bring can be imported."""
    base = brought_by(tomllib.loads(PROJECT.read_text())["project"]["dependencies"]) | {"hashlake"}
    missing = {
        module
        for module, distributions in packages_distributions().items()
        if base.isdisjoint(map(canonicalize_name, distributions))
    }
    for name in [name for name in sys.modules if name.partition(".")[0] in missing]:
        del sys.modules[name]
    sys.meta_path.insert(0, Missing(missing))


if __name__ == "__main__":
    forget_extras()
    from hashlake.main import main

    sys.argv[0] = "hashlake"
    main()
