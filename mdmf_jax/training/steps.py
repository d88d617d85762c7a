"""One optimizer step over a batch of episodes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from mdmf_jax.models.methods.output import EpisodeOutput
from mdmf_jax.training.micro_batches import mean_over_pieces, pieces_of
from mdmf_jax.training.optimizer import join_params, split_params
from mdmf_jax.training.sharding import over_episodes, replicated, tree_shardings
from mdmf_jax.training.state import TrainState

# encode(encoder parameters, uint8 frames [N, H, W, 3]) -> features [N, D]
Encode = Callable[[Any, jax.Array], jax.Array]
# head(head parameters, support, query, prompts, **options) -> EpisodeOutput of one episode
Head = Callable[..., EpisodeOutput]
# step(state, batch, class_table [C, D], key) -> (state, metrics)
TrainStep = Callable[..., tuple[TrainState, dict[str, jax.Array]]]


def make_train_step(
    encode: Encode,
    head: Head,
    optimizer: optax.GradientTransformation,
    *,
    freeze: Sequence[str],
    mesh: Mesh,
    shardings: TrainState,
    micro_batch: int = 0,
    max_skipped: int = 0,
) -> TrainStep:
    """The jitted step.

    The batch has a leading episode axis: support uint8 [E, W, K, T, H, W, 3], query uint8
    [E, Q, T, H, W, 3], query_labels [E, Q], class_ids [E, W]. With an encoder that returns what
    it is given, the frames may as well be features. The loss is the mean over the episodes of
    the method's total loss. Random numbers depend on the key, the step and the place of the
    episode in the batch only, not on the devices or the pieces. The given state is consumed.
    The metrics are those of `batch_metrics`, "updated" and "skipped" (see max_skipped), and the
    Euclidean norms of the gradient and of the trained parameters before the step
    ("gradient_norm", "parameter_norm", float32).

    Args:
      shardings: of the train state.
      max_skipped: steps whose loss or gradient is not finite that are left out; after more of
        them the state keeps its parameters for good. The metrics "updated" and "skipped" (so
        far) say so.
      micro_batch: most episodes that a device computes at once; 0: all of its episodes. The
        gradients of the pieces are added up.
    """
    whole, episodes = replicated(mesh), over_episodes(mesh)

    def step(state: TrainState, batch, class_table, key):
        size = batch["class_ids"].shape[0]
        keys = jax.random.split(jax.random.fold_in(key, state.step), size)
        # Where devices store parts of a parameter, they put it together before they use it.
        in_use = tree_shardings(state.params, mesh)
        params = jax.lax.with_sharding_constraint(state.params, in_use)
        used, frozen = split_params(params, freeze)

        def loss(used, piece):
            batch, keys = piece
            params = join_params(used, frozen)
            metrics = batch_metrics(encode, head, params, batch, class_table, keys)
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
    encode: Encode,
    head: Head,
    params: Mapping[str, Any],
    batch: Mapping[str, jax.Array],
    class_table: jax.Array,
    keys: jax.Array,
) -> dict[str, jax.Array]:
    """Means over the episodes of each loss ("loss" is the total), and the shares of queries
    that were classified right ("accuracy") and given the right prompt ("prompt_accuracy").

    Args:
      class_table: text features of all classes [C, D].
      keys: one random key an episode [E].
    """
    support, query = encode_episodes(encode, params["encoder"], batch["support"], batch["query"])
    labels, class_ids = batch["query_labels"], batch["class_ids"]

    def episode(support, query, class_ids, labels, key) -> EpisodeOutput:
        dropout, prompt = jax.random.split(key)
        rngs = {"dropout": dropout, "prompt": prompt, "tuples": jax.random.fold_in(key, 2)}
        return head(
            params["head"],
            support,
            query,
            class_table[class_ids],
            query_labels=labels,
            class_ids=class_ids,
            class_table=class_table,
            train=True,
            rngs=rngs,
        )

    output = jax.vmap(episode)(support, query, class_ids, labels, keys)
    metrics = {name: value.mean() for name, value in output.losses.items()}
    metrics["loss"] = metrics.pop("total")
    metrics["accuracy"] = (output.logits.argmax(-1) == labels).mean()
    if "prompt_choice" in output.diagnostics:
        metrics["prompt_accuracy"] = (output.diagnostics["prompt_choice"] == labels).mean()
    return metrics


def encode_episodes(
    encode: Encode, encoder_params: Any, support: jax.Array, query: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Features of the frames of all episodes, in one call of the encoder.

    Args:
      support: uint8 [E, W, K, T, H, W, 3].
      query: uint8 [E, Q, T, H, W, 3].

    Returns:
      support features [E, W, K, T, D] and query features [E, Q, T, D].
    """
    episodes, way, shot, frames, *pixels = support.shape
    clips = jnp.concatenate([support.reshape(episodes, way * shot, frames, *pixels), query], axis=1)
    features = encode(encoder_params, clips.reshape(-1, *pixels))
    features = features.reshape(episodes, -1, frames, features.shape[-1])
    supports = features[:, : way * shot].reshape(episodes, way, shot, frames, -1)
    return supports, features[:, way * shot :]
