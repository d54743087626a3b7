"""The page's third tab, used by a browser as people use it: collections that are changed while they are searched."""

import hashlib
import json
import re
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import FilePayload, Locator, Page, expect

from tests.gateway.page.fake_backend import ADMIN_KEY, PATHS, SEARCH_KEY, file_of, photograph
from tests.gateway.page.fake_collections import Collection, CollectionsBackend, Picture, garment
from tests.gateway.page.test_page import (  # noqa: F401 (fixtures, and what says when to skip)
    _CONTRASTS,
    Visits,
    base_url,
    browser,
    expect_loaded,
    no_sideways_scroll,
    pytestmark,
    screenshot,
    upload,
    visits,
)

PAGE = 60


@pytest.fixture
def backend() -> CollectionsBackend:
    return CollectionsBackend()


def open_with_key(visits: Visits, address: str, **options: Any) -> Page:
    """A visitor who has given the admin key in this tab already."""
    page = visits.open("/", **options)
    page.evaluate("key => sessionStorage.setItem('hashlake admin key', key)", ADMIN_KEY)
    page.goto(visits.base_url + address)
    return page


@pytest.fixture
def garments(visits: Visits) -> Page:
    page = open_with_key(visits, "/#collection=garments")
    expect(cards(page)).to_have_count(PAGE)
    return page


def cards(page: Page) -> Locator:
    return page.locator("#collections-panel .result:visible")


def card(page: Page, url: str) -> Locator:
    return page.locator(f'#collections-panel .result:visible[data-url="{url}"]')


def expect_cards(page: Page, urls: list[str]) -> None:
    expect(cards(page).locator(".path")).to_have_text(urls)


def link_to(page: Page, name: str) -> Locator:
    return page.locator(".collection-link").filter(has=page.locator("strong", has_text=re.compile(f"^{name}$")))


def activities(page: Page) -> Locator:
    return page.locator("#activities > li")


def drop(page: Page, files: list[tuple[str, str, bytes]], at: str = "#collection") -> None:
    """(name, type, content) each, dragged over the page and dropped there."""
    transfer = page.evaluate_handle(
        """files => {
            const transfer = new DataTransfer();
            for (const [name, type, bytes] of files) {
                transfer.items.add(new File([new Uint8Array(bytes)], name, {type}));
            }
            return transfer;
        }""",
        [[name, kind, list(content)] for name, kind, content in files],
    )
    page.dispatch_event(at, "dragover", {"dataTransfer": transfer})
    expect(page.locator("#collection")).to_have_class(re.compile("dropping"))
    page.dispatch_event(at, "drop", {"dataTransfer": transfer})
    expect(page.locator("#collection")).not_to_have_class(re.compile("dropping"))


def upload_name(file: bytes) -> str:
    return "upload:" + hashlib.blake2b(file, digest_size=16).hexdigest()


def add_addresses(page: Page, *urls: str, metadata: str = "") -> None:
    if not page.locator("#add-form").is_visible():
        page.get_by_text("Add pictures", exact=True).click()
    page.get_by_label("Or their addresses, one a line").fill("\n".join(urls))
    page.get_by_label("Metadata for each").fill(metadata)
    page.locator("#add-submit").click()


# Which there are


def test_the_collections_and_their_figures(visits: Visits, backend: CollectionsBackend) -> None:
    page = visits.open()
    page.get_by_role("tab", name="Collections").click()
    expect(page.locator(".collection-link strong")).to_have_text(["default", "garments"])
    expect(link_to(page, "garments")).to_contain_text("130 pictures")
    expect(link_to(page, "garments")).to_contain_text("relahash-small-64bits")
    expect(link_to(page, "garments")).to_contain_text("Journal 10.2 kB, 12 changes to fold")
    expect(link_to(page, "default")).to_have_attribute("aria-current", "page")
    expect(page.locator("#collection-name")).to_have_text("default")
    expect_cards(page, sorted(PATHS))
    expect(page.get_by_role("button", name="Delete", exact=True)).to_be_hidden()  # this one stays
    expect(page.get_by_role("button", name="Fold the journal")).to_be_disabled()

    link_to(page, "garments").click()
    expect(page.locator("#collection-name")).to_have_text("garments")
    assert page.url.endswith("/#collection=garments")
    facts = page.locator("#collection-facts > div")
    for place, text in enumerate(
        (
            "Pictures130",
            "Modelrelahash-small-64bits64 bits, 256 of detail0a1b2c3d4e5f",
            "Journal12 changes10.2 kB",
            "Version0",
            "Size22.2 kBcreated 20 Nov 2026, 09:30",
        )
    ):
        expect(facts.nth(place)).to_have_text(text)
    page.reload()
    expect(page.locator("#collection-name")).to_have_text("garments")
    expect(page.get_by_role("tab", name="Collections")).to_have_attribute("aria-selected", "true")
    page.go_back()
    expect(page.locator("#collection-name")).to_have_text("default")
    page.get_by_role("tab", name="Search").click()
    page.go_back()
    expect(page.locator("#collection-name")).to_be_visible()


def test_an_address_of_no_collection(visits: Visits) -> None:
    page = visits.open("/#collection=hats")
    expect(page.locator("#no-such-collection")).to_have_text("There is no collection hats.")
    expect(page.locator("#collection")).to_be_hidden()
    link_to(page, "garments").click()
    expect(page.locator("#no-such-collection")).to_be_hidden()
    expect(cards(page)).to_have_count(PAGE)


