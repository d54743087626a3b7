"""The indexer's command as its users spell it: what it writes, says and exits with, in processes of its own."""

import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from embedding.card import ModelCard
from embedding.torchscript import save_model
from pictures.opening import UNKNOWN
from searcher.scan.tables import TABLE_FILES
from searcher.versions.store import IndexStore
from tests.fakes import BITS, PREPROCESSING, Grid, code_bytes, png_of, write_datalake, write_grid_model
from tests.hashlake.command import Answer, hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.vectors import query_of

REPOSITORY = Path(__file__).parents[2]
CODES = {f"data/abc.com/{number}_abc_com.png": number * 1291 for number in range(40)}


@pytest.fixture
def here(tmp_path: Path, grid_path: Path) -> Path:
    """A working folder with a datalake, its listing and a model under the contract's names."""
    lines = write_datalake(tmp_path, CODES)
    (tmp_path / "database_info.txt").write_text("".join(f"{line}\n" for line in lines))
    (tmp_path / "torchscripts_models").mkdir()
    shutil.copy(grid_path, tmp_path / "torchscripts_models" / "relahash-medium-64bits.pt")
    return tmp_path


MODEL = "torchscripts_models/relahash-medium-64bits.pt"
CONTRACT = [
    "--database", "database_info.txt", "--model_path", MODEL, "--device", "cpu",
    "--new_index_database_version", "1.5.0",
]  # fmt: skip


def start(
    folder: Path, *arguments: str | Path, largest_file: int | None = None, one_core: bool = False
) -> subprocess.Popen[str]:
    """Run Python in ``folder``, as on a disk or a machine that is no larger than said."""

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))
        if one_core:
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})

    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if not name.startswith("HASHLAKE_")},
        preexec_fn=limit,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: subprocess.Popen[str]) -> Answer:
    """Whatever a listing holds, an indexer that isn't done after two minutes hangs."""
    with process:
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
        return Answer(process.returncode, out, err)


def index(here: Path, *more: str | Path) -> Answer:
    """``hashlake index`` with the folders of ``here`` spelled out, in this process."""
    return hashlake(
        "index", "--database", here / "database_info.txt", "--model_path", here / MODEL,
        "--index_store", here / "index_store", "--datalake_root", here, *more,
    )  # fmt: skip


def error_line(answer: Answer) -> str:
    """The one line that a failed command says, beside its progress."""
    lines = [line for line in answer.err.splitlines() if " images, " not in line]
    assert answer.status != 0
    assert len(lines) == 1, answer.err
    assert lines[0].startswith("Error: ")
    return lines[0]


# --- The command as the contract spells it


def test_the_command_as_it_stands_from_a_folder_of_ones_own(here: Path) -> None:
    (here / "text.jpg").write_text("no picture")
    (here / "empty.jpg").touch()
    os.mkfifo(here / "pipe.jpg")
    lines = list(map(str.encode, CODES))
    lines[30:30] = [b"data", b"caf\xe9.jpg", lines[0]]
    lines[3:3] = [b"missing.jpg", b"text.jpg", b"empty.jpg", b"pipe.jpg", b""]
    (here / "database_info.txt").write_bytes(b"\r\n".join(lines))
    answer = ended(start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT))
    assert answer.status == 0, answer.err
    version = here / "index_store" / "1.5.0"
    assert list(codes_by_path(version).items()) == [(path, code_bytes(code)) for path, code in CODES.items()]
    reasons = [
        ("missing.jpg", "no such file or directory"),
        ("text.jpg", UNKNOWN),
        ("empty.jpg", "the image is empty (0 bytes)"),
        ("pipe.jpg", "not a regular file"),
        ("data", "not a regular file"),
        ("caf\\xe9.jpg", "the name is not UTF-8, and answers could not spell it"),
        ("data/abc.com/0_abc_com.png", "listed twice; the first place counts"),
    ]
    assert skipped_of(version) == reasons
    progress, *skipped = answer.err.splitlines()
    assert progress.startswith("47 of 47 images, ")
    assert "\x1b" not in answer.err
    assert skipped == [f"skipped {path}: {reason}" for path, reason in reasons]
    (line,) = answer.out.splitlines()
    assert line.startswith("version 1.5.0 is current: 40 images, 7 skipped, 16 bits, model grid, ")
    assert (here / "index_store" / "CURRENT").read_text() == "1.5.0\n"


