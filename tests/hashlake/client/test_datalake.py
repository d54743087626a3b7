"""The datalake from Python: what is sent, what is shown, and the twin that is awaited."""

import asyncio
import json
from base64 import b64encode

import pytest

from hashlake import AsyncClient, Client, Collection, Refused
from tests.handler.server import REPOSITORY
from tests.hashlake.client.fake_gateway import KEY, WEB, Fake, picture

BOOT = next(iter(WEB))


def test_a_search_sends_a_form_of_plain_words(client: Client, fake: Fake) -> None:
    client.search(text="robe d'été", top_k=5)
    client.search(code="00ff", detail_code="0f", rank="detail", max_distance=3, exact=True)
    client.search(code="00ff", collapse=True, diversity=3, crop="none")
    client.search(image=picture(0), text="red", text_weight=0.3, negative_text="a dog", turned=True)
    assert fake.searched == [
        {"text": "robe d'été", "top_k": "5", "rank": "distance"},
        {
            "code": "00ff", "detail_code": "0f", "rank": "detail", "max_distance": "3", "exact": "true", "top_k": "10",
        },
        {
            "code": "00ff", "rank": "distance", "top_k": "10", "collapse": "true", "diversity": "3", "crop": "none",
        },
        {
            "text": "red", "text_weight": "0.3", "negative_text": "a dog", "turned": "true", "rank": "distance",
            "top_k": "10",
        },
    ]  # fmt: skip


def test_what_was_found(client: Client) -> None:
    results = client.search(path="data/boot.jpg")
    said = (results.version, results.code, results.detail_code, results.nothing_like_it)
    assert said == ("1.2.0", "00" * 8, None, False)
    (result,) = results
    assert (result.path, result.row, result.closeness) == ("data/boot.jpg", 0, 0.93)
    assert (result.parent, result.box, results.cropped_image, results.cropped_box) == (None, None, None, None)


def test_the_main_object_of_a_query(client: Client) -> None:
    results = client.search(image=picture(0), crop="auto")
    assert results.cropped_image == b"JPEG"
    assert results.cropped_box is not None and results.cropped_box.width == 30
    assert (results[0].parent, results[0].box) == ("data/boots.jpg", (1, 2, 30, 40))


def test_a_notebook_shows_pictures(client: Client, shoes: Collection) -> None:
    html = client.search(path="data/boot.jpg")._repr_html_()
    assert f"data:image/webp;base64,{b64encode(b'RIFF of 0').decode()}" in html
    assert "93%" in html and "data/boot.jpg" in html
    html = shoes.search(BOOT, limit=1)._repr_html_()
    assert html.count("<img ") == 1 and BOOT in html
    assert shoes.search(BOOT, filter={"colour": "no such"})._repr_html_() == "nothing was found"


def test_names_are_text_in_html(client: Client) -> None:
    results = client.search(path="data/boot.jpg")
    results._asked = None
    (result,) = results
    results[0] = type(result)(**(vars(result) | {"path": "<script>.jpg"}))
    html = results._repr_html_()
    assert "&lt;script&gt;.jpg" in html and "<img" not in html


def test_the_twin_that_is_awaited(url: str, fake: Fake) -> None:
    """Requests go on side by side, errors are the same, and pages are iterated over."""

    async def use() -> None:
        async with AsyncClient(url, KEY) as client:
            shoes = client.collection("shoes")
            counted, versions, results = await asyncio.gather(
                shoes.count(), client.versions(), client.search(path="data/boot.jpg", top_k=1)
            )
            assert (counted, [version.version for version in versions]) == (3, ["1.2.0", "1.1.0"])
            assert results[0].path == "data/boot.jpg"
            assert [url async for url in shoes.urls()] == sorted(fake.collections["shoes"])
            assert [match.url for match in await shoes.search(BOOT, limit=1)] == [BOOT]
            with pytest.raises(Refused) as caught:
                await client.job("none")
            assert caught.value.status == 404

    asyncio.run(use())


def test_the_notebook_holds_no_answers() -> None:
    """Its cells are run by tests/test_documents.py."""
    cells = json.loads((REPOSITORY / "docs" / "client.ipynb").read_text(encoding="utf-8"))["cells"]
    assert all(cell["outputs"] == [] for cell in cells if cell["cell_type"] == "code")
