"""Lists of URLs in the formats that img2dataset reads: names of pictures, and what is known of them.

a.txt                a URL a line; metadata has no place
a.csv, a.tsv         columns with a head                 ┐ the column or key ``url`` (or ``URL``) is the name, all
a.jsonl, a.ndjson    an object a line                    ├ others are the image's metadata; an object ``metadata``
a.parquet            columns, read by groups of rows     ┘ is taken as it is, as in ``collections add_bulk``

Text is in UTF-8, or in the encoding that its first bytes tell (sources/listing.py).
"""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from contract.image_names import normalised
from contract.registry import NotRegistered
from sources.errors import ListingError
from sources.listing import encoding_of
from sources.source import Item
from sources.spool import storable

#: Suffixes of lists with metadata; all other files have a URL a line.
WITH_METADATA = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")

#: Rows of a Parquet file that are in memory at once.
_ROWS = 1024


def listed(path: Path) -> Iterator[Item]:
    """Yields the items that the file at ``path`` lists, in its order. Raises ListingError, which names the row."""
    rows = {".csv": _csv, ".tsv": _csv, ".parquet": _parquet}.get(path.suffix.lower(), _json_lines)
    try:
        for number, row in enumerate(rows(path), 1):
            yield _item(row, f"{path}, row {number:,}")
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise ListingError(f"the list {path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _item(row: Any, place: str) -> Item:
    if isinstance(row, str):
        row = {"url": row}
    url = None if not isinstance(row, dict) else row.pop("url", None) or row.pop("URL", None)
    if not isinstance(url, str) or not url:
        raise ListingError(f"{place}: there is no url")
    try:
        url.encode()
    except UnicodeEncodeError as error:  # JSON can spell one: "\ud800"
        raise ListingError(f"{place}: the url has half a character in it") from error
    given = row.pop("metadata", None)
    metadata = {key: value for key, value in row.items() if value is not None}
    if isinstance(given, dict):
        metadata |= given
    elif given is not None:
        metadata["metadata"] = given
    try:
        text = json.dumps(metadata, ensure_ascii=False, allow_nan=False, default=str) if metadata else None
    except ValueError as error:  # NaN and infinity, which no JSON has
        raise ListingError(f"{place}: {error}") from error
    return Item(normalised(url), metadata=text and storable(text))


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    mark, encoding = encoding_of(path)
    with path.open(encoding=encoding, newline="") as file:
        file.read(bool(mark))
        yield file


def _csv(path: Path) -> Iterator[Any]:
    with _text(path) as file:
        yield from csv.DictReader(file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", restkey="more")


def _json_lines(path: Path) -> Iterator[Any]:
    with _text(path) as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as error:
                    raise ListingError(f"{path}, line {number:,}: it is no JSON") from error


def _parquet(path: Path) -> Iterator[Any]:
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise NotRegistered(f"a list in Parquet needs {error.name}: pip install 'hashlake[parquet]'") from error
    try:
        with path.open("rb") as file, ParquetFile(file) as table:
            for batch in table.iter_batches(batch_size=_ROWS):
                yield from batch.to_pylist()
    except (ArrowException, ValueError) as error:
        raise ListingError(f"the list {path} is no Parquet file: {str(error).partition(chr(10))[0]}") from error
