"""From text to numbers: cleaning, words and subwords, padding.

>>> import attendo as at
>>> texts = [at.text.clean_text(text) for text in ("The cat sat.", "The dog sat on the cat!")]
>>> tokenizer = at.text.Tokenizer(oov_token="<oov>")
>>> tokenizer.fit_on_texts(texts)
>>> at.text.pad_sequences(tokenizer.texts_to_sequences(texts), padding="post")
array([[2, 3, 4, 0, 0, 0],
       [2, 5, 4, 6, 2, 3]], dtype=int32)
"""

from __future__ import annotations

from ._text.chinese import segment
from ._text.clean import clean_text
from ._text.marian import MarianTokenizer
from ._text.masking import mask_tokens
from ._text.padding import next_token_pairs, pad_sequences
from ._text.pairs import cbow_pairs, skip_gram_pairs
from ._text.subword import SubwordTokenizer
from ._text.words import Tokenizer

__all__ = [
    "MarianTokenizer",
    "SubwordTokenizer",
    "Tokenizer",
    "cbow_pairs",
    "clean_text",
    "mask_tokens",
    "next_token_pairs",
    "pad_sequences",
    "segment",
    "skip_gram_pairs",
]

for _name in __all__:
    globals()[_name].__module__ = __name__  # where they are documented and found
del _name


def __dir__() -> list[str]:
    return __all__
