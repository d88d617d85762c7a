"""What the name of an encoder means: a packaged one, OpenAI's archive, a model of the hub, a path.

This is the one rule, for --encoder, encoder.path and `from_pretrained`:

1. "packaged:NAME" comes with this package.
2. What exists on the disk is a path; so is what begins or ends like one (/, ./, ~, gs://, .pt).
3. One of OpenAI's names (vit_b16, ViT-B/16) is an archive.
4. OWNER/NAME@REVISION is a model of the hub, and so is OWNER/NAME, unless a folder OWNER lies
   here: then it is more likely a path that was mistyped. All else is a path.

"@REVISION" behind a name of 3 or 4 pins it: a commit, branch or tag of the hub, the SHA-256 of an
archive.
"""

import difflib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from mdmf_jax import files
from mdmf_jax.weights.archives import ARCHIVES, archive_name

Kind = Literal["packaged", "archive", "hub", "path"]
PACKAGED = "packaged:"
# The hub's own rule for the two parts of a model's name.
_PART = re.compile(r"[A-Za-z0-9](?:[\w.-]{0,94}\w)?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]{0,199}", re.ASCII)
_PATH_STARTS = ("/", ".", "~", "\\", files.CLOUD)
_PATH_ENDS = ("/", "\\", ".pt", ".pth", ".bin", ".safetensors")


class EncoderName(NamedTuple):
    """A name that was read.

    Attributes:
      kind: where its files come from.
      name: without its revision; of an archive the name here, such as "vit_b16".
      revision: what it is pinned to; "" for none.
    """

    kind: Kind
    name: str
    revision: str = ""

    def __str__(self) -> str:
        return f"{self.name}@{self.revision}" if self.revision else self.name


def read_name(text: files.Name) -> EncoderName:
    """What a name means, by the rule above. Looks at the disk, never at the network."""
    text = str(text)
    if text.startswith(PACKAGED):
        return EncoderName("packaged", text)
    name, _, revision = text.partition("@")
    if text.startswith(_PATH_STARTS) or text.endswith(_PATH_ENDS) or _exists(text):
        return EncoderName("path", text)
    if known := archive_name(text):
        return EncoderName("archive", known)
    if "@" in text and not _is_revision(revision):
        return EncoderName("path", text)
    if known := archive_name(name):
        return EncoderName("archive", known, revision)
    if _is_hub_name(name) and (revision or not _exists(name.partition("/")[0])):
        return EncoderName("hub", name, revision)
    return EncoderName("path", text)


def unknown(text: object, packaged: Iterable[str] = ()) -> str:
    """What to say of a path that does not exist: which names there are."""
    known = [*packaged, *ARCHIVES]
    close = difflib.get_close_matches(str(text), known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    if _is_hub_name(str(text)):
        owner = str(text).partition("/")[0]
        hint = f"for the hub's model write {text}@main, since a folder {owner} lies here; "
    return (
        f"no encoder has this name either; {hint}known names: {', '.join(known)}, and OWNER/NAME "
        "for a CLIP of the hub, such as openai/clip-vit-base-patch16 (see mdmf weights list)"
    )


def _is_hub_name(name: str) -> bool:
    owner, slash, model = name.partition("/")
    parts = all(_PART.fullmatch(part) and ".." not in part for part in (owner, model))
    return bool(slash) and parts and "--" not in name and not name.endswith(".git")


def _is_revision(text: str) -> bool:
    return bool(_REVISION.fullmatch(text)) and ".." not in text and "//" not in text


def _exists(text: str) -> bool:
    try:
        return Path(text).exists()
    except (OSError, ValueError):  # too long, or a zero byte
        return False
