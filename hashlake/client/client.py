"""``Client``: one gateway, from Python.

Client ─▶ collection("shoes") ─▶ add, search, dump, …
├─ create, list, copy, name, fold and delete collections
├─ search the datalake, reindex it or another source, look at jobs
└─ list versions and promote one
"""

from base64 import b64decode
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from pydantic import TypeAdapter

from hashlake.client.answers import (
    CollectionInfo,
    Copied,
    CroppedBox,
    Folded,
    Job,
    Json,
    Machine,
    Reindexed,
    Result,
    Results,
    Version,
)
from hashlake.client.collection import Collection
from hashlake.client.connection import Connection, Picture, quoted

URL = "http://127.0.0.1:8000"
#: A gateway that adds hundreds of images from a slow server may be silent for minutes.
SECONDS = 600.0


@dataclass(frozen=True)
class _Infos:
    collections: list[CollectionInfo]


@dataclass(frozen=True)
class _Alias:
    name: str
    collection: str


@dataclass(frozen=True)
class _Aliases:
    aliases: list[_Alias]


@dataclass(frozen=True)
class _Properties:
    properties: dict[str, Json]


_infos = TypeAdapter(_Infos)
_aliases = TypeAdapter(_Aliases)
_properties = TypeAdapter(_Properties)
_info = TypeAdapter(CollectionInfo)
_folded = TypeAdapter(Folded)
_copied = TypeAdapter(Copied)
_reindexed = TypeAdapter(Reindexed)
_job = TypeAdapter(Job)


@dataclass(frozen=True)
class _Query:
    code: str
    detail_code: str | None


@dataclass(frozen=True)
class _Found:
    version: str
    query: _Query
    results: list[Result]
    nothing_like_it: bool | None
    cropped_image: str | None = None
    cropped_box: CroppedBox | None = None


@dataclass(frozen=True)
class _Versions:
    versions: list[Version]


@dataclass(frozen=True)
class _Jobs:
    jobs: list[Job]


_found = TypeAdapter(_Found)
_versions = TypeAdapter(_Versions)
_jobs = TypeAdapter(_Jobs)
_machine = TypeAdapter(Machine)


