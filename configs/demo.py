"""The demo: generated videos of moving shapes and the small CLIP that comes with the package.

    mdmf train --config=demo --workdir=runs/demo

It takes a few minutes on two cores and ends with a table of accuracies.
"""

from ml_collections.config_dict import ConfigDict

from mdmf_jax.config import defaults


def get_config(arg: str = "") -> ConfigDict:
    """Differences to the defaults."""
    config = defaults.get_config()
    config.encoder.path = "packaged:demo"
    config.encoder.prompt = "a video of {}"

    config.data.dataset = "demo"
    config.data.resize = 36
    config.data.crop = 32
    config.data.left_right = True
    config.data.cache = True
    config.data.loader = "threads"  # starts at once; TensorFlow takes seconds to import
    config.data.workers = 2

    config.episode.queries = 3

    config.emp_net.top_patches = 4  # a quarter of a frame's patches, as 49 of 196

    config.train.steps = 100
    config.train.learning_rate = 1e-3
    config.train.validate_every = 25
    config.train.validate_episodes = 200

    config.eval.episodes = 1000
    config.eval.untrained = True
    defaults.apply_argument(config, arg)
    if config.encoder.name == "ts_fsar":
        # Its published sizes are those of a CLIP of 12 blocks and 768 channels; this has 4 and 96,
        # fewer than its 128 features, so that their adapter cannot start from it.
        config.encoder.update(side_width=64, temporal_blocks=(1,), start="ladder")
    if config.encoder.name == "task_adapter_pp":
        # Half of the blocks of each tower, of which the published ones have 12.
        config.encoder.update(image_adapted=2, text_adapted=1)
    # The CLIP stays as it is. Other encoders say themselves what of them is trained.
    if config.encoder.name == "clip":
        config.train.freeze = ("^encoder/",)
    return config
