"""``hashlake doctor``: what is ready to serve on this machine, and what to do about the rest.

    ok    Java          /usr/bin/java
    do    port 8080     is taken by another program: stop it, or set HASHLAKE_INFERENCE_PORT

It changes nothing. What it looks at is what ``hashlake serve --admin`` needs, by the same variables.
"""

import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import httpx
import psutil

from contract.address import bound_socket, reachable_host, url_of
from contract.amounts import size
from contract.tables import say_table
from contract.terminal import say
from embedding.cores import usable_cores
from embedding.model_files import model_file
from gateway.settings import GatewaySettings
from handler.archive import ARCHIVE_FILE
from handler.errors import HandlerError
from handler.java import find_java
from searcher.errors import SearcherError
from searcher.versions.store import IndexStore
from searcher.versions.verdict import verdict_on

#: Below it, an index of a million pictures, or thumbnails, may fill the disk.
_LEAST_DISK = 2 * 1024**3
#: What a worker takes of its own, and the Java frontend with the gateway (README, Size).
_WORKER_BYTES, _OTHER_BYTES = 280 * 1024**2, 700 * 1024**2
_ASK_SECONDS = 3.0


@dataclass(frozen=True)
class Finding:
    """``what`` was looked at, what was ``found``, and what to ``do`` about it; nothing where that is empty."""

    what: str
    found: str
    do: str = ""


@click.command(short_help="Say what is ready here, and what to do.")
def doctor() -> None:
    """Look at ports, disk, memory, Java, the model and the index store, and say what to do where `hashlake serve` would
    not start or not answer. The exit status is 1 if there is something to do."""
    settings = GatewaySettings.parsed()
    findings = [each for look in _LOOKS for each in look(settings)]
    rows = [("do" if each.do else "ok", each.what, each.found) for each in findings]
    say_table(("", "what", "found"), rows)
    todo = [each for each in findings if each.do]
    for each in todo:
        say(f"{each.what}: {each.do}")
    say("all is ready" if not todo else f"{len(todo)} of {len(findings)} to do")
    if todo:
        sys.exit(1)


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable) or str(default)
    if not text.isdecimal():
        raise click.ClickException(f"{variable} is {text!r}, which is no number")
    return int(text)


def _java(_settings: GatewaySettings) -> Iterator[Finding]:
    try:
        yield Finding("Java", str(find_java()))
    except HandlerError as error:
        yield Finding("Java", "none", str(error))


def _ports(settings: GatewaySettings) -> Iterator[Finding]:
    metrics = _number("HASHLAKE_METRICS_PORT", 8082)
    for host, port, path, variable in (
        (settings.host, settings.inference_port, "/ping", "HASHLAKE_INFERENCE_PORT"),
        (os.environ.get("HASHLAKE_METRICS_HOST") or "127.0.0.1", metrics, "/metrics", "HASHLAKE_METRICS_PORT"),
        (settings.gateway_host, settings.gateway_port, "/healthz", "HASHLAKE_GATEWAY_PORT"),
    ):
        yield _port(host, port, path, variable)


def _port(host: str, port: int, path: str, variable: str) -> Finding:
    what = f"port {port}"
    try:
        bound_socket(host, port).close()
        return Finding(what, "free")
    except socket.gaierror:
        return Finding(
            what, f"there is no address {host}", "set HASHLAKE_HOST to one of this machine's, or leave it out"
        )
    except OSError as error:
        if _answers(url_of(reachable_host(host), port) + path):
            return Finding(what, "a hashlake, or what answers like one, listens there already")
        reason = (error.strerror or str(error)).lower()
        return Finding(what, reason, f"stop the program that has it, or set {variable} to another port")


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=_ASK_SECONDS, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _disk(settings: GatewaySettings) -> Iterator[Finding]:
    for what, folder in (("disk of the index", settings.index_store), ("disk of thumbnails", settings.state)):
        free = shutil.disk_usage(_existing(folder)).free
        remedy = f"free some space, or move {folder} (HASHLAKE_INDEX_STORE, HASHLAKE_STATE)"
        yield Finding(what, f"{size(free)} free", remedy if free < _LEAST_DISK else "")


def _existing(folder: Path) -> Path:
    return next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())


def _memory(_settings: GatewaySettings) -> Iterator[Finding]:
    workers = _number("HASHLAKE_WORKERS", usable_cores())
    wanted, free = workers * _WORKER_BYTES + _OTHER_BYTES, psutil.virtual_memory().available
    found = f"{size(free)} free; {workers} workers take about {size(wanted)}"
    yield Finding("memory", found, "set HASHLAKE_WORKERS to fewer" if free < wanted else "")


def _model(settings: GatewaySettings) -> Iterator[Finding]:
    archive = settings.model_store / ARCHIVE_FILE
    if archive.is_file():
        yield Finding("model archive", str(archive))
    else:
        yield Finding("model archive", "none", f"hashlake archive --model_path {settings.models}/MODEL.pt")


def _store(settings: GatewaySettings) -> Iterator[Finding]:
    store, what = IndexStore(settings.index_store), "index version"
    try:
        current = store.current()
        if current is None:
            yield Finding(what, "none", "hashlake refresh FOLDER --model_path MODEL.pt")
            return
        manifest = store.manifest(current)
    except SearcherError as error:
        yield Finding(what, str(error), "hashlake versions rollback, or index anew")
        return
    yield Finding(what, f"{current}, {manifest.count:,} images, by {manifest.model.name}")
    verdict = verdict_on(store.folder / current)
    if verdict is None:
        yield Finding("its files", "not read yet")
    elif verdict.damaged:
        yield Finding("its files", f"{verdict.damaged} is damaged", "hashlake versions rollback, or index anew")
    else:
        yield Finding("its files", f"as published, read {verdict.checked:%Y-%m-%d %H:%M} UTC")
    found = model_file(manifest.model.sha256, settings.models)
    remedy = f"copy {manifest.model.name}'s file into {settings.models}, or index with another model"
    yield Finding("its model", str(found or f"not in {settings.models}"), "" if found else remedy)


_LOOKS: tuple[Callable[[GatewaySettings], Iterator[Finding]], ...] = (_java, _ports, _disk, _memory, _model, _store)
