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
