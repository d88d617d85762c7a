"""Draw one clip of the demo data set: an object that does one motion and then another.

Lengths are fractions of the frame side. What a motion has done to the object (its place, size
and angle) stays when the next motion begins, so that both orders of a pair start and end alike
and differ only in between.
"""

from dataclasses import dataclass

import numpy as np

SIDE = 64
FRAMES = 24
MAX_FRAMES = 32
MOTIONS = (
    "moving left",
    "moving right",
    "moving up",
    "moving down",
    "growing",
    "shrinking",
    "spinning",
    "blinking",
)
SHAPES = ("circle", "square", "triangle", "star", "cross", "hexagon")

LONG_CLIP_SHARE = 0.2
SMALLEST, LARGEST = 0.09, 0.25  # radius of an object that grows or shrinks
MARGIN = 0.02


@dataclass(frozen=True)
class Path:
    """The object in every frame; each field is float32 [N]."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    opacity: np.ndarray


def render_clip(first: str, second: str, rng: np.random.Generator) -> np.ndarray:
    """Frames of the class "first then second", uint8 [N, 64, 64, 3], N from 24 to 32.

    Everything that does not name the class is drawn from `rng`: length, moment of the switch,
    speed, start, shape, colours, background and noise.
    """
    frames = FRAMES
    if rng.random() < LONG_CLIP_SHARE:
        frames = int(rng.integers(FRAMES + 1, MAX_FRAMES + 1))
    path = object_path(first, second, frames, rng)
    shape = SHAPES[rng.integers(len(SHAPES))]
    background, body, mark = _colours(rng)
    body_cover, mark_cover = _cover(shape, path)
    noise = rng.standard_normal(body_cover.shape, dtype=np.float32)
    noise *= np.float32(rng.uniform(1, 4))
    clip = np.empty((*noise.shape, 3), np.uint8)
    for channel in range(3):  # plane by plane: NumPy is slow on an inner axis of 3
        ground = background[..., channel]
        colour = body[channel] + mark_cover * (mark[channel] - body[channel])
        plane = ground + body_cover * (colour - ground) + noise
        clip[..., channel] = np.clip(np.rint(plane, out=plane), 0, 255, out=plane)
    return clip


def object_path(first: str, second: str, frames: int, rng: np.random.Generator) -> Path:
    """Place, size, angle and opacity in each of `frames` frames of "first then second"."""
    time = np.arange(frames)
    switch = (frames - 1) * rng.uniform(0.42, 0.58)
    begun = np.clip(time / switch, 0, 1)
    ended = np.clip((time - switch) / (frames - 1 - switch), 0, 1)

    def amount(motion: str) -> np.ndarray:
        return (first == motion) * begun + (second == motion) * ended

    growth = np.log(rng.uniform(1.7, 2.5)) * (amount("growing") - amount("shrinking"))
    radius = _radius(growth, rng)
    edge = radius.max() + MARGIN
    travel = rng.uniform(0.38, 0.55)
    x = _fit(travel * (amount("moving right") - amount("moving left")), edge, 1 - edge, rng)
    y = _fit(travel * (amount("moving down") - amount("moving up")), edge, 1 - edge, rng)
    turns = rng.uniform(0.5, 0.9) * rng.choice([-1, 1])
    angle = 2 * np.pi * (rng.random() + turns * amount("spinning"))
    blinks = np.where(time < switch, first == "blinking", second == "blinking")
    period, phase = rng.uniform(4, 6), rng.random()
    dark = blinks & ((time / period + phase) % 1 < 0.5)
    opacity = np.where(dark, rng.uniform(0.0, 0.15), 1.0)
    return Path(*(np.asarray(a, np.float32) for a in (x, y, radius, angle, opacity)))


def _radius(growth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    if not growth.any():
        return np.full(growth.shape, rng.uniform(0.12, 0.19))
    return np.exp(_fit(growth, np.log(SMALLEST), np.log(LARGEST), rng))


def _fit(change: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Values that change as asked and stay in [low, high]: shortened if need be, start drawn."""
    change = change * min(1.0, (high - low) / max(np.ptp(change), 1e-9))
    slack = max(high - low - np.ptp(change), 0.0)
    return low - change.min() + slack * rng.random() + change


