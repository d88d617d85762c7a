"""`mdmf compare` and `grid` on tiny data, mostly with methods that compile fast."""

import json
import shutil

import numpy as np
import pytest

from mdmf_jax.cli import main as cli
from mdmf_jax.cli.entries import split_name
from mdmf_jax.cli.numbers import ranges
from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.load import load_config, split_text
from mdmf_jax.evaluation.evaluator import Evaluator
from mdmf_jax.runs.published_checkpoint import write_checkpoint
from mdmf_jax.runs.train import make_run

CONFIG = """
from mdmf_jax.config import defaults

def get_config(arg=""):
    config = defaults.get_config()
    config.update_from_flattened_dict({settings!r})
    return defaults.apply_argument(config, arg)
"""
# The library that reads config files still uses it.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")
SIZES = {"split": "test", "way": 2, "shot": 1, "queries": 2, "episodes": 30, "seed": 5}


@pytest.fixture(scope="module")
def small(tiny):
    """Settings of a frozen encoder and a small head."""
    return tiny | {
        "train.freeze": ("^encoder/",),
        "train.steps": 2,
        "cross_transformer.width": 8,
    }


@pytest.fixture(scope="module")
def config_file(small, tmp_path_factory):
    file = tmp_path_factory.mktemp("configs") / "tiny.py"
    file.write_text(CONFIG.format(settings=small))
    return file


@pytest.fixture(scope="module")
def made(small):
    """Runs of the small settings by method, as they begin."""
    from configs import common

    def make(method):
        config = common.get_config()
        config.update_from_flattened_dict(small | {"method": method})
        return make_run(from_config_dict(config))

    return {method: make(method) for method in ("mean_pool", "cross_transformer")}


@pytest.fixture(scope="module")
def run(made, tmp_path_factory):
    """A run's folder with a checkpoint."""
    begun, folder = made["cross_transformer"], tmp_path_factory.mktemp("run") / "ct"
    write_checkpoint(folder, begun.config, begun.trainer.new_state().params, 1)
    return folder


def options(sizes=SIZES):
    return [f"--{name}={value}" for name, value in sizes.items()]


def mean_pool_by_hand(begun, table):
    """Predictions [N, Q] by the cosine of mean frames, in numpy."""
    features = begun.evaluator.features(begun.trainer.new_state().params, "test")
    means = np.asarray(features["frames"]).mean(axis=1)
    predictions = []
    for support, query in zip(table["support"], table["query"], strict=True):
        prototypes, queries = means[support].mean(axis=1), means[query]
        cosine = queries @ prototypes.T
        cosine /= np.linalg.norm(queries, axis=1)[:, None] * np.linalg.norm(prototypes, axis=1)
        predictions.append(cosine.argmax(axis=1))
    return np.array(predictions)


def test_compare_configs_and_a_checkpoint(config_file, run, made, tmp_path, monkeypatch, capsys):
    encoded = []
    original = Evaluator.features

    def features(self, *arguments):
        encoded.append(self.config.method)
        return original(self, *arguments)

    monkeypatch.setattr(Evaluator, "features", features)
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("test red box,test blue box\n")
    argv = [
        "compare",
        f"--config={config_file}:method=mean_pool",
        f"--checkpoint=loaded={run}",
        f"--config={config_file}:method=zero_shot,zero_shot.scale=10.0",
        *options(),
        f"--pairs={pairs}",
        f"--out={tmp_path / 'out'}",
    ]
    assert cli.main(argv) == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    results = json.loads((tmp_path / "out/compare.json").read_text())
    assert encoded == ["mean_pool"]
    assert results["task"] == SIZES
    first, loaded, other = results["entries"]
    assert [one["name"] for one in results["entries"]] == [
        "mean_pool",
        "loaded",
        "zero_shot, zero_shot.scale=10.0",
    ]
    assert other["settings"]["zero_shot"]["scale"] == 10.0
    assert (first["parameters"], first["trained"]) == (0, "not needed")
    assert loaded["parameters"] > 0 and loaded["settings"]["method"] == "cross_transformer"

    begun = made["mean_pool"]
    table = begun.dataset.episodes(*SIZES.values())
    right = mean_pool_by_hand(begun, table) == table["query_labels"]
    assert first["accuracy"] == pytest.approx(right.mean())
    other = made["cross_transformer"]
    second = other.evaluator.evaluate(other.trainer.new_state().params, **SIZES)
    assert loaded["accuracy"] == second["accuracy"]
    difference = loaded["accuracy"] - first["accuracy"]
    assert loaded["difference"]["mean"] == pytest.approx(difference)
    assert set(first["pairs"]["per_class"]) == {"test red box", "test blue box"}
    assert results["pairs"]["baseline"] == "mean_pool"
    for text in ("loaded", "Order pairs", f"{100 * first['accuracy']:.1f}%", "compare"):
        assert text in printed

    page = tmp_path / "out/again"
    again = ["compare", f"--from={tmp_path / 'out/compare.json'}", f"--out={page}"]
    assert cli.main(again) == 0
    for file in page.iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes()