def test_from_the_repository_with_hyphens_and_a_root_for_the_datalake(here: Path) -> None:
    command: list[str | Path] = [
        "indexer/main.py", "--database", here / "database_info.txt", "--model-path", here / MODEL,
        "--device", "cpu", "--new-index-database-version", "1.5.0", "--datalake-root", here,
        "--index-store", here / "store",
    ]  # fmt: skip
    answer = ended(start(REPOSITORY, *command))
    assert answer.status == 0, answer.err
    assert codes_by_path(here / "store" / "1.5.0") == {path: code_bytes(code) for path, code in CODES.items()}


def test_the_lines_of_efiss_scripts_work_as_they_are(here: Path) -> None:
    """What has no meaning here is said to be unused."""
    unused = ["--batch_size", "128", "--num_workers", "8", "--index_mode", "ivf", "--dump_index_path", "index/1.5.0"]
    answer = ended(start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT, *unused, "--image_size", "224"))
    assert answer.status == 0, answer.err
    notes = [line.partition(":")[0] for line in answer.err.splitlines() if " is not used: " in line]
    assert notes == [
        *(f"{option} is not used" for option in unused[::2]),
        "--image_size 224 is not used",
    ]
    assert codes_by_path(here / "index_store" / "1.5.0").keys() == CODES.keys()


def test_a_failing_command_says_one_line_and_exits_with_1(here: Path) -> None:
    (here / "database_info.txt").write_text("missing.jpg\n")
    answer = ended(start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT))
    assert answer.status == 1
    assert error_line(answer) == (
        "Error: database_info.txt yields no image, so nothing is published: no such file or directory (1)"
    )
    assert not (here / "index_store" / "CURRENT").exists()


@pytest.mark.parametrize("python", [["-I", "-S"], ["-S"]], ids=["isolated", "no site"])
def test_outside_the_environment_it_says_in_one_line_how_to_enter_it(here: Path, python: list[str]) -> None:
    answer = ended(start(here, *python, REPOSITORY / "indexer" / "main.py", *CONTRACT))
    assert (answer.status, answer.out) == (1, "")
    assert answer.err == (
        "Error: No module named 'click': run `make serve` first, or enter the environment that it made: "
        ". .venv/bin/activate\n"
    )


# --- What it says


def test_skipped_images_are_named_and_beyond_twenty_counted(here: Path) -> None:
    with (here / "database_info.txt").open("a") as listing:
        listing.writelines(f"missing-{number}.jpg\n" for number in range(1030))
    answer = index(here, "--new_index_database_version", "1.5.0")
    lines = [line for line in answer.err.splitlines() if line.startswith("skipped ")]
    assert lines == [f"skipped missing-{number}.jpg: no such file or directory" for number in range(20)]
    assert answer.err.splitlines()[-1] == "… and 1,010 more: see the table skipped in 1.5.0/images.db"
    assert "40 images, 1,030 skipped" in answer.out


def test_kept_codes_are_counted(here: Path) -> None:
    index(here, "--new_index_database_version", "1")
    (here / next(iter(CODES))).write_bytes(png_of(7))
    answer = index(here, "--new_index_database_version", "2", "--base_version", "1")
    assert "version 2 is current: 40 images (39 of them known before), 0 skipped" in answer.out
    touched = here / next(iter(CODES))
    os.utime(touched, ns=(0, 0))
    answer = index(here, "--new_index_database_version", "3", "--base_version", "2", "--checksum")
    assert "version 3 is current: 40 images (40 of them known before), 0 skipped" in answer.out