def _cover(shape: str, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Share of each pixel that the object covers, and share of the object that is its mark."""
    axis = ((np.arange(SIDE, dtype=np.float32) + 0.5) / SIDE)[None]
    dx = ((axis - path.x[:, None]) / path.radius[:, None])[:, None, :]  # [N, 1, W]
    dy = ((axis - path.y[:, None]) / path.radius[:, None])[:, :, None]  # [N, H, 1]
    cos, sin = np.cos(path.angle)[:, None, None], np.sin(path.angle)[:, None, None]
    u, v = cos * dx + sin * dy, cos * dy - sin * dx
    pixels = (path.radius * SIDE)[:, None, None]
    body = np.clip(_inside(shape, u, v) * pixels + 0.5, 0, 1) * path.opacity[:, None, None]
    # A bar from the centre to one side makes every shape, the circle too, show its angle.
    bar = np.minimum(np.minimum(u + 0.1, 0.6 - u), 0.2 - np.abs(v))
    return body, np.clip(bar * pixels + 0.5, 0, 1)


def _inside(shape: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """About the distance to the outline in radii, positive inside; all shapes fit in radius 1."""
    if shape == "circle":
        return 0.95 - np.sqrt(u * u + v * v)
    if shape == "square":
        return 0.7 - np.maximum(np.abs(u), np.abs(v))
    if shape == "cross":
        across = np.minimum(0.9 - np.abs(u), 0.32 - np.abs(v))
        return np.maximum(across, np.minimum(0.32 - np.abs(u), 0.9 - np.abs(v)))
    if shape == "star":
        points = np.cos(5 * np.arctan2(v, u))
        return 0.72 + 0.25 * points - np.sqrt(u * u + v * v)
    sides = {"triangle": 3, "hexagon": 6}[shape]
    normals = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    outside = np.full(u.shape, -np.inf, np.float32)
    for normal in normals.astype(np.float32):
        np.maximum(outside, np.cos(normal) * u + np.sin(normal) * v, out=outside)
    return np.float32(np.cos(np.pi / sides)) - outside


def _colours(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Background [H, W, 3], colour of the object [3] and of its mark [3], float32 grey levels."""
    dark, light = rng.uniform(35, 85), rng.uniform(170, 220)
    if rng.random() < 0.5:
        dark, light = light, dark
    tint = rng.uniform(-35, 35, size=(3, 3))
    texture = rng.uniform(8, 25) * _texture(rng)
    background = dark + tint[0] + texture[..., None] * rng.uniform(0.5, 1, size=3)
    body, mark = light + tint[1], dark + tint[2]
    return background.astype(np.float32), body.astype(np.float32), mark.astype(np.float32)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """A still pattern in [-1, 1], [H, W]: a slope, stripes, checks or soft blobs."""
    kind = rng.integers(4)
    axis = np.linspace(-1, 1, SIDE)
    angle, waves, phase = rng.uniform(0, np.pi), rng.uniform(3, 9), rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * axis[None, :] + np.sin(angle) * axis[:, None]
    across = np.cos(angle) * axis[:, None] - np.sin(angle) * axis[None, :]
    if kind == 0:
        return along / np.sqrt(2)
    if kind == 1:
        return np.sin(waves * along + phase)
    if kind == 2:
        return np.sign(np.sin(waves * along + phase) * np.sin(waves * across))
    knots = rng.uniform(-1, 1, size=(6, 6))
    at = np.linspace(0, 5, SIDE)
    rows = np.stack([np.interp(at, np.arange(6), row) for row in knots])
    return np.stack([np.interp(at, np.arange(6), column) for column in rows.T], axis=1)
