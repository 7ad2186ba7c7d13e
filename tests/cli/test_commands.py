"""Every command: its help, its exit codes, its JSON, and its messages for people who misspell."""

import inspect
import json
import re
import subprocess
import sys

import pandas as pd
import pytest

from livingdrug import cli
from livingdrug.cli.terminal import print_table

COMMANDS = (
    "trial",
    "design",
    "emerge",
    "calibrate",
    "predict",
    "score",
    "scoreboard",
    "fit",
    "data",
    "nca",
    "make",
    "plant",
    "refit",
    "run",
    "grade",
    "models",
    "show",
    "check",
    "analyse",
    "qualify",
    "export",
    "record",
    "report",
    "cite",
)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does(command, name):
    answer = command(name, "--help")
    assert answer.code == 0
    assert answer.err == ""
    first = inspect.getdoc(getattr(cli, name)).splitlines()[0].removesuffix(".")
    assert first in " ".join(answer.out.split())
    assert "--json" in answer.out


def test_every_command_is_one_public_function():
    assert set(cli.__all__) == {*COMMANDS, "main"}
    listed = subprocess.run(
        [sys.executable, "-m", "livingdrug.cli", "--help"], capture_output=True, text=True, check=True
    )
    assert re.findall(r"^  (\w+)  +[A-Z]", listed.stdout.split("Commands:")[1], re.MULTILINE) == list(COMMANDS)


