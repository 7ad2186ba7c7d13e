"""With the stated switches the body follows kirouac2023 and kimmel2021 within 1 % of their peak.

The expected courses are those of the library's models, which are checked against their papers in tests/reference.
"""

import numpy as np
import pytest

from livingdrug.body.limits import as_kimmel2021, as_kirouac2023
from livingdrug.body.treatment import cells
from livingdrug.engine.solve import solve
from livingdrug.library import load_model

DAYS = np.linspace(0, 365, 366)
ONE_PER_CENT = 0.01


def distance(ours, theirs):
    """Largest difference over a course, relative to that course's peak; shape (patient,)."""
    return np.abs(ours - theirs).max(axis=-1) / theirs.max(axis=-1)


def test_kirouac2023_with_all_36_sets(clinic):
    model = load_model("kirouac2023")
    sets = list(model.parameter_sets.values())
    assert len(sets) == 36
    published = {name: np.array([values[name] for values in sets]) for name in sets[0]}
    ours = [as_kirouac2023(values) for values in sets]
    parameters = {name: np.array([values[name] for values in ours]) for name in ours[0]}
    theirs = solve(model, published, DAYS)
    found = clinic.solve(parameters, cells(1e8), DAYS, initial={"antigen": 1e10}, stochastic=False)
    total = sum(found[name] for name in ("memory", "early", "expanded", "exhausted"))
    assert distance(total, theirs["car_t_total"]).max() < ONE_PER_CENT
    assert distance(found["memory"], theirs["car_t_memory_total"]).max() < ONE_PER_CENT
    assert distance(found["exhausted"], theirs["car_t_exhausted_total"]).max() < ONE_PER_CENT
    assert distance(found["tumour_cells"], theirs["tumour_cells"]).max() < ONE_PER_CENT


@pytest.mark.parametrize("name", ["table_1", "code"])
def test_kimmel2021(clinic, name):
    model = load_model("kimmel2021")
    values = {n: p.value for n, p in model.parameters.items()} | dict(model.parameter_sets[name])
    theirs = solve(model, values, DAYS, stochastic=False)
    start = {"expanded": values["car_t_at_infusion"]}
    found = clinic.solve(as_kimmel2021(values), [*cells(0.0)], DAYS, initial=start, stochastic=False)
    assert theirs["car_t_total"].argmax() == 7  # the published course contracts within the window that is compared
    for ours, word in (("expanded", "car_t_total"), ("host_t", "normal_t_total"), ("tumour_cells", "tumour_cells")):
        expected = theirs[word] if word in theirs.outputs else theirs["normal_t_blood"] * values["blood_equivalent"]
        assert distance(found[ours], expected).max() < ONE_PER_CENT


def test_the_switches_matter(clinic):
    """Without them the body is another model: the agreement above is not that of anything with anything."""
    model = load_model("kirouac2023")
    values = model.parameter_sets["CR1"]
    theirs = solve(model, values, DAYS)["car_t_total"]
    switched = {**as_kirouac2023(values), "homeostasis": 1.0}
    found = clinic.solve(switched, cells(1e8), DAYS, initial={"antigen": 1e10}, stochastic=False)
    total = sum(found[name] for name in ("memory", "early", "expanded", "exhausted"))
    assert distance(total, theirs)[0] > 0.1
