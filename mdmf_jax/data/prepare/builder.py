"""Write staged videos into array_record shards with a TensorFlow Datasets builder.

One record for each frame, in the order of the plan: to read 8 frames of a video of 250, 8 small
records are read and not one of some megabytes. The same builder runs on Apache Beam, where each
shard is one piece of work, which decodes its videos itself.
"""

import contextlib
import functools
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mdmf_jax.data.prepare.decode import Images, Limits
from mdmf_jax.data.prepare.plan import Plan, PlannedVideo
from mdmf_jax.data.prepare.pool import Task, decode_all
from mdmf_jax.data.prepare.stage import Stage, Staged, StageError
from mdmf_jax.errors import ConfigError

NAME = "prepared_videos"
VERSION = "1.0.0"
# Every record by itself, for random access. JPEG does not get smaller by compression.
_WRITER_OPTIONS = "group_size:1,uncompressed"


@dataclass(frozen=True)
class Shard:
    """Makes the records of one shard; a process on another machine may call it.

    Attributes:
      stage: folder of the staged videos.
      videos: those of the shard.
      folders: class folders of the split.
      images, limits: see `prepare`.
      decode: whether to decode what is not in the stage yet.
    """

    stage: str
    videos: tuple[PlannedVideo, ...]
    folders: tuple[str, ...]
    images: Images
    limits: Limits
    decode: bool

    def __call__(self) -> Iterator[tuple[str, dict]]:
        stage, limits = Stage(self.stage), self.limits.as_dict()
        if self.decode:
            todo = [v for v in self.videos if stage.result(v.key, limits) is None]
            tasks = [Task(video.key, video.path) for video in todo]
            for _ in decode_all(tasks, stage, self.images, self.limits, workers=1):
                pass
        for video in self.videos:
            staged = stage.result(video.key, limits)
            if isinstance(staged, Staged):
                yield from self._records(stage, video, staged)

    def _records(self, stage: Stage, video: PlannedVideo, staged: Staged):
        fields = {
            "id": os.fsencode(video.id),
            "class": os.fsencode(self.folders[video.class_id]),
            "frames": len(staged.lengths),
            "duration": staged.seconds,
        }
        for number, jpeg in enumerate(stage.images(video.key, staged)):
            yield f"{video.id}/{number}", {**fields, "frame": number, "jpeg": jpeg}


def build(
    directory: str | Path, plan: Plan, stage: Stage, limits: Limits, beam: Sequence[str] | None
) -> list[list[str]]:
    """Writes all shards.

    Args:
      directory: folder that gets prepared_videos/1.0.0.
      plan: what to write.
      stage: where the decoded videos are.
      limits: those that the videos were decoded under.
      beam: None, or to run on Apache Beam, its pipeline options ("--runner=DirectRunner").

    Returns:
      For each split, the paths of its shards relative to `directory`.

    Raises:
      ConfigError: a package is missing.
    """
    tfds = _import_tfds()
    splits = {
        split.name: [
            Shard(str(stage.folder), videos, split.folders, plan.images, limits, beam is not None)
            for videos in plan.shards(number)
        ]
        for number, split in enumerate(plan.splits)
    }
    config = tfds.download.DownloadConfig(**_beam_options(beam))
    # The builder prints notes about downloads, of which there are none.
    with contextlib.redirect_stdout(io.StringIO()):
        builder = _builder_class()(splits, data_dir=str(directory), file_format="array_record")
        builder.download_and_prepare(download_dir=str(stage.folder), download_config=config)
    folder = Path(NAME, VERSION)
    return [
        [
            str(folder / f"{NAME}-{split}.array_record-{number:05d}-of-{len(shards):05d}")
            for number in range(len(shards))
        ]
        for split, shards in splits.items()
    ]


def _import_tfds():
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ConfigError(
            "prepare needs tensorflow_datasets, which cannot be imported;"
            " install tensorflow-datasets and array-record"
        ) from error
    tfds.disable_progress_bar()
    return tfds


def _beam_options(options: Sequence[str] | None) -> dict:
    if options is None:
        return {}
    try:
        # An extra, which no environment for development has.
        from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
            PipelineOptions,
        )
        from apache_beam.runners import create_runner  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ConfigError(
            "--beam needs Apache Beam, which cannot be imported;"
            " install apache-beam, best in an environment of its own"
        ) from error
    parsed = PipelineOptions(list(options))
    runner = create_runner(parsed.get_all_options().get("runner") or "DirectRunner")
    return {"beam_options": parsed, "beam_runner": runner}


@functools.cache
def _builder_class():
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import dataset_builder

    class PreparedVideos(dataset_builder.ShardBasedBuilder, skip_registration=True):
        """The frames of videos as JPEG, in given shards."""

        name = NAME
        pkg_dir_path = None
        code_path = None
        url_infos = {}  # nothing is downloaded
        VERSION = tfds.core.Version(VERSION)

        def __init__(self, splits: dict[str, list[Shard]], **options) -> None:
            self._splits = splits
            super().__init__(**options)

        def _info(self):
            # As bytes: the library's own types for images and videos decode every frame.
            data = tfds.features.Tensor(shape=(), dtype=np.object_)
            fields = {"id": data, "class": data, "jpeg": data}
            fields |= {"frame": np.int64, "frames": np.int64, "duration": np.float32}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(fields))

        def _split_generators(self, dl_manager):
            raise NotImplementedError("shards are given one by one")

        def _generate_examples(self):
            raise NotImplementedError("shards are given one by one")

        def _shard_iterators_per_split(self, dl_manager):
            return self._splits

        def _example_writer(self):
            assert self.info.file_format is not None  # given when it was made
            return _writer_class()(self.info.file_format)

    return PreparedVideos


@functools.cache
def _writer_class():
    from tensorflow_datasets.core import writer

    class Writer(writer.ExampleWriter):
        """Writes the same bytes in every process, which protobuf does not promise for maps."""

        def write(self, path, examples) -> None:
            write_records(path, (serialized for _, serialized in examples))

        def __reduce__(self):
            return _make_writer, (self.file_format,)

    return Writer


def _make_writer(file_format):
    return _writer_class()(file_format)


def write_records(path: str | os.PathLike, examples: Iterator[bytes]) -> None:
    """Writes serialised tf.train.Example messages, with their fields in ascending order.

    Raises:
      StageError: the disk is full, or the folder cannot be written.
    """
    from array_record.python.array_record_module import ArrayRecordWriter
    from tensorflow_datasets.proto import tf_example_pb2

    # Made by protoc, untyped.
    example_of = tf_example_pb2.Example.FromString  # pyright: ignore[reportAttributeAccessIssue]

    with _one_line(path):
        writer = ArrayRecordWriter(os.fspath(path), _WRITER_OPTIONS)
    for serialized in examples:
        example = example_of(serialized)
        with _one_line(path):
            writer.write(example.SerializeToString(deterministic=True))
    with _one_line(path):
        writer.close()


@contextlib.contextmanager
def _one_line(path: str | os.PathLike) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # what array_record makes of every failure to write
        reason = str(error).partition(";")[0]
        raise StageError(
            f"{path}: cannot be written ({reason}); make room, then run the same command again"
        ) from error
