"""D2ST-Adapter's matching: by hand, inductive, its losses; and a model's whole life."""

from typing import Any

import jax
import numpy as np
import pytest
from whole_life import moved, save_load_and_export, start_and_end, train, train_and_resume

from mdmf_jax.classifier.classifier import FewShotClassifier
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.resnet import ResNetSizes
from mdmf_jax.models.methods.d2st import D2ST, D2STConfig
from mdmf_jax.runs.train import make_run
from mdmf_jax.weights import torchvision

CLASSES = 6
IDS, LABELS = np.array([4, 0, 5]), np.array([0, 2, 1, 1])


def run(episode, config=None, params=None, mask=None, **options) -> Any:
    support, query, texts = episode
    output: Any = D2ST(config or D2STConfig()).apply(
        {"params": params or {}}, {"frames": support}, {"frames": query}, texts,
        support_mask=mask, **options
    )  # fmt: skip
    return output


def plain_logits(episode, mask=None):
    support, query, _ = (np.asarray(x, np.float64) for x in episode)
    found = np.zeros((len(query), len(support)))
    for w, videos in enumerate(support):
        prototype = videos[mask[w]].mean(0) if mask is not None else videos.mean(0)
        for q, frames in enumerate(query):
            distances = [
                [1 - a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in frames]
                for a in prototype
            ]
            found[q, w] = -sum(map(min, distances)) - sum(map(min, np.transpose(distances)))
    return found


def test_logits_by_hand(small_episode):
    np.testing.assert_allclose(run(small_episode).logits, plain_logits(small_episode), rtol=1e-5)


def test_absent_shots_do_not_count(small_episode):
    mask = np.array([[True, False], [True, True], [False, True]])
    found = run(small_episode, mask=mask).logits
    np.testing.assert_allclose(found, plain_logits(small_episode, mask), rtol=1e-5)


def test_a_query_is_answered_whatever_the_others_are(small_episode):
    together = run(small_episode).logits
    assert D2ST().inductive and D2ST().independent_classes and not D2ST().needs_texts
    for rows in ([2], [3, 1, 0, 2], [0, 0, 1, 2, 3, 3]):
        some = small_episode._replace(query=small_episode.query[np.array(rows)])
        np.testing.assert_allclose(run(some).logits, together[np.array(rows)], rtol=1e-5)


def log_softmax(x):
    return x - np.log(np.exp(x).sum(1, keepdims=True))


def test_losses_by_hand(small_episode):
    support, query, _ = small_episode
    rng = np.random.default_rng(1)
    kernel, bias = rng.normal(size=(16, CLASSES)), rng.normal(size=CLASSES)
    params = {"classifier": {"kernel": kernel, "bias": bias}}
    found = run(
        small_episode, D2STConfig(class_weight=2.5), params,
        query_labels=LABELS, class_ids=IDS, class_texts=np.zeros((CLASSES, 16)), train=True,
    )  # fmt: skip
    means = np.concatenate([support.reshape(-1, *support.shape[2:]), query]).mean(1)
    scores = means @ kernel + bias
    labels = np.concatenate([np.repeat(IDS, support.shape[1]), IDS[LABELS]])
    of_class = -log_softmax(scores)[np.arange(len(labels)), labels].mean()
    of_query = -log_softmax(plain_logits(small_episode))[np.arange(4), LABELS].mean()
    np.testing.assert_allclose(found.losses["class"], of_class, rtol=1e-5)
    np.testing.assert_allclose(found.losses["total"], (of_query + 2.5 * of_class) / 2, rtol=1e-5)


def test_without_a_class_loss_there_are_no_parameters(small_episode):
    texts = np.zeros((CLASSES, 16), np.float32)
    support, query, own = small_episode.features
    for weight, leaves in ((0.0, 0), (0.5, 2)):
        init = D2ST(D2STConfig(class_weight=weight)).init
        made = jax.eval_shape(
            lambda: init(jax.random.key(0), support, query, own, class_texts=texts)  # noqa: B023
        )
        assert len(jax.tree.leaves(made)) == leaves
    losses = run(small_episode, query_labels=LABELS).losses
    np.testing.assert_allclose(losses["total"], losses["cross_entropy"] / 2)


# --- a whole life on the tiny videos ---


def settings_of(argument, tiny, tmp_path, **changes):
    settings = get_config(argument)
    own = {name: value for name, value in tiny.items() if not name.startswith("mdmf.")}
    small = {
        "d2st.class_weight": 0.5,
        "eval.shots": (1,),
        "eval.untrained": False,
        "eval.feature_cache": str(tmp_path / "store"),
        "train.episodes_per_step": 2,
    }
    settings.update_from_flattened_dict(own | small | changes)
    return settings


def use(folder, videos, tmp_path):
    """Fits, saves, loads and exports the model of a run; all answer alike."""
    fitted = FewShotClassifier.from_pretrained(folder).fit(videos / "test")
    save_load_and_export(fitted, sorted((videos / "test").glob("*/*.mp4")), tmp_path)


@pytest.mark.slow
def test_from_training_to_an_exported_model(tiny, videos, tmp_path):
    config = from_config_dict(settings_of("method=d2st", tiny, tmp_path))
    assert config.encoder_name == "d2st"
    start, end = train_and_resume(config, tmp_path)
    changed = moved(start, end)
    trained = ("adapter", "head/", "post_layernorm", "class_embedding")
    assert changed <= {path for path in start if any(part in path for part in trained)}
    for part in (*trained, "neighbours", "space_attention/offset_out", "time_attention/q_proj"):
        assert any(part in path for path in changed)
    assert list((tmp_path / "store").glob("*/*.features"))
    use(tmp_path / "run", videos, tmp_path)


@pytest.mark.slow
def test_a_resnet_from_training_to_an_exported_model(tiny, videos, tmp_path):
    sizes = ResNetSizes((1, 1, 1, 1), (4, 8, 16, 32), stem=4)
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda x: np.abs(rng.normal(0, 0.3, x.shape)).astype(np.float32),
        torchvision.template(sizes),
    )
    torchvision.save_resnet(tmp_path / "resnet", params)
    changes = {
        "encoder.path": str(tmp_path / "resnet"),
        "encoder.image_size": 32,
        "data.resize": 36,
        "data.crop": 32,
    }
    settings = settings_of("method=d2st,encoder=d2st_resnet", tiny, tmp_path, **changes)
    config = from_config_dict(settings)
    train(config, tmp_path / "run")
    changed = moved(*start_and_end(config, tmp_path / "run"))
    assert changed and all("/adapter" in p or p.startswith("head/") for p in changed)
    use(tmp_path / "run", videos, tmp_path)


def test_methods_with_texts_are_refused(tiny, tmp_path):
    settings = get_config("method=mdmf,encoder=d2st")
    settings.update_from_flattened_dict(tiny)
    with pytest.raises(ConfigError, match="mdmf needs class texts, but the encoder d2st has none"):
        make_run(from_config_dict(settings))
