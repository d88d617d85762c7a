"""The stages of a model as programs of `jax.export`: for any number of videos, on any platform.

A program is StableHLO with the numbers of videos, classes and shots left open. Trees of arrays
go in and out as tuples of their leaves, so that a caller needs no module of this package.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.export import symbolic_shape

from mdmf_jax.classifier.model import Model, method_of
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.preprocess import normalise
from mdmf_jax.models.encoders.clip.text import CLIPText
from mdmf_jax.models.encoders.clip.vision import CLIPVision

PLATFORMS = ("cpu", "cuda", "tpu")

# The alignment works through more pairs than this in blocks, whose number must be known when a
# program is made (ops/alignment.py). With less, one block does: at most so many videos of all
# classes together (or classes, for methods that compare with the mean of a class).
MOST_SUPPORTS = 2048
_LIMITS = [f"2*k*w <= {2 * MOST_SUPPORTS}", *(f"{n}*w <= {2 * MOST_SUPPORTS}" for n in (4, 2))]

ENCODER = ("vision_model", "visual_projection")
TEXT = ("text_model", "text_projection")

Spec = jax.ShapeDtypeStruct


def programs_of(model: Model, with_texts: bool) -> dict[str, bytes]:
    """The programs by name, serialised; the first argument of each is a tree of parameters.

    encode: frames uint8 [n, S, S, 3] -> features [n, D]. texts (if asked for): token ids int32
    [n, L] -> [n, D]. scores (if the method chooses prompts): features [n, T, D], texts [w, D] ->
    [n, w]. supports and queries: features [n, T, D], texts [n, D] -> leaves [n, ...]. match:
    leaves [w, k, ...], leaves [n, ...], texts [w, D], mask [w, k] -> logits [n, w].

    Raises:
      ConfigError: an installation of jax without the package flatbuffers.
    """
    functions = _encoders(model, with_texts) | _head(model)
    return {name: _serialised(*parts) for name, parts in functions.items()}


def _serialised(function: Callable, specs: tuple) -> bytes:
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(*specs)
    try:
        return bytes(exported.serialize())
    except ImportError as error:
        raise ConfigError(f"{error}: pip install flatbuffers") from error


def _encoders(model: Model, with_texts: bool) -> dict[str, tuple]:
    config, kind = model.clip.config, model.settings.normalise
    # The kernels of cuDNN exist on one platform only.
    vision = CLIPVision(config, attention="xla")

    def encode(params, frames):
        pixels = normalise(frames, kind)
        return _each(lambda batch: vision.apply({"params": params}, batch), pixels)

    (n,) = symbolic_shape("n")
    side = config.vision.image_size
    params = _shapes({name: model.clip.params[name] for name in ENCODER})
    functions = {"encode": (encode, (params, Spec((n, side, side, 3), jnp.uint8)))}
    if with_texts:
        text = CLIPText(config)
        params = _shapes({name: model.clip.params[name] for name in TEXT})
        ids = Spec((n, config.text.max_position_embeddings), jnp.int32)
        functions["texts"] = (
            lambda params, ids: _each(lambda batch: text.apply({"params": params}, batch), ids),
            (params, ids),
        )
    return functions


def _each(tower: Callable, inputs: jax.Array) -> jax.Array:
    """A tower on inputs [n, ...]; the towers need a number of inputs that is known, so 1."""
    return jax.vmap(lambda one: tower(one[None])[0])(inputs).astype(jnp.float32)


def _head(model: Model) -> dict[str, tuple]:
    """CompiledMethod of the method."""
    method, params = method_of(model.settings, model.clip), _shapes(model.head)
    frames, width = model.settings.frames, model.clip.config.projection_dim

    def stage(function):
        return lambda params, *arguments: method.apply(
            {"params": params}, *arguments, method=function
        )

    supports = stage(lambda m, videos, texts: m.encode_support(videos, texts))
    chooses = method.chooses_prompts
    queries = stage(lambda m, videos, texts: m.encode_query(videos, texts if chooses else None))
    (n,) = symbolic_shape("n")
    w, k, q = symbolic_shape("w, k, q", constraints=_LIMITS)
    pair = _videos(n, frames, width), _texts(n, width)
    specs = params, *pair
    stages = {"supports": (_flat(supports), specs), "queries": (_flat(queries), specs)}
    if chooses:
        n, c = symbolic_shape("n, c")
        scores = stage(lambda m, videos, table: m.class_text_logits(videos, table))
        stages["scores"] = (scores, (params, _videos(n, frames, width), _texts(c, width)))
    of_supports = jax.eval_shape(
        supports, params, _videos(w * k, frames, width), _texts(w * k, width)
    )
    of_queries = jax.eval_shape(queries, params, _videos(q, frames, width), _texts(q, width))
    trees = jax.tree.structure(of_supports), jax.tree.structure(of_queries)
    match = _matcher(stage, trees, model.stages.independent_classes)
    leaves = tuple(Spec((w, k, *x.shape[1:]), x.dtype) for x in jax.tree.leaves(of_supports))
    asked = tuple(jax.tree.leaves(of_queries))
    stages["match"] = (match, (params, leaves, asked, _texts(w, width), Spec((w, k), bool)))
    return stages


def _matcher(stage, trees, independent: bool) -> Callable:
    """match of leaves; one query at a time for the sake of MOST_SUPPORTS, vectorised."""
    logits_of = stage(lambda m, s, q, p, mask: m.match(s, q, p, support_mask=mask)[0])

    def match(params, supports, queries, texts, mask):
        supports = jax.tree.unflatten(trees[0], supports)
        queries = jax.tree.unflatten(trees[1], queries)

        def one(query):
            query = jax.tree.map(lambda x: x[None], query)
            return logits_of(params, supports, query, texts, mask)[0]

        logits = jax.vmap(one)(queries)
        if independent:
            return logits
        return jnp.log(jnp.maximum(logits, jnp.finfo(jnp.float32).tiny))  # were probabilities

    return match


def _flat(function: Callable) -> Callable:
    return lambda *arguments: tuple(jax.tree.leaves(function(*arguments)))


def _videos(count: Any, frames: int, width: int) -> Spec:
    return Spec((count, frames, width), jnp.float32)


def _texts(count: Any, width: int) -> Spec:
    return Spec((count, width), jnp.float32)


def _shapes(tree: Any) -> Any:
    return jax.tree.map(lambda x: Spec(x.shape, x.dtype), tree)
