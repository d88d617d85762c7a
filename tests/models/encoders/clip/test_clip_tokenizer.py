import gzip
import html
import json
import warnings
from pathlib import Path

import ftfy
import numpy as np
import pytest
import regex

import mdmf_jax
from mdmf_jax.errors import UserError, WeightsError
from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer

VOCABULARY = Path(mdmf_jax.__file__).parent / "assets/openai_bpe/bpe_simple_vocab_16e6.txt.gz"
PATTERN = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"
)
TEXTS = [
    "a photo of a cat",
    "Apply Eye Makeup!",
    "  several \t kinds\nof \u00a0 space ",
    "caf\u00e9 na\u00efve \u00c5ngstr\u00f6m cafe\u0301",
    "smile \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467 flags \U0001f1e9\U0001f1ea",
    "rock &amp; roll, &amp;amp;lt;b&amp;gt; &quot;x&quot; &eacute;",
    "\u201ccurly\u201d \u2018quotes\u2019 it\u2019s they'll we've I'm o'clock 's",
    "\ufb01ne \ufb02ow \ufb03 ligatures",
    "1234 3.14 2nd x2y \u00bd \u0663\u0664 \u2167",
    "\u4f60\u597d \u0440\u0443\u0441\u0441\u043a\u0438\u0439 \u0e44\u0e17\u0e22 \u0627\u0644",
    "\u0395\u03bb\u03bb\u03b7\u03bd\u03b9\u03ba\u03cc\u03c2 \u039f\u0394\u039f\u03a3",
    "don't -- [stop]... #hash_tag @you http://a.b/c?d=e&f=g",
    "schÃ¶n mojibake â\u20ac\u2122s",
    "a<|endoftext|>b <|startoftext|>",
    "antidisestablishmentarianism pneumonoultramicroscopicsilicovolcanoconiosis",
    "",
]  # fmt: skip


class PlainBPE:
    """Byte-pair encoding as published (Sennrich et al. 2016; byte level as in GPT-2)."""

    def __init__(self):
        lines = gzip.decompress(VOCABULARY.read_bytes()).decode().split("\n")
        merges = [tuple(line.split()) for line in lines[1:48895]]
        visible = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
        hidden = [b for b in range(256) if b not in visible]
        self.letter = {b: chr(b) for b in visible} | {b: chr(256 + i) for i, b in enumerate(hidden)}
        letters = [self.letter[b] for b in visible + hidden]
        words = letters + [c + "</w>" for c in letters] + ["".join(pair) for pair in merges]
        self.ids = {word: i for i, word in enumerate(words)}
        self.ids |= {"<|startoftext|>": 49406, "<|endoftext|>": 49407}
        self.rank = {pair: i for i, pair in enumerate(merges)}

    def word(self, word):
        if word in ("<|startoftext|>", "<|endoftext|>"):
            return [self.ids[word]]
        pieces = [self.letter[b] for b in word.encode()]
        pieces[-1] += "</w>"
        while True:
            ranks = [self.rank.get(pair, 10**9) for pair in zip(pieces, pieces[1:], strict=False)]
            if not ranks or min(ranks) == 10**9:
                return [self.ids[piece] for piece in pieces]
            best = ranks.index(min(ranks))
            left, right = pieces[best : best + 2]
            out, i = [], 0
            while i < len(pieces):
                if pieces[i : i + 2] == [left, right]:
                    out.append(left + right)
                    i += 2
                else:
                    out.append(pieces[i])
                    i += 1
            pieces = out

    def __call__(self, text):
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
        text = " ".join(text.split()).lower()
        inner = [i for word in PATTERN.findall(text) for i in self.word(word)]
        return [49406, *inner, 49407]


@pytest.fixture(scope="module")
def openai():
    return Tokenizer.openai()


@pytest.fixture(scope="module")
def plain():
    return PlainBPE()


def test_known_ids(openai):
    ids = openai(["a photo of a cat"], 77)
    assert ids.dtype == np.int32 and ids.shape == (1, 77)
    assert ids[0, :7].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert not ids[0, 7:].any()


