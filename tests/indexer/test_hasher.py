"""Every item has one outcome, in their order: a code, a kept code, or a reason why there is none; or those of its
parts."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

import pytest

from embedding.torchscript import TorchScriptEmbedder
from indexer.changes import KnownVectors
from indexer.hasher import CHUNK, Hasher
from indexer.outcome import Embedded, Skipped
from pictures.opening import UNKNOWN
from sources.folder import FolderSource
from sources.source import Item
from tests.fakes import code_bytes, detail_bytes, png_of, write_datalake
from tests.indexer.splitting import Pairs


def images(model: TorchScriptEmbedder, root: Path, names: Iterable[str]) -> list[Embedded | Skipped]:
    """What becomes of the files called ``names``, as one batch."""
    hasher = Hasher(model, FolderSource(root), KnownVectors(None, checksum=False))
    return [image for outcome in hasher.outcomes(list(map(Item, names))) for image in outcome.images]


def reason(model: TorchScriptEmbedder, root: Path, path: str) -> str:
    (outcome,) = images(model, root, [path])
    assert isinstance(outcome, Skipped)
    return outcome.reason


@pytest.mark.parametrize("count", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 20 * CHUNK + 3])
def test_codes_come_in_the_order_of_the_paths(tmp_path: Path, grid: TorchScriptEmbedder, count: int) -> None:
    codes = {f"{number}.png": number * 199 for number in range(count)}
    found = images(grid, tmp_path, write_datalake(tmp_path, codes))
    assert [(item.file.path, item.vectors["code"]) for item in found if isinstance(item, Embedded)] == [
        (path, code_bytes(code)) for path, code in codes.items()
    ]


@pytest.mark.parametrize("count", [1, CHUNK, CHUNK + 1])
def test_detail_codes_come_with_their_codes(tmp_path: Path, colours: TorchScriptEmbedder, count: int) -> None:
    codes = {f"{number}.png": (number * 199, number * 0x0403_0201) for number in range(count)}
    lines = write_datalake(tmp_path, codes)
    (tmp_path / "0.png").write_bytes(b"no picture")
    found = images(colours, tmp_path, lines)
    assert [(item.vectors["code"], item.vectors["detail"]) for item in found if isinstance(item, Embedded)] == [
        (code_bytes(code), detail_bytes(detail)) for code, detail in list(codes.values())[1:]
    ]


def test_a_model_without_detail_codes_gives_none(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    (outcome,) = images(grid, tmp_path, write_datalake(tmp_path, {"a.png": 7}))
    assert isinstance(outcome, Embedded)
    assert outcome.vectors.keys() == {"code"}


@pytest.mark.parametrize("bad", range(CHUNK))
def test_an_unreadable_picture_moves_no_code_wherever_it_stands(
    tmp_path: Path, grid: TorchScriptEmbedder, bad: int
) -> None:
    paths = write_datalake(tmp_path, {f"{number}.png": 1 << number for number in range(CHUNK)})
    (tmp_path / f"{bad}.png").write_bytes(b"no picture")
    found = images(grid, tmp_path, paths)
    assert isinstance(found[bad], Skipped)
    codes = [item.vectors["code"] if isinstance(item, Embedded) else None for item in found]
    assert codes == [None if number == bad else code_bytes(1 << number) for number in range(CHUNK)]


def test_a_chunk_without_any_picture_asks_nothing_of_the_model(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    found = images(grid, tmp_path, [f"missing-{number}.png" for number in range(CHUNK)])
    assert {type(item) for item in found} == {Skipped}


def test_what_is_known_of_a_file_is_its_size_time_and_digest(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    write_datalake(tmp_path, {"a.png": 7})
    os.utime(tmp_path / "a.png", ns=(1, 1_600_000_000_123_456_789))
    (outcome,) = images(grid, tmp_path, ["a.png"])
    assert isinstance(outcome, Embedded)
    data = (tmp_path / "a.png").read_bytes()
    assert outcome.file.size == len(data)
    assert outcome.file.mtime_ns == 1_600_000_000_123_456_789
    assert outcome.file.digest == hashlib.blake2b(data, digest_size=16).digest()


def test_an_absolute_path_needs_no_root(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    write_datalake(tmp_path, {"a.png": 0x1234})
    (outcome,) = images(grid, tmp_path / "nowhere", [str(tmp_path / "a.png")])
    assert isinstance(outcome, Embedded)
    assert outcome.vectors["code"] == b"\x12\x34"


def test_the_reason_says_what_is_wrong_with_the_file(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
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


def test_a_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    path = os.fsdecode(b"\xe9t\xe9.png")
    (tmp_path / path).write_bytes(png_of(1))
    assert images(grid, tmp_path, [path]) == [
        Skipped("\\xe9t\\xe9.png", "the name is not UTF-8, and answers could not spell it")
    ]


class TestSplitting:
    """An item that is split gets a row for each part."""

    def split(
        self, grid: TorchScriptEmbedder, folder: Path, contents: dict[str, str]
    ) -> list[list[tuple[str, object]]]:
        for name, content in contents.items():
            (folder / name).write_text(content)
        hasher = Hasher(grid, FolderSource(folder), KnownVectors(None, checksum=False), [Pairs()])
        return [
            [
                (image.file.path, image.vectors["code"]) if isinstance(image, Embedded) else (image.path, image.reason)
                for image in outcome.images
            ]
            for outcome in hasher.outcomes([Item("before.png"), *map(Item, contents), Item("after.png")])
        ]

    def test_its_parts_stand_where_it_stood(self, tmp_path: Path, grid: TorchScriptEmbedder) -> None:
        write_datalake(tmp_path, {"before.png": 7, "after.png": 8})
        assert self.split(grid, tmp_path, {"a.pair": "1,2", "b.pair": "3,x"}) == [
            [("before.png", code_bytes(7))],
            [("a.pair#1", code_bytes(1)), ("a.pair#2", code_bytes(2))],
            [
                ("b.pair#3", code_bytes(3)),
                ("b.pair#x", UNKNOWN),
            ],
            [("after.png", code_bytes(8))],
        ]

    def test_what_cannot_be_split_is_skipped_whole_with_its_reason(
        self, tmp_path: Path, grid: TorchScriptEmbedder
    ) -> None:
        write_datalake(tmp_path, {"before.png": 7, "after.png": 8})
        assert self.split(grid, tmp_path, {"a.pair": "1,!", "b.pair": ""}) == [
            [("before.png", code_bytes(7))],
            [("a.pair", "the pair is torn")],
            [("b.pair", "it has no parts")],
            [("after.png", code_bytes(8))],
        ]

    def test_more_parts_than_a_forward_pass_takes(self, tmp_path: Path, grid: TorchScriptEmbedder) -> None:
        (_, parts, _) = self.split(grid, tmp_path, {"a.pair": ",".join(map(str, range(3 * CHUNK + 1)))})
        assert [code for _, code in parts] == [code_bytes(number) for number in range(3 * CHUNK + 1)]
