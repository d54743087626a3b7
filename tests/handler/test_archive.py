"""The archive holds what TorchServe needs, whole or not at all."""

import json
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

from handler.archive import build_archive
from hashing.errors import ModelError
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
