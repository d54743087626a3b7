"""Fewer answers than are found: the best of each picture, or every n-th.

    the 4 nearest: a#1 a#2 a#3 b#1 ─▶ two pictures, and four are wanted
    the 16 nearest: a#1 a#2 a#3 b#1 b#2 c#1 d#1 … ─▶ a#1 b#1 c#1 d#1

More is asked for until there are enough pictures, or no more images: so the answer is that of a search over pictures
alone, exactly.
"""

from collections.abc import Callable

from contract.regions import best_of_each
from searcher.errors import TooFewPictures
from searcher.matches import Matches

#: More images are never looked through for one answer.
MOST = 65_536
#: Images that are asked for first for each picture wanted, and how many times as many next.
_FARTHER = 4


def thinned(find: Callable[[int], Matches], top_k: int, *, collapse: bool = False, diversity: int = 1) -> Matches:
    """Returns ``top_k`` of what ``find`` finds, which returns the nearest images, as many as it is asked for: the best
    of each picture alone if they ``collapse``, and of these every ``diversity``-th. Raises TooFewPictures."""
    wanted = top_k * diversity
    if not collapse:
        found = find(wanted)
        return found if diversity == 1 else found.chosen(range(0, len(found.paths), diversity))
    asked = min(wanted * _FARTHER, MOST)
    while True:
        found = find(asked)
        places = best_of_each(found.paths)[:wanted]
        if len(places) == wanted or len(found.paths) < asked:
            return found.chosen(places[::diversity])
        if asked == MOST:
            raise TooFewPictures(len(places), MOST)
        asked = min(asked * _FARTHER, MOST)
