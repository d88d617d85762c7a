"""Reads a report as a browser would, and what must hold of every one."""

import base64
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

VOID = {"br", "col", "hr", "img", "link", "meta"}
FORBIDDEN = {"script", "iframe", "object", "embed", "form", "link", "base", "audio", "video"}
# Attributes that may hold an address.
ADDRESSES = {"src", "href", "xlink:href", "srcset", "action", "data", "poster", "background"}


class Page(HTMLParser):
    """The elements, the texts and the headings of a page; fails where an end is missing."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), (tag, names)
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open and self._open[-1] == tag, (tag, self._open[-3:])
        self._open.pop()

    def handle_data(self, data):
        if "style" not in self._open:
            self.texts.append(data)

    def count(self, tag: str) -> int:
        return sum(name == tag for name, _ in self.elements)

    def attributes(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def check_page(text: str) -> Page:
    """Asserts what holds of every report; returns it for more."""
    page = Page(text)
    tags = {name for name, _ in page.elements}
    assert not tags & FORBIDDEN
    _check_addresses(page)
    policies = [a for a in page.attributes("meta") if "http-equiv" in a]
    assert [a["http-equiv"] for a in policies] == ["Content-Security-Policy"]
    assert policies[0]["content"].startswith("default-src 'none'; img-src data:;")
    assert "script-src" not in policies[0]["content"]
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style and "@import" not in style
    _check_reading(page)
    return page


def _check_addresses(page: Page) -> None:
    ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ADDRESSES & attributes.keys():
            value = attributes[name]
            if value.startswith("#"):
                assert value[1:] in ids, value
            else:
                assert tag == "img", (tag, name)
                assert value.startswith(("data:image/jpeg;base64,", "data:image/svg+xml;base64,"))
        if attributes.get("src", "").startswith("data:image/svg"):
            _check_drawing(base64.b64decode(attributes["src"].partition(",")[2]))


def _check_drawing(svg: bytes) -> None:
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "a")
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] == "href":
                assert value.startswith(("#", "data:image/png;base64,")), value[:40]


def _check_reading(page: Page) -> None:
    assert page.attributes("html")[0]["lang"] == "en"
    assert page.count("title") == page.count("h1") == page.count("main") == page.count("nav") == 1
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    for before, after in zip(levels, levels[1:], strict=False):
        assert after <= before + 1, levels
    for image in page.attributes("img"):
        assert image["alt"].strip()
    assert page.count("table") == page.count("caption")
    assert all(a.get("scope") in ("row", "col") for a in page.attributes("th"))
    for tag, attributes in page.elements:
        if attributes.get("role") == "region":  # a box that scrolls is reached by keyboard
            assert attributes["tabindex"] == "0" and attributes["aria-label"], tag
