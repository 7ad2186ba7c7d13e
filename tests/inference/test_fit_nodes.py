"""Sums over points in the space of effects: their information, how well they are known, and steps over them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from livingdrug.inference import chains
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.nodes import ClassNodes, Nodes, importance_nodes, quadrature_nodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, combined, log_additive
from livingdrug.inference.saem import Saem, SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.inference.uncertainty import of_nodes
from livingdrug.model import Model, ddt, exp, lognormal, output, parameter, state, time

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


class Declining(Model):
    """The same decline, solved."""

    start = parameter(7.0, "cell", "cells at first")
    rate = parameter(0.3, "1/day", "rate of decline")
    cells = state("cell", "cells", initial=start, floor=1e-9)
    equations = {ddt(cells): -rate * cells}
    outputs = {"value": output(cells, "cell", "cells")}


def test_the_information_of_a_solved_model_counts_all_points_of_a_grid() -> None:
    """625 of them, more than are enough where points are drawn: it is that of the closed form."""
    model = decline("full")
    problems = [Problem(one, declines()) for one in (replace(model, structure=Declining), model)]
    found, expected = (of_nodes(p, quadrature_nodes(p, p.theta, 25), p.theta).information for p in problems)
    scale = np.sqrt(np.diag(expected))
    assert np.abs((found - expected) / scale[:, None] / scale).max() < 1e-3


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


# -- points that move with typical values without spread --------------------------------------------------------------
@pytest.mark.parametrize("kind", ["loose", "classes"])
def test_a_likelihood_over_points_that_move_has_the_slopes_and_the_information_of_differences(kind: str) -> None:
    """Central differences of the sum over the points itself, and of its score."""
    problem, size = Problem(decline(kind), declines()), 1e-5
    theta = problem.theta
    nodes = importance_nodes(problem, theta, 2000)
    away = theta.copy()
    away[problem.loose] += 0.3  # where the points have moved
    assert all(part.movement is not None for part in (nodes.parts if isinstance(nodes, ClassNodes) else [nodes]))
    for at in (theta, away):
        found, score, by, value = of_nodes(problem, nodes, at), nodes.scores(at).mean, [], []
        for entry in problem.free:
            up, down = at.copy(), at.copy()
            up[entry] += size
            down[entry] -= size
            value.append((nodes.loglik(up) - nodes.loglik(down)) / (2 * size))
            by.append((nodes.scores(down).mean - nodes.scores(up).mean).sum(axis=0) / (2 * size))
        assert score == pytest.approx(np.array(value).T, rel=1e-5, abs=1e-5)
        expected = 0.5 * (np.array(by) + np.array(by).T)
        scale = np.sqrt(np.abs(np.diag(expected)))
        assert np.abs((found.information - expected) / scale[:, None] / scale).max() < 3e-4


def test_points_that_move_know_a_likelihood_far_away() -> None:
    """Against quadrature that is placed anew there; without the movement no point is left where the data are."""
    problem = Problem(ridge(), late_declines())
    nodes = importance_nodes(problem, problem.theta, 1000)
    assert isinstance(nodes, Nodes)
    away = problem.theta.copy()
    away[problem.loose] += 0.3
    exact = quadrature_nodes(problem, away, 11).loglik(away)
    assert nodes.loglik(away) == pytest.approx(exact, abs=0.02)
    still = Nodes(problem, nodes.centred, nodes.log_weight, random=True)
    assert np.abs(still.loglik(away) - exact).max() > 1


def late_declines() -> EventData:
    """Samples so late and close together that a faster decline looks like a higher start."""
    random, late = np.random.default_rng(6), np.array([4.0, 4.5, 5.0, 5.5])
    subject, t = np.repeat(np.arange(40), 4), np.tile(late, 40)
    start = 8 * np.exp(0.5 * random.standard_normal(40))
    value = start[subject] * np.exp(-0.3 * t + 0.1 * random.standard_normal(160))
    return EventData.from_arrays(ids=range(40), subject=subject, time=t, value=value)


def ridge(off: float = 1.0) -> StatisticalModel:
    a, k = symbols("start", "rate")
    parameters = {"start": Estimate(8 * off, lognormal(0.5)), "rate": Estimate(0.3 * off)}
    return StatisticalModel(ClosedForm("decline", a * exp(-k * time)), parameters, Endpoint("value", log_additive(0.2)))


def test_draws_of_saem_arrive_where_data_pin_each_subject_only_as_long_as_a_value_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The maximum is that of quadrature; SAEM's own draws come within a third of a standard error of it."""
    best = fit(ridge(), late_declines(), "quadrature")
    assert best.standard_errors_ is not None

    def away() -> float:
        problem = Problem(ridge(1.5), late_declines())
        run = Saem(problem, SaemSettings(150, 100, chains=4), problem.theta.copy())
        run.run()
        assert best.uncertainty_.covariance is not None
        error = np.sqrt(np.diag(best.uncertainty_.covariance))
        return float(np.abs((run.estimate() - best.theta_)[problem.free] / error).max())

    assert away() < 1 / 3
    monkeypatch.setattr(chains, "movement", lambda problem, *_: np.zeros((problem.subjects, 1, 1)))
    assert away() > 1  # effects that are held hold the value


@pytest.mark.parametrize("nothing", [0.0, -1e-9])
def test_a_prediction_of_nothing_makes_a_value_below_the_limit_certain(nothing: float) -> None:
    """And a measured one impossible. A cleared tumour is such a prediction; a solver may leave it just below zero."""
    a, b = symbols("start", "loss")
    parameters = {"start": Estimate(1.0, lognormal(0.3)), "loss": Estimate(1.0 - nothing)}
    model = StatisticalModel(ClosedForm("rest", a - b * time), parameters, Endpoint("value", log_additive(0.5)))
    for below in (True, False):
        data = EventData.from_arrays(ids=[1], subject=[0], time=[1.0], value=[2.0], censoring=[int(below)])
        problem = Problem(model, data)
        eta = np.zeros((1, 1, problem.d))
        value = problem.loglik(problem.theta[None], eta)[0, 0]
        assert value == (0.0 if below else -np.inf)
        if below:
            found = problem.predict(problem.theta[None], eta, 1)
            assert (problem.score(problem.theta[None], eta, found)[0, 0, : problem.betas] == 0.0).all()
            assert (problem.effect_score(problem.theta[None], eta, found) == 0.0).all()
