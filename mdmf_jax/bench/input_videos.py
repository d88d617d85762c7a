"""Videos to measure loading with: as large and as long as those of common data sets."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np

SIZE = 256  # short side that loaders resize to
WIDTH, HEIGHT, RATE, SECONDS, GOP = 320, 240, 25, 10, 250


def make_videos(folder: Path, classes: int, each: int, seconds: float = SECONDS) -> None:
    """Writes folder/CLASS/NUMBER.mp4: moving pictures with some noise, H.264.

    Args:
      folder: gets the class folders.
      classes, each: number of classes, and of videos of each.
      seconds: duration of a video.
    """

    def make(number: int) -> None:
        path = folder / f"class_{number // each}" / f"{number % each}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        _encode(path, number, round(seconds * RATE))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(make, range(classes * each)))


def _encode(path: Path, seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    # A wide smooth picture that the camera moves over, so that there is motion to code.
    coarse = rng.integers(0, 256, (12, 40, 3))
    scene = np.kron(coarse, np.ones((40, 40, 1))).astype(np.uint8)
    noise = rng.integers(0, 12, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with av.open(str(path), "w") as file:
        options = {"g": str(GOP), "preset": "veryfast", "crf": "23", "threads": "1"}
        stream = file.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(count):
            top = int((number * 1.7) % (scene.shape[0] - HEIGHT))
            left = int((number * 3.1) % (scene.shape[1] - WIDTH))
            image = scene[top : top + HEIGHT, left : left + WIDTH] // 2 + np.roll(noise, number, 1)
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
