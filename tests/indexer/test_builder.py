"""A listing becomes a version whose row i is image i, whatever was unreadable; and nothing else is ever published."""

import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contract.boxes import Box
from contract.space import Vectors
from embedding.card import ModelCard
from embedding.torchscript import TorchScriptEmbedder, save_model
from indexer.builder import Request, build
from indexer.errors import IndexingError
from pictures.opening import UNKNOWN
from searcher.errors import BadVersionName, ModelMismatch, ModeRefused, StoreBusy, VersionExists, VersionMissing
from searcher.versions.store import IndexStore
from sources.errors import Unreadable
from sources.folder import FolderSource
from sources.listing import Listing
from sources.regions import Regions
from sources.source import Item
from tests.fakes import PREPROCESSING, code_bytes, detail_bytes, png_of, write_datalake
from tests.indexer.conftest import Bench
from tests.indexer.splitting import Pairs
from tests.indexer.stored import codes_by_path, images_of, skipped_of
from tests.squares import Squares, page, png
from tests.vectors import query_of


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The codes that any model is made to compute from now on, one a picture."""
    computed: list[bytes] = []
    original = TorchScriptEmbedder.embed

    def counted(self: TorchScriptEmbedder, pictures: NDArray[np.uint8]) -> Vectors:
        answer = original(self, pictures)
        computed.extend(code.tobytes() for code in answer["code"])
        return answer

    monkeypatch.setattr(TorchScriptEmbedder, "embed", counted)
    return computed


def test_row_i_is_image_i(bench: Bench) -> None:
    codes = {f"data/{number}.png": number * 257 for number in range(100)}
    report = bench.index("1.5.0", bench.write(codes))
    assert codes_by_path(bench.version("1.5.0")) == {path: code_bytes(code) for path, code in codes.items()}
    assert list(codes_by_path(bench.version("1.5.0"))) == list(codes)
    assert (report.manifest.count, report.manifest.skipped, report.reused, report.skipped) == (100, 0, 0, [])
    assert bench.store.current() == "1.5.0"


def test_no_row_shifts_after_lines_that_give_no_image(bench: Bench) -> None:
    """Earlier systems counted the line and not the row: after one bad file every answer was the wrong picture."""
    lines: list[str | bytes] = []
    codes: dict[str, int] = {}
    reasons: list[tuple[str, str]] = []

    def good(name: str) -> None:
        codes[name] = len(codes) * 2003 + 1
        bench.write({name: codes[name]})
        lines.append(name)

    def bad(line: str | bytes, reason: str, shown: str | None = None) -> None:
        lines.append(line)
        reasons.append((shown or str(line), reason))
        for _ in range(3):
            good(f"{len(codes)}.png")

    (bench.folder / "text.jpg").write_text("no picture")
    (bench.folder / "empty.jpg").touch()
    (bench.folder / "folder.jpg").mkdir()
    os.mkfifo(bench.folder / "pipe.jpg")
    bad("missing.jpg", "no such file or directory")
    bad("text.jpg", UNKNOWN)
    bad("empty.jpg", "the image is empty (0 bytes)")
    bad("folder.jpg", "not a regular file")
    bad("pipe.jpg", "not a regular file")
    bad("0.png", "listed twice; the first place counts")
    bad(b"caf\xe9.jpg", "the name is not UTF-8, and answers could not spell it", "caf\\xe9.jpg")
    bad("missing.jpg", "no such file or directory")
    report = bench.index("1.5.0", lines)
    version = bench.version("1.5.0")
    assert list(codes_by_path(version).items()) == [(path, code_bytes(code)) for path, code in codes.items()]
    assert skipped_of(version) == report.skipped == reasons
    assert (report.manifest.count, report.manifest.skipped) == (24, 8)


def test_every_chunk_may_end_in_duplicates(bench: Bench) -> None:
    codes = {f"{number}.png": number for number in range(50)}
    lines = [line for name in bench.write(codes) for line in (name, name)]
    report = bench.index("1.5.0", lines)
    assert list(codes_by_path(bench.version("1.5.0")).items()) == [(path, code_bytes(c)) for path, c in codes.items()]
    assert report.manifest.skipped == 50


@pytest.mark.parametrize(
    "name",
    [
        "with spaces.png",
        'O\'Hara "quoted".png',
        "-dash.png",
        "été-日本.png",
        "50%25.png",
        "back\\slash.png",
        "a?b#c.png",
    ],
)
def test_awkward_names_are_stored_as_listed(bench: Bench, name: str) -> None:
    bench.index("1.5.0", bench.write({f"my data/{name}": 0xABCD}))
    assert codes_by_path(bench.version("1.5.0")) == {f"my data/{name}": b"\xab\xcd"}


def test_the_store_may_have_an_awkward_name(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    listing = tmp_path / "listing.txt"
    listing.write_text("\n".join(write_datalake(tmp_path, {"a.png": 1, "b.png": 3})))
    store = IndexStore(tmp_path / "50%25 off? #1 été" / "deep" / "store")
    build(Request(store, "1.5.0", FolderSource(tmp_path, Listing(listing))), grid, print)
    (matches,) = store.open().search([query_of(np.array([0, 3], np.uint8))])
    assert (matches.paths, matches.distances) == (["b.png", "a.png"], [0, 1])


def test_the_manifest_says_what_was_built(bench: Bench, grid: TorchScriptEmbedder) -> None:
    bench.index("1.5.0", [*bench.write({"a.png": 1, "b.png": 2}), "missing.png"])
    manifest = json.loads((bench.version("1.5.0") / "manifest.json").read_text())
    assert (manifest["version"], manifest["count"], manifest["skipped"], manifest["mode"]) == ("1.5.0", 2, 1, "default")
    assert (manifest["model"]["name"], manifest["model"]["bits"]) == ("grid", 16)
    assert manifest["model"]["sha256"] == grid.sha256
    assert set(manifest["files"]) == {"index.faiss", "images.db"}
    assert bench.store.verify("1.5.0").count == 2


def test_nothing_is_left_beside_a_published_version(bench: Bench) -> None:
    bench.index("1.5.0", bench.write({"a.png": 1}))
    assert sorted(path.name for path in bench.version("1.5.0").iterdir()) == [
        "images.db",
        "index.faiss",
        "manifest.json",
    ]
    assert list((bench.store.folder / ".building").iterdir()) == []


# --- Detail codes


def test_row_i_of_the_details_is_image_i_whatever_was_unreadable(detailed: Bench) -> None:
    codes = {f"{number}.png": (number * 257, number * 0x0102_0304) for number in range(40)}
    lines = [line for name in detailed.write(codes) for line in (name, f"missing-{name}", name)]
    report = detailed.index("1.5.0", lines)
    version = detailed.version("1.5.0")
    assert list(codes_by_path(version).items()) == [(path, code_bytes(code)) for path, (code, _) in codes.items()]
    assert list(codes_by_path(version, "details.faiss").items()) == [
        (path, detail_bytes(detail)) for path, (_, detail) in codes.items()
    ]
    assert (report.manifest.count, report.manifest.skipped) == (40, 80)
    assert report.manifest.model.detail_bits == 32
    assert set(report.manifest.files) == {"index.faiss", "details.faiss", "images.db"}
    assert detailed.store.verify("1.5.0").count == 40
    assert sorted(path.name for path in version.iterdir()) == [
        "details.faiss",
        "images.db",
        "index.faiss",
        "manifest.json",
    ]
    assert list((detailed.store.folder / ".building").iterdir()) == []


def test_a_model_without_detail_codes_writes_none(bench: Bench) -> None:
    report = bench.index("1.5.0", bench.write({"a.png": 1}))
    assert report.manifest.model.detail_bits is None
    assert not (bench.version("1.5.0") / "details.faiss").exists()


def test_details_stand_beside_tables(detailed: Bench) -> None:
    lines = detailed.write({f"{number}.png": (0xFF00, number) for number in range(40)})
    detailed.index("1.5.0", lines, mode="unnecessary fast")
    query = query_of(np.array([0xFF, 0x00], np.uint8), np.array([0, 0, 0, 37], np.uint8), top_k=3)
    (matches,) = detailed.store.open("1.5.0").search([query])
    assert matches.paths == ["37.png", "5.png", "33.png"]  # 37 is 100101, and 5 is 101, 33 is 100001
    assert matches.distances == [0, 0, 0]


def test_a_base_keeps_both_codes(detailed: Bench, hashed: list[bytes]) -> None:
    codes = {f"{number}.png": (number * 331, number * 0x0305_0709) for number in range(50)}
    lines = detailed.write(codes)
    detailed.index("1", lines)
    hashed.clear()
    codes["7.png"] = (0x1234, 0x89AB_CDEF)
    detailed.write({"7.png": codes["7.png"]})
    report = detailed.index("2", lines[::-1], base="1")
    assert hashed == [code_bytes(0x1234)]
    assert report.reused == 49
    for file, expected in (
        ("index.faiss", {path: code_bytes(codes[path][0]) for path in lines[::-1]}),
        ("details.faiss", {path: detail_bytes(codes[path][1]) for path in lines[::-1]}),
    ):
        assert list(codes_by_path(detailed.version("2"), file).items()) == list(expected.items())


def test_with_checksum_a_base_keeps_both_codes_of_a_touched_file(detailed: Bench, hashed: list[bytes]) -> None:
    lines = detailed.write({"a.png": (1, 2)})
    detailed.index("1", lines)
    hashed.clear()
    touched(detailed.folder / "a.png")
    detailed.index("2", lines, base="1", checksum=True)
    assert hashed == []
    assert codes_by_path(detailed.version("2"), "details.faiss") == {"a.png": detail_bytes(2)}


# --- What is not published


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([], "it is empty"),
        (["missing.png"], r"no such file or directory \(1\)"),
        (["text.png", "missing.png", "gone.png"], r"no such file or directory \(2\); not an image of a known .* \(1\)"),
    ],
    ids=["empty", "missing", "several reasons"],
)
def test_a_listing_that_yields_no_image_publishes_nothing(bench: Bench, lines: list[str], why: str) -> None:
    bench.index("1.4.0", bench.write({"a.png": 1}))
    (bench.folder / "text.png").write_text("no picture")
    with pytest.raises(IndexingError, match=f"yields no image, so nothing is published: {why}"):
        bench.index("1.5.0", lines)
    assert bench.store.current() == "1.4.0"
    assert [manifest.version for manifest in bench.store.manifests()] == ["1.4.0"]
    assert list((bench.store.folder / ".building").iterdir()) == []


def test_an_existing_version_is_never_overwritten(bench: Bench, hashed: list[bytes]) -> None:
    bench.index("1.5.0", bench.write({"a.png": 1}))
    before = {path.name: path.read_bytes() for path in bench.version("1.5.0").iterdir()}
    hashed.clear()
    with pytest.raises(VersionExists, match=r"1\.5\.0 exists already and is never overwritten"):
        bench.index("1.5.0", bench.write({"b.png": 2}))
    assert {path.name: path.read_bytes() for path in bench.version("1.5.0").iterdir()} == before
    assert hashed == []


@pytest.mark.parametrize(
    "name", ["", "../1", "a/b", ".hidden", "-1", "CURRENT", "current.next", "x" * 65, "1 0", "1\n"]
)
def test_a_name_that_is_no_version_name_is_refused(bench: Bench, name: str) -> None:
    lines = bench.write({"a.png": 1})
    with pytest.raises(BadVersionName, match="cannot be a version's name"):
        bench.index(name, lines)
    assert bench.store.manifests() == []


def test_a_second_indexer_is_refused_and_told_who_holds_the_store(bench: Bench) -> None:
    lines = bench.write({"a.png": 1})
    with bench.store.indexing(), pytest.raises(StoreBusy, match=rf"another indexer \(process {os.getpid()}\)"):
        bench.index("1.5.0", lines)
    bench.index("1.5.0", lines)
    assert bench.store.current() == "1.5.0"


def test_a_store_that_cannot_be_written_is_one_clear_error(bench: Bench) -> None:
    bench.store.folder.write_text("in the way")
    with pytest.raises(IndexingError, match=r"index_store cannot be written: File exists"):
        bench.index("1.5.0", bench.write({"a.png": 1}))


# --- Codes kept from a base version


def test_only_new_and_changed_files_are_hashed(bench: Bench, hashed: list[bytes]) -> None:
    lines = bench.write({"gone.png": 1, "same.png": 2, "changed.png": 3})
    bench.index("1", lines)
    hashed.clear()
    bench.write({"changed.png": 0xF0F0, "new.png": 5})
    report = bench.index("2", ["new.png", "changed.png", "same.png"], base="1")
    assert sorted(hashed) == [code_bytes(5), code_bytes(0xF0F0)]
    assert list(codes_by_path(bench.version("2")).items()) == [
        ("new.png", code_bytes(5)),
        ("changed.png", code_bytes(0xF0F0)),
        ("same.png", code_bytes(2)),
    ]
    assert report.reused == 1


def test_without_a_base_every_file_is_hashed(bench: Bench, hashed: list[bytes]) -> None:
    lines = bench.write({"a.png": 1, "b.png": 2})
    bench.index("1", lines)
    bench.index("2", lines)
    assert len(hashed) == 4


def test_a_base_keeps_codes_of_many_files_in_another_order(bench: Bench, hashed: list[bytes]) -> None:
    codes = {f"{number}.png": number * 331 for number in range(150)}
    lines = bench.write(codes)
    bench.index("1", lines)
    hashed.clear()
    report = bench.index("2", lines[::-1], base="1")
    assert hashed == []
    assert report.reused == 150
    assert list(codes_by_path(bench.version("2")).items()) == [(path, code_bytes(codes[path])) for path in lines[::-1]]


@pytest.fixture
def changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the bench's model say something else of itself."""
    return lambda **words: monkeypatch.setattr(bench.model, "identity", bench.model.identity.model_copy(update=words))


