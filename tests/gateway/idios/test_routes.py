"""What Idios' clients do, and what they are answered, on a real stack.

The model reads the code, 16 bits, from a picture's red channel and the detail code from the others, so every
similarity is computed by hand: d differing bits are 100 · (1 − 2d / 16).
"""

import base64
import io
import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import httpx
import pytest
from PIL import Image

from contract.names import PREDICTIONS
from pictures.base64_text import file_in
from tests.fakes import png_of
from tests.gateway.stack import Stack
from tests.handler.server import free_ports
from tests.sources.fetching.picture_site import PictureSite

SIDE = 160
LAKE = {"data/robe.png": (0x00FF, 1), "data/shirt.png": (0xFF00, 2)}


def picture(code: int, detail: int = 0, side: int = SIDE) -> bytes:
    return png_of(code, side, detail=detail)


def embedding(code: int, detail: int) -> str:
    return base64.b64encode(code.to_bytes(2, "big") + detail.to_bytes(4, "big")).decode()


@pytest.fixture(scope="module")
def site() -> Iterator[PictureSite]:
    with PictureSite() as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    (port,) = free_ports(1)
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, LAKE, "colours.pt", idios_port=port, fetch_allow="127.0.0.1") as running:
        assert running.reindex("1.0.0").status_code == 200
        yield running


@pytest.fixture
def collection(stack: Stack, request: pytest.FixtureRequest) -> str:
    """A collection of the test's own, empty."""
    name: str = request.node.name.split("[")[0][:60]
    if stack.call("GET", f"/api/collections/{name}").status_code == 200:
        assert stack.call("DELETE", f"/api/collections/{name}").status_code == 204
    assert stack.call("POST", "/api/collections", json={"name": name}).status_code == 201
    return name


class Idios:
    """One of Idios' clients: it knows a port, a model, and no keys."""

    def __init__(self, stack: Stack, model: str) -> None:
        self.base = f"http://127.0.0.1:{stack.variables['idios_port']}"
        self.model = model

    def post(self, what: str, body: Any = None, **options: Any) -> httpx.Response:
        if body is not None:
            options["json"] = body
        return httpx.post(f"{self.base}/models/{self.model}/{what}", timeout=60, trust_env=False, **options)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.base}{path}", timeout=60, trust_env=False)

    def done(self, what: str, body: Any = None, **options: Any) -> None:
        answer = self.post(what, body, **options)
        assert (answer.status_code, answer.content) == (204, b""), answer.text

    def answered(self, what: str, body: Any = None, **options: Any) -> Any:
        answer = self.post(what, body, **options)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        return answer.json()

    def dumped(self, body: Any = None) -> Any:
        """What a dump says, but for the model of each image, which is always the collection's."""
        images = self.answered("dump", body)
        models = [image.pop("model") for image in images]
        assert all(model.startswith("colours@") for model in models[1:])
        assert all((model["name"], len(model["sha256"])) == ("colours", 64) for model in models[:1])
        return images

    def count(self) -> Any:
        return self.get(f"/models/{self.model}/count").json()


@pytest.fixture
def idios(stack: Stack, collection: str) -> Idios:
    return Idios(stack, collection)


#: Of embeddings that don't say which model made them.
RESTORE = "restore?assume_model=colours"


def problem(answer: httpx.Response) -> tuple[int, list[Any], str]:
    """Status, place and kind of what one problem an answer says; its message is for people."""
    (found,) = answer.json()["detail"]
    assert found.keys() - {"ctx"} == {"loc", "msg", "type"}
    assert found["msg"]
    return answer.status_code, found["loc"], found["type"]


def test_the_end_to_end_test_of_idios_itself(idios: Idios, site: PictureSite) -> None:
    """As its Makefile has it, with its curl calls."""
    url = site.put("/letter_001.jpg", picture(0xFF00))
    assert idios.answered("urls") == []
    idios.done("add", {"url": url})
    assert idios.answered("urls") == [url]
    assert idios.answered("search", {"url": url}) == [{"url": url, "metadata": None, "similarity": 100}]
    assert idios.answered("compare", {"url": url, "other": url}) == 100
    assert idios.count() == 1
    refused = idios.post("search_add", {"url": url})
    assert (refused.status_code, refused.json()) == (409, {"detail": "Image already inserted"})
    idios.done("remove", {"url": url})
    assert idios.count() == 0
    ping = idios.get("/ping")
    assert (ping.status_code, ping.text) == (200, '"pong"')


def test_curl_sends_json_as_a_form(idios: Idios, site: PictureSite) -> None:
    url = site.put("/curl.png", picture(0xFF00))
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    idios.done("add", content=json.dumps({"url": url}).encode(), headers=headers)
    assert idios.count() == 1


