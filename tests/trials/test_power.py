"""Power: closed forms, published designs, and what common random numbers promise."""

import math

import numpy as np
import pytest
from scipy import stats

from livingdrug.errors import InputError
from livingdrug.trials.power import (
    exact_single_arm,
    mean_endpoint,
    power_curve,
    proportion_endpoint,
    simon_two_stage,
    single_arm_power,
    survival_endpoint,
)

RNG = np.random.Generator(np.random.Philox(11))
POOL = 20_000
NORMAL = stats.norm.ppf((np.arange(POOL) + 0.5) / POOL)  # an exact sample: no scatter of its own
QUANTILE = (RNG.permutation(POOL) + 0.5) / POOL


def test_power_of_means_is_that_of_the_t_test():
    """Half a standard deviation, 64 per arm, two-sided 5 %: 80.15 %, the textbook value; here by the noncentral t."""
    endpoint = mean_endpoint(NORMAL + 0.5, NORMAL)
    curve = power_curve(endpoint, [64], seed=2, replicates=4000)
    freedom, shift = 126, 0.5 * math.sqrt(32)
    exact = stats.nct.sf(stats.t.ppf(0.975, freedom), freedom, shift)
    assert exact == pytest.approx(0.8015, abs=2e-4)
    assert curve.power[0] == pytest.approx(exact, abs=4 * curve.error[0])
    assert curve.error[0] == pytest.approx(math.sqrt(0.8 * 0.2 / 4000), rel=0.05)


def test_power_of_proportions_is_that_of_all_tables():
    """60 against 40 % with 50 per arm: the power summed over all 51 x 51 tables."""
    curve = power_curve(proportion_endpoint(QUANTILE < 0.6, QUANTILE < 0.4), [50], seed=3, replicates=6000)
    x, y = np.meshgrid(np.arange(51), np.arange(51), indexing="ij")
    pooled = (x + y) / 100
    with np.errstate(invalid="ignore"):
        z = np.nan_to_num((x - y) / 50 / np.sqrt(pooled * (1 - pooled) * 2 / 50))
    exact = (np.outer(stats.binom.pmf(range(51), 50, 0.6), stats.binom.pmf(range(51), 50, 0.4)) * (z > 1.959964)).sum()
    assert curve.power[0] == pytest.approx(exact, abs=4 * curve.error[0])
    harm = power_curve(proportion_endpoint(QUANTILE < 0.4, QUANTILE < 0.6, good=False), [50], seed=3, replicates=500)
    assert harm.power[0] > 0.3


def test_power_of_survival_is_near_schoenfelds():
    """Hazard ratio 0.6, everyone followed 700 days: Schoenfeld 1981 from the expected number of events."""
    day = -300 * np.log(QUANTILE)
    ours, other = np.minimum(day / 0.6, 700), np.minimum(day, 700)
    curve = power_curve(survival_endpoint(ours, day / 0.6 < 700, other, day < 700), [100], seed=4, replicates=2000)
    events = 100 * ((day / 0.6 < 700).mean() + (day < 700).mean())
    formula = stats.norm.cdf(math.sqrt(events / 4) * -math.log(0.6) - 1.959964)
    assert curve.power[0] == pytest.approx(formula, abs=0.03)


@pytest.mark.parametrize("kind", ["mean", "proportion", "survival"])
def test_without_a_difference_success_is_as_rare_as_alpha(kind):
    day = -300 * np.log(QUANTILE)
    endpoint = {
        "mean": lambda: mean_endpoint(NORMAL, NORMAL),
        "proportion": lambda: proportion_endpoint(QUANTILE < 0.5, QUANTILE < 0.5),
        "survival": lambda: survival_endpoint(day, day < 500, day, day < 500),
    }[kind]()
    curve = power_curve(endpoint, [100], seed=5, replicates=4000)
    assert curve.power[0] == pytest.approx(0.025, abs=0.009)


def test_larger_trials_contain_the_smaller_and_nothing_else_changes():
    endpoint = mean_endpoint(NORMAL + 0.4, NORMAL)
    alone = power_curve(endpoint, [40], seed=6, replicates=200)
    among = power_curve(endpoint, [20, 40, 80], seed=6, replicates=200)
    assert np.array_equal(alone.success[0], among.success[1])
    assert np.all(np.diff(among.power) > 0)
    assert power_curve(endpoint, [40], seed=6, ratio=0.5, replicates=200).other_size.tolist() == [20]


def test_blocks_change_nothing(monkeypatch):
    endpoint = mean_endpoint(NORMAL + 0.4, NORMAL)
    whole = power_curve(endpoint, [20, 40], seed=6, replicates=50)
    monkeypatch.setattr("livingdrug.trials.power.BLOCK", 300)  # seven replicates at a time
    assert np.array_equal(power_curve(endpoint, [20, 40], seed=6, replicates=50).success, whole.success)


def test_designs_that_share_their_patients_are_told_apart_sooner():
    """The error of a difference is far below that of two separate trials."""
    better, good = (power_curve(mean_endpoint(NORMAL + x, NORMAL), [64], seed=7) for x in (0.55, 0.5))
    gain, error = better.gain_over(good)
    assert gain[0] > 3 * error[0]
    assert error[0] < 0.6 * math.hypot(better.error[0], good.error[0])


