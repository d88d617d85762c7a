"""The model card that lies beside the demo's small CLIP."""

import platform

from mdmf_jax.models.encoders.clip.config import CLIPConfig

CARD = """\
# A small CLIP for the demo

An image tower (ViT, {side} x {side} pixels, patches of {patch}, width {width}, {layers} layers) and
a text tower (width {text_width}, {text_layers} layers, {vocab} tokens), {parameters:,} parameters,
stored in half precision in the Hugging Face layout. It knows nothing but the moving shapes of
this package's demo videos and the words of their captions. Frames: short side resized to
{resize}, centre crop {side}, CLIP mean and standard deviation.

## Training

From random weights, on {videos} generated videos of the demo's 40 *train* classes and their
captions ("a video of moving left then growing"; also "a photo of ..." and the bare name). The
videos are drawn with seed {data_seed}; the demo itself uses seed 0. Nothing else of the generator
is used, and no video or caption of a validation or test class. Three cross entropies are added:

* the motion that the caption names for one half of the video, read from pairs of frames of that
  half by a small network (thrown away after training);
* the mean cosine of a caption with its four nearest frames of eight, among all 40 captions;
* the cosine of a caption with a video feature, which the same network computes from the pairs.

The first is trained alone in the first {pairs_only:.0%} of the steps.

Command ({minutes:.0f} minutes on {machine}):

    python scripts/train_demo_clip.py --steps={steps} --seed={seed}

## Figures

On the 8 *validation* classes ({validation} videos of the demo, other pairs of the same motions),
5 classes at a time, chance 20 %:

| | accuracy, % |
|---|---|
| caption chosen by the four nearest frames (what CLIP-MDMF's prompt selector does) | {prompt} |
| caption chosen by the thrown-away network | {reader} |
| nearest mean support frames, 1 shot, features alone | {nearest_1_shot} |
| nearest mean support frames, 5 shots, features alone | {nearest_5_shot} |
"""


def model_card(config: CLIPConfig, scores: dict[str, float], **facts) -> str:
    """Text of README.md.

    Args:
      scores: as `demo_clip_scores.scores` gives them.
      facts: parameters, resize, videos, data_seed, minutes, steps, seed, validation,
          pairs_only.
    """
    return CARD.format(
        side=config.vision.image_size,
        patch=config.vision.patch_size,
        width=config.vision.hidden_size,
        layers=config.vision.num_hidden_layers,
        text_width=config.text.hidden_size,
        text_layers=config.text.num_hidden_layers,
        vocab=config.text.vocab_size,
        machine=f"two {platform.machine()} cores",
        **scores,
        **facts,
    )