def test_search(idios: Idios, site: PictureSite) -> None:
    urls = {code: site.put(f"/search/{code:04x}.png", picture(code)) for code in (0xFF00, 0xFF01, 0xFF07, 0x00FF)}
    for code, url in urls.items():
        idios.done("add", {"url": url, "metadata": {"bits": code & 0xFF}})
    query = site.put("/search/query.png", picture(0xFF00, detail=7))
    expected = [
        {"url": urls[0xFF00], "metadata": {"bits": 0}, "similarity": 100.0},
        {"url": urls[0xFF01], "metadata": {"bits": 1}, "similarity": 87.5},
        {"url": urls[0xFF07], "metadata": {"bits": 7}, "similarity": 62.5},
        {"url": urls[0x00FF], "metadata": {"bits": 255}, "similarity": 0},
    ]
    assert idios.answered("search", {"url": query}) == expected
    assert idios.answered("search", {"url": query, "limit": 2}) == expected[:2]
    assert idios.answered("search", {"text": "shirt"}) == expected
    assert idios.answered("search", {"url": urls[0xFF00], "text": "robe d'été"}) == expected
    assert idios.answered("search", files={"image": picture(0xFF00)}) == expected
    few = {"url": query, "filter": {"bits": {"$gt": 0, "$lt": 255}}}
    assert idios.answered("search", few) == expected[1:3]
    parts = {"files": {"image": picture(0xFF00)}, "data": {"filter": json.dumps(few["filter"]), "limit": "1"}}
    assert idios.answered("search", **parts) == expected[1:2]
    assert idios.answered("search", {"url": query, "filter": {"bits": "no such"}}) == []


def test_the_gateways_own_search_of_a_collection(
    stack: Stack, idios: Idios, collection: str, site: PictureSite
) -> None:
    urls = [site.put(f"/own/{code:04x}.png", picture(code)) for code in (0xFF00, 0xFF01, 0xFF07)]
    for bits, url in enumerate(urls):
        idios.done("add", {"url": url, "metadata": {"bits": bits}})
    query = site.put("/own/query.png", picture(0xFF00, detail=7))
    asked = {"url": query, "collection": collection}
    for options in ({"data": asked}, {"json": asked}):
        answer = stack.call("POST", "/api/search", key=None, **options)
        assert answer.status_code == 200, answer.text
        results = answer.json()["results"]
        found = [(each["path"], each["distance"], each["row"], each["metadata"]) for each in results]
        assert found == [
            (urls[0], 0, None, {"bits": 0}),
            (urls[1], 1, None, {"bits": 1}),
            (urls[2], 3, None, {"bits": 2}),
        ]
        assert stack.call("GET", results[1]["thumbnail"], key=None).headers["content-type"] == "image/webp"
    data = asked | {"filter": '{"bits": {"$gt": 0}}', "top_k": "1"}
    (only,) = stack.call("POST", "/api/search", key=None, data=data).json()["results"]
    assert only["path"] == urls[1]
    for wrong, said in (
        ({"url": "ftp://a/b"}, "url: must begin with http:// or https://"),
        ({"url": "http://10.9.9.9/a.jpg"}, "10.9.9.9"),
        (asked | {"filter": "[1]"}, "filter: must be an object"),
        (asked | {"filter": '{"bits": {"$no": 0}}'}, "$no"),
        (asked | {"path": "a.jpg"}, "given: path and url"),
    ):
        answer = stack.call("POST", "/api/search", key=None, data=wrong)
        assert (answer.status_code, said in answer.json()["message"]) == (422, True), answer.text
    missing = stack.call("POST", "/api/search", key=None, data={"url": query, "collection": "none"})
    assert missing.status_code == 404


def test_an_indexed_url_needs_no_download(idios: Idios, site: PictureSite) -> None:
    one, other = (
        site.put(f"/indexed/{code:04x}.png", picture(code, detail)) for code, detail in ((0xFF00, 0), (0xFF03, 0x000F))
    )
    idios.done("add", {"url": one})
    idios.done("add", {"url": other})
    site.asked.clear()
    assert [found["similarity"] for found in idios.answered("search", {"url": other})] == [100, 75]
    assert idios.answered("compare", {"url": one, "other": other}) == 75
    assert idios.post("search_add", {"url": one}).status_code == 409
    known = {"added": [], "found": [one, other], "failed": []}
    assert idios.answered("add_bulk?known=keep", [{"url": one}, {"url": other}]) == known
    assert site.asked == []


