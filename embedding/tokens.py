"""Words → tokens, by the tokenizer inside a model's file.

``tokenizer.json`` is in the format of the library ``tokenizers`` (github.com/huggingface/tokenizers). It says it all:
how text is cleaned and split, the marks of begin and end, and the padding up to the context length.

    "a photo of a cat"  ─▶  49406 320 1125 539 320 2368 49407 0 0 … 0        (CLIP, 77 tokens)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from embedding.errors import ModelError, TooManyWords

TOKENIZER_FILE = "tokenizer.json"

#: No vocabulary has words so long on average; a text with more characters than this for each token isn't split at all.
_CHARACTERS_A_TOKEN = 64


class TextTokens:
    """The tokenizer in ``text``, for a text tower that reads ``context_length`` tokens. Raises ModelError, naming the
    file ``source``, for one that doesn't fit."""

    def __init__(self, text: str, context_length: int, source: str) -> None:
        self._context_length = context_length
        if not text:
            raise ModelError(f"{source} has a text tower, and no {TOKENIZER_FILE} inside")
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the library raises nothing narrower
            raise ModelError(f"{source} has a {TOKENIZER_FILE} that cannot be read: {error}") from error
        self._tokenizer.no_truncation()  # too many words are an error
        padded = len(self._tokenizer.encode("a").ids)
        if padded != context_length:
            raise ModelError(
                f"{source}: its {TOKENIZER_FILE} makes {padded} tokens of a letter; padding should make them "
                f"{context_length}, which the model reads"
            )

    def __call__(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """The tokens of ``texts``, int64 (n, context_length). Raises TooManyWords: nothing is cut."""
        return np.array([self._of(text) for text in texts], np.int64).reshape(len(texts), self._context_length)

    @property
    def room(self) -> int:
        """How many tokens a text may have beside the marks of begin and end."""
        return self._context_length - self._length("")

    def count(self, text: str) -> int:
        """Returns how many tokens ``text`` has beside the marks, of which there may be more than the tower reads."""
        return self._length(text) - self._length("")

    def _length(self, text: str) -> int:
        return sum(self._tokenizer.encode(text).attention_mask)

    def _of(self, text: str) -> list[int]:
        if len(text) > _CHARACTERS_A_TOKEN * self._context_length:
            raise TooManyWords(f"{len(text):,} characters", self._context_length)
        ids: list[int] = self._tokenizer.encode(text).ids
        if len(ids) > self._context_length:
            raise TooManyWords(f"{len(ids):,} tokens", self._context_length)
        return ids
