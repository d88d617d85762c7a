"""Frames of a clip side by side, as a picture inside the page."""

import base64
import io

import numpy as np

SIDE = 56  # short side of a frame, pixels
_GAP = 2
_QUALITY = 80


def frame_strip(frames: np.ndarray, side: int = SIDE) -> str:
    """The data address of a JPEG of frames uint8 [T, H, W, 3], from left to right."""
    from PIL import Image

    height, width = frames.shape[1:3]
    scale = side / min(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Enlarged pixels keep their edges, so that tiny videos do not look blurred.
    way = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.BOX
    strip = Image.new("RGB", (len(frames) * (size[0] + _GAP) - _GAP, size[1]), (128, 128, 128))
    for number, frame in enumerate(frames):
        strip.paste(Image.fromarray(frame).resize(size, way), (number * (size[0] + _GAP), 0))
    buffer = io.BytesIO()
    strip.save(buffer, "JPEG", quality=_QUALITY)
    return data_address(buffer.getvalue(), "image/jpeg")


def data_address(content: bytes, kind: str) -> str:
    """A file as a data address."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
