"""kirouac2023 against the stored MATLAB runs of mstadt/CART2 and the values of the project's research note."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from livingdrug.library.kirouac2023 import Kirouac2023

STATES = {"Tm": "memory", "Te1": "early", "Te2": "expanded", "Tx": "exhausted", "B": "tumour", "Ba": "antigen"}


def test_36_virtual_patients_with_the_first_as_default():
    groups = [name[:2] for name in Kirouac2023.parameter_sets]
    assert [groups.count(g) for g in ("CR", "PR", "NR")] == [12, 12, 12]
    first = Kirouac2023.parameter_sets["CR1"]
    assert {name: Kirouac2023.parameters[name].value for name in first} == first


def test_parameter_sets_are_the_published_ones(shared_data):
    table = pd.read_csv(shared_data / "kinetics" / "kirouac2023_virtual_patients.csv")
    letters = {
        "antigen_half": "B50", "divisions": "N", "largest_renewal": "f_max", "half_kill_effector": "TK50",
        "exhausted_uptake": "fracTx_pct", "return_to_memory": "rm", "tumour_capacity": "Bmax", "dose_loss": "f_loss",
    }  # fmt: skip
    for row in table.itertuples():
        values = Kirouac2023.parameter_sets[f"{row.group}{row.id}"]
        assert sorted(values.values()) == pytest.approx(sorted(map(float, row[3:])))
        for name, letter in letters.items():
            assert values[name] == pytest.approx(float(getattr(row, letter)))


def cohort(patients):
    """Parameters of several virtual patients as one array per parameter."""
    sets = [Kirouac2023.parameter_sets[p] for p in patients]
    return {name: np.array([values[name] for values in sets]) for name in sets[0]}


def test_every_state_agrees_with_the_stored_runs(shared_data, solve):
    runs = pd.read_csv(shared_data / "kinetics" / "kirouac2023_reference_trajectories.csv")
    runs = runs.assign(patient=runs["group"] + runs["id"].astype(str))
    patients, days = list(runs["patient"].unique()), np.sort(runs["day"].unique())
    assert (len(patients), len(days), len(runs)) == (24, 16, 24 * 16)
    courses = solve(Kirouac2023, cohort(patients), days, rtol=1e-6)
    for letter, state in STATES.items():
        stored = runs.pivot(index="patient", columns="day", values=letter).loc[patients].to_numpy()
        error = np.abs(courses[state] - stored).max(axis=1) / stored.max(axis=1)
        # 1 % of the state's largest value; the stored runs used ode15s at 1e-4 and linear interpolation.
        assert error.max() < 0.01, (state, patients[error.argmax()])


# Peak of CAR T cells (cells/uL), its day, B cells on days 28 and 365 (cells/uL): table in section 2 of the note.
NOTE = {
    "CR1": (57.1, 22.8, 3.44, 48.9),
    "CR6": (48.8, 15.3, 0.204, 20.0),
    "CR12": (57.5, 19.2, 2.30, 113),
    "PR1": (28.5, 25.9, 109, 113),
    "PR11": (13.6, 15.8, 110, 335),
    "NR1": (0.304, 15.8, 6564, 7291),
}


def test_peak_and_b_cells(solve):
    days = np.unique(np.append(np.linspace(0, 40, 801), [28, 365]))
    courses = solve(Kirouac2023, cohort(NOTE), days, rtol=1e-6)
    for row, (peak, day, b_28, b_365) in enumerate(NOTE.values()):
        cars, b_cells = courses["car_t_blood"][row], courses["tumour_blood"][row]
        assert cars.max() == pytest.approx(peak, rel=0.005)  # three printed digits
        assert days[cars.argmax()] == pytest.approx(day, abs=0.15)
        assert np.interp([28, 365], days, b_cells) == pytest.approx([b_28, b_365], rel=0.005)


def test_b_cells_on_day_28_separate_the_groups(solve):
    patients = list(Kirouac2023.parameter_sets)
    b_28 = solve(Kirouac2023, cohort(patients), [28.0], rtol=1e-5)["tumour_blood"][:, 0]
    limits = {"CR": (0.0, 5.0), "PR": (57.0, 110.5), "NR": (6000.0, np.inf)}  # cells/uL, section 2 of the note
    for patient, found in zip(patients, b_28, strict=True):
        low, high = limits[patient[:2]]
        assert low < found < high, (patient, found)
