"""Virtual patients: schema, sources, correlations, and that a patient is the same whoever else there is."""

import numpy as np
import pytest

from livingdrug.declared import read_toml
from livingdrug.errors import InputError
from livingdrug.population.copula import Correlation, correlated_normals, correlation_matrix
from livingdrug.population.diseases import COLUMNS, DISEASES, FOLDER, Disease, disease
from livingdrug.sources import cite
from livingdrug.therapy.stated import Fixed, Stated, stated_values

IDS = np.arange(20_000)


def changed(name, **values):
    return Disease(**{**read_toml(FOLDER / f"{name}.toml"), **values})


@pytest.mark.parametrize("name", DISEASES)
def test_every_number_has_a_source_or_says_that_it_has_none(name):
    stated = dict(stated_values(disease(name)))
    assert {f"columns.{column}" for column in COLUMNS} <= set(stated)
    for value in stated.values():
        assert isinstance(value, Stated)
        assert value.source or value.mark in ("assumed", "recalled")
        if value.source:
            cite(value.source)  # raises if the key does not exist


def test_the_diseases_that_the_trials_need_are_there():
    assert set(DISEASES) == {"b_all", "b_all_adult", "lbcl", "fl", "mcl", "cll", "myeloma"}


@pytest.mark.parametrize("name", DISEASES)
def test_medians_and_correlations_are_those_that_were_stated(name):
    """Medians within what 20,000 draws allow; correlations on the normal scale within 5 standard errors."""
    ill = disease(name)
    patients = ill.draw(IDS, seed=5)
    for column, stated in ill.columns.items():
        low, high = stated.quantile([0.48, 0.52])
        assert low <= np.median(patients[column]) <= high, column
    z = correlated_normals(tuple(ill.columns), ill.correlations, IDS, seed=5, purpose="population")
    for pair in ill.correlations:
        found = np.corrcoef(z[pair.between[0]], z[pair.between[1]])[0, 1]
        assert abs(found - pair.value) < 5 * (1 - pair.value**2) / np.sqrt(IDS.size), pair.between


def test_rank_correlation_of_columns_follows_the_copula():
    """Spearman's rho of a Gaussian copula is 6/pi asin(r/2)."""
    from scipy.stats import spearmanr

    patients = disease("lbcl").draw(IDS, seed=1)
    found = spearmanr(patients["tumour_volume"], patients["ldh"])[0]
    assert found == pytest.approx(6 / np.pi * np.arcsin(0.6 / 2), abs=0.02)


def test_a_patient_does_not_depend_on_the_others():
    ill = disease("b_all")
    many = ill.draw(IDS[:1000], seed=2)
    few = ill.draw([17, 999, 3], seed=2)
    alone = ill.draw([999], seed=2)
    for name in many:
        assert np.array_equal(many[name][[17, 999, 3]], few[name])
        assert alone[name][0] == many[name][999]


def test_another_seed_gives_other_patients():
    a, b = (disease("fl").draw([1, 2, 3], seed=seed) for seed in (1, 2))
    assert not np.any(a["age_years"] == b["age_years"])


def test_children_are_small_and_their_burden_follows_their_weight():
    ill = disease("b_all")
    patients = ill.draw(IDS, seed=1)
    small = patients["age_years"] < 6
    assert np.percentile(patients["weight_kg"][small], 95) < 45
    assert np.median(patients["height_cm"][small]) < 125
    expected = patients["marrow_blasts"] * patients["weight_kg"] * 1.4e10
    assert np.allclose(patients["burden_cells"], expected)
    assert np.allclose(patients["bsa_m2"], np.sqrt(patients["height_cm"] * patients["weight_kg"] / 3600))


def test_volumes_of_lymphoma_are_those_of_the_published_trial():
    """95 mL is the median of the 96 volumes of cartecology; the burden has 1e9 cells per mL."""
    assert disease("lbcl").typical_burden() == pytest.approx(94.84e9)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="'b_all'"):
        disease("b_al")
    with pytest.raises(InputError, match="age_years"):
        changed("lbcl", columns={**read_toml(FOLDER / "lbcl.toml")["columns"], "age_year": {"value": 3}})


def test_bad_declarations_are_refused():
    columns = read_toml(FOLDER / "lbcl.toml")["columns"]
    without = {name: value for name, value in columns.items() if name != "crp"}
    with pytest.raises(InputError, match="crp"):
        changed("lbcl", columns=without)
    with pytest.raises(InputError, match="burden is stated by one"):
        changed("lbcl", columns={**columns, "burden_cells": {"value": 1e9, "unit": "cell"}})
    with pytest.raises(InputError, match="the unit must be 'kg'"):
        changed("lbcl", columns={**columns, "weight_kg": {"value": 70, "unit": "g"}})
    with pytest.raises(InputError, match="give low and high"):
        changed("lbcl", columns={**columns, "crp": {"kind": "normal", "mean": 5, "sd": 3, "unit": "mg/L"}})
    with pytest.raises(InputError, match="disease of the body"):
        changed("lbcl", body="lbc")


def test_correlations_that_cannot_be_are_refused():
    def pairs(*values):
        names = (("a", "b"), ("b", "c"), ("a", "c"))
        return [Correlation(between=between, value=value) for between, value in zip(names, values, strict=True)]

    assert np.allclose(correlation_matrix("abc", pairs(0.5, 0.5, 0.5)), 0.5 + 0.5 * np.eye(3))
    with pytest.raises(InputError, match="not positive definite"):
        correlation_matrix("abc", pairs(0.9, 0.9, -0.9))
    with pytest.raises(InputError, match="twice"):
        correlation_matrix("ab", [*pairs(0.5, 0.5, 0.5)[:1], Correlation(between=("b", "a"), value=0.1)])
    with pytest.raises(InputError, match="quantity of a correlation"):
        correlation_matrix("ab", pairs(0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="between -1 and 1"):
        Correlation(between=("a", "b"), value=1.0)


def test_a_trial_can_state_its_own_columns():
    ill = disease("lbcl").with_columns({"lines": Fixed(value=1)})
    patients = ill.draw(IDS[:50], seed=3)
    same = disease("lbcl").draw(IDS[:50], seed=3)
    assert np.all(patients["lines"] == 1)
    assert np.array_equal(patients["tumour_volume"], same["tumour_volume"])
    cells = disease("b_all").with_columns({"burden_cells": Fixed(value=1e9, unit="cell")}).draw([1, 2], seed=3)
    assert "marrow_blasts" not in cells
    assert cells["burden_cells"].tolist() == [1e9, 1e9]
    with pytest.raises(InputError, match="'lines'"):
        disease("lbcl").with_columns({"line": Fixed(value=1)})