@pytest.mark.parametrize("text", TEXTS)
def test_same_ids_as_the_published_algorithm(text, openai, plain):
    expected = plain(text)
    ids = openai([text], 120)[0]
    assert ids[: len(expected)].tolist() == expected
    assert not ids[len(expected) :].any()


def test_same_ids_on_random_unicode(openai, plain):
    rng = np.random.default_rng(0)
    blocks = [(32, 127), (32, 127), (160, 592), (880, 1024), (0x400, 0x530), (0x3040, 0x3100),
              (0x4E00, 0x4F00), (0x2000, 0x2070), (0x1F300, 0x1F600)]  # fmt: skip
    for _ in range(300):
        low, high = blocks[rng.integers(len(blocks))]
        letters = [chr(c) for c in rng.integers(low, high, 12)] + [" ", "'", "s"]
        text = "".join(rng.permutation(letters))
        expected = plain(text)
        assert openai([text], 200)[0, : len(expected)].tolist() == expected, repr(text)


def test_same_ids_as_transformers_from_the_saved_files(openai, tmp_path):
    transformers = pytest.importorskip("transformers")
    openai.save(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = transformers.CLIPTokenizer.from_pretrained(tmp_path)
    texts = ["a photo of a cat", "playing the guitar", "it's 42 things, don't!", "Tai Chi"]
    ours = Tokenizer.from_huggingface(tmp_path)
    expected = theirs(texts, padding="max_length", max_length=20)["input_ids"]
    assert ours(texts, 20).tolist() == expected


def test_all_texts_of_a_batch_are_their_own_row(openai):
    together = openai(["one", "two words here"], 9)
    assert np.array_equal(together[0], openai(["one"], 9)[0])
    assert np.array_equal(together[1], openai(["two words here"], 9)[0])


def test_a_text_may_fill_the_length_but_not_more(openai):
    assert openai(["a photo of a cat"], 7)[0, -1] == 49407
    with pytest.raises(UserError, match="'a photo of a cat' has 7 tokens.*at most 6"):
        openai(["a photo of a cat"], 6)


def test_padding_is_the_folders_pad_token(openai, tmp_path):
    openai.save(tmp_path)
    assert Tokenizer.from_huggingface(tmp_path)(["a"], 5)[0].tolist() == [
        49406, 320, 49407, 49407, 49407
    ]  # fmt: skip
    (tmp_path / "special_tokens_map.json").write_text('{"pad_token": "!"}')
    assert Tokenizer.from_huggingface(tmp_path)(["a"], 5)[0, 3:].tolist() == [0, 0]
    (tmp_path / "special_tokens_map.json").unlink()
    assert Tokenizer.from_huggingface(tmp_path)(["a"], 5)[0, 3:].tolist() == [49407, 49407]
    config = {"pad_token": {"content": "a</w>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert Tokenizer.from_huggingface(tmp_path)(["a"], 5)[0, 3:].tolist() == [320, 320]


def test_tokenizer_json_stands_in_for_the_two_files(openai, tmp_path):
    text = "caf\u00e9 \U0001f600 it's"
    for merges in ([list(pair) for pair in openai.merges], [" ".join(p) for p in openai.merges]):
        model = {"type": "BPE", "vocab": openai.vocab, "merges": merges}
        (tmp_path / "tokenizer.json").write_text(json.dumps({"model": model}))
        loaded = Tokenizer.from_huggingface(tmp_path)
        assert loaded([text], 6).tolist() == openai([text], 6).tolist()


def test_missing_or_broken_files_are_named(tmp_path):
    with pytest.raises(WeightsError, match="need vocab.json and merges.txt"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    (tmp_path / "vocab.json").write_text("{not json")
    with pytest.raises(WeightsError, match="broken tokenizer files"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0, "b": 1, "ab": 2}')
    with pytest.raises(WeightsError, match="vocabulary: <.startoftext.>, <.endoftext.>$"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "vocab.json").write_text('{"a": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}')
    with pytest.raises(WeightsError, match="not in the vocabulary: ab$"):
        Tokenizer.from_huggingface(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text("[")
    with pytest.raises(WeightsError, match="broken tokenizer files"):
        Tokenizer.from_huggingface(tmp_path)
