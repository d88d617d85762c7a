"""Whether a classifier has learnt anything: videos left out, against chance. Plain numpy."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

# Where chance alone gives as many right answers more often, nothing was learnt: the upper half of
# the usual 5%. Six right of six, 3 videos of each of 2 classes, have 0.016; ten of fifteen of 3
# classes 0.009. On noise (2 to 5 videos of 2 to 5 classes, 600 draws each) 1 to 4% of the sets
# pass, of 5 videos of 3 classes 1 to 2%.
ALPHA = 0.025
WORKS, WEAK, NOTHING, UNJUDGED = "works", "weak", "has learnt nothing", "cannot be judged"
WORDS = (WORKS, WEAK, NOTHING, UNJUDGED)
_MOST_LISTED = 5


@dataclass(frozen=True)
class LeftOut:
    """A video answered for as if it were not in the support set.

    Attributes:
      source: the video.
      label, nearest: its class, and the class that it was nearest to.
      margin: how far its class's logit lies above the best other; negative if it was not
        recognised.
    """

    source: str
    label: str
    nearest: str
    margin: float


@dataclass(frozen=True)
class Verdict:
    """What videos that the classes were not made of say about a classifier.

    Attributes:
      word: one of WORDS.
      way: number of classes.
      p_value: how often chance alone gives as many right answers; None if nothing was judged.
      origin: "leave_one_out" or "validation".
      reason: why nothing could be judged, or ""; one line.
      videos: those judged.
    """

    word: str
    way: int
    p_value: float | None
    origin: str
    reason: str
    videos: tuple[LeftOut, ...]

    @property
    def right(self) -> int:
        """Videos that were recognised."""
        return sum(v.nearest == v.label for v in self.videos)

    @property
    def evidence(self) -> bool:
        """Whether known labels may be given at all."""
        return self.word in (WORKS, WEAK)

    def per_class(self) -> dict[str, tuple[int, int]]:
        """Videos recognised and judged, by class, of the classes with any."""
        judged = Counter(v.label for v in self.videos)
        right = Counter(v.label for v in self.videos if v.nearest == v.label)
        return {name: (right[name], count) for name, count in judged.items()}

    def confusions(self) -> list[tuple[str, str, int]]:
        """(class, class that it was taken for, number of videos), most frequent first."""
        wrong = Counter((v.label, v.nearest) for v in self.videos if v.nearest != v.label)
        return [(*pair, count) for pair, count in wrong.most_common()]

    def line(self) -> str:
        """The verdict in one line."""
        return f"verdict: {self.word}; {self._why()}"

    def lines(self) -> list[str]:
        """The verdict, what was recognised by class, and what was taken for what."""
        found = [self.line()]
        for name, (right, count) in self.per_class().items():
            found.append(f"  {name}: {right} of {count} recognised")
        confusions = self.confusions()
        found += [f"  {n} of {a!r} taken for {b!r}" for a, b, n in confusions[:_MOST_LISTED]]
        if len(confusions) > _MOST_LISTED:
            found.append(f"  and {len(confusions) - _MOST_LISTED} more such pairs")
        return found

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `verdict_from_dict` reads it back."""
        return asdict(self)

    def _why(self) -> str:
        if not self.videos:
            return f"{self.reason}; every answer is 'unknown', with the nearest class beside it"
        how = "left out one by one" if self.origin == "leave_one_out" else "of the validation"
        chance = len(self.videos) / self.way
        counts = (
            f"{self.right} of {len(self.videos)} clips {how} recognised, {chance:.3g} by chance"
        )
        if self.word == WORKS:
            return counts
        if self.word == WEAK:
            return f"{counts}: better than chance, but many answers will be wrong"
        luck = f"not above chance (luck does as well in {100 * (self.p_value or 1):.2g}% of cases)"
        return f"{counts}: {self.reason or luck}, so that every answer is 'unknown'"


def judge(
    logits: np.ndarray,
    labels: np.ndarray,
    names: list[str],
    sources: Sequence[str],
    *,
    origin: str,
    unjudged: str = "",
) -> Verdict:
    """The verdict on answers for videos that the classes were not made of.

    The number of right answers is compared with chance, by `tail_probability`. "works" is
    above chance and at least half of the way from chance to perfection; "weak" is above
    chance. Where even perfect answers could be chance, nothing can be judged.

    Args:
      logits, labels: [N, W] and [N].
      names, sources: of the classes [W] and of the videos [N].
      unjudged: why there are no videos, if there are none.
    """
    way, nearest = len(names), logits.argmax(-1) if len(labels) else np.zeros(0, int)
    videos = tuple(
        LeftOut(source, names[label], names[best], _margin(row, label))
        for source, label, best, row in zip(sources, labels, nearest, logits, strict=True)
    )
    if not videos:
        return Verdict(UNJUDGED, way, None, origin, unjudged, ())
    if way ** -float(len(videos)) > ALPHA:
        reason = "so few that even all of them could be luck"
        return Verdict(UNJUDGED, way, None, origin, reason, videos)
    p_value = tail_probability(labels, nearest, way)
    share, chance = float((nearest == labels).mean()), 1 / way
    if p_value > ALPHA:
        return Verdict(NOTHING, way, p_value, origin, "", videos)
    word = WORKS if share >= (1 + chance) / 2 else WEAK
    return Verdict(word, way, p_value, origin, "", videos)


def tail_probability(labels: np.ndarray, nearest: np.ndarray, way: int) -> float:
    """How often chance gives at least as many right answers as were given.

    By chance a video of class c is called c as often as the videos of other classes are (with
    one more for each class, as Laplace's rule has it), and not less often than 1 / W: who
    calls everything by the name of the largest class has learnt nothing. The number of right
    answers is then a sum of independent draws (Poisson's binomial distribution).
    """
    chances = np.empty(len(labels))
    for label in np.unique(labels):
        others = nearest[labels != label]
        called = ((others == label).sum() + 1) / (len(others) + way)
        chances[labels == label] = max(1 / way, called)
    shares = np.ones(1)
    for chance in chances:
        shares = np.convolve(shares, [1 - chance, chance])
    return float(min(shares[int((labels == nearest).sum()) :].sum(), 1.0))


def verdict_from_dict(values: Mapping[str, Any]) -> Verdict:
    """The verdict that `Verdict.to_dict` wrote.

    Raises:
      TypeError, KeyError: it is not one.
    """
    values = dict(values)
    videos = tuple(LeftOut(**video) for video in values.pop("videos"))
    found = Verdict(**values, videos=videos)
    if found.word not in WORDS:
        raise KeyError(f"verdict {found.word!r}")
    return found


def _margin(row: np.ndarray, label: int) -> float:
    return float(row[label] - np.delete(row, label).max())
