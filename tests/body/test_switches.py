"""A block is switched off by a parameter, and then it is off: what it drives stays at rest."""

import numpy as np
import pytest

from livingdrug.body.diseases import PATIENTS
from livingdrug.body.treatment import anakinra, anti_cd52, growth_factor, steroid, tocilizumab

DAYS = np.array([-6.0, 0.0, 3.0, 7.0, 10.0, 14.0, 28.0, 60.0])
REST = {
    "interferon_gamma": 2.3, "colony_factor": 0.0, "macrophages": 0.0, "interleukin_6": 1.7, "interleukin_10": 4.5,
    "c_reactive_protein": 5.0, "serum_ferritin": 400.0, "endothelium": 1.0, "barrier": 0.0, "cns_cytokines": 0.0,
    "brain_injury": 0.0, "movement_hazard": 0.0, "site_effector": 0.0, "site_exhausted": 0.0, "marrow": 1.0,
    "neutrophils": 4000.0, "platelets": 220000.0, "immunoglobulin": 7.0, "b_cells": 0.3 * 2.5e10, "plasma_cells": 1e10,
    "interleukin_7": 5.0, "host_t": 2.5e11, "memory": 0.0, "early": 0.0, "exhausted": 0.0, "tumour_negative": 0.0,
}  # fmt: skip
CYTOKINES = (
    "interferon_gamma", "colony_factor", "macrophages", "interleukin_6", "interleukin_10", "c_reactive_protein",
    "serum_ferritin", "endothelium", "barrier", "cns_cytokines", "brain_injury",
)  # fmt: skip
NO_DRUG_ON_BLOOD = {f"{drug}_on_marrow": 0.0 for drug in ("fludarabine", "cyclophosphamide", "bendamustine")}
NO_DEPLETION = {f"{drug}_kill": 0.0 for drug in ("fludarabine", "cyclophosphamide", "bendamustine", "anti_cd52")}
# Block or part: (patient, parameters that switch it off, states that then stay at rest)
OFF = {
    "cytokines": ("lbcl_cd28", {"cytokine_release": 0.0}, CYTOKINES),
    "macrophages": (
        "lbcl_cd28", {"damage_trigger": 0.0, "binding_trigger": 0.0, "contact_trigger": 0.0}, ("macrophages",)
    ),
    "all cytokines by one number": (
        "lbcl_cd28", {"cytokine_gain": 0.0}, ("interferon_gamma", "colony_factor", "interleukin_6", "interleukin_10")
    ),
    "vessels": ("lbcl_cd28", {"endothelial_sensitivity": 0.0}, ("endothelium",)),
    "brain": ("lbcl_cd28", {"brain_switch": 0.0}, ("barrier", "cns_cytokines", "brain_injury")),
    "movement disorder": ("myeloma", {"brain_switch": 0.0}, ("movement_hazard",)),
    "brain by its sensitivity": ("lbcl_cd28", {"brain_sensitivity": 0.0}, ("cns_cytokines", "brain_injury")),
    "movement disorder without BCMA": ("lbcl_cd28", {}, ("movement_hazard",)),
    "marrow": (
        "lbcl_cd28", {"marrow_sensitivity": 0.0, "platelet_consumption": 0.0}, ("marrow", "neutrophils", "platelets")
    ),
    "entry into the tumour": ("lbcl_cd28", {"entry": 0.0}, ("site_effector", "site_exhausted")),
    "B cells": (
        "lbcl_cd28", {"antigen_on_b_cells": 0.0, "b_cell_depletion": 0.0, "b_cells_at_start": 1.0, "contact": 0.5},
        ("b_cells", "plasma_cells", "immunoglobulin"),
    ),
    "plasma cells": (
        "myeloma", {"antigen_on_plasma_cells": 0.0, "b_cell_depletion": 0.0, "b_cells_at_start": 1.0},
        ("plasma_cells", "immunoglobulin"),
    ),
    "lymphodepletion of T cells": (
        "solid", {**NO_DEPLETION, "tumour_at_start": 0.0, "il7_rise": 0.0}, ("interleukin_7",)
    ),
    "antigen switch": ("lbcl_cd28", {"antigen_switch": 0.0, "memory_uptake": 0.0}, ("memory",)),
    "escape": ("lbcl_cd28", {"negative_share": 0.0, "mutation": 0.0}, ("tumour_negative",)),
}  # fmt: skip


@pytest.mark.parametrize("part", OFF)
def test_a_part_that_is_off_stays_at_rest_and_moves_when_on(clinic, part):
    name, switched, quiet = OFF[part]
    if part == "movement disorder without BCMA":
        on = clinic.follow("myeloma", days=DAYS)
    else:
        on = clinic.follow(name, {} if part != "escape" else {"negative_share": 1e-6}, days=DAYS)
    off = clinic.follow(name, switched, days=DAYS)
    for state in quiet:
        rest = REST[state] if state != "b_cells" else 2.5e10
        assert off[state][0] == pytest.approx(np.full(DAYS.size, rest), rel=1e-6, abs=1e-6 * max(rest, 1.0)), state
        moved = np.abs(on[state][0] - on[state][0, 0]).max()
        assert moved > 1e-3 * max(abs(REST[state]), 1e-3), state


