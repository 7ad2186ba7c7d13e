"""kimmel2021 against the values computed for the project's research note with an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.library.kimmel2021 import Kimmel2021

DAYS = np.linspace(0.0, 100.0, 1001)


@pytest.mark.parametrize(
    ("overrides", "peak", "day_28", "day_90"),
    [
        ({}, 30.2, 2.51, 0.341),  # Table 1
        ({"car_t_growth": 0.037}, 32.1, 2.11, 0.112),  # growth rate of the code
    ],
)
def test_car_t_in_blood(solve, overrides, peak, day_28, day_90):
    course = solve(Kimmel2021, overrides, DAYS)
    cars = course["car_t_blood"]
    # The note prints three digits: half a unit of the last one is the tolerance.
    assert cars.max() == pytest.approx(peak, abs=0.05)
    assert DAYS[cars.argmax()] == pytest.approx(7.0, abs=0.1)
    assert np.interp(28, DAYS, cars) == pytest.approx(day_28, abs=0.005)
    assert np.interp(90, DAYS, cars) == pytest.approx(day_90, abs=0.0005)


def test_normal_t_recover(solve):
    course = solve(Kimmel2021, {}, [7, 14, 28, 90])
    # Table 1, cells/uL, printed without decimals.
    assert course["normal_t_blood"] == pytest.approx([109, 295, 473, 500], abs=0.5)
    assert course["car_t_blood"][1] == pytest.approx(9.05, abs=0.01)
    assert course["absolute_lymphocyte_count"] == pytest.approx(course["normal_t_blood"] + course["car_t_blood"])


@pytest.mark.parametrize(("growth", "day"), [(0.065, 36), (0.105, 42)])
def test_tumour_falls_below_100_cells(solve, growth, day):
    course = solve(Kimmel2021, {"tumour_growth": growth}, DAYS, atol=1e-6)
    assert DAYS[np.argmax(course["tumour_cells"] < 100)] == pytest.approx(day, abs=0.5)


@pytest.mark.parametrize(("growth", "day"), [(0.19, 195), (0.265, 137)])
def test_tumour_progresses(solve, growth, day):
    days = np.linspace(0.0, 250.0, 2501)
    tumour = solve(Kimmel2021, {"tumour_growth": growth}, days, atol=1e-6)["tumour_cells"]
    assert tumour.min() > 100
    assert days[np.argmax(tumour > 1.2 * tumour[0])] == pytest.approx(day, abs=0.6)


def test_code_set_is_the_code_in_cells():
    """HybridModel_08_30_20.jl gives cells per uL; one is 5e6 uL / 0.01 = 5e8 cells in the body."""
    code = Kimmel2021.parameter_sets["code"]
    assert code["normal_t_capacity"] / 5e8 == pytest.approx(500)
    assert code["car_t_capacity"] / 5e8 == pytest.approx(139.28)
    assert 5e8 / code["half_kill_car_t"] == pytest.approx(0.247)
    assert Kimmel2021.parameters["half_kill_car_t"].value == pytest.approx(code["half_kill_car_t"], rel=1e-3)
    assert (code["car_t_growth"], Kimmel2021.parameter_sets["table_1"]["car_t_growth"]) == (0.037, 0.0251)


def test_nine_parameters_are_perturbed_by_five_per_cent():
    spread = [p for p in Kimmel2021.parameters.values() if p.spread]
    assert len(spread) == 9
    assert {(p.spread.kind, p.spread.sd) for p in spread if p.spread} == {("relative_normal", 0.05)}


def test_only_the_tumour_may_die_out():
    (jump,) = Kimmel2021.jumps
    assert (jump.state.name, jump.below) == ("tumour", 100.0)
