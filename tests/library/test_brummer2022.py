"""brummer2022 beyond its targets: the published table, the drug, limits, and the fit of the assay."""

from __future__ import annotations

import csv
from dataclasses import replace

import numpy as np
import pytest

from livingdrug.engine.solve import Dose, solve
from livingdrug.errors import InputError, SolveError
from livingdrug.library.brummer2022 import Brummer2022, read_wells
from livingdrug.qualification import killing_assay
from livingdrug.qualification.independent import largest_difference, solve_independently
from livingdrug.qualification.killing_assay import GROWTH, OUTPUTS, RANGES, Assay, read_assay, refit

COLUMNS = {
    "tumour_growth": "rho_val",
    "crowding": "kappainv_val",
    "kill_rate": "kappac1_val",
    "car_t_growth": "kappac2_val",
    "car_t_death": "theta_val",
    "dexamethasone_tumour_death": "c0_val",
    "dexamethasone_car_t_death": "c3_val",
    "car_t_at_start": "t_cell_start.ci.",
}
DAYS = np.linspace(0.0, 5.5, 45)


def some_wells(count=3):
    """The example of the note, a treated well of each other line."""
    return ["PBT1_B1_B2", "PBT2_G5_G6", "PBT4_E3_E4"][:count]


def cohort(names):
    sets = [Brummer2022.parameter_sets[name] for name in names]
    return {name: np.array([values[name] for values in sets]) for name in sets[0]}


def made_up(names):
    """An assay whose series are the courses of the published fits themselves."""
    wells = {name: dict(read_wells()[name]) for name in names}
    times = np.tile(DAYS, (len(names), 1))
    course = solve(Brummer2022, cohort(names), times, outputs=OUTPUTS, rtol=1e-10)
    for name, end in zip(names, course["car_t_cell_index"][:, -1], strict=True):
        wells[name]["car_t_at_end"] = float(end)
    last = np.full(len(names), len(DAYS) - 1)
    return Assay(tuple(names), wells, times, course["cell_index"], np.full(times.shape, 0.01), last)


def test_the_72_fits_are_those_of_the_published_table(shared_data):
    with (shared_data / "kinetics" / "carrgodex_fit_parameters.csv").open(encoding="utf-8-sig") as file:
        rows = {(r["tumor_line"], r["data_column"]): r for r in csv.DictReader(file)}
    assert len(rows) == len(read_wells()) == len(Brummer2022.parameter_sets) == 72
    for well in read_wells().values():
        row = rows[well["line"], well["column"]]
        assert {name: well["fit"][name] for name in COLUMNS} == {n: float(row[c]) for n, c in COLUMNS.items()}
        assert (well["first_row"], well["end_row"]) == (int(row["t_start_.hr."]), int(row["t_end_.hr."]))
        assert well["dexamethasone_ug_per_mL"] == float(row["dex_.ug.ml."])
        assert (well["car_t_at_end"], well["published_cost"]) == (float(row["t_cell_end.ci."]), float(row["chi_sq"]))
        assert (well["fit"]["dexamethasone_at_start"] == 1) == (well["dexamethasone_ug_per_mL"] > 0)


def test_the_start_is_the_first_fitted_point(shared_data):
    assay = read_assay(shared_data)
    assert list(assay.published["tumour_at_start"]) == list(assay.index[:, 0])
    assert assay.times[0, 1] * 24 == pytest.approx(0.25, abs=0.02)  # a row every quarter of an hour (SOURCE.md)
    # Rows are fitted from the first to the one before the end, as the notebook cuts them.
    fitted = [well["end_row"] - well["first_row"] for well in assay.wells.values()]
    assert list(np.isfinite(assay.index).sum(axis=1)) == fitted


def test_defaults_are_the_example_of_the_note():
    """PBT1, no drug, one to five (section 7b of the note)."""
    well = Brummer2022.parameter_sets["PBT1_B1_B2"]
    assert {name: Brummer2022.parameters[name].value for name in well} == well
    assert [round(well[n], 4) for n in ("tumour_growth", "crowding", "kill_rate")] == [0.3030, 0.3230, 0.5568]


def test_licence_of_the_fits_goes_with_them():
    from importlib.resources import files

    text = (files("livingdrug.library") / "brummer2022.json").read_text(encoding="utf-8")
    assert "Copyright (c) 2021 Alex Brummer" in text
    assert "The above copyright notice and this permission notice shall be included" in text


