"""`livingdrug fit`: report and JSON, errors of data and options, stopping and going on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from livingdrug.cli.fit import FILES, fit
from livingdrug.errors import InputError
from livingdrug.library.stein2019 import transgene

SPEC = """
[parameters]
decline = 0.0032
persistent_fraction = 0.0079
[parameters.peak_day]
spread = "none"
[parameters.fold_expansion]
spread = "none"
[saem]
chains = 5
exploring = {exploring}
smoothing = {smoothing}
"""
DAYS = np.array([3.0, 7, 10, 14, 21, 28, 60])


def table(count: int = 20) -> pd.DataFrame:
    random = np.random.default_rng(4)
    peak, rate = (v * np.exp(0.4 * random.standard_normal((count, 1))) for v in (24000, 0.16))
    value = transgene(DAYS, peak=peak, contraction=rate) * np.exp(0.3 * random.standard_normal((count, len(DAYS))))
    frame = pd.DataFrame(
        {"ID": np.repeat(range(1, count + 1), len(DAYS)), "TIME": np.tile(DAYS, count), "DV": value.ravel()}
    )
    frame["CENS"] = (frame["DV"] < 150).astype(int)
    return frame.assign(DV=frame["DV"].clip(lower=150), LLOQ=150)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    path = tmp_path_factory.mktemp("fit")
    table().to_csv(path / "kinetics.csv", index=False)
    (path / "quick.toml").write_text(SPEC.format(exploring=60, smoothing=40))
    (path / "long.toml").write_text(SPEC.format(exploring=20000, smoothing=20000))
    return path


@pytest.fixture
def run(folder: Path, monkeypatch: Any) -> Any:
    monkeypatch.chdir(folder)
    application = typer.Typer()
    application.command()(fit)
    return lambda *words: CliRunner().invoke(application, [str(word) for word in words])


@pytest.fixture(scope="module")
def done(folder: Path) -> Any:
    application = typer.Typer()
    application.command()(fit)
    words = [
        "stein2019",
        folder / "kinetics.csv",
        "--spec",
        folder / "quick.toml",
        "-o",
        folder / "done",
        "--replicates",
        "100",
    ]
    return CliRunner().invoke(application, [str(word) for word in words])


def test_a_fit_writes_its_report_and_tables(done, folder):
    assert done.exit_code == 0, done.output
    assert "CONVERGED" in done.output
    assert {path.name for path in (folder / "done").iterdir()} == set(FILES)
    facts = json.loads((folder / "done" / "fit.json").read_text(encoding="utf-8"))
    assert facts["converged"]
    assert facts["blq"] == {"car_t_transgene_blood": "M3"}
    assert abs(np.log(facts["estimates"]["peak"] / 24000)) < 0.5
    assert len(facts["data"]["sha256"]) == 64
    assert "livingdrug" in facts["versions"]
    page = (folder / "done" / "report.html").read_text(encoding="utf-8")
    for words in (
        "Not for clinical use",
        "Visual predictive check",
        "below the limit",
        "Are the errors those of chance",
        "How patients differ",
        "How the search went",
        "Single patients",
    ):
        assert words in page
    assert "NOT CONVERGED" not in page
    assert "<script" not in page
    assert "//" not in page.replace("http://www.w3.org", "").replace("<!--", "")
    rows = pd.read_csv(folder / "done" / "diagnostics.csv")
    assert len(rows) == 140
    assert {"CWRES", "NPDE", "IWRES", "PRED", "IPRED"} <= set(rows)


def test_the_same_command_gives_the_same_numbers(run, done, folder):
    first = json.loads((folder / "done" / "fit.json").read_text(encoding="utf-8"))
    again = run("stein2019", "kinetics.csv", "--spec", "quick.toml", "-o", "again", "--no-report", "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["estimates"] == first["estimates"]


def test_a_fit_that_has_not_converged_never_prints_as_if_it_had(run, folder):
    answer = run(
        "stein2019", "kinetics.csv", "--spec", "long.toml", "--time-limit", "0.3", "-o", "late", "--replicates", 100
    )
    assert answer.exit_code == 1
    assert "NOT CONVERGED" in answer.output
    assert "last value" in answer.output
    assert "estimate   " not in answer.output
    assert "--resume" in answer.output
    facts = json.loads((folder / "late" / "fit.json").read_text(encoding="utf-8"))
    assert "estimates" not in facts
    assert "time limit" in facts["verdict"]
    assert set(facts["last_values"]) >= {"peak", "contraction"}
    assert "NOT CONVERGED" in (folder / "late" / "report.html").read_text(encoding="utf-8")
    assert "last_value" in (folder / "late" / "estimates.csv").read_text(encoding="utf-8")
    assert "NOT CONVERGED" in (folder / "late" / "summary.txt").read_text(encoding="utf-8")


def test_a_killed_fit_goes_on_to_the_same_numbers(run, done, folder):
    """Killed (SIGKILL) after its first checkpoint, then resumed: the numbers of the run that was never stopped."""
    code = (
        "import sys, typer\nfrom livingdrug.cli.fit import fit\nfrom livingdrug.inference import saem\n"
        "plain = saem.Saem._move\nimport time\n"
        "def slow(self, gain):\n    time.sleep(0.02)\n    return plain(self, gain)\n"
        "saem.Saem._move = slow\ntyper.run(fit)\n"
    )
    words = ["stein2019", "kinetics.csv", "--spec", "quick.toml", "-o", "killed", "--no-report"]
    process = subprocess.Popen([sys.executable, "-c", code, *words], cwd=folder)
    checkpoint = folder / "killed" / "unfinished.npz"
    end = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert checkpoint.exists()
    refused = run(*words)
    assert isinstance(refused.exception, InputError)
    assert "--resume goes on" in str(refused.exception)
    answer = run(*words, "--resume")
    assert answer.exit_code == 0, answer.output
    assert not checkpoint.exists()
    one, two = (json.loads((folder / name / "fit.json").read_text(encoding="utf-8")) for name in ("done", "killed"))
    assert one["estimates"] == two["estimates"]


def test_models_side_by_side(run, folder):
    words = ["stein2019_smooth", "kinetics.csv", "--spec", "quick.toml", "--beside", "stein2019", "-m", "focei"]
    answer = run(*words, "-o", "pair", "--no-report", "--time-limit", 2)
    assert (folder / "pair" / "stein2019" / "estimates.csv").exists()
    facts = json.loads((folder / "pair" / "fit.json").read_text(encoding="utf-8"))
    assert [row["RUN"] for row in facts["comparison"]] == ["stein2019_smooth", "stein2019"]
    assert any("mixes" in note or "ln(2 pi)" in note for note in facts["comparison_notes"])
    assert answer.exit_code == (0 if all(row["CONVERGED"] for row in facts["comparison"]) else 1)


def test_every_problem_of_the_data_is_told(run, folder):
    bad = table(3).astype({"DV": object})
    bad.loc[2, "DV"], bad.loc[5, "TIME"], bad.loc[9, "CENS"] = "many", 1.0, 7
    bad.to_csv(folder / "bad.csv", index=False)
    answer = run("stein2019", "bad.csv", "--spec", "quick.toml", "-o", "none")
    text = str(answer.exception)
    assert isinstance(answer.exception, InputError)
    assert "row 3, subject 1, DV = many" in text
    assert "row 6, subject 1, TIME = 1" in text
    assert "row 10, subject 2, CENS = 7" in text
    assert not (folder / "none").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["stien2019", "kinetics.csv"], "did you mean 'stein2019'"),
        (["stein2019", "kinetics.csv", "-m", "foce1"], "unknown method 'foce1'"),
        (["stein2019"], "needs a model and a file"),
        (["stein2019", "nothing.csv"], "nothing.csv"),
        (["kimmel2021", "kinetics.csv"], "structure only"),
        (["stein2019", "kinetics.csv", "--time-limit", "-1"], "above 0 seconds"),
        (["stein2019", "kinetics.csv", "--spec", "absent.toml"], "absent.toml: cannot be read"),
        (["stein2019", "kinetics.csv", "-o", "done"], "already holds report.html"),
    ],
)
def test_wrong_commands_are_told(run, done, words, message):
    answer = run(*words)
    assert isinstance(answer.exception, InputError)
    assert message in str(answer.exception)


def test_the_models_are_listed(run):
    answer = run("--list")
    assert answer.exit_code == 0
    assert "exhaustion_limited: Growth ends because" in answer.output


def test_a_value_without_logarithm_is_told_together_with_all_other_errors(run: Any, folder: Path) -> None:
    (folder / "zero.csv").write_text("ID,TIME,DV,SITE\nA,1,0,.\nA,3,50,.\nA,2,40,.\nB,1,7,x\nB,2,8,x\nB,3,9,x\n")
    found = str(run("stein2019", "zero.csv", "--no-report", "-o", "zero").exception)
    assert "row 1, subject A, DV = 0: not above zero, and its logarithm is needed" in found
    assert "row 3, subject A, TIME = 2: time runs backwards" in found
    assert "SITE" not in found  # no model reads it


def test_a_fit_asks_the_data_for_what_its_models_read() -> None:
    from livingdrug.cli.fit import _needed
    from livingdrug.inference.closed_form import emax
    from livingdrug.inference.ready import ready
    from livingdrug.inference.residual import additive, log_additive
    from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, power_effect
    from livingdrug.model import lognormal

    ed50 = Estimate(400.0, lognormal(0.5), covariates=[power_effect("WT", 70)])
    parameters = {"E0": Estimate(4.0), "Emax": Estimate(25.0, lognormal(0.5)), "ED50": ed50}
    response = StatisticalModel(emax(), parameters, Endpoint("effect", additive(1.0)))
    assert _needed([response]) == {"covariates": ("DOSE", "WT"), "log": False}
    assert _needed([ready("stein2019")]) == {"covariates": (), "log": True}
    limited = StatisticalModel(emax(), parameters, Endpoint("effect", log_additive(0.3), limit=2.0))
    assert not _needed([limited])["log"]  # a zero is below the limit then
