"""What waiting costs: the published result of Tully 2019 (``tully2019``), and what can and cannot give it."""

from itertools import pairwise

import numpy as np
import pytest

from livingdrug.errors import InputError, SolveError
from livingdrug.plant import WaitingRisk, crossing, fit_risk, tully
from livingdrug.plant.risk import MONTH, YEAR

PUBLISHED = {0: 0.340, 1: 0.361, 9: 0.763}  # months of waiting -> dead within a year, with CAR-T cells
CHEMOTHERAPY = 0.751  # dead within a year, without them
PATIENTS = 20_000


def stated(value, unit="1"):
    return {"value": value, "unit": unit}


def risk_of(power):
    found = fit_risk(power)
    units = {"useless_after": "day"}
    return WaitingRisk(
        **{name: stated(value, units.get(name, "1")) for name, value in found.items()}, power=stated(power)
    )


def test_the_four_mortalities_follow_exactly():
    risk = tully()
    for months, dead in PUBLISHED.items():
        assert float(risk.mortality(months * MONTH)) == pytest.approx(dead, abs=5e-8)
    assert 1 - np.exp(-float(risk.cumulative(YEAR))) == pytest.approx(CHEMOTHERAPY, abs=5e-8)


def test_the_shipped_numbers_are_those_of_the_fit():
    risk, found = tully(), fit_risk()
    for name, value in found.items():
        assert getattr(risk, name).value == pytest.approx(value, rel=1e-8), name


@pytest.mark.parametrize("power", [1.7, 2.0, 2.5, 3.0, 4.0, 6.0])
def test_crossing_is_predicted_between_eight_and_nine_months(power):
    """The crossing ("above 8 months" in a table of whole months) was fitted by nothing; no power moves it out."""
    risk = risk_of(power)
    assert 8 < crossing(risk) / MONTH < 9
    assert float(risk.mortality(8 * MONTH)) < CHEMOTHERAPY < float(risk.mortality(9 * MONTH))


@pytest.mark.parametrize("months", sorted(PUBLISHED))
def test_the_simulated_fleet_gives_the_published_mortality(queue_plan, months):
    """Everyone waits exactly so long in the fleet; one-year mortality within four standard errors of the paper's."""
    plan = queue_plan(None, 30.0, days=months * MONTH, risk="tully2019")
    patients = plan.run(PATIENTS, seed=11).patients
    dead = (patients["death_day"] - patients["referral_day"] <= YEAR).mean()
    expected = PUBLISHED[months]
    assert abs(dead - expected) < 4 * np.sqrt(expected * (1 - expected) / PATIENTS)
    waiting = 1 - np.exp(-float(tully().cumulative(months * MONTH)))
    lost = patients["lost_day"].notna().mean()
    assert abs(lost - waiting) <= 4 * np.sqrt(waiting * (1 - waiting) / PATIENTS)


def test_no_constant_hazard_with_one_calming_curve_gives_the_three():
    """With a constant hazard x while waiting and one curve after the infusion whose hazard does not rise, the curve's
    cumulative hazard would be a - 9x after 3 months, b - x after 11 and c after 12, whatever x. Calming means that
    the last month adds at most the mean month between 3 and 11: c - (b - x) <= ((b - x) - (a - 9x)) / 8."""
    c, b, a = (-np.log(1 - PUBLISHED[months]) for months in (0, 1, 9))
    for hazard in np.linspace(0, 0.2, 41):
        last, before = c - (b - hazard), ((b - hazard) - (a - 9 * hazard)) / 8
        assert last - before == pytest.approx(c - b + (a - b) / 8)  # the hazard drops out
        assert last > before


def test_a_constant_waiting_hazard_needs_an_effect_that_rises_with_the_wait():
    """With chemotherapy's 75.1 % spread evenly over the year, 36.1 % after a month would need a better effect."""
    year = -np.log(1 - CHEMOTHERAPY)
    month, none = (-np.log(1 - PUBLISHED[months]) for months in (1, 0))
    needed = (month - year / 12) / (year - year / 12)
    assert needed < none / year


def test_a_rising_hazard_alone_gives_the_three_and_predicts_the_crossing():
    """Fixed effect, Weibull hazard: three numbers fitted to three; but without infusion more die than published."""
    from scipy.optimize import fsolve

    wanted = [-np.log(1 - dead) for dead in PUBLISHED.values()]

    def misses(unknown):
        year, shape, ratio = np.exp(unknown)
        before = [year * (months / 12) ** shape for months in PUBLISHED]
        return [h + ratio * (year - h) - w for h, w in zip(before, wanted, strict=True)]

    year, shape, ratio = np.exp(fsolve(misses, np.log([2.0, 1.6, 0.2])))
    risk = WaitingRisk(year_hazard=stated(year), shape=stated(shape), ratio=stated(ratio))
    assert [float(risk.mortality(m * MONTH)) for m in PUBLISHED] == pytest.approx(list(PUBLISHED.values()), abs=1e-9)
    assert 8 < crossing(risk) / MONTH < 9
    assert 1 - np.exp(-year) > CHEMOTHERAPY + 0.1


def test_a_shorter_wait_never_shortens_a_life_before_the_effect_is_gone():
    risk, budget = tully(), np.linspace(0.01, 4, 200)
    days = [risk.death_day(budget, wait) for wait in (0.0, 30.0, 120.0, 250.0)]
    for sooner, later in pairwise(days):
        assert np.all(sooner >= later - 1e-9)


def test_death_days_have_the_stated_mortality():
    """The same formula once by chance, once in closed form, for a risk factor of 1.5 and a wait of 60 days."""
    risk, count = tully(), 40_000
    budget = -np.log((np.arange(count) + 0.5) / count)
    dead = (risk.death_day(budget, 60.0, 1.5) <= YEAR).mean()
    before = float(risk.cumulative(60.0))
    alive = np.exp(-1.5 * (before + float(risk.ratio_after(60.0)) * (float(risk.cumulative(YEAR)) - before)))
    assert dead == pytest.approx(1 - alive, abs=2 / count)


def test_loss_per_day_is_the_slope_of_survival():
    risk, day = tully(), 40.0
    start = float(risk.cumulative(day))

    def alive(wait):
        before = float(risk.cumulative(wait))
        ratio = float(risk.ratio_after(wait))
        return np.exp(-(before - start + ratio * (float(risk.cumulative(day + YEAR)) - before)))

    assert risk.loss_per_day(day) == pytest.approx(alive(day) - alive(day + 1), rel=1e-12)
    assert risk.loss_per_day(day) > 0


def test_numbers_that_no_risk_can_give_are_refused():
    with pytest.raises(SolveError, match="no waiting risk"):
        fit_risk(1.0)
    with pytest.raises(InputError, match="between 0 and 1"):
        fit_risk(mortality=(0.3, 0.4, 0.7, 1.0))
    with pytest.raises(SolveError, match="does not cross"):
        crossing(WaitingRisk(year_hazard=stated(0.1), ratio=stated(0.5)))
