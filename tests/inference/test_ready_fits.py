"""Fits of the models that are solved, kirouac2023 and mueller_schoell2021: to their end, and near what made the data.

Every expected number is the truth that the data of the test were simulated with, beside the first guesses.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from livingdrug.engine.solve import solve
from livingdrug.inference import engine_model
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.ready import SUBSETS, ready
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import StatisticalModel
from livingdrug.library.kirouac2023 import Kirouac2023

DAYS = np.array([1.0, 4, 7, 10, 14, 18, 21, 28, 42, 60, 90])


def designed(model: Any, subjects: int, days: np.ndarray = DAYS, **values: Any) -> EventData:
    """Data of a design; what is measured is 1 unless given."""
    ends = len(model.ends)
    rows = np.array([(who, day, end) for who in range(subjects) for day in days for end in range(ends)])
    value = values.pop("value", np.ones(len(rows)))
    return EventData.from_arrays(
        ids=range(subjects), subject=rows[:, 0].astype(int), time=rows[:, 1], value=value,
        endpoint=rows[:, 2].astype(int), endpoints=[end.output for end in model.ends], **values,
    )  # fmt: skip


def simulated(model: Any, subjects: int, truth: Mapping[str, float], limit: float, seed: int) -> EventData:
    """Courses at the truth (typical values, sd(...), and a of the residuals), below a limit told as such."""
    random, problem = np.random.default_rng(seed), Problem(model, designed(model, subjects))
    theta = problem.theta.copy()
    for name, value in truth.items():
        theta[problem.names.index(name.replace("sd(", "omega("))] = math.log(value)
    eta = random.standard_normal((1, subjects, problem.d)) @ problem.cholesky(theta[None])[0].T
    value = problem.predict(theta[None], eta).f[0]
    scatter = np.exp([theta[place.start] for place in problem.sigma])[problem.rows.endpoint]
    value = np.exp(value + scatter * random.standard_normal(len(value)))
    below = value < limit
    assert below.any()
    return designed(model, subjects, value=np.where(below, limit, value), censoring=below.astype(int))


CASES: dict[str, tuple[dict[str, str], int, float, dict[str, float]]] = {
    "kirouac2023": (
        {"subset": "tumour"}, 16, 0.5,
        {"kill_rate": 0.75, "tumour_growth": 0.065, "exhaustion": 0.2, "sd(kill_rate)": 0.3, "sd(tumour_growth)": 0.3,
         "sd(exhaustion)": 0.4, "car_t_blood:a": 0.4, "tumour_blood:a": 0.3},
    ),
    "mueller_schoell2021": (
        {}, 19, 0.3,
        {"reference_expansion": 0.006, "central_killing": 6.0, "sd(reference_expansion)": 0.9,
         "sd(central_killing)": 1.0, "a": 0.5},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_fit_ends_near_what_made_the_data(name: str) -> None:
    """Within three standard errors of each true value, errors that are below a half (so that all is told)."""
    options, subjects, limit, truth = CASES[name]
    model = ready(name, **options)
    data = simulated(model, subjects, truth, limit, seed=2)
    found = fit(model, data, saem=SaemSettings(60, 40, chains=2), importance=400)
    assert found.converged_, found.verdict_
    assert found.standard_errors_ is not None
    errors = {name: found.standard_errors_[name] / found.estimates_[name] for name in truth}
    assert max(errors.values()) < 0.5, errors
    away = {name: math.log(found.estimates_[name] / value) / errors[name] for name, value in truth.items()}
    assert max(map(abs, away.values())) < 3, away


# -- what made fits of kirouac2023 slow --------------------------------------------------------------------------------
@pytest.fixture
def solves(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the engine was asked for, one entry for each solve."""
    asked: list[dict[str, Any]] = []

    def watched(*words: Any, **options: Any) -> Any:
        found = solve(*words, **options)
        asked.append({"patients": len(found.status), "tangents": set(options["tangents"]), "steps": found.steps.max()})
        return found

    monkeypatch.setattr(engine_model, "solve", watched)
    return asked


