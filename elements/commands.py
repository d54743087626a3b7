"""``hashlake elements``: elements of documents, and how alike documents are."""

import json
import time
from pathlib import Path

import click

from contract.tables import say_table
from contract.terminal import say
from detection.identity import file_of, identity_of
from detection.registry import open_detector
from elements.detectors import named, usable
from elements.documents import open_document, splitters_for
from elements.extraction import extract
from elements.outputs import DOCUMENTS_FILE, write_outputs
from elements.pages import Pages
from elements.results import Found, Results
from elements.similarity.command import similarity

_EVERY_SECONDS = 0.5


@click.group(short_help="Find the elements of documents, and compare documents.")
def elements() -> None:
    """Parts of pages, found by a detector, and documents that share pictures.

    Killed at any moment, the same command goes on where it stopped.
    """


@elements.command(short_help="Find the elements on a document's pages.")
@click.argument("source")
@click.option("--detector", required=True, metavar="NAME", help="What finds them: see hashlake elements detectors.")
@click.option(
    "--output",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder of this document's own, for the results.",
)
@click.option("--json", "as_json", is_flag=True, help="Print progress and the outcome as JSON, a line each.")
def detect(source: str, detector: str, output: Path, as_json: bool) -> None:
    """Find the elements on the pages of SOURCE: a IIIF manifest or collection (https://…), a PDF, a folder of pictures,
    an archive, urls:FILE, collection:…

    For each document there are NAME.txt (the annotation file of extractorAPI's clients), NAME.json,
    NAME.annotations.json (W3C), NAME.csv and NAME.crops.zip. Pages that cannot be read are reported, and tried again by
    the next run.
    """
    found_by = open_detector(detector)
    splitters = splitters_for(source)
    file = file_of(detector)
    with Results(output, identity_of(found_by, file), source) as results, open_document(source, splitters) as pages:
        progress = _Progress(pages.count, results.known(), as_json)
        extract(Pages(pages, source, splitters), found_by, results, progress.tell)
        documents = write_outputs(results, named(found_by, file))
    if as_json:
        say(json.dumps({"documents": documents}))
        return
    for each in documents:
        failed = f", {each['failed']:,} not read" if each["failed"] else ""
        say(f"{each['document']}: {each['boxes']:,} boxes on {each['pages']:,} pages{failed}")
    say(f"{output / DOCUMENTS_FILE} lists the files")


@elements.command(short_help="List the detectors.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def detectors(as_json: bool) -> None:
    """What --detector may name here."""
    found = usable()
    if as_json:
        say(json.dumps(found))
    else:
        say_table(["detector", "finds"], [[each["name"], ", ".join(each["labels"])] for each in found])


elements.add_command(similarity)


class _Progress:
    """Tells how many of ``total`` items are done, ``done`` of them by an earlier run."""

    def __init__(self, total: int, done: int, as_json: bool) -> None:
        self._total = total
        self._done = done
        self._failed = 0
        self._as_json = as_json
        self._told = time.monotonic()
        self._line()

    def tell(self, found: Found) -> None:
        self._done += 1
        if found.reason is not None:
            self._failed += 1
            if not self._as_json:
                say(f"page {found.page.number} of {found.page.document} is left out: {found.reason}", err=True)
        if time.monotonic() - self._told >= _EVERY_SECONDS:
            self._line()

    def _line(self) -> None:
        self._told = time.monotonic()
        if self._as_json:
            total = max(self._total, self._done)  # a PDF is one item, and has many pages
            say(json.dumps({"done": self._done, "total": total, "failed": self._failed}))
