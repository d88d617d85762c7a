"""How many videos a second reach the model, from each source of videos and for each loader.

The clips are those of a test (8 frames, short side 256, centre 224), with all the work between
the disk and the array: reading, decoding, resizing, cutting, collecting in batches.
"""

import os
import tempfile
import time
from collections.abc import Generator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

from mdmf_jax.bench.input_videos import SIZE, make_videos
from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.data.episodes.batches import LOADERS, episode_batches
from mdmf_jax.data.episodes.loading import ClipMaker, EpisodeLoader
from mdmf_jax.data.episodes.test_clips import ClipRules
from mdmf_jax.data.prepare.decode import Images
from mdmf_jax.data.prepare.run import prepare
from mdmf_jax.data.protocols.splits import load_split
from mdmf_jax.data.transforms.geometry import resize_short_side
from mdmf_jax.data.transforms.pipelines import Pipeline
from mdmf_jax.data.videos.reader import VideoReader
from mdmf_jax.data.videos.source_frames import FrameFolders
from mdmf_jax.data.videos.source_shards import Shards
from mdmf_jax.data.videos.source_videos import VideoFiles
from mdmf_jax.data.videos.sources import VideoSource, open_source
from mdmf_jax.data.videos.video import read_video

SPLIT = "test"
CLASSES, WAY, FRAMES, CROP = 5, 5, 8, 224
EPISODES = 100_000  # more than anyone will wait for


def measure(
    root: str | Path | None = None,
    seconds: float = 5.0,
    videos: int = 20,
    length: float = 10.0,
    loaders: Sequence[str] = LOADERS,
) -> list[Measurement]:
    """Videos a second of each source and loader.

    Args:
      root: data set with a split test in class folders, or prepared; only its own kind of source
        is measured. None: videos are made (320 x 240 pixels at 25 frames a second, H.264 with a
        key frame every 250), and prepared in each of the three ways.
      seconds: time for each measurement.
      videos: how many are made.
      length: of a video that is made, seconds.
      loaders: which to measure.

    Returns:
      One for each source and loader: videos a second; `settings` holds frames a second, both per
      core, and the processor time of a video, which other programs on the machine disturb less.

    Raises:
      DataError: `root` holds no data set.
    """
    if root is not None:
        source = open_source("auto", root, SPLIT, lambda f: load_split(root, "", SPLIT, frames=f))
        kind = type(source).__name__
        return [_measure(kind, source, loader, seconds) for loader in loaders]
    with tempfile.TemporaryDirectory(prefix="mdmf_jax_input_") as folder:
        sources = _make_sources(Path(folder), videos, length)
        pairs = product(sources.items(), loaders)
        return [_measure(name, source, loader, seconds) for (name, source), loader in pairs]


def _make_sources(folder: Path, videos: int, length: float) -> dict[str, VideoSource]:
    make_videos(folder / "videos" / SPLIT, CLASSES, videos // CLASSES, length)
    split = load_split(folder / "videos", "", SPLIT)
    for path in split.paths:
        _write_images(folder / "videos" / path, folder / "frames" / Path(path).with_suffix(""))
    cores = len(os.sched_getaffinity(0))
    prepare(folder / "videos", [split], folder / "prepared", images=Images(SIZE), workers=cores)
    images = load_split(folder / "frames", "", SPLIT, frames=True)
    return {
        "videos": VideoFiles(folder / "videos", split),
        "frames": FrameFolders(folder / "frames", images),
        "prepared": Shards(folder / "prepared", SPLIT),
    }


def _write_images(video: Path, folder: Path) -> None:
    """JPEG files as the published code expects them, here at the size that the loader uses."""
    folder.mkdir(parents=True)
    for number, frame in enumerate(resize_short_side(read_video(video), SIZE), start=1):
        Image.fromarray(frame).save(folder / f"{number:08d}.jpg", quality=95)


def _measure(name: str, source: VideoSource, loader: str, seconds: float) -> Measurement:
    cores = len(os.sched_getaffinity(0))
    queries = 1
    reader = VideoReader(source, Pipeline("mdmf", SIZE, CROP))
    for item in range(len(source)):
        reader.num_frames(item)  # counted once in a run, so not a part of its steady speed
    clips = ClipMaker(reader, ClipRules(FRAMES))
    way = min(WAY, len(source.split.folders))
    episodes = EpisodeLoader(clips, way=way, shot=1, queries=queries, seed=0)
    batches = episode_batches(
        episodes.make_episode, start=0, stop=EPISODES, batch=1, loader=loader, workers=cores
    )
    times, cpu = _times(batches, seconds)
    clips_each = way * (1 + queries)
    # The mean, not the median: with several workers, episodes come in bursts.
    rate = clips_each * len(times) / sum(times)
    settings = {
        "frames_per_second": rate * FRAMES,
        "videos_per_second_per_core": rate / cores,
        "frames_per_second_per_core": rate * FRAMES / cores,
        "cpu_ms_per_video": 1e3 * cpu / (clips_each * len(times)),
        "cores": cores,
        "videos": len(source),
        "frames": FRAMES,
        "resize": SIZE,
        "crop": CROP,
    }
    median = float(np.median(times))
    return Measurement(f"input/{name}/{loader}", rate, "videos/s", median, len(times), settings)


def _times(batches: Generator, seconds: float) -> tuple[list[float], float]:
    """Seconds between batches, and processor seconds of all threads.

    The first few batches fill the queues and are left out.
    """
    times = []
    for _ in range(6):
        next(batches)
    cpu = time.process_time()
    begin = last = time.perf_counter()
    while last - begin < seconds:
        next(batches)
        now = time.perf_counter()
        times.append(now - last)
        last = now
    cpu = time.process_time() - cpu
    batches.close()
    return times, cpu
