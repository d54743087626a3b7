"""Words: what they mean, and how a text is split into those that mean something."""

import pytest

from training.efficientnet import class_names
from training.vocabulary import BLOCKS, CONTEXT, PADDING, UNKNOWN, plain, plural, vocabulary, word_tokenizer

PHRASES = vocabulary()
TOKENIZER = word_tokenizer(PHRASES)


def concepts(phrase: str) -> set[str]:
    """Names of the concepts of ``phrase``: only few are looked up here."""
    return {class_names()[number] for number in PHRASES[phrase] if number < BLOCKS["classes"][1]}


def tokens(text: str) -> list[str]:
    found = TOKENIZER.encode(text)
    assert len(found.ids) == CONTEXT
    assert max(found.ids) < len(PHRASES) + 2
    return [token for token in found.tokens if token != PADDING]


def test_every_class_is_known_by_its_name() -> None:
    for number, name in enumerate(class_names()):
        assert number in PHRASES[plain(name)]


def test_synonyms_wider_and_narrower_terms_mean_classes() -> None:
    assert concepts("sofa") == {"studio couch"}
    assert concepts("airplane") == {"airliner", "warplane", "wing"}
    assert "goldfish" in concepts("animal")
    assert "tabby" in concepts("cats")
    assert not concepts("red")


def test_a_word_may_mean_a_class_and_a_colour() -> None:
    assert concepts("orange") == {"orange"}
    first, end = BLOCKS["colours"]
    assert sum(first <= number < end for number in PHRASES["orange"]) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("red striped dress", ["red", "striped", "dress"]),
        ("A photo of a Great White Shark!", [UNKNOWN] * 4 + ["great white shark"]),
        ("T-shirt", ["t shirt"]),
        ("t shirt", ["t shirt"]),
        ("redness", [UNKNOWN]),
        ("golden  retrievers", ["golden retrievers"]),
        ("été", [UNKNOWN]),
        ("", []),
    ],
)
def test_the_longest_phrase_is_one_token(text: str, expected: list[str]) -> None:
    assert tokens(text) == expected


def test_tokens_are_numbered_as_the_phrases() -> None:
    for place, phrase in enumerate(PHRASES):
        if place % 97 == 0:
            assert TOKENIZER.token_to_id(phrase) == place + 2


def test_plurals() -> None:
    assert [plural(word) for word in ("cat", "red fox", "puppy", "toy", "beach")] == [
        "cats",
        "red foxes",
        "puppies",
        "toys",
        "beaches",
    ]
