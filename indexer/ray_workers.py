"""Workers on a Ray cluster: one process a core, or a GPU, each with its own model.

    items ─▶ blocks of 1,024 ─▶ an actor hashes one ─▶ its outcomes, a file (blocks.py) ─▶ out, when its turn has come

Nodes need hashlake, the model's file and the pictures at the same paths (or the same object store); the coordinator
alone writes the index. When an actor or its node dies, its blocks go to others, and where there is room another actor
begins. When the coordinator dies, the cluster ends its actors, and the same command finds what is done already.

Outcomes are byte for byte those of a local run: each actor's model must be the coordinator's, decoders included.
"""

import logging
import os
import pickle
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError

from contract.model import ModelIdentity
from embedding.cores import usable_cores
from embedding.embedder import Embedder
from indexer.blocks import Blocks
from indexer.errors import IndexingError
from indexer.outcome import Outcome
from indexer.workers import OpenWorkers, Task, Work, Workers, hash_here
from sources.source import Item

#: Items of a block: some seconds of a core's work, and what is lost when it dies.
BLOCK = 1024
#: Blocks that an actor has at once, so that it never waits for the next.
_AT_ONCE = 2
#: Blocks a core, or GPU, that are taken before their turn: one slow picture shouldn't keep the others waiting.
_AHEAD = 8
#: Actors that may die of one block: a picture that ends its process would end them all.
_MOST_DEATHS = 3
_SECONDS_TO_LOOK = 1.0
#: How often a cluster is asked from outside to let this process in.
_TRIES = 3
#: Outcomes are small; models and pictures don't go through Ray.
_STORE_BYTES = 100 * 1024 * 1024

OpenWork = Callable[[], AbstractContextManager[Work]]


