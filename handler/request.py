"""A parsed request: for images like a subject, or for the codes of pictures."""

from dataclasses import dataclass

from contract.names import DEFAULT_COLLECTION
from contract.query import DEFAULT_RANK, DEFAULT_TEXT_WEIGHT, DEFAULT_TOP_K, Crop, Rank
from handler.errors import RequestError
from searcher.filters import Filter


@dataclass(frozen=True)
class QueryCodes:
    """The ``code`` of a picture from an earlier answer, and its ``detail`` code if the client kept it."""

    code: bytes
    detail: bytes | None = None


@dataclass(frozen=True)
class IndexedImage:
    """The image at ``path`` in the searched collection."""

    path: str


@dataclass(frozen=True)
class QueryEmbedding:
    """An embedding that the client has."""

    numbers: tuple[float, ...]


@dataclass(frozen=True)
class Words:
    """What is said beside the subject: ``text`` of the ``weight`` from 0 to 1, the subject having the rest, and what
    images should not be like."""

    text: str | None = None
    weight: float = DEFAULT_TEXT_WEIGHT
    negative: str | None = None


#: An image file's bytes, words, codes, an embedding, or an image of the collection.
Subject = bytes | str | QueryCodes | QueryEmbedding | IndexedImage


@dataclass(frozen=True)
class SearchRequest:
    """A client wants the images most like ``subject``.

    It wants at most ``top_k`` images of ``collection`` whose metadata match ``where``, none farther than
    ``max_distance`` bits, ordered by ``rank``. ``debug`` adds all that is known of them, ``metadata`` their metadata.
    ``turned``: the subject, an image, is looked for in all eight positions. ``exact``: all embeddings are compared.
    ``words``: what the client says beside the subject. ``collapse``: the best of each picture alone is wanted; of the
    answers so far, ``diversity``: every n-th. ``crop``: whether the subject, an image, is cut down to its main object;
    None leaves that to the server.
    """

    subject: Subject
    top_k: int = DEFAULT_TOP_K
    debug: bool = False
    max_distance: int | None = None
    rank: Rank = DEFAULT_RANK
    collection: str = DEFAULT_COLLECTION
    where: Filter | None = None
    metadata: bool = False
    turned: bool = False
    exact: bool = False
    words: Words | None = None
    collapse: bool = False
    diversity: int = 1
    crop: Crop | None = None


@dataclass(frozen=True)
class CompletionRequest:
    """The gateway wants all vectors of pictures whose ``embeddings`` are known: rows of float16."""

    embeddings: list[bytes]


@dataclass(frozen=True)
class CodesRequest:
    """The gateway wants the codes of ``images``: each is a file's bytes, or the error that it caused."""

    images: list[bytes | RequestError]
