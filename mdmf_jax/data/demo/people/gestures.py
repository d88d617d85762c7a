"""Gestures at random: a class is what is drawn once, a performance what each video draws anew."""

from dataclasses import dataclass

import numpy as np

from mdmf_jax.data.demo.people.pose import Motion

KINDS = ("sign", "body", "head")
_SHARES = (0.65, 0.25, 0.1)


@dataclass(frozen=True)
class Track:
    """How one thing moves: along a path of points, with a swing about it.

    Attributes:
      points: of the path [K, D]; one point is a place.
      rounds: how often the path is gone through; closed: back to its first point each time.
      swing: amplitudes of two swings a quarter of a period apart [2, D].
      rate: swings a second.
      sharp: 0 for a sine; above, the swing rests at its ends.
    """

    points: np.ndarray
    rounds: float = 1.0
    closed: bool = False
    swing: np.ndarray | float = 0.0
    rate: float = 0.0
    sharp: float = 0.0

    def at(self, progress: np.ndarray, time: np.ndarray, phase: float, size: float) -> np.ndarray:
        """Places [N, D].

        Args:
          progress: of the gesture, 0 at its start and 1 at its end [N].
          time: seconds since its start [N].
          size: of the swings and of the path about its middle.
        """
        middle = self.points.mean(0)
        places = middle + size * (self._path(progress) - middle)
        if not self.rate:
            return places
        angle = 2 * np.pi * self.rate * time + phase
        waves = np.stack([np.sin(angle), np.cos(angle)], -1)
        if self.sharp:
            waves = np.tanh(self.sharp * waves) / np.tanh(self.sharp)
        return places + size * waves @ np.broadcast_to(self.swing, (2, places.shape[1]))

    def _path(self, progress: np.ndarray) -> np.ndarray:
        points = np.concatenate([self.points, self.points[:1]]) if self.closed else self.points
        if len(points) == 1:
            return np.broadcast_to(points[0], (len(progress), points.shape[1]))
        turns = np.clip(progress, 0, 1) * self.rounds
        along = turns % 1 if self.closed else 1 - np.abs(turns % 2 - 1)
        at = along * (len(points) - 1)
        before = np.minimum(at.astype(int), len(points) - 2)
        share = at - before
        share = (0.5 - 0.5 * np.cos(np.pi * share))[:, None]
        return points[before] * (1 - share) + points[before + 1] * share


@dataclass(frozen=True)
class Gesture:
    """A class: tracks by part, and how the hands relate.

    Attributes:
      kind: one of KINDS; says how the camera frames it.
      tracks: by part: "hand_l", "hand_r" (3 numbers), "palm_l", "palm_r", "fingers_l",
        "fingers_r", "twist" (1), "head" (3), "lean" (2), "foot_l", "foot_r", "place" (3).
      opposed: the right hand swings half a period after the left.
      seconds: how long it usually takes.
    """

    kind: str
    tracks: dict[str, Track]
    opposed: bool
    seconds: float


def draw_gesture(rng: np.random.Generator) -> Gesture:
    """A class of the training's endless ones."""
    kind = str(rng.choice(KINDS, p=_SHARES))
    tracks: dict[str, Track] = {}
    hands = rng.choice(
        ["left", "right", "mirrored", "parallel", "both"], p=[0.25, 0.3, 0.25, 0.08, 0.12]
    )
    if kind == "head" and rng.random() < 0.6:
        hands = "none"
    near = kind != "body"
    if hands in ("left", "mirrored", "parallel", "both"):
        tracks |= _hand(rng, "l", near)
    if hands in ("right", "both"):
        tracks |= _hand(rng, "r", near)
    if hands in ("mirrored", "parallel"):
        flip = np.array([-1.0 if hands == "parallel" else 1.0, 1, 1])
        own = tracks["hand_l"]
        shift = np.array([0.0, 0, 0]) if hands == "mirrored" else np.array([0.3, 0, 0])
        points = own.points * flip + shift
        swing = np.broadcast_to(own.swing, (2, 3)) * flip
        tracks["hand_r"] = Track(points, own.rounds, own.closed, swing, own.rate, own.sharp)
        tracks |= {k[:-1] + "r": v for k, v in tracks.items() if k in ("palm_l", "fingers_l")}
    if kind == "head" or rng.random() < 0.08:
        tracks["head"] = _turning(rng, 3, 0.3, 0.6)
    if kind == "body":
        tracks |= _trunk_and_legs(rng)
    return Gesture(kind, tracks, bool(rng.random() < 0.25), rng.uniform(1.0, 3.5))


