"""Text in segments that a model reads whole: nothing is cut, nothing is lost, and what says nothing is left out."""

import json
from pathlib import Path

import numpy as np
import pytest

from embedding.registry import load_embedder
from searcher.versions.store import IndexStore
from sources.errors import SourceError
from sources.pdf import open_pdf
from sources.segments import Segment, says_something, segments_of
from tests.fakes import write_grid_model, write_words_model
from tests.hashlake.command import hashlake
from tests.sources.pdf_files import pdf_of


class FakeWords:
    """A token a word; ``room`` for so many."""

    def __init__(self, room: int) -> None:
        self.room = room

    def count(self, text: str) -> int:
        return len(text.split())


def numbered(first: int, last: int) -> str:
    return " ".join(f"word{number}" for number in range(first, last))


def test_short_pages_come_together_and_long_ones_are_cut() -> None:
    words = FakeWords(12)
    found = segments_of([(1, numbered(0, 5)), (2, numbered(5, 11)), (3, numbered(11, 40))], words)
    assert [segment.number for segment in found] == list(range(len(found)))
    assert found[0] == Segment(f"{numbered(0, 5)}\n\n{numbered(5, 11)}", 1, 0, 11)
    assert all(segment.tokens <= 12 for segment in found)
    said = [word for segment in found for word in segment.text.split()]
    assert set(said) == set(numbered(0, 40).split())


def test_a_segment_repeats_the_end_of_the_one_before() -> None:
    words = FakeWords(12)
    first, second = segments_of([(1, numbered(0, 8)), (2, numbered(8, 11)), (3, numbered(11, 19))], words)
    assert first.text == f"{numbered(0, 8)}\n\n{numbered(8, 11)}"
    assert second.text == f"{numbered(8, 11)}\n\n{numbered(11, 19)}"
    assert (second.page, second.tokens) == (2, 11)


def test_more_than_a_hundred_tokens_never() -> None:
    found = segments_of([(1, numbered(0, 1000))], FakeWords(5000))
    assert max(segment.tokens for segment in found) == 100


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", False), ("short", False), ("exactly twenty chars", True), ("a" * 40, False), ("abcd" * 10, False),
        ("-·-·-·~=+*/ab-·-·-·~=+*/", False), ("\U0001d400\U0001d401\U0001d402" * 4 + "abcdefghijklm", False),
        ("Größe der Wörter, 日本語 und so weiter", True),
    ],
)  # fmt: skip
def test_what_says_nothing(text: str, says: bool) -> None:
    assert says_something(text) is says


def test_tokens_are_counted_by_the_model(tmp_path: Path) -> None:
    words = load_embedder(write_words_model(tmp_path / "words.pt")).words  # type: ignore[attr-defined]
    assert (words.room, words.count(""), words.count("red green"), words.count("red " * 50)) == (4, 0, 2, 50)


def test_a_document_is_indexed_by_pages_and_text_and_found_by_words(tmp_path: Path) -> None:
    (tmp_path / "lake").mkdir()
    said = "incomprehensible red red red then some incomprehensible blue"
    (tmp_path / "lake" / "a.pdf").write_bytes(pdf_of([said, ""], title="Colours"))
    model = write_words_model(tmp_path / "words.pt")
    run = ["index", "--source", tmp_path / "lake", "--index_store", tmp_path / "store"]
    answer = hashlake(*run, "--split", "pdf:text", "--model_path", model, "--new_index_database_version", "1")
    assert answer.status == 0, answer.err
    version = IndexStore(tmp_path / "store").open("1")
    name = f"{tmp_path}/lake/a.pdf"
    paths = version.images.paths(list(range(len(version.images))))
    assert paths == [f"{name}#page={n}" for n in (1, 2)] + [f"{name}#page=1&segment={n}" for n in (0, 1)]
    known = json.loads(version.images.sourced(paths)[paths[3]].metadata or "")
    assert known == {
        "title": "Colours", "text": "then some incomprehensible blue", "type": "text", "source_type": "pdf",
        "extraction_type": "text", "total_tokens": 4, "segment_number": 1, "page_number": 1, "url": f"{name}#page=1",
    }  # fmt: skip
    assert np.argmax(version.vectors["embedding"][2:], axis=1).tolist() == [0, 2]  # red, blue
    refused = hashlake(
        *run, "--split", "pdf:text", "--model_path", write_grid_model(tmp_path / "grid.pt"),
        "--new_index_database_version", "2",
    )  # fmt: skip
    assert "the model reads no words, and pdf:text needs one with a text tower" in refused.err
    with pytest.raises(SourceError):
        open_pdf("text=1")
