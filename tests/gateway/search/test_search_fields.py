"""What of a question to ``POST /api/search`` is passed on, and what is refused before anything is asked."""

from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import RequestRefused
from gateway.search.api import router
from tests.gateway.tiny_app import Client, settings_in, tiny_app


class Asked:
    """A TorchServe that keeps what it is asked, and is too busy to answer."""

    def __init__(self) -> None:
        self.fields: list[dict[str, Any]] = []

    async def predict(self, fields: dict[str, Any], _image: bytes | None = None) -> None:
        self.fields.append(fields)
        raise RequestRefused(HTTPStatus.SERVICE_UNAVAILABLE, "busy")


def search(folder: Path, **question: Any) -> tuple[int, str, list[dict[str, Any]]]:
    """The status, the message, and what TorchServe was asked."""
    app, asked = tiny_app(settings_in(folder), router), Asked()
    app.state.services = replace(app.state.services, torchserve=asked)
    with Client(app) as client:
        answer = client.request("POST", "/api/search", **question)
    return answer.status_code, answer.json()["message"], asked.fields


@pytest.mark.parametrize("way", ["json", "data"])
def test_nought_says_something(tmp_path: Path, way: str) -> None:
    asked = {"path": "a.jpg", "text": "red", "text_weight": 0, "max_distance": 0, "diversity": 0}
    status, _, (fields,) = search(tmp_path, **{way: asked})
    assert status == HTTPStatus.SERVICE_UNAVAILABLE
    assert {name: fields[name] for name in asked} == asked


@pytest.mark.parametrize("given", [[], 0, False, "", "x", {"$x": 1}])
def test_a_filter_that_is_none_is_refused(tmp_path: Path, given: object) -> None:
    status, _, asked = search(tmp_path, json={"path": "a.jpg", "filter": given})
    assert (status, asked) == (HTTPStatus.UNPROCESSABLE_ENTITY, [])


@pytest.mark.parametrize("url", ["ftp://e.org/a.jpg", "file:///etc/passwd", "a.jpg", "https://e.org/" + "a" * 4096])
def test_an_address_that_is_not_asked_for(tmp_path: Path, url: str) -> None:
    status, message, asked = search(tmp_path, json={"url": url})
    assert (status, asked) == (HTTPStatus.UNPROCESSABLE_ENTITY, []) and message.startswith("url: "), message
