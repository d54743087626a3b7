"""``hashlake doctor`` says what is ready, and of the rest what to do."""

import shutil
import socket
from pathlib import Path

import pytest

from embedding.torchscript import TorchScriptEmbedder
from searcher.versions.store import IndexStore
from tests.handler.server import free_ports
from tests.hashlake.command import hashlake
from tests.versions import publish


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder of its own, with ports that are free, and workers that any machine has room for."""
    monkeypatch.chdir(tmp_path)
    names = ("INFERENCE", "METRICS", "GATEWAY")
    for name, port in zip(names, free_ports(3), strict=True):
        monkeypatch.setenv(f"HASHLAKE_{name}_PORT", str(port))
    monkeypatch.setenv("HASHLAKE_WORKERS", "1")
    return tmp_path


def test_an_empty_folder(here: Path) -> None:
    answer = hashlake("doctor")
    assert answer.status == 1
    lines = answer.out.splitlines()
    assert [line for line in lines if line.startswith("do")] == [
        "do  model archive       none",
        "do  index version       none",
    ]
    assert lines[-3:] == [
        "model archive: hashlake archive --model_path torchscripts_models/MODEL.pt",
        "index version: hashlake refresh FOLDER --model_path MODEL.pt",
        "2 of 9 to do",
    ]
    assert [*here.iterdir()] == []


def test_all_is_ready(here: Path, grid: TorchScriptEmbedder, grid_path: Path) -> None:
    publish(IndexStore(here / "index_store"), "1.5.0", grid, {"a.png": 0, "b.png": 1}, here)
    (here / "torchscripts_models").mkdir()
    shutil.copy(grid_path, here / "torchscripts_models" / "grid.pt")
    (here / "model_store").mkdir()
    (here / "model_store" / "image-retrieval-v1.0.mar").touch()
    answer = hashlake("doctor")
    assert answer.status == 0, answer.out
    lines = answer.out.splitlines()
    assert lines[-1] == "all is ready"
    assert "ok  index version       1.5.0, 2 images, by grid" in lines
    assert "ok  its model           torchscripts_models/grid.pt" in lines
    shutil.rmtree(here / "torchscripts_models")
    remedy = "its model: copy grid's file into torchscripts_models, or index with another model"
    assert remedy in hashlake("doctor").out.splitlines()


def test_a_port_that_another_program_has(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("HASHLAKE_GATEWAY_PORT", str(port))
        out = hashlake("doctor").out
    assert f"port {port}: stop the program that has it, or set HASHLAKE_GATEWAY_PORT to another port" in out


def test_a_wrong_setting_is_one_line(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HASHLAKE_GATEWAY_PORT", "http")
    answer = hashlake("doctor")
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.startswith("Error: HASHLAKE_GATEWAY_PORT is 'http'")
