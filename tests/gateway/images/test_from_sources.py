"""Pictures of rows that aren't files: in a bucket, on websites and image servers, all of them real, in an archive, on a
page; nothing else is read."""

import asyncio
import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from fastapi import APIRouter
from PIL import Image

from gateway.collections import browsing
from gateway.images import source_pictures
from gateway.images.originals import router
from gateway.settings import GatewaySettings
from searcher.entry import Entry
from searcher.versions.store import IndexStore
from sources.errors import Unreadable
from sources.fetching.addresses import HostList
from sources.originals import Originals
from tests.fakes import picture_of, png_of, write_grid_model
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.hashlake.command import hashlake
from tests.searcher.versions.versions_by_hand import publish
from tests.sources.fetching.picture_site import PictureSite
from tests.sources.pdf_files import pdf_of
from tests.sources.s3_server import SECRET, S3Server, set_credentials


@pytest.fixture
def bucket(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a picture's folder in a bucket, beside which there is a secret."""
    set_credentials(monkeypatch, s3.url)
    name, store = s3.new_bucket()
    s3.put(store, "photos/é.png", png_of(7))
    s3.put(store, "photos/a.pdf", pdf_of([picture_of(0xFF00, 64)]))
    s3.put(store, "photos-private/secret.png", png_of(8))
    return f"s3://{name}/photos"


def indexed(settings: GatewaySettings, address: str) -> None:
    model = write_grid_model(settings.state / "grid.pt")
    answer = hashlake(
        "index", "--source", address, "--split", "pdf", "--model_path", model, "--index_store", settings.index_store,
        "--new_index_database_version", "1",
    )  # fmt: skip
    assert answer.status == 0, answer.err


def test_objects_and_their_pages_are_shown_through_the_gateway(tmp_path: Path, bucket: str) -> None:
    settings = settings_in(tmp_path).model_copy(update={"source": bucket})
    indexed(settings, bucket)
    with Client(tiny_app(settings, router)) as client:
        page, photo = client.get("/images/0"), client.get("/images/1")
        assert (photo.content, photo.headers["Content-Type"]) == (png_of(7), "image/png")
        assert Image.open(io.BytesIO(page.content)).size == (300, 300)
        again = client.get("/images/1", If_None_Match=photo.headers["ETag"])
        assert again.status_code == 304
        thumbnail = client.get("/thumbnails/1")
        assert Image.open(io.BytesIO(thumbnail.content)).format == "WEBP"
        for answer in (page, photo, thumbnail):
            assert SECRET not in str(answer.headers)


def test_a_link_for_a_while_instead(tmp_path: Path, bucket: str) -> None:
    settings = settings_in(tmp_path).model_copy(update={"source": bucket, "presigned_seconds": 60})
    indexed(settings, bucket)
    with Client(tiny_app(settings, router)) as client:
        answer = client.get("/images/1")
        assert answer.status_code == 307
        assert "X-Amz-Expires=60" in answer.headers["Location"]
        assert SECRET not in answer.headers["Location"]
        assert httpx.get(answer.headers["Location"], trust_env=False, timeout=60).content == png_of(7)
        assert client.get("/images/0").status_code == 200  # a page has no link of its own


def test_what_is_not_in_the_source_is_never_read(tmp_path: Path, bucket: str) -> None:
    settings = settings_in(tmp_path)  # no source: the rows of another machine's index
    indexed(settings, bucket)
    with Client(tiny_app(settings, router)) as client:
        assert client.get("/images/1").status_code == 404
    originals = Originals(bucket)
    assert originals.has(f"{bucket}/é.png")
    for name in (f"{bucket}-private/secret.png", "s3://other/photos/a.png", "/etc/passwd", "photos/a.png"):
        assert not originals.has(name)
    with pytest.raises(Unreadable):
        originals.read(f"{bucket}/none.png")


def test_an_archive_and_a_folder(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b/c.png", png_of(7))
    originals = Originals(f"zip:{tmp_path}/a.zip")
    assert originals.has(f"{tmp_path}/a.zip#b/c.png")
    assert originals.read(f"{tmp_path}/a.zip#b/c.png") == png_of(7)
    with pytest.raises(Unreadable):
        originals.read(f"{tmp_path}/a.zip#b/d.png")
    originals.close()
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "a.png").write_bytes(png_of(9))
    (tmp_path / "secret.png").write_bytes(png_of(8))
    folder = Originals(f"{tmp_path}/lake")
    assert folder.read(f"{tmp_path}/lake/a.png") == png_of(9)
    assert folder.link(f"{tmp_path}/lake/a.png", 60) is None
    for name in (f"{tmp_path}/lake/../secret.png", f"{tmp_path}/lake/none.png"):
        with pytest.raises(Unreadable, match="no such file"):
            folder.read(name)
    assert not Originals().has("") and not Originals("urls:list.txt").has("http://e.org/a.png")


# --- Downloaded ones


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureSite]:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        yield site


