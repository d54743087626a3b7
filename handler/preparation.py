"""Prepares requests for the model: parses them, decodes their pictures, looks up the state of their collection.

item ─▶ parse ─┬─▶ a picture to embed
               └─▶ known vectors: sent by the client, of a named class, or stored for an indexed image
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contract.space import CODE, DETAIL, EMBEDDING, Space, Vectors
from embedding.embedder import Embedder
from embedding.errors import TextError
from embedding.part import Part
from handler.cropping import NO_CROPPING, Cropped, Cropping
from handler.errors import RequestError, bad_request, our_fault, unavailable
from handler.mixing import word_parts
from handler.parsing import parse
from handler.request import CompletionRequest, IndexedImage, QueryCodes, QueryEmbedding, SearchRequest, Subject
from handler.work import BatchWork, too_much_work
from pictures.errors import ImageTooLarge, UnreadableImage
from pictures.work import Budget, BudgetSpent
from searcher.errors import EngineUnavailable
from searcher.open_collection import OpenView
from searcher.scan.ranking import order_of

logger = logging.getLogger(__name__)

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class PreparedSearch:
    """A valid request for images: either its ``pictures`` still have to be embedded, one for each position of what it
    is about, or its ``vectors`` are known. ``parts`` are those of the words beside its subject. ``cropped``: the main
    object of a picture, which it is about."""

    request: SearchRequest
    view: OpenView
    pictures: list[Picture]
    vectors: Vectors | None
    parts: list[Part]
    cropped: Cropped | None = None


@dataclass(frozen=True)
class PreparedCodes:
    """A request for the codes of pictures: each is decoded, or the error that it caused."""

    decoded: list[Picture | RequestError]

    @property
    def pictures(self) -> list[Picture]:
        return [picture for picture in self.decoded if not isinstance(picture, RequestError)]


@dataclass(frozen=True)
class Completed:
    """The answer to a request for all vectors of pictures whose embeddings are known."""

    vectors: list[Vectors]


Prepared = PreparedSearch | PreparedCodes | Completed


class Preparation:
    """Prepares the requests of one batch for ``model``; ``view_of`` gives one state of each collection, and
    ``cropping`` the main objects of pictures."""

    def __init__(self, model: Embedder, view_of: Callable[[str], OpenView], cropping: Cropping = NO_CROPPING) -> None:
        self._cropping = cropping
        self._model = model
        self._view_of = view_of
        self._work = BatchWork()

    def prepare(self, item: Mapping[str, Any], from_gateway: bool) -> Prepared | RequestError:
        """Returns the prepared request, or its error."""
        try:
            request = parse(item, from_gateway)
            if isinstance(request, SearchRequest):
                return self._search(request)
            if isinstance(request, CompletionRequest):
                return self._completed(request)
            budget = self._work.of_a_request()
            return PreparedCodes([self._decoded_or_error(image, budget) for image in request.images])
        except RequestError as error:
            return error
        except TextError as error:
            return bad_request(f"text: {error}")
        except EngineUnavailable as error:
            return unavailable(error)
        except Exception:
            logger.exception("a request could not be prepared")
            return our_fault()

    def _search(self, request: SearchRequest) -> PreparedSearch:
        no_details = bad_request("rank: the served model gives no detail codes")
        if order_of(request.rank, {space.name for space in self._model.identity.spaces}) is None:
            raise no_details
        # What is wrong with the request itself is said first, whatever becomes of the collection.
        parts = word_parts(self._model, request.words) if request.words else []
        pictures, cropped = [], None
        if isinstance(request.subject, bytes):
            budget = self._work.of_a_request()
            if self._cropping.is_wanted(request.crop):
                cropped = self._cropped(request.subject, budget)
                picture = self._decoded(cropped.file, None)  # the work is done, but for the last of it
            else:
                picture = self._decoded(request.subject, budget)
            pictures = positions(picture) if request.turned else [picture]
        known = isinstance(request.subject, str | QueryCodes | QueryEmbedding)
        vectors = known_vectors(self._model, request.subject) if known else None
        view = self._view_of(request.collection)
        if not view.can(request.rank):
            raise no_details
        if isinstance(request.subject, IndexedImage):
            vectors = _kept(view, request.subject.path)
        return PreparedSearch(request, view, pictures, vectors, parts, cropped)

    def _cropped(self, image: bytes, budget: Budget) -> Cropped:
        self._work.check_time()
        with _refusing():
            return self._cropping.main_object(image, budget)

    def _completed(self, request: CompletionRequest) -> Completed:
        space = self._model.identity.space(EMBEDDING)
        if space is None:
            raise bad_request("complete: the served model makes no embeddings")
        try:
            found = self._model.complete(space.array(request.embeddings))
        except ValueError as error:
            raise bad_request(f"complete: {error}") from error
        return Completed(
            [{name: array[row] for name, array in found.items()} for row in range(len(request.embeddings))]
        )

    def _decoded(self, image: bytes, budget: Budget | None) -> Picture:
        self._work.check_time()
        with _refusing():
            return self._model.prepare(image, budget)

    def _decoded_or_error(self, image: bytes | RequestError, budget: Budget) -> Picture | RequestError:
        if isinstance(image, RequestError):
            return image
        try:
            return self._decoded(image, budget)
        except RequestError as error:
            return error


@contextmanager
def _refusing() -> Iterator[None]:
    """Raises what decoding raises in the block as RequestError."""
    try:
        yield
    except BudgetSpent as spent:
        raise too_much_work() from spent
    except ImageTooLarge as error:
        raise RequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error)) from error
    except UnreadableImage as error:
        raise RequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, str(error)) from error


def known_vectors(model: Embedder, subject: Subject) -> Vectors:
    """Returns the vectors of words, or those that the ``subject`` itself has. Raises RequestError for vectors that
    ``model`` doesn't make, TextError for words that it cannot embed."""
    if isinstance(subject, QueryEmbedding):
        return model.mix([Part(_numbers(subject, model.identity.space(EMBEDDING)), of_text=None)])
    if isinstance(subject, str):
        return {name: array[0] for name, array in model.embed_text([subject]).items()}
    assert isinstance(subject, QueryCodes)
    given = {CODE: ("code", subject.code), DETAIL: ("detail_code", subject.detail)}
    return {
        name: _given(code, model.identity.space(name), field)
        for name, (field, code) in given.items()
        if code is not None
    }