def test_create(visits: Visits, backend: CollectionsBackend) -> None:
    visits.expected |= {401, 403, 409}
    page = visits.open("/#collections")
    page.get_by_label("New collection").fill("garments")
    page.get_by_role("button", name="Create").click()
    dialog = page.get_by_role("dialog", name="This needs an admin key")
    for key, words in (
        ("wrong", "This key is not known."),
        (SEARCH_KEY, "This key may search only. This route needs an admin key."),
    ):
        dialog.get_by_label("Key").fill(key)
        dialog.get_by_label("Key").press("Enter")
        expect(dialog.locator("#key-problem")).to_have_text(words)
    dialog.get_by_label("Key").fill(ADMIN_KEY)
    dialog.get_by_role("button", name="Use this key").click()
    expect(page.locator("#create-problem")).to_have_text("Collection garments exists already.")

    page.get_by_label("New collection").fill("hats")
    page.get_by_label("New collection").press("Enter")
    expect(page.locator("#collection-name")).to_have_text("hats")
    expect(page.locator("#collection-name")).to_be_focused()
    expect(page.locator("#browse-count")).to_have_text("No pictures yet")
    expect(page.locator("#add-form")).to_be_visible()  # there is nothing else to do with it
    expect(page.get_by_label("New collection")).to_have_value("")
    expect(page.locator("#create-problem")).to_be_hidden()
    assert list(backend.collections) == ["default", "garments", "hats"]
    assert page.url.endswith("/#collection=hats")

    page.get_by_role("button", name="Forget it").click()
    assert page.evaluate("sessionStorage.length") == 0


def test_nothing_is_changed_without_a_key(visits: Visits, backend: CollectionsBackend) -> None:
    page = visits.open("/#collection=garments")
    page.get_by_role("button", name=f"Remove: {garment(3)}").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(activities(page)).to_contain_text(f"{garment(3)} is still there.")
    expect(activities(page)).to_contain_text("This needs an admin key.")
    drop(page, [(f"{number}.png", "image/png", file_of(photograph(number))) for number in range(6)])
    page.get_by_role("button", name="Add 6 pictures").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    expect(activities(page)).to_contain_text("No picture added, 6 failed.")
    expect(page.get_by_role("dialog")).to_be_hidden()  # asked once for all
    assert (backend.added, backend.removed) == ([], [])


def test_delete_names_the_count_first(garments: Page, backend: CollectionsBackend) -> None:
    delete = garments.get_by_role("button", name="Delete", exact=True)
    dialog = garments.get_by_role("alertdialog", name="Delete collection garments?")
    delete.click()
    expect(dialog).to_contain_text("Its 130 pictures are removed from it")
    dialog.get_by_role("button", name="Keep it").click()
    expect(dialog).to_be_hidden()
    expect(delete).to_be_focused()
    delete.click()
    dialog.get_by_role("button", name="Delete").click()
    expect(garments.locator("#collection-name")).to_have_text("default")
    expect(garments.locator(".collection-link")).to_have_count(1)
    expect(activities(garments)).to_contain_text("Collection garments is deleted.")
    assert list(backend.collections) == ["default"]


def test_fold(visits: Visits, garments: Page, backend: CollectionsBackend) -> None:
    visits.expected.add(409)
    fold = garments.get_by_role("button", name="Fold the journal")
    backend.folding = True
    fold.click()
    expect(activities(garments)).to_contain_text("Another fold is at work.")
    backend.folding = False
    fold.click()
    expect(activities(garments)).to_have_text(re.compile(r"12 changes of garments folded into version 0-f1\."))
    expect(garments.locator("#collection-facts")).to_contain_text("Version0-f12 kept")
    expect(link_to(garments, "garments")).to_contain_text("nothing to fold")
    expect(fold).to_be_disabled()
    expect(cards(garments)).to_have_count(PAGE)


# Browsing


def test_pictures_come_page_by_page(garments: Page, backend: CollectionsBackend) -> None:
    expect_cards(garments, [garment(row) for row in range(60)])
    expect(garments.locator("#browse-count")).to_have_text("130 pictures, the first 60 shown")
    expect(card(garments, garment(2)).locator(".in-one-line")).to_have_text(
        'season: autumn · price: 12 · size: {"chest":82}'
    )
    expect_loaded(cards(garments).locator("img"), PAGE)  # scrolls to the last one, and the next page comes
    expect(garments.locator("#browse-count")).to_have_text("130 pictures, the first 120 shown")
    garments.get_by_role("button", name="More pictures").scroll_into_view_if_needed()
    expect_cards(garments, [garment(row) for row in range(130)])
    expect(garments.locator("#browse-count")).to_have_text("130 pictures")
    expect(garments.get_by_role("button", name="More pictures")).to_be_hidden()


def test_a_page_that_does_not_come_can_be_asked_for_again(visits: Visits, garments: Page) -> None:
    visits.expected.add(503)
    failing = [True]

    def fail(route: Any) -> None:
        body = {"code": 503, "type": "Busy", "message": "the gateway is starting"}
        route.fulfill(status=503, json=body) if failing[0] else route.fallback()

    garments.route("**/images?*", fail)
    garments.get_by_role("button", name="More pictures").scroll_into_view_if_needed()
    expect(garments.locator("#browse-problem")).to_have_text("The gateway is starting.")
    expect(cards(garments)).to_have_count(PAGE)
    failing[0] = False
    garments.get_by_role("button", name="Try again").click()
    expect(garments.locator("#browse-problem")).to_be_hidden()
    expect(cards(garments).nth(119)).to_be_attached()


def test_all_that_is_known_of_a_picture(garments: Page) -> None:
    details = garments.get_by_role("button", name=garment(7), exact=True)
    details.click()
    dialog = garments.get_by_role("dialog", name="Picture")
    expect(dialog.get_by_role("link")).to_have_attribute("href", garment(7))
    expect(dialog.get_by_role("link")).to_have_attribute("rel", "noopener noreferrer")
    assert json.loads(dialog.locator("#details-metadata").inner_text()) == {
        "season": "winter",
        "price": 17,
        "size": {"chest": 87},
    }
    expect(dialog.locator("#details-code")).to_have_text(re.compile("^[0-9a-f]{16}$"))
    expect_loaded(dialog.locator("img"), 1)
    garments.keyboard.press("Escape")
    expect(details).to_be_focused()


def test_filters_to_choose_from(garments: Page) -> None:
    garments.locator("#browse-chips").get_by_label("Add a filter").select_option("season: summer")
    expect(garments.locator("#browse-count")).to_have_text("33 pictures match")
    assert "&filter=%7B%22season%22%3A%22summer%22%7D" in garments.url
    expect(garments.get_by_label("Filter by metadata")).to_have_value('{"season":"summer"}')
    garments.get_by_role("button", name="Remove season: summer").click()
    expect(garments.locator("#browse-count")).to_have_text("130 pictures, the first 60 shown")


