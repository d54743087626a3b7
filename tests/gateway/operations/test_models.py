"""Models are listed with what they say of themselves, and found by the path a request gives, but only below their
folder."""

import hashlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from gateway.access.guards import require_admin
from gateway.errors import RequestRefused, TorchServeError
from gateway.operations.models import router
from gateway.settings import GatewaySettings
from gateway.torchserve import model_folder
from gateway.torchserve.model_folder import ModelFolder, find_model, only_model_called
from gateway.torchserve.model_memory import LoadedModel
from gateway.torchserve.model_servers import ModelServers
from searcher.versions.manifest import MANIFEST_FILE
from searcher.versions.store import IndexStore
from tests.gateway.tiny_app import Client, settings_in, tiny_app
from tests.searcher.versions.versions_by_hand import MODEL, publish

QUALITY = {"precision": [], "queries": None, "database": None, "protocol": None, "calibrated": []}
CARD = {"format": 1, "name": "grid", "bits": 16, "training": {"by": "hand", "größe": [1, 2.5, None]}}


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return settings_in(tmp_path)


@pytest.fixture
def folder(settings: GatewaySettings) -> Path:
    return settings.models


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[LoadedModel]:
    """What TorchServe has; while it is empty, nobody answers there."""
    found: list[LoadedModel] = []

    async def ask(_servers: ModelServers) -> list[LoadedModel]:
        if not found:
            raise TorchServeError("TorchServe's management socket cannot be reached")
        return found

    monkeypatch.setattr(ModelServers, "loaded", ask)
    return found


@pytest.fixture
def client(settings: GatewaySettings, loaded: list[LoadedModel]) -> Iterator[Client]:
    with Client(tiny_app(settings, router)) as client:
        yield client


