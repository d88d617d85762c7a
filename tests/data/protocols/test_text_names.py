"""Names that the classes have in their texts."""

import pytest

from mdmf_jax.data.protocols.text_names import class_text_names
from mdmf_jax.errors import ConfigError

# Places of HMDB's ten test classes among its 51 class folders in ascending order.
HMDB = {
    13: "fencing", 20: "kick", 21: "kick_ball", 24: "pick", 25: "pour",
    29: "pushup", 32: "run", 37: "sit", 40: "smoke", 46: "talk",
}  # fmt: skip


def folders(numbers, total):
    """Folders whose ascending order is that of their numbers, and those of all splits."""
    everything = [f"class{i:03d}" for i in range(total)]
    return [everything[i] for i in numbers], everything


def test_names_stay_with_their_classes():
    chosen, everything = folders(HMDB, 51)
    names = list(HMDB.values())
    assert class_text_names(chosen, names, everything, "by_name") == tuple(names)


def test_reference_order_gives_hmdb_the_published_wrong_names():
    chosen, everything = folders(HMDB, 51)
    names = class_text_names(chosen, list(HMDB.values()), everything[::-1], "reference")
    assert dict(zip(HMDB.values(), names, strict=True)) == {
        "run": "fencing", "sit": "kick", "smoke": "kick_ball", "fencing": "pick", "talk": "pour",
        "kick": "pushup", "kick_ball": "run", "pick": "sit", "pour": "smoke", "pushup": "talk",
    }  # fmt: skip


def test_reference_order_is_right_where_numbers_are_small():
    chosen, everything = folders(range(70), 91)
    names = [f"name {i}" for i in range(70)]
    assert class_text_names(chosen, names, everything, "reference") == tuple(names)


def test_reference_order_sorts_numbered_folders_as_numbers():
    # As text "10" comes before "9"; the names follow the numbers.
    names = class_text_names(["10", "9"], ["ten", "nine"], ["9", "10", "11"], "reference")
    assert names == ("ten", "nine")


def test_unknown_order():
    with pytest.raises(ConfigError, match="data.prompt_order is 'random'"):
        class_text_names(["a"], ["a"], ["a"], "random")
