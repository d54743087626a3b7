"""Pictures of rows that aren't files: in a bucket on a real server, in an archive, on a page; nothing else is read."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from gateway.images.originals import router
from gateway.settings import GatewaySettings
from sources.errors import Unreadable
from sources.originals import Originals
from tests.fakes import picture_of, png_of, write_grid_model
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.hashlake.command import hashlake
from tests.sources.pdf_files import pdf_of
from tests.sources.s3_server import SECRET, S3Server, set_credentials


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a picture's folder in a bucket, beside which there is a secret."""
    with S3Server() as server:
        set_credentials(monkeypatch, server.url)
        store = server.bucket("lake")
        server.put(store, "photos/é.png", png_of(7))
        server.put(store, "photos/a.pdf", pdf_of([picture_of(0xFF00, 64)]))
        server.put(store, "photos-private/secret.png", png_of(8))
        yield "s3://lake/photos"


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
        assert httpx.get(answer.headers["Location"], trust_env=False).content == png_of(7)
        assert client.get("/images/0").status_code == 200  # a page has no link of its own


def test_what_is_not_in_the_source_is_never_read(tmp_path: Path, bucket: str) -> None:
    settings = settings_in(tmp_path)  # no source: the rows of another machine's index
    indexed(settings, bucket)
    with Client(tiny_app(settings, router)) as client:
        assert client.get("/images/1").status_code == 404
    originals = Originals(bucket)
    assert originals.has("s3://lake/photos/é.png")
    for name in ("s3://lake/photos-private/secret.png", "s3://other/photos/a.png", "/etc/passwd", "photos/a.png"):
        assert not originals.has(name)
    with pytest.raises(Unreadable):
        originals.read("s3://lake/photos/none.png")


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
    assert not Originals(None).has("") and not Originals("urls:list.txt").has("http://e.org/a.png")