def test_a_url_is_found_in_any_spelling(stack: Stack, idios: Idios, site: PictureSite) -> None:
    url = site.put("/spelled/%C3%A9.png", picture(0xFF00))
    idios.done("add", {"url": f" {url.replace('http', 'HTTP').replace('%C3%A9', 'é')}#a "})
    site.asked.clear()
    for spelling in (url, f"{url}?", url.replace("spelled/", "./spelled/%2e/"), url.replace("%C3%A9", "%c3%a9")):
        assert idios.answered("search", {"url": spelling}) == [{"url": url, "metadata": None, "similarity": 100}]
        fields = {"path": spelling, "collection": idios.model}
        assert stack.call("POST", PREDICTIONS, json=fields).json()["relevant"] == [url]
    assert site.asked == []


def encoded(size: tuple[int, int], kind: str = "PNG", **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new("L", size, 200).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (encoded((1, 1)), True),
        (encoded((120, 120)), True),
        (encoded((5000, 1)), True),
        (base64.b64encode(encoded((120, 120))), True),
        (b"data:image/png;base64," + base64.urlsafe_b64encode(encoded((9, 9))), True),
        (encoded((12_000, 9_000), "JPEG"), False),  # whose every pixel this model wants
        (encoded((20_000, 20_000), "PNG"), False),
        (encoded((120, 120))[:60], False),
        (b"hello", False),
        (b"aGVsbG8=", False),
        (b"", False),
    ],
    ids=["pixel", "120", "line", "base64", "data URL", "wide JPEG", "wide PNG", "torn", "text", "base64 text", "empty"],
)
def test_a_picture_is_taken_at_every_door_or_at_none(
    stack: Stack, idios: Idios, site: PictureSite, data: bytes, taken: bool
) -> None:
    """Searched by form and JSON, by the gateway, by upload and URL; added by upload and URL."""
    file = file_in(data)
    url, elsewhere = (site.put(f"/door/{place}.png", file) for place in (1, 2))
    image = {"image": data}
    answers = {
        "form": stack.torchserve.client.post(stack.torchserve.url, files=image),
        "JSON": stack.torchserve.ask({"image": base64.b64encode(file).decode()}),
        "gateway's form": stack.call("POST", PREDICTIONS, files=image),
        "/api/search": stack.call("POST", "/api/search", files=image),
        "search by upload": idios.post("search", files=image),
        "search by URL": idios.post("search", {"url": url}),
        "compare": idios.post("compare", files={"image": data, "other_image": data}),
        "add": idios.post("add", {"url": url}),
        "search_add": idios.post("search_add", files=image),
    }
    refused = (400, 413, 415, 422)
    assert {door: answer.status_code for door, answer in answers.items() if answer.is_success is not taken} == {}
    assert all(taken or answer.status_code in refused for answer in answers.values())
    bulk = idios.answered("add_bulk", [{"url": elsewhere}])
    assert (len(bulk["added"]), len(bulk["failed"])) == (int(taken), int(not taken))


def test_compare(idios: Idios, site: PictureSite) -> None:
    """Whether it is the very same picture, by the detail codes: 100 · (1 − 2d / 32). The codes don't count."""
    one, other = (site.put(f"/compare/{detail:04x}.png", picture(0xFFFF, detail)) for detail in (0, 0xFF))
    assert idios.answered("compare", {"url": one, "other": other}) == 50
    white, black = picture(0xFFFF, 0xFFFF_FFFF), picture(0xFFFF, 0)
    assert idios.answered("compare", files={"image": white, "other_image": black}) == 0
    assert idios.answered("compare", files={"other_image": picture(0x0000, 3)}, data={"url": one}) == 87.5
    assert idios.count() == 0


def test_turned(idios: Idios, site: PictureSite) -> None:
    """The upper half is white: turned by 90°, it is the right or the left one."""
    upper, left = (site.put(f"/turned/{code:04x}.png", picture(code)) for code in (0xFF00, 0xCCCC))
    for url in (upper, left):
        idios.done("add", {"url": url})
    for fields in ({"url": upper, "turned": True}, {"url": upper, "turned": True, "rank": "detail"}):
        found = {each["url"]: each["similarity"] for each in idios.answered("search", fields)}
        assert found == {upper: 100, left: 100}
    files = {"files": {"image": picture(0xFF00)}, "data": {"turned": "true"}}
    assert {each["similarity"] for each in idios.answered("search", **files)} == {100}
    assert [each["similarity"] for each in idios.answered("search", {"url": upper})] == [100, 0]
    assert problem(idios.post("search", {"text": "Shirt", "turned": True}))[:2] == (422, ["body", "text"])


#: From code 0xFF00 and detail 7, near differs in 1 bit and 3 of detail, far in 16 bits and 1 of detail.
RANKED = {"near": (0xFF01, 0), "far": (0x00FF, 6)}


