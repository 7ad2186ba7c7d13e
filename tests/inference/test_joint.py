"""Joint models: the events' likelihood against SciPy's integration, slopes against differences, Cox's against the
partial likelihood written out, and simulated trials in which the joint fit finds the truth that two stages miss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp
from scipy.stats import norm

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import ClosedForm, expansion_contraction, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.joint import Events, Exposure, Hazard, JointModel, JointProblem, baseline, two_stage
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.library import load_model
from livingdrug.model import exp, lognormal, normal, time

TRUE = {"b0": 2.0, "b1": 0.0, "sd(b0)": 0.8, "sd(b1)": 0.25, "hazard:rate": 0.05, "hazard:association": 0.6}
FOLLOW_UP = 12.0


def trial(subjects: int, seed: int, noise: float = 1.2) -> tuple[EventData, Events]:
    """Lines with noise; the hazard follows the line; nobody is measured after the event."""
    random = np.random.default_rng(seed)
    b0 = TRUE["b0"] + TRUE["sd(b0)"] * random.standard_normal(subjects)
    b1 = TRUE["b1"] + TRUE["sd(b1)"] * random.standard_normal(subjects)
    # rate * exp(a b0) (exp(a b1 t) - 1) / (a b1) = E, solved for t
    a, wanted = TRUE["hazard:association"], random.exponential(size=subjects)
    grown = 1 + wanted * a * b1 / (TRUE["hazard:rate"] * np.exp(a * b0))
    moment = np.where(grown > 0, np.log(np.maximum(grown, 1e-300)) / (a * b1), math.inf)
    events = Events(np.clip(moment, 1e-3, FOLLOW_UP), moment < FOLLOW_UP)
    t = np.arange(0, FOLLOW_UP, 1.5)
    subject, at = np.meshgrid(range(subjects), t, indexing="ij")
    value = b0[:, None] + b1[:, None] * t + noise * random.standard_normal(at.shape)
    kept = at < events.time[:, None]
    return EventData.from_arrays(ids=range(subjects), subject=subject[kept], time=at[kept], value=value[kept]), events


def parts() -> tuple[Any, ...]:
    start, slope = symbols("b0", "b1")
    parameters = {"b0": Estimate(1.8, normal(0.6)), "b1": Estimate(0.1, normal(0.3))}
    return ClosedForm("line", start + slope * time), parameters, Endpoint("value", additive(1.0))


def joint(events: Events, kind: str = "exponential", **more: Any) -> JointModel:
    return JointModel(*parts(), hazard=Hazard(Exposure("value"), kind, **more), events=events)


# -- the events' likelihood -------------------------------------------------------------------------------------------
HAZARDS = {
    "exponential": lambda t: 0.1 + 0 * t,
    "weibull": lambda t: 1.4 * 0.1 * (0.1 * t) ** 0.4,
    "gompertz": lambda t: 0.1 * math.exp(0.05 * t),
}
COURSES = {
    "value": lambda t: 5 * math.exp(-0.2 * t),
    "auc": lambda t: 25 * (1 - math.exp(-0.2 * t)),
    "cmax": lambda t: 5.0 + 0 * t,
}


@pytest.mark.parametrize("kind", list(HAZARDS))
@pytest.mark.parametrize("measure", list(COURSES))
def test_the_likelihood_of_events_is_that_of_the_hazard_integrated(kind: str, measure: str) -> None:
    """Two subjects with known courses 5 exp(-0.2 t), one with the event on day 8, one followed until day 20."""
    P, k = symbols("P", "k")
    shape = {"weibull": 1.4, "gompertz": 0.05}.get(kind)
    hazard = Hazard(Exposure("value", measure, unit=2.0), kind, association=0.3, rate=0.1, shape=shape)
    model = JointModel(
        ClosedForm("decay", P * exp(-k * time)), {"P": Estimate(5.0, lognormal(0.3)), "k": Estimate(0.2)},
        Endpoint("value", additive(1.0)), hazard=hazard, events=Events([8.0, 20.0], [True, False]),
    )  # fmt: skip
    data = EventData.from_arrays(ids="ab", subject=[0, 0, 1, 1], time=[1, 3, 1, 3], value=[4.0, 3, 4, 3])
    problem = model.problem(data)
    found = problem.event_loglik(problem.theta[None], np.zeros((1, 2, 1)))[0]

    def rate(t: float) -> float:
        return HAZARDS[kind](t) * math.exp(0.3 * COURSES[measure](t) / 2.0)

    expected = [math.log(rate(8.0)) - quad(rate, 0, 8)[0], -quad(rate, 0, 20)[0]]
    # the highest value so far is known at its points only
    assert found == pytest.approx(expected, rel=2e-3 if measure == "cmax" else 2e-5)


def test_the_whole_likelihood_with_limits_is_that_of_a_sum_over_a_grid() -> None:
    """Rows below the limit, correlated effects, a covariate, Gompertz' hazard on the area: all written out here, summed
    over 61 by 61 points of the effects."""
    random, count, t = np.random.default_rng(4), 30, np.array([1.0, 3, 6, 10])
    P, k = (v * np.exp(s * random.standard_normal((count, 1))) for v, s in ((8.0, 0.4), (0.25, 0.3)))
    value = P * np.exp(-k * t + 0.2 * random.standard_normal((count, 4)))
    below, value, age = value < 1.0, np.maximum(value, 1.0), random.standard_normal(count)
    end = np.minimum(random.exponential(12, count) + 0.3, 20)
    data = EventData.from_arrays(
        ids=range(count), subject=np.repeat(range(count), 4), time=np.tile(t, count), value=value.ravel(),
        censoring=below.ravel().astype(int), covariates={"AGE": age},
    )  # fmt: skip
    height, rate = symbols("P", "k")
    model = JointModel(
        ClosedForm("decay", height * exp(-rate * time)),
        {"P": Estimate(7.0, lognormal(0.4)), "k": Estimate(0.2, lognormal(0.3))},
        Endpoint("value", log_additive(0.3)), omega="full",
        hazard=Hazard(Exposure("value", "auc", scale="log1p", unit=3.0), "gompertz", 0.2, covariates={"AGE": 0.1}),
        events=Events(end, end < 20),
    )  # fmt: skip
    found = fit(model, data, "quadrature", standard_errors=None)
    e = found.estimates_
    sd, corr = (e["sd(P)"], e["sd(k)"]), e["corr(k,P)"]
    grid = np.linspace(-6, 6, 61)
    u, v = np.meshgrid(grid, grid, indexing="ij")
    P, k = e["P"] * np.exp(sd[0] * u), e["k"] * np.exp(sd[1] * (corr * u + math.sqrt(1 - corr**2) * v))
    x, w = np.polynomial.legendre.leggauss(40)

    def log_hazard(day: float, years: float) -> np.ndarray:
        area = P / k * (1 - np.exp(-k * day))
        driven = e["hazard:association"] * np.log1p(area / 3.0) + e["hazard:AGE"] * years
        return math.log(e["hazard:rate"]) + e["hazard:shape"] * day + driven

    total = 0.0
    for s in range(count):
        terms = -(u**2 + v**2) / 2 + 2 * math.log(0.2) - math.log(2 * math.pi)
        for j in range(4):
            z = (math.log(value[s, j]) - np.log(P) + k * t[j]) / e["a"]
            terms += norm.logcdf(z) if below[s, j] else norm.logpdf(z) - math.log(e["a"] * value[s, j])
        half = end[s] / 2
        terms -= sum(half * wj * np.exp(log_hazard(half * (xj + 1), age[s])) for xj, wj in zip(x, w, strict=True))
        terms += log_hazard(end[s], age[s]) if end[s] < 20 else 0.0
        total += float(np.asarray(logsumexp(terms)))
    assert found.minus2ll_ == pytest.approx(-2 * total, abs=2e-3)


@pytest.mark.parametrize("kind", ["exponential", "weibull", "gompertz", "cox"])
@pytest.mark.parametrize("measure", ["value", "auc", "cmax"])
def test_slopes_are_those_of_differences(kind: str, measure: str) -> None:
    data, events = trial(6, 4)
    data = EventData.from_arrays(
        ids=data.ids, subject=data.observations.subject, time=data.observations.time, value=data.observations.value,
        covariates={"AGE": np.linspace(-1, 1, 6)},
    )  # fmt: skip
    structure, parameters, end = parts()
    parameters["b1"] = Estimate(0.1, scale="normal")  # without spread: its slope runs through the course
    hazard = Hazard(Exposure("value", measure, scale="log1p", unit=0.5), kind, 0.4, covariates={"AGE": 0.2})
    problem = JointModel(structure, parameters, end, hazard=hazard, events=events).problem(data)
    eta = 1.0 + 0.2 * np.random.default_rng(1).standard_normal((1, 6, 1))
    theta = problem.theta
    found, _ = problem.inner(theta[None], eta, exact=True)
    step, score = 1e-5, problem.score(theta[None], eta)[0]
    up, down = (problem.inner(theta[None], eta + s, exact=True)[0] for s in (step, -step))
    assert found.gradient[..., 0] == pytest.approx((up.loglik - down.loglik) / 2 / step, rel=1e-5, abs=1e-6)
    assert found.hessian is not None
    assert found.hessian[..., 0, 0] == pytest.approx(
        (up.gradient - down.gradient)[..., 0] / 2 / step, rel=1e-4, abs=1e-5
    )
    pull = problem.effect_score(theta[None], eta, problem.predict(theta[None], eta, 1))
    whole = [problem.loglik(theta[None], eta + s) + problem.log_prior(theta[None], eta + s) for s in (step, -step)]
    assert pull[..., 0] == pytest.approx((whole[0] - whole[1]) / 2 / step, rel=1e-5, abs=1e-6)
    for j, entry in enumerate(problem.free):
        near = np.tile(theta, (2, 1))
        near[:, entry] += [step, -step]
        moved = eta - (problem.shifts(near) - problem.shifts(theta[None]))  # individual parameters are held
        value = problem.loglik(near, moved) + problem.log_prior(near, moved)
        assert score[:, j] == pytest.approx((value[0] - value[1]) / 2 / step, rel=1e-4, abs=1e-5), problem.names[entry]


def test_a_model_on_the_engine_has_the_events_of_its_closed_form() -> None:
    parameters = {
        "fold_expansion": 3900.0, "peak_day": 9.3, "peak": Estimate(24000.0, lognormal(0.6)), "contraction": 0.16,
        "persistent_fraction": 0.0079, "decline": 0.0032,
    }  # fmt: skip
    output, days = "car_t_transgene_blood", [4.0, 9, 14, 28]
    data = EventData.from_arrays(
        ids=range(2), subject=np.repeat(range(2), 4), time=np.tile(days, 2), value=1000.0, endpoints=(output,)
    )
    hazard = Hazard(Exposure(output, "auc", unit=1e5), "weibull", -0.5, shape=1.2)
    values = []
    for structure in (expansion_contraction(), EngineModel(load_model("stein2019"))):
        model = JointModel(
            structure, parameters, Endpoint(output, log_additive(0.5)), hazard=hazard, events=Events([60, 300], [1, 0])
        )
        problem = model.problem(data)
        values.append(problem.inner(problem.theta[None], np.full((1, 2, 1), 0.3))[0])
    assert values[1].loglik == pytest.approx(values[0].loglik, rel=1e-5)
    assert values[1].gradient == pytest.approx(values[0].gradient, rel=1e-4)


def test_known_courses_give_the_estimate_of_the_partial_likelihood() -> None:
    """Cox 1972 with an exposure that moves in time: the product over events of exp(a x_i) / sum at risk exp(a x_j)."""
    data, events = trial(60, 9)
    model = joint(events, "cox")
    effects = np.stack([np.linspace(-1, 1, 60), np.tile([-0.2, 0.0, 0.3], 20)], axis=1)
    b0, b1 = 1.8 + effects[:, 0], 0.1 + effects[:, 1]

    def minus_partial(a: float) -> float:
        total = 0.0
        for i in np.flatnonzero(events.happened):
            x = b0 + b1 * events.time[i]
            total -= a * x[i] - math.log(np.exp(a * x[events.time >= events.time[i]]).sum())
        return total

    best = minimize_scalar(minus_partial, bounds=(-3, 3), method="bounded", options={"xatol": 1e-10}).x
    found = two_stage(model, data, effects=effects)
    assert found.estimates["hazard:association"] == pytest.approx(best, abs=1e-5)
    bend = (minus_partial(best + 1e-3) - 2 * minus_partial(best) + minus_partial(best - 1e-3)) / 1e-6
    assert found.errors["hazard:association"] == pytest.approx(1 / math.sqrt(bend), rel=1e-3)


# -- simulated trials -------------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_joint_fit_finds_the_truth_and_two_stages_do_not() -> None:
    """Ten trials of 120: the joint association is right on average; that of the modes' courses is too small."""
    together, apart = [], []
    for seed in range(10):
        data, events = trial(120, 100 + seed)
        model = joint(events)
        together.append(fit(model, data, "quadrature", nodes=5, standard_errors=None).estimates_)
        kinetics = fit(StatisticalModel(*parts()), data, "quadrature", nodes=3, standard_errors=None)
        apart.append(two_stage(model, data, kinetics).estimates)
    for name in ("hazard:association", "b1", "sd(b0)", "sd(b1)"):
        values = np.array([one[name] for one in together])
        noise = values.std(ddof=1) / math.sqrt(10)
        assert abs(values.mean() - TRUE[name]) < 3 * noise, name
    values = np.array([one["hazard:association"] for one in apart])
    assert TRUE["hazard:association"] - values.mean() > 3 * values.std(ddof=1) / math.sqrt(10)
    assert values.mean() < np.mean([one["hazard:association"] for one in together])