@pytest.mark.slow
def test_training_first_with_several_rates(config_file, tmp_path, capsys):
    argv = [
        "compare",
        f"--config=ct={config_file}:method=cross_transformer",
        f"--config={config_file}:method=mean_pool",
        *options(),
        f"--train={tmp_path / 'runs'}",
        "--learning-rates=1e-3,0.5",
        f"--out={tmp_path / 'out'}",
    ]
    assert cli.main(argv) == 0, capsys.readouterr().err
    assert "step 2/2" in capsys.readouterr().out
    results = json.loads((tmp_path / "out/compare.json").read_text())
    trained, pooled = results["entries"]
    tried = {rate: metrics["accuracy"] for rate, metrics in trained["validation"].items()}
    assert set(tried) == {"0.001", "0.5"}
    best = max(tried.values())
    assert tried[f"{trained['learning_rate']:g}"] == best
    rate = f"{trained['learning_rate']:g}"
    assert (trained["trained"], pooled["trained"]) == (f"2 steps, rate {rate}", "not needed")
    assert trained["parameters"] > 0
    assert {path.name for path in (tmp_path / "runs/ct").iterdir()} == {"rate-0.001", "rate-0.5"}

    assert cli.main(argv) == 0
    assert "step 2/2" not in capsys.readouterr().out
    again = json.loads((tmp_path / "out/compare.json").read_text())
    assert [one["accuracy"] for one in again["entries"]] == [
        one["accuracy"] for one in results["entries"]
    ]