def test_rank_and_greatest_distance(idios: Idios, site: PictureSite) -> None:
    near, far = (site.put(f"/rank/{name}.png", picture(*codes)) for name, codes in RANKED.items())
    for url in (near, far):
        idios.done("add", {"url": url})
    query = site.put("/rank/query.png", picture(0xFF00, 7))

    def found(fields: dict[str, Any], **files: bytes) -> list[tuple[str, float]]:
        asked: dict[str, Any] = {"files": files, "data": fields} if files else {"body": fields}
        return [(each["url"], each["similarity"]) for each in idios.answered("search", **asked)]

    assert found({"url": query}) == [(near, 87.5), (far, 0)]
    for fields in ({"url": query, "rank": "detail"}, {"url": query, "rank": "detail", "max_distance": 16}):
        assert found(fields) == [(far, 93.75), (near, 81.25)]
    assert found({"url": query, "rank": "detail", "max_distance": 1}) == [(near, 81.25)]
    assert found({"url": query, "max_distance": 0}) == []
    assert found({"rank": "detail", "max_distance": "1"}, image=picture(0xFF00, 7)) == [(near, 81.25)]
    small = png_of(0xFF00, 120, detail=7)
    assert found({"rank": "detail"}, image=small) == [(far, 93.75), (near, 81.25)], "small pictures too"
    for fields, place in (
        ({"url": query, "rank": "nearest"}, ["body", "rank"]),
        ({"url": query, "max_distance": -1}, ["body", "max_distance"]),
        ({"text": "Shirt", "rank": "detail"}, ["body", "text"]),
    ):
        assert problem(idios.post("search", fields))[:2] == (422, place)


def test_adding_again_looks_again(idios: Idios, site: PictureSite) -> None:
    """One URL is one image: another picture replaces its code, and metadata are those that came last, if any."""
    url = site.put("/again.png", picture(0xFF00))

    def stored() -> Any:
        return idios.dumped()

    idios.done("add", {"url": url, "metadata": {"n": 1}})
    assert stored() == [{"url": url, "metadata": {"n": 1}, "embedding": embedding(0xFF00, 0)}]
    idios.done("add", {"url": url})
    assert stored() == [{"url": url, "metadata": None, "embedding": embedding(0xFF00, 0)}]
    idios.done("add", {"url": url, "metadata": {"n": 2}})
    assert stored() == [{"url": url, "metadata": {"n": 2}, "embedding": embedding(0xFF00, 0)}]
    site.put("/again.png", picture(0x0FF0, 5))
    idios.done("add", {"url": url, "metadata": {"n": 2}})
    assert stored() == [{"url": url, "metadata": {"n": 2}, "embedding": embedding(0x0FF0, 5)}]
    idios.done("add", {"url": url, "metadata": None})
    assert stored() == [{"url": url, "metadata": None, "embedding": embedding(0x0FF0, 5)}]
    assert [found["similarity"] for found in idios.answered("search", files={"image": picture(0x0FF0)})] == [100]


def test_uploads(idios: Idios) -> None:
    """What Idios never had: a file wherever a URL does."""
    data = picture(0xFF00, 9)
    name = "upload:" + blake2b(data, digest_size=16).hexdigest()
    idios.done("add", files={"image": data}, data={"metadata": '{"from": "a disk"}'})
    assert idios.answered("urls") == [name]
    assert idios.post("search_add", files={"image": data}).json() == {"detail": "Image already inserted"}
    idios.done("add", {"url": name, "metadata": {"from": "elsewhere"}})
    assert idios.dumped() == [{"url": name, "metadata": {"from": "elsewhere"}, "embedding": embedding(0xFF00, 9)}]
    idios.done("search_add", files={"image": picture(0x00FF)}, data={"url": "a name of my own"})
    assert idios.answered("urls") == ["a name of my own", name]
    idios.done("add", {"url": "a name of my own", "metadata": {"n": 1}})
    assert idios.answered("count", {"filter": {"n": 1}}) == 1
    idios.done("remove", files={"image": data})
    assert idios.answered("urls") == ["a name of my own"]
    assert problem(idios.post("add", {"url": name}))[:2] == (422, ["body", "url"])


