"""What a report shows of a model's answers: confusions, the hardest episodes, PPS, the views."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from mdmf_jax.classifier.encoding import picture
from mdmf_jax.data.dataset import Dataset
from mdmf_jax.data.videos.modalities import RGB
from mdmf_jax.evaluation.metrics import episode_metrics
from mdmf_jax.evaluation.opened import Opened
from mdmf_jax.report.episodes import VIEWS, EpisodeReader, HardQuery
from mdmf_jax.report.view_statistics import prompt_statistics, view_statistics

EPISODES = 1000  # answered for the confusions
VIEW_EPISODES = 200  # of these, looked into for the views
HARDEST = 6
EXAMPLES = 30

Table = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Clip:
    """A video and small pictures of its frames, uint8 [T, h, w, 3]."""

    name: str
    frames: np.ndarray


@dataclass(frozen=True)
class Mistake:
    """An example of queries of one class that were taken for another (numbers of classes)."""

    true: int
    taken: int
    query: Clip
    support: Clip


@dataclass(frozen=True)
class HardEpisode:
    """An episode with many wrong answers.

    Attributes:
      number: its place in the sequence of episodes.
      classes: their numbers [W].
      queries: all its queries.
      worst: place of the query that is looked into.
      query, taken, true: clips of that query and of the supports of the class it was taken for
        and of its own class.
    """

    number: int
    classes: np.ndarray
    queries: Sequence[HardQuery]
    worst: int
    query: Clip
    taken: Clip
    true: Clip


@dataclass(frozen=True)
class Analysis:
    """See the module.

    Attributes:
      names: of all classes of the split [C].
      task: split, way, shot, queries, episodes, seed.
      metrics: see `episode_metrics`.
      confusion: number of queries by class (rows) and answer [C, C].
      prompts, views: see `view_statistics`; None where the method has none.
    """

    names: tuple[str, ...]
    task: Mapping[str, Any]
    metrics: Mapping[str, Any]
    confusion: np.ndarray
    mistakes: Sequence[Mistake] = ()
    hardest: Sequence[HardEpisode] = ()
    prompts: Mapping[str, Any] | None = None
    views: Mapping[str, Any] | None = None


def analyse(opened: Opened, task: Mapping[str, Any]) -> Analysis:
    """Answers the task's episodes again and looks into them.

    Args:
      task: split, way, shot, queries (of each class), episodes and seed.

    Raises:
      DataError: too few classes or videos, or a video that cannot be read.
    """
    answers, table = opened.evaluator.answers(opened.params, **task)
    answers = {name: np.asarray(values) for name, values in answers.items()}
    split, dataset = task["split"], opened.dataset
    names = dataset.splits[split].names
    reader = EpisodeReader(opened, split, table, answers)
    counted = min(task["episodes"], VIEW_EPISODES)
    views = None
    if reader.has_views:
        read = [reader.read(place) for place in range(counted)]
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *[r.views for r in read])
        labels = table["query_labels"][:counted].ravel()
        views = view_statistics(
            {view: joined[view] for view in VIEWS}, labels, opened.config.head.condition
        )
    return Analysis(
        names=names,
        task=dict(task),
        metrics=episode_metrics(answers, table, names),
        confusion=confusion(answers["prediction"], table, len(names)),
        mistakes=_mistakes(dataset, split, table, answers["prediction"]),
        hardest=_hardest(dataset, split, table, answers["prediction"], reader),
        prompts=prompt_statistics(answers, table, names),
        views=views,
    )


def confusion(prediction: np.ndarray, table: Table, classes: int) -> np.ndarray:
    """Number of queries by class (rows) and answer (columns), of predictions [N, Q]."""
    counts = np.zeros((classes, classes), np.int64)
    cells = _classes_of(table, table["query_labels"]), _classes_of(table, prediction)
    np.add.at(counts, cells, 1)
    return counts


def _classes_of(table: Table, places: np.ndarray) -> np.ndarray:
    return np.take_along_axis(table["class_ids"], places, axis=1)


def _mistakes(dataset: Dataset, split: str, table: Table, prediction: np.ndarray) -> list[Mistake]:
    """An example of each of the most frequent confusions, these first."""
    true, taken = _classes_of(table, table["query_labels"]), _classes_of(table, prediction)
    counts = confusion(prediction, table, int(table["class_ids"].max()) + 1)
    np.fill_diagonal(counts, 0)
    found = []
    for cell in np.argsort(-counts.ravel(), kind="stable")[:EXAMPLES]:
        row, column = divmod(int(cell), len(counts))
        if not counts[row, column]:
            break
        episode, query = np.argwhere((true == row) & (taken == column))[0]
        support = table["support"][episode, prediction[episode, query], 0]
        asked = _clip(dataset, split, int(table["query"][episode, query]))
        found.append(Mistake(row, column, asked, _clip(dataset, split, int(support))))
    return found


def _hardest(
    dataset: Dataset, split: str, table: Table, prediction: np.ndarray, reader: EpisodeReader
) -> list[HardEpisode]:
    """The episodes with the fewest right answers, without those that have no wrong one."""
    right = (prediction == table["query_labels"]).mean(1)
    chosen = [int(n) for n in np.argsort(right, kind="stable")[:HARDEST] if right[n] < 1]
    return [_hard_episode(dataset, split, table, place, reader) for place in chosen]


def _hard_episode(
    dataset: Dataset, split: str, table: Table, place: int, reader: EpisodeReader
) -> HardEpisode:
    queries = reader.read(place).queries
    worst = max(range(len(queries)), key=lambda n: queries[n].gap)
    query, support = queries[worst], table["support"][place]
    return HardEpisode(
        number=int(table["index"][place]),
        classes=table["class_ids"][place],
        queries=queries,
        worst=worst,
        query=_clip(dataset, split, table["query"][place, worst]),
        taken=_clip(dataset, split, support[query.answer, 0]),
        true=_clip(dataset, split, support[query.label, 0]),
    )


def _clip(dataset: Dataset, split: str, video: int) -> Clip:
    frames = picture(dataset.test_clip(split, int(video))[RGB])
    return Clip(dataset.splits[split].ids[int(video)], frames)
