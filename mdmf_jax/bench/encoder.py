"""Images a second through CLIP's image tower."""

import jax

from mdmf_jax.bench.flops import image_flops
from mdmf_jax.bench.measurement import Measurement
from mdmf_jax.bench.models import model_config, random_frames, random_model
from mdmf_jax.bench.timing import compile_program, on_cpu, seconds_of, summarise


def measure(
    model: str = "vit_b16",
    *,
    batch: int | None = None,
    dtype: str | None = None,
    attention: str = "auto",
    repeats: int = 3,
) -> list[Measurement]:
    """The forward pass from uint8 frames on the device to features, one size of batch.

    Args:
      model: one of `names.MODELS`, with random parameters.
      batch: images; by default 8 on a CPU and 256 elsewhere.
      dtype: "float32" or "bfloat16"; by default float32 on a CPU and bfloat16 elsewhere.
      attention: one of `names.ATTENTIONS`.
    """
    batch = batch or (8 if on_cpu() else 256)
    dtype = dtype or ("float32" if on_cpu() else "bfloat16")
    config = model_config(model)
    whole = random_model("otam", config, 1, 1, dtype=dtype, attention=attention)
    side, params = config.vision.image_size, jax.device_put({"encoder": whole.start})
    frames = {"rgb": jax.device_put(random_frames(batch, 1, side, side, 3))}
    program = compile_program(whole.stage("encode"), params, frames)
    seconds = seconds_of(lambda: program.call(params, frames), repeats)
    return [
        summarise(
            f"encoder/{model}",
            seconds,
            items=batch,
            unit="images/s",
            settings={
                "model": model,
                "batch": batch,
                "image_size": side,
                "attention": attention,
            },
            dtype=dtype,
            flops=batch * image_flops(config),
            peak_bytes=program.peak_bytes,
        )
    ]