def test_filter(visits: Visits, garments: Page) -> None:
    visits.expected.add(422)
    field, problem = garments.get_by_label("Filter by metadata"), garments.locator("#filter-problem")
    field.fill('{"price": {"$lt": 20}, "season": {"$in": ["winter", "spring"]}}')
    field.press("Enter")
    expect_cards(garments, [garment(row) for row in (0, 3, 4, 7, 8)])
    expect(garments.locator("#browse-count")).to_have_text("5 pictures match")
    assert "&filter=" in garments.url
    garments.reload()
    expect_cards(garments, [garment(row) for row in (0, 3, 4, 7, 8)])
    expect(field).to_have_value('{"price": {"$lt": 20}, "season": {"$in": ["winter", "spring"]}}')

    field.fill('{"price": {"$near": 20}}')
    garments.get_by_role("button", name="Filter", exact=True).click()
    expect(problem).to_contain_text("$near")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(cards(garments)).to_have_count(0)
    field.fill('{"season": ')
    field.press("Enter")
    expect(problem).to_contain_text("Expecting value")

    field.fill('{"size.chest": 99}')
    field.press("Enter")
    expect_cards(garments, [garment(19)])
    expect(problem).to_be_hidden()
    expect(field).to_have_attribute("aria-invalid", "false")
    expect(garments.locator("#browse-count")).to_have_text("1 picture matches")
    field.fill('{"season": "monsoon"}')
    field.press("Enter")
    expect(garments.locator("#browse-count")).to_have_text("No picture matches")
    garments.go_back()
    expect_cards(garments, [garment(19)])
    garments.get_by_role("button", name="Clear").click()
    expect(cards(garments)).to_have_count(PAGE)
    expect(field).to_be_focused()


def test_the_same_filter_again_looks_anew(
    visits: Visits,
    garments: Page,
    backend: CollectionsBackend,
) -> None:
    visits.expected.add(404)  # a thumbnail may come too late
    field = garments.get_by_label("Filter by metadata")
    field.fill('{"price": {"$gte": 138}}')
    field.press("Enter")
    expect_cards(garments, [garment(128), garment(129)])
    del backend.collections["garments"].pictures[garment(128)]  # by somebody else
    field.press("Enter")
    expect_cards(garments, [garment(129)])


def test_more_like_this(garments: Page) -> None:
    garments.get_by_role("button", name=f"More like this: {garment(2)}").click()
    expect(cards(garments)).to_have_count(24)
    expect_cards(garments, [garment(row) for row in (2, 1, 3, 0, *range(4, 24))])
    expect(cards(garments).locator(".distance").nth(0)).to_have_text("100%")
    expect(cards(garments).locator(".distance").nth(1)).to_have_text("96.9%")  # 1 bit of 64: 100 · (1 − 2/64)
    expect(garments.locator("#similar-to")).to_have_text(f"like {garment(2)}")
    expect(garments.locator("#similar-count")).to_be_focused()
    expect_loaded(garments.locator("#similar-picture img"), 1)
    garments.get_by_role("button", name=f"More like this: {garment(20)}").click()
    expect(cards(garments).locator(".path").first).to_have_text(garment(20))
    garments.go_back()
    expect(cards(garments).locator(".path").first).to_have_text(garment(2))
    garments.reload()
    expect(cards(garments).locator(".path").first).to_have_text(garment(2))
    garments.get_by_role("link", name="All pictures").click()
    expect(garments.locator("#browse-count")).to_have_text("130 pictures, the first 60 shown")


def test_nothing_but_the_picture_itself_is_like_it(garments: Page, backend: CollectionsBackend) -> None:
    backend.nothing_like_it = True
    garments.get_by_role("button", name=f"More like this: {garment(2)}").click()
    expect(garments.locator("#similar-nothing")).to_contain_text("Nothing like it")
    backend.nothing_like_it = False
    garments.get_by_role("button", name=f"More like this: {garment(20)}").click()
    expect(cards(garments).locator(".path").first).to_have_text(garment(20))
    expect(garments.locator("#similar-nothing")).to_be_hidden()


def test_more_like_this_among_those_that_match(visits: Visits) -> None:
    page = visits.open("/#collection=garments&filter=" + '{"season": "winter"}')
    page.get_by_role("button", name=f"More like this: {garment(7)}").click()
    expect(page.locator("#similar-to")).to_have_text(f'like {garment(7)} that match {{"season": "winter"}}')
    expect(cards(page).locator(".path").nth(2)).to_have_text(garment(11))
    assert all(int(url[-8:-4]) % 4 == 3 for url in cards(page).locator(".path").all_inner_texts())


def test_like_what_is_no_longer_there(visits: Visits) -> None:
    visits.expected.add(422)
    page = visits.open("/#collection=garments&like=https://shop.example/none.jpg")
    expect(page.locator("#similar-problem")).to_have_text("https://shop.example/none.jpg can't be reached.")


# Adding


def test_an_address_is_added_with_its_metadata(garments: Page, backend: CollectionsBackend) -> None:
    url = "https://a.example/row-17.jpg"
    add_addresses(garments, url, metadata='{"season": "winter", "tags": ["new"]}')
    expect(cards(garments).locator(".path").first).to_have_text(url)  # at once
    expect(cards(garments).first).to_contain_text('season: winter · tags: ["new"]')
    expect(garments.locator("#browse-count")).to_have_text("131 pictures, the first 60 shown")
    expect(link_to(garments, "garments")).to_contain_text("131 pictures")
    expect(activities(garments)).to_contain_text("1 picture added.")
    expect(garments.locator("#activity-status")).to_have_text("1 picture added.")
    expect(garments.get_by_label("Or their addresses")).to_have_value("")
    assert backend.added == [("garments", url)]
    assert backend.collections["garments"].pictures[url].metadata == {"season": "winter", "tags": ["new"]}
    activities(garments).get_by_role("button", name=f"Details: {url}").click()
    expect(garments.get_by_role("dialog")).to_contain_text(url)


