"""``hashlake collections`` and ``hashlake duplicates``: the collections of a gateway that runs somewhere.

An image is given as URL|FILE: a URL has "://" in it or begins with "upload:", and any other word names a file if there
is one; if not, it is the name of an image of the collection, as the datalake's have.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, TextIO

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from client.answers import CollectionInfo, Failure, Json, Match, Metadata, StoredImage
from client.client import URL, Client
from client.connection import quoted
from client.errors import BadLine, ClientError, Refused
from client.json_text import decode
from client.lines import Lines, count_lines
from client.progress import Progress

#: What a server says of a picture, and not of who asks or of the collection.
_PICTURE_REFUSED = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
)


def _connected(context: click.Context, _parameter: click.Parameter, url: str) -> Client:
    try:
        client = Client(url, os.environ.get("HASHLAKE_KEY") or None)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    context.call_on_close(client.close)
    return client


def _collection_name(_context: click.Context, _parameter: click.Parameter, name: str) -> str:
    try:
        quoted(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return name


def _parsed(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Json:
    try:
        return None if text is None else decode(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


_url = click.option(
    "--url", "client", default=URL, show_default=True, envvar="HASHLAKE_URL", metavar="URL", callback=_connected,
    help="The gateway. The variable HASHLAKE_KEY holds the API key, where it asks for one.",
)  # fmt: skip
_name = click.argument("name", callback=_collection_name)
_filter = click.option(
    "--filter", "condition", metavar="JSON", callback=_parsed,
    help='Only images with such metadata, such as \'{"year": {"$gte": 1990}}\'.',
)  # fmt: skip
_as_json = click.option("--json", "as_json", is_flag=True, help="Print what the server answers, as JSON.")


@click.group(short_help="Add, search and list images of live collections.")
def collections() -> None:
    """Collections of images that change while they are searched, on a gateway that runs. The datalake's index is the
    collection `default`.

    URL|FILE is what has "://" in it, or the file of that name, or an image that the collection has.
    """


# --- Collections


@collections.command("list")
@_url
def list_collections(client: Client) -> None:
    """Show every collection."""
    table = Table("collection", "images", "model", "bits", "version", "changes", "bytes", box=None)
    found = client.collections()
    for info in found:
        table.add_row(
            Text(info.name),  # not markup, whatever it holds
            f"{info.count:,}",
            Text(info.model.name),
            str(info.model.bits),
            info.version,
            f"{info.journal.changes:,}",
            f"{info.bytes:,}",
        )
    if found:
        Console(width=None if sys.stdout.isatty() else 200).print(table)
    else:
        click.echo("there is no collection yet")


@collections.command()
@_name
@click.option(
    "--model_path", metavar="FILE", help="Not the served model, but this one, below the server's models folder."
)
@_url
def create(name: str, model_path: str | None, client: Client) -> None:
    """Make the empty collection NAME."""
    info = client.create(name, model_path)
    click.echo(f"{info.name} is created: codes of {info.model.bits} bits, model {info.model.name}")


@collections.command()
@_name
@click.option("--yes", is_flag=True, help="Don't ask.")
@_url
def delete(name: str, yes: bool, client: Client) -> None:
    """Delete the collection NAME and all that is in it, for good."""
    if not yes:
        count = client.info(name).count
        click.confirm(f"Delete the collection {name} and its {count:,} images for good?", abort=True, err=True)
    client.delete(name)
    click.echo(f"{name} is deleted")


@collections.command()
@_name
@_url
def stats(name: str, client: Client) -> None:
    """Show what there is to know of the collection NAME."""
    for what, value in _stats(client.info(name)):
        click.echo(f"{what:<15}{value}")


def _stats(info: CollectionInfo) -> Iterator[tuple[str, str]]:
    yield "collection", info.name
    yield "images", f"{info.count:,}"
    details = "" if info.model.detail_bits is None else f" and {info.model.detail_bits} of detail"
    yield "model", f"{info.model.name}, {info.model.bits} bits{details}, sha256 {info.model.sha256[:12]}…"
    yield "version", f"{info.version} (of {', '.join(info.versions)})"
    yield "journal", f"{info.journal.changes:,} changes, {info.journal.bytes:,} bytes"
    yield "on disk", f"{info.bytes:,} bytes"
    if info.created is not None:
        yield "created (UTC)", f"{info.created:%Y-%m-%d %H:%M:%S}"


@collections.command(short_help="Write the changes into a new base version.")
@_name
@_url
def fold(name: str, client: Client) -> None:
    """Write the changes of the collection NAME into a new base version. Searching goes on meanwhile."""
    folded = client.fold(name)
    click.echo(f"version {folded.version} has {folded.count:,} images, {folded.folded:,} changes went into it")


# --- Images


@collections.command(short_help="Add images, by URL or as files.")
@_name
@click.argument("images", metavar="URL|FILE...", nargs=-1, required=True)
@click.option("--metadata", metavar="JSON", callback=_parsed, help='Of each image, such as \'{"colour": "red"}\'.')
@_url
def add(name: str, images: tuple[str, ...], metadata: Metadata, client: Client) -> None:
    """Add images to the collection NAME, and print what each is called there. The exit status is 1 if one failed."""
    collection = client.collection(name)
    failed = 0
    for image in images:
        try:
            click.echo(collection.add(**_given(image), metadata=metadata))
        except Refused as error:
            if error.status not in _PICTURE_REFUSED:
                raise
            failed += 1
            click.echo(f"failed {image}: {error}", err=True)
    if failed:
        sys.exit(1)


@collections.command("add_bulk", short_help="Add the images of a file of URLs.")
@_name
@click.argument("file", metavar="FILE.jsonl|-", type=click.File("rb"))
@_url
def add_bulk(name: str, file: BinaryIO, client: Client) -> None:
    """Add the images of a file to the collection NAME. A line is a URL, or an object with `url` and, if you like,
    `metadata`. What fails is told and doesn't stop the others; the exit status is then 1."""
    bad: list[BadLine] = []
    with Progress("added", count_lines(file)) as progress:

        def tell_bad(line: BadLine) -> None:
            bad.append(line)
            progress.say(f"failed {line}")

        def tell(sent: int, failed: Sequence[Failure]) -> None:
            for failure in failed:
                progress.say(f"failed {failure.url}: {failure.error}")
            progress.reach(sent + len(bad))

        lines = Lines(file, tell_bad)
        try:
            outcome = client.collection(name).add_bulk(lines.new_images(), tell)
        except Refused as error:
            _raise_with_line(error, lines, "the batches before it are added")
    failed = len(outcome.failed) + len(bad)
    click.echo(f"{outcome.added:,} added, {outcome.found:,} there before, {failed:,} failed")
    if failed:
        sys.exit(1)


