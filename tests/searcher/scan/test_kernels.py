"""Where numba cannot be loaded, nothing is searched, and one line says why; what only looks codes up works on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from searcher.scan.codes import INDEX_FILE, write_codes
from tests.searcher.versions.versions_by_hand import as_codes

REPOSITORY = Path(__file__).parents[3]

PROGRAM = """
import sys
from pathlib import Path
import numpy as np
import searcher.collections, searcher.versions.commands
from contract.space import Space
from searcher.errors import CompilerMissing
from searcher.scan.ranking import compile_kernels
from searcher.scan.search import CodeIndex
from searcher.versions.vectors import write_vectors

index = CodeIndex.open(Path(sys.argv[1]), count=2, bits=16)
print(index.codes.tolist())
code = Space(name="code", width=16)

def report(codes):
    from searcher.scan.duplicates import pairs
    return list(pairs(codes, 1))

for way in (
    lambda: index.search(index.codes, 1),
    index.warm_up,
    lambda: compile_kernels([code]),
    lambda: report(index.codes),
    lambda: write_vectors(Path(sys.argv[1]), [code], {"code": index.codes}, "unnecessary fast"),
):
    try:
        way()
    except CompilerMissing as error:
        print(error)
"""


@pytest.mark.parametrize(
    ("numba", "message"),
    [
        ("import nothing.of.that.name", "No module named 'nothing'"),
        ("raise ImportError('Numba needs NumPy 2.4 or less')", "Numba needs NumPy 2.4 or less"),
        ("raise OSError('libllvmlite.so cannot be opened')", "libllvmlite.so cannot be opened"),
    ],
    ids=["missing", "another NumPy", "a library that doesn't load"],
)
def test_every_way_to_search_says_so_in_one_line(numba: str, message: str, tmp_path: Path) -> None:
    write_codes(as_codes(0x0003, 0x0000), tmp_path / INDEX_FILE)
    (tmp_path / "numba.py").write_text(numba)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    assert (done.returncode, done.stderr) == (0, "")
    says = f"numba, which compiles the search, cannot be loaded ({message}): install hashlake's dependencies anew"
    assert done.stdout.splitlines() == ["[[0, 3], [0, 0]]"] + [says] * 5
