"""Text from data never becomes markup."""

import html
import re
from html.parser import HTMLParser
from importlib import resources

import jinja2
import pytest

from mdmf_jax.report.tables import Cell, Section, name, table
from mdmf_jax.report.templates import environment, render

HOSTILE = [
    "<script>alert(1)</script>",
    '" onmouseover="alert(1)',
    "' onfocus='alert(1)",
    "</title><img src=x onerror=alert(1)>",
    "&lt;b&gt; &amp; <!-- -->",
    "{{ 7 * 7 }}{% include 'page.html.jinja' %}{#",
]
FOLDER = resources.files("mdmf_jax") / "assets" / "report"
TEMPLATES = sorted(file.name for file in FOLDER.iterdir() if file.name.endswith(".jinja"))


class Reader(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, attributes))

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    return reader


@pytest.mark.parametrize("text", HOSTILE)
def test_text_comes_back_as_it_was(text):
    template = (
        '<p title="{{ t }}" data-name="{{ t }}">{{ t }}{% for x in list %}{{ x }}{% endfor %}</p>'
    )
    reader = read(environment().from_string(template).render(t=text, list=["a", text]))
    assert reader.tags == [("p", [("title", text), ("data-name", text)])]
    assert "".join(reader.texts) == f"{text}a{text}"


@pytest.mark.parametrize("text", HOSTILE)
def test_every_text_of_a_table_comes_back_as_it_was(text):
    cells = [name(text, note=text, wrong=True), name(text, note=text), Cell(text, "bar"), text]
    content = {"tables": [table(text, [text] * 4, [cells], "stacked")], "folded": [], "note": text}
    section = Section("part", text, text, "tables.html.jinja", content)
    values = {"title": text, "summary": text, "sections": [section], "version": text}
    reader = read(render("page.html.jinja", values))
    known = {"html", "head", "meta", "title", "style", "body", "a", "header", "h1", "p", "nav"}
    known |= {"ul", "li", "main", "section", "h2", "div", "table", "caption", "thead", "tbody"}
    assert {tag for tag, _ in reader.tags} <= known | {"tr", "th", "td", "bdi", "span", "footer"}
    assert not [k for _, found in reader.tags for k, _ in found if k.startswith("on")]
    # Title, heading, summary, link, heading of the part, note, version; and of the table the
    # caption, 4 headers, 4 cells and 2 notes.
    assert "".join(reader.texts).count(text) == 7 + 11
    labels = [dict(found)["data-label"] for tag, found in reader.tags if tag == "td"]
    assert labels == [text] * 3


def test_markup_is_kept_and_forbidden_characters_are_not():
    def filled(template, **values):
        return environment().from_string(template).render(values)

    assert filled("<p><b>{{ t }}</b></p>", t="1 < 2") == "<p><b>1 &lt; 2</b></p>"
    assert filled("{{ t }}{{ n }}", t="a\x00\x1b\ud800b", n=3) == "a\ufffd\ufffd\ufffdb3"
    assert html.unescape(filled("<p>{{ t }}</p>", t="'")) == "<p>'</p>"
    macro = '{% from "parts.html.jinja" import name %}<p title="{{ t }}">{{ name(t) }}</p>'
    assert filled(macro, t="<\x00") == '<p title="&lt;\ufffd"><bdi>&lt;\ufffd</bdi></p>'


def test_a_value_that_is_missing_is_an_error():
    with pytest.raises(jinja2.UndefinedError):
        render("page.html.jinja", {"title": "t"})


@pytest.mark.parametrize("file", TEMPLATES)
def test_no_template_lets_text_through(file):
    source = (FOLDER / file).read_text(encoding="utf-8")
    environment().parse(source)
    assert not re.search(r"\|\s*safe|autoescape|Markup", source)
    assert "http" not in source.replace("http-equiv", "")
    # A value fills an attribute only between double quotes.
    assert not re.search(r"=\s*'?\{\{", source)


def test_no_module_marks_text_as_safe():
    for file in (resources.files("mdmf_jax") / "report").iterdir():
        if file.name.endswith(".py") and file.name != "templates.py":
            source = file.read_text(encoding="utf-8")
            assert "Markup" not in source and "markupsafe" not in source, file.name
