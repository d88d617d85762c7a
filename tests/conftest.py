"""Settings of all tests, and a tiny data set, CLIP and config for those that run a model."""

import io
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax_settings

jax_settings.before_jax_starts()

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from filelock import FileLock  # noqa: E402
from rich.console import Console  # noqa: E402

REPOSITORY = jax_settings.REPOSITORY
COLOURS = ((200, 30, 30), (30, 200, 30), (30, 30, 200))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    """After the choice of tests by marker: the tests that need full optimisation come last."""
    jax_settings.choose_devices(items)
    items.sort(key=lambda item: item.get_closest_marker("optimised") is not None)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    jax_settings.check_devices(item)
    jax_settings.choose_level(item)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], Path]:
    """made_once(name, make): a folder that `make` fills, once for all workers of a test run.

    Tests look at it and change nothing.
    """
    root = tmp_path_factory.getbasetemp()
    root = (root.parent if os.environ.get("PYTEST_XDIST_WORKER") else root) / "made_once"
    root.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], object]) -> Path:
        folder, done = root / name, root / f"{name}.done"
        with FileLock(root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # what a failed attempt left
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return made


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
def videos(made_once) -> Path:
    """Folder with train, val and test, each of three classes of four short videos.

    The frames of a class are noise around its colour.
    """
    return made_once("videos", make_videos)


def make_videos(root: Path) -> None:
    from mdmf_jax.data.demo.store import encode_mp4

    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        for name, colour in zip(("red_box", "green_box", "blue_box"), COLOURS, strict=True):
            folder = root / split / f"{split}_{name}"
            folder.mkdir(parents=True)
            for number in range(4):
                noise = rng.integers(-25, 25, (9, 20, 24, 3))
                frames = (np.array(colour) + noise).astype(np.uint8)
                (folder / f"{number}.mp4").write_bytes(encode_mp4(frames))


@pytest.fixture(scope="session")
def clip_folder(made_once) -> Path:
    """A CLIP of random numbers: images of 16 pixels, D = 16."""
    return made_once("clip", make_clip)


def make_clip(folder: Path) -> None:
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
    save_clip(folder, config, jax.tree.map(np.asarray, params), tokenizer)


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
def finished_run(tiny, made_once) -> FinishedRun:
    """It lies in `run`, beside `said.pickle`: its results, history and what it printed."""

    def make(folder: Path) -> None:
        said = train_tiny(tiny_settings(tiny), folder / "run")
        (folder / "said.pickle").write_bytes(pickle.dumps(said))

    folder = made_once("finished_run", make)
    said = pickle.loads((folder / "said.pickle").read_bytes())
    return FinishedRun(folder / "run", *said)


def train_tiny(settings, folder: Path) -> tuple[dict, list, str]:
    from mdmf_jax.config.config import from_config_dict
    from mdmf_jax.runs.train import train_and_evaluate

    out = io.StringIO()
    console = Console(file=out, width=120)
    results, history = train_and_evaluate(from_config_dict(settings), folder, console)
    return results, history, out.getvalue()
