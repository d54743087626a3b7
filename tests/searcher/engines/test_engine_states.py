"""Whatever is done to an engine, it answers as a dict does: added, removed, added again, searched, filtered, listed."""

from itertools import count

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from searcher.engines.engine import ForeignEngine
from searcher.entry import Entry
from searcher.filters import parse_filter
from tests.milvus import MilvusServer
from tests.postgres import PostgresServer
from tests.searcher.engines.dict_engine import DictEngine
from tests.searcher.engines.opened import created
from tests.searcher.live.fixtures import DETAILED, addition, query

#: In an order that is another one by bytes of UTF-16, by case, or by an alphabet.
PATHS = ["a", "B", "a/b 'c'?%.png", "http://example.org/ä", "é", "\uffee", "\U0001f600"]
#: Few, so that many images are equally far.
CODES = [0x0000, 0x0001, 0x0003, 0xFFFF]
METADATA = [None, '{"size": 1}', '{"kind": "x", "size": 2}', '{"kind": null}', "[]"]
FILTERS = [
    None,
    parse_filter({"size": {"$gt": 1}}),
    parse_filter({"kind": {"$exists": True}}),
    parse_filter({"$not": {"size": 1}}),
    parse_filter({"$or": [{"kind": "x"}, {"size": None}]}),
]
ADDITIONS = st.builds(
    addition,
    st.sampled_from(PATHS),
    st.sampled_from(CODES),
    st.sampled_from([0, 1, 255]),
    st.sampled_from(METADATA),
    st.sampled_from([None, bytes(16)]),
)


@pytest.mark.parametrize(("name", "examples", "steps"), [("pgvector", 25, 15), ("milvus", 4, 8)])
def test_any_sequence(name: str, examples: int, steps: int, request: pytest.FixtureRequest) -> None:
    numbers = count()

    def opened() -> ForeignEngine:
        if name == "milvus":
            server: MilvusServer = request.getfixturevalue("milvus")
            return server.empty(DETAILED)
        postgres: PostgresServer = request.getfixturevalue("postgres")
        return created(postgres.address(), f"states{next(numbers)}", DETAILED)

    class States(RuleBasedStateMachine):
        """An engine and its twin, both empty at first."""

        def __init__(self) -> None:
            super().__init__()
            self.engine = opened()
            self.twin = DictEngine(DETAILED)

        def teardown(self) -> None:
            if name == "pgvector":
                self.engine.delete()

        @rule(given=st.lists(ADDITIONS, max_size=4))
        def add(self, given: list[Entry]) -> None:
            self.engine.add(given)
            self.twin.add(given)

        @rule(paths=st.lists(st.sampled_from([*PATHS, "nowhere"]), max_size=3))
        def remove(self, paths: list[str]) -> None:
            assert self.engine.remove(paths) == self.twin.remove(paths)

        @rule(
            code=st.sampled_from(CODES),
            detail=st.sampled_from([None, 0, 7]),
            top_k=st.sampled_from([1, 3, 9]),
            most=st.sampled_from([None, 1]),
            rank=st.sampled_from(["distance", "detail"]),
            where=st.sampled_from(FILTERS),
        )
        def search(self, code: int, detail: int | None, top_k: int, most: int | None, rank: str, where: object) -> None:
            asked = [query(code, 1 if detail is None and rank == "detail" else detail, top_k, most, rank)]
            assert where in FILTERS
            (found,), (right,) = self.engine.search(asked, where), self.twin.search(asked, where)
            assert (found.paths, found.distances, found.metadata) == (right.paths, right.distances, right.metadata)
            assert found.distances_by_space() == right.distances_by_space()

        @invariant()
        def it_holds_the_same(self) -> None:
            assert self.engine.get([*PATHS, "nowhere"]) == self.twin.get([*PATHS, "nowhere"])
            for where in FILTERS:
                assert self.engine.count(where) == self.twin.count(where)
                assert self.engine.list("a", 3, where) == self.twin.list("a", 3, where)

    run_state_machine_as_test(States, settings=settings(max_examples=examples, stateful_step_count=steps))
