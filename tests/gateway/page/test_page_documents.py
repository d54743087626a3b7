"""The page of documents that share figures, on the extractor's port: real results of the command, in a real browser."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.access.keys import KEYS_FILE, KeyStore
from gateway.app import create_app, create_extractor_app
from gateway.extractor.folders import Folders
from gateway.extractor.jobs import Comparing, JobStore
from gateway.extractor.kinds import folder_of, outcome
from tests.fakes import png_of, write_grid_model
from tests.gateway.page.test_page import (  # noqa: F401 (a fixture, and what says when to skip)
    Visits,
    browser,
    pytestmark,
)
from tests.gateway.tiny_app import settings_in
from tests.hashlake.command import hashlake
from tests.served_app import ServedApp

#: Documents by the codes of their pictures, 16 bits; a's last name tells a box.
CODES = {"a": [0xFFFF, 0x00FF, 0x0001], "b": [0x00FE, 0xFFFF], "c": [0x5555]}


@dataclass(frozen=True)
class Extractor:
    """The extractor's port, which knows the job ``job``; ``results`` is its folder, and ``key`` opens it."""

    url: str
    key: str
    job: str
    results: Path


@pytest.fixture(scope="module")
def extractor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Extractor]:
    folder = tmp_path_factory.mktemp("documents")
    settings = settings_in(folder).model_copy(update={"extractor_port": 5000})
    addresses = {}
    for name, codes in CODES.items():
        addresses[name] = folder / "lake" / name
        addresses[name].mkdir()
        for number, code in enumerate(codes):
            (addresses[name] / f"{number}_10,20,30,{number + 1}.jpg").write_bytes(png_of(code, 64))
    (addresses["b"] / "x.png").write_bytes(b"no picture")
    model = settings.models / "grid.pt"
    write_grid_model(model)
    folders, jobs = Folders(settings.state), JobStore(Folders(settings.state).jobs)
    request = Comparing(
        documents={name: str(path) for name, path in addresses.items()}, model="g", model_path="grid.pt"
    )
    (job,) = jobs.create("catalogue", [request], None)
    results = folder_of(request, folders)
    command = ("elements", "similarity", "--model_path", model, "--output", results, "--json")
    made = hashlake(*command, *addresses.values())
    assert made.status == 0, made.err
    known, _ = outcome(job, results, json.loads(made.out.splitlines()[-1]))
    jobs.save(job.model_copy(update={"state": "succeeded", "finished": datetime.now(UTC), **known}))
    _, key = KeyStore(settings.state / KEYS_FILE).create("reader", "admin")
    with ServedApp(create_extractor_app(create_app(settings))) as served:
        yield Extractor(served.url, key, job.id, results)


@pytest.fixture
def visits(browser: Browser, extractor: Extractor) -> Iterator[Visits]:
    visits = Visits(browser, extractor.url)
    yield visits
    visits.close()


def let_in(page: Page, extractor: Extractor) -> Page:
    page.locator("#key-field").fill(extractor.key)
    page.locator("#key-field").press("Enter")
    return page


def cell(page: Page, row: int, column: int) -> Locator:
    return page.locator("#matrix tbody tr").nth(row).locator("button").nth(column)


def counts(page: Page) -> list[list[str]]:
    rows = page.locator("#matrix tbody tr")
    return [rows.nth(row).locator("button").all_inner_texts() for row in range(rows.count())]


def expect_first_pair(page: Page) -> None:
    """The figures of a and b that are the same are first, each with its picture, box and file."""
    pair = page.locator(".pair").first
    expect(pair.locator(".score strong")).to_have_text("1.000")
    expect(pair.locator("figcaption")).to_contain_text(["a_0001.jpg", "b_0002.jpg"])
    expect(pair.locator("figcaption")).to_contain_text(["30 × 1 pixels at 10, 20", "30 × 2 pixels at 10, 20"])
    expect(pair.locator("img")).to_have_count(2)
    assert pair.locator("img").evaluate_all("all => all.map(({ naturalWidth }) => naturalWidth)") == [64, 64]


