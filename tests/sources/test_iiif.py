"""IIIF manifests of both versions, by hand: canvases in order, every form of a body, and what is broken."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sources.errors import SourceError, Unreadable
from sources.iiif_manifest import canvases_of, requests_for
from sources.registry import open_source
from tests.fakes import code_bytes, png_of, write_grid_model
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.sources.fetching.picture_site import PictureSite

SERVICE_2 = {"@context": "http://iiif.io/api/image/2/context.json", "@id": "http://e.org/i/a", "profile": "level1"}
SERVICE_3 = {"id": "http://e.org/i/a/", "type": "ImageService3", "profile": "level2"}
SERVICE_1 = {
    "@id": "http://e.org/i/a",
    "profile": "http://library.stanford.edu/iiif/image-api/1.1/conformance.html#level1",
}
LOGIN = {"@context": "http://iiif.io/api/auth/1/context.json", "@id": "http://e.org/login", "profile": "auth/1/login"}
MAX, FULL = "http://e.org/i/a/full/max/0/default.jpg", "http://e.org/i/a/full/full/0/default.jpg"


def v2(*resources: Any) -> dict[str, Any]:
    canvases = [
        {"@id": f"c{number}", "label": f"f. {number}", "images": [{"resource": each}] if each else []}
        for number, each in enumerate(resources, 1)
    ]
    return {"@type": "sc:Manifest", "@id": "m", "label": "Book", "sequences": [{"canvases": canvases}]}


def v3(*bodies: Any) -> dict[str, Any]:
    canvases = [
        {"id": f"c{number}", "type": "Canvas", "label": {"en": [f"f. {number}"]}}
        | ({"items": [{"items": [{"body": each}]}]} if each else {})
        for number, each in enumerate(bodies, 1)
    ]
    return {"type": "Manifest", "id": "m", "label": {"none": ["Book"]}, "items": canvases}


def images(manifest: Any) -> list[str | None]:
    return [canvas.image for canvas in canvases_of(manifest)]


@pytest.mark.parametrize(
    ("manifest", "wanted"),
    [
        (v2({"@id": "http://e.org/a.jpg", "service": SERVICE_2}), [FULL]),
        (v2({"@id": "http://e.org/a.jpg", "service": [SERVICE_2]}), [FULL]),
        (v2({"@type": "dctypes:Image", "@id": "http://e.org/a.jpg"}), ["http://e.org/a.jpg"]),
        (v2({"@type": "oa:Choice", "default": {"@id": "http://e.org/1.jpg"}, "item": [{"@id": "x"}]}),
         ["http://e.org/1.jpg"]),
        (v2(None, {"@id": "http://e.org/a.jpg"}), [None, "http://e.org/a.jpg"]),
        (v3({"id": "http://e.org/a.jpg", "type": "Image", "service": [SERVICE_3]}), [MAX]),
        (v3({"id": "http://e.org/a.jpg", "type": "Image", "service": [SERVICE_2]}), [FULL]),
        (v3({"id": "http://e.org/a.jpg", "type": "Image"}), ["http://e.org/a.jpg"]),
        (v3("http://e.org/a.jpg"), ["http://e.org/a.jpg"]),
        (v3({"type": "Choice", "items": [{"id": "http://e.org/1.jpg"}, {"id": "x"}]}), ["http://e.org/1.jpg"]),
        (v3({"type": "SpecificResource", "source": {"id": "http://e.org/1.jpg"}}), ["http://e.org/1.jpg"]),
        (v3([{"id": "http://e.org/1.jpg"}, {"id": "http://e.org/2.jpg"}]),
         ["http://e.org/1.jpg", "http://e.org/2.jpg"]),
        (v3(None, {"type": "Sound", "id": "x"}, {"id": "http://e.org/a.jpg"}), [None, None, "http://e.org/a.jpg"]),
        (v3({"type": "Choice", "items": [{"id": "x", "type": "Sound"}, {"id": "http://e.org/1.jpg"}]}),
         ["http://e.org/1.jpg"]),
        (v2({"@type": "oa:Choice", "default": "rdf:nil", "item": [{"@id": "http://e.org/1.jpg"}]}),
         ["http://e.org/1.jpg"]),
        (v3({"id": "http://e.org/a.jpg", "service": [LOGIN, SERVICE_3]}), [MAX]),
        (v3({"id": "http://e.org/a.jpg", "service": [LOGIN]}), ["http://e.org/a.jpg"]),
        (v3({"id": "http://e.org/a.jpg", "service": {"id": "http://e.org/i/a"}}), [FULL]),
        (v2({"@id": "http://e.org/a.jpg", "service": SERVICE_1}), [FULL.replace("default", "native")]),
        (v3({"id": "a", "width": 5000, "height": 90, "service": SERVICE_3}), [MAX.replace("max", "2500,")]),
        (v2({"@id": "a", "width": 90, "height": 5000, "service": SERVICE_2}), [FULL.replace("/full/0", "/,2500/0")]),
        (v3({"id": "a", "width": 5000, "height": 90, "service": SERVICE_3 | {"profile": "level0"}}), [MAX]),
    ],
)  # fmt: skip
def test_where_an_image_is(manifest: Any, wanted: list[str | None]) -> None:
    assert images(manifest) == wanted


def test_pages_keep_their_numbers_and_further_images_a_name() -> None:
    found = list(canvases_of(v3({"id": "1"}, None, [{"id": "3"}, {"id": "3b"}])))
    assert [(each.name, each.label, each.page) for each in found] == [
        ("c1", "f. 1", 1), ("c2", "f. 2", 2), ("c3", "f. 3", 3), ("c3#image=2", "f. 3", 3),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "size"),
    [({"width": 30, "height": 40}, (30, 40)), ({"width": 30}, None), ({"width": 0, "height": -1}, None)],
)
def test_sizes_of_canvases(said: dict[str, int], size: tuple[int, int] | None) -> None:
    manifest = v3({"id": "1"})
    manifest["items"][0] |= said
    assert [canvas.size for canvas in canvases_of(manifest)] == [size]


def test_a_further_image_may_cover_a_part_of_its_canvas() -> None:
    manifest = v3([{"id": "1"}, {"id": "2"}])
    manifest["items"][0] |= {"width": 30, "height": 40}
    assert [canvas.size for canvas in canvases_of(manifest)] == [(30, 40), None]


def test_what_is_asked_for_in_turn() -> None:
    assert requests_for(FULL, "http://e.org/a.jpg") == [FULL, MAX, "http://e.org/a.jpg"]
    assert requests_for(MAX.replace("max", "2500,"), None) == [MAX.replace("max", "2500,"), MAX, FULL]
    native = FULL.replace("default", "native")
    assert requests_for(native, "http://e.org/a.jpg") == [native, "http://e.org/a.jpg"]
    assert requests_for("http://e.org/a.jpg", None) == ["http://e.org/a.jpg"]


@pytest.mark.parametrize(
    ("motivation", "painted"),
    [("painting", True), ("sc:painting", True), (["painting", "linking"], True), (None, True), ("commenting", False)],
)
def test_what_is_said_about_a_canvas_is_not_on_it(motivation: Any, painted: bool) -> None:
    for manifest in (v2({"@id": "a"}), v3({"id": "a"})):
        canvas = manifest["sequences"][0]["canvases"][0] if "sequences" in manifest else manifest["items"][0]
        annotation = canvas["images"][0] if "images" in canvas else canvas["items"][0]["items"][0]
        annotation["motivation"] = motivation
        assert images(manifest) == (["a"] if painted else [None])


@pytest.mark.parametrize("broken", [[], {}, {"type": "Manifest"}, {"type": "Image", "items": []}, "text", None, 7])
def test_what_is_no_manifest_is_refused(broken: Any) -> None:
    with pytest.raises(Unreadable, match="no IIIF manifest"):
        list(canvases_of(broken))


@pytest.mark.parametrize("odd", [None, 7, "x", [], [7], {"id": 3}, {"items": 7}, [[{"items": [None]}]]])
def test_odd_parts_of_a_manifest_are_canvases_without_images_or_none(odd: Any) -> None:
    for manifest in ({"type": "Manifest", "items": odd}, {"sequences": odd}, {"sequences": [{"canvases": odd}]}):
        assert all(canvas.image is None for canvas in canvases_of(manifest))
    assert images(v3({"id": "a", "service": odd})) == ["a"] or odd == {"id": 3}


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureSite]:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    with PictureSite() as site:
        yield site


def test_manifests_and_collections_are_indexed(site: PictureSite, tmp_path: Path) -> None:
    pictures = {name: site.put(f"/{name}.png", png_of(code)) for name, code in (("a", 7), ("b", 9))}
    book = v3({"id": pictures["a"]}, {"id": site.url("/missing.png")}, None, {"id": pictures["b"]})
    first = site.put("/3.json", json.dumps(book).encode())
    other = v2({"@id": pictures["a"]})
    other["sequences"][0]["canvases"][0]["@id"] = "other"
    second = site.put("/2.json", json.dumps(other).encode())
    none = site.put("/none.json", b"<html>")
    inner = {"@type": "sc:Collection", "manifests": [{"@id": second}, {"@id": first}]}
    inside = site.put("/inner.json", json.dumps(inner).encode())
    outer = {"type": "Collection", "items": [{"id": first}, {"id": none}, {"id": inside}]}
    address = site.put("/all.json", json.dumps(outer).encode())
    model = write_grid_model(tmp_path / "grid.pt")
    run = ["index", "--source", f"iiif:{address}", "--model_path", model, "--index_store", tmp_path / "store"]
    answer = hashlake(*run, "--new_index_database_version", "1")
    assert answer.status == 0, answer.err
    assert codes_by_path(tmp_path / "store" / "1") == {
        "c1": code_bytes(7), "c4": code_bytes(9), "other": code_bytes(7),
    }  # fmt: skip
    assert skipped_of(tmp_path / "store" / "1") == [
        ("c2", "127.0.0.1 answers with status 404"),
        ("c3", "the canvas has no image"),
        (none, "the manifest cannot be had: it is no JSON"),
    ]
    site.asked.clear()
    again = hashlake(*run, "--new_index_database_version", "2", "--base_version", "1")
    assert "3 images (3 of them known before), 3 skipped" in again.out
    assert not {"/a.png", "/b.png"} & set(site.asked)


def test_files_of_addresses_and_manifests_as_files(site: PictureSite, tmp_path: Path) -> None:
    first = site.put("/3.json", json.dumps(v3({"id": "http://e.org/a.jpg"})).encode())
    (tmp_path / "list.txt").write_text(f"{first}\r\n{first}\n{site.url('/none')}\n")
    with open_source(f"iiif:{tmp_path}/list.txt") as source:
        one, failed = source.items()
        known = json.loads(one.metadata or "")
        assert known == {
            "manifest": first, "document": "Book", "label": "f. 1", "page": 1, "image": "http://e.org/a.jpg",
            "viewer": f"https://projectmirador.org/embed/?iiif-content={first.replace(':', '%3A').replace('/', '%2F')}",
        }  # fmt: skip
        with pytest.raises(Unreadable, match=r"manifest cannot be had: 127.0.0.1 answers with status 404"):
            source.with_version(failed)
    sized = v2({"@id": "http://e.org/a.jpg"})
    sized["sequences"][0]["canvases"][0] |= {"width": 30, "height": 40}
    (tmp_path / "m.json").write_text("\ufeff" + json.dumps(sized))
    with open_source(f"iiif:{tmp_path}/m.json") as source:
        (item,) = source.items()
        known = json.loads(item.metadata or "")
        assert (item.name, known["width"], known["height"]) == ("c1", 30, 40)
    (tmp_path / "m.json").write_text("{")
    for address, reason in ((f"{tmp_path}/m.json", "it is no JSON"), (f"{tmp_path}/no", "no such file"), ("", "names")):
        with pytest.raises(SourceError, match=reason), open_source(f"iiif:{address}"):
            pass


def test_halves_of_characters_stop_nothing(site: PictureSite, tmp_path: Path) -> None:
    manifest = v3({"id": site.put("/a.png", png_of(7))}, {"id": "http://e.org/\ud800"})
    manifest["label"] = "\ud800"
    manifest["items"][0]["id"] = "c\udfff"
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    model, store = write_grid_model(tmp_path / "grid.pt"), tmp_path / "store"
    answer = hashlake(
        "index", "--source", f"iiif:{tmp_path}/m.json", "--model_path", model, "--index_store", store,
        "--new_index_database_version", "1",
    )  # fmt: skip
    assert answer.status == 0, answer.err
    assert codes_by_path(store / "1") == {"c?": code_bytes(7)}
    assert [name for name, _ in skipped_of(store / "1")] == ["c2"]


def test_sizes_that_a_server_refuses_are_replaced(site: PictureSite, tmp_path: Path) -> None:
    base = site.url("/i/a")
    site.put("/i/a/full/max/0/default.jpg", png_of(7))
    manifest = v2({"@id": site.url("/plain.png"), "service": SERVICE_2 | {"@id": base}})
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    with open_source(f"iiif:{tmp_path}/m.json") as source:
        (item,) = source.items()
        assert source.read(item)[1] == png_of(7)
    assert site.asked == ["/i/a/full/full/0/default.jpg", "/i/a/full/max/0/default.jpg"]
