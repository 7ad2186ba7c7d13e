"""Two arms compared: R's survival package, SciPy and closed forms as judges.

R's numbers for the leukaemia data (aml) and ovarian cancer: survival 3.8-9 on R 4.5.2, as printed in the public file
test/r_expected_values.json of the repository Cameron-Lyons/survival. Lung cancer (228 patients, lung.csv): coxph and
survdiff of R as printed in public tutorials (coefficient -0.5310, error 0.1672; chi-squared 10.3267, expected 91.5817).
"""

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from livingdrug.errors import InputError
from livingdrug.trials.comparisons import (
    difference_of_proportions,
    hazard_ratio,
    log_rank,
    ratio_of_proportions,
    restricted_mean_difference,
)
from livingdrug.trials.survival import many_curves

MAINTAINED = [9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161], [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0]
NOT = [5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45], [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1]
AML = MAINTAINED[0] + NOT[0], MAINTAINED[1] + NOT[1], [False] * 11 + [True] * 12
OVARIAN = (
    [59, 115, 156, 421, 431, 448, 464, 475, 477, 563, 638, 744, 769, 770, 803, 855, 1040, 1106, 1129, 1206, 1227, 268,
     329, 353, 365, 377],
    [1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0],
    [1, 1, 1, 2, 1, 1, 2, 2, 1, 2, 1, 2, 2, 2, 1, 1, 1, 1, 2, 2, 2, 1, 1, 2, 2, 2],
)  # fmt: skip


@pytest.fixture(scope="module")
def lung():
    with (Path(__file__).parent / "lung.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in rows[0]}


def test_leukaemia_as_in_r():
    found = hazard_ratio(*AML)
    assert found.log == pytest.approx([0.91553257501], abs=1e-9)
    assert found.error == pytest.approx([0.51193427517], abs=1e-9)
    assert found.ratio == pytest.approx([2.4981053262], abs=1e-8)
    ends = np.exp(0.91553257501 + np.array([-1, 1]) * 1.959963985 * 0.51193427517)
    assert [found.low[0], found.high[0]] == pytest.approx(ends.tolist(), rel=1e-7)
    test = log_rank(*AML)
    assert test.chi_squared == pytest.approx([3.396388699], abs=1e-8)
    assert test.p == pytest.approx([0.065339322041], abs=1e-9)
    assert (test.observed[0], test.expected[0]) == (11, pytest.approx(7.3106640077, abs=1e-9))
    assert test.z[0] > 0  # more events than expected


def test_leukaemia_curves_as_in_r():
    curves = [many_curves(*arm) for arm in (MAINTAINED, NOT)]
    assert [float(curve.median()[0]) for curve in curves] == [31, 23]
    days = [9, 13, 18, 23, 31, 34, 48]
    shares = [0.90909091, 0.81818182, 0.71590909, 0.61363636, 0.49090909, 0.36818182, 0.18409091]
    assert curves[0].at(days)[0] == pytest.approx(shares, abs=1e-8)
    shares = [0.83333333, 0.66666667, 0.48611111, 0.09722222, 0]
    assert curves[1].at([5, 8, 23, 43, 45])[0] == pytest.approx(shares, abs=1e-8)
    means = ((0, 30, 24.6022727273), (0, 48, 31.8431818182), (1, 30, 19.6944444444), (1, 48, 22.7083333333))
    for arm, until, mean in means:
        assert curves[arm].restricted_mean(until)[0] == pytest.approx([mean], abs=1e-9)


def test_ovarian_cancer_as_in_r():
    days, events, rx = OVARIAN
    test = log_rank(days, events, np.array(rx) == 2)
    assert test.chi_squared == pytest.approx([1.0627398613], abs=1e-9)
    assert test.expected == pytest.approx([6.7664689829], abs=1e-9)


def test_lung_cancer_as_in_r(lung):
    data = lung["time"], lung["status"], lung["sex"] == 2
    found = hazard_ratio(*data)
    assert found.log == pytest.approx([-0.5310], abs=5e-5)
    assert found.error == pytest.approx([0.1672], abs=5e-5)
    assert [found.ratio[0], found.low[0], found.high[0]] == pytest.approx([0.5880, 0.4237, 0.8160], abs=5e-5)
    test = log_rank(*data)
    assert test.chi_squared == pytest.approx([10.3267], abs=5e-5)
    assert (test.observed[0], test.expected[0]) == (53, pytest.approx(73.4183, abs=5e-5))


def test_strata_as_in_other_packages(lung):
    """Stratified by performance status: Cox with Efron ties and log-rank by statsmodels 0.15.0, run once."""
    known = ~np.isnan(lung["ph.ecog"])
    data = lung["time"][known], lung["status"][known], lung["sex"][known] == 2, lung["ph.ecog"][known]
    found = hazard_ratio(*data)
    assert [found.log[0], found.error[0]] == pytest.approx([-0.55436446, 0.1705852], abs=1e-7)
    assert log_rank(*data).chi_squared == pytest.approx([10.795059633], abs=1e-8)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 8), st.booleans(), st.booleans()), min_size=2, max_size=25))