def test_several_addresses_and_why_some_failed(
    visits: Visits,
    garments: Page,
    backend: CollectionsBackend,
) -> None:
    visits.expected.add(422)
    good = [f"https://a.example/row-{row}.jpg" for row in range(5)]
    bad = [f"https://b.example/gone-{number}.jpg" for number in range(2)]
    backend.adding_waits = True
    add_addresses(garments, *good, *bad, good[0])
    card = activities(garments)
    expect(card).to_contain_text("Adding pictures: 0 of 7")  # an address that stands there twice counts once
    expect(card.get_by_role("progressbar")).to_have_js_property("max", 7)
    backend.adding_waits = False
    expect(card).to_contain_text("5 pictures added, 2 failed.")
    failures = card.get_by_role("listitem")
    expect(failures).to_have_text([f"{url} {url} answers 404 Not Found." for url in bad])
    expect(card.locator("img")).to_have_count(5)
    expect(cards(garments).locator(".path").nth(4)).to_have_text(good[4])
    assert sorted(url for _, url in backend.added) == good

    card.get_by_role("button", name="Try again").click()
    expect(activities(garments)).to_contain_text("No picture added, 2 failed.")
    activities(garments).get_by_role("button", name="Close").click()
    expect(activities(garments)).to_have_count(0)


def test_adding_can_be_cancelled(garments: Page, backend: CollectionsBackend) -> None:
    backend.adding_waits = True
    add_addresses(garments, *(f"https://a.example/row-{row}.jpg" for row in range(9)))
    activities(garments).get_by_role("button", name="Cancel").click()
    backend.adding_waits = False
    expect(activities(garments)).to_contain_text("4 pictures added, 5 cancelled.")  # four were under way
    assert len(backend.added) == 4


def test_metadata_that_is_no_json_and_no_object(
    visits: Visits,
    garments: Page,
    backend: CollectionsBackend,
) -> None:
    visits.expected.add(422)
    add_addresses(garments, "https://a.example/row-1.jpg", metadata="{season: winter}")
    expect(garments.locator("#add-metadata-problem")).to_contain_text("This is no JSON:")
    expect(garments.get_by_label("Metadata for each")).to_be_focused()
    expect(garments.get_by_label("Or their addresses")).to_have_value("https://a.example/row-1.jpg")
    assert backend.added == []
    add_addresses(garments, "https://a.example/row-1.jpg", metadata='"a text"')
    expect(garments.locator("#add-metadata-problem")).to_contain_text("Metadata are fields with values")
    assert backend.added == []


def test_metadata_are_changed(garments: Page, backend: CollectionsBackend) -> None:
    garments.get_by_role("button", name=garment(2), exact=True).click()
    garments.get_by_role("dialog").get_by_role("button", name="Edit metadata").click()
    dialog = garments.get_by_role("dialog", name="Metadata")
    field = dialog.get_by_role("textbox")
    assert json.loads(field.input_value()) == {"season": "autumn", "price": 12, "size": {"chest": 82}}
    field.fill("[1]")
    dialog.get_by_role("button", name="Save").click()
    expect(dialog.locator("#metadata-problem")).to_contain_text("Metadata are fields with values")
    field.fill('{"season": "all"}')
    dialog.get_by_role("button", name="Save").click()
    expect(card(garments, garment(2))).to_contain_text("season: all")
    assert backend.collections["garments"].pictures[garment(2)].metadata == {"season": "all"}


def test_dropped_files_are_added_and_failures_named(
    visits: Visits,
    backend: CollectionsBackend,
) -> None:
    visits.expected.add(422)
    backend.collections["hats"] = Collection()
    page = open_with_key(visits, "/#collection=hats")
    expect(page.locator("#browse-count")).to_have_text("No pictures yet")
    files = [file_of(photograph(row)) for row in (1, 2)]
    torn = file_of(photograph(3))[:20]
    drop(
        page,
        [
            ("one.png", "image/png", files[0]),
            ("one.png", "image/png", files[1]),
            ("torn.png", "image/png", torn),
            ("broken.jpg", "image/jpeg", b"not at all"),
            ("film.mp4", "video/mp4", b"moving"),
        ],
    )
    names = page.get_by_label("Name", exact=True)
    assert [name.input_value() for name in names.all()] == [
        "one.png", "one.png (2)", "torn.png", "broken.jpg", "film.mp4"
    ]  # fmt: skip
    drop(page, [("unwanted.png", "image/png", files[0])])
    page.get_by_role("button", name="Leave out unwanted.png").click()
    names.nth(1).fill("two.png")
    page.get_by_label("Metadata for each").fill('{"season": "summer"}')
    assert backend.added == []
    screenshot(page, "collections-staged")
    page.get_by_role("button", name="Add 5 pictures").click()
    expect(page.get_by_label("Metadata for each")).to_have_value("")  # it is these pictures' alone
    expect(names).to_have_count(0)
    expect(activities(page)).to_contain_text("2 pictures added, 3 failed.")
    reasons = activities(page).locator(".failure")
    expect(reasons).to_have_count(3)
    for name, reason in (
        ("torn.png", "The file is no picture that can be read."),
        ("broken.jpg", "The file is no picture that can be read."),
        ("film.mp4", "It is no picture, but video/mp4."),
    ):
        expect(reasons.filter(has_text=name)).to_have_text(f"{name} {reason}")
    expect(activities(page).locator("img")).to_have_count(2)
    expect_cards(page, ["upload:one.png", "upload:two.png"])
    expect(cards(page).first).to_contain_text("season: summer")
    expect(link_to(page, "hats")).to_contain_text("2 pictures")
    screenshot(page, "collections-added")


def test_pasted_and_chosen_files_are_added(visits: Visits, backend: CollectionsBackend) -> None:
    backend.collections["hats"] = Collection()
    page = open_with_key(visits, "/#collection=hats", permissions=["clipboard-read", "clipboard-write"])
    files = [file_of(photograph(row)) for row in (1, 2)]
    page.set_input_files(
        "#add-files",
        [FilePayload(name=f"{place}.png", mimeType="image/png", buffer=file) for place, file in enumerate(files)],
    )
    page.get_by_role("button", name="Add 2 pictures").click()
    expect_cards(page, ["upload:0.png", "upload:1.png"])
    page.bring_to_front()
    page.evaluate(
        """async bytes => navigator.clipboard.write(
            [new ClipboardItem({"image/png": new Blob([new Uint8Array(bytes)], {type: "image/png"})})])""",
        list(file_of(photograph(5))),
    )
    page.keyboard.press("Control+V")
    page.get_by_role("button", name="Add 1 picture").click()
    expect(cards(page)).to_have_count(3)
    expect(page.locator("#welcome")).to_be_hidden()  # not for the other tab
    assert backend.searches == []


