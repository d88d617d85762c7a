"""Table entries of the layers that every PyTorch checkpoint has."""

from mdmf_jax.weights.table import Rule, keep, rule, transpose


def norm_rules(source: str, target: str) -> list[Rule]:
    """LayerNorm: weight, bias -> scale, bias."""
    return [
        rule(f"{source}.weight", f"{target}/scale", keep(1)),
        rule(f"{source}.bias", f"{target}/bias", keep(1)),
    ]


def dense_rules(source: str, target: str) -> list[Rule]:
    """Linear with bias: weight [out, in] -> kernel [in, out]."""
    return [
        rule(f"{source}.weight", f"{target}/kernel", transpose(1, 0)),
        rule(f"{source}.bias", f"{target}/bias", keep(1)),
    ]


def conv_rules(source: str, target: str) -> list[Rule]:
    """Conv2d without bias: weight [out, in, height, width] -> kernel [height, width, in, out]."""
    return [rule(f"{source}.weight", f"{target}/kernel", transpose(2, 3, 1, 0))]


def batch_norm_rules(source: str, target: str) -> list[Rule]:
    """BatchNorm with its running statistics: -> scale, bias, mean, var."""
    return [
        *norm_rules(source, target),
        rule(f"{source}.running_mean", f"{target}/mean", keep(1)),
        rule(f"{source}.running_var", f"{target}/var", keep(1)),
    ]
