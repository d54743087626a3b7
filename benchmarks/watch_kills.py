"""Kills a watch at random moments, and looks whether anything was doubled or lost.

    python -m benchmarks.watch_kills 1000

A pass over 400 pictures, PDFs of two pages and files that are none, is killed again and again, while files change; the
last one ends by itself. Then the collection must hold exactly what the folder does, and the state one entry an item,
and a new collection begins. Children are forks of this process, with an embedder of numpy's alone: PyTorch's threads
don't survive a fork.
"""

import os
import random
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from contextlib import closing
from pathlib import Path
from typing import cast

import click

from embedding.embedder import Embedder
from indexer.watch import Watch, open_collection
from indexer.watch_state import STATE_FILE
from sources.pdf import PdfPages
from sources.registry import open_source
from sources.selection import Selection
from tests.fake_embedder import CellEmbedder
from tests.fakes import code_bytes, picture_of, png_of
from tests.sources.pdf_files import pdf_of

_FILES = 400
_CODES = 65_536
#: Seconds after which a child is killed, at most: a little longer than a pass takes.
_MOST_SECONDS = 1.5


class Lake:
    """A folder of pictures, and the codes that their names must have."""

    def __init__(self, folder: Path, choice: random.Random) -> None:
        self._folder = folder
        self._choice = choice
        self.wanted: dict[str, bytes] = {}
        folder.mkdir()
        for number in range(_FILES):
            self.write(number)

    def write(self, number: int) -> None:
        code = self._choice.randrange(_CODES)
        if number % 20 == 0:
            (self._folder / f"{number:03}.png").write_bytes(b"no picture")
        elif number % 20 == 1:
            path = self._folder / f"{number:03}.pdf"
            path.write_bytes(pdf_of([picture_of(code, 64), picture_of(code ^ 0xFFFF, 64)]))
            self.wanted |= {f"{path}#page=1": code_bytes(code), f"{path}#page=2": code_bytes(code ^ 0xFFFF)}
        else:
            path = self._folder / f"{number:03}.png"
            path.write_bytes(png_of(code))
            self.wanted[str(path)] = code_bytes(code)


def run(lake: Path, store: Path, model: Embedder) -> None:
    work = Watch(open_collection(store, "new", model.identity), model, (PdfPages(dpi=36),), threads=2)
    with open_source(str(lake), Selection(frozenset({".pdf"}))) as source:
        work.run(source, str(lake))


def killed(lake: Path, store: Path, model: Embedder, seconds: float | None) -> bool:
    """Runs a pass in a child, which is killed after ``seconds``, if given. Returns whether it had to be. This process
    itself never embeds."""
    child = os.fork()
    if child == 0:
        os.dup2(os.open(lake.parent / "child.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        status = 1
        try:
            run(lake, store, model)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)  # it may be a zombie by now
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == 1:
        raise SystemExit(f"a pass failed: {(lake.parent / 'child.log').read_text()}")
    return status == -signal.SIGKILL


def check(lake: Lake, store: Path, model: Embedder) -> None:
    collection = open_collection(store, "new", model.identity)
    view = collection.view()
    found = [(image.path, image.vectors["code"]) for image in view.images(limit=10 * _FILES)]
    if len(found) != len(dict(found)) or view.count != len(found) or dict(found) != lake.wanted:
        missing, more = lake.wanted.items() - dict(found).items(), dict(found).items() - lake.wanted.items()
        raise SystemExit(f"{len(found)} images, {len(missing)} missing, {len(more)} wrong")
    with closing(sqlite3.connect(collection.folder / STATE_FILE)) as table:
        items, failed = table.execute("SELECT count(*), count(reason) FROM items").fetchone()
    if (items, failed) != (_FILES, _FILES // 20):
        raise SystemExit(f"the state has {items} items, {failed} of them failed")


@click.command()
@click.argument("kills", type=int)
@click.option("--seed", default=0)
def main(kills: int, seed: int) -> None:
    choice = random.Random(seed)
    done = rounds = 0
    with tempfile.TemporaryDirectory() as scratch:
        here = Path(scratch)
        model = cast(Embedder, CellEmbedder())  # it embeds pictures alone
        while done < kills:
            shutil.rmtree(here / "store", ignore_errors=True)
            shutil.rmtree(here / "lake", ignore_errors=True)
            lake = Lake(here / "lake", choice)
            for _ in range(25):
                done += killed(here / "lake", here / "store", model, choice.uniform(0, _MOST_SECONDS))
                for number in choice.sample(range(_FILES), 40):
                    lake.write(number)
            killed(here / "lake", here / "store", model, None)
            check(lake, here / "store", model)
            rounds += 1
    click.echo(f"{done:,} kills in {rounds} collections: nothing doubled, nothing lost")


if __name__ == "__main__":
    main()
