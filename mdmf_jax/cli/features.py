"""`mdmf features`: encode the videos of a split ahead of evaluations."""

import argparse

from mdmf_jax.cli.settings import add_config, config_of
from mdmf_jax.cli.task import add_moved, add_split, task_of
from mdmf_jax.errors import ConfigError

SUMMARY = "Encode the videos of a split and store their features for later evaluations."
DETAILS = """\
examples:
  mdmf features --checkpoint runs/mine
  mdmf features --config hmdb51 --shard 3 --num-shards 8

With shards each call encodes its own videos only, on any machine that sees the cache folder
(--config.eval.feature_cache=DIR); evaluations find all of them together. What is there already is
not encoded again, so that a job can be repeated.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add = parser.add_argument
    add("--checkpoint", metavar="RUN", help="a run's folder (its best checkpoint) or one in it")
    add_config(parser, "packaged config or config file: encode with the encoder as it is")
    add_split(parser, "by default as in the config")
    add("--shard", type=int, default=0, metavar="I", help="number of the shard, from 0 (0)")
    add("--num-shards", type=int, default=1, metavar="N", help="number of shards (1)")
    add_moved(parser)
    add("--cache", metavar="DIR", help="folder of the features, instead of eval.feature_cache")


def run(options: argparse.Namespace) -> None:
    """Encodes what is missing and says where it is.

    Raises:
      UserError: a setting, the checkpoint, the CLIP or the videos are wrong, or the cache
          folder cannot be written to.
    """
    if (options.checkpoint is None) == (options.config is None):
        raise ConfigError("give either --checkpoint=RUN or --config=FILE")
    if options.checkpoint and options.settings:
        raise ConfigError(f"{options.settings[0]}: a checkpoint has settings of its own")
    if not 0 <= options.shard < options.num_shards:
        raise ConfigError(
            f"--shard is {options.shard}; it must be 0 to {options.num_shards - 1} (--num-shards)"
        )

    opened = _opened(options)
    settings = opened.config.eval
    if settings.feature_cache == "off":
        raise ConfigError("eval.feature_cache is off; set it to a folder, or give --cache=DIR")
    split = options.split or settings.split
    features = opened.evaluator.stored_features(
        opened.params, split, options.shard, options.num_shards
    )
    total = opened.dataset.splits[split].num_videos
    done = "all are stored" if len(features) else "other shards are missing"
    print(f"{split}: shard {options.shard} of {options.num_shards}, {total} videos in all; {done}")


def _opened(options: argparse.Namespace):
    """The model, its data and its parameters."""
    from mdmf_jax.evaluation.opened import open_checkpoint, open_untrained
    from mdmf_jax.evaluation.task import adapted
    from mdmf_jax.runs.evaluate import with_feature_cache

    task, config = task_of(options), config_of(options)
    if config is None:
        opened = open_checkpoint(options.checkpoint, task)
    else:
        opened = open_untrained(adapted(config, task))
    return with_feature_cache(opened, options.cache) if options.cache else opened
