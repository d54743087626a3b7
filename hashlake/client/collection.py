"""``Collection``: adds, finds, lists, dumps and restores the images of one collection."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, TypeAlias, TypeVar, overload
from urllib.parse import urlencode

import httpx
from pydantic import TypeAdapter

from hashlake.client.answers import (
    Added,
    Failure,
    Group,
    Image,
    Json,
    Match,
    Matches,
    Metadata,
    NewImage,
    Pair,
    StoredImage,
)
from hashlake.client.batches import batches
from hashlake.client.connection import Connection, Picture, contents, quoted
from hashlake.client.errors import AlreadyInserted, Refused

#: A condition on the metadata, such as ``{"year": {"$gte": 1990}}``.
Filter: TypeAlias = Mapping[str, Json]

#: The most images that the server takes or gives at once.
_PAGE = 16_384
#: Smaller, because an image may carry 64 KiB of metadata.
_DUMP_PAGE = 4_096
#: Smaller, because the server downloads all of them before it answers.
_BULK = 1000
#: The most images on a page of the gateway's listing.
_IMAGES_PAGE = 1000

_matches: TypeAdapter[list[Match]] = TypeAdapter(list[Match])
_number = TypeAdapter(float)
_count = TypeAdapter(int)
_urls = TypeAdapter(list[str])
_dumped = TypeAdapter(list[StoredImage])
_pair = TypeAdapter(Pair)
_group = TypeAdapter(Group)
_Listed = TypeVar("_Listed")


@dataclass(frozen=True)
class _Images:
    images: list[Image]
    cursor: str | None


_images = TypeAdapter(_Images)


@dataclass(frozen=True)
class _Bulk:
    added: list[str]
    found: list[str]
    failed: tuple[Failure, ...]


_bulk = TypeAdapter(_Bulk)


class Collection:
    """The collection ``name``; get one from ``Client.collection``.

    Give an image by its ``url``, which the server fetches, or as ``image``: the bytes of a file, or a file's path.
    Methods raise the errors of Client, OSError for an unreadable file, and ValueError for invalid arguments.

    >>> shoes = client.collection("shoes")
    >>> shoes.add("https://example.org/clog.jpg", metadata={"colour": "red"})
    'https://example.org/clog.jpg'
    """

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection
        self._models = f"/models/{quoted(name)}"
        self._managed = f"/api/collections/{quoted(name)}"

    # --- One image

    def add(self, url: str | None = None, *, image: Picture | None = None, metadata: Metadata = None) -> str:
        """Add an image, or fetch a known URL again. Returns its URL once the image is safe on the server's disk.

        An uploaded ``image`` is named ``url``, or ``upload:`` and its digest. A known image's metadata are replaced, by
        nothing unless you give some. The collection lists a URL in its normal form; any spelling of it names the image.
        Raises Refused: 422 for what isn't an image or cannot be fetched, 502 or 504 if the URL's server fails.

        >>> shoes.add("https://example.org/clog.jpg", metadata={"colour": "red", "sizes": [36, 37]})
        'https://example.org/clog.jpg'
        >>> shoes.add(image="clog.jpg")
        'upload:236cf6d16755c17646cf360b786d1a7c'
        """
        return self._add("add", url, image, metadata, again=True)

    def search_add(self, url: str | None = None, *, image: Picture | None = None, metadata: Metadata = None) -> str:
        """Add an image. Raises AlreadyInserted if the collection has it.

        >>> shoes.search_add("https://example.org/boot.jpg")
        Traceback (most recent call last):
        hashlake.client.errors.AlreadyInserted: Image already inserted
        """
        try:
            return self._add("search_add", url, image, metadata, again=False)
        except Refused as error:
            if error.status == HTTPStatus.CONFLICT:
                raise AlreadyInserted(error.status, error.message) from error
            raise

    def remove(self, url: str) -> bool:
        """Remove an image. Returns False if the collection doesn't have it.

        >>> shoes.remove("https://example.org/boot.jpg")
        True
        """
        answer = self._connection.post(f"{self._models}/remove", {"url": url})
        self._connection.require_done(answer)
        removed: str = answer.headers.get("X-Hashlake-Removed", "true")
        return removed == "true"

    def thumbnail(self, url: str) -> bytes:
        """Returns a thumbnail (WebP) of an image of the collection.

        >>> shoes.thumbnail("https://example.org/boot.jpg")[:4]
        b'RIFF'
        """
        return self._connection.get(f"{self._managed}/thumbnail", {"url": url}).content

    # --- Searching

    def search(
        self,
        url: str | None = None,
        *,
        text: str | None = None,
        text_weight: float | None = None,
        negative_text: str | None = None,
        image: Picture | None = None,
        embedding: Sequence[float] | None = None,
        limit: int = 10,
        filter: Filter | None = None,
        rank: Literal["distance", "detail"] = "distance",
        max_distance: int | None = None,
        turned: bool = False,
    ) -> Matches:
        """Returns the ``limit`` images most like the one at ``url``, like ``image``, like ``embedding``, which its
        model made, or like ``text``, best first, among those that match ``filter``. A URL that the collection has is
        not downloaded.

        ``text`` is the name of a class, or any words where the model takes them; there it may also stand beside a
        picture, and counts ``text_weight`` of the whole, from 0 to 1; and images should not be like ``negative_text``.

        With the ``rank`` "detail", those come first that are this very picture, whatever class the model sees in them.
        ``max_distance`` leaves out images whose codes differ in more bits, whatever the ``rank``. ``turned``: the
        picture is also looked for turned by 90, 180 or 270 degrees and mirrored; that of a URL is fetched for it.

        >>> shoes.search("https://example.org/boot.jpg", limit=2)[1].similarity
        96.875
        >>> [match.url for match in shoes.search(image="clog.jpg", filter={"colour": "red"})]
        ['https://example.org/sandal.jpg']
        """
        pictured = [url, image, embedding].count(None)
        if pictured < 2 or (pictured == 3 and text is None):
            raise ValueError("give url, image, embedding or text; text may stand beside one of the others")
        fields = {
            "url": url, "text": text, "text_weight": text_weight, "negative_text": negative_text, "limit": limit,
            "filter": filter, "rank": rank, "max_distance": max_distance, "turned": turned or None,
            "embedding": None if embedding is None else [float(number) for number in embedding],
        }  # fmt: skip
        answer = self._connection.post(f"{self._models}/search", fields, {"image": image}, again=True)
        found: list[Match] = self._connection.understood(_matches, answer.content)
        matches = Matches(found)
        matches._thumbnail = self.thumbnail
        said = answer.headers.get("X-Hashlake-Nothing-Like-It")
        matches.nothing_like_it = None if said is None else said == "true"
        return matches

    def compare(
        self,
        url: str | None = None,
        other: str | None = None,
        *,
        image: Picture | None = None,
        other_image: Picture | None = None,
    ) -> float:
        """Returns how much two images are the very same picture, from 0 to 100: 100 · (1 − 2 distance / bits) of their
        detail codes, or of their codes where the model gives no others. Give each by URL or as a file.

        >>> shoes.compare("https://example.org/boot.jpg", "https://example.org/bootee.jpg")
        96.875
        >>> shoes.compare("https://example.org/boot.jpg", other_image="clog.jpg")
        50.0
        """
        if (url is None) == (image is None) or (other is None) == (other_image is None):
            raise ValueError("give url or image, and other or other_image")
        pictures = {"image": image, "other_image": other_image}
        answer = self._connection.post(f"{self._models}/compare", {"url": url, "other": other}, pictures, again=True)
        return self._connection.understood(_number, answer.content)

    # --- All images

    def count(self, filter: Filter | None = None) -> int:
        """Returns how many images there are, or how many match ``filter``.

        >>> shoes.count(), shoes.count({"colour": "black"})
        (3, 2)
        """
        answer = self._connection.post(f"{self._models}/count", {"filter": filter}, again=True)
        return self._connection.understood(_count, answer.content)

    def urls(self, filter: Filter | None = None) -> Iterator[str]:
        """Yields every URL, sorted, a page at a time. URLs added or removed meanwhile may appear or not.

        >>> next(shoes.urls())
        'https://example.org/boot.jpg'
        """
        return self._pages("urls", _urls, _PAGE, lambda url: url, filter)

    def dump(self, filter: Filter | None = None) -> Iterator[StoredImage]:
        """Yields every image with its code, sorted by URL, a page at a time, as ``restore`` takes them.

        >>> next(shoes.dump({"colour": "red"})).embedding
        '/////wAAAAA='
        """
        return self._pages("dump", _dumped, _DUMP_PAGE, lambda image: image.url, filter)

    def images(self, filter: Filter | None = None) -> Iterator[Image]:
        """Yields every image with its code in hex and its thumbnail's URL, sorted by URL, a page at a time.

        >>> next(shoes.images()).code
        '0000000000000000'
        """
        cursor: str | None = None
        while True:
            answer = self._connection.get(
                f"{self._managed}/images", {"cursor": cursor, "limit": _IMAGES_PAGE, "filter": filter}
            )
            page = self._connection.understood(_images, answer.content)
            yield from page.images
            if page.cursor is None:
                return
            cursor = page.cursor

    @overload
    def duplicates(self, max_distance: int | None = None, view: Literal["groups"] = "groups") -> Iterator[Group]: ...

    @overload
    def duplicates(self, max_distance: int | None = None, *, view: Literal["pairs"]) -> Iterator[Pair]: ...

    @overload
    def duplicates(self, max_distance: int | None, view: Literal["pairs"]) -> Iterator[Pair]: ...

    def duplicates(
        self, max_distance: int | None = None, view: Literal["groups", "pairs"] = "groups"
    ) -> Iterator[Group] | Iterator[Pair]:
        """Yields images whose detail codes differ in at most ``max_distance`` bits (codes, where the model gives no
        others), in groups or as pairs, each as soon as the server finds it, however long that takes. Unless you give
        ``max_distance``, it is that of the collection's ``copies``.

        >>> [(pair.url, pair.distance) for pair in shoes.duplicates(1, "pairs")]
        [('https://example.org/boot.jpg', 1)]
        """
        lines = self._connection.lines(f"{self._managed}/duplicates", {"max_distance": max_distance, "view": view})
        if view == "pairs":
            return (self._connection.understood(_pair, line) for line in lines)
        return (self._connection.understood(_group, line) for line in lines)

    # --- Many images

    def add_bulk(
        self, images: Iterable[NewImage | str], progress: Callable[[int, Sequence[Failure]], None] | None = None
    ) -> Added:
        """Add new images by URL, 1,000 at a time. Returns what became of them. An image that fails doesn't stop the
        others.

        ``progress`` is called after each batch, with the number of images sent so far and the batch's failures. Raises
        Refused, with a ``position``, for an image that the server doesn't accept in a batch; the batches before it are
        added. When a connection broke and a batch was sent again, images that it added itself may count as found.

        >>> shoes.add_bulk(["https://example.org/clog.jpg", "https://example.org/missing.jpg"])
        Added(added=1, found=0, failed=(Failure(url='https://example.org/missing.jpg', error='status 404'),))
        """
        items = (_fields(NewImage(image) if isinstance(image, str) else image) for image in images)
        added, found = 0, 0
        failed: list[Failure] = []
        for sent, answer in self._batches("add_bulk?known=keep", items, _BULK):
            outcome = self._connection.understood(_bulk, answer.content)
            added, found = added + len(outcome.added), found + len(outcome.found)
            failed += outcome.failed
            if progress is not None:
                progress(sent, outcome.failed)
        return Added(added, found, tuple(failed))

    def restore(
        self,
        images: Iterable[StoredImage],
        progress: Callable[[int], None] | None = None,
        *,
        assume_model: str | None = None,
    ) -> int:
        """Restore images as ``dump`` gave them, up to 16,384 at a time. Returns how many.

        Codes of another model than the collection's are refused. ``assume_model``: the model, by name or sha256, of
        images that don't say which made their codes, as those of older dumps.

        ``progress`` is called after each batch with the number of images stored so far. A batch is restored whole or
        not at all. Raises Refused for codes of another width, with a ``position`` if the server names one; the batches
        before it stay.

        >>> hats = client.create("hats")
        >>> client.collection("hats").restore(shoes.dump())
        3
        """
        restored = 0
        route = "restore" if assume_model is None else f"restore?{urlencode({'assume_model': assume_model})}"
        for restored, answer in self._batches(route, map(_stored_fields, images), _PAGE):
            self._connection.require_done(answer)
            if progress is not None:
                progress(restored)
        return restored

    # --- Asking

    def _add(self, route: str, url: str | None, image: Picture | None, metadata: Metadata, *, again: bool) -> str:
        if url is None and image is None:
            raise ValueError("give url or image")
        picture = None if image is None else contents(image)
        fields = {"url": url, "metadata": metadata}
        answer = self._connection.post(f"{self._models}/{route}", fields, {"image": picture}, again=again)
        self._connection.require_done(answer)
        if url is None:
            assert picture is not None
            return f"upload:{hashlib.blake2b(picture, digest_size=16).hexdigest()}"
        return url

    def _pages(
        self,
        route: str,
        page_of: TypeAdapter[list[_Listed]],
        limit: int,
        url_of: Callable[[_Listed], str],
        filter: Filter | None,
    ) -> Iterator[_Listed]:
        cursor: str | None = None
        while True:
            fields = {"cursor": cursor, "limit": limit, "filter": filter}
            answer = self._connection.post(f"{self._models}/{route}", fields, again=True)
            page = self._connection.understood(page_of, answer.content)
            if not page:
                return
            yield from page
            cursor = url_of(page[-1])

    def _batches(self, route: str, items: Iterable[Json], most: int) -> Iterator[tuple[int, httpx.Response]]:
        """Send ``items``. Yields, after each batch, the number of items sent so far and the answer. Prepares each batch
        while the server works on the one before."""
        sent, prepared = 0, batches(items, most)
        under_way: tuple[int, Future[httpx.Response]] | None = None
        with ThreadPoolExecutor(1) as pool:
            while True:
                problem: Exception | None = None
                try:
                    batch = next(prepared, None)
                except Exception as error:  # report the batch under way first
                    batch, problem = None, error
                if under_way is not None:
                    number, answer = under_way
                    yield sent + number, self._answered(answer, sent)
                    sent += number
                if problem is not None:
                    raise problem
                if batch is None:
                    return
                under_way = batch[0], pool.submit(self._connection.post_array, f"{self._models}/{route}", batch[1])

    def _answered(self, answer: Future[httpx.Response], sent: int) -> httpx.Response:
        """Returns the answer to a batch that follows ``sent`` items. An error's position counts from the first item."""
        try:
            return answer.result()
        except Refused as error:
            if error.position is None:
                raise
            raise Refused(error.status, error.message, sent + error.position) from error


def _fields(image: NewImage | StoredImage) -> dict[str, Json]:
    return {"url": image.url} | ({} if image.metadata is None else {"metadata": image.metadata})


def _stored_fields(image: StoredImage) -> dict[str, Json]:
    embedding = image.embedding if isinstance(image.embedding, str) else [float(value) for value in image.embedding]
    further = {"code": image.code, "model": image.model}
    return (
        _fields(image) | {"embedding": embedding} | {name: each for name, each in further.items() if each is not None}
    )
