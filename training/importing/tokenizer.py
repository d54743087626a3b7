"""CLIP's tokenizer in the format of the library ``tokenizers``, which servers read.

Lower case, white space as one space; words, single digits and runs of other signs are pieces; each is a word of
byte-pair encoding (Sennrich et al., 2016) over the bytes of UTF-8, whose last part ends with ``</w>``. Unlike
open_clip's, it mends no text that was garbled by a wrong encoding, and resolves no HTML entities.
"""

import gzip
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

BEGIN, END = "<start_of_text>", "<end_of_text>"
#: Of the list: 256 bytes, 256 bytes that end a word, the merges, begin and end.
VOCABULARY = 49_408
_MERGES = VOCABULARY - 2 * 256 - 2
_PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def clip_tokenizer(merges: Path, context_length: int) -> Tokenizer:
    """Returns the tokenizer of the list of ``merges``, which pads with zeros up to ``context_length`` and cuts
    nothing."""
    lines = gzip.decompress(merges.read_bytes()).decode().split("\n")[1 : _MERGES + 1]
    pairs = [(left, right) for left, _, right in (line.partition(" ") for line in lines)]
    letters = list(_byte_letters().values())
    words = [*letters, *(f"{letter}</w>" for letter in letters), *(left + right for left, right in pairs), BEGIN, END]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A {END}", special_tokens=[(mark, vocabulary[mark]) for mark in (BEGIN, END)]
    )
    tokenizer.enable_padding(length=context_length, pad_id=0, pad_token=words[0])
    return tokenizer


def _byte_letters() -> dict[int, str]:
    """A printable letter for each byte, in the order of CLIP's list: those that are printable themselves first."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + place) for place, byte in enumerate(others)}
