"""Options as they are declared, and their conversion."""

from dataclasses import dataclass
from typing import Literal

import pytest

from mdmf_jax.config.convert import build_section, parse
from mdmf_jax.config.fields import SAME, effect, setting, switches
from mdmf_jax.errors import ConfigError


@dataclass(frozen=True)
class Options:
    rate: float = setting(0.5, "a rate", min=0, below=1)
    sizes: tuple[int, ...] = setting((1, 2), "sizes", min=1, max=9)
    kind: str = setting("soft", "a kind", choices=("soft", "hard"))
    names: tuple[str, ...] = setting((), "names", choices=("a", "b"))
    side: Literal["left", "right"] = setting("left", "a side", reference="right", affects="speed")
    plain: bool = False


def test_defaults_are_those_of_a_dataclass():
    assert Options() == Options(0.5, (1, 2), "soft", (), "left", False)
    assert build_section(Options, {}, "section") == Options()


def test_an_unknown_effect_is_refused():
    with pytest.raises(ValueError, match="affects is 'result5'; known: features, rounding"):
        setting(1, "", affects="result5")


def test_switches_are_those_with_a_published_value():
    assert list(switches(Options)) == ["side"]
    assert switches(Options)["side"].metadata["reference"] == "right"
    assert repr(SAME) == "SAME"


def test_effects_depend_on_the_section_only_where_nothing_is_said():
    fields = Options.__dataclass_fields__
    assert effect(fields["rate"]) == effect(fields["plain"]) == "result"
    assert effect(fields["rate"], of_encoder=True) == "features"
    assert effect(fields["side"], of_encoder=True) == "speed"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rate", 1, "section.rate is 1.0; it must be below 1"),
        ("rate", "x", "section.rate is 'x'; it must be of type float"),
        ("sizes", (1, 10), "section.sizes is 10; it must be at most 9"),
        ("sizes", [0], "section.sizes is 0; it must be at least 1"),
        ("kind", "firm", "section.kind is 'firm'; known: soft, hard"),
        ("names", ("a", "c"), "section.names is 'c'; known: a, b"),
        ("side", "up", "section.side is 'up'; known: left, right"),
        ("plain", 1, "section.plain is 1; it must be of type bool"),
    ],
)
def test_bad_values(name, value, message):
    with pytest.raises(ConfigError) as error:
        build_section(Options, {name: value}, "section")
    assert str(error.value) == message


def test_all_settings_can_be_demanded():
    with pytest.raises(ConfigError, match="setting section.sizes is missing"):
        build_section(Options, {"rate": 0.1}, "section", complete=True)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("3", int, 3),
        ("3", float, 3.0),
        ("1e-3", float, 1e-3),
        ("3", str, "3"),
        ("", str, ""),
        ("None", str, "None"),
        ("True", bool, True),
        ("false", bool, False),
        ("0", bool, False),
        ("(1,5)", tuple[int, ...], (1, 5)),
        ("1,5", tuple[int, ...], (1, 5)),
        ("[1]", tuple[int, ...], (1,)),
        ("()", tuple[int, ...], ()),
        ("5", tuple[int, ...], (5,)),
        ("('^encoder/',)", tuple[str, ...], ("^encoder/",)),
        ("^encoder/", tuple[str, ...], ("^encoder/",)),
        ("left", Literal["left", "right"], "left"),
    ],
)
def test_texts_are_read_as_the_type_says(text, kind, value):
    found = parse(text, kind, "x")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("3.5", int),
        ("many", float),
        ("maybe", bool),
        ("(1, x)", tuple[int, ...]),
        ("(1.5,)", tuple[int, ...]),
        ("up", Literal["left", "right"]),
        ("__import__('os')", tuple[int, ...]),
    ],
)
def test_texts_of_another_type_are_refused(text, kind):
    with pytest.raises(ConfigError, match="^x is "):
        parse(text, kind, "x")
