"""No file leaves but those that are meant to: each spelling of each secret file × each door that gives out files.

Spellings come in addresses, in query strings and in fields; and in the index itself, whose listing and datalake may
have been somebody else's: paths that climb, absolute ones, links.
"""

import itertools
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest

from contract.names import DEFAULT_COLLECTION
from searcher.versions.store import IndexStore
from tests.fakes import png_of
from tests.gateway.live import Live, live
from tests.reliability.campaign import Sizes, Tell, drawn
from tests.searcher.live.fixtures import addition, publish

#: No answer may have it.
_SECRET = b"a secret of this machine"


@dataclass
class Stack:
    """The gateway over ``root``/lake; beside that lie its keys, its store, its models, and somebody's secrets."""

    root: Path
    server: Live
    key: str

    @property
    def secrets(self) -> list[Path]:
        return [self.root / "secret.png", self.root / "secret.txt", self.root / "state" / "keys.db",
                self.root / "lake2" / "a.png", self.root / "models" / "secret.pt", Path("/etc/passwd")]  # fmt: skip

    def ask(self, method: str, target: str, body: bytes = b"", kind: str = "application/json") -> tuple[int, bytes]:
        """Status and body of the answer to an administrator; ``target`` goes as it is."""
        head = (
            f"{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-API-Key: {self.key}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        answer = self.server.ask(head.encode() + body)
        return int(answer.split(b" ", 2)[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    for name in ("lake/data", "lake2", "models", "state", "store"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png_of(7) + _SECRET)
    shutil.copy(tmp_path / "secret.png", tmp_path / "lake2" / "a.png")
    for name in ("secret.txt", "models/secret.pt"):
        (tmp_path / name).write_bytes(_SECRET)
    (tmp_path / "lake" / "data" / "good.png").write_bytes(png_of(3))
    folders = {"index_store": "store", "models": "models", "state": "state", "datalake_root": "lake"}
    with live(tmp_path, **{name: tmp_path / folder for name, folder in folders.items()}) as server:
        yield Stack(tmp_path, server, server.services.keys.create("boss", "admin")[1])


def spellings(path: Path, seen_from: Path) -> list[str]:
    """Of ``path``, as one might write it who climbs from ``seen_from``, or from a folder that he doesn't know."""
    absolute, below_root = str(path), str(path).lstrip("/")
    deep, close = "../" * 12 + below_root, os.path.relpath(path, seen_from)
    plain = [absolute, deep, close, f"data/../../{path.name}", f"./{deep}", f"//{below_root}", f"file://{absolute}",
             f"....//....//....//{below_root}", f"..;/..;/{below_root}", f"good.png\0{absolute}",
             f"{deep}\0.png"]  # fmt: skip
    found = [*plain, *(each.replace("/", "\\") for each in plain)]
    found += [each.replace(".", "\uff0e").replace("/", "\uff0f") for each in (deep, close)]
    return found


def in_an_address(spelled: str) -> list[str]:
    """``spelled``, raw and encoded, as far as a request line can have it."""
    raw = spelled.replace("\0", "%00").replace(" ", "%20")
    once = quote(spelled, safe="")
    overlong = raw.replace("../", "..%c0%af").replace("..\\", "%c0%ae%c0%ae%c0%af")
    dots = raw.replace("..", "%2e%2e")
    found = [raw, quote(spelled), once, quote(once, safe=""), quote(quote(once, safe=""), safe=""), overlong, dots]
    return [each for each in found if each.isascii()]


#: Doors that take a part of an address, or of a query; all of them give out files, or things that lie in files.
ADDRESSES = [
    "/{}", "/page/{}", "/page//{}", "/page/../{}", "/static-offline-docs/{}", "/images/{}", "/thumbnails/{}",
    "/images/0/{}", "/images/0?version={}", "/thumbnails/0?version={}", "/api/versions/{}", "/api/versions/{}/skipped",
    "/api/collections/{}", "/api/collections/{}/images", "/api/collections/{}/thumbnail?url=data/good.png",
    "/api/collections/{}/duplicates", "/api/collections/default/thumbnail?url={}", "/api/jobs/{}",
    "/api/jobs/{}/events", "/models/{}/count",
]  # fmt: skip
#: Doors that take it in JSON.
FIELDS = [
    ("/api/reindex", '{"new_index_database_version": "2", "model_path": %s}'),
    ("/api/reindex", '{"new_index_database_version": %s}'),
    ("/api/collections", '{"name": "shoes", "model_path": %s}'),
    ("/api/collections", '{"name": %s}'),
    ("/models/default/add", '{"url": %s}'),
    ("/models/default/search_add", '{"url": %s}'),
    ("/models/default/compare", '{"url": %s, "other": "data/good.png"}'),
    ("/models/default/dump", '{"cursor": %s}'),
    ("/models/default/add_bulk", '[{"url": %s}]'),
]


def leaks(body: bytes) -> bool:
    return any(content in body for content in (_SECRET, b"SQLite format 3", b"root:x:0:0:"))


def test_no_address_climbs(stack: Stack, sizes: Sizes, tell: Tell) -> None:
    publish(IndexStore(stack.root / "store"), "1", [addition("data/good.png", 3)])
    counts, wrong = Counter[int](), list[str]()
    assert stack.ask("GET", "/images/0")[0] == stack.ask("GET", "/page/main.js")[0] == 200
    spelled = {
        each
        for secret in stack.secrets
        for one in spellings(secret, stack.root / "lake")
        for each in in_an_address(one)
    }
    for door, path in drawn(itertools.product(ADDRESSES, sorted(spelled)), sizes):
        heard, body = stack.ask("GET", door.format(path))
        counts[heard] += 1
        if leaks(body) or heard not in (307, 400, 404, 405, 409, 422):
            wrong.append(f"{door.format(path)}: {heard} {body[:200]!r}")
    tell(f"{counts.total():,} addresses: {dict(sorted(counts.items()))}; {len(wrong)} wrong")
    assert not wrong


def folders(root: Path) -> list[Path]:
    """But for those in which the server keeps what it finds out by itself."""
    return sorted(path for path in root.rglob("*") if path.is_dir() and not path.name.startswith("."))


def test_no_field_climbs(stack: Stack, sizes: Sizes, tell: Tell) -> None:
    """503: TorchServe isn't there to be asked which model it has, or for codes of what is in the datalake."""
    publish(IndexStore(stack.root / "store"), "1", [addition("data/good.png", 3)])
    counts, wrong = Counter[int](), list[str]()
    before = folders(stack.root)
    assert stack.ask("POST", "/models/default/search_add", b'{"url": "data/../data/good.png"}')[0] == 503
    spelled = {each for secret in stack.secrets for each in spellings(secret, stack.root / "lake")}
    for (door, body), path in drawn(itertools.product(FIELDS, sorted(spelled)), sizes):
        heard, said = stack.ask("POST", door, (body % json.dumps(path)).encode())
        counts[heard] += 1
        closed = heard in (409, 422) or (heard == 503 and door.startswith("/api/"))
        closed = closed or (heard == 200 and (said in (b"[]",) or b'"added":[]' in said or door.endswith("dump")))
        if leaks(said) or not closed:
            wrong.append(f"{door} with {path!r}: {heard} {said[:200]!r}")
    tell(f"{counts.total():,} fields: {dict(sorted(counts.items()))}; {len(wrong)} wrong")
    assert not wrong
    assert folders(stack.root) == before


def _hostile(stack: Stack) -> list[str]:
    """Paths that an index may have, of a listing that somebody else wrote, or a datalake that somebody else fills."""
    lake, data = stack.root / "lake", stack.root / "lake" / "data"
    (data / "link.png").symlink_to(stack.root / "secret.png")
    (data / "far.png").symlink_to("../../secret.png")
    (data / "folder").symlink_to(stack.root / "lake2")
    (data / "passwd").symlink_to("/etc/passwd")
    (data / "chain.png").symlink_to("link.png")
    (data / "self").symlink_to("/proc/self")
    (data / "keys").symlink_to(stack.root / "state" / "keys.db")
    below = ("link.png", "far.png", "folder/a.png", "passwd", "chain.png", "self/environ", "self/root/etc/passwd",
             "self/cwd", "keys", "../../secret.png", "../../lake2/a.png")  # fmt: skip
    found = [f"data/{name}" for name in below]
    found += ["../secret.png", "../lake2/a.png", "../state/keys.db", "/etc/passwd", str(lake) + "2/a.png", "/dev/zero",
              "/proc/self/environ", "data/good.png\0.png", "data", ".", "", "~/.ssh/id_rsa",
              "file:///etc/passwd"]  # fmt: skip
    return [*dict.fromkeys([*found, *map(str, stack.secrets)])]


def test_no_indexed_path_climbs(stack: Stack, tell: Tell) -> None:
    paths = _hostile(stack)
    rows = [addition(path, number) for number, path in enumerate(["data/good.png", *paths])]
    publish(IndexStore(stack.root / "store"), "1", rows)
    counts = Counter[str]()
    name = DEFAULT_COLLECTION

    def doors(row: int, path: str) -> list[tuple[str, str, bytes]]:
        url = quote(path, safe="")
        again = json.dumps({"url": path, "other": "data/good.png"}).encode()
        return [
            ("GET", f"/images/{row}", b""), ("HEAD", f"/images/{row}", b""),
            ("GET", f"/thumbnails/{row}?version=1", b""),
            ("GET", f"/api/collections/{name}/thumbnail?url={url}", b""), ("POST", f"/models/{name}/add", again),
        ]  # fmt: skip

    assert [stack.ask(*door)[0] for door in doors(0, "data/good.png")] == [200, 200, 200, 200, 503]
    for row, path in enumerate(paths, 1):
        for method, target, body in doors(row, path):
            heard, said = stack.ask(method, target, body)
            counts[str(heard)] += 1
            # What looks like an address is no path of the datalake's: nothing is read, and the image stays as it is.
            assert heard in (404, 422) or (heard == 204 and "://" in path), (
                f"{method} {target} for {path!r}: {heard} {said[:200]!r}"
            )
            assert not leaks(said), f"{target} for {path!r}: {said[:200]!r}"
    tell(f"{len(paths)} paths, {counts.total()} requests: {dict(sorted(counts.items()))}")


def test_a_picture_of_the_datalake_shows(stack: Stack) -> None:
    """So the refusals above are not for something else: links within the datalake lead to pictures."""
    (stack.root / "lake" / "data" / "link.png").symlink_to("good.png")
    publish(IndexStore(stack.root / "store"), "1", [addition("data/link.png", 3)])
    heard, body = stack.ask("GET", "/images/0")
    assert (heard, body) == (200, png_of(3))
    heard, body = stack.ask("GET", "/api/collections/default/thumbnail?url=data/link.png")
    assert heard == 200 and body.startswith(b"RIFF")
