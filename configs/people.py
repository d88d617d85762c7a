"""Generated people who move before walls that say nothing about it; no download, no training.

    mdmf eval --config=people --config.train.steps=0

The encoder of motion that comes with the package, and a method without parameters. Another encoder
or method: `--config=people:method=mean_pool`. Test classes are motions that it never saw.
"""

from ml_collections.config_dict import ConfigDict

from mdmf_jax.config import defaults


def get_config(arg: str = "") -> ConfigDict:
    """Differences to the defaults."""
    config = defaults.get_config("encoder=motion,method=otam")

    config.data.dataset = "people"
    config.data.resize = 96
    config.data.crop = 96
    config.data.pipeline = "clip_fsar"  # the whole picture, as a square
    config.data.left_right = True
    config.data.loader = "threads"  # starts at once; TensorFlow takes seconds to import
    config.data.workers = 2

    config.episode.queries = 3

    config.train.steps = 100
    config.train.learning_rate = 1e-3
    config.train.freeze = ("^encoder/",)
    config.train.validate_every = 25
    config.train.validate_episodes = 200

    config.eval.episodes = 1000
    config.eval.untrained = True
    return defaults.apply_argument(config, arg)
