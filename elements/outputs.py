"""The files that tell what was found, a set for each document:

    NAME.txt                 the annotation file (elements/annotation_file.py)
    NAME.json                everything: pages, boxes with scores and labels, absolute and relative, and what failed
    NAME.annotations.json    W3C annotations (elements/annotations.py)
    NAME.csv                 a row for each box
    NAME.crops.zip           a picture for each box
    documents.json           which document is called what, with its counts

Each replaces its older self in one step.
"""

import csv
import io
import json
import zipfile
from pathlib import Path
from typing import IO, Any

from contract.boxes import Box
from elements.annotation_file import annotation_lines
from elements.annotations import annotation_page
from elements.cells import plain_cell
from elements.extraction import CROPS, crop_name, kept_name
from elements.replacing import new_file, replace_text
from elements.results import Found, Results

DOCUMENTS_FILE = "documents.json"
_COLUMNS = ("document", "page", "name", "file", "x", "y", "width", "height", "score", "label")


def write_outputs(results: Results, detector: dict[str, Any]) -> list[dict[str, Any]]:
    """Write the files of every document in ``results``, found by ``detector`` (elements/detectors.py), beside them.
    Returns what ``documents.json`` says of each."""
    folder, documents = results.folder, []
    kept: set[str] = set()
    for document in results.documents():
        pages = list(results.of(document))
        name = pages[0].page.called
        documents.append(
            {
                "document": document,
                "name": name,
                "pages": len(pages),
                "failed": sum(found.reason is not None for found in pages),
                "boxes": sum(len(found.boxes) for found in pages),
            }
        )
        replace_text(folder / f"{name}.txt", "".join(f"{line}\n" for line in annotation_lines(pages)))
        replace_text(folder / f"{name}.json", _json(documents[-1] | _told(detector, pages)))
        replace_text(folder / f"{name}.annotations.json", _json(annotation_page(document, detector["name"], pages)))
        replace_text(folder / f"{name}.csv", _table(document, pages))
        with new_file(folder / f"{name}.crops.zip") as file:
            _zip(file, folder / CROPS, pages)
        kept |= {kept_name(found.page.name, box) for found in pages for box in found.boxes}
    for crop in (folder / CROPS).glob("*.jpg"):
        if crop.name not in kept:  # of a page that is gone, or of what was found earlier
            crop.unlink()
    replace_text(folder / DOCUMENTS_FILE, _json({"detector": detector, "documents": documents}))
    return documents


def _told(detector: dict[str, Any], pages: list[Found]) -> dict[str, Any]:
    return {
        "detector": detector,
        "found": [_page(found) for found in pages if found.reason is None],
        "not_read": [
            {"page": found.page.number, "name": found.page.name, "reason": found.reason}
            for found in pages
            if found.reason is not None
        ],
    }


def _page(found: Found) -> dict[str, Any]:
    assert found.size is not None
    width, height = found.size
    page = {"page": found.page.number, "name": found.page.name, "file": found.page.file}
    return page | {"width": width, "height": height, "boxes": [_box(box, width, height) for box in found.boxes]}


def _box(box: Box, width: int, height: int) -> dict[str, Any]:
    absolute = {"x": box.x, "y": box.y, "width": box.width, "height": box.height}
    relative = {key: round(value / (width if key in ("x", "width") else height), 6) for key, value in absolute.items()}
    return {"label": box.label, "score": round(box.score, 4), "absolute": absolute, "relative": relative}


def _table(document: str, pages: list[Found]) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow(_COLUMNS)
    for found in pages:
        page = found.page
        for box in found.boxes:
            place = (plain_cell(document), page.number, plain_cell(page.name), page.file)
            found_there = (box.x, box.y, box.width, box.height, f"{box.score:.4f}", plain_cell(box.label))
            rows.writerow((*place, *found_there))
    return text.getvalue()


def _zip(file: IO[bytes], crops: Path, pages: list[Found]) -> None:
    with zipfile.ZipFile(file, "w") as archive:  # JPEG doesn't compress
        for found in pages:
            for box in found.boxes:
                name, kept = crop_name(found.page.file, box), crops / kept_name(found.page.name, box)
                if kept.is_file() and name not in archive.NameToInfo:
                    archive.write(kept, name)


def _json(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"
