"""The ResNet image tower of OpenAI's CLIP: its tensors' names -> this package's parameters.

OpenAI's own files, and those of other programs that kept its names, share this table.
"""

from mdmf_jax.weights.layers import batch_norm_rules, conv_rules, dense_rules
from mdmf_jax.weights.table import Rule, keep, rule


def _conv_norm(source: str, target: str, number: int) -> list[Rule]:
    """A numbered convolution and its BatchNorm."""
    return [
        *conv_rules(f"{source}.conv{number}", f"{target}/conv{number}"),
        *batch_norm_rules(f"{source}.bn{number}", f"{target}/bn{number}"),
    ]


def _resnet(source: str, target: str) -> list[Rule]:
    block = f"{source}.layer*.*", f"{target}/layer*/*"
    pool = f"{source}.attnpool", f"{target}/attnpool"
    position = "positional_embedding"
    return [
        *(entry for number in (1, 2, 3) for entry in _conv_norm(source, target, number)),
        *(entry for number in (1, 2, 3) for entry in _conv_norm(*block, number)),
        *conv_rules(f"{block[0]}.downsample.0", f"{block[1]}/downsample_conv"),
        *batch_norm_rules(f"{block[0]}.downsample.1", f"{block[1]}/downsample_bn"),
        rule(f"{pool[0]}.{position}", f"{pool[1]}/{position}", keep(2)),
        *(
            entry
            for name in ("q_proj", "k_proj", "v_proj")
            for entry in dense_rules(f"{pool[0]}.{name}", f"{pool[1]}/{name}")
        ),
        *dense_rules(f"{pool[0]}.c_proj", "visual_projection"),
    ]


RULES: tuple[Rule, ...] = tuple(_resnet("visual", "vision_model"))
