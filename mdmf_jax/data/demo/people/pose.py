"""From what hands, head, trunk and feet do to joints in space."""

from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.demo.people.body import SHOULDERS, Body

LEFT, RIGHT = 1.0, -1.0  # sign of x; the figure looks along +z, towards the camera


@dataclass
class Motion:
    """What a figure does in each of N frames; metres and radians, for a body of scale 1.

    Attributes:
      hands: places relative to the middle of the shoulders, x outwards on the hand's own side,
        y up, z forwards [N, 2, 3] (left, right).
      fingers: length of a hand, 1 when open [N, 2]; palm: angle of its fingers [N, 2].
      feet: places relative to their place of rest, x outwards [N, 2, 3].
      lean: of the trunk to the side and forwards [N, 2]; twist: about the vertical axis [N].
      head: nod, turn and tilt [N, 3].
      place: of the hips relative to their place of rest [N, 3].
    """

    hands: np.ndarray
    fingers: np.ndarray
    palm: np.ndarray
    feet: np.ndarray
    lean: np.ndarray
    twist: np.ndarray
    head: np.ndarray
    place: np.ndarray

    @classmethod
    def still(cls, frames: int) -> "Motion":
        """Arms hanging, standing still."""
        hands = np.zeros((frames, 2, 3)) + np.array([0.24, -0.52, 0.05])
        zeros = lambda *shape: np.zeros((frames, *shape))  # noqa: E731
        ones = np.ones((frames, 2))
        return cls(hands, ones, zeros(2) - 1.4, zeros(2, 3), zeros(2), zeros(), zeros(3), zeros(3))


def joints(body: Body, motion: Motion) -> dict[str, np.ndarray]:
    """Joints by name, metres [N, 3]; x to the picture's right, y up, z towards the camera.

    "hip", "knee", "foot", "shoulder", "elbow", "hand" and "tip" with "_l" and "_r"; "pelvis",
    "neck", "head", "crown".
    """
    found: dict[str, np.ndarray] = {}
    size = body.scale
    pelvis = np.array([0.0, SHOULDERS - 0.5, 0.0]) + motion.place
    side, forwards = motion.lean[:, 0], motion.lean[:, 1]
    up = np.stack([np.sin(side), np.cos(side) * np.cos(forwards), np.sin(forwards)], -1)
    neck = pelvis + body.torso * up
    across = np.stack([np.cos(motion.twist), -np.sin(side), -np.sin(motion.twist)], -1)
    ahead = np.stack([np.sin(motion.twist), -np.sin(forwards), np.cos(motion.twist)], -1)
    found["pelvis"], found["neck"] = pelvis, neck
    nod, turn, tilt = motion.head.T
    axis = np.stack([np.sin(tilt + side), np.cos(nod) * np.cos(tilt), np.sin(nod + forwards)], -1)
    found["head"] = neck + (body.head * 1.55) * axis
    found["crown"] = found["head"] + body.head * 0.55 * axis
    found["nose"] = found["head"] + body.head * 0.7 * np.stack(
        [np.sin(turn + motion.twist), -np.sin(nod) - 0.15, np.cos(turn)], -1
    )
    for number, (name, sign) in enumerate((("_l", LEFT), ("_r", RIGHT))):
        shoulder = neck + sign * body.shoulder * across - 0.02 * up
        local = motion.hands[:, number]
        reach = (body.upper + body.fore) / 0.55
        hand = neck + reach * (
            sign * local[:, :1] * across + local[:, 1:2] * up + local[:, 2:] * ahead
        )
        hint = np.stack(
            [np.full(len(hand), 0.6 * sign), np.full(len(hand), -0.8), -0.5 - 0 * side], -1
        )
        elbow, hand = _bend(shoulder, hand, body.upper, body.fore, hint)
        angle = motion.palm[:, number]
        fingers = np.stack([-sign * np.cos(angle), np.sin(angle), 0.3 + 0 * angle], -1)
        found["shoulder" + name], found["elbow" + name] = shoulder, elbow
        found["hand" + name] = hand
        found["tip" + name] = hand + (0.11 * motion.fingers[:, number, None]) * fingers
        hip = pelvis + sign * body.hip * across
        foot = motion.feet[:, number] * np.array([sign, 1, 1])
        foot = foot + np.array([sign * (body.hip + 0.03), SHOULDERS - 0.5 - 0.86, 0])
        front = np.tile([0.15 * sign, 0.0, 1.0], (len(hip), 1))
        knee, foot = _bend(hip, foot, body.thigh, body.shin, front)
        found["hip" + name], found["knee" + name], found["foot" + name] = hip, knee, foot
    floor = np.array([0.0, SHOULDERS, 0.0])
    return {name: (place - floor) * size + floor for name, place in found.items()}


def _bend(start, end, first: float, second: float, hint) -> tuple[np.ndarray, np.ndarray]:
    """(middle joint, end within reach) of a limb of two parts, bent towards `hint` [N, 3]."""
    line = end - start
    distance = np.linalg.norm(line, axis=-1, keepdims=True)
    unit = line / np.maximum(distance, 1e-6)
    reach = np.clip(distance, abs(first - second) + 0.02, first + second - 1e-3)
    along = (first**2 - second**2 + reach**2) / (2 * reach)
    out = hint - (hint * unit).sum(-1, keepdims=True) * unit
    out /= np.maximum(np.linalg.norm(out, axis=-1, keepdims=True), 1e-6)
    height = np.sqrt(np.maximum(first**2 - along**2, 0))
    return start + along * unit + height * out, start + reach * unit
