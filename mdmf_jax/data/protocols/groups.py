"""Groups of videos: a person or a camera, which is not to be in support and query at once."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mdmf_jax import files
from mdmf_jax.errors import DataError

HEADER = ("clip", "group")


class Groups:
    """Groups by the names of clips, as groups.csv gives them.

    Args:
      named: group by a clip's name: a path as it was given, the end of one such as
        "CLASS/clip.mp4", or a file's name.
    """

    def __init__(self, named: Mapping[str, str]):
        self._named = {_parts(name): group for name, group in named.items()}

    def of(self, source: str) -> str:
        """The group of a video; "" if it has none. The longest name that fits is taken."""
        parts = _parts(source)
        for start in range(len(parts)):
            if (group := self._named.get(parts[start:])) is not None:
                return group
        return ""

    def of_all(self, sources: Sequence[str]) -> list[str]:
        """The groups of videos.

        Raises:
          DataError: none of them has a group.
        """
        found = [self.of(source) for source in sources]
        if sources and not any(found):
            raise DataError(
                f"groups: name none of the {len(sources)} clips; write a clip as CLASS/FILE, such "
                f"as {'/'.join(_parts(sources[0])[-2:])}"
            )
        return found


def read_groups(source: files.Name | Mapping[str, str]) -> Groups:
    """Groups from a CSV file with the columns clip and group, or from a mapping.

    Raises:
      DataError: the file cannot be read, has other columns, or names a clip twice.
    """
    if isinstance(source, Mapping):
        return Groups(source)
    with files.one_line(source, "read", DataError):
        text = files.path(source).read_text(encoding="utf-8-sig")
    rows = csv.DictReader(io.StringIO(text))
    if not set(HEADER) <= set(rows.fieldnames or ()):
        raise DataError(f"{source}: its first line must be clip,group")
    named: dict[str, str] = {}
    for row in rows:
        clip, group = ((row[name] or "").strip() for name in HEADER)
        if not clip or not group:
            raise DataError(f"{source}, line {rows.line_num}: a clip or its group is missing")
        if named.setdefault(clip, group) != group:
            raise DataError(f"{source}, line {rows.line_num}: {clip} has two groups")
    return Groups(named)


def _parts(name: str) -> tuple[str, ...]:
    return Path(os.fspath(name)).parts
