"""Settings of the videos and of the training episodes."""

from dataclasses import dataclass
from typing import Literal

from mdmf_jax.config.fields import setting


@dataclass(frozen=True)
class ClipOptions:
    """How a test clip is cut from a video."""

    frames: int = setting(8, "frames T sampled from each video", min=1, affects="features")
    resize: int = setting(256, "short side in pixels after resizing", min=1, affects="features")
    crop: int = setting(
        224,
        "side in pixels of the square crop; the encoder's image size",
        min=1,
        affects="features",
    )
    pipeline: Literal["mdmf", "clip_fsar"] = setting(
        "mdmf",
        '"mdmf" keeps the aspect; "clip_fsar" squashes to a square',
        affects="features",
    )
    sampling: Literal["ends", "segments", "span"] = setting(
        "ends",
        '"ends": equally spaced frames; "segments": one of each of T parts; "span": equally '
        "spaced in a part of the video",
        affects="features",
    )
    test_clips: int = setting(
        1, "clips of a test video whose features are averaged", min=1, affects="features"
    )


@dataclass(frozen=True)
class DataSection(ClipOptions):
    """Videos, splits and what is done to frames."""

    dataset: Literal["folders", "demo", "people"] = setting(
        "folders",
        'the videos in `data.root`; or generated ones, no download: "demo" (moving shapes), '
        '"people" (figures that move)',
        affects="videos",
    )
    root: str = setting(
        "",
        'folder of the videos (demo: where to keep them; "" is the cache folder)',
        affects="place",
    )
    source: Literal["auto", "videos", "frames", "prepared"] = setting(
        "auto",
        'what `data.root` holds: "videos", "frames" (folders of images), "prepared" (shards); '
        '"auto" looks',
        affects="videos",
    )
    protocol: str = setting(
        "", 'name of a folder in splits/; "": the class folders\' own names', affects="videos"
    )
    splits: str = setting(
        "",
        'folder of the {train,val,test} lists; "": root/{train,val,test}/class',
        affects="videos",
    )
    groups: str = setting(
        "",
        "CSV file clip,group: a person or camera of each video, not in support and query of a "
        'validation or test episode at once; "": none',
        affects="evaluation",
    )
    short_videos: Literal["repeat", "drop"] = setting(
        "repeat",
        'videos of fewer than T frames: "repeat" frames or "drop" the video',
        reference="drop",
        affects="features",
    )
    flip: bool = setting(
        True,
        "mirror training videos half of the time; by default unless `data.left_right`",
        reference=True,
    )
    jitter: bool = setting(False, "change the colours of training queries at random")
    left_right: bool = setting(False, "the classes tell left from right, so mirroring changes them")
    cache: bool = setting(False, "keep decoded and resized videos in memory", affects="speed")
    loader: Literal["tfdata", "threads"] = setting(
        "tfdata", '"tfdata", or "threads": the same batches without TensorFlow', affects="speed"
    )
    workers: int = setting(8, "threads that decode videos", min=1, affects="speed")
    prompt_order: Literal["by_name", "reference"] = setting(
        "by_name",
        'order of the class texts: "by_name" or "reference" (published reader\'s order)',
        reference="reference",
    )


@dataclass(frozen=True)
class TextsSection:
    """Texts that stand for the classes, where one made by `encoder.prompt` will not do."""

    descriptions: str = setting(
        "",
        "bank of texts for each class: a file (JSON, YAML) or a folder of them, or "
        '"packaged:demo"; "": none',
    )
    sentence: str = setting(
        "{text}",
        "how a text of the bank is put: {text} stands for it, {class} for the class's name",
    )
    prompts: tuple[str, ...] = setting(
        (), "several texts of a class in the place of `encoder.prompt`; {} stands for its name"
    )
    cut: bool = setting(
        False, "cut texts that are too long for the encoder; otherwise they are an error"
    )


@dataclass(frozen=True)
class EpisodeSection:
    """Training episodes."""

    way: int = setting(5, "classes W of a training episode", min=2)
    shot: int = setting(1, "support videos K of each class", min=1)
    queries: int = setting(5, "query videos of each class", min=1)
