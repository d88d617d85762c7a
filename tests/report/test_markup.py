"""Text from data never becomes markup."""

import html
from html.parser import HTMLParser

import pytest

from mdmf_jax.report.markup import join, tag

HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "</title><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; <!-- -->",
]


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))

    def handle_data(self, data):
        self.texts.append(data)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_comes_back_as_it_was(text):
    reader = Reader()
    reader.feed(tag("p", text, ["a", (text,)], title=text, data_name=text))
    reader.close()
    assert reader.tags == [("p", [("title", text), ("data-name", text)])]
    assert "".join(reader.texts) == f"{text}a{text}"


def test_markup_is_kept_and_forbidden_characters_are_not():
    assert tag("p", tag("b", "1 < 2"), None) == "<p><b>1 &lt; 2</b></p>"
    assert join("a\x00\x1b\ud800b", 3) == "a\ufffd\ufffd\ufffdb3"
    assert tag("br") == "<br>"
    assert tag("input", checked=True, disabled=False, value=None, class_="a") == (
        '<input checked class="a"></input>'
    )
    assert html.unescape(tag("p", "'")) == "<p>'</p>"
