"""Workers tell each other which cores are idle; whoever dies is idle. Parts of a batch on several cores are answered
as the whole batch is."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from embedding.torchscript import TorchScriptEmbedder
from handler.cores import ONE_CORE, Cores
from handler.metrics import Metrics
from handler.retrieval import Retrieval
from handler.served import Served
from searcher.versions.store import IndexStore
from tests.fakes import png_of
from tests.versions import publish

#: Another worker, which takes cores for as long as it lives.
_OTHER = """
import sys
from pathlib import Path
from handler.cores import Cores
with Cores(Path(sys.argv[1]), 4).taken(int(sys.argv[2])) as taken:
    print(taken, flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_worker(file: Path, most: int) -> Iterator["subprocess.Popen[str]"]:
    """A process that has taken as many of four cores as it could get, up to ``most``."""
    command = [sys.executable, "-c", _OTHER, str(file), str(most)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_a_worker_takes_what_others_leave(tmp_path: Path) -> None:
    cores = Cores(tmp_path / "cores", 4)
    with another_worker(tmp_path / "cores", 3):
        for _ in range(2):  # what it took it has given back
            with cores.taken(4) as taken:
                assert taken == 1
    with cores.taken(3) as taken:  # the other one died
        assert taken == 3
    with cores.taken(9) as taken:
        assert taken == 4


def test_a_worker_always_has_one(tmp_path: Path) -> None:
    with another_worker(tmp_path / "cores", 4), Cores(tmp_path / "cores", 4).taken(2) as taken:
        assert taken == 1
    with ONE_CORE.taken(4) as taken:
        assert taken == 1


def test_parts_are_answered_as_a_whole(
    tmp_path: Path, grid: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("handler.retrieval._PICTURE_BYTES", 0)  # the pictures are tiny
    store = IndexStore(tmp_path / "index_store")
    publish(store, "1.0.0", grid, {f"{code}.png": code for code in range(40)}, tmp_path)
    batch: list[dict[str, Any]] = [{"image": png_of(code), "top_k": b"3", "rank": b"distance"} for code in range(7)]
    batch[3:3] = [{"image": b"no picture"}, {"code": b"0003"}, {"body": b"{"}, {"body": b'{"path": "7.png"}'}]
    served = Served(store.folder, grid.identity)
    served.view("default")  # which may have to compile for longer than a batch may take

    def answers(cores: Cores) -> list[tuple[int, Any]]:
        given = Retrieval(grid, served, Metrics(), cores=cores).answer(batch)
        return [(int(each.status), json.loads(each.body)) for each in given]

    whole = answers(ONE_CORE)
    assert {status for status, _ in whole} == {200, 400, 415}
    for count in (2, 3, 16):
        assert answers(Cores(tmp_path / "cores", count)) == whole