def test_log_rank_is_that_of_scipy(patients):
    days, events, arm = (np.array(column) for column in zip(*patients, strict=True))
    found = log_rank(days, events, arm)
    if not (arm.any() and (~arm).any() and (events & arm).any() and (events & ~arm).any()):
        return  # SciPy wants events in both samples
    samples = (stats.CensoredData.right_censored(days[side], ~events[side]) for side in (arm, ~arm))
    with np.errstate(divide="ignore", invalid="ignore"):
        judge = stats.logrank(*samples)
    if math.isfinite(judge.statistic):
        assert abs(found.z[0]) == pytest.approx(abs(judge.statistic), abs=1e-9)
        assert found.p[0] == pytest.approx(judge.pvalue, abs=1e-9)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.booleans()), min_size=1, max_size=14))
def test_hazard_ratio_is_the_top_of_efrons_likelihood(patients):
    """The likelihood written out day by day; the ratio found is higher than its neighbours, or the end of the line."""
    days, events, arm = (np.array(column) for column in zip(*patients, strict=True))
    found = hazard_ratio(days, events, arm)

    def likelihood(log):
        total = 0.0
        weight = np.where(arm, math.exp(log), 1.0)
        for day in np.unique(days[events]):
            now, risk = (days == day) & events, weight[days >= day].sum()
            total += log * (arm & now).sum()
            total -= sum(math.log(risk - l / now.sum() * weight[now].sum()) for l in range(now.sum()))
        return total

    if np.isfinite(found.log[0]):
        best = likelihood(found.log[0])
        assert all(likelihood(found.log[0] + step) <= best + 1e-9 for step in (-1, -0.01, 0.01, 1))
        curvature = (likelihood(found.log[0] + 1e-3) - 2 * best + likelihood(found.log[0] - 1e-3)) / 1e-6
        assert found.error[0] == pytest.approx(1 / math.sqrt(-curvature), rel=1e-3)
    elif np.isinf(found.log[0]):
        way = math.copysign(1, found.log[0])
        values = [likelihood(way * step) for step in range(9)]
        assert all(b >= a - 1e-12 for a, b in itertools.pairwise(values))
    else:
        assert likelihood(-3) == pytest.approx(likelihood(3))  # nothing is known


def test_replicates_are_separate_and_missing_patients_do_not_count():
    rng = np.random.Generator(np.random.Philox(3))
    days, events, arm = np.ceil(rng.exponential(9, (6, 40))), rng.random((6, 40)) < 0.7, rng.random((6, 40)) < 0.5
    days[2, 30:] = np.nan
    together = hazard_ratio(days, events, arm), log_rank(days, events, arm), many_curves(days, events)
    for row in range(6):
        there = ~np.isnan(days[row])
        one = days[row, there], events[row, there], arm[row, there]
        assert together[0].log[row] == pytest.approx(hazard_ratio(*one).log[0], abs=1e-9)
        assert together[1].z[row] == pytest.approx(log_rank(*one).z[0], abs=1e-12)
        assert together[2].at([5, 20])[row] == pytest.approx(many_curves(*one[:2]).at([5, 20])[0])


