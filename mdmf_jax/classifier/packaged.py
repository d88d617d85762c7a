"""The packaged demo CLIP knows the demo's pictures only: a warning for all others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdmf_jax.classifier.model import DEMO
from mdmf_jax.data.demo.origin import looks_like_demo
from mdmf_jax.weights.huggingface import demo_clip_path


def is_demo_clip(path: str) -> bool:
    """Whether an encoder's path is the packaged demo CLIP, by its name or its folder."""
    return path == DEMO or (path != "" and Path(path).absolute() == demo_clip_path().absolute())


def demo_warning(encoder: Any, videos: Sequence[Any]) -> str:
    """A line if an encoder is the demo CLIP and the demo did not make the videos; or "".

    Args:
      encoder: its options.
      videos: see `looks_like_demo`.
    """
    if not is_demo_clip(str(getattr(encoder, "path", ""))):
        return ""
    strange = sum(not looks_like_demo(video) for video in videos)
    if not strange:
        return ""
    which = "the video is" if len(videos) == 1 else f"{strange} of {len(videos)} videos are"
    return (
        f"the packaged demo CLIP has seen nothing but the demo's moving shapes, and {which} not "
        "of the demo: answers mean nothing there; give an encoder that was trained on real "
        "videos or pictures"
    )
