import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from livingdrug.errors import InputError
from livingdrug.trials.survival import kaplan_meier, many_curves, median_of_trials, share_of_trials, wilson

# Remission times (weeks) under 6-mercaptopurine, Freireich et al. 1963, the textbook example (recalled):
# estimates and standard errors as printed in textbooks and by R survival::survfit.
WEEKS = [6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35]
RELAPSE = [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0]
SHARES = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
ERRORS = {6: 0.0764, 7: 0.0869, 10: 0.0963, 13: 0.1068, 16: 0.1141, 22: 0.1282, 23: 0.1346}


def test_textbook_example():
    curve = kaplan_meier(WEEKS, RELAPSE)
    for week, share in SHARES.items():
        assert curve.at(week) == pytest.approx(share, abs=5e-4)
        place = np.searchsorted(curve.day, week)
        # undo the log-log interval to get the standard error back
        theta = math.log(math.log(curve.low[place]) / math.log(curve.share[place])) / 1.959964
        assert abs(theta * curve.share[place] * math.log(curve.share[place])) == pytest.approx(ERRORS[week], abs=5e-4)
    assert curve.at_risk_on([0, 6, 7, 10, 23]).tolist() == [21, 21, 17, 15, 6]
    assert curve.first_day_below(0.5) == 23
    assert math.isnan(curve.first_day_below(0.1))


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans()), min_size=1, max_size=40))
def test_curve_is_a_falling_share_inside_its_interval(pairs):
    days, events = map(list, zip(*pairs, strict=True))
    curve = kaplan_meier(days, events)
    assert curve.day[0] == 0
    assert np.all(np.diff(curve.day) > 0)
    assert np.all(np.diff(curve.share) <= 1e-12)
    assert np.all((curve.low <= curve.share + 1e-12) & (curve.share <= curve.high + 1e-12))
    assert np.all((curve.low >= 0) & (curve.high <= 1))
    if all(events):
        assert curve.at(max(days)) == pytest.approx(0, abs=1e-9)


def test_without_censoring_it_is_the_share_of_patients():
    days = np.array([3.0, 1.0, 4.0, 1.0, 5.0])
    assert kaplan_meier(days, np.ones(5)).at([0.9, 1, 3.5]).tolist() == pytest.approx([1, 0.6, 0.4])


@pytest.mark.parametrize(
    ("days", "events"), [([], []), ([1], [1, 0]), ([-1], [1]), ([math.nan], [1]), ([math.inf], [0])]
)
def test_mistakes(days, events):
    with pytest.raises(InputError, match="survival needs"):
        kaplan_meier(days, events)


def test_band_covers_trials_of_its_size():
    rng = np.random.Generator(np.random.Philox(1))
    low, high = share_of_trials([0.0, 0.3, 1.0], 101)
    drawn = rng.binomial(101, 0.3, 20_000) / 101
    assert np.mean((low[1] <= drawn) & (drawn <= high[1])) >= 0.95
    assert (low[0], high[0], low[2], high[2]) == (0, 0, 1, 1)


def test_median_band_covers_medians_of_trials():
    rng = np.random.Generator(np.random.Philox(2))
    days = rng.exponential(180, 50_000)
    low, high = median_of_trials(kaplan_meier(days, np.ones(days.size)), 101)
    medians = np.median(rng.exponential(180, (4000, 101)), axis=1)
    assert np.mean((low <= medians) & (medians <= high)) == pytest.approx(0.95, abs=0.015)


def test_wilson_edges():
    assert wilson(0, 10)[0] == 0
    assert wilson(10, 10)[1] == 1
    assert all(math.isnan(end) for end in wilson(0, 0))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=1, max_size=12), min_size=1, max_size=4))
def test_many_curves_are_the_curves_of_each_and_those_of_scipy(replicates):
    """Replicates of different sizes, filled up with NaN; SciPy's empirical survival function as the judge."""
    most = max(map(len, replicates))
    days, events = np.full((len(replicates), most), np.nan), np.zeros((len(replicates), most), bool)
    for row, patients in enumerate(replicates):
        days[row, : len(patients)], events[row, : len(patients)] = zip(*patients, strict=True)
    curves = many_curves(days, events)
    asked = np.arange(0, 11) / 1.0
    for row, patients in enumerate(replicates):
        day, event = (np.array(column) for column in zip(*patients, strict=True))
        one = kaplan_meier(day, event)
        assert curves.at(asked)[row] == pytest.approx(one.at(asked))
        assert curves.median()[row] == (one.first_day_below(0.5) if (one.share <= 0.5 + 1e-12).any() else math.inf)
        if event.any():
            judge = stats.ecdf(stats.CensoredData.right_censored(day, ~event)).sf
            assert curves.at(asked)[row] == pytest.approx(judge.evaluate(asked), abs=1e-12)


def test_an_empty_replicate_has_no_numbers():
    curves = many_curves([[math.nan, math.nan], [1.0, 2.0]], [[True, True], [True, True]])
    assert np.isnan(curves.at([0, 5])[0]).all()
    assert np.isnan(curves.median()[0])
    assert np.isnan(curves.restricted_mean(5)[0][0])
    assert curves.median()[1] == 1
    assert not curves.event[0].any()


@pytest.mark.parametrize(
    ("days", "events"), [([[]], [[]]), ([[1]], [[1, 0]]), ([[-1]], [[1]]), ([[math.inf]], [[0]]), ([[[1]]], [[[1]]])]
)
def test_mistakes_of_many(days, events):
    with pytest.raises(InputError, match="survival needs"):
        many_curves(days, events)
