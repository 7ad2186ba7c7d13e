"""Bayes: gradients against differences, a posterior that is known, ranks of simulated truths."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from livingdrug.errors import FitError, InputError, MissingExtra
from livingdrug.inference.bayes import Posterior, Prior, calibrate, default_priors, sample
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.residual import additive, log_additive, student_t
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, exponential_effect
from livingdrug.model import exp, lognormal, normal, time

# ArviZ announces its next edition on import
pytestmark = [pytest.mark.filterwarnings("ignore::FutureWarning"), pytest.mark.filterwarnings("ignore::UserWarning")]


def decays(subjects: int = 8, limit: float | None = 2.0, residual: Any = None) -> tuple[StatisticalModel, EventData]:
    random, t = np.random.default_rng(7), np.array([1.0, 4, 8, 14])
    height, rate = (v * np.exp(0.3 * random.standard_normal((subjects, 1))) for v in (10.0, 0.2))
    value = height * np.exp(-rate * t) * np.exp(0.2 * random.standard_normal((subjects, 4)))
    data = EventData.from_arrays(
        ids=range(subjects), subject=np.repeat(range(subjects), 4), time=np.tile(t, subjects), value=value.ravel(),
        covariates={"AGE": np.linspace(-1, 1, subjects)},
    )  # fmt: skip
    P, k = symbols("P", "k")
    parameters = {
        "P": Estimate(10.0, lognormal(0.3), covariates=[exponential_effect("AGE", 0.0)]),
        "k": Estimate(0.2, lognormal(0.3)),
    }
    end = Endpoint("value", residual or log_additive(0.2), limit=limit)
    return StatisticalModel(ClosedForm("decay", P * exp(-k * time)), parameters, end, omega="full"), data


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("residual", [log_additive(0.2), student_t(additive(0.5), 4)])
def test_the_gradient_is_that_of_differences(centred: bool, residual: Any) -> None:
    model, data = decays(residual=residual)
    problem = model.problem(data)
    assert (~problem.rows.points).any()
    posterior = Posterior(problem, centred=centred)
    random, step = np.random.default_rng(3), 1e-5
    eta = 0.2 * random.standard_normal((8, 2))
    point = posterior.point(problem.theta, eta) + 0.02 * random.standard_normal(posterior.size)
    assert posterior.point(posterior.theta(point), posterior.effects(point)) == pytest.approx(point)
    by = [(posterior(point + step * e)[0] - posterior(point - step * e)[0]) / 2 / step for e in np.eye(posterior.size)]
    assert posterior(point)[1] == pytest.approx(by, rel=1e-5, abs=1e-5)


def test_both_ways_of_writing_effects_have_one_density() -> None:
    """They differ by the Jacobian of the effects: subjects times the logarithm of the determinant of their spread."""
    model, data = decays()
    problem, random = model.problem(data), np.random.default_rng(5)
    for _ in range(3):
        theta = problem.theta + 0.1 * random.standard_normal(len(problem.theta))
        eta = 0.2 * random.standard_normal((8, 2))
        values = []
        for centred in (True, False):
            posterior = Posterior(problem, centred=centred)
            values.append(posterior(posterior.point(theta, eta))[0])
        size = np.linalg.slogdet(problem.covariance(theta))[1] / 2
        assert values[1] - values[0] == pytest.approx(8 * (size + math.log(2 * math.pi)))


def test_priors_have_names_defaults_and_units() -> None:
    model, data = decays()
    priors = default_priors(model.problem(data))
    assert priors["P"] == Prior(10.0, 1.0)
    assert priors["P:AGE"] == Prior(0.0, 1.0)
    assert priors["omega(k)"].middle == pytest.approx(0.3)
    assert priors["omega(k,P)"] == Prior(0.0, 0.15)
    posterior = Posterior(model.problem(data), {"k": Prior(0.5, 0.1)})
    assert posterior.mean[list(posterior.priors).index("k")] == pytest.approx(math.log(0.5))
    with pytest.raises(InputError, match="did you mean 'omega"):
        Posterior(model.problem(data), {"omega(p)": Prior(1, 1)})
    with pytest.raises(InputError, match="middle must be positive"):
        Posterior(model.problem(data), {"a": Prior(-1, 1)})
    with pytest.raises(InputError, match="spread positive"):
        Prior(1.0, 0.0)
    with pytest.raises(InputError, match="at least 1"):
        sample(model, data, draws=0)


def test_a_missing_sampler_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("nutpie"):
            raise ImportError(name)
        return whole(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'livingdrug\[bayes\]'"):
        sample(*decays(), draws=5, tune=5, chains=1)


# -- with the sampler -------------------------------------------------------------------------------------------------
def levels() -> tuple[StatisticalModel, EventData]:
    """Ten subjects, three samples each; spread and residual held, so that the level's posterior is normal."""
    (level,) = symbols("level")
    random = np.random.default_rng(2)
    value = np.repeat(5 + 2 * random.standard_normal(10), 3) + random.standard_normal(30)
    data = EventData.from_arrays(
        ids=range(10), subject=np.repeat(range(10), 3), time=np.tile([1.0, 2, 3], 10), value=value
    )
    parameters = {"level": Estimate(4.0, normal(2.0), fixed_spread=True)}
    form = ClosedForm("level", level + 0 * time)
    return StatisticalModel(form, parameters, Endpoint("value", additive(1.0, fixed=True))), data


