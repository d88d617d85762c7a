"""A figure's body: its sizes in metres, its colours, and where its joints are drawn."""

from dataclasses import dataclass

import numpy as np

SHOULDERS = 1.43  # height of the shoulders of a body of scale 1, metres


@dataclass(frozen=True)
class Body:
    """Sizes in metres, grey levels in 0..255.

    Attributes:
      scale: of all lengths.
      shoulder, hip: half widths.
      upper, fore: lengths of the arm's parts; thigh, shin: of the leg's.
      torso: from hips to shoulders.
      thickness: of the limbs, a factor.
      head: radius.
      clothes, trousers, skin, hair: colours [3].
      sleeves: whether the forearms are covered.
      stripes: waves of the clothes' pattern in a metre, 0 for none.
      checks: the pattern is of checks, not of stripes.
    """

    scale: float
    shoulder: float
    hip: float
    upper: float
    fore: float
    torso: float
    thigh: float
    shin: float
    thickness: float
    head: float
    clothes: np.ndarray
    trousers: np.ndarray
    skin: np.ndarray
    hair: np.ndarray
    sleeves: bool
    stripes: float
    checks: bool


def draw_body(rng: np.random.Generator, unseen: bool = False) -> Body:
    """A body at random.

    Args:
      unseen: one of those kept for tests: long or short arms, thick or thin limbs and checks,
        which no body of the training has.
    """
    if unseen:
        arms = rng.choice([rng.uniform(0.8, 0.88), rng.uniform(1.12, 1.2)])
        thickness = rng.choice([rng.uniform(0.65, 0.78), rng.uniform(1.27, 1.5)])
    else:
        arms, thickness = rng.uniform(0.9, 1.1), rng.uniform(0.8, 1.25)
    part = lambda mean, spread=0.08: mean * rng.uniform(1 - spread, 1 + spread)  # noqa: E731
    skin = rng.uniform(0.25, 1.0) * np.array([225, 185, 160]) + rng.uniform(-10, 10, 3)
    return Body(
        scale=rng.uniform(0.85, 1.1),
        shoulder=part(0.18, 0.15),
        hip=part(0.11, 0.2),
        upper=part(0.29) * arms,
        fore=part(0.26) * arms,
        torso=part(0.5),
        thigh=part(0.43),
        shin=part(0.43),
        thickness=thickness,
        head=part(0.11, 0.12),
        clothes=rng.uniform(15, 240, 3),
        trousers=rng.uniform(15, 200, 3),
        skin=np.clip(skin, 20, 250),
        hair=rng.uniform(5, 190) * np.array([1, 0.85, 0.7]),
        sleeves=bool(rng.random() < 0.5),
        stripes=rng.uniform(8, 30) if unseen or rng.random() < 0.4 else 0.0,
        checks=unseen,
    )
