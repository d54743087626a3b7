"""The client of TorchServe's two HTTP addresses: inference, and management on a Unix socket.

TorchServe hands a request to one of several workers, and only the answer's header tells which one. So to learn what
every worker serves, the client asks until each has answered.
"""

import asyncio
import io
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import pybase64
from multidict import CIMultiDict
from PIL import Image
from pydantic import JsonValue
from yarl import URL

from contract.names import MODEL_NAME, SECRET_HEADER, WORKER_HEADER
from contract.run_folder import RunFolder
from gateway.errors import ModelGone, TorchServeError, busy, unreachable
from gateway.torchserve.http import ANSWER_SECONDS, Answer, Busy, HttpClient, Unreachable
from gateway.torchserve.search_activity import SearchActivity
from gateway.torchserve.second_try import SecondTries

_JSON = CIMultiDict({"Content-Type": "application/json"})  # TorchServe takes ten times as long to read a form
#: Probes sent at once per worker: TorchServe may hand several of them to one worker, as a batch.
_PROBES = 4
_MANAGEMENT = URL("http://management")  # a Unix socket: the host is only a word


@dataclass(frozen=True)
class Answered:
    """One worker's answer to a real query: the ``version`` it answered from, or None and the ``reason``."""

    version: str | None
    reason: str = ""


@dataclass(frozen=True)
class Workers:
    """``model_version``: the model's version in TorchServe's own count ("1.0"). ``ready``: whether each of its workers,
    by process number, is ready."""

    model_version: str
    ready: dict[int, bool]


