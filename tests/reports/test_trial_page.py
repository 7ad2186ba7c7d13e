"""The report of a trial of the twin: every part is there, its numbers are those of the outcome, it stands alone."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from livingdrug.reports.trial_courses import published_points, swimmer
from livingdrug.reports.trial_page import trial_page, which_ensemble
from livingdrug.reports.trial_survival import curve_rows, forest, forest_rows
from livingdrug.reports.trial_tables import cards, flow_of, grades, published, responses
from livingdrug.trials.measures import Measure, value
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.targets import targets
from livingdrug.trials.twin import run_twin

ELIANA, ZUMA_7 = Protocol.builtin("eliana"), Protocol.builtin("zuma-7")
SMALL = {"days": 400, "threads": 1, "replicates": 50}


@pytest.fixture(scope="module")
def outcome():
    return run_twin(ELIANA, 60, seed=3, **SMALL)


@pytest.fixture(scope="module")
def page(outcome):
    return trial_page(outcome, drawn=30, threads=1).html


@pytest.fixture(scope="module")
def two_arms():
    return run_twin(ZUMA_7, 80, seed=3, **SMALL)


def test_every_part_is_there(page):
    for name in (
        "kinetics-tisa-cel", "responses", "waterfall-tisa-cel", "swimmer-tisa-cel", "survival-os", "survival-efs",
        "survival-rfs",
    ):  # fmt: skip
        assert f'id="figure-{name}"' in page, name
    for words in (
        "Published beside simulated", "Cytokine release syndrome", "Free parameters of the model", "Assumptions",
        "Numbers of the trial", "To compute it again", "manufacturing failure", "tocilizumab",
    ):  # fmt: skip
        assert words in page, words
    assert page.count("Not for clinical use.") >= 2


def test_the_page_needs_no_other_file_and_fits_a_phone_and_the_dark(page):
    assert not re.search(r"<script|src=|@import|http-equiv=.refresh", page)
    assert "prefers-color-scheme: dark" in page
    assert page.count('class="narrow"') == page.count("<figure") > 5


def test_every_figure_says_what_it_shows(page):
    for figure in re.findall(r"<figure.*?</figure>", page, re.S):
        assert len(re.search(r"<figcaption>(.*?)</figcaption>", figure, re.S)[1]) > 80
        assert len(re.search(r'role="img" aria-label="(.*?)"', figure, re.S)[1]) > 20


def test_the_report_of_any_outcome_knows_the_twin(outcome, monkeypatch):
    from livingdrug.reports import Report, report, trial_page

    monkeypatch.setattr(trial_page, "trial_page", lambda given: Report(given.trial.name))
    assert report(outcome).html == "eliana"


def test_two_arms_have_hazard_ratios_and_a_forest(two_arms):
    html = trial_page(two_arms, drawn=30, threads=1).html
    assert 'id="figure-forest"' in html
    assert "at risk: standard" in html
    assert "this is a prediction" in html
    assert 'id="figure-kinetics-standard"' not in html
    assert "from the enrolment to the last day under watch" in html


def test_a_forest_has_the_ratio_of_the_whole_and_of_halves(two_arms):
    rows = forest_rows(ZUMA_7, two_arms.outcomes, 1)
    assert [row["name"] for row in rows] == [
        "EFS", "PFS", "OS", "EFS, younger", "EFS, older", "EFS, less tumour", "EFS, more tumour",
    ]  # fmt: skip
    table = two_arms.endpoints.set_index("endpoint")["value"]
    for row in rows[:3]:
        assert row["ratio"] == pytest.approx(table[f"{row['name'].lower()} hazard ratio"])
    assert forest(SimpleNamespace(trial=ELIANA, outcomes=two_arms.outcomes)) is None


def test_the_flow_counts_everybody(outcome):
    flow = flow_of(outcome.outcomes, ELIANA.arms[0])
    enrolled, infused = (int(step.number.replace(",", "")) for step in flow.steps)
    assert enrolled == 60
    assert enrolled - infused == sum(int(number) for _, number in flow.steps[0].losses)
    assert sum(int(end.number) for end in flow.ends) == infused == outcome.outcomes["infused"].sum()


def test_a_curve_is_the_kaplan_meier_share(outcome):
    rows, size = curve_rows(ELIANA, outcome.outcomes, ELIANA.arms[0], "os")
    assert size == round(97 * outcome.outcomes["infused"].mean())
    month = rows[40]["month"]
    asked = Measure(statistic="survival", of="os", day=month * 365.25 / 12, unit="%")
    assert 100 * rows[40]["share"] == pytest.approx(value(outcome.outcomes, asked, ELIANA.follow_up.clocks))
    assert rows[0]["at_risk"] == pytest.approx(size)
    assert all(row["low"] <= row["share"] + 0.05 and row["share"] - 0.05 <= row["high"] for row in rows)


def test_grades_by_scale(outcome):
    crs, neuro = grades(ELIANA, outcome.outcomes, ELIANA.arms[0])
    assert [row[0] for row in crs.rows] == ["penn", "lee", "astct-crs"]
    assert [row[0] for row in neuro.rows] == ["ctcae-v4-neuro", "astct-icans"]
    worst = outcome.outcomes["crs_penn"][outcome.outcomes["infused"]]
    assert crs.rows[0][7].split("\n")[0] == f"{100 * (worst >= 3).mean():.0f}"
    assert crs.rows[0][2] == f"{100 * (worst == 1).mean():.0f}"


def test_published_beside_simulated_marks_what_is_outside(outcome):
    table = published(outcome)
    assert len(table.rows) == len(outcome.targets)
    assert [mark == "inside" for mark in table.marks] == outcome.targets["inside"].tolist()


def test_published_kinetics_are_drawn_where_they_belong(outcome):
    points = published_points(ELIANA, outcome.targets)
    peak, day = (next(t.value for t in targets("eliana") if t.endpoint == name) for name in ("Cmax", "Tmax"))
    assert (points[0]["day"], points[0]["published"]) == (day, peak)
    assert published_points(ZUMA_7, pd.DataFrame()) == []


def test_best_responses_add_up(outcome):
    assert sum(row["share"] for row in responses(outcome)) == pytest.approx(100)


def test_cards_say_the_range_of_a_trial(outcome):
    first = cards(outcome)[0]
    assert first.label == "of the enrolled were infused"
    assert "95 % of trials with 97 patients" in first.detail


def test_a_lane_ends_with_the_watch(outcome):
    held = outcome.outcomes.take(outcome.outcomes["infused"])
    assert 'id="figure' not in swimmer(ELIANA, held, "tisa-cel").wide
    assert swimmer(ELIANA, held.take(np.arange(1)), "tisa-cel") is None


def test_nobody_infused_has_a_page():
    blank = Outcomes.of([1, 2], {"arm": ["tisa-cel"] * 2, "left_reason": ["death", "other"]}, ELIANA.scales)
    empty = pd.DataFrame(columns=["arm", "endpoint", "unit", "value", "low", "high", "size"])
    outcome = SimpleNamespace(
        trial=ELIANA, outcomes=blank, endpoints=empty, targets=pd.DataFrame(), configuration={}, seed=1, failed=0
    )
    html = trial_page(outcome).html
    assert 'id="figure-survival-os"' not in html
    assert "death" in html


def test_settings_are_named(monkeypatch):
    from livingdrug.trials import ensemble

    made = ensemble.Ensemble("2026-01-01", {"expansion": np.array([1.0, 2.0, 3.0])}, {}, "abc")
    monkeypatch.setattr(ensemble, "ensemble_names", lambda: ("2026-01-01",))
    monkeypatch.setattr(ensemble, "load_ensemble", lambda name="": made)
    assert "2026-01-01 (SHA-256 abc)" in which_ensemble({"expansion": 2.0})
    assert which_ensemble({"expansion": 2.5}) == "Settings that were given for this run."