@pytest.mark.slow
def test_saem_laplace_and_quadrature_agree() -> None:
    data, events = trial(80, 3)
    model = joint(events, "weibull")
    exact = fit(model, data, "quadrature", nodes=7)
    drawn = fit(model, data, "saem", saem=SaemSettings(80, 120, chains=4), importance=300, seed=2)
    close = fit(model, data, "laplace", standard_errors=None)
    assert exact.converged_, exact.verdict_
    assert exact.standard_errors_ is not None
    for name, value in exact.estimates_.items():
        error = exact.standard_errors_[name]
        assert abs(drawn.estimates_[name] - value) < 0.25 * error, name
        assert abs(close.estimates_[name] - value) < 0.25 * error, name
    assert abs(drawn.minus2ll_ - exact.minus2ll_) < 0.2 + 4 * drawn.minus2ll_se_
    assert "hazard:association" in exact.summary()


def test_a_free_baseline_finds_the_association_and_the_constant_hazard() -> None:
    data, events = trial(100, 1)
    found = fit(joint(events, "cox"), data, "quadrature", nodes=5)
    assert found.converged_, found.verdict_
    assert found.standard_errors_ is not None
    away = found.estimates_["hazard:association"] - TRUE["hazard:association"]
    assert abs(away) < 2.5 * found.standard_errors_["hazard:association"]
    parametric = fit(joint(events), data, "quadrature", nodes=5, standard_errors=None)
    assert found.estimates_["hazard:association"] == pytest.approx(parametric.estimates_["hazard:association"], abs=0.1)
    table = baseline(found)
    assert len(table) == events.happened.sum()
    middle = table.iloc[len(table) // 2]
    assert middle["cumulative"] / middle["time"] == pytest.approx(parametric.estimates_["hazard:rate"], rel=0.5)


# -- bad input --------------------------------------------------------------------------------------------------------
def test_what_cannot_be_joined_says_so() -> None:
    data, events = trial(6, 4)
    with pytest.raises(InputError, match="positive numbers"):
        Events(["soon", 2], [1, 0])
    with pytest.raises(InputError, match="'association' must be a number, got nan"):
        Hazard(Exposure("value"), association=math.nan)
    with pytest.raises(InputError, match="'AGE' must be a number, got inf"):
        Hazard(Exposure("value"), covariates={"AGE": math.inf})
    with pytest.raises(InputError, match="needs a hazard and the events"):
        JointModel(*parts())
    with pytest.raises(InputError, match="did you mean 'value'"):
        JointModel(*parts(), hazard=Hazard(Exposure("valu")), events=events)
    with pytest.raises(InputError, match="given for 2 subjects; the data hold 6"):
        JointProblem(joint(Events([1, 2], [1, 0])), data)
    with pytest.raises(InputError, match=r"positive numbers, got .*subject number 2"):
        Events([1, -2], [1, 0])
    with pytest.raises(InputError, match="true or false"):
        Events([1, 2], [1, 7])
    with pytest.raises(InputError, match="at least one event"):
        JointProblem(joint(Events(np.ones(6), np.zeros(6)), "cox"), data)
    with pytest.raises(InputError, match="did you mean 'weibull'"):
        Hazard(Exposure("value"), "weibul")
    with pytest.raises(InputError, match="no free baseline"):
        baseline(fit(StatisticalModel(*parts()), trial(30, 1)[0], "focei", standard_errors=None))
    with pytest.raises(InputError, match="did you mean 'AGE'"):
        JointProblem(
            joint(events, covariates={"AG": 0.0}),
            EventData.from_arrays(
                ids=data.ids, subject=data.observations.subject, time=data.observations.time, value=1.0,
                covariates={"AGE": np.zeros(6)},
            ),
        )  # fmt: skip