def test_bulk(idios: Idios, site: PictureSite) -> None:
    """Lists, as Idios' client reads them: what was known is fetched again, and has the new metadata."""
    known = site.put("/bulk/known.png", picture(0x1111))
    idios.done("add", {"url": known, "metadata": {"first": True}})
    site.put("/bulk/known.png", picture(0x2222))
    new = [site.put(f"/bulk/{number}.png", picture(number)) for number in range(100)]
    text = site.put("/bulk/text.png", b"no picture at all")
    site.asked.clear()
    none, ftp = site.url("/bulk/none.png"), "ftp://127.0.0.1/x.png"
    asked = [known, *new[:50], none, *new[50:], new[3], text, ftp]
    outcome = idios.answered(
        "add_bulk", [{"url": url, "metadata": {"place": place}} for place, url in enumerate(asked)]
    )
    assert outcome["added"] == [known, *new, new[3]]
    assert outcome["found"] == []
    assert [failure["url"] for failure in outcome["failed"]] == [none, text, ftp]
    errors = [failure["error"] for failure in outcome["failed"]]
    assert "404" in errors[0] and "known format" in errors[1] and "scheme" in errors[2]
    assert [failure["status"] for failure in outcome["failed"]] == [422, 422, 422]
    assert sorted(site.asked) == sorted(f"/bulk/{name}.png" for name in [*range(100), "known", "none", "text"])
    dumped = {each["url"]: each for each in idios.dumped()}
    assert dumped.keys() == {known, *new}
    assert (dumped[known]["metadata"], dumped[known]["embedding"]) == ({"place": 0}, embedding(0x2222, 0))
    assert all(dumped[url]["embedding"] == embedding(number, 0) for number, url in enumerate(new))
    assert dumped[new[3]]["metadata"] == {"place": 4}
    assert idios.answered("add_bulk", [{"url": known}]) == {"added": [known], "found": [], "failed": []}
    assert idios.answered("add_bulk", []) == {"added": [], "found": [], "failed": []}


def test_bulk_that_keeps_what_is_known(idios: Idios, site: PictureSite) -> None:
    known, new = (site.put(f"/kept/{name}.png", picture(0x1111)) for name in ("known", "new"))
    idios.done("add", {"url": known, "metadata": {"first": True}})
    site.asked.clear()
    images = [{"url": url, "metadata": {"second": True}} for url in (known, new, new)]
    assert idios.answered("add_bulk?known=keep", images) == {"added": [new], "found": [known, new], "failed": []}
    assert site.asked == ["/kept/new.png"]
    assert {each["url"]: each["metadata"] for each in idios.dumped()} == {known: {"first": True}, new: {"second": True}}


def test_pages(idios: Idios) -> None:
    names = sorted([*(f"https://a.example/{n:05d}" for n in range(5000)), "é", "z", "日本", "\U0001f457", "A"])
    stored = [{"url": name, "metadata": {"n": n}, "embedding": f"{n:012x}"} for n, name in enumerate(names)]
    idios.done(RESTORE, stored)
    assert idios.answered("urls") == names
    assert idios.answered("urls", {"limit": 3}) == names[:3]
    assert idios.answered("urls", {"limit": 3, "cursor": names[2]}) == names[3:6]
    assert idios.answered("urls", {"cursor": "https://a.example/04998x"}) == names[5000:]
    assert idios.answered("urls", {"cursor": names[-1]}) == []
    assert idios.answered("urls", {"cursor": None, "limit": 4999}) == names[:4999]
    few = {"n": {"$in": [1, 2, 4000]}}
    assert idios.answered("urls", {"filter": few}) == [names[1], names[2], names[4000]]
    assert idios.answered("urls", {"filter": few, "cursor": names[1], "limit": 1}) == [names[2]]
    assert idios.answered("count", {"filter": few}) == 3
    assert idios.answered("count", {}) == idios.answered("count") == idios.count() == 5005
    dumped = idios.dumped()
    assert dumped == [
        {**each, "embedding": base64.b64encode(bytes.fromhex(str(each["embedding"]))).decode()} for each in stored
    ]
    assert idios.dumped({"cursor": names[4999], "limit": 2}) == dumped[5000:5002]


@pytest.mark.parametrize(
    "given",
    [
        embedding(0xFF01, 0xFFFFFFFE),
        embedding(0xFF01, 0xFFFFFFFE).rstrip("="),
        "ff01fffffffe",
        "FF01FFFFFFFE",
        [1.0] * 8 + [-1] * 7 + [1] * 32 + [-1],
        [0.5] * 8 + [-2.5] * 7 + [1e300] * 32 + [0],
    ],
    ids=["base64", "unpadded", "hex", "capitals", "signs", "real"],
)
def test_embeddings(idios: Idios, given: Any) -> None:
    idios.done(RESTORE, [{"url": "https://a.example/", "embedding": given}])
    assert idios.dumped() == [
        {"url": "https://a.example/", "metadata": None, "embedding": embedding(0xFF01, 0xFFFFFFFE)}
    ]
    idios.done("restore", idios.answered("dump"))
    assert idios.count() == 1


@pytest.mark.parametrize(
    "given",
    ["", "ff01", "zz01fffffffe", "ff01fffffffe00", [1.0] * 16, [1.0] * 47 + [2], [], 7, None, ["a"] * 48, "////"],
)
def test_what_is_no_embedding(idios: Idios, given: Any) -> None:
    if given == [1.0] * 47 + [2]:
        given = [1.0] * 47 + [float("1e400")]
    body = [
        {"url": "https://a.example/0", "embedding": "ff01fffffffe"},
        {"url": "https://a.example/", "embedding": given},
    ]
    answer = idios.post(RESTORE, content=json.dumps(body).encode())
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][:3] == ["body", 1, "embedding"]
    assert idios.count() == 0


