"""The pictures of another gateway's collection, over real HTTP, embedded by another model."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from embedding.torchscript import TorchScriptEmbedder
from gateway.collections import browsing
from searcher.entry import Entry
from sources.errors import SourceError
from sources.registry import open_source
from tests.fakes import code_bytes, png_of, write_colour_model
from tests.gateway.tiny_app import settings_in, tiny_app
from tests.hashlake.command import hashlake
from tests.indexer.stored import codes_by_path, skipped_of
from tests.served_app import ServedApp
from tests.sources.fetching.picture_site import PictureSite


def test_a_collection_is_embedded_by_another_model(
    tmp_path: Path, grid: TorchScriptEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HASHLAKE_FETCH_ALLOW", "127.0.0.0/8")
    app = tiny_app(settings_in(tmp_path), browsing.router)
    shoes = app.state.services.collections.collections.create("shoes", grid.identity)
    with PictureSite() as site, ServedApp(app) as gateway:
        urls = [site.put(f"/{number}.png", png_of(number)) for number in range(3)]
        entries = [Entry(url, {"code": code_bytes(7)}, f'{{"n": {n}}}') for n, url in enumerate(urls)]
        shoes.add([*entries, Entry("upload:1", {"code": code_bytes(7)})])
        address = f"collection:{gateway.url}/shoes"
        model = write_colour_model(tmp_path / "colours.pt")
        run = ["index", "--source", address, "--model_path", model, "--index_store", tmp_path / "new"]
        answer = hashlake(*run, "--new_index_database_version", "1")
        assert answer.status == 0, answer.err
        assert codes_by_path(tmp_path / "new" / "1") == {url: code_bytes(n) for n, url in enumerate(urls)}
        assert skipped_of(tmp_path / "new" / "1") == [
            ("upload:1", "the gateway has no picture of it (status 404)"),
        ]
        with closing(sqlite3.connect(tmp_path / "new" / "1" / "images.db")) as table:
            assert table.execute("SELECT metadata FROM images").fetchall() == [(f'{{"n": {n}}}',) for n in range(3)]
        for wrong, reason in (
            (f"collection:{gateway.url}/hats", "status 404"),
            ("collection:shoes", "names no collection"),
            ("collection:http://127.0.0.1:1/shoes", "cannot be listed"),
        ):
            with pytest.raises(SourceError, match=reason), open_source(wrong):
                pass
