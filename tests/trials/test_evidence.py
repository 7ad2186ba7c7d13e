"""The scale on which reported numbers and simulated ones are compared, and how far chance may move them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from livingdrug.trials.evidence import (
    as_printed,
    chance_variance,
    compared,
    is_inside,
    observed,
    printed_step,
    reported_width,
)
from livingdrug.trials.targets import Target, expanded, target_trials, targets


def target(trial: str, endpoint: str, **more: str) -> Target:
    found = [t for t in expanded(targets(trial)) if t.endpoint == endpoint]
    return next(t for t in found if all(str(getattr(t, key)).startswith(value) for key, value in more.items()))


def test_every_target_has_a_finite_number_and_variance():
    for trial in target_trials():
        for each in expanded(targets(trial)):
            assert math.isfinite(observed(each)), each.label()
            assert 1e-4 < chance_variance(each) < 4, each.label()


def test_a_proportion_varies_as_the_binomial():
    """The delta method for the logit of 58 of 75; simulated binomials agree."""
    rate = target("eliana", "CRS any grade")
    shares = np.random.default_rng(1).binomial(rate.size, rate.value / 100, 200_000) / rate.size * 100
    assert compared(rate, shares).std() ** 2 == pytest.approx(chance_variance(rate), rel=0.06)


def test_a_geometric_mean_varies_by_its_reported_spread():
    """Kymriah's SmPC gives a CV of 173.8 %: SD of the logarithm sqrt(ln(1 + 1.738^2)), over the root of 114."""
    assert reported_width(target("eliana", "Cmax")) == pytest.approx(math.sqrt(math.log(1 + 1.738**2) / 114))


def test_a_geometric_spread_varies_as_that_of_normals():
    spread = target("eliana", "Cmax", statistic="geometric CV")
    sd = np.random.default_rng(2).normal(0, 1.2, (20_000, spread.size)).std(axis=1, ddof=1)
    assert np.log(sd).std() == pytest.approx(reported_width(spread), rel=0.05)


def test_a_median_time_varies_by_its_reported_interval():
    """KarMMa: median PFS 8.8 months, 95 % interval 5.6 to 11.6."""
    pfs = target("karmma", "median PFS", population="infused")
    assert reported_width(pfs) == pytest.approx(math.log(11.6 / 5.6) / 2 / stats.norm.ppf(0.975))


def test_quartiles_are_read_as_quartiles():
    """CARTITUDE-1: onset 7 days, quartiles 5 and 8."""
    onset = target("cartitude-1", "CRS onset median")
    sd = math.log(8 / 5) / (2 * stats.norm.ppf(0.75))
    assert reported_width(onset) == pytest.approx(1.2533 * sd / math.sqrt(97))


def test_what_is_not_reached_is_far_but_finite():
    pfs = target("karmma", "median PFS", population="infused")
    assert compared(pfs, [math.inf, 0.0]) == pytest.approx(np.log(8.8) + np.log(30) * np.array([1, -1]))
    assert np.isnan(compared(pfs, math.nan))


def test_the_printed_digits_are_those_of_the_report():
    assert printed_step(target("eliana", "CRS duration median")) == 1
    assert printed_step(target("karmma", "median PFS", population="infused")) == pytest.approx(0.1)


def test_simulated_numbers_are_printed_as_a_report_prints_them():
    late = target("zuma-1", "CAR-T in blood", timepoint="day 180")
    assert as_printed(late, [0.0, 0.004, 0.2], 0.01).tolist() == [0.01, 0.01, 0.2]  # none is reported below the limit
    duration = target("eliana", "CRS duration median")
    assert as_printed(duration, [6.6, 7.4], 0.01).tolist() == [7.0, 7.0]
    share = target("eliana", "CR/CRi", population="infused")
    assert as_printed(share, [0.001], 0.01).tolist() == [0.001]


def test_a_number_is_inside_with_all_that_would_be_printed_like_it():
    share = target("eliana", "CR/CRi", population="infused")  # 82.3 %
    assert is_inside(share, 82.34, 90.0)
    assert not is_inside(share, 82.36, 90.0)
    days = target("eliana", "CRS duration median")  # 8 days, compared with whole days
    assert is_inside(days, 7.0, 8.0)
    assert not is_inside(days, 8.4, 9.0)