@collections.command(short_help="Find the images most like one, or of a class.")
@_name
@click.argument("image", metavar="[URL|FILE]", required=False)
@click.option("--text", metavar="CLASS", help="Instead of URL|FILE: the class whose images are wanted.")
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 1000), help="Answers wanted.")
@_filter
@_as_json
@_url
def search(
    name: str, image: str | None, text: str | None, limit: int, condition: Json, as_json: bool, client: Client
) -> None:
    """Print the images of the collection NAME most like URL|FILE, or of a class, best first, each with its similarity
    in percent."""
    if (image is None) == (text is None):
        raise click.UsageError("give either URL|FILE or --text CLASS")
    given: dict[str, Any] = {"text": text} if image is None else _given(image)
    matches: list[Match] = client.collection(name).search(**given, limit=limit, filter=condition)
    if as_json:
        click.echo(_text([asdict(match) for match in matches]))
        return
    for match in matches:
        click.echo(f"{match.similarity:5.1f}  {match.url}")


@collections.command(short_help="Print how similar two images are.")
@_name
@click.argument("image", metavar="URL|FILE")
@click.argument("other", metavar="URL|FILE")
@_url
def compare(name: str, image: str, other: str, client: Client) -> None:
    """Print how similar two images are to the model of the collection NAME, in percent."""
    given: dict[str, Any] = _given(image) | _given(other, "other", "other_image")
    click.echo(f"{client.collection(name).compare(**given):g}")


@collections.command(short_help="Print every URL.")
@_name
@_filter
@_url
def urls(name: str, condition: Json, client: Client) -> None:
    """Print the URL of every image of the collection NAME, sorted."""
    for url in client.collection(name).urls(condition):
        click.echo(url)


