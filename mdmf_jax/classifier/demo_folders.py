"""Folders to try the commands on, from the demo's videos."""

import shutil
from pathlib import Path

import numpy as np

from mdmf_jax import files
from mdmf_jax.classifier.output import write_csv
from mdmf_jax.data.demo.dataset import demo_folder, ensure_demo
from mdmf_jax.data.demo.store import encode_mp4
from mdmf_jax.data.videos.video import read_video
from mdmf_jax.errors import DataError

# Test classes of the demo; no training has seen them. Two pairs differ in their order only.
KNOWN = (
    ("moving left", "moving right"),
    ("moving right", "moving left"),
    ("shrinking", "blinking"),
    ("blinking", "shrinking"),
    ("growing", "moving up"),
)
FOREIGN = (("spinning", "moving left"), ("moving down", "shrinking"), ("moving up", "spinning"))
SUPPORT, TEST = range(1, 4), range(4, 14)  # numbers of clips
JOINED = 28  # clips of the long video, about a minute
RATE = 12  # frames a second of the demo's videos


def write_demo_folders(out: str | Path) -> Path:
    """Writes out/support, out/test and out/long, and returns `out`.

    support/ holds 3 videos of each of 5 classes; test/ 10 others of these and of 3 more classes;
    long/ a video of a minute, joined of test videos, and long.csv says what it shows when.

    Raises:
      DataError: the folder exists and is not empty, or cannot be written.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists already; give a new folder")
    videos = ensure_demo() / "videos"
    try:
        for pair in KNOWN:
            _copy(videos, out / "support", demo_folder(*pair), SUPPORT)
        for pair in KNOWN + FOREIGN:
            _copy(videos, out / "test", demo_folder(*pair), TEST)
        _join(out)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror or error})") from error
    return out


def _copy(videos: Path, part: Path, name: str, clips: range) -> None:
    (part / name).mkdir(parents=True)
    for clip in clips:
        file = f"{name}_{clip:04d}.mp4"
        shutil.copyfile(videos / name / file, part / name / file)


def _join(out: Path) -> None:
    """long/long.mp4 of videos of known classes, no class twice in a row, and long.csv."""
    rng = np.random.default_rng(0)
    parts, rows, start, last = [], [], 0.0, -1
    for _ in range(JOINED):
        last = int(rng.choice([i for i in range(len(KNOWN)) if i != last]))
        name = demo_folder(*KNOWN[last])
        frames = read_video(out / "test" / name / f"{name}_{rng.choice(TEST):04d}.mp4")
        parts.append(frames)
        rows.append((start, start := start + len(frames) / RATE, name))
    files.write_whole(out / "long" / "long.mp4", encode_mp4(np.concatenate(parts)))
    write_csv(out / "long.csv", ("start", "end", "label"), rows)
