"""TorchServe as the gateway knows it: two HTTP addresses.

TorchServe hands a request to one worker of several and says only afterwards, in a header, which one it was. So what
every worker serves is found out by asking until each has answered.
"""

import asyncio
import io
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Self

import httpx
import pybase64
from PIL import Image
from pydantic import JsonValue

from gateway.errors import RequestRefused

MODEL_NAME = "image-retrieval-v1.0"
PREDICTIONS = f"/predictions/{MODEL_NAME}"
WORKER_HEADER = "X-Hashlake-Worker"

#: A worker answers within 60 s or is replaced (handler/model-config.yaml).
_TIMEOUT = httpx.Timeout(90.0, connect=5.0)
_LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50)
#: Probes sent at once for each worker: a batch of them goes to one worker, and then it is another's turn.
_PROBES = 4
#: Starting workers load PyTorch and a model, several at once on busy cores.
_REGISTER_SECONDS = 300.0


class TorchServeError(Exception):
    """TorchServe cannot be reached, or refused what was asked; the message says which."""


class ModelGone(RequestRefused):
    """TorchServe has no model of the name that was asked."""

    def __init__(self, model: str) -> None:
        super().__init__(HTTPStatus.SERVICE_UNAVAILABLE, f"the search server has no model {model}")


@dataclass(frozen=True)
class Answered:
    """What one worker said to a real query: the ``version`` it answered from, or None and the reason why not."""

    version: str | None
    reason: str = ""


@dataclass(frozen=True)
class Workers:
    """The model's default version in TorchServe's own count ("1.0"), and the process numbers of its workers, with
    whether each is ready."""

    model_version: str
    ready: dict[int, bool]


