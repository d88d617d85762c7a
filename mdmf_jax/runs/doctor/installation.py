"""Checks of the packages, of the decoder and of a small model from pixels to labels."""

import importlib.util
import platform
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path

from av.codec import codecs_available

import mdmf_jax
from mdmf_jax.runs.doctor.check import OK, PROBLEM, WARNING, Check

# Distributions that every command needs.
NEEDED = (
    "jax",
    "jaxlib",
    "flax",
    "optax",
    "orbax-checkpoint",
    "numpy",
    "av",
    "pillow",
    "safetensors",
    "huggingface_hub",
    "tokenizers",
    "ftfy",
    "ml_collections",
    "rich",
)
PYTHON = ((3, 11), (3, 13))
# Differences of a decoded frame to the original, grey levels; H.264 loses a little.
_MOST_LOSS = 12
_CODECS = ("h264", "hevc", "mpeg4", "vp9", "av1")


def versions() -> Check:
    """Python and the packages."""
    found, absent = {"mdmf_jax": mdmf_jax.__version__}, []
    for name in NEEDED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            absent.append(name)
    line = ", ".join(f"{name} {version}" for name, version in found.items())
    line = f"Python {platform.python_version()}, {line}"
    if absent:
        what = f"{', '.join(absent)} missing; {line}"
        return Check("versions", PROBLEM, what, f"pip install {' '.join(absent)}")
    if not PYTHON[0] <= sys.version_info[:2] <= PYTHON[1]:
        return Check("versions", WARNING, line, "use Python 3.11, 3.12 or 3.13")
    if found["jax"].split(".")[:2] != found["jaxlib"].split(".")[:2]:
        mend = f"pip install jax=={found['jax']} jaxlib=={found['jax']}"
        return Check("versions", WARNING, f"jax and jaxlib do not belong together; {line}", mend)
    return Check("versions", OK, line)


def tensorflow() -> Check:
    """Whether TensorFlow is there; it is not imported, which would take seconds."""
    name = "TensorFlow"
    if importlib.util.find_spec("tensorflow") is None:
        found = "absent; it only feeds data to training, and threads can do that too"
        return Check(name, WARNING, found, "train with --config.data.loader=threads")
    for package in ("tensorflow", "tensorflow-cpu"):
        try:
            return Check(name, OK, f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return Check(name, OK, "present")


def flatbuffers() -> Check:
    """Whether `export --format=jax` can write its files."""
    if importlib.util.find_spec("flatbuffers") is None:
        found = "flatbuffers is missing, which jax needs to write and read exported programs"
        return Check("export", WARNING, found, "pip install flatbuffers")
    return Check("export", OK, "programs can be written and read")


def decoder() -> Check:
    """Encodes a made clip, decodes it again and compares."""
    import av
    import numpy as np

    from mdmf_jax.data.demo.store import encode_mp4
    from mdmf_jax.data.videos.video import read_video

    rows, columns = np.mgrid[:64, :64]
    picture = np.stack([rows * 2, columns * 2, 255 - rows - columns], axis=-1)
    frames = np.stack([np.roll(picture, 4 * i, axis=1) for i in range(8)]).astype(np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        path.write_bytes(encode_mp4(frames))
        decoded = read_video(path)
    known = [name for name in _CODECS if name in codecs_available]
    line = f"PyAV {av.__version__}, reads {', '.join(known)}"
    loss = np.abs(decoded.astype(int) - frames).mean() if decoded.shape == frames.shape else 255
    if loss > _MOST_LOSS:
        found = f"a made clip comes back changed ({list(decoded.shape)}); {line}"
        return Check("decoder", PROBLEM, found, "pip install --force-reinstall av")
    return Check("decoder", OK, line)


def trial() -> Check:
    """Fits the packaged CLIP to two made clips, and asks it for their classes."""
    from mdmf_jax.classifier.classifier import FewShotClassifier
    from mdmf_jax.data.demo.dataset import demo_clip

    begun = time.monotonic()
    pairs = {"moving left": "moving right", "growing": "spinning"}
    videos = {first: [demo_clip(first, second, 1)] for first, second in pairs.items()}
    classifier = FewShotClassifier.from_pretrained("packaged:demo", "otam").fit(videos)
    queries = [some[0] for some in videos.values()]
    nearest = [answer.nearest for answer in classifier.predictions(queries)]
    line = f"fit and predict with the packaged CLIP: {time.monotonic() - begun:.0f} s"
    line += " (it knows the demo's moving shapes only: no encoder for real videos)"
    if nearest != list(videos):
        found = f"clips are not recognised as themselves ({nearest}); {line}"
        mend = "the device computes wrong numbers: try JAX_PLATFORMS=cpu, or another jax version"
        return Check("trial", PROBLEM, found, mend)
    return Check("trial", OK, line)
