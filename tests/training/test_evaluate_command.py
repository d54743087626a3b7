"""``hashlake evaluate`` from a folder to a table, a JSON file and a page that stands alone; or one line of error."""

import base64
import json
import os
import re
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import pytest
import torch
from PIL import Image

from tests.fakes import Grid, picture_of
from tests.hashlake.command import Answer, hashlake
from tests.training.labelled import code_of, write_labelled
from training.quality import FIGURES, TIES
from training.results import Evaluation

VOID = {"meta", "img"}


class Page(HTMLParser):
    """Checks that every tag is closed; keeps images, classes of figures, and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.figures: list[str | None] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag not in {"script", "link", "iframe", "object"}
        if tag == "img":
            self.images.append(dict(attrs))
        if tag == "figure":
            self.figures.append(dict(attrs)["class"])
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_labelled(tmp_path_factory.mktemp("evaluate") / "pictures", wrong=(38,))


@pytest.fixture(scope="module")
def outputs(labels: Path, grid_path: Path) -> tuple[Answer, Evaluation, str]:
    """What the command said, and what its files hold."""
    written, page = labels.parent / "figures.json", labels.parent / "report.html"
    answer = hashlake("evaluate", grid_path, labels, "--json", written, "--html", page)
    assert (answer.status, answer.err) == (0, "")
    return answer, Evaluation.model_validate_json(written.read_text()), page.read_text()


# --- What it says


def test_the_table_has_the_figures_of_all_methods(outputs: tuple[Answer, Evaluation, str]) -> None:
    answer, found, _ = outputs
    lines = [line.strip() for line in answer.out.splitlines()]
    assert lines[0] == "8 queries, 32 pictures in the database"
    assert lines[1].startswith("queries: the tenth held out by sha1 of the file name")
    assert TIES in lines[2]
    for method in found.methods:
        (line,) = [line for line in lines if line.startswith(f"{method.name} ") and "[" in line]
        cells = re.findall(r"(\d\.\d{3}) \[(\d\.\d{3}), (\d\.\d{3})\]", line)
        figures = (method.figures[name] for name in FIGURES)
        assert cells == [(f"{each.value:.3f}", f"{each.low:.3f}", f"{each.high:.3f}") for each in figures]


def test_it_lists_copies_classes_and_codes(outputs: tuple[Answer, Evaluation, str]) -> None:
    answer, found, _ = outputs
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    for name in found.methods[0].near_duplicates:
        recalls = (method.near_duplicates[name] for method in found.methods)
        cells = (f"{each['recall@1'].value:.3f} / {each['recall@10'].value:.3f}" for each in recalls)
        assert f"{name} {' '.join(cells)}" in lines
    assert "hat 3 16 1.000 1.000" in lines
    assert f"codes of the queries: {found.query_codes.distinct:.1%} distinct" in answer.out
    assert f"codes of the database: {found.database_codes.distinct:.1%} distinct" in answer.out
    assert lines[-2:] == [f"written: {found.worst[0].path.parent / name}" for name in ("figures.json", "report.html")]


def test_the_json_names_model_protocol_and_rule(outputs: tuple[Answer, Evaluation, str], grid_path: Path) -> None:
    _, found, _ = outputs
    assert found.model["name"] == "grid"
    assert found.model["bits"] == 16
    assert len(str(found.model["sha256"])) == 64
    assert found.ties == TIES


# --- The page


def test_the_page_holds_the_numbers(outputs: tuple[Answer, Evaluation, str]) -> None:
    _, found, page = outputs
    text = Page(page).text
    for method in found.methods:
        figures = [
            *method.figures.values(),
            *(each for one in method.near_duplicates.values() for each in one.values()),
        ]
        for figure in figures:
            assert f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]" in text
    for each in found.classes:
        assert each.name in text
    assert f"{found.query_codes.entropy:.4f}" in text
    assert TIES in text
    assert "mean over the hits within the first R" in text
    assert page.count("<svg") == 4


def test_the_page_needs_nothing_else(outputs: tuple[Answer, Evaluation, str]) -> None:
    page = outputs[2]
    assert "http" not in page
    assert "url(" not in page
    for image in Page(page).images:
        source = image["src"]
        assert source is not None
        kind, data = source.split(",")
        assert kind == "data:image/jpeg;base64"
        with Image.open(BytesIO(base64.b64decode(data))) as picture:
            assert picture.format == "JPEG"
            assert max(picture.size) <= 112


def test_the_page_shows_the_worst_queries_and_marks_wrong_answers(outputs: tuple[Answer, Evaluation, str]) -> None:
    _, found, page = outputs
    figures = Page(page).figures
    expected = []
    for query in found.worst:
        expected.append("query")
        expected.extend("right" if answer.label == query.label else "wrong" for answer in query.answers)
    assert figures == expected + ["query", "wrong", "right"] * len(found.missed)
    assert found.missed and "its original: " in page
    assert figures[:9] == ["query"] + ["wrong"] * 8
    assert "✗ 0: hat" in page


def test_labels_and_names_are_text_and_nothing_else(tmp_path: Path, grid_path: Path) -> None:
    labels = write_labelled(tmp_path, 40)
    labels.write_text(labels.read_text().replace(",hat", ',"<b>&""hat"" [bold]"'))
    answer = hashlake("evaluate", grid_path, labels, "--html", tmp_path / "page.html")
    assert answer.status == 0
    assert '<b>&"hat" [bold]' in answer.out
    page = (tmp_path / "page.html").read_text()
    assert "<b>" not in page
    assert '<b>&"hat" [bold]' in Page(page).text


def test_folders_with_names_that_no_text_can_hold(tmp_path: Path, grid_path: Path) -> None:
    names = (os.fsdecode(b"hat \xff"), "shoe\x1b[2J")
    for number in range(40):
        file = tmp_path / "own" / names[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        picture_of(code_of(number), 64).save(file)
    written, page = tmp_path / "found.json", tmp_path / "page.html"
    answer = hashlake("evaluate", grid_path, tmp_path / "own", "--json", written, "--html", page)
    assert (answer.status, answer.err) == (0, "")
    for shown in (answer.out, page.read_text(encoding="utf-8"), written.read_text(encoding="utf-8")):
        assert "\x1b" not in shown and "hat " in shown


# --- Its options


def test_a_model_without_a_card_needs_its_size(labels: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.pt"
    torch.jit.save(torch.jit.script(Grid().eval()), str(plain))
    line = refused(hashlake("evaluate", plain, labels))
    assert line.startswith("Error: plain.pt has no model card")
    answer = hashlake("evaluate", plain, labels, "--image_size", "16", "--json", tmp_path / "plain.json")
    assert answer.status == 0
    found = json.loads((tmp_path / "plain.json").read_text())
    assert found["methods"][0]["name"] == "plain"
    assert found["methods"][0]["figures"]["kNN@10"]["value"] == 7 / 8


def test_one_folder_is_looked_for_in_another(labels: Path, tmp_path: Path, grid_path: Path) -> None:
    other = write_labelled(tmp_path, 6, start=100)
    answer = hashlake("evaluate", grid_path, other, "--database-csv", labels, "--seed", "1")
    assert answer.status == 0
    assert answer.out.splitlines()[:2] == [
        "6 queries, 40 pictures in the database",
        "queries: all of labels.csv; database: all of labels.csv",
    ]


def test_ignored_labels_are_left_out(labels: Path, grid_path: Path) -> None:
    noisy = labels.with_name("noisy.csv")
    noisy.write_text(labels.read_text() + "missing.png,other\nmissing.png,not sure\n")
    answer = hashlake("evaluate", grid_path, noisy, "--ignore_label", "other", "--ignore-label", "not sure")
    assert answer.status == 0
    assert answer.out.startswith("8 queries, 32 pictures")


# --- What it refuses


def refused(answer: Answer) -> str:
    """The last line of a command that failed and said nothing else."""
    assert answer.status != 0
    assert answer.out == ""
    line = answer.err.splitlines()[-1]
    assert line.startswith("Error: ")
    return line


def test_a_failure_leaves_old_files_as_they_were(tmp_path: Path, grid_path: Path) -> None:
    labels = write_labelled(tmp_path / "pictures")
    (tmp_path / "pictures" / "7.png").write_text("no picture")
    written = tmp_path / "figures.json"
    written.write_text("old")
    answer = hashlake("evaluate", grid_path, labels, "--json", written, "--html", tmp_path / "page.html")
    assert refused(answer).startswith(f"Error: {tmp_path / 'pictures' / '7.png'}: not an image of a known format")
    assert len(answer.err.splitlines()) == 1
    assert written.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "pictures"]


def test_a_write_that_fails_leaves_nothing_half_written(
    labels: Path, tmp_path: Path, grid_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "figures.json")

    written = tmp_path / "figures.json"
    written.write_text("old")
    monkeypatch.setattr(os, "replace", full)
    line = refused(hashlake("evaluate", grid_path, labels, "--json", written))
    assert line == "Error: figures.json: No space left on device"
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    assert written.read_text() == "old"


@pytest.mark.parametrize("option", ["--json", "--html"])
def test_a_folder_that_is_not_there_is_refused_before_anything(labels: Path, tmp_path: Path, option: str) -> None:
    answer = hashlake("evaluate", "no-model.pt", labels, option, tmp_path / "nowhere" / "out")
    assert refused(answer) == (f"Error: Invalid value for {option}: the folder {tmp_path / 'nowhere'} does not exist")


def test_both_outputs_in_one_file_are_refused(labels: Path, tmp_path: Path, grid_path: Path) -> None:
    answer = hashlake("evaluate", grid_path, labels, "--json", tmp_path / "out", "--html", tmp_path / "." / "out")
    assert refused(answer) == "Error: Invalid value for --html: --json writes to the same file"
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_model_is_refused(labels: Path, tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_text("no model")
    assert refused(hashlake("evaluate", tmp_path / "model.pt", labels)) == "Error: model.pt is not a TorchScript model"
    assert "cannot be read" in refused(hashlake("evaluate", tmp_path / "missing.pt", labels))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "needs a header line with the columns path and label"),
        ("image,class\n0.png,hat\n", "needs a header line with the columns path and label"),
        ("path,label\n0.png\n", "has no path or no label in row 2"),
        ("path,label\n1.png,hat\n", "lists 1 pictures: too few to hold a tenth out as queries"),
    ],
    ids=["empty", "other columns", "cut short", "too few"],
)
def test_a_list_that_cannot_be_measured_with_is_refused(
    tmp_path: Path, grid_path: Path, content: str, complaint: str
) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(content)
    assert refused(hashlake("evaluate", grid_path, labels)).startswith(f"Error: {labels} {complaint}")


def test_classes_that_never_meet_are_refused(tmp_path: Path, grid_path: Path) -> None:
    labels = write_labelled(tmp_path, 2)  # 0.png, a hat, is held out; 1.png is a shoe
    line = refused(hashlake("evaluate", grid_path, labels))
    assert line == "Error: no query has a label that occurs in the database, so nothing can be measured"
