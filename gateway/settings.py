"""What the gateway is told by its environment (``HASHLAKE_…``), checked once, before anything listens."""

import os
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from gateway.addresses import HostList, Reach
from gateway.errors import GatewayError
from gateway.fetching import FetchLimits

Port = Annotated[int, Field(ge=1, le=65535)]


def _hosts(given: object) -> object:
    return HostList.parse(given) if isinstance(given, str) else given


#: The environment has it as HostList.parse reads it.
Hosts = Annotated[InstanceOf[HostList], NoDecode, BeforeValidator(_hosts)]


class Settings(BaseSettings):
    """Every field is the variable ``HASHLAKE_`` + its name in capitals; the README has the table.

    Relative folders start from the working folder.
    """

    model_config = SettingsConfigDict(env_prefix="HASHLAKE_", env_ignore_empty=True, frozen=True)

    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8000
    torchserve_host: str = "127.0.0.1"
    inference_port: Port = 8080
    management_port: Port = 8081
    index_store: Path = Path("index_store")
    model_store: Path = Path("model_store")
    models: Path = Path("torchscripts_models")
    state: Path = Path("gateway_state")
    datalake: Path | None = None
    datalake_root: Path = Path()
    database: Path = Path("database_info.txt")
    device: str = "cpu"
    search_needs_key: bool = False
    thumbnail_cache_mb: Annotated[int, Field(ge=1)] = 256
    idios_port: Port | None = None
    collections_read_only: bool = False
    fold_after: Annotated[int, Field(ge=1)] = 50_000
    fetch_allow: Hosts = HostList()
    fetch_deny: Hosts = HostList()
    fetch_max_mb: Annotated[int, Field(ge=1)] = 32
    fetch_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    fetch_redirects: Annotated[int, Field(ge=0)] = 5

    @classmethod
    def read(cls) -> "Settings":
        """The environment's settings. Raises GatewayError, in one line, for what is wrong with them."""
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"]).upper()
            raise GatewayError(f"HASHLAKE_{name} is {first['input']!r}: {first['msg']}") from error
        settings._check()
        return settings

    @property
    def inference(self) -> str:
        """TorchServe's inference address."""
        return f"http://{self.torchserve_host}:{self.inference_port}"

    @property
    def management(self) -> str:
        """TorchServe's management address."""
        return f"http://{self.torchserve_host}:{self.management_port}"

    @property
    def fetching(self) -> FetchLimits:
        """Which URLs are downloaded, and how much of them."""
        return FetchLimits(
            reach=Reach(self.fetch_allow, self.fetch_deny),
            bytes=self.fetch_max_mb * 1024 * 1024,
            seconds=self.fetch_seconds,
            redirects=self.fetch_redirects,
        )

    @property
    def pictures(self) -> Path:
        """The folder that no shown picture lies outside of."""
        return self.datalake_root if self.datalake is None else self.datalake_root / self.datalake

    def _check(self) -> None:
        for name in ("models", "datalake_root", "pictures"):
            folder: Path = getattr(self, name)
            if not folder.is_dir():
                variable = "DATALAKE" if name == "pictures" else name.upper()
                raise GatewayError(f"HASHLAKE_{variable} is {folder}, which is no folder")
        for name in ("state", "index_store"):
            folder = getattr(self, name)
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise GatewayError(f"HASHLAKE_{name.upper()} is {folder}: {error.strerror}") from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise GatewayError(f"HASHLAKE_{name.upper()} is {folder}, where this process may not write")