class TorchServeClient:
    """A client of the TorchServe at the address ``inference`` that has the folder ``run``. New workers have
    ``start_timeout`` seconds to load. Belongs to the event loop in which it is entered. Callers whose work can wait
    should look at ``searches``."""

    def __init__(self, inference: str, run: RunFolder, start_timeout: float) -> None:
        self._inference = URL(inference)
        self._run = run
        self._start_timeout = start_timeout
        self._http = HttpClient()
        # Their own room, however many clients are searching.
        self._probing = HttpClient()
        self._management = HttpClient(run.management)
        self._second_tries = SecondTries()
        self.searches = SearchActivity()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        await self._probing.__aenter__()
        await self._management.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()
        await self._probing.__aexit__()
        await self._management.__aexit__()

    async def predict(
        self, fields: Mapping[str, JsonValue], image: bytes | None = None, model: str = MODEL_NAME
    ) -> Answer:
        """Search with ``fields`` and the file ``image``, by ``model``. Raises RequestRefused (503) if nothing answers,
        and ModelGone, which is one."""
        asked = dict(fields)
        if image is not None:
            asked["image"] = pybase64.b64encode(image).decode("ascii")
        answer = await self.pass_on(_JSON, [json.dumps(asked, ensure_ascii=False).encode()], model)
        _require_model(answer, model)
        return answer

    async def pass_on(self, headers: CIMultiDict[str], body: Sequence[bytes], model: str = MODEL_NAME) -> Answer:
        """Search with a client's own ``headers`` and ``body``, by ``model``; returns the answer, whatever its status.
        A worker that dies or says nothing is passed over once. Raises RequestRefused (503) if nothing answers."""
        with self.searches.searching():
            return await self._second_tries.first_answer(lambda: self._ask(model, headers, body))

    async def hash(self, pictures: Sequence[bytes], model: str = MODEL_NAME) -> Answer:
        """Ask ``model`` for the codes of up to 32 ``pictures``. Raises RequestRefused (503) if nothing answers, and
        ModelGone, which is one."""
        return await self._ask_privately("hash", pictures, model)

    async def complete(self, embeddings: Sequence[bytes], model: str = MODEL_NAME) -> Answer:
        """Ask ``model`` for all vectors of up to MAX_COMPLETED pictures whose ``embeddings``, rows of float16, are
        known. Raises as ``hash``."""
        return await self._ask_privately("complete", embeddings, model)

    async def _ask_privately(self, what: str, files: Sequence[bytes], model: str) -> Answer:
        """Ask what workers answer to the gateway alone."""
        body = b'{"%s":["%s"]}' % (what.encode(), b'","'.join(map(pybase64.b64encode, files)))
        try:
            secret = self._run.secret()  # each time: a TorchServe that was started anew may have made another
        except OSError as error:
            raise unreachable() from error
        answer = await self._ask(model, CIMultiDict({**_JSON, SECRET_HEADER: secret}), [body])
        _require_model(answer, model)
        return answer

    async def _ask(self, model: str, headers: CIMultiDict[str], body: Sequence[bytes]) -> Answer:
        try:
            return await self._http.request("POST", self._predictions(model), headers=headers, body=body)
        except Busy as error:
            raise busy() from error
        except Unreachable as error:
            raise unreachable() from error

    async def workers(self, model_version: str | None = None) -> Workers:
        """Returns the workers of the default version, or of ``model_version``. Raises TorchServeError."""
        (found,) = await self._models("" if model_version is None else f"/{model_version}")
        ready = {worker["pid"]: worker["status"] == "READY" for worker in found["workers"]}
        return Workers(found["modelVersion"], ready)

    async def model_versions(self) -> list[str]:
        """Returns all registered versions of the datalake's model."""
        return [each["modelVersion"] for each in await self._models("/all")]

    async def served_model(self) -> dict[str, Any]:
        """Returns the description of the datalake's model, as ``describe`` does."""
        return await self.describe(MODEL_NAME)

    async def model_names(self) -> list[str]:
        """Returns the names of the loaded models: the datalake's, and those of other collections."""
        found = (await self._manage("GET", "/models", params={"limit": "1000"})).json()
        return [each["modelName"] for each in found["models"]]

    async def describe(self, name: str) -> dict[str, Any]:
        """Returns a worker's description of the model ``name``: ``model`` (its card), ``sha256`` and more; and the
        number of its ``workers``."""
        (found,) = (await self._manage("GET", f"/models/{name}", params={"customized": "true"})).json()
        description = found.get("customizedMetadata")
        if not isinstance(description, dict) or "sha256" not in description:
            raise TorchServeError("no worker says which model it serves")
        return description | {"workers": len(found["workers"])}

    async def ask_workers(
        self, wanted: str | None, seconds: float, model_version: str | None = None
    ) -> dict[int, Answered]:
        """Send real queries until every worker has answered one from version ``wanted`` (None: from any), or
        ``seconds`` have passed. Returns each worker's last answer, by process number."""
        heard: dict[int, Answered] = {}
        deadline = time.monotonic() + seconds
        url = self._predictions(MODEL_NAME if model_version is None else f"{MODEL_NAME}/{model_version}")
        while True:
            ready = (await self.workers(model_version)).ready
            heard = {pid: answered for pid, answered in heard.items() if pid in ready}
            late = [pid for pid in ready if not _serves(heard.get(pid), wanted)]
            if (ready and not late) or time.monotonic() > deadline:
                return heard | {pid: Answered(None, "it doesn't answer") for pid in late if pid not in heard}
            left = max(1.0, deadline - time.monotonic())  # queries to a worker that hangs don't return before that
            heard |= dict(await asyncio.gather(*(self._probe(url, left) for _ in range(_PROBES * max(1, len(ready))))))
            heard.pop(0, None)
            if all(_serves(answered, wanted) for answered in heard.values()):
                continue
            await asyncio.sleep(0.2)

    async def _probe(self, url: URL, seconds: float) -> tuple[int, Answered]:
        """Sends one query. Returns the worker's process number and answer; number 0 if no worker answered."""
        try:
            answer = await self._probing.request("POST", url, headers=_JSON, body=[_PROBE], seconds=seconds)
            pid = int(answer.headers.get(WORKER_HEADER, 0))
            body = answer.json()
        except (Unreachable, ValueError):
            return 0, Answered(None)
        if answer.status_code == HTTPStatus.OK:
            return pid, Answered(body["index_database_version"])
        return pid, Answered(None, str(body.get("message", answer.status_code)))

    async def register(self, archive: str, workers: int) -> None:
        """Load ``archive``, a file in the model store, as a further model or version, with that many ``workers``.
        Returns when they are ready."""
        await self._manage(
            "POST", "/models", params={"url": archive, "initial_workers": str(workers), "synchronous": "true"}
        )

    async def unload(self, name: str) -> None:
        """End the workers of the model ``name``."""
        await self._manage("DELETE", f"/models/{name}")

    async def set_default(self, model_version: str) -> None:
        """Make ``model_version`` of the datalake's model the one that gets requests."""
        await self._manage("PUT", f"/models/{MODEL_NAME}/{model_version}/set-default")

    async def unregister(self, model_version: str) -> None:
        """End the workers of ``model_version`` of the datalake's model, which isn't the default one."""
        await self._manage("DELETE", f"/models/{MODEL_NAME}/{model_version}")

    async def _models(self, rest: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._manage("GET", f"/models/{MODEL_NAME}{rest}")).json()
        return found

    async def _manage(self, method: str, path: str, params: Mapping[str, str] | None = None) -> Answer:
        seconds = self._start_timeout if method == "POST" else ANSWER_SECONDS
        url = (_MANAGEMENT / path.removeprefix("/")).with_query(params or {})
        try:
            answer = await self._management.request(method, url, seconds=seconds)
        except Unreachable as error:
            raise TorchServeError("TorchServe's management socket cannot be reached") from error
        if answer.is_error:
            try:
                message = str(answer.json()["message"])
            except (ValueError, KeyError, TypeError):
                message = f"status {answer.status_code}"
            raise TorchServeError(f"TorchServe refused: {message}")
        return answer

    def _predictions(self, model: str) -> URL:
        return self._inference / "predictions" / model


def _require_model(answer: Answer, model: str) -> None:
    if answer.status_code == HTTPStatus.NOT_FOUND and WORKER_HEADER not in answer.headers:
        raise ModelGone(model)


def _serves(answered: Answered | None, wanted: str | None) -> bool:
    if answered is None or answered.version is None:
        return False
    return wanted is None or answered.version == wanted


def _probe() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), "grey").save(stream, "PNG")
    return json.dumps({"image": pybase64.b64encode(stream.getvalue()).decode("ascii"), "top_k": 1}).encode()


_PROBE = _probe()
