"""Words of English, and what each says about a picture.

    "red striped dresses"  ─▶  "red" "striped" "dresses"  ─▶  colour red, pattern stripes, garment dress, class gown

Concepts are ImageNet's 1,000 classes, then kinds of garments, colours and patterns. A phrase ("great white shark") is
one token, the longest that fits, so its parts don't count apart. Words that say nothing of a picture ("a photo of
the"), and those that aren't known, are one and the same token.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from training.colours import COLOURS
from training.efficientnet import class_names
from training.garments import GARMENTS, PATTERNS

#: The first tokens: whatever isn't known, and what fills the rest of the context.
UNKNOWN, PADDING = "[UNK]", "[PAD]"
#: The most tokens of a text.
CONTEXT = 32

CLASSES = len(class_names())
#: Where each kind of concept begins and ends.
BLOCKS = {
    "classes": (0, CLASSES),
    "garments": (CLASSES, CLASSES + len(GARMENTS)),
    "colours": (CLASSES + len(GARMENTS), CLASSES + len(GARMENTS) + len(COLOURS)),
    "patterns": (CLASSES + len(GARMENTS) + len(COLOURS), CLASSES + len(GARMENTS) + len(COLOURS) + len(PATTERNS)),
}
CONCEPTS = BLOCKS["patterns"][1]

#: Further words for colours.
_COLOUR_WORDS = {
    "grey": ("gray", "silver"),
    "navy": ("navy blue", "dark blue"),
    "blue": ("light blue", "sky blue", "turquoise", "teal"),
    "green": ("olive", "khaki", "lime"),
    "purple": ("violet", "lilac", "lavender"),
    "red": ("crimson", "scarlet", "maroon"),
    "beige": ("cream", "tan", "ivory"),
    "yellow": ("golden", "mustard"),
    "pink": ("rose", "magenta"),
}

#: Longest first part that a plural's last word keeps: "box" → "boxes".
_ES = re.compile(r"(s|x|z|ch|sh)$")


def plain(phrase: str) -> str:
    """``phrase`` as the tokenizer sees it: lower-case words, one space between them."""
    return " ".join(re.sub(r"[^\w']+|_", " ", phrase.lower()).split())


def plural(phrase: str) -> str:
    """A regular plural of the last word of ``phrase``: "red fox" → "red foxes"."""
    if re.search(r"[^aeiou]y$", phrase):
        return phrase[:-1] + "ies"
    return phrase + ("es" if _ES.search(phrase) else "s")


def vocabulary() -> dict[str, tuple[int, ...]]:
    """Every phrase that is known, as ``plain`` writes it, with the numbers of its concepts, ascending."""
    found: dict[str, set[int]] = {}
    for phrase, classes in _class_words().items():
        found.setdefault(plain(phrase), set()).update(classes)
    for block, words in (("garments", GARMENTS), ("colours", _colour_words()), ("patterns", PATTERNS)):
        for place, some in enumerate(words.values()):
            for word in some:
                found.setdefault(plain(word), set()).add(BLOCKS[block][0] + place)
    for phrase in list(found):
        found.setdefault(plural(phrase), found[phrase])
    return {phrase: tuple(sorted(concepts)) for phrase, concepts in sorted(found.items())}


def _colour_words() -> dict[str, tuple[str, ...]]:
    return {name: (name, *_COLOUR_WORDS.get(name, ())) for name in COLOURS}


def _class_words() -> dict[str, set[int]]:
    """The classes' names and the phrases of imagenet_words.txt, with the numbers of their classes."""
    found = {name: {number} for number, name in enumerate(class_names())}
    lines = Path(__file__).with_name("imagenet_words.txt").read_text(encoding="utf-8").splitlines()
    for line in lines:
        if not line.startswith("#"):
            phrases, ranges = line.split("\t")
            ends = [[int(end) for end in part.split("-")] for part in ranges.split()]
            numbers = {number for end in ends for number in range(end[0], end[-1] + 1)}
            for phrase in phrases.split(", "):
                found.setdefault(phrase, set()).update(numbers)
    return found


def word_tokenizer(phrases: Mapping[str, object]) -> Tokenizer:
    """The tokenizer that finds ``phrases``, written as by ``plain``: token 2 is the first of them, in their order."""
    tokens = {word: place for place, word in enumerate((UNKNOWN, PADDING, *phrases))}
    tokenizer = Tokenizer(models.WordLevel(tokens, unk_token=UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"[^\p{L}\p{N}\p{M}']+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    # Of several words: the longest that begins at a place is taken whole.
    tokenizer.add_tokens([AddedToken(phrase, single_word=True, normalized=True) for phrase in phrases if " " in phrase])
    tokenizer.enable_padding(length=CONTEXT, pad_id=1, pad_token=PADDING)
    return tokenizer
