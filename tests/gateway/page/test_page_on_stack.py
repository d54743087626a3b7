"""The page on the real stack: what a visitor and an operator do first."""

import re
from pathlib import Path
from random import Random

from playwright.sync_api import Browser, expect

from indexer.sample_datalake import draw_garment
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

GARMENTS = (
    ("dress", "red", "stripes"),
    ("dress", "green", "plain"),
    ("hat", "red", "plain"),
    ("skirt", "navy", "dots"),
)


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


def test_search_by_words(browser: Browser, tmp_path: Path) -> None:
    """With the model that ships, among drawn garments."""
    models = Path("torchscripts_models").absolute()
    made = Stack(tmp_path, {}, str(models / "clip-general.pt"), models=models)
    (made.lake / "data").mkdir(parents=True)
    for seed, garment in enumerate(GARMENTS):
        draw_garment(*garment, Random(seed)).save(made.lake / "data" / f"{'-'.join(garment)}.png")
    with made as stack:
        assert stack.reindex("1.0.0").status_code == 200
        visits = Visits(browser, stack.url)
        page = visits.open()
        field = page.get_by_label("Or words, by themselves or beside the picture")
        field.fill("red dre")
        expect(page.locator("#text-suggestions option[value='red dress']")).to_have_count(1)
        for words, first in (
            ("a red striped dress", "dress-red-stripes"),
            ("green dress", "dress-green-plain"),
            ("red hat", "hat-red-plain"),
            ("dotted skirt", "skirt-navy-dots"),
        ):
            field.fill(words)
            field.press("Enter")
            expect(results(page).first.locator(".path")).to_have_text(f"data/{first}.png")
            expect(results(page).first.locator(".distance")).to_contain_text("cosine 0.")  # words have no closeness
        results(page).first.get_by_role("button", name="More like this").click()
        expect(results(page).first.locator(".distance")).to_have_text(re.compile("[Aa]like|Weak"))  # pictures have some
        field.fill("green dress")
        field.press("Enter")
        page.get_by_label("How much the words count").fill("90")
        expect(results(page).first.locator(".path")).to_have_text("data/dress-green-plain.png")
        page.screenshot(path=SCREENSHOTS / "stack-words.png")
        visits.close()


_PICTURES_ARE_SHOWN = """() => [...document.querySelectorAll(".result img")].map((img) => img.naturalWidth > 0)"""
