"""Bayes: gradients against differences, a posterior that is known, ranks of simulated truths."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from livingdrug.errors import FitError, InputError, MissingExtra
from livingdrug.inference import residual
from livingdrug.inference.bayes import Posterior, Prior, calibrate, default_priors, sample, verdict
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.joint import Events, Exposure, Hazard, JointModel
from livingdrug.inference.residual import additive, combined, log_additive, student_t
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel, exponential_effect
from livingdrug.model import exp, logitnormal, lognormal, normal, time

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


def of_occasions() -> tuple[StatisticalModel, EventData]:
    """Two endpoints with limits of their own, two occasions, a parameter without spread, one on the logit scale."""
    random = np.random.default_rng(11)
    subject, occasion, end = (part.ravel() for part in np.meshgrid(range(5), range(2), range(2), indexing="ij"))
    times = np.array([1.0, 4, 9])
    rows = np.repeat(np.arange(len(subject)), len(times))
    at = np.tile(times, len(subject)) + 20 * occasion[rows]
    value = np.exp(1.5 + 0.7 * random.standard_normal(len(rows)))
    data = EventData.from_arrays(
        ids=range(5), subject=subject[rows], time=at, value=value, endpoint=end[rows], endpoints=("drug", "marker"),
        occasion=occasion[rows],
    )  # fmt: skip
    P, k, share = symbols("P", "k", "share")
    form = ClosedForm("two", {"drug": P * exp(-k * time / 10), "marker": share * P * exp(-k * time / 20)})
    parameters = {
        "P": Estimate(9.0, lognormal(0.3), occasions=lognormal(0.2)),
        "k": Estimate(0.3),
        "share": Estimate(0.6, logitnormal(0.5)),
    }
    ends = [Endpoint("drug", log_additive(0.3), limit=3.0), Endpoint("marker", combined(0.4, 0.2), limit=2.0)]
    return StatisticalModel(form, parameters, ends), data


def of_events() -> tuple[StatisticalModel, EventData]:
    model, data = decays()
    return JointModel(
        model.structure, model.parameters, model.endpoints, omega="full",
        hazard=Hazard(Exposure("value"), "weibull", association=0.1),
        events=Events([3.0, 9, 5, 14, 2, 8, 14, 14], [True, True, True, False, True, True, False, False]),
    ), data  # fmt: skip


CASES: dict[str, Callable[[], tuple[StatisticalModel, EventData]]] = {
    "logarithms": lambda: decays(),
    "outliers": lambda: decays(residual=student_t(additive(0.5), 4)),
    "occasions and endpoints": of_occasions,
    "events": of_events,
}


@pytest.mark.parametrize("case", list(CASES))
def test_the_gradient_is_that_of_differences(case: str) -> None:
    model, data = CASES[case]()
    problem = model.problem(data)
    assert (~problem.rows.points).any()
    posterior = Posterior(problem)
    random, step = np.random.default_rng(3), 1e-5
    point = posterior.start(random, 0.1) + 0.3 * random.standard_normal(posterior.size)
    by = [(posterior(point + step * e)[0] - posterior(point - step * e)[0]) / 2 / step for e in np.eye(posterior.size)]
    assert posterior(point)[1] == pytest.approx(by, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("case", list(CASES))
def test_the_density_is_that_of_priors_effects_and_data(case: str) -> None:
    """Times the volume by which effects move with a point's numbers, here from differences."""
    model, data = CASES[case]()
    problem, random = model.problem(data), np.random.default_rng(5)
    posterior, step = Posterior(problem), 1e-6
    point = posterior.start(random, 0.1) + 0.3 * random.standard_normal(posterior.size)
    theta, eta = posterior.theta(point), posterior.effects(point)
    own, first = np.eye(posterior.size)[len(posterior.mean) :], len(posterior.mean)
    by = [(posterior.effects(point + step * e) - posterior.effects(point - step * e)).ravel() / 2 / step for e in own]
    value = problem.loglik(theta[None], eta[None]).sum() + problem.log_prior(theta[None], eta[None]).sum()
    value += np.linalg.slogdet(np.array(by))[1] - 0.5 * (((point[:first] - posterior.mean) / posterior.sd) ** 2).sum()
    assert posterior(point)[0] == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("sd", [0.01, 30.0])
def test_standard_numbers_suit_rich_and_sparse_data(sd: float) -> None:
    """A linear model, in which they are exactly standard normal given theta, whether data or population tell more."""
    model, data = levels()
    held = StatisticalModel(
        model.structure, model.parameters, Endpoint("value", additive(sd, fixed=True))
    )  # fmt: skip
    posterior = Posterior(held.problem(data))
    for level in (3.0, 7.0):
        point = np.r_[level, 0.7 * np.ones(10)]
        assert posterior(point)[1][1:] == pytest.approx(-point[1:], rel=1e-6)


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
    with pytest.raises(InputError, match=r"'k': the middle must lie between 0 and inf, got -0\.5"):
        Posterior(model.problem(data), {"k": Prior(-0.5, 1)})
    with pytest.raises(InputError, match=r"give a Prior\(middle, spread\)"):
        Posterior(model.problem(data), {"k": (0.2, 0.1)})  # type: ignore[dict-item]
    for wrong in ((1.0, 0.0), (1.0, -0.3), (math.nan, 1.0), ("1", 1.0)):
        with pytest.raises(InputError, match="spread positive"):
            Prior(*wrong)  # type: ignore[arg-type]
    numbers: list[dict[str, Any]] = [{"draws": 0}, {"cores": 0}, {"chains": 1.5}]
    for wrong in numbers:
        with pytest.raises(InputError, match="must be a whole number, at least 1"):
            sample(model, data, **wrong)
    with pytest.raises(InputError, match=r"between 0 and 1, got 1\.0"):
        sample(model, data, target_accept=1.0)
    with pytest.raises(InputError, match="give name -> Prior"):
        sample(model, data, priors=[Prior(1.0, 1.0)])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="at least 1, got 0"):
        calibrate(model, data, 0)
    classes = replace(model, mixture=Mixture("k", {"fast": 1.0}))
    with pytest.raises(InputError, match="mixtures are not supported"):
        sample(classes, data)


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


