"""Cuts a document's text into segments that a model's text tower reads whole.

    pages ─▶ blocks: a page, or pieces of one that is too long ─▶ segments: blocks together, as far as there is room
                                                              ─▶ without those that say nothing

A segment begins with the last blocks of the one before, if they are short: what is said across a border is found too.
Tokens are counted by the model's own tokenizer.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

#: Most tokens of a segment, where the model reads more.
MOST_TOKENS = 100
#: Most tokens that a segment repeats of the one before.
_OVERLAP_TOKENS = 10
_BETWEEN = "\n\n"
#: Where a page that is too long is cut: between paragraphs, else lines, sentences, words, characters.
_CUTS = ("\n\n", "\n", ". ", " ", "")
_LEAST_CHARACTERS, _LEAST_DISTINCT = 20, 5
_LEAST_ALPHANUMERIC, _MOST_WEIRD = 0.2, 0.2


class Words(Protocol):
    """A model's tokenizer: counts tokens without its marks; ``room`` is how many a text may have."""

    @property
    def room(self) -> int: ...

    def count(self, text: str) -> int: ...


@dataclass(frozen=True)
class Segment:
    """``number``: from 0, in the document; ``page``: its first block's."""

    text: str
    page: int
    number: int
    tokens: int


def segments_of(pages: Iterable[tuple[int, str]], words: Words) -> list[Segment]:
    """Returns the segments of ``pages``, numbers and texts, in their order."""
    most = min(MOST_TOKENS, words.room)
    found = (
        (page, text) for page, text in _together([*_blocks(pages, words, most)], words, most) if says_something(text)
    )
    return [Segment(text, page, number, words.count(text)) for number, (page, text) in enumerate(found)]


def says_something(text: str) -> bool:
    """Whether a text is worth embedding: long and varied enough, of letters and digits for a fifth, and of mathematical
    letters, pictographs and replacement characters for a fifth at most."""
    bare = text.strip()
    if len(bare) < _LEAST_CHARACTERS or len(set(bare)) < _LEAST_DISTINCT:
        return False
    alphanumeric = sum(map(str.isalnum, bare)) / len(bare)
    return alphanumeric >= _LEAST_ALPHANUMERIC and sum(map(_is_weird, bare)) / len(bare) <= _MOST_WEIRD


def _is_weird(character: str) -> bool:
    code = ord(character)
    return 0x1D400 <= code <= 0x1D7FF or 0x1F000 <= code <= 0x1FAFF or code == 0xFFFD


def _blocks(pages: Iterable[tuple[int, str]], words: Words, most: int) -> Iterator[tuple[int, str]]:
    for page, text in pages:
        for piece in _pieces(text.strip(), words, most, _CUTS):
            yield page, piece


def _pieces(text: str, words: Words, most: int, cuts: Sequence[str]) -> Iterator[str]:
    """Yields ``text`` in pieces of ``most`` tokens at most, cut where it hurts least."""
    if not text:
        return
    if words.count(text) <= most:
        yield text
        return
    if not cuts[0]:
        half = len(text) // 2
        if half:  # a character of more tokens than there is room for is left out
            yield from _pieces(text[:half], words, most, cuts)
            yield from _pieces(text[half:], words, most, cuts)
        return
    held = ""
    for part in text.split(cuts[0]):
        joined = f"{held}{cuts[0]}{part}" if held else part
        if words.count(joined) <= most:
            held = joined
            continue
        if held:
            yield held.strip()
        held = ""
        if words.count(part) <= most:
            held = part
        else:
            yield from _pieces(part.strip(), words, most, cuts[1:])
    if held.strip():
        yield held.strip()


def _together(blocks: Sequence[tuple[int, str]], words: Words, most: int) -> Iterator[tuple[int, str]]:
    """Yields blocks that fit together as one text, with the first one's page."""
    held: list[tuple[int, str]] = []
    for block in blocks:
        if held and words.count(_joined([*held, block])) > most:
            yield held[0][0], _joined(held)
            held = _overlap(held, words)
            if held and words.count(_joined([*held, block])) > most:
                held = []
        held.append(block)
    if held:
        yield held[0][0], _joined(held)


def _overlap(held: Sequence[tuple[int, str]], words: Words) -> list[tuple[int, str]]:
    kept: list[tuple[int, str]] = []
    for block in reversed(held[1:]):
        if words.count(_joined([block, *kept])) > _OVERLAP_TOKENS:
            break
        kept.insert(0, block)
    return kept


def _joined(blocks: Iterable[tuple[int, str]]) -> str:
    return _BETWEEN.join(text for _, text in blocks)
