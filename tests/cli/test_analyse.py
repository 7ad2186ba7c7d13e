"""The command ``analyse``: each method, its files, its JSON, and what it refuses."""

import json
from importlib import import_module

import pandas as pd
import pytest

from livingdrug.cli import app

OWN = '''from livingdrug.model import Model, ddt, output, parameter, state


class Decay(Model):
    """One state that decays."""

    loss = parameter(0.5, "1/day", "loss", source="assumed: for a test")
    x = state("1", "amount", initial=8.0)
    equations = {ddt(x): -loss * x}
    outputs = {"amount": output(x, "1", "amount")}
'''
STEIN = "car_t_transgene_blood"


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    """The command is there even before it is among the registered ones."""
    analyse = import_module("livingdrug.cli.analyse").analyse
    if analyse not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, analyse))


def test_sobol(command, tmp_path):
    pytest.importorskip("SALib", reason="global sensitivity needs SALib (the extra 'fit')")
    words = ("analyse", "sobol", "stein2019", "-q", f"max {STEIN}", "--all", "spread", "--runs", 2000, "--seed", 3)
    answer = command(*words, "--json", "-o", tmp_path / "a.csv", "--threads", 2)
    assert answer.code == 0
    assert answer.json["table"][0]["parameter"] == "peak"
    assert answer.json["runs"] == 8 * 128  # the largest power of two of base points, 8 runs each, within 2000
    assert answer.json["files"] == [str(tmp_path / "a.csv")]
    assert pd.read_csv(tmp_path / "a.csv")["first"][0] == answer.json["table"][0]["first"]
    assert command(*words, "--json", "--threads", 1).json["table"] == answer.json["table"]
    other = command(*words[:-1], 4, "--json")
    assert other.json["table"] != answer.json["table"]


def test_local(command):
    answer = command("analyse", "local", "stein2019", "--parameter", "peak", "--days", 20, "--json")
    assert {row["parameter"] for row in answer.json["table"]} == {"peak"}
    assert max(row["time_day"] for row in answer.json["table"]) == 20
    assert all(abs(row["relative"] - 1) < 1e-6 for row in answer.json["table"])


def test_tornado_prints_a_table(command):
    answer = command("analyse", "tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peak=1e4:3e4", "-r", "decline=x2")
    assert answer.code == 0
    assert answer.out.index("peak") < answer.out.index("decline")
    assert "Not for clinical use." in answer.out


def test_plane_of_outcomes_and_of_numbers(command):
    words = ("analyse", "plane", "kimmel2021", "-r", "kill_rate=0.1:3", "-r", "tumour_growth=0.01:0.5:log")
    outcomes = command(*words, "--size", 10, "--response", 0.3, "--json").json
    assert sum(outcomes["shares"].values()) == pytest.approx(1)
    assert "30 %" in outcomes["caption"]
    assert "cure" in command(*words, "--size", 5).out
    numbers = command(*words, "--size", 5, "-q", "max car_t_blood", "--days", 30, "--json").json
    assert len(numbers["table"]) == 25


def test_profile_of_simulated_and_of_measured_data(command, tmp_path):
    simulated = command(
        "analyse",
        "profile",
        "stein2019",
        "--measure",
        f"{STEIN}=1,3,7,14,28",
        "--sd",
        0.2,
        "-r",
        "peak=1e3:1e6",
        "--json",
    )
    assert simulated.json["table"][0]["verdict"] == "identifiable"
    data = tmp_path / "data.csv"
    data.write_text(f"time_day,output,value,sd\n9.3,{STEIN},30000,0.2\n")
    measured = command("analyse", "profile", "stein2019", "--data", data, "-r", "peak=1e3:1e6", "--json").json
    assert measured["table"][0]["best"] == pytest.approx(30000, rel=1e-4)


def test_a_model_of_ones_own(command, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    answer = command(
        "analyse", "tornado", path, "-q", "amount at 2", "-r", "loss=0.1:1", "--set", "loss=0.25", "--json"
    )
    assert answer.json["typical"] == pytest.approx(8 * 2.718281828459045**-0.5, rel=1e-5)


def test_files_are_not_overwritten_without_force(command, tmp_path):
    path = tmp_path / "a.json"
    path.write_text("mine")
    words = ("analyse", "tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peak=1e4:3e4", "-o", path)
    assert command(*words).code == 2
    assert path.read_text(encoding="utf-8") == "mine"
    assert command(*words, "--force").code == 0
    assert json.loads(path.read_text(encoding="utf-8"))["model"] == "stein2019"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("sobl", "stein2019"), "'sobol'"),
        (("tornado", "stien2019"), "'stein2019'"),
        (("tornado", "nothing.py"), "nothing.py"),
        (("tornado", "stein2019"), "--quantity"),
        (("tornado", "stein2019", "-q", f"max {STEIN}"), "--range"),
        (("tornado", "stein2019", "-q", "max car_t_transgen_blood", "--all", "x2"), "'car_t_transgene_blood'"),
        (("tornado", "stein2019", "-q", "biggest", "--all", "x2"), "max OUTPUT"),
        (("tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peek=1:2"), "'peak'"),
        (("tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peak=2:1"), "must lie below"),
        (("tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peak=-1:1"), "limits"),
        (("tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peak"), "NAME=RANGE"),
        (("tornado", "stein2019", "-q", f"max {STEIN}", "-r", "peak=x2", "-r", "peak=x3"), "already"),
        (("tornado", "stein2019", "--all", "x2", "--runs", "5"), "does not take --runs"),
        (("tornado", "stein2019", "-q", f"max {STEIN}", "--all", "x2", "-o", "a.xls"), ".csv"),
        (("sobol", "stein2019", "-q", f"max {STEIN}", "--all", "x2", "--runs", "5"), "at least"),
        (("sobol", "stein2019", "-q", f"{STEIN} at 40", "--all", "x2", "--days", "20"), "day 40"),
        (("plane", "kimmel2021", "-r", "kill_rate=1:2"), "two --range"),
        (("plane", "stein2019", "-r", "peak=x2", "-r", "decline=x2"), "name the tumour output"),
        (
            ("plane", "kimmel2021", "-r", "kill_rate=1:2", "-r", "tumour_growth=x2", "--output", "tumor_cells"),
            "'tumour_cells'",
        ),
        (("profile", "stein2019", "-r", "peak=1:2"), "--data"),
        (("profile", "stein2019", "-r", "peak=1:2", "--measure", f"{STEIN}=a"), "DAY,DAY"),
        (("profile", "stein2019", "-r", "peak=1:2", "--data", "nothing.csv"), "nothing.csv"),
        (("local", "stein2019", "--parameter", "peek"), "'peak'"),
        (("local", "stein2019", "--set", "peak=-1"), "peak"),
    ],
)
def test_wrong_input_ends_with_2_and_one_clear_message(command, tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    answer = command("analyse", *words)
    assert answer.code == 2
    assert answer.out == ""
    assert named in answer.err
    assert "Traceback" not in answer.err
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_methods(command):
    answer = command("analyse", "--help")
    assert answer.code == 0
    for method in ("sobol", "local", "tornado", "plane", "profile"):
        assert f"{method}:" in answer.out