class Client:
    """The gateway at ``url``.

    ``key`` is an API key: an admin key to make changes, a search key to read, None if the gateway needs none.
    ``timeout`` is how many seconds the server may stay silent; None waits for ever. When a connection breaks, requests
    that only read, and ``add`` and ``restore``, which may safely happen twice, are tried up to three times. Threads may
    share a client.

    Raises ValueError for an invalid URL or key. Every method raises Unreachable when no answer comes, Refused when the
    answer is an error, and NotUnderstood when the answer isn't a gateway's.

    >>> with Client(url, key=key) as client:
    ...     client.collection("shoes").count()
    3
    """

    def __init__(self, url: str = URL, key: str | None = None, timeout: float | None = SECONDS) -> None:
        self._connection = Connection(url, key, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. Not needed with ``with``.

        >>> client.close()
        """
        self._connection.close()

    def ping(self) -> None:
        """Return if the gateway answers.

        >>> client.ping()
        """
        self._connection.get("/ping")

    def collections(self) -> list[CollectionInfo]:
        """Returns every collection, `default` first.

        >>> [info.name for info in client.collections()]
        ['default', 'shoes']
        """
        answer = self._connection.get("/api/collections")
        return self._connection.understood(_infos, answer.content).collections

    def create(
        self, name: str, model_path: str | None = None, *, engine: str | None = None, place: str | None = None
    ) -> CollectionInfo:
        """Create an empty collection, with the model at ``model_path`` below the server's models folder, or one of that
        name; else with the model that is called like the collection, or the served one. ``engine``: the address of what
        keeps it instead of the index store, as ``postgresql://USER:PASSWORD@HOST/DATABASE``, and ``place``: the table
        there, by default called as the collection; what is there already is adopted. Raises Refused: 409 if the name is
        taken, 422 if there is no such model, or if the engine or what is there doesn't suit, 503 if it cannot be
        reached.

        >>> client.create("hats").count
        0
        """
        fields = {"name": name, "model_path": model_path, "engine": engine, "place": place}
        answer = self._connection.post("/api/collections", fields)
        return self._connection.understood(_info, answer.content)

    def properties(self, name: str) -> dict[str, Json]:
        """Returns what the engine of a collection says of it; nothing for one in the index store.

        >>> client.properties("shoes")
        {}
        """
        answer = self._connection.get(f"/api/collections/{quoted(name)}/properties")
        return self._connection.understood(_properties, answer.content).properties

    def index(self, name: str, kind: str | None) -> CollectionInfo:
        """Have the engine of a collection search by an approximate index, such as ``hnsw`` of PostgreSQL, or with None
        compare every vector, however long building takes. Raises Refused: 409 for a collection in the index store, 422
        for a kind that the engine hasn't.

        >>> client.index("shoes", "hnsw")
        Traceback (most recent call last):
        hashlake.client.errors.Refused: the collection shoes is searched exactly as it is
        """
        answer = self._connection.post(f"/api/collections/{quoted(name)}/index", {"kind": kind}, waits=True)
        return self._connection.understood(_info, answer.content)

    def info(self, name: str) -> CollectionInfo:
        """Returns what is known about a collection. Raises Refused (404) if there is none of that name.

        >>> client.info("shoes").model.bits
        64
        """
        answer = self._connection.get(f"/api/collections/{quoted(name)}")
        return self._connection.understood(_info, answer.content)

    def copy(self, name: str, to: str, *, engine: str | None = None, place: str | None = None) -> Copied:
        """Make the collection ``to`` a copy of ``name``, however long that takes; ``engine`` and ``place`` as in
        ``create``. Interrupted, it goes on when it is called again. Raises Refused: 409 for a collection of another
        model.

        >>> client.copy("shoes", "spare").count
        3
        """
        fields = {"to": to, "engine": engine, "place": place}
        answer = self._connection.post(f"/api/collections/{quoted(name)}/copy", fields, waits=True)
        return self._connection.understood(_copied, answer.content)

    def aliases(self) -> dict[str, str]:
        """Returns the further names of collections, and what each of these is called.

        >>> client.aliases()
        {}
        """
        answer = self._connection.get("/api/aliases")
        found = self._connection.understood(_aliases, answer.content).aliases
        return {alias.name: alias.collection for alias in found}

    def set_alias(self, name: str, collection: str, *, keep: str | None = None, catch_up: bool = False) -> None:
        """Have ``name`` mean ``collection`` from now on, for everybody at once: no request fails meanwhile. A
        collection that is called so itself is called ``keep`` afterwards. ``catch_up``: first copy to ``collection``
        what the name means so far, as ``copy`` does; what is added or removed meanwhile waits, and follows. Raises
        Refused: 404 if there is no such collection, 409 if a collection is called ``name`` and there is no ``keep``.

        >>> client.set_alias("live", "shoes")
        >>> client.collection("live").count()
        3
        """
        fields = {"collection": collection, "keep": keep, "catch_up": catch_up}
        self._connection.put(f"/api/aliases/{quoted(name)}", fields)

    def remove_alias(self, name: str) -> None:
        """Take a further name away from its collection, which stays. Raises Refused: 404 if there is no such alias.

        >>> client.set_alias("live", "shoes")
        >>> client.remove_alias("live")
        >>> client.aliases()
        {}
        """
        self._connection.require_done(self._connection.delete(f"/api/aliases/{quoted(name)}"))

    def delete(self, name: str) -> None:
        """Delete a collection and everything in it, for good. Raises Refused: 404 if missing, 409 for `default`.

        >>> client.delete("shoes")
        """
        self._connection.require_done(self._connection.delete(f"/api/collections/{quoted(name)}"))

    def fold(self, name: str) -> Folded:
        """Write a collection's changes into a new base version, however long that takes; searches go on meanwhile.
        Raises Refused (409) while another fold or an indexer works on it.

        >>> client.fold("shoes").folded
        3
        """
        answer = self._connection.post(f"/api/collections/{quoted(name)}/fold", waits=True)
        return self._connection.understood(_folded, answer.content)

    def reindex(
        self, version: str, *, source: str | None = None, model_path: str | None = None, mode: str | None = None
    ) -> Reindexed:
        """Build the index version called ``version``, and return when every worker serves it, however long that takes;
        searches go on meanwhile. Of ``source``, such as ``s3://bucket/prefix``, instead of what the gateway is
        configured for; by the model at ``model_path`` below the server's models folder, instead of the served one.
        Raises Refused: 422 for what cannot be built, 409 if it exists or another one is being built, 500 if a step
        fails; the version before stays.

        >>> client.reindex("1.2.0", source="s3://lake/photos").previous_index_database_version
        '1.1.0'
        """
        asked = {"new_index_database_version": version, "source": source, "model_path": model_path, "mode": mode}
        return self._connection.understood(_reindexed, self._connection.post("/api/reindex", asked, waits=True).content)

    def search(
        self,
        *,
        image: Picture | None = None,
        path: str | None = None,
        text: str | None = None,
        text_weight: float | None = None,
        negative_text: str | None = None,
        code: str | None = None,
        detail_code: str | None = None,
        top_k: int = 10,
        max_distance: int | None = None,
        rank: Literal["distance", "detail"] = "distance",
        turned: bool = False,
        exact: bool = False,
        collapse: bool = False,
        diversity: int = 1,
        crop: Literal["auto", "none"] | None = None,
    ) -> Results:
        """Returns the ``top_k`` images of the datalake most like one of: ``image``, the bytes of a file or its path;
        ``path``, an indexed image as answers spell it; ``text``, which may also stand beside one of these two where the
        model takes any words; ``code``, that of an earlier answer, with its ``detail_code``. The others are as in
        ``Collection.search``; ``exact`` compares all embeddings, where the model makes some. ``collapse``
        gives the best of each picture's regions alone, ``diversity`` every n-th of n times as many, and ``crop`` "auto"
        looks for the main object of ``image``.

        >>> client.search(path="data/boot.jpg", top_k=1)[0].distance
        0.0
        """
        fields = {
            "path": path, "text": text, "text_weight": text_weight, "negative_text": negative_text, "code": code,
            "detail_code": detail_code, "top_k": top_k, "max_distance": max_distance, "rank": rank,
            "turned": turned or None, "exact": exact or None,
            "collapse": collapse or None, "diversity": None if diversity == 1 else diversity, "crop": crop,
        }  # fmt: skip
        answer = self._connection.post("/api/search", fields, {"image": image}, again=True, form=True)
        found = self._connection.understood(_found, answer.content)
        results = Results(found.results)
        results.version, results.nothing_like_it = found.version, found.nothing_like_it
        results.code, results.detail_code = found.query.code, found.query.detail_code
        results.cropped_box = found.cropped_box
        results.cropped_image = None if found.cropped_image is None else b64decode(found.cropped_image)
        results._asked = lambda url: self._connection.get(url).content
        return results

    def versions(self) -> list[Version]:
        """Returns the index versions of the datalake, the newest first.

        >>> [version.version for version in client.versions() if version.current]
        ['1.2.0']
        """
        return self._connection.understood(_versions, self._connection.get("/api/versions").content).versions

    def promote(self, version: str) -> Reindexed:
        """Serve another version, forwards or back; if another model made it, that model too, which takes a minute.
        Raises Refused: 404 if there is none of that name, 409 if its model isn't in the models' folder.

        >>> client.promote("1.1.0").previous_index_database_version
        '1.2.0'
        """
        answer = self._connection.post(f"/api/versions/{quoted(version)}/promote", waits=True)
        return self._connection.understood(_reindexed, answer.content)

    def jobs(self) -> list[Job]:
        """Returns the newest hundred jobs, the newest first.

        >>> [job.state for job in client.jobs()]
        ['succeeded']
        """
        return self._connection.understood(_jobs, self._connection.get("/api/jobs").content).jobs

    def job(self, id: str) -> Job:
        """Returns a job. Raises Refused (404) if there is none.

        >>> client.job("3f9c01ab").total
        4332
        """
        return self._connection.understood(_job, self._connection.get(f"/api/jobs/{quoted(id)}").content)

    def job_log(self, id: str) -> str:
        """Returns the end of what a job has said: its steps, and why one failed. Raises Refused (404) if there is no
        such job.

        >>> client.job_log("3f9c01ab").splitlines()[0]
        '2026-11-21 10:00:00 reindex 1.2.0'
        """
        return self._connection.get(f"/api/jobs/{quoted(id)}/log").text

    def machine(self) -> Machine:
        """Returns the disks, the memory and the checksums' standing on the gateway's machine.

        >>> client.machine().checksums.damaged
        []
        """
        return self._connection.understood(_machine, self._connection.get("/api/machine").content)

    def collection(self, name: str) -> Collection:
        """Returns a handle on a collection, without asking the gateway. Raises ValueError for an invalid name.

        >>> shoes = client.collection("shoes")
        >>> shoes.count()
        3
        """
        return Collection(self._connection, name)
