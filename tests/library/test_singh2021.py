"""singh2021: what its declaration is and what follows from it; its targets are run in tests/reference."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library.singh2021 import Singh2021

# The transcription's model in R and set_params.m.
HUMAN = {
    "K_12": 1.71, "K_21": 0.176, "V_b": 5, "V_t": 3.65, "K_el_e": 113, "K_el_m": 0.219, "K_exp": 1.73, "EC_50": 10,
    "R_m": 2e-5, "Ag_CAR": 15000, "Ag_TAA": 12590, "K_on": 7.1e4, "K_off": 2.39e-3, "K_kill": 0.343, "KC_50": 2.24,
    "K_g": 0.008, "K_m": 0.117, "gamma_m": 0.215, "K_b": 0.7, "c_T": 0.002, "T_0": 2.5e9,
}  # fmt: skip
MOUSE = {"K_12": 20304, "K_21": 0.3288, "V_b": 0.944e-3, "V_t": 0.151e-3, "K_exp": 0.9168, "EC_50": 1.15,
         "K_kill": 0.612, "K_g": 0.0888}  # fmt: skip


def test_parameters_are_those_of_the_transcription():
    letters = {p.symbol: p for p in Singh2021.parameters.values() if p.symbol}
    assert {letter: letters[letter].value for letter in HUMAN} == HUMAN
    mouse = Singh2021.parameter_sets["mouse"]
    assert {letter: mouse[letters[letter].name] for letter in MOUSE} == MOUSE
    points = [s["half_expansion_complexes"] for n, s in Singh2021.parameter_sets.items() if n.startswith("human")]
    assert points == [10.0, 1.15]


def test_the_human_set_is_marked_as_unconfirmed():
    assert any("human values are unconfirmed" in text for text in Singh2021.limitations)


def test_molar_binding_in_canonical_units():
    """7.1e4 per mole and litre and second is 1.0187e-14 L per day and bond; with 6.02214076e23 per mole."""
    p = Singh2021.canonical({})
    per_day = p["binding"] / p["avogadro"]  # mL/day
    assert float(per_day) / 1000 == pytest.approx(7.1e4 * 86400 / 6.02214076e23, rel=1e-12)


def test_without_a_dose_the_tumour_and_its_markers_grow():
    run = solve(Singh2021, {"car_t_dose": 0.0}, [100.0], rtol=1e-9)
    assert run["tumour_burden_share"][0, 0] == pytest.approx(np.exp(0.8), rel=1e-7)
    assert np.all(run["car_t_total"] == 0)
    # Soluble BCMA follows production e^(kt): k_b/(k_b + k) of it after its start is forgotten.
    assert run["soluble_bcma_share"][0, 0] == pytest.approx(np.exp(0.8) * 0.7 / 0.708, rel=1e-6)


def test_the_dose_is_divided_by_the_volume_of_blood():
    found = solve(Singh2021, {"effector_loss": 0.0, "blood_to_tissue": 0.0}, [0.1], outputs=["blood_effector"])
    assert found["blood_effector"][0, 0] == pytest.approx(1.5e8 / 5, rel=1e-6)


def test_bonds_never_outnumber_receptors_or_antigens():
    names = ["tissue_effector", "tissue_memory", "complexes", "tumour"]
    days = np.linspace(0.01, 60, 600)
    for parameters in ({}, Singh2021.parameter_sets["mouse"]):
        effector, memory, bonds, tumour = solve(Singh2021, parameters, days, outputs=names, rtol=1e-9).values[0].T
        floor = 1.0  # of the state
        assert np.all(bonds >= -floor)
        assert np.all(bonds <= 15000 * (effector + memory) + floor)
        assert np.all(bonds <= 12590 * tumour + floor)


def test_the_mouse_is_compared_with_its_data_and_not_tuned(shared_data):
    """The set mouse misses the measured peak by a factor of more than five: a fit would not."""
    table = pd.read_csv(shared_data / "kinetics" / "singh2021_mouse_digitised.csv")
    days, measured = table.loc[table["series"] == "fig2b2_treatment", ["day", "value"]].to_numpy().T
    found = solve(Singh2021, Singh2021.parameter_sets["mouse"], days)["car_t_blood"][0]
    peak = int(np.argmax(measured))
    assert measured[peak] == 455.0
    assert found[peak] == pytest.approx(79.43, abs=0.01)  # by hand with SciPy


def test_an_infusion_without_length_is_refused():
    with pytest.raises(InputError, match="dose_duration"):
        solve(Singh2021, {"dose_duration": 0.0}, [1.0])