def _hand(rng: np.random.Generator, side: str, near: bool) -> dict[str, Track]:
    low, high = (
        ([-0.22, -0.42, 0.08], [0.3, 0.36, 0.42])
        if near
        else ([-0.2, -0.6, -0.05], [0.6, 0.62, 0.5])
    )
    first = rng.uniform(low, high)
    if near and rng.random() < 0.4:  # at the face
        first = np.array([rng.uniform(-0.05, 0.15), rng.uniform(0.0, 0.3), rng.uniform(0.1, 0.18)])
    points = [first]
    style = rng.choice(
        ["swing", "path", "circle", "place", "both"], p=[0.35, 0.25, 0.2, 0.05, 0.15]
    )
    if style in ("path", "both"):
        spread = rng.uniform(0.08, 0.3)
        for _ in range(rng.integers(1, 4)):
            points.append(np.clip(points[-1] + rng.normal(0, spread, 3) * [1, 1, 0.6], low, high))
    swing, rate = np.zeros((2, 3)), 0.0
    if style in ("swing", "circle", "both"):
        rate = rng.uniform(0.8, 3.2)
        size = rng.uniform(0.02, 0.16 if near else 0.3) / max(1.0, rate / 1.8)
        direction = rng.normal(size=3) * [1, 1, 0.6]
        swing[0] = size * direction / np.linalg.norm(direction)
        if style == "circle":
            other = np.cross(direction, [0, 0, 1] if rng.random() < 0.7 else [1, 0, 0])
            swing[1] = size * rng.uniform(0.6, 1) * other / max(np.linalg.norm(other), 1e-6)
            swing[1] *= rng.choice([-1, 1])
    sharp = rng.uniform(1, 3) if rng.random() < 0.3 else 0.0
    rounds, closed = float(rng.integers(1, 4)), bool(rng.random() < 0.3)
    found = {f"hand_{side}": Track(np.stack(points), rounds, closed, swing, rate, sharp)}
    found[f"palm_{side}"] = _turning(rng, 1, 0.25, 1.0, around=rng.uniform(-1.2, 1.6))
    if rng.random() < 0.25:
        found[f"fingers_{side}"] = _turning(rng, 1, 1.0, 0.4, around=0.7)
    return found


def _turning(rng, size: int, share: float, amount: float, around: float = 0.0) -> Track:
    """Angles that swing (with probability `share`; with `size` above 1, about one axis surely)."""
    swing = np.zeros((2, size))
    if size > 1:
        swing[0, rng.integers(size)] = amount * rng.uniform(0.4, 1)
    elif rng.random() < share:
        swing[0] = amount * rng.uniform(0.4, 1)
    point = np.full((1, size), around) + rng.normal(0, 0.1, (1, size))
    return Track(point, swing=swing, rate=rng.uniform(0.8, 3) if swing.any() else 0.0)


def _trunk_and_legs(rng: np.random.Generator) -> dict[str, Track]:
    found = {}
    rest3, rest2 = np.zeros((1, 3)), np.zeros((1, 2))
    for part in rng.permutation(["lean", "twist", "feet", "place", "none"])[: rng.integers(1, 3)]:
        rate = rng.uniform(0.4, 1.6)
        if part == "lean":
            swing = np.zeros((2, 2))
            swing[0, rng.integers(2)] = rng.uniform(0.2, 0.8)
            found["lean"] = Track(rest2, swing=swing, rate=rate)
        elif part == "twist":
            found["twist"] = Track(np.zeros((1, 1)), swing=np.array([[0.7], [0]]), rate=rate)
        elif part == "feet":
            ends = rng.uniform([-0.1, 0.1, 0.0], [0.5, 0.8, 0.6], (rng.integers(1, 3), 3))
            points = np.concatenate([rest3, ends])
            side = rng.choice(["l", "r"])
            found[f"foot_{side}"] = Track(points, float(rng.integers(2, 5)))
            if rng.random() < 0.3:
                found["foot_" + ("r" if side == "l" else "l")] = Track(points, 2.0)
        elif part == "place":
            to = rng.uniform([-0.5, -0.3, -0.2], [0.5, 0.15, 0.2], (1, 3))
            found["place"] = Track(np.concatenate([rest3, to]), float(rng.integers(1, 5)))
    return found


