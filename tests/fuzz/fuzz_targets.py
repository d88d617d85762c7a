"""The parsers of files and texts that come from strangers.

A target takes one input. It may return, or raise a UserError of one line; anything else is a
defect.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from fuzz_inputs import JSON, TEXTS, damaged, edited_json, json_files, list_files, safetensors
from hypothesis import strategies as st
from safetensors.numpy import save

from configs import common
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import ARGUMENTS
from mdmf_jax.data.protocols.lists import parse_list
from mdmf_jax.errors import UserError
from mdmf_jax.training.manifest import NAME, check_manifest, write_manifest
from mdmf_jax.weights.files import read_safetensors
from mdmf_jax.weights.huggingface import demo_clip_path, read_config
from mdmf_jax.weights.torch_format.file import read_state_dict, read_torch_file

TORCH_FILES = Path(__file__).parents[1] / "weights" / "torch_files"


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
      inputs: strategy of the inputs.
      parse: (input, scratch folder) -> anything.
    """

    inputs: st.SearchStrategy[Any]
    parse: Callable[[Any, Path], Any]

    def accepts(self, value: Any, folder: Path) -> bool:
        """Whether the parser took the input; False if it refused it as it should."""
        try:
            self.parse(value, folder)
        except UserError as error:
            assert "\n" not in str(error), f"more than one line: {error}"
            return False
        return True


def _file(name: str, read: Callable[[Path], Any]) -> Callable[[bytes, Path], Any]:
    def parse(content: bytes, folder: Path) -> Any:
        (folder / name).write_bytes(content)
        return read(folder / name)

    return parse


def _torch(path: Path) -> None:
    read_torch_file(path)
    read_state_dict(path)


def _torch_inputs() -> st.SearchStrategy[bytes]:
    files = [path.read_bytes() for path in sorted(TORCH_FILES.glob("*.pt"))]
    files = [content for content in files if len(content) < 60_000]
    return st.sampled_from(files).flatmap(damaged)


def _safetensors_inputs() -> st.SearchStrategy[bytes]:
    good = save({"a": np.zeros((2, 3), np.float32), "b": np.ones(4, np.int64)})
    return st.one_of(safetensors(), damaged(good))


def _clip_inputs() -> st.SearchStrategy[bytes]:
    good = (demo_clip_path() / "config.json").read_bytes()
    return st.one_of(json_files(), edited_json(good), damaged(good))


def _manifest(content: bytes, folder: Path) -> Any:
    (folder / "state").write_bytes(b"state")
    (folder / NAME).write_bytes(content)
    check_manifest(folder)


def _manifest_inputs() -> st.SearchStrategy[bytes]:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "7").mkdir()
        (Path(folder) / "7" / "state").write_bytes(b"state")
        write_manifest(Path(folder) / "7")
        good = (Path(folder) / "7" / NAME).read_bytes()
    return st.one_of(json_files(), edited_json(good), damaged(good))


def _settings(value: Any, folder: Path) -> Any:
    return from_config_dict(value)


def _settings_inputs() -> st.SearchStrategy[Any]:
    good = json.dumps(common.get_config().to_dict()).encode()
    edited = edited_json(good).map(json.loads)
    return st.one_of(edited, st.dictionaries(TEXTS, JSON, max_size=3))


def _argument(value: str, folder: Path) -> Any:
    return common.get_config(value)


def _argument_inputs() -> st.SearchStrategy[str]:
    names = st.one_of(st.sampled_from(sorted(ARGUMENTS)), TEXTS)
    item = st.tuples(names, st.sampled_from(["=", "", "=="]), TEXTS).map("".join)
    return st.lists(item, max_size=3).map(",".join)


TARGETS = {
    "list file": Target(list_files(), _file("list.txt", parse_list)),
    ".pt file": Target(_torch_inputs(), _file("x.pt", _torch)),
    "safetensors file": Target(_safetensors_inputs(), _file("x.safetensors", read_safetensors)),
    "CLIP config.json": Target(_clip_inputs(), _file("config.json", read_config)),
    "checkpoint manifest": Target(_manifest_inputs(), _manifest),
    "settings": Target(_settings_inputs(), _settings),
    "config argument": Target(_argument_inputs(), _argument),
}
