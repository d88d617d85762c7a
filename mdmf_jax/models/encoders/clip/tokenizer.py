"""CLIP's byte-pair tokenizer: text to token ids.

Cleaning (ftfy, HTML entities, white space, lower case) is that of OpenAI's published code;
splitting and merging are done by the `tokenizers` library.
"""

import gzip
import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import ftfy
import numpy as np
import tokenizers
from tokenizers import models, pre_tokenizers

from mdmf_jax import files
from mdmf_jax.errors import UserError, WeightsError

START, END = "<|startoftext|>", "<|endoftext|>"
SUFFIX = "</w>"  # marks the last piece of a word

_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
_OPENAI_FILE = Path(__file__).parents[3] / "assets/openai_bpe/bpe_simple_vocab_16e6.txt.gz"
_OPENAI_MERGES = 49152 - 256 - 2  # the file holds more than CLIP uses


def byte_symbols() -> list[str]:
    """The 256 printable characters that stand for bytes, in the order of CLIP's vocabulary.

    Printable Latin-1 bytes stand for themselves; the others follow, as characters from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return [chr(byte) for byte in printable] + [chr(256 + i) for i in range(256 - len(printable))]


def build_vocab(merges: Iterable[tuple[str, str]]) -> dict[str, int]:
    """Piece -> id, in CLIP's order: bytes, bytes that end a word, merges, start, end."""
    symbols = byte_symbols()
    pieces = [*symbols, *(symbol + SUFFIX for symbol in symbols)]
    pieces += [left + right for left, right in merges]
    return {piece: index for index, piece in enumerate([*pieces, START, END])}


def clean(text: str) -> str:
    """Text as CLIP reads it: repaired Unicode, no HTML entities, single spaces, lower case."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return re.sub(r"\s+", " ", text).strip().lower()


class Tokenizer:
    """Byte-pair tokenizer over a CLIP vocabulary.

    Args:
      vocab: piece -> id; must hold the start and the end token.
      merges: pairs of pieces, first merges first.
      pad: id that fills a text up to the asked length (after the end token).
    """

    def __init__(
        self, vocab: Mapping[str, int], merges: Sequence[tuple[str, str]], pad: int = 0
    ) -> None:
        self.vocab, self.merges, self.pad = dict(vocab), list(merges), pad
        self.start, self.end = self.vocab[START], self.vocab[END]
        self._bpe = tokenizers.Tokenizer(
            models.BPE(
                vocab=self.vocab, merges=self.merges, end_of_word_suffix=SUFFIX, unk_token=END
            )
        )
        words = pre_tokenizers.Split(tokenizers.Regex(_SPLIT), behavior="removed", invert=True)
        to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence([words, to_bytes])
        self._bpe.add_special_tokens([START, END])

    @classmethod
    def openai(cls) -> "Tokenizer":
        """The tokenizer of OpenAI's CLIP (49,408 tokens, padded with 0)."""
        lines = gzip.decompress(_OPENAI_FILE.read_bytes()).decode("utf-8").split("\n")
        merges = [_pair(line) for line in lines[1 : _OPENAI_MERGES + 1]]
        return cls(build_vocab(merges), merges)

    @classmethod
    def from_huggingface(cls, directory: str | Path) -> "Tokenizer":
        """The tokenizer of a Hugging Face CLIP directory.

        Reads vocab.json and merges.txt or, where they are absent, tokenizer.json; padding is
        the pad token of special_tokens_map.json or tokenizer_config.json, else the end token.

        Raises:
          WeightsError: the files are missing, broken or do not fit each other.
        """
        directory = Path(directory)
        try:
            vocab, merges = _read_files(directory)
            pad = _pad_token(directory)
        except (ValueError, KeyError, TypeError) as error:
            if isinstance(error, WeightsError):
                raise
            raise WeightsError(f"{directory}: broken tokenizer files ({error!r})") from error
        missing = [piece for piece in (START, END, *map("".join, merges)) if piece not in vocab]
        if missing:
            raise WeightsError(f"{directory}: not in the vocabulary: {', '.join(missing[:5])}")
        return cls(vocab, merges, pad=vocab.get(pad, vocab[END]))

    def save(self, directory: str | Path) -> None:
        """Writes vocab.json, merges.txt and special_tokens_map.json (Hugging Face layout).

        The files name the end token as padding, also where this tokenizer pads with an
        ordinary piece: transformers would no longer read that piece as text.
        """
        directory = Path(directory)
        special = {"bos_token": START, "eos_token": END, "pad_token": END, "unk_token": END}
        lines = ["#version: 0.2", *(f"{left} {right}" for left, right in self.merges), ""]
        contents = {
            "vocab.json": json.dumps(self.vocab, ensure_ascii=False),
            "merges.txt": "\n".join(lines),
            "special_tokens_map.json": json.dumps(special),
        }
        for name, text in contents.items():
            files.write_whole(directory / name, text, WeightsError)

    def __call__(self, texts: Sequence[str], length: int, cut: bool = False) -> np.ndarray:
        """Token ids int32 [len(texts), length]: start, the text's tokens, end, padding.

        Args:
          cut: of longer texts the last tokens before the end token are left out.

        Raises:
          UserError: a text has more than `length` tokens, start and end included.
        """
        rows = np.full((len(texts), length), self.pad, np.int32)
        for row, text in zip(rows, texts, strict=True):
            ids = [self.start, *self._bpe.encode(clean(text)).ids, self.end]
            if cut and len(ids) > length:
                ids = [*ids[: length - 1], self.end]
            if len(ids) > length:
                raise UserError(
                    f"the text {text!r} has {len(ids)} tokens (start and end included), "
                    f"at most {length} fit: shorten it"
                )
            row[: len(ids)] = ids
        return rows


def _pair(line: str) -> tuple[str, str]:
    left, right = line.split()
    return left, right


def _read_files(directory: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    vocab, merges, single = (
        directory / name for name in ("vocab.json", "merges.txt", "tokenizer.json")
    )
    if vocab.is_file() and merges.is_file():
        lines = merges.read_text(encoding="utf-8").split("\n")
        pairs = [_pair(line) for line in lines if line and not line.startswith("#version")]
        return json.loads(vocab.read_text(encoding="utf-8")), pairs
    if single.is_file():
        model = json.loads(single.read_text(encoding="utf-8"))["model"]
        pairs = [_pair(m) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        return model["vocab"], pairs
    raise WeightsError(f"{directory}: no tokenizer: need vocab.json and merges.txt")


def _pad_token(directory: Path) -> str:
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        if (directory / name).is_file():
            token = json.loads((directory / name).read_text(encoding="utf-8")).get("pad_token")
            if token:
                return token["content"] if isinstance(token, dict) else token
    return END
