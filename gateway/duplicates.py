"""Near-duplicates of a collection, in a process of its own: ``python -m gateway.duplicates STORE NAME DISTANCE VIEW``.

    {"images": [{"url": "…", "distance": 0}, …]}      view groups: a line a group, distances to the group's first
    {"url": "…", "other": "…", "distance": 2}         view pairs: a line a pair

Comparing all with all takes the compiled search, memory and perhaps minutes, which the gateway has other uses for. And
a process ends at once when nobody wants its answer any more; a slow reader holds it up, since a pipe takes 64 KiB.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

from searcher.collections_store import Collections
from searcher.errors import SearcherError
from searcher.overlay import View

Shape = Literal["groups", "pairs"]

_NICE = 10
_CHUNK = 64 * 1024


class DuplicatesFailed(Exception):
    """The report broke off; the message says why, in one line."""


class Duplicates:
    """Reports on collections of the store in ``folder``, ``at_once`` at a time, each on a core of its own. Belongs to
    one event loop."""

    def __init__(self, folder: Path, at_once: int = 2) -> None:
        self._folder = folder
        self._turns = asyncio.Semaphore(at_once)

    async def report(self, name: str, max_distance: int, shape: Shape) -> AsyncGenerator[bytes, None]:
        """The lines about the collection ``name``, in pieces of any size. DuplicatesFailed where it breaks off."""
        async with self._turns:
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "gateway.duplicates",
                str(self._folder.absolute()), name, str(max_distance), shape,
                stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )  # fmt: skip
            try:
                with suppress(OSError):  # it has ended already
                    os.setpriority(os.PRIO_PROCESS, child.pid, _NICE)
                assert child.stdout is not None and child.stderr is not None
                said = asyncio.create_task(child.stderr.read())
                while piece := await child.stdout.read(_CHUNK):
                    yield piece
                if await child.wait():
                    lines = (await said).decode(errors="replace").strip().splitlines() or [f"status {child.returncode}"]
                    raise DuplicatesFailed(lines[-1].removeprefix("Error: "))
            finally:
                if child.returncode is None:
                    child.kill()
                    await child.wait()


def lines(view: View, max_distance: int, shape: Shape) -> Iterator[str]:
    """The report on what ``view`` has, as JSON texts."""
    from searcher.duplicates import groups, pairs  # which the gateway never needs

    codes, paths = view.all_codes()
    if shape == "groups":
        for group in groups(codes, max_distance):
            named = zip(paths(group.positions.tolist()), group.distances.tolist(), strict=True)
            yield _json({"images": [{"url": url, "distance": distance} for url, distance in named]})
        return
    for found in pairs(codes, max_distance):
        first, second = paths(found.first.tolist()), paths(found.second.tolist())
        for url, other, distance in zip(first, second, found.distances.tolist(), strict=True):
            yield _json({"url": url, "other": other, "distance": distance})


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(arguments: list[str]) -> int:
    """Print the report that ``arguments`` ask for."""
    folder, name, max_distance, shape = arguments
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        view = Collections(Path(folder)).open(name).view()
        for line in lines(view, int(max_distance), "pairs" if shape == "pairs" else "groups"):
            print(line)
    except SearcherError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
