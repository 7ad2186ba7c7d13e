"""``livingdrug export``: to the screen and to files, which are never written over unasked."""

import pytest

from livingdrug.cli import app
from livingdrug.cli.export import export
from livingdrug.exports import FORMATS, export_model
from livingdrug.library import load_model


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    if export not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, export))


@pytest.mark.parametrize("to", ["mrgsolve", "rxode2", "nonmem", "mlxtran", "latex", "markdown"])
def test_it_prints_the_text(command, to):
    answer = command("export", "stein2019", "--to", to)
    assert answer.code == 0
    assert answer.err == ""
    assert answer.out == export_model(load_model("stein2019"), to)


def test_it_writes_a_file_and_keeps_an_existing_one(command, tmp_path):
    path = tmp_path / "model.ctl"
    assert command("export", "kimmel2021", "--to", "nonmem", "-o", path).code == 0
    first = path.read_text(encoding="utf-8")
    refused = command("export", "kimmel2021", "--to", "nonmem", "-o", path, "--set", "kill_rate=1.5")
    assert refused.code == 2
    assert "--force" in refused.err
    assert path.read_text(encoding="utf-8") == first
    assert command("export", "kimmel2021", "--to", "nonmem", "-o", path, "--set", "kill_rate=1.5", "--force").code == 0
    assert path.read_text(encoding="utf-8") != first


def test_json_tells_what_was_written(command, tmp_path):
    path = tmp_path / "model.R"
    answer = command("export", "kimmel2021", "--to", "rxode2", "--preset", "code", "-o", path, "--json").json
    assert answer == {"model": "kimmel2021", "format": "rxode2", "file": str(path), "text": None}
    printed = command("export", "kimmel2021", "--to", "rxode2", "--preset", "code", "--json").json
    assert printed["text"] == path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("kimmel2012", "--to", "nonmem"), "'kimmel2021'"),
        (("kimmel2021", "--to", "nonmen"), "'nonmem'"),
        (("kimmel2021",), "--to"),
        (("nothing.xml", "--to", "nonmem"), "nothing.xml"),
        (("kimmel2021", "--to", "nonmem", "--preset", "cod"), "'code'"),
        (("kimmel2021", "--to", "nonmem", "--set", "kill_rat=1"), "'kill_rate'"),
        (("kimmel2021", "--to", "nonmem", "--set", "kill_rate"), "NAME=VALUE"),
        (("kimmel2021", "--to", "nonmem", "--set", "kill_rate=fast"), "1/day"),
        (("kimmel2021", "--to", "nonmem", "--set", "kill_rate=-1"), "kill_rate"),
        (("kimmel2021", "--to", "nonmem", "-o", "."), "folder"),
    ],
)
def test_wrong_input_is_told_in_one_message(command, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    answer = command("export", *words)
    assert answer.code == 2
    assert answer.out == ""
    assert named in answer.err
    assert "Traceback" not in answer.err
    assert not list(tmp_path.iterdir())


def test_an_sbml_file_is_read_first(command, tmp_path):
    pytest.importorskip("libsbml")
    path = tmp_path / "model.xml"
    assert command("export", "stein2019", "--to", "sbml", "-o", path).code == 0
    answer = command("export", path, "--to", "rxode2")
    assert answer.code == 0, answer.err
    assert "d/dt(effector) <- " in answer.out


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("def (", "line 1: not Python"),
        ("x = 1\nraise ValueError('no such thing')", "line 2: the file cannot be run: ValueError: no such thing"),
        ("import sys\nsys.exit(3)", "line 2: the file cannot be run: SystemExit: 3"),
        ("x = 1", "declares no model"),
    ],
)
def test_a_mistake_in_the_file_of_a_model_is_the_files(command, tmp_path, text, named):
    path = tmp_path / "mine.py"
    path.write_text(text)
    answer = command("export", path, "--to", "sbml")
    assert answer.code == 2
    assert named in " ".join(answer.err.split())
    assert "defect" not in answer.err


def test_help_lists_the_formats(command):
    shown = command("export", "--help").out
    assert all(name in shown for name in FORMATS)