# Removing


def test_a_removed_address_can_be_brought_back(garments: Page, backend: CollectionsBackend) -> None:
    garments.get_by_role("button", name=f"Remove: {garment(5)}").click()
    expect(card(garments, garment(5))).to_have_count(0)
    expect(activities(garments)).to_contain_text(f"Removed {garment(5)}.")
    expect(garments.get_by_role("button", name=garment(6), exact=True)).to_be_focused()
    expect(garments.locator("#browse-count")).to_have_text("129 pictures, the first 59 shown")
    expect(link_to(garments, "garments")).to_contain_text("129 pictures")
    assert garment(5) not in backend.collections["garments"].pictures

    activities(garments).get_by_role("button", name="Undo").click()
    expect(activities(garments)).to_contain_text(f"{garment(5)} is there again.")
    expect_cards(garments, [garment(row) for row in range(60)])  # where it was
    expect(garments.locator("#browse-count")).to_have_text("130 pictures, the first 60 shown")
    assert backend.collections["garments"].pictures[garment(5)].metadata["price"] == 15


def test_bringing_back_may_fail(visits: Visits, backend: CollectionsBackend) -> None:
    visits.expected.add(422)
    url = "https://b.example/gone.jpg"
    backend.collections["hats"] = Collection({url: Picture(3)})
    page = open_with_key(visits, "/#collection=hats")
    page.get_by_role("button", name=f"Remove: {url}").click()
    activities(page).get_by_role("button", name="Undo").click()
    expect(activities(page)).to_contain_text(f"{url} can't be added again.")
    expect(activities(page)).to_contain_text("answers 404 Not Found.")
    expect(page.locator("#browse-count")).to_have_text("No pictures yet")


def test_what_cannot_be_fetched_again_is_asked_for(visits: Visits, backend: CollectionsBackend) -> None:
    url = upload_name(b"mine")
    backend.collections["hats"] = Collection({url: Picture(3)})
    page = open_with_key(visits, "/#collection=hats")
    button = page.get_by_role("button", name=f"Remove: {url}")
    button.click()
    dialog = page.get_by_role("alertdialog", name="Remove this picture?")
    expect(dialog).to_contain_text("only somebody who has the file can add it again")
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    assert backend.removed == []
    button.click()
    dialog.get_by_role("button", name="Remove").click()
    expect(cards(page)).to_have_count(0)
    expect(activities(page)).to_contain_text("1 picture removed.")
    expect(activities(page).get_by_role("button", name="Undo")).to_have_count(0)
    assert backend.removed == [("hats", url)]


def test_several_are_selected_and_removed(visits: Visits, garments: Page, backend: CollectionsBackend) -> None:
    visits.expected.add(404)
    bar = garments.get_by_role("group", name="Picked pictures")
    expect(bar).to_be_hidden()
    for row in (1, 2, 4):
        garments.get_by_role("checkbox", name=f"Select: {garment(row)}").check()
    expect(bar).to_contain_text("3 pictures selected")
    bar.get_by_role("button", name="Select all 60 shown").click()
    expect(bar).to_contain_text("60 pictures selected")
    bar.get_by_role("button", name="Select none").click()
    expect(bar).to_be_hidden()
    expect(garments.locator("#collection-name")).to_be_focused()

    for row in (1, 2, 4):
        garments.get_by_role("checkbox", name=f"Select: {garment(row)}").check()
    del backend.collections["garments"].pictures[garment(2)]  # meanwhile, by somebody else
    bar.get_by_role("button", name="Remove").click()
    dialog = garments.get_by_role("alertdialog", name="Remove 3 pictures?")
    dialog.get_by_role("button", name="Keep them").click()
    assert backend.removed == []
    bar.get_by_role("button", name="Remove").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(activities(garments)).to_contain_text("2 pictures removed, 1 still there.")
    expect(activities(garments).locator(".failure")).to_have_text(f"{garment(2)} Image not found.")
    expect(card(garments, garment(1))).to_have_count(0)
    expect(card(garments, garment(4))).to_have_count(0)
    expect(card(garments, garment(2))).to_have_count(1)
    expect(bar).to_contain_text("1 picture selected")


# Near-duplicates


@pytest.fixture
def review(garments: Page) -> Page:
    garments.get_by_role("link", name="Near-duplicates").click()
    garments.get_by_label("Bits that may differ").fill("2")
    return garments


def groups(page: Page) -> Locator:
    return page.locator("#groups > li")


def find(page: Page) -> None:
    page.get_by_role("button", name="Find near-duplicates").click()


def test_near_duplicates_are_shown_in_groups(review: Page) -> None:
    find(review)
    expect(review.locator("#duplicates-found")).to_have_text("43 groups of pictures found.")
    expect(groups(review)).to_have_count(20)
    first = groups(review).first
    expect(first.get_by_role("heading")).to_have_text("3 pictures")
    expect(first.locator(".path")).to_have_text([garment(0), garment(1), garment(2)])
    expect(first.locator(".distance")).to_have_text(["kept", "same file", "2 bits"])
    expect_loaded(first.locator("img"), 3)
    first.locator("button.thumbnail").nth(2).click()
    review.get_by_role("button", name="Compare by a slider").click()
    expect(review.locator("#details-picture img")).to_have_count(2)  # the copy, and over it the one that is kept
    expect(review.get_by_role("slider", name="How much of the other picture is shown")).to_be_focused()
    review.keyboard.press("Escape")
    first.locator("button.thumbnail").nth(0).click()
    expect(review.get_by_role("button", name="Compare by a slider")).to_be_hidden()  # with itself
    review.keyboard.press("Escape")
    assert review.url.endswith("#collection=garments&distance=2")
    review.get_by_role("button", name="Show 20 more groups").press("Enter")
    expect(groups(review)).to_have_count(40)
    review.get_by_role("button", name="Show 3 more groups").press("Enter")
    expect(groups(review)).to_have_count(43)
    expect(review.locator("#more-groups")).to_be_hidden()
    review.reload()  # the distance is kept; the search is begun by hand
    expect(review.get_by_label("Bits that may differ")).to_have_value("2")
    expect(groups(review)).to_have_count(0)


