"""Inputs for the parsers: damaged copies of good files, and files of the right shape."""

import json

from hypothesis import strategies as st

# Pieces of text that parsers stumble over.
WORDS = st.sampled_from(
    ["", "/", "//", "..", "../x", "/etc/passwd", "test12", "train8/7", "a/b", "kick_ball", "\x00"]
    + ["\\", "%2e", "~", "-rf", "{}", "{0.__class__}", "\u202e", "\ud83d", "x" * 300, "1e999"]
    + ["-1", "0", "99999999999999999999", "NaN", "null", "files", "sha256", "weight", "shape"]
)
TEXTS = st.one_of(WORDS, st.text(max_size=20))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    TEXTS,
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=12,
)


@st.composite
def damaged(draw, content: bytes) -> bytes:
    """A copy of `content` with a few bytes changed, left out, repeated or added."""
    data = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(len(data) - 1, 0)))
        kind = draw(st.sampled_from(["flip", "set", "cut", "drop", "repeat", "insert"]))
        length = draw(st.integers(1, 40))
        if kind == "flip" and data:
            data[place] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set" and data:
            data[place] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, 0x2F, 0x22]))
        elif kind == "cut":
            del data[place:]
        elif kind == "drop":
            del data[place : place + length]
        elif kind == "repeat":
            data[place:place] = data[place : place + length]
        else:
            data[place:place] = draw(st.binary(max_size=12))
    return bytes(data)


def json_files() -> st.SearchStrategy[bytes]:
    """JSON of any shape, also with what JSON does not allow (NaN, lone surrogates)."""
    return JSON.map(lambda value: json.dumps(value).encode())


@st.composite
def edited_json(draw, content: bytes) -> bytes:
    """A good JSON file in which one value, somewhere, is another."""
    value = json.loads(content)
    node = value
    while True:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            return json.dumps(value).encode()
        key = draw(st.sampled_from(keys))
        if not isinstance(node[key], dict | list) or draw(st.booleans()):
            node[key] = draw(JSON)
            return json.dumps(value).encode()
        node = node[key]


@st.composite
def safetensors(draw) -> bytes:
    """A file with a header that may lie about types, shapes, places and its own length."""
    entry = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "X9"]),
            "shape": st.lists(st.integers(-2, 2**40), max_size=4),
            "data_offsets": st.lists(st.integers(-8, 2**40), min_size=1, max_size=3),
        }
    )
    header = draw(st.dictionaries(TEXTS, st.one_of(entry, JSON), max_size=4))
    text = json.dumps(header).encode()
    length = draw(st.one_of(st.just(len(text)), st.integers(0, 2**64 - 1)))
    return length.to_bytes(8, "little") + text + draw(st.binary(max_size=64))


def list_files() -> st.SearchStrategy[bytes]:
    """Lists of videos with strange classes, videos, line ends and encodings."""
    line = st.lists(TEXTS, min_size=1, max_size=3).map("/".join)
    lines = st.tuples(st.lists(line, max_size=6), st.sampled_from(["\n", "\r\n", "\r", "\n\n"]))
    text = lines.map(lambda pair: pair[1].join(pair[0]).encode("utf-8", "surrogatepass"))
    return st.one_of(text, text.flatmap(damaged), st.binary(max_size=200))
