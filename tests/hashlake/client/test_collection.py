"""Images are added, found, listed and carried elsewhere, in as many requests as it takes."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from hashlake import (  # fmt: skip
    Added,
    AlreadyInserted,
    Client,
    Collection,
    Failure,
    Group,
    Image,
    Match,
    Member,
    NewImage,
    Pair,
    Refused,
    StoredImage,
)
from hashlake.client.connection import Picture
from tests.hashlake.client import fake_gateway
from tests.hashlake.client.fake_gateway import SHOES, WEB, Fake, picture

BOOT, BOOTEE, CLOG, SANDAL, SUMMER = WEB
UPLOADED = "upload:236cf6d16755c17646cf360b786d1a7c"


class TestAdding:
    def test_by_url(self, shoes: Collection, fake: Fake) -> None:
        assert shoes.add(CLOG) == CLOG
        assert shoes.add(SUMMER, metadata={"saison": "été", "sizes": [36, 37.5], "none": None}) == SUMMER
        assert fake.collections["shoes"][CLOG] == fake_gateway.Image(0xFFFF)
        assert fake.collections["shoes"][SUMMER].metadata == {"saison": "été", "sizes": [36, 37.5], "none": None}

    @pytest.mark.parametrize("image", [picture(0xFFFF), "clog.jpg", Path("clog.jpg")], ids=["bytes", "name", "path"])
    def test_a_file(self, image: Picture, shoes: Collection, fake: Fake, folder: Path) -> None:
        assert shoes.add(image=image, metadata={"colour": "grün", "tags": ["a"]}) == UPLOADED
        assert fake.collections["shoes"][UPLOADED] == fake_gateway.Image(0xFFFF, {"colour": "grün", "tags": ["a"]})

    def test_a_new_file(self, shoes: Collection, fake: Fake, folder: Path) -> None:
        assert shoes.search_add(image="clog.jpg", metadata={"colour": "grün"}) == UPLOADED
        assert fake.collections["shoes"][UPLOADED] == fake_gateway.Image(0xFFFF, {"colour": "grün"})
        with pytest.raises(AlreadyInserted):
            shoes.search_add(image="clog.jpg")

    def test_a_file_under_a_name_of_its_own(self, shoes: Collection, fake: Fake, folder: Path) -> None:
        assert shoes.add("https://example.org/elsewhere.jpg", image="clog.jpg") == "https://example.org/elsewhere.jpg"
        assert fake.collections["shoes"]["https://example.org/elsewhere.jpg"].code == 0xFFFF

    def test_what_is_there_already(self, shoes: Collection) -> None:
        with pytest.raises(AlreadyInserted) as caught:
            shoes.search_add(BOOT)
        assert (caught.value.status, str(caught.value)) == (409, "Image already inserted")
        assert shoes.search_add(CLOG) == CLOG

    def test_what_the_server_does_not_take(self, shoes: Collection) -> None:
        with pytest.raises(Refused) as caught:
            shoes.add("https://example.org/missing.jpg")
        assert (caught.value.status, str(caught.value), caught.value.position) == (422, "url: status 404", None)
        with pytest.raises(Refused, match="metadata: metadata json too long"):
            shoes.add(CLOG, metadata={"text": "x" * 65_536})

    def test_a_file_that_is_not_there(self, shoes: Collection, fake: Fake, folder: Path) -> None:
        with pytest.raises(FileNotFoundError):
            shoes.add(image="missing.jpg")
        assert fake.asked == []

    @pytest.mark.parametrize("image", [None, b"file"], ids=["url", "file"])
    def test_metadata_that_json_cannot_say(self, image: bytes | None, shoes: Collection, fake: Fake) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            shoes.add(CLOG, image=image, metadata={"a": [float("nan")]})
        assert fake.asked == []

    def test_removed(self, shoes: Collection, fake: Fake) -> None:
        assert shoes.remove(BOOT)
        assert BOOT not in fake.collections["shoes"]
        assert not shoes.remove(BOOT)


class TestSearching:
    def test_by_url(self, shoes: Collection) -> None:
        assert shoes.search(BOOT) == [
            Match(BOOT, {"colour": "black"}, 100.0),
            Match(BOOTEE, {"colour": "black"}, 96.875),
            Match(SANDAL, {"colour": "red"}, 0.0),
        ]

    def test_by_file_with_a_limit_and_a_filter(self, shoes: Collection, folder: Path) -> None:
        """From 0xFFFF: boot 16 bits, bootee 15, sandal 48."""
        assert shoes.search(image="clog.jpg", limit=2) == [
            Match(BOOTEE, {"colour": "black"}, 53.125),
            Match(BOOT, {"colour": "black"}, 50.0),
        ]
        assert shoes.search(image=picture(0xFFFF), filter={"colour": "red"}) == [Match(SANDAL, {"colour": "red"}, 0.0)]

    def test_by_class(self, shoes: Collection) -> None:
        assert [match.url for match in shoes.search(text="Boots", limit=1)] == [BOOT]
        with pytest.raises(Refused, match="the model knows no class Hats"):
            shoes.search(text="Hats")

    def test_words_beside_a_picture_are_sent_along(self, shoes: Collection, fake: Fake) -> None:
        shoes.search(BOOT, text="Boots", text_weight=0.3, negative_text="heels")
        sent = fake.bodies("search")[-1]
        assert {"url": BOOT, "text": "Boots", "text_weight": 0.3, "negative_text": "heels"}.items() <= sent.items()

    def test_what_is_no_filter(self, shoes: Collection) -> None:
        with pytest.raises(Refused, match=r"filter: \$near is no operator"):
            shoes.search(BOOT, filter={"$near": 1})

    def test_no_farther_than_asked(self, shoes: Collection, fake: Fake, folder: Path) -> None:
        assert [match.url for match in shoes.search(BOOT, max_distance=1)] == [BOOT, BOOTEE]
        assert fake.bodies("/search") == [{"url": BOOT, "limit": 10, "rank": "distance", "max_distance": 1}]
        shoes.search(image="clog.jpg", rank="detail")
        assert b'name="rank"\r\n\r\ndetail\r\n' in fake.asked[-1][2]

    def test_how_close_they_are(self, shoes: Collection, fake: Fake, folder: Path) -> None:
        assert shoes.search(BOOT).nothing_like_it is None
        fake.calibrated = True
        near, far = shoes.search(BOOT, limit=2), shoes.search(image="clog.jpg", limit=1)
        assert ([match.closeness for match in near], near.nothing_like_it) == ([1.0, 1 - 1 / 64], False)
        assert ([match.closeness for match in far], far.nothing_like_it) == ([1 - 15 / 64], True)

    def test_compare(self, shoes: Collection, folder: Path) -> None:
        assert shoes.compare(BOOT, BOOTEE) == 96.875
        assert shoes.compare(BOOT, SANDAL) == 0.0
        assert shoes.compare(image="clog.jpg", other=BOOT) == 50.0
        assert shoes.compare(BOOT, other_image="clog.jpg") == 50.0
        assert shoes.compare(image="clog.jpg", other_image=picture(0xFFFE)) == 96.875

    def test_too_little_and_too_much(self, shoes: Collection, fake: Fake) -> None:
        with pytest.raises(ValueError, match="give url, image, embedding or text"):
            shoes.search()
        with pytest.raises(ValueError, match="give url, image, embedding or text"):
            shoes.search(BOOT, image=b"boots")
        with pytest.raises(ValueError, match="give url or image, and other or other_image"):
            shoes.compare(BOOT)
        with pytest.raises(ValueError, match="give url or image, and other or other_image"):
            shoes.compare(BOOT, BOOT, image=b"")
        with pytest.raises(ValueError, match="give url or image"):
            shoes.add()
        assert fake.asked == []


class TestListing:
    def test_urls_page_by_page(self, shoes: Collection, fake: Fake) -> None:
        assert list(shoes.urls()) == sorted(SHOES)
        assert fake.bodies("/urls") == [
            {"limit": 16_384},
            {"cursor": BOOTEE, "limit": 16_384},
            {"cursor": SANDAL, "limit": 16_384},
        ]

    def test_a_page_is_asked_for_when_it_is_needed(self, shoes: Collection, fake: Fake) -> None:
        urls = shoes.urls()
        assert fake.asked == []
        assert [next(urls), next(urls)] == [BOOT, BOOTEE]
        assert len(fake.asked) == 1

    def test_dump_page_by_page(self, shoes: Collection, fake: Fake) -> None:
        assert list(shoes.dump()) == [
            StoredImage(BOOT, "AAAAAAAAAAA=", {"colour": "black"}),
            StoredImage(BOOTEE, "AAAAAAAAAAE=", {"colour": "black"}),
            StoredImage(SANDAL, "/////wAAAAA=", {"colour": "red"}),
        ]
        assert len(fake.asked) == 3

    def test_images_page_by_page(self, shoes: Collection, fake: Fake) -> None:
        assert list(shoes.images()) == [
            Image(BOOT, {"colour": "black"}, "0000000000000000", f"/t?url={BOOT}"),
            Image(BOOTEE, {"colour": "black"}, "0000000000000001", f"/t?url={BOOTEE}"),
            Image(SANDAL, {"colour": "red"}, "ffffffff00000000", f"/t?url={SANDAL}"),
        ]
        assert len(fake.asked) == 2
        assert [image.url for image in shoes.images({"colour": "red"})] == [SANDAL]

    def test_only_what_the_filter_lets_pass(self, shoes: Collection) -> None:
        black = {"colour": "black"}
        assert list(shoes.urls(black)) == [BOOT, BOOTEE]
        assert [image.url for image in shoes.dump(black)] == [BOOT, BOOTEE]
        assert (shoes.count(), shoes.count(black), shoes.count({"colour": "blue"})) == (3, 2, 0)

    def test_an_empty_collection(self, client: Client) -> None:
        empty = client.collection("default")
        assert (list(empty.urls()), list(empty.dump()), list(empty.images()), empty.count()) == ([], [], [], 0)
        assert list(empty.duplicates()) == []

    def test_a_thumbnail(self, shoes: Collection) -> None:
        assert shoes.thumbnail(BOOT) == b"RIFF....WEBP"
        with pytest.raises(Refused, match=f"there is no image {CLOG}"):
            shoes.thumbnail(CLOG)

    def test_a_collection_that_is_not_there(self, client: Client) -> None:
        hats = client.collection("hats")
        for ask in (hats.count, lambda: list(hats.urls()), lambda: list(hats.duplicates())):
            with pytest.raises(Refused, match=r"there is no collection hats$"):
                ask()


class TestDuplicates:
    def test_groups(self, shoes: Collection, fake: Fake) -> None:
        fake.collections["shoes"]["https://example.org/\u2028.jpg"] = fake_gateway.Image(0x7)
        assert list(shoes.duplicates(3)) == [
            Group((Member(BOOT, 0), Member(BOOTEE, 1), Member("https://example.org/\u2028.jpg", 3)))
        ]
        assert fake.asked[-1][1] == "/api/collections/shoes/duplicates"

    def test_pairs(self, shoes: Collection) -> None:
        assert list(shoes.duplicates(32, view="pairs")) == [
            Pair(BOOT, BOOTEE, 1),
            Pair(BOOT, SANDAL, 32),
        ]
        assert list(shoes.duplicates(0, "pairs")) == []


class TestAddBulk:
    def test_what_fails_does_not_stop_the_others(self, shoes: Collection, fake: Fake) -> None:
        missing = "https://example.org/missing.jpg"
        told: list[tuple[int, list[str]]] = []
        answer = shoes.add_bulk(
            [BOOT, missing, NewImage(CLOG, {"colour": "white"})],
            lambda sent, failed: told.append((sent, [failure.url for failure in failed])),
        )
        assert answer == Added(added=1, found=1, failed=(Failure(missing, "status 404"),))
        assert told == [(3, [missing])]
        assert fake.collections["shoes"][CLOG].metadata == {"colour": "white"}
        assert fake.bodies("/add_bulk") == [
            [{"url": BOOT}, {"url": missing}, {"url": CLOG, "metadata": {"colour": "white"}}]
        ]

    def test_in_batches_of_1000(self, shoes: Collection, fake: Fake) -> None:
        """2,100 URLs that fail but the last: 1,000, 1,000 and 100."""
        urls = [f"https://example.org/{number}.jpg" for number in range(2099)]
        told: list[int] = []
        answer = shoes.add_bulk(iter([*urls, CLOG]), lambda sent, _: told.append(sent))
        assert (answer.added, answer.found, [failure.url for failure in answer.failed]) == (1, 0, urls)
        assert [len(body) for body in fake.bodies("/add_bulk")] == [1000, 1000, 100]
        assert told == [1000, 2000, 2100]

    def test_what_was_under_way_is_told_before_the_source_breaks_off(self, shoes: Collection, fake: Fake) -> None:
        def source() -> Iterator[str]:
            yield from (f"https://example.org/{number}.jpg" for number in range(1500))
            raise ValueError("line 1501 is no URL")

        told: list[int] = []
        with pytest.raises(ValueError, match="line 1501"):
            shoes.add_bulk(source(), lambda sent, _: told.append(sent))
        assert told == [1000]
        assert [len(body) for body in fake.bodies("/add_bulk")] == [1000]

    def test_nothing(self, shoes: Collection, fake: Fake) -> None:
        assert shoes.add_bulk([]) == Added(0, 0, ())
        assert fake.asked == []

    def test_a_batch_that_is_refused_says_for_which_image(self, shoes: Collection, fake: Fake) -> None:
        images = [NewImage(BOOT)] * 1200 + [NewImage(CLOG, {"text": "x" * 65_536})]
        with pytest.raises(Refused) as caught:
            shoes.add_bulk(images)
        assert caught.value.position == 1200
        assert str(caught.value) == "image 1,200, counted from 0: metadata: metadata json too long"
        assert CLOG not in fake.collections["shoes"]


class TestRestore:
    def test_a_dump_comes_back_whole(self, client: Client, shoes: Collection, fake: Fake) -> None:
        client.create("hats")
        told: list[int] = []
        assert client.collection("hats").restore(shoes.dump(), told.append) == 3
        assert fake.listed("hats") == fake.listed("shoes")
        assert told == [3]

    def test_in_batches_of_16384(self, shoes: Collection, fake: Fake) -> None:
        images = (StoredImage(f"{number:05d}", "AAAAAAAAAAA=") for number in range(40_000))
        told: list[int] = []
        assert shoes.restore(images, told.append) == 40_000
        assert [len(body) for body in fake.bodies("/restore")] == [16_384, 16_384, 7_232]
        assert told == [16_384, 32_768, 40_000]
        assert len(fake.collections["shoes"]) == 40_003

    def test_in_bodies_of_16_mib(self, shoes: Collection, fake: Fake) -> None:
        """An image with 60,000 characters of metadata takes 60 KB: 279 of them fit."""
        images = [StoredImage(f"{number:03d}", "AAAAAAAAAAA=", {"text": "x" * 60_000}) for number in range(300)]
        assert shoes.restore(images) == 300
        assert [len(body) for body in fake.bodies("/restore")] == [279, 21]
        assert max(len(body) for _, _, body in fake.asked) <= 16 * 1024 * 1024

    @pytest.mark.parametrize(
        "embedding",
        ["AAAAAAAA//8=", "000000000000ffff", [-1] * 48 + [1] * 16, (-0.25,) * 48 + (0.75,) * 16],
        ids=["base64", "hex", "signs", "reals"],
    )
    def test_every_way_to_write_a_code(self, embedding: str | list[float], shoes: Collection, fake: Fake) -> None:
        assert shoes.restore([StoredImage(CLOG, embedding)]) == 1
        assert fake.collections["shoes"][CLOG] == fake_gateway.Image(0xFFFF)

    def test_nothing_of_a_bad_batch(self, shoes: Collection, fake: Fake) -> None:
        good = [StoredImage(f"{number:05d}", "AAAAAAAAAAA=") for number in range(16_390)]
        with pytest.raises(Refused) as caught:
            shoes.restore([*good, StoredImage("bad", "AAAAAA==")])
        assert (caught.value.status, caught.value.position) == (422, 16_390)
        assert caught.value.message == "embedding: has 32 bits, and the collection's codes have 64"
        assert len(fake.collections["shoes"]) == 3 + 16_384

    def test_nothing(self, shoes: Collection) -> None:
        assert shoes.restore([]) == 0
