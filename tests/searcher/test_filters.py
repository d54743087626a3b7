"""A filter is read into a tree, or refused by name."""

from typing import Any

import pytest

from searcher.errors import FilterError, SearcherError
from searcher.filters import And, Comparison, Exists, KeyPath, Not, OneOf, Or, parse_filter

OPERATORS = "$eq, $ne, $lt, $lte, $gt, $gte, $in, $nin, $contains, $exists and $not"


class TestTree:
    def test_every_kind_of_node(self) -> None:
        given = {"size.0": {"$gt": 1, "$ne": None}, "$or": [{"kind": "x"}, {"$not": {"a": {"$exists": False}}}]}
        size = KeyPath(("size", "0"))
        assert parse_filter(given).root == And(
            (
                And((Comparison(size, ">", 1), Not(OneOf(size, (None,))))),
                Or(
                    (
                        And((OneOf(KeyPath(("kind",)), ("x",)),)),
                        And((Not(And((And((Exists(KeyPath(("a",)), False),)),))),)),
                    )
                ),
            )
        )

    @pytest.mark.parametrize(
        ("path", "parts"),
        [
            ("a", ["a"]),
            ("a.b", ["a", "b"]),
            ("a\\.b", ["a.b"]),
            ("a\\\\.b", ["a\\", "b"]),
            ("\\$and", ["$and"]),
            ("a.$b", ["a", "$b"]),
            ("", [""]),
            (".", ["", ""]),
            ("a..b", ["a", "", "b"]),
            ('a") OR 1=1 --', ['a") OR 1=1 --']),
            ("a\n.\t", ["a\n", "\t"]),
        ],
    )
    def test_every_key_has_a_path(self, path: str, parts: list[str]) -> None:
        assert parse_filter({path: 1}).root == And((OneOf(KeyPath(tuple(parts)), (1,)),))


class TestText:
    def test_it_is_canonical(self) -> None:
        one = parse_filter({"b": 1, "a": {"$lt": 2, "$gt": 0}})
        other = parse_filter({"a": {"$gt": 0, "$lt": 2}, "b": 1})
        assert one.text == other.text == '{"a":{"$gt":0,"$lt":2},"b":1}'

    def test_it_tells_kinds_apart(self) -> None:
        assert len({parse_filter({"a": value}).text for value in (1, 1.0, "1", True, None)}) == 5


def nested(levels: int) -> dict[str, Any]:
    return {"$not": nested(levels - 1)} if levels else {}


