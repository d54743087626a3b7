"""What there is to search, for whoever has just come."""

from pathlib import Path

from gateway.search.overview import router
from searcher.versions.store import IndexStore
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.versions.versions_by_hand import publish


def test_how_many_since_when_and_some_at_random(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with Client(tiny_app(settings, router)) as client:
        assert client.get("/api/overview").status_code == 404
        manifest = publish(IndexStore(settings.index_store), "1.0.0", {f"{row}.png": row for row in range(5)})
        found = client.get("/api/overview?pictures=3").json()
        pictures = found.pop("pictures")
        created = manifest.created.isoformat().replace("+00:00", "Z")
        assert found == {"version": "1.0.0", "created": created, "count": 5, "model": manifest.model.name}
        assert len({each["row"] for each in pictures}) == 3
        for each in pictures:
            assert each["path"] == f"{each['row']}.png"
            assert each["thumbnail"] == f"/thumbnails/{each['row']}?version=1.0.0"
        assert len(client.get("/api/overview").json()["pictures"]) == 5
        assert client.get("/api/overview?pictures=61").status_code == 422
