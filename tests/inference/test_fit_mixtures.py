"""Mixtures: subjects of classes that nobody has seen. Expected numbers: sums of normal densities (scipy), quadrature of
the same likelihood, and the numbers that the data were made from."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.marginal import approximate
from livingdrug.inference.nodes import quadrature_nodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.saem import Saem, SaemSettings
from livingdrug.inference.search import approximate_slopes
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel, power_effect
from livingdrug.model import exp, lognormal, normal, time


def two_classes(subjects: int = 60, low: float = 6.0) -> EventData:
    random = np.random.default_rng(2)
    subject = np.repeat(np.arange(subjects), 3)
    level = np.where(np.arange(subjects) % 3 == 0, low, 10.0) + 0.7 * random.standard_normal(subjects)
    value = level[subject] + 0.5 * random.standard_normal(len(subject))
    return EventData.from_arrays(ids=range(subjects), subject=subject, time=np.tile([0.0, 1, 2], subjects), value=value)


def mixture_model() -> StatisticalModel:
    (level,) = symbols("level")
    return StatisticalModel(
        ClosedForm("level", level), {"level": Estimate(9.0, normal(1.0))}, Endpoint("value", additive(0.7)),
        mixture=Mixture("level", {"low": -2.0}, {"low": 0.4}),
    )  # fmt: skip


def two_rates(subjects: int = 40) -> tuple[StatisticalModel, EventData]:
    """A quarter of the subjects declines slowly; the rate has no other spread, and low values are censored.

    The data know occasions and a covariate, too.
    """
    random = np.random.default_rng(5)
    subject, t = np.repeat(np.arange(subjects), 5), np.tile([0.5, 1, 2, 4, 7.0], subjects)
    rate = np.where(np.arange(subjects) % 4 == 0, 0.15, 0.4)
    start = 8 * np.exp(0.3 * random.standard_normal(subjects))
    value = start[subject] * np.exp(-rate[subject] * t + 0.25 * random.standard_normal(5 * subjects))
    below = value < 1.0
    data = EventData.from_arrays(
        ids=range(subjects), subject=subject, time=t, value=np.where(below, 1.0, value), censoring=below.astype(int),
        occasion=np.tile([0, 0, 0, 1, 1], subjects), covariates={"W": np.linspace(0.6, 1.6, subjects)},
    )  # fmt: skip
    a, k = symbols("start", "rate")
    parameters = {"start": Estimate(7.0, lognormal(0.4)), "rate": Estimate(0.3)}
    end = Endpoint("value", log_additive(0.4))
    mixture = Mixture("rate", {"slow": -0.5}, {"slow": 0.4})
    return StatisticalModel(ClosedForm("decline", a * exp(-k * time)), parameters, end, mixture=mixture), data


def test_a_mixture_against_the_exact_likelihood_of_two_normal_classes() -> None:
    problem = Problem(mixture_model(), two_classes())
    theta = problem.theta
    covariance = 1.0 * np.ones((3, 3)) + 0.49 * np.eye(3)
    y = problem.rows.value.reshape(60, 3)
    parts = [stats.multivariate_normal(np.full(3, m), covariance).logpdf(y) for m in (9.0, 7.0)]
    exact = np.logaddexp(math.log(0.6) + parts[0], math.log(0.4) + parts[1])
    assert quadrature_nodes(problem, theta, 3).loglik(theta) == pytest.approx(exact, abs=1e-8)
    assert approximate(problem, theta[None], "focei").minus2ll[0] == pytest.approx(-2 * exact, abs=1e-6)
    value, slopes, _ = approximate_slopes(problem, theta, "focei")
    score = quadrature_nodes(problem, theta, 5).value_and_score(theta)[1]
    assert value == pytest.approx(-2 * exact, abs=1e-6)
    assert slopes == pytest.approx(-2 * score, abs=1e-4)


def test_a_mixture_finds_its_classes() -> None:
    found = fit(mixture_model(), two_classes(), "quadrature", nodes=3)
    assert found.converged_, found.verdict_
    assert found.estimates_["level:class low"] == pytest.approx(-4.0, abs=0.6)
    assert found.estimates_["share(low)"] == pytest.approx(1 / 3, abs=0.1)
    assert found.class_chances_ is not None
    assert (found.class_chances_.argmax(axis=0) == (np.arange(60) % 3 == 0)).mean() > 0.95
    assert found.simulate(50, seed=1).std() == pytest.approx(two_classes().observations.value.std(), rel=0.1)
    assert found.individual_parameters()["level"].min() < 7


@pytest.mark.parametrize("case", ["apart", "overlapping", "without spread"])
def test_saem_of_a_mixture_is_that_of_quadrature(case: str) -> None:
    """Estimates within 0.15 standard errors of the exact maximum, errors within 10 %, classes nearly as sure."""
    cases = {"apart": 6.0, "overlapping": 7.8}
    model, data = two_rates() if case == "without spread" else (mixture_model(), two_classes(low=cases[case]))
    exact = fit(model, data, "quadrature", nodes=7)
    found = fit(model, data, "saem", saem=SaemSettings(150, 150, chains=8), importance=300, seed=1)
    assert exact.converged_, exact.verdict_
    assert found.converged_, found.verdict_
    assert exact.standard_errors_ is not None
    assert found.standard_errors_ is not None
    assert exact.class_chances_ is not None
    assert found.class_chances_ is not None
    for name, value in exact.estimates_.items():
        assert abs(found.estimates_[name] - value) < 0.15 * exact.standard_errors_[name], name
        assert found.standard_errors_[name] == pytest.approx(exact.standard_errors_[name], rel=0.1), name
    assert np.abs(found.class_chances_ - exact.class_chances_).max() < 0.1
    assert abs(found.minus2ll_ - exact.minus2ll_) < 4 * found.minus2ll_se_ + 0.02
    if case == "overlapping":  # so that the classes do not follow from the data alone
        assert (exact.class_chances_.max(axis=0) < 0.9).sum() > 5


@pytest.mark.parametrize("mixed", [None, "start", "rate"])
@pytest.mark.parametrize("besides", ["nothing", "occasions and a covariate"])
def test_steps_of_saem_follow_the_slope_of_the_likelihood(mixed: str | None, besides: str) -> None:
    """Mean over draws at a held theta against quadrature, by all that has no closed step, within 5 standard errors.

    Classes that differ in an effect alone ("start") share their predictions, but not the effects' distribution.
    """
    model, data = two_rates(16)
    parameters = {"start": Estimate(7.0, lognormal(0.4)), "rate": Estimate(0.3)}
    if besides != "nothing":
        again, effect = lognormal(0.2), power_effect("W", 1.0, 0.2)
        parameters = {
            "start": Estimate(7.0, lognormal(0.4), occasions=again),
            "rate": Estimate(0.3, covariates=(effect,)),
        }
    mixture = None if mixed is None else Mixture(mixed, {"low": -0.6}, {"low": 0.35})
    problem = Problem(replace(model, parameters=parameters, mixture=mixture), data)
    theta = problem.theta
    exact = quadrature_nodes(problem, theta, 9).value_and_score(theta)[1].sum(axis=0)
    run = Saem(problem, SaemSettings(chains=8, seed=2), theta.copy())
    found = []
    for turn in range(300):
        run.chains.draw(theta)
        if turn >= 50:
            found.append(run._slow_slopes(theta[None])[0])
    sets = np.array(found).reshape(10, 25, -1).mean(axis=1)
    error = sets.std(axis=0, ddof=1) / math.sqrt(10)
    assert error.max() < 0.5
    assert (np.abs(sets.mean(axis=0) - exact[run.slow]) < 5 * error).all()


def test_a_class_to_which_nobody_belongs_is_not_called_converged() -> None:
    """All subjects are of one class: the shift of the other has nothing that it could be told from."""
    random = np.random.default_rng(1)
    subject = np.repeat(np.arange(30), 3)
    value = (10 + 0.3 * random.standard_normal(30))[subject] + 0.5 * random.standard_normal(90)
    data = EventData.from_arrays(ids=range(30), subject=subject, time=np.tile([0.0, 1, 2], 30), value=value)
    found = fit(mixture_model(), data, "saem", saem=SaemSettings(100, 60, chains=4), importance=100)
    assert not found.converged_
    assert "NOT CONVERGED" in str(found)
