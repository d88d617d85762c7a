"""AdamW with groups and a cosine, against three steps of TS-FSAR's published training.

The parameters must follow from the stored gradients; see tests/parity/ts_fsar/README.md.
"""

import json
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax
import pytest

from mdmf_jax.training.optimizer import make_optimizer, rate_schedule

PARITY = Path(__file__).parents[1] / "parity"
CASE = json.loads((PARITY / "ts_fsar/train_three_steps.json").read_text())
ARRAYS = dict(np.load(PARITY / "ts_fsar/train_three_steps.npz"))
SETTINGS = CASE["optimiser"]
BASE = SETTINGS["base"]["head"]
# As the published code: by substring of the name, the first that matches.
NAMES = {"Linear|up_linear|up_ln": "head", "side": "side", "generator": "generator"}
GROUPS = tuple(
    f"{pattern}:rate={SETTINGS['base'][group] / BASE}"
    for pattern, group in (NAMES | {"Adapter": "adapter"}).items()
)
SCHEDULE = {"cosine_steps": SETTINGS["total_steps"], "lag": 1}


@pytest.fixture(scope="module")
def start():
    sys.path.insert(0, str(PARITY))
    from synth import state_dict

    sys.path.pop(0)
    whole = state_dict(
        json.loads((PARITY / "ts_fsar" / CASE["params"]).read_text()), seed=CASE["seed"]
    )
    names = [name.removeprefix("grad/step0/") for name in ARRAYS if name.startswith("grad/step0")]
    return {name: jnp.asarray(whole[name]) for name in names}


def test_three_steps(start):
    optimizer = make_optimizer(
        BASE,
        kind="adamw",
        betas=tuple(SETTINGS["betas"]),
        epsilon=SETTINGS["eps"],
        weight_decay=SETTINGS["weight_decay"],
        groups=GROUPS,
        **SCHEDULE,
    )
    params, state = start, optimizer.init(start)
    assert len(params) == 9
    for step in range(3):
        gradients = {name: jnp.asarray(ARRAYS[f"grad/step{step}/{name}"]) for name in params}
        updates, state = optimizer.update(gradients, state, params)
        params = optax.apply_updates(params, updates)
        for name, ours in params.items():
            theirs = ARRAYS[f"param/after{step + 1}/{name}"]
            change = np.abs(theirs - np.asarray(start[name])).max()
            rounding = np.spacing(np.abs(theirs).max())  # of the stored numbers
            error = np.abs(np.asarray(ours) - theirs).max()
            assert error < 1e-3 * change + rounding, (step, name)


def test_rates():
    rates = rate_schedule(BASE, **SCHEDULE)
    expected = [each["head"] for each in CASE["lr_used"]]
    np.testing.assert_allclose([rates(step) for step in range(3)], expected, rtol=1e-6)
