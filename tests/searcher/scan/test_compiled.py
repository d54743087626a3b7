"""Kernels are compiled once a machine, give every machine the same answers, and keep to their memory."""

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from searcher.scan import flat
from searcher.scan import multi_index as multi_index_module
from searcher.scan.flat import FlatScan
from searcher.scan.question import CodeSearch
from tests.searcher.scan.oracle import Codes, ask, multi_index, near, random_codes
from tests.searcher.scan.plain import PlainScan

REPOSITORY = Path(__file__).parents[3]

#: Older processors, and the registers that they don't have.
GENERATIONS = {"haswell": ["zmm"], "x86-64-v2": ["zmm", "ymm"]} if platform.machine() == "x86_64" else {"generic": []}

#: Bytes of the codes whose kernels are compiled for each of them: vectors of bytes, and of words that change places.
COMPILED = [1, 16]


def digest(engine: Callable[[Codes], CodeSearch], width: int) -> str:
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
        for keys in searcher.search(question):
            digest.update(keys.tobytes())
    return digest.hexdigest()


def digests() -> list[str]:
    return [digest(FlatScan, width) for width in COMPILED] + [digest(lambda codes: multi_index(codes)[0], 8)]


def registers() -> list[str]:
    """The kinds of vector registers that the kernels use."""
    kernels: list[Any] = [flat.kernel(width, 0) for width in COMPILED] + [multi_index_module.kernel(1)]
    machine_code = "".join(text for kernel in kernels for text in kernel.inspect_asm().values())
    return sorted(set(re.findall(r"\b[xyz]mm(?=\d)", machine_code)))


def run(script: str, *arguments: object, cwd: Path = REPOSITORY, **environment: str) -> list[str]:
    """The lines that the Python program says, and nothing else: a warning is an error."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=os.environ | environment, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def room(folder: Path) -> Path:
    """``folder`` with a searcher room of its own."""
    shutil.copytree(REPOSITORY / "searcher", folder / "searcher", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def compiled_for(name: str, folder: Path) -> list[str]:
    script = (
        "import json; from tests.searcher.scan.test_compiled import digests, registers\n"
        "print(json.dumps(digests())); print(json.dumps(registers()))"
    )
    # Without NUMBA_CPU_FEATURES, it would have those of this processor.
    return run(script, NUMBA_CPU_NAME=name, NUMBA_CPU_FEATURES="", NUMBA_CACHE_DIR=str(folder))


def compiled_again(folder: Path) -> list[str]:
    """Hits and misses of the cache in a first process, a second, and one with another lanes.py."""
    script = (
        "import sys; from searcher.scan import flat, multi_index\n"
        "for kernel, widths in ((flat.kernel, (1, 0)), (multi_index.kernel, (1,)))[: int(sys.argv[1])]:\n"
        "    print(kernel(*widths).stats.cache_hits.total(), kernel(*widths).stats.cache_misses.total())"
    )
    environment = {"NUMBA_CACHE_DIR": str(folder / "cache")}
    said = run(script, 2, cwd=room(folder), **environment) + run(script, 2, cwd=folder, **environment)
    with (folder / "searcher" / "scan" / "lanes.py").open("a") as lanes:
        lanes.write("# what the kernels are made of has changed\n")
    return said + run(script, 1, cwd=folder, **environment)


#: Says two answers, and in which folder the kernel is kept.
SEARCH = (
    "import numpy as np; import searcher.scan.flat; from pathlib import Path\n"
    "from searcher.scan.question import Question\n"
    "assert Path(searcher.scan.flat.__file__).is_relative_to(Path.cwd())\n"
    "codes = np.array([[1], [0], [3]], np.uint8)\n"
    "question = Question(codes[:1], np.array([2]), np.array([9]))\n"
    "print(searcher.scan.flat.FlatScan(codes).search(question)[0].tolist())\n"
    "print(searcher.scan.flat.kernel(1, 0).stats.cache_path)"
)


def compiled_without_a_folder(folder: Path) -> list[str]:
    """Neither beside the source nor in a cache folder can files be made, not even by root."""
    nothing = room(folder) / "searcher" / "scan" / "__pycache__"
    nothing.touch()
    nowhere = str(nothing / "below a file")
    return run(SEARCH, cwd=folder, HOME=nowhere, XDG_CACHE_HOME=nowhere, NUMBA_CACHE_DIR=nowhere)


def compiled_on_a_full_disk(folder: Path) -> list[str]:
    """Files can be made, but nothing written into them. Says, in the end, which are left."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    said = run(full + SEARCH, cwd=room(folder), NUMBA_CACHE_DIR=str(folder / "cache"))
    return said + [path.name for path in (folder / "cache").rglob("*") if path.is_file()]