def test_help_loads_nothing_heavy():
    script = """
import sys
from livingdrug.cli import main
try:
    main(["--help"])
except SystemExit:
    heavy = {"numpy", "pandas", "sympy", "pint", "xarray", "pyarrow", "altair", "scipy", "llvmlite", "jinja2"}
    print("loaded:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\n")


def test_version(command):
    assert re.fullmatch(r"livingdrug \d+\.\d+\.\d+\n", command("--version").out)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("trail",), "trial"),
        (("trial", "zuma1"), "'zuma-1'"),
        (("trial", "zuma-1", "--pateints", "5"), "--patients"),
        (("trial", "zuma-1", "--patients", "many"), "neither a whole number nor a file"),
        (("trial", "zuma-1", "--patients", "-5"), "from 1 to"),
        (("trial", "zuma-1", "--patients", "0"), "from 1 to"),
        (("trial", "zuma-1", "--patients", "5", "--seed", "-1"), "--seed"),
        (("trial", "nowhere.toml"), "nowhere.toml"),
        (("run", "kimmel2012"), "'kimmel2021'"),
        (("run", "kimmel2021", "--set", "tumor_growth=1"), "'tumour_growth'"),
        (("run", "kimmel2021", "--set", "tumour_growth"), "NAME=VALUE"),
        (("run", "kimmel2021", "--set", "tumour_growth=fast"), "1/day"),
        (("run", "kimmel2021", "--set", "tumour_growth=nan"), "tumour_growth"),
        (("run", "kimmel2021", "--set", "tumour_growth=-1"), "tumour_growth"),
        (("run", "kimmel2021", "--preset", "cod"), "'code'"),
        (("run", "kimmel2021", "--output", "car_t_bloood"), "'car_t_blood'"),
        (("run", "kimmel2021", "--days", "-3"), "--days"),
        (("run", "kimmel2021", "--days", "inf"), "--days"),
        (("run", "kimmel2021", "--save", "course.xls"), ".csv"),
        (("show", "stien2019"), "'stein2019'"),
        (("cite", "stien2019"), "'stein2019'"),
        (("check", "model.txt"), ".toml"),
        (("check", "nothing.py"), "nothing.py"),
        (("report", "nowhere"), "no run"),
    ],
)
def test_wrong_input_ends_with_2_and_one_clear_message(command, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    answer = command(*words)
    assert answer.code == 2
    assert answer.out == ""
    assert named in answer.err
    assert "Traceback" not in answer.err


def test_wrong_input_is_told_in_json_too(command):
    answer = command("show", "stien2019", "--json")
    assert answer.code == 2
    assert answer.json["error"]["kind"] == "InputError"
    assert answer.json["error"]["message"] in answer.err


def test_debug_shows_the_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "livingdrug.cli", "show", "stien2019", "--debug"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" in done.stderr


def test_a_defect_is_told_without_traceback(command, monkeypatch):
    def broken(name):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("livingdrug.library.load_model", broken)
    answer = command("show", "kimmel2021")
    assert answer.code == 1
    assert "defect" in answer.err
    assert "Traceback" not in answer.err


def test_models_lists_them_all(command):
    from livingdrug.library import model_names

    assert [row["name"] for row in command("models", "--json").json] == model_names()
    assert all(name in command("models").out for name in model_names())


def test_show_describes_a_model(command):
    assert "tumour_growth" in command("show", "kimmel2021").out
    shown = command("show", "kimmel2021", "--json").json
    assert {"name", "states", "parameters", "outputs", "fingerprint"} <= shown.keys()
    assert all(parameter["unit"] for parameter in shown["parameters"])
    assert command("show", "kimmel2021", "--latex").out.startswith(r"\begin{align")


def test_cite_gives_bibtex(command):
    assert command("cite", "kimmel2021").out.startswith("@article{kimmel2021,")
    assert command("cite", "kimmel2021", "--json").json[0]["key"] == "kimmel2021"


def test_run_follows_one_patient(command):
    answer = command("run", "kimmel2021", "--days", "100", "--output", "car_t_blood", "--json").json
    course = answer["course"]
    assert course["day"][0] == 0
    assert course["day"][-1] == 100
    assert 20 < max(course["car_t_blood"]) < 50
    assert answer["units"]["car_t_blood"] == "cell/uL"


def test_run_prints_a_plot_and_a_table_with_units(command):
    answer = command("run", "stein2019", "--days", "100")
    assert answer.code == 0
    assert "Not for clinical use" in answer.out
    assert re.search(r"day +car_t_transgene_blood \[cop(y|ies)/ug\]", answer.out)
    assert "│" in answer.out


def test_a_parameter_changes_the_course(command):
    words = ("run", "kimmel2021", "--days", "50", "-o", "car_t_blood", "--json")
    typical = command(*words).json["course"]["car_t_blood"]
    assert command(*words, "--set", "car_t_at_infusion=3e8").json["course"]["car_t_blood"][1] > typical[1]


@pytest.mark.parametrize("ending", ["csv", "parquet", "html", "svg", "png"])
def test_run_writes_files(command, tmp_path, ending):
    path = tmp_path / f"course.{ending}"
    assert command("run", "kimmel2021", "--days", "100", "--save", path).code == 0
    content = path.read_bytes()
    if ending == "csv":
        assert list(pd.read_csv(path))[:2] == ["time_day", "car_t_blood_cell_per_uL"]
    elif ending == "parquet":
        assert len(pd.read_parquet(path)) > 100
    else:
        assert content.startswith({"html": b"<!doctype html>", "svg": b"<svg", "png": b"\x89PNG"}[ending])


def test_check_accepts_what_is_right(command, small_trial, tmp_path):
    assert command("check", small_trial).code == 0
    model = tmp_path / "own.py"
    model.write_text(
        "from livingdrug.model import *\n\n\nclass Decay(Model):\n"
        '    """One state that decays."""\n\n'
        '    cells = state("cell", "cells", initial=100.0)\n'
        '    loss = parameter(0.5, "1/day", "loss", source="assumed: for a test")\n'
        "    equations = {ddt(cells): -loss * cells}\n"
        '    outputs = {"car_t_total": cells}\n'
    )
    assert command("check", model, "--json").json["right"] is True


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("horizon_days", "horizont_days"), "horizon_days"),
        (("kimmel2021", "kimmel2012"), "kimmel2021"),
        (('unit = "kg"', 'unit = "stone"'), "kg"),
        (("value = 80.0", 'value = "heavy"'), "weight_kg"),
        (("[follow_up]", "[follow_up"), "small.toml"),
    ],
)
def test_check_names_what_is_wrong(command, small_trial, tmp_path, change, named):
    wrong = tmp_path / "small.toml"
    wrong.write_text(small_trial.read_text(encoding="utf-8").replace(*change))
    answer = command("check", wrong)
    assert answer.code == 2
    assert named in answer.err


def test_json_is_json_even_where_numbers_are_missing():
    from livingdrug.cli.terminal import _plain

    assert (
        json.dumps(_plain({"a": float("nan"), "b": [float("inf"), 1]}), allow_nan=False)
        == '{"a": null, "b": [null, 1]}'
    )


def test_a_wide_table_breaks_its_longest_column_into_words(capsys, monkeypatch):
    """In 80 columns a long first column gives way, and the short ones stay on one line."""
    monkeypatch.setenv("COLUMNS", "80")
    rows = [("Enrolled patients who are infused in this trial", "91 %", "90 %", "1 point", "within range")]
    print_table("", ("Endpoint", "Published", "Simulated", "Difference", ""), rows, (1, 2, 3))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 4
    assert "91 %" in lines[1]