@pytest.mark.parametrize("centred", [True, False])
def test_a_posterior_that_is_known(centred: bool) -> None:
    """Normal prior and likelihood: precision 1/3^2 + 10/(2^2 + 1/3), the mean weighted accordingly."""
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    model, data = levels()
    found = sample(
        model, data, priors={"level": Prior(0.0, 3.0)}, draws=200, tune=200, chains=2, cores=1, centred=centred, seed=3
    )
    import arviz

    weight = 10 / (4 + 1 / 3)
    sd = 1 / math.sqrt(1 / 9 + weight)
    mean = sd**2 * weight * data.observations.value.mean()
    drawn = found.posterior["level"].values
    assert drawn.shape == (2, 200)
    assert abs(drawn.mean() - mean) < 4 * float(arviz.mcse(found.posterior["level"])["level"])
    assert abs(drawn.std() - sd) < 4 * float(arviz.mcse(found.posterior["level"], method="sd")["level"])
    assert found.posterior["eta"].dims == ("chain", "draw", "subject_name", "effect")
    assert {"sample_stats", "log_likelihood", "observed_data"} <= set(found.groups())


def test_the_same_seed_gives_the_same_draws() -> None:
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    drawn = [
        sample(*levels(), draws=20, tune=20, chains=2, cores=cores, seed=4).posterior["level"].values
        for cores in (1, 2)
    ]
    assert (drawn[0] == drawn[1]).all()


def test_first_guesses_without_likelihood_are_refused() -> None:
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    model, data = decays(limit=None)
    with pytest.raises(FitError, match="no likelihood"):
        sample(
            StatisticalModel(model.structure, {"P": Estimate(1e-200, lognormal(0.3)), "k": 0.2},
                             Endpoint("value", additive(1e-200, fixed=True))), data, draws=5, tune=5,
        )  # fmt: skip


@pytest.mark.slow
def test_ranks_of_simulated_truths_are_uniform() -> None:
    """Talts et al. 2018, with values below the limit (M3): chi-squared over four classes of ranks, at 0.1 %."""
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    (k,) = symbols("k")
    _, data = decays(subjects=5)
    model = StatisticalModel(
        ClosedForm("decay", 10 * exp(-k * time)), {"k": Estimate(0.2, lognormal(0.3))},
        Endpoint("value", log_additive(0.2), limit=2.0),
    )  # fmt: skip
    priors = {"k": Prior(0.2, 0.3), "a": Prior(0.2, 0.3), "omega(k)": Prior(0.3, 0.3)}
    found = calibrate(model, data, 24, priors=priors, draws=39, thin=3, tune=120, centred=False, seed=1)
    assert set(found) == {"k", "sd(k)", "a"}
    for name, ranks in found.items():
        counts = np.bincount(ranks // 10, minlength=4)
        assert counts.sum() == 24
        assert stats.chisquare(counts).pvalue > 1e-3, (name, counts)