def test_a_version_with_tables_answers_as_one_without(here: Path) -> None:
    assert index(here, "--new_index_database_version", "1").status == 0
    answer = index(here, "--new_index_database_version", "2", "--mode", "unnecessary fast")
    assert answer.status == 0, answer.err
    store = IndexStore(here / "index_store")
    assert [store.manifest(name).mode for name in ("1", "2")] == ["default", "unnecessary fast"]
    assert sorted(store.manifest("2").files) == sorted(["index.faiss", "images.db", *TABLE_FILES])
    queries = [
        query_of(np.array(code, np.uint8), top_k=top_k)
        for code, top_k in (([0, 0], 40), ([0xFF, 0xFF], 5), ([0x12, 0x34], 1))
    ]
    plain, fast = (store.open(name).search(queries) for name in ("1", "2"))
    assert fast == plain


def test_a_version_can_be_published_without_becoming_current(here: Path) -> None:
    assert index(here, "--new_index_database_version", "1.5.0").status == 0
    answer = index(here, "--new_index_database_version", "1.6.0", "--keep_current")
    assert answer.status == 0
    assert answer.out.startswith("version 1.6.0 is published: 40 images, 0 skipped")
    store = IndexStore(here / "index_store")
    assert (store.current(), store.names()) == ("1.5.0", ["1.5.0", "1.6.0"])


def test_a_program_that_watches_gets_json(here: Path) -> None:
    answer = index(here, "--new_index_database_version", "1.5.0", "--json")
    *progress, manifest = [json.loads(line) for line in answer.out.splitlines()]
    assert (progress[-1]["done"], progress[-1]["total"], progress[-1]["skipped"]) == (40, 40, 0)
    assert (manifest["version"], manifest["count"], manifest["mode"]) == ("1.5.0", 40, "default")


def test_a_mode_that_is_none_is_refused(here: Path) -> None:
    answer = index(here, "--new_index_database_version", "1", "--mode", "fast")
    assert answer.status == 2
    assert "'fast' is not one of 'default', 'unnecessary fast'" in answer.err


def test_the_store_can_be_named_by_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_INDEX_STORE", str(here / "elsewhere"))
    monkeypatch.chdir(here)
    assert hashlake("index", *CONTRACT).status == 0
    assert IndexStore(here / "elsewhere").current() == "1.5.0"


# --- What it refuses


def test_a_published_version_is_not_overwritten(here: Path) -> None:
    assert index(here, "--new_index_database_version", "1.5.0").status == 0
    answer = index(here, "--new_index_database_version", "1.5.0")
    assert error_line(answer).startswith("Error: version 1.5.0 exists already and is never overwritten")


@pytest.mark.parametrize("name", ["../1.5.0", "CURRENT", ".building", "1/5", ""])
def test_a_bad_version_name_is_refused_before_anything_is_read(here: Path, name: str) -> None:
    (here / "database_info.txt").unlink()
    answer = index(here, "--new_index_database_version", name)
    assert error_line(answer).startswith(f"Error: {name!r} cannot be a version's name")
    assert not (here / "index_store").exists()


def test_checksum_needs_a_base_version(here: Path) -> None:
    answer = index(here, "--new_index_database_version", "1.5.0", "--checksum")
    assert answer.status == 2
    assert answer.err.splitlines()[-1] == "Error: --checksum compares with a base version: add --base_version"


def test_a_missing_listing_is_named(here: Path) -> None:
    (here / "database_info.txt").unlink()
    answer = index(here, "--new_index_database_version", "1.5.0")
    assert error_line(answer) == (
        f"Error: the listing {here / 'database_info.txt'} cannot be read: No such file or directory"
    )


def test_a_base_of_another_model_is_refused_naming_both(here: Path) -> None:
    index(here, "--new_index_database_version", "1")
    write_grid_model(here / MODEL, name="other")
    line = error_line(index(here, "--new_index_database_version", "2", "--base_version", "1"))
    assert "model grid (sha256 " in line
    assert "model other (sha256 " in line


