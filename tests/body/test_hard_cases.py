"""Hard cases: no dose, huge doses, no tumour, one cell, wrong numbers, and parameters far from the typical."""

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.treatment import (
    anakinra,
    cells,
    growth_factor,
    lymphodepletion,
    platelets,
    red_cells,
    steroid,
    tocilizumab,
)  # fmt: skip
from livingdrug.body.twin import TwinBody
from livingdrug.body.variability import draw_patients
from livingdrug.engine.solve import LOOSE
from livingdrug.errors import InputError

DAYS = np.array([-6.0, 0.0, 1.0, 7.0, 14.0, 28.0, 60.0, 90.0, 180.0, 365.0])
SWITCHES = ("antigen_switch", "homeostasis", "cytokine_release", "brain_switch", "ln2")


def nothing_negative(found, share_of_floor=1e-3):
    for name, state in TwinBody.states.items():
        assert np.isfinite(found[name]).all(), name
        assert found[name].min() >= -share_of_floor * state.floor / state.factor, name


def test_without_cells_there_are_none_and_the_tumour_grows(clinic):
    found = clinic.follow("lbcl_cd28", dose=0.0, days=DAYS)
    for name in ("infused", "arrived", "memory", "early", "expanded", "exhausted", "site_effector", "site_exhausted"):
        assert not found[name].any(), name
    assert found["tumour_cells"][0, -1] > 10 * found["tumour_cells"][0, 0]
    assert found["il6"].max() == pytest.approx(1.7, rel=1e-6)
    assert not found["movement_hazard"].any()


@pytest.mark.parametrize("dose", [1.0, 1e3, 1e11, 1e13])
def test_tiny_and_huge_doses_are_solved(clinic, dose):
    found = clinic.follow("b_all", dose=dose, days=DAYS)
    nothing_negative(found)
    assert found["car_t_blood"].max() < max(dose / 5e8, 1e3)  # per uL: all cells of the dose, or a very high peak


@pytest.mark.parametrize("name", ["lbcl_cd28", "b_all", "myeloma", "solid"])
def test_without_a_tumour_cells_come_and_go(clinic, name):
    found = clinic.follow(name, {"tumour_at_start": 0.0}, days=DAYS, stochastic=True)
    nothing_negative(found)
    assert not found["tumour_cells"].any()
    assert found["car_t_blood"][0, -1] < found["car_t_blood"][0].max()


@pytest.mark.parametrize("start", [0.3, 1.0, 7.0, 150.0])
def test_a_tumour_of_few_cells_dies_out_in_most(clinic, start):
    """Whole cells or none below 100. What so few cells withstand is little (``variability``: it grows with burden)."""
    ids = np.arange(200)
    given = {"tumour_at_start": np.full(200, start), "resistance": 0.01}
    found = clinic.follow("b_all", given, days=DAYS, stochastic=True, patient_ids=ids, seed=2)
    nothing_negative(found)
    assert (found["tumour_cells"][:, -1] == 0).mean() > 0.9
    counted = found["tumour_positive"][:, 1:]
    counted = counted[(counted > 0) & (counted < 100)]
    assert (counted == np.round(counted)).all()


def test_only_the_clone_without_antigen(clinic):
    found = clinic.follow("lbcl_cd28", {"negative_share": 1.0}, days=DAYS)
    assert not found["tumour_positive"].any()
    assert found["tumour_negative"][0, -1] > found["tumour_negative"][0, 0]
    nothing_negative(found)


def test_doses_before_the_course_begins_are_refused_and_at_its_begin_count(clinic):
    with pytest.raises(InputError, match="-8"):
        clinic.follow("lbcl_cd28", days=DAYS, more=cells(1e8, day=-8.0))
    first = clinic.follow("lbcl_cd28", days=DAYS, more=cells(1e8, day=-6.0))
    assert first["infused"][0, 0] == pytest.approx(1e8)


