"""Covariates, settings and luck become parameters of the body."""

import numpy as np
import pytest

from livingdrug.body.twin import TwinBody
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.population.diseases import DISEASES, disease
from livingdrug.population.effects import Effects, effects
from livingdrug.population.free import (
    MOST_FREE,
    TRIAL_EFFECTS,
    Declaration,
    between,
    free_parameters,
    setting_names,
    spread,
    trial_log_sd,
)
from livingdrug.population.products import PRODUCTS, product
from livingdrug.population.twin_patients import FALL_WITH_SIZE, GROW_WITH_SIZE, body_parameters

IDS = np.arange(4000)


def made(of="lbcl", given="axi_cel", settings=None, ids=IDS, seed=1):
    return body_parameters(disease(of).draw(ids, seed=seed), of, given, settings, seed=seed)


@pytest.mark.parametrize("of", DISEASES)
@pytest.mark.parametrize("given", ["axi_cel", "cilta_cel"])
def test_parameters_are_known_finite_and_within_limits(of, given):
    for name, values in made(of, given, ids=IDS[:300]).items():
        low, high = TwinBody.parameters[name].limits
        assert values.shape == (300,)
        assert np.all((values >= low) & (values <= high)), name


def test_a_patient_does_not_depend_on_the_others():
    many, few = made("b_all", "tisa_cel"), made("b_all", "tisa_cel", ids=[3999, 12])
    for name, values in few.items():
        assert np.array_equal(values, many[name][[3999, 12]]), name


def test_covariates_enter_the_body():
    patients = disease("lbcl").draw(IDS, seed=1)
    found = made()
    assert np.array_equal(found["tumour_at_start"], patients["burden_cells"])
    assert np.array_equal(found["tumour_growth"], patients["tumour_growth"])
    assert np.array_equal(found["crp_baseline"], patients["crp"])
    expected = np.clip(patients["lymphocytes"] * 0.75 / 500.0, 0.02, 3.0)
    assert np.allclose(found["host_at_start"], expected)
    large = patients["burden_cells"] > np.median(patients["burden_cells"])
    assert np.median(found["resistance"][large]) > 1.5 * np.median(found["resistance"][~large])


def test_the_kind_of_product_and_its_target_set_the_body():
    cd28, four_1bb, bcma = made(), made(given="liso_cel"), made("myeloma", "cilta_cel")
    assert np.median(four_1bb["exhaustion"]) == pytest.approx(0.05, rel=0.1)  # body.diseases.FOUR_1BB
    assert np.median(cd28["exhaustion"]) == pytest.approx(TwinBody.parameters["exhaustion"].value, rel=0.1)
    assert np.all(bcma["antigen_on_plasma_cells"] == 1)
    assert np.all(bcma["antigen_on_b_cells"] == 0)
    assert "antigen_on_plasma_cells" not in cd28  # as the body has it


def test_settings_multiply_from_wide_to_narrow():
    names = ("expansion", "expansion:lbcl", "expansion:4-1BB", "expansion:liso_cel")
    once = made(given="liso_cel")["expansion_capacity"]
    for name in names:
        assert made(given="liso_cel", settings={name: 2.0})["expansion_capacity"] == pytest.approx(2 * once)
    all_of_them = made(given="liso_cel", settings=dict.fromkeys(names, 2.0))
    assert all_of_them["expansion_capacity"] == pytest.approx(16 * once)
    assert np.array_equal(made(given="liso_cel", settings={"expansion:CD28": 2.0})["expansion_capacity"], once)


def test_diseases_of_a_group_follow_it():
    once, twice = made("fl", "axi_cel"), made("fl", "axi_cel", {"expansion:lbcl": 2.0})
    assert twice["expansion_capacity"] == pytest.approx(2 * once["expansion_capacity"])
    own = made("fl", "axi_cel", {"expansion:fl": 3.0})
    assert own["expansion_capacity"] == pytest.approx(3 * once["expansion_capacity"])
    assert np.array_equal(made(settings={"expansion:fl": 3.0})["expansion_capacity"], made()["expansion_capacity"])


def test_killing_is_the_reciprocal_of_resistance_and_negative_cells_go_by_odds():
    once, twice = made(), made(settings={"killing": 2.0, "negative_share": 10.0})
    assert twice["resistance"] == pytest.approx(once["resistance"] / 2)
    odds = [found["negative_share"] / (1 - found["negative_share"]) for found in (once, twice)]
    assert odds[1] == pytest.approx(10 * odds[0])
    assert twice["negative_share"].max() < 1


def test_trial_effects_are_logarithms():
    once, moved = made(), made(settings={"trial_effect:expansion": 0.3})
    assert moved["expansion_capacity"] == pytest.approx(np.exp(0.3) * once["expansion_capacity"])
    assert trial_log_sd() > 0


def test_spreads_are_the_standard_deviation_of_the_logarithm():
    """4000 patients: 5 standard errors of an SD."""
    for settings, expected in (({}, 0.8), ({"spread:expansion": 0.3}, 0.3), ({"spread:expansion:lbcl": 0.5}, 0.5)):
        found = np.log(made(settings=settings)["expansion_capacity"]).std()
        assert found == pytest.approx(expected, abs=5 * expected / np.sqrt(2 * IDS.size))
    still = made(settings={"spread:expansion": 0.0})["expansion_capacity"]
    assert np.allclose(still, still[0])
    assert float(spread({"spread:expansion": 0.9}, "expansion", disease("fl"), product("axi_cel"))) == 0.9