def test_the_manifest_names_all_decoders_that_had_a_part(bench: Bench, changed: Callable[..., None]) -> None:
    lines = bench.write({"a.png": 1, "b.png": 2})
    for name, base, decoder in (("1", None, "old"), ("2", "1", "new"), ("3", "2", "old"), ("4", None, "new")):
        changed(decoder=decoder)
        bench.index(name, lines, base=base)
    decoders = [bench.store.manifest(name).model.decoder for name in "1234"]
    assert decoders == ["old", "old; new", "old; new", "new"]


def test_and_all_precisions(bench: Bench, changed: Callable[..., None]) -> None:
    lines = bench.write({"a.png": 1, "b.png": 2})
    for name, base, precision in (("1", None, "float16"), ("2", "1", "float32"), ("3", None, "float32")):
        changed(precision=precision)
        bench.index(name, lines, base=base)
    assert [bench.store.manifest(name).model.precision for name in "123"] == ["float16", "float16; float32", "float32"]


def touched(path: Path) -> None:
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def spoiled_with_same_stat(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"#" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_size_and_time_decide_and_the_content_is_not_read(bench: Bench, hashed: list[bytes]) -> None:
    lines = bench.write({"touched.png": 1, "spoiled.png": 2})
    bench.index("1", lines)
    hashed.clear()
    touched(bench.folder / "touched.png")
    spoiled_with_same_stat(bench.folder / "spoiled.png")
    report = bench.index("2", lines, base="1")
    assert hashed == [code_bytes(1)]
    assert codes_by_path(bench.version("2")) == {"touched.png": code_bytes(1), "spoiled.png": code_bytes(2)}
    assert report.reused == 1


def test_with_checksum_the_content_decides(bench: Bench, hashed: list[bytes]) -> None:
    lines = bench.write({"touched.png": 1, "spoiled.png": 2})
    bench.index("1", lines)
    hashed.clear()
    touched(bench.folder / "touched.png")
    spoiled_with_same_stat(bench.folder / "spoiled.png")
    report = bench.index("2", lines, base="1", checksum=True)
    assert hashed == []
    assert codes_by_path(bench.version("2")) == {"touched.png": code_bytes(1)}
    assert [path for path, _ in skipped_of(bench.version("2"))] == ["spoiled.png"]
    assert report.reused == 1


def test_a_file_kept_by_checksum_is_known_by_its_new_time(bench: Bench, hashed: list[bytes]) -> None:
    lines = bench.write({"a.png": 1})
    bench.index("1", lines)
    touched(bench.folder / "a.png")
    bench.index("2", lines, base="1", checksum=True)
    hashed.clear()
    bench.index("3", lines, base="2")
    assert hashed == []


def test_an_older_time_counts_as_changed(bench: Bench) -> None:
    """A file restored from a backup is older than the one that was indexed."""
    lines = bench.write({"a.png": 1})
    bench.index("1", lines)
    bench.write({"a.png": 0x8001})
    os.utime(bench.folder / "a.png", ns=(0, 0))
    bench.index("2", lines, base="1")
    assert codes_by_path(bench.version("2")) == {"a.png": code_bytes(0x8001)}


def test_a_file_that_became_readable_gets_its_row(bench: Bench) -> None:
    lines = ["a.png", *bench.write({"b.png": 2})]
    bench.index("1", lines)
    bench.write({"a.png": 1})
    bench.index("2", lines, base="1")
    assert list(codes_by_path(bench.version("2")).items()) == [("a.png", code_bytes(1)), ("b.png", code_bytes(2))]


def test_a_base_of_another_model_is_refused_naming_both(bench: Bench, other_model: TorchScriptEmbedder) -> None:
    lines = bench.write({"a.png": 1})
    bench.index("1", lines)
    with pytest.raises(ModelMismatch, match=r"version 1 was made with model grid .* this is model other "):
        bench.index("2", lines, base="1", model=other_model)
    assert bench.store.current() == "1"


class Wide(nn.Module):
    """A bit a pixel: 256 of them."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1).flatten(1)


def test_tables_for_codes_that_gain_nothing_are_refused_before_anything_is_hashed(
    bench: Bench, hashed: list[bytes]
) -> None:
    path = bench.folder / "wide.pt"
    save_model(torch.jit.script(Wide().eval()), ModelCard(name="wide", bits=256, preprocessing=PREPROCESSING), path)
    lines = bench.write({"a.png": 1})
    with pytest.raises(ModeRefused, match="codes of up to 128 bits: with 256"):
        bench.index("1", lines, model=TorchScriptEmbedder.load(path), mode="unnecessary fast")
    assert hashed == []
    assert not bench.store.folder.exists()


def test_a_base_that_is_not_there_is_refused_naming_what_is(bench: Bench) -> None:
    lines = bench.write({"a.png": 1})
    bench.index("1", lines)
    with pytest.raises(VersionMissing, match=r"no version 7 \(it has: 1\)"):
        bench.index("2", lines, base="7")


def test_the_base_is_not_changed(bench: Bench) -> None:
    lines = bench.write({"a.png": 1, "b.png": 2})
    bench.index("1", lines)
    before = {path.name: path.read_bytes() for path in bench.version("1").iterdir()}
    (bench.folder / "a.png").write_bytes(png_of(9))
    bench.index("2", lines, base="1")
    assert {path.name: path.read_bytes() for path in bench.version("1").iterdir()} == before


# --- Items that are split


def test_parts_get_rows_and_keep_their_codes_by_content(bench: Bench, hashed: list[bytes]) -> None:
    """Parts have no version of their own: what is split is read again, and only other pictures are hashed."""
    bench.write({"a.png": 9, "z.png": 10})
    lines = ["a.png", "torn.pair", "pages.pair", "z.png"]
    (bench.folder / "torn.pair").write_text("1,!")
    (bench.folder / "pages.pair").write_text("1,2,x")

    def index(name: str, base: str | None) -> int:
        source = FolderSource(bench.folder, bench.list(lines))
        request = Request(bench.store, name, source, base, splitters=[Pairs()])
        return build(request, bench.model, bench.told.append).reused

    index("1", None)
    rows = [("a.png", 9), ("pages.pair#1", 1), ("pages.pair#2", 2), ("z.png", 10)]
    assert list(codes_by_path(bench.version("1")).items()) == [(name, code_bytes(code)) for name, code in rows]
    assert [(path, reason[:12]) for path, reason in skipped_of(bench.version("1"))] == [
        ("torn.pair", "the pair is "),
        ("pages.pair#x", "not an image"),
    ]
    hashed.clear()
    (bench.folder / "pages.pair").write_text("2,3")
    assert index("2", "1") == 3
    assert hashed == [code_bytes(3)]


class Counting(Regions):
    """Counts the pictures that were searched for boxes."""

    searched: ClassVar[list[str]] = []

    def parts(self, item: Item, data: bytes) -> Iterator[tuple[Item, bytes | Unreadable]]:
        self.searched.append(item.name)
        return super().parts(item, data)


class Finds:
    """The detector of squares in a version."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __str__(self) -> str:
        return self._name

    def __call__(self, picture: NDArray[np.uint8]) -> Sequence[Box]:
        return Squares().detect([picture])[0]


@pytest.mark.parametrize("alone", [False, True])
def test_only_changed_pictures_are_searched_for_regions(bench: Bench, alone: bool) -> None:
    lines = ["a.png", "b.png", "c.png"]
    for name, code in zip(lines, (1, 2, 4), strict=True):
        (bench.folder / name).write_bytes(png(page({"red": (10, 20, code)})))
    Counting.searched.clear()

    def index(name: str, base: str | None, detector: str = "1", *, checksum: bool = False) -> tuple[int, list[str]]:
        source = FolderSource(bench.folder, bench.list(lines))
        splitters = [Counting(Finds(detector), alone)]
        Counting.searched.clear()
        request = Request(bench.store, name, source, base, checksum, splitters=splitters)
        return build(request, bench.model, bench.told.append).reused, list(Counting.searched)

    images = 1 if alone else 2  # a picture
    assert index("1", None) == (0, lines)
    assert index("2", "1") == (3 * images, [])
    assert images_of(bench.version("2")) == images_of(bench.version("1"))
    (bench.folder / "b.png").write_bytes(png(page({"red": (10, 20, 2), "green": (100, 50, 8)})))
    assert index("3", "2") == (2 * images + 1, ["b.png"])  # one of its regions has the same content
    box = "xywh=10,20,64,64"
    assert [name for name in codes_by_path(bench.version("3")) if "#" in name] == [
        f"a.png#{box}", f"b.png#{box}", "b.png#xywh=100,50,64,64", f"c.png#{box}",
    ]  # fmt: skip
    assert index("4", "3", "another detector")[1] == lines
    assert index("5", "4", "another detector", checksum=True)[1] == (lines if alone else [])
    assert codes_by_path(bench.version("5")) == codes_by_path(bench.version("3"))
