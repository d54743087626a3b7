"""Copies of the pictures of any folder, measured with the fake model, whose codes a reader computes by hand.

Left and right are told by 0x3333, which is white on the right: mirrored it is 0xCCCC. Top and bottom by 0xFF00.
"""

import base64
import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedding.torchscript import TorchScriptEmbedder
from sources.left_out import LeftOut
from tests.fakes import picture_of
from tests.hashlake.command import hashlake
from tests.training.test_evaluate_command import Page, refused
from training import copies
from training.copies import chosen_rows, measure_copies
from training.distortions import DISTORTIONS
from training.errors import TrainingError
from training.results import CopiesFound
from training.signing import methods_of, sign_files

#: In trash folders, no pictures by their names, or a kind that nothing reads: none is one of the folder's pictures.
NONE = [".folder/a.png", "#recycle/a.png", "._a.png", "notes.txt", "raw.cr2"]


def write(folder: Path, codes: dict[str, int]) -> Path:
    for name, code in codes.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        picture_of(code, 64).save(folder / name)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three pictures at any depth; two of them are each other's negative, and each other's half turn."""
    found = write(
        tmp_path_factory.mktemp("copies") / "own", {"a.png": 0xFF00, "b/c.png": 0x00FF, "b/d/e.jpg.png": 0x3333}
    )
    (found / "b/c.png").rename(found / "b/c")  # its first bytes tell that it is a picture
    for name in NONE:
        (found / name).parent.mkdir(exist_ok=True)
        (found / name).write_bytes((found / "a.png").read_bytes())
    return found


@pytest.fixture(scope="module")
def found(folder: Path, grid: TorchScriptEmbedder) -> CopiesFound:
    return measure_copies(grid, folder)


def test_what_was_measured(found: CopiesFound, folder: Path) -> None:
    assert (found.pictures, found.copied, found.repeats, found.unread) == (3, 3, 0, [])
    assert found.left_out == {"hidden": 3, "cr2": 1}
    assert found.protocol.startswith(f"3 pictures of the 3 below {folder}, drawn with seed 0; copies of 3 of them")
    assert [(each.name, each.note) for each in found.methods] == [
        ("grid", "16 bits"), ("pHash", "64 bits"), ("dHash", "64 bits"), ("colour histogram", "64 bytes, L1")
    ]  # fmt: skip
    assert [*found.methods[0].near_duplicates] == [each.name for each in DISTORTIONS]
    assert all(each.figures == {} for each in found.methods)


@pytest.mark.parametrize(
    ("distortion", "recall"),
    [
        ("half size", 1.0),  # the cells keep their brightness
        ("JPEG q40", 1.0),
        ("greyscale", 1.0),
        ("mirrored", 2 / 3),  # 0xFF00 and 0x00FF are their own mirror images; 0xCCCC is 16 bits from its original
        ("inverted", 0.0),  # 0xFF00 finds 0x00FF, the other way round; 0xCCCC is 8 bits from both of them
        ("turned 180°", 0.0),  # likewise
    ],
)
def test_recall_by_hand(found: CopiesFound, distortion: str, recall: float) -> None:
    figure = found.methods[0].near_duplicates[distortion]["recall@1"]
    assert figure.value == pytest.approx(recall, abs=1e-6)
    assert figure.low <= figure.value <= figure.high
    assert found.methods[0].near_duplicates[distortion]["recall@10"].value == 1.0  # there are three


def test_what_was_missed_and_found_instead(found: CopiesFound, folder: Path) -> None:
    (mirrored,) = [each for each in found.missed if each.distortion == "mirrored"]
    assert (mirrored.original, mirrored.original_distance) == (folder / "b/d/e.jpg.png", 16)
    assert (mirrored.found_distance, mirrored.before) == (8, 2)
    assert mirrored.found in (folder / "a.png", folder / "b/c")
    inverted = [each for each in found.missed if each.distortion == "inverted"]
    assert [each.before for each in inverted] == [2, 2]  # of three, two are shown
    assert {each.distortion for each in found.missed} >= {"mirrored", "inverted", "turned 180°"}
    assert not [each for each in found.missed if each.distortion in ("half size", "JPEG q40")]


def test_detail_codes_have_lines_of_their_own(folder: Path, colours: TorchScriptEmbedder) -> None:
    found = measure_copies(colours, folder)
    assert [each.note for each in found.methods[:3]] == [
        "16 bits", "16 bits, ties by detail", "rank detail: 32 bits"
    ]  # fmt: skip
    assert [each.near_duplicates["mirrored"]["recall@1"].value for each in found.methods[:3]] == pytest.approx(
        [2 / 3] * 3, abs=1e-6
    )
    (mirrored,) = [each for each in found.missed if each.distortion == "mirrored"]
    assert mirrored.original_distance == 32  # of the detail code


def test_files_that_repeat_and_files_that_are_damaged(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    write(tmp_path, {"a.png": 0xFF00, "b.png": 0x00FF, "c.png": 0x3333})
    (tmp_path / "again.png").write_bytes((tmp_path / "a.png").read_bytes())
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:60])
    found = measure_copies(grid, tmp_path)
    assert (found.pictures, found.repeats, len(found.unread)) == (3, 1, 1)
    assert found.unread[0].startswith(f"{tmp_path / 'broken.png'}: ")
    assert found.methods[0].near_duplicates["JPEG q40"]["recall@1"].value == 1.0


def test_a_sample_depends_on_names_and_seed_alone(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    numbers = range(40)
    write(tmp_path / "one", {f"{number}.png": number * 1601 for number in numbers})
    write(tmp_path / "two", {f"{number}.png": number * 1601 for number in reversed(numbers)})

    def sampled(folder: str, seed: int) -> list[str]:
        return [file.path.name for file in copies._sampled(tmp_path / folder, 10, seed, LeftOut())[1]]

    assert sampled("one", 0) == sampled("two", 0) != sampled("one", 1)
    write(tmp_path / "two", {"more.png": 1})
    assert len({*sampled("one", 0)} & {*sampled("two", 0)}) >= 9
    found = measure_copies(grid, tmp_path / "one", sample=10)
    assert found.pictures == found.copied == 10
    assert found.protocol.startswith(f"10 pictures of the 40 below {tmp_path / 'one'}, drawn with seed 0; copies of 10")


def test_copies_are_made_of_a_limited_number(
    tmp_path: Path, grid: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {f"{number}.png": number * 1601 for number in range(12)})
    monkeypatch.setattr(copies, "COPIED", 4)
    found = measure_copies(grid, tmp_path)
    assert (found.pictures, found.copied) == (12, 4)
    names = [Path(f"{number}.png") for number in range(12)]
    assert {names[row] for row in chosen_rows(names, 4)} == {
        names[::-1][row] for row in chosen_rows(names[::-1], 4)
    }  # fmt: skip


def test_too_few(tmp_path: Path, grid: TorchScriptEmbedder) -> None:
    with pytest.raises(TrainingError, match="there are no pictures"):
        measure_copies(grid, tmp_path)
    write(tmp_path, {"a.png": 0xFF00})
    with pytest.raises(TrainingError, match="needs at least two pictures"):
        measure_copies(grid, tmp_path)


def test_it_survives_the_way_through_json(found: CopiesFound) -> None:
    assert CopiesFound.model_validate_json(found.model_dump_json()) == found


def test_rows_of_what_could_be_read(folder: Path, grid: TorchScriptEmbedder, tmp_path: Path) -> None:
    files = [copies.LabelledFile(path, "") for path in (folder / "a.png", tmp_path / "gone.png", folder / "b/c")]
    signed = sign_files(methods_of(grid), files, "hashing", lambda data, _: [data], 1)
    assert signed.rows.tolist() == [0, 2]
    assert signed.unread == [f"{tmp_path / 'gone.png'}: No such file or directory"]
    assert np.array_equal(signed.signatures[0].values, [[0xFF, 0], [0, 0xFF]])
    with pytest.raises(TrainingError, match=r"gone\.png: No such file"):
        signed.whole()


# --- The command


def test_any_folder(folder: Path, grid_path: Path, tmp_path: Path) -> None:
    written, page = tmp_path / "found.json", tmp_path / "page.html"
    answer = hashlake("evaluate", grid_path, folder, "--json", written, "--html", page)
    assert (answer.status, answer.err) == (0, "left out: 1 cr2, 3 in trash and thumbnail folders\n")
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert lines[0].startswith("3 pictures of the 3 below ")
    assert any(line.startswith("mirrored 0.667 / 1.000 ") for line in lines)
    assert any(line.startswith("inverted 0.000 / 1.000 ") for line in lines)
    found = CopiesFound.model_validate_json(written.read_text())
    shown = Page(page.read_text())
    assert shown.figures == ["query", "wrong", "right"] * len(found.missed)
    assert "its original: 16 bits, place 3" in shown.text
    for image in shown.images:
        assert str(image["src"]).startswith("data:image/jpeg;base64,")
    assert "http" not in page.read_text() and page.stat().st_size < 1_000_000


def test_the_copy_is_shown_as_it_was_asked_about(folder: Path, grid_path: Path, tmp_path: Path) -> None:
    hashlake("evaluate", grid_path, folder, "--html", tmp_path / "page.html")
    page = Page((tmp_path / "page.html").read_text())
    (place,) = [number for number, image in enumerate(page.images) if image["alt"] == "mirrored"]
    pictures = [
        np.asarray(Image.open(BytesIO(base64.b64decode(str(image["src"]).partition(",")[2]))).convert("L"))
        for image in (page.images[place], page.images[place + 2])
    ]
    assert np.abs(pictures[0].astype(int) - pictures[1][:, ::-1]).mean() < 16


def test_folders_are_labels_unless_one_says_so(tmp_path: Path, grid_path: Path) -> None:
    codes = {f"{kind}/{number}.png": code ^ 1 << number for kind, code in (("hat", 0xFF00), ("shoe", 0x00FF))
             for number in range(16)}  # fmt: skip
    write(tmp_path, codes)
    labelled = hashlake("evaluate", grid_path, tmp_path)
    assert "mAP@all" in labelled.out and "mirrored" in labelled.out
    alone = hashlake("evaluate", grid_path, tmp_path, "--copies", "--sample", "20", "--seed", "3")
    assert alone.status == 0 and "mAP@all" not in alone.out
    assert alone.out.startswith(f"20 pictures of the 32 below {tmp_path}, drawn with seed 3; copies of 20 of them")


def test_hostile_names_are_shown_and_never_obeyed(tmp_path: Path, grid_path: Path) -> None:
    names = ["<b>&.png", "esc\x1b[2J.png", "\u202egnp.exe.png", os.fsdecode(b"not utf-8 \xff.png"), "cr\rok.png"]
    write(tmp_path / "own", {name: 0x3333 ^ 0x1111 * place for place, name in enumerate(names)})
    (tmp_path / "own" / "broken\x1b]0;x\x07.png").write_text("no picture")
    written, page = tmp_path / "found.json", tmp_path / "page.html"
    answer = hashlake("evaluate", grid_path, tmp_path / "own", "--json", written, "--html", page)
    assert answer.status == 0
    text = page.read_text(encoding="utf-8")
    for shown in (answer.out, answer.err, text):
        assert not {"\x1b", "\x07", "\u202e", "\r"} & set(shown)
    assert "<b>" not in text and "&lt;b&gt;&amp;.png" in text
    assert "left out: " in answer.err and "\\u001b]0;x\\u0007.png: " in answer.err
    CopiesFound.model_validate_json(written.read_text(encoding="utf-8"))


def test_what_copies_alone_cannot_use(tmp_path: Path, folder: Path, grid_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,label\n")
    for words in (
        (tmp_path / "labels.csv", "--copies"),
        (folder, "--ignore_label", "x"),
        (folder, "--copies", "--database_csv", folder),
    ):
        said = refused(hashlake("evaluate", grid_path, *words))
        assert said == "Error: copies alone are measured in a folder, without --database_csv and --ignore_label"
