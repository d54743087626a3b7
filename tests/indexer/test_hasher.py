"""Every listed path has one outcome, in the listing's order: a code, a kept code, or a reason why there is none."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from hashing.model import HashModel
from indexer import hasher
from indexer.hasher import CHUNK, FileHasher, Hashed, Outcome, Skipped
from tests.fakes import code_bytes, detail_bytes, png_of, write_datalake


def outcomes(model: HashModel, root: Path, paths: Iterable[str]) -> list[Outcome]:
    return [outcome for chunk in FileHasher(model, root).outcomes(iter(paths)) for outcome in chunk]


def reason(model: HashModel, root: Path, path: str) -> str:
    (outcome,) = outcomes(model, root, [path])
    assert isinstance(outcome, Skipped)
    return outcome.reason


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 3])
def test_codes_come_in_the_order_of_the_paths(tmp_path: Path, grid: HashModel, count: int) -> None:
    codes = {f"{number}.png": number * 199 for number in range(count)}
    found = outcomes(grid, tmp_path, write_datalake(tmp_path, codes))
    assert [(item.file.path, item.code.tobytes()) for item in found if isinstance(item, Hashed)] == [
        (path, code_bytes(code)) for path, code in codes.items()
    ]


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1])
def test_detail_codes_come_with_their_codes(tmp_path: Path, colours: HashModel, count: int) -> None:
    codes = {f"{number}.png": (number * 199, number * 0x0403_0201) for number in range(count)}
    lines = write_datalake(tmp_path, codes)
    (tmp_path / "0.png").write_bytes(b"no picture")
    found = outcomes(colours, tmp_path, lines)
    assert [
        (item.code.tobytes(), None if item.detail is None else item.detail.tobytes())
        for item in found
        if isinstance(item, Hashed)
    ] == [(code_bytes(code), detail_bytes(detail)) for code, detail in list(codes.values())[1:]]


def test_a_model_without_detail_codes_gives_none(tmp_path: Path, grid: HashModel) -> None:
    (outcome,) = outcomes(grid, tmp_path, write_datalake(tmp_path, {"a.png": 7}))
    assert isinstance(outcome, Hashed)
    assert outcome.detail is None


@pytest.mark.parametrize("bad", range(CHUNK))
def test_an_unreadable_picture_moves_no_code_wherever_it_stands(tmp_path: Path, grid: HashModel, bad: int) -> None:
    paths = write_datalake(tmp_path, {f"{number}.png": 1 << number for number in range(CHUNK)})
    (tmp_path / f"{bad}.png").write_bytes(b"no picture")
    found = outcomes(grid, tmp_path, paths)
    assert isinstance(found[bad], Skipped)
    codes = [item.code.tobytes() if isinstance(item, Hashed) else None for item in found]
    assert codes == [None if number == bad else code_bytes(1 << number) for number in range(CHUNK)]


def test_a_chunk_without_any_picture_asks_nothing_of_the_model(tmp_path: Path, grid: HashModel) -> None:
    found = outcomes(grid, tmp_path, [f"missing-{number}.png" for number in range(CHUNK)])
    assert {type(item) for item in found} == {Skipped}


def test_paths_are_taken_only_as_fast_as_they_are_hashed(
    tmp_path: Path, grid: HashModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A listing of a hundred million lines must not be read into memory."""
    monkeypatch.setattr(hasher, "usable_cores", lambda: 2)
    taken = []

    def endless() -> Iterable[str]:
        while True:
            taken.append("missing.png")
            yield taken[-1]

    running = FileHasher(grid, tmp_path).outcomes(iter(endless()))
    next(running)
    assert len(taken) <= 10 * CHUNK
    running.close()  # type: ignore[attr-defined]


def test_what_is_known_of_a_file_is_its_size_time_and_digest(tmp_path: Path, grid: HashModel) -> None:
    write_datalake(tmp_path, {"a.png": 7})
    os.utime(tmp_path / "a.png", ns=(1, 1_600_000_000_123_456_789))
    (outcome,) = outcomes(grid, tmp_path, ["a.png"])
    assert isinstance(outcome, Hashed)
    data = (tmp_path / "a.png").read_bytes()
    assert outcome.file.size == len(data)
    assert outcome.file.mtime_ns == 1_600_000_000_123_456_789
    assert outcome.file.digest == hashlib.blake2b(data, digest_size=16).digest()


def test_an_absolute_path_needs_no_root(tmp_path: Path, grid: HashModel) -> None:
    write_datalake(tmp_path, {"a.png": 0x1234})
    (outcome,) = outcomes(grid, tmp_path / "nowhere", [str(tmp_path / "a.png")])
    assert isinstance(outcome, Hashed)
    np.testing.assert_array_equal(outcome.code, [0x12, 0x34])


def test_the_reason_says_what_is_wrong_with_the_file(tmp_path: Path, grid: HashModel) -> None:
    whole = png_of(0xBEEF, size=64)
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("Hello")
    (tmp_path / "short.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "broken.png").symlink_to("nowhere.png")
    (tmp_path / "self.png").symlink_to("self.png")
    with (tmp_path / "huge.png").open("wb") as stream:
        stream.truncate((32 << 20) + 1)
    assert reason(grid, tmp_path, "missing.png") == "no such file or directory"
    assert reason(grid, tmp_path, "broken.png") == "no such file or directory"
    assert reason(grid, tmp_path, "self.png") == "too many levels of symbolic links"
    assert reason(grid, tmp_path, "empty.png/a.png") == "not a directory"
    assert reason(grid, tmp_path, "folder.png") == "not a regular file"
    assert reason(grid, tmp_path, "empty.png") == "the image is empty (0 bytes)"
    assert reason(grid, tmp_path, "text.png").startswith("not an image of a known format")
    assert reason(grid, tmp_path, "short.png").startswith("the image is damaged or truncated")
    assert reason(grid, tmp_path, "huge.png") == "the image has 33,554,433 bytes; the limit is 33,554,432"
    assert reason(grid, tmp_path, "x" * 300 + ".png") == "file name too long"
    assert reason(grid, tmp_path, "zero\0byte.png") == "embedded null byte"


def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path: Path, grid: HashModel) -> None:
    path = os.fsdecode(b"\xe9t\xe9.png")
    (tmp_path / path).write_bytes(png_of(1))
    assert outcomes(grid, tmp_path, [path]) == [
        Skipped("\\xe9t\\xe9.png", "the name is not UTF-8, and answers could not spell it")
    ]
