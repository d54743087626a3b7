"""Kills a watch before every step that touches the disk, and at random moments, and looks whether anything was doubled
or lost.

    python -m benchmarks.watch_kills 1000

A pass over a folder of pictures, PDFs of two pages and files that are none is killed again and again, while files
come, change and go. It makes the collection, folds it, and removes what is gone. It is killed before its first step,
its second, and so on, until one ends by itself, and then at random moments. Whenever a pass ends, the collection must
hold exactly what the folder does, and the state one entry an item. Children are forks of this process, with an embedder
of numpy's alone: PyTorch's threads don't survive a fork.
"""

import os
import random
import select
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import cast

import click

from embedding.embedder import Embedder
from indexer import watch
from indexer.watch import Watch, open_collection
from indexer.watch_state import STATE_FILE
from sources.pdf import PdfPages
from sources.registry import open_source
from sources.selection import Selection
from tests.fake_embedder import CellEmbedder
from tests.fakes import code_bytes, picture_of, png_of
from tests.searcher.live.killed import DISK_STEPS, be_killed_before
from tests.sources.pdf_files import pdf_of

_FILES, _CHANGES = 60, 6
_CODES = 65_536
#: Changes of the collection after which a pass folds it: so few that many passes do.
_FOLD_AFTER = 40
_STEPS = DISK_STEPS | {"connect", "execute", "executemany", "record done", "add done", "remove done", "forget done"}
#: Kills of each collection at random moments, after those before its steps.
_MOMENTS = 120


class Lake:
    """A folder of pictures, and the codes that their names must have."""

    def __init__(self, folder: Path, choice: random.Random) -> None:
        self._folder = folder
        self._choice = choice
        self.wanted: dict[str, bytes] = {}
        self.items = self.broken = 0
        folder.mkdir()
        for number in range(_FILES):
            self._write(number)
        self._count()

    def change(self) -> None:
        """Write some files anew, and take some away, which may come back."""
        for number in self._choice.sample(range(_FILES), _CHANGES):
            self._forget(number)
            if self._choice.random() < 0.8:
                self._write(number)
        self._count()

    def _write(self, number: int) -> None:
        code, path = self._choice.randrange(_CODES), self._path(number)
        if number % 20 == 0:
            path.write_bytes(b"no picture")
        elif number % 20 == 1:
            path.write_bytes(pdf_of([picture_of(code, 64), picture_of(code ^ 0xFFFF, 64)]))
            self.wanted |= {f"{path}#page=1": code_bytes(code), f"{path}#page=2": code_bytes(code ^ 0xFFFF)}
        else:
            path.write_bytes(png_of(code))
            self.wanted[str(path)] = code_bytes(code)

    def _forget(self, number: int) -> None:
        path = self._path(number)
        path.unlink(missing_ok=True)
        for name in (str(path), f"{path}#page=1", f"{path}#page=2"):
            self.wanted.pop(name, None)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:03}.{'pdf' if number % 20 == 1 else 'png'}"

    def _count(self) -> None:
        there = [number for number in range(_FILES) if self._path(number).exists()]
        self.items, self.broken = len(there), sum(number % 20 == 0 for number in there)


class Watched:
    """A lake, and the store that passes over it fill, in the folder ``here``."""

    def __init__(self, here: Path, choice: random.Random, model: Embedder) -> None:
        for name in ("lake", "store"):
            shutil.rmtree(here / name, ignore_errors=True)
        self._here = here
        self._model = model
        self.lake = Lake(here / "lake", choice)

    def ends(self, *, before_step: int = 0, after: float | None = None) -> bool:
        """Makes a pass in a child, which is killed before the n-th step, or after so many seconds. Returns whether it
        ended by itself. This process itself never embeds."""
        child = os.fork()
        if child == 0:
            self._child(before_step)
        handle = os.pidfd_open(child)
        try:
            if after is not None and not select.select([handle], [], [], after)[0]:
                os.kill(child, signal.SIGKILL)
        finally:
            os.close(handle)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status == 1:
            raise SystemExit(f"a pass failed: {(self._here / 'child.log').read_text()}")
        return status == 0

    def _child(self, before_step: int) -> None:
        log = os.open(self._here / "child.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 2)
        status = 1
        try:
            if before_step:
                be_killed_before(before_step, _STEPS)
            collection = open_collection(self._here / "store", "new", self._model.identity)
            work = Watch(collection, self._model, (PdfPages(dpi=36),), threads=2, remove_gone=True)
            with open_source(str(self._here / "lake"), Selection(frozenset({".pdf"}))) as source:
                work.run(source, "the lake")
            sys.setprofile(None)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)

    def check(self) -> None:
        collection = open_collection(self._here / "store", "new", self._model.identity)
        view = collection.view()
        found = [(image.path, image.vectors["code"]) for image in view.images(limit=10 * _FILES)]
        wanted = self.lake.wanted
        if len(found) != len(dict(found)) or view.count != len(found) or dict(found) != wanted:
            missing, more = wanted.items() - dict(found).items(), dict(found).items() - wanted.items()
            raise SystemExit(f"{len(found)} images, {len(missing)} missing, {len(more)} wrong")
        with closing(sqlite3.connect(collection.folder / STATE_FILE)) as table:
            known = table.execute("SELECT count(*), count(reason) FROM items").fetchone()
        if known != (self.lake.items, self.lake.broken):
            raise SystemExit(f"the state has {known[0]} items, {known[1]} of them failed")


def at_steps(watched: Watched) -> int:
    """Kills before the first step, the second, … until a pass has no more. Returns how often."""
    for step in count(1):
        watched.lake.change()
        if watched.ends(before_step=step):
            watched.check()
            return step - 1
    raise AssertionError


def at_moments(watched: Watched, choice: random.Random) -> int:
    """Kills ``_MOMENTS`` times, within the time of the last pass that ended by itself. Returns how often."""
    kills, takes = 0, 0.0
    while kills < _MOMENTS:
        watched.lake.change()
        began = time.monotonic()
        if watched.ends(after=choice.uniform(0, takes) if takes else None):
            takes = time.monotonic() - began
            watched.check()
        else:
            kills += 1
    watched.ends()
    watched.check()
    return kills


@click.command()
@click.argument("kills", type=int)
@click.option("--seed", default=0)
def main(kills: int, seed: int) -> None:
    choice = random.Random(seed)
    watch._FOLD_AFTER = _FOLD_AFTER
    steps = moments = collections = 0
    with tempfile.TemporaryDirectory() as scratch:
        model = cast(Embedder, CellEmbedder())  # it embeds pictures alone
        while steps + moments < kills:
            watched = Watched(Path(scratch), choice, model)
            collections += 1
            steps += at_steps(watched)
            moments += at_moments(watched, choice)
            click.echo(f"{steps:,} kills before steps, {moments:,} at moments", err=True)
    click.echo(
        f"{steps + moments:,} kills in {collections} collections, {steps:,} of them before steps: nothing doubled, "
        "nothing lost"
    )


if __name__ == "__main__":
    main()
