"""The picture of an explanation, and the command that draws it."""

from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from mdmf_jax.cli import main as cli
from mdmf_jax.cli.explain import picture_names
from mdmf_jax.evaluation.alignment_path import alignment_path
from mdmf_jax.report.explain_picture import draw_explanation, explanation_panels
from mdmf_jax.report.panels import draw_panels, panel_of

SCRIPT = "<script>alert(1)</script> $x_1$"


def told(views=True):
    """An explanation as `FewShotClassifier.explain` gives it, of a class with a hostile name."""
    rng = np.random.default_rng(0)
    shares = {SCRIPT: 0.75, "other": 0.25}
    cosines = {"frames": rng.uniform(0, 1, (3, 3))}
    posteriors = {"frames": shares}
    if views:
        cosines |= {"global": rng.uniform(0, 1, (3, 3)), "local": rng.uniform(0, 1, (3, 3))}
        posteriors = {"global": shares, "local": {SCRIPT: 0.5, "other": 0.5}}
    return {
        "label": SCRIPT,
        "score": -1.0,
        "threshold": 0.5,
        "accepted": False,
        "probabilities": shares,
        "prompt": {"choice": SCRIPT, "probabilities": shares} if views else None,
        "posteriors": posteriors,
        "trusted": "global" if views else None,
        "source": f"folder/{SCRIPT}",
        "query_frames": rng.integers(0, 255, (3, 20, 30, 3)).astype(np.uint8),
        "support_frames": rng.integers(0, 255, (3, 30, 20, 3)).astype(np.uint8),
        "similarity": cosines,
    }


def test_panels_are_the_views_with_their_paths():
    given = told()
    head = SimpleNamespace(temperature=0.5, bidirectional=False, matcher="otam")
    panels, _ = explanation_panels(given, head)
    assert [panel.title for panel in panels] == ["local view", "global view (trusted)"]
    for panel, name in zip(panels, ("local", "global"), strict=True):
        np.testing.assert_array_equal(panel.similarity, given["similarity"][name])
        expected, _ = alignment_path(1 - given["similarity"][name], 0.5)
        np.testing.assert_allclose(panel.path, expected, atol=1e-6)
        assert panel.back is None


def test_cosines_have_the_same_colours_in_every_picture():
    """Frames that are all alike look all alike, not like the best and the worst."""
    from matplotlib.figure import Figure

    frames = np.zeros((3, 8, 8, 3), np.uint8)
    spread = np.linspace(0, 1, 9).reshape(3, 3)
    alike = np.linspace(0.97, 0.98, 9).reshape(3, 3)
    colours = []
    for cosines in (alike, spread):
        figure = Figure()
        draw_panels(figure, [panel_of("x", cosines, 0.1)], frames, frames)
        mesh = figure.axes[0].collections[0]
        colours.append(mesh.to_rgba(cosines.ravel())[:, :3])
        assert "cosines" in figure.axes[0].get_title()
    assert np.ptp(colours[0], axis=0).max() < 0.03 < 0.3 < np.ptp(colours[1], axis=0).max()
    np.testing.assert_allclose(colours[0][-1], colours[1][-1], atol=0.05)


def test_unknown_for_want_of_evidence_is_said(tmp_path):
    head = SimpleNamespace(temperature=0.5, bidirectional=True, matcher="otam")
    draw_explanation(told() | {"score": 1.0}, head, "x.mp4", [tmp_path / "a.svg"])
    texts = " ".join(ElementTree.fromstring((tmp_path / "a.svg").read_bytes()).itertext())
    assert "not recognised better than by chance: unknown" in texts


def test_methods_that_align_nothing_say_so():
    (panel,), note = explanation_panels(told(views=False), SimpleNamespace(metric="cosine"))
    assert panel.title == "frame features"
    assert "aligns no frames" in note


def test_pictures_hold_the_names_as_text(tmp_path):
    head = SimpleNamespace(temperature=0.5, bidirectional=True, matcher="otam")
    files = [tmp_path / "a.png", tmp_path / "a.svg"]
    draw_explanation(told(), head, f"{SCRIPT}.mp4", files)
    with Image.open(files[0]) as image:
        assert min(image.size) > 600
    root = ElementTree.fromstring(files[1].read_bytes())
    texts = " ".join(" ".join(root.itertext()).split())
    assert f"query: {SCRIPT}.mp4" in texts
    assert f"nearest class: {SCRIPT} (75%)" in texts
    assert "below the threshold 0.500: unknown" in texts
    assert f"prompt by PPS: {SCRIPT}" in texts
    assert not [e for e in root.iter() if e.tag.endswith(("script", "}a"))]


@pytest.mark.parametrize(
    ("videos", "names"),
    [
        (["x/a.mp4", "y/b.mp4"], ["a", "b"]),
        (["x/a.mp4", "y/a.mp4"], ["x-a", "y-a"]),
        (["1/x/a.mp4", "2/x/a.mp4"], ["1-x-a", "2-x-a"]),
    ],
)
def test_names_of_the_pictures_differ(videos, names):
    assert picture_names(videos) == names


def test_command(videos, clip_folder, tmp_path, capsys):
    from mdmf_jax.classifier.classifier import FewShotClassifier

    model = tmp_path / "model"
    classifier = FewShotClassifier.from_pretrained(clip_folder, "mean_pool")
    classifier.fit(videos / "val").save(model)
    good, bad = sorted((videos / "val" / "val_red_box").iterdir())[0], tmp_path / "broken.mp4"
    bad.write_bytes(b"nothing")
    arguments = ["explain", f"--model={model}", str(bad), str(good), f"--out={tmp_path / 'out'}"]
    assert cli.main(arguments) == 0
    printed = capsys.readouterr()
    assert "val_red_box" in printed.out
    assert "skipped" in printed.err and "broken.mp4" in printed.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["0.png", "0.svg"]
    assert cli.main([*arguments, "--strict"]) == 2
