"""Trains the motion encoder on generated people, on the CPU, and writes its files.

    nice -n 15 python scripts/train_motion.py --out=mdmf_jax/assets/motion

A batch holds several videos of each of several gestures, each by another body, in another room,
before another camera. The network learns to find the videos of the same gesture (supervised
contrast, Khosla et al. 2020), by the mean of their features and by the features in turn, and to say
where the limbs are and how they move, which is thrown away afterwards. The same seed gives the
same videos; weights agree up to the rounding of the machine.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import jax
import jax.numpy as jnp
import numpy as np
import optax
from motion_inputs import LIMBS, draw_batch, make_inputs

from mdmf_jax.files import cache_folder
from mdmf_jax.models.encoders.motion.network import MotionNetwork

CLASSES, VIDEOS = 16, 4  # of a batch
TEMPERATURE = 0.1
LEARNING_RATE, WARMUP, WEIGHT_DECAY = 1.5e-3, 50, 0.02
FALL = 0.3  # share of the steps in which the rate falls
KEPT = 0.97  # of the running mean of the parameters, which is what is tested and written
WEIGHTS = {"together": 1.0, "in_turn": 0.5, "limbs": 4.0}
HELD_OUT, HELD_OUT_SEED = (60, 8), 2  # gestures and videos that tell how it goes
STEPS_OF_A_REPORT = 100


def main() -> None:
    options = parse_arguments()
    cache = options.cache or cache_folder() / "motion"
    inputs = make_inputs(
        cache / f"train-seed{options.seed}.npy", options.classes, 5, options.seed, options.workers
    )
    held_out = make_inputs(cache / "held-out.npy", *HELD_OUT, HELD_OUT_SEED, options.workers)
    network = MotionNetwork()
    started = time.time()

    def report(params: dict, history: list) -> None:
        print(history[-1], flush=True)
        write(options, network, params, history, (time.time() - started) / 60)

    train(network, inputs, held_out, options, report)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--classes", type=int, default=2000, help="gestures to learn from")
    parser.add_argument("--seed", type=int, default=1, help="of videos and training")
    parser.add_argument("--workers", type=int, default=2, help="processes that draw videos")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, default=None, help="folder for generated videos")
    return parser.parse_args()


def train(network: MotionNetwork, inputs, held_out, options, report) -> None:
    """Calls report(parameters, figures so far) now and then, and at the end."""
    rng = np.random.default_rng(options.seed)
    params = {
        "network": network.init(jax.random.key(options.seed), held_out.maps[0])["params"],
        "limbs": {"kernel": jnp.zeros((network.sizes.width, 4 * len(LIMBS)))},
    }
    optimizer = make_optimizer(options.steps)
    step = make_step(network, optimizer)
    encode = jax.jit(lambda params, maps: network.apply({"params": params}, maps)[0])
    state, history, mean = optimizer.init(params), [], params
    with ThreadPoolExecutor(1) as pool:  # draws the next batch while the step computes
        drawn = pool.submit(draw_batch, inputs, CLASSES, VIDEOS, rng)
        for number in range(1, options.steps + 1):
            batch = drawn.result()
            drawn = pool.submit(draw_batch, inputs, CLASSES, VIDEOS, rng)
            params, state, loss = step(params, state, *batch)
            mean = average(mean, params, min(KEPT, number / (number + 10)))
            if number % STEPS_OF_A_REPORT == 0 or number == options.steps:
                features = np.stack([encode(mean["network"], some) for some in held_out.maps])
                history.append({"step": number} | jax.tree.map(float, loss) | accuracies(features))
                report(jax.device_get(mean["network"]), history)


@jax.jit
def average(mean, params, kept):
    """The running mean of parameters."""
    return jax.tree.map(lambda m, p: kept * m + (1 - kept) * p, mean, params)


def make_optimizer(steps: int) -> optax.GradientTransformation:
    """AdamW; the rate rises, stays, and falls in the last part; no weight decay on vectors."""
    fall = int(steps * FALL)
    rate = optax.join_schedules(
        [
            optax.linear_schedule(0.0, LEARNING_RATE, WARMUP),
            optax.constant_schedule(LEARNING_RATE),
            optax.linear_schedule(LEARNING_RATE, LEARNING_RATE / 50, fall),
        ],
        [WARMUP, steps - fall],
    )
    mask = lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)  # noqa: E731
    return optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adamw(rate, b2=0.98, weight_decay=WEIGHT_DECAY, mask=mask),
    )


def make_step(network: MotionNetwork, optimizer: optax.GradientTransformation):
    """One jitted update: (params, state, maps, limbs) -> (params, state, losses)."""

    def losses(params, maps, limbs):
        variables = {"params": params["network"]}
        features, moments = network.apply(variables, maps)  # [N, T, D], [N, M, width]
        features = unit(features)
        together = unit(features.mean(1))
        in_turn = features.reshape(len(features), -1) / np.sqrt(features.shape[1])
        error = jnp.abs(moments @ params["limbs"]["kernel"] - limbs).mean()
        found = {
            "together": contrast(together @ together.T),
            "in_turn": contrast(in_turn @ in_turn.T),
            "limbs": error,
        }
        return sum(WEIGHTS[name] * value for name, value in found.items()), found

    @jax.jit
    def step(params, state, maps, limbs):
        gradient, found = jax.grad(losses, has_aux=True)(params, maps, limbs)
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state, found

    return step


def unit(x):
    """Vectors of length 1 along the last axis."""
    return x / (jnp.linalg.norm(x, axis=-1, keepdims=True) + 1e-6)


def contrast(cosines):
    """Cross entropy of finding the other videos of a class by their cosines [N, N]."""
    labels = np.repeat(np.arange(CLASSES), VIDEOS)
    same = (labels[:, None] == labels) & ~np.eye(len(labels), dtype=bool)
    logits = jnp.where(np.eye(len(labels), dtype=bool), -1e9, cosines / TEMPERATURE)
    return -(jax.nn.log_softmax(logits) * same).sum(1).mean() / (VIDEOS - 1)


def accuracies(features: np.ndarray, episodes: int = 2000) -> dict[str, float]:
    """5-way accuracy in percent by the mean feature, of features [classes, videos, T, D]."""
    units = features / np.linalg.norm(features, axis=-1, keepdims=True)
    means = units.mean(2)
    means /= np.linalg.norm(means, axis=-1, keepdims=True)
    rng, found = np.random.default_rng(0), {}
    for shot in (1, 5):
        right = 0
        for _ in range(episodes):
            classes = rng.permutation(len(means))[:5]
            order = np.stack([rng.permutation(means.shape[1])[: shot + 1] for _ in classes])
            supports = np.stack(
                [means[c, o[:-1]].mean(0) for c, o in zip(classes, order, strict=True)]
            )
            right += (supports @ means[classes[0], order[0, -1]]).argmax() == 0
        found[f"{shot}_shot"] = round(100 * right / episodes, 1)
    return found


def write(options, network, params, history, minutes) -> None:
    """Writes model.safetensors and config.json."""
    from mdmf_jax.weights.motion import save_motion

    facts = {
        "command": f"python scripts/train_motion.py --steps={options.steps} "
        f"--classes={options.classes} --seed={options.seed}",
        "minutes": round(minutes, 1),
        "batch": [CLASSES, VIDEOS],
        "temperature": TEMPERATURE,
        "weights": WEIGHTS,
        "learning_rate": LEARNING_RATE,
        "weight_decay": WEIGHT_DECAY,
        "jax": jax.__version__,
        "held_out": history[-1] | {"gestures": HELD_OUT[0], "videos": HELD_OUT[1]},
    }
    half = jax.tree.map(lambda x: x.astype(np.float16), params)
    save_motion(options.out, network.sizes, facts, half)
    (options.out / "history.json").write_text(json.dumps(history, indent=1) + "\n")


if __name__ == "__main__":
    main()
