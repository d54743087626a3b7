"""``hashlake collections`` and ``hashlake duplicates``: what a running gateway has and does.

An image is given as URL|FILE. A URL contains "://" or begins with "upload:". Any other word names a file if that
exists, else an image of the collection, such as a path of the datalake.
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn, TextIO

import click

from contract.amounts import size
from contract.tables import say_table
from contract.terminal import say, visible
from hashlake.client.answers import CollectionInfo, CopyRule, Engine, Failure, Json, Metadata, Pair, StoredImage
from hashlake.client.client import Client
from hashlake.client.collection import Collection
from hashlake.client.connection import quoted
from hashlake.client.errors import BadLine, ClientError, Refused
from hashlake.client.gateway_option import of_gateway
from hashlake.client.json_text import decode
from hashlake.client.lines import Lines, count_lines
from hashlake.client.progress import Progress
from hashlake.client.turned import turned_copies

#: Statuses that concern the picture or its URL's server, not the caller or the collection.
_PICTURE_REFUSED = (
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.GATEWAY_TIMEOUT,
)


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
@of_gateway
def list_collections(client: Client) -> None:
    """Show every collection."""
    rows = [
        (
            ", ".join((info.name, *info.aliases)),
            f"{info.count:,}",
            info.model.name,
            str(info.model.bits),
            info.version or (info.engine.name if info.engine else ""),
            "" if info.journal is None else f"{info.journal.changes:,}",
            "" if info.bytes is None else size(info.bytes),
        )
        for info in client.collections()
    ]
    if rows:
        say_table(("collection", "images", "model", "bits", "version", "changes", "on disk"), rows)
    else:
        say("there is no collection yet")


@collections.command()
@_name
@click.option(
    "--model_path",
    metavar="FILE|NAME",
    help="The model: a file below the server's models folder, or a name.  [default: as NAME, or the served one]",
)
@click.option(
    "--engine", metavar="ADDRESS",
    help="Keep it there instead of in the index store: postgresql://USER:PASSWORD@HOST/DATABASE, or postgresql:// for "
    "the address in the gateway's variable PG_SERVICE_URI; or milvus://TOKEN@HOST:PORT/DATABASE, or milvus:// for "
    "that in MILVUS_URI.",
)  # fmt: skip
@click.option(
    "--place", metavar="TABLE", help="Beside --engine: the table there; one that exists is adopted.  [default: NAME]"
)
@of_gateway
def create(name: str, model_path: str | None, engine: str | None, place: str | None, client: Client) -> None:
    """Make the collection NAME, empty unless its engine has a table of that name already."""
    info = client.create(name, model_path, engine=engine, place=place)
    if info.engine is None:
        say(f"{info.name} is created: codes of {info.model.bits} bits, model {info.model.name}")
        return
    done = "created" if info.engine.made else f"adopted with {info.count:,} images"
    say(f"{info.name} is {done}: {info.engine.address}, {info.engine.place}, model {info.model.name}")


@collections.command()
@_name
@click.option("--yes", is_flag=True, help="Don't ask.")
@of_gateway
def delete(name: str, yes: bool, client: Client) -> None:
    """Delete the collection NAME and all that is in it, for good."""
    if not yes:
        info = client.info(name)
        what = f"Delete the collection {name} and its {info.count:,} images for good?"
        if info.engine is not None and not info.engine.made:
            what = f"Forget the collection {name}? What was adopted, {info.engine.place}, stays."
        click.confirm(visible(what), abort=True, err=True)
    client.delete(name)
    say(f"{name} is deleted")


@collections.command()
@_name
@of_gateway
def stats(name: str, client: Client) -> None:
    """Show what there is to know of the collection NAME."""
    info = client.info(name)
    for what, value in _stats(info):
        say(f"{what:<15}{value}")
    for what, value in client.properties(name).items() if info.engine else ():
        for line in value if isinstance(value, list) else [value]:
            say(f"{what:<14} {line}")


@collections.command(short_help="Copy a collection, to another engine too.")
@_name
@click.argument("to", callback=_collection_name)
@click.option("--engine", metavar="ADDRESS", help="What keeps the copy, if it is made now, as in `create`.")
@click.option("--place", metavar="TABLE", help="Beside --engine: the table there.  [default: TO]")
@of_gateway
def copy(name: str, to: str, engine: str | None, place: str | None, client: Client) -> None:
    """Make the collection TO a copy of the collection NAME, and compare both when it is done. Interrupted, the same
    command goes on with what is missing. If TO has images that NAME lacks, it is left
    alone, and the first one named."""
    done = client.copy(name, to, engine=engine, place=place)
    say(
        f"{to} has the same {done.count:,} images as {name}: {done.added:,} added, {done.removed:,} removed, "
        f"checksum {done.checksum[:16]}"
    )


@collections.command(short_help="Have a name mean another collection, at once and for everybody.")
@_name
@click.argument("to", callback=_collection_name)
@click.option("--keep", metavar="NAME", help="If a collection is called NAME itself: what it is called from then on.")
@click.option(
    "--catch_up", is_flag=True,
    help="First make TO a copy of what NAME means now. What is added or removed meanwhile waits, and is done to TO.",
)  # fmt: skip
@of_gateway
def alias(name: str, to: str, keep: str | None, catch_up: bool, client: Client) -> None:
    """Have NAME mean the collection TO. Who asks for NAME gets the one collection or the other, and no error."""
    client.set_alias(name, to, keep=keep, catch_up=catch_up)
    say(f"{name} is the collection {to} now" + ("" if keep is None else f"; what it was before is called {keep}"))


@collections.command(short_help="Take a further name away from its collection.")
@_name
@of_gateway
def unalias(name: str, client: Client) -> None:
    """Take the name NAME away from the collection that it means, which stays. A collection that has given NAME up is
    called so again."""
    client.remove_alias(name)
    say(f"{name} is no alias any more")


@collections.command(short_help="Have an engine search by an approximate index.")
@_name
@click.argument("kind", metavar="KIND|exact")
@of_gateway
def index(name: str, kind: str, client: Client) -> None:
    """Have the engine of the collection NAME search by an approximate index, such as `hnsw` of PostgreSQL or `ivf` of
    Milvus, and print what share of the nearest it finds; with `exact`, compare every vector again."""
    info = client.index(name, None if kind == "exact" else kind)
    say(f"{name} is searched {_searched(info.engine)}")


def _stats(info: CollectionInfo) -> Iterator[tuple[str, str]]:
    yield "collection", info.name
    if info.aliases:
        yield "also called", ", ".join(info.aliases)
    yield "images", f"{info.count:,}"
    details = "" if info.model.detail_bits is None else f" and {info.model.detail_bits} of detail"
    yield "model", f"{info.model.name}, {info.model.bits} bits{details}, sha256 {info.model.sha256[:12]}…"
    if info.copies is not None:
        yield "copies", f"{info.copies.max_distance} of {info.copies.bits} bits of {info.copies.space} may differ"
    if info.engine is not None:
        yield "engine", info.engine.address
        yield "place", info.engine.place if info.engine.made else f"{info.engine.place}, adopted"
        yield "searched", _searched(info.engine)
    if info.version is not None:
        yield "version", f"{info.version} (of {', '.join(info.versions)})"
    if info.journal is not None:
        yield "journal", f"{info.journal.changes:,} changes, {size(info.journal.bytes)}"
    if info.bytes is not None:
        yield "on disk", size(info.bytes)
    if info.created is not None:
        yield "created (UTC)", f"{info.created:%Y-%m-%d %H:%M:%S}"


def _searched(engine: Engine | None) -> str:
    if engine is None or engine.index is None:
        return "exactly"
    found = engine.index
    return (
        f"by {found.kind}, which found {found.recall:.1%} of the nearest 10 of {found.queries:,} images among "
        f"{found.images:,} on {found.measured:%Y-%m-%d}"
    )


@collections.command(short_help="Write the changes into a new base version.")
@_name
@of_gateway
def fold(name: str, client: Client) -> None:
    """Write the changes of the collection NAME into a new base version. Searching goes on meanwhile."""
    folded = client.fold(name)
    say(f"version {folded.version} has {folded.count:,} images, {folded.folded:,} changes went into it")


# --- Images


@collections.command(short_help="Add images, by URL or as files.")
@_name
@click.argument("images", metavar="URL|FILE...", nargs=-1, required=True)
@click.option("--metadata", metavar="JSON", callback=_parsed, help='Of each image, such as \'{"colour": "red"}\'.')
@of_gateway
def add(name: str, images: tuple[str, ...], metadata: Metadata, client: Client) -> None:
    """Add images to the collection NAME, and print what each is called there. The exit status is 1 if one failed."""
    collection = client.collection(name)
    failed = 0
    for image in images:
        try:
            say(collection.add(**_given(image), metadata=metadata))
        except Refused as error:
            if error.status not in _PICTURE_REFUSED:
                raise
            failed += 1
            say(f"failed {image}: {error}", err=True)
    if failed:
        sys.exit(1)


@collections.command("add_bulk", short_help="Add the images of a file of URLs.")
@_name
@click.argument("file", metavar="FILE.jsonl|-", type=click.File("rb"))
@of_gateway
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
    say(f"{outcome.added:,} added, {outcome.found:,} there before, {failed:,} failed")
    if failed:
        sys.exit(1)


@collections.command(short_help="Find the images most like one, or of a class.")
@_name
@click.argument("image", metavar="[URL|FILE]", required=False)
@click.option(
    "--text", metavar="WORDS", help="Instead of URL|FILE, or beside it: a class, or any words if the model takes them."
)
@click.option("--text_weight", type=click.FloatRange(0, 1), help="How much --text counts beside URL|FILE.")
@click.option("--negative_text", metavar="WORDS", help="What images should not be like.")
@click.option(
    "--embedding",
    type=click.File(encoding="utf-8"),
    help="Instead of URL|FILE: a file, or - for stdin, with a list of JSON.",
)
@click.option("--limit", default=10, show_default=True, type=click.IntRange(1, 16_384), help="Answers wanted.")
@click.option(
    "--rank",
    default="distance",
    show_default=True,
    type=click.Choice(["distance", "detail"]),
    help="What puts images in order: the code, which says what is shown, or the detail code, which picture it is.",
)
@click.option("--max_distance", type=click.IntRange(0, 1024), help="Leave out images whose codes differ in more bits.")
@click.option("--turned", is_flag=True, help="Look for it turned by 90, 180 or 270 degrees and mirrored, too.")
@_filter
@_as_json
@of_gateway
def search(
    name: str,
    image: str | None,
    text: str | None,
    text_weight: float | None,
    negative_text: str | None,
    embedding: TextIO | None,
    limit: int,
    rank: Literal["distance", "detail"],
    max_distance: int | None,
    turned: bool,
    condition: Json,
    as_json: bool,
    client: Client,
) -> None:
    """Print the images of the collection NAME most like URL|FILE, or of a class, best first, each with its closeness in
    percent: the share of pictures so far apart that show the same kind of thing or, with --rank detail, are the very
    same picture. Where that wasn't measured for the model, it is the similarity: 100 for equal codes, 0 where half of
    the bits differ."""
    if image is not None and embedding is not None:
        raise click.UsageError("give URL|FILE or --embedding FILE, not both")
    if image is None and embedding is None and text is None:
        raise click.UsageError("give URL|FILE or --embedding FILE, --text WORDS, or both")
    given: dict[str, Any] = {"text": text, "text_weight": text_weight, "negative_text": negative_text}
    if embedding is not None:
        given["embedding"] = _numbers_in(embedding)
    given |= {} if image is None else _given(image)
    given |= {"limit": limit, "filter": condition, "rank": rank, "max_distance": max_distance, "turned": turned}
    matches = client.collection(name).search(**given)
    if as_json:
        say(_text([asdict(match) for match in matches]))
        return
    if not matches:
        say("no image is like it, among those that may be found", err=True)
    for match in matches:
        percent = match.similarity if match.closeness is None else 100 * match.closeness
        say(f"{percent:5.1f}  {match.url}")
    if matches.nothing_like_it:
        say("nothing like it was found", err=True)


@collections.command(short_help="Print how similar two images are.")
@_name
@click.argument("image", metavar="URL|FILE")
@click.argument("other", metavar="URL|FILE")
@of_gateway
def compare(name: str, image: str, other: str, client: Client) -> None:
    """Print how much two images are the very same picture to the model of the collection NAME, from 0 to 100: of their
    detail codes, or of their codes where the model gives no others, half of the differing bits or more make it 0."""
    given: dict[str, Any] = _given(image) | _given(other, "other", "other_image")
    say(f"{client.collection(name).compare(**given):g}")


@collections.command(short_help="Print every URL.")
@_name
@_filter
@of_gateway
def urls(name: str, condition: Json, client: Client) -> None:
    """Print the URL of every image of the collection NAME, sorted."""
    for url in client.collection(name).urls(condition):
        say(url)


@collections.command()
@_name
@_filter
@of_gateway
def count(name: str, condition: Json, client: Client) -> None:
    """Print how many images the collection NAME has."""
    say(str(client.collection(name).count(condition)))


@collections.command()
@_name
@click.argument("url")
@of_gateway
def remove(name: str, url: str, client: Client) -> None:
    """Remove the image URL from the collection NAME."""
    if not client.collection(name).remove(url):
        raise click.ClickException(f"the collection {name} has no image {url}")
    say(f"{url} is removed")
    if name == "default":
        say(
            f"a new index leaves it out until there is another picture, or `hashlake collections add default {url}`",
            err=True,
        )


# --- Carrying a collection elsewhere


@collections.command(short_help="Write every image with its code and metadata.")
@_name
@_filter
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path),
    help="File to write; it appears when it is complete.  [default: standard output]",
)  # fmt: skip
@of_gateway
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
@click.option(
    "--assume_model",
    metavar="MODEL",
    help="The model, by name or sha256, of lines that don't say which made their codes, as those of older dumps.",
)
@of_gateway
def restore(name: str, file: BinaryIO, assume_model: str | None, client: Client) -> None:
    """Take the images of FILE into the collection NAME: lines as `dump` writes them, - for standard input. Where a line
    is wrong its batch is left out, and so is all that follows. Codes of another model than the collection's are
    refused."""
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
            client.collection(name).restore(lines.stored_images(), reach, assume_model=assume_model)
        except BadLine as line:
            raise BadLine(f"{line} ({restored:,} images before it are restored)") from None
        except Refused as error:
            _raise_with_line(error, lines, f"{restored:,} images before it are restored")
    say(f"{restored:,} images are restored")


# --- Near-duplicates


@click.command(short_help="Report the near-duplicates of a collection.")
@_name
@click.option(
    "--max_distance",
    type=click.IntRange(0),
    help="Bits of the detail codes that may differ.  [default: as measured for the model]",
)
@click.option("--pairs", is_flag=True, help="Print every pair instead of groups.")
@click.option(
    "--turned",
    is_flag=True,
    help="Print the pairs of which one may be turned by 90, 180 or 270 degrees or mirrored. Every picture is fetched "
    "again for it.",
)
@_as_json
@of_gateway
def duplicates(name: str, max_distance: int | None, pairs: bool, turned: bool, as_json: bool, client: Client) -> None:
    """Print the images of the collection NAME that are copies of one picture, as soon as they are found: in groups, the
    one to keep first, each with the distance of its detail code from that one's, and an empty line between groups.
    Where the model gives no detail codes, the codes are compared: they tell what is shown, rather than which picture it
    is. With --json, `same_file` says whether a file is the same byte for byte."""
    collection = client.collection(name)
    copies = client.info(name).copies
    if copies is not None and copies.space != "detail":
        say("the model gives no detail codes: its codes are compared, which tell what is shown", err=True)
    if turned:
        if copies is None:
            raise click.ClickException("this gateway is too old to find turned copies")
        _print_pairs(_turned(collection, copies, max_distance), as_json)
        return
    if pairs:
        _print_pairs(collection.duplicates(max_distance, "pairs"), as_json)
        return
    found = False
    for place, group in enumerate(collection.duplicates(max_distance)):
        found = True
        if as_json:
            say(_text(asdict(group)))
            continue
        if place:
            say()
        for member in group.images:
            say(f"{member.distance:4d}  {member.url}")
    _say_if_none(found)


def _print_pairs(pairs: Iterable[Pair], as_json: bool) -> None:
    found = False
    for pair in pairs:
        found = True
        say(_text(asdict(pair)) if as_json else f"{pair.distance:4d}  {pair.url}  {pair.other}")
    _say_if_none(found)


def _say_if_none(found: bool) -> None:
    if not found:
        say("no near-duplicates were found", err=True)


def _turned(collection: Collection, copies: CopyRule, max_distance: int | None) -> Iterator[Pair]:
    """Yields the pairs; says at the end how many pictures could not be asked about."""
    left_out = 0

    def failed(url: str, error: Refused) -> None:
        nonlocal left_out
        if error.status not in _PICTURE_REFUSED:
            raise error
        left_out += 1

    yield from turned_copies(collection, copies, max_distance, failed)
    if left_out:
        say(f"{left_out:,} pictures cannot be fetched again: only others were asked about them", err=True)


# --- Shared


def _given(word: str, url: str = "url", image: str = "image") -> dict[str, Any]:
    """Returns URL|FILE as the keyword argument for a method of Collection."""
    is_url = "://" in word or word.startswith("upload:")
    return {image: Path(word)} if not is_url and Path(word).is_file() else {url: word}


def _numbers_in(file: TextIO) -> list[float]:
    """Returns the list of numbers that ``file`` holds as JSON."""
    try:
        found = decode(file.read())
    except ValueError as error:
        raise click.BadParameter(f"{file.name}: {error}", param_hint="--embedding") from error
    if not isinstance(found, list) or not all(type(each) in (int, float) for each in found):
        raise click.BadParameter(f"{file.name} holds no list of numbers", param_hint="--embedding")
    return found


def _text(value: Json) -> str:
    return visible(json.dumps(value, ensure_ascii=False))


def _line(image: StoredImage) -> dict[str, Json]:
    further = {"code": image.code, "model": image.model}
    fields = {"url": image.url, "metadata": image.metadata, "embedding": image.embedding}
    return fields | {name: each for name, each in further.items() if each is not None}


def _raise_with_line(error: Refused, lines: Lines, safe: str) -> NoReturn:
    """Raise an error that names the refused line, if the server names it."""
    if error.position is not None:
        raise BadLine(f"line {lines.number(error.position):,}: {error.message} ({safe})") from error
    raise ClientError(f"{error.message} ({safe})") from error


@contextmanager
def _written(path: Path | None) -> Iterator[TextIO]:
    """Yields a file that replaces ``path`` if the block ends without an error, or standard output for None."""
    if path is None:
        yield sys.stdout
        return
    path = path.resolve()  # replace the link's target, not the link
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
