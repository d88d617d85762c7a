"""The stages of a model as programs of `jax.export`: for any number of videos, on any platform.

A program is StableHLO with the numbers of videos, classes and shots left open. Trees of arrays
go in and out as tuples of their leaves, so that a caller needs no module of this package.
"""

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import export
from jax.export import symbolic_shape

from mdmf_jax.errors import ConfigError
from mdmf_jax.model import FewShotModel
from mdmf_jax.weights.overlay import divide, merged

PLATFORMS = ("cpu", "cuda", "tpu")

# The alignment works through more pairs than this in blocks, whose number must be known when a
# program is made (ops/alignment.py). With less, one block does: at most so many videos of all
# classes together (or classes, for methods that compare with the mean of a class).
MOST_SUPPORTS = 2048
_LIMITS = [f"2*k*w <= {2 * MOST_SUPPORTS}", *(f"{n}*w <= {2 * MOST_SUPPORTS}" for n in (4, 2))]

Spec = jax.ShapeDtypeStruct


def programs_of(model: FewShotModel, with_texts: bool, texts: int = 1) -> dict[str, bytes]:
    """The programs by name, serialised; the first argument of each is a tree of parameters.

    A video is a tuple of its modalities, in the order of their names, and features are a tuple
    in the order of theirs.

    * encode: videos uint8 [n, T, S, S, C] -> features [n, ...].
    * texts, if asked for, with a second tree: token ids int32 [n, L] -> [n, D].
    * scores, if the method chooses prompts: features [n, ...], texts [w, D] -> [n, w].
    * supports, queries: features [n, ...], texts [n, D] -> leaves [n, ...].
    * match: leaves [w, k, ...], leaves [n, ...], texts [w, D], mask [w, k] -> logits [n, w].

    Args:
      texts: M, texts of a class, for methods that take several: [w, M, D] in the place of [w, D].

    Raises:
      ConfigError: an installation of jax without the package flatbuffers, or an encoder that
        sees whole episodes.
    """
    if model.encoder.unit == "episode":
        raise ConfigError(
            f"the encoder {model.settings.encoder_name} sees whole episodes and cannot be exported"
        )
    if model.encoder.unit == "support" and with_texts:
        raise ConfigError(
            f"the encoder {model.settings.encoder_name} sees all support videos together and can "
            "only be exported with them: run `mdmf fit`, and export the fitted model"
        )
    functions = _encoders(model, with_texts) | _head(model, texts)
    return {name: _serialised(*parts) for name, parts in functions.items()}


def text_params(model: FewShotModel, encoder_params: Any) -> Any:
    """Leaves of the encoder that its texts need."""
    whole = merged(encoder_params, model.fixed)
    return divide(whole, lambda path: bool(re.search(model.encoder.text_params, path)))[0]


def video_params(model: FewShotModel, encoder_params: Any) -> Any:
    """Leaves of the encoder that its videos need."""
    return divide(encoder_params, lambda path: not re.search(model.encoder.text_params, path))[0]


def _serialised(function: Callable, specs: tuple) -> bytes:
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(*specs)
    try:
        return bytes(exported.serialize())
    except ImportError as error:
        raise ConfigError(f"{error}: pip install flatbuffers") from error


def _encoders(model: FewShotModel, with_texts: bool) -> dict[str, tuple]:
    encode_videos, names = model.stage("encode"), sorted(model.encoder.modalities)
    shapes = model.encoder.example(model.settings.frames)

    def encode(params, videos):
        def one(video):  # the towers need a number of videos that is known, so 1
            clips = {name: x[None] for name, x in zip(names, video, strict=True)}
            features = encode_videos({"encoder": params}, clips)
            return tuple(x[0] for _, x in sorted(features.items()))

        return jax.vmap(one)(videos)

    (n,) = symbolic_shape("n")
    videos = tuple(Spec((n, *shapes[name].shape[1:]), shapes[name].dtype) for name in names)
    start = model.shapes["encoder"]
    functions: dict[str, tuple] = {"encode": (encode, (video_params(model, start), videos))}
    if with_texts and model.encoder.has_texts:
        encode_texts, fixed = model.stage("class_texts"), jax.eval_shape(lambda: model.fixed)
        given = text_params(model, merged(start, fixed)) if fixed else text_params(model, start)

        def texts(params, text_leaves, ids):
            whole = merged(params, text_leaves)

            def one(row):
                return encode_texts({"encoder": whole}, row[None, None], fixed={})[0]

            return jax.vmap(one)(ids)

        ids = Spec((n, model.encoder.text_length), jnp.int32)
        functions["texts"] = (texts, (video_params(model, start), given, ids))
    return functions


def _head(model: FewShotModel, several: int) -> dict[str, tuple]:
    """Stages of the method."""
    head = {"head": model.shapes["head"]}
    width = (several, model.width) if model.method.several_texts else (model.width,)
    names = sorted(model.feature_shapes)

    def stage(name):
        run = model.stage(name)

        def call(params, features, *rest, **options):
            named = dict(zip(names, features, strict=True))
            return run({"head": params}, named, *rest, **options)

        return call

    def specs(count):
        return tuple(
            Spec((count, *model.feature_shapes[name].shape), jnp.float32) for name in names
        )

    chooses, encode_query = model.method.chooses_prompts, stage("encode_query")
    supports = stage("encode_support")

    def queries(params, features, texts):
        return encode_query(params, features, texts if chooses else None)

    (n,) = symbolic_shape("n")
    w, k, q = symbolic_shape("w, k, q", constraints=_LIMITS)
    params = head["head"]
    pair = (params, specs(n), _texts(n, width))
    stages: dict[str, tuple] = {
        "supports": (_flat(supports), pair),
        "queries": (_flat(queries), pair),
    }
    if chooses:
        n, c = symbolic_shape("n, c")
        stages["scores"] = (stage("class_text_logits"), (params, specs(n), _texts(c, width)))
    of_supports = jax.eval_shape(supports, params, specs(w * k), _texts(w * k, width))
    of_queries = jax.eval_shape(queries, params, specs(q), _texts(q, width))
    trees = jax.tree.structure(of_supports), jax.tree.structure(of_queries)
    match = _matcher(model, trees)
    leaves = tuple(Spec((w, k, *x.shape[1:]), x.dtype) for x in jax.tree.leaves(of_supports))
    asked = tuple(jax.tree.leaves(of_queries))
    stages["match"] = (match, (params, leaves, asked, _texts(w, width), Spec((w, k), bool)))
    return stages


def _matcher(model: FewShotModel, trees) -> Callable:
    """match of leaves; one query at a time for the sake of MOST_SUPPORTS, vectorised."""
    run = model.stage("match")

    def match(params, supports, queries, texts, mask):
        supports = jax.tree.unflatten(trees[0], supports)
        queries = jax.tree.unflatten(trees[1], queries)

        def one(query):
            query = jax.tree.map(lambda x: x[None], query)
            found = run({"head": params}, supports, query, texts, support_mask=mask)
            return found[0][0]

        logits = jax.vmap(one)(queries)
        if not model.method.gives_probabilities:
            return logits
        return jnp.log(jnp.maximum(logits, jnp.finfo(jnp.float32).tiny))  # were probabilities

    return match


def _flat(function: Callable) -> Callable:
    return lambda *arguments: tuple(jax.tree.leaves(function(*arguments)))


def _texts(count: Any, width: tuple[int, ...]) -> Spec:
    return Spec((count, *width), jnp.float32)