def test_grid(run, made, tmp_path, capsys):
    sizes = {name: SIZES[name] for name in ("split", "queries", "episodes", "seed")}
    argv = ["grid", f"--checkpoint={run}", *options(sizes), f"--out={tmp_path}"]
    assert cli.main([*argv, "--ways=2..3", "--shots=1,2"]) == 0, capsys.readouterr().err
    results = json.loads((tmp_path / "grid.json").read_text())
    assert (results["ways"], results["shots"]) == ([2, 3], [1, 2])
    begun = made["cross_transformer"]
    for cell in results["cells"]:
        task = sizes | {"way": cell["way"], "shot": cell["shot"]}
        expected = begun.evaluator.evaluate(begun.trainer.new_state().params, **task)
        assert cell["accuracy"] == expected["accuracy"]
        assert cell["interval95"] == expected["interval95"]
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {f"grid.{kind}" for kind in ("json", "md", "csv", "png", "svg")}
    printed = capsys.readouterr().out
    assert "3-way 2-shot" in printed and "± " in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ways=2,4"], "test: has 3 classes, so --ways can hold numbers up to 3"),
        ([], "test: has 3 classes, so --ways can hold numbers up to 3"),
        (["--ways=2", "--shots=1..4"], "test: has a class of 4 videos, so with 1 query"),
        (["--ways=1"], "--ways: '1' is wrong"),
        (["--ways=2", "--shots=3..1"], "--shots: '3..1' is wrong"),
        (["--ways=2", "--shots=1..3:0"], "--shots: '1..3:0' is wrong"),
    ],
)
def test_grid_mistakes(run, tmp_path, capsys, arguments, message):
    assert cli.main(["grid", f"--checkpoint={run}", f"--out={tmp_path}", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --config=FILE or --checkpoint=RUN, once for each method"),
        (["--config={file}:method=otam"], "--out is missing"),
        (["--config={file}:method=otam", "--config={file}:method=otam", "--out={out}"],
         "two entries are called 'otam'"),
        (["--config={file}:method=cross_transformer", "--out={out}"],
         "cross_transformer has parameters to train; give --train=DIR"),
        (["--config={file}:method=nothing", "--out={out}"], "unknown method 'nothing'"),
        (["--config={file}:otam.smooth=1", "--out={out}"], "unknown setting otam.smooth"),
        (["--config={file}:method=otam", "--out={out}", "--way=1"], "'1' is not a whole number"),
        (["--config={file}:method=otam", "--out={out}", "--way=4"], "has 3 classes"),
        (["--config={file}:method=otam", "--out={out}", "--pairs=order"], "'Y then X'"),
        (["--config={file}", "--out={out}", "--learning-rates=1e-3"], "give --train=DIR as well"),
        (["--config={file}", "--out={out}", "--train=x", "--learning-rates=a"], "1e-3,3e-4"),
        (["--from={out}/x.json"], "--from=FILE goes with --out or --page"),
        (["--checkpoint={out}/x", "--out={out}"], "no such folder"),
    ],
)  # fmt: skip
def test_compare_mistakes(config_file, tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    given = [text.format(file=config_file, out=out) for text in arguments]
    assert cli.main(["compare", *given]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("trx=configs/x.py:method=trx", ("trx", "configs/x.py:method=trx")),
        ("configs/x.py:method=trx", ("", "configs/x.py:method=trx")),
        ("my run=runs/a=b", ("my run", "runs/a=b")),
        ("runs/a=b", ("", "runs/a=b")),
    ],
)
def test_names_of_entries(text, expected):
    assert split_name(text) == expected


def test_settings_of_one_entry_may_be_tuples(config_file):
    text = f"{config_file}:method=trx,trx.cardinalities=(1,3),trx.width=8"
    config = load_config(text, ["--config.trx.width=4", "--config.seed=3"])
    assert split_text(text)[2] == ["trx.cardinalities=(1,3)", "trx.width=8"]
    assert (config.head.cardinalities, config.head.width, config.seed) == ((1, 3), 8, 3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("5", (5,)), ("2..4,9", (2, 3, 4, 9)), ("5..20:5", (5, 10, 15, 20)), ("3,2,3", (2, 3))],
)
def test_lists_of_numbers(text, expected):
    assert ranges(text, "--ways", 2) == expected


@pytest.mark.parametrize(
    ("removed", "message"),
    [
        (
            "test_red_box/3.mp4",
            "otam and b have different videos in the test split (12 and 11; for ",
        ),
        (
            "test_red_box",
            "otam and b have different classes in the test split (3 and 2; for example",
        ),
    ],
)
def test_other_videos_are_refused(config_file, videos, tmp_path, capsys, removed, message):
    other, out = tmp_path / "videos", tmp_path / "out"
    shutil.copytree(videos, other)
    gone = other / "test" / removed
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    one, two = f"{config_file}:method=otam", f"b={config_file}:method=otam,data.root={other}"
    assert cli.main(["compare", f"--config={one}", f"--config={two}", f"--out={out}"]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not out.exists()


def test_pairs_know_no_groups():
    from types import SimpleNamespace

    from mdmf_jax.errors import ConfigError
    from mdmf_jax.runs.compare import make_plan

    config = SimpleNamespace(data=SimpleNamespace(groups="groups.csv"))
    with pytest.raises(ConfigError, match="draws episodes without groups"):
        make_plan([config], ["a"], SimpleNamespace(), "order")
