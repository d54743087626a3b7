"""Collections of a model of floats: the nearest by cosine, of the version and of what was added since, as a brute force
over all of them finds; and what their manifests say."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from contract.model import ModelIdentity
from contract.space import CODE, EMBEDDING, Space
from searcher.collections import Collections
from searcher.entry import Entry
from searcher.filters import parse_filter
from searcher.live.collection import Collection
from searcher.scan.ranking import Query
from searcher.scan.shortlist import LEAST
from searcher.versions.manifest import MANIFEST_FILE
from tests.searcher.live import fixtures

WIDTH, BITS = 24, 64
MODEL = ModelIdentity(
    name="floats",
    sha256="f" * 64,
    spaces=(
        Space(name=CODE, width=BITS),
        Space(name=EMBEDDING, kind="float16", width=WIDTH, metric="cosine"),
    ),
    precision="float32",
    preprocessing={"image_size": 16},
)
_random = np.random.default_rng(3)
_ROTATION = _random.standard_normal((WIDTH, BITS))
_CENTRES = _random.standard_normal((30, WIDTH))


def embeddings(count: int, seed: int) -> NDArray[np.float16]:
    random = np.random.default_rng(seed)
    vectors = _CENTRES[random.integers(30, size=count)] + 0.6 * random.standard_normal((count, WIDTH))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def code_of(vector: NDArray[np.float16]) -> NDArray[np.uint8]:
    return np.packbits(vector.astype(float) @ _ROTATION > 0)


def entries(vectors: NDArray[np.float16], prefix: str) -> list[Entry]:
    return [
        Entry(
            f"{prefix}{row:05}",
            {CODE: code_of(vector).tobytes(), EMBEDDING: vector.tobytes()},
            json.dumps({"odd": row % 2}),
        )
        for row, vector in enumerate(vectors)
    ]


def asked(vector: NDArray[np.float16], top_k: int = 10, **more: bool) -> Query:
    return Query({CODE: code_of(vector), EMBEDDING: vector}, top_k, **more)


def nearest(images: list[Entry], vector: NDArray[np.float16], top_k: int) -> tuple[list[str], list[float]]:
    """Paths and distances by NumPy in float64; of equals, the first of ``images`` comes first."""
    rows = np.array([np.frombuffer(image.vectors[EMBEDDING], "<f2") for image in images]).astype(float)
    one = vector.astype(float)
    apart = 1 - rows @ one / np.sqrt((rows * rows).sum(axis=1) * (one * one).sum())
    order = np.argsort(apart, kind="stable")[:top_k]
    return [images[place].path for place in order], apart[order].tolist()


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    return Collections(tmp_path / "index_store").create("floats", MODEL)


def test_what_was_added_is_found_by_its_cosines(collection: Collection) -> None:
    images = entries(embeddings(200, 1), "a")
    images[7:9] = [Entry(f"same{each}", images[3].vectors, images[3].metadata) for each in range(2)]
    collection.add(images)
    for query in embeddings(5, 2):
        (found,) = collection.view().search([asked(query)])
        assert (found.paths, found.distances) == nearest(images, query, 10)
        assert (found.ordered_by, found.distances_by_space()[EMBEDDING]) == (EMBEDDING, found.distances)
        (odd,) = collection.view().search([asked(query)], parse_filter({"odd": 1}))
        assert odd.paths == nearest([each for each in images if '"odd": 1' in (each.metadata or "")], query, 10)[0]
    (found,) = collection.view().search([asked(np.frombuffer(images[3].vectors[EMBEDDING], "<f2"), 3)])
    assert found.paths == [images[3].path, "same0", "same1"]
    assert found.distances == pytest.approx([0, 0, 0], abs=1e-12)


def test_folded_it_answers_by_shortlists_whose_recall_it_says(collection: Collection) -> None:
    images = entries(embeddings(LEAST + 200, 1), "a")
    collection.add(images)
    manifest = collection.fold()
    assert manifest is not None
    said = json.loads((collection.folder / manifest.version / MANIFEST_FILE).read_text())["shortlists"]
    assert [(each["top_k"], each["queries"]) for each in said] == [(10, 256), (100, 256), (1000, 256)]
    assert all(each["recall"] >= 0.99 and each["top_k"] < each["size"] < manifest.count for each in said)

    queries = embeddings(60, 9)
    collection.view().version.warm_up()
    exact = collection.view().search([asked(query, exact=True) for query in queries])
    right = [nearest(images, query, 10) for query in queries]
    assert [(each.paths, each.distances) for each in exact] == right
    found = collection.view().search([asked(query) for query in queries])
    held = [len({*one.paths} & {*paths}) for one, (paths, _) in zip(found, right, strict=True)]
    assert sum(held) >= 0.97 * 10 * len(queries)  # of other pictures than those that were measured
    for one, query in zip(found, queries, strict=True):  # the nearest of the shortlist, in their order
        distances = dict(zip(*nearest(images, query, len(images)), strict=True))
        assert one.distances == [distances[path] for path in one.paths] == sorted(one.distances)

    more = entries(embeddings(50, 4), "b")
    collection.add([*more, Entry("a00000", more[0].vectors), Entry("a00001", more[1].vectors)])
    collection.remove(["a00002"])
    images = [*images[3:], *more, Entry("a00000", more[0].vectors), Entry("a00001", more[1].vectors)]
    (found, exact) = collection.view().search([asked(queries[0], 100), asked(queries[0], 100, exact=True)])
    assert (exact.paths, exact.distances) == nearest(images, queries[0], 100)
    assert len({*found.paths} & {*exact.paths}) >= 97
    (found,) = collection.view().search([asked(np.frombuffer(more[0].vectors[EMBEDDING], "<f2"), 2)])
    assert found.paths == ["b00000", "a00000"]


def test_codes_still_choose_and_find(collection: Collection) -> None:
    images = entries(embeddings(200, 1), "a")
    collection.add(images)
    query = embeddings(1, 2)[0]
    apart = {each.path: fixtures.apart(each.vectors[CODE], code_of(query).tobytes()) for each in images}
    near = [each for each in images if apart[each.path] <= 24]
    (chosen,) = collection.view().search([Query({CODE: code_of(query), EMBEDDING: query}, 200, max_distance=24)])
    assert chosen.paths == nearest(near, query, 200)[0] and 0 < len(near) < 200
    (by_code,) = collection.view().search([Query({CODE: code_of(query)}, 5)])
    assert (by_code.ordered_by, by_code.distances) == (CODE, sorted(apart.values())[:5])
    (by_floats,) = collection.view().search([Query({EMBEDDING: query}, 5)])
    assert by_floats.paths == nearest(images, query, 5)[0]


def test_a_query_of_another_width_is_refused(collection: Collection) -> None:
    collection.add(entries(embeddings(2, 1), "a"))
    with pytest.raises(ValueError, match=r"a query's embedding must be float16 \(24,\), and is float16 \(3,\)"):
        collection.view().search([Query({CODE: code_of(embeddings(1, 1)[0]), EMBEDDING: np.ones(3, np.float16)})])


def test_versions_of_codes_alone_say_nothing_of_floats(tmp_path: Path) -> None:
    collection = Collections(tmp_path / "index_store").create("codes", fixtures.MODEL)
    collection.add([fixtures.addition("a", 1)])
    manifest = collection.fold()
    assert manifest is not None
    assert "shortlists" not in (collection.folder / manifest.version / MANIFEST_FILE).read_text()
