"""minucci2024 beyond its targets: the table, the two forms, balances and limits."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from livingdrug.engine.solve import Dose, Extreme, solve
from livingdrug.errors import InputError
from livingdrug.library.minucci2024 import Minucci2024, read_patients
from livingdrug.qualification.independent import largest_difference, solve_independently

DAYS = np.array([0.0, 0.5, 1, 2, 4, 8, 14, 28, 60, 100])
DIVIDING = [name for name in Minucci2024.states if name.startswith("dividing")]
COLUMNS = {
    "body_weight": "body_weight_kg",
    "cd8_share": "cd8_fraction_product",
    "tumour_at_infusion": "tumour_cells_day0_fit",
    "divisions": "n_divisions_fit",
    "memory_share": "memory_fraction_fit",
}


def cohort():
    sets = list(read_patients().values())
    return {name: np.array([values[name] for values in sets]) for name in sets[0]}


def test_the_13_patients_are_those_of_the_table(shared_data):
    with (shared_data / "kinetics" / "minucci2024_patient_fits.csv").open(encoding="utf-8") as file:
        rows = {row["patient"]: {n: float(row[c]) for n, c in COLUMNS.items()} for row in csv.DictReader(file)}
    assert read_patients() == rows
    assert len(rows) == 13
    assert set(Minucci2024.parameter_sets) == {*rows, "reduced"}
    assert {name: Minucci2024.parameters[name].value for name in COLUMNS} == rows["F0104"]


def test_the_common_numbers_are_those_of_the_note():
    """Section 6 of the note; kk = 1e-9 /(s cell) = 8.64e-5 /(d cell)."""
    value = {name: p.value for name, p in Minucci2024.parameters.items()}
    assert (value["cd8_activation_time"], value["cd4_activation_time"]) == (18, 36)
    assert (value["infused_lifespan"], value["effector_lifespan"]) == (9.606881, 3.101849)
    assert (value["cd8_memory_lifespan"], value["cd4_memory_lifespan"]) == (180, 240)
    assert (value["antigen_density"], value["affinity"], value["blood_volume"]) == (5000, 1, 5)
    assert value["division_time"] == 5.397703
    assert Minucci2024.parameters["kill_rate"].canonical_value == pytest.approx(8.64e-5, rel=1e-12)


def test_the_reduced_form_has_no_cells_in_division_and_agrees_with_scipy():
    reduced = {**Minucci2024.parameter_sets["F0107"], **Minucci2024.parameter_sets["reduced"]}
    found = solve(Minucci2024, reduced, DAYS, outputs=[*DIVIDING, *Minucci2024.outputs], rtol=1e-9)
    assert all((found[name] == 0).all() for name in DIVIDING)
    ours = {word: found[word][0] for word in Minucci2024.outputs}
    independent = solve_independently(Minucci2024, reduced, DAYS)
    assert largest_difference(Minucci2024, ours, independent)[0] < 1e-6


def test_the_reduced_form_is_written_out():
    """The six equations of the note, by SciPy and by hand, for patient F0125 at 1e6 per kilogram."""
    from scipy.integrate import solve_ivp

    p = read_patients()["F0125"]

    def slope(_t, y):
        i8, e8, m8, i4, e4, m4, tumour = y
        antigen = 5000 * tumour / (5 * 6.022e14)
        f = antigen / (1 + antigen)
        fold, out = 2 ** p["divisions"], 1 / 3.101849
        a8, a4 = 24 / 18 * f * i8, 24 / 36 * f * i4
        killing = 1e-9 * 86400 * f * e8 * tumour
        return [
            -a8 - i8 / 9.606881, fold * a8 - out * e8, p["memory_share"] * out * e8 - m8 / 180,
            -a4 - i4 / 9.606881, fold * a4 - out * e4, p["memory_share"] * out * e4 - m4 / 240,
            np.log(2) / 16 * tumour - killing,
        ]  # fmt: skip

    dose = 1e6 * p["body_weight"]
    start = [p["cd8_share"] * dose, 0, 0, (1 - p["cd8_share"]) * dose, 0, 0, p["tumour_at_infusion"]]
    run = solve_ivp(slope, (0, 100), start, t_eval=DAYS, rtol=1e-10, atol=1e-6, method="LSODA")
    found = solve(Minucci2024, p | {"delayed_share": 0.0}, DAYS, rtol=1e-9)
    assert found["car_t_total"][0] == pytest.approx(run.y[:6].sum(axis=0), rel=1e-6)
    assert found["tumour_cells"][0] == pytest.approx(run.y[6], rel=1e-6)


def test_the_chain_makes_every_peak_of_expansion_later():
    """By days, as the divisions take 3.6 to 6.2 days in all."""
    watched = {"peak": Extreme("car_t_effector_total")}
    both = [
        solve(Minucci2024, cohort() | {"delayed_share": share}, DAYS, extremes=watched).extreme["peak"][0]
        for share in (0.0, 1.0)
    ]
    assert (both[1] - both[0] > 3.0).all()


def test_a_fast_chain_tends_to_the_reduced_form():
    reduced = solve(Minucci2024, {"delayed_share": 0.0}, DAYS, rtol=1e-8)["car_t_blood"][0]
    errors = [
        np.abs(solve(Minucci2024, {"division_time": t}, DAYS, rtol=1e-8)["car_t_blood"][0] / reduced - 1)[2:].max()
        for t in (0.05, 0.005)
    ]
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 5  # of first order in the time of a division


def test_without_b_cells_the_product_only_dies():
    found = solve(Minucci2024, {"tumour_at_infusion": 0.0}, DAYS, rtol=1e-10)
    assert found["car_t_total"][0] == pytest.approx(73e6 * np.exp(-DAYS / 9.606881), rel=1e-7)
    assert (found["tumour_cells"] == 0).all()


def test_without_a_dose_b_cells_double_every_16_days_and_lymphocytes_return():
    found = solve(Minucci2024, {"dose": 0.0}, DAYS, rtol=1e-10)
    assert (found["car_t_total"] == 0).all()
    assert found["tumour_cells"][0] == pytest.approx(1e7 * 2 ** (DAYS / 16), rel=1e-7)
    expected = 500 * (1 - 0.9 * np.exp(-DAYS / 30))  # 5e8 per litre, 10 % left, back in 30 days
    assert found["absolute_lymphocyte_count"][0] == pytest.approx(expected, rel=1e-7)


def test_every_activated_cell_is_accounted_for():
    """No deaths, one division: cells infused, dividing (each stage by its gain) and effectors add up."""
    values = {
        "divisions": 1.0, "effector_lifespan": 1e12, "infused_lifespan": 1e12, "kill_rate": 0.0, "memory_share": 0.0,
    }  # fmt: skip
    found = solve(Minucci2024, values, DAYS, outputs=list(Minucci2024.states), rtol=1e-10)
    for kind in ("cd8", "cd4"):
        stages = sum(found[f"dividing_{kind}_{k}"] / 2 ** ((k - 1) / 5) for k in range(1, 6))
        whole = found[f"infused_{kind}"] + stages + found[f"effector_{kind}"] / 2
        assert whole[0] == pytest.approx(whole[0, 0], rel=1e-8)


def test_the_dose_is_split_and_comes_on_its_day():
    found = solve(
        Minucci2024, {"infusion_day": 2.0, "cd8_share": 0.25}, [0.0, 1.9, 2.0], outputs=list(Minucci2024.states)
    )
    assert found["infused_cd8"][0] == pytest.approx([0, 0, 0.25 * 73e6], rel=1e-9)
    assert found["infused_cd4"][0, 2] == pytest.approx(0.75 * 73e6, rel=1e-9)
    extra = solve(Minucci2024, {}, [0.0], doses=[Dose("infused_cd8", amount=1e6)], outputs=["infused_cd8"])
    assert extra["infused_cd8"][0, 0] == pytest.approx(0.333 * 73e6 + 1e6, rel=1e-9)


def test_shares_beyond_one_are_refused():
    for name in ("cd8_share", "memory_share", "depleted_share", "delayed_share"):
        with pytest.raises(InputError, match=name):
            solve(Minucci2024, {name: 1.5}, DAYS)