LONG = {"chicken?": "chicken" * (int(2**16 / 7) - 2)}  # Idios' own test: 65,536 characters
TOO_LONG = "value_error.metadata_json_too_long"


@pytest.mark.parametrize(
    ("what", "body", "expected"),
    [
        ("add", {"metadata": {}}, (422, ["body", "url"], "value_error.missing")),
        ("add", {"url": 3}, (422, ["body", "url"], "type_error.str")),
        ("add", {"url": ""}, (422, ["body", "url"], "value_error.any_str.min_length")),
        ("add", {"url": "invalid_url"}, (422, ["body", "url"], "parameter_error")),
        ("add", {"url": "ftp://a.example/x.jpg"}, (422, ["body", "url"], "value_error.url.scheme")),
        ("add", {"url": "http://127.0.0.2/x.jpg"}, (422, ["body", "url"], "parameter_error")),
        ("add", {"url": "http://a.example/\0"}, (422, ["body", "url"], "value_error.str.regex")),
        ("add", {"url": "NONE"}, (422, ["body", "url"], "parameter_error")),
        ("add", {"url": "TEXT"}, (422, ["body", "url"], "parameter_error")),
        ("add", {"url": "TORN"}, (422, ["body", "url"], "parameter_error")),
        ("add", {"url": "GOOD", "metadata": "text"}, (422, ["body", "metadata"], "type_error.dict")),
        ("add", {"url": "GOOD", "metadata": LONG}, (422, ["body", "metadata"], TOO_LONG)),
        ("add", {"url": "GOOD", "metadata": {"a": ["\ud800"]}}, (422, ["body"], "value_error.jsondecode")),
        ("add", {"url": "GOOD", "metadata": {"a": "\x00"}}, (422, ["body", "metadata"], "value_error.json")),
        ("add_bulk", [{"url": "GOOD", "metadata": {"\\\x00": 1}}], (422, ["body", 0, "metadata"], "value_error.json")),
        ("search_add", {"url": "TEXT"}, (422, ["body", "url"], "parameter_error")),
        ("add_bulk", {"url": "GOOD"}, (422, ["body"], "type_error.list")),
        ("add_bulk", [{"url": "GOOD"}, {"metadata": {}}], (422, ["body", 1, "url"], "value_error.missing")),
        ("add_bulk", [{"url": "GOOD", "metadata": LONG}], (422, ["body", 0, "metadata"], TOO_LONG)),
        ("restore", [{"url": "GOOD"}], (422, ["body", 0, "embedding"], "value_error.missing")),
        ("search", {"url": "GOOD", "limit": 0}, (422, ["body", "limit"], "value_error.number.not_ge")),
        ("search", {"url": "GOOD", "limit": 16385}, (422, ["body", "limit"], "value_error.number.not_le")),
        ("search", {"url": "GOOD", "filter": {"a": {"$near": 1}}}, (422, ["body", "filter"], "value_error.filter")),
        ("search", {"url": "TEXT"}, (422, ["body", "url"], "parameter_error")),
        ("search", {"text": "trousers"}, (422, ["body", "text"], "parameter_error")),
        ("compare", {"url": "GOOD"}, (422, ["body", "other"], "value_error.missing")),
        ("compare", {"url": "GOOD", "other": "TEXT"}, (422, ["body", "other"], "parameter_error")),
        ("urls", {"limit": 16385}, (422, ["body", "limit"], "value_error.number.not_le")),
        ("dump", {"limit": 0}, (422, ["body", "limit"], "value_error.number.not_ge")),
        ("dump", {"cursor": 5}, (422, ["body", "cursor"], "type_error.str")),
        ("count", {"filter": {"$or": 1}}, (422, ["body", "filter"], "value_error.filter")),
        ("remove", {}, (422, ["body", "url"], "value_error.missing")),
    ],
)
def test_what_is_refused(
    stack: Stack, site: PictureSite, what: str, body: Any, expected: tuple[int, list[Any], str]
) -> None:
    good = picture(0xFF00)
    pictures = {"GOOD": good, "TEXT": b"hello", "TORN": good[:200]}
    urls = {name: site.put(f"/refused/{name}.png", data) for name, data in pictures.items()}
    urls["NONE"] = site.url("/refused/none.png")
    text = json.dumps(body)
    for name, url in urls.items():
        text = text.replace(f'"{name}"', f'"{url}"')
    answer = Idios(stack, "default").post(what, content=text.encode())
    assert problem(answer) == expected
    assert Idios(stack, "default").count() == 2


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"[1, 2]", "type_error.dict"),
        (b'"text"', "type_error.dict"),
        (b"\xff", "value_error.jsondecode"),
        (b'{"filter": {"a": ' + b"[" * 1024 * 1024, "value_error.too_long"),
    ],
)
def test_what_is_no_json(stack: Stack, content: bytes, kind: str) -> None:
    assert problem(Idios(stack, "default").post("add", content=content)) == (422, ["body"], kind)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"files": {"image": b""}}, (422, ["body", "image"], "parameter_error")),
        ({"files": {"image": b"hello"}}, (422, ["body", "image"], "parameter_error")),
        ({"files": {"other": b""}, "data": {"image": "text"}}, (422, ["body", "image"], "value_error.file")),
        ({"files": {"image": b"x"}, "data": {"metadata": "{"}}, (422, ["body", "metadata"], "value_error.jsondecode")),
        ({"files": {"image": b"x"}, "data": {"metadata": "[]"}}, (422, ["body", "metadata"], "type_error.dict")),
        ({"files": {"filter": b"[" * 1048577}}, (422, ["body", "filter"], "value_error.too_long")),
    ],
)
def test_what_is_refused_in_forms(stack: Stack, options: Any, expected: tuple[int, list[Any], str]) -> None:
    assert problem(Idios(stack, "default").post("add", **options)) == expected


