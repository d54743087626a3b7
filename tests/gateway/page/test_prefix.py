"""The page and /docs behind a proxy that strips a prefix: nothing asks outside of it, and no policy is broken."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.app import create_app
from tests.gateway.page import fake_backend
from tests.gateway.page.fake_backend import PATHS, file_of, photograph
from tests.gateway.page.fake_collections import CollectionsBackend
from tests.gateway.page.test_page import (  # noqa: F401 (a fixture, and what says when to skip)
    Visits,
    browser,
    expect_loaded,
    pytestmark,
    results,
    sign_in,
    upload,
)
from tests.gateway.tiny_app import settings_in
from tests.served_app import ServedApp


class Stripping:
    """ASGI: ``app`` below ``prefix``, which it doesn't learn; nothing elsewhere."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app = app
        self._prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].startswith(f"{self._prefix}/"):
            path = scope["path"].removeprefix(self._prefix)
            await self._app(scope | {"path": path, "raw_path": path.encode()}, receive, send)
        else:
            await PlainTextResponse("another application", 404)(scope, receive, send)


@pytest.fixture(params=["/hashlake", "/images/of/thumbnails"])
def prefix(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def visits(browser: Browser, prefix: str) -> Iterator[Visits]:
    with ServedApp(Stripping(fake_backend.create_app(CollectionsBackend()), prefix)) as served:
        visits = Visits(browser, served.url + prefix)
        yield visits
        # Pictures that the page has made have the address of the host alone.
        visits.requests = [url for url in visits.requests if not url.startswith(f"blob:{served.url}/")]
        visits.close()


def test_the_page(visits: Visits) -> None:
    page = visits.open()
    upload(page, file_of(photograph(100)))
    expect(results(page)).to_have_count(24)
    expect_loaded(page.locator(".result:visible .thumbnail img"), 24)
    results(page).nth(3).get_by_role("button", name="More like this").click()
    expect(results(page).first.locator(".path")).to_have_text(PATHS[3])
    page.reload()
    expect(results(page).first.locator(".path")).to_have_text(PATHS[3])
    page.get_by_role("tab", name="Collections").click()
    page.locator("#collection-list").get_by_role("link", name="garments").click()
    expect_loaded(page.locator("#browse-gallery li:first-child img"), 1)
    page.get_by_role("tab", name="Operators").click()
    sign_in(page)


def test_the_routes(browser: Browser, tmp_path: Path) -> None:
    app, prefix = create_app(settings_in(tmp_path)), "/hashlake"
    with ServedApp(Stripping(app, prefix)) as served:
        visits = Visits(browser, served.url + prefix)
        page = visits.open("/docs")
        page.get_by_role("link", name="/healthz", exact=True).click()
        page.get_by_role("button", name="Try it out").click()
        page.get_by_role("button", name="Execute").click()
        expect(page.locator(".responses-table.live-responses-table tbody .response-col_status")).to_contain_text("200")
        expect(page.locator(".request-url")).to_contain_text(f"{served.url}{prefix}/healthz")
        # Without a version there are no examples of the server's own: the browser says that the overview is missing.
        visits.errors[:] = [error for error in visits.errors if "404" not in error]
        visits.close()
