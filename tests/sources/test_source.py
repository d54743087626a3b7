"""What every source promises, of each of them: ours, and one that a reader computes by hand."""

import io
import pickle
import socket
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from contract.registry import NotRegistered
from sources.archives import ArchiveSource
from sources.errors import ListingError, Unreadable
from sources.fetching.addresses import HostList, Reach
from sources.fetching.fetcher import FetchLimits
from sources.folder import FolderSource, open_folder
from sources.listing import Listing
from sources.registry import SOURCES, open_source
from sources.source import Item, Source
from sources.urls import UrlSource, open_urls
from tests.sources.fetching.picture_site import PictureSite
from tests.sources.s3_server import S3Server, set_credentials


class DictSource:
    """``contents`` by name, and ``missing`` names without content; a version is the content's length."""

    def __init__(self, contents: Mapping[str, bytes], missing: list[str]) -> None:
        self._contents = contents
        self._names = sorted([*contents, *missing])

    def __str__(self) -> str:
        return "a dict"

    @property
    def count(self) -> int:
        return len(self._names)

    @property
    def state(self) -> str:
        return repr(self._names)

    def items(self, start: int = 0) -> Iterator[Item]:
        return map(Item, self._names[start:])

    def with_version(self, item: Item) -> Item:
        return replace(item, version=str(len(self.read(item)[1])))

    def read(self, item: Item) -> tuple[Item, bytes]:
        try:
            return item, self._contents[item.name]
        except KeyError as error:
            raise Unreadable("unknown") from error


#: Of the items of every source below; "c" cannot be read.
CONTENTS = {"a": b"first", "b": b"second", "d": b"", "e": b"\0" * 100_000}
NAMES = sorted([*CONTENTS, "c"])

#: A source with CONTENTS, whose names end so, but for a suffix.
Made = tuple[Source, Callable[[str], str]]


