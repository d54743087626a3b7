"""The answer to a client: status, JSON, headers. ``contract.answer.QueryAnswer`` says what the fields mean."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from contract.answer import AnsweringModel
from contract.model import ModelIdentity
from contract.names import CODE_HEADER, DETAIL_HEADER
from contract.regions import regions_among
from contract.space import CODE, DETAIL, EMBEDDING, Vectors, as_numbers
from handler.errors import RequestError
from handler.request import IndexedImage, QueryEmbedding
from handler.searching import Search
from searcher.matches import Matches


@dataclass(frozen=True)
class Answer:
    """One request's HTTP status, JSON body and, in debug mode, headers."""

    status: HTTPStatus
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def refusal(error: RequestError) -> Answer:
    """Returns ``error`` in the shape that all our errors have."""
    return Answer(error.status, _json(error.body()), error.headers)


def search_answer(search: Search, matches: Matches, took: Mapping[str, float]) -> Answer:
    """Returns the matches as an answer; ``took`` holds the milliseconds of each step of the batch."""
    body: dict[str, Any] = {"index_database_version": search.view.name, "relevant": matches.paths}
    body |= regions_among(matches.paths, collapsed=search.request.collapse)
    if search.cropped is not None:
        body |= search.cropped.fields
    if search.request.words is None:  # it isn't measured how close mixtures are
        body |= closeness(search.view.model, matches, search.request.subject)
    headers = {}
    if search.request.debug:
        body |= _all_that_is_known(search, matches)
        headers = {
            header: search.vectors[name].tobytes().hex()
            for name, header in ((CODE, CODE_HEADER), (DETAIL, DETAIL_HEADER))
            if name in search.vectors
        }
        # The whole batch's times: its requests went through these steps together.
        headers["Server-Timing"] = ", ".join(f"{step};dur={time:.2f}" for step, time in took.items())
    text = _json(body)
    if search.request.metadata:  # JSON already
        each = ", ".join(metadata or "null" for metadata in matches.metadata)
        text = text[:-1] + f', "metadata": [{each}]}}'.encode()
    return Answer(HTTPStatus.OK, text, headers)


def closeness(model: ModelIdentity, matches: Matches, subject: object) -> dict[str, Any]:
    """Returns how close ``matches`` are, in the fields of ``QueryAnswer``; empty where that wasn't measured for
    ``model``. A ``subject`` that is a text is measured by a curve of its own, and of an embedding nobody knows whether
    it is of a text; one that is an image of the collection finds itself, which says nothing of the others."""
    calibration, of_text = model.calibration, isinstance(subject, str)
    if calibration is None or (isinstance(subject, QueryEmbedding) and model.text):
        return {}
    curve = calibration.curve(matches.ordered_by, of_text=of_text)
    if curve is None:
        return {}
    close = [curve.at(distance) for distance in matches.distances]
    asked = subject.path if isinstance(subject, IndexedImage) else None
    others = [each for path, each in zip(matches.paths, close, strict=True) if path != asked]
    nothing = calibration.finds_nothing(others or close, matches.ordered_by, of_text=of_text)
    return {"closeness": close, "nothing_like_it": nothing}


def vectors_answer(model: ModelIdentity, found: Sequence[Vectors | RequestError]) -> Answer:
    """Returns the vectors of several pictures; a picture that failed has its error instead."""
    hashed = [
        {"status": int(each.status), "message": str(each)}
        if isinstance(each, RequestError)
        else {"vectors": {name: vector.tobytes().hex() for name, vector in each.items()}}
        for each in found
    ]
    described = model.model_dump(include={"name", "sha256", "bits", "detail_bits"})
    return Answer(HTTPStatus.OK, _json({"model": described, "hashed": hashed}))


def _all_that_is_known(search: Search, matches: Matches) -> dict[str, Any]:
    """Returns the debug fields of the images found, all from the state of the collection that was searched."""
    vectors = dict(matches.vectors)
    embeddings = vectors.pop(EMBEDDING, None)
    known: dict[str, Any] = {
        "distances": matches.distances,
        "rows": matches.rows,
        "codes": {name: [vector.tobytes().hex() for vector in array] for name, array in vectors.items()},
        "distances_by_space": matches.distances_by_space(),
        "model": AnsweringModel.of(search.view.model).model_dump(mode="json"),
    }
    if embeddings is not None:
        known |= {"ordered_by": matches.ordered_by, "embeddings": as_numbers(embeddings)}
    return known


def _json(body: Mapping[str, Any]) -> bytes:
    # A client may have sent half a surrogate pair: it becomes its JSON escape.
    return json.dumps(body, ensure_ascii=False).encode(errors="backslashreplace")