class Fetching(Client):
    """A client of an application that downloads."""

    def __init__(self, settings: GatewaySettings, *routers: APIRouter) -> None:
        app = tiny_app(settings, *(routers or (router,)))
        self.services = app.state.services
        super().__init__(app)

    def __enter__(self) -> Self:
        self._runner.run(self.services.fetcher.__aenter__())
        return self

    def __exit__(self, *_: Any) -> None:
        self._runner.run(self.services.fetcher.__aexit__())
        self.services.originals.close()
        super().__exit__(None, None, None)


def canvases(site: PictureSite, *images: str) -> str:
    """The address of a manifest of these images, by their addresses."""
    items = [
        {"id": site.url(f"/canvas/{number}"), "type": "Canvas", "items": [{"items": [{"body": {"id": image}}]}]}
        for number, image in enumerate(images, 1)
    ]
    manifest = {"type": "Manifest", "id": site.url("/m.json"), "label": {"en": ["Book"]}, "items": items}
    return f"iiif:{site.put('/m.json', json.dumps(manifest).encode())}"


def test_pictures_of_a_list_of_urls_are_downloaded_again(tmp_path: Path, site: PictureSite) -> None:
    first, page = site.put("/a.png", png_of(7)), site.put("/b.pdf", pdf_of([picture_of(0xFF00, 64)]))
    (tmp_path / "list.txt").write_text(f"{first}\n{page}\n")
    settings = settings_in(tmp_path)
    indexed(settings, f"urls:{tmp_path}/list.txt")
    with Fetching(settings) as client:
        photo = client.get("/images/0")
        assert (photo.content, photo.headers["Content-Type"]) == (png_of(7), "image/png")
        assert client.get("/images/0", If_None_Match=photo.headers["ETag"]).status_code == 304
        assert Image.open(io.BytesIO(client.get("/images/1").content)).size == (300, 300)
        assert client.services.bodies.held == 0
        site.asked.clear()
        small = [client.get("/thumbnails/0?version=1") for _ in range(3)]
        assert {each.content for each in small} == {small[0].content}
        assert Image.open(io.BytesIO(small[0].content)).format == "WEBP"
        assert client.get("/thumbnails/0", If_None_Match=small[0].headers["ETag"]).status_code == 304
        assert site.asked == ["/a.png"]
        site.put("/a.png", png_of(9))
        assert client.get("/images/0").content == png_of(9)
        site.pictures.clear()
        gone = client.get("/images/0")
        assert (gone.status_code, gone.json()["message"]) == (
            404, "the picture is no longer there: 127.0.0.1 answers with status 404",
        )  # fmt: skip
        assert client.get("/thumbnails/0").status_code == 200


def test_canvases_show_their_images(tmp_path: Path, site: PictureSite) -> None:
    address = canvases(site, site.put("/1.png", png_of(7)), site.put("/2.png", png_of(9)))
    settings = settings_in(tmp_path)
    indexed(settings, address)
    with Fetching(settings) as client:
        assert [client.get(f"/images/{row}").content for row in (0, 1)] == [png_of(7), png_of(9)]
        assert Image.open(io.BytesIO(client.get("/thumbnails/1").content)).size == (16, 16)


