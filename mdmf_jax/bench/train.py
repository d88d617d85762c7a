"""Frames a second through a whole train step, from pixels to new parameters."""

from mdmf_jax.bench.episodes import CLASSES, StepRunner, Task, head_flops, random_batch
from mdmf_jax.bench.flops import TRAINING, image_flops
from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.models import model_config, random_frames, random_model
from mdmf_jax.bench.timing import on_cpu, seconds_of, summarise


def measure(
    model: str | None = None,
    *,
    method: str = "mdmf",
    episodes: int = 1,
    shot: int = 1,
    queries: int = 1,
    way: int = 5,
    frames: int = 8,
    dtype: str | None = None,
    attention: str = "auto",
    remat: bool = False,
    micro_batch: int = 0,
    repeats: int = 3,
) -> list[Measurement]:
    """One step over a batch of episodes, encoder and head both trained.

    Args:
      model: one of `names.MODELS`; by default "demo" on a CPU and "vit_b16" elsewhere.
      queries: query videos of each class.
      dtype: of the encoder's computation; by default float32 on a CPU, bfloat16 elsewhere.
      attention: one of `names.ATTENTIONS`.
      remat: compute the encoder's blocks again in the backward pass instead of keeping them.
      micro_batch: episodes whose gradient is computed at once; 0 for all.

    Raises:
      ConfigError: no such method.
    """
    model = model or ("demo" if on_cpu() else "vit_b16")
    dtype = dtype or ("float32" if on_cpu() else "bfloat16")
    config, task = model_config(model), Task(episodes, way, shot, queries, frames)
    side, options = config.vision.image_size, {"dtype": dtype, "attention": attention}
    whole = random_model(method, config, frames, CLASSES, remat=remat, **options)
    batch = random_batch(task, "rgb", random_frames, (side, side, 3))
    step = StepRunner(whole, batch, micro_batch=micro_batch)
    images = episodes * task.videos * frames
    flops = head_flops(whole, task)
    return [
        summarise(
            f"train/{model}/{method}",
            seconds_of(step, repeats),
            items=images,
            unit="frames/s",
            settings={
                "model": model,
                "method": method,
                "attention": attention,
                "remat": remat,
                "micro_batch": micro_batch,
            }
            | task.settings,
            dtype=dtype,
            # What is computed twice because of remat counts once: it is not progress.
            flops=TRAINING * (images * image_flops(config) + episodes * (flops or 0)),
            peak_bytes=step.program.peak_bytes,
        )
    ]