def test_probability_of_success_over_an_ensemble():
    """Half of the sets have no effect, half a sure one: assurance (1 + 0.025) / 2, range over the sets shown."""
    shift = np.array([0.0, 3.0, 0.0, 3.0])[:, None]
    curve = power_curve(mean_endpoint(NORMAL + shift, NORMAL + 0 * shift), [50], seed=8, replicates=4000)
    table = curve.table().iloc[0]
    assert table["power"] == pytest.approx(0.5125, abs=0.01)
    assert (table["lowest_set"] < 0.05, table["highest_set"]) == (True, 1.0)
    assert table["error"] == pytest.approx(np.std([0.025, 1, 0.025, 1], ddof=1) / 2, rel=0.03)


def test_single_arm_as_published():
    """10 against 20 %, alpha 5 %, power 80 % (PMC3504941 of A'Hern's design): 78 patients, 4.53 and 80.81 %."""
    design = exact_single_arm(0.1, 0.2)
    assert (design.size, design.needed) == (78, 13)
    assert (design.alpha, design.power) == (pytest.approx(0.0453, abs=5e-5), pytest.approx(0.8081, abs=1e-4))
    power = single_arm_power(78, 0.1, [0.1, 0.2], alpha=0.05)
    assert power == pytest.approx([design.alpha, design.power])
    assert single_arm_power(1, 0.5, 0.9) == 0  # no result of one patient is below the level


@pytest.mark.parametrize(
    ("null", "hoped", "optimal", "minimax"),
    [
        # public tests of an R package against clinfun::ph2simon; Simon 1989 prints the same
        (0.2, 0.4, (3, 13, 12, 43), (4, 18, 10, 33)),
        (0.05, 0.25, (0, 9, 2, 17), (0, 12, 2, 16)),
    ],
)
def test_simons_designs(null, hoped, optimal, minimax):
    found = simon_two_stage(null, hoped, largest=60)
    for name, wanted in (("optimal", optimal), ("minimax", minimax)):
        design = found[name]
        assert (design.stop, design.first, design.fail, design.size) == wanted
        for share, chance in ((null, design.alpha), (hoped, design.power)):
            x = np.arange(design.stop + 1, design.first + 1)
            later = stats.binom.sf(design.fail - x, design.size - design.first, share)
            assert chance == pytest.approx((stats.binom.pmf(x, design.first, share) * later).sum())
        assert design.early == pytest.approx(stats.binom.cdf(design.stop, design.first, null))
        assert design.alpha <= 0.05
        assert design.power >= 0.8


def test_simons_design_by_brute_force():
    """Every design of up to 12 patients, tried one by one."""
    null, hoped, alpha, power = 0.1, 0.5, 0.1, 0.8
    best = []
    for size in range(2, 13):
        for first in range(1, size):
            for stop in range(first):
                x = np.arange(stop + 1, first + 1)
                early = stats.binom.cdf(stop, first, null)
                for fail in range(stop, size):
                    chance = [
                        (stats.binom.pmf(x, first, p) * stats.binom.sf(fail - x, size - first, p)).sum()
                        for p in (null, hoped)
                    ]
                    if chance[0] <= alpha and chance[1] >= power:
                        best.append((first + (1 - early) * (size - first), size, stop, first, fail))
    found = simon_two_stage(null, hoped, alpha=alpha, power=power, largest=12)
    assert found["optimal"].expected == pytest.approx(min(best)[0])
    assert (found["minimax"].size, found["minimax"].expected) == pytest.approx(min((b[1], b[0]) for b in best))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mean_endpoint([1, 2], [1]), "same patients"),
        (lambda: mean_endpoint([1, math.nan], [1, 2]), "finite"),
        (lambda: survival_endpoint([1, 2], [1], [1, 2], [1]), "one shape"),
        (lambda: power_curve(mean_endpoint([1, 2], [1, 2]), [1], seed=1), "sizes from 2"),
        (lambda: power_curve(mean_endpoint([1, 2], [1, 2]), [10**9], seed=1), "sizes from 2"),
        (lambda: power_curve(mean_endpoint([1, 2], [1, 2]), [], seed=1), "sizes from 2"),
        (lambda: power_curve(mean_endpoint([1, 2], [1, 2]), [5], seed=1, alpha=0.7), "one-sided"),
        (lambda: power_curve(mean_endpoint([[1, 2]] * 9, [[1, 2]] * 9), [5], seed=1, replicates=3), "replicates"),
        (lambda: single_arm_power(0, 0.1, 0.2), "patients"),
        (lambda: single_arm_power(9, 0.1, 1.2), "true share"),
        (lambda: exact_single_arm(0.2, 0.1), "rise"),
        (lambda: exact_single_arm(0.2, 0.2001), "no trial"),
        (lambda: simon_two_stage(0.2, 0.4, power=1), "power"),
        (lambda: simon_two_stage(0.2, 0.4, largest=20), "search further"),
        (lambda: simon_two_stage(0.2, 0.4, largest=10**6), "searched"),
    ],
)
def test_mistakes(call, message):
    with pytest.raises(InputError, match=message):
        call()