def test_nothing_is_differentiated_by_what_is_held(solves: list[dict[str, Any]]) -> None:
    """One solve with sensitivities by the estimated parameters alone, though 29 numbers are given besides."""
    model = ready("kirouac2023", subset="tumour")
    problem = Problem(model, designed(model, 3))
    eta = np.full((1, 3, problem.d), 0.1)
    solves.clear()
    found, _ = problem.inner(problem.theta[None], eta)
    assert [one["tangents"] for one in solves] == [{"kill_rate", "tumour_growth", "exhaustion"}]
    assert len(problem.loose) == 0  # so that SAEM keeps predictions when theta moves
    shifted = np.array([0.0, 1e-4, 0.0])  # of the second effect
    up, down = (problem.loglik(problem.theta[None], eta + sign * shifted)[0] for sign in (1, -1))
    assert found.gradient[0, :, 1] == pytest.approx((up - down) / 2e-4, rel=2e-3)


def test_a_hundredth_of_a_cell_changes_no_course() -> None:
    """The start that sensitivities need gives the published start's courses to the solver's tolerance."""
    days = np.array([0.25, 1, 10, 28, 180])
    model = ready("kirouac2023")
    problem = Problem(model, designed(model, 1, days))
    found = np.exp(problem.predict(problem.theta[None], np.zeros((1, 1, problem.d))).f[0])
    assert found == pytest.approx(
        solve(Kirouac2023, {}, days, outputs=["car_t_blood"], rtol=1e-10).values[0, :, 0], rel=2e-6
    )


def test_one_proposal_far_out_holds_up_no_other(solves: list[dict[str, Any]]) -> None:
    """With 23 divisions instead of 5 a course blows up: it is given up, and the others keep their derivatives."""
    model = ready("kirouac2023")
    problem = Problem(model, designed(model, 4))
    eta = np.zeros((2, 4, problem.d))
    good = problem.predict(problem.theta[None], eta, 1)
    eta[1, 2, model.random.index("divisions")] = 1.5
    solves.clear()
    found = problem.predict(problem.theta[None], eta, 1)
    fine = np.ones((2, len(problem.rows.time)), bool)
    fine[1, problem.rows.subject == 2] = False
    assert found.f[fine] == pytest.approx(good.f[fine], rel=1e-6)
    assert found.first is not None
    assert good.first is not None
    assert np.abs(found.first - good.first)[fine].max() < 1e-3
    assert problem.bound.tangents  # later rounds need no quotients
    steps = [one["steps"] for one in solves if one["tangents"]]
    assert steps == [engine_model.STEPS + 1]  # given up there


def test_a_structure_without_derivatives_is_known_by_quotients() -> None:
    """With no expanded cell at the start killing has no slope there: quotients agree with a start with few."""
    model = ready("kirouac2023", subset="tumour")
    none = StatisticalModel(EngineModel(Kirouac2023), model.parameters, model.endpoints)
    data, slopes = designed(model, 2, np.array([7.0, 21, 60])), []
    for one in (model, none):
        problem = Problem(one, data)
        found = problem.predict(problem.theta[None], np.zeros((1, 2, problem.d)), 1)
        assert problem.bound.tangents == (one is model)
        assert found.first is not None
        slopes.append(found.first[..., problem.moving])
    assert slopes[0] == pytest.approx(slopes[1], rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("patient", "loss"), [("CR1", "exhaustion"), ("PR1", "expanded_death")])
def test_the_faster_loss_is_estimated(patient: str, loss: str) -> None:
    for subset, names in SUBSETS.items():
        model = ready("kirouac2023", subset=subset, patient=patient)
        assert set(model.random) == {*names, loss}
        assert {name for name, one in model.estimates.items() if not one.fixed} == {*names, loss}