def compiled_with_checks(folder: Path) -> list[str]:
    """With numba's checks of every index, and in another cache than the kernels that have none."""
    script = "from tests.searcher.scan import guarded; guarded.search_with_many_answers(0)"
    return run(script, NUMBA_BOUNDSCHECK="1", NUMBA_CACHE_DIR=str(folder))


def compiled_beside_damaged_files(folder: Path) -> list[str]:
    """What a power failure leaves: emptied or cut files of the cache. Says the answers after each, and the folder."""
    environment = {"NUMBA_CACHE_DIR": str(folder / "cache")}
    said = run(SEARCH, cwd=room(folder), **environment)
    for kind in ("nbi", "nbc"):
        for share in (0, 2):
            paths = list((folder / "cache").rglob(f"*.{kind}"))
            assert paths
            for path in paths:
                content = path.read_bytes()
                path.write_bytes(content[: len(content) // share] if share else b"")
            said += run(SEARCH, cwd=folder, **environment)
    return said[::2]


Programs = dict[str, Future[list[str]]]


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Programs]:
    """What takes seconds to compile, started all at once; each test waits for the one that it is about."""

    def folder(name: str) -> Path:
        return tmp_path_factory.mktemp(name)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {name: pool.submit(compiled_for, name, folder(name)) for name in GENERATIONS} | {
            program.__name__: pool.submit(program, folder(program.__name__))
            for program in (
                compiled_again,
                compiled_with_checks,
                compiled_without_a_folder,
                compiled_on_a_full_disk,
                compiled_beside_damaged_files,
            )
        }


class TestEveryProcessor:
    def test_this_one_answers_as_numpy(self, programs: Programs) -> None:
        assert digests() == [digest(PlainScan, width) for width in [*COMPILED, 8]]

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_older_ones_answer_as_this_one(self, name: str, programs: Programs) -> None:
        assert json.loads(programs[name].result()[0]) == digests()

    @pytest.mark.parametrize("name", GENERATIONS)
    def test_it_was_really_compiled_for_them(self, name: str, programs: Programs) -> None:
        assert not set(json.loads(programs[name].result()[1])) & set(GENERATIONS[name])


class TestMemory:
    """In processes of their own, which one access out of bounds would end."""

    @pytest.mark.parametrize(
        "search", ["search_flat", "search_tables", "search_second_codes", "search_corrupted_tables"]
    )
    def test_nothing_beyond_the_codes_and_tables_is_read(self, search: str) -> None:
        run(f"from tests.searcher.scan import guarded; guarded.{search}(0)")

    def test_answers_never_run_over_the_room_for_them(self, programs: Programs) -> None:
        assert programs["compiled_with_checks"].result() == []


class TestCache:
    def test_a_second_process_compiles_nothing_unless_the_code_has_changed(self, programs: Programs) -> None:
        assert programs["compiled_again"].result() == ["0 1", "0 1", "1 0", "1 0", "0 1"]

    @pytest.mark.parametrize("program", [compiled_without_a_folder, compiled_on_a_full_disk])
    def test_where_nothing_can_be_kept_each_process_compiles(
        self, program: Callable[[Path], list[str]], programs: Programs
    ) -> None:
        assert programs[program.__name__].result() == [str([0, 1 << 32 | 1]), "None"]

    def test_damaged_files_are_no_reason_not_to_answer(self, programs: Programs) -> None:
        assert programs["compiled_beside_damaged_files"].result() == [str([0, 1 << 32 | 1])] * 5
