"""Sums over points in the space of effects: their information, how well they are known, and steps over them."""

from __future__ import annotations

import math

import numpy as np
import pytest

from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.nodes import Nodes, importance_nodes, quadrature_nodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, combined, log_additive
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.inference.uncertainty import of_nodes
from livingdrug.model import exp, lognormal, time

TIMES = np.array([0.5, 1.0, 2.0, 4.0, 7.0])


def declines(subjects: int = 15, limit: float = 1.0) -> EventData:
    """Exponential declines; a quarter of the subjects declines slowly, low values are censored, two occasions."""
    random = np.random.default_rng(4)
    subject, t = np.repeat(np.arange(subjects), len(TIMES)), np.tile(TIMES, subjects)
    rate = np.where(np.arange(subjects) % 4 == 0, 0.15, 0.4)
    start = 8 * np.exp(0.3 * random.standard_normal(subjects))
    value = start[subject] * np.exp(-rate[subject] * t + 0.25 * random.standard_normal(len(t)))
    below = value < limit
    return EventData.from_arrays(
        ids=range(subjects), subject=subject, time=t, value=np.where(below, limit, value), censoring=below.astype(int),
        occasion=np.tile([0, 0, 0, 1, 1], subjects),
    )  # fmt: skip


def decline(kind: str) -> StatisticalModel:
    a, k = symbols("start", "rate")
    form, start = ClosedForm("decline", a * exp(-k * time)), Estimate(7.0, lognormal(0.4))
    if kind == "full":
        both = {"start": start, "rate": Estimate(0.3, lognormal(0.3))}
        return StatisticalModel(form, both, Endpoint("value", log_additive(0.4)), omega="full")
    if kind == "loose":
        return StatisticalModel(form, {"start": start, "rate": Estimate(0.3)}, Endpoint("value", combined(0.3, 0.2)))
    if kind == "occasions":
        again = Estimate(7.0, lognormal(0.4), occasions=lognormal(0.2))
        both = {"start": again, "rate": Estimate(0.3, lognormal(0.3))}
        return StatisticalModel(form, both, Endpoint("value", log_additive(0.4)))
    classes = Mixture("rate", {"slow": -0.5}, {"slow": 0.4})
    end = Endpoint("value", log_additive(0.4))
    return StatisticalModel(form, {"start": start, "rate": Estimate(0.3)}, end, mixture=classes)


@pytest.mark.parametrize("kind", ["full", "loose", "occasions", "classes"])
def test_louis_information_is_minus_the_second_derivative_of_the_likelihood_over_nodes(kind: str) -> None:
    """Against central differences of the score, which is itself checked against the likelihood elsewhere."""
    problem = Problem(decline(kind), declines())
    theta = problem.theta
    nodes = quadrature_nodes(problem, theta, 5)
    found, size = of_nodes(problem, nodes, theta).information, 1e-5
    by = []
    for entry in problem.free:
        up, down = theta.copy(), theta.copy()
        up[entry] += size
        down[entry] -= size
        moved = nodes.value_and_score(down)[1] - nodes.value_and_score(up)[1]
        by.append(moved.sum(axis=0) / (2 * size))
    expected = 0.5 * (np.array(by) + np.array(by).T)
    scale = np.sqrt(np.abs(np.diag(expected)))
    assert np.abs((found - expected) / scale[:, None] / scale).max() < 3e-4


def test_replicates_of_even_points_know_their_own_error() -> None:
    """The scatter of -2 log likelihood and of Newton's steps over 30 seeds is what single runs say of themselves."""
    problem = Problem(decline("full"), declines())
    theta = problem.theta
    runs = [run for seed in range(30) if isinstance(run := importance_nodes(problem, theta, 160, seed), Nodes)]
    values = [-2 * run.loglik(theta).sum() for run in runs]
    said = math.sqrt(np.mean([run.standard_error(theta) ** 2 for run in runs]))
    assert said == pytest.approx(np.std(values, ddof=1), rel=0.4)  # 30 values: 13 %, and points are not independent
    steps, known = [], of_nodes(problem, quadrature_nodes(problem, theta, 9), theta)
    assert known.inverse is not None
    for run in runs:
        scores = run.scores(theta)
        steps.append(known.inverse @ scores.mean.sum(axis=0))
    each = np.array(
        [(run.scores(theta).replicates @ known.inverse).var(axis=0, ddof=1) / run.replicates for run in runs]
    )
    assert np.sqrt(each.mean(axis=0)) == pytest.approx(np.std(steps, axis=0, ddof=1), rel=0.5)