def test_only_identical_files_are_removed_together(review: Page, backend: CollectionsBackend) -> None:
    find(review)
    expect(groups(review)).to_have_count(20)
    expect(groups(review).first.get_by_role("checkbox")).to_have_count(1)
    review.get_by_role("button", name="Mark the identical files").click()
    bar = review.get_by_role("group", name="Picked pictures")
    expect(bar).to_contain_text("20 pictures marked")
    review.get_by_role("checkbox", name=f"Remove: {garment(1)}").uncheck()
    expect(bar).to_contain_text("19 pictures marked")
    screenshot(review, "collections-duplicates")
    bar.get_by_role("button", name="Remove 19").click()
    review.get_by_role("alertdialog", name="Remove 19 pictures?").get_by_role("button", name="Remove").click()
    expect(activities(review)).to_contain_text("19 pictures removed.")
    expect(bar).to_be_hidden()
    expect(groups(review)).to_have_count(20)
    expect(groups(review).nth(0).locator(".path")).to_have_text([garment(0), garment(1), garment(2)])
    expect(groups(review).nth(1).locator(".path")).to_have_text([garment(3), garment(5)])
    expect(groups(review).nth(1).get_by_role("heading")).to_have_text("2 pictures")
    assert len(backend.collections["garments"].pictures) == 111
    activities(review).get_by_role("button", name="Undo").click()
    expect(activities(review)).to_contain_text("19 pictures added again.")
    expect(groups(review).nth(1).locator(".path")).to_have_text([garment(3), garment(4), garment(5)])
    assert len(backend.collections["garments"].pictures) == 130
    assert backend.collections["garments"].pictures[garment(4)].metadata["price"] == 14


def test_other_copies_are_removed_one_by_one(review: Page, backend: CollectionsBackend) -> None:
    find(review)
    review.get_by_role("button", name=f"Remove: {garment(5)}", exact=True).click()
    expect(activities(review)).to_contain_text(f"Removed {garment(5)}.")
    expect(groups(review).nth(1).locator(".path")).to_have_text([garment(3), garment(4)])
    review.get_by_role("button", name=f"Remove: {garment(4)}", exact=True).click()
    # The picture that is left has no copies, and the next group comes into view.
    expect(groups(review).nth(1).locator(".path").first).to_have_text(garment(6))
    expect(groups(review)).to_have_count(20)
    assert backend.removed == [("garments", garment(5)), ("garments", garment(4))]
    activities(review).get_by_role("button", name="Undo").click()
    expect(activities(review)).to_contain_text(f"{garment(4)} is there again.")
    expect(groups(review).nth(1).locator(".path")).to_have_text([garment(3), garment(4)])
    review.get_by_role("link", name="All pictures").click()
    expect(cards(review).locator(".path").nth(5)).to_have_text(garment(6))


def test_marks_can_be_taken_back(review: Page, backend: CollectionsBackend) -> None:
    find(review)
    expect(groups(review)).to_have_count(20)
    review.get_by_role("button", name="Mark the identical files").click()
    review.get_by_role("button", name="Keep all").click()
    expect(review.get_by_role("group", name="Picked pictures")).to_be_hidden()
    expect(review.locator("#groups input:checked")).to_have_count(0)
    assert backend.removed == []


def test_groups_stream_in_and_can_be_cancelled(review: Page, backend: CollectionsBackend) -> None:
    backend.groups_before_pause = 7
    find(review)
    expect(groups(review)).to_have_count(7)  # while the report goes on
    expect(review.locator("#duplicates-found")).to_have_text("7 groups of pictures found. Looking…")
    expect(review.get_by_role("progressbar", name="Looking for near-duplicates")).to_be_visible()
    assert backend.reports == 1
    review.get_by_role("button", name="Cancel").click()
    expect(review.locator("#duplicates-found")).to_have_text(
        "7 groups of pictures found. Cancelled: there may be more."
    )
    expect(review.get_by_role("progressbar")).to_be_hidden()
    expect(groups(review)).to_have_count(7)
    backend.groups_before_pause = None
    find(review)  # anew
    expect(review.locator("#duplicates-found")).to_have_text("43 groups of pictures found.")
    assert backend.reports == 0


def test_a_report_that_breaks_off_keeps_what_came(visits: Visits, review: Page) -> None:
    visits.expected.add(409)
    report = json.dumps({"images": [{"url": garment(0), "distance": 0}, {"url": garment(1), "distance": 1}]})
    review.route("**/duplicates?*", lambda route: route.fulfill(body=report + '\n{"images": [{"ur'))
    find(review)
    expect(review.locator("#duplicates-problem")).to_have_text(
        "The server's answer broke off. There may be more groups."
    )
    expect(groups(review)).to_have_count(1)
    review.unroute("**/duplicates?*")
    message = {"code": 409, "type": "Refused", "message": "too many reports are under way"}
    review.route("**/duplicates?*", lambda route: route.fulfill(status=409, json=message))
    find(review)
    expect(review.locator("#duplicates-problem")).to_have_text(
        "Too many reports are under way. There may be more groups."
    )
    expect(groups(review)).to_have_count(0)


def test_no_near_duplicates(visits: Visits, backend: CollectionsBackend) -> None:
    backend.collections["hats"] = Collection()
    page = visits.open("/#collection=hats&distance=0")
    find(page)
    expect(page.locator("#duplicates-found")).to_have_text("None: no two pictures are so near to each other.")


# For everyone


def test_a_server_that_wants_a_key_to_read(visits: Visits, backend: CollectionsBackend) -> None:
    visits.expected.add(401)
    backend.needs_key = True
    page = visits.open("/#collection=garments")
    dialog = page.get_by_role("dialog", name="This server asks for a key")
    dialog.get_by_label("Key").fill(SEARCH_KEY)
    dialog.get_by_role("button", name="Use this key").click()
    expect(cards(page)).to_have_count(PAGE)
    image = card(page, garment(0)).locator("img")
    expect_loaded(image, 1)
    expect(image).to_have_attribute("src", re.compile(f"^blob:{visits.base_url}/"))
    page.get_by_role("button", name=f"More like this: {garment(2)}").click()
    expect(cards(page)).to_have_count(24)
    expect_loaded(page.locator("#similar-picture img"), 1)
    page.get_by_role("link", name="Near-duplicates").click()
    find(page)
    expect_loaded(groups(page).first.locator("img"), 5)
    assert backend.pictures_without_key == 0


