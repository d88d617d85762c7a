"""A video of a generated person: figure, room and camera put together."""

from dataclasses import replace

import numpy as np

from mdmf_jax.data.demo.people import scene
from mdmf_jax.data.demo.people.body import Body, draw_body
from mdmf_jax.data.demo.people.gestures import Gesture, perform
from mdmf_jax.data.demo.people.pose import Motion, joints
from mdmf_jax.data.demo.people.render import render_figure

LIMBS = ("hand_l", "hand_r", "head", "neck", "pelvis", "foot_l", "foot_r")
_COLOURS = ("clothes", "trousers", "skin", "hair")


def film(
    motion: Motion,
    body: Body,
    room: np.ndarray,
    camera: np.ndarray,
    height: int,
    width: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Frames before noise, float32 [N, H, W, C]; C is that of the room.

    Args:
      room: as `draw_room` gives it.
      camera: as `draw_camera` gives it.
    """
    canvas = scene.see_room(room, camera, height, width)
    for _ in range(rng.choice(3, p=[0.7, 0.2, 0.1])):
        scene.add_clutter(canvas, rng)
    render_figure(canvas, body, joints(body, motion), camera)
    return scene.expose(canvas, rng)


def training_clip(
    gesture: Gesture, frames: int, height: int, width: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A grey video of a gesture by a new body in a new room, and where its limbs are.

    Returns:
      uint8 [N, H, W], and float32 [N, LIMBS, 2]: x and y of LIMBS in metres; the hands relative
      to the neck, for a body of scale 1.
    """
    body, room = draw_body(rng), scene.draw_room(rng, height, width)
    camera = scene.draw_camera(rng, gesture.kind, frames, height, width)
    grey = np.array([0.299, 0.587, 0.114])
    colours = {c: np.array([getattr(body, c) @ grey]) for c in _COLOURS}
    body, room = replace(body, **colours), (room @ grey.astype(np.float32))[..., None]
    motion = perform(gesture, frames, rng)
    canvas = film(motion, body, room, camera, height, width, rng)
    video = np.clip(np.rint(canvas[..., 0]), 0, 255).astype(np.uint8)
    return video, limbs(body, motion)


def limbs(body: Body, motion: Motion) -> np.ndarray:
    """Where the limbs are, float32 [N, LIMBS, 2]; see `training_clip`."""
    places = joints(body, motion)
    places |= {name: places[name] - places["neck"] for name in ("hand_l", "hand_r")}
    return np.stack([places[name][:, :2] / body.scale for name in LIMBS], 1).astype(np.float32)
