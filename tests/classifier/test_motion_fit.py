"""The motion encoder from fit to export, on generated people, and against the twenty lines."""

import numpy as np
import pytest
from whole_life import save_load_and_export

from benchmarks.people_baselines import answers, change_map
from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.cli import main as cli
from mdmf_jax.data.demo.people.dataset import people_clip
from mdmf_jax.data.demo.store import encode_mp4

NAMES = ("waving", "clapping_overhead", "squatting", "circling_a_hand", "marching", "punching")
ACTORS = 6


@pytest.fixture(scope="module")
def people(made_once):
    """Folder NAME/ACTOR.npy of frames."""

    def make(root):
        for name in NAMES:
            for actor in range(ACTORS):
                (root / name).mkdir(exist_ok=True)
                np.save(root / name / f"{actor}.npy", people_clip(name, actor))

    folder = made_once("people", make)
    return {(n, a): np.load(folder / n / f"{a}.npy") for n in NAMES for a in range(ACTORS)}


def test_fit_save_load_and_export(people, tmp_path):
    supports = {name: [people[name, a] for a in (0, 1)] for name in NAMES[:3]}
    fitted = FewShotClassifier.from_pretrained("motion").fit(supports)
    asked = [people[name, 3] for name in NAMES[:3]]
    save_load_and_export(fitted, asked, tmp_path, atol=1e-4)


def test_fit_takes_it_where_none_is_named(people, tmp_path, capsys):
    for name in NAMES[:2]:
        folder = tmp_path / "support" / name
        folder.mkdir(parents=True)
        for actor in (0, 1):
            (folder / f"{actor}.mp4").write_bytes(encode_mp4(people[name, actor]))
    argv = ["fit", f"--support={tmp_path / 'support'}", f"--out={tmp_path / 'model'}"]
    assert cli.main(argv) == 0
    assert "no encoder given: the encoder of motion" in capsys.readouterr().out
    assert FewShotClassifier.load(tmp_path / "model").classes_ == sorted(NAMES[:2])


def test_it_beats_the_twenty_lines(people):
    """Every pair of another actor's clip and one support a class, 6-way 1-shot."""
    classifier = FewShotClassifier.from_pretrained("motion")
    vectors = np.stack([change_map(video) for video in people.values()])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    places = np.arange(len(people)).reshape(len(NAMES), ACTORS)
    right, ours = [], []
    for actor in range(2):
        others = [a for a in range(ACTORS) if a != actor]
        classifier.fit({name: [people[name, actor]] for name in NAMES})
        found = classifier.predict_proba([people[n, a] for n in NAMES for a in others])
        truth = np.repeat(np.arange(len(NAMES)), len(others))
        order = [classifier.classes_.index(name) for name in NAMES]
        ours.append(found[:, order].argmax(1) == truth)
        episode = {"support": places[None, :, [actor]], "query": places[:, others].reshape(1, -1)}
        right.append(answers(vectors, episode)[0] == truth)
    assert np.mean(ours) > np.mean(right) + 0.15
