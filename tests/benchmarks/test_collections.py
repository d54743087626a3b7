"""The live collections' benchmark runs to its end on a real stack, and counts what it did."""

import re
from pathlib import Path

from click.testing import CliRunner

from benchmarks.collections import main
from tests.fakes import png_of

PICTURES = 20
SIZE = 300


def test_a_tiny_run(tmp_path: Path, colours_path: Path) -> None:
    for number in range(PICTURES):
        (tmp_path / f"{number:02}.png").write_bytes(png_of(number * 3001, 160, detail=number * 65_537))
    arguments = [
        str(tmp_path), "--model_path", str(colours_path), "--size", str(SIZE), "--pictures", str(PICTURES),
        "--seconds", "0.2", "--runs", "1", "--warm", "0.3",
    ]  # fmt: skip
    answer = CliRunner().invoke(main, arguments, catch_exceptions=False)
    assert answer.exit_code == 0
    said = answer.output
    assert re.search(r"\n300 images, \d+ cores, \d+ workers; load average \d+\.\d before\n", said)
    for process in ("frontend", "gateway", "worker 1", "all"):
        assert re.search(rf"\n    {process} {{10,}}( +\d+){{9}}\n", said), process
    # Folding has taken all but what was restored last, a fifth of the size.
    assert re.search(r"\n  disk: \d+ versions \d+ MB, journal of 60 changes \d+ MB\n", said)
    assert re.search(r"\n  restore [\d,]+/s \(\d+\.\d s\)   Idios: 500/s\n", said)
    assert re.search(r"\n  dump \d+\.\d s, urls \d+\.\d s   Idios: an hour for 471,838\n", said)
    assert re.search(r"\n  hashing: workers \d+/s; bare loop \d+/s\n", said)
    for adding in ("add_bulk, 256 a request", "add_bulk, 20 a request", "add, uploads by 16"):
        assert re.search(rf"\n  {adding}: \d+/s, \d+% of the workers' rate\n", said), adding
    time = r" +\d+\.\d"
    for kind, columns in (
        ("an image's URL", 9), ("an upload", 9), ("TorchServe, code", 9), ("TorchServe, picture", 3),
        ("TorchServe, hashing alone", 3),
    ):  # fmt: skip
        assert re.search(rf"\n    {kind}({time}){{{columns}}}\n", said), kind
    goals = said[said.index("\n  goals\n") :].splitlines()[2:]
    assert len(goals) == 17
    assert all(re.fullmatch(r"    (met   |MISSED) .+: [\d.,-]+[%×]?", goal) for goal in goals)
