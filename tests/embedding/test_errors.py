"""Who asks for a word that a model doesn't know is told what it knows, or what it knows that is spelled like it."""

from embedding.errors import UnknownText

MANY = (*(f"thing {number}" for number in range(998)), "golden retriever", "Labrador retriever")


def test_a_few_classes_are_all_listed() -> None:
    assert str(UnknownText("shoe", ("Shirt", "Hat"))) == "'shoe' is no class of the model; it knows Shirt, Hat"


def test_of_many_classes_those_that_are_spelled_most_like_it() -> None:
    begin = "is no class of the model; it knows 1,000 classes, which its card lists"
    assert str(UnknownText("zeppelin", MANY)) == f"'zeppelin' {begin}"
    assert str(UnknownText("Retriever", MANY)).startswith(
        f"'Retriever' {begin}; spelled most like it: golden retriever, Labrador retriever"
    )
    assert (
        str(UnknownText("golden retreiver", MANY))
        == f"'golden retreiver' {begin}; spelled most like it: golden retriever, Labrador retriever"
    )


def test_a_long_text_is_cut() -> None:
    assert len(str(UnknownText("x" * 10_000, MANY))) < 300
