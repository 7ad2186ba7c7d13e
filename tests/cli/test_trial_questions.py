"""`livingdrug emerge`, `design` and `scoreboard`: what they leave behind and what they refuse."""

import importlib
import json

import pandas as pd
import pytest

from livingdrug.cli.design import design
from livingdrug.cli.emerge import emerge
from livingdrug.cli.scoreboard import scoreboard

DESIGN = """
name = "small"
trial = "juliet"
patients = 30
[power]
sizes = [20]
endpoints = [{ name = "cr", null = 0.2 }]
"""


@pytest.fixture(autouse=True)
def _registered(monkeypatch):
    application = importlib.import_module("livingdrug.cli.app")
    others = [one for one in application.COMMANDS if one.__name__ not in ("emerge", "design", "scoreboard")]
    monkeypatch.setattr(application, "COMMANDS", (*others, emerge, design, scoreboard))


def test_checks_are_listed(command):
    assert "vein-to-vein" in command("emerge").out
    assert len(command("emerge", "--json").json["checks"]) == 7


def test_a_check_leaves_page_figure_and_numbers(command, tmp_path):
    answer = command("emerge", "three-scales", "-n", 30, "--threads", 1, "--out", tmp_path, "--json")
    assert answer.code == 0
    assert answer.json["checks"][0]["check"] == "three-scales"
    kept = json.loads((tmp_path / "three-scales.json").read_text(encoding="utf-8"))
    assert kept["rows"] == answer.json["checks"][0]["rows"]
    assert (tmp_path / "three-scales.svg").read_text(encoding="utf-8").startswith("<svg")
    assert "Not for clinical use" in (tmp_path / "three-scales.html").read_text(encoding="utf-8")
    told = command("emerge", "three-scales", "-n", 30, "--threads", 1, "--out", tmp_path)
    assert "Penn" in told.out


def test_an_unknown_check_is_refused(command):
    answer = command("emerge", "dose-doubling-2")
    assert answer.code == 2
    assert "dose-doubling" in answer.err


def test_a_design_leaves_page_and_tables(command, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(DESIGN)
    answer = command("design", path, "--threads", 1, "--out", tmp_path / "run", "--json")
    assert answer.code == 0
    assert answer.json["power"][0]["size"] == 20
    assert pd.read_csv(tmp_path / "run" / "power.csv")["power"][0] == pytest.approx(answer.json["power"][0]["power"])
    assert json.loads((tmp_path / "run" / "design.json").read_text(encoding="utf-8"))["trial"] == "juliet"
    assert "small" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Power" in command("design", path, "--threads", 1, "--out", tmp_path / "run").out


def test_a_design_may_be_given_to_the_trial_command(command, tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(DESIGN)
    answer = command("trial", path, "--threads", 1, "--out", tmp_path / "run", "--json")
    assert (answer.code, answer.json["power"][0]["size"]) == (0, 20)
    refused = command("trial", path, "-n", 30)
    assert (refused.code, "a design; its numbers of patients stand in the file" in refused.err) == (2, True)


def test_a_bad_design_is_refused_with_its_line(command, tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(DESIGN.replace("juliet", "julia"))
    answer = command("design", path)
    assert answer.code == 2
    assert "bad.toml, line 3" in answer.err
    assert "did you mean 'juliet'" in answer.err


TARGET = {
    "trial": "one", "label": "one, infused, ORR", "kind": "response", "statistic": "proportion", "unit": "%",
    "observed": 50.0, "size": 40, "middle": 45.0, "low": 30.0, "high": 60.0, "inside": True, "width": 30.0,
    "width_limit": 60.0, "wide": False,
}  # fmt: skip


def test_a_scoreboard_is_made_from_a_table(command, tmp_path):
    path = tmp_path / "coverage.csv"
    pd.DataFrame([TARGET]).to_csv(path, index=False)
    answer = command("scoreboard", "--coverage", path, "--out", tmp_path / "docs", "--json")
    assert answer.code == 0
    assert answer.json["summary"][0]["inside"] == 1
    assert {p.name for p in (tmp_path / "docs").iterdir()} == {
        "images", "scoreboard.csv", "scoreboard.html", "scoreboard.md",
    }  # fmt: skip
    assert "(images/scoreboard.svg)" in (tmp_path / "docs" / "scoreboard.md").read_text(encoding="utf-8")
    again = command("scoreboard", "--coverage", tmp_path / "docs" / "scoreboard.csv", "--out", tmp_path / "again")
    assert again.code == 0
    assert "Goal met" in again.out


def test_a_file_that_is_no_table_is_refused(command, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n")
    answer = command("scoreboard", "--coverage", path, "--out", tmp_path / "docs")
    assert answer.code == 2
    assert "missing: trial" in answer.err
    assert command("scoreboard", "--coverage", tmp_path / "none.csv").code == 2


def test_without_anything_to_show_it_says_so(command, tmp_path, monkeypatch):
    from livingdrug.trials import ensemble

    monkeypatch.setattr(ensemble, "ensemble_names", lambda: ())
    answer = command("scoreboard", "--out", tmp_path)
    assert answer.code == 2
    assert "no ensemble is shipped" in answer.err
