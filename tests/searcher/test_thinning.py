"""The best of each picture are those that a search over pictures alone would give, whatever is asked for first."""

import random

import numpy as np
import pytest

from searcher import thinning
from searcher.errors import TooFewPictures
from searcher.matches import Matches
from searcher.thinning import thinned


class Images:
    """Images in the order of a search, and how many of them were asked for."""

    def __init__(self, names: list[str]) -> None:
        self.names = names
        self.asked: list[int] = []

    def find(self, top_k: int) -> Matches:
        self.asked.append(top_k)
        names = self.names[:top_k]
        numbers = list(range(len(names)))
        codes = np.array(numbers, np.uint8)[:, None]
        return Matches(
            names, numbers, [None] * len(names), [*numbers], {"code": codes}, (), lambda: {"code": codes}, "code", names
        )


@pytest.mark.parametrize("seed", range(20))
def test_as_a_search_over_pictures(seed: int) -> None:
    chance = random.Random(seed)
    pictures = chance.randint(1, 30)
    names = [f"{chance.randrange(pictures)}.jpg#xywh={number},0,9,9" for number in range(200)]
    first = {name.partition("#")[0]: name for name in reversed(names)}
    expected = sorted(first.values(), key=names.index)
    top_k, diversity = chance.randint(1, 12), chance.choice([1, 1, 2, 3])
    found = thinned(Images(names).find, top_k, collapse=True, diversity=diversity)
    assert found.paths == expected[: top_k * diversity : diversity]
    places = [names.index(name) for name in found.paths]
    assert (found.distances, found.rows, found.places) == (places, places, found.paths)
    assert found.vectors["code"][:, 0].tolist() == found.query["code"][:, 0].tolist() == places


def test_no_more_is_asked_for_than_it_takes() -> None:
    many = Images([f"{number // 30}.jpg#xywh={number},0,9,9" for number in range(1000)])
    assert len(thinned(many.find, 3, collapse=True).paths) == 3
    assert many.asked == [12, 48, 192]
    plain = Images(["a", "b", "c", "d", "e"])
    assert thinned(plain.find, 2).paths == ["a", "b"]
    assert thinned(plain.find, 2, diversity=2).paths == ["a", "c"]
    assert thinned(plain.find, 9, diversity=2).paths == ["a", "c", "e"]
    assert plain.asked == [2, 4, 18]


def test_a_picture_with_too_many_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thinning, "MOST", 50)
    images = Images([f"a.jpg#xywh={number},0,9,9" for number in range(100)])
    with pytest.raises(TooFewPictures, match="the 50 nearest images are of 1 pictures: ask for no more"):
        thinned(images.find, 2, collapse=True)
    assert thinned(images.find, 1, collapse=True).paths == ["a.jpg#xywh=0,0,9,9"]
    assert images.asked == [8, 32, 50, 4]
