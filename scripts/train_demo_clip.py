"""Trains the small CLIP of the demo, on the CPU, and writes it with its model card.

    python scripts/train_demo_clip.py --out=mdmf_jax/assets/demo_clip

Generates the training videos at the first call (about a minute). The same seed gives the same
weights on the same machine.
"""

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import optax
from demo_clip_card import model_card
from demo_clip_data import RESIZE, Clips, load_clips, training_draw
from demo_clip_model import LENGTH, Reader, clip_config, losses
from demo_clip_scores import FRAMES, scores
from demo_clip_vocabulary import caption_tokenizer

from mdmf_jax.data.demo.dataset import ensure_demo
from mdmf_jax.data.demo.render import MOTIONS
from mdmf_jax.models.encoders.clip.model import CLIP
from mdmf_jax.weights.huggingface import demo_clip_path, load_clip, save_clip

TEMPLATES = ("a video of {}", "a photo of {}", "{}")
DATA_SEED, CLIPS_PER_CLASS = 1, 120  # not the demo's own videos (seed 0)
BATCH = 32  # videos
# Share of the steps in which only the motions of frame pairs are learnt, from two frames at a
# time; whole captions come after. Both at once from the start learn nothing for a long time.
PAIRS_ONLY = 0.45
WARMUP, LEARNING_RATE, WEIGHT_DECAY = 50, 1e-3, 0.05
LARGEST_SCALE = float(np.log(100))  # of logit_scale, as in CLIP


def main() -> None:
    options = parse_arguments()
    clips = load_clips(ensure_demo(options.cache, DATA_SEED, CLIPS_PER_CLASS), "train")
    validation = load_clips(ensure_demo(options.cache), "val")
    captions = [[template.format(name) for name in clips.names] for template in TEMPLATES]
    tokenizer = caption_tokenizer(sum(captions, []))
    ids = np.stack([tokenizer(row, LENGTH) for row in captions])  # [templates, classes, LENGTH]
    config = clip_config(len(tokenizer.vocab))
    model, reader = CLIP(config), Reader(len(MOTIONS))
    started = time.time()
    params = train(model, reader, clips, ids, options.steps, options.seed)
    minutes = (time.time() - started) / 60
    save_clip(options.out, config, params["clip"], tokenizer, dtype=np.float16)
    stored = params | {"clip": load_clip(options.out).params}
    found = scores(model, reader, stored, tokenizer, validation)
    print(f"validation classes, 5-way accuracy in percent: {found}")
    card = model_card(
        config,
        found,
        parameters=sum(leaf.size for leaf in jax.tree.leaves(params["clip"])),
        resize=RESIZE,
        videos=len(clips.labels),
        validation=len(validation.labels),
        data_seed=DATA_SEED,
        minutes=minutes,
        steps=options.steps,
        seed=options.seed,
        pairs_only=PAIRS_ONLY,
    )
    (options.out / "README.md").write_text(card)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=demo_clip_path())
    parser.add_argument("--cache", type=Path, default=None, help="folder for generated videos")
    return parser.parse_args()


def train(
    model: CLIP, reader: Reader, clips: Clips, ids: np.ndarray, steps: int, seed: int
) -> dict:
    """Trained parameters {"clip", "reader"}; prints the losses now and then."""
    side, size = model.config.vision.image_size, model.config.projection_dim
    clip_key, reader_key = jax.random.split(jax.random.key(seed))
    params = {
        "clip": model.init(clip_key, jnp.zeros((1, side, side, 3)), ids[0])["params"],
        "reader": reader.init(reader_key, jnp.zeros((1, FRAMES, size)))["params"],
    }
    optimizer = make_optimizer(steps)
    step = make_step(model, reader, optimizer)
    state = optimizer.init(params)
    rng = np.random.default_rng(seed)
    with ThreadPoolExecutor(1) as pool:  # draws the next batch while the step computes
        drawn = pool.submit(draw_batch, clips, ids, rng)
        for number in range(1, steps + 1):
            batch = drawn.result()
            drawn = pool.submit(draw_batch, clips, ids, rng)
            weight = float(number > PAIRS_ONLY * steps)
            params, state, metrics = step(params, state, *batch, weight)
            if number % 50 == 0 or number == steps:
                shown = " ".join(f"{name} {float(x):.3f}" for name, x in metrics.items())
                print(f"step {number}/{steps}: {shown}", flush=True)
    return jax.device_get(params)


def draw_batch(clips: Clips, ids: np.ndarray, rng: np.random.Generator) -> tuple:
    """(pixels, labels, motions of both halves, one caption of each class) at random."""
    which = rng.integers(len(clips.labels), size=BATCH)
    labels = clips.labels[which]
    pixels = training_draw(clips, which, FRAMES, rng)
    motions = [[MOTIONS.index(m) for m in name.split(" then ")] for name in clips.names]
    classes = np.arange(len(clips.names))
    captions = ids[rng.integers(len(ids), size=len(classes)), classes]
    return pixels, labels, np.array(motions)[labels], captions


def make_optimizer(steps: int) -> optax.GradientTransformation:
    """AdamW with warm-up and cosine decay; no weight decay on vectors."""
    rate = optax.warmup_cosine_decay_schedule(
        0.0, LEARNING_RATE, min(WARMUP, steps // 2), steps, LEARNING_RATE / 50
    )
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(
            rate,
            b2=0.98,
            weight_decay=WEIGHT_DECAY,
            mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params),
        ),
    )


def make_step(model: CLIP, reader: Reader, optimizer: optax.GradientTransformation):
    """One jitted update: (params, state, *batch, caption weight) -> (params, state, metrics)."""

    @jax.jit
    def step(params, state, *batch):
        gradient_of = jax.value_and_grad(losses, has_aux=True)
        (_, metrics), gradient = gradient_of(params, model, reader, *batch)
        updates, state = optimizer.update(gradient, state, params)
        params = optax.apply_updates(params, updates)
        scale = jnp.clip(params["clip"]["logit_scale"], 0.0, LARGEST_SCALE)
        return params | {"clip": params["clip"] | {"logit_scale": scale}}, state, metrics

    return step


if __name__ == "__main__":
    main()
