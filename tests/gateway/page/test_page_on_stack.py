"""The page on the real stack: what a visitor and an operator do first."""

from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.fakes import png_of
from tests.gateway.page.test_page import (  # noqa: F401 (a fixture, and what says when to skip)
    SCREENSHOTS,
    Visits,
    browser,
    pytestmark,
    results,
    upload,
)
from tests.gateway.stack import Stack, wait_until

#: Distances from 0xFFFF: 0, 1, 4, 16.
LAKE = {"data/white.png": 0xFFFF, "data/dot.png": 0xFFFE, "data/stripe.png": 0xFFF0, "data/black.png": 0x0000}


def test_search_more_like_this_and_reindex_with_another_model(browser: Browser, tmp_path: Path) -> None:
    with Stack(tmp_path, LAKE) as stack:
        assert stack.reindex("1.0.0").status_code == 200
        visits = Visits(browser, stack.url)
        page = visits.open()
        upload(page, png_of(0xFFFF), "white.png")
        expect(results(page).locator(".path")).to_have_text(list(LAKE))
        expect(results(page).first).to_contain_text("0 bits")
        expect(results(page).last).to_contain_text("16 bits")

        results(page).last.get_by_role("button", name="More like this").click()
        expect(results(page).locator(".path")).to_have_text(list(reversed(LAKE)))
        wait_until(lambda: all(page.evaluate(_PICTURES_ARE_SHOWN)), "the thumbnails")
        page.screenshot(path=SCREENSHOTS / "stack-search.png")

        page.get_by_role("tab", name="Operators").click()
        page.get_by_label("Admin key").fill(stack.admin_key)
        page.get_by_role("button", name="Open").click()
        page.get_by_label("New version").fill("2.0.0")
        page.get_by_label("Model", exact=True).select_option("colours.pt")
        page.get_by_role("button", name="Reindex", exact=True).click()
        expect(page.get_by_text("Version 2.0.0 is served now.").first).to_be_visible(timeout=240_000)
        page.screenshot(path=SCREENSHOTS / "stack-operators.png", full_page=True)
        assert stack.store.current() == "2.0.0"
        assert stack.store.manifest("2.0.0").model.name == "colours"
        visits.close()


_PICTURES_ARE_SHOWN = """() => [...document.querySelectorAll(".result img")].map((img) => img.naturalWidth > 0)"""
