"""owens2021 against the note's table, closed forms of its parts, and the readings of its chemotherapy."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import Crossing
from livingdrug.engine.solve import solve as run
from livingdrug.errors import InputError
from livingdrug.library.owens2021 import BURDENS, DOSES, PATIENTS, Owens2021, regimen
from livingdrug.model.expressions import evaluate, time

P = {name: p.value for name, p in Owens2021.parameters.items()}

# The table of the note (section 8), row by row: patients 1 to 4.
TABLE = {
    "tumour_growth": (0.255, 0.176, 0.514, 0.514),
    "tumour_capacity": (2e12, 2e12, 9.804e8, 9.804e8),
    "effector_kill_rate": (2.03, 2.03, 5.8, 4.23),
    "car_t_kill_rate": (2.25, 2.25, 2.25, 2.25),
    "effector_source": (1.4e3, 4.7e4, 1.3e4, 1.3e4),
    "effector_expansion": (0.011, 0.00746, 0.027, 0.027),
    "car_t_expansion": (0.242, 0.165, 0.60, 0.60),
    "t_cell_capacity": (1.65e9, 1.65e9, 1.65e8, 1.65e8),
    "half_expansion_killing": (2.019e5, 7e7, 2e7, 2e7),
    "kill_steepness": (1.395, 1.419, 1.36, 1.43),
    "half_kill_ratio": (0.305, 0.305, 0.25, 0.36),
    "effector_death": (0.007, 0.034, 0.02, 0.02),
    "car_t_death": (0.0293, 0.0293, 0.0293, 0.0293),
    "effector_inactivation": (3.42e-11, 6.716e-11, 3.42e-10, 3.42e-10),
    "car_t_inactivation": (3e-11, 3e-11, 1.53e-9, 1.53e-9),
}


def test_values_are_those_of_the_table():
    assert len(PATIENTS) == 4
    for k, patient in enumerate(PATIENTS.values()):
        assert {name: patient[name] for name in TABLE} == {name: row[k] for name, row in TABLE.items()}
        assert set(patient) - set(TABLE) == {"tumour_at_start"}
    common = {"tumour_drug_kill": 0.7, "effector_drug_kill": 0.6, "car_t_drug_kill": 0.6, "drug_elimination": 0.9}
    assert {name: P[name] for name in common} == common
    assert (P["effector_at_start"], P["counted_share"], P["pulse_length"]) == (4e5, 0.01, 0.5)
    assert DOSES == (1e7, 1e8, 2.5e8)
    assert [list(b.values()) for b in BURDENS.values()] == [[1e9, 5e9, 1e10]] * 2 + [[1e8, 5e8, 9.8e8]] * 2
    assert [p["tumour_at_start"] for p in PATIENTS.values()] == [b["medium"] for b in BURDENS.values()]


def test_defaults_are_patient_1_with_c3():
    for name, value in {**PATIENTS["patient_1_lymphoma"], **regimen("C3")}.items():
        assert P[name] == value
    assert dict(Owens2021.parameter_sets["C5"]) == {"chemotherapy_pulses": 5.0, "chemotherapy_rate": 77.0}


def as_printed(p, T, E, C, M):
    """The right-hand sides of the note, with the ratio of killers to tumour cells as such."""

    def killing(rate, killers):
        ratio = (killers / T) ** p["kill_steepness"]
        return rate * ratio / (p["half_kill_ratio"] + ratio) * T

    by_e, by_c = killing(p["effector_kill_rate"], E), killing(p["car_t_kill_rate"], C)
    drug, crowd, k = 1 - np.exp(-M), np.log((E + C) / p["t_cell_capacity"]), p["half_expansion_killing"]
    return (
        p["tumour_growth"] * T * (1 - T / p["tumour_capacity"]) - by_e - by_c - 0.7 * drug * T,
        p["effector_source"] - p["effector_death"] * E - p["effector_expansion"] * crowd * by_e**2 / (k + by_e**2) * E
        - p["effector_inactivation"] * E * T - 0.6 * drug * E,
        -p["car_t_death"] * C - p["car_t_expansion"] * crowd * by_c**2 / (k + by_c**2) * C
        - p["car_t_inactivation"] * C * T - 0.6 * drug * C,
        -0.9 * M,
    )  # fmt: skip


@pytest.mark.parametrize("patient", PATIENTS)
@pytest.mark.parametrize("state", [(5e9, 4e5, 1e5, 2.6), (3e2, 1e6, 8e7, 0.01), (1e8, 1e3, 1e9, 0.0)])
def test_rates_are_those_printed(patient, state):
    """The declared form has no ratio of cells, so that it holds without a tumour; the values are the same."""
    values = {**P, **PATIENTS[patient]}
    canonical = {Owens2021.parameters[n]: float(v) for n, v in Owens2021.canonical(PATIENTS[patient]).items()}
    states = list(Owens2021.states.values())
    now = {s: v * s.factor for s, v in zip(states, state, strict=True)} | {time: 0.0}
    found = [float(evaluate(Owens2021.rates[s], {**canonical, **now})) / s.factor for s in states]
    assert found == pytest.approx(as_printed(values, *state), rel=1e-12)


@pytest.mark.parametrize("pulses", range(6))
def test_drug_of_each_number_of_pulses(pulses):
    """Each pulse is an infusion at a constant rate with elimination of first order; the rest are switched off."""
    days = np.array([0.01, 0.5 / 24, 0.7, 2.5, 4.0 + 0.5 / 24, 6.0])
    given = {"chemotherapy_pulses": float(pulses), "chemotherapy_rate": 77.0, "pulse_scale": 1.0}
    expected = np.zeros(len(days))
    for start in range(pulses):
        on = np.clip(days - start, 0, 0.5 / 24)
        expected += 77.0 / 0.9 * (1 - np.exp(-0.9 * on)) * np.exp(-0.9 * (np.maximum(days - start, 0) - on))
    assert run(Owens2021, given, days, rtol=1e-9)["chemotherapy"][0] == pytest.approx(expected, rel=1e-7, abs=1e-12)


def test_cells_come_after_chemotherapy_and_rest():
    """1 % of 1e7 cells, at the start of day 3 + 2 for C3 and of day 5 + 2 for C5."""
    parameters = {"chemotherapy_pulses": [3.0, 5.0], "rest_days": 2.0}
    cells = run(Owens2021, parameters, [4.999, 5.0, 6.999, 7.0])["car_t_total"]
    assert cells[:, 0].tolist() == [0.0, 0.0]
    assert cells[0, 1] == 1e5
    assert cells[1, 2:].tolist() == [0.0, 1e5]


def test_without_cells_there_are_none():
    assert np.all(run(Owens2021, {"dose": 0.0}, np.arange(0, 100, 7.0))["car_t_total"] == 0)


def test_tumour_alone_grows_by_the_logistic_law():
    alone = {"effector_at_start": 0.0, "effector_source": 0.0, "dose": 0.0, **regimen("none")}
    days = np.array([10.0, 30.0, 60.0])
    grown = 5e9 * np.exp(0.255 * days)
    expected = grown / (1 + (grown - 5e9) / 2e12)
    assert run(Owens2021, alone, days, rtol=1e-9)["tumour_cells"][0] == pytest.approx(expected, rel=1e-7)


def test_no_tumour_is_no_error():
    found = run(Owens2021, {"tumour_at_start": 0.0, "effector_at_start": 0.0}, [0.0, 50.0, 400.0])
    assert not found.failed.any()
    assert np.all(found["tumour_cells"] == 0)


def test_a_capacity_of_5e11_cells_contradicts_the_text():
    """Said in the limitations: the third party's 1/b = 5e11 lets C3 clear patient 2 at high burden."""
    case = {**PATIENTS["patient_2_leukaemia"], **regimen("C3"), "dose": 2.5e8, "tumour_at_start": 1e10}
    case["tumour_capacity"] = [2e12, 5e11]  # type: ignore[assignment]
    one = {"one": Crossing("tumour_cells", below=1.0)}
    assert np.isnan(run(Owens2021, case, [400.0], crossings=one).crossing_time["one"]).tolist() == [True, False]


def test_unknown_names_and_impossible_values():
    with pytest.raises(InputError, match=r"unknown regimen of owens2021 'C4'\. Allowed: C3, C5, none"):
        regimen("C4")
    with pytest.raises(InputError, match="did you mean 'as printed'"):
        regimen("C3", "as_printed")
    for name, value in {"chemotherapy_pulses": 6, "dose": -1, "counted_share": 1.5, "pulse_length": 0}.items():
        with pytest.raises(InputError, match=name):
            run(Owens2021, {name: float(value)}, [1.0])
