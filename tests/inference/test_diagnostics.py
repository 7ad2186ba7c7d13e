"""Residuals, effects, shrinkage and covariates of a fit, against formulas worked out here."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from livingdrug.inference import diagnostics
from livingdrug.inference.closed_form import ClosedForm, expansion_contraction, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.residual import additive, cauchy, log_additive, proportional, student_t
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, category, power_effect
from livingdrug.library.stein2019 import transgene
from livingdrug.model import exp, lognormal, normal, time

DAYS = np.array([3.0, 7, 10, 14, 21, 28, 60, 90])


def level_data(count: int = 8, seed: int = 1) -> EventData:
    random = np.random.default_rng(seed)
    own = 10 + 2 * random.standard_normal((count, 1))
    return EventData.from_arrays(
        ids=[f"P{k}" for k in range(count)], subject=np.repeat(range(count), 2), time=np.tile([1.0, 2.0], count),
        value=(own + random.standard_normal((count, 2))).ravel(),
    )  # fmt: skip


def level_model(residual: Any = None) -> StatisticalModel:
    (level,) = symbols("level")
    parameters = {"level": Estimate(10.0, normal(2.0))}
    return StatisticalModel(ClosedForm("level", level), parameters, Endpoint("value", residual or additive(1.0)))


def transgene_data(count: int = 24, limit: float = 300.0, seed: int = 2) -> EventData:
    random = np.random.default_rng(seed)
    weight, male = random.uniform(10, 80, count), random.random(count) < 0.5
    peak = 24000 * (weight[:, None] / 40) ** 0.5 * np.exp(0.5 * random.standard_normal((count, 1)))
    rate = 0.16 * np.exp(0.3 * random.standard_normal((count, 1)))
    value = transgene(DAYS, peak=peak, contraction=rate) * np.exp(0.3 * random.standard_normal((count, len(DAYS))))
    below = value < limit
    return EventData.from_arrays(
        ids=[f"P{k}" for k in range(count)], subject=np.repeat(range(count), len(DAYS)), time=np.tile(DAYS, count),
        value=np.where(below, limit, value).ravel(), censoring=below.ravel(), lloq=limit,
        covariates={"WT": weight, "SEX": np.where(male, "M", "F")}, endpoints=["car_t_transgene_blood"],
    )  # fmt: skip


def transgene_model(blq: str = "M3") -> StatisticalModel:
    parameters: dict[str, Any] = {
        "peak": Estimate(20000, lognormal(0.5), covariates=[power_effect("WT", 40), category("SEX")]),
        "contraction": Estimate(0.16, lognormal(0.3)),
        "fold_expansion": 3900, "peak_day": 9.3, "persistent_fraction": 0.0079, "decline": 0.0032,
    }  # fmt: skip
    return StatisticalModel(
        expansion_contraction(), parameters, Endpoint("car_t_transgene_blood", log_additive(0.3), blq=blq)
    )


@pytest.fixture(scope="module")
def fitted() -> Any:
    return fit(transgene_model(), transgene_data(), "focei")


def test_conditional_residuals_of_a_linear_model_by_hand():
    """Two samples share one effect: C = w^2 J + s^2 I has eigenvalues s^2 + 2 w^2 on (1, 1) and s^2 on (1, -1)."""
    found = fit(level_model(), level_data(), "focei")
    mean, w, s = (found.estimates_[name] for name in ("level", "sd(level)", "a"))
    table = diagnostics.diagnostics(found)
    away = table["DV"].to_numpy().reshape(-1, 2) - mean
    together = away.sum(axis=1) / math.sqrt(2) / math.sqrt(s**2 + 2 * w**2)
    apart = (away[:, 0] - away[:, 1]) / math.sqrt(2) / s
    expected = np.stack([together + apart, together - apart], axis=1) / math.sqrt(2)
    assert table["CWRES"].to_numpy() == pytest.approx(expected.ravel(), abs=1e-6)


def test_conditional_residuals_of_a_curved_model_by_difference_quotients(fitted):
    """The definition of Hooker et al. 2007 with slopes by the effects taken numerically."""
    problem, theta = fitted.problem, fitted.theta_
    table = diagnostics.diagnostics(fitted)
    eta, step = fitted.eta_, 1e-6
    slopes = []
    for k in range(problem.d):
        up, down = eta.copy(), eta.copy()
        up[:, k] += step
        down[:, k] -= step
        slopes.append(
            (problem.predict(theta[None], up[None]).f - problem.predict(theta[None], down[None]).f)[0] / 2 / step
        )
    omega, s = problem.covariance(theta), fitted.estimates_["a"]
    for subject, name in enumerate(problem.rows.data.ids[:5]):
        mine = table[(table["ID"] == name) & (table["CENS"] == 0)]
        at = np.flatnonzero((problem.rows.subject == subject) & problem.rows.points)
        G = np.stack([slope[at] for slope in slopes], axis=1)
        C = G @ omega @ G.T + s**2 * np.eye(len(at))
        values, vectors = np.linalg.eigh(C)
        away = mine["DV"].to_numpy() - mine["IPRED"].to_numpy() + G @ eta[subject]
        expected = vectors @ ((vectors.T @ away) / np.sqrt(values))
        assert mine["CWRES"].to_numpy() == pytest.approx(expected, abs=1e-4)


def test_residuals_below_the_limit_are_missing_and_every_row_is_there(fitted):
    data = transgene_data()
    low = data.observations.censoring == 1
    assert low.sum() > 10
    for blq in ("M3", "M1", "M5"):
        model = transgene_model(blq)
        there = (
            replace(fitted, problem=fitted.problem) if blq == "M3" else fit(model, data, "focei", standard_errors=None)
        )
        table = diagnostics.diagnostics(there)
        assert sorted(table["ROW"]) == sorted(data.observations.row)
        seen = table.set_index("ROW")["CWRES"].reindex(data.observations.row)
        assert seen.isna().to_numpy().tolist() == low.tolist()


def test_tails_count_in_conditional_residuals():
    """The variance of Student's t is n / (n - 2) times its squared scale; Cauchy's has none."""
    heavy = fit(level_model(student_t(additive(1.0), 4.0)), level_data(), "laplace", standard_errors=None)
    w, s = heavy.estimates_["sd(level)"], heavy.estimates_["a"] * math.sqrt(2)
    table = diagnostics.diagnostics(heavy)
    away = table["DV"].to_numpy().reshape(-1, 2) - heavy.estimates_["level"]
    expected = (away[:, 0] - away[:, 1]) / math.sqrt(2) / s
    found = table["CWRES"].to_numpy().reshape(-1, 2)
    assert (found[:, 0] - found[:, 1]) / math.sqrt(2) == pytest.approx(expected, abs=1e-6)
    assert w > 0
    none = replace(heavy, problem=type(heavy.problem)(level_model(cauchy(additive(1.0))), level_data()))
    assert diagnostics.diagnostics(none)["CWRES"].isna().all()


def test_a_prediction_without_scatter_has_no_residual():
    (rate,) = symbols("rate")
    form = ClosedForm("from_zero", 1 - exp(-rate * time))
    model = StatisticalModel(form, {"rate": Estimate(0.5, lognormal(0.3))}, Endpoint("value", proportional(0.2)))
    data = EventData.from_arrays(
        ids="AB", subject=[0, 0, 0, 1, 1, 1], time=[0.0, 1, 2, 0, 1, 2], value=[0.0, 0.4, 0.6, 0, 0.3, 0.7], censoring=0
    )
    from livingdrug.inference.problem import Problem

    problem = Problem(model, data.take([0, 1]))
    some = fit(level_model(), level_data(), "focei", standard_errors=None)
    there = replace(some, problem=problem, theta_=problem.theta, eta_=np.zeros((2, 1)))
    with np.errstate(all="ignore"):
        found = diagnostics.conditional_residuals(there)
    assert np.isnan(found[[0, 3]]).all()
    assert np.isfinite(found[[1, 2, 4, 5]]).all()


def test_natural_scale_turns_logarithms_back(fitted):
    data = transgene_data()
    table = diagnostics.natural_scale(fitted.problem, diagnostics.diagnostics(fitted)).set_index("ROW")
    assert table["DV"].reindex(data.observations.row).to_numpy() == pytest.approx(data.observations.value)


def test_courses_pass_through_the_predictions(fitted):
    courses = diagnostics.individual_courses(fitted, [3, 7])
    table = diagnostics.natural_scale(fitted.problem, diagnostics.diagnostics(fitted))
    for who in ("P3", "P7"):
        mine, course = table[table["ID"] == who], courses[courses["ID"] == who]
        joined = mine.merge(course, on=["ID", "ENDPOINT", "TIME"], suffixes=("", "_COURSE"))
        assert len(joined) == len(mine)
        assert joined["IPRED_COURSE"].to_numpy() == pytest.approx(joined["IPRED"].to_numpy())
        assert joined["PRED_COURSE"].to_numpy() == pytest.approx(joined["PRED"].to_numpy())
    assert courses["TIME"].min() == 0


def test_shrinkage_is_that_of_the_modes(fitted):
    modes = diagnostics.effects(fitted)
    for check in diagnostics.shrinkage_check(fitted):
        assert check.sd_of_modes == pytest.approx(modes[check.parameter].std(ddof=0))
        assert check.shrinkage == pytest.approx(1 - check.sd_of_modes / check.sd)
    few = {check.parameter: check for check in diagnostics.shrinkage_check(fitted)}
    assert few["peak"].words.startswith("small")


def test_draws_do_not_shrink():
    """Together they have the estimated spread, where modes have less (Lavielle and Ribba 2016)."""
    found = fit(level_model(), level_data(60), "quadrature", standard_errors=None)
    drawn = diagnostics.effects(found, samples=200, seed=1)["level"]
    assert drawn.std() == pytest.approx(found.estimates_["sd(level)"], rel=0.05)
    assert diagnostics.effects(found)["level"].std(ddof=0) < drawn.std()


def test_effects_of_covariates_by_hand(fitted):
    table = diagnostics.covariate_effects(fitted).set_index("AT")
    weights = transgene_data().covariates["WT"].values
    x = float(np.quantile(weights, 0.95))
    b, se = fitted.estimates_["peak:WT"], fitted.standard_errors_["peak:WT"]
    row = table.loc[f"WT {x:.3g} against 40"]
    assert row["EFFECT"] == pytest.approx((x / 40) ** b)
    assert row["LOW"] == pytest.approx((x / 40) ** (b - 1.959964 * se), rel=1e-5)
    male = table.loc["SEX M"]
    assert male["EFFECT"] == pytest.approx(math.exp(fitted.estimates_["peak:SEX=M"]))
    assert male["LOW"] < male["EFFECT"] < male["HIGH"]


def test_a_trace_ends_at_the_estimates():
    from livingdrug.inference.saem import SaemSettings

    found = fit(level_model(), level_data(), "saem", saem=SaemSettings(30, 20))
    last = diagnostics.trace(found).iloc[-1]
    assert last["ITERATION"] == 50
    assert last["level"] == pytest.approx(found.estimates_["level"])
    assert not len(diagnostics.trace(fit(level_model(), level_data(), "focei")))
