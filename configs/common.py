"""Every setting with its default, as the fields of the options say; see docs/settings.md.

    mdmf train --config=common --workdir=runs/mine \
        --config.encoder.path=CLIP_FOLDER --config.data.root=VIDEO_FOLDER

An argument after the name sets the settings that people change most:
`--config=common:shot=5,variant=reference`.
"""

from ml_collections.config_dict import ConfigDict

from mdmf_jax.config import defaults

# For config files of version 0.1.0, which called it here; for one version.
apply_argument = defaults.apply_argument


def get_config(arg: str = "") -> ConfigDict:
    """The default settings. None means: as the variant says."""
    return defaults.get_config(arg)
