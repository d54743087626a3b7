"""The page's map of the index, used by a browser as people use it: looked at, moved, and searched from."""

import re
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from tests.gateway.page.fake_backend import PATHS, SEARCH_KEY, Backend
from tests.gateway.page.test_page import (  # noqa: F401 (fixtures, and what says when to skip)
    _CONTRASTS,
    Visits,
    backend,
    base_url,
    browser,
    expect_loaded,
    no_sideways_scroll,
    pytestmark,
    screenshot,
    visits,
)

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


def pictures(page: Page) -> Locator:
    return page.locator(".map-picture")


def picture(page: Page, row: int) -> Locator:
    return page.locator(f'.map-picture[data-row="{row}"]')


def middle(locator: Locator) -> tuple[float, float]:
    box = locator.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def width_of(locator: Locator) -> float:
    return float(locator.evaluate("e => e.getBoundingClientRect().width"))


def expect_width(locator: Locator, width: float) -> None:
    """Zooming is drawn with the next frame."""
    locator.page.wait_for_function(
        "([e, width]) => Math.abs(e.getBoundingClientRect().width - width) < 2", arg=[locator.element_handle(), width]
    )


def expect_rows(page: Page, rows: list[int]) -> None:
    expect(page.locator(".map-layer")).to_have_count(1)
    expect(pictures(page)).to_have_count(len(rows))
    found = pictures(page).evaluate_all("all => all.map((each) => Number(each.dataset.row))")
    assert sorted(found) == rows