def test_a_device_that_no_machine_has_is_refused(here: Path) -> None:
    line = error_line(index(here, "--new_index_database_version", "1.5.0", "--device", "tpu"))
    assert line == "Error: 'tpu' is no device; use cpu, cuda or cuda:0"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_the_cpu_indexes_and_the_manifest_says_so(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    answer = index(here, "--new_index_database_version", "1.5.0", "--device", "cuda:0")
    assert answer.status == 0, answer.err
    assert caplog.messages == ["device cuda:0 was asked for, and PyTorch sees no GPU here: computing on the CPU"]
    assert IndexStore(here / "index_store").manifest("1.5.0").model.precision == "float32"


# --- A killed process, a busy store, a full disk


def test_the_command_goes_on_after_a_kill_and_keeps_others_out_meanwhile(here: Path) -> None:
    large = [number * 4099 for number in range(8)]
    for code in large:
        (here / f"{code}.png").write_bytes(png_of(code, size=1200))
    codes = {f"{number}.png": large[number % len(large)] for number in range(1, 241)}
    for name, code in codes.items():
        os.link(here / f"{code}.png", here / name)
    (here / "database_info.txt").write_text("".join(f"{name}\n" for name in codes))

    first = start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT, one_core=True)
    wait_for_a_checkpoint(here / "index_store" / ".building" / "1.5.0" / "images.db", first)
    refused = error_line(index(here, "--new_index_database_version", "1.6.0"))
    assert refused == f"Error: another indexer (process {first.pid}) is working on {here / 'index_store'}"
    first.kill()
    assert ended(first).status == -signal.SIGKILL
    assert not (here / "index_store" / "CURRENT").exists()

    second = ended(start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT))
    assert second.status == 0, second.err
    assert second.err.startswith("going on after ")
    assert " of them known before), 0 skipped" in second.out
    assert list(codes_by_path(here / "index_store" / "1.5.0").items()) == [
        (name, code_bytes(code)) for name, code in codes.items()
    ]


def wait_for_a_checkpoint(table: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with closing(sqlite3.connect(f"file:{table}?mode=ro", uri=True, timeout=0)) as connection:
                if connection.execute("SELECT value FROM build WHERE key = 'lines_done' AND value > 0").fetchone():
                    return
        except sqlite3.OperationalError:  # not there yet, or just being written
            pass
        time.sleep(0.01)
    pytest.fail(f"no checkpoint was seen; the indexer ended with {ended(process)}")


def test_a_disk_that_fills_up_is_one_clear_line(here: Path) -> None:
    index(here, "--new_index_database_version", "1.4.0")
    with (here / "database_info.txt").open("a") as listing:
        listing.writelines(f"missing-{number}.jpg\n" for number in range(1000))
    answer = ended(start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT, largest_file=30_000))
    line = error_line(answer)
    assert " cannot be written: " in line
    assert line.endswith("the served version is untouched, and the same command goes on from here")
    assert IndexStore(here / "index_store").verify("1.4.0").count == 40
    assert (here / "index_store" / "CURRENT").read_text() == "1.4.0\n"

    assert index(here, "--new_index_database_version", "1.5.0").status == 0
    assert codes_by_path(here / "index_store" / "1.5.0") == {path: code_bytes(code) for path, code in CODES.items()}


class Wide(torch.nn.Module):
    """The grid's code, 64 times over: so that codes take more room on the disk than paths do."""

    def __init__(self) -> None:
        super().__init__()
        self.grid = Grid()

    def forward(self, x: Tensor) -> Tensor:
        code: Tensor = self.grid(x)
        return code.repeat(1, 64)


def test_a_disk_that_fills_up_with_the_last_bytes_of_the_index_is_one_clear_line(here: Path) -> None:
    """FAISS writes through C's stdio, which may notice only while the file is closed."""
    wide = torch.jit.script(Wide().eval())
    card = ModelCard(name="wide", bits=64 * BITS, preprocessing=PREPROCESSING)
    save_model(wide, card, here / MODEL)
    lines = []
    for number in range(600):
        os.link(here / next(iter(CODES)), here / f"{number}.png")
        lines.append(f"{number}.png\n")
    (here / "database_info.txt").write_text("".join(lines))
    codes = 600 * 64 * BITS // 8
    answer = ended(start(here, REPOSITORY / "indexer" / "main.py", *CONTRACT, largest_file=codes + 10))
    assert " cannot be written: " in error_line(answer)
    assert not (here / "index_store" / "CURRENT").exists()

    assert index(here, "--new_index_database_version", "1.5.0").status == 0
    assert set(codes_by_path(here / "index_store" / "1.5.0").values()) == {code_bytes(0) * 64}
