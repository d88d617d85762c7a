"""Draw a figure before a background: capsules by their distance fields, back to front."""

import numpy as np

from mdmf_jax.data.demo.people.body import Body

_LIMBS = (  # joints, radius in metres, colour, whether the clothes' pattern shows
    ("hip_l", "knee_l", 0.075, "trousers", False),
    ("knee_l", "foot_l", 0.055, "trousers", False),
    ("hip_r", "knee_r", 0.075, "trousers", False),
    ("knee_r", "foot_r", 0.055, "trousers", False),
    ("hip_l", "hip_r", 0.1, "trousers", False),
    ("shoulder_l", "shoulder_r", 0.075, "clothes", True),
    ("pelvis", "neck", 0.15, "clothes", True),
    ("neck", "head", 0.06, "skin", False),
    ("head", "crown", 1.0, "hair", False),  # radii of 1 and more: of the head
    ("nose", "head", 0.0, "skin", False),
    ("shoulder_l", "elbow_l", 0.05, "clothes", True),
    ("elbow_l", "hand_l", 0.042, "sleeves", True),
    ("hand_l", "tip_l", 0.045, "skin", False),
    ("shoulder_r", "elbow_r", 0.05, "clothes", True),
    ("elbow_r", "hand_r", 0.042, "sleeves", True),
    ("hand_r", "tip_r", 0.045, "skin", False),
)


def render_figure(
    canvas: np.ndarray,
    body: Body,
    places: dict[str, np.ndarray],
    camera: np.ndarray,
) -> None:
    """Draws into `canvas` float32 [N, H, W, C].

    Args:
      places: joints, metres [N, 3].
      camera: for each frame, x and y of the picture's middle in metres, pixels a metre across
        and down, and roll in radians [N, 5].
    """
    seen = {name: _project(place, camera, canvas.shape[1:3]) for name, place in places.items()}
    # Near things look larger: metres towards the camera, of some three metres away.
    pixels = np.sqrt(camera[:, 2] * camera[:, 3])
    for start, end, radius, colour, patterned in _LIMBS:
        if radius in (0.0, 1.0):
            radius = body.head * body.scale * (0.88 if radius == 0.0 else 1.0)
        else:
            radius = radius * body.thickness * body.scale
        if colour == "sleeves":
            colour = "clothes" if body.sleeves else "skin"
            patterned = body.sleeves
        middle = (places[start][:, 2] + places[end][:, 2]) / 2
        width = radius * pixels * (1 + 0.33 * middle)
        pattern = body.stripes / pixels if patterned and body.stripes else None
        _capsule(canvas, seen[start], seen[end], width, getattr(body, colour), pattern, body.checks)


def _project(place: np.ndarray, camera: np.ndarray, size) -> np.ndarray:
    """Metres [N, 3] to pixels (x, y) [N, 2]."""
    height, width = size
    nearer = 1 + 0.33 * place[:, 2]
    x, y = (place[:, 0] - camera[:, 0]) * nearer, (place[:, 1] - camera[:, 1]) * nearer
    cos, sin = np.cos(camera[:, 4]), np.sin(camera[:, 4])
    x, y = cos * x - sin * y, sin * x + cos * y
    return np.stack([width / 2 + camera[:, 2] * x, height / 2 - camera[:, 3] * y], -1)


def _capsule(canvas, start, end, radius, colour, waves, checks: bool) -> None:
    """Draws one limb; only the rows and columns that it touches in some frame are computed."""
    _, height, width, channels = canvas.shape
    reach = radius[:, None] + 1.5
    low = np.floor(np.minimum(start, end) - reach).min(0).astype(int)
    high = np.ceil(np.maximum(start, end) + reach).max(0).astype(int)
    left, top = np.clip(low, 0, [width, height])
    right, bottom = np.clip(high + 1, 0, [width, height])
    if right <= left or bottom <= top:
        return
    start, end = start.astype(np.float32), end.astype(np.float32)
    radius = radius.astype(np.float32)[:, None, None]
    dx = np.arange(left, right, dtype=np.float32) + 0.5 - start[:, :1]  # [N, w]
    dy = np.arange(top, bottom, dtype=np.float32) + 0.5 - start[:, 1:]  # [N, h]
    bx, by = (end - start).T[:, :, None]
    length = np.maximum(bx * bx + by * by, 1e-3)
    along = (dx * (bx / length))[:, None] + (dy * (by / length))[:, :, None]  # [N, h, w]
    np.clip(along, 0, 1, out=along)
    ax = dx[:, None] - along * bx[..., None]
    ay = dy[:, :, None] - along * by[..., None]
    distance = np.sqrt(ax * ax + ay * ay)
    cover = np.clip(radius + 0.5 - distance, 0, 1)
    shade = 1 - 0.35 * np.square(np.minimum(distance / np.maximum(radius, 0.5), 1))
    if waves is not None:
        phase = (2 * np.pi * waves).astype(np.float32)[:, None, None]
        lines = np.sin(along * np.sqrt(length)[..., None] * phase)
        if checks:
            lines = np.sign(lines) * np.sign(np.sin(ax * phase))
        shade += 0.25 * lines
    part = canvas[:, top:bottom, left:right]
    for channel in range(channels):
        plane = part[..., channel]
        plane += cover * (shade * np.float32(colour[channel]) - plane)