def test_a_form_that_is_none(stack: Stack) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = Idios(stack, "default").post("add", content=b"--y\r\nnot a form", headers=headers)
    assert answer.status_code in (400, 422) and answer.json()["detail"]


def test_models(stack: Stack, collection: str) -> None:
    """The path names a collection; or a model, as in Idios, while one collection has it."""
    assert Idios(stack, "default").count() == 2
    assert Idios(stack, collection).count() == 0
    status, loc, kind = problem(Idios(stack, "vit_b32").post("urls"))
    assert (status, loc, kind) == (422, ["path", "model_name"], "type_error.enum")
    assert "several collections" in Idios(stack, "colours").post("urls").json()["detail"][0]["msg"]


def test_the_port_has_these_routes_only_and_asks_for_no_key(stack: Stack) -> None:
    idios = Idios(stack, "default")
    for path in ("/", "/api/versions", "/api/collections", "/metrics", "/page/app.js"):
        assert idios.get(path).json() == {"detail": "Not Found"}
    assert idios.get("/models/default/add").json() == {"detail": "Method Not Allowed"}


def test_the_port_describes_itself(stack: Stack) -> None:
    """Idios' README sends people to /docs on this port; clients are generated from /openapi.json."""
    idios = Idios(stack, "default")
    assert idios.get("/redoc").headers["location"] in ("docs", "./docs")
    page = idios.get("/docs")
    assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
    for asset in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        assert idios.get(f"/{asset}").status_code == 200, asset
    paths = idios.get("/openapi.json").json()["paths"]
    routes = ("add", "search_add", "add_bulk", "search", "compare", "urls", "dump", "restore", "count", "remove")
    assert paths.keys() == {"/ping", *(f"/models/{{model_name}}/{route}" for route in routes)}


def test_pages_of_other_sites_change_nothing(stack: Stack, collection: str) -> None:
    """A browser sends such forms for any page, and says whose they are."""
    idios = Idios(stack, collection)
    for origin in ("https://evil.example", "null", "http://127.0.0.1", f"{idios.base}.evil.example"):
        for what in ("add", "urls"):
            answer = idios.post(what, files={"image": picture(0xFF00)}, headers={"Origin": origin})
            assert (answer.status_code, answer.json()) == (403, {"detail": "pages of other sites may not ask here"})
    assert idios.count() == 0
    idios.done("add", files={"image": picture(0xFF00)}, headers={"Origin": idios.base})
    behind_a_proxy = {"Origin": "https://museum.example", "X-Forwarded-Host": "museum.example"}
    assert len(idios.answered("urls", headers=behind_a_proxy)) == 1


def test_the_gateways_own_port_asks_for_keys(stack: Stack, site: PictureSite) -> None:
    url = site.put("/keys.png", picture(0xFF00))
    for route in ("add", "search_add", "add_bulk", "restore", "remove"):
        answer = stack.call("POST", f"/models/default/{route}", key=None, json={"url": url})
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert isinstance(answer.json()["detail"], str)
        assert stack.call("POST", f"/models/default/{route}", key=stack.search_key, json={}).status_code == 403
    assert stack.call("POST", "/models/default/urls", key=None).json() == list(LAKE)
    assert stack.call("POST", "/models/default/add", json={"url": "nothing"}).status_code == 422
    assert stack.call("GET", "/ping", key=None).text == '"pong"'


