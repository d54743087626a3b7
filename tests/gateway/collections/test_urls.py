"""Pictures by URL, through the routes, in this process: one image per URL, and whose fault it is that there is none.

The web is a dict; a picture's code is its red corner.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from contract.model import ModelIdentity
from gateway.collections import browsing
from gateway.collections.adding import Adding
from gateway.idios import changing, listing, searching
from gateway.images.source_pictures import SourcePictures
from gateway.torchserve.embedding import Hashing
from gateway.torchserve.queue import Hashed, ServedModel
from searcher.live.collection import Collection
from sources.errors import FetchRefused, OriginFailed
from sources.fetching.fetcher import Fetched, Fetcher, FetchLimits
from sources.originals import Originals
from tests.fakes import png_of
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.live.fixtures import MODEL, addition

URL = "http://example.org/%C3%A9.png"
#: Spellings of URL, as clients send them.
SPELLINGS = [
    "HTTP://example.org/é.png", "http://EXAMPLE.org:80/%c3%a9.png", "http://example.org/é.png?", f"{URL}#a", f" {URL} ",
    "http://example.org/a/../é.png",
]  # fmt: skip


class Web(Fetcher):
    """``pages`` by URL: pictures, or why there is none; ``asked`` lists what was downloaded."""

    def __init__(self) -> None:
        super().__init__(FetchLimits())
        self.pages: dict[str, bytes | FetchRefused] = {}
        self.asked: list[str] = []

    async def fetch(self, url: str) -> Fetched:
        self.asked.append(url)
        page = self.pages[url]
        if isinstance(page, FetchRefused):
            raise page
        return Fetched(page, None, None)


class Corner(Hashing):
    def __init__(self) -> None:
        pass

    async def hash(self, data: bytes, model: ModelIdentity, lane: object = None) -> Hashed:
        pixel = Image.open(io.BytesIO(data)).convert("RGB").getpixel((0, 0))
        assert isinstance(pixel, tuple)
        return Hashed({"code": bytes([0, int(pixel[0])])}, ServedModel(name=model.name, sha256=model.sha256))


class Gateway:
    """The routes on a collection ``shoes``."""

    def __init__(self, folder: Path) -> None:
        settings = settings_in(folder)
        app = tiny_app(settings, changing.router, listing.router, searching.router, browsing.router)
        services, self.web = app.state.services, Web()
        from_sources = SourcePictures(Originals(), self.web)
        app.state.services = replace(
            services,
            adding=Adding(services.collections, Corner(), self.web, from_sources, settings),
            fetcher=self.web,
        )
        self.shoes: Collection = services.collections.collections.create("shoes", MODEL)
        self.client = Client(app)

    def post(self, what: str, body: Any = None, **options: Any) -> Any:
        if body is not None:
            options["json"] = body
        answer = self.client.request("POST", f"/models/shoes/{what}", **options)
        return answer.json() if answer.content else answer

    @property
    def urls(self) -> list[str]:
        return [image.path for image in self.shoes.view().images()]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    made.web.pages[URL] = png_of(0xFF00)
    with made.client:
        yield made


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_one_image_however_its_url_is_spelled(gateway: Gateway, spelling: str) -> None:
    for given in (spelling, URL, *SPELLINGS):
        assert gateway.post("add", {"url": given, "metadata": {"of": given}}).status_code == 204
    assert gateway.post("search_add", {"url": spelling})["detail"] == "Image already inserted"
    known = {"added": [], "found": [spelling, URL], "failed": []}
    assert gateway.post("add_bulk?known=keep", [{"url": spelling}, {"url": URL}]) == known
    (code,) = [image.vectors["code"] for image in gateway.shoes.view().images()]
    dumped = {"url": spelling, "metadata": {"restored": True}, "embedding": code.hex()}
    assert gateway.post("restore", [dumped], params={"assume_model": MODEL.name}).status_code == 204
    assert gateway.post("urls", {}) == [URL]
    assert gateway.post("compare", {"url": spelling, "other": URL}) == 100
    assert set(gateway.web.asked) == {URL}
    assert gateway.post("remove", {"url": spelling}).headers["X-Hashlake-Removed"] == "true"
    assert gateway.urls == []


def test_one_of_many_spellings_in_bulk(gateway: Gateway) -> None:
    gateway.web.pages["http://example.org/b"] = FetchRefused("example.org answers with status 404")
    bodies = [
        {"url": url, "metadata": {"place": place}} for place, url in enumerate([*SPELLINGS, "HTTP://example.org/b"])
    ]
    first, *others = SPELLINGS
    assert gateway.post("add_bulk?known=keep", bodies) == {
        "added": [first],
        "found": others,
        "failed": [{"url": "HTTP://example.org/b", "error": "example.org answers with status 404", "status": 422}],
    }
    assert gateway.web.asked.count(URL) == 1
    (image,) = gateway.shoes.view().images()
    assert (image.path, image.metadata) == (URL, '{"place": 0}')


def test_the_spelling_given_is_kept_for_display(gateway: Gateway) -> None:
    gateway.post("add", {"url": f"{URL}#page=2"})
    gateway.web.pages["http://example.org/b"] = png_of(1)
    gateway.post("add", {"url": "http://example.org/b"})
    images = gateway.client.get("/api/collections/shoes/images").json()["images"]
    assert {image["url"]: image["spelled"] for image in images} == {URL: f"{URL}#page=2", "http://example.org/b": None}
    dumped = {"url": f"{URL}#restored", "embedding": "00ff"}
    restored = {"body": [dumped], "params": {"assume_model": MODEL.name}}
    for send in (restored, {"files": {"image": png_of(1)}, "data": {"url": f"{URL}#uploaded"}}):
        gateway.post("restore" if "body" in send else "add", **send)
        (image, _) = gateway.client.get("/api/collections/shoes/images").json()["images"]
        assert image["spelled"] == (dumped["url"] if "body" in send else f"{URL}#uploaded")


def test_an_upload_may_have_a_url_as_its_name(gateway: Gateway) -> None:
    for name in (SPELLINGS[0], URL):
        answer = gateway.post("add", files={"image": png_of(3)}, data={"url": name})
        assert answer.status_code == 204
    assert gateway.urls == [URL]
    thumbnail = gateway.client.request("GET", "/api/collections/shoes/thumbnail", params={"url": SPELLINGS[1]})
    assert (thumbnail.status_code, gateway.web.asked) == (200, [])


def test_a_name_from_before_there_was_a_normal_form_is_found_and_removed(gateway: Gateway) -> None:
    old = "HTTP://example.org/é.png#a"
    gateway.shoes.add([addition(old, 0x00FF)])
    assert gateway.post("search_add", {"url": old})["detail"] == "Image already inserted"
    assert gateway.post("compare", {"url": old, "other": old}) == 100
    assert gateway.post("add", {"url": old, "metadata": {"again": True}}).status_code == 204
    assert gateway.urls == [old]
    assert gateway.web.asked == [URL]
    assert gateway.post("add", {"url": URL}).status_code == 204
    for left in ([URL], []):
        assert gateway.post("remove", {"url": old}).headers["X-Hashlake-Removed"] == "true"
        assert gateway.urls == left


@pytest.mark.parametrize(
    ("fault", "status", "headers"),
    [
        (FetchRefused("example.org answers with status 404"), 422, {}),
        (OriginFailed("example.org answers with status 503, asked 3 times"), 502, {}),
        (OriginFailed("example.org answers with status 503", retry_after=3599.5), 502, {"Retry-After": "3600"}),
        (OriginFailed("example.org took longer than 20 s", late=True), 504, {}),
    ],
)
def test_a_status_says_whose_fault_it_is(
    gateway: Gateway, fault: FetchRefused, status: int, headers: Mapping[str, str]
) -> None:
    gateway.web.pages[URL] = fault
    for what, body in (("add", {"url": URL}), ("search_add", {"url": URL}), ("compare", {"url": URL, "other": URL})):
        answer = gateway.client.request("POST", f"/models/shoes/{what}", json=body)
        assert (answer.status_code, answer.headers.get("Retry-After")) == (status, headers.get("Retry-After"))
        detail = answer.json()["detail"]
        assert detail == str(fault) if status > 500 else detail[0]["msg"] == str(fault)
    assert gateway.post("add_bulk", [{"url": URL}]) == {
        "added": [], "found": [], "failed": [{"url": URL, "error": str(fault), "status": status}]
    }  # fmt: skip


def test_a_thumbnail_whose_origin_fails(gateway: Gateway) -> None:
    gateway.post("add", {"url": URL})
    gateway.web.pages[URL] = OriginFailed("example.org cannot be reached, asked 3 times")
    answer = gateway.client.request("GET", "/api/collections/shoes/thumbnail", params={"url": URL})
    assert answer.status_code == 502