def test_two_drugs_and_cells_at_one_instant_add_up(clinic):
    together = clinic.follow("lbcl_cd28", days=DAYS, more=[*tocilizumab(70.0, day=0.0), *steroid(10.0, day=0.0)])
    turned = clinic.follow("lbcl_cd28", days=DAYS, more=[*steroid(10.0, day=0.0), *tocilizumab(70.0, day=0.0)])
    assert together.values == pytest.approx(turned.values, rel=1e-9, abs=1e-9)
    assert together["toci_central"][0, 1] == pytest.approx(560.0)
    assert together["steroid"][0, 1] == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("changes", "dose"),
    [
        ({"tumour_at_start": np.nan}, 1e8), ({"tumour_at_start": -1.0}, 1e8), ({"kill_rate": np.inf}, 1e8),
        ({"fitness": -0.1}, 1e8), ({"negative_share": 1.1}, 1e8), ({"host_at_start": -1.0}, 1e8), ({}, -1.0),
        ({}, np.nan), ({}, np.inf), ({"kil_rate": 1.0}, 1e8), ({"tumour_at_start": [1e9, np.nan]}, 1e8),
    ],
)  # fmt: skip
def test_wrong_numbers_are_refused(clinic, changes, dose):
    with pytest.raises(InputError):
        clinic.follow("lbcl_cd28", changes, dose=dose, days=DAYS)


def test_wrong_spreads_are_refused():
    for wrong in ({"kill_rat": 0.1}, {"mutation": 0.1}, {"kill_rate": -1.0}, {"kill_rate": np.nan}):
        with pytest.raises(InputError):
            draw_patients([1], spreads=wrong)


@pytest.mark.parametrize("factor", [2.0, 3.0])
@pytest.mark.parametrize("stochastic", [False, True])
def test_parameters_far_from_the_typical_are_solved(clinic, factor, stochastic):
    """Every parameter at once up to so many times smaller or larger; only switches stay as they are."""
    rng, count = np.random.default_rng(8), 300
    drawn = {}
    for name, p in TwinBody.parameters.items():
        if name in SWITCHES:
            continue
        value = p.value * factor ** rng.uniform(-1, 1, count) if p.value else rng.uniform(0, min(p.limits[1], 1), count)
        drawn[name] = np.clip(value, *p.limits)
    given = [
        *lymphodepletion("flu-cy 500 and anti-CD52"), *cells(1e8 * 100 ** rng.uniform(-1, 1, count)),
        *tocilizumab(70.0, day=3.0), *steroid(10.0, day=4.0, count=12), *anakinra(100.0, day=4.0, count=12),
        *growth_factor(day=7.0, count=5), *platelets(day=9.0), *red_cells(day=9.0),
    ]  # fmt: skip
    found = clinic.solve(drawn, given, DAYS, patient_ids=np.arange(count), stochastic=stochastic, rtol=LOOSE, threads=1)
    nothing_negative(found, share_of_floor=0.01)


@pytest.mark.parametrize("name", list(PATIENTS))
def test_ten_years_with_chance_a_second_dose_and_all_support(clinic, name):
    days = np.concatenate([DAYS, np.arange(730.0, 3653.0, 365.0)])
    more = [
        *cells(1e8, day=90.0), *lymphodepletion("flu-cy 500", infusion_day=90.0), *growth_factor(day=10.0, count=10),
        *platelets(day=10.0, count=5), *red_cells(2.0, day=12.0),
    ]  # fmt: skip
    found = clinic.cohort(name, 200, more=more, days=days, stochastic=True, rtol=1e-6)
    nothing_negative(found)
    capacity = PATIENTS[name].values().get("tumour_capacity", TwinBody.parameters["tumour_capacity"].value)
    assert found["tumour_cells"].max() <= 1.001 * max(capacity, found["tumour_cells"][:, 0].max())


def test_ten_years_after_treatment_without_a_tumour_all_is_at_rest_but_memory(clinic):
    """The drugs are gone, counts and cytokines are back; CAR T cells that B cells keep awake may remain."""
    days = np.concatenate([[-6.0], np.linspace(0, 3652.5, 21)])
    found = clinic.follow("lbcl_cd28", {"tumour_at_start": 0.0, "antigen_on_b_cells": 0.0}, days=days)
    rest = {"il6": 1.7, "neutrophils": 4000.0, "platelets": 220000.0, "endothelium": 1.0, "marrow": 1.0}
    for name, value in rest.items():
        assert found[name][0, -1] == pytest.approx(value, rel=1e-3), name
    for name in ("fludarabine", "steroid", "macrophages", "barrier", "brain_injury"):
        assert found[name][0, -1] < 1e-3 * max(found[name].max(), 1e-3), name
    assert found["normal_t_blood"][0, -1] == pytest.approx(500.0, rel=0.02)