@collections.command()
@_name
@_filter
@_url
def count(name: str, condition: Json, client: Client) -> None:
    """Print how many images the collection NAME has."""
    click.echo(client.collection(name).count(condition))


@collections.command()
@_name
@click.argument("url")
@_url
def remove(name: str, url: str, client: Client) -> None:
    """Remove the image URL from the collection NAME."""
    if not client.collection(name).remove(url):
        raise click.ClickException(f"the collection {name} has no image {url}")
    click.echo(f"{url} is removed")


# --- Carrying a collection elsewhere


@collections.command(short_help="Write every image with its code and metadata.")
@_name
@_filter
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; it appears when it is complete.  [default: standard output]",
)  # fmt: skip
@_url
def dump(name: str, condition: Json, output: Path | None, client: Client) -> None:
    """Write every image of the collection NAME with its code and metadata, a JSON object a line, as `restore` reads
    them."""
    collection = client.collection(name)
    total = collection.count(condition)
    with _written(output) as file, Progress("dumped", total) as progress:
        for done, image in enumerate(collection.dump(condition), 1):
            file.write(_text(_line(image)) + "\n")
            progress.reach(done)


@collections.command(short_help="Take in what dump wrote.")
@_name
@click.argument("file", type=click.File("rb"))
@_url
def restore(name: str, file: BinaryIO, client: Client) -> None:
    """Take the images of FILE into the collection NAME: lines as `dump` writes them, - for standard input. Where a line
    is wrong its batch is left out, and so is all that follows."""
    with Progress("restored", count_lines(file)) as progress:
        restored = 0

        def reach(done: int) -> None:
            nonlocal restored
            restored = done
            progress.reach(done)

        def stop(line: BadLine) -> NoReturn:
            raise line

        lines = Lines(file, stop)
        try:
            client.collection(name).restore(lines.stored_images(), reach)
        except BadLine as line:
            raise BadLine(f"{line} ({restored:,} images before it are restored)") from None
        except Refused as error:
            _raise_with_line(error, lines, f"{restored:,} images before it are restored")
    click.echo(f"{restored:,} images are restored")


# --- Near-duplicates


@click.command(short_help="Report the near-duplicates of a collection.")
@_name
@click.option("--max_distance", default=4, show_default=True, type=click.IntRange(0), help="Differing bits allowed.")
@click.option("--pairs", is_flag=True, help="Print every pair instead of groups.")
@_as_json
@_url
def duplicates(name: str, max_distance: int, pairs: bool, as_json: bool, client: Client) -> None:
    """Print the images of the collection NAME that are nearly the same, as soon as they are found: in groups, with the
    distance from each group's first, and an empty line between groups."""
    collection = client.collection(name)
    if pairs:
        for pair in collection.duplicates(max_distance, "pairs"):
            click.echo(_text(asdict(pair)) if as_json else f"{pair.distance:4d}  {pair.url}  {pair.other}")
        return
    between = ""
    for group in collection.duplicates(max_distance):
        if as_json:
            click.echo(_text(asdict(group)))
            continue
        lines = (f"{member.distance:4d}  {member.url}\n" for member in group.images)
        click.echo("".join(chain([between], lines)), nl=False)
        between = "\n"


# --- Shared


def _given(word: str, url: str = "url", image: str = "image") -> dict[str, Any]:
    """URL|FILE as the argument of a method of Collection."""
    is_url = "://" in word or word.startswith("upload:")
    return {image: Path(word)} if not is_url and Path(word).is_file() else {url: word}


def _text(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _line(image: StoredImage) -> dict[str, Json]:
    return {"url": image.url, "metadata": image.metadata, "embedding": image.embedding}


def _raise_with_line(error: Refused, lines: Lines, safe: str) -> NoReturn:
    """Say which line was refused, where the server says it."""
    if error.position is not None:
        raise BadLine(f"line {lines.number(error.position):,}: {error.message} ({safe})") from error
    raise ClientError(f"{error.message} ({safe})") from error


@contextmanager
def _written(path: Path | None) -> Iterator[TextIO]:
    """A file that takes its place when the block is left without an error; standard output for None."""
    if path is None:
        yield sys.stdout
        return
    path = path.resolve()  # the place that a link leads to is replaced, not the link
    if path.exists() and not path.is_file():
        raise ClientError(f"{path} is no regular file")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
