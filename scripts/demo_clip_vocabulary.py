"""A small byte-pair vocabulary in CLIP's format, learnt from a list of words."""

from collections import Counter
from collections.abc import Sequence

from mdmf_jax.models.encoders.clip.tokenizer import SUFFIX, Tokenizer, build_vocab

Pieces = tuple[str, ...]


def learn_merges(words: Sequence[str]) -> list[tuple[str, str]]:
    """Byte-pair merges (Sennrich et al. 2016) that make each of the words one piece.

    The most frequent pair merges first; of equally frequent ones the last in the alphabet.
    """
    pieces = [(*word[:-1], word[-1] + SUFFIX) for word in words]
    merges = []
    while any(len(word) > 1 for word in pieces):
        counts = Counter(pair for word in pieces for pair in zip(word, word[1:], strict=False))
        best = max(counts, key=lambda pair: (counts[pair], pair))
        merges.append(best)
        pieces = [_merge(word, best) for word in pieces]
    return merges


def _merge(word: Pieces, pair: tuple[str, str]) -> Pieces:
    merged: list[str] = []
    for piece in word:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return tuple(merged)


def caption_tokenizer(captions: Sequence[str]) -> Tokenizer:
    """Tokenizer over 256 bytes, 256 bytes that end a word, and the captions' words (in ASCII)."""
    words = sorted({word for caption in captions for word in caption.split()})
    merges = learn_merges(words)
    vocab = build_vocab(merges)
    return Tokenizer(vocab, merges, pad=max(vocab.values()))