def test_killing_is_switched_off_by_its_rate(clinic):
    off = clinic.follow("lbcl_cd28", {"kill_rate": 0.0, "negative_share": 0.0}, days=DAYS)
    alone = clinic.follow("lbcl_cd28", {"negative_share": 0.0}, dose=0.0, days=DAYS)
    assert off["tumour_cells"] == pytest.approx(alone["tumour_cells"], rel=1e-4)


def test_room_is_switched_off(clinic):
    """Without homeostasis the host's T cells mean nothing to CAR T cells."""
    changes = {"homeostasis": 0.0, "dose_loss": 0.0}
    low, high = (clinic.follow("lbcl_cd28", {**changes, "host_at_start": x}, days=DAYS) for x in (0.1, 1.0))
    assert low["expanded"] == pytest.approx(high["expanded"], rel=1e-4, abs=1e3)
    low, high = (clinic.follow("lbcl_cd28", {"host_at_start": x}, regimen="none", days=DAYS) for x in (0.01, 1.0))
    assert low["expanded"].max() > 1.5 * high["expanded"].max()


def test_suppression_acts_only_where_it_is(clinic):
    plain = clinic.follow("solid", {"suppression": 0.0}, days=DAYS)
    again = clinic.follow("solid", {"suppression": 0.0, "suppression_half": 1e6}, days=DAYS)
    assert plain["site_effector"] == pytest.approx(again["site_effector"], rel=1e-6, abs=1.0)
    assert clinic.follow("solid", days=DAYS)["site_effector"].max() < 0.9 * plain["site_effector"].max()


TRIGGERS = ("damage_trigger", "binding_trigger", "contact_trigger")


@pytest.mark.parametrize("only", TRIGGERS)
def test_each_of_the_three_triggers_wakes_macrophages_alone(clinic, only):
    silent = {name: 0.0 for name in TRIGGERS if name != only}
    alone, all_three = clinic.follow("b_all", silent, days=DAYS), clinic.follow("b_all", days=DAYS)
    assert 1e-3 < alone["macrophages"].max() < all_three["macrophages"].max()
    assert alone["interleukin_6"].max() > 10 * 1.7


def test_interleukin_10_calms(clinic):
    plain, without = (clinic.follow("b_all", c, days=DAYS) for c in ({}, {"il10_production": 0.0}))
    for name in ("macrophages", "interferon_gamma"):
        assert without[name].max() > 1.02 * plain[name].max(), name


def test_lymphodepletion_makes_room(clinic):
    """The same dose without lymphodepletion reaches less, and interleukin 7 stays where it was."""
    for name in ("lbcl_cd28", "b_all", "myeloma"):
        with_it, without = clinic.follow(name, days=DAYS), clinic.follow(name, regimen="none", days=DAYS)
        assert without["expanded"].max() < 0.8 * with_it["expanded"].max(), name
        assert with_it["interleukin_7"].max() > 2 * without["interleukin_7"][0, :4].max(), name


@pytest.mark.parametrize(
    ("given", "switched", "state"),
    [
        (tocilizumab(70.0, day=3.0), {"toci_half_block": 1e3, "toci_clearance": 0.3}, "endothelium"),
        (
            steroid(10.0, day=3.0, count=20),
            {"steroid_on_cytokines": 0.0, "steroid_death": 0.0, "steroid_on_growth": 0.0, "steroid_on_killing": 0.0,
             "steroid_on_brain": 0.0},
            "brain_injury",
        ),
        (anakinra(100.0, day=3.0, count=40), {"il1_on_macrophages": 0.0, "il1_on_brain": 0.0}, "brain_injury"),
        (anti_cd52(13.0, day=3.0), {"anti_cd52_kill": 0.0}, "host_t"),
        (growth_factor(day=3.0, count=7), {"growth_factor_on_neutrophils": 0.0}, "neutrophils"),
    ],
)  # fmt: skip
def test_a_drug_acts_through_its_parameters_only(clinic, given, switched, state):
    acts = clinic.follow("b_all", days=DAYS, more=given)[state]
    none = clinic.follow("b_all", days=DAYS)[state]
    off = clinic.follow("b_all", switched, days=DAYS, more=given)[state]
    off_none = clinic.follow("b_all", switched, days=DAYS)[state]
    scale = np.abs(none).max()
    effect, left = np.abs(acts - none).max() / scale, np.abs(off - off_none).max() / scale
    assert effect > 0.02
    assert left < 0.1 * effect


def test_every_switch_of_the_page_is_a_parameter():
    from livingdrug.body.twin import TwinBody

    for _, switched, quiet in OFF.values():
        assert set(switched) <= set(TwinBody.parameters)
        assert set(quiet) <= set(TwinBody.states)
    assert {name for name, *_ in OFF.values()} <= set(PATIENTS)
