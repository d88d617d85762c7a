"""`mdmf bench` from the command line to its JSON."""

import datetime
import json

import jax
import pytest

from mdmf_jax.bench import encoder, evaluate, head, models, train
from mdmf_jax.bench.environment import duration, three_digits
from mdmf_jax.bench.flops import image_flops
from mdmf_jax.bench.models import model_config
from mdmf_jax.bench.names import ATTENTIONS, MODELS
from mdmf_jax.cli import main as cli
from mdmf_jax.data.protocols.splits import Split
from mdmf_jax.errors import ConfigError
from mdmf_jax.models.encoders.clip.config import CLIPConfig, TextConfig, VisionConfig
from mdmf_jax.models.layers.attention import IMPLEMENTATIONS

pytestmark = pytest.mark.optimised


@pytest.fixture(autouse=True)
def compilation_cache():
    """The command switches the cache off; the tests after these want it."""
    before = jax.config.jax_enable_compilation_cache
    yield
    jax.config.update("jax_enable_compilation_cache", before)


def test_json(tmp_path, capsys):
    file = tmp_path / "new" / "bench.json"
    argv = ["bench", "otam", "--pairs=100", "--repeats=1", "--json", f"--output={file}"]
    assert cli.main(argv) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(file.read_text())
    assert set(printed) == {"date", "versions", "hardware", "load_average", "measurements"}
    assert datetime.datetime.fromisoformat(printed["date"]).tzinfo is not None
    assert printed["versions"]["jax"] == jax.__version__
    assert printed["hardware"]["cpu"] and printed["hardware"]["platform"] == "cpu"
    names = [m["name"] for m in printed["measurements"]]
    assert names == ["otam/forward", "otam/value_and_gradient"]
    for measured in printed["measurements"]:
        assert measured["value"] == pytest.approx(100 / measured["median_seconds"])
        assert (measured["unit"], measured["repeats"]) == ("pairs/s", 1)
        assert measured["settings"]["pairs"] == 100
        assert measured["peak_bytes"] > 100 * 64 * 4


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["nonsense"], "unknown command 'nonsense'; known: encoder,"),
        ([], "the following arguments are required: TARGET"),
        (["otam", "--pairs=0"], "argument --pairs: '0' is not a whole number from 1 on"),
        (["otam", "--model=rn50"], "unknown argument '--model'"),
        (["head", "--method=mdfm"], "unknown method 'mdfm'; known: clip_fsar,"),
        (["head", "--shots=1,x"], "argument --shots: 'x' is not a whole number from 1 on"),
    ],
)
def test_mistakes(argv, message, capsys):
    assert cli.main(["bench", *argv]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error


def test_an_output_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    target = tmp_path / "file" / "bench.json"
    argv = ["bench", "otam", "--pairs=100", "--repeats=1", f"--output={target}"]
    assert cli.main(argv) == 2
    assert f"--output={target}: cannot be written" in capsys.readouterr().err


def test_head_measures_the_forward_pass_and_the_step():
    # A method with parameters that compiles fast.
    name = "cross_transformer"
    measured = head.measure(
        name, shots=(1,), episodes=2, way=2, queries=1, frames=3, width=8, repeats=1
    )
    assert [m.name for m in measured] == [
        f"head/{name}/1shot/forward",
        f"head/{name}/1shot/train_step",
    ]
    assert all(m.value == pytest.approx(2 / m.median_seconds) for m in measured)
    # The step holds Adam's two moments besides the parameters.
    assert measured[1].peak_bytes > 2 * measured[0].peak_bytes


def test_head_of_a_method_without_parameters_has_no_step():
    measured = head.measure(
        "mean_pool", shots=(2,), episodes=2, way=2, queries=1, frames=2, width=8, repeats=1
    )
    assert [m.name for m in measured] == ["head/mean_pool/2shot/forward"]


@pytest.fixture
def tiny_clip(monkeypatch):
    """What "demo" stands for: an image tower of 16 x 16 pixels with one block."""
    vision = VisionConfig(16, 32, 1, 2, image_size=16, patch_size=8)
    config = CLIPConfig(vision, TextConfig(16, 32, 1, 2), 8)
    for module in (encoder, train):
        monkeypatch.setattr(module, "model_config", lambda name: config)
    return config


def test_train_counts_every_frame(tiny_clip):
    (measured,) = train.measure(
        "demo", method="mean_pool", way=2, frames=3, shot=1, queries=1, episodes=2, repeats=1
    )
    assert measured.value == pytest.approx(2 * 4 * 3 / measured.median_seconds)
    assert measured.unit == "frames/s"
    assert measured.flops == 3 * 24 * image_flops(tiny_clip)


def test_encoder_counts_every_image(tiny_clip):
    (measured,) = encoder.measure("demo", batch=3, dtype="bfloat16", repeats=1)
    assert measured.value == pytest.approx(3 / measured.median_seconds)
    assert measured.settings["dtype"] == "bfloat16" and measured.share_of_peak is None
    assert measured.flops == 3 * image_flops(tiny_clip)


def test_names_are_those_of_the_modules_that_use_them():
    assert ATTENTIONS == IMPLEMENTATIONS
    assert all(model_config(name).projection_dim for name in MODELS)


def test_eval_times_two_calls_on_all_episodes():
    split = Split("test", ("a", "b"), ("a", "b"), (("a/1", "a/2"), ("b/1", "b/2", "b/3")))
    # Two calls, each read at its begin and its end: 4 s and 0.5 s.
    readings = iter([0.0, 4.0, 10.0, 10.5])
    first, second = evaluate.measure(
        "mean_pool",
        shots=(1,),
        episodes=10,
        way=2,
        frames=2,
        width=8,
        split=split,
        clock=lambda: next(readings),
    )
    assert (first.median_seconds, second.median_seconds) == (4.0, 0.5)
    assert (first.value, second.value) == (2.5, 20.0)
    assert first.settings["videos"] == 5 and second.name == "eval/mean_pool/1shot/second_call"


def test_a_method_with_features_of_its_own(monkeypatch):
    vision = VisionConfig(8, 8, 12, 1, image_size=8, patch_size=4)
    small = CLIPConfig(vision, TextConfig(8, 8, 1, 1), 16)
    monkeypatch.setattr(models, "published_config", lambda name: small)
    split = Split("test", ("a", "b"), ("a", "b"), (("a/1", "a/2"), ("b/1", "b/2")))
    sizes = {"shots": (1,), "episodes": 2, "way": 2, "frames": 2}
    measured = evaluate.measure("ts_fsar", width=16, split=split, **sizes)
    assert [m.settings["episodes"] for m in measured] == [2, 2]
    with pytest.raises(ConfigError, match="measured with texts of 16, not of 8"):
        evaluate.measure("ts_fsar", width=8, split=split, **sizes)
    with pytest.raises(ConfigError, match="reads features of its own encoder"):
        head.measure("ts_fsar", width=16, shots=(1,), frames=2)


def test_hmdb51_has_its_size():
    split = evaluate.hmdb51_split()
    assert (split.num_videos, len(split.folders), max(split.counts)) == (1292, 10, 232)


@pytest.mark.parametrize(
    ("number", "text"),
    [(5_361_234, "5,360,000"), (543.21, "543"), (99.96, "100.0"), (0.5432, "0.543"),
     (0, "0"), (1, "1.00")],
)  # fmt: skip
def test_three_digits(number, text):
    assert three_digits(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.8671, "1.87 s"), (0.0263, "26.3 ms"), (3.1e-6, "3.10 us"), (4e-9, "4.00 ns")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text