class TestRefusals:
    @pytest.mark.parametrize(
        ("given", "message"),
        [
            (None, "a filter must be an object, not null"),
            ([], "a filter must be an object, not a list"),
            ("a", "a filter must be an object, not a string"),
            ({"$and": []}, "$and needs a list of one or more filters"),
            ({"$or": {"a": 1}}, "$or needs a list of one or more filters"),
            ({"$or": [{"a": 1}, 2]}, "each filter of $or must be an object, not a number"),
            ({"$not": [{"a": 1}]}, "the filter of $not must be an object, not a list"),
            ({"$nor": []}, "$nor is no operator between filters: there are $and, $or and $not, and \\$ begins a key"),
            ({"$eq": 1}, "$eq is no operator between filters: there are $and, $or and $not, and \\$ begins a key"),
            ({"$": 1}, "'$' is no operator between filters: there are $and, $or and $not, and \\$ begins a key"),
            ({"$\n": 1}, "'$\\n' is no operator between filters: there are $and, $or and $not, and \\$ begins a key"),
            ({"a": {}}, "'a': an object holds operators, and this one none"),
            ({"a": {"$not": {}}}, "'a': an object holds operators, and this one none"),
            ({"a": {"width": 1}},
             f"'a': 'width' is no operator: there are {OPERATORS}"),
            ({"a.b": {"$regex": "x"}},
             f"'a.b': $regex is no operator: there are {OPERATORS}"),
            ({"a": [1]}, "'a': $eq needs a scalar, not a list"),
            ({"a": {"$eq": {"b": 1}}}, "'a': $eq needs a scalar, not an object"),
            ({"a": {"$ne": [1]}}, "'a': $ne needs a scalar, not a list"),
            ({"a": {"$lt": None}}, "'a': $lt compares with a number or a string, not null"),
            ({"a": {"$gte": True}}, "'a': $gte compares with a number or a string, not true"),
            ({"a": {"$gt": [1]}}, "'a': $gt needs a scalar, not a list"),
            ({"a": {"$in": "abc"}}, "'a': $in needs a list of at most 1,000 values"),
            ({"a": {"$in": [1] * 1001}}, "'a': $in needs a list of at most 1,000 values"),
            ({"a": {"$in": [[1]]}}, "'a': $in needs a scalar, not a list"),
            ({"a": {"$exists": 1}}, "'a': $exists needs true or false, not a number"),
            ({"a": {"$exists": None}}, "'a': $exists needs true or false, not null"),
            ({"a": float("nan")}, "'a': $eq needs a finite number"),
            ({"a": {"$lt": float("inf")}}, "'a': $lt needs a finite number"),
            ({"a": {"$in": [1, -float("inf")]}}, "'a': $in needs a finite number"),
            ({"a": 2**63}, "'a': $eq needs an integer of at most 64 bits"),
            ({"a": {"$gt": -(2**63) - 1}}, "'a': $gt needs an integer of at most 64 bits"),
            ({"a": {"$in": [10**400]}}, "'a': $in needs an integer of at most 64 bits"),
            ({"a": "x\0"},
             "'a': $eq has a character that SQLite cannot compare: zero, or half of a surrogate pair"),
            ({"a": {"$in": ["\ud800"]}},
             "'a': $in has a character that SQLite cannot compare: zero, or half of a surrogate pair"),
            ({"a\udfff": 1},
             "'a\\udfff' has a character that SQLite cannot compare: zero, or half of a surrogate pair"),
            ({"a": {"$contains": [1]}}, "'a': $contains needs a scalar, not a list"),
            ({"a": {"$nin": 1}}, "'a': $nin needs a list of at most 1,000 values"),
            ({"a\\b": 1}, "'a\\\\b': a backslash stands before a dot, a dollar sign or another backslash"),
            ({"a\\": 1}, "'a\\\\': a backslash stands before a dot, a dollar sign or another backslash"),
            ({".".join("a" * 101): 1}, "'" + ".".join("a" * 101)[:80] + "…': a path has at most 100 parts"),
            ({".".join('"' * 5): 1},
             "'\".\".\".\".\"': at most 4 parts have quotes, backslashes or control characters"),
            ({"$or": [{".".join("a" * 99): 1}] * 21},
             "'" + ".".join("a" * 99)[:80] + "…': the paths of a filter have at most 2,000 parts together"),
            (nested(16), "the filter of $not: filters are at most 16 deep"),
            ({"a": {"$not": {"$not": 1}} | {"$lt": 1}} | {"$and": [nested(15)]},
             "the filter of $not: filters are at most 16 deep"),
            ({"$or": [{}] * 200}, "each filter of $or: a filter has at most 200 filters and tests in it"),
            ({"a": {"$eq": 1, "$ne": 2}, "$and": [{"b": 1}] * 99},
             "'b': $eq: a filter has at most 200 filters and tests in it"),
            ({"a": "x" * 65_529}, "a filter has at most 65,536 characters, and this one 65,537"),
            ({"$" + "x" * 1000: 1},
             "'$" + "x" * 79 + "…' is no operator between filters: there are $and, $or and $not, and \\$ begins a key"),
        ],
    )  # fmt: skip
    def test_they_name_what_is_wrong(self, given: Any, message: str) -> None:
        with pytest.raises(FilterError) as refused:
            parse_filter(given)
        assert str(refused.value) == message

    def test_a_test_is_never_too_deep_for_python(self) -> None:
        test: Any = 1
        for _ in range(100_000):
            test = {"$not": test}
        with pytest.raises(FilterError, match=r"'a': \$not: filters are at most 16 deep"):
            parse_filter({"a": test})

    def test_they_are_errors_of_the_searcher(self) -> None:
        assert issubclass(FilterError, SearcherError)
