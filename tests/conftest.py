"""Settings of all tests, and a tiny data set, CLIP and config for those that run a model."""

import atexit
import io
import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

# These must be set before JAX starts. Programs that the tests start inherit them.
_COMPILED = tempfile.mkdtemp(prefix="mdmf_jax_compiled_")
atexit.register(shutil.rmtree, _COMPILED, ignore_errors=True)
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_COMPILATION_CACHE_DIR"] = _COMPILED
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.3"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from rich.console import Console  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


@pytest.fixture
def strict_ranks():
    """Arrays of different ranks are not broadcast against each other."""
    with jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository, where train.py lies."""
    return REPOSITORY


@pytest.fixture(scope="session")
def videos(tmp_path_factory) -> Path:
    """Folder with train, val and test, each of three classes of four short videos.

    The frames of a class are noise around its colour.
    """
    from mdmf_jax.data.demo.store import encode_mp4

    root, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name, colour in zip(("red_box", "green_box", "blue_box"), COLOURS, strict=True):
            folder = root / split / f"{split}_{name}"
            folder.mkdir(parents=True)
            for number in range(4):
                noise = rng.integers(-25, 25, (9, 20, 24, 3))
                frames = (np.array(colour) + noise).astype(np.uint8)
                (folder / f"{number}.mp4").write_bytes(encode_mp4(frames))
    return root


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory) -> Path:
    """A CLIP of random numbers: images of 16 pixels, D = 16."""
    import jax.numpy as jnp

    from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
    from mdmf_jax.models.encoders.clip.model import CLIP
    from mdmf_jax.models.encoders.clip.tokenizer import Tokenizer, build_vocab
    from mdmf_jax.weights.huggingface import save_clip

    tokenizer = Tokenizer(build_vocab([]), [])
    text = TextConfig(16, 32, 1, 2, vocab_size=len(tokenizer.vocab), eos_token_id=tokenizer.end)
    config = CLIPConfig(VisionConfig(16, 32, 1, 2, image_size=16, patch_size=8), text, 16)
    pixels, ids = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 77), jnp.int32)
    params = jax.jit(CLIP(config).init)(jax.random.key(0), pixels, ids)["params"]
    folder = tmp_path_factory.mktemp("clip")
    save_clip(folder, config, jax.tree.map(np.asarray, params), tokenizer)
    return folder


TINY = {
    "data.frames": 3,
    "data.resize": 18,
    "data.crop": 16,
    "data.loader": "threads",
    "data.workers": 2,
    "episode.way": 2,
    "episode.queries": 1,
    "mdmf.heads": 2,
    "mdmf.hidden": 16,
    # One dropout and one direction of the alignment are enough here, and compile faster.
    "mdmf.ffn_dropout": 0.0,
    "mdmf.tcn_dropout": 0.0,
    "mdmf.bidirectional": False,
    "train.steps": 4,
    "train.episodes_per_step": 8,
    "train.learning_rate": 1e-3,
    "train.log_every": 1,
    "train.validate_every": 2,
    "train.validate_episodes": 10,
    "eval.way": 2,
    "eval.shots": (1, 2),
    "eval.episodes": 20,
    "eval.chunk": 8,
    "eval.feature_cache": "off",
    "eval.untrained": True,
}


@pytest.fixture(scope="session")
def tiny(videos, clip_folder) -> dict[str, object]:
    """Settings of a run of four small steps that differ from the defaults, by dotted name."""
    return TINY | {"encoder.path": str(clip_folder), "data.root": str(videos)}


@pytest.fixture
def settings(tiny):
    """The tiny settings as a ConfigDict, to be changed at will."""
    return tiny_settings(tiny)


def tiny_settings(tiny):
    from configs import common

    config = common.get_config()
    config.update_from_flattened_dict(tiny)
    return config


class FinishedRun(NamedTuple):
    """A run of the tiny settings, to be looked at but not changed."""

    folder: Path
    results: dict
    history: list
    printed: str


@pytest.fixture(scope="session")
def finished_run(tiny, tmp_path_factory) -> FinishedRun:
    from mdmf_jax.config.config import from_config_dict
    from mdmf_jax.runs.train import train_and_evaluate

    folder, out = tmp_path_factory.mktemp("run"), io.StringIO()
    console = Console(file=out, width=120)
    config = from_config_dict(tiny_settings(tiny))
    results, history = train_and_evaluate(config, folder, console)
    return FinishedRun(folder, results, history, out.getvalue())
