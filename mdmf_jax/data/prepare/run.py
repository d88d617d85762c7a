"""Turn videos into a prepared data set: JPEG frames in array_record shards, with an index.

First every video is decoded, in worker processes, into a file of its own in the stage (the
folder .staging of the output); then the shards are written from the stage. A preparation that
was stopped goes on with the videos that are not in the stage. The shards depend on the videos
and settings only, not on the number of workers or on interruptions.
"""

import contextlib
import fcntl
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from mdmf_jax.data.prepare.builder import NAME, build
from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.prepare.index import FAILED, PREPARED, read_json, write_failed, write_json
from mdmf_jax.data.prepare.plan import FORMAT, Plan, PlannedVideo, make_plan
from mdmf_jax.data.prepare.pool import Task, decode_all
from mdmf_jax.data.prepare.stage import Failed, Stage, Staged
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import ConfigError, DataError

STAGING = ".staging"

Progress = Callable[[int, int, int], None]


@dataclass(frozen=True)
class Report:
    """What came of a preparation.

    Attributes:
      plan: what was to be done.
      failures: (path relative to the root, reason) of each failed video, in order of the plan.
      good: for each split, videos prepared of each class, [C].
      complete: whether the shards were written; they are not if too many videos failed.
    """

    plan: Plan
    failures: list[tuple[str, str]]
    good: list[list[int]]
    complete: bool

    @property
    def share_failed(self) -> float:
        return len(self.failures) / max(1, self.plan.num_videos)


def prepare(
    root: str | Path,
    splits: Sequence[Split],
    out: str | Path,
    *,
    protocol: str = "",
    images: Images = Images(),  # noqa: B008 (frozen)
    limits: Limits = Limits(),  # noqa: B008
    workers: int = 2,
    shard_videos: int = 32,
    max_failed: float = 0.01,
    beam: Sequence[str] | None = None,
    progress: Progress = lambda done, total, failed: None,
    phase: Callable[[str], None] = lambda text: None,
) -> Report:
    """Prepares the videos of `splits`, or goes on with a preparation that was stopped.

    Args:
      root: folder that the paths of `splits` are relative to.
      splits: of the data set.
      out: folder to write; new, empty, or of a preparation with the same settings.
      protocol: name of the splits, to be noted in the result.
      images: size and quality of the stored images.
      limits: what one file may cost.
      workers: worker processes.
      shard_videos: videos of a shard; a shard is held in memory while it is written.
      max_failed: share of failed videos above which no shards are written.
      beam: None, or options of Apache Beam; then decoding is a part of its pipeline.
      progress: called with the numbers of videos done, of all videos, and of failures so far.
      phase: called with what is done next, "decoding" or "writing shards".

    Raises:
      DataError: `out` cannot be used or written, or no video of a split can be decoded.
      ConfigError: an option is out of range, or a package is missing.
    """
    _check(images, limits, workers, shard_videos, max_failed)
    plan = make_plan(root, splits, images, limits, shard_videos)
    if not plan.num_videos:
        raise DataError(f"{root}: the split has no videos")
    out = Path(out)
    with _claim(out) as stage:
        if (out / PREPARED).exists():
            return _finished(out, plan)
        stage.sweep()
        phase("decoding")
        if beam is None:
            _decode(plan, stage, limits, workers, progress)
            results = _results(plan, stage, limits)
            shards = None
        else:
            shards = _build(out, plan, stage, limits, beam)
            results = _results(plan, stage, limits)
        report = _report(plan, results, max_failed)
        write_failed(out / FAILED, report.failures)
        if report.complete:
            phase("writing shards")
            shards = shards or _build(out, plan, stage, limits, None)
            _write_index(out, plan, results, shards, protocol)
    if report.complete:
        shutil.rmtree(out / STAGING)
    return report


def _check(images: Images, limits: Limits, workers: int, shard_videos: int, share: float) -> None:
    rules = {
        f"--size={images.size}": 16 <= images.size <= 4096,
        f"--quality={images.quality}": 1 <= images.quality <= 100,
        f"--timeout={limits.timeout:g}": limits.timeout > 0,
        f"--memory-limit={limits.memory}": limits.memory == 0 or limits.memory >= 512,
        f"--min-frames={limits.min_frames}": limits.min_frames >= 1,
        f"--max-frames={limits.max_frames}": limits.max_frames >= limits.min_frames,
        f"--workers={workers}": workers >= 1,
        f"--shard-videos={shard_videos}": shard_videos >= 1,
        f"--max-failed={share:g}": 0 <= share <= 1,
    }
    for setting, kept in rules.items():
        if not kept:
            raise ConfigError(f"{setting} is out of range (see mdmf prepare --help)")


@contextlib.contextmanager
def _claim(out: Path) -> Iterator[Stage]:
    """The stage of `out`, made if need be, for this process alone."""
    if out.is_dir() and not (out / PREPARED).exists() and not (out / STAGING).is_dir():
        if any(out.iterdir()):
            raise DataError(f"{out}: holds other files; give a new folder as --out")
    try:
        (out / STAGING).mkdir(parents=True, exist_ok=True)
        lock = open(out / STAGING / "lock", "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}); give another --out") from (
            error
        )
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{out}: another prepare is at work there; wait for it") from error
        yield Stage(out / STAGING)


