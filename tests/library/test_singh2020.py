"""singh2020: what its declaration is and what follows from it; its targets are run in tests/reference."""

from __future__ import annotations

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import InputError
from livingdrug.library.singh2020 import Singh2020

# The transcription, in mL and hours: flow, vessels, tissue, entry of each organ.
ORGANS = {
    "lung": (373, 0.0295, 0.0384, 4705.13),
    "spleen": (8.18, 0.0154, 0.0254, 1799.76),
    "gut": (75.4, 0.0166, 0.1815, 9.05),
    "liver": (10.3, 0.164, 0.385, 716.49),
    "kidney": (68.5, 0.0289, 0.0788, 296.75),
    "brain": (11.8, 0.0107, 0.0873, 1.4),
}
STILL = {"liver_loss": 0.0, "expansion": 0.0, "tumour_growth": 0.0, "kill_rate": 0.0}


def value(name):
    return Singh2020.parameters[name].value


def test_organs_are_those_of_the_transcription():
    for organ, numbers in ORGANS.items():
        assert tuple(value(f"{organ}_{what}") for what in ("flow", "vessels", "tissue", "entry")) == numbers
    assert (value("rest_vessels"), value("rest_tissue"), value("rest_entry")) == (0.55209, 4.11183, 86.8)
    rest = value("lung_flow") - sum(value(f"{o}_flow") for o in (*list(ORGANS)[1:], "tumour"))
    assert rest == pytest.approx(192.82, abs=0.005)  # Q_Other of the file


def test_what_the_transcription_changed_is_marked():
    changed = {name for name, p in Singh2020.parameters.items() if "marked there as changed" in p.source}
    assert changed == {
        "tumour_entry", "antigens_per_cell", "dissociation_constant", "cytokine_capacity", "car_t_dose",
    }  # fmt: skip


def test_the_dissociation_constant_is_converted_to_particles():
    """21.2 nmol/L is 21.2e-9 x 6.02214076e23 / 1000 = 1.2767e13 per mL."""
    p = Singh2020.canonical({})
    assert float(p["dissociation_constant"] * p["avogadro"]) == pytest.approx(1.2767e13, rel=1e-4)


def test_no_cell_is_lost_between_the_organs_however_fast_they_exchange():
    parameters = STILL | {"tumour_entry": [2.0, 50.0, 1000.0], "tumour_at_infusion": [0.02, 1.0, 0.0]}
    total = solve(Singh2020, parameters, [0.01, 1.0, 20.0], rtol=1e-9)["car_t_total"]
    assert total == pytest.approx(np.full((3, 3), 9440.0), rel=1e-6)


def test_flow_returns_to_the_lung():
    """At rest all vessels hold nearly one concentration where nothing is taken up: flows in and out are equal."""
    entries = {name: 0.0 for name in Singh2020.parameters if name.endswith("_entry")}
    names = ["blood", *(s for s in Singh2020.states if s.endswith("_inside"))]
    values = solve(Singh2020, STILL | entries, [1.0], outputs=names, rtol=1e-9).values[0, 0]
    assert values == pytest.approx(np.full(len(names), values[0]), rel=5e-3)  # lymph flow is 1/5000 of it per pass
    assert values[0] < 9440 / 0.944


def test_the_liver_destroys_cells_and_no_other_organ():
    """What is left and what the liver destroyed, 0.0288 per hour of the cells in it, are together the dose."""
    days = np.concatenate([np.linspace(0, 0.1, 2001), np.linspace(0.1, 10, 4001)[1:]])
    run = solve(Singh2020, STILL | {"liver_loss": 0.0288}, days, rtol=1e-9)
    destroyed = 0.0288 * 24 * np.trapezoid(run["car_t_liver"][0], days)
    assert destroyed > 5000
    assert run["car_t_total"][0, -1] + destroyed == pytest.approx(9440, rel=1e-4)  # of the trapezoids


def test_without_cells_nothing_happens_to_the_tumour():
    run = solve(Singh2020, {"car_t_dose": 0.0}, [28.0], rtol=1e-9)
    assert run["cytokine"][0, 0] == 0
    assert run["tumour_cells"][0, 0] == pytest.approx(2e6 * np.exp(0.00305 * 672), rel=1e-7)


def test_the_cytokine_stays_below_its_limit():
    run = solve(Singh2020, {"car_t_dose": [9440.0, 5e6]}, np.linspace(0, 60, 61))
    assert np.all(run["cytokine"] <= 5000)
    assert run["cytokine"][1, -1] == pytest.approx(4978.98, abs=0.05)  # by hand with SciPy, as in the targets


def test_negative_volume_is_refused():
    with pytest.raises(InputError, match="blood_volume"):
        solve(Singh2020, {"blood_volume": 0.0}, [1.0])
