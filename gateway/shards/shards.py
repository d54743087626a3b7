"""Several servers, each with a part of the rows, asked as if they were one (``HASHLAKE_SHARDS``).

    a request ─▶ every shard's gateway, at once ─▶ answers of one version ─▶ merged (merging.py)
              a shard that is dead, or has another version ─▶ 503, which names it; never a part of an answer

A picture is embedded by every shard: they are machines with cores of their own, and one step is faster than two. An
indexed image is known to one shard, whose codes of it the others are then asked about.
"""

import asyncio
import json
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Self

from multidict import CIMultiDict
from yarl import URL

from contract.names import CODE_HEADER, DETAIL_HEADER, PREDICTIONS
from contract.space import EMBEDDING
from gateway.errors import RequestRefused
from gateway.readiness import Ready
from gateway.shards.asking import Asked, understood
from gateway.shards.merging import merged
from gateway.torchserve.http import Answer, HttpClient, Unreachable

#: As long as a search takes that is answered at all.
_READY_SECONDS = 8.0
_PASSED = (CODE_HEADER, DETAIL_HEADER)


class Shards:
    """The gateways at ``urls``, in the order of their rows; behind each there may be a balancer with replicas. Belongs
    to the event loop in which it is entered."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._urls = [URL(url) for url in urls]
        self._http = HttpClient()

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.__aexit__()

    async def search(self, content_type: str, body: bytes) -> tuple[HTTPStatus, bytes, dict[str, str]]:
        """Returns status, body and headers of the answer to the request ``body``. Raises RequestRefused, 503 where a
        shard doesn't answer."""
        asked = await understood(content_type, body)
        answers = await self._ask_all(asked)
        if asked.path is not None:
            answers = await self._about_path(asked, answers)
        refused = next((answer for answer in answers if answer.is_error), None)
        if refused is not None:
            others = [url for url, answer in zip(self._urls, answers, strict=True) if not answer.is_error]
            if others:
                raise self._unavailable(answers.index(refused), f"refuses what {others[0]} answers: {_said(refused)}")
            return HTTPStatus(refused.status_code), refused.content, {}
        found = [answer.json() for answer in answers]
        self._require_one_version(found)
        headers = {name: answers[0].headers[name] for name in _PASSED if asked.debug and name in answers[0].headers}
        whole = merged(
            found, asked.top_k, asked.rank, debug=asked.debug, collapse=asked.collapse, diversity=asked.diversity
        )
        return HTTPStatus.OK, json.dumps(whole, ensure_ascii=False).encode(errors="backslashreplace"), headers

    async def ready(self) -> Ready:
        """Returns whether every shard is ready, all at one version."""
        answers = await asyncio.gather(
            *(self._http.request("GET", url / "readyz", seconds=_READY_SECONDS) for url in self._urls),
            return_exceptions=True,
        )
        versions: dict[str, str | None] = {}
        for url, answer in zip(self._urls, answers, strict=True):
            if isinstance(answer, Unreachable):
                return Ready(ready=False, version=None, workers=[], message=f"the shard {url} cannot be reached")
            if isinstance(answer, BaseException):
                raise answer
            try:
                found = Ready.model_validate_json(answer.content)
            except ValueError:
                return Ready(ready=False, version=None, workers=[], message=f"the shard {url} is no gateway")
            if not found.ready:
                return Ready(
                    ready=False, version=found.version, workers=[], message=f"the shard {url}: {found.message}"
                )
            versions[str(url)] = found.version
        one, *others = set(versions.values())
        if others:
            differing = ", ".join(f"{url} {version}" for url, version in versions.items())
            return Ready(ready=False, version=None, workers=[], message=f"the shards' versions differ: {differing}")
        return Ready(ready=True, version=one, workers=[])

    async def _ask_all(self, asked: Asked, but: int | None = None) -> list[Answer]:
        return list(
            await asyncio.gather(*(self._ask(shard, asked) for shard in range(len(self._urls)) if shard != but))
        )

    async def _ask(self, shard: int, asked: Asked) -> Answer:
        url = self._urls[shard] / PREDICTIONS.removeprefix("/")
        try:
            answer = await self._http.request("POST", url, headers=CIMultiDict(asked.headers), body=[asked.body])
        except Unreachable as error:
            raise self._unavailable(shard, "cannot be reached") from error
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise self._unavailable(shard, f"answers {answer.status_code}: {_said(answer)}")
        return answer

    async def _about_path(self, asked: Asked, answers: list[Answer]) -> list[Answer]:
        """Returns the shards' answers to a request about an indexed image, of which one shard has given its own."""
        having = [shard for shard, answer in enumerate(answers) if not answer.is_error]
        if not having:
            return answers
        (having_it, *_) = having
        known = answers[having_it]
        if known.json().get("ordered_by") == EMBEDDING:
            raise RequestRefused(
                HTTPStatus.BAD_REQUEST,
                "path: shards of a model of embeddings need the image itself, or its embedding",
            )
        codes = asked.about_codes(known.headers[CODE_HEADER], known.headers.get(DETAIL_HEADER))
        others = await self._ask_all(codes, but=having_it)
        return [*others[:having_it], known, *others[having_it:]]

    def _require_one_version(self, found: Sequence[dict[str, Any]]) -> None:
        first = found[0]
        for shard, answer in enumerate(found):
            if answer["index_database_version"] != first["index_database_version"]:
                raise self._unavailable(
                    shard,
                    f"answers from version {answer['index_database_version']}, and {self._urls[0]} from version "
                    f"{first['index_database_version']}",
                )
            if answer["model"] != first["model"]:
                raise self._unavailable(shard, f"has another model than {self._urls[0]}")

    def _unavailable(self, shard: int, what: str) -> RequestRefused:
        return RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, f"the shard {self._urls[shard]} {what}")


def _said(answer: Answer) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}"
