"""Kernels are compiled once a machine, give every machine the same answers, and keep to their memory."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searcher import flat
from searcher import multi_index as multi_index_module
from searcher.flat import FlatScan
from searcher.plain import PlainScan
from searcher.search import Engine
from tests.searcher.oracle import Codes, ask, multi_index, near, random_codes

REPOSITORY = Path(__file__).parents[2]

#: Older processors, and the registers that they don't have.
GENERATIONS = {"haswell": ["zmm"], "x86-64-v2": ["zmm", "ymm"]} if platform.machine() == "x86_64" else {"generic": []}

#: Bytes of the codes whose kernels are compiled for each of them: vectors of bytes, and of words that change places.
COMPILED = [1, 16]


def run(script: str, *arguments: object, cwd: Path = REPOSITORY, **environment: str) -> str:
    """What the Python program says, and nothing else: a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=120, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def digest(engine: Callable[[Codes], Engine], width: int) -> str:
    """All answers to many questions, in one number."""
    random = np.random.default_rng(width)
    centres = random_codes(random, 4, width)
    codes = np.concatenate([near(random, centres.repeat(300, axis=0), 4), np.repeat(~centres[:1], 90_000, axis=0)])
    mask = np.packbits(random.random(len(codes)) < 0.3, bitorder="little")
    searcher, digest = engine(codes), hashlib.sha256()
    for question in (
        ask(centres, 1),
        ask(centres, 100),
        ask(near(random, centres, 3)[:3], 1000, 9),
        ask(centres[:1], 50, None, mask),
        ask(random_codes(random, 5, width), 200),
    ):
        for keys in searcher.search(*question):
            digest.update(keys.tobytes())
    return digest.hexdigest()


def digests() -> list[str]:
    return [digest(FlatScan, width) for width in COMPILED] + [digest(lambda codes: multi_index(codes)[0], 8)]


def registers() -> list[str]:
    """The kinds of vector registers that the kernels use."""
    kernels: list[Any] = [flat.kernel(width) for width in COMPILED] + [multi_index_module.kernel(1)]
    machine_code = "".join(text for kernel in kernels for text in kernel.inspect_asm().values())
    return sorted(set(re.findall(r"\b[xyz]mm(?=\d)", machine_code)))


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, list[str]]]:
    """What the same search says, compiled for other processors."""
    script = (
        "import json; from tests.searcher.test_compiled import digests, registers\n"
        "print(json.dumps({'digests': digests(), 'registers': registers()}))"
    )

    def compiled_for(name: str) -> dict[str, list[str]]:
        cache = str(tmp_path_factory.mktemp(name))
        # Without the features, it would have those of this processor.
        said: dict[str, list[str]] = json.loads(
            run(script, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=cache)
        )
        return said

    with ThreadPoolExecutor() as pool:
        return dict(zip(GENERATIONS, pool.map(compiled_for, GENERATIONS), strict=True))


class TestEveryProcessor:
    def test_this_one_answers_as_numpy(self) -> None:
        assert digests() == [digest(PlainScan, width) for width in [*COMPILED, 8]]

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_older_ones_answer_as_this_one(self, name: str, elsewhere: dict[str, dict[str, list[str]]]) -> None:
        assert elsewhere[name]["digests"] == digests()

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_it_was_really_compiled_for_them(self, name: str, elsewhere: dict[str, dict[str, list[str]]]) -> None:
        assert not set(elsewhere[name]["registers"]) & set(GENERATIONS[name])


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A folder with a searcher room of its own."""
    shutil.copytree(REPOSITORY / "searcher", tmp_path / "searcher", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


class TestCache:
    HITS = (
        "import sys; from searcher import flat, multi_index\n"
        "for kernel in (flat.kernel, multi_index.kernel)[: int(sys.argv[1])]:\n"
        "    print(kernel(1).stats.cache_hits.total(), kernel(1).stats.cache_misses.total())"
    )

    SEARCH = (
        "import numpy as np; import searcher.flat; from pathlib import Path\n"
        "assert Path(searcher.flat.__file__).is_relative_to(Path.cwd())\n"
        "codes = np.array([[1], [0], [3]], np.uint8)\n"
        "(found,) = searcher.flat.FlatScan(codes).search(codes[:1], np.array([2]), np.array([9]), None)\n"
        "print(found.tolist(), searcher.flat.kernel(1).stats.cache_path)"
    )
    #: Two answers, and that the kernel is in no cache.
    FOUND = f"{[0, 1 << 32 | 1]} None\n"

    def test_a_second_process_compiles_nothing(self, room: Path) -> None:
        environment = {"NUMBA_CACHE_DIR": str(room / "cache")}
        assert run(self.HITS, 2, cwd=room, **environment).splitlines() == ["0 1", "0 1"]
        assert run(self.HITS, 2, cwd=room, **environment).splitlines() == ["1 0", "1 0"]
        with (room / "searcher" / "lanes.py").open("a") as lanes:
            lanes.write("# another version of what the kernels are made of\n")
        assert run(self.HITS, 1, cwd=room, **environment).splitlines() == ["0 1"]

    def test_where_no_folder_can_be_written_each_process_compiles(self, room: Path) -> None:
        (room / "searcher" / "__pycache__").touch()
        nowhere = str(room / "searcher" / "__pycache__" / "below a file")  # no, not even for root
        environment = {"HOME": nowhere, "XDG_CACHE_HOME": nowhere, "NUMBA_CACHE_DIR": nowhere}
        assert run(self.SEARCH, cwd=room, **environment) == self.FOUND

    def test_where_the_disk_is_full_each_process_compiles(self, room: Path) -> None:
        no_room = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
        assert run(no_room + self.SEARCH, cwd=room, NUMBA_CACHE_DIR=str(room / "cache")) == self.FOUND
        left = [path.name for path in (room / "cache").rglob("*") if path.is_file()]
        assert not left, "nothing half-written that the next process would read"


class TestMemory:
    """In processes of their own, which one access out of bounds would end."""

    @pytest.mark.parametrize("search", ["search_flat", "search_tables", "search_corrupted_tables"])
    def test_nothing_beyond_the_codes_and_tables_is_read(self, search: str) -> None:
        run(f"from tests.searcher import guarded; guarded.{search}(0)")

    def test_answers_never_run_over_the_room_for_them(self, tmp_path: Path) -> None:
        # The code with numba's checks mustn't get into the cache of that without.
        environment = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
        run("from tests.searcher import guarded; guarded.search_with_many_answers(0)", **environment)
