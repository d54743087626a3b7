"""Two clients of object stores beside each other, which sources/objects.py had to choose from: obstore, and s3fs with
fsspec. s3fs is no dependency of ours: it runs with another Python, which needs it, obstore and click.

    python -m benchmarks.object_clients run --python /tmp/s3/bin/python --keys 100000 --objects 2000
    python -m benchmarks.object_clients run … --url http://127.0.0.1:5000      a store that runs already, moto's say

Each measurement is a process of its own; the two take turns. The store is benchmarks/object_store.py, which costs
little itself, unless another one is named, whose bucket ``lake`` then gets the objects. GETs are made as the indexer
makes them: by 32 threads with obstore, and by one call with as many at once with s3fs, which has an event loop of its
own.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import click

_AT_ONCE = 32
_BYTES = 60_000  # of a photograph, scaled down


def _peak() -> int:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) // 1024


class Obstore:
    def __init__(self, url: str) -> None:
        import obstore
        from obstore.store import S3Store

        self._obstore = obstore
        self._store = S3Store(
            "lake",
            config={"endpoint": url, "access_key_id": "a", "secret_access_key": "b", "region": "us-east-1"},
            client_options={"allow_http": True},
        )

    def keys(self) -> int:
        return sum(len(page) for page in self._obstore.list(self._store, chunk_size=1000))

    def get(self, keys: list[str]) -> int:
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return sum(pool.map(lambda key: len(self._obstore.get(self._store, key).bytes()), keys))


class S3fs:
    def __init__(self, url: str) -> None:
        import s3fs

        self._files = s3fs.S3FileSystem(
            key="a", secret="b", client_kwargs={"endpoint_url": url, "region_name": "us-east-1"},
            config_kwargs={"max_pool_connections": _AT_ONCE}, use_listings_cache=False,
        )  # fmt: skip

    def keys(self) -> int:
        return len(self._files.find("lake", detail=True))

    def get(self, keys: list[str]) -> int:
        found = 0
        for start in range(0, len(keys), 256):  # else it holds all of them
            paths = [f"lake/{key}" for key in keys[start : start + 256]]
            found += sum(map(len, self._files.cat(paths, batch_size=_AT_ONCE).values()))
        return found


@click.group()
def main() -> None:
    pass


@main.command()
@click.argument("client", type=click.Choice(["obstore", "s3fs"]))
@click.argument("url")
@click.argument("what", type=click.Choice(["keys", "get"]))
@click.argument("count", type=int)
def measure(client: str, url: str, what: str, count: int) -> None:
    """Prints seconds, seconds of the processor, and MiB above the start, as JSON."""
    opened = Obstore(url) if client == "obstore" else S3fs(url)
    before, started, used = _peak(), time.perf_counter(), time.process_time()
    if what == "keys":
        assert opened.keys() == count
    else:
        assert opened.get([f"{number:06}.jpg" for number in range(count)]) == count * _BYTES
    click.echo(json.dumps([time.perf_counter() - started, time.process_time() - used, _peak() - before]))


@main.command()
@click.option("--python", required=True, help="A Python that has s3fs, obstore and click.")
@click.option("--url", help="Of a store that runs already.")
@click.option("--keys", default=100_000, show_default=True)
@click.option("--objects", default=2000, show_default=True)
@click.option("--runs", default=3, show_default=True)
def run(python: str, url: str | None, keys: int, objects: int, runs: int) -> None:
    if url is not None:
        _fill(url, objects)
    for what, count in (("keys", keys), ("get", objects)):
        with ExitStack() as opened:
            if url is None:
                here = _own_store(opened, what, count)
            else:
                here, count = url, objects
            found: dict[str, list[list[float]]] = {"obstore": [], "s3fs": []}
            for _ in range(runs):
                for client, measured in found.items():
                    command = [python, "-m", "benchmarks.object_clients", "measure", client, here, what, str(count)]
                    measured.append(json.loads(subprocess.check_output(command)))
        for client, measured in found.items():
            seconds, used = (statistics.median(each[place] for each in measured) for place in (0, 1))
            memory = max(each[2] for each in measured)
            rate, micros = count / seconds, 1e6 * used / count
            click.echo(
                f"{what:4} {client:7} {count:,}: {rate:,.0f}/s, {micros:,.0f} µs of a core each, {memory:.0f} MiB"
            )


def _own_store(opened: ExitStack, what: str, count: int) -> str:
    from benchmarks.sources import store

    if what == "keys":
        return opened.enter_context(store("--keys", str(count)))[0]
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
    for number in range(count):
        (folder / f"{number:06}.jpg").write_bytes(os.urandom(_BYTES))
    return opened.enter_context(store(str(folder)))[0]


def _fill(url: str, objects: int) -> None:
    def put(path: str, content: bytes) -> None:
        request = urllib.request.Request(f"{url}/lake{path}", content, {"Content-Type": "image/jpeg"}, method="PUT")
        urllib.request.urlopen(request).close()

    put("", b"")
    for number in range(objects):
        put(f"/{number:06}.jpg", os.urandom(_BYTES))


if __name__ == "__main__":
    sys.exit(main())
