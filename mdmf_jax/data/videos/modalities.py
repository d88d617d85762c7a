"""The modalities by name. A new one is a file beside this and a line here."""

from collections.abc import Sequence

from mdmf_jax.data.videos.dense import Dense
from mdmf_jax.data.videos.modality import Modality
from mdmf_jax.errors import ConfigError


class Rgb(Modality):
    """The frames as they are shown."""

    recoloured = True


RGB = "rgb"  # always read: its size is that of all modalities
MODALITIES: dict[str, Modality] = {RGB: Rgb(), "dense": Dense()}


def find_modalities(names: Sequence[str]) -> dict[str, Modality]:
    """The modalities with these names, in this order.

    Raises:
      ConfigError: none is named, or one is unknown.
    """
    if not names:
        raise ConfigError("no modality is named; the encoder must name one at least, such as rgb")
    for name in names:
        if name not in MODALITIES:
            raise ConfigError(f"modality {name!r} is unknown; known: {', '.join(MODALITIES)}")
    return {name: MODALITIES[name] for name in names}