def _decode(plan: Plan, stage: Stage, limits: Limits, workers: int, progress: Progress) -> None:
    known, total = limits.as_dict(), plan.num_videos
    videos = [video for own in plan.videos for video in own]
    results = [stage.result(video.key, known) for video in videos]
    done = sum(result is not None for result in results)
    failed = sum(isinstance(result, Failed) for result in results)
    progress(done, total, failed)
    # Keys are unique: two videos of one id are two files, of different paths.
    tasks = [
        Task(video.key, video.path)
        for video, result in zip(videos, results, strict=True)
        if result is None
    ]
    for task in decode_all(tasks, stage, plan.images, limits, workers):
        done += 1
        failed += isinstance(stage.result(task.key, known), Failed)
        progress(done, total, failed)


def _results(plan: Plan, stage: Stage, limits: Limits) -> list[list[Staged | Failed]]:
    """What became of the videos of each split.

    Raises:
      DataError: a result is gone.
    """

    def result(video: PlannedVideo) -> Staged | Failed:
        found = stage.result(video.key, limits.as_dict())
        if found is None:
            raise DataError(f"{stage.folder}: a result is missing; run the same command again")
        return found

    return [[result(video) for video in videos] for videos in plan.videos]


def _report(plan: Plan, results: list[list[Staged | Failed]], max_failed: float) -> Report:
    failures, good = [], []
    for split, videos, own in zip(plan.splits, plan.videos, results, strict=True):
        counts = [0] * len(split.folders)
        for video, result in zip(videos, own, strict=True):
            if isinstance(result, Failed):
                failures.append((video.listed, result.reason))
            else:
                counts[video.class_id] += 1
        good.append(counts)
    complete = len(failures) <= max_failed * plan.num_videos
    for split, counts in zip(plan.splits, good, strict=True):
        if complete and not any(counts):
            raise DataError(f"split {split.name}: none of its videos can be decoded")
    return Report(plan, failures, good, complete)


def _build(
    out: Path, plan: Plan, stage: Stage, limits: Limits, beam: Sequence[str] | None
) -> list[list[str]]:
    """The shards, from nothing: what an earlier process left of them may be incomplete."""
    shutil.rmtree(out / NAME, ignore_errors=True)
    try:
        return build(out, plan, stage, limits, beam)
    except OSError as error:
        raise DataError(
            f"{out}: shards cannot be written ({error.strerror or error}); make room,"
            " then run the same command again"
        ) from error


def _write_index(
    out: Path,
    plan: Plan,
    results: list[list[Staged | Failed]],
    shards: list[list[str]],
    protocol: str,
) -> None:
    splits = {}
    for number, split in enumerate(plan.splits):
        good = [
            (video, result)
            for video, result in zip(plan.videos[number], results[number], strict=True)
            if isinstance(result, Staged)
        ]
        index = {
            "id": [video.id for video, _ in good],
            "class": [video.class_id for video, _ in good],
            "frames": [len(staged.lengths) for _, staged in good],
            "width": [staged.width for _, staged in good],
            "height": [staged.height for _, staged in good],
            "seconds": [round(staged.seconds, 4) for _, staged in good],
        }
        write_json(out / f"{split.name}.index.json", index)
        frames = {v.key: len(staged.lengths) for v, staged in good}
        records = [sum(frames.get(v.key, 0) for v in shard) for shard in plan.shards(number)]
        splits[split.name] = {
            "folders": split.folders,
            "names": split.names,
            "prompts": split.prompts,
            "videos": len(good),
            "failed": len(results[number]) - len(good),
            "shards": [list(pair) for pair in zip(shards[number], records, strict=True)],
        }
    write_json(out / PREPARED, _summary(plan, splits, protocol))


def _summary(plan: Plan, splits: dict, protocol: str) -> dict:
    packages = ("av", "pillow", "numpy", "array-record", "tensorflow-datasets")
    return {
        "format": FORMAT,
        "protocol": protocol,
        "size": plan.images.size,
        "quality": plan.images.quality,
        "plan": plan.digest,
        "splits": splits,
        "versions": {name: metadata.version(name) for name in packages},
    }


def _finished(out: Path, plan: Plan) -> Report:
    """The report of a data set that was prepared before.

    Raises:
      DataError: it was made from other videos or with other settings.
    """
    summary = read_json(out / PREPARED)
    shutil.rmtree(out / STAGING, ignore_errors=True)
    if summary.get("plan") != plan.digest:
        raise DataError(
            f"{out}: was prepared from other videos or with other settings; give a new --out"
        )
    good = []
    for split in plan.splits:
        classes = read_json(out / f"{split.name}.index.json")["class"]
        good.append([classes.count(number) for number in range(len(split.folders))])
    return Report(plan, read_failed(out), good, True)


def read_failed(out: Path) -> list[tuple[str, str]]:
    """The lines of failed.csv."""
    import csv

    with open(out / FAILED, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [(path, reason) for path, reason in list(csv.reader(file))[1:]]
