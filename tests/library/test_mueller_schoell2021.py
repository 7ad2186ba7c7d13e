"""mueller_schoell2021: what was declared, the mixture, limits. The paper's numbers are in the qualification."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from livingdrug.engine.solve import solve as solve_cohort
from livingdrug.errors import InputError
from livingdrug.library.mueller_schoell2021 import (
    REFERENCE_SHARE,
    MuellerSchoell2021,
    low_expanders,
    read_patients,
)

P = {name: p.value for name, p in MuellerSchoell2021.parameters.items()}

# Table 1 as transcribed in nlmixr2lib.
TABLE_1 = {
    "reference_expansion": 0.00846, "least_expansion": 0.000700, "transplant_effect": 2.53, "ratio_exponent": -0.385,
    "half_expansion_car_t": 1.13, "naive_differentiation": 0.140, "central_differentiation": 0.191,
    "memory_differentiation": 0.355, "effector_death": 0.518, "naive_division": 0.0005, "memory_division": 0.007,
    "central_killing": 4.04, "half_kill_volume": 276, "tumour_growth": 0.0023, "tumour_capacity": 5000,
    "car_t_at_start": 0.1,
}  # fmt: skip
TIED = {"naive": 2.57, "memory": 3.78, "effector": 4.24}
"""Killing per cell of a phenotype, mL uL/cell/day: the table derives it from that of central memory cells."""
LOST = 0.02 * 0.518
"""Death of naive and memory cells, per day: a fiftieth of the effectors'."""


def solve(values, days, **options):
    found = solve_cohort(MuellerSchoell2021, values, days, rtol=1e-9, **options)
    assert not found.failures()
    return found


def test_values_are_those_of_the_table():
    assert {name: P[name] for name in TABLE_1} == TABLE_1
    for phenotype, killing in TIED.items():
        assert P[f"{phenotype}_killing_ratio"] * P["central_killing"] == pytest.approx(killing, rel=1e-12)
    assert P["memory_death_ratio"] * P["effector_death"] == pytest.approx(0.0104, rel=0.005)  # printed, three digits


def test_spreads_are_those_of_the_table():
    """150 and 307 % CV: variances 1.179 and 2.344 of the logarithms (note, section 4)."""
    spreads = {n: p.spread for n, p in MuellerSchoell2021.parameters.items() if p.spread}
    assert {n: s.kind for n, s in spreads.items()} == {
        "reference_expansion": "lognormal",
        "central_killing": "lognormal",
    }
    assert spreads["reference_expansion"].sd ** 2 == pytest.approx(1.179, abs=5e-4)
    assert spreads["central_killing"].sd ** 2 == pytest.approx(2.344, abs=5e-4)


def test_patients_are_those_of_the_check_data(shared_data):
    table = pd.read_csv(shared_data / "kinetics" / "mueller_schoell2021_patient_covariates.csv")
    columns = {
        "baseline_tumour_volume": "baseline_mtv_mL",
        "prior_transplant": "prior_asct",
        "cd4_cd8_ratio": "cd4_cd8_ratio_day7",
        "low_expansion": "low_expansion_class",
    }
    patients = read_patients()
    assert list(patients) == [f"patient_{k}" for k in table["patient"]]
    for name, column in columns.items():
        assert [p[name] for p in patients.values()] == table[column].tolist()
    assert list(MuellerSchoell2021.parameter_sets) == ["reference", "low", *patients]


def test_the_class_is_drawn_with_the_published_share():
    """80.3 % reference: within four standard errors of 20,000 draws; a patient's class stays his in any company."""
    ids = np.arange(20_000)
    classes = low_expanders(ids, seed=4)
    assert set(classes) == {0.0, 1.0}
    error = np.sqrt(REFERENCE_SHARE * (1 - REFERENCE_SHARE) / len(ids))
    assert abs((1 - classes.mean()) - 0.803) < 4 * error
    assert np.array_equal(low_expanders(ids[::-7], seed=4), classes[::-7])
    assert not np.array_equal(low_expanders(ids, seed=5), classes)
    with pytest.raises(InputError, match="seed"):
        low_expanders(ids, seed=-1)


def test_covariates_act_on_the_expansion_as_equations_10_and_11_say():
    """At the start the naive cells grow by v V T/(K + T) less their loss; v from the class and the covariates."""
    cases = {
        "low_expansion": np.array([0.0, 0.0, 0.0, 1.0, 1.0]),
        "prior_transplant": np.array([0.0, 1.0, 0.0, 0.0, 1.0]),
        "cd4_cd8_ratio": np.array([1.0, 1.0, 0.126, 0.126, 0.126]),
    }
    expected = np.array([0.00846, 0.00846 * 3.53, 0.00846 * 0.126**-0.385, 0.0007, 0.0007 * 3.53])
    step = 1e-4
    naive = solve(cases, [0.0, step], outputs=["naive"]).values[:, :, 0]
    rate = (naive[:, 1] - naive[:, 0]) / step
    v = (rate - (0.0005 - 0.140 - LOST) * 0.1) / (85.7 * 0.1 / 1.23)
    assert v == pytest.approx(expected, rel=2e-4)  # first order in the step


def test_without_tumour_cells_decay_and_without_cells_the_tumour_is_logistic():
    days = np.array([0.0, 10.0, 90.0])
    found = solve({"baseline_tumour_volume": [0.0, 85.7], "car_t_at_start": [0.1, 0.0]}, days)
    decay = 0.1 * np.exp((0.0005 - 0.140 - LOST) * days)
    assert found["car_t_naive_blood"][0] == pytest.approx(decay, rel=1e-6)
    assert not found["tumour_volume"][0].any()
    logistic = 5000 / (1 + (5000 / 85.7 - 1) * np.exp(-0.0023 * days))
    assert found["tumour_volume"][1] == pytest.approx(logistic, rel=1e-7)
    assert not found["car_t_blood"][1].any()


def test_a_patient_kills_with_all_phenotypes_alike():
    """At the start the tumour shrinks by the sum of the table's four rates, all of them twice as fast in a patient
    whose central memory cells kill twice as much (decision 0029)."""
    step = 1e-4
    volume = solve({"central_killing": [4.04, 8.08]}, [0.0, step], outputs=["tumour_volume"]).values[:, :, 0]
    growth = 0.0023 * 85.7 * (1 - 85.7 / 5000)
    killed = growth - (volume[:, 1] - volume[:, 0]) / step
    expected = 0.1 * (4.04 + sum(TIED.values())) * 85.7 / (276 + 85.7)
    assert killed == pytest.approx([expected, 2 * expected], rel=2e-4)  # first order in the step


def test_phenotypes_add_up():
    found = solve({}, [0.0, 12.0, 60.0])
    words = ("naive", "central_memory", "effector_memory", "effector")
    assert sum(found[f"car_t_{w}_blood"] for w in words) == pytest.approx(found["car_t_blood"])


def test_bad_values_are_refused():
    with pytest.raises(InputError, match="low_expansion"):
        solve({"low_expansion": 2.0}, [0.0, 1.0])
    with pytest.raises(InputError, match="cd4_cd8_ratio"):
        solve({"cd4_cd8_ratio": 0.0}, [0.0, 1.0])