def test_the_datalakes_files(stack: Stack) -> None:
    """In ``default``, a path is a file of the datalake, and never one outside of it."""
    idios = Idios(stack, "default")
    (stack.lake / "data" / "new.png").write_bytes(picture(0x0FF0, 3))
    (stack.lake / "outside.png").write_bytes(picture(0x0FF0, 3))
    (stack.lake / "data" / "link.png").symlink_to(stack.lake / "outside.png")
    try:
        idios.done("add", {"url": "data/new.png", "metadata": {"new": True}})
        assert idios.answered("urls") == ["data/new.png", *LAKE]
        first = idios.answered("search", {"url": "data/new.png", "limit": 1})
        assert first == [{"url": "data/new.png", "metadata": {"new": True}, "similarity": 100}]
        idios.done("add", {"url": "data/robe.png", "metadata": {"kind": "robe"}})
        assert idios.answered("urls", {"filter": {"kind": "robe"}}) == ["data/robe.png"]
        nothing = {"loc": ["body", "url"], "msg": "the datalake has no such picture", "type": "parameter_error"}
        for path in (
            "outside.png", "data/link.png", "data/../outside.png", "/etc/passwd", "/etc/none", "data", "data/none.png",
        ):  # fmt: skip
            for what in ("add", "search"):  # neither tells what else is on the machine
                answer = idios.post(what, {"url": path})
                assert (answer.status_code, answer.json()) == (422, {"detail": [nothing]}), path
    finally:
        idios.done("remove", {"url": "data/new.png"})
        for name in ("data/new.png", "outside.png", "data/link.png"):
            (stack.lake / name).unlink()
    assert idios.count() == 2


def test_what_is_not_there_is_removed_already(idios: Idios) -> None:
    """As in Idios; a header tells who wants to know."""
    answer = idios.post("remove", {"url": "https://a.example/"})
    assert (answer.status_code, answer.content, answer.headers["X-Hashlake-Removed"]) == (204, b"", "false")


def test_what_is_no_url_cannot_be_removed(idios: Idios) -> None:
    """As in Idios. What an image may be called, if not here, is removed already; and what is here, by any name."""
    scheme = {"loc": ["body", "url"], "msg": "invalid or missing URL scheme", "type": "value_error.url.scheme"}
    for what in ("remove", "add", "search_add", "search"):
        answer = idios.post(what, {"url": "not_a_url"})
        assert (answer.status_code, answer.json()) == (422, {"detail": [scheme]}), what
    idios.done("remove", {"url": "upload:00"})
    idios.done(RESTORE, [{"url": "not_a_url", "embedding": "ff01fffffffe"}])
    assert idios.post("remove", {"url": "not_a_url"}).headers["X-Hashlake-Removed"] == "true"


def test_no_body(idios: Idios) -> None:
    """null, or nothing, is the first page of all images, as in Idios; elsewhere it is missing."""
    idios.done(RESTORE, [{"url": "https://a.example/", "embedding": "ff01fffffffe"}])
    for content in (b"null", b" null\n", b""):
        assert idios.answered("urls", content=content) == ["https://a.example/"]
        assert [each["url"] for each in idios.answered("dump", content=content)] == ["https://a.example/"]
        missing = {"loc": ["body"], "msg": "field required", "type": "value_error.missing"}
        for what in ("add", "search", "compare", "remove", "add_bulk", "restore"):
            assert idios.post(what, content=content).json() == {"detail": [missing]}, what


def test_a_search_about_nothing(idios: Idios) -> None:
    for body in ({}, {"limit": 3}, {"text": ""}, {"text": "", "url": None}):
        answer = idios.post("search", body)
        assert (answer.status_code, answer.json()) == (422, {"detail": "Either 'text' or 'url' must be provided."})


def test_as_many_as_milvus_gives(idios: Idios) -> None:
    """Idios sets no limit of its own."""
    images = [{"url": f"https://a.example/{n:05d}", "embedding": f"{n:012x}"} for n in range(16_384)]
    idios.done(RESTORE, images)
    found = idios.answered("search", {"url": images[0]["url"], "limit": 16_384})
    assert sorted(each["url"] for each in found) == [each["url"] for each in images]
    assert idios.post("search", {"url": images[0]["url"], "limit": 16_385}).status_code == 422


def test_ping_asks_a_worker_too(stack: Stack) -> None:
    idios = Idios(stack, "default")
    for rpc in ("1", "true", "0"):
        assert idios.get(f"/ping?rpc={rpc}").json() == "pong"
    answer = idios.get("/ping?rpc=banana")
    bad = {"loc": ["query", "rpc"], "msg": "value could not be parsed to a boolean", "type": "type_error.bool"}
    assert (answer.status_code, answer.json()) == (422, {"detail": [bad]})
