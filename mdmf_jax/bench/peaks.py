"""Published peak speed of accelerators in bfloat16, dense, for one device as JAX counts them.

Sources, all of the makers: NVIDIA's data sheets "A100 Tensor Core GPU" (312 TFLOP/s), "H100
Tensor Core GPU" (SXM 989.4, PCIe 756, NVL 835; the sheet gives twice that, with sparsity) and
"H200 Tensor Core GPU" (SXM 989.4, NVL 835; likewise); Google Cloud's TPU documentation, pages
"TPU v4" (275), "TPU v5e" (197), "TPU v5p" (459) and "TPU v6e" (918), each for a chip.
"""

TERA = 1e12

# The first name that the device kind begins with decides, so longer names stand first.
PEAKS: tuple[tuple[str, float], ...] = (
    ("NVIDIA H200 NVL", 835.0 * TERA),
    ("NVIDIA H200", 989.4 * TERA),
    ("NVIDIA H100 PCIe", 756.0 * TERA),
    ("NVIDIA H100 NVL", 835.0 * TERA),
    ("NVIDIA H100", 989.4 * TERA),
    ("NVIDIA A100", 312.0 * TERA),
    ("TPU v4 lite", 0.0),
    ("TPU v4", 275.0 * TERA),
    ("TPU v5 lite", 197.0 * TERA),
    ("TPU v5e", 197.0 * TERA),
    ("TPU v5p", 459.0 * TERA),
    ("TPU v5", 459.0 * TERA),
    ("TPU v6 lite", 918.0 * TERA),
    ("TPU v6e", 918.0 * TERA),
)


def peak_flops(device_kind: str, dtype: str) -> float | None:
    """Floating point operations a second that a device is said to reach.

    Args:
      device_kind: as JAX names it, such as "NVIDIA H200" or "TPU v5 lite".
      dtype: of the computation. Only "bfloat16" has a figure: in float32 it depends on the
        precision that matrix products are allowed, so a share of it would say little.

    Returns:
      None for a device or a dtype without a published figure, CPUs among them.
    """
    if dtype != "bfloat16":
        return None
    for name, peak in PEAKS:
        if device_kind.startswith(name):
            return peak or None
    return None
