"""leon_triana2021: what its declaration is and what follows from it; its targets are run in tests/reference."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library.leon_triana2021 import LeonTriana2021

# Captions of figures 5 and 6 and, for the suppression, BIOMD0000001014.
PUBLISHED = {
    "car_t_growth": 0.9, "half_growth_tumour": 1e10, "suppression": 0.02, "half_suppression_car_t": 2e9,
    "car_t_lifetime": 7, "tumour_growth": 0.02, "kill_rate": 2.5e-10, "blood_car_t_growth": 0.9,
    "half_growth_b_cells": 1e10, "trafficking": 0.2, "b_cell_kill_rate": 4.5e-11, "b_cell_lifetime": 60,
    "tumour_car_t_at_infusion": 0, "blood_car_t_at_infusion": 2e8, "tumour_at_infusion": 3.35e10,
    "b_cells_at_infusion": 2.5e10,
}  # fmt: skip


def test_parameters_are_the_published_ones():
    assert {name: p.value for name, p in LeonTriana2021.parameters.items()} == PUBLISHED
    single = LeonTriana2021.parameter_sets["single_target"]  # BIOMD0000001013
    assert (single["tumour_car_t_at_infusion"], single["tumour_at_infusion"], single["suppression"]) == (
        4e8,
        6.7e9,
        0.04,
    )


def test_a_single_target_knows_no_b_cells():
    """Two populations exactly, whatever the constants of blood and B cells are: steps differ, the course does not."""
    blood = {
        "b_cells_at_infusion": [2.5e10, 0.0], "trafficking": [0.2, 0.9], "blood_car_t_growth": [0.9, 0.0],
        "b_cell_kill_rate": [4.5e-11, 1e-9],
    }  # fmt: skip
    parameters = {**LeonTriana2021.parameter_sets["single_target"], **blood}
    run = solve(LeonTriana2021, parameters, np.linspace(0, 180, 10), rtol=1e-9)
    for output in ("car_t_total", "tumour_cells"):
        assert run[output][0] == pytest.approx(run[output][1], rel=1e-7)
    # B cells then only die: 180 days of a mean life of 60.
    assert run["b_cells_total"][0, -1] == pytest.approx(2.5e10 * np.exp(-3), rel=1e-4)


def test_without_car_t_the_tumour_grows_exponentially():
    tumour = solve(LeonTriana2021, {"blood_car_t_at_infusion": 0.0}, [100.0], rtol=1e-9)["tumour_cells"][0, 0]
    assert tumour == pytest.approx(3.35e10 * np.exp(2.0), rel=1e-7)


def test_more_suppression_never_helps():
    levels = np.linspace(0.02, 0.8, 40)
    left = solve(LeonTriana2021, {"suppression": levels}, [60.0], rtol=1e-9)["tumour_cells"][:, 0]
    assert np.all(np.diff(left) > 0)


def test_negative_dose_is_refused():
    with pytest.raises(InputError, match="blood_car_t_at_infusion"):
        solve(LeonTriana2021, {"blood_car_t_at_infusion": -1.0}, [1.0])
