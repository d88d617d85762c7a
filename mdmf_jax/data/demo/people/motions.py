"""Named motions for tests, each written by hand; no training draws them.

A motion is a function of the angle of its cycle [N], 2 pi a cycle, that gives where things are.
Hands are metres from the middle of the shoulders (outwards, up, forwards), see `pose.Motion`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.demo.people.gestures import add_idle
from mdmf_jax.data.demo.people.pose import Motion

Parts = dict[str, np.ndarray]
_sin, _cos = np.sin, np.cos


def _xyz(x, y, z) -> np.ndarray:
    return np.stack(np.broadcast_arrays(x, y, z), -1).astype(float)


def _up(a: np.ndarray) -> np.ndarray:
    """0 at the start of a cycle, 1 in its middle."""
    return 0.5 - 0.5 * _cos(a)


def _both(place: np.ndarray) -> Parts:
    return {"left": place, "right": place}


@dataclass(frozen=True)
class Named:
    """A motion.

    Attributes:
      at: angle [N] -> "left", "right" (hands [N, 3]), "foot_left", "foot_right" [N, 3],
        "lean" [N, 2], "head" [N, 3] and "place" [N, 3].
      rate: cycles a second.
      whole: the legs matter, so that the camera stands back.
    """

    at: Callable[[np.ndarray], Parts]
    rate: float = 1.0
    whole: bool = False


MOTIONS: dict[str, Named] = {
    "waving": Named(lambda a: {"right": _xyz(0.33 + 0.16 * _sin(a), 0.33, 0.12)}, 1.8),
    "waving both hands": Named(lambda a: _both(_xyz(0.4 + 0.18 * _sin(a), 0.42, 0.08)), 1.3),
    "clapping": Named(lambda a: _both(_xyz(0.02 + 0.2 * _up(a), -0.12, 0.33)), 2.0),
    "clapping overhead": Named(lambda a: _both(_xyz(0.03 + 0.3 * _up(a), 0.5, 0.08)), 1.4),
    "raising an arm": Named(
        lambda a: {"right": _xyz(0.25 + 0.3 * _sin(a / 2) ** 2, -0.5 + 1.0 * _up(a), 0.05)}, 0.6
    ),
    "lifting both arms": Named(
        lambda a: _both(_xyz(0.2, -0.45 + 0.95 * _up(a), 0.05 + 0.35 * _sin(a / 2) ** 2)), 0.6
    ),
    "circling a hand": Named(
        lambda a: {"right": _xyz(0.12 + 0.17 * _cos(a), -0.02 + 0.17 * _sin(a), 0.36)}, 1.1
    ),
    "circling back": Named(
        lambda a: {"right": _xyz(0.12 + 0.17 * _cos(a), -0.02 - 0.17 * _sin(a), 0.36)}, 1.1
    ),
    "rolling the hands": Named(
        lambda a: {
            "left": _xyz(-0.03, -0.12 + 0.11 * _sin(a), 0.3 + 0.1 * _cos(a)),
            "right": _xyz(-0.03, -0.12 - 0.11 * _sin(a), 0.3 - 0.1 * _cos(a)),
        },
        1.6,
    ),
    "saluting": Named(
        lambda a: {"right": _xyz(0.05 + 0.12 * _up(a), 0.26 - 0.3 * _up(a) ** 3, 0.14)}, 0.8
    ),
    "touching the chin": Named(lambda a: {"right": _xyz(0.0, 0.06 - 0.14 * _up(a), 0.15)}, 1.5),
    "rubbing the chest": Named(
        lambda a: {"right": _xyz(-0.03 + 0.08 * _cos(a), -0.22 + 0.08 * _sin(a), 0.15)}, 1.5
    ),
    "punching": Named(
        lambda a: {
            "left": _xyz(0.12, -0.02, 0.18 + 0.32 * _up(a)),
            "right": _xyz(0.12, -0.02, 0.5 - 0.32 * _up(a)),
        },
        1.4,
    ),
    "swiping": Named(lambda a: {"right": _xyz(0.45 - 0.6 * _up(a), 0.02, 0.33)}, 0.8),
    "opening the arms": Named(
        lambda a: _both(_xyz(-0.12 + 0.6 * _up(a), -0.15 + 0.1 * _up(a), 0.3 - 0.2 * _up(a))), 0.7
    ),
    "pulling a rope": Named(
        lambda a: {
            "left": _xyz(0.0, 0.1 + 0.25 * _sin(a), 0.3),
            "right": _xyz(0.0, 0.1 - 0.25 * _sin(a), 0.3),
        },
        1.2,
    ),
    "stirring": Named(
        lambda a: {
            "right": _xyz(-0.02 + 0.1 * _cos(a), -0.36 + 0.03 * _sin(a), 0.3 + 0.1 * _sin(a)),
            "left": _xyz(0.15, -0.4, 0.25 + 0 * a),
        },
        1.6,
    ),
    "shaking the head": Named(
        lambda a: {
            "head": _xyz(0, 0.7 * _sin(a), 0.12 * _sin(a)),
            **_both(_xyz(0.2 + 0 * a, -0.45, 0)),
        },
        1.5,
    ),
    "nodding": Named(lambda a: {"head": _xyz(0.35 * _up(a), 0, 0)}, 1.6),
    "bowing": Named(
        lambda a: {
            "lean": np.stack([0 * a, 0.75 * _up(a)], -1),
            **_both(_xyz(0.2, -0.45, 0.1 + 0 * a)),
        },
        0.55,
        True,
    ),
    "kicking": Named(
        lambda a: {"foot_right": _xyz(0.15 * _up(a), 0.5 * _up(a), 0.5 * _up(a))}, 1.0, True
    ),
    "marching": Named(
        lambda a: {
            "foot_left": _xyz(0, 0.35 * np.maximum(_sin(a), 0), 0.15 * np.maximum(_sin(a), 0)),
            "foot_right": _xyz(0, 0.35 * np.maximum(-_sin(a), 0), 0.15 * np.maximum(-_sin(a), 0)),
            "left": _xyz(0.2, -0.4, 0.15 - 0.2 * _sin(a)),
            "right": _xyz(0.2, -0.4, 0.15 + 0.2 * _sin(a)),
        },
        1.1,
        True,
    ),
    "jumping jacks": Named(
        lambda a: {
            "foot_left": _xyz(0.3 * _up(a), 0.1 * _sin(a) ** 2, 0),
            "foot_right": _xyz(0.3 * _up(a), 0.1 * _sin(a) ** 2, 0),
            "place": _xyz(0, 0.1 * _sin(a) ** 2, 0),
            **_both(_xyz(0.3 + 0.15 * _sin(a / 2) ** 2, -0.5 + 1.0 * _up(a), 0.02)),
        },
        1.0,
        True,
    ),
    "squatting": Named(
        lambda a: {
            "place": _xyz(0, -0.38 * _up(a), 0),
            **_both(_xyz(0.18, -0.45 + 0.4 * _up(a), 0.1 + 0.4 * _up(a))),
        },
        0.6,
        True,
    ),
}


def act(name: str, frames: int, seconds: float, rng: np.random.Generator) -> Motion:
    """A performance of a named motion: its own speed, size, start and idle movements.

    Args:
      seconds: that the frames last.
    """
    named, motion = MOTIONS[name], Motion.still(frames)
    time = np.linspace(0, seconds, frames)
    begin = rng.uniform(0, 0.25) * seconds if rng.random() < 0.6 else -1.0
    end = seconds * rng.uniform(0.75, 1.0) if rng.random() < 0.6 else seconds + 1.0
    active = np.clip((time - begin) / 0.35, 0, 1) * np.clip((end - time) / 0.35, 0, 1)
    active = active * active * (3 - 2 * active)
    speed = named.rate * rng.uniform(0.75, 1.35)
    angle = 2 * np.pi * (speed * (time - max(begin, 0)) + (0 if begin >= 0 else rng.random()))
    size = rng.uniform(0.85, 1.15)
    rest = np.array([0.22, -0.5, 0.06]) + rng.normal(0, 0.04, (2, 3))
    motion.hands[:] = rest
    targets = {"lean": motion.lean, "head": motion.head, "place": motion.place}
    targets |= {"left": motion.hands[:, 0], "right": motion.hands[:, 1]}
    targets |= {"foot_left": motion.feet[:, 0], "foot_right": motion.feet[:, 1]}
    for part, values in named.at(angle).items():
        middle = values.mean(0)
        values = middle + size * (values - middle)
        if part in ("left", "right"):
            values = values + rng.normal(0, 0.015, 3)
        targets[part] += active[:, None] * (values - targets[part])
    add_idle(motion, rng)
    return motion
