"""Control charts, capability and comparability: published run lengths, textbook numbers, reference software, chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from livingdrug.errors import InputError
from livingdrug.plant import capability as capabilities
from livingdrug.plant.batch_scales import moving_range_sigma
from livingdrug.plant.capability import capability, equivalence
from livingdrug.plant.control_charts import (
    BEYOND,
    NELSON,
    WESTERN_ELECTRIC,
    Pattern,
    Trend,
    average_run_length,
    ewma_chart,
    ewma_run_length,
    individuals_chart,
    p_chart,
    xbar_s_charts,
)


def test_limits_alone_have_the_run_length_of_the_normal_tails():
    assert average_run_length([BEYOND]) == pytest.approx(1 / (2 * stats.norm.sf(3)), rel=1e-9)
    inside = stats.norm.cdf(3 - 1.5) - stats.norm.cdf(-3 - 1.5)
    assert average_run_length([BEYOND], 1.5) == pytest.approx(1 / (1 - inside), rel=1e-9)


def test_western_electric_rings_once_in_91_75_batches():
    """Published for all four rules (Champ and Woodall 1987, as restated on the page on the Western Electric rules)."""
    assert average_run_length(WESTERN_ELECTRIC) == pytest.approx(91.75, abs=0.005)


@pytest.mark.parametrize("length", [8, 9])
def test_a_run_on_one_side_has_the_length_of_coin_tosses(length):
    """Until k equal tosses in a row: 2**k - 1 tosses of a fair coin."""
    assert average_run_length([Pattern("run", length, length, 0.0)]) == pytest.approx(2**length - 1, rel=1e-9)


def test_run_lengths_agree_with_rules_applied_to_chance():
    """The Markov chain against the rules themselves on 400 simulated charts, shifted by one sigma."""
    z = np.random.default_rng(4).normal(1.0, 1.0, (400, 400))
    first = [np.min([np.argmax(rule.found(row)) for rule in WESTERN_ELECTRIC if rule.found(row).any()]) for row in z]
    error = np.std(first) / math.sqrt(len(first))
    assert np.mean(first) + 1 == pytest.approx(average_run_length(WESTERN_ELECTRIC, 1.0), abs=4 * error)


# Crowder 1987, table 1, width 2 (shift -> run length at weights 0.5 and 0.05), and Lucas and Saccucci 1990, table 3
# (weight 0.5 with width 3.071, weight 0.03 with 2.437), both as reprinted in the examples of the R package spc.
CROWDER = {0.0: (26.45, 127.53), 0.25: (20.12, 43.94), 0.5: (11.89, 18.97), 1.0: (4.91, 8.38), 2.0: (1.94, 4.04)}
LUCAS = {0.0: (500.0, 500.0), 0.25: (255.0, 76.7), 0.5: (88.8, 29.3), 1.0: (17.5, 12.6), 2.0: (3.63, 5.99)}


@pytest.mark.parametrize("shift", CROWDER)
def test_moving_averages_have_crowders_run_lengths(shift):
    found = ewma_run_length(0.5, 2.0, shift), ewma_run_length(0.05, 2.0, shift)
    assert found == pytest.approx(CROWDER[shift], abs=0.006)


@pytest.mark.parametrize("shift", LUCAS)
def test_moving_averages_have_the_run_lengths_of_lucas_and_saccucci(shift):
    found = ewma_run_length(0.5, 3.071, shift), ewma_run_length(0.03, 2.437, shift)
    assert found == pytest.approx(LUCAS[shift], rel=0.005)  # three digits are printed


def test_the_run_length_of_the_sas_manual():
    """SAS/QC manual 1999: 11.154267016 for weight 0.25, width 3, shift 1."""
    assert ewma_run_length(0.25, 3.0, 1.0) == pytest.approx(11.154267016, abs=1e-8)


def test_ewma_points_and_limits_by_hand():
    chart = ewma_chart([12.0, 8.0, 14.0], weight=0.5, width=3.0, center=10.0, sigma=2.0)
    assert chart.points.tolist() == [11.0, 9.5, 11.75]
    half = [3 * 2 * math.sqrt(0.5 / 1.5 * (1 - 0.25**n)) for n in (1, 2, 3)]
    assert (chart.upper - 10).tolist() == pytest.approx(half)
    assert chart.signals() == []


def test_individuals_by_hand():
    """Moving ranges 2, 3, 2: mean 7/3, over 1.128 is 2.068."""
    chart = individuals_chart([10.0, 12.0, 9.0, 11.0])
    assert chart.center[0] == 10.5
    assert chart.upper[0] == pytest.approx(10.5 + 3 * 7 / 3 / 1.128, abs=0.01)


def test_means_and_spreads_by_hand():
    """Groups of three: c4 is 0.8862; two groups of spread 1 pool to 1, unbiased by c4(5) = 0.9400."""
    means, spreads = xbar_s_charts([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    sigma = 1 / 0.9400
    assert means.center[0] == 3.5
    assert means.upper[0] == pytest.approx(3.5 + 3 * sigma / math.sqrt(3), rel=1e-4)
    assert spreads.center[0] == pytest.approx(0.8862 * sigma, rel=1e-4)
    assert spreads.lower[0] == 0.0
    assert spreads.upper[0] == pytest.approx((0.8862 + 3 * math.sqrt(1 - 0.8862**2)) * sigma, rel=1e-4)


def test_shares_of_failures_keep_their_promised_false_alarms():
    """The exact limits leave at most 0.135 % outside on each side; normal limits would ring four times as often."""
    chart = p_chart(np.zeros(3), [10, 50, 400], center=0.05)
    outside = stats.binom.sf(chart.upper * [10, 50, 400], [10, 50, 400], 0.05)
    assert np.all(outside <= 0.00135)
    assert stats.binom.sf(np.floor(50 * (0.05 + 3 * math.sqrt(0.05 * 0.95 / 50))), 50, 0.05) > 0.003
    assert p_chart([0, 9], [10, 10]).center.tolist() == [0.45, 0.45]


NELSONS = {  # rule -> points that break it with the last one, and points that just do not
    "beyond 3 sigma": ([3.1], [2.9]),
    "9 on one side": ([0.1, 0.3] * 4 + [0.2], [-0.1] + [0.1, 0.3] * 4),
    "6 rising or falling": ([0.5, 0.4, 0.3, 0.2, 0.1, -0.1], [0.5, 0.4, 0.3, 0.2, 0.25, -0.1]),
    "14 up and down": ([0.5, -0.5] * 7, [0.5, -0.5] * 6 + [0.5, 0.6]),
    "2 of 3 beyond 2 sigma": ([2.1, 0.0, 2.2], [2.1, 0.0, 0.0, 2.2]),
    "4 of 5 beyond 1 sigma": ([1.1, 1.2, 0.0, 1.3, 1.1], [1.1, 1.2, 0.0, -1.3, 1.1]),
    "15 within 1 sigma": ([0.9, -0.2, 0.1] * 5, [0.9, -0.2, 0.1] * 4 + [0.9, -1.2, 0.1]),
    "8 outside 1 sigma": ([1.1, -1.2] * 4, [1.1, -1.2] * 3 + [1.1, 0.9]),
}


@pytest.mark.parametrize("rule", NELSON, ids=lambda rule: rule.name)
def test_each_rule_is_met_by_its_pattern_and_not_by_a_near_miss(rule):
    broken, kept = NELSONS[rule.name]
    assert rule.found(np.array(broken)).tolist() == [False] * (len(broken) - 1) + [True]
    assert not rule.found(np.array(kept)).any()


def test_signals_name_batch_and_rule():
    chart = individuals_chart([0.1, 2.1, 0.0, 2.2, -3.5], center=0.0, sigma=1.0)
    found = [(signal.batch, signal.rule) for signal in chart.signals(WESTERN_ELECTRIC)]
    assert found == [(4, "2 of 3 beyond 2 sigma"), (5, "beyond 3 sigma")]
    assert list(chart.to_frame().columns) == ["batch", "point", "center", "lower", "upper"]


def test_the_interval_of_cp_is_the_textbooks():
    """Limits 38 and 62, n = 20, s = 1.75: Cp 2.29, upper end 3.01 (worked textbook question); chi-squared below."""
    y = stats.norm.ppf((np.arange(20) + 0.5) / 20)
    found = capability(50 + 1.75 * (y - y.mean()) / y.std(ddof=1), lower=38, upper=62)
    assert found.pp == pytest.approx(2.29, abs=0.005)
    low = found.pp * math.sqrt(stats.chi2.ppf(0.025, 19) / 19)
    assert found.pp_interval == pytest.approx((low, 3.01), abs=0.005)


def test_bissells_interval_by_hand():
    """Limits 90 and 100, n = 30, mean 97, s 1.6: 0.625 +- 1.96 sqrt(1/270 + 0.625**2/58) = 0.426 to 0.824."""
    y = stats.norm.ppf((np.arange(30) + 0.5) / 30)
    found = capability(97 + 1.6 * (y - y.mean()) / y.std(ddof=1), lower=90, upper=100)
    assert found.ppk == pytest.approx(0.625, abs=1e-6)
    assert found.ppk_interval == pytest.approx((0.425, 0.825), abs=0.001)
    assert found.outside == pytest.approx(stats.norm.sf(3 / 1.6) + stats.norm.cdf(-7 / 1.6), rel=1e-6)


@pytest.mark.parametrize(("upper", "slack"), [(None, 0.0), (7.5, 0.01)])
def test_capability_intervals_cover_the_truth(upper, slack):
    """600 simulated sites of 12 batches: a 90 % interval covers the true index in 90 % (Bissell's is approximate)."""
    truth = min(3.0, (upper or 99) - 0.0) / 3
    luck = np.random.default_rng(11)
    ppk, cpk = [], []
    for _ in range(600):
        found = capability(luck.normal(0, 1, 12), lower=-3.0, upper=upper, confidence=0.9)
        ppk.append(found.ppk_interval[0] <= truth <= found.ppk_interval[1])
        cpk.append(found.cpk_interval[0] <= truth <= found.cpk_interval[1])
    error = math.sqrt(0.9 * 0.1 / 600)
    assert np.mean(ppk) == pytest.approx(0.9, abs=3 * error + slack)
    assert np.mean(cpk) == pytest.approx(0.9, abs=3 * error + 0.01)


@pytest.mark.parametrize(("index", "size"), [(0.4, 5), (1.33, 20), (2.0, 60)])
def test_one_sided_intervals_are_those_of_the_noncentral_t(index, size):
    """scipy.stats.nct at the ends gives back the two tails."""
    low, high = capabilities._one_sided(index, size, size - 1, 0.9)
    factor = 3 * math.sqrt(size)
    tails = [stats.nct.cdf(factor * index, size - 1, factor * end) for end in (low, high)]
    assert tails == pytest.approx([0.95, 0.05], abs=1e-4)


def test_freedom_of_the_moving_range_is_that_of_simulated_charts():
    sigmas = [moving_range_sigma(row) for row in np.random.default_rng(2).normal(0, 1, (20_000, 15))]
    assert np.mean(sigmas) == pytest.approx(1.0, abs=4 * np.std(sigmas) / math.sqrt(20_000))
    assert 1 / (2 * np.var(sigmas)) == pytest.approx(capabilities.moving_range_freedom(15), rel=0.03)


A = [2.1, 2.6, 1.8, 2.3, 2.9, 2.0, 2.4]
B = [2.2, 2.0, 2.5, 1.9, 2.3]


@pytest.mark.parametrize(
    ("scale", "margins", "pooled", "p"),
    [
        ("linear", (-0.5, 0.5), True, 0.03757036095548805),
        ("linear", (-0.5, 0.5), False, 0.028875934346366136),
        ("log", (0.7, 1 / 0.7), True, 0.0020953837849442625),
        ("log", (0.7, 1 / 0.7), False, 0.001370578317451716),
    ],
)
def test_equivalence_gives_the_p_of_statsmodels(scale, margins, pooled, p):
    """statsmodels 0.15.0: ttost_ind(A, B, low, high, usevar="pooled" or "unequal", transform=np.log for ratios)."""
    found = equivalence(A, B, margins, scale=scale, pooled=pooled)
    assert found.p == pytest.approx(p, rel=1e-9)
    assert found.equivalent
    assert margins[0] < found.interval[0] < found.estimate < found.interval[1] < margins[1]


def test_the_interval_decides():
    """An interval of 90 % that just reaches a margin belongs to p = 0.05."""
    found = equivalence(A, B, (-0.5, 0.5))
    at_the_end = equivalence(A, B, (-0.5, found.interval[1]))
    assert at_the_end.p == pytest.approx(0.05, abs=1e-9)
    assert not equivalence(A, B, (-0.5, 0.95 * found.interval[1])).equivalent


def test_a_difference_at_the_margin_passes_in_one_of_twenty():
    """Type I error at the margin, 3,000 simulated pairs of sites with ten batches each: 5 % within chance."""
    luck = np.random.default_rng(3)
    passed = [
        equivalence(luck.normal(0, 0.2, 10), luck.normal(0.5, 0.2, 10), (-0.5, 0.5)).equivalent for _ in range(3000)
    ]
    assert np.mean(passed) == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / 3000))


