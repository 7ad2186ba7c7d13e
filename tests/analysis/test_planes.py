"""Outcome maps against the closed form of a tumour that is killed until a day and grows again."""

import numpy as np
import pytest

from livingdrug.analysis import OutcomeRules, outcome_plane, quantity_plane
from livingdrug.errors import InputError, SolveError
from livingdrug.library import load_model

X, Y = {"kill": (0.05, 1.5)}, {"growth": (0.01, 0.3, "log")}


def closed_form(plane, rules, days=100.0, stop=20.0, start=1e6):
    """Outcome of every cell from start, least and last value in closed form, written apart from the code."""
    n = plane.values.shape
    kill = 0.05 + (np.arange(n[1]) + 0.5) / n[1] * 1.45
    growth = 0.01 * 30 ** ((np.arange(n[0]) + 0.5) / n[0])
    kill, growth = np.meshgrid(kill, growth)
    least = np.minimum(start, start * np.exp((growth - kill) * stop))
    end = start * np.exp(growth * days - kill * stop)
    found = np.full(n, "lasting response")
    found[end > rules["relapse_above"] * start] = "relapse"
    found[least > rules["response"] * start] = "no response"
    found[(least < rules["cure_below"]) | (end < rules.get("undetected_below", 0))] = "cure"
    edge = np.stack(
        [
            np.log(least / (rules["response"] * start)),
            np.log(end / (rules["relapse_above"] * start)),
            np.log(least / rules["cure_below"]),
        ]
    )
    return found, (np.abs(edge) > 1e-3).all(axis=0)  # cells so near to an edge that the solver's error may decide


@pytest.mark.parametrize(
    "rules",
    [
        {"cure_below": 1.0, "response": 0.5, "relapse_above": 0.5},
        {"cure_below": 1e-3, "response": 0.2, "relapse_above": 1.2},
        {"cure_below": 0.1, "response": 0.5, "relapse_above": 0.1, "undetected_below": 1e4},
    ],
)
def test_every_cell_against_the_closed_form(models, rules):
    plane = outcome_plane(models.Treated, X, Y, rules=OutcomeRules(**rules), size=(60, 40))
    expected, sure = closed_form(plane, rules)
    assert plane.values.shape == (40, 60)
    assert sure.mean() > 0.99
    assert (plane.outcomes[sure] == expected[sure]).all()
    assert len(np.unique(plane.outcomes)) >= 3
    assert sum(plane.shares.values()) == pytest.approx(1.0)


def test_defaults_are_one_cell_and_half_of_the_start(models):
    plane = outcome_plane(models.Treated, X, Y, size=20)
    assert (plane.rules.output, plane.rules.cure_below) == ("tumour_cells", 1.0)
    same = OutcomeRules("tumour_cells", 1.0, 0.0, 0.5, 0.5)
    assert (plane.values == outcome_plane(models.Treated, X, Y, rules=same, size=20).values).all()


def test_a_grid_of_200_by_200_and_its_figure():
    """40,000 patients; each cell of a coarse map has the outcome of the same patient in a map of its own."""
    model = load_model("kimmel2021")
    plane = outcome_plane(model, {"kill_rate": (0.1, 3)}, {"tumour_growth": (0.01, 0.5, "log")}, size=200)
    assert plane.values.shape == (200, 200)
    assert plane.shares["not solved"] == 0
    row = plane.table.iloc[123 * 200 + 45]
    low, high = ({name: (row[name] * 0.999, row[name] * 1.001)} for name in ("kill_rate", "tumour_growth"))
    assert outcome_plane(model, low, high, size=1).outcomes[0, 0] == row["outcome"]


def test_chance_of_cure_shows_as_scatter():
    """With chance the cells of one row of equal patients differ, and hang on the seed alone."""
    model = load_model("kimmel2021")
    axes = {"kill_rate": (1.15, 1.1501)}, {"tumour_growth": (0.065, 0.06501)}
    one, two = (outcome_plane(model, *axes, size=(40, 1), chance=True, seed=3, threads=n) for n in (1, 2))
    assert 0 < one.shares["cure"] < 1
    assert np.array_equal(one.values, two.values)


def test_failed_runs_are_an_outcome_of_their_own(models):
    plane = outcome_plane(
        models.Explosion, {"k": (0.05, 0.15)}, {"other": (1, 2)}, rules=OutcomeRules("size", 0.1), size=(20, 2)
    )
    assert (plane.outcomes == "not solved").sum() == 20
    assert "20 of 40 runs failed" in plane.caption


def test_a_map_of_numbers(models):
    plane = quantity_plane(models.Treated, X, Y, "tumour_cells at 10", size=(5, 4))
    kill, growth = plane.table["kill"], plane.table["growth"]
    assert plane.values.ravel() == pytest.approx(1e6 * np.exp((growth - kill) * 10), rel=1e-5)
    assert plane.unit == "cell"
    assert plane.shares == {}
    with pytest.raises(InputError, match="map of numbers"):
        plane.outcomes  # noqa: B018


def test_a_map_of_numbers_with_gaps_and_one_of_a_single_value(models):
    gaps = quantity_plane(models.Treated, X, Y, "day tumour_cells below 1000", size=(6, 3))
    assert 0 < np.isnan(gaps.values).sum() < 18
    assert "without a number" in gaps.caption
    for plane in (gaps, quantity_plane(models.Treated, X, Y, "tumour_cells at 0", size=3)):
        assert plane.figure().to_dict(validate=False)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        ({"x": {"kil": (0, 1)}}, "did you mean 'kill'"),
        ({"x": {"growth": (0.1, 1)}}, "not the same"),
        ({"x": {"kill": (0, 1), "stop": (1, 2)}}, "each name one"),
        ({"x": {"*": "x2"}}, "each name one"),
        ({"x": {"kill": (-1, 1)}}, "limits"),
        ({"size": 0}, "size"),
        ({"size": 5000}, "cells"),
        ({"rules": OutcomeRules("tumor_cells")}, "did you mean 'tumour_cells'"),
        ({"rules": OutcomeRules(response=-1)}, "response must be a positive"),
        ({"rules": OutcomeRules(undetected_below=-1)}, "undetected_below"),
        ({"days": 0}, "days"),
    ],
)
def test_wrong_input(models, call, named):
    with pytest.raises(InputError, match=named):
        outcome_plane(models.Treated, **({"x": X, "y": Y, "size": 3} | call))


def test_models_that_leave_the_rules_open(models):
    with pytest.raises(InputError, match="name the tumour output"):
        outcome_plane(models.Line, {"slope": (1, 2)}, {"offset": (1, 2)}, size=2)
    with pytest.raises(InputError, match="cure_below"):
        outcome_plane(models.Line, {"slope": (1, 2)}, {"offset": (1, 2)}, rules=OutcomeRules("height"), size=2)
    rules = OutcomeRules("height", cure_below=1e-3)
    with pytest.raises(InputError, match="starts at zero"):
        outcome_plane(models.Line, {"slope": (1, 2)}, {"offset": (1, 2)}, rules=rules, size=2, initial={"x": 0.0})
    with pytest.raises(SolveError, match="no run"):
        outcome_plane(models.Explosion, {"k": (0.2, 0.3)}, {"other": (1, 2)}, rules=OutcomeRules("size", 0.1), size=2)
