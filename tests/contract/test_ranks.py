"""The ranks that a request may name are those that the searcher knows."""

from contract.query import RANKS
from searcher.scan import ranking


def test_every_rank_of_a_request_can_be_ranked_by() -> None:
    assert set(RANKS) == ranking.RANKS.keys()