def test_effects_go_together_as_stated():
    settings = {"spread:cytokine_gain": 1.0, "spread:endothelial_gain": 1.0}
    found = made(settings=settings, ids=np.arange(20_000))
    crp = np.log(disease("lbcl").draw(np.arange(20_000), seed=1)["crp"] / 15.0)
    vessels = np.log(found["endothelial_sensitivity"]) - 0.1 * crp
    assert np.corrcoef(np.log(found["cytokine_gain"]), vessels)[0, 1] == pytest.approx(0.2, abs=0.035)


def test_a_child_is_an_adult_in_small():
    """Two patients who differ in weight only: whole-body numbers and volumes scale, concentrations do not."""
    patients = disease("b_all").draw([8, 9], seed=1)
    columns = {name: np.full(2, patients[name][0]) for name in patients}
    same_luck = patients.with_columns({**columns, "weight_kg": [20.0, 80.0]}, dict(patients.units))
    rows = [Patients([8], {name: same_luck[name][[row]] for name in same_luck}, same_luck.units) for row in (0, 1)]
    child, adult = (body_parameters(row, "b_all", "tisa_cel", seed=1) for row in rows)
    for name, values in child.items():
        unit = TwinBody.parameters[name].unit
        factor = 4.0 if unit in GROW_WITH_SIZE else 0.25 if unit in FALL_WITH_SIZE else 1.0
        if name in ("tumour_at_start", "one_cell"):
            factor = 1.0
        grown = adult.get(name, np.array([TwinBody.parameters[name].value]))
        assert grown == pytest.approx(factor * values), name


def test_bad_settings_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="'expansion:lbcl'"):
        made(settings={"expansion:lbc": 1.0}, ids=[1])
    for name, value in (("expansion", 0.0), ("expansion", float("nan")), ("spread:expansion", -1.0)):
        with pytest.raises(InputError, match=name):
            made(settings={name: value}, ids=[1])
    with pytest.raises(InputError, match="at most 10"):
        made(settings={"trial_effect:expansion": 50.0}, ids=[1])


def test_free_parameters_are_few_known_and_have_a_level():
    names = [free.name for free in free_parameters()]
    assert len(names) == len(set(names)) <= MOST_FREE
    assert set(names) <= set(setting_names())
    for one in PRODUCTS:
        assert sum(name.endswith(f":{one}") for name in names) <= 2
    for free in free_parameters():
        place = free.name.rsplit(":", 1)[-1]
        if free.level == "product":
            assert place in PRODUCTS
        elif free.level == "disease":
            assert place in DISEASES
        elif free.level == "class":
            assert place in ("CD28", "4-1BB")
        assert free.informed_by


def test_every_free_parameter_moves_somebody():
    arms = (("b_all", "tisa_cel"), ("lbcl", "tisa_cel"), ("lbcl", "axi_cel"), ("lbcl", "liso_cel"))
    arms = (*arms, ("myeloma", "ide_cel"), ("myeloma", "cilta_cel"))
    plain = {arm: made(*arm, ids=IDS[:20]) for arm in arms}
    for free in free_parameters():
        moved = [
            any(not np.array_equal(plain[arm].get(name), values) for name, values in changed.items())
            for arm in arms
            for changed in [made(*arm, {free.name: 1.7}, ids=IDS[:20])]
        ]
        assert any(moved), free.name


def test_what_is_not_calibrated_varies_in_predictions():
    assert between("lbcl", "axi_cel") == {}
    both = between("mcl", "brexu_cel")
    assert {name.split(":")[1] for name in both} == {"mcl", "brexu_cel"}
    assert set(both) <= set(setting_names())
    assert all(sd > 0 for sd in both.values())
    assert set(TRIAL_EFFECTS) <= set(effects().effects)


def test_declarations_that_break_the_rules_are_refused():
    free = {"level": "product", "prior_log_sd": 0.4, "informed_by": "x"}
    table = {"between": {"disease": {}, "product": {}}, "calibrated": {"diseases": [], "products": []}}
    three = [{**free, "name": f"{effect}:axi_cel"} for effect in ("expansion", "killing", "onset")]
    with pytest.raises(InputError, match="at most 2"):
        Declaration(**table, free=three)
    with pytest.raises(InputError, match="expansion:axi_cel"):
        Declaration(**table, free=[{**free, "name": "expansion:axi_ce"}])
    with pytest.raises(InputError, match="twice"):
        Declaration(**table, free=[three[0], three[0]])
    with pytest.raises(InputError, match="parameter of the body"):
        Effects(effects={"a": {"title": "a", "on": {"kill_rat": 1.0}, "spread": {"value": 0.1}}}, covariates={},
                direct={}, values={})  # fmt: skip


def test_every_unit_of_the_body_is_known_to_scale_or_not():
    """A new parameter whose unit holds a cell, a volume or a mass must be sorted in by hand."""
    same = {
        "cell/uL", "cell/mL", "cell/ug", "copy/cell", "pg/mL", "ug/mL", "mg/L", "ug/L", "g/L", "g/dL", "U/L",
        "m**2/mg/day", "pg/mL/day",
    }  # fmt: skip
    bodily = [p for p in TwinBody.parameters.values() if any(word in p.unit for word in ("cell", "L", "mg"))]
    for p in bodily:
        assert p.unit in (*GROW_WITH_SIZE, *FALL_WITH_SIZE, *same), p
