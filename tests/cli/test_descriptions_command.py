"""`mdmf descriptions`."""

import json

from mdmf_jax.cli.main import main


def test_write_fill_and_check(tmp_path, capsys):
    out = str(tmp_path / "bank.json")
    assert main(["descriptions", "template", "hmdb51_arn", f"--out={out}", "--texts=2"]) == 0
    assert "51 classes with 2 empty texts each" in capsys.readouterr().out
    bank = json.loads((tmp_path / "bank.json").read_text())
    assert set(bank) == {"train", "val", "test"} and bank["train"]["brush hair"] == ["", ""]
    assert main(["descriptions", "check", out, "hmdb51_arn"]) == 2
    assert "has no texts for 51 of 51 classes" in capsys.readouterr().err
    for part in bank.values():
        for name in part:
            part[name] = [f"somebody is seen to {name}", ""]
    (tmp_path / "bank.json").write_text(json.dumps(bank | {"test": bank["test"] | {"fly": ["x"]}}))
    assert main(["descriptions", "check", out, "hmdb51_arn"]) == 0
    said = capsys.readouterr().out
    assert "1 to 1 texts for each of 51 classes" in said and "not in hmdb51_arn: fly" in said


def test_mistakes(tmp_path, capsys):
    out = tmp_path / "bank.json"
    out.touch()
    for arguments, message in (
        (["template", "demo", f"--out={out}"], "exists already; give another --out"),
        (["template", "demo", f"--out={out}2", "--texts=0"], "--texts is 0; it must be at least 1"),
        (["template", "hmdb", f"--out={out}2"], "protocol 'hmdb' is unknown"),
    ):
        assert main(["descriptions", *arguments]) == 2
        assert message in capsys.readouterr().err
