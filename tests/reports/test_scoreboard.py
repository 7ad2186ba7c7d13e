"""The scoreboard: what is outside is said as plainly as what is inside, and the counts are right."""

import numpy as np
import pandas as pd
import pytest

from livingdrug.errors import InputError
from livingdrug.reports.scoreboard import checked, placed, scoreboard_markdown, scoreboard_page
from livingdrug.trials.forecast import Forecast, forecast_row, forecast_table
from livingdrug.trials.predictive import coverage_summary


def row(trial, kind, observed, low, high, size=50, statistic="proportion", **more):
    inside = low <= observed <= high
    return {
        "trial": trial, "label": f"{trial}, infused, {kind}, {statistic}", "kind": kind, "statistic": statistic,
        "unit": "%", "observed": observed, "size": size, "middle": (low + high) / 2, "low": low, "high": high,
        "inside": inside, "width": high - low, "width_limit": 40.0, "wide": high - low > 40, **more,
    }  # fmt: skip


TABLE = pd.DataFrame([
    row("one", "response", 50.0, 40.0, 60.0), row("one", "crs", 80.0, 40.0, 60.0), row("two", "crs", 50.0, 20.0, 70.0),
    row("two", "kinetics", 5.0, 1.0, 10.0, statistic="geometric mean"),
    row("two", "response", 99.0, 1.0, 10.0, size=5),
])  # fmt: skip


def test_counts_by_trial_and_class():
    found = coverage_summary(checked(TABLE)).set_index(["by", "name"])
    assert found.loc[("all", "all"), ["targets", "inside", "wide", "narrow"]].tolist() == [4, 3, 1, 2]
    assert found.loc[("trial", "one"), "share"] == 0.5
    assert found.loc[("class", "crs"), "targets"] == 2
    assert not found.loc[("all", "all"), "met"]
    assert not found.loc[("trial", "two"), "met"]  # inside both times, but one interval is wider than its limit
    assert found.loc[("class", "kinetics"), "met"]
    assert coverage_summary(checked(TABLE)).attrs == {}


def test_what_is_outside_is_said(tmp_path):
    text = scoreboard_markdown(TABLE, about={"Ensemble": "abc"}, image="images/x.svg")
    assert "3 of 4 reported numbers lie inside" in text
    assert "Below the goal of 75 % lie: one (50 %), two (50 %), crs (0 %)." in text
    assert text.count("**outside**") == 2
    assert text.count("**too wide**") == 1
    assert "5 (few)" in text
    assert "not counted: 1." in text
    lines = [line for line in text.splitlines() if line.startswith("| infused, crs")]
    assert lines[0].count("|") == 8
    assert "![" in text
    assert "- Ensemble: abc" in text


def test_the_page_and_its_figure():
    html = scoreboard_page(TABLE).html
    assert "3 of 4" in html
    assert "**" not in html
    assert 'id="figure-targets"' in html
    assert 'class="outside"' in html


def test_places_in_the_figure_agree_with_inside():
    rows = placed(TABLE)
    assert [abs(row["at"]) <= 1 for row in rows] == TABLE["inside"].tolist()
    assert rows[0]["at"] == 0
    infinite = pd.DataFrame([row("x", "survival", np.inf, 1.0, 2.0, statistic="median time")])
    assert placed(infinite) == []


def test_forecasts_stand_without_a_comparison():
    keys = {"trial": "ZUMA-9", "arm": "a", "population": "infused", "endpoint": "ORR"}
    lines = [
        forecast_row(np.linspace(40, 60, 400), size=30, statistic="proportion", unit="%", **keys),
        forecast_row(np.linspace(0, 99, 400), size=30, statistic="proportion", unit="%", forecaster="naive", **keys),
    ]
    found = Forecast(forecast_table(lines), {"date": "2026-01-01"})
    text = scoreboard_markdown(None, found)
    assert "### ZUMA-9" in text
    assert text.count("ORR") == 1
    assert "| 50" in text
    assert "2026-01-01" in text
    assert "Nothing is shown here" in text
    assert "Forecast: ZUMA-9" in scoreboard_page(None, found).html


def test_a_table_without_columns_is_refused():
    with pytest.raises(InputError, match="missing: width_limit"):
        checked(TABLE.drop(columns="width_limit"))
    with pytest.raises(InputError, match="needs rows"):
        checked(TABLE.head(0))
