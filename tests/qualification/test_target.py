"""The verdicts: what passes, what fails, what the paper itself does not give."""

from __future__ import annotations

import math

import pytest

from livingdrug.qualification.target import (
    FAIL,
    NEEDS_DATA,
    NOT_REPRODUCIBLE,
    PASS,
    Target,
    between,
    outcome,
    printed,
    within,
)

PLACE = "stein2019: abstract"


@pytest.mark.parametrize(
    ("text", "value", "tolerance"),
    [
        ("0.780", 0.78, 0.0005),
        ("1374", 1374, 0.5),
        ("1.718e5", 171800, 50),
        ("6.7e-3", 0.0067, 5e-5),
        ("-2.5", -2.5, 0.05),
    ],
)
def test_the_tolerance_of_a_printed_number_is_half_its_last_digit(text, value, tolerance):
    found = printed(text)
    assert found.value == pytest.approx(value, rel=1e-15)
    assert found.tolerance == pytest.approx(tolerance, rel=1e-12)


@pytest.mark.parametrize(
    ("ours", "status"), [(4.25, PASS), (4.35, PASS), (4.3501, FAIL), (math.nan, FAIL), (math.inf, FAIL)]
)
def test_a_target_is_met_to_the_edge_of_its_tolerance(ours, status):
    assert Target("q", "day", PLACE, printed("4.3")).judge(ours).status == status


def test_both_expectations_must_be_met():
    target = Target("q", "1", PLACE, paper=within(0.2, 10, "figure"), recomputed=printed("9.0"))
    assert target.judge(9.01).status == PASS
    assert target.judge(9.2).status == FAIL
    assert target.judge(9.01).deviation == pytest.approx(-0.99)


def test_what_does_not_follow_from_the_paper_is_shown_and_ours_is_asserted():
    target = Target("q", "cell", PLACE, paper=printed("7e5"), recomputed=printed("1.12e6"), reproducible=False)
    assert target.judge(1.121e6).status == NOT_REPRODUCIBLE
    assert target.judge(1.121e6).deviation == pytest.approx(1e3)
    assert target.judge(1.2e6).status == FAIL


def test_a_number_that_is_reproduced_after_all_fails_until_it_is_marked_so():
    target = Target("q", "1", PLACE, paper=between(0, 2, "text"), recomputed=printed("1.0"), reproducible=False)
    found = target.judge(1.0)
    assert (found.status, found.note) == (FAIL, "reproduced after all: mark it so")


def test_nothing_expected_is_never_met():
    assert Target("q", "1", PLACE).judge(1.0).status == FAIL


def test_outcomes_and_missing_data():
    assert Target("q", "1", PLACE, outcome(True)).judge(True).status == PASS
    assert Target("q", "1", PLACE, outcome(True)).judge(False).status == FAIL
    assert Target("q", "1", PLACE, outcome(True), needs="kinetics/x.csv").unseen().status == NEEDS_DATA
