"""Rooms, cameras and the faults of cameras."""

import numpy as np

from mdmf_jax.data.demo.people.gestures import wander

_HEIGHTS = {"sign": (0.7, 1.35), "head": (0.6, 1.2), "body": (1.4, 2.6)}  # metres in the picture


def draw_room(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A background float32 [h, w, 3], a third larger than the picture: walls, stripes, things."""
    h, w = int(height * 1.34), int(width * 1.34)
    y, x = np.mgrid[0:h, 0:w] / max(h, w)
    room = np.zeros((h, w, 3)) + rng.uniform(20, 235, 3)
    slope = rng.normal(0, 40, 3)
    room += (x * rng.normal() + y * rng.normal())[..., None] * slope
    for _ in range(rng.integers(0, 3)):
        waves, angle = rng.uniform(2, 22), rng.uniform(0, np.pi)
        line = np.sin(
            2 * np.pi * waves * (np.cos(angle) * x + np.sin(angle) * y) + rng.uniform(0, 6)
        )
        room += rng.normal(0, 18, 3) * (np.sign(line) if rng.random() < 0.4 else line)[..., None]
    for _ in range(rng.integers(0, 9)):  # furniture, pictures, windows
        left, top = rng.uniform(-0.1, 1, 2)
        wide, high = rng.uniform(0.04, 0.45, 2)
        inside = (x > left) & (x < left + wide) & (y > top) & (y < top + high)
        colour = rng.uniform(10, 245, 3)
        room[inside] = 0.15 * room[inside] + 0.85 * colour
    grain = rng.normal(0, 1, (h // 4 + 2, w // 4 + 2))
    room += rng.uniform(0, 18) * _enlarge(grain, h, w)[..., None]
    return np.clip(room, 0, 255).astype(np.float32)


def _enlarge(grain: np.ndarray, height: int, width: int) -> np.ndarray:
    rows = np.linspace(0, grain.shape[0] - 1.001, height)
    columns = np.linspace(0, grain.shape[1] - 1.001, width)
    return bilinear(grain[..., None], rows[:, None], columns[None])[..., 0]


def bilinear(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Values of a picture [h, w, C] at real places, inside it; [..., C]."""
    top, left = rows.astype(np.int32), columns.astype(np.int32)
    top = np.clip(top, 0, picture.shape[0] - 2)
    left = np.clip(left, 0, picture.shape[1] - 2)
    down = np.clip(rows - top, 0, 1).astype(np.float32)[..., None]
    right = np.clip(columns - left, 0, 1).astype(np.float32)[..., None]
    upper = picture[top, left] * (1 - right) + picture[top, left + 1] * right
    lower = picture[top + 1, left] * (1 - right) + picture[top + 1, left + 1] * right
    return upper * (1 - down) + lower * down


def draw_camera(
    rng: np.random.Generator,
    kind: str,
    frames: int,
    height: int,
    width: int,
    spread: float = 1.0,
) -> np.ndarray:
    """For each frame x, y of the middle in metres, pixels a metre across and down, roll [N, 5].

    Args:
      kind: of the gesture; signs are filmed close, the body's movements from afar.
      spread: how much cameras differ in distance and place; 1 for training.
    """
    low, high = _HEIGHTS[kind]
    tall = (low + high) / 2 + spread * rng.uniform(-0.5, 0.5) * (high - low)
    aspect = rng.choice([16 / 9, 4 / 3, 1.0, 9 / 16], p=[0.45, 0.2, 0.1, 0.25])
    if aspect < 1:
        tall *= 1.35
    down = height / tall
    across = width / (tall * aspect) * rng.uniform(0.92, 1.08)
    # The head is in the picture, some way below its upper edge.
    top = 1.43 + 0.3 + (0.11 + spread * rng.uniform(-0.19, 0.19)) * tall * 0.8
    path = np.zeros((frames, 5))
    path[:, 0] = spread * rng.uniform(-0.17, 0.17) * tall * min(aspect, 1.2)
    path[:, 1] = (0.95 if kind == "body" and tall > 2 else top - tall / 2) + rng.normal(0, 0.03)
    path[:, 2], path[:, 3], path[:, 4] = across, down, rng.normal(0, 0.04)
    _move(path, rng, tall)
    return path


def _move(path: np.ndarray, rng: np.random.Generator, tall: float) -> None:
    """Hand-held, on a stand, or moved on purpose."""
    frames = len(path)
    style = rng.choice(["stand", "hand", "moved"], p=[0.45, 0.4, 0.15])
    if style == "stand":
        return
    shake = rng.uniform(0.002, 0.012) * tall
    path[:, :2] += wander(rng, frames, 2, shake)
    path[:, :2] += rng.normal(0, rng.uniform(0, 0.004) * tall, (frames, 2))
    path[:, 4] += wander(rng, frames, 1, 0.006)[:, 0]
    if style == "moved":
        time = np.linspace(-0.5, 0.5, frames)[:, None]
        path[:, :2] += time * rng.uniform(-0.15, 0.15, 2) * tall
        path[:, 2:4] *= 1 + time * rng.uniform(-0.25, 0.25)


def see_room(room: np.ndarray, camera: np.ndarray, height: int, width: int) -> np.ndarray:
    """The background as the camera sees it, float32 [N, H, W, C]; static if it stands still."""
    h, w = room.shape[:2]
    middle = camera.mean(0)
    zoom = camera[:, 2:4] / middle[2:4]
    # A wall two metres behind the figure moves less than the figure does.
    shift = 0.7 * (camera[:, :2] - middle[:2]) * middle[2:4]
    roll = camera[:, 4]
    moving = np.ptp(camera, axis=0).max() > 1e-6
    count = len(camera) if moving else 1
    rows = np.arange(height) + 0.5 - height / 2
    columns = np.arange(width) + 0.5 - width / 2
    seen = np.empty((count, height, width, room.shape[-1]), np.float32)
    for number in range(count):
        cos, sin = np.cos(roll[number]), np.sin(roll[number])
        x = (cos * columns[None] + sin * rows[:, None]) / zoom[number, 0] + shift[number, 0]
        y = (cos * rows[:, None] - sin * columns[None]) / zoom[number, 1] - shift[number, 1]
        at_row = np.clip(y + h / 2, 0, h - 1.001)
        seen[number] = bilinear(room, at_row, np.clip(x + w / 2, 0, w - 1.001))
    return np.repeat(seen, len(camera), 0) if not moving else seen


def add_clutter(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Something else that moves: a curtain, a screen, a passer-by; in `canvas` [N, H, W, C]."""
    frames, height, width, channels = canvas.shape
    high, wide = rng.uniform(0.08, 0.35, 2) * [height, width]
    x = rng.uniform(0, width) + width * wander(rng, frames, 1, rng.uniform(0.0, 0.06))[:, 0]
    y = rng.uniform(0, height) + height * wander(rng, frames, 1, rng.uniform(0.0, 0.03))[:, 0]
    if rng.random() < 0.3:
        x += np.linspace(-1, 1, frames) * rng.uniform(-0.8, 0.8) * width
    glow = 1 + rng.uniform(0, 0.25) * wander(rng, frames, 1, 0.6)[:, 0]
    rows, columns = np.arange(height)[None] + 0.5, np.arange(width)[None] + 0.5
    down = np.clip(high / 2 + 0.5 - np.abs(rows - y[:, None]), 0, 1)
    across = np.clip(wide / 2 + 0.5 - np.abs(columns - x[:, None]), 0, 1)
    cover = (down[:, :, None] * across[:, None]).astype(np.float32)
    colour = rng.uniform(10, 240, channels)
    for channel in range(channels):
        level = (colour[channel] * glow).astype(np.float32)[:, None, None]
        canvas[..., channel] += cover * (level - canvas[..., channel])


def expose(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a camera makes of light: gain, gamma, exposure that follows; float32 [N, H, W, C]."""
    frames = len(canvas)
    gain, gamma = rng.uniform(0.5, 1.15), rng.uniform(0.7, 1.4)
    follow = 1 + rng.uniform(0, 1.2) * wander(rng, frames, 1, 0.02)[:, 0]
    if rng.random() < 0.15:  # a lamp that flickers
        follow = follow + rng.normal(0, 0.02, frames)
    light = np.clip(canvas / 255 * gain, 0, 1) ** gamma
    return 255 * light * follow.astype(np.float32)[:, None, None, None] + rng.uniform(0, 25)
