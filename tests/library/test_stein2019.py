"""stein2019 against the published half-lives, the note's exposures, and its closed form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from livingdrug.errors import InputError
from livingdrug.library.stein2019 import PRINTED_EFFECTS, Stein2019, spreads, transgene
from livingdrug.qualification.independent import solve_independently

P = {name: p.value for name, p in Stein2019.parameters.items()}


def test_half_lives():
    """To the digits that follow from Table 1; the abstract prints 0.78, 4.3 and 220 days."""
    assert np.log(2) / (np.log(P["fold_expansion"]) / P["peak_day"]) == pytest.approx(0.7796, abs=5e-5)
    assert np.log(2) / P["contraction"] == pytest.approx(4.332, abs=5e-4)
    assert np.log(2) / P["decline"] == pytest.approx(216.6, abs=0.05)


def test_exposures():
    """R0 6.15, AUC0-28 1.718e5, C(28) 1374, C(90) 146.5, C(365) 60.7 (note, section 1), half a last digit."""
    assert transgene(0.0) == pytest.approx(6.15, abs=0.005)
    assert quad(transgene, 0, 28, points=[P["peak_day"]])[0] == pytest.approx(1.718e5, abs=50)
    assert transgene(28.0) == pytest.approx(1374, abs=0.5)
    assert transgene([90.0, 365.0]) == pytest.approx([146.5, 60.7], abs=0.05)
    # The same from Table 1 by hand: (1 - F_B) C exp(-alpha s) + F_B C exp(-beta s), s = t - 9.3 days.
    assert transgene(365.0) == pytest.approx(0.0079 * 24000 * np.exp(-0.0032 * 355.7), rel=1e-12)


@pytest.mark.parametrize(
    "overrides",
    [{}, {"tocilizumab_day": 5.7}, {"tocilizumab_day": 4.0, "steroid_day": 6.0, "steroid_effect": 0.8}],
)
def test_declared_equations_agree_with_the_closed_form(overrides):
    days = np.array([0.0, 3.0, 5.7, 9.0, 9.3, 12.0, 28.0, 90.0, 365.0])
    course = solve_independently(Stein2019, overrides, days)
    assert course["car_t_transgene_blood"] == pytest.approx(transgene(days, **overrides), rel=1e-7)


def test_peak_without_co_medication_is_the_declared_one():
    assert transgene(P["peak_day"]) == pytest.approx(24000, rel=1e-12)


@given(day=st.floats(0, 400), peak_day=st.floats(1, 30), share=st.floats(0, 1))
def test_the_closed_form_is_positive_and_never_above_the_peak(day, peak_day, share):
    value = transgene(day, peak_day=peak_day, persistent_fraction=share)
    assert 0 < value <= P["peak"] * (1 + 1e-12)


def test_both_readings_of_the_random_effects_are_named():
    sd, variance = spreads("standard_deviation"), spreads("variance")
    assert sd["fold_expansion"].sd == 2.4
    assert variance["fold_expansion"].sd == pytest.approx(1.549, abs=5e-4)
    assert {n: p.spread for n, p in Stein2019.parameters.items() if p.spread} == sd
    assert set(sd) == set(PRINTED_EFFECTS)
    with pytest.raises(InputError, match="did you mean 'variance'"):
        spreads("varianc")


def test_unknown_parameter_of_the_closed_form():
    with pytest.raises(InputError, match="did you mean 'peak_day'"):
        transgene(1.0, peakday=3.0)
