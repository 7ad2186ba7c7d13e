"""swanson2022: what its declaration is and what follows from it; its targets are run in tests/reference."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library.swanson2022 import Swanson2022

# Table of parameters: Tang2020, Han2021, Zhang2019, by the paper's letters; then what all three share.
SETS = {
    "p": (0.1351, 0.4063, 0.4063), "v_0": (0.3628, 0.4218, 0.2895), "eta": (0.0454, 0.1661, 0.1133),
    "b": (0.4843, 0.4254, 0.4254), "f": (0.0011, 0.002, 0.002), "mu_E": (2e-5, 1e-5, 2e-5), "mu_C": (1e-6, 1e-6, 4e-6),
    "r": (0.0125, 0.01, 0.01), "a": (0.5917, 0.6011, 0.6011), "alpha_RB": (1e-8, 1e-7, 1e-7),
}  # fmt: skip
SHARED = {
    "K": 1e9, "c_1": 100, "c_3": 0.1224, "c_2": 1.875e9, "mu_RE": 1e-5, "mu_RC": 1e-5, "delta_E": 1e-5,
    "delta_C": 1e-4, "delta_B": 7e-4, "delta_R": 1e-5,
}  # fmt: skip


def test_parameters_are_the_published_ones():
    letters = {p.symbol: p for p in Swanson2022.parameters.values() if p.symbol}
    assert {letter: letters[letter].value for letter in SHARED} == SHARED
    for column, name in enumerate(("Tang2020", "Han2021", "Zhang2019")):
        values = Swanson2022.parameter_sets[name]
        assert values == {letters[letter].name: row[column] for letter, row in SETS.items()}
    assert {name: Swanson2022.parameters[name].value for name in Swanson2022.parameter_sets["Tang2020"]} == dict(
        Swanson2022.parameter_sets["Tang2020"]
    )


@pytest.mark.parametrize("phi", [0.0, 0.3, 1.0])
def test_both_readings_of_the_production_of_tgf_beta(phi):
    """Without a tumour B' = alpha_RB R (1 - phi + phi B) - delta_B B; R is constant here: linear, in closed form."""
    alone = {"tumour_at_start": 0.0, "stem_at_start": 0.0, "first_dose": 0.0, "second_dose": 0.0}
    still = {"regulatory_death": 0.0, "regulatory_at_start": 2e5, "self_enhancement": phi}
    days = np.array([10.0, 80.0])
    found = solve(Swanson2022, alone | still, days, rtol=1e-9)["tgf_beta_level"][0]
    made = 1e-8 * 2e5
    rate = made * phi - 7e-4
    rest = -made * (1 - phi) / rate
    assert found == pytest.approx(rest + (5 - rest) * np.exp(rate * days), rel=1e-7)


def test_doses_come_on_their_days():
    parameters = {"first_dose_day": 3.0, "second_dose_day": 9.0, "second_dose": 0.0, "second_stem_dose": 1e6}
    run = solve(Swanson2022, parameters, [2.999, 3.0, 8.999, 9.0], outputs=["tumour_car_t", "stem_car_t"])
    assert run["tumour_car_t"][0, :2] == pytest.approx([0, 5e6])
    assert run["stem_car_t"][0, 2:] == pytest.approx([0, 1e6])


def test_without_doses_there_are_no_car_t_cells():
    run = solve(Swanson2022, {"first_dose": 0.0, "second_dose": 0.0}, [10.0, 80.0])
    assert np.all(run["car_t_total"] == 0)
    # Regulatory T cells then only die, at 1e-5 per day.
    assert run["regulatory_t_total"][0, 1] == pytest.approx(2.5 * np.exp(-8e-4), rel=1e-6)


def test_stem_cells_fall_only_under_their_own_product():
    run = solve(Swanson2022, {"first_stem_dose": [0.0, 5e6], "second_stem_dose": [0.0, 5e6]}, [0.0, 10.0])["stem_cells"]
    assert run[0, 1] > run[0, 0]
    assert run[1, 1] < 1e-3 * run[1, 0]


def test_a_share_above_one_is_refused():
    with pytest.raises(InputError, match=r"stem_renewal.*between 0 and 1"):
        solve(Swanson2022, {"stem_renewal": 1.1}, [1.0])