def test_many_subjects_do_not_err_together() -> None:
    """300 subjects: an error that all have in common would be 17 times what the error of the sum says of it."""
    problem = Problem(decline("full"), declines(300))
    theta = problem.theta
    middle, covariance = quadrature_nodes(problem, theta, 7).means(theta)  # type: ignore[union-attr]
    about = middle + problem.shifts(theta[None])[0], covariance
    runs = [importance_nodes(problem, theta, 160, seed, about=about) for seed in range(12)]
    said = math.sqrt(np.mean([run.standard_error(theta) ** 2 for run in runs]))
    values = np.array([-2 * run.loglik(theta).sum() for run in runs])
    assert np.std(values, ddof=1) < 1.5 * said  # 12 values: 21 %
    exact = -2 * quadrature_nodes(problem, theta, 15).loglik(theta).sum()
    assert abs(values.mean() - exact) < 3 * said / math.sqrt(12)


def test_even_points_know_a_likelihood_better_than_points_without_order() -> None:
    """Two effects: by the scatter of their weights, 2000 points without order would leave twice as much (1.5 asked)."""
    problem = Problem(decline("full"), declines())
    nodes = importance_nodes(problem, problem.theta, 2000)
    assert isinstance(nodes, Nodes)
    lost = 1 / nodes.effective(problem.theta) - 1 / len(nodes.centred)
    assert nodes.standard_error(problem.theta) < 2 * math.sqrt(lost.sum()) / 1.5


def test_a_poor_proposal_is_fitted_to_what_its_pilots_find() -> None:
    problem = Problem(decline("full"), declines())
    theta = problem.theta
    mean, covariance = quadrature_nodes(problem, theta, 9).means(theta)  # type: ignore[union-attr]
    astray = mean + problem.shifts(theta[None])[0] + 3 * np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    drawn = importance_nodes(problem, theta, 4000, about=(astray, 0.25 * covariance))
    assert drawn.effective(theta).min() > 0.4 * 4000
    assert drawn.loglik(theta) == pytest.approx(quadrature_nodes(problem, theta, 15).loglik(theta), abs=0.02)


def test_newton_steps_take_saem_to_the_maximum_and_say_so() -> None:
    """The exact answer is that of quadrature; few draws of SAEM end beside it."""
    model, data = decline("full"), declines(40)
    best = fit(model, data, "quadrature", nodes=11)
    found = fit(model, data, "saem", saem=SaemSettings(80, 20, chains=2), seed=1)
    assert best.standard_errors_ is not None
    assert found.converged_, found.verdict_
    away = {n: abs(found.estimates_[n] - best.estimates_[n]) / best.standard_errors_[n] for n in best.standard_errors_}
    assert max(away.values()) < 0.02, away
    assert any("the draws of SAEM ended" in note for note in found.notes_)


def test_a_limit_infinitely_far_above_a_prediction_leaves_the_score_a_number() -> None:
    """A point of importance sampling so far out that its prediction is zero: its logarithm lies below any limit."""
    from livingdrug.inference.residual import row_terms

    f, none = np.array([[-np.inf]]), np.array([np.nan])
    t = row_terms(additive(1.0), f, np.ones((1, 1)), none, -np.array([np.inf]), np.zeros(1), -np.array([np.inf]))
    assert [float(part[0, 0]) for part in (t.value, t.f, t.g)] == [0.0, 0.0, 0.0]
