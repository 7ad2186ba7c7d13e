"""hardiansyah2019: what was declared, its limits, its balances. The paper's numbers are in the qualification."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Dose
from livingdrug.engine.solve import solve as solve_cohort
from livingdrug.errors import InputError
from livingdrug.library.hardiansyah2019 import Hardiansyah2019

P = {name: p.value for name, p in Hardiansyah2019.parameters.items()}
SETS = Hardiansyah2019.parameter_sets
CYTOKINES = ("il6", "il10", "ifn_gamma")

# Supplementary tables S1 and S2 as transcribed in nlmixr2lib, cells in 1e9: declared value times this is the printed.
TABLE_S1 = {
    "il6_clearance": (3.96, 1), "il10_clearance": (4.68, 1), "ifn_gamma_clearance": (1.51, 1),
    "uninhibited_share": (0.59, 1), "il10_half_inhibition": (650, 1), "memory_growth": (5.09e-2, 1),
    "memory_death": (4.08e-1, 1), "memory_to_effector": (1, 1), "to_tissue": (76.78, 1), "to_blood": (1.84, 1),
    "half_activation": (1e5, 1e-9), "tumour_growth": (9.3e-3, 1), "tumour_death": (7.6e-3, 1),
}  # fmt: skip
TABLE_S2 = {
    "il6_production": ((0.18e-2, 0.6e-2), 1e15), "il10_production": ((0.07e-2, 1.7e-2), 1e15),
    "ifn_gamma_production": ((0.03e-2, 0.6e-2), 1e15), "effector_expansion": ((16.16, 14.40), 1e9),
    "effector_death": ((23.04, 1.44), 1), "effector_to_memory": ((0.024, 0.12), 1), "kill_rate": ((0.19, 2.21), 1e9),
    "tumour_at_infusion": ((4.14, 0.93), 1e-9), "dose": ((1.1, 0.014), 1e-9),
}  # fmt: skip


def solve(values, days, **options):
    found = solve_cohort(Hardiansyah2019, values, days, rtol=1e-9, **options)
    assert not found.failures()
    return found


def test_values_are_those_of_the_supplement():
    for name, (printed, factor) in TABLE_S1.items():
        assert P[name] * factor == pytest.approx(printed, rel=1e-12), name
    for name, (printed, factor) in TABLE_S2.items():
        assert [s[name] * factor for s in SETS.values()] == pytest.approx(printed, rel=1e-12), name
    assert list(SETS) == ["UPN1", "UPN3"]
    assert dict(SETS["UPN1"]) == {name: P[name] for name in SETS["UPN1"]}
    assert P["first_share"] + P["second_share"] + P["third_share"] == pytest.approx(1.0)


def test_without_infusion_cytokines_stay_at_their_baselines():
    found = solve({"dose": 0.0}, [0.0, 100.0, 350.0])
    for name in CYTOKINES:
        assert found[name][0] == pytest.approx(np.full(3, P[f"{name}_baseline"]), rel=1e-9)
    assert not found["car_t_total"].any()


def test_without_tumour_nothing_expands():
    """All CAR T cells lie below the infused dose at all times, and no cytokine is released."""
    found = solve({"tumour_at_infusion": 0.0}, np.linspace(0, 350, 200))
    assert found["car_t_total"].max() <= P["dose"]
    assert found["il6"] == pytest.approx(np.full((1, 200), P["il6_baseline"]), rel=1e-9)
    assert not found["tumour_blood"].any()


def test_the_dose_is_split_over_three_days():
    """10, 30 and 60 per cent on days 0, 1 and 2: all cells, with growth and death switched off."""
    still = dict.fromkeys(("effector_expansion", "effector_death", "memory_growth", "memory_death"), 0.0)
    total = solve(still, [0.0, 0.99, 1.0, 1.99, 2.0, 300.0])["car_t_total"][0]
    assert total == pytest.approx(1.1e9 * np.array([0.1, 0.1, 0.4, 0.4, 1.0, 1.0]), rel=1e-9)
    moved = solve(still | {"third_day": 10.0}, [9.0, 10.0])["car_t_total"][0]
    assert moved == pytest.approx([0.44e9, 1.1e9], rel=1e-9)


def test_outputs_agree_with_each_other():
    found = solve({}, [0.0, 3.8, 30.0, 300.0])
    assert found["car_t_effector_total"] + found["car_t_memory_total"] == pytest.approx(found["car_t_total"])
    assert found["car_t_blood"] == pytest.approx(found["car_t_in_blood"] / 5e6)  # 5 L are 5e6 uL
    assert found["tumour_blood"] == pytest.approx(found["tumour_in_blood"] / 5e6)


def test_release_of_il6_and_il10_is_one_process():
    """Both follow the same contacts: without clearance their rises have the ratio of the production rates."""
    found = solve({"il6_clearance": 0.0, "il10_clearance": 0.0}, [0.0, 50.0])
    rises = [found[name][0, 1] - found[name][0, 0] for name in ("il6", "il10")]
    assert rises[0] / rises[1] == pytest.approx(1.8 / 0.7, rel=1e-6)


def test_a_second_infusion_goes_into_the_blood():
    more = solve({}, [40.0], doses=[Dose("effector_blood", 1e8, at=40.0)])["car_t_in_blood"][0, 0]
    assert more - solve({}, [40.0])["car_t_in_blood"][0, 0] == pytest.approx(1e8, rel=1e-6)


def test_bad_values_are_refused():
    with pytest.raises(InputError, match="between 0 and 1"):
        solve({"uninhibited_share": 1.2}, [0.0, 1.0])
    with pytest.raises(InputError, match="tumour_at_infusion"):
        solve({"tumor_at_infusion": 1e9}, [0.0, 1.0])
