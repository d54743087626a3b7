"""The page at /, used by a browser as people use it. What it shows is compared with what the backend holds."""

import csv
import io
import json
import re
import shutil
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, expect, sync_playwright

from tests.gateway.page.fake_backend import (
    ADMIN_KEY,
    DETAIL_CODE,
    DRESS,
    PATHS,
    QUERY_CODE,
    SEARCH_KEY,
    Backend,
    create_app,
    file_of,
    photograph,
)
from tests.served_app import ServedApp

SCREENSHOTS = Path(__file__).resolve().parents[3] / "screenshots"
#: The first is the same browser without a window's own pages, at a quarter of their processor time.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
#: No test fails for being slow on a busy machine.
PATIENCE = 60_000

#: What the page asks for when nobody has chosen a number.
SHOWN = 24

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs a browser: apt-get install chromium-headless-shell")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=2 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def base_url(backend: Backend) -> Iterator[str]:
    with ServedApp(create_app(backend)) as served:
        yield served.url


@dataclass
class Visits:
    """Browser windows on the page, and what went wrong in them."""

    browser: Browser
    base_url: str
    contexts: list[BrowserContext] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    #: Statuses that the test brings about; the browser reports each as an error.
    expected: set[int] = field(default_factory=set)

    def open(self, address: str = "/", **options: Any) -> Page:
        """A visitor who has never been here."""
        context = self.browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "timezone_id": "UTC"} | options
        )
        context.set_default_timeout(PATIENCE)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        context.on("request", lambda request: self.requests.append(request.url))
        page.goto(self.base_url + address)
        return page

    def _listen(self, message: ConsoleMessage) -> None:
        status = re.search(r"responded with a status of (\d+)", message.text)
        if message.type in ("error", "warning") and not (status and int(status[1]) in self.expected):
            self.errors.append(message.text)

    def close(self) -> None:
        for context in self.contexts:
            context.close()
        assert self.errors == []
        own = (self.base_url + "/", "blob:" + self.base_url, "data:", "about:blank")
        assert [url for url in self.requests if not url.startswith(own)] == []


@pytest.fixture
def visits(browser: Browser, base_url: str) -> Iterator[Visits]:
    visits = Visits(browser, base_url)
    yield visits
    visits.close()


@pytest.fixture
def page(visits: Visits) -> Page:
    return visits.open()


@pytest.fixture
def operator(visits: Visits) -> Page:
    """The operators' page, opened with the key."""
    return sign_in(visits.open("/#operators"))


@pytest.fixture(scope="module")
def photo() -> bytes:
    return file_of(photograph(100))


def upload(page: Page, file: bytes, name: str = "holiday.png") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": "image/png", "buffer": file})


def sign_in(page: Page) -> Page:
    page.get_by_label("Admin key").fill(ADMIN_KEY)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#models li").first).to_be_visible()
    expect(page.get_by_label("New version")).not_to_have_value("")  # it is suggested when the versions are known
    expect(page.locator("#jobs li, #no-jobs:not([hidden])").first).to_be_visible()
    return page


def results(page: Page) -> Locator:
    return page.locator(".result:visible")


def expect_results(page: Page, rows: list[int], distances: list[int]) -> None:
    """Exactly these pictures are shown, in this order, each with its distance."""
    expect(results(page).locator(".path")).to_have_text([PATHS[row] for row in rows])
    bits = [f"{distance} bit{'' if distance == 1 else 's'}" for distance in distances]
    expect(results(page).locator(".distance")).to_have_text(bits)


def expect_nearest_to_query(page: Page, count: int = SHOWN) -> None:
    expect_results(page, list(range(count)), list(range(count)))


def expect_loaded(images: Locator, count: int) -> None:
    """So many pictures are there, and the browser could draw them."""
    expect(images).to_have_count(count)
    for image in images.all():
        image.evaluate("e => e.scrollIntoView()")  # they are fetched when they are seen
        expect(image).not_to_have_js_property("naturalWidth", 0)


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png", animations="disabled", timeout=PATIENCE)