def perform(gesture: Gesture, frames: int, rng: np.random.Generator) -> Motion:
    """One performance of a gesture: its own speed, size, start, rest and idle movements."""
    motion = Motion.still(frames)
    whole = gesture.seconds * rng.uniform(0.7, 1.45)  # seconds that the frames cover
    time = np.linspace(0, 1, frames)
    time = time + rng.uniform(0, 0.06) * np.sin(2 * np.pi * (time + rng.random()))  # uneven
    begin, end = _bounds(rng)
    rise = rng.uniform(0.08, 0.22)
    progress = (time - begin) / (end - begin)
    up = _smooth((time - begin + rise) / rise) * _smooth((end + rise - time) / rise)
    seconds = (time - begin) * whole * rng.uniform(0.8, 1.25)
    phase, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.75, 1.3)
    rest = _rest(rng)
    for number, side in enumerate("lr"):
        motion.hands[:, number] = rest[number]
        motion.palm[:, number] += rng.normal(0, 0.2)
        mine = phase + (np.pi if gesture.opposed and side == "r" else 0.0)
        mine += rng.normal(0, 0.15)
        if f"hand_{side}" in gesture.tracks:
            places = gesture.tracks[f"hand_{side}"].at(progress, seconds, mine, size)
            places = places + rng.normal(0, 0.02, 3)
            motion.hands[:, number] += up[:, None] * (places - motion.hands[:, number])
            palm = gesture.tracks[f"palm_{side}"].at(progress, seconds, mine, size)[:, 0]
            motion.palm[:, number] += up * (palm - motion.palm[:, number])
        if f"fingers_{side}" in gesture.tracks:
            fingers = gesture.tracks[f"fingers_{side}"].at(progress, seconds, mine, size)[:, 0]
            motion.fingers[:, number] += up * (np.clip(fingers, 0.2, 1) - 1)
        if f"foot_{side}" in gesture.tracks:
            motion.feet[:, number] = gesture.tracks[f"foot_{side}"].at(
                progress, seconds, mine, size
            )
    active = up[:, None]
    for part, values in (("lean", motion.lean), ("head", motion.head), ("place", motion.place)):
        if part in gesture.tracks:
            values += active * gesture.tracks[part].at(progress, seconds, phase, size)
    if "twist" in gesture.tracks:
        motion.twist += up * gesture.tracks["twist"].at(progress, seconds, phase, size)[:, 0]
    add_idle(motion, rng)
    return motion


def add_idle(motion: Motion, rng: np.random.Generator) -> None:
    """What a body does beside its gesture: it sways, nods, and shifts its resting hand."""
    frames = len(motion.twist)
    amount = rng.uniform(0.3, 1.5)
    motion.lean += amount * wander(rng, frames, 2, 0.025)
    motion.head += amount * wander(rng, frames, 3, 0.07)
    motion.twist += rng.normal(0, 0.2) + amount * wander(rng, frames, 1, 0.04)[:, 0]
    motion.place += amount * wander(rng, frames, 3, 0.01)
    motion.hands += amount * wander(rng, frames, 6, 0.01).reshape(frames, 2, 3)
    if rng.random() < 0.2:  # leaning back from the camera's button, or towards it
        amount = rng.uniform(0.1, 0.3) * np.exp(-np.linspace(0, rng.uniform(4, 12), frames))
        motion.lean[:, 1] += amount if rng.random() < 0.6 else amount[::-1]


def wander(rng: np.random.Generator, frames: int, size: int, amount: float) -> np.ndarray:
    """Slow random movement about 0 [N, size]."""
    time = np.linspace(0, 1, frames)[:, None, None]
    rates = rng.uniform(0.3, 2.5, (size, 3))
    phases = rng.uniform(0, 2 * np.pi, (size, 3))
    return amount * np.sin(2 * np.pi * rates * time + phases).sum(-1)


def _bounds(rng: np.random.Generator) -> tuple[float, float]:
    """Shares of the video at which the gesture begins and ends; may lie outside of it."""
    if rng.random() < 0.65:  # from rest to rest
        return rng.uniform(0.08, 0.35), rng.uniform(0.65, 0.92)
    return rng.uniform(-0.4, 0.2), rng.uniform(0.8, 1.4)


def _rest(rng: np.random.Generator) -> np.ndarray:
    """Places of the resting hands [2, 3]: hanging, in the lap, or folded."""
    kind = rng.integers(3)
    if kind == 0:
        rest = np.array([0.24, -0.52, 0.05])
    elif kind == 1:
        rest = np.array([0.12, -0.46, 0.2])
    else:
        rest = np.array([0.02, -0.35, 0.22])
    return rest + rng.normal(0, 0.03, (2, 3))


def _smooth(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return x * x * (3 - 2 * x)