def write_model(path: Path, card: str | bytes | None = json.dumps(CARD), *, mark: int = 0) -> str:
    """A zip archive as TorchScript's, with ``card`` in it; ``mark`` makes another file. Its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{path.stem}/data.pkl", bytes([mark]) * 100)
        if card is not None:
            archive.writestr(f"{path.stem}/extra/card.json", card)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def cards(client: Client) -> dict[str, object]:
    return {model["model_path"]: model["card"] for model in client.get("/api/models").json()["models"]}


class TestList:
    def test_none(self, client: Client) -> None:
        assert client.get("/api/models").json() == {"models": []}

    def test_at_any_depth(self, folder: Path, client: Client) -> None:
        checksums = [
            write_model(folder / "a.pt"),
            write_model(folder / "b" / "001" / "größe 1.pt", mark=1),
            write_model(folder / "c" / "x.pt", None),
        ]
        (folder / "a.md").write_text("no model")
        paths = ["a.pt", "b/001/größe 1.pt", "c/x.pt"]
        assert client.get("/api/models").json() == {
            "models": [
                {
                    "model_path": path,
                    "bytes": (folder / path).stat().st_size,
                    "sha256": sha256,
                    "card": card,
                    "quality": card and QUALITY,
                    "current": False,
                    "served": None,
                }
                for path, sha256, card in zip(paths, checksums, [CARD, CARD, None], strict=True)
            ]
        }

    def test_how_good_it_is(self, folder: Path, client: Client) -> None:
        """As training writes it: the value, and the ends of its interval."""
        figures = {
            "queries": 421, "database": 3676, "protocol": "every tenth", "ties": "expected values",
            "64 bits": {"mAP@all": [0.8, 0.76, 0.84], "precision@10": [0.7, 0.6, 0.8]},
            "256 bits": {"recall": [1, 1, 1]},
        }  # fmt: skip
        curve = {"distances": [0.0, 9.0], "shares": [1.0, 0.0]}
        card = {"training": {"figures": figures}, "calibration": {"code": curve, "detail": None, "nothing_below": 0.6}}
        write_model(folder / "a.pt", json.dumps(card))
        assert [each["quality"] for each in client.get("/api/models").json()["models"]] == [
            {
                "precision": [{"codes": "64 bits", "value": 0.8, "low": 0.76, "high": 0.84}],
                "queries": 421,
                "database": 3676,
                "protocol": "every tenth",
                "calibrated": ["code"],
            }
        ]

    @pytest.mark.parametrize(
        "card",
        [
            {"training": [], "calibration": 7},
            {"training": {"figures": {"64 bits": {"mAP@all": [1, "x", None]}, "queries": "many", "protocol": 7}}},
        ],
    )
    def test_a_card_that_says_it_in_another_way_says_nothing(
        self, folder: Path, client: Client, card: dict[str, Any]
    ) -> None:
        write_model(folder / "a.pt", json.dumps(card))
        assert [each["quality"] for each in client.get("/api/models").json()["models"]] == [QUALITY]

    def test_those_in_memory(self, folder: Path, client: Client, loaded: list[LoadedModel]) -> None:
        sha256 = write_model(folder / "a.pt")
        write_model(folder / "b.pt", mark=1)
        loaded += [LoadedModel("grid-123", sha256, 2, 500), LoadedModel("image-retrieval-v1.0", "0" * 64, 2, 600)]
        served = {each["model_path"]: each["served"] for each in client.get("/api/models").json()["models"]}
        assert served == {"a.pt": {"name": "grid-123", "workers": 2, "memory_bytes": 500}, "b.pt": None}

    def test_a_real_one(self, folder: Path, grid_path: Path, client: Client) -> None:
        shutil.copy(grid_path, folder / "grid.pt")
        (found,) = client.get("/api/models").json()["models"]
        assert (found["card"]["name"], found["card"]["bits"]) == ("grid", 16)
        assert found["card"]["preprocessing"]["image_size"] == 16
        assert found["sha256"] == hashlib.sha256(grid_path.read_bytes()).hexdigest()

    def test_the_current_version_s(self, folder: Path, settings: GatewaySettings, client: Client) -> None:
        checksums = {name: write_model(folder / name, mark=mark) for mark, name in enumerate(["a.pt", "b.pt"])}
        store = IndexStore(settings.index_store)

        def current() -> list[str]:
            return [each["model_path"] for each in client.get("/api/models").json()["models"] if each["current"]]

        for name in ("a.pt", "b.pt"):
            publish(store, name, model=MODEL.model_copy(update={"sha256": checksums[name]}))
            assert current() == [name]
        store.promote("a.pt")
        assert current() == ["a.pt"]
        (store.folder / "a.pt" / MANIFEST_FILE).write_text("{")
        assert current() == []

    @pytest.mark.parametrize(
        "card",
        [
            None,
            "",
            "{",
            "[1]",
            '"text"',
            b"\xff\xfe",
            '{"a": "\\ud800"}',
            "[" * 100_000,
            '{"a":' * 1000 + "1" + "}" * 1000,
            json.dumps({"large": "x" * (1 << 20)}),
        ],
        ids=str,
    )
    def test_a_card_that_is_none(self, card: str | bytes | None, folder: Path, client: Client) -> None:
        write_model(folder / "a.pt", card)
        assert cards(client) == {"a.pt": None}

    def test_a_number_that_json_has_not(self, folder: Path, client: Client) -> None:
        write_model(folder / "a.pt", '{"loss": 1e999}')
        assert cards(client) == {"a.pt": {"loss": None}}

    def test_damaged_files(self, folder: Path, client: Client) -> None:
        write_model(folder / "cut.pt")
        whole = (folder / "cut.pt").read_bytes()
        (folder / "cut.pt").write_bytes(whole[:-30])
        (folder / "empty.pt").write_bytes(b"")
        (folder / "text.pt").write_bytes(b"no model")
        (folder / "changed.pt").write_bytes(whole.replace(b'"format"', b'"FORMAT"', 1))
        assert cards(client) == {"changed.pt": None, "cut.pt": None, "empty.pt": None, "text.pt": None}

    def test_what_is_no_file_below_the_folder(self, folder: Path, tmp_path: Path, client: Client) -> None:
        write_model(tmp_path / "elsewhere" / "x.pt")
        write_model(folder / "a.pt")
        (folder / "out.pt").symlink_to(tmp_path / "elsewhere" / "x.pt")
        (folder / "out").symlink_to(tmp_path / "elsewhere")
        (folder / "gone.pt").symlink_to("nowhere.pt")
        (folder / "loop.pt").symlink_to("loop.pt")
        (folder / "round").symlink_to(".")
        (folder / "folder.pt").mkdir()
        os.mkfifo(folder / "pipe.pt")
        (folder / os.fsdecode(b"\xff.pt")).write_bytes(b"a name that no answer can spell")
        (folder / "latest.pt").symlink_to("a.pt")
        assert cards(client) == {"a.pt": CARD, "latest.pt": CARD}

    def test_the_folder_is_reached_by_a_link(self, folder: Path, tmp_path: Path, client: Client) -> None:
        folder.rmdir()
        write_model(tmp_path / "disk" / "a.pt")
        folder.symlink_to("disk")
        assert cards(client) == {"a.pt": CARD}


class TestReading:
    @pytest.fixture
    def reads(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The checksums that were computed."""
        found: list[str] = []
        compute = model_folder._sha256

        def watch(file: model_folder.BufferedReader) -> str:
            found.append(compute(file))
            return found[-1]

        monkeypatch.setattr(model_folder, "_sha256", watch)
        return found

    def test_a_file_is_read_once(self, reads: list[str], folder: Path) -> None:
        first, second = write_model(folder / "a.pt"), write_model(folder / "b.pt", mark=1)
        listed = ModelFolder(folder)
        assert listed.models(first) == listed.models(first)
        assert reads == [first, second]

    def test_a_changed_file_is_read_again(self, reads: list[str], folder: Path) -> None:
        write_model(folder / "a.pt")
        times = (folder / "a.pt").stat().st_mtime_ns
        listed = ModelFolder(folder)
        listed.models(None)
        changed = write_model(folder / "a.pt", '{"name": "new!"}', mark=1)
        os.utime(folder / "a.pt", ns=(times + 1, times + 1))
        (found,) = listed.models(changed)
        assert (found.sha256, found.card, found.current) == (changed, {"name": "new!"}, True)
        replacement = write_model(folder / "b.pt", '{"name": "old!"}', mark=2)
        os.utime(folder / "b.pt", ns=(times + 1, times + 1))  # of the same size and time, but another file
        assert (folder / "b.pt").stat().st_size == (folder / "a.pt").stat().st_size
        (folder / "b.pt").replace(folder / "a.pt")
        assert [model.sha256 for model in listed.models(None)] == [replacement]

    def test_detectors_are_left_out(self, folder: Path) -> None:
        with zipfile.ZipFile(folder / "detector.pt", "w") as archive:
            archive.writestr("detector/extra/detector.json", "{}")
        assert "detector.pt" not in [model.model_path for model in ModelFolder(folder).models(None)]

    def test_what_is_gone_is_forgotten(self, reads: list[str], folder: Path) -> None:
        write_model(folder / "a.pt")
        listed = ModelFolder(folder)
        listed.models(None)
        (folder / "a.pt").rename(folder / "b.pt")
        assert [model.model_path for model in listed.models(None)] == ["b.pt"]
        assert len(listed._read) == 1