def test_the_treated_wells_agree_with_scipy():
    for name in some_wells()[1:]:
        values = dict(Brummer2022.parameter_sets[name])
        ours = solve(Brummer2022, values, DAYS, rtol=1e-9)
        courses = {word: ours[word][0] for word in Brummer2022.outputs}
        assert largest_difference(Brummer2022, courses, solve_independently(Brummer2022, values, DAYS))[0] < 1e-6


def test_without_cells_the_tumour_grows_to_its_ceiling():
    found = solve(Brummer2022, {"car_t_at_start": 0.0}, [0, 30.0], rtol=1e-9)
    assert found["cell_index"][0, -1] == pytest.approx(1 / 0.32303399, rel=1e-7)
    assert found["car_t_cell_index"][0, -1] == 0


def test_dexamethasone_halves_every_half_life_and_may_be_added_again():
    hours = np.array([0.0, 3.33, 6.66, 24.0, 27.33])
    values = {"dexamethasone_at_start": 1.0}
    again = Dose("dexamethasone", amount=1.0, at=1.0)
    found = solve(Brummer2022, values, hours / 24, rtol=1e-10, doses=[again])["dexamethasone_share"][0]
    late = 2 ** (-24 / 3.33) + 1
    assert found == pytest.approx([1, 0.5, 0.25, late, late / 2], rel=1e-8)


def test_a_drug_without_effects_changes_nothing():
    plain = solve(Brummer2022, {}, DAYS, rtol=1e-9)["cell_index"]
    with_drug = solve(Brummer2022, {"dexamethasone_at_start": 1.0}, DAYS, rtol=1e-9)["cell_index"]
    assert with_drug == pytest.approx(plain, rel=1e-6)


def test_rates_that_cannot_be_negative_are_refused():
    for name in ("tumour_growth", "crowding", "kill_rate", "car_t_death"):
        with pytest.raises(InputError, match=name):
            solve(Brummer2022, {name: -0.1}, [0, 1.0])
    solve(Brummer2022, {"dexamethasone_tumour_death": -0.1, "car_t_growth": -0.1}, [0, 1.0])


def test_slopes_of_the_cost_are_its_differences():
    """The exact sensitivities against central differences of the residuals."""
    assay = made_up(some_wells(2))
    base = assay.published
    exact = solve(Brummer2022, base, assay.times, outputs=OUTPUTS, tangents=list(RANGES), rtol=1e-10)
    for name in ("kill_rate", "car_t_growth", "dexamethasone_car_t_death"):
        step = 1e-5
        up, down = (
            assay.residuals(solve(Brummer2022, base | {name: base[name] + s}, assay.times, outputs=OUTPUTS, rtol=1e-10))
            for s in (step, -step)
        )
        slopes = assay.slopes(exact, name)
        assert slopes == pytest.approx((up - down) / (2 * step), rel=1e-3, abs=1e-3 * np.abs(slopes).max())


def test_the_fit_finds_the_parameters_that_made_the_series():
    assay = made_up(some_wells())
    found, cost = refit(assay, starts=64, tries=2)
    assert (cost < 0.5).all()  # noise of the assumed error, 0.01, would leave about 45, one for each row
    for name in assay.free(0):  # a well without drug: its five parameters are told apart
        assert found[name][0] == pytest.approx(assay.published[name][0], rel=1e-4, abs=1e-6)


def test_held_parameters_stay_and_the_same_seed_gives_the_same_fit():
    assay = replace(made_up(some_wells(2)), held=GROWTH)
    found, cost = refit(assay, starts=16, tries=1)
    treated = 1  # the first well has no drug, so nothing is held there
    for name in GROWTH:
        assert found[name][treated] == assay.published[name][treated]
        assert found[name][0] != assay.published[name][0]
    again, same = refit(assay, starts=16, tries=1)
    assert np.array_equal(cost, same)
    assert all(np.array_equal(found[name], again[name]) for name in found)


def test_an_error_while_answering_reaches_the_caller(monkeypatch):
    def fail(*_args):
        raise SolveError("no answer")

    monkeypatch.setattr(killing_assay, "_residuals_and_slopes", fail)
    with pytest.raises(SolveError, match="no answer"):
        refit(made_up(some_wells(1)), starts=4, tries=2)
