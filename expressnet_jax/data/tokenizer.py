"""Text -> numbers of word pieces, by a vocabulary that is a tuple of strings and nothing else.

A piece at the beginning of a word or of a punctuation mark starts with "▁". The vocabulary is learned by byte-pair
encoding (Sennrich et al. 2016, section 3.2) and used by the longest match from the left, which needs no merges and is
no worse (Uzan et al. 2024, Greed is all you need). Shapes: N texts, L pieces that a network takes.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from expressnet_jax.errors import UserError

PADDING, UNKNOWN = 0, 1  # the numbers of the first two pieces
SPECIAL = ("[PAD]", "[UNK]")
_ALPHABET = 500  # single characters, the most frequent ones
_LONGEST_WORD = 100  # characters; a longer one is unknown
INSTALL = "pip install 'expressnet-jax[text]'"


def train_vocabulary(texts: Iterable[str], size: int) -> tuple[str, ...]:
    """Return at most `size` pieces, those of SPECIAL first; the same texts in the same order give the same ones.

    Raises:
      UserError: the package of the extra `text` is missing, or `size` leaves no room for the single characters.
    """
    library = _library()
    if size < 2 * _ALPHABET:
        raise UserError(f"vocabulary: {size}; at least {2 * _ALPHABET}, so that there is room for all characters")
    tokenizer = _with_words(library.models.BPE(unk_token=SPECIAL[UNKNOWN]))
    trainer = library.trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), limit_alphabet=_ALPHABET, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    numbers = tokenizer.get_vocab()
    return tuple(sorted(numbers, key=numbers.__getitem__))


def encode_texts(texts: Sequence[str], vocabulary: tuple[str, ...], length: int) -> np.ndarray:
    """Return the numbers of each text's first `length` pieces, int32[N,L]; the rest of a row is PADDING.

    Raises:
      UserError: the package of the extra `text` is missing.
    """
    numbers = np.full((len(texts), length), PADDING, np.int32)
    for row, encoding in zip(numbers, _tokenizer(vocabulary).encode_batch(list(texts)), strict=True):
        found = encoding.ids[:length]
        row[: len(found)] = found
    return numbers


def validate_and_encode_text(text: bytes) -> tuple[bytes, np.ndarray]:
    """Return the bytes to store, and the same as uint8[n,1], which stand for its pixels.

    Raises:
      UserError: there is nothing in it.
    """
    if not text.strip():
        raise UserError("the text is empty")
    return text, np.frombuffer(text, np.uint8)[:, None]


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise UserError(f"text needs {error.name}; {INSTALL}") from error
    return tokenizers


@lru_cache(maxsize=4)
def _tokenizer(vocabulary: tuple[str, ...]) -> Any:
    numbers = {piece: number for number, piece in enumerate(vocabulary)}
    settings = {"continuing_subword_prefix": "", "max_input_chars_per_word": _LONGEST_WORD}
    return _with_words(_library().models.WordPiece(numbers, unk_token=SPECIAL[UNKNOWN], **settings))


def _with_words(model: Any) -> Any:
    """Return a tokenizer whose words are lower case without accents, punctuation by itself, and begin with "▁"."""
    library = _library()
    words, mark = library.pre_tokenizers.BertPreTokenizer(), library.pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer = library.Tokenizer(model)
    tokenizer.normalizer = library.normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = library.pre_tokenizers.Sequence([words, mark])
    return tokenizer