class TestFind:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        """
        a.pt  README.md  one/001/x.pt  one/001/x.md  two/x.pt  two/y.pt  none/x.md
        latest → one/001   out.pt, out, mixed/out.pt → elsewhere   mixed/x.pt
        """
        folder = tmp_path / "torchscripts_models"
        for name in ("a.pt", "README.md", "one/001/x.pt", "one/001/x.md", "two/x.pt", "two/y.pt", "none/x.md",
                     "mixed/x.pt", "../elsewhere/z.pt", "../torchscripts_models2/z.pt"):  # fmt: skip
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        (folder / "latest").symlink_to("one/001")
        (folder / "out").symlink_to("../elsewhere")
        (folder / "out.pt").symlink_to("../elsewhere/z.pt")
        (folder / "mixed" / "out.pt").symlink_to("../../elsewhere/z.pt")
        (folder / "loop").symlink_to("loop")
        return folder

    @pytest.mark.parametrize(
        ("model_path", "found"),
        [
            ("a.pt", "a.pt"),
            ("./a.pt", "a.pt"),
            ("one/001", "one/001/x.pt"),
            ("one/001/", "one/001/x.pt"),
            ("one//001/x.pt", "one/001/x.pt"),
            ("latest", "one/001/x.pt"),
            ("latest/x.pt", "one/001/x.pt"),
            ("mixed/", "mixed/x.pt"),
            ("torchscripts_models/a.pt", "a.pt"),
            ("torchscripts_models/one/001/", "one/001/x.pt"),
            (".", "a.pt"),
            ("torchscripts_models/", "a.pt"),
        ],
    )
    def test_by_its_path(
        self, model_path: str, found: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert find_model(folder, model_path) == folder / found
        monkeypatch.chdir(tmp_path)
        assert find_model(Path("torchscripts_models"), model_path) == folder / found

    def test_a_folder_within_that_is_called_alike_comes_first(self, folder: Path) -> None:
        (folder / "torchscripts_models").mkdir()
        shutil.copy(folder / "a.pt", folder / "torchscripts_models" / "a.pt")
        assert find_model(folder, "torchscripts_models/a.pt") == folder / "torchscripts_models/a.pt"

    @pytest.mark.parametrize(
        ("model_path", "why"),
        [
            ("", "give the path of a file or folder below the models' folder"),
            ("/etc/passwd", "give the path of a file or folder below the models' folder"),
            ("../elsewhere/z.pt", "give the path of a file or folder below the models' folder"),
            ("one/../a.pt", "give the path of a file or folder below the models' folder"),
            ("..", "give the path of a file or folder below the models' folder"),
            ("b.pt", "there is no such model"),
            ("a", "there is no such model"),
            ("a.pt/b", "there is no such model"),
            ("out.pt", "there is no such model"),
            ("out", "there is no such model"),
            ("out/z.pt", "there is no such model"),
            ("mixed/out.pt", "there is no such model"),
            ("loop", "there is no such model"),
            ("torchscripts_models2/z.pt", "there is no such model"),
            ("zero\0byte", "there is no such model"),
            ("\ud800", "there is no such model"),
            ("x" * 300, "there is no such model"),
            ("README.md", "a model is a .pt file"),
            ("two", "a folder must hold one .pt file, and this one holds 2"),
            ("none/", "a folder must hold one .pt file, and this one holds 0"),
            ("one", "a folder must hold one .pt file, and this one holds 0"),
        ],
    )
    def test_refused(self, model_path: str, why: str, folder: Path) -> None:
        with pytest.raises(RequestRefused) as refusal:
            find_model(folder, model_path)
        assert (refusal.value.status, str(refusal.value)) == (422, f"model_path {model_path!r}: {why}")

    def test_by_a_name_in_its_card(self, folder: Path) -> None:
        card = {"name": "vit_b32", "aliases": ["ViT-B/32", 7, "größe-1"]}
        write_model(folder / "clip/openai.pt", json.dumps(card))
        write_model(folder / "b.pt", json.dumps({"name": "resnet34", "aliases": None}))
        (folder / "newest.pt").symlink_to("clip/openai.pt")
        for name in ("vit_b32", "ViT-B/32", "ViT-B-32", "VITB32", "GRÖSSE 1"):
            assert find_model(folder, name) == folder / "clip/openai.pt"
        assert find_model(folder, "ResNet-34") == folder / "b.pt"
        assert only_model_called(folder, "vit b 32") and not only_model_called(folder, "vit_b16")

    def test_a_name_of_several_models(self, folder: Path) -> None:
        for number, file in enumerate(("b.pt", "one/c.pt")):
            write_model(folder / file, json.dumps({"name": f"n{number}", "aliases": ["ViT-B/32"]}))
        with pytest.raises(RequestRefused, match=r"several models are called so: name one of b\.pt, one/c\.pt"):
            find_model(folder, "vit_b32")
        assert not only_model_called(folder, "vit_b32")

    def test_no_file_but_a_pipe_or_a_folder(self, folder: Path) -> None:
        os.mkfifo(folder / "pipe.pt")
        (folder / "folder.pt").mkdir()
        with pytest.raises(RequestRefused, match="there is no such model"):
            find_model(folder, "pipe.pt")
        with pytest.raises(RequestRefused, match="this one holds 0"):
            find_model(folder, "folder.pt")

    def test_the_models_folder_is_reached_by_a_link(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "models").symlink_to("torchscripts_models")
        assert find_model(tmp_path / "models", "models/one/001") == folder / "one/001/x.pt"


def test_the_route_asks_for_an_administrator(settings: GatewaySettings) -> None:
    with Client(tiny_app(settings, router, key=False)) as client:
        assert client.get("/api/models").status_code == 401
    (route,) = router.routes
    assert isinstance(route, APIRoute)
    assert require_admin in [dependency.call for dependency in route.dependant.dependencies]
