"""Cure and relapse are events: below 100 cells each clone is counted cell by cell.

The chances are compared with the closed form of Kendall (1948) for constant rates of birth b and death d: a family of
one cell is extinct by time t with the chance p = d (1 - e) / (d - b e), e = exp((b - d) t), and n families with p^n.
"""

import numpy as np
import pytest

from livingdrug.body.limits import KIMMEL2021
from livingdrug.body.treatment import cells
from livingdrug.body.twin import TwinBody

PATIENTS = 4000
BIRTH, DEATH = 0.2, 0.5
# CAR T cells that neither grow nor die, so that killing is constant: 1e9 of a half-way value of 1e9 kill at half rate.
CONSTANT = {
    **KIMMEL2021, "homeostasis": 0.0, "tumour_growth": BIRTH, "kill_rate": 2 * DEATH, "half_kill_effector": 1e9,
    "drug_on_tumour": 0.0, "tumour_at_start": 0.0,
}  # fmt: skip


def chance_of_extinction(families, days):
    grown = np.exp((BIRTH - DEATH) * days)
    return (DEATH * (1 - grown) / (DEATH - BIRTH * grown)) ** families


def follow(clinic, start, changes=None, days=(0.0, 5.0, 10.0, 20.0), seed=3):
    parameters = {**CONSTANT, **(changes or {}), "tumour_growth": np.full(PATIENTS, BIRTH)}
    initial = {"expanded": 1e9, **start}
    return clinic.solve(parameters, [*cells(0.0)], list(days), initial=initial, seed=seed)


def near(found, expected):
    """Within four standard errors of a share of so many patients."""
    return abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / PATIENTS)


@pytest.mark.parametrize("families", [5, 50])
@pytest.mark.parametrize("days", [5.0, 10.0])
def test_a_clone_with_antigen_dies_out_as_kendall_says(clinic, families, days):
    found = follow(clinic, {"tumour_positive": float(families)})
    assert near((found.extinct_time["tumour_positive"] <= days).mean(), chance_of_extinction(families, days))


def test_a_clone_without_antigen_dies_out_as_kendall_says(clinic):
    """Beside many cells with antigen that stay as they are, bystanders die like these (bystander 1)."""
    beside = {"bystander": 1.0, "bystander_half": 1.0}
    found = follow(clinic, {"tumour_positive": 1e11, "tumour_negative": 5.0}, beside)
    assert (found["tumour_positive"][:, -1] > 1e8).all()
    assert near((found.extinct_time["tumour_negative"] <= 10.0).mean(), chance_of_extinction(5, 10.0))
    assert np.isnan(found.extinct_time["tumour_positive"]).all()


def test_above_the_threshold_the_equation_holds(clinic):
    found = follow(clinic, {"tumour_positive": 1e9}, days=(0.0, 10.0))
    expected = 1e9 * np.exp((BIRTH - DEATH) * 10.0)
    assert found["tumour_positive"][:, -1] == pytest.approx(np.full(PATIENTS, expected), rel=1e-4)


def test_extinct_is_extinct_and_whole_cells_are_counted(clinic):
    found = follow(clinic, {"tumour_positive": 30.0}, days=np.arange(0.0, 41.0))
    cells_left = found["tumour_positive"]
    counted = cells_left[cells_left < 100]
    assert (counted == np.round(counted)).all()
    gone = cells_left == 0
    assert gone[:, -1].mean() > 0.9
    assert (np.diff(gone.astype(int), axis=1) >= 0).all()


def test_cure_and_both_kinds_of_relapse_occur(clinic):
    """In patients with B-ALL: cure, relapse with the antigen, and relapse without it, each in some."""
    found = clinic.cohort("b_all", 600, {"negative_share": 3e-12}, stochastic=True)
    positive, negative = found["tumour_positive"][:, -1], found["tumour_negative"][:, -1]
    cured = (positive == 0) & (negative == 0)
    with_antigen, without = (positive > 1e9) & (positive > negative), (negative > 1e9) & (negative > positive)
    assert 0.1 < cured.mean() < 0.8
    assert 0.02 < without.mean() < 0.6
    assert with_antigen.mean() > 0.005
    days = found.extinct_time["tumour_positive"]
    assert 14 < np.nanmedian(days) < 120  # kimmel2021: most cures between days 20 and 80


def test_without_chance_no_clone_dies_out(clinic):
    found = clinic.follow("b_all", {"negative_share": 0.0})
    assert (found["tumour_positive"][0] > 0).all()
    assert not found.extinct_time or np.isnan(found.extinct_time["tumour_positive"]).all()


def test_new_mutants_join_the_clone(clinic):
    """Mutation alone: the clone without antigen gains 1e-6 per day of 1e11 cells, 1e5 cells a day."""
    changes = {"mutation": 1e-6, "kill_rate": 0.0, "tumour_growth": 0.0}
    parameters = {**CONSTANT, **changes}
    start = {"tumour_positive": 1e11, "tumour_negative": 1000.0}
    found = clinic.solve(parameters, [*cells(0.0)], [0.0, 10.0], initial=start, stochastic=False)
    assert found["tumour_negative"][0, -1] == pytest.approx(1000 + 1e6, rel=0.01)


def test_the_two_clones_are_the_states_that_may_die_out():
    assert [jump.state.name for jump in TwinBody.jumps] == ["tumour_positive", "tumour_negative"]
    assert [jump.below for jump in TwinBody.jumps] == [100.0, 100.0]