def no_sideways_scroll(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


# Search


def test_an_uploaded_picture_is_answered_by_the_nearest(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    expect_nearest_to_query(page)
    expect(page.locator("#found-count")).to_have_text("24 pictures")
    expect(page.locator("#found-from")).to_have_text("like holiday.png")
    page.get_by_text("About", exact=True).click()
    expect(page.locator("#found-about")).to_have_text(
        "Version 1.2.0 · relahash-small-64bits, 64 bits and 256 of detail"
    )
    (search,) = backend.searches
    assert search.file == photo  # untouched
    assert search.fields == {"top_k": "24", "rank": "distance"}
    expect_loaded(page.locator(".result:visible .thumbnail img"), SHOWN)
    assert backend.pictures_without_key == 0


def test_a_dropped_picture_is_searched_for(page: Page, backend: Backend, photo: bytes) -> None:
    transfer = page.evaluate_handle(
        """bytes => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
            return transfer;
        }""",
        list(photo),
    )
    page.dispatch_event("#stage", "dragover", {"dataTransfer": transfer})
    expect(page.locator("#stage")).to_have_class(re.compile("dropping"))
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect_nearest_to_query(page)
    expect(page.locator("#stage")).not_to_have_class(re.compile("dropping"))
    assert backend.searches[-1].file == photo


def test_a_pasted_picture_is_searched_for(visits: Visits, backend: Backend, photo: bytes) -> None:
    page = visits.open(permissions=["clipboard-read", "clipboard-write"])
    page.bring_to_front()
    page.evaluate(
        """async bytes => navigator.clipboard.write(
            [new ClipboardItem({"image/png": new Blob([new Uint8Array(bytes)], {type: "image/png"})})])""",
        list(photo),
    )
    page.keyboard.press("Control+V")
    expect_nearest_to_query(page)
    # The clipboard has written a file of its own, of the same pixels.
    assert backend.searches[-1].picture.convert("RGB").tobytes() == photograph(100).tobytes()


def test_what_is_no_picture_is_refused_at_once(page: Page, backend: Backend) -> None:
    page.set_input_files("#file", {"name": "film.mp4", "mimeType": "video/mp4", "buffer": b"moving"})
    expect(page.locator("#stage-problem")).to_have_text("film.mp4 is no picture, but video/mp4.")
    assert backend.searches == []


def test_a_class_is_searched_for_by_name(page: Page, backend: Backend) -> None:
    page.get_by_label("Or the name of a class").fill("Dress")
    page.get_by_label("Or the name of a class").press("Enter")
    # 4, then its neighbours on both sides by turns; ties in the order of the rows.
    expect_results(
        page,
        [4, 3, 5, 2, 6, 1, 7, 0, 8, *range(9, 24)],
        [0, 1, 1, 2, 2, 3, 3, 4, 4, *range(5, 20)],
    )
    assert backend.searches[-1].fields == {"text": "Dress", "top_k": "24", "rank": "distance"}
    expect(page.locator("#stage .fingerprint rect.bit-1")).to_have_count((QUERY_CODE ^ (1 << DRESS) - 1).bit_count())
    page.get_by_label("this very picture").check()
    expect(page.locator("#rank-hint")).to_contain_text("Words have no detail")
    assert backend.searches[-1].fields["rank"] == "distance"


def test_an_unknown_class_is_refused_in_the_servers_words(visits: Visits, page: Page) -> None:
    visits.expected.add(400)
    page.get_by_label("Or the name of a class").fill("Trombone")
    page.locator("#text-form").get_by_role("button").click()
    expect(page.locator("#search-problem span")).to_have_text("The model knows no class Trombone.")
    expect(page.get_by_role("button", name="Try again")).to_be_hidden()  # the answer would be the same
    expect(page.locator("#found")).to_be_hidden()


def test_words_that_are_known_are_suggested(page: Page, backend: Backend) -> None:
    options = page.locator("#text-suggestions option")
    field = page.get_by_label("Or the name of a class")
    field.press_sequentially("s")
    expect(options).to_have_count(4)
    field.press_sequentially("ho")
    assert [option.get_attribute("value") for option in options.all()] == ["Shoes", "Shorts"]
    field.fill("red sh")  # a class is one whole name
    expect(options).to_have_count(0)


@pytest.fixture
def any_words(backend: Backend) -> Backend:
    """A model of embeddings with a text tower: answers have cosines."""
    backend.any_words = True
    backend.model |= {"detail_bits": None}
    return backend


def test_words_beside_a_picture(any_words: Backend, visits: Visits, photo: bytes) -> None:
    page = visits.open()
    field = page.get_by_label("Or words, by themselves or beside the picture")
    field.fill("red sh")
    assert [each.get_attribute("value") for each in page.locator("#text-suggestions option").all()] == [
        "red Shoes",
        "red Shorts",
    ]
    field.fill("a red one")
    field.press("Enter")
    expect(results(page).first).to_contain_text("cosine 1.00")
    assert any_words.searches[-1].fields["text"] == "a red one" and not any_words.searches[-1].file
    expect(page.get_by_label("How much the words count")).to_be_hidden()

    upload(page, photo)  # a new picture stands alone
    until(page, lambda: any_words.searches[-1].file == photo)
    assert "text" not in any_words.searches[-1].fields
    expect(field).to_have_value("")
    field.fill("in red")
    field.press("Enter")
    expect(page.locator("#found-from")).to_contain_text("like holiday.png and “in red”")
    last = any_words.searches[-1]
    assert (last.file, last.fields["text"], last.fields["text_weight"]) == (photo, "in red", "0.5")
    weight = page.get_by_label("How much the words count")
    weight.fill("80")
    until(page, lambda: any_words.searches[-1].fields["text_weight"] == "0.8")
    expect(page.locator("#text-weight-says")).to_have_text("20% picture, 80% words")

    page.get_by_role("button", name=f"More like this: {PATHS[1]}").click()
    until(page, lambda: any_words.searches[-1].fields.get("path") == PATHS[1])
    assert "text" not in any_words.searches[-1].fields
    field.fill("in red")
    field.press("Enter")
    expect(page).to_have_url(re.compile("path=.*text=in\\+red&text_weight=0.8"))
    page.get_by_role("button", name="Words without the picture").click()
    expect(page).to_have_url(re.compile("#text=in"))
    assert any_words.searches[-1].fields.keys() == {"text", "top_k", "rank"}
    page.go_back()
    until(page, lambda: any_words.searches[-1].fields.get("text_weight") == "0.8")
    expect(field).to_have_value("in red")


def test_cosines_are_named_and_hidden_below(any_words: Backend, visits: Visits, photo: bytes) -> None:
    page = visits.open()
    upload(page, photo)
    badges = [f"cosine {1 - distance / 64:.2f}" for distance in range(24)]
    expect(results(page).locator(".distance")).to_have_text(badges)
    expect(page.locator("#threshold-says")).to_have_text("cosine 0.64, none hidden")
    page.get_by_label("Farthest shown").fill("10")
    expect(page.locator("#threshold-says")).to_have_text("cosine 0.90, 17 hidden")
    page.get_by_role("button", name=f"Why: {PATHS[5]}").click()
    expect(page.locator("#why-count")).to_have_text(
        "5 of 64 bits differ; the codes are a sketch of the embeddings, whose cosine 0.92 counts."
    )


def test_how_many_and_in_which_order(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    expect_nearest_to_query(page)
    page.get_by_label("Pictures wanted").fill("3")
    page.get_by_label("Pictures wanted").press("Tab")
    expect_nearest_to_query(page, 3)
    page.get_by_label("this very picture").check()
    expect_results(page, [39, 38, 37], [39, 38, 37])
    assert backend.searches[-1].fields == {"top_k": "3", "rank": "detail"}
    page.get_by_label("Pictures wanted").fill("1001")
    page.get_by_label("Pictures wanted").press("Tab")
    assert page.locator("#top-k:invalid").count() == 1
    assert len(backend.searches) == 3


def until(page: Page, holds: Callable[[], bool]) -> None:
    """Return as soon as ``holds``: the address changes before a request is sent."""
    deadline = time.monotonic() + PATIENCE / 1000
    while not holds():
        assert time.monotonic() < deadline
        page.wait_for_timeout(20)


def test_a_picture_turned_and_mirrored(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    expect_nearest_to_query(page)
    page.get_by_label("Also turned and mirrored").check()
    expect(page).to_have_url(re.compile("turned=true"))
    until(page, lambda: backend.searches[-1].fields == {"top_k": "24", "rank": "distance", "turned": "true"})
    expect(page.locator("#turned-hint")).to_be_hidden()
    page.get_by_role("button", name=f"Why: {PATHS[1]}").click()
    expect(page.locator("#why-count")).to_contain_text("from the query as it is; turned it may be nearer")
    page.keyboard.press("Escape")
    page.get_by_label("Or the name of a class").fill("Dress")
    page.get_by_label("Or the name of a class").press("Enter")
    expect(page.locator("#turned-hint")).to_contain_text("looked for by its code or words can't be")
    until(page, lambda: backend.searches[-1].fields == {"text": "Dress", "top_k": "24", "rank": "distance"})
    page.go_back()
    page.go_back()
    expect(page.get_by_label("Also turned and mirrored")).not_to_be_checked()
    until(page, lambda: backend.searches[-1].fields == {"top_k": "24", "rank": "distance"})


def test_more_like_this_and_back(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    page.get_by_role("button", name=f"More like this: {PATHS[2]}").click()
    expect_results(page, [2, 1, 3, 0, *range(4, 24)], [0, 1, 1, 2, *range(2, 22)])
    assert backend.searches[-1].fields["path"] == PATHS[2]
    expect(page.locator("#stage-image")).to_have_attribute("alt", f"The query: {PATHS[2]}")
    expect(page.locator("#found-count")).to_be_focused()
    page.go_back()
    expect_nearest_to_query(page)
    assert backend.searches[-1].file == photo
    page.go_forward()
    expect_results(page, [2, 1, 3, 0, *range(4, 24)], [0, 1, 1, 2, *range(2, 22)])
    page.go_back()
    page.go_back()
    expect(page.locator("#welcome")).to_be_visible()


def test_how_close_pictures_are_where_that_was_measured(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    expect_nearest_to_query(page)
    expect(page.locator("#nothing-like-it")).to_be_hidden()
    backend.closeness = [1.0, 0.999, 0.9, 0.5, 0.3, 0.004, 0.0]
    upload(page, photo)
    badges = ["Very alike"] * 3 + ["Alike", "Weak"] + ["Hardly alike"] * 19
    expect(results(page).locator(".distance")).to_have_text(badges)
    expect(results(page).locator(".distance").nth(3)).to_have_attribute(
        "title", "50% of pictures so far apart show the same kind of thing · 3 bits differ"
    )
    expect(page.get_by_role("button", name=f"Alike: {PATHS[3]}", exact=True)).to_be_visible()
    expect(page.locator(".less-alike + .result .path")).to_have_text(PATHS[4])
    page.get_by_label("Farthest shown").fill("3")
    expect(page.locator(".less-alike")).to_be_hidden()
    page.get_by_label("this very picture").check()
    expect(results(page).locator(".distance").first).to_have_text("Same picture")
    page.get_by_label("what it shows").check()
    expect(page.locator("#nothing-like-it")).to_be_hidden()
    backend.closeness = [0.1]
    upload(page, photo)
    expect(page.locator("#nothing-like-it")).to_have_text(
        "Nothing like it: even the nearest picture is hardly like the query."
    )
    expect(results(page).locator(".distance").first).to_have_text("Hardly alike")


def test_the_threshold_hides_at_once(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    expect_nearest_to_query(page)
    slider = page.get_by_label("Farthest shown")
    expect(slider).to_have_attribute("min", "0")
    expect(slider).to_have_attribute("max", str(SHOWN - 1))
    expect(page.locator("#threshold-says")).to_have_text("23 bits, none hidden")
    slider.fill("5")
    expect_nearest_to_query(page, 6)
    expect(page.locator("#threshold-says")).to_have_text("5 bits, 18 hidden")
    expect(page.locator("#found-count")).to_have_text("6 of 24 pictures")
    slider.press("ArrowLeft")
    expect_nearest_to_query(page, 5)
    page.get_by_label("this very picture").check()  # by the wider detail codes; the nearest of these is 16 bits away
    expect(page.locator("#threshold-says")).to_have_text("39 bits, none hidden")
    expect(slider).to_have_attribute("min", "16")
    expect(page.locator("#found-count")).to_have_text("24 pictures")
    assert len(backend.searches) == 2


def test_the_time_of_each_step(page: Page, photo: bytes) -> None:
    upload(page, photo)
    steps = page.locator("#timing-steps span")
    expect(steps).to_have_text(
        [re.compile(t) for t in (r"decode 1\.1 ms", r"hash 1\.9 ms", r"search 0\.1 ms", "network")]
    )
    in_ms = {"ms": 1.0, "s": 1000.0}
    figures = [re.search(r"([\d.]+) (m?s)$", text) for text in page.locator("#timing-steps > *").all_text_contents()]
    *parts, total = [float(found[1]) * in_ms[found[2]] for found in figures if found]
    assert sum(parts) == pytest.approx(total, abs=60)  # shown rounded
    assert page.locator("#timing-bar i").count() == 4


def test_what_is_known_of_a_picture_stands_below_it(page: Page, backend: Backend, photo: bytes) -> None:
    viewer = "https://viewer.example.org/?manifest=m"
    canvas = {"manifest": "m", "document": "Letters", "label": "f. 12r", "page": 23, "image": "i", "viewer": viewer}
    backend.metadata = {
        0: canvas,
        1: {"page": 3, "pages": 12, "title": "Catalogue", "text": "Autumn <b>dresses</b>"},
        2: {"text": "and hats", "type": "text", "page_number": 4, "total_tokens": 2},
        3: {"colour": "red", "viewer": "javascript:alert(1)"},
    }
    upload(page, photo)
    expect_nearest_to_query(page)
    expect(page.locator(".result .in-one-line")).to_have_text(
        [
            "f. 12r · Letters", "page 3 of 12 · Catalogue · Autumn <b>dresses</b>", "page 4 · and hats",
            "colour: red · viewer: javascript:alert(1)",
        ]
    )  # fmt: skip
    links = page.locator(".result .in-one-line a")
    expect(links).to_have_count(1)
    expect(links).to_have_attribute("href", viewer)


def test_paths_are_shown_in_full_when_pointed_at_and_are_never_markup(page: Page, photo: bytes) -> None:
    upload(page, photo)
    expect_nearest_to_query(page)
    assert page.locator(".path img").count() == 0
    long = page.locator(".path").nth(11)
    head = long.locator(".path-head")
    assert head.evaluate("e => e.scrollWidth > e.clientWidth")  # cut off
    card = results(page).nth(11)
    place = "e => [e.offsetLeft, e.offsetTop, e.offsetWidth, e.offsetHeight, e.parentElement.scrollHeight]"
    card.scroll_into_view_if_needed()
    before = card.evaluate(place)
    long.hover()
    assert not head.evaluate("e => e.scrollWidth > e.clientWidth")
    long.evaluate("e => getSelection().selectAllChildren(e)")
    assert page.evaluate("String(getSelection())") == PATHS[11]
    assert card.evaluate(place) == before  # nothing moves


# A part of the picture


@pytest.fixture(scope="module")
def quarters() -> bytes:
    """400 × 300: red, green, blue and white quarters."""
    picture = Image.new("RGB", (400, 300), "white")
    for corner, colour in (((0, 0), "red"), ((200, 0), "lime"), ((0, 150), "blue")):
        picture.paste(colour, (*corner, corner[0] + 200, corner[1] + 150))
    return file_of(picture)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one place of the query picture to another, both in fractions of it."""
    box = page.locator("#frame").bounding_box()
    assert box is not None
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    page.mouse.move(*points[0])
    page.mouse.down()
    page.mouse.move(*points[1], steps=4)
    page.mouse.up()


def expect_part(page: Page, backend: Backend, searches: int, size: tuple[int, int]) -> Image.Image:
    """The backend got its next search, for a PNG of this size, as holiday.png is one."""
    expect(page.locator("#found-from")).to_contain_text("like a part of holiday.png")
    expect(page.locator("#answer")).to_have_attribute("aria-busy", "false")
    assert len(backend.searches) == searches
    picture = backend.searches[-1].picture
    assert picture.format == "PNG"
    assert picture.size == pytest.approx(size, abs=3)
    return picture.convert("RGB")


def test_a_box_drawn_with_the_mouse_is_what_is_sent(page: Page, backend: Backend, quarters: bytes) -> None:
    upload(page, quarters)
    expect_nearest_to_query(page)
    drag(page, (0.05, 0.1), (0.45, 0.4))
    part = expect_part(page, backend, 2, (160, 90))
    assert part.getpixel((80, 45)) == pytest.approx((254, 0, 0), abs=3)

    drag(page, (0.25, 0.25), (0.75, 0.25))  # moved to the right: the green quarter
    expect(page.locator("#crop-size")).to_have_text("A part of 40% × 30% of the picture.")
    part = expect_part(page, backend, 3, (160, 90))
    assert part.getpixel((80, 45)) == pytest.approx((0, 255, 1), abs=3)

    drag(page, (0.55, 0.4), (0.05, 0.95))  # its lower left corner pulled past the other side
    part = expect_part(page, backend, 4, (360, 255))
    assert part.getpixel((340, 15)) == pytest.approx((0, 255, 1), abs=3)
    assert part.getpixel((20, 240)) == pytest.approx((0, 0, 254), abs=3)

    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("#found-from")).to_contain_text("like holiday.png")
    expect(page.locator("#crop")).to_be_hidden()
    assert backend.searches[-1].file == quarters


def test_a_click_draws_no_box(page: Page, backend: Backend, quarters: bytes) -> None:
    upload(page, quarters)
    expect_nearest_to_query(page)
    drag(page, (0.3, 0.3), (0.31, 0.3))
    expect(page.locator("#crop")).to_be_hidden()
    assert len(backend.searches) == 1


def test_a_box_by_the_keyboard(page: Page, backend: Backend, quarters: bytes) -> None:
    upload(page, quarters)
    expect_nearest_to_query(page)
    page.locator("#frame").focus()
    page.keyboard.press("ArrowRight")  # the middle
    expect(page.locator("#crop-size")).to_have_text("A part of 50% × 50% of the picture.")
    for key in ["Shift+ArrowRight"] * 5 + ["Shift+ArrowUp"] * 10 + ["ArrowUp"] * 20 + ["ArrowLeft"]:
        page.keyboard.press(key)
    expect(page.locator("#crop-size")).to_have_text("A part of 60% × 30% of the picture.")
    assert len(backend.searches) == 1
    page.keyboard.press("Enter")
    part = expect_part(page, backend, 2, (240, 90))
    assert part.size == (240, 90)
    # It begins at 23% of the width and at the upper edge, so the border of red and green is at 200 − 92.
    assert part.getpixel((100, 45)) == pytest.approx((254, 0, 0), abs=3)
    assert part.getpixel((118, 45)) == pytest.approx((0, 255, 1), abs=3)
    page.keyboard.press("Escape")
    expect(page.locator("#found-from")).to_contain_text("like holiday.png")
    expect(page.locator("#crop")).to_be_hidden()
    assert backend.searches[-1].file == quarters


def test_a_part_of_a_drawing_keeps_what_is_transparent(page: Page, backend: Backend) -> None:
    """White on nothing: on a white ground, nothing of it would be left."""
    drawing = Image.new("RGBA", (400, 300), (0, 0, 0, 0))
    drawing.paste((255, 255, 255, 255), (40, 60, 120, 90))
    stream = io.BytesIO()
    drawing.save(stream, "PNG")
    upload(page, stream.getvalue())
    expect_nearest_to_query(page)
    drag(page, (0.05, 0.1), (0.45, 0.4))
    expect_part(page, backend, 2, (160, 90))
    part = backend.searches[-1].picture
    assert part.getpixel((80, 45)) == (255, 255, 255, 255)
    assert part.getchannel("A").getpixel((5, 5)) == 0


def test_a_box_by_touch_on_a_phone(visits: Visits, backend: Backend, quarters: bytes) -> None:
    page = visits.open(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    upload(page, quarters)
    expect_nearest_to_query(page)
    page.get_by_role("button", name="Show the query large").tap()
    expect(page.locator("#asking")).to_have_attribute("data-cropping", "")
    box = page.locator("#frame").bounding_box()
    assert box is not None
    finger = page.context.new_cdp_session(page)

    def touch(kind: str, x: float, y: float) -> None:
        points = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"]}] if kind != "touchEnd" else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.55, 0.55)
    for step in (0.65, 0.75, 0.85, 0.95):
        touch("touchMove", step, step)
    touch("touchEnd", 0, 0)
    part = expect_part(page, backend, 2, (160, 120))
    assert part.getpixel((80, 60)) == (255, 255, 255)
    expect_loaded(page.locator(".result:visible .thumbnail img"), SHOWN)
    page.evaluate("scrollTo(0, 0)")
    screenshot(page, "search-phone")


def test_a_part_of_an_indexed_picture(page: Page, backend: Backend, photo: bytes) -> None:
    upload(page, photo)
    page.get_by_role("button", name=f"More like this: {PATHS[2]}").click()
    expect(page.locator("#stage-image")).to_have_attribute("alt", f"The query: {PATHS[2]}")
    drag(page, (0.25, 0.25), (0.75, 0.75))
    expect(page.locator("#found-from")).to_contain_text(f"like a part of {PATHS[2]}")
    # Cut out of the original of 360 × 480, not of the thumbnail that is shown.
    assert backend.searches[-1].picture.size == pytest.approx((180, 240), abs=3)


# Why


def test_why_counts_the_differing_bits(page: Page, photo: bytes) -> None:
    upload(page, photo)
    why = page.get_by_role("button", name=f"Why: {PATHS[5]}")
    why.click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("#why-count")).to_have_text("5 of 64 bits differ: that is the distance by what they show.")
    expect(dialog.locator(".differs .bit-mark")).to_have_text(["≠"] * 5)
    rows = [dialog.locator(f".bit-pair > .bit:nth-child({row})").all_inner_texts() for row in (1, 2)]
    assert "".join(rows[0]) == f"{QUERY_CODE:064b}"
    assert "".join(rows[1]) == f"{QUERY_CODE ^ 0b11111:064b}"
    expect(dialog.locator("#why-bits")).to_have_attribute(
        "aria-label", "5 bits of 64 differ: number 59, 60, 61, 62, 63, counted from 0."
    )
    expect_loaded(dialog.locator("img"), 2)
    screenshot(page, "why")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(why).to_be_focused()
    page.get_by_role("button", name=f"Why: {PATHS[0]}").click()
    expect(dialog.locator("#why-count")).to_have_text("0 of 64 bits differ: to the model the two show the same.")


def test_why_shows_where_a_region_is(page: Page, backend: Backend, photo: bytes) -> None:
    """A quarter of the width from the left, half of the height from the top."""
    backend.regions = {5: ("page.jpg", [100, 300, 200, 150])}
    backend.metadata = {5: {"full_size": [400, 600], "score": 0.9, "label": "figure"}}
    upload(page, photo)
    page.get_by_role("button", name=f"Why: {PATHS[5]}").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.locator("figcaption").last).to_have_text("Found on page.jpg")
    expect_loaded(dialog.locator("img"), 3)
    frame, box = (dialog.locator(name).bounding_box() for name in (".region-frame", ".region-box"))
    assert frame is not None and box is not None
    assert (box["x"] - frame["x"]) / frame["width"] == pytest.approx(0.25, abs=0.01)
    assert (box["y"] - frame["y"]) / frame["height"] == pytest.approx(0.5, abs=0.01)
    assert box["width"] / frame["width"] == pytest.approx(0.5, abs=0.01)
    assert frame["width"] / frame["height"] == pytest.approx(400 / 600, abs=0.01)
    screenshot(page, "why-region")


# One picture, large


def test_pictures_large_one_after_the_other(visits: Visits, backend: Backend, photo: bytes) -> None:
    backend.closeness = [0.95] * 40
    page = visits.open(permissions=["clipboard-read", "clipboard-write"])
    upload(page, photo)
    thumbnails = results(page).locator(".thumbnail")
    thumbnails.nth(2).press("Enter")
    dialog = page.get_by_role("dialog", name="Picture")
    expect(dialog.locator("#details-place")).to_have_text("3 of 24")
    expect(dialog.locator("#details-closeness")).to_have_text(
        "Very alike: 95% of pictures so far apart show the same kind of thing · 2 bits differ"
    )
    expect(dialog.locator("#details-file")).to_contain_text("360 × 480 pixels · JPEG · ")
    expect(dialog.locator("#details-picture img")).to_have_js_property("naturalHeight", 480)
    page.keyboard.press("Space")
    expect(dialog.locator("#details-shows")).to_have_text("The query")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    expect(dialog.locator("#details-url")).to_have_text(PATHS[3])
    expect(dialog.locator("#details-shows")).to_be_hidden()
    dialog.get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == PATHS[3]
    with page.expect_download() as download:
        dialog.get_by_role("link", name="Download").click()
    assert download.value.suggested_filename == PATHS[3].rpartition("/")[2]
    screenshot(page, "large")
    # Both in one place, and a slider between them.
    compare, slider = dialog.get_by_role("button", name="Compare by a slider"), dialog.get_by_role("slider")
    both = dialog.locator("#details-picture img")
    expect(slider).to_be_hidden()
    compare.click()
    expect(slider).to_be_focused()
    expect(both).to_have_count(2)
    expect(both.nth(1)).to_have_css("clip-path", "inset(0px 50% 0px 0px)")
    page.keyboard.press("Home")
    expect(both.nth(1)).to_have_css("clip-path", "inset(0px 100% 0px 0px)")
    page.keyboard.press("ArrowRight")
    expect(both.nth(1)).to_have_css("clip-path", "inset(0px 99% 0px 0px)")
    assert both.nth(0).bounding_box() == both.nth(1).bounding_box()
    expect(dialog.locator("#details-url")).to_have_text(PATHS[3])  # the slider's keys are its own
    screenshot(page, "compared")
    compare.click()
    expect(both).to_have_count(1)
    expect(slider).to_be_hidden()
    compare.click()
    page.keyboard.press("Escape")
    expect(thumbnails.nth(3)).to_be_focused()
    thumbnails.nth(3).press("Enter")
    dialog.get_by_role("button", name="More like this").click()
    expect(page.locator("#found-from")).to_have_text(f"like {PATHS[3]}")


# Another language


def test_german_by_the_browsers_language_or_by_choice(visits: Visits, backend: Backend, photo: bytes) -> None:
    backend.closeness = [0.95] * 40
    english = visits.open()
    texts = set(english.evaluate(_TEXTS))
    page = visits.open(locale="de-CH")
    expect(page.locator("#start-title")).to_have_text("Welche Bilder sehen aus wie Ihres?")
    left = texts & set(page.evaluate(_TEXTS))
    alike = {"API", "CSV", "Code", "DE", "EN", "In", "JSON", "Version", "hashlake"}
    assert left - set(page.locator("#start-words button").all_inner_texts()) <= alike
    upload(page, photo, "Search.png")
    expect(page.locator("#found-from")).to_have_text("ähnlich wie Search.png")  # names stay
    expect(results(page).locator(".distance").first).to_have_text("Sehr ähnlich")
    expect(page.get_by_role("button", name=f"Mehr davon: {PATHS[1]}")).to_be_visible()
    results(page).nth(3).locator(".thumbnail").click()
    expect(page.locator("#details-closeness")).to_have_text(
        "Sehr ähnlich: 95 % der Bilder, die so weit auseinander liegen, zeigen das gleiche · 3 Bits sind anders"
    )
    page.keyboard.press("Escape")
    page.get_by_label("Sprache").select_option("EN")
    expect(page.locator("#found-from")).to_have_text("like Search.png")
    expect(page.locator("html")).to_have_attribute("lang", "en")


# All texts of the page, but for keys.
_TEXTS = r"""() => {
    const texts = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const text = walk.currentNode.data.replace(/\s+/g, " ").trim();
        const own = walk.currentNode.parentElement.closest("kbd, noscript") === null;
        if (own && /[A-Za-z]{2}/.test(text)) texts.push(text);
    }
    return texts;
}"""


# Before anything is asked, and after


def test_a_start_that_teaches_and_remembers(page: Page, backend: Backend, quarters: bytes) -> None:
    expect(page.locator("#start-facts")).to_have_text(re.compile(r"^40 pictures, indexed \d+ days ago$"))
    expect(page.locator("#start-recent-part")).to_be_hidden()
    expect_loaded(page.locator("#start-samples img"), 12)
    assert page.title() == "hashlake"
    page.locator("#start-words").get_by_role("button", name="Dress").click()
    expect(page.locator("#found-from")).to_have_text("like “Dress”")
    expect(page).to_have_title("“Dress” – hashlake")
    page.go_back()
    page.get_by_role("button", name=f"More like {PATHS[3]}").click()
    expect(page.locator("#found-from")).to_have_text(f"like {PATHS[3]}")

    upload(page, quarters)
    expect(page.locator("#found-from")).to_have_text("like holiday.png")
    drag(page, (0.05, 0.1), (0.45, 0.4))
    expect_part(page, backend, 4, (160, 90))
    until(page, lambda: "part" in page.evaluate(_KEPT))
    page.reload()  # the part and its picture are there again
    expect(page.locator("#crop-size")).to_have_text("A part of 40% × 30% of the picture.")
    expect_part(page, backend, 5, (160, 90))
    page.get_by_role("button", name="Whole picture").click()
    expect(page.locator("#found-from")).to_have_text("like holiday.png")
    assert backend.searches[-1].file == quarters
    until(page, lambda: len(page.evaluate(_KEPT)) == 4)

    page.goto(page.url.partition("#")[0])
    recent = page.locator("#start-recent a")
    expect(recent).to_have_count(4)  # the part and the whole have one code here, and each its place
    expect(recent.first).to_have_attribute("title", "holiday.png")
    expect_loaded(recent.locator("img"), 3)
    recent.nth(2).click()
    expect(page.locator("#found-from")).to_have_text(f"like {PATHS[3]}")
    page.go_back()
    page.get_by_role("button", name="Forget them").click()
    expect(page.locator("#start-recent-part")).to_be_hidden()
    assert page.evaluate(_KEPT) == []


def test_a_search_is_kept_by_a_name_until_it_is_removed(page: Page, quarters: bytes) -> None:
    upload(page, quarters)
    expect(page.locator("#found-from")).to_have_text("like holiday.png")
    until(page, lambda: "picture" in page.evaluate(_KEPT))
    page.get_by_role("button", name="Keep …").click()
    dialog = page.get_by_role("dialog", name="Keep this search")
    expect(dialog.get_by_label("Call it")).to_have_value("holiday.png")
    dialog.get_by_label("Call it").fill("the <red> one")
    dialog.get_by_role("button", name="Keep").click()
    expect(page.locator("#search-status")).to_have_text("The search is kept: you find it where a search begins.")

    page.goto(page.url.partition("#")[0])
    page.reload()
    named = page.locator("#start-named li")
    expect(named).to_have_count(1)
    expect_loaded(named.locator("img"), 1)
    named.get_by_role("link", name="the <red> one").click()
    expect(page.locator("#found-from")).to_have_text("like holiday.png")  # asked again: it keeps its name
    page.go_back()
    expect(page.locator("#start-recent-part")).to_be_hidden()
    named.get_by_role("button", name="Keep the <red> one no longer").click()
    expect(page.locator("#start-named-part")).to_be_hidden()
    expect(page.locator("#start-recent a")).to_have_attribute("title", "holiday.png")


_KEPT = """() => new Promise((resolve) => {
    const opening = indexedDB.open("hashlake", 1);
    opening.onsuccess = () => {
        const asking = opening.result.transaction("searches").objectStore("searches").getAll();
        asking.onsuccess = () => resolve(asking.result.map(({ query }) => query.kind));
    };
})"""


def test_a_picture_by_its_address(page: Page, backend: Backend) -> None:
    field = page.get_by_label("Or the name of a class")
    field.fill("https://shop.example/a.jpg")
    field.press("Enter")
    expect(page.locator("#found-from")).to_have_text("like https://shop.example/a.jpg")
    expect(page).to_have_url(re.compile("#url=https%3A%2F%2Fshop.example%2Fa.jpg"))
    assert backend.searches[-1].fields["url"] == "https://shop.example/a.jpg"
    transfer = page.evaluate_handle(
        "() => { const t = new DataTransfer(); t.setData('text/uri-list', 'https://shop.example/b.jpg'); return t; }"
    )
    page.dispatch_event("body", "drop", {"dataTransfer": transfer})
    expect(page.locator("#found-from")).to_have_text("like https://shop.example/b.jpg")


def test_a_picture_too_large_to_send_is_not_sent(page: Page, backend: Backend) -> None:
    page.evaluate(
        """() => {
            const transfer = new DataTransfer();
            transfer.items.add(new File([new Uint8Array(40 * 2 ** 20)], "scan.tif", {type: "image/tiff"}));
            document.getElementById("file").files = transfer.files;
            document.getElementById("file").dispatchEvent(new Event("change"));
        }"""
    )
    expect(page.locator("#stage-problem")).to_contain_text("scan.tif has 40.0 MiB, and at most 32 MiB can be sent.")
    assert backend.searches == []


def taken(page: Page, what: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=what, exact=True).click()
    return download.value.path().read_bytes()


def test_answers_are_taken_away(visits: Visits, backend: Backend, photo: bytes) -> None:
    backend.metadata = {1: {"title": 'Catalogue, "autumn"'}, 2: {"title": "=1+1"}}
    page = visits.open(permissions=["clipboard-read", "clipboard-write"])
    upload(page, photo)
    expect_nearest_to_query(page)
    page.get_by_label("Farthest shown").fill("2")
    page.locator("#take-away-summary").click()
    expect(page.locator("#take-away-what")).to_have_text("All 3 pictures shown")
    found = json.loads(taken(page, "JSON"))
    assert [(each["path"], each["distance"]) for each in found] == [(PATHS[row], row) for row in range(3)]
    lines = list(csv.DictReader(io.StringIO(taken(page, "CSV").decode())))
    assert [json.loads(line["metadata"] or "null") for line in lines] == [
        None,
        backend.metadata[1],
        backend.metadata[2],
    ]
    page.locator("#take-away-summary").click()
    results(page).nth(1).locator(".thumbnail").focus()
    page.keyboard.press("x")
    page.locator("#take-away-summary").click()
    expect(page.locator("#take-away-what")).to_have_text("1 picture selected")
    with zipfile.ZipFile(io.BytesIO(taken(page, "Pictures, as a ZIP"))) as archive:
        assert archive.namelist() == [PATHS[1]]
        assert Image.open(io.BytesIO(archive.read(PATHS[1]))).size == (360, 480)  # its checksum is right, too
    for what, text in (
        ("Copy the paths", PATHS[1]),
        (
            "Copy as curl",
            "curl -F image=@holiday.png --form-string top_k=24 --form-string rank=distance "
            f"{visits.base_url}/api/search",
        ),
    ):
        page.get_by_role("button", name=what).click()
        expect(page.get_by_role("button", name="Copied")).to_have_count(1)
        assert page.evaluate("navigator.clipboard.readText()") == text
        expect(page.get_by_role("button", name="Copied")).to_have_count(0)
    page.get_by_role("button", name="Copy as Python").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    compile(page.evaluate("navigator.clipboard.readText()"), "copied", "exec")


# Links


def test_a_link_finds_the_same_again(visits: Visits, backend: Backend, photo: bytes) -> None:
    page = visits.open(permissions=["clipboard-read", "clipboard-write"])
    upload(page, photo)
    page.get_by_label("Pictures wanted").fill("7")
    page.get_by_label("this very picture").check()
    expect_results(page, [39, 38, 37, 36, 35, 34, 33], [39, 38, 37, 36, 35, 34, 33])
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    asked = f"code=9f3a5c7e1b2d4f60&detail={DETAIL_CODE}&top_k=7&rank=detail&model=0a1b2c3d4e5f"
    assert re.fullmatch(rf".*/#{asked}&picture=[0-9a-f]{{16}}", link)

    other = visits.open(link.removeprefix(visits.base_url))
    expect_results(other, [39, 38, 37, 36, 35, 34, 33], [39, 38, 37, 36, 35, 34, 33])
    assert backend.searches[-1].fields == {
        "code": "9f3a5c7e1b2d4f60",
        "detail_code": DETAIL_CODE,
        "top_k": "7",
        "rank": "detail",
    }
    expect(other.get_by_label("Pictures wanted")).to_have_value("7")
    expect(other.locator("#model-warning")).to_be_hidden()
    assert other.url == link


@pytest.mark.parametrize(("kind", "value"), [("path", PATHS[9]), ("path", PATHS[6]), ("text", "Dress")])
def test_links_to_a_path_and_to_a_class(visits: Visits, backend: Backend, kind: str, value: str) -> None:
    page = visits.open()
    page.evaluate(
        "([kind, value]) => { location.hash = new URLSearchParams({[kind]: value, top_k: 5}) }", [kind, value]
    )
    expect(results(page)).to_have_count(5)
    assert backend.searches[-1].fields == {kind: value, "top_k": "5", "rank": "distance"}
    if kind == "path":  # found among the results, so its picture is known
        expect(page.locator("#stage-image")).to_have_attribute("alt", f"The query: {value}")
    expect(page.locator("#model-warning")).to_be_hidden()


def test_a_link_of_another_model_warns(visits: Visits, backend: Backend) -> None:
    link = f"/#code=9f3a5c7e1b2d4f60&detail={DETAIL_CODE}&top_k=4&rank=distance&model=ffffffffffff"
    page = visits.open(link)
    expect_nearest_to_query(page, 4)
    warning = page.locator("#model-warning")
    expect(warning).to_contain_text("made with another model (ffffffffffff…)")
    expect(warning).to_contain_text("these results mean nothing")
    assert page.url.endswith(link)  # opened again, it warns again
    page.get_by_role("button", name=f"More like this: {PATHS[1]}").click()
    expect(page.locator("#found-from")).to_contain_text(f"like {PATHS[1]}")
    expect(warning).to_be_hidden()


def test_an_address_that_names_nothing_is_an_empty_page(visits: Visits, backend: Backend) -> None:
    page = visits.open("/#code=xyz&top_k=4")
    expect(page.locator("#welcome")).to_be_visible()
    assert backend.searches == []


# Keys


def test_a_server_that_wants_a_key(visits: Visits, backend: Backend, photo: bytes) -> None:
    visits.expected.add(401)
    backend.needs_key = True
    page = visits.open()
    upload(page, photo)
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Key").fill("wrong")
    dialog.get_by_label("Key").press("Enter")
    expect(dialog.locator("#key-problem")).to_have_text("This key is not known.")
    dialog.get_by_label("Key").fill(SEARCH_KEY)
    dialog.get_by_role("button", name="Use this key").click()
    expect_nearest_to_query(page)
    thumbnails = page.locator(".result:visible .thumbnail img")
    expect_loaded(thumbnails, SHOWN)
    for thumbnail in thumbnails.all():
        expect(thumbnail).to_have_attribute("src", re.compile(f"^blob:{visits.base_url}/"))
    results(page).nth(3).locator(".thumbnail").click()
    expect(page.locator("#details-picture img")).to_have_js_property("naturalHeight", 480)
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"More like this: {PATHS[2]}").click()
    expect(page.locator("#stage-image")).to_have_attribute("alt", f"The query: {PATHS[2]}")
    assert backend.pictures_without_key == 0
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]

    page.reload()  # the tab still has it
    expect(results(page)).to_have_count(SHOWN)
    page.get_by_role("button", name="Forget it").click()
    page.get_by_label("Pictures wanted").fill("3")
    page.get_by_label("Pictures wanted").press("Tab")
    dialog.get_by_role("button", name="Cancel").click()
    expect(page.locator("#search-problem")).to_contain_text("This server answers only with a key.")
    page.get_by_role("button", name="Try again").click()
    expect(dialog).to_be_visible()


# Operators


def versions(page: Page) -> Locator:
    return page.locator("#versions tbody tr")


def row(page: Page, version: str) -> Locator:
    return page.locator(f'#versions tr[data-version="{version}"]')


def test_only_an_admin_key_opens_the_operators_page(visits: Visits) -> None:
    visits.expected |= {401, 403}
    page = visits.open()
    page.get_by_role("tab", name="Operators").click()
    for key, words in (
        ("wrong", "This key is not known."),
        (SEARCH_KEY, "This key may search only. This route needs an admin key."),
        ("schlüssel", "A key has letters, digits and signs only."),
    ):
        page.get_by_label("Admin key").fill(key)
        page.get_by_role("button", name="Open").click()
        expect(page.locator("#sign-in-problem")).to_have_text(words)
    sign_in(page)
    page.reload()  # kept for this tab
    expect(versions(page)).to_have_count(3)
    page.get_by_role("button", name="Forget it").click()
    expect(page.get_by_label("Admin key")).to_be_focused()
    expect(page.locator("#operating")).to_be_hidden()
    assert page.evaluate("[sessionStorage.length, localStorage.length]") == [0, 0]


def test_a_revoked_key_leads_back_to_the_door(visits: Visits, operator: Page) -> None:
    visits.expected.add(401)
    operator.evaluate("sessionStorage.setItem('hashlake admin key', 'revoked')")
    operator.get_by_role("button", name="Refresh").click()
    expect(operator.locator("#sign-in-problem")).to_have_text("This key is not known.")
    expect(operator.get_by_label("Admin key")).to_be_visible()


def test_the_versions(operator: Page, backend: Backend) -> None:
    expect(versions(operator).locator(".version-name")).to_have_text(["1.2.0", "1.1.0", "1.0.0"])
    expect(operator.locator("#versions .badge")).to_have_text(["current"])
    cells = row(operator, "1.2.0").locator("td")
    for place, text in enumerate(
        ("20 Nov 2026", "4,335", "243", "relahash-small-64bits 0a1b2c3d4e5f", "default", "741 kB")
    ):
        expect(cells.nth(place)).to_contain_text(text)
    expect(row(operator, "1.2.0").get_by_role("button")).to_have_text(["243", "Verify"])  # the served one stays
    expect(row(operator, "1.1.0").get_by_role("button")).to_have_text(["Promote", "Verify", "Delete"])


def test_promote(operator: Page, backend: Backend) -> None:
    operator.get_by_role("button", name="Promote 1.1.0").click()
    expect(row(operator, "1.1.0").locator(".badge")).to_have_text("current")
    expect(row(operator, "1.1.0").locator(".note")).to_have_text("Served now, before: 1.2.0.")
    expect(row(operator, "1.2.0").locator(".badge")).to_have_count(0)
    assert [each["version"] for each in backend.versions if each["current"]] == ["1.1.0"]


def test_verify(operator: Page) -> None:
    operator.get_by_role("button", name="Verify 1.2.0").click()
    expect(row(operator, "1.2.0").locator(".note")).to_have_text("Whole: 3 files checked.")
    operator.get_by_role("button", name="Verify 1.0.0").click()
    expect(row(operator, "1.0.0").locator(".note")).to_have_text("images.db is not what was published.")
    expect(operator.get_by_role("button", name="Verify 1.0.0")).to_be_focused()


def test_delete_asks_first(operator: Page, backend: Backend) -> None:
    delete = operator.get_by_role("button", name="Delete 1.0.0")
    dialog = operator.get_by_role("alertdialog", name="Delete version 1.0.0?")
    delete.click()
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    expect(delete).to_be_focused()
    delete.click()
    operator.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert len(backend.versions) == 3
    delete.click()
    dialog.get_by_role("button", name="Delete").click()
    expect(versions(operator).locator(".version-name")).to_have_text(["1.2.0", "1.1.0"])
    assert [each["version"] for each in backend.versions] == ["1.2.0", "1.1.0"]
    expect(operator.locator("#versions-title")).to_be_focused()


def test_a_refused_action_says_why_where_it_happened(visits: Visits, operator: Page, backend: Backend) -> None:
    visits.expected.add(409)
    backend.make_current("1.1.0")  # meanwhile, by somebody else
    operator.get_by_role("button", name="Delete 1.1.0").click()
    operator.get_by_role("alertdialog").get_by_role("button", name="Delete").click()
    expect(row(operator, "1.1.0").locator(".note.problem")).to_have_text("Version 1.1.0 is served.")


def test_damaged_versions_and_none(operator: Page, backend: Backend) -> None:
    backend.damaged = [{"version": "0.9.0", "message": "version 0.9.0 has no readable manifest.json"}]
    operator.get_by_role("button", name="Refresh").click()
    expect(row(operator, "0.9.0")).to_contain_text("Version 0.9.0 has no readable manifest.json.")
    backend.versions, backend.damaged = [], []
    operator.get_by_role("button", name="Refresh").click()
    expect(operator.locator("#no-versions")).to_be_visible()


def test_the_skipped_files_page_by_page(operator: Page) -> None:
    operator.get_by_role("button", name="Files skipped by 1.2.0").click()
    dialog = operator.get_by_role("dialog", name="Skipped by version 1.2.0")
    rows, shown = dialog.locator("tbody tr"), dialog.locator("#skipped-range")
    expect(shown).to_have_text("1–100 of 243")
    expect(rows).to_have_count(100)
    expect(rows.first.locator("td")).to_have_text(["data/broken/0000.jpg", "The file ends too early."])
    expect(dialog.get_by_role("button", name="Previous")).to_be_disabled()
    dialog.get_by_role("button", name="Next").click()
    expect(shown).to_have_text("101–200 of 243")
    dialog.get_by_role("button", name="Next").click()
    expect(shown).to_have_text("201–243 of 243")
    expect(rows.last.locator("td").first).to_have_text("data/broken/0242.jpg")
    expect(dialog.get_by_role("button", name="Next")).to_be_disabled()
    dialog.get_by_role("button", name="Previous").click()
    expect(shown).to_have_text("101–200 of 243")
    dialog.get_by_role("button", name="Close").click()
    expect(operator.get_by_role("button", name="Files skipped by 1.2.0")).to_be_focused()


def test_the_models_and_their_cards(operator: Page, backend: Backend) -> None:
    backend.models.append(
        {"model_path": "old.pt", "bytes": 999_000, "sha256": "e" * 64, "card": None, "current": False, "served": None}
    )
    operator.get_by_role("button", name="Refresh").click()
    models = operator.locator("#models > li")
    expect(models).to_have_count(3)
    expect(models.first.get_by_role("heading")).to_have_text("relahash-small-64bits current")
    expect(models.first.locator("dl").first).to_contain_text("Dress, Hat, Longsleeve")
    expect(models.first).to_contain_text("Loaded by 2 workers: 540 MB of memory.")
    models.first.get_by_text("The whole card").click()
    expect(models.first.locator("details")).to_contain_text("mAP@all0.802")
    expect(models.last).to_contain_text("It comes without a card.")
    expect(models.last).to_contain_text("999 kB")


def job_panel(page: Page) -> Locator:
    return page.locator("#job-now")


def test_reindexing_is_watched_to_its_end(operator: Page, backend: Backend) -> None:
    name = operator.get_by_label("New version")
    expect(name).to_have_value(re.compile(r"^20\d\d\.\d\d\.\d\d-1$"))
    version = name.input_value()
    expect(operator.get_by_label("Model", exact=True)).to_have_value("relahash-small-64bits.pt")
    operator.get_by_label("Mode", exact=True).select_option("unnecessary fast")
    operator.get_by_label("Model", exact=True).select_option("relahash-small-128bits.pt")
    operator.get_by_label("Source", exact=True).fill(" s3://lake/photos ")
    operator.locator("#reindex-form").get_by_role("button").click()
    panel = job_panel(operator)
    expect(panel.get_by_role("heading")).to_have_text(f"Version {version} is being made")
    expect(panel).to_contain_text("Listing the pictures")
    expect(operator.locator("#reindex-form")).to_be_hidden()
    (job,) = backend.jobs
    assert job["request"] == {
        "new_index_database_version": version,
        "mode": "unnecessary fast",
        "model_path": "relahash-small-128bits.pt",
        "source": "s3://lake/photos",
    }

    job.update(phase="indexing", done=1200, total=4332, rate=650.2, skipped=3, eta_seconds=4.8)
    expect(panel).to_contain_text("Hashing pictures")
    expect(panel).to_contain_text("1,200 of 4,332 pictures · 650 a second · about 5 s left · 3 skipped")
    expect(panel.get_by_role("progressbar")).to_have_js_property("position", 1200 / 4332)
    screenshot(operator, "operators-indexing")

    job.update(done=4332, rate=700.0, eta_seconds=None)
    expect(panel).to_contain_text("4,332 of 4,332 pictures · 700 a second · 3 skipped")
    job.update(phase="publishing")
    expect(panel).to_contain_text("Publishing the version")
    expect(panel.get_by_role("progressbar")).to_have_js_property("position", -1)
    backend.end(job, "succeeded")
    expect(panel.get_by_role("heading")).to_have_text(f"Version {version} is served now.")
    expect(operator.locator("#job-status")).to_have_text(f"Version {version} is served now.")
    expect(row(operator, version).locator(".badge")).to_have_text("current")
    expect(operator.locator("#jobs li")).to_contain_text([f"Version {version} is served now."])
    expect(operator.locator("#jobs li")).to_contain_text(["took 1 min 15 s"])
    expect(name).to_be_visible()
    expect(name).to_have_value(version.removesuffix("1") + "2")


def test_a_broken_connection_is_taken_up_again(visits: Visits, operator: Page, backend: Backend) -> None:
    visits.expected.add(503)
    operator.locator("#reindex-form").get_by_role("button").click()
    panel = job_panel(operator)
    expect(panel).to_contain_text("Listing the pictures")
    job = backend.jobs[0]
    for done in (100, 200):
        backend.down = True
        expect(panel.get_by_text("The connection broke.")).to_be_visible()
        job.update(phase="indexing", done=done, total=300)
        backend.down = False
        expect(panel).to_contain_text(f"{done} of 300 pictures")
        expect(panel.get_by_text("The connection broke.")).to_be_hidden()
    backend.end(job, "succeeded")
    expect(panel.get_by_role("heading")).to_contain_text("is served now")


def test_a_running_job_is_picked_up_and_cancelled(visits: Visits, backend: Backend) -> None:
    job = backend.begin({"new_index_database_version": "2.0.0", "mode": "default"})
    job.update(phase="indexing", done=10, total=100, rate=5.0)
    page = sign_in(visits.open("/#operators"))
    panel = job_panel(page)
    expect(panel).to_contain_text("10 of 100 pictures")
    page.reload()
    expect(panel).to_contain_text("10 of 100 pictures")
    panel.get_by_role("button", name="Cancel").click()
    expect(panel.get_by_role("heading")).to_have_text("Version 2.0.0 was cancelled.")
    assert job["state"] == "cancelled"
    page.get_by_role("button", name="Resume 2.0.0").click()
    expect(panel.get_by_role("heading")).to_have_text("Version 2.0.0 is being made")
    assert backend.jobs[0]["request"] == job["request"]
    assert backend.jobs[0] is not job


def test_a_failed_job_says_why(operator: Page, backend: Backend) -> None:
    operator.locator("#reindex-form").get_by_role("button").click()
    expect(job_panel(operator)).to_contain_text("Listing the pictures")
    backend.end(backend.jobs[0], "failed", "the disk is full: 12 MB are missing")
    expect(job_panel(operator)).to_contain_text("could not be made")
    expect(job_panel(operator)).to_contain_text("The disk is full: 12 MB are missing.")
    expect(operator.locator("#jobs li").first).to_contain_text("The disk is full: 12 MB are missing.")
    expect(operator.locator("#jobs li").first.get_by_role("button", name="Resume")).to_be_visible()


def test_a_refused_reindexing_says_why(visits: Visits, operator: Page, backend: Backend) -> None:
    visits.expected.add(409)
    operator.get_by_label("New version").fill("1.1.0")
    operator.locator("#reindex-form").get_by_role("button").click()
    expect(operator.locator("#reindex-problem")).to_have_text("Version 1.1.0 exists already.")
    expect(operator.get_by_label("New version")).to_have_value("1.1.0")


def test_a_job_begun_elsewhere_is_met_and_watched(visits: Visits, operator: Page, backend: Backend) -> None:
    visits.expected.add(409)
    backend.begin({"new_index_database_version": "3.0.0"})
    operator.locator("#reindex-form").get_by_role("button").click()
    expect(operator.locator("#reindex-problem")).to_have_text("Another reindexing is running.")
    expect(job_panel(operator).get_by_role("heading")).to_have_text("Version 3.0.0 is being made")


# For everyone


def test_a_search_by_the_keyboard_alone(page: Page, backend: Backend) -> None:
    def tab_to(target: Locator) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if target.evaluate("e => e === document.activeElement"):
                assert target.evaluate("e => getComputedStyle(e).outlineStyle !== 'none'")  # and it can be seen
                return
        pytest.fail(f"the Tab key never leads to {target}")

    search, operators = page.get_by_role("tab", name="Search"), page.get_by_role("tab", name="Operators")
    tab_to(search)
    page.keyboard.press("End")
    expect(operators).to_be_focused()
    expect(page.get_by_label("Admin key")).to_be_visible()
    page.keyboard.press("Home")
    expect(search).to_be_focused()
    expect(search).to_have_attribute("aria-selected", "true")
    tab_to(page.get_by_label("Or the name of a class"))
    page.keyboard.type("Dress")
    page.keyboard.press("Enter")
    expect(page.locator("#search-status")).to_have_text("24 pictures found.")
    tab_to(page.get_by_label("Farthest shown"))
    page.keyboard.press("Home")
    expect_results(page, [DRESS], [0])
    page.keyboard.press("End")
    tab_to(results(page).first.locator(".thumbnail"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    expect(page.locator("#why-count")).to_contain_text("1 of 64 bits differ")
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")  # one stop a card
    page.keyboard.press("m")
    expect(page.locator("#found-from")).to_contain_text(f"like {PATHS[5]}")
    assert [search.fields.get("path") for search in backend.searches] == [None, PATHS[5]]


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_nothing_is_wider_than_the_window(visits: Visits, backend: Backend, photo: bytes, width: int) -> None:
    backend.damaged = [{"version": "0.9.0-" + "x" * 50, "message": "version 0.9.0 has no readable manifest.json"}]
    backend.end(backend.begin({"new_index_database_version": "y" * 64}), "failed", "z" * 200)
    page = visits.open(viewport={"width": width, "height": 900})
    assert no_sideways_scroll(page)
    upload(page, photo, "a-name-without-any-place-to-break-it-" * 4 + ".png")
    expect_nearest_to_query(page)
    expect_loaded(page.locator(".result:visible .thumbnail img"), SHOWN)
    page.evaluate("scrollTo(0, 0)")
    assert no_sideways_scroll(page)
    screenshot(page, f"search-{width}")
    results(page).nth(11).locator(".thumbnail").focus()
    assert no_sideways_scroll(page)
    page.get_by_role("button", name=f"Why: {PATHS[5]}").click()
    dialog = page.get_by_role("dialog")
    expect_loaded(dialog.locator("img"), 2)
    assert dialog.evaluate("e => e.scrollWidth <= e.clientWidth")
    screenshot(page, f"why-{width}")
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Operators").click()
    sign_in(page)
    page.get_by_text("The whole card").first.click()
    assert no_sideways_scroll(page)
    screenshot(page, f"operators-{width}")


# Of every text in sight, the contrast of its colour to what is painted behind it (WCAG 2, relative luminance).
_CONTRASTS = """() => {
    const pixel = Object.assign(document.createElement("canvas"), {width: 1, height: 1});
    const brush = pixel.getContext("2d", {willReadFrequently: true});
    const luminance = (colours) => {
        brush.clearRect(0, 0, 1, 1);
        for (const colour of colours) { brush.fillStyle = colour; brush.fillRect(0, 0, 1, 1); }
        const [r, g, b] = [...brush.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const poor = [];
    for (const element of document.querySelectorAll("body *")) {
        const text = [...element.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data.trim()).join("");
        if (text === "" || !element.checkVisibility() || element.closest(":disabled, .unseen")) continue;
        const behind = [];
        for (let e = element; e; e = e.parentElement) behind.unshift(getComputedStyle(e).backgroundColor);
        const [back, front] = [luminance(behind), luminance([...behind, getComputedStyle(element).color])].sort();
        const contrast = (Math.max(back, front) + 0.05) / (Math.min(back, front) + 0.05);
        if (contrast < 4.5) poor.push(`${contrast.toFixed(2)}: ${text.slice(0, 40)}`);
    }
    return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(visits: Visits, backend: Backend, photo: bytes, scheme: str) -> None:
    backend.model["sha256"] = "f" * 64
    backend.damaged = [{"version": "0.9.0", "message": "version 0.9.0 has no readable manifest.json"}]
    for number, state in enumerate(("succeeded", "failed", "cancelled", "interrupted")):
        backend.end(backend.begin({"new_index_database_version": f"2.{number}"}), state, "as it was")
    backend.begin({"new_index_database_version": "3.0"}).update(phase="indexing", done=30, total=100, rate=8.5)
    page = visits.open("/#code=9f3a5c7e1b2d4f60&model=0a1b2c3d4e5f", color_scheme=scheme)
    expect(page.locator("#model-warning")).to_be_visible()
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(re.findall(r"\d+", ground)[0]) < 64) == (scheme == "dark")
    assert page.evaluate(_CONTRASTS) == []
    upload(page, photo)
    expect(page.locator("#found-from")).to_contain_text("like holiday.png")
    expect(page.locator("#answer")).to_have_css("opacity", "1")
    expect_loaded(page.locator(".result:visible .thumbnail img"), SHOWN)
    page.evaluate("scrollTo(0, 0)")
    assert page.evaluate(_CONTRASTS) == []
    screenshot(page, f"search-{scheme}")
    page.get_by_role("button", name=f"Why: {PATHS[5]}").click()
    assert page.evaluate(_CONTRASTS) == []
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Operators").click()
    assert page.evaluate(_CONTRASTS) == []
    sign_in(page)
    expect(job_panel(page)).to_contain_text("30 of 100 pictures")
    page.get_by_text("The whole card").first.click()
    assert page.evaluate(_CONTRASTS) == []
    screenshot(page, f"operators-{scheme}")


def test_no_motion_where_none_is_wanted(visits: Visits, backend: Backend) -> None:
    backend.begin({"new_index_database_version": "3.0"})
    page = sign_in(visits.open("/#operators", reduced_motion="reduce"))
    expect(page.get_by_role("progressbar")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0