def test_a_posterior_that_is_known() -> None:
    """Normal prior and likelihood: precision 1/3^2 + 10/(2^2 + 1/3), the mean weighted accordingly."""
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    model, data = levels()
    found = sample(model, data, priors={"level": Prior(0.0, 3.0)}, draws=400, tune=200, chains=2, cores=1, seed=3)
    import arviz

    weight = 10 / (4 + 1 / 3)
    sd = 1 / math.sqrt(1 / 9 + weight)
    mean = sd**2 * weight * data.observations.value.mean()
    drawn = found.posterior["level"].values
    assert drawn.shape == (2, 400)
    assert abs(drawn.mean() - mean) < 4 * float(arviz.mcse(found.posterior["level"])["level"])
    assert abs(drawn.std() - sd) < 4 * float(arviz.mcse(found.posterior["level"], method="sd")["level"])
    assert found.posterior["eta"].dims == ("chain", "draw", "subject_name", "effect")
    assert {"sample_stats", "log_likelihood", "observed_data", "posterior_predictive"} <= set(found.groups())
    assert found.attrs["verdict"].startswith("CONVERGED: no divergence, R-hat at most 1.0")
    again = found.posterior_predictive["value"].values.reshape(800, 10, 3)
    told = data.observations.value.reshape(10, 3)
    # given its three samples a patient's own mean is known to sd 1/sqrt(3 + 1/4), and so is a new one to sqrt(1 + that)
    assert again.std(axis=0).mean() == pytest.approx(math.sqrt(1 + 1 / 3.25), rel=0.05)
    shrunken = (3 * told.mean(axis=1) + mean / 4) / 3.25
    assert again.mean(axis=(0, 2)) == pytest.approx(shrunken, abs=5 * 0.75 / math.sqrt(800))
    whole = np.stack([found.log_likelihood["subject"].values[0, 0]])
    by_hand = stats.norm.logpdf(told, found.posterior["eta"].values[0, 0] + drawn[0, 0]).sum(axis=1)
    assert whole[0] == pytest.approx(by_hand)


def test_draws_that_cannot_be_believed_are_said_to_be() -> None:
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    few = sample(*levels(), draws=20, tune=50, chains=2, cores=1, seed=4)
    assert few.attrs["verdict"].startswith("NOT CONVERGED:")
    assert "too few effective draws (least: " in few.attrs["verdict"]
    alone = sample(*levels(), draws=200, tune=50, chains=1, cores=1, seed=4)
    assert "one chain cannot show" in verdict(alone)
    apart = sample(*levels(), draws=200, tune=50, chains=2, cores=1, seed=4)
    apart.posterior["level"][0] += 3.0
    apart.sample_stats["diverging"][0, :7] = True
    assert "the chains disagree (R-hat above 1.01: level" in verdict(apart)
    assert "7 of 400 steps diverged" in verdict(apart)


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


def ranks(simulations: int, seed: int) -> dict[str, np.ndarray]:
    """Of four patients with four samples each, two of three of them below the limit; effective draws are many."""
    (k,) = symbols("k")
    _, data = decays(subjects=4)
    model = StatisticalModel(
        ClosedForm("decay", 10 * exp(-k * time)), {"k": Estimate(0.2, lognormal(0.3))},
        Endpoint("value", log_additive(0.3), limit=4.0),
    )  # fmt: skip
    priors = {"k": Prior(0.2, 0.5), "a": Prior(0.3, 0.7), "omega(k)": Prior(0.3, 0.3)}
    return calibrate(model, data, simulations, priors=priors, draws=31, thin=1, tune=80, seed=seed)


@pytest.mark.slow
def test_ranks_of_simulated_truths_are_uniform() -> None:
    """Talts et al. 2018, with values below the limit (M3): chi-squared over four classes of ranks, at 0.1 %."""
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    found = ranks(32, 2)
    assert set(found) == {"k", "sd(k)", "a"}
    for name, one in found.items():
        counts = np.bincount(one // 8, minlength=4)
        assert counts.sum() == 32
        assert stats.chisquare(counts).pvalue > 1e-3, (name, counts)


@pytest.mark.slow
def test_ranks_tell_a_likelihood_that_forgets_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same test fails where rows below the limit count for nothing."""
    pytest.importorskip("nutpie", reason="the extra bayes is not installed")
    right = residual._below
    monkeypatch.setattr(residual, "_below", lambda *given: [0 * part for part in right(*given)])
    counts = np.bincount(ranks(24, 2)["k"] // 8, minlength=4)
    assert stats.chisquare(counts).pvalue < 1e-3, counts
