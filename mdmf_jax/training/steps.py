"""One optimizer step over a batch of episodes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from mdmf_jax.model import FewShotModel, Params
from mdmf_jax.models.methods.base import flat_classes
from mdmf_jax.training.micro_batches import mean_over_pieces, pieces_of
from mdmf_jax.training.optimizer import join_params, split_params
from mdmf_jax.training.sharding import over_episodes, replicated, tree_shardings
from mdmf_jax.training.state import TrainState

# step(state, batch, texts, key) -> (state, metrics)
TrainStep = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


class ClassTexts(NamedTuple):
    """What gives the text features of all classes of the split, in a step.

    Attributes:
      features: [C, D], where they are constant; None where the encoder's texts are trained.
      ids, mask: token ids [C, M, L] and which texts are there [C, M].
      fixed: leaves of the text tower that are not trained; see `FewShotModel`.
    """

    features: jax.Array | np.ndarray | None
    ids: jax.Array | np.ndarray | None = None
    mask: jax.Array | np.ndarray | None = None
    fixed: Params | None = None


def make_train_step(
    model: FewShotModel,
    optimizer: optax.GradientTransformation,
    *,
    freeze: Sequence[str],
    mesh: Mesh,
    shardings: TrainState,
    micro_batch: int = 0,
    max_skipped: int = 0,
) -> TrainStep:
    """The jitted step.

    The batch has a leading episode axis: support [E, W, K, ...] and query [E, Q, ...], videos
    by modality (uint8) or features by name; query_labels [E, Q], class_ids [E, W]. The loss is
    the mean over the episodes of the method's total loss. Random numbers depend on the key, the
    step and the place of the episode in the batch only, not on the devices or the pieces. The
    given state is consumed. `texts` is a `ClassTexts`. The metrics are those of
    `batch_metrics`, "updated" and "skipped" (see max_skipped), and the Euclidean norms of the
    gradient and of the trained parameters before the step ("gradient_norm", "parameter_norm").

    Args:
      shardings: of the train state.
      max_skipped: steps whose loss or gradient is not finite that are left out; after more of
        them the state keeps its parameters for good. The metrics "updated" and "skipped" (so
        far) say so.
      micro_batch: most episodes that a device computes at once; 0: all of its episodes. The
        gradients of the pieces are added up.
    """
    whole, episodes = replicated(mesh), over_episodes(mesh)

    def step(state: TrainState, batch, texts, key):
        size = batch["class_ids"].shape[0]
        key = jax.random.fold_in(key, state.step)
        keys = jax.random.split(key, size)
        # Where devices store parts of a parameter, they put it together before they use it.
        in_use = tree_shardings(state.params, mesh)
        params = jax.lax.with_sharding_constraint(state.params, in_use)
        used, frozen = split_params(params, freeze)

        def loss(used, piece):
            batch, keys = piece
            params = join_params(used, frozen)
            metrics = batch_metrics(model, params, batch, texts, keys, key)
            return metrics["loss"], metrics

        def differentiate(piece):
            return jax.grad(loss, has_aux=True)(used, piece)

        pieces = pieces_of(size, mesh.shape["data"], micro_batch)
        gradients, metrics = mean_over_pieces(differentiate, (batch, keys), pieces, mesh)
        trained, frozen = split_params(state.params, freeze)
        stored, _ = split_params(shardings.params, freeze)
        gradients = jax.lax.with_sharding_constraint(gradients, stored)
        updates, opt_state = optimizer.update(gradients, state.opt_state, trained)
        norms = {"gradient_norm": gradients, "parameter_norm": trained}
        norms = {k: optax.tree.norm(v).astype(jnp.float32) for k, v in norms.items()}
        finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(norms["gradient_norm"])
        # After one bad step too many nothing changes any more, until the host has noticed.
        updated = finite & (state.skipped <= max_skipped)
        new = optax.apply_updates(trained, updates), opt_state
        trained, opt_state = jax.tree.map(
            lambda new, old: jnp.where(updated, new, old), new, (trained, state.opt_state)
        )
        skipped = state.skipped + ~finite
        metrics |= norms | {"updated": updated, "skipped": skipped}
        params = join_params(trained, frozen)
        return TrainState(state.step + 1, skipped, params, opt_state), metrics

    return jax.jit(
        step,
        in_shardings=(shardings, episodes, whole, whole),
        out_shardings=(shardings, whole),
        donate_argnums=0,
    )


def batch_metrics(
    model: FewShotModel,
    params: Params,
    batch: Mapping[str, Any],
    texts: ClassTexts,
    keys: jax.Array,
    step_key: jax.Array,
) -> dict[str, jax.Array]:
    """Means over the episodes of each loss ("loss" is the total), and the shares of queries
    that were classified right ("accuracy") and given the right text ("prompt_accuracy").

    Args:
      keys: one random key an episode [E].
      step_key: of the step, for what its episodes share.
    """
    class_texts = texts_in_step(model, params, texts, step_key)
    batch = encoded(model, params, batch, keys)
    labels = batch["query_labels"]

    def run(episode, key):
        rngs = episode_rngs(model, key)
        return model.episode(params, episode, class_texts, train=True, rngs=rngs)

    output = jax.vmap(run)(batch, keys)
    metrics = {name: value.mean() for name, value in output.losses.items()}
    metrics["loss"] = metrics.pop("total")
    metrics["accuracy"] = (output.logits.argmax(-1) == labels).mean()
    if "prompt_choice" in output.diagnostics:
        metrics["prompt_accuracy"] = (output.diagnostics["prompt_choice"] == labels).mean()
    return metrics


def episode_rngs(model: FewShotModel, key: jax.Array) -> dict[str, jax.Array]:
    """Keys of the random streams of one episode, from its own key."""
    dropout, prompt = jax.random.split(key)
    rngs = {"dropout": dropout, "prompt": prompt, "tuples": jax.random.fold_in(key, 2)}
    for place, name in enumerate(sorted({*model.method.rngs, *model.encoder.rngs} - rngs.keys())):
        rngs[name] = jax.random.fold_in(key, 3 + place)
    return rngs


def texts_in_step(
    model: FewShotModel, params: Params, texts: ClassTexts, key: jax.Array
) -> jax.Array:
    """Text features of all classes; made here where training changes them."""
    if texts.features is not None:
        return jnp.asarray(texts.features)
    assert texts.ids is not None  # the features or the ids are given
    rngs = episode_rngs(model, jax.random.fold_in(key, 2))
    return model.class_texts(
        params, texts.ids, texts.mask, fixed=texts.fixed, train=True, rngs=rngs
    )


def encoded(
    model: FewShotModel, params: Params, batch: Mapping[str, Any], keys: jax.Array
) -> dict[str, Any]:
    """The batch with features in the place of videos, in one call of the encoder.

    Features stay as they are, and so do the videos of an encoder that runs inside the episode
    (any unit but "video"). An encoder that draws random numbers is called for each episode
    with its own.
    """
    pixels = set(batch["support"]) == set(model.encoder.modalities)
    if not pixels or model.encoder.unit != "video":
        return dict(batch)
    episodes, way, shot = jax.tree.leaves(batch["support"])[0].shape[:3]
    clips = jax.tree.map(
        lambda s, q: jnp.concatenate([s, q], axis=1),
        jax.vmap(flat_classes)(dict(batch["support"])),
        dict(batch["query"]),
    )  # [E, W K + Q, ...]
    if model.encoder.rngs:
        encode = jax.vmap(
            lambda videos, key: model.encode(
                params, videos, train=True, rngs=episode_rngs(model, jax.random.fold_in(key, 1))
            )
        )
        features = encode(clips, keys)
    else:
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), clips)
        features = model.encode(params, flat, train=True)
        features = jax.tree.map(lambda x: x.reshape(episodes, -1, *x.shape[1:]), features)
    support = jax.tree.map(
        lambda x: x[:, : way * shot].reshape(episodes, way, shot, *x.shape[2:]), features
    )
    query = jax.tree.map(lambda x: x[:, way * shot :], features)
    return dict(batch) | {"support": support, "query": query}
