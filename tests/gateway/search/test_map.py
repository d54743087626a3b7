"""The map of the index by its routes: drawn by a child process when it is asked for first, kept, and read by tiles."""

from pathlib import Path

import pytest

from gateway.processes import ChildProcess
from gateway.search import maps
from gateway.search.map_tiles import router
from searcher.versions.store import IndexStore
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.versions.versions_by_hand import publish

COUNT = 30


def test_the_map_tile_by_tile(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    app = tiny_app(settings, router)
    with Client(app) as client:
        assert client.get("/api/map").status_code == 404
        assert client.get("/api/map/0/0/0").status_code == 404
        publish(IndexStore(settings.index_store), "1.0.0", {f"{row}.png": row << 5 for row in range(COUNT)})
        facts = client.get("/api/map").json()
        deepest = facts["deepest"]
        assert facts == {"version": "1.0.0", "count": COUNT, "deepest": deepest, "cells": 4}

        whole = client.get("/api/map/0/0/0").json()
        assert {name: whole[name] for name in ("version", "zoom", "x", "y", "count")} == {
            "version": "1.0.0", "zoom": 0, "x": 0, "y": 0, "count": COUNT,
        }  # fmt: skip
        assert sum(cell["count"] for cell in whole["cells"]) == COUNT
        quarters = [client.get(f"/api/map/1/{x}/{y}?version=1.0.0") for x in range(2) for y in range(2)]
        assert sum(quarter.json()["count"] for quarter in quarters) == COUNT
        rows = []
        for x in range(1 << deepest):
            for y in range(1 << deepest):
                for cell in client.get(f"/api/map/{deepest}/{x}/{y}").json()["cells"]:
                    assert cell["count"] == 1
                    assert cell["path"] == f"{cell['row']}.png"
                    assert cell["image"] == f"/images/{cell['row']}?version=1.0.0"
                    assert cell["thumbnail"] == f"/thumbnails/{cell['row']}?version=1.0.0"
                    rows.append(cell["row"])
        assert sorted(rows) == list(range(COUNT))

        named, current = quarters[0], client.get("/api/map/0/0/0")
        assert named.headers["Cache-Control"] == "private, max-age=86400"
        assert current.headers["Cache-Control"] == "private, no-cache"
        again = client.get("/api/map/0/0/0", If_None_Match=current.headers["ETag"])
        assert (again.status_code, again.content) == (304, b"")

        for address, status, words in (
            (f"/api/map/{deepest + 1}/0/0", 404, f"the map's deepest zoom is {deepest}"),
            ("/api/map/1/2/0", 404, "at zoom 1 the map has 2 × 2 tiles"),
            ("/api/map?version=9.9.9", 404, "there is no version 9.9.9"),
        ):
            refused = client.get(address)
            assert (refused.status_code, words in refused.json()["message"]) == (status, True)
        for address in ("/api/map/-1/0/0", "/api/map/0/0/99999999999999999999", "/api/map/x/0/0"):
            assert client.get(address).status_code == 422


def test_a_map_is_kept_and_drawn_again_where_it_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    publish(IndexStore(settings.index_store), "1.0.0", {f"{row}.png": row << 5 for row in range(COUNT)})
    with Client(tiny_app(settings, router)) as client:
        first = client.get("/api/map/0/0/0").json()
    (kept,) = (settings.state / "maps").iterdir()

    def no_child(*_: object, **__: object) -> None:
        raise AssertionError("the map is drawn again")

    with monkeypatch.context() as patched:
        patched.setattr(ChildProcess, "started", no_child)
        with Client(tiny_app(settings, router)) as client:
            assert client.get("/api/map/0/0/0").json() == first
    kept.write_bytes(kept.read_bytes()[:-7])
    with Client(tiny_app(settings, router)) as client:
        assert client.get("/api/map/0/0/0").json() == first
    assert [each.name for each in (settings.state / "maps").iterdir()] == [kept.name]


def test_no_picture_and_one(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    store = IndexStore(settings.index_store)
    publish(store, "0.0.1", {})
    publish(store, "0.0.2", {"a.png": 1})
    with Client(tiny_app(settings, router)) as client:
        assert client.get("/api/map?version=0.0.1").json()["count"] == 0
        assert client.get("/api/map/0/0/0?version=0.0.1").json()["cells"] == []
        (cell,) = client.get("/api/map/0/0/0?version=0.0.2").json()["cells"]
        assert (cell["path"], cell["count"]) == ("a.png", 1)


def test_while_it_is_drawn_and_where_it_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    store = IndexStore(settings.index_store)
    publish(store, "1.0.0", {f"{row}.png": row for row in range(COUNT)})
    monkeypatch.setattr(maps, "_PATIENCE_SECONDS", 0.0)
    app = tiny_app(settings, router)
    with Client(app) as client:
        refused = client.get("/api/map")
        assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
        assert refused.json()["message"] == "the map of version 1.0.0 is being drawn: ask again"
        client.run(app.state.services.maps.close())
    monkeypatch.setattr(maps, "_PATIENCE_SECONDS", 60.0)
    (settings.index_store / "1.0.0" / "index.faiss").write_bytes(b"")
    with Client(tiny_app(settings, router)) as client:
        refused = client.get("/api/map")
        assert refused.status_code == 500
        assert refused.json()["message"].startswith("the map of version 1.0.0 could not be drawn: index.faiss")
    monkeypatch.setattr(maps, "MOST", COUNT - 1)
    with Client(tiny_app(settings, router)) as client:
        refused = client.get("/api/map")
        assert refused.status_code == 409
        assert refused.json()["message"].startswith("maps are drawn of up to 29 pictures, and version 1.0.0 has 30")


def test_only_the_newest_maps_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "_KEPT", 1)
    settings = settings_in(tmp_path)
    store = IndexStore(settings.index_store)
    for number in (1, 2):
        publish(store, f"{number}.0.0", {"a.png": number, "b.png": 0})
    folder = settings.state / "maps"
    with Client(tiny_app(settings, router)) as client:
        for number in (1, 2):
            assert client.get(f"/api/map?version={number}.0.0").status_code == 200
            (folder / "left.npy.17.tmp").touch()
    assert len([each for each in folder.iterdir() if each.suffix == ".npy"]) == 1


def test_two_who_ask_at_once_have_it_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = settings_in(tmp_path)
    publish(IndexStore(settings.index_store), "1.0.0", {f"{row}.png": row for row in range(COUNT)})
    begun = []
    started = ChildProcess.started

    def counted(*arguments: object, **more: object) -> object:
        begun.append(arguments)
        return started(*arguments, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(ChildProcess, "started", counted)
    with Client(tiny_app(settings, router)) as client:
        answers = client.get_all(["/api/map", "/api/map/0/0/0", "/api/map"])
    assert [answer.status_code for answer in answers] == [200] * 3
    assert len(begun) == 1
