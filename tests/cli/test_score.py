"""`livingdrug score`: what it answers, what it leaves behind, what it refuses."""

import numpy as np
import pandas as pd
import pytest

from livingdrug.cli import app
from livingdrug.cli.score import score
from livingdrug.trials.forecast import Forecast, forecast_row, forecast_table


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    if score not in app.COMMANDS:
        monkeypatch.setattr(app, "COMMANDS", (*app.COMMANDS, score))


@pytest.fixture
def files(tmp_path):
    rows = [
        forecast_row(
            np.linspace(a, b, 99), size=80, statistic="proportion", unit="%", forecaster=who, trial="A", endpoint=e
        )
        for who, a, b in (("twin", 30, 70), ("pooled mean", 0, 90))
        for e in ("CR", "ORR")
    ]  # fmt: skip
    predictions = Forecast(forecast_table(rows), {"date": "2026-11-22", "ensemble": "abc"}).write(tmp_path / "p.csv")
    observed = tmp_path / "observed.csv"
    observed.write_text("trial,endpoint,percent\nA,[bold]CR,50\nA,CR,50\nA,ORR,80\nA,PFS,5\n")
    return predictions, observed


def test_scores_are_shown_and_what_has_none_is_named(command, files):
    answer = command("score", *files)
    assert answer.code == 0, answer.err
    assert "ensemble: abc" in answer.out
    assert "line 5: A, PFS: no line fits" in answer.out
    assert "line 2: A, [bold]CR: no line fits" in answer.out
    assert "pooled mean" in answer.out
    assert "Not for clinical use." in answer.out


def test_json_and_saved_table_hold_every_score(command, files, tmp_path):
    answer = command("score", *files, "--json", "--save", tmp_path / "scores.csv")
    assert answer.err == ""
    assert len(answer.json["scores"]) == 8
    twin = answer.json["summary"][0]
    assert (twin["forecaster"], twin["scored"], twin["not_scored"], twin["in90"]) == ("twin", 2, 2, 0.5)
    assert answer.json["against_twin"][0]["both"] == 2
    saved = pd.read_csv(tmp_path / "scores.csv")
    assert saved["crps"].notna().sum() == 4
    again = command("score", *files, "--save", tmp_path / "scores.csv")
    assert again.code == 2
    assert "--force writes over it" in again.err
    assert command("score", *files, "--save", tmp_path / "scores.csv", "--force").code == 0


def test_a_forecast_that_was_changed_is_refused(command, files):
    predictions, observed = files
    predictions.chmod(0o644)
    predictions.write_text(predictions.read_text(encoding="utf-8").replace("abc", "abd"))
    answer = command("score", predictions, observed, "--json")
    assert answer.code == 2
    assert "changed since" in answer.json["error"]["message"]
