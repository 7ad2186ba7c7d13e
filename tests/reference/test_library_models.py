"""The engine on the published models: against stored runs, printed values and closed forms."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from livingdrug.engine.solve import Crossing, Extreme, solve
from livingdrug.library import load_model
from livingdrug.library.stein2019 import Stein2019, transgene

STATES = {"Tm": "memory", "Te1": "early", "Te2": "expanded", "Tx": "exhausted", "B": "tumour", "Ba": "antigen"}


def cohort(sets):
    sets = list(sets)
    return {name: np.array([values[name] for values in sets]) for name in sets[0]}


def test_kirouac_agrees_with_the_stored_runs(shared_data):
    model = load_model("kirouac2023")
    runs = pd.read_csv(shared_data / "kinetics" / "kirouac2023_reference_trajectories.csv")
    runs = runs.assign(patient=runs["group"] + runs["id"].astype(str))
    patients, days = list(runs["patient"].unique()), np.sort(runs["day"].unique())
    solution = solve(model, cohort(model.parameter_sets[p] for p in patients), days, outputs=list(STATES.values()))
    assert not solution.failures()
    for letter, state in STATES.items():
        stored = runs.pivot(index="patient", columns="day", values=letter).loc[patients].to_numpy()
        error = np.abs(solution[state] - stored).max(axis=1) / stored.max(axis=1)
        assert error.max() < 0.01, (state, patients[error.argmax()])  # 1 % of the state's largest value


def test_kirouac_peaks_and_groups():
    """Peaks and B cells of section 2 of the note; B cells on day 28 separate the groups."""
    model = load_model("kirouac2023")
    patients = list(model.parameter_sets)
    solution = solve(
        model, cohort(model.parameter_sets.values()), [28.0, 365.0], extremes={"peak": Extreme("car_t_blood", "max")}
    )
    assert not solution.failures()
    b_28 = dict(zip(patients, solution["tumour_blood"][:, 0], strict=True))
    limits = {"CR": (0.0, 5.0), "PR": (57.0, 110.5), "NR": (6000.0, np.inf)}  # cells/uL
    for patient, found in b_28.items():
        low, high = limits[patient[:2]]
        assert low < found < high, (patient, found)
    days, peaks = (dict(zip(patients, values, strict=True)) for values in solution.extreme["peak"])
    for patient, peak, day in (("CR1", 57.1, 22.8), ("CR12", 57.5, 19.2), ("PR1", 28.5, 25.9), ("NR1", 0.304, 15.8)):
        assert peaks[patient] == pytest.approx(peak, rel=0.005)  # three printed digits
        assert days[patient] == pytest.approx(day, abs=0.15)


@pytest.mark.parametrize(
    ("growth", "peak", "day_28", "day_90"),
    [(0.0251, 30.2, 2.51, 0.341), (0.037, 32.1, 2.11, 0.112)],  # section 5 of the note, three digits
)
def test_kimmel_without_chance(growth, peak, day_28, day_90):
    solution = solve(
        load_model("kimmel2021"),
        {"car_t_growth": growth},
        [28.0, 90.0],
        stochastic=False,
        extremes={"peak": Extreme("car_t_blood", "max")},
    )
    day, height = (values[0] for values in solution.extreme["peak"])
    assert (day, height) == (pytest.approx(7.0, abs=0.1), pytest.approx(peak, abs=0.05))
    assert solution["car_t_blood"][0, 0] == pytest.approx(day_28, abs=0.005)
    assert solution["car_t_blood"][0, 1] == pytest.approx(day_90, abs=0.0005)


def test_kimmel_crossings_without_chance():
    """100 cells on days 36 and 42 at growth 0.065 and 0.105; progression on days 195 and 137 at 0.19 and 0.265."""
    start = 94.86e9
    solution = solve(
        load_model("kimmel2021"),
        {"tumour_growth": [0.065, 0.105, 0.19, 0.265]},
        [0.0, 250.0],
        stochastic=False,
        crossings={
            "below_100": Crossing("tumour_cells", below=100),
            "progression": Crossing("tumour_cells", above=1.2 * start, stop=True),
        },
    )
    assert solution.crossing_time["below_100"][:2] == pytest.approx([36, 42], abs=0.5)
    assert np.isnan(solution.crossing_time["below_100"][2:]).all()
    assert solution.crossing_time["progression"][2:] == pytest.approx([195, 137], abs=0.6)


def test_stein_agrees_with_its_closed_form():
    days = np.array([0.0, 3.0, 5.7, 9.0, 9.3, 12.0, 28.0, 90.0, 365.0])
    treated = {"tocilizumab_day": [1e6, 5.7, 4.0], "steroid_day": [1e6, 1e6, 6.0], "steroid_effect": [1.0, 1.0, 0.8]}
    found = solve(Stein2019, treated, days, rtol=1e-9)["car_t_transgene_blood"]
    for row in range(3):
        expected = transgene(days, **{name: values[row] for name, values in treated.items()})
        assert found[row] == pytest.approx(expected, rel=1e-6)
    # Section 1 of the note, to four digits: copies/ug on days 28 and 90.
    assert found[0, [6, 7]] == pytest.approx([1374, 146.5], rel=5e-4)
