"""Every parity case in this folder, as `python tests/parity/check.py` runs them."""

import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import check  # noqa: E402
import mdmf_case  # noqa: E402

pytestmark = pytest.mark.optimised
FOLDERS = ("heads", "mdmf", "ts_fsar", "d2st_adapter", "task_adapter_pp", "clip_spm", "emp_net")
CASES = check.find_cases([HERE / folder for folder in FOLDERS])
# Of the larger kinds these are quick. The others are slow tests; `make parity` runs all.
QUICK = {
    "mdmf": (
        "rn50_eval_5way_1shot",
        "vit_eval_5way_1shot",
        "vit_eval_5way_5shot",
        "vit_eval_depth2",
        "vit_eval_no_pps",
        "vit_eval_single_direction",
        "vit_train_5way_1shot",
        "vit_train_forced_prompts",
    ),
    "clip_spm": ("vit_eval_5way_1shot",),
    "d2st_adapter": ("grid_sample_inside_and_outside", "vit_eval_5way_1shot"),
    "emp_net": ("eval_5way_1shot",),
    "task_adapter_pp": ("eval_5way_1shot",),
    "ts_fsar": ("eval_5way_1shot", "init_from_clip", "text_bank"),
}


def test_cases_are_found():
    assert len(CASES) >= 28 + 44


def marked(path):
    slow = path.stem not in QUICK.get(path.parent.name, (path.stem,))
    return pytest.param(path, marks=pytest.mark.slow if slow else ())


@pytest.mark.parametrize("settings", [marked(case) for case in CASES], ids=lambda path: path.stem)
def test_agrees_with_the_published_code(settings):
    rows = list(check.check(settings))
    assert rows
    failed = [
        f"{row.quantity}: {row.error:.1e} > {row.tolerance:.0e}" for row in rows if not row.passed
    ]
    assert not failed, "; ".join(failed)


def test_a_wrong_value_is_noticed():
    expected = np.array([1.0, 2.0, 4.0])
    assert check.relative_error(expected, expected) == 0
    assert check.relative_error(expected + [0, 0, 1e-3], expected) == pytest.approx(2.5e-4)
    assert check.relative_error(expected[:2], expected) == float("inf")
    assert check.relative_error(expected * np.nan, expected) == float("inf")


@pytest.mark.parametrize(
    ("case", "factor"),
    [
        ({"case": {"backbone": "RN50", "mode": "eval"}, "seed": 1}, 10),
        ({"case": {"backbone": "ViT-B/16", "mode": "eval"}, "seed": 1}, 1),
        ({"layout": "openai", "kind": "rn"}, 10),
        ({"layout": "openai", "kind": "vit"}, 1),
        ({"layout": "huggingface", "config": {}}, 1),
        ({"smoothing": 0.5, "seed": 0}, 1),
    ],
)
def test_a_resnet_may_be_further_off(case, factor):
    assert check.tolerance_factor(case) == factor


@pytest.mark.parametrize("name", ["{}_proj", "proj_{}"])
def test_the_biases_of_an_attention_share_a_scale(name):
    names = [f"grad/pool.{name.format(letter)}.bias" for letter in "qkv"]
    expected = dict(zip(names, np.array([[2e-3], [1e-7], [-5e-2]]), strict=True))
    expected |= {"grad/pool.k_proj.weight": np.array([3.0, -7.0]), "grad/q.bias": np.array([9.0])}
    assert [check.scale(name, expected) for name in expected] == [5e-2, 5e-2, 5e-2, 7, 9]
    assert check.relative_error(np.array([2e-7]), expected[names[1]], 5e-2) == pytest.approx(2e-6)


@pytest.mark.parametrize(
    ("case", "name"),
    [
        ({"backbone": "RN50"}, "params_rn50.json"),
        ({"backbone": "ViT-B/16"}, "params_vit.json"),
        ({"backbone": "ViT-B/16", "depth": 2}, "params_vit_depth2.json"),
    ],
)
def test_the_weights_of_a_case_are_described_beside_it(tmp_path, case, name):
    assert mdmf_case.params_file(tmp_path / "any_case.json", case) == tmp_path / name
