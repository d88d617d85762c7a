"""The data set of generated people: named motions by eight actors, as real video files.

Each actor has a body, a room and a way of filming, and does each motion once. So two videos of a
motion never share a room, while those of other motions often do: who goes by the room is wrong
more often than by chance. Test classes are the hand-written `MOTIONS`; those of train and val are
gestures of the kind that the motion encoder was trained on, drawn with seeds of their own.
"""

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mdmf_jax.data.demo import store as demo_store
from mdmf_jax.data.demo.people import scene
from mdmf_jax.data.demo.people.body import draw_body
from mdmf_jax.data.demo.people.clip import film
from mdmf_jax.data.demo.people.gestures import draw_gesture, perform
from mdmf_jax.data.demo.people.motions import MOTIONS, act
from mdmf_jax.data.protocols.protocol import SPLITS
from mdmf_jax.errors import DataError
from mdmf_jax.files import cache_folder

GENERATOR = 1  # raise it when the pictures change, so that old caches are not used
ACTORS = 8
HEIGHT, WIDTH = 96, 128
GESTURES = {"train": 6, "val": 6}  # classes of these splits
_SPREAD = 0.5  # people who film a sign do it much alike
_TEST_SEED = 77  # of actors and performances; the training has others


def people_folders(split: str) -> tuple[str, ...]:
    """Folders of the classes of a split, in order."""
    if split == "test":
        return tuple(sorted(name.replace(" ", "_") for name in MOTIONS))
    return tuple(f"{split}_gesture_{number}" for number in range(GESTURES[split]))


def people_clip(folder: str, actor: int, seed: int = 0) -> np.ndarray:
    """Frames of a class by an actor, uint8 [N, HEIGHT, WIDTH, 3], before compression."""
    return _Performance(folder, actor, seed).frames()


def ensure_people(
    cache_dir: str | Path | None = None, seed: int = 0, workers: int | None = None
) -> Path:
    """Folder of the data set; made at the first call and checked later, as `ensure_demo`.

    Returns:
      `root` with root/videos/CLASS/CLASS_0001.mp4 and root/splits/{train,val,test}list03.txt.

    Raises:
      DataError: the folder cannot be written.
    """
    cache = Path(cache_dir).expanduser() if cache_dir else cache_folder()
    root = cache.absolute() / f"people-v{GENERATOR}-seed{seed}"
    makers: dict[str, demo_store.Maker] = {}
    for split in SPLITS:
        lines = []
        for folder in people_folders(split):
            for actor in range(ACTORS):
                video = f"{folder}/{folder}_{actor + 1:04d}"
                lines.append(f"{video}\n")
                makers[f"videos/{video}.mp4"] = partial(_file, folder, actor, seed)
        makers[f"splits/{split}list03.txt"] = "".join(lines).encode
    try:
        identity = {"generator": GENERATOR, "seed": seed}
        demo_store.ensure(root, identity, makers, workers or os.cpu_count() or 1)
    except OSError as error:
        raise DataError(
            f"{root}: cannot write the videos of people ({error.strerror or error});"
            " set MDMF_CACHE to a folder with 50 MB of free space"
        ) from error
    return root


def _file(folder: str, actor: int, seed: int) -> bytes:
    return demo_store.encode_mp4(people_clip(folder, actor, seed))


@dataclass(frozen=True)
class _Performance:
    """A class, by an actor."""

    folder: str
    actor: int
    seed: int

    def frames(self) -> np.ndarray:
        mine = np.random.default_rng([_TEST_SEED, self.seed, self.actor])
        body, room = draw_body(mine, unseen=True), scene.draw_room(mine, HEIGHT, WIDTH)
        own = int(mine.integers(2**31))
        key = demo_store.checksum(self.folder.encode())
        rng = np.random.default_rng([_TEST_SEED, self.seed, self.actor, key])
        count = int(rng.integers(28, 49))
        body = replace(body, scale=body.scale * rng.uniform(0.98, 1.02))
        motion, kind = self._motion(count, rng)
        camera = self._camera(kind, count, np.random.default_rng([own, kind == "body"]), rng)
        canvas = film(motion, body, room, camera, HEIGHT, WIDTH, rng)
        canvas += rng.uniform(0.5, 4) * rng.standard_normal(canvas.shape, np.float32)
        return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)

    def _motion(self, count: int, rng: np.random.Generator):
        names = {name.replace(" ", "_"): name for name in MOTIONS}
        if self.folder in names:
            name = names[self.folder]
            kind = "body" if MOTIONS[name].whole else "sign"
            return act(name, count, count / demo_store.FRAME_RATE, rng), kind
        gesture = draw_gesture(np.random.default_rng(demo_store.checksum(self.folder.encode())))
        return perform(gesture, count, rng), gesture.kind

    def _camera(self, kind: str, count: int, mine, rng) -> np.ndarray:
        """Where the actor puts the camera, and what differs from video to video."""
        camera = scene.draw_camera(mine, kind, count, HEIGHT, WIDTH, _SPREAD)
        camera[:, :2] += rng.normal(0, 0.04, 2)
        camera[:, 2:4] *= rng.uniform(0.93, 1.07)
        return camera
