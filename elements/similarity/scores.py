"""The files that tell how similar documents are:

    similarity.json              {parameters, index: {sources, images, transpositions}, pairs: [[i, j, score, 0, 0]], …}
                                 with verification: [i, j, score, 0, 0, inliers]
    similarity.csv               a row for each pair of figures
    scores/DIGEST.npy            for each pair of documents: a structured array (score, first, second), no pickles
    scores-compatible/DIGEST.npy if asked for: as extractorAPI's clients load it, an object array of strings, (n, 3)

DIGEST is the sha256 of both documents' names, sorted and joined; with a line break between them where two other names
give the same text, as 1 with 111 and 11 with itself do. i and j are numbers of images in the index; 0 means
that a figure was compared as it is. Each file replaces its older self in one step.
"""

import csv
import hashlib
import json
import shutil
from collections.abc import Container, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from elements.cells import plain_cell
from elements.replacing import new_file
from elements.similarity.figures import Figures
from elements.similarity.pairs import Pairs

SIMILARITY_FILE = "similarity.json"
SCORES, COMPATIBLE = "scores", "scores-compatible"
_COLUMNS = ("document_1", "image_1", "document_2", "image_2", "score", "inliers")
#: What extractorAPI's clients call a similarity of 1: they keep what is above 25.
_FULL_SCORE = 100.0


def score_name(first: str, second: str, taken: Container[str] = ()) -> str:
    """Returns the name of the file of scores of two documents, none of those ``taken``."""
    names = (hashlib.sha256(joint.join(sorted((first, second))).encode()).hexdigest() + ".npy" for joint in ("", "\n"))
    return next(name for name in names if name not in taken)


class ScoreFiles:
    """The files in ``folder`` about ``documents``, whose addresses are ``sources``. Pairs are on disk until they are
    all known: there may be more than memory holds. Must be entered."""

    def __init__(self, folder: Path, documents: Sequence[Figures], sources: Sequence[str]) -> None:
        self._folder = folder
        self._documents = documents
        self._sources = sources
        self._starts = np.cumsum([0, *(len(each.known) for each in documents)])
        self._names: set[str] = set()
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        opened = partial(TemporaryFile, "w+", encoding="utf-8", errors="replace", newline="", dir=self._folder)
        self._pairs: TextIO = self._opened.enter_context(opened())
        self._table: TextIO = self._opened.enter_context(opened())
        self._rows = csv.writer(self._table)
        self._rows.writerow(_COLUMNS)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def add(
        self, first: int, second: int, pairs: Pairs, inliers: NDArray[np.int64] | None = None, *, compatible: bool
    ) -> dict[str, Any]:
        """Write the scores of two documents, by their numbers, and how many points each pair of figures shares, where
        that was counted. Returns what is told of them."""
        one, other = self._documents[first], self._documents[second]
        triples = [
            (float(score), one.known[row].file, other.known[column].file)
            for row, column, score in zip(*pairs, strict=True)
        ]
        counts: list[list[int]] = [[]] * len(triples) if inliers is None else [[int(each)] for each in inliers]
        for row, column, score, count in zip(*pairs, counts, strict=True):
            places = int(self._starts[first] + row), int(self._starts[second] + column)
            between = ", " if self._pairs.tell() else ""
            self._pairs.write(between + json.dumps([*places, round(float(score), 3), 0, 0, *count]))
        for (score, left, right), count in zip(triples, counts, strict=True):
            names = map(plain_cell, (one.document, left, other.document, right))
            self._rows.writerow((*names, f"{score:.5f}", "".join(map(str, count))))
        name = score_name(one.document, other.document, self._names)
        self._names.add(name)
        longest = max([1, *(len(each) for _, *names in triples for each in names)])
        kind: list[tuple[str, str]] = [("score", "<f8"), ("first", f"<U{longest}"), ("second", f"<U{longest}")]
        if inliers is not None:
            kind.append(("inliers", "<i4"))
        rows = [(*triple, *count) for triple, count in zip(triples, counts, strict=True)]
        with new_file(self._folder / SCORES / name) as file:
            np.save(file, np.array(rows, dtype=kind), allow_pickle=False)
        if compatible:
            strings = [[str(round(score * _FULL_SCORE, 5)), left, right] for score, left, right in triples]
            with new_file(self._folder / COMPATIBLE / name) as file:
                np.save(file, np.array(strings, dtype=object).reshape(len(strings), 3), allow_pickle=True)
        return {"documents": [one.document, other.document], "pairs": len(triples), "file": name}

    def finish(self, parameters: dict[str, Any]) -> None:
        """Write what is about all pairs of documents."""
        sources = [
            {"uid": each.document, "src": source, "images": len(each.known), "failed": len(each.unread)}
            for each, source in zip(self._documents, self._sources, strict=True)
        ]
        images = [
            {"id": figure.file, "src": figure.name, "doc_uid": each.document, "picture": figure.portrait}
            for each in self._documents
            for figure in each.known
        ]
        unread = [
            {"id": figure.file, "src": figure.name, "doc_uid": each.document, "reason": reason}
            for each in self._documents
            for figure, reason in each.unread
        ]
        told = {
            "parameters": parameters,
            "index": {"sources": sources, "images": images, "transpositions": ["none"]},
        }
        with new_file(self._folder / SIMILARITY_FILE) as file:
            file.write(f'{_json(told)[:-1]}, "pairs": ['.encode("utf-8", "replace"))
            _copy(self._pairs, file)
            file.write(f'], "not_read": {_json(unread)}}}\n'.encode("utf-8", "replace"))
        with new_file(self._folder / "similarity.csv") as file:
            _copy(self._table, file)


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False)


def _copy(text: TextIO, file: IO[bytes]) -> None:
    text.seek(0)  # writes what is left, too
    shutil.copyfileobj(text.buffer, file)