class TorchServe:
    """The TorchServe with these ``inference`` and ``management`` addresses; one connection pool."""

    def __init__(self, inference: str, management: str) -> None:
        self._management = management
        self.client = httpx.AsyncClient(base_url=inference, timeout=_TIMEOUT, limits=_LIMITS, trust_env=False)
        #: When somebody searched last, by ``time.monotonic``.
        self.searched = -math.inf

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.aclose()

    async def predict(
        self, fields: Mapping[str, JsonValue], image: bytes | None = None, model: str = MODEL_NAME
    ) -> httpx.Response:
        """Ask ``model`` with ``fields``, and the ``image`` file. RequestRefused (503) if nothing answers,
        ModelGone among them."""
        self.searched = time.monotonic()
        asked = dict(fields)
        if image is not None:
            asked["image"] = pybase64.b64encode(image).decode("ascii")
        return await self._ask(model, json.dumps(asked, ensure_ascii=False).encode())

    async def hash(self, pictures: Sequence[bytes], model: str = MODEL_NAME) -> httpx.Response:
        """Ask ``model`` for the codes of up to 32 ``pictures``. RequestRefused (503) if nothing answers,
        ModelGone among them."""
        return await self._ask(model, b'{"hash":["%s"]}' % b'","'.join(map(pybase64.b64encode, pictures)))

    async def _ask(self, model: str, body: bytes) -> httpx.Response:
        # JSON, since TorchServe takes ten times as long to read a form.
        headers = {"Content-Type": "application/json"}
        try:
            response = await self.client.post(f"/predictions/{model}", content=body, headers=headers)
        except httpx.TransportError as error:
            raise unreachable() from error
        _require_model(response, model)
        return response

    async def workers(self, model_version: str | None = None) -> Workers:
        """The workers of the default version, or of ``model_version``. Raises TorchServeError."""
        (found,) = await self._models("" if model_version is None else f"/{model_version}")
        ready = {worker["pid"]: worker["status"] == "READY" for worker in found["workers"]}
        return Workers(found["modelVersion"], ready)

    async def model_versions(self) -> list[str]:
        """All that are registered."""
        return [each["modelVersion"] for each in await self._models("/all")]

    async def served_model(self) -> dict[str, Any]:
        """As ``describe``, of the datalake's model."""
        return await self.describe(MODEL_NAME)

    async def model_names(self) -> list[str]:
        """The models that are loaded: the datalake's, and those that serve other collections."""
        found = (await self._manage("GET", "/models", params={"limit": "1000"})).json()
        return [each["modelName"] for each in found["models"]]

    async def describe(self, name: str) -> dict[str, Any]:
        """What a worker of the model ``name`` says of itself: ``model`` (its card), ``sha256`` and more."""
        (found,) = (await self._manage("GET", f"/models/{name}", params={"customized": "true"})).json()
        description = found.get("customizedMetadata")
        if not isinstance(description, dict) or "sha256" not in description:
            raise TorchServeError("no worker says which model it serves")
        return description

    async def ask_workers(
        self, wanted: str | None, seconds: float, model_version: str | None = None
    ) -> dict[int, Answered]:
        """Send real queries until every worker has answered one from version ``wanted`` (None: from any), or
        ``seconds`` have passed; the last answer of each worker by its process number."""
        heard: dict[int, Answered] = {}
        deadline = time.monotonic() + seconds
        path = PREDICTIONS if model_version is None else f"{PREDICTIONS}/{model_version}"
        while True:
            ready = (await self.workers(model_version)).ready
            heard = {pid: answered for pid, answered in heard.items() if pid in ready}
            late = [pid for pid in ready if not _serves(heard.get(pid), wanted)]
            if (ready and not late) or time.monotonic() > deadline:
                return heard | {pid: Answered(None, "it doesn't answer") for pid in late if pid not in heard}
            left = max(1.0, deadline - time.monotonic())  # a worker that hangs keeps its queries
            heard |= dict(await asyncio.gather(*(self._probe(path, left) for _ in range(_PROBES * max(1, len(ready))))))
            heard.pop(0, None)
            if all(_serves(answered, wanted) for answered in heard.values()):
                continue
            await asyncio.sleep(0.2)

    async def _probe(self, path: str, seconds: float) -> tuple[int, Answered]:
        """One query; 0 where no worker answered it."""
        parts: dict[str, Any] = {"image": ("probe.png", _PROBE), "top_k": (None, "1")}
        try:
            response = await self.client.post(path, files=parts, timeout=seconds)
            pid = int(response.headers.get(WORKER_HEADER, 0))
            body = response.json()
        except (httpx.TransportError, ValueError):
            return 0, Answered(None)
        if response.status_code == HTTPStatus.OK:
            return pid, Answered(body["index_database_version"])
        return pid, Answered(None, str(body.get("message", response.status_code)))

    async def register(self, archive: str, workers: int) -> None:
        """Load ``archive``, a file in the model store, as a further version; return when its workers are ready."""
        await self._manage(
            "POST", "/models", params={"url": archive, "initial_workers": str(workers), "synchronous": "true"}
        )

    async def unload(self, name: str) -> None:
        """End the workers of the model ``name``."""
        await self._manage("DELETE", f"/models/{name}")

    async def set_default(self, model_version: str) -> None:
        """Hand requests to ``model_version`` from now on."""
        await self._manage("PUT", f"/models/{MODEL_NAME}/{model_version}/set-default")

    async def unregister(self, model_version: str) -> None:
        """End the workers of ``model_version``, which isn't the default one."""
        await self._manage("DELETE", f"/models/{MODEL_NAME}/{model_version}")

    async def _models(self, rest: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._manage("GET", f"/models/{MODEL_NAME}{rest}")).json()
        return found

    async def _manage(self, method: str, path: str, params: Mapping[str, str] | None = None) -> httpx.Response:
        timeout = _REGISTER_SECONDS if method == "POST" else _TIMEOUT
        try:
            response = await self.client.request(method, self._management + path, params=params, timeout=timeout)
        except httpx.TransportError as error:
            raise TorchServeError("TorchServe's management address cannot be reached") from error
        if response.is_error:
            try:
                message = str(response.json()["message"])
            except (ValueError, KeyError, TypeError):
                message = f"status {response.status_code}"
            raise TorchServeError(f"TorchServe refused: {message}")
        return response


def unreachable() -> RequestRefused:
    return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "the search server cannot be reached")


def _require_model(response: httpx.Response, model: str) -> None:
    if response.status_code == HTTPStatus.NOT_FOUND and WORKER_HEADER not in response.headers:
        raise ModelGone(model)


def _serves(answered: Answered | None, wanted: str | None) -> bool:
    if answered is None or answered.version is None:
        return False
    return wanted is None or answered.version == wanted


def _probe_picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (16, 16), "grey").save(stream, "PNG")
    return stream.getvalue()


_PROBE = _probe_picture()