def test_odds_are_compared_on_the_logit_scale():
    """The same odds ratio of 2 in every pair."""
    shares = np.array([0.5, 0.6, 0.7, 0.8])
    odds = 2 * shares / (1 - shares)
    found = equivalence(odds / (1 + odds), shares, (0.2, 5.0), scale="logit")
    assert found.estimate == pytest.approx(2.0)
    assert found.spread_ratio == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: individuals_chart([5.0, 5.0, 5.0]), "do not differ"),
        (lambda: individuals_chart([5.0]), "2 to 1000000 batches"),
        (lambda: individuals_chart([0.9, 1.2], scale="logit"), "batch 2 must be above 0 and below 1"),
        (lambda: individuals_chart([0.9, math.nan]), "batch 2 must be finite"),
        (lambda: individuals_chart([1.0, 2.0], scale="lgo"), "did you mean 'log'"),
        (lambda: capability([1.0, 2.0, 3.0]), "a lower or an upper limit"),
        (lambda: capability([1.0, 2.0, 3.0], lower=4, upper=1), "below the upper limit"),
        (lambda: equivalence(A, B, (0.1, 0.5)), "both sides of 0"),
        (lambda: equivalence(A, B, (-0.5, 1.5), scale="log"), "both sides of 1"),
        (lambda: p_chart([3], [2]), "at most as many failures"),
        (lambda: p_chart([0.5], [2]), "whole numbers"),
        (lambda: p_chart([0, 1], [9, 9]).signals(WESTERN_ELECTRIC), "one normal distribution"),
        (lambda: average_run_length([Trend("t", 6)]), "simulate those on trends"),
        (lambda: ewma_chart([1.0, 2.0], weight=0.0), "weight"),
        (lambda: xbar_s_charts([[1.0, 2.0]]), "2 or more groups"),
        (lambda: xbar_s_charts([["a", 2.0], [1.0, 2.0]]), "row of numbers"),
    ],
)
def test_what_cannot_be_is_refused_in_words(call, told):
    with pytest.raises(InputError, match=told):
        call()


@pytest.mark.parametrize("shift", [math.nan, math.inf, -1e6])
def test_a_shift_that_is_no_number_is_refused(shift):
    with pytest.raises(InputError, match="shift must be a number"):
        average_run_length(shift=shift)
    with pytest.raises(InputError, match="shift must be a number"):
        ewma_run_length(0.2, 2.86, shift=shift)
