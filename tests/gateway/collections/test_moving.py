"""A collection moves into PostgreSQL, and back, on a real stack, while it is searched and changed: nothing fails, and
no change is lost."""

import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import httpx
import psycopg
import pytest

from tests.fakes import png_of
from tests.gateway.stack import Stack, wait_until
from tests.postgres import PASSWORD, PostgresServer

RED = png_of(0xFFFF, detail=0)
BEFORE = 20


@pytest.fixture(scope="module")
def stack(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with Stack(tmp_path_factory.mktemp("stack"), {"data/a.png": 0}, "words.pt", workers=2) as running:
        assert running.reindex("1.0.0").status_code == 200
        yield running


class Users:
    """Each asks all the time, in a thread: searches through three doors, additions and removals. ``failed`` has the
    answers that were no success, ``there`` what was added and not removed since."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._stop = threading.Event()
        self.failed: list[str] = []
        self.there: set[str] = set()
        self.places: set[str] = set()
        self.done = dict.fromkeys((self._search, self._search_api, self._search_worker, self._change), 0)
        self._threads = [threading.Thread(target=self._go_on, args=(each,)) for each in self.done]

    def __enter__(self) -> "Users":
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def go_on(self) -> None:
        """Return when each has had some more answers."""
        seen = dict(self.done)
        wait_until(lambda: all(self.done[each] > seen[each] + 3 for each in seen), "more answers")

    def _go_on(self, ask: Callable[[int, httpx.Client], None]) -> None:
        with httpx.Client(base_url=self._stack.url, timeout=240, trust_env=False) as client:
            client.headers["X-API-Key"] = self._stack.admin_key
            for number in count():
                if self._stop.is_set():
                    return
                ask(number, client)
                self.done[getattr(self, ask.__name__)] += 1

    def _answered(self, answer: httpx.Response) -> Any:
        if not answer.is_success:
            self.failed.append(f"{answer.request.url} {answer.status_code} {answer.text}")
            return None
        return answer.json() if answer.content else None

    def _search(self, _number: int, client: httpx.Client) -> None:
        answer = client.post("/models/shoes/search", data={"limit": "3"}, files={"image": RED})
        if (found := self._answered(answer)) is not None and found[0]["similarity"] != 100:
            self.failed.append(str(found))

    def _search_api(self, _number: int, client: httpx.Client) -> None:
        answer = client.post("/api/search", data={"collection": "shoes", "text": "red", "top_k": "3"})
        if (found := self._answered(answer)) is not None:
            self.places.add(found["version"].partition(":")[0])

    def _search_worker(self, _number: int, client: httpx.Client) -> None:
        self._answered(client.post(self._stack.torchserve.url, json={"text": "red", "collection": "shoes"}))

    def _change(self, number: int, client: httpx.Client) -> None:
        name = f"new-{id(self)}-{number}.png"
        self._answered(client.post("/models/shoes/add", data={"url": name}, files={"image": RED}))
        self.there.add(name)
        if number % 3 == 0:
            self._answered(client.post("/models/shoes/remove", json={"url": name}))
            self.there.remove(name)


def names(stack: Stack, collection: str) -> set[str]:
    return {*stack.call("POST", f"/models/{collection}/urls", json={"limit": 10_000}).json()}


def test_a_name_moves_to_postgresql_and_back_under_load(stack: Stack, postgres: PostgresServer, place: str) -> None:
    def ask(method: str, path: str, expected: int = 200, **fields: object) -> Any:
        answer = stack.call(method, path, **({"json": fields} if fields else {}))
        assert answer.status_code == expected, answer.text
        assert PASSWORD not in answer.text
        return answer.json() if answer.content else None

    ask("POST", "/api/collections", 201, name="shoes")
    for number in range(BEFORE):
        stack.call("POST", "/models/shoes/add", data={"url": f"{number}.png"}, files={"image": RED})
    ask("POST", "/api/collections/shoes/copy", to="shoes-pg", engine=postgres.address(), place=place)
    with Users(stack) as users:
        users.go_on()
        refused = ask("PUT", "/api/aliases/shoes", 409, collection="shoes-pg")
        assert refused["message"] == "shoes is a collection: say by `keep` what that is called from then on"
        ask("PUT", "/api/aliases/shoes", 404, collection="hats", keep="shoes-before")
        moved = ask("PUT", "/api/aliases/shoes", collection="shoes-pg", keep="shoes-before", catch_up=True)
        assert moved == {"name": "shoes", "collection": "shoes-pg"}
        users.go_on()
    assert users.failed == []
    assert "postgresql" in users.places and len(users.places) == 2, "answers came from both"
    everything = {f"{number}.png" for number in range(BEFORE)} | users.there
    assert names(stack, "shoes") == names(stack, "shoes-pg") == everything
    assert names(stack, "shoes-before") < everything
    with psycopg.connect(postgres.address()) as connection:
        assert {name for (name,) in connection.execute(f"SELECT name FROM {place}")} == everything

    stack.gateway.kill()
    stack.gateway.start()
    assert ask("GET", "/api/aliases") == {"aliases": [{"name": "shoes", "collection": "shoes-pg"}]}
    listed = {each["name"]: each["aliases"] for each in ask("GET", "/api/collections")["collections"]}
    assert listed == {"default": [], "shoes-before": [], "shoes-pg": ["shoes"]}
    assert ask("DELETE", "/api/collections/shoes-pg", 409)["message"].startswith(
        "the collection shoes-pg is also called"
    )

    ask("POST", "/api/collections/shoes/copy", to="home")
    with Users(stack) as users:
        users.go_on()
        ask("PUT", "/api/aliases/shoes", collection="home", catch_up=True)
        users.go_on()
    assert users.failed == []
    assert names(stack, "shoes") == names(stack, "home") == everything | users.there
    ask("DELETE", "/api/collections/shoes-pg", 204)
    ask("DELETE", "/api/aliases/shoes", 204)
    assert names(stack, "shoes") < everything, "the name is again that of the collection that gave it up"
    assert ask("DELETE", "/api/aliases/shoes", 409)["message"] == "shoes is a collection, and no alias of one"