def test_by_the_keyboard_alone(garments: Page, backend: CollectionsBackend) -> None:
    def tab_to(target: Locator) -> None:
        for _ in range(60):
            garments.keyboard.press("Tab")
            if target.evaluate("e => e === document.activeElement"):
                assert target.evaluate("e => getComputedStyle(e).outlineStyle !== 'none'")  # and it can be seen
                return
        pytest.fail(f"the Tab key never leads to {target}")

    garments.get_by_role("tab", name="Search").click()
    garments.keyboard.press("ArrowRight")  # the map
    garments.keyboard.press("ArrowRight")
    expect(garments.get_by_role("tab", name="Collections")).to_be_focused()
    expect(garments.locator("#collection-name")).to_have_text("garments")  # as it was left
    tab_to(link_to(garments, "default"))
    garments.keyboard.press("Enter")
    expect(link_to(garments, "default")).to_be_focused()
    garments.keyboard.press("Tab")
    garments.keyboard.press("Enter")
    expect(garments.locator("#collection-name")).to_have_text("garments")
    expect(cards(garments)).to_have_count(PAGE)
    tab_to(garments.get_by_label("Filter by metadata"))
    garments.keyboard.type('{"price": {"$gte": 136}}')
    garments.keyboard.press("Enter")
    expect(cards(garments)).to_have_count(4)
    tab_to(garments.get_by_role("button", name=garment(126), exact=True))
    garments.keyboard.press("x")
    expect(garments.locator("#pick-count")).to_have_text("1 picture selected")
    garments.keyboard.press("ArrowRight")
    garments.keyboard.press("r")
    expect(garments.get_by_role("button", name=garment(128), exact=True)).to_be_focused()
    tab_to(activities(garments).get_by_role("button", name="Undo"))
    garments.keyboard.press("Enter")
    expect(cards(garments)).to_have_count(4)
    tab_to(garments.locator("#pick-remove"))
    garments.keyboard.press("Enter")
    garments.keyboard.press("Tab")
    garments.keyboard.press("Enter")
    expect(cards(garments)).to_have_count(3)
    assert backend.removed == [("garments", garment(127)), ("garments", garment(126))]


@pytest.mark.parametrize("width", [320, 768, 1920])
def test_nothing_is_wider_than_the_window(
    visits: Visits,
    backend: CollectionsBackend,
    width: int,
) -> None:
    visits.expected.add(422)
    long = "https://b.example/gone/" + "a-name-without-any-place-to-break-it-" * 4
    backend.collections["x" * 64] = Collection({long: Picture(3, {"y" * 200: "z" * 200})}, versions=["w" * 64])
    page = open_with_key(visits, "/#collection=garments", viewport={"width": width, "height": 900})
    tab = page.get_by_role("tab", name="Collections").bounding_box()
    assert tab is not None
    assert tab["x"] + tab["width"] <= page.evaluate("document.documentElement.clientWidth")
    expect_loaded(cards(page).locator("img").nth(5), 1)
    page.evaluate("scrollTo(0, 0)")
    assert no_sideways_scroll(page)
    screenshot(page, f"collections-{width}")
    page.get_by_role("link", name="Near-duplicates").click()
    find(page)
    page.get_by_role("button", name="Mark the identical files").click()
    assert no_sideways_scroll(page)
    screenshot(page, f"duplicates-{width}")
    link_to(page, "x" * 64).click()
    expect_cards(page, [long])
    assert no_sideways_scroll(page)
    add_addresses(page, long)
    expect(activities(page)).to_contain_text("No picture added, 1 failed.")
    assert no_sideways_scroll(page)
    page.get_by_role("button", name=f"More like this: {long}").click()
    expect(page.locator("#similar-count")).to_have_text("1 picture")
    assert no_sideways_scroll(page)
    page.locator(".thumbnail:visible").first.click()
    assert page.get_by_role("dialog").evaluate("e => e.scrollWidth <= e.clientWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read_in_light_and_dark(
    visits: Visits,
    backend: CollectionsBackend,
    scheme: str,
) -> None:
    visits.expected.add(422)
    page = open_with_key(visits, "/#collection=garments", color_scheme=scheme)
    expect_loaded(cards(page).locator("img").nth(9), 1)
    page.evaluate("scrollTo(0, 0)")
    page.get_by_role("checkbox", name=f"Select: {garment(1)}").check()
    expect(page.locator("#browse-gallery")).to_have_css("opacity", "1")
    screenshot(page, f"collections-{scheme}")
    assert page.evaluate(_CONTRASTS) == []
    add_addresses(page, "https://a.example/row-1.jpg", "https://a.example/gone.jpg", metadata="no")
    expect(page.locator("#add-metadata-problem")).to_be_visible()
    assert page.evaluate(_CONTRASTS) == []
    add_addresses(page, "https://a.example/row-1.jpg", "https://a.example/gone.jpg")
    expect(activities(page)).to_contain_text("1 picture added, 1 failed.")
    expect(page.locator("#browse-gallery")).to_have_css("opacity", "1")
    assert page.evaluate(_CONTRASTS) == []
    page.get_by_label("Filter by metadata").fill("{")
    page.get_by_label("Filter by metadata").press("Enter")
    expect(page.locator("#filter-problem")).to_be_visible()
    assert page.evaluate(_CONTRASTS) == []
    page.get_by_role("link", name="Near-duplicates").click()
    find(page)
    page.get_by_role("button", name="Mark the identical files").click()
    assert page.evaluate(_CONTRASTS) == []
    page.locator("#groups .thumbnail").first.click()
    assert page.evaluate(_CONTRASTS) == []


