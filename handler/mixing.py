"""One query from several things: a picture and words, and words to keep away from.

    (1 − w) · picture + w · text − ½ · negative text          each at length 1, and so is what comes out

Where something is missing, what is there counts whole: words alone, less other words.
"""

from collections.abc import Sequence

from contract.space import EMBEDDING, Vectors
from embedding.embedder import Embedder
from embedding.errors import NoMixture
from embedding.part import Part
from handler.errors import bad_request
from handler.request import Words

NEGATIVE_WEIGHT = 0.5


def word_parts(model: Embedder, words: Words) -> list[Part]:
    """Returns the parts that ``words`` have in a query. Raises RequestError for a model whose pictures and words share
    no embeddings, TextError for words that it cannot embed."""
    if model.identity.space(EMBEDDING) is None or not model.identity.text:
        what = "text beside a picture" if words.text is not None else "negative_text"
        raise bad_request(f"{what} needs a model that takes any words; {model.identity.name} is none")
    weighted = ((words.text, words.weight), (words.negative, -NEGATIVE_WEIGHT))
    return [
        Part(model.embed_text([text])[EMBEDDING][0], weight, of_text=True)
        for text, weight in weighted
        if text is not None
    ]


def mixed(model: Embedder, subject: Vectors, words: Words, parts: Sequence[Part], *, of_text: bool) -> Vectors:
    """Returns the vectors of a query about ``subject``, a text or a picture, and the ``parts`` of ``words``. Raises
    RequestError where nothing is left."""
    weight = 1.0 - (words.weight if words.text is not None else 0.0)
    try:
        return model.mix([Part(subject[EMBEDDING], weight, of_text=of_text), *parts])
    except NoMixture as error:
        raise bad_request(f"text_weight and negative_text: {error}") from error
