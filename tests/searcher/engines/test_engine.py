"""What every engine answers: the same as a dict that counts every distance."""

from random import Random

import pytest

from contract.registry import NotRegistered
from searcher.engines.engine import Engine
from searcher.engines.registry import ENGINES
from searcher.entry import Entry
from searcher.filters import parse_filter
from searcher.matches import Matches
from tests.searcher.engines.dict_engine import DictEngine
from tests.searcher.engines.opened import OPENED
from tests.searcher.live.fixtures import DETAILED, addition, query


@pytest.fixture(params=["exact", "pgvector", "milvus", "dict"])
def engine(request: pytest.FixtureRequest) -> Engine:
    """Each implementation, empty."""
    return OPENED[request.param](request, DETAILED)


#: Code and detail code: b and c are equally far from 0 by code, and c nearer by detail.
A = addition("a", 0x0001, 0xFF, '{"kind": "x", "size": 1}')
B = addition("b", 0x0000, 0x0F)
C = addition("c", 0x0000, 0x01, '{"size": 2}', bytes(16))
D = addition("d", 0xFFFF, 0x00, '{"kind": null, "size": 3}')


def paths(found: list[Matches]) -> list[list[str]]:
    return [matches.paths for matches in found]


class TestSearch:
    @pytest.fixture(autouse=True)
    def filled(self, engine: Engine) -> None:
        engine.add([A, B, C, D])

    def test_by_each_rank(self, engine: Engine) -> None:
        by_distance, by_code, by_detail = engine.search(
            [query(0, 0, 9), query(0, None, 9), query(0, 0, 9, None, "detail")]
        )
        assert (by_distance.paths, by_distance.distances) == (["c", "b", "a", "d"], [0, 0, 1, 16])
        assert (by_code.paths, by_code.distances) == (["b", "c", "a", "d"], [0, 0, 1, 16])
        assert (by_detail.paths, by_detail.distances) == (["d", "c", "b", "a"], [0, 1, 4, 8])
        assert by_distance.metadata == [C.metadata, None, A.metadata, D.metadata]

    def test_as_many_and_as_far_as_is_asked(self, engine: Engine) -> None:
        asked = [query(0, 0, 2), query(0, 0, 9, 1), query(0, 0, 1, 1, "detail"), query(0x00FF, 0, 9, 3)]
        assert paths(engine.search(asked)) == [["c", "b"], ["c", "b", "a"], ["c"], []]
        assert engine.search([]) == []

    def test_of_what_a_filter_lets_pass(self, engine: Engine) -> None:
        asked = [query(0, 0, 9)]
        assert paths(engine.search(asked, parse_filter({"size": {"$gt": 1}}))) == [["c", "d"]]
        assert paths(engine.search(asked, parse_filter({"kind": {"$exists": False}}))) == [["c", "b"]]
        assert paths(engine.search(asked, parse_filter({"size": 9}))) == [[]]

    def test_distances_and_vectors_in_every_space(self, engine: Engine) -> None:
        (both,), (code,) = engine.search([query(0, 0x0F, 3)]), engine.search([query(0, None, 1)])
        assert both.paths == ["b", "c", "a"]
        assert both.distances_by_space() == {"code": [0, 0, 1], "detail": [0, 3, 4]}
        assert both.vectors["detail"].tolist() == [[0x0F], [0x01], [0xFF]]
        assert code.distances_by_space() == {"code": [0]}

    def test_a_query_that_cannot_be_answered(self, engine: Engine) -> None:
        for wrong in (query(0, None, 1, None, "detail"), query(0, 0, 1, None, "nearest")):
            with pytest.raises(ValueError, match="rank"):
                engine.search([wrong])


class TestEntries:
    def test_it_begins_empty(self, engine: Engine) -> None:
        assert engine.identity == DETAILED
        assert (engine.count(), engine.list(), engine.get(["a"])) == (0, [], [None])
        assert paths(engine.search([query(0, 0, 9)])) == [[]]

    def test_entries_are_kept_whole(self, engine: Engine) -> None:
        engine.add([D, A])
        assert engine.get(["a", "x", "d"]) == [A, None, D]

    def test_pages_and_counts(self, engine: Engine) -> None:
        engine.add([D, C, A, B])
        sized = parse_filter({"size": {"$exists": True}})
        assert engine.list(limit=2) == [A, B] and engine.list("b", 2) == [C, D] and engine.list("d") == []
        assert engine.list("a", 1, sized) == [C]
        assert (engine.count(), engine.count(sized)) == (4, 3)

    def test_what_is_added_again_is_replaced_and_comes_last(self, engine: Engine) -> None:
        engine.add([A, B, C])
        again = addition("b", 0x0001, 0x0F, '{"size": 7}')
        engine.add([addition("b", 0xFFFF, 0), again])
        assert engine.get(["b"]) == [again] and engine.count() == 3
        assert paths(engine.search([query(0x0001, None, 9)])) == [["a", "b", "c"]]

    def test_what_is_removed_is_gone(self, engine: Engine) -> None:
        engine.add([A, B, C])
        assert engine.remove(["b", "x", "b", "c"]) == 2
        assert (engine.count(), engine.list(), engine.get(["b"])) == (1, [A], [None])
        assert paths(engine.search([query(0, 0, 9)])) == [["a"]]
        assert engine.remove(["b"]) == 0

    @pytest.mark.parametrize(
        "wrong",
        [addition("x", 0), Entry("x", {"code": b"\0", "detail": b"\0"}), addition("x", 0, 0, "{")],
        ids=["no detail", "another width", "no JSON"],
    )
    def test_all_are_added_or_none(self, wrong: Entry, engine: Engine) -> None:
        with pytest.raises(ValueError):
            engine.add([A, wrong])
        assert engine.count() == 0


def test_it_answers_as_the_dict_does_whatever_is_done(engine: Engine) -> None:
    random = Random(0)
    ours, twin = engine, DictEngine(DETAILED)
    for step in range(40):
        if random.random() < 0.3:
            gone = random.sample("abcdefgh", 2)
            assert ours.remove(gone) == twin.remove(gone)
        else:
            size = random.choice([None, '{"size": 1}', '{"size": 2}'])
            more = [addition(random.choice("abcdefgh"), random.getrandbits(2), random.getrandbits(2), size)]
            ours.add(more)
            twin.add(more)
        rank = random.choice(["distance", "detail"])
        asked = [query(random.getrandbits(2), 1, random.choice([1, 9]), random.choice([None, 1]), rank)]
        for where in (None, parse_filter({"size": {"$lte": 1}})):
            assert paths(ours.search(asked, where)) == paths(twin.search(asked, where)), step
            assert ours.list("b", 3, where) == twin.list("b", 3, where)
            assert ours.count(where) == twin.count(where)


def test_the_registry_knows_engines_by_their_addresses() -> None:
    assert ENGINES.names() == ["milvus", "milvus+http", "milvus+https", "postgres", "postgresql"]
    with pytest.raises(NotRegistered, match=r"there is no engine 'other'; there are: milvus, .*, postgresql"):
        ENGINES.get("other")
