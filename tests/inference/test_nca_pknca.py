"""The rules that PKNCA documents, with the numbers of its own tests, and other software on theophylline.

Sources: PKNCA 0.12 (github.com/humanpred/pknca), files tests/testthat/test-auc.R, test-aucint.R, test-half.life.R;
pkr (asancpt.github.io/pkr, reference of NCA) as repeated, and confirmed in PKanalix, by PeccAnalysis
(tests/testthat/test_NCA_Theo.R). Numbers only; none of their code.
"""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.inference.data import read_data
from livingdrug.inference.nca import NcaRules, nca, nca_of

LN2 = np.log(2)
COURSE, LONGER = [0, 2, 0, 1, 2, 1], [0, 2, 0, 1, 2, 1, 0, 0]


@pytest.mark.parametrize(
    ("values", "middle", "method", "to_last", "all_"),
    [
        (COURSE, "zero", "linear", 1 + 1 + 0.5 + 1.5 + 1.5, 1 + 1 + 0.5 + 1.5 + 1.5),
        (COURSE, "zero", "linear up/log down", 1 + 1 + 0.5 + 1.5 + 1 / LN2, 1 + 1 + 0.5 + 1.5 + 1 / LN2),
        (LONGER, "zero", "linear", 5.5, 5.5 + 0.5),
        (LONGER, "zero", "linear up/log down", 4 + 1 / LN2, 4 + 1 / LN2 + 0.5),
        (LONGER, "drop", "linear", 1 + 3 + 1.5 + 1.5, 7 + 0.5),
        (LONGER, "drop", "linear up/log down", 1 + 2 / LN2 + 1.5 + 1 / LN2, 2.5 + 3 / LN2 + 0.5),
        ([0, 1, 0], "drop", "linear", 0.5, 1.0),
        ([0, 1, 0, 0, 0, 0, 0], "drop", "linear", 0.5, 1.0),
        ([0, 1, 1], "drop", "linear", 1.5, 1.5),
        ([0, 0], "drop", "linear", 0.0, 0.0),
    ],
)
def test_areas_to_the_last_value_and_to_the_first_below_it(values, middle, method, to_last, all_):
    """PKNCA's AUClast and AUCall (test-auc.R, "center BLQ points" and those around it)."""
    rules = NcaRules(middle=middle, method=method, end=len(values) - 1.0)
    found = nca(np.arange(len(values)), values, rules=rules)
    assert found["auc_last"][0] == pytest.approx(to_last)
    assert found["auc_interval"][0] == pytest.approx(all_)


def test_a_missing_value_near_the_end():
    """test-auc.R, "Test NA at the end": the triangle reaches over the gap."""
    rules = NcaRules(end=7, method="linear")
    found = nca(np.arange(8), [0, 2, 0, 1, 2, 1, np.nan, 0], rules=rules)
    assert found["auc_last"][0] == pytest.approx(1 + 3 + 1.5 + 1.5)
    assert found["auc_interval"][0] == pytest.approx(1 + 3 + 1.5 + 1.5 + 1)


def test_an_end_between_two_samples():
    """test-auc.R, "interpolation of times within the time interval", linear: 0.75 is the cut triangle.

    With logarithms PKNCA draws the cut piece anew as a logarithmic one (0.5/ln 2); here it stays a piece of the line
    that the whole triangle is, so that the parts of an interval add up to the whole.
    """
    days = [0, 1, 2, 3, 4, 5, 7]
    found = nca(days, [0, 2, 0, 1, 2, 1, 0], rules=NcaRules(end=6, method="linear"))
    assert found["auc_interval"][0] == pytest.approx(1 + 3 + 1.5 + 1.5 + 0.75)
    parts = [nca(days, [0, 2, 0, 1, 2, 1, 0], rules=NcaRules(start=a, end=b)) for a, b in ((0, 6), (6, 7), (0, 7))]
    whole = [float(part["auc_interval"][0]) for part in parts]
    assert whole[0] + whole[1] == pytest.approx(whole[2])


def test_extrapolation_over_an_interval():
    """test-aucint.R: 8, 4, 2, 1 on days 0 to 3 reach 0.5 on day 4 with the half-life of a day."""
    rules = NcaRules(end=4, after_last="extrapolate")
    found = nca(np.arange(4), [8, 4, 2, 1], rules=rules)
    assert found["auc_interval"][0] == pytest.approx((4 + 2 + 1 + 0.5) / LN2)


@pytest.mark.parametrize(
    ("values", "rules", "half_life", "count"),
    [
        ([1, 0.5, 0.25], NcaRules(terminal_peak=True), 1.0, 3),
        ([1, 0.5, 0.25, 0.1251], NcaRules(), 1.000577, 3),
        ([1, 0.5, 0.25, 0.1251], NcaRules(terminal_peak=True, terminal_tolerance=0.1), 1.000346, 4),
    ],
)
def test_terminal_half_lives(values, rules, half_life, count):
    """test-half.life.R, "pk.calc.half.life"; printed to seven digits there."""
    found = nca(np.arange(len(values)), values, rules=rules)
    assert found["terminal_half_life"][0] == pytest.approx(half_life, rel=1e-6)
    assert found["terminal_count"][0] == count


def test_the_span_of_the_terminal_line():
    """test-half.life.R prints span.ratio 2.998962, r.squared 0.9999999 and lambda.z 0.6929073 for these four values."""
    rules = NcaRules(terminal_peak=True, terminal_tolerance=0.01)
    found = nca(np.arange(4), [1, 0.5, 0.25, 0.1251], rules=rules)
    assert found["terminal_span"][0] == pytest.approx(2.998962, rel=1e-6)
    assert found["terminal_r2"][0] == pytest.approx(0.9999999, abs=1e-7)
    assert LN2 / found["terminal_half_life"][0] == pytest.approx(0.6929073, rel=1e-7)


def test_too_few_values_give_no_half_life():
    """test-half.life.R: "Too few points" with four asked for and three given."""
    found = nca(np.arange(3), [1, 0.5, 0.25], rules=NcaRules(terminal_peak=True, terminal_points=4))
    assert np.isnan(found["terminal_half_life"][0])


def test_theophylline_takes_the_values_that_pknca_takes(shared_data):
    """test-half.life.R, get_halflife_points: how many of the last samples are in each subject's terminal line."""
    found = nca_of(read_data(shared_data / "nlme" / "theophylline.csv"), rules=NcaRules(end=24))
    assert found["terminal_count"].tolist() == [3, 4, 3, 3, 4, 7, 4, 6, 3, 3, 3, 3]


def test_theophylline_areas_are_those_of_other_software(shared_data):
    """Linear areas to the last value and peaks of subjects 1 to 6 (pkr; confirmed in PKanalix by PeccAnalysis)."""
    rules = NcaRules(method="linear", end=24, after_last="nothing")
    found = nca_of(read_data(shared_data / "nlme" / "theophylline.csv"), rules=rules)
    areas = [148.92305, 91.52680, 99.28650, 106.79630, 121.29440, 73.77555]
    assert found["auc_last"][:6] == pytest.approx(areas, abs=1e-5)
    assert found["cmax"][:6].tolist() == [10.5, 8.33, 8.20, 8.60, 11.40, 6.44]