def _folder(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    for name, content in CONTENTS.items():
        (folder / f"{name}.jpg").write_bytes(content)
    (folder / "list.txt").write_text("".join(f"{name}.jpg\n" for name in NAMES))
    return FolderSource(folder, Listing(folder / "list.txt")), lambda name: f"{name}.jpg"


def _walked(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    _, name_of = _folder(folder, stack, request)
    with (folder / "c.jpg").open("wb") as too_large:
        too_large.truncate((32 << 20) + 1)
    return FolderSource(folder), name_of


def _urls(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    site = stack.enter_context(PictureSite())
    for name, content in CONTENTS.items():
        site.put(f"/{name}.jpg", content)
    (folder / "list.txt").write_text("".join(f"{site.url(f'/{name}.jpg')}\n" for name in NAMES))
    limits = FetchLimits(reach=Reach(allow=HostList.parse("127.0.0.0/8")))
    return stack.enter_context(UrlSource(Listing(folder / "list.txt"), limits)), lambda name: site.url(f"/{name}.jpg")


def _zip(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        for name in NAMES:
            archive.writestr(f"{name}.jpg", CONTENTS.get(name, bytes((32 << 20) + 1)))
    return stack.enter_context(open_source(f"zip:{folder}/a.zip")), lambda name: f"{folder}/a.zip#{name}.jpg"


def _tar(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    with tarfile.open(folder / "a.tar", "w") as archive:
        for name in NAMES:
            content = CONTENTS.get(name, bytes((32 << 20) + 1))
            info = tarfile.TarInfo(f"{name}.jpg")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stack.enter_context(open_source(f"tar:{folder}/a.tar")), lambda name: f"{folder}/a.tar#{name}.jpg"


def _objects(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    environment = stack.enter_context(pytest.MonkeyPatch.context())
    server: S3Server = request.getfixturevalue("s3")
    set_credentials(environment, server.url)
    bucket, store = server.new_bucket()
    for name in NAMES:
        server.put(store, f"{name}.jpg", CONTENTS.get(name, bytes((32 << 20) + 1)))
    return stack.enter_context(open_source(f"s3://{bucket}")), lambda name: f"s3://{bucket}/{name}.jpg"


def _dict(folder: Path, stack: ExitStack, request: pytest.FixtureRequest) -> Made:
    return DictSource(CONTENTS, ["c"]), str


@pytest.fixture(params=[_folder, _walked, _urls, _zip, _tar, _objects, _dict], ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Made]:
    with ExitStack() as stack:
        yield request.param(tmp_path, stack, request)


def content(source: Source, item: Item) -> bytes | None:
    """As an indexer reads it; None where it is unreadable."""
    try:
        return source.read(source.with_version(item))[1]
    except Unreadable:
        return None


def test_items_come_in_an_order_that_stays(made: Made) -> None:
    source, name_of = made
    items = list(source.items())
    assert [(item.name, item.kind, item.parent) for item in items] == [
        (name_of(name), "picture", None) for name in NAMES
    ]
    assert list(source.items()) == items
    assert source.count == len(items)


@pytest.mark.parametrize("start", [0, 1, 4, 5, 9])
def test_items_from_a_number_on(made: Made, start: int) -> None:
    source, _ = made
    assert list(source.items(start)) == list(source.items())[start:]


def test_contents_by_many_threads_at_once(made: Made) -> None:
    source, _ = made
    items = list(source.items()) * 10
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda item: content(source, item), items))
    assert found == [CONTENTS.get(name) for name in NAMES] * 10


def test_a_reason_is_one_line_and_names_nothing(made: Made) -> None:
    source, name_of = made
    with pytest.raises(Unreadable) as refused:
        source.read(source.with_version(Item(name_of("c"))))
    reason = str(refused.value)
    assert reason and "\n" not in reason and name_of("c") not in reason


def test_what_is_read_has_a_version_that_stays_while_it_does(made: Made) -> None:
    source, name_of = made
    asked = source.with_version(Item(name_of("a")))
    read, _ = source.read(asked)
    assert read.version is not None
    assert asked.version in (None, read.version)  # some cannot tell before
    assert source.read(source.with_version(Item(name_of("a"))))[0] == read
    assert (read.name, read.parent) == (name_of("a"), None)


def test_a_copy_for_another_machine_reads_the_same(made: Made) -> None:
    source, _ = made
    if isinstance(source, ArchiveSource):
        with pytest.raises((AttributeError, TypeError, pickle.PicklingError)):
            pickle.dumps(source)
        return
    copy = pickle.loads(pickle.dumps(source))
    items = list(source.items())
    assert [content(copy, item) for item in items] == [content(source, item) for item in items]
    assert copy.with_version(items[0]) == source.with_version(items[0])


def test_its_state_tells_which_items_it_names(made: Made) -> None:
    source, _ = made
    assert source.state == source.state != ""
    assert str(source)


def test_sources_by_name() -> None:
    assert (SOURCES.get("folder"), SOURCES.get("urls")) == (open_folder, open_urls)
    with pytest.raises(NotRegistered, match="there is no source 'tape'; there are: az, collection, folder"):
        SOURCES.get("tape")


def test_a_url_that_may_not_be_reached(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/a.jpg"
        (tmp_path / "list.txt").write_text(f"{url}\n")
        with UrlSource(Listing(tmp_path / "list.txt"), FetchLimits()) as source, pytest.raises(Unreadable, match="may"):
            source.read(Item(url))


def test_sources_are_opened_by_address(tmp_path: Path) -> None:
    folder = tmp_path / "a:b"
    folder.mkdir()
    (folder / "c.jpg").write_bytes(b"first")
    for address in (f"folder:{folder}", str(folder)):
        with open_source(address) as source:
            (item,) = source.items()
            assert (item.name, source.read(item)[1]) == (f"{folder}/c.jpg", b"first")
    with pytest.raises(ListingError, match="no image below"), open_source(f"folder:{_empty(tmp_path)}"):
        pass


def test_urls_in_a_file_are_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PictureSite() as site:
        site.put("/a.jpg", b"first")
        (tmp_path / "urls.txt").write_text(site.url("/a.jpg") + "\n")
        with open_source(f"urls:{tmp_path / 'urls.txt'}") as source:
            (item,) = source.items()
            with pytest.raises(Unreadable):
                source.read(item)  # a private address
        monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
        with open_source(f"urls:{tmp_path / 'urls.txt'}") as source:
            assert source.read(item)[1] == b"first"


def test_urls_are_named_by_their_normal_form(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        name = site.put("/%C3%A9.jpg", b"first")
        spelled = name.replace("http", "HTTP").replace("%C3%A9", "é")
        (tmp_path / "urls.txt").write_text(f"{spelled}#a\n\n {name}? \nno url\n")
        with open_source(f"urls:{tmp_path / 'urls.txt'}") as source:
            assert [item.name for item in source.items()] == [name, name, "no url"]
            assert [item.name for item in source.items(1)] == [name, "no url"]
            assert source.read(next(source.items()))[1] == b"first"


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"
