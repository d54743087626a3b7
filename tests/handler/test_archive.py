"""The archive holds what TorchServe needs, whole or not at all."""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from embedding.errors import ModelError
from handler.archive import ARCHIVE_FILE, BESIDE_FILES, build_archive
from tests.fakes import Grid


def test_the_archive_names_its_parts(grid_path: Path, tmp_path: Path) -> None:
    path = build_archive(grid_path, tmp_path / "model_store")
    assert path.name == "image-retrieval-v1.0.mar"
    with zipfile.ZipFile(path) as archive:
        model = json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]
        assert model["modelName"] == "image-retrieval-v1.0"
        assert archive.read(model["serializedFile"]) == grid_path.read_bytes()  # its sha256 is the model's identity
        assert json.loads(archive.read("card.json"))["name"] == "grid"
        assert yaml.safe_load(archive.read(model["configFile"]))["batchSize"] >= 1
        assert model["handler"] in archive.namelist()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_another_version_of_the_model_can_be_loaded_beside_the_first(grid_path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build_archive(grid_path, tmp_path, model_version="2.0")) as archive:
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelVersion"] == "2.0"


def test_a_model_beside_the_datalake_s_is_called_by_its_own_name(grid_path: Path, tmp_path: Path) -> None:
    path = build_archive(grid_path, tmp_path, beside=True)
    name = f"grid-{hashlib.sha256(grid_path.read_bytes()).hexdigest()[:12]}"
    assert path == tmp_path / f"{name}.mar"
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["model"]["modelName"] == name
    assert [file.stem for file in tmp_path.glob(BESIDE_FILES)] == [name]
    assert not list(tmp_path.glob(ARCHIVE_FILE))


def test_a_model_without_a_card_gets_one_that_travels_beside_it(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(Grid().eval()), str(tmp_path / "foreign.pt"))
    with zipfile.ZipFile(build_archive(tmp_path / "foreign.pt", tmp_path, image_size=16)) as archive:
        card = json.loads(archive.read("card.json"))
    assert (card["bits"], card["preprocessing"]["image_size"]) == (16, 16)


def test_a_model_that_could_not_serve_leaves_the_old_archive_alone(grid_path: Path, tmp_path: Path) -> None:
    before = build_archive(grid_path, tmp_path).read_bytes()
    broken = tmp_path / "broken.pt"
    broken.write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"broken\.pt is not a TorchScript model"):
        build_archive(broken, tmp_path)
    assert (tmp_path / "image-retrieval-v1.0.mar").read_bytes() == before


def test_the_same_inputs_give_the_same_bytes(grid_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another day (zones 25 hours apart: the archiver dates by local time), another folder, other permissions."""
    built = []
    for zone, umask, permissions in (("WEST+11", 0o077, 0o600), ("EAST-14", 0o002, 0o777)):
        folder = tmp_path / zone
        model = folder / "models" / grid_path.name
        model.parent.mkdir(parents=True)
        shutil.copy(grid_path, model)
        model.chmod(permissions)
        monkeypatch.setenv("TZ", zone)
        before = os.umask(umask)
        try:
            built.append(build_archive(model, folder / "model_store").read_bytes())
        finally:
            os.umask(before)
    assert built[0] == built[1]


def test_parts_are_stored_undated_by_name(grid_path: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(build_archive(grid_path, tmp_path)) as archive:
        parts = archive.infolist()
        assert [part.filename for part in parts] == [
            "MAR-INF/MANIFEST.json", "card.json", "grid.pt", "image_retrieval_handler.py", "model-config.yaml",
        ]  # fmt: skip
        for part in parts:
            assert part.date_time == (1980, 1, 1, 0, 0, 0)
            assert part.compress_type == zipfile.ZIP_STORED
            assert part.external_attr >> 16 == 0o644
        assert json.loads(archive.read("MAR-INF/MANIFEST.json"))["createdOn"] == "01/01/1980 00:00:00"
