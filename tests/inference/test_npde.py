"""Prediction distribution errors: standard normal under the model, whatever is below a limit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.npde import errors_of_subject, normal_test, npde
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import log_additive
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import exp, lognormal, time

TIMES = np.array([1.0, 3.0, 6.0, 10.0])


def decline(rate: float = 0.3, sd: float = 0.4, scatter: float = 0.3) -> StatisticalModel:
    top, k = symbols("top", "k")
    parameters = {"top": Estimate(100.0, lognormal(sd)), "k": Estimate(rate, lognormal(0.2))}
    return StatisticalModel(
        ClosedForm("decline", top * exp(-k * time)), parameters, Endpoint("value", log_additive(scatter))
    )


def simulated(count: int, limit: float, seed: int) -> EventData:
    random = np.random.default_rng(seed)
    top, k = (v * np.exp(sd * random.standard_normal((count, 1))) for v, sd in ((100.0, 0.4), (0.3, 0.2)))
    value = top * np.exp(-k * TIMES) * np.exp(0.3 * random.standard_normal((count, len(TIMES))))
    below = value < limit
    return EventData.from_arrays(
        ids=range(count), subject=np.repeat(range(count), len(TIMES)), time=np.tile(TIMES, count),
        value=np.where(below, limit, value).ravel(), censoring=below.ravel(), lloq=limit or np.nan,
    )  # fmt: skip


@pytest.fixture(scope="module")
def some_fit() -> Any:
    return fit(decline(), simulated(10, 0.0, 1), "focei", standard_errors=None)


def at_truth(some_fit: Any, data: EventData, model: StatisticalModel | None = None) -> Any:
    """A result whose parameters are the model's first guesses: no estimation, so that the truth is known."""
    problem = Problem(model or decline(), data)
    return replace(some_fit, problem=problem, theta_=problem.theta, eta_=np.zeros((problem.subjects, problem.d)))


@pytest.mark.parametrize("limit", [0.0, 20.0])
def test_errors_of_the_true_model_are_standard_normal(some_fit, limit):
    """500 subjects; at the limit of 20 a third of the samples is lost. 4 standard errors on mean and deviation."""
    data = simulated(500, limit, 3)
    assert (data.observations.censoring == 1).mean() > 0.3 or not limit
    found = npde(at_truth(some_fit, data), 1000, seed=4)
    for name in ("NPD", "NPDE"):
        z = found[name].to_numpy()
        assert np.isfinite(z).all()
        assert abs(z.mean()) < 4 / np.sqrt(500 if name == "NPD" else len(z))
        assert abs(z.std() - 1) < 4 / np.sqrt(2 * (500 if name == "NPD" else len(z)))
    assert stats.kstest(found["NPDE"], "norm").pvalue > 0.01


def test_errors_without_correlation_are_uncorrelated(some_fit):
    found = npde(at_truth(some_fit, simulated(400, 0.0, 5)), 1000, seed=6)
    wide = {name: found.pivot(index="ID", columns="TIME", values=name).to_numpy() for name in ("NPD", "NPDE")}
    off = ~np.eye(len(TIMES), dtype=bool)
    assert np.corrcoef(wide["NPD"].T)[off].min() > 0.1  # one patient's samples go up and down together
    assert np.abs(np.corrcoef(wide["NPDE"].T)[off]).max() < 4 / np.sqrt(400)


@pytest.mark.parametrize("wrong", [{"rate": 0.4}, {"sd": 0.9}, {"scatter": 0.6}])
def test_a_wrong_model_is_seen_also_with_values_below_the_limit(some_fit, wrong):
    found = npde(at_truth(some_fit, simulated(200, 20.0, 7), decline(**wrong)), 500, seed=8)
    assert normal_test(found["NPDE"]).p < 1e-3


def test_places_below_a_limit_are_exactly_uniform():
    """One row, 99 simulations of its own distribution: with ranks spread in their steps the place is uniform."""
    random = np.random.default_rng(9)
    drawn = random.standard_normal((1500, 100))
    places = []
    for row in drawn:
        low = row[0] < 0.4  # two thirds lie below the limit
        value = np.array([np.nan if low else row[0]])
        high = np.array([0.4 if low else np.inf])
        alone, _ = errors_of_subject(value, np.array([-np.inf]), high, row[1:, None], np.array([0.4]), random)
        places.append(stats.norm.cdf(alone[0]))
    assert stats.kstest(places, "uniform").pvalue > 0.01


def test_intervals_and_values_above_a_limit(some_fit):
    random = np.random.default_rng(10)
    drawn, places = random.standard_normal((1200, 201)), []
    for row in drawn:
        y, low, high = row[0], -np.inf, np.inf
        if -0.5 < y < 0.5:
            y, low, high = np.nan, -0.5, 0.5
        elif y > 1.5:
            y, low = np.nan, 1.5
        one = errors_of_subject(
            np.array([y]), np.array([low]), np.array([high]), row[1:, None], np.array([-np.inf]), random
        )
        places.append(stats.norm.cdf(one[0][0]))
    assert stats.kstest(places, "uniform").pvalue > 0.01


def test_simulated_values_that_are_gone_are_the_lowest():
    """Two of four simulations are gone on day 2: a value above the other two lies above all."""
    simulated = np.array([[1.0, -np.inf], [2.0, -np.inf], [3.0, 5.0], [4.0, 6.0]])
    none, value, random = np.full(2, np.nan), np.array([2.5, 6.5]), np.random.default_rng(1)
    alone, whole = errors_of_subject(value, none, none, simulated, np.full(2, -np.inf), random)
    assert stats.norm.cdf(alone[1]) > 4 / 5
    assert 2 / 5 < stats.norm.cdf(alone[0]) < 3 / 5
    assert np.isfinite(whole).all()
    gone = np.column_stack([simulated[:, 0], np.full(4, -np.inf)])  # in all of them: nothing can be said
    assert np.isnan(errors_of_subject(value, none, none, gone, np.full(2, -np.inf), random)[0][1])


def test_rows_are_named_by_their_key_and_the_same_seed_gives_the_same_errors(some_fit):
    there = at_truth(some_fit, simulated(20, 20.0, 11))
    one, two = npde(there, 200, seed=1), npde(there, 200, seed=1)
    assert one["NPDE"].tolist() == two["NPDE"].tolist()
    rows = there.problem.rows.data.observations
    assert dict(zip(one["ROW"], one["TIME"], strict=True)) == dict(zip(rows.row, rows.time, strict=True))


def test_too_few_replicates_are_refused(some_fit):
    with pytest.raises(InputError, match="50 replicates are too few"):
        npde(some_fit, 50)
    with pytest.raises(InputError, match="at least three"):
        normal_test([0.1, np.nan])