@dataclass(frozen=True)
class Need:
    """What an actor needs of its node."""

    cpus: int
    gpus: int = 0

    def fits(self) -> int:
        """Returns how many such actors the cluster has room for, if nobody else uses it."""
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        fitting = int(found.get("CPU", 0)) // self.cpus
        return min(fitting, int(found.get("GPU", 0)) // self.gpus) if self.gpus else fitting


def on_ray(address: str, load: Callable[[str], Embedder], device: str) -> OpenWorkers:
    """As ``NamedWorkers``: at ``ray``, ``ray://HOST:10001`` or ``ray:HOST:6379``. Without a host, at the cluster that
    RAY_ADDRESS names, or one of this machine's own that ends with the run."""
    rest = address.removeprefix("ray").removeprefix(":")
    cluster = f"ray:{rest}" if rest.startswith("//") else rest or os.environ.get("RAY_ADDRESS", "")

    @contextmanager
    def opened(model: Embedder, task: Task, folder: Path) -> Iterator[Workers]:
        try:
            pickle.dumps(task)
        except Exception as error:  # whatever a source is made of
            raise IndexingError(
                f"{task.source} can be read in this process only: --workers ray is for folders, listings, object "
                "stores and lists of URLs"
            ) from error
        with connected(cluster):
            on_gpu = device.startswith("cuda")
            need = Need(1)
            if on_gpu:
                cores_a_gpu = Need(1).fits() // max(1, Need(1, 1).fits())
                need = Need(max(1, cores_a_gpu), 1)
            # An actor sees its own GPU alone, whatever its number.
            work = partial(_hashing, partial(load, "cuda" if on_gpu else device), model.identity, task, need.cpus)
            with RayWorkers(work, Blocks(folder), need, BLOCK) as workers:
                yield workers

    return opened


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Connects this process to the cluster at ``address``; without one, to a new one of this machine's cores and GPUs.
    Raises IndexingError."""
    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    with ExitStack() as ending:
        if not address:
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # nothing is reported to anybody
            quiet |= {
                "address": "local",
                "num_cpus": usable_cores(),
                "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
                "_node_ip_address": "127.0.0.1",
                "_temp_dir": ending.enter_context(TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True)),
            }
        else:
            _require_somebody(address)
            quiet["address"] = address
        os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"  # of blocks that nobody waits for any more
        try:
            _init(quiet)
        except Exception as error:  # Ray raises plain ones, too
            reason = str(error).strip().partition("\n")[0]
            raise IndexingError(f"the Ray cluster {address or 'here'} cannot be used: {reason}") from error
        ending.callback(ray.shutdown)
        yield


def _init(options: Mapping[str, Any]) -> None:
    """Through ``ray://``, Ray begins a process on the head for each who comes, and gives that 30 s: a busy one is asked
    again."""
    for tries_left in reversed(range(_TRIES)):
        try:
            ray.init(**options)
            return
        except ConnectionError:
            if not tries_left or "://" not in options["address"]:
                raise
            time.sleep(_SECONDS_TO_LOOK)


def _require_somebody(address: str) -> None:
    """Raises IndexingError unless something listens at ``address``; Ray itself would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        raise IndexingError(f"there is no Ray cluster at {address}: {error}") from error


@contextmanager
def _hashing(load: Callable[[], Embedder], wanted: ModelIdentity, task: Task, threads: int) -> Iterator[Work]:
    model = load()
    if model.identity != wanted:
        differing = [name for name, value in model.identity if value != getattr(wanted, name)]
        raise IndexingError(f"has another model than the coordinator: its {' and '.join(differing)} differ")
    with hash_here(model, task, threads=threads) as workers:
        yield lambda items: [outcome for outcomes in workers.map(iter(items)) for outcome in outcomes]


class _Worker:
    """Runs in a process of its own, as an actor."""

    def __init__(self, open_work: OpenWork) -> None:
        self._open_work = open_work

    def prepare(self) -> str:
        """Load the model. Returns the number of the node. Raises IndexingError, which says where."""
        try:
            self._work = ExitStack().enter_context(self._open_work())
        except Exception as error:  # of a model or a source, perhaps one that cannot be pickled
            node = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
            raise IndexingError(f"the worker on {node}: {error}") from None
        return str(ray.get_runtime_context().get_node_id())

    def work(self, items: list[Item]) -> list[Outcome]:
        return self._work(items)


@dataclass
class _Block:
    start: int
    items: list[Item]
    done: bool = False
    deaths: int = 0
    failure: Exception | None = None


class RayWorkers:
    """Actors that do the work of ``open_work`` on blocks of ``size`` items, each with what it may ``need``; ``blocks``
    keeps what they have done. Use it as a context manager, connected to a cluster."""

    def __init__(self, open_work: OpenWork, blocks: Blocks, need: Need, size: int) -> None:
        self._open_work = open_work
        self._blocks = blocks
        self._need = need
        self._size = size
        # ray.remote has no types that fit a class that is no actor elsewhere.
        actor: Any = ray.remote(num_cpus=need.cpus, num_gpus=need.gpus)(_Worker)
        self._actor = actor
        self._starting: dict[Any, Any] = {}  # what an actor's preparation answers → the actor
        self._working: dict[Any, tuple[Any, _Block]] = {}  # what an actor answers → the actor, its block
        self._ready: dict[Any, str] = {}  # an actor → its node
        self._stillborn = 0

    def __enter__(self) -> "RayWorkers":
        if not self._need.fits():
            raise IndexingError(f"no machine of the Ray cluster has {'a GPU' if self._need.gpus else 'a core'}")
        return self

    def __exit__(self, *_: object) -> None:
        for actor in [*self._ready, *self._starting.values()]:
            ray.kill(actor)

    def map(self, items: Iterator[Item], start: int = 0) -> Iterator[list[Outcome]]:
        """As ``Workers.map``."""
        coming = self._cut(items, start)
        ahead: deque[_Block] = deque()  # in the order of the items
        waiting: deque[_Block] = deque()  # for an actor
        more = True
        while True:
            room = _AHEAD * self._keep_actors()
            while more and len(ahead) < room:
                block = next(coming, None)
                if block is None:
                    more = False
                else:
                    ahead.append(block)
                    block.done = self._blocks.has(block.start, block.items)
                    if not block.done:
                        waiting.append(block)
            if not ahead:
                return
            first = ahead[0]
            self._hand_out(waiting)
            self._take_in(waiting, 0 if first.done or first.failure else _SECONDS_TO_LOOK)
            if first.failure:
                raise first.failure
            if first.done:
                try:
                    outcomes = self._blocks.read(first.start, first.items)
                except ValueError:  # the disk lost some of it
                    first.done = False
                    waiting.appendleft(first)
                else:
                    ahead.popleft()
                    yield outcomes

    def _cut(self, items: Iterator[Item], start: int) -> Iterator[_Block]:
        """Yields the items in blocks that end at multiples of their size, wherever a run begins."""
        block = _Block(start, [])
        for number, item in enumerate(items, start + 1):
            block.items.append(item)
            if number % self._size == 0:
                yield block
                block = _Block(number, [])
        if block.items:
            yield block

    def _keep_actors(self) -> int:
        """Begin actors where there is room: for those that died, and on machines that joined. Returns how many fit."""
        fitting = max(1, self._need.fits())
        for _ in range(fitting - len(self._ready) - len(self._starting)):
            actor = self._actor.remote(self._open_work)
            self._starting[actor.prepare.remote()] = actor
        return fitting

    def _hand_out(self, waiting: deque[_Block]) -> None:
        load = Counter(actor for actor, _ in self._working.values())
        for round_ in range(_AT_ONCE):
            for actor in self._ready:
                if waiting and load[actor] <= round_:
                    block = waiting.popleft()
                    self._working[actor.work.remote(block.items)] = actor, block
                    load[actor] += 1

    def _take_in(self, waiting: deque[_Block], seconds: float) -> None:
        """Take what has come, or wait so long for an answer: the cluster may have grown meanwhile."""
        coming = [*self._starting, *self._working]
        if not coming:
            return
        answers, _ = ray.wait(coming, num_returns=1 if seconds else len(coming), timeout=seconds)
        for answer in answers:
            if answer in self._starting:
                actor, block = self._starting.pop(answer), None
            elif answer in self._working:
                actor, block = self._working.pop(answer)
            else:  # its actor died with another block
                continue
            try:
                found = ray.get(answer)
            except RayTaskError as error:
                if block is None:
                    raise error.cause from None
                block.failure = error.cause
            except RayError as error:  # the actor or its node died, or what it answered is lost with it
                self._bury(actor, block, error, waiting)
            else:
                if block is None:
                    self._ready[actor] = found
                    self._stillborn = 0
                else:
                    self._blocks.write(block.start, found)
                    block.done = True

    def _bury(self, actor: Any, block: _Block | None, error: RayError, waiting: deque[_Block]) -> None:
        """End ``actor``, and let others have what it had. Its first block is what it may have died of."""
        reason = str(error).strip().partition("\n")[0]
        if block is None:
            self._stillborn += 1
            if self._stillborn > _MOST_DEATHS * max(1, self._need.fits()):
                raise IndexingError(f"workers die before they have begun: {reason}")
        else:
            block.deaths += self._is_alive(self._ready.get(actor))  # a machine that dies does so for its own reasons
            if block.deaths == _MOST_DEATHS:
                first, last = block.items[0].name, block.items[-1].name
                raise IndexingError(f"{_MOST_DEATHS} workers died of the images from {first} to {last}: {reason}")
            waiting.appendleft(block)
        ray.kill(actor)
        self._ready.pop(actor, None)
        for answer, (other, left) in list(self._working.items()):
            if other == actor:
                del self._working[answer]
                waiting.appendleft(left)

    def _is_alive(self, node: str | None) -> bool:
        return any(each["Alive"] and each["NodeID"] == node for each in ray.nodes())  # type: ignore[no-untyped-call]
