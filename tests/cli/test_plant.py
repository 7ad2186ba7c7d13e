"""`livingdrug plant`: what it leaves behind, what it refuses, what hostile names can do."""

import json

import pandas as pd
import pytest

from livingdrug.plant import FleetResult

SMALL = """
name = "small"
title = "A small plant"
[arrivals]
per_day = { value = 1.0, unit = "1/day", note = "for a test" }
[[resources]]
name = "suites"
units = 8
[[steps]]
name = "making"
needs = "suites"
process = true
days = { value = 7.0, unit = "day", note = "for a test" }
"""
NETWORK = """set c := c1 ; set h := h1 ; set j := j1 ; set m := m1 ; set p := p1 p2 ;
param CIM := m1 10 ;
param CVM := m1 5 ;
param FCAP := m1 2 ;
param TT1 := j1 1 ;
param TT3 := j1 1 ;
param U1 := c1 m1 j1 100 ;
param U3 := m1 h1 j1 200 ;
param INC := p1 c1 1 1
p2 c1 1 1 ;
"""


@pytest.fixture
def small_plan(tmp_path):
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "tiny.dat"
    path.write_text(NETWORK)
    return path


def test_a_plant_leaves_report_and_tables(command, small_plan, tmp_path):
    answer = command("plant", small_plan, "-n", 60, "-o", tmp_path / "run")
    assert answer.code == 0, answer.err
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {
        "report.html", "plan.json", "patients.parquet", "visits.parquet", "holds.parquet", "outages.parquet",
        "events.parquet",
    }  # fmt: skip
    page = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert "Not for clinical use" in page
    assert "<script" not in page
    assert page.count("<figure") >= 4
    assert len(FleetResult.load(tmp_path / "run").patients) == 60
    assert len(pd.read_parquet(tmp_path / "run" / "events.parquet")) == 60 * 4
    assert "Not for clinical use." in answer.out


def test_json_says_the_same_and_nothing_else(command, small_plan, tmp_path):
    answer = command("plant", small_plan, "-n", 60, "--seed", 3, "-o", tmp_path / "run", "--json")
    assert answer.json["patients"] == 60
    assert answer.json["resources"][0]["units"] == 8
    assert answer.err == ""


def test_the_same_command_gives_the_same_page(command, tmp_path):
    for name in ("a", "b"):
        assert command("plant", "point-of-care", "-n", 80, "-o", tmp_path / name, "--rule", "survival").code == 0
    assert (tmp_path / "a" / "report.html").read_bytes() == (tmp_path / "b" / "report.html").read_bytes()


def test_a_network_is_solved_and_shown(command, network, tmp_path):
    """By hand: 15 USD x 130 days, 300 USD of transport and 19,788 USD of materials and tests for each of two."""
    answer = command("plant", network, "-o", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["costs_usd"]["all"] == 15 * 130 + 2 * (300 + 19_788)
    assert answer.json["gap"] == 0
    assert json.loads((tmp_path / "run" / "design.json").read_text(encoding="utf-8"))["open"] == ["m1"]
    assert "figure-map" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_options_of_the_network_reach_it(command, network, tmp_path):
    answer = command("plant", network, "-o", tmp_path / "run", "--within", 10)
    assert answer.code == 2
    assert "turnaround limit of 10 days (17 days would do)" in answer.err
    assert not (tmp_path / "run" / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["standrd"], "did you mean 'standard'"),
        (["none.toml"], "cannot be read"),
        (["none.dat"], "cannot be read"),
        (["standard", "--rule", "luck"], "rule"),
        (["standard", "--within", "18"], "--within does not belong to a plan"),
        (["x.dat", "--patients", "5"], "--patients does not belong to a network"),
    ],
)
def test_wrong_words_are_refused(command, tmp_path, words, told):
    answer = command("plant", *words, "-o", tmp_path / "run")
    assert answer.code == 2
    assert told in answer.err
    assert not (tmp_path / "run").exists()


def test_finished_work_is_not_written_over_unasked(command, small_plan, tmp_path):
    words = ("plant", small_plan, "-n", 20, "-o", tmp_path / "run")
    assert command(*words).code == 0
    assert "--force" in command(*words).err
    assert command(*words, "--force").code == 0


def test_hostile_names_do_no_harm(command, small_plan, tmp_path):
    hostile = tmp_path / "hostile.toml"
    hostile.write_text(small_plan.read_text(encoding="utf-8").replace('"A small plant"', '"<script>alert(1)</script>"'))
    assert command("plant", hostile, "-n", 20, "-o", tmp_path / "run").code == 0
    assert "<script" not in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
