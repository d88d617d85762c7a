"""The packaged demo CLIP knows the demo's pictures only: a warning for all others."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mdmf_jax.classifier.model import DEMO, Model
from mdmf_jax.data.demo.origin import looks_like_demo
from mdmf_jax.weights.huggingface import demo_clip_path


def is_demo_clip(path: str) -> bool:
    """Whether an encoder's path is the packaged demo CLIP, by its name or its folder."""
    return path == DEMO or (path != "" and Path(path).absolute() == demo_clip_path().absolute())


def demo_warning(model: Model, videos: Sequence[Any]) -> str:
    """A line if the model has the demo CLIP and the demo did not make the videos; or ""."""
    if not is_demo_clip(str(getattr(model.settings.model.encoder, "path", ""))):
        return ""
    strange = [video for video in videos if not looks_like_demo(video)]
    return demo_line(len(strange), len(videos)) if strange else ""


def demo_line(strange: int, count: int) -> str:
    """The warning for `strange` of `count` videos."""
    which = "the video is" if count == 1 else f"{strange} of {count} videos are"
    return (
        f"the packaged demo CLIP has seen nothing but the demo's moving shapes, and {which} not "
        "of the demo: answers mean nothing there; give an encoder that was trained on real "
        "videos or pictures"
    )
