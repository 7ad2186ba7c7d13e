"""`livingdrug data check` and `livingdrug nca`, called as the command line calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from livingdrug.cli.data import data
from livingdrug.cli.nca import nca
from livingdrug.errors import InputError

FILES = Path(__file__).parent / "cdisc"
GOOD = "ID,TIME,AMT,DV,CENS,SEX\n" + "".join(
    f"{who},0,1,.,.,{sex}\n{who},7,.,400,0,{sex}\n{who},10,.,{peak},0,{sex}\n{who},14,.,2000,0,{sex}\n"
    f"{who},28,.,250,0,{sex}\n{who},60,.,50,1,{sex}\n"
    for who, peak, sex in (("A", 8000, "F"), ("B", 16000, "M"))
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text(GOOD)
    (tmp_path / "bad.csv").write_text("ID,TIME,DV\n1,2,x\n1,1,=1+1\n")
    application = typer.Typer()
    application.command()(data)
    application.command()(nca)

    def call(*words):
        return CliRunner().invoke(application, [str(word) for word in words])

    return call


def test_a_good_file_is_summarised_and_written(run, tmp_path):
    done = run("data", "check", "good.csv", "--log", "-o", "out")
    assert done.exit_code == 0, done.output
    assert "2 subjects" in done.output
    assert "2 below the limit (20.0%)" in done.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"findings.csv", "page.html", "data.csv"}
    again = run("data", "check", "out/data.csv", "--covariates", "SEX", "--json")
    assert again.exit_code == 0, again.output
    answer = json.loads(again.output)
    assert answer["right"]
    assert answer["findings"] == []
    assert answer["endpoints"][0]["below"] == 2


def test_a_bad_file_tells_everything_and_exits_with_two(run, tmp_path):
    done = run("data", "check", "bad.csv", "-o", "out")
    assert done.exit_code == 2
    assert "row 1, subject 1, DV = x: not a number" in done.output
    assert "row 2, subject 1, TIME = 1: time runs backwards" in done.output
    assert "3 errors, 0 warnings; the data cannot be used" in done.output
    assert (tmp_path / "out" / "findings.csv").read_text(encoding="utf-8").count("error") == 3
    assert not (tmp_path / "out" / "page.html").exists()
    answer = json.loads(run("data", "check", "bad.csv", "--json").output)
    assert not answer["right"]
    assert len(answer["findings"]) == 3


def test_existing_files_are_kept(run):
    assert run("data", "check", "good.csv", "-o", "out").exit_code == 0
    assert isinstance(run("data", "check", "good.csv", "-o", "out").exception, InputError)
    assert run("data", "check", "good.csv", "-o", "out", "--force").exit_code == 0
    assert run("nca", "good.csv", "-o", "out").exit_code == 0
    assert isinstance(run("nca", "good.csv", "-o", "out").exception, InputError)


def test_cdisc_from_the_command_line(run):
    done = run(
        "data", "check", FILES / "pc.xpt", "--ex", FILES / "ex.xpt", "--dm", FILES / "dm.xpt", "--treatment", "CELLS"
    )
    assert done.exit_code == 0, done.output
    assert "CARTR/BONE MARROW: 1 samples" in done.output


def test_nca_prints_labels_rules_and_tables(run, tmp_path):
    done = run("nca", "good.csv", "--by", "SEX", "-o", "out", "--rule", "end=28", "--rule", "terminal_peak=true")
    assert done.exit_code == 0, done.output
    assert "8,000" in done.output
    assert "16,000" in done.output
    assert "the peak included" in done.output
    table = pd.read_csv(tmp_path / "out" / "nca.csv")
    assert table["cmax"].tolist() == [8000, 16000]
    assert table["fold_expansion"].tolist() == [20, 40]
    assert "Not for clinical use." in (tmp_path / "out" / "rules.txt").read_text(encoding="utf-8")
    answer = json.loads(run("nca", "good.csv", "--json", "--rule", "method=linear").output)
    assert answer["subjects"][0]["auc_interval"] == 1400 + 12600 + 20000 + 15750
    assert any("linear" in line for line in answer["rules"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data", "chek", "good.csv"), "did you mean 'check'"),
        (("data", "check", "good.csv", "--column", "TIME"), "write TIME=DAY"),
        (("data", "check", "good.csv", "--lloq", "high"), "not a number"),
        (("data", "check", "good.csv", "--lloq", "flow=3"), "endpoint of lloq"),
        (("data", "check", FILES / "pc.xpt", "--column", "ID=X"), "--column"),
        (("nca", "bad.csv"), "3 problems"),
        (("nca", "good.csv", "--rule", "ende=3"), "did you mean 'end'"),
        (("nca", "good.csv", "--rule", "end=late"), "not a number"),
        (("nca", "good.csv", "--rule", "terminal_peak=1"), "true or false"),
        (("nca", "good.csv", "--by", "AGE"), "covariate of the data"),
        (("nca", "good.csv", "--endpoint", "flow"), "endpoint of the data"),
    ],
)
def test_mistakes_are_named(run, words, message):
    done = run(*words)
    assert isinstance(done.exception, InputError), done.output
    assert message in str(done.exception)
