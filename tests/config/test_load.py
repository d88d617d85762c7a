"""Configs by name and by path, from any folder, with settings laid over them."""

import pytest

from mdmf_jax.config.config import from_config_dict
from mdmf_jax.config.defaults import get_config
from mdmf_jax.config.load import load_config, packaged_configs
from mdmf_jax.errors import ConfigError

NAMES = ["common", "demo", "hmdb51", "kinetics100", "people", "ssv2_full", "ssv2_small", "ucf101"]


def test_packaged_configs_are_found_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert list(packaged_configs()) == NAMES
    config = load_config("hmdb51:shot=5,method=trx")
    assert (config.episode.shot, config.method, config.data.protocol) == (5, "trx", "hmdb51_arn")
    assert config.train.optimizer == "sgd"


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_does_the_same(name, tmp_path, monkeypatch, repository):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text((repository / f"configs/{name}.py").read_text())
    expected = load_config(f"{name}:shot=5")
    assert load_config(f"{tmp_path}/mine.py:shot=5") == load_config("mine.py:shot=5") == expected


def test_without_overrides_it_is_what_the_file_says():
    assert load_config("common") == from_config_dict(get_config())


def test_overrides_of_every_type():
    config = load_config(
        "demo",
        [
            "--config.train.steps=10",
            "--config.train.learning_rate=1",
            "--config.encoder.path=",
            "--config.eval.shots=(1, 3)",
            "--config.train.freeze=('^encoder/','x')",
            "--config.data.jitter",
            "--noconfig.data.cache",
            "--config.data.workers",
            "3",
            "--config.data.left_right",
            "False",
            "eval.way=4",
            "--config.seed=9",
            "--config.seed=8",
            "--config.encoder.normalise=none",
        ],
    )
    assert (config.train.steps, config.train.learning_rate) == (10, 1.0)
    assert config.encoder.path == "" and config.encoder.normalise == "none"
    assert config.eval.shots == (1, 3) and config.train.freeze == ("^encoder/", "x")
    assert (config.data.jitter, config.data.cache, config.data.workers) == (True, False, 3)
    assert (config.data.left_right, config.eval.way, config.seed) == (False, 4, 8)


def test_none_where_the_variant_decides():
    text = "kinetics100:method=clip_fsar"
    assert load_config(text).data.flip is True
    assert load_config(f"{text},variant=reference", ["--config.data.flip=None"]).data.flip is False
    with pytest.raises(ConfigError, match="train.steps is 'None'; it must be of type int"):
        load_config(text, ["--config.train.steps=None"])


def test_settings_after_the_colon_win():
    text = "demo:method=mdmf,matcher=tuples,tuples.levels=(1,2),tuples.counts=(3,2),mdmf.heads=2"
    config = load_config(text, ["--config.tuples.levels=(1,3)", "--config.mdmf.depth=2"])
    assert config.sections["tuples"].levels == (1, 2)
    assert (config.head.matcher, config.head.heads, config.head.depth) == ("tuples", 2, 2)


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("hmdb52", [], f"config 'hmdb52' is unknown; give a file, or one of {', '.join(NAMES)}"),
        ("absent.py", [], "config file 'absent.py' does not exist; try --config=demo"),
        ("configs/ucf101.py", [], "'configs/ucf101.py' does not exist; try --config=ucf101"),
        ("demo:shoot=5", [], "config argument 'shoot=5' is unknown; known: variant=..."),
        ("demo:encoder=clap", [], "unknown encoder 'clap'; known: clip"),
        ("demo:train.stpes=5", [], "did you mean train.steps?"),
        ("demo", ["--config.trian.steps=3"], "unknown setting trian (did you mean train?)"),
        ("demo", ["--config.train.stpes=3"], "known in train: average, beta1, beta2"),
        ("demo", ["--config.seed.x=3"], "unknown setting seed.x"),
        ("demo", ["--config.train=3"], "train is a section; set one of its settings"),
        ("demo", ["--config.train.steps=many"], "--config.train.steps=many: train.steps is 'many'"),
        ("demo", ["--config.data.cache=maybe"], "--config.data.cache=maybe: data.cache is 'maybe'"),
        ("demo", ["--config.train.steps"], "--config.train.steps has no value"),
        ("demo", ["--config.train.steps", "--config.seed=1"], "--config.train.steps has no value"),
        ("demo", ["--config.train.steps=-1"], "train.steps is -1; it must be at least 0"),
        ("demo", ["--config.method=tsm"], "unknown method 'tsm'; known: clip_fsar, "),
        ("demo", ["--config.eval.split=all"], "eval.split is 'all'; known: train, val, test"),
    ],
)
def test_mistakes_are_one_line(tmp_path, monkeypatch, text, overrides, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        load_config(text, overrides)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x = 1\nraise ValueError('no\\nluck')", "mine.py, line 2: ValueError: no luck"),
        ("def get_config(arg)\n", "mine.py, line 1: SyntaxError: expected ':'"),
        ("x = 1", "mine.py: has no function get_config"),
        ("def get_config():\n    return 3", "get_config returns int; it must be a ConfigDict"),
        (
            "from mdmf_jax.config import defaults\ndef get_config(arg):\n"
            "    config = defaults.get_config()\n    config.trian.steps = 3\n    return config\n",
            "mine.py, line 4: AttributeError: ",
        ),
        (
            "from mdmf_jax.config import defaults\ndef get_config(arg):\n"
            "    config = defaults.get_config()\n    config.train.stpes = 3\n    return config\n",
            "unknown setting train.stpes (did you mean train.steps?)",
        ),
        (
            "from mdmf_jax.config import defaults\n"
            "def get_config(arg):\n    return defaults.get_config('shot=x')\n",
            "config argument 'shot=x': 'x' is not of type int",
        ),
    ],
)
def test_errors_of_a_file_are_its_own(tmp_path, content, message):
    (tmp_path / "mine.py").write_text(content)
    with pytest.raises(ConfigError) as error:
        load_config(f"{tmp_path}/mine.py")
    assert message in str(error.value) and "\n" not in str(error.value)


def test_an_argument_for_a_file_that_takes_none(tmp_path):
    (tmp_path / "mine.py").write_text(
        "from mdmf_jax.config.defaults import get_config as defaults\n"
        "def get_config():\n    return defaults()\n"
    )
    assert load_config(f"{tmp_path}/mine.py") == load_config("common")
    with pytest.raises(ConfigError, match="takes no argument, but 'shot=5' is given"):
        load_config(f"{tmp_path}/mine.py:shot=5")
