"""Late harm has a place: infections, missing antibodies, lasting cytopenia, movement disorder after BCMA products."""

import numpy as np
import pytest

from livingdrug.body.late_effects import LIMITS, MOVEMENT_DELAY, late_effects
from livingdrug.body.treatment import growth_factor, platelets, red_cells
from livingdrug.errors import InputError

IDS = np.arange(4000)
DAYS = np.array([-6.0, 0.0, 30.0, 60.0, 100.0])


def hazards(infection=0.0, movement=0.0):
    """Constant hazards per day from day 0 on; before it there was some, too."""
    since = np.maximum(DAYS, 0.0)
    return {
        "infection_hazard": np.tile(infection * since + (DAYS >= 0) * 0.5, (IDS.size, 1)),
        "movement_hazard": np.tile(movement * since, (IDS.size, 1)),
    }


def near(share, expected):
    return abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / IDS.size)


def test_a_constant_hazard_gives_exponential_days():
    """The chance of no event by day t is exp(-hazard t), and events follow each other as in a Poisson process."""
    found = late_effects(DAYS, hazards(0.01, 0.002), IDS, seed=3)
    first = found.infection_days[:, 0]
    for day in (30.0, 45.0, 100.0):
        assert near((first <= day).mean(), 1 - np.exp(-0.01 * day)), day
    count = np.isfinite(found.infection_days).sum(axis=1)
    assert count.mean() == pytest.approx(1.0, abs=4 / np.sqrt(IDS.size))
    assert (np.diff(found.infection_days, axis=1)[np.isfinite(found.infection_days[:, 1:])] > 0).all()
    assert near(np.isfinite(found.movement_day).mean(), 1 - np.exp(-0.002 * (100 - MOVEMENT_DELAY)))
    assert np.nanmin(found.movement_day) > MOVEMENT_DELAY


def test_no_hazard_no_event_and_the_luck_is_the_patients():
    none = late_effects(DAYS, hazards(), IDS, seed=3)
    assert np.isnan(none.infection_days).all()
    assert np.isnan(none.movement_day).all()
    all_of_them = late_effects(DAYS, hazards(0.01), IDS, seed=3)
    some = late_effects(DAYS, {k: v[[9, 5]] for k, v in hazards(0.01).items()}, IDS[[9, 5]], seed=3)
    assert np.array_equal(some.infection_days, all_of_them.infection_days[[9, 5]], equal_nan=True)


def test_low_counts_after_day_30():
    """Day 30 counts as late; days in between by straight halves."""
    low, fine = LIMITS["neutrophils"][0] - 1, LIMITS["neutrophils"][0] + 1
    courses = {"neutrophils": [[fine, low, fine, fine, fine], [fine, low, low, low, fine], [fine] * 4 + [low]]}
    found = late_effects(DAYS, courses, [1, 2, 3])
    assert found.unresolved["neutrophils"].tolist() == [False, True, False]
    assert found.low_from["neutrophils"].tolist()[1:] == [30.0, 100.0]
    assert np.isnan(found.low_from["neutrophils"][0])
    assert found.days_low["neutrophils"].tolist() == [0.0, 15.0 + 30.0 + 20.0, 20.0]
    assert set(found.low_from) == {"neutrophils"}


def test_wrong_courses_are_refused():
    with pytest.raises(InputError, match="ascend"):
        late_effects(DAYS[::-1], hazards(), IDS)
    with pytest.raises(InputError, match="shape"):
        late_effects(DAYS, hazards(), IDS[:5])


@pytest.fixture(scope="module")
def cohorts(clinic):
    return {name: clinic.cohort(name, 400, stochastic=True) for name in ("lbcl_cd28", "myeloma")}


def test_what_a_cohort_suffers(cohorts):
    """Plausible shares within a year, not a trial's: infections, antibodies, counts; movement only with BCMA."""
    found = {name: late_effects(each.times, each, np.arange(400), seed=5) for name, each in cohorts.items()}
    lymphoma, myeloma = found["lbcl_cd28"], found["myeloma"]
    for each in found.values():
        infected = np.isfinite(each.infection_days[:, 0])
        assert 0.15 < infected.mean() < 0.6
        assert 0.1 < each.unresolved["neutrophils"].mean() < 0.6
        late = np.isfinite(each.low_from["neutrophils"])
        assert each.days_low["neutrophils"][late].max() > 30  # in some it lasts
    assert not np.isfinite(lymphoma.movement_day).any()
    assert 0.01 < np.isfinite(myeloma.movement_day).mean() < 0.15
    assert np.nanmedian(myeloma.movement_day) > 30
    low = [np.isfinite(each.low_from["immunoglobulin"]).mean() for each in (lymphoma, myeloma)]
    assert low[0] < 0.5 < low[1]


def test_aplasia_of_b_cells_lowers_antibodies_slowly(clinic):
    found = clinic.follow("b_all")
    level = [float(np.interp(day, found.times, found["immunoglobulin"][0])) for day in (0.0, 90.0, 365.0)]
    assert level[0] > level[1] > level[2] > 0.3 * level[0]


def test_prolonged_cytopenia_goes_with_inflammation(cohorts):
    """rejeski2021 and others: counts stay low where inflammation was strong."""
    course = cohorts["lbcl_cd28"]
    low = course["neutrophils"][:, np.searchsorted(course.times, 30.0)] < 1000
    peak = course["interferon_gamma"].max(axis=1)
    assert np.median(peak[low]) > 2 * np.median(peak[~low])


# ---- what is given for low counts; nothing is unless someone gives it


def test_growth_factor_shortens_neutropenia_and_leaves_platelets(clinic):
    plain, given = clinic.follow("b_all"), clinic.follow("b_all", more=growth_factor(day=7.0, count=14))
    days = [np.trapezoid((each["neutrophils"][0] < 500).astype(float), each.times) for each in (plain, given)]
    assert 0 < days[1] < 0.9 * days[0]
    assert given["platelets"] == pytest.approx(plain["platelets"], rel=1e-5)
    assert not plain["growth_factor"].any()
    # weeks after the last dose all is as it would have been
    assert given["neutrophils"][0, -1] == pytest.approx(plain["neutrophils"][0, -1], rel=1e-3)


def test_growth_factor_cannot_help_an_empty_marrow(clinic):
    empty = {"marrow_recovery": 0.0, "fludarabine_on_marrow": 0.4}
    given = clinic.follow("b_all", empty, more=growth_factor(day=7.0, count=14))
    assert given["neutrophils"][0, (given.times > 10) & (given.times < 40)].max() < 100


def test_transfusions_raise_what_they_hold_for_days(clinic):
    """One unit of platelets is 30e9/L, one of red cells 1 g/dL (recalled); both are used up at the body's turnover."""
    days = np.array([-6.0, 9.9, 10.0, 10.1, 14.0, 60.0])
    plain = clinic.follow("b_all", days=days)
    given = clinic.follow("b_all", days=days, more=[*platelets(2.0, day=10.0), *red_cells(3.0, day=10.0)])
    gain = {name: (given[name] - plain[name])[0] for name in ("platelets", "haemoglobin")}
    assert gain["platelets"][2] == pytest.approx(60000.0, rel=1e-3)
    assert gain["haemoglobin"][2] == pytest.approx(3.0, rel=1e-3)
    assert 0.3 * 60000 < gain["platelets"][4] < 0.8 * 60000
    assert gain["haemoglobin"][4] > 2.7
    assert abs(gain["platelets"][5]) < 1000
