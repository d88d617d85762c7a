"""What each deviation from the published code does to the demo's accuracy.

    python benchmarks/deviations.py --workdir=runs/deviations

Trains the demo once as it is (variant=corrected), once for each switch with only that switch
set as the published code has it, and once with variant=reference; tests all on the same
episodes of the test classes; writes deviations.json and deviations.md with paired 95%
intervals. A run that was stopped goes on where it was.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

sys.path.insert(0, str(Path(__file__).parents[1]))

from configs import demo  # noqa: E402
from mdmf_jax import files  # noqa: E402
from mdmf_jax.comparison.statistics import paired_difference  # noqa: E402
from mdmf_jax.comparison.tables import signed  # noqa: E402
from mdmf_jax.config.config import Config, from_config_dict  # noqa: E402
from mdmf_jax.config.variants import switch_values  # noqa: E402
from mdmf_jax.evaluation.metrics import interval95  # noqa: E402
from mdmf_jax.evaluation.provenance import hardware, versions  # noqa: E402
from mdmf_jax.runs.train import make_run, train  # noqa: E402

PUBLISHED = switch_values("reference", "mdmf", "clip")
# Switches that change nothing for CLIP-MDMF with OTAM.
WITHOUT_EFFECT = ("tuples.",)


def configuration(switch: str, arguments: argparse.Namespace) -> Config:
    """The demo with one switch as published; "corrected" and "reference" name the variants."""
    config = demo.get_config()
    config.train.steps = arguments.steps
    config.seed = arguments.seed
    if switch in ("corrected", "reference"):
        config.variant = switch
        if switch == "reference":
            config.data.flip = True
    else:
        section, name = switch.split(".")
        config[section][name] = PUBLISHED[switch]
    return from_config_dict(config)


def episode_accuracies(config: Config, workdir: Path, arguments: argparse.Namespace) -> list:
    """Trains, and returns the accuracy of every test episode [N]."""
    run = make_run(config)
    params, _, _ = train(run, files.path(workdir), Console())
    answers, table = run.evaluator.answers(
        params,
        "test",
        way=5,
        shot=1,
        queries=1,
        episodes=arguments.episodes,
        seed=arguments.seed,
    )
    return (answers["prediction"] == table["query_labels"]).mean(axis=1).tolist()


def markdown(results: dict[str, list]) -> str:
    """A table of accuracies and of paired differences to the corrected variant, in percent."""
    base = np.array(results["corrected"])
    lines = ["| as published | accuracy | difference |", "|---|---|---|"]
    for name, accuracies in results.items():
        mean, width = 100 * np.mean(accuracies), 100 * interval95(np.array(accuracies))
        shown = signed(paired_difference(accuracies, base))
        label = {"corrected": "nothing", "reference": "everything"}.get(name, f"`{name}`")
        lines.append(f"| {label} | {mean:.1f} ± {width:.1f} | {shown} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workdir", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=demo.get_config().train.steps)
    parser.add_argument("--episodes", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    results = {}
    own = [name for name in PUBLISHED if not name.startswith(WITHOUT_EFFECT)]
    for switch in ("corrected", *own, "reference"):
        workdir = arguments.workdir / switch
        done = workdir / "accuracies.json"
        if not done.exists():
            print(f"== {switch}", flush=True)
            config = configuration(switch, arguments)
            files.write_json(done, episode_accuracies(config, workdir, arguments))
        results[switch] = json.loads(done.read_text())
    facts = {"steps": arguments.steps, "seed": arguments.seed, "episodes": arguments.episodes}
    facts |= {"versions": versions(), "hardware": hardware()}
    files.write_json(arguments.workdir / "deviations.json", facts | {"accuracies": results})
    (arguments.workdir / "deviations.md").write_text(markdown(results))
    print(markdown(results))


if __name__ == "__main__":
    main()
