"""Finds the near-duplicates of a collection in a child process.

    python -m gateway.collections.duplicates STORE NAME DISTANCE VIEW

    VIEW groups, a line each:  {"images": [{"url": "…", "metadata": null, "distance": 0, "same_file": true}, …]}
    VIEW pairs, a line each:   {"url": "…", "other": "…", "distance": 2, "same_file": false}

The first image of a group would be kept. Distances, and whether the file is the same byte for byte, are to that one.
Distance 0 doesn't mean the same pixels: codes of two pictures can be equal. Nobody knows the files of images that were
restored from a dump.

Comparing all images with each other takes the compiled search, memory and perhaps minutes, which the gateway cannot
spare. A process can also be ended at once when its client goes, and a slow reader slows it down, since a pipe holds
64 KiB.
"""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Literal

from contract.copies import CopyRule
from gateway.errors import CommandFailed, DuplicatesFailed
from gateway.processes import ChildProcess
from searcher.collections import Collections
from searcher.errors import SearcherError
from searcher.open_collection import Named, OpenView

Shape = Literal["groups", "pairs"]

_NICE = 10


class Duplicates:
    """Reports on the collections of the store in ``folder``, ``at_once`` at a time, each in its own process. Belongs to
    one event loop."""

    def __init__(self, folder: Path, at_once: int = 2) -> None:
        self._folder = folder
        self._turns = asyncio.Semaphore(at_once)

    async def report(self, name: str, max_distance: int | None, shape: Shape) -> AsyncGenerator[bytes, None]:
        """Yields the report on the collection ``name``, in pieces of any size; without ``max_distance``, by what its
        model calls copies. Raises DuplicatesFailed if it breaks off."""
        async with self._turns:
            command = [
                sys.executable, "-m", "gateway.collections.duplicates",
                str(self._folder.absolute()), name, "" if max_distance is None else str(max_distance), shape,
            ]  # fmt: skip
            try:
                async with ChildProcess.started(command, nice=_NICE) as child:
                    async for piece in child.output():
                        yield piece
                    await child.succeeded()
            except CommandFailed as error:
                raise DuplicatesFailed(str(error)) from error


def lines(view: OpenView, max_distance: int | None, shape: Shape) -> Iterator[str]:
    """Yields the report on the images of ``view``, one JSON text per line."""
    from searcher.scan.duplicates import groups, pairs  # imported here, since the gateway itself never needs it

    rule = CopyRule.of(view.model)
    radius = rule.max_distance if max_distance is None else max_distance
    codes, named = view.all_of(rule.space)
    if shape == "groups":
        for group in groups(codes, radius):
            images = named(group.positions.tolist())
            kept = images[0]
            members = [
                f'{{"url":{_json(image.path)},"metadata":{image.metadata or "null"},"distance":{distance},'
                f'"same_file":{_json(_same_file(kept, image))}}}'
                for image, distance in zip(images, group.distances.tolist(), strict=True)
            ]
            yield f'{{"images":[{",".join(members)}]}}'
        return
    for found in pairs(codes, radius):
        both = zip(named(found.first.tolist()), named(found.second.tolist()), found.distances.tolist(), strict=True)
        for one, other, distance in both:
            same = _same_file(one, other)
            yield _json({"url": one.path, "other": other.path, "distance": distance, "same_file": same})


def _same_file(one: Named, other: Named) -> bool:
    return one.digest is not None and one.digest == other.digest


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def main(arguments: list[str]) -> int:
    """Print the report for ``arguments``: STORE NAME DISTANCE VIEW; an empty DISTANCE is the model's."""
    folder, name, max_distance, shape = arguments
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
    try:
        view = Collections(Path(folder)).open(name).view()
        for line in lines(view, int(max_distance) if max_distance else None, "pairs" if shape == "pairs" else "groups"):
            print(line)
    except SearcherError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
