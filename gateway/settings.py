"""The gateway's settings from its environment (``HASHLAKE_…``), checked once, before anything listens."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from contract.address import bare_host, reachable_host, url_of
from contract.run_folder import RunFolder
from gateway.access.hosts import AllowedHosts, parse_origins
from gateway.access.proxies import Networks, parse_networks
from gateway.errors import GatewayError
from gateway.prefix import parse_root
from searcher.scrubbing import DEFAULT_MB_PER_S
from sources.fetching.addresses import HostList, Reach
from sources.fetching.fetcher import FetchLimits


def parse_shards(text: str) -> tuple[str, ...]:
    """Returns the gateways' addresses in ``text``, which are separated by commas. Raises ValueError."""
    found = tuple(filter(None, (each.strip().rstrip("/") for each in text.split(","))))
    for each in found:
        parts = urlsplit(each)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(f"{each!r} is no address of a gateway, such as http://10.0.0.1:8000")
    if len(set(found)) < len(found):
        raise ValueError("a shard is named twice")
    return found


Port = Annotated[int, Field(ge=1, le=65535)]


def _by(parse: Callable[[str], object]) -> BeforeValidator:
    """Reads a setting's text with ``parse``."""
    return BeforeValidator(lambda given: parse(given) if isinstance(given, str) else given)


#: A host list, spelled in the environment as HostList.parse reads it.
Hosts = Annotated[InstanceOf[HostList], NoDecode, _by(HostList.parse)]
Host = Annotated[str, _by(bare_host)]


class GatewaySettings(BaseSettings):
    """Each field comes from the variable ``HASHLAKE_`` + its name in capitals; the README has the table.

    Relative paths are relative to the working folder.
    """

    model_config = SettingsConfigDict(env_prefix="HASHLAKE_", env_ignore_empty=True, frozen=True)

    gateway_host: Host = "127.0.0.1"
    gateway_port: Port = 8000
    host: Host = "127.0.0.1"  # TorchServe's, which is here unless torchserve_host says otherwise
    torchserve_host: Host | None = None
    inference_port: Port = 8080
    run_folder: Path | None = None
    secret_file: Path | None = None
    start_timeout: Annotated[int, Field(ge=1)] = 600
    index_store: Path = Path("index_store")
    model_store: Path = Path("model_store")
    models: Path = Path("torchscripts_models")
    state: Path = Path("gateway_state")
    datalake: Path | None = None
    datalake_root: Path = Path()
    database: Path = Path("database_info.txt")
    source: str | None = None
    split: str = ""
    presigned_seconds: Annotated[int, Field(ge=0, le=604_800)] = 0  # a week is the most that S3 allows
    device: Annotated[str, Field(pattern=r"^(cpu(:0)?|cuda(:[0-9]{1,4})?)$")] = "cpu"
    search_needs_key: bool = False
    allowed_hosts: Annotated[InstanceOf[AllowedHosts], NoDecode, _by(AllowedHosts.parse)] = AllowedHosts()
    allowed_origins: Annotated[tuple[str, ...], NoDecode, _by(parse_origins)] = ()
    trusted_proxies: Annotated[Networks, NoDecode, _by(parse_networks)] = ()
    root_path: Annotated[str, _by(parse_root)] = ""
    bodies_max_mb: Annotated[int, Field(ge=80)] = 256  # room for one body of 64 MiB
    thumbnail_cache_mb: Annotated[int, Field(ge=1)] = 256
    idios_port: Port | None = None
    extractor_port: Port | None = None
    extractor_detector: str = "detector-elements"
    extractor_client: str = ""
    extractor_keep_days: Annotated[float, Field(ge=0, le=36_500, allow_inf_nan=False)] = 0
    extractor_max_mb: Annotated[int, Field(ge=1)] = 20_480
    collections_read_only: bool = False
    model_memory_mb: Annotated[int, Field(ge=1)] | None = None
    fold_after: Annotated[int, Field(ge=1)] = 50_000
    shards: Annotated[tuple[str, ...], NoDecode, _by(parse_shards)] = ()
    verify_mb_per_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = DEFAULT_MB_PER_S
    fetch_allow: Hosts = HostList()
    fetch_deny: Hosts = HostList()
    fetch_max_mb: Annotated[int, Field(ge=1)] = 32
    fetch_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 20.0
    fetch_redirects: Annotated[int, Field(ge=0)] = 5

    @classmethod
    def read(cls) -> "GatewaySettings":
        """Returns the environment's settings, and makes the folders to write to. Raises GatewayError, in one line, if
        one is wrong."""
        settings = cls.parsed()
        settings._check()
        return settings

    @classmethod
    def parsed(cls) -> "GatewaySettings":
        """Returns the environment's settings, whatever is on the disk. Raises GatewayError, in one line."""
        try:
            settings = cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = "_".join(str(part) for part in first["loc"]).upper()
            raise GatewayError(f"HASHLAKE_{name} is {first['input']!r}: {first['msg']}") from error
        return settings

    @property
    def inference(self) -> str:
        """TorchServe's inference address."""
        return url_of(self.torchserve_host or reachable_host(self.host), self.inference_port)

    @property
    def run(self) -> RunFolder:
        """Where TorchServe's management socket is, and the secret that its workers know."""
        return RunFolder(self.run_folder, self.inference_port, self.secret_file)

    @property
    def fetching(self) -> FetchLimits:
        """Limits on downloads: which hosts, how many bytes, how long."""
        return FetchLimits(
            reach=Reach(self.fetch_allow, self.fetch_deny),
            bytes=self.fetch_max_mb * 1024 * 1024,
            seconds=self.fetch_seconds,
            redirects=self.fetch_redirects,
        )

    @property
    def pictures(self) -> Path:
        """The folder that every shown picture must lie in."""
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