def test_a_matrix_and_its_pairs(visits: Visits, extractor: Extractor) -> None:
    page = let_in(visits.open("/"), extractor)
    page.get_by_label("Comparison").select_option(extractor.job)
    expect(page.locator("#state")).to_have_text("3 documents, 6 figures")
    expect(page.locator("#not-read")).to_have_text("1 figure could not be read, and compared.")
    assert counts(page) == [["0", "1", "0"], ["1", "0", "0"], ["0", "0", "0"]]
    assert cell(page, 0, 1).get_attribute("aria-label") == "a, b: 1 pair, 50% of the figures"
    shades = [cell(page, 0, column).evaluate("each => getComputedStyle(each).backgroundColor") for column in (1, 2)]
    assert shades[0] != shades[1]
    cell(page, 1, 0).click()
    expect(page.locator("#pairs-title")).to_have_text("a and b")
    expect(page.locator("#pairs-title")).to_be_focused()
    expect_first_pair(page)
    page.get_by_label("Similarity of at least").fill("0.8")
    expect(page.locator(".pair .score strong")).to_have_text(["1.000", "0.875"])
    assert counts(page)[0][1] == "2"
    page.reload()
    expect(page.locator(".pair .score strong")).to_have_text(["1.000", "0.875"])
    expect(page.get_by_label("Comparison")).to_have_value(extractor.job)
    cell(page, 2, 2).click()
    expect(page.locator("#pairs-count")).to_have_text("No figures are so similar")
    page.go_back()
    expect(page.locator("#pairs-title")).to_have_text("a and b")


def test_by_the_keyboard(visits: Visits, extractor: Extractor) -> None:
    page = let_in(visits.open(f"/#job={extractor.job}"), extractor)
    cell(page, 0, 0).focus()
    for key, place in {
        "ArrowRight": (0, 1),
        "End": (0, 2),
        "ArrowDown": (1, 2),
        "Home": (1, 0),
        "ArrowLeft": (1, 0),
    }.items():
        page.keyboard.press(key)
        expect(cell(page, *place)).to_be_focused()
    assert page.locator("#matrix [tabindex='0']").count() == 1
    page.keyboard.press("Enter")
    expect_first_pair(page)


def test_a_folder_of_results(visits: Visits, extractor: Extractor, tmp_path: Path) -> None:
    page = visits.open("/")
    page.locator("#key-cancel").click()
    expect(page.locator("#trouble")).to_contain_text("admin key")
    page.set_input_files("#folder", extractor.results)
    cell(page, 0, 1).click()
    expect_first_pair(page)
    expect(page.locator("#trouble")).to_be_hidden()
    page.set_input_files("#folder", tmp_path)
    expect(page.locator("#trouble")).to_have_text("There is no similarity.json in this folder.")
    (tmp_path / "similarity.json").write_text("{")
    page.set_input_files("#folder", tmp_path)
    expect(page.locator("#trouble")).to_contain_text("it is no JSON")
    (tmp_path / "similarity.json").write_text('{"index": {"sources": [], "images": []}, "pairs": [[0, 1, 1, 0, 0]]}')
    page.set_input_files("#folder", tmp_path)
    expect(page.locator("#trouble")).to_contain_text("a pair names an image")


def test_a_wrong_key_and_a_job_that_is_not_there(visits: Visits, extractor: Extractor) -> None:
    visits.expected = {403, 404}
    page = visits.open("/#job=0123456789ab")
    page.locator("#key-field").fill("wrong")
    page.locator("#key-field").press("Enter")
    expect(page.locator("#key-problem")).to_have_text("The provided API key is not valid.")
    let_in(page, extractor)
    expect(page.locator("#trouble")).to_contain_text("0123456789ab")


def test_in_german(visits: Visits, extractor: Extractor) -> None:
    page = let_in(visits.open(f"/#job={extractor.job}&pair=a&pair=b", locale="de-DE"), extractor)
    expect(page.locator("#state")).to_have_text("3 Dokumente, 6 Abbildungen")
    expect(page.locator("#pairs-count")).to_have_text("1 Paar")
    expect(page.locator("#pairs-title")).to_have_text("a und b")
    expect(page.locator(".pair figcaption").first).to_contain_text("Kasten: 30 × 1 Pixel bei 10, 20")
    expect(page.locator("#comparison option").nth(1)).to_contain_text("7 Abbildungen")  # and the one that isn't read
    assert cell(page, 0, 1).get_attribute("aria-label") == "a, b: 1 Paar, 50 % der Abbildungen"
    expect(page.locator("#matrix-help")).to_contain_text("Pfeiltasten")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visits: Visits, extractor: Extractor, scheme: Literal["light", "dark"]) -> None:
    page = let_in(visits.open(f"/#job={extractor.job}&least=0&pair=a&pair=a", color_scheme=scheme), extractor)
    expect(page.locator(".pair img").first).to_be_visible()
    found = Axe().run(page).response["violations"]
    assert [(each["id"], node["html"]) for each in found for node in each["nodes"]] == []
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