def positions(picture: Picture) -> list[Picture]:
    """The square ``picture``, (size, size, 3), in its eight positions: itself first, turned, mirrored. Turning what is
    prepared and preparing what is turned differ by rounding alone. Raises RequestError for a picture that isn't
    square."""
    if picture.shape[0] != picture.shape[1]:
        raise bad_request("turned: the served model's pictures aren't square")
    sides = (picture, np.fliplr(picture))
    return [np.ascontiguousarray(np.rot90(side, quarters)) for side in sides for quarters in range(4)]


def _kept(view: OpenView, path: str) -> Vectors:
    """Returns the stored vectors of the image at ``path``."""
    entry = view.image(view.name_of(path))
    if entry is None:
        raise RequestError(HTTPStatus.NOT_FOUND, f"version {view.name} has no image {path[:200]}")
    return {space.name: space.array([entry.vectors[space.name]])[0] for space in view.model.spaces}


def _numbers(subject: QueryEmbedding, space: Space | None) -> NDArray[np.float64]:
    if space is None:
        raise bad_request("embedding: the served model makes codes alone")
    if len(subject.numbers) != space.width:
        raise bad_request(
            f"embedding has {space.width} numbers by the served model, and {len(subject.numbers)} are given"
        )
    numbers = np.array(subject.numbers)
    scaled: NDArray[np.float64] = numbers / np.abs(numbers).max()  # squares of large numbers would be infinite
    return scaled


def _given(code: bytes, space: Space | None, name: str) -> NDArray[Any]:
    if space is None or len(code) != space.row_bytes:
        wanted = f"has {2 * space.row_bytes} hex digits" if space else "is not known to the served model"
        raise bad_request(f"{name} {wanted}, and {2 * len(code)} are given")
    vector: NDArray[Any] = space.array([code])[0]
    return vector