def test_no_information():
    nothing = hazard_ratio([1, 2], [0, 0], [0, 1])
    assert all(math.isnan(values[0]) for values in (nothing.ratio, nothing.low, nothing.error))
    assert (log_rank([1, 2], [0, 0], [0, 1]).z[0], log_rank([1, 2], [0, 0], [0, 1]).p[0]) == (0, 1)
    one_sided = hazard_ratio([1, 2, 3, 4], [1, 1, 0, 0], [1, 1, 0, 0])
    assert (one_sided.ratio[0], one_sided.high[0]) == (math.inf, math.inf)
    assert hazard_ratio([1, 2, 3, 4], [1, 1, 0, 0], [0, 0, 1, 1]).ratio[0] == 0


def test_restricted_mean_of_all_uncensored_is_a_mean():
    rng = np.random.Generator(np.random.Philox(4))
    days, arm = rng.exponential(100, (1, 4000)), np.arange(4000) < 2000
    found = restricted_mean_difference(days, np.ones((1, 4000)), arm, 150)
    capped = np.minimum(days[0], 150)
    assert found.value[0] == pytest.approx(capped[arm].mean() - capped[~arm].mean())
    half = 1.959964 * math.sqrt(capped[arm].var() / 2000 + capped[~arm].var() / 2000)
    assert found.high[0] - found.value[0] == pytest.approx(half, rel=2e-3)


def test_proportions():
    """56/70 against 48/80: the difference by statsmodels 0.15.0 (method newcomb), run once; the ratio by SciPy."""
    found = difference_of_proportions(56, 70, 48, 80)
    assert [float(found.value), float(found.low), float(found.high)] == pytest.approx([0.2, 0.0524, 0.3339], abs=5e-5)
    judge = stats.contingency.relative_risk(56, 70, 48, 80)
    interval = judge.confidence_interval(0.95)
    ratio = ratio_of_proportions([56, 0, 5], [70, 9, 9], [48, 3, 0], [80, 9, 9])
    assert [ratio.value[0], ratio.low[0], ratio.high[0]] == pytest.approx([judge.relative_risk, *interval], rel=1e-9)
    assert (ratio.value[1], ratio.low[1], ratio.value[2], ratio.high[2]) == (0, 0, math.inf, math.inf)
    ends = difference_of_proportions([0, 9], 9, [9, 0], 9)
    assert np.all(ends.low >= -1)
    assert np.all(ends.high <= 1)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_rank([1, 2], [1], [0, 1]), "one shape"),
        (lambda: log_rank([1, 2], [1, 1], [0, 1, 1]), "treated needs the shape"),
        (lambda: log_rank([1, 2], [1, 1], [0, 1], strata=[1]), None),
        (lambda: hazard_ratio([-1, 2], [1, 1], [0, 1]), "0 or more"),
        (lambda: hazard_ratio([math.inf, 2], [1, 1], [0, 1]), "finite"),
        (lambda: hazard_ratio([], [], []), "with patients"),
        (lambda: restricted_mean_difference([1], [1], [1], -3), "above 0"),
        (lambda: difference_of_proportions(5, 4, 1, 2), "count from 0"),
        (lambda: ratio_of_proportions(0, 0, 1, 2), "needs patients"),
    ],
)
def test_mistakes(call, message):
    if message is None:
        assert call().p[0] == pytest.approx(log_rank([1, 2], [1, 1], [0, 1]).p[0])  # one label for all
        return
    with pytest.raises(InputError, match=message):
        call()
