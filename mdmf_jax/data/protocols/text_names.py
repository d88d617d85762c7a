"""Names that the classes have in their texts, as they are or as published code mixes them up."""

from collections.abc import Sequence

import numpy as np

from mdmf_jax.errors import ConfigError


def class_text_names(
    folders: Sequence[str], names: Sequence[str], all_folders: Sequence[str], order: str
) -> tuple[str, ...]:
    """The name that each class of a split has in its texts.

    "by_name": its own. "reference": as the published reader does it. That numbers the class
    folders of all splits in ascending order, puts a split's numbers into a Python set, and gives
    the class at place i of the set's own order the i-th name of the ascending list; the set's
    order is ascending only for small numbers, so that some data sets get wrong names.

    Args:
      folders, names: class folders of the split, ascending, and their names in words.
      all_folders: class folders of all splits.

    Raises:
      ConfigError: another order.
    """
    if order == "by_name":
        return tuple(names)
    if order != "reference":
        raise ConfigError(f"data.prompt_order is {order!r}; known: by_name, reference")
    ordered = sorted(set(all_folders), key=_folder_key(all_folders))
    numbers = [ordered.index(folder) for folder in folders]
    ascending = [names[int(i)] for i in np.argsort(numbers)]
    places = list(set(numbers))
    return tuple(ascending[places.index(number)] for number in numbers)


def _folder_key(folders: Sequence[str]):
    # Folders that are numbers (official label numbers) are sorted as numbers.
    return int if all(folder.isdecimal() for folder in folders) else str
