"""``Collection``: the images of one collection, added, found, listed and carried elsewhere."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from http import HTTPStatus
from typing import Literal, TypeAlias, TypeVar, overload

import httpx
from pydantic import TypeAdapter

from client.answers import Added, Failure, Group, Image, Json, Match, Metadata, NewImage, Pair, StoredImage
from client.batches import batches
from client.connection import Connection, Picture, contents, quoted
from client.errors import AlreadyInserted, Refused

#: A condition on the metadata, such as ``{"year": {"$gte": 1990}}``.
Filter: TypeAlias = Mapping[str, Json]

#: The most that the server takes and gives at once.
_PAGE = 16_384
#: An image of a dump may bring 64 KiB of metadata.
_DUMP_PAGE = 4_096
#: The server has to download them all before it answers.
_BULK = 1000
#: The most that a page of the gateway's own has.
_IMAGES_PAGE = 1000

_matches = TypeAdapter(list[Match])
_number = TypeAdapter(float)
_count = TypeAdapter(int)
_urls = TypeAdapter(list[str])
_dumped = TypeAdapter(list[StoredImage])
_added = TypeAdapter(Added)
_pair = TypeAdapter(Pair)
_group = TypeAdapter(Group)
_Listed = TypeVar("_Listed")


@dataclass(frozen=True)
class _Images:
    images: list[Image]
    cursor: str | None


_images = TypeAdapter(_Images)


class Collection:
    """The collection ``name``, which ``Client.collection`` gives.

    An image is given by its ``url``, which the server fetches, or as ``image``: the bytes of a file, or a file's path.
    Errors are those of Client, OSError for a file that cannot be read, and ValueError for what cannot be asked.

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
        """Add an image, or look again at the one of that URL; return its URL, once the server has it safe on disk.

        An uploaded ``image`` is called ``url``, without which ``upload:`` and its digest. An image that is there keeps
        its metadata unless others are given. Refused (422) for what is no image, is too small, or cannot be fetched.

        >>> shoes.add("https://example.org/clog.jpg", metadata={"colour": "red", "sizes": [36, 37]})
        'https://example.org/clog.jpg'
        >>> shoes.add(image="clog.jpg")
        'upload:236cf6d16755c17646cf360b786d1a7c'
        """
        return self._add("add", url, image, metadata, again=True)

    def search_add(self, url: str | None = None, *, image: Picture | None = None, metadata: Metadata = None) -> str:
        """Add an image unless the collection has it: then AlreadyInserted.

        >>> shoes.search_add("https://example.org/boot.jpg")
        Traceback (most recent call last):
        client.errors.AlreadyInserted: Image already inserted
        """
        try:
            return self._add("search_add", url, image, metadata, again=False)
        except Refused as error:
            if error.status == HTTPStatus.CONFLICT:
                raise AlreadyInserted(error.status, error.message) from error
            raise

    def remove(self, url: str) -> bool:
        """Remove an image. False if it isn't there.

        >>> shoes.remove("https://example.org/boot.jpg")
        True
        """
        answer = self._connection.post(f"{self._models}/remove", {"url": url})
        self._connection.require_done(answer)
        removed: str = answer.headers.get("X-Hashlake-Removed", "true")
        return removed == "true"

    def thumbnail(self, url: str) -> bytes:
        """A small picture (WebP) of an image of the collection.

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
        image: Picture | None = None,
        limit: int = 10,
        filter: Filter | None = None,
    ) -> list[Match]:
        """The ``limit`` images most like the one at ``url``, like ``image``, or of the class ``text``, best first,
        among those that the ``filter`` lets pass. An indexed URL needs no download.

        >>> shoes.search("https://example.org/boot.jpg", limit=2)[1]
        Match(url='https://example.org/bootee.jpg', metadata={'colour': 'black'}, similarity=96.875)
        >>> [match.url for match in shoes.search(image="clog.jpg", filter={"colour": "red"})]
        ['https://example.org/sandal.jpg']
        """
        if [url, text, image].count(None) != 2:
            raise ValueError("give one of url, text and image")
        fields = {"url": url, "text": text, "limit": limit, "filter": filter}
        answer = self._connection.post(f"{self._models}/search", fields, {"image": image}, again=True)
        return self._connection.understood(_matches, answer.content)

    def compare(
        self,
        url: str | None = None,
        other: str | None = None,
        *,
        image: Picture | None = None,
        other_image: Picture | None = None,
    ) -> float:
        """How similar two images are, from 0 to 100, each given by URL or as a file.

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
        """How many images there are, or how many of them the ``filter`` lets pass.

        >>> shoes.count(), shoes.count({"colour": "black"})
        (3, 2)
        """
        answer = self._connection.post(f"{self._models}/count", {"filter": filter}, again=True)
        return self._connection.understood(_count, answer.content)

    def urls(self, filter: Filter | None = None) -> Iterator[str]:
        """Every URL, sorted, a page at a time: what is added or removed meanwhile may be among them or not.

        >>> next(shoes.urls())
        'https://example.org/boot.jpg'
        """
        return self._pages("urls", _urls, _PAGE, lambda url: url, filter)

    def dump(self, filter: Filter | None = None) -> Iterator[StoredImage]:
        """Every image with its code, sorted by URL, a page at a time, as ``restore`` takes them.

        >>> next(shoes.dump({"colour": "red"}))
        StoredImage(url='https://example.org/sandal.jpg', embedding='/////wAAAAA=', metadata={'colour': 'red'})
        """
        return self._pages("dump", _dumped, _DUMP_PAGE, lambda image: image.url, filter)

    def images(self, filter: Filter | None = None) -> Iterator[Image]:
        """Every image with its code in hex and the URL of its thumbnail, sorted by URL, a page at a time.

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
    def duplicates(self, max_distance: int = 4, view: Literal["groups"] = "groups") -> Iterator[Group]: ...

    @overload
    def duplicates(self, max_distance: int = 4, *, view: Literal["pairs"]) -> Iterator[Pair]: ...

    @overload
    def duplicates(self, max_distance: int, view: Literal["pairs"]) -> Iterator[Pair]: ...

    def duplicates(
        self, max_distance: int = 4, view: Literal["groups", "pairs"] = "groups"
    ) -> Iterator[Group] | Iterator[Pair]:
        """Images whose codes differ in ``max_distance`` bits at most, in groups or as all pairs, each as soon as the
        server has found it, however long that takes.

        >>> list(shoes.duplicates(1, "pairs"))
        [Pair(url='https://example.org/boot.jpg', other='https://example.org/bootee.jpg', distance=1)]
        """
        lines = self._connection.lines(f"{self._managed}/duplicates", {"max_distance": max_distance, "view": view})
        if view == "pairs":
            return (self._connection.understood(_pair, line) for line in lines)
        return (self._connection.understood(_group, line) for line in lines)

    # --- Many images

    def add_bulk(
        self, images: Iterable[NewImage | str], progress: Callable[[int, Sequence[Failure]], None] | None = None
    ) -> Added:
        """Add images by URL that aren't there yet, 1,000 at a time, and say what became of them. An image that fails
        doesn't stop the others.

        ``progress`` is called after each batch, with how many images have been sent so far, and with those of the batch
        that failed. Refused, with a ``position``, for an image that the server doesn't take into a batch; the batches
        before it are added. A batch that was sent again, since the connection broke, may count images as found that it
        added itself.

        >>> shoes.add_bulk(["https://example.org/clog.jpg", "https://example.org/missing.jpg"])
        Added(added=1, found=0, failed=(Failure(url='https://example.org/missing.jpg', error='status 404'),))
        """
        items = (_fields(NewImage(image) if isinstance(image, str) else image) for image in images)
        added, found = 0, 0
        failed: list[Failure] = []
        for sent, answer in self._batches("add_bulk", items, _BULK):
            outcome = self._connection.understood(_added, answer.content)
            added, found = added + outcome.added, found + outcome.found
            failed += outcome.failed
            if progress is not None:
                progress(sent, outcome.failed)
        return Added(added, found, tuple(failed))

    def restore(self, images: Iterable[StoredImage], progress: Callable[[int], None] | None = None) -> int:
        """Take in images as ``dump`` gave them, up to 16,384 at a time; return how many.

        ``progress`` is called after each batch with how many images are safe so far. A batch is restored whole or not
        at all: Refused, with a ``position`` where the server says it, for codes of another width, and the batches
        before it stay.

        >>> hats = client.create("hats")
        >>> client.collection("hats").restore(shoes.dump())
        3
        """
        restored = 0
        for restored, answer in self._batches("restore", map(_stored_fields, images), _PAGE):
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
        """Send ``items``; after each batch, how many have been sent so far, and the answer. A batch is made ready while
        the one before it is under way, and sent when that is answered."""
        sent, prepared = 0, batches(items, most)
        under_way: tuple[int, Future[httpx.Response]] | None = None
        with ThreadPoolExecutor(1) as pool:
            while True:
                problem: Exception | None = None
                try:
                    batch = next(prepared, None)
                except Exception as error:  # what is under way is told first
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
        """The answer to a batch, before which ``sent`` items were sent."""
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
    return _fields(image) | {"embedding": embedding}
