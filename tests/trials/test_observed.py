"""The assay and its summary, against closed forms."""

import numpy as np
import pytest

from livingdrug.therapy.stated import Fixed
from livingdrug.trials.observed import on_day, real_days, samples, summarise
from livingdrug.trials.protocol import Protocol

PLAN = Protocol.builtin("eliana").sampling
EXACT = PLAN.model_copy(update={"error": Fixed(value=0.0), "window": Fixed(value=0.0, unit="day")})
IDS = np.arange(1, 201, dtype=np.uint64)


def test_half_life_and_area_of_an_exponential():
    """A decline with a half-life of 9 days: that half-life, and the trapezoid of its values, by hand."""
    days = np.array([[0.0, 1.0, 4.0, 10.0, 20.0, 28.0, 60.0]])
    value = 1000 * 0.5 ** (days / 9.0)
    found = summarise(days, value, points=3, fit=0.9)
    assert found["half_life"][0] == pytest.approx(9.0, rel=1e-12)
    inside = days[0] <= 28
    assert found["auc28"][0] == pytest.approx(np.trapezoid(value[0][inside], days[0][inside]), rel=1e-12)
    assert (found["cmax"][0], found["tmax"][0], found["tlast"][0]) == (1000, 0, 60)


def test_area_ends_on_day_28_on_the_line_between_samples():
    days, value = np.array([[10.0, 20.0, 40.0]]), np.array([[100.0, 100.0, 0.0]])
    # triangle to day 10, square to 20, then 8 of the 20 days of the fall from 100 to 0: mean of 100 and 60
    assert summarise(days, value, points=3, fit=0.8)["auc28"][0] == pytest.approx(500 + 1000 + 8 * 80)


def test_no_half_life_from_a_tail_that_is_short_rises_or_bends():
    days = np.array([[1.0, 5.0, 10.0, 15.0, 20.0]])
    short, rises = np.array([[10.0, 100.0, 50.0, 0.0, 0.0]]), np.array([[100.0, 1.0, 2.0, 4.0, 8.0]])
    bends = np.array([[100.0, 1.0, 90.0, 1.0, 90.0]])
    for value in (short, rises, bends):
        assert np.isnan(summarise(days, value, points=3, fit=0.8)["half_life"][0])


def test_nothing_measured_gives_nothing():
    found = summarise(np.array([[1.0, 2.0, 30.0]]), np.zeros((1, 3)), points=3, fit=0.8)
    assert all(np.isnan(values[0]) for values in found.values())


def test_samples_have_a_limit_an_error_and_an_end():
    days = np.linspace(0, 100, 101)
    course = np.tile(1000 * np.exp(-days / 10), (200, 1))
    when = np.tile([5.0, 28.0, 40.0, 60.0], (200, 1))
    seen = samples(EXACT, when, days, course, IDS, 1, np.where(IDS <= 100, 30.0, 100.0))
    assert seen[:, 0] == pytest.approx(1000 * np.exp(-0.5))
    assert np.isnan(seen[:100, 2:]).all()
    assert np.all(seen[100:, 2] == 0)  # exp(-4) * 1000 = 18 copies lie below the limit of 50
    noisy = samples(PLAN, when, days, course, IDS, 1, np.full(200, 100.0))[:, 0]
    assert np.std(np.log(noisy)) == pytest.approx(PLAN.error.value, rel=0.2)
    assert np.array_equal(noisy[:7], samples(PLAN, when[:7], days, course[:7], IDS[:7], 1, np.full(7, 100.0))[:, 0])


def test_between_days_the_logarithm_is_straight():
    seen = samples(
        EXACT, np.array([[5.0]]), np.array([0.0, 10.0]), np.array([[100.0, 10000.0]]), IDS[:1], 1, IDS[:1] + 99
    )
    assert seen[0, 0] == pytest.approx(1000.0)


def test_real_days_stay_in_their_windows_and_in_order():
    days = np.array([0.04, 1.0, 3.0, 6.0, 27.0, 90.0, 100.0, 365.0])
    real = real_days(days, 0.5, IDS, 3, "samples")
    assert np.all(np.diff(real, axis=1) > 0)
    assert np.all(real >= 0)
    assert np.all(np.abs(real - days) <= np.maximum(0.5, 0.1 * days) + 1e-12)
    assert real[:, 7].std() > 10
    assert on_day(days, real, 90.0) is not None
    assert np.isnan(on_day(days, real, 91.0)).all()
