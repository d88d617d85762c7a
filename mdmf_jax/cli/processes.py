"""Flags of commands that several processes can run together, on one host or many."""

import argparse

from mdmf_jax.cli.numbers import whole


def add_processes(parser: argparse.ArgumentParser) -> None:
    """Adds --coordinator, --num_processes and --process_id."""
    parser.add_argument(
        "--coordinator",
        metavar="HOST:PORT",
        help="several processes: address of the first, or 'auto' where JAX can find it by itself",
    )
    parser.add_argument("--num_processes", type=whole(1), metavar="N", help="how many processes")
    parser.add_argument(
        "--process_id", type=whole(0), metavar="I", help="which of them this is, from 0"
    )


def join_processes(options: argparse.Namespace) -> None:
    """Joins the others, if there are any; must come before anything that uses a device.

    Raises:
      ConfigError: the flags do not fit each other, or the others cannot be found.
    """
    from mdmf_jax.training import distributed

    cluster = distributed.cluster_of(options.coordinator, options.num_processes, options.process_id)
    distributed.start(cluster)