def test_a_click_on_a_picture_searches_with_it(visits: Visits, backend: Backend) -> None:
    page = visits.open()
    page.get_by_role("link", name="Look at all of them on a map").click()
    expect(page.get_by_role("tab", name="Map")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#map-facts")).to_have_text("40 pictures, alike ones beside each other · version 1.2.0")
    expect_rows(page, list(range(40)))
    expect(page).to_have_title("Map – hashlake")
    # Eight in a row, each where its column and line say.
    first, right, below = (middle(picture(page, row)) for row in (0, 1, 8))
    assert right[0] - first[0] == pytest.approx(below[1] - first[1], abs=1)
    assert (below[0], right[1]) == pytest.approx(first)
    picture(page, 9).click()
    expect(page.locator("#found-from")).to_have_text(f"like {PATHS[9]}")
    expect(page.get_by_role("tab", name="Search")).to_have_attribute("aria-selected", "true")
    assert backend.searches[-1].fields["path"] == PATHS[9]
    page.go_back()
    expect(picture(page, 9)).to_be_visible()
    expect(page).to_have_url(re.compile("#map"))


def test_nearer_and_farther(visits: Visits, backend: Backend) -> None:
    page = visits.open("/#map")
    expect_rows(page, list(range(40)))
    box = page.locator("#map")
    x, y = middle(picture(page, 0))
    page.mouse.move(x, y)
    width = width_of(picture(page, 0))
    page.mouse.wheel(0, -400)  # one zoom nearer, around where the mouse is
    expect_width(picture(page, 0), 2 * width)
    assert middle(picture(page, 0)) == pytest.approx((x, y), abs=2)
    expect(page).to_have_url(re.compile(r"#map=[\d.]+,[\d.]+,[\d.]+$"))
    address = page.url
    # Dragged, it follows the mouse, and letting go is no click.
    before = middle(picture(page, 9))
    page.mouse.move(*before)
    page.mouse.down()
    page.mouse.move(before[0] - 60, before[1] - 30, steps=3)
    page.mouse.up()
    assert middle(picture(page, 9)) == pytest.approx((before[0] - 60, before[1] - 30), abs=1)
    expect(box).to_be_visible()
    assert backend.searches == []
    # The address says where one is.
    page.goto(visits.base_url + "/")
    page.goto(address)
    page.reload()
    assert middle(picture(page, 0)) == pytest.approx((x, y), abs=2)
    page.get_by_role("button", name="All", exact=True).click()
    expect_rows(page, list(range(40)))
    page.get_by_role("button", name="Nearer", exact=True).click()
    page.get_by_role("button", name="Farther", exact=True).click()
    expect_rows(page, list(range(40)))


def test_by_the_keyboard(visits: Visits, backend: Backend) -> None:
    page = visits.open("/#map")
    expect_rows(page, list(range(40)))
    box = page.get_by_role("application", name="Map of the index")
    box.focus()
    page.keyboard.press("ArrowRight")
    current = page.locator(".map-cell.current .map-picture")
    expect(current).to_have_count(1)
    start = int(current.get_attribute("data-row") or "")
    for key, row in (("ArrowLeft", start - 1), ("ArrowUp", start - 9), ("ArrowRight", start - 8), ("ArrowDown", start)):
        page.keyboard.press(key)
        expect(current).to_have_attribute("data-row", str(row))
    expect(page.locator("#map-status")).to_have_text(PATHS[start])
    assert box.get_attribute("aria-activedescendant") == current.get_attribute("id")
    width = width_of(current)
    page.keyboard.press("+")
    expect_width(current, 2 * width)
    expect(current).to_have_attribute("data-row", str(start))
    page.keyboard.press("0")
    expect_rows(page, list(range(40)))
    page.keyboard.press("Enter")
    expect(page.locator("#found-from")).to_have_text(f"like {PATHS[start]}")
    assert backend.searches[-1].fields["path"] == PATHS[start]


def test_on_a_phone(visits: Visits, backend: Backend) -> None:
    page = visits.open("/#map", **PHONE)
    expect_rows(page, [0, 2, 4, 6, 16, 18, 20, 22, 32, 34, 36, 38])  # each for its quarter
    assert no_sideways_scroll(page)
    screenshot(page, "map-phone")
    # What one sees beside a picture is shown by the figure on it.
    expect(page.get_by_role("button", name=f"{PATHS[2]}, and 3 more here")).to_be_visible()
    page.get_by_role("button", name="3 more, nearer by").first.tap()
    expect(picture(page, 1)).to_be_visible()
    expect(picture(page, 9)).to_be_visible()
    # Two fingers apart: nearer.
    page.get_by_role("button", name="All", exact=True).tap()
    expect_rows(page, [0, 2, 4, 6, 16, 18, 20, 22, 32, 34, 36, 38])
    x, y = middle(picture(page, 0))
    touch = page.context.new_cdp_session(page)

    def fingers(kind: str, *points: tuple[float, float]) -> None:
        spots = [{"x": at[0], "y": at[1], "id": number} for number, at in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": spots})

    fingers("touchStart", (x - 20, y), (x + 20, y))
    for apart in (30, 45, 60):
        fingers("touchMove", (x - apart, y), (x + apart, y))
    fingers("touchEnd")
    expect(picture(page, 1)).to_be_visible()
    assert backend.searches == []
    picture(page, 1).tap()
    expect(page.locator("#found-from")).to_have_text(f"like {PATHS[1]}")


def test_while_it_is_drawn_and_where_there_is_none(visits: Visits, backend: Backend) -> None:
    visits.expected |= {503, 409, 404}
    backend.map_refusals = [(503, "the map of version 1.2.0 is being drawn: ask again")] * 2
    page = visits.open("/#map")
    expect(page.get_by_text("The map is being drawn.")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Drawing the map")).to_be_visible()
    expect_rows(page, list(range(40)))
    expect(page.get_by_text("The map is being drawn.")).to_be_hidden()
    backend.map_refusals = [(409, "maps are drawn of up to 4,000,000 pictures, and version 9 has more: search instead")]
    page.reload()
    expect(page.get_by_role("alert").filter(has_text="Maps are drawn of up to 4,000,000 pictures")).to_be_visible()
    expect(page.locator("#map")).to_be_hidden()
    backend.mapped = 0
    page.reload()
    expect(page.get_by_text("There are no pictures in the index yet.")).to_be_visible()
    backend.mapped = 1
    page.reload()
    expect_rows(page, [0])


def test_a_server_that_wants_a_key(visits: Visits, backend: Backend) -> None:
    visits.expected |= {401}
    backend.needs_key = True
    page = visits.open("/#map")
    page.get_by_label("Key", exact=True).fill(SEARCH_KEY)
    page.get_by_role("button", name="Use this key").click()
    expect_rows(page, list(range(40)))
    expect_loaded(page.locator(".map-picture img"), 40)
    assert backend.pictures_without_key == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_for_everyone(visits: Visits, scheme: Literal["light", "dark"]) -> None:
    page = visits.open("/#map", color_scheme=scheme, locale="de-DE" if scheme == "dark" else "en-GB")
    expect_rows(page, list(range(40)))
    expect_loaded(page.locator(".map-picture img"), 40)
    assert page.evaluate(_CONTRASTS) == []
    found = Axe().run(page).response["violations"]
    assert [(each["id"], node["html"]) for each in found for node in each["nodes"]] == []
    screenshot(page, f"map-{scheme}")
    page.set_viewport_size({"width": 320, "height": 700})
    assert no_sideways_scroll(page)
    page.locator("#map-whole").click()
    expect(page.locator(".map-more").first).to_be_visible()
    assert page.evaluate(_CONTRASTS) == []