def test_no_motion_where_none_is_wanted(visits: Visits, backend: CollectionsBackend) -> None:
    backend.groups_before_pause = 3
    page = visits.open("/#collection=garments&distance=2", reduced_motion="reduce")
    find(page)
    expect(page.get_by_role("progressbar", name="Looking for near-duplicates")).to_be_visible()
    assert page.evaluate("document.getAnimations().length") == 0
    page.get_by_role("button", name="Cancel").click()


def test_the_default_collection_by_its_paths(visits: Visits, backend: CollectionsBackend) -> None:
    page = open_with_key(visits, "/#collections")
    expect_cards(page, sorted(PATHS))
    assert page.locator(".path img").count() == 0  # one of the paths is markup
    page.get_by_role("button", name=PATHS[6], exact=True).click()
    expect(page.locator("#details-url")).to_have_text(PATHS[6])
    expect(page.locator("#details-url a")).to_have_count(0)
    expect(page.locator("#details-metadata")).to_have_text("none")
    page.keyboard.press("Escape")
    page.get_by_role("button", name=f"Remove: {PATHS[9]}").click()
    expect(cards(page)).to_have_count(39)
    assert backend.removed == [("default", PATHS[9])]
    activities(page).get_by_role("button", name="Undo").click()  # the datalake has it
    expect(cards(page)).to_have_count(40)


# For everyone: axe-core finds nothing


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visits: Visits, backend: CollectionsBackend, scheme: Literal["light", "dark"]) -> None:
    backend.closeness = [0.95] * 5 + [0.3] * 20
    page = open_with_key(visits, "/", color_scheme=scheme)
    axe = Axe()

    def violations() -> list[tuple[str, str]]:
        found = axe.run(page).response["violations"]
        return [(each["id"], node["html"]) for each in found for node in each["nodes"]]

    expect_loaded(page.locator("#start-samples img"), 12)
    assert violations() == []
    upload(page, file_of(photograph(100)))
    expect(page.locator(".less-alike")).to_be_visible()
    page.locator("#take-away-summary").click()
    assert violations() == []
    page.locator("#gallery .thumbnail").nth(3).click()
    expect(page.locator("#details-file")).to_contain_text("pixels")
    assert violations() == []
    page.keyboard.press("Escape")
    page.get_by_role("tab", name="Collections").click()
    link_to(page, "garments").click()
    expect(cards(page)).to_have_count(PAGE)
    page.get_by_role("checkbox", name=f"Select: {garment(0)}").check()
    page.get_by_text("Add pictures", exact=True).click()
    assert violations() == []
    page.get_by_role("tab", name="Operators").click()
    expect(page.locator("#models li").first).to_be_visible()
    assert violations() == []


# Searched on the search page


def test_a_collection_is_searched_by_any_picture(visits: Visits, backend: CollectionsBackend) -> None:
    page = visits.open("/")
    found = page.locator("#gallery .result:visible .path")
    page.get_by_label("In", exact=True).select_option("garments")
    upload(page, file_of(photograph(100)))
    expect(found.first).to_have_text(garment(0))
    page.locator("#search-filter").get_by_label("Add a filter").select_option("season: winter")
    expect(found.first).to_have_text(garment(3))
    assert backend.searches[-1].fields["filter"] == '{"season":"winter"}'
    assert "in=garments&filter=" in page.url
    page.get_by_role("button", name=f"More like this: {garment(7)}").click()
    expect(page.locator("#found-from")).to_have_text(f"like {garment(7)}")
    assert backend.searches[-1].fields["path"] == garment(7)
    page.get_by_role("button", name=f"Why: {garment(11)}").click()
    expect(page.locator("#why-count")).to_contain_text("4 of 64 bits differ")
    page.keyboard.press("Escape")
    page.reload()
    expect(page.get_by_role("button", name="Remove season: winter")).to_be_visible()
    page.get_by_role("button", name="Remove season: winter").click()
    expect(found.nth(1)).to_have_text(garment(6))
    page.get_by_text("Advanced").click()
    page.get_by_label("Filter in JSON").fill('{"price": {"$lt": 15}}')
    page.get_by_label("Filter in JSON").press("Enter")
    expect(found).to_have_count(5)
    page.get_by_label("In", exact=True).select_option("the datalake")  # it has no such path, so the picture is sent
    expect(found.first).to_have_text(PATHS[0])
    assert backend.searches[-1].file


# Many results


def test_of_many_results_those_near_the_window_are_in_the_page(visits: Visits, backend: CollectionsBackend) -> None:
    count = 400
    backend.collections["many"] = Collection({garment(number): Picture(number % 40) for number in range(count)})
    page = visits.open(f"/#code=9f3a5c7e1b2d4f60&top_k={count}&in=many")
    results = page.locator("#gallery .result")
    first = results.first
    expect(first).to_have_attribute("aria-setsize", str(count))
    expect(page.locator("#found-count")).to_have_text(f"{count} pictures")
    assert results.count() < count / 2
    first.get_by_role("checkbox").check()
    first.locator(".thumbnail").focus()
    height = page.evaluate("document.documentElement.scrollHeight")
    page.keyboard.press("End")
    last = page.locator(f'#gallery .result[aria-posinset="{count}"]')
    expect(last.locator(".thumbnail")).to_be_focused()
    expect(last).to_be_in_viewport()
    expect(page.locator('#gallery .result[aria-posinset="1"]')).to_have_count(0)
    assert results.count() < count / 2
    # What is left out has its place: the page is as long as before.
    assert page.evaluate("document.documentElement.scrollHeight") == pytest.approx(height, rel=0.02)
    page.locator("#take-away-summary").evaluate("e => e.click()")
    expect(page.locator("#take-away-what")).to_have_text("1 picture selected")
    last.locator(".thumbnail").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Home")
    expect(page.locator('#gallery .result[aria-posinset="1"] .thumbnail')).to_be_focused()
    expect(page.locator('#gallery .result[aria-posinset="1"]').get_by_role("checkbox")).to_be_checked()
    places = results.evaluate_all("all => all.map((each) => Number(each.ariaPosInSet))")
    assert places == list(range(1, len(places) + 1))
    page.set_viewport_size({"width": 390, "height": 844})  # fewer columns
    expect(page.locator('#gallery .result[aria-posinset="1"]')).to_be_attached()
    assert results.count() < count / 2
