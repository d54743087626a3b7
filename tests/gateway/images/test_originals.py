"""Pictures and thumbnails are shown by row, as they are in the datalake, and nothing outside of it ever is."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from hashlib import blake2b
from pathlib import Path
from typing import NoReturn
from urllib.parse import unquote

import pytest
from fastapi.routing import APIRoute
from PIL import Image

from contract.refusal import error_body
from embedding.torchscript import TorchScriptEmbedder
from gateway.access.guards import require_search
from gateway.images import originals as pictures
from gateway.images.originals import router
from gateway.images.thumbnails import MAKING
from gateway.settings import GatewaySettings
from pictures.opening import UNKNOWN
from searcher.versions.images import IMAGES_FILE
from searcher.versions.store import IndexStore
from tests import versions
from tests.fakes import png_of
from tests.gateway.tiny_app import Client, damage_first_images, settings_in, tiny_app
from tests.searcher.versions.versions_by_hand import publish
from tests.squares import page, png

GONE = error_body(404, "the picture is no longer there").model_dump()
OUTSIDE = error_body(404, "the picture does not lie in the datalake").model_dump()


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return settings_in(tmp_path)


@pytest.fixture
def store(settings: GatewaySettings) -> IndexStore:
    return IndexStore(settings.index_store)


@pytest.fixture
def lake(settings: GatewaySettings) -> Path:
    return settings.datalake_root


@pytest.fixture
def client(settings: GatewaySettings) -> Iterator[Client]:
    with Client(tiny_app(settings, router)) as client:
        yield client


def write(path: Path, content: bytes) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def jpeg_of(width: int, height: int, colour: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(stream, "JPEG")
    return stream.getvalue()


@contextmanager
def no_file_left_open(folder: Path) -> Iterator[None]:
    yield
    links = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            links.append(descriptor.readlink())
        except FileNotFoundError:
            continue  # that of the listing itself
    assert [link for link in links if link.is_relative_to(folder)] == []


class TestOriginal:
    def test_its_own_bytes(self, store: IndexStore, lake: Path, client: Client) -> None:
        first, second = write(lake / "data/a.jpg", jpeg_of(30, 20)), write(lake / "data/b c.png", png_of(2))
        publish(store, "1.0.0", {"data/a.jpg": 1, "data/b c.png": 2})
        with no_file_left_open(lake):
            answers = client.get("/images/0"), client.get("/images/1?version=1.0.0")
        assert [answer.status_code for answer in answers] == [200, 200]
        assert [answer.content for answer in answers] == [first, second]
        assert dict(answers[1].headers) == {
            "etag": answers[1].headers["etag"],
            "cache-control": "private, max-age=3600",
            "x-content-type-options": "nosniff",
            "content-disposition": "inline; filename=\"b c.png\"; filename*=UTF-8''b%20c.png",
            "content-type": "image/png",
            "content-length": str(len(second)),
            "last-modified": formatdate((lake / "data/b c.png").stat().st_mtime, usegmt=True),
        }
        assert answers[0].headers["content-type"] == "image/jpeg"

    def test_a_large_one_comes_in_pieces(self, store: IndexStore, lake: Path, client: Client) -> None:
        content = write(lake / "a.png", png_of(1) + os.urandom(3_000_001))
        publish(store, "1.0.0", {"a.png": 1})
        answer = client.get("/images/0")
        assert answer.content == content and answer.headers["content-length"] == str(len(content))

    def test_each_version_has_its_own_rows(self, store: IndexStore, lake: Path, client: Client) -> None:
        contents = {name: write(lake / name, png_of(code)) for code, name in enumerate(("a", "b", "c"))}
        publish(store, "1.0.0", {"a": 0, "b": 1})
        publish(store, "1.1.0", {"c": 2, "a": 0})
        rows = {
            url: client.get(url).content
            for url in ("/images/0", "/images/1", "/images/0?version=1.0.0", "/images/1?version=1.0.0")
        }
        assert list(rows.values()) == [contents["c"], contents["a"], contents["a"], contents["b"]]

    def test_one_of_the_current_version_is_asked_for_again(self, store: IndexStore, lake: Path, client: Client) -> None:
        """Row 0 of the next version may be another picture, and its address is the same."""
        old, new = write(lake / "a", png_of(1)), write(lake / "b", png_of(2))
        publish(store, "1.0.0", {"a": 1})
        for kind in ("images", "thumbnails"):
            assert client.get(f"/{kind}/0").headers["cache-control"] == "private, no-cache"
        etag = client.get("/images/0").headers["etag"]
        publish(store, "1.1.0", {"b": 2})
        answer = client.get("/images/0", if_none_match=etag)
        assert (answer.status_code, answer.content) == (200, new)
        assert client.get("/images/0?version=1.0.0").content == old

    def test_a_region_and_the_picture_that_it_is_on(self, store: IndexStore, lake: Path, client: Client) -> None:
        content = write(lake / "a.png", png(page({"red": (10, 20, 0x00FF)})))
        publish(store, "1.0.0", {"a.png#xywh=10,20,64,64": 1, "a.png#xywh=900,20,64,64": 2})
        with no_file_left_open(lake):
            region, whole = client.get("/images/0"), client.get("/images/0?whole=true")
            outside = client.get("/images/1")
        shown = Image.open(io.BytesIO(region.content))
        assert (shown.size, shown.getpixel((0, 0)), region.headers["content-type"]) == (
            (64, 64), (255, 0, 0), "image/png",
        )  # fmt: skip
        assert whole.content == content and whole.headers["etag"] != region.headers["etag"]
        assert "last-modified" not in region.headers  # which is no file
        assert whole.headers["last-modified"] == formatdate((lake / "a.png").stat().st_mtime, usegmt=True)
        assert (outside.status_code, outside.json()) == (404, GONE)
        for url, size in (("/thumbnails/0", (64, 64)), ("/thumbnails/0?whole=true", (256, 171))):
            assert Image.open(io.BytesIO(client.get(url).content)).size == size

    def test_head(self, store: IndexStore, lake: Path, client: Client) -> None:
        write(lake / "a.jpg", jpeg_of(300, 200))
        publish(store, "1.0.0", {"a.jpg": 1})
        for url in ("/images/0?version=1.0.0", "/thumbnails/0?version=1.0.0"):
            with no_file_left_open(lake):
                got, head = client.get(url), client.request("HEAD", url)
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers == got.headers
            assert int(head.headers["content-length"]) == len(got.content) > 0

    @pytest.mark.parametrize(
        ("content", "kind"),
        [
            (b"<!DOCTYPE html><script>alert(1)</script>", "application/octet-stream"),
            (b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>", "application/octet-stream"),
            (b"", "application/octet-stream"),
            (b"BM, says the text", "application/octet-stream"),
            (b"GIF89a<script>", "image/gif"),
        ],
    )
    def test_the_type_is_what_the_bytes_say(
        self, content: bytes, kind: str, store: IndexStore, lake: Path, client: Client
    ) -> None:
        write(lake / "a.svg", content)
        publish(store, "1.0.0", {"a.svg": 1})
        answer = client.get("/images/0")
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, content, kind)
        assert answer.headers["x-content-type-options"] == "nosniff"


class TestFileName:
    @pytest.mark.parametrize(
        ("path", "plain"),
        [
            ("data/a.jpg", "a.jpg"),
            ('it\'s "quoted".jpg', "it_s _quoted_.jpg"),
            ("größe/Übergröße.jpg", "_bergr__e.jpg"),
            ("画像/写真 🐞.png", "__ _.png"),
            ("100%_wild*card?;x=y.jpg", "100__wild_card__x_y.jpg"),
            ("back\\slash.jpg", "back_slash.jpg"),
            ("tab\tname\x7f.jpg", "tab_name_.jpg"),
            ("line\r\nSet-Cookie: a=b", "line__Set-Cookie_ a_b"),
            ("-rf", "-rf"),
        ],
    )
    def test_any_name_can_be_saved(self, path: str, plain: str, store: IndexStore, lake: Path, client: Client) -> None:
        content = write(lake / path, png_of(1))
        publish(store, "1.0.0", {path: 1})
        answer = client.get("/images/0")
        assert answer.content == content
        start, _, encoded = answer.headers["content-disposition"].partition("filename*=UTF-8''")
        assert start == f'inline; filename="{plain}"; '
        assert unquote(encoded) == Path(path).name and encoded.isascii()
        assert "set-cookie" not in answer.headers


class TestEntityTag:
    def test_the_digest_of_what_was_indexed(
        self, grid: TorchScriptEmbedder, store: IndexStore, lake: Path, client: Client
    ) -> None:
        versions.publish(store, "1.0.0", grid, {"a.png": 0x8001}, lake)
        digest = blake2b(png_of(0x8001), digest_size=16).hexdigest()
        assert client.get("/images/0").headers["etag"] == f'"{digest}"'
        assert client.get("/thumbnails/0").headers["etag"] == f'"thumbnail-{MAKING}-{digest}"'

    def test_another_one_once_the_file_changes(
        self, grid: TorchScriptEmbedder, store: IndexStore, lake: Path, client: Client
    ) -> None:
        versions.publish(store, "1.0.0", grid, {"a.png": 0x8001}, lake)
        seen = {client.get("/images/0").headers["etag"]}
        for seconds in (1, 2):
            os.utime(lake / "a.png", (seconds, seconds))
            seen.add(client.get("/images/0").headers["etag"])
        write(lake / "a.png", jpeg_of(30, 20))
        os.utime(lake / "a.png", (2, 2))
        seen.add(client.get("/images/0").headers["etag"])
        assert len(seen) == 4
        assert Image.open(io.BytesIO(client.get("/thumbnails/0").content)).size == (30, 20)

    @pytest.mark.parametrize("url", ["/images/0?version=1.0.0", "/thumbnails/0?version=1.0.0"])
    def test_what_the_client_has_is_not_sent_again(
        self, url: str, store: IndexStore, lake: Path, client: Client
    ) -> None:
        write(lake / "a.jpg", jpeg_of(300, 200))
        publish(store, "1.0.0", {"a.jpg": 1})
        got = client.get(url)
        etag = got.headers["etag"]
        for known in (etag, f'"other", {etag}', f"W/{etag}", f'W/"x" ,{etag},"y"', "*"):
            for method in ("GET", "HEAD"):
                with no_file_left_open(lake):
                    answer = client.request(method, url, headers={"If-None-Match": known})
                assert (answer.status_code, answer.content) == (304, b"")
                assert dict(answer.headers) == {
                    "etag": etag,
                    "cache-control": got.headers["cache-control"],
                    "x-content-type-options": "nosniff",
                }
        for other in ("", '""', etag[1:-1], etag[:-1], f'"{etag}x', '"*"', etag.upper()):
            answer = client.get(url, if_none_match=other)
            assert (answer.status_code, answer.content) == (200, got.content)


class TestThumbnail:
    def test_small_upright_and_kept(
        self, grid: TorchScriptEmbedder, store: IndexStore, lake: Path, settings: GatewaySettings, client: Client
    ) -> None:
        versions.publish(store, "1.0.0", grid, {"a.jpg": 1}, lake)
        write(lake / "a.jpg", jpeg_of(600, 300))
        answers = [client.get("/thumbnails/0?version=1.0.0") for _ in range(2)]
        image = Image.open(io.BytesIO(answers[0].content))
        assert (image.format, image.size) == ("WEBP", (256, 128))
        assert {
            key: answers[0].headers[key] for key in ("content-type", "cache-control", "x-content-type-options")
        } == {
            "content-type": "image/webp",
            "cache-control": "private, max-age=86400",
            "x-content-type-options": "nosniff",
        }
        assert answers[0].content == answers[1].content
        digest = blake2b((lake / "a.jpg").read_bytes(), digest_size=16).hexdigest()
        assert [path.name for path in (settings.state / "thumbnails").iterdir()] == [f"{digest}-{MAKING}.webp"]

    def test_many_at_once(self, store: IndexStore, lake: Path, client: Client) -> None:
        for row in range(20):
            write(lake / f"{row}.jpg", jpeg_of(100 + row, 50))
        publish(store, "1.0.0", {f"{row}.jpg": row for row in range(20)})
        with no_file_left_open(lake):
            answers = client.get_all([f"/thumbnails/{row % 20}" for row in range(60)])
        sizes = [Image.open(io.BytesIO(answer.content)).size for answer in answers]
        assert sizes == [(100 + row % 20, 50) for row in range(60)]

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"no picture", UNKNOWN),
            (jpeg_of(100, 100)[:400], "the image is damaged or truncated"),
        ],
    )
    def test_what_is_no_picture_any_more(
        self, content: bytes, message: str, store: IndexStore, lake: Path, client: Client
    ) -> None:
        write(lake / "a.jpg", content)
        publish(store, "1.0.0", {"a.jpg": 1})
        with no_file_left_open(lake):
            answer = client.get("/thumbnails/0")
        assert answer.json() == error_body(415, answer.json()["message"]).model_dump()
        assert answer.json()["message"].startswith(message)
        assert client.get("/images/0").content == content


@pytest.mark.parametrize("kind", ["images", "thumbnails"])
class TestNotShown:
    """What lies outside of the datalake, however one gets there, and what is no file (any more)."""

    @pytest.fixture
    def secret(self, tmp_path: Path) -> Path:
        path = tmp_path / "secret" / "a.png"
        write(path, png_of(0xFFFF))
        return path

    def ask(self, client: Client, kind: str, store: IndexStore, path: str) -> dict[str, object]:
        publish(store, "1.0.0", {path: 1})
        answer = client.get(f"/{kind}/0")
        assert answer.status_code == answer.json()["code"]
        return dict(answer.json())

    def test_a_link_to_a_file_outside(
        self, kind: str, secret: Path, store: IndexStore, lake: Path, client: Client
    ) -> None:
        (lake / "a.png").symlink_to(secret)
        assert self.ask(client, kind, store, "a.png") == OUTSIDE

    def test_below_a_link_to_a_folder_outside(
        self, kind: str, secret: Path, store: IndexStore, lake: Path, client: Client
    ) -> None:
        (lake / "data").symlink_to(secret.parent)
        assert self.ask(client, kind, store, "data/a.png") == OUTSIDE

    @pytest.mark.parametrize("path", ["../secret/a.png", "data/../../secret/a.png"])
    def test_dots(self, path: str, kind: str, secret: Path, store: IndexStore, lake: Path, client: Client) -> None:
        (lake / "data").mkdir()
        assert self.ask(client, kind, store, path) == OUTSIDE

    def test_an_absolute_path(self, kind: str, secret: Path, store: IndexStore, client: Client) -> None:
        assert self.ask(client, kind, store, str(secret)) == OUTSIDE

    def test_a_folder_whose_name_only_begins_alike(
        self, kind: str, store: IndexStore, lake: Path, client: Client
    ) -> None:
        write(lake.parent / "lake2" / "a.png", png_of(1))
        assert self.ask(client, kind, store, "../lake2/a.png") == OUTSIDE

    def test_the_datalake_may_be_a_part_of_its_root(
        self, kind: str, store: IndexStore, lake: Path, tmp_path: Path
    ) -> None:
        write(lake / "data/a.png", png_of(1))
        write(lake / "other/b.png", png_of(2))
        publish(store, "1.0.0", {"data/a.png": 1, "other/b.png": 2})
        with Client(tiny_app(settings_in(tmp_path, Path("data")), router)) as client:
            assert client.get(f"/{kind}/0").status_code == 200
            assert client.get(f"/{kind}/1").json() == OUTSIDE

    def test_nothing_outside_is_waited_for_or_told_apart(
        self, kind: str, store: IndexStore, lake: Path, tmp_path: Path, client: Client
    ) -> None:
        os.mkfifo(tmp_path / "pipe")
        (lake / "a.png").symlink_to(tmp_path / "pipe")
        assert self.ask(client, kind, store, "a.png") == OUTSIDE

    def test_a_pipe(self, kind: str, store: IndexStore, lake: Path, client: Client) -> None:
        os.mkfifo(lake / "a.png")
        assert self.ask(client, kind, store, "a.png") == GONE

    def test_a_folder(self, kind: str, store: IndexStore, lake: Path, client: Client) -> None:
        (lake / "a.png").mkdir()
        assert self.ask(client, kind, store, "a.png") == GONE

    @pytest.mark.parametrize("path", ["a.png", "no/such/folder/a.png", "zero\0byte", "x" * 300, "file/below"])
    def test_nothing(self, path: str, kind: str, store: IndexStore, lake: Path, client: Client) -> None:
        write(lake / "file", b"no folder")
        assert self.ask(client, kind, store, path) == GONE

    def test_links_that_lead_nowhere_or_round(self, kind: str, store: IndexStore, lake: Path, client: Client) -> None:
        (lake / "a").symlink_to("b")
        assert self.ask(client, kind, store, "a") == GONE
        (lake / "b").symlink_to("a")
        assert client.get(f"/{kind}/0").json() == GONE

    def test_a_file_that_may_not_be_read(
        self, kind: str, store: IndexStore, lake: Path, client: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(_folder: Path, path: Path) -> NoReturn:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

        monkeypatch.setattr(pictures, "open_inside", refuse)  # root, who runs tests too, may read everything
        write(lake / "a.png", png_of(1))
        assert self.ask(client, kind, store, "a.png") == GONE


@pytest.mark.parametrize("kind", ["images", "thumbnails"])
class TestShown:
    def test_a_link_within_the_datalake(self, kind: str, store: IndexStore, lake: Path, client: Client) -> None:
        write(lake / "data/a.png", png_of(1))
        (lake / "b.png").symlink_to("data/a.png")
        (lake / "more").symlink_to("data")
        publish(store, "1.0.0", {"b.png": 1, "more/a.png": 1, "data/../data/a.png": 1, str(lake / "b.png"): 1})
        assert [client.get(f"/{kind}/{row}").status_code for row in range(4)] == [200] * 4

    def test_the_datalake_itself_is_reached_by_a_link(
        self, kind: str, store: IndexStore, lake: Path, tmp_path: Path, client: Client
    ) -> None:
        write(tmp_path / "disk" / "a.png", png_of(1))
        lake.rmdir()
        lake.symlink_to("disk")
        publish(store, "1.0.0", {"a.png": 1})
        assert client.get(f"/{kind}/0").status_code == 200


@pytest.mark.parametrize("kind", ["images", "thumbnails"])
class TestRefused:
    @pytest.mark.parametrize("row", [2, 17, 2**63, 10**100])
    def test_no_such_row(self, kind: str, row: int, store: IndexStore, client: Client) -> None:
        publish(store, "1.0.0", {"a": 1, "b": 2})
        assert (
            client.get(f"/{kind}/{row}").json()
            == error_body(404, f"version 1.0.0 has no row {row}: it has 2 rows").model_dump()
        )

    @pytest.mark.parametrize("row", ["-1", "1.5", "a", "%00", "0x1"])
    def test_no_number(self, kind: str, row: str, client: Client) -> None:
        assert client.get(f"/{kind}/{row}").status_code == 422

    def test_versions_that_are_none(self, kind: str, store: IndexStore, client: Client) -> None:
        assert client.get(f"/{kind}/0").json()["message"] == "no version is published yet"
        publish(store, "1.0.0")
        answer = client.get(f"/{kind}/0?version=2.0.0")
        assert answer.json() == error_body(404, "there is no version 2.0.0", "no_such_version").model_dump()
        assert client.get(f"/{kind}/0?version=../1.0.0").status_code == 422

    def test_a_damaged_image_table(self, kind: str, store: IndexStore, client: Client) -> None:
        publish(store, "1.0.0", {f"{row}.png": 0 for row in range(400)})
        damage_first_images(store.folder / "1.0.0" / IMAGES_FILE)
        answer = client.get(f"/{kind}/0")
        assert answer.status_code == 503
        assert answer.json()["message"].startswith("images.db of version 1.0.0 cannot be read")

    def test_without_a_key_where_one_is_needed(self, kind: str, settings: GatewaySettings, store: IndexStore) -> None:
        publish(store, "1.0.0")
        with Client(tiny_app(settings, router, key=False)) as client:
            assert [client.request(method, f"/{kind}/0").status_code for method in ("GET", "HEAD")] == [401, 401]


def test_every_route_asks_who_searches() -> None:
    routes = [route for route in router.routes if isinstance(route, APIRoute)]
    assert len(routes) == 4
    for route in routes:
        assert require_search in [dependency.call for dependency in route.dependant.dependencies]
