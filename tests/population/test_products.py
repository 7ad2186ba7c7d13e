"""Products: schema, sources, and doses by the examples of their labels."""

import numpy as np
import pytest

from livingdrug.declared import read_toml
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.population.diseases import disease
from livingdrug.population.products import FOLDER, PRODUCTS, Band, DoseRule, Product, product
from livingdrug.sources import cite
from livingdrug.therapy.stated import stated_values

UNITS = {"weight_kg": "kg", "marrow_blasts": "fraction"}


def people(*weights, blasts=None):
    columns = {"weight_kg": np.asarray(weights, float)}
    if blasts is not None:
        columns["marrow_blasts"] = np.asarray(blasts, float)
    return Patients(np.arange(len(weights)), columns, {name: UNITS[name] for name in columns})


def infusions(name, indication, patients, **options):
    return [dose for dose in product(name).doses(patients, indication, **options) if dose.target == "infused"]


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_number_and_indication_says_where_it_is_from(name):
    for _, value in stated_values(product(name)):
        assert value.source or value.mark in ("assumed", "recalled")
        if value.source:
            cite(value.source)
    for indication in product(name).indications.values():
        assert indication.note
        if indication.source:
            cite(indication.source)


@pytest.mark.parametrize("name", PRODUCTS)
def test_every_indication_doses_its_own_patients(name):
    for key, indication in product(name).indications.items():
        patients = disease(indication.disease).draw(np.arange(200), seed=4)
        cells = product(name).dose_cells(patients, key, seed=4)
        assert np.all((cells > 1e6) & (cells < 3e9))
        doses = product(name).doses(patients, key, seed=4)
        assert {"fludarabine", "cyclophosphamide", "infused"} == {dose.target for dose in doses}
        given = np.sum([dose.amount for dose in doses if dose.target == "infused"], axis=0)
        assert np.allclose(given, cells)


def test_per_kilogram_up_to_a_cap():
    """Yescarta: 2e6 per kg, at most 2e8 cells; Tecartus in leukaemia: 1e6 per kg, at most 1e8 cells."""
    assert product("axi_cel").dose_cells(people(50, 75, 100, 140), "lbcl").tolist() == [1e8, 1.5e8, 2e8, 2e8]
    assert product("brexu_cel").dose_cells(people(50, 140), "b_all_adult").tolist() == [5e7, 1e8]


def test_tisa_cel_goes_by_kilogram_up_to_50_kg_and_is_flat_above():
    """Kymriah, children: 0.2e6 to 5e6 per kg up to 50 kg (the trial reached 5.4e6), 0.1e8 to 2.5e8 above."""
    light = np.full(2000, 50.0)
    cells = product("tisa_cel").dose_cells(people(*light), "b_all", seed=1)
    assert cells.min() >= 0.2e6 * 50
    assert cells.max() <= 5.4e6 * 50
    assert np.median(cells) / 50 == pytest.approx(3.1e6, rel=0.03)  # maude2018: median of the given doses
    heavy = product("tisa_cel").dose_cells(people(*(light + 20)), "b_all", seed=1)
    assert 0.1e8 <= heavy.min() <= heavy.max() <= 2.5e8


def test_obe_cel_is_split_by_marrow_blasts():
    """Above 20 % of blasts 10e6 and 400e6 cells, else 100e6 and 310e6, nine days apart; 410e6 in all."""
    first, second = infusions("obe_cel", "b_all_adult", people(70, 70, 70, blasts=[0.1, 0.2, 0.9]))
    assert first.amount.tolist() == [100e6, 100e6, 10e6]
    assert second.amount.tolist() == [310e6, 310e6, 400e6]
    assert first.at.tolist() == [0, 0, 0]
    assert second.at.tolist() == [9, 9, 9]
    with pytest.raises(InputError, match="marrow_blasts"):
        infusions("obe_cel", "b_all_adult", people(70))


def test_dose_levels_are_given_by_their_weights():
    """TRANSCEND: 51, 177 and 41 of 269 patients; 5 standard errors."""
    cells = product("liso_cel").dose_cells(people(*np.full(20_000, 80.0)), "lbcl", seed=3)
    for level, count in ((50e6, 51), (100e6, 177), (150e6, 41)):
        share = count / 269
        assert np.mean(cells == level) == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / 20_000))
    rule = DoseRule(levels=({"cells": 450e6},))
    assert product("ide_cel").dose_cells(people(60, 90), "myeloma", rule=rule).tolist() == [450e6, 450e6]


def test_fractions_add_up_to_the_dose():
    parts = infusions("varni_cel", "b_all_adult", people(80))
    assert [float(part.amount[0]) for part in parts] == pytest.approx([0.8e7, 2.4e7, 4.8e7])


def test_lymphodepletion_by_indication_and_by_patient():
    before = product("tisa_cel").doses(people(30, 30), "b_all", depleted=[True, False])[:2]
    assert [(dose.target, float(dose.amount), dose.count) for dose in before] == [
        ("fludarabine", 30.0, 4),
        ("cyclophosphamide", 500.0, 2),
    ]
    assert all(dose.at[0] == -5 and np.isnan(dose.at[1]) for dose in before)
    own = product("brexu_cel").doses(people(70), "b_all_adult")[:2]
    assert [(d.target, d.amount, float(d.at[0]), d.count) for d in own] == [
        ("fludarabine", 25.0, -4.0, 3),
        ("cyclophosphamide", 900.0, -2.0, 1),
    ]


def test_a_dose_belongs_to_its_patient():
    many, few = people(*np.linspace(12, 90, 500)), people(*np.linspace(12, 90, 500)).take([7, 400])
    all_cells = product("tisa_cel").dose_cells(many, "b_all", seed=9)
    assert np.array_equal(product("tisa_cel").dose_cells(few, "b_all", seed=9), all_cells[[7, 400]])


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="'tisa_cel'"):
        product("tisa_cell")
    with pytest.raises(InputError, match="'lbcl'"):
        product("axi_cel").doses(people(70), "lbc")
    table = read_toml(FOLDER / "axi_cel.toml")
    wrong = {"lbcl": {**table["indications"]["lbcl"], "lymphodepletion": "flu-cy 501"}}
    with pytest.raises(InputError, match="'flu-cy 500'"):
        Product(**{**table, "indications": wrong})


def test_rules_that_leave_somebody_out_are_refused():
    per_kg = {"value": 1e6, "unit": "cell/kg"}
    with pytest.raises(InputError, match="without a gap"):
        DoseRule(bands=({"below_kg": 50, "per_kg": per_kg}, {"from_kg": 60, "per_kg": per_kg}))
    with pytest.raises(InputError, match="one of them"):
        DoseRule(bands=({"per_kg": per_kg},), levels=({"cells": 1e8},))
    with pytest.raises(InputError, match="either per_kg or flat"):
        Band()
    with pytest.raises(InputError, match="add up to 1"):
        DoseRule(levels=({"cells": 1e8},), fractions=({"day": 0, "share": 0.5},))
    with pytest.raises(InputError, match="no weight band for 70 kg"):
        DoseRule(bands=({"below_kg": 50, "per_kg": per_kg},)).given(people(70))


def test_parts_agree_with_the_shared_table(shared_data):
    """Costimulation and target of every product, as in products.csv of the check data."""
    import csv

    text = (shared_data / "clinical" / "products.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    by_generic = {row["generic"]: row for row in rows}
    assert {product(name).generic for name in PRODUCTS} == set(by_generic)
    for name in PRODUCTS:
        row, parts = by_generic[product(name).generic], product(name).receptor
        assert row["costim"] == parts.costimulation
        assert row["target"].startswith(parts.target)
