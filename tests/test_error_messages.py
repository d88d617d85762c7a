"""Messages stay one line of plain text, whatever they quote."""

import pickle

from mdmf_jax.errors import DataError


def test_control_characters_are_escaped():
    assert str(DataError("a\nb\x1b[31m\u202e c\ud800")) == r"a\nb\x1b[31m\u202e c\ud800"
    assert str(DataError("naïve 视频 ±")) == "naïve 视频 ±"


def test_they_pass_between_processes():
    error = pickle.loads(pickle.dumps(DataError("x.mp4: damaged")))
    assert (type(error), str(error)) == (DataError, "x.mp4: damaged")
