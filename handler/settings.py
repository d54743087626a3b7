"""Where TorchServe listens and what it serves, as `hashlake serve` is told, and its processes are told by it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter

from contract.address import reachable_host, url_of
from contract.run_folder import RunFolder
from searcher.scrubbing import DEFAULT_MB_PER_S

#: Variables of a worker's environment.
STORE_VARIABLE = "HASHLAKE_INDEX_STORE"
THREADS_VARIABLE = "HASHLAKE_SEARCH_THREADS"
DETECTOR_VARIABLE = "HASHLAKE_DETECTOR"
CROP_VARIABLE = "HASHLAKE_CROP"
#: A variable of the environment of `python -m handler.frontend`: the settings, as JSON.
SETTINGS_VARIABLE = "HASHLAKE_SERVE_SETTINGS"
#: The file of the admin key that `make serve` has just made, to be shown once: the environment doesn't have it.
FIRST_KEY_VARIABLE = "HASHLAKE_FIRST_KEY_FILE"


@dataclass(frozen=True)
class Settings:
    """``page``: the URL of the gateway beside it, if there is one. Management is a socket in ``run_folder``, and gRPC
    is on loopback: on ``grpc_port``, or on one that nobody is told. ``start_timeout``: the most seconds that workers
    may take to load. ``verify_mb_per_s``: how fast versions are read in the background."""

    host: str
    inference_port: int
    metrics_port: int
    workers: int
    model_store: Path
    index_store: Path
    config: Path
    metrics_host: str = "127.0.0.1"
    grpc_port: int | None = None
    run_folder: Path | None = None
    secret_file: Path | None = None
    start_timeout: int = 600
    verify_mb_per_s: float = DEFAULT_MB_PER_S
    page: str | None = None

    @property
    def run(self) -> RunFolder:
        return RunFolder(self.run_folder, self.inference_port, self.secret_file)

    @property
    def inference(self) -> str:
        """The URL at which this machine reaches the inference port."""
        return url_of(reachable_host(self.host), self.inference_port)

    def as_json(self) -> str:
        """Returns them for ``from_json``."""
        return _settings.dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Returns the settings that ``as_json`` wrote."""
        return cls(**asdict(_settings.validate_json(text)))


_settings = TypeAdapter(Settings)
