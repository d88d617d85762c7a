"""One of several processes that train together; started by test_processes.py."""

import json
import sys
from pathlib import Path

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.runs.train import train_and_evaluate
from mdmf_jax.training import distributed


def main(settings: str, folder: str, coordinator: str, count: str, number: str) -> None:
    distributed.start(distributed.cluster_of(coordinator, int(count), int(number), {}))
    config = from_config_dict(json.loads(Path(settings).read_text(encoding="utf-8")))
    results, history = train_and_evaluate(config, folder)
    report = {"history": history, "test": results["test"]}
    Path(folder, f"process{number}.json").write_text(json.dumps(report), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
