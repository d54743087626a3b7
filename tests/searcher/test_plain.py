"""Where numba cannot be loaded, NumPy searches, and says so once for each file of codes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from searcher import plain
from searcher.codes import DETAILS_FILE, INDEX_FILE, write_codes
from searcher.plain import PlainScan
from searcher.table_builder import build_tables
from searcher.tables import write_tables
from tests.searcher.oracle import ask, assert_same, near, random_codes, right_answers
from tests.searcher.versions_by_hand import as_codes, as_details

REPOSITORY = Path(__file__).parents[2]

SEARCH = """
import sys
from pathlib import Path
import numpy as np
import searcher.commands, searcher.version
from searcher.codes import DETAILS_FILE
from searcher.ranking import Ranking
from searcher.search import CodeIndex, Query, compile_kernels

compile_kernels(16, 8)
index = CodeIndex.open(Path(sys.argv[1]), count=4, bits=16, mode=sys.argv[2], threads=3)
index.warm_up()
for _ in range(3):
    for hits in index.search(np.array([[0, 0], [255, 255]], np.uint8), [3, 1], [None, 3]):
        print(hits.distances.tolist(), hits.rows.tolist())
details = CodeIndex.open(Path(sys.argv[1]), count=4, bits=8, file=DETAILS_FILE)
for rank in ("distance", "detail"):
    query = Query(np.zeros(2, np.uint8), np.zeros(1, np.uint8), 2, 2, rank)
    print(Ranking(index, details).search([query])[0].rows.tolist())
print(sorted(module for module in ("llvmlite", "faiss") if module in sys.modules))
"""


@pytest.mark.parametrize("mode", ["default", "unnecessary fast"])
@pytest.mark.parametrize(
    ("numba", "message"),
    [
        ("import nothing.of.that.name", "No module named 'nothing'"),
        ("raise ImportError('Numba needs NumPy 2.4 or less')", "Numba needs NumPy 2.4 or less"),
    ],
    ids=["missing", "broken"],
)
def test_without_numba_the_answers_are_the_same(numba: str, message: str, mode: str, tmp_path: Path) -> None:
    codes = as_codes(0x0003, 0x0000, 0xFFFF, 0x0001)
    write_codes(codes, tmp_path / INDEX_FILE)
    write_codes(as_details(0x00, 0x01, 0x00, 0x03), tmp_path / DETAILS_FILE)
    write_tables(build_tables(codes), tmp_path)
    (tmp_path / "numba.py").write_text(numba)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SEARCH, str(tmp_path), mode],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["[0, 1, 2] [1, 3, 0]", "[0] [2]"] * 3 + ["[1, 3]", "[0, 1]", "[]"]
    warning = f"searching with NumPy, which is slower: numba cannot be loaded ({message})"
    assert done.stderr.splitlines() == [warning] * 2, "one for each file of codes"


@pytest.mark.parametrize("block", [8, 64])
def test_codes_are_compared_block_by_block(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plain, "_BLOCK", block)
    random = np.random.default_rng(0)
    for count in (0, 1, 7, 8, 9, 63, 64, 65, 500):
        codes = near(random, random_codes(random, 1, 8).repeat(count, axis=0), 5)
        mask = random.integers(0, 256, -(-count // 8), np.uint8)
        queries = np.concatenate([codes[:3], random_codes(random, 1, 8)])
        for question in (ask(queries, 1), ask(queries, 20, 6), ask(queries, 600), ask(queries, 20, None, mask)):
            assert_same(PlainScan(codes).search(question), right_answers(codes, question))