def test_faults_of_a_site_say_whose_they_are(
    tmp_path: Path, site: PictureSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "list.txt").write_text(site.put("/a.png", png_of(7)) + "\n")
    indexed(settings_in(tmp_path), f"urls:{tmp_path}/list.txt")
    for changed, kind, status, message in (
        ({"fetch_deny": HostList.parse("127.0.0.0/8")}, "images", 404, "the host 127.0.0.1 may not be asked"),
        ({"fetch_max_mb": 0}, "thumbnails", 404, "127.0.0.1 sends more than 0 bytes"),
        ({"bodies_max_mb": 0}, "images", 503, "too many pictures are sent at once"),
    ):
        with Fetching(settings_in(tmp_path).model_copy(update=changed)) as client:
            answer = client.get(f"/{kind}/0")
            assert (answer.status_code, message in answer.json()["message"]) == (status, True), answer.text
    monkeypatch.setattr(source_pictures, "SECONDS", 0.2)
    with Fetching(settings_in(tmp_path)) as client:
        client.services.fetcher._all = asyncio.Semaphore(0)  # others are downloading as much as may be
        answer = client.get("/thumbnails/0")
        assert (answer.status_code, answer.headers["Retry-After"]) == (504, "1")


def test_pages_of_the_datalakes_own_files(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    (settings.datalake_root / "a.pdf").write_bytes(pdf_of([picture_of(0xFF00, 64)]))
    (tmp_path / "secret.pdf").write_bytes(pdf_of([picture_of(0x00FF, 64)]))
    names = ["a.pdf#page=1", "a.pdf#page=2", "b.pdf#page=1", "../secret.pdf#page=1"]
    publish(IndexStore(settings.index_store), "1", {name: number for number, name in enumerate(names)})
    with Client(tiny_app(settings, router)) as client:
        assert Image.open(io.BytesIO(client.get("/images/0").content)).size == (300, 300)
        assert client.get("/thumbnails/0").status_code == 200
        assert [client.get(f"/images/{row}").status_code for row in (1, 2, 3)] == [404, 404, 404]


def test_what_a_watch_has_put_into_a_collection_is_shown(tmp_path: Path, site: PictureSite) -> None:
    settings = settings_in(tmp_path)
    lake, model = settings.datalake_root, write_grid_model(tmp_path / "grid.pt")
    (lake / "a.png").write_bytes(png_of(7))
    (lake / "b.pdf").write_bytes(pdf_of([picture_of(0xFF00, 64)]))
    (tmp_path / "secret.png").write_bytes(png_of(8))
    (lake / "link.png").symlink_to(tmp_path / "secret.png")
    with zipfile.ZipFile(tmp_path / "elsewhere.zip", "w") as archive:
        archive.writestr("z.png", png_of(11))
    for address in (str(lake), f"{tmp_path}/elsewhere.zip", canvases(site, site.put("/1.png", png_of(9)))):
        watched = hashlake(
            "watch", address, "--collection", "new", "--model_path", model, "--index_store", settings.index_store,
            "--once", "--pdfs",
        )  # fmt: skip
        assert watched.status == 0, watched.err
    with Fetching(settings, browsing.router) as client:
        images = client.get("/api/collections/new/images").json()["images"]
        shown = {image["url"].rpartition("/")[2]: client.get(image["thumbnail"]).status_code for image in images}
        archived = "elsewhere.zip#z.png"
        assert shown == {"a.png": 200, "b.pdf#page=1": 200, "link.png": 404, archived: 200, "1": 200}
        services = client.services
        services.collections.collections.open("new").add([Entry(f"{tmp_path}/other.zip#z.png", {"code": b"12"})])
        unknown = client.get(f"/api/collections/new/thumbnail?url={tmp_path}/other.zip%23z.png")
        assert unknown.status_code == 404
