"""Which models TorchServe is started with, what must be there, and how long its workers are waited for."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from contract.names import MODEL_NAME
from handler.errors import HandlerError
from handler.settings import Settings
from handler.torchserve import StartProgress, models_of, require_startable
from searcher.collections import Collections
from tests.handler.server import free_ports
from tests.searcher.live.fixtures import MODEL, publish


def test_archives_that_no_collection_has_any_more_are_not_loaded(tmp_path: Path) -> None:
    """Their workers would take memory, and one that no longer starts would keep all the others waiting."""
    models, index = tmp_path / "models", tmp_path / "index"
    models.mkdir()
    settings = Settings("127.0.0.1", 1, 2, 1, models, index, tmp_path / "config")
    collections = Collections(index)
    wanted = MODEL.model_copy(update={"name": "hats", "sha256": 64 * "a"})
    stale = MODEL.model_copy(update={"name": "shoes", "sha256": 64 * "b"})
    for name in (MODEL_NAME, wanted.served_name, stale.served_name):
        (models / f"{name}.mar").touch()
    collections.create("hats", wanted)
    collections.create("shoes", stale)
    assert models_of(settings) == [MODEL_NAME, wanted.served_name, stale.served_name]
    collections.delete("shoes")
    assert models_of(settings) == [MODEL_NAME, wanted.served_name]
    publish(collections.open("hats").store, "1", model=wanted)
    for version in collections.open("hats").store.names():
        (index / "collections" / "hats" / version / "images.db").write_bytes(b"")
    assert models_of(settings) == [MODEL_NAME]


def waited(*seen: tuple[float, dict[str, int]], timeout: float = 10.0) -> None:
    """Two workers are wanted; the processes of each at these times."""
    progress = StartProgress(timeout)
    for now, processes in seen:
        progress.note(processes, 2, now)


def test_waiting_goes_on_while_all_processes_live() -> None:
    waited(*((float(now), {"9000": 7, "9001": 8}) for now in range(1000)))
    waited((0, {}), (9, {}), (9.5, {"9000": 7, "9001": 8}), (19, {"9000": 7, "9001": -1}), (20, {"9000": 7, "9001": 9}))


@pytest.mark.parametrize("processes", [{}, {"9000": 7}, {"9000": 7, "9001": -1}])
def test_it_ends_when_workers_have_no_process_for_long(processes: dict[str, int]) -> None:
    with pytest.raises(HandlerError, match="workers were not started after 10 s"):
        waited((0, {"9000": 7, "9001": 8}), (9, processes), (11, processes))


def test_it_ends_when_a_worker_keeps_dying() -> None:
    dies = [(now, {"9000": 7, "9001": pid}) for now, pid in enumerate([-1, 10, -1, 11, 12, 13])]
    waited(*[(float(now), processes) for now, processes in dies[:-1]])
    with pytest.raises(HandlerError, match="a worker has died 3 times while it started"):
        waited(*[(float(now), processes) for now, processes in dies])


class TestStartable:
    """What is said at once, before anything is started."""

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        (tmp_path / f"{MODEL_NAME}.mar").touch()
        (tmp_path / "config").touch()
        inference, metrics = free_ports(2)
        return Settings(
            "127.0.0.1",
            inference,
            metrics,
            1,
            tmp_path,
            tmp_path / "index",
            tmp_path / "config",
            run_folder=tmp_path / "run",
        )

    def test_all_is_well(self, settings: Settings) -> None:
        require_startable(settings)
        assert settings.run.secret()

    @pytest.mark.parametrize("port", ["inference_port", "metrics_port", "grpc_port"])
    def test_a_port_is_taken(self, settings: Settings, port: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            number = taken.getsockname()[1]
            with pytest.raises(HandlerError, match=f"cannot listen on 127.0.0.1:{number}: Address already in use"):
                require_startable(replace(settings, **{port: number}))
        require_startable(replace(settings, **{port: number}), patience=5)

    def test_another_one_has_the_folder(self, settings: Settings) -> None:
        settings.run.make()
        with settings.run.claimed(0), pytest.raises(HandlerError, match="another TorchServe has the folder"):
            require_startable(settings)

    def test_what_is_missing(self, settings: Settings, tmp_path: Path) -> None:
        for changed, said in (
            ({"model_store": tmp_path / "none"}, "build it with `hashlake archive`"),
            ({"config": tmp_path / "none"}, "give TorchServe's configuration with --config"),
            ({"run_folder": tmp_path / ("a" * 100)}, "too long a name"),
        ):
            with pytest.raises(HandlerError, match=said):
                require_startable(replace(settings, **changed))


def test_settings_survive_the_way_to_the_program() -> None:
    settings = Settings("::1", 1, 3, 2, Path("a b"), Path("ñ"), Path("c"), run_folder=Path("r"), start_timeout=7)
    assert Settings.from_json(settings.as_json()) == settings
