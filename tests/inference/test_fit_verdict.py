"""The verdict in words: estimates at a border, estimates that the data do not hold, and what a summary then says.

The data are made so that the maximum is known to lie at the border: sums of squares that are smaller than chance."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from livingdrug.errors import FitError, InputError
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import Residual, additive, combined, log_additive
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.model import exp, lognormal, normal, time

SHORT = SaemSettings(100, 50, chains=4)
SUBJECTS, TIMES = 20, np.arange(5.0)
SUBJECT = np.repeat(np.arange(SUBJECTS), len(TIMES))


def events(value: np.ndarray, censoring: int | np.ndarray = 0) -> EventData:
    times = np.tile(TIMES + 1, SUBJECTS)
    return EventData.from_arrays(
        ids=range(SUBJECTS), subject=SUBJECT, time=times, value=np.ravel(value), censoring=censoring
    )


def parallel_lines() -> EventData:
    """Lines of one slope: nobody's residuals have a slope of their own, so the spread of slopes is 0 at the maximum."""
    random = np.random.default_rng(3)
    noise = random.standard_normal((SUBJECTS, 5))
    away = TIMES - TIMES.mean()
    noise -= (noise @ away / (away @ away))[:, None] * away
    return events(10 + 2 * random.standard_normal((SUBJECTS, 1)) + TIMES + noise)


def line(omega: str = "diagonal", *, spread: bool = True) -> StatisticalModel:
    start, slope = symbols("start", "slope")
    slopes = Estimate(1.2, normal(0.8)) if spread else Estimate(1.2, scale="normal")
    parameters = {"start": Estimate(9.0, normal(1.5)), "slope": slopes}
    form = ClosedForm("line", start + slope * (time - 1))
    return StatisticalModel(form, parameters, Endpoint("value", additive(0.9)), omega=omega)


def test_a_spread_of_nothing_is_said_and_its_error_is_not_printed() -> None:
    found = fit(line(), parallel_lines(), "focei")
    without = fit(line(spread=False), parallel_lines(), "focei")
    assert found.converged_
    assert found.verdict_.startswith("Converged at a border: sd(slope) = ")
    assert "leave it out" in str(found)
    assert found.standard_errors_ is not None
    assert without.standard_errors_ is not None
    assert math.isnan(found.standard_errors_["sd(slope)"])
    assert found.minus2ll_ == pytest.approx(without.minus2ll_, abs=1e-4)
    for name in ("start", "slope", "a"):  # the others stand and are known as if the spread were left out
        assert found.estimates_[name] == pytest.approx(without.estimates_[name], rel=1e-3)
        assert found.standard_errors_[name] == pytest.approx(without.standard_errors_[name], rel=1e-2)
    assert found.condition_number_ == pytest.approx(without.condition_number_, rel=0.05)
    assert "border" not in without.verdict_


def test_methods_by_points_do_not_call_a_spread_of_nothing_converged() -> None:
    """Points cannot move where a spread is nothing: the search goes on from where Laplace's approximation ends.

    Quadrature once stopped at a slope 2 % off with a standard error of 1e-16. The likelihood of a line is exact by
    FOCEI, and the lines that the fit without that spread finds are what is left to find.
    """
    exact = fit(line(), parallel_lines(), "quadrature", nodes=5)
    drawn = fit(line(), parallel_lines(), "saem", saem=SHORT, importance=100)
    without = fit(line(spread=False), parallel_lines(), "focei")
    assert exact.minus2ll_ == pytest.approx(without.minus2ll_, abs=0.01)
    assert exact.estimates_["slope"] == pytest.approx(without.estimates_["slope"], rel=1e-3)
    assert exact.standard_errors_ is not None
    assert without.standard_errors_ is not None
    assert exact.standard_errors_["slope"] == pytest.approx(without.standard_errors_["slope"], rel=0.02)
    assert not exact.converged_
    assert "sd(slope)" in exact.verdict_
    assert "lies at its border 0" in exact.verdict_
    assert "sd(slope)" in drawn.verdict_ or "omega(slope)" in drawn.verdict_  # SAEM only goes towards it


def tilted_lines(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Times and values of twelve lines that turn about one point; their levels differ by little."""
    random = np.random.Generator(np.random.Philox(seed))
    times, away = np.linspace(1, 30, 8), random.standard_normal((12, 1))
    noise = random.standard_normal((12, 8))
    return times, 5 + 0.1 * away - 0.02 * away * times + 0.5 * noise


def least_minus2ll(times: np.ndarray, values: np.ndarray) -> float:
    """Of the lines: their values are normal, so their density is known; SciPy seeks its maximum from many starts."""
    design = np.column_stack([np.ones_like(times), times])

    def minus2ll(at: np.ndarray) -> float:
        factor = np.array([[at[2], 0.0], [at[3], at[4]]])
        spread = design @ factor @ factor.T @ design.T + math.exp(2 * at[5]) * np.eye(len(times))
        return -2 * float(multivariate_normal(design @ at[:2], spread).logpdf(values).sum())

    starts = [(5.0, 0.0, level, level * turn, slope, -0.7) for level in (0.05, 0.2) for turn in (-0.1, 0.1)
              for slope in (0.003, 0.02)]  # fmt: skip
    return min(minimize(minus2ll, np.array(one), method="BFGS").fun for one in starts)


@pytest.mark.parametrize(
    ("seed", "level", "slope"), [(1, 0.1, 0.02), (2, 0.5, 0.1), (7, 1.0, 0.1), (8, 1.0, 0.1), (11, 0.5, 0.1)]
)
def test_a_search_that_stepped_past_a_small_spread_comes_back(seed: int, level: float, slope: float) -> None:
    """From first guesses that are too wide, searches ended at spreads of nothing, up to 3.7 above the minimum."""
    times, values = tilted_lines(seed)
    start, turn = symbols("start", "slope")
    parameters = {"start": Estimate(5.0, normal(level)), "slope": Estimate(0.01, normal(slope))}
    model = StatisticalModel(
        ClosedForm("line", start + turn * time), parameters, Endpoint("value", additive(1.0)), omega="full"
    )
    data = EventData.from_arrays(
        ids=range(12), subject=np.repeat(np.arange(12), 8), time=np.tile(times, 12), value=values.ravel()
    )
    found = fit(model, data, "focei")
    assert found.converged_
    assert found.minus2ll_ == pytest.approx(least_minus2ll(times, values), abs=1e-3)


def test_effects_that_go_together_are_named_as_a_correlation() -> None:
    found = fit(line("full"), parallel_lines(), "focei")
    if abs(found.estimates_["corr(slope,start)"]) > 0.999:
        assert "corr(slope,start)" in found.verdict_
        assert "lies at its border -1" in found.verdict_ or "lies at its border 1" in found.verdict_
    else:
        assert "sd(slope)" in found.verdict_
    assert "border" in found.verdict_


def onsets(limit: float) -> tuple[StatisticalModel, EventData]:
    """Levels that are there from the first sample on: no sample tells how fast they rose."""
    random = np.random.default_rng(3)
    level, rate = symbols("level", "rate")
    value = 10 * np.exp(0.2 * random.standard_normal((SUBJECTS, 1))) + 0.3 * random.standard_normal((SUBJECTS, 5))
    value[:, 0] += 0.5  # a fall, which no rate of rise explains
    scale = {"scale": "logitnormal", "limits": (0.0, limit)} if limit else {}
    parameters = {"level": Estimate(8.0, lognormal(0.3)), "rate": Estimate(1.0, **scale)}
    form = ClosedForm("onset", level * (1 - exp(-rate * time)))
    return StatisticalModel(form, parameters, Endpoint("value", additive(0.5))), events(value)


@pytest.mark.parametrize("limit", [0.0, 1.5], ids=["to infinity", "to its limit"])
@pytest.mark.parametrize("method", ["focei", "saem"])
def test_a_value_without_spread_that_wanders_off_is_named(method: str, limit: float) -> None:
    found = fit(*onsets(limit), method, saem=SHORT, importance=100)
    assert not found.converged_
    assert "the data do not hold rate: it went from its first guess 1 to" in found.verdict_
    assert ("its limits are 0 and 1.5" in found.verdict_) == bool(limit)
    assert all(math.isfinite(value) for value in found.estimates_.values())


@pytest.mark.parametrize("method", ["focei", "saem"])
def test_a_part_of_a_residual_that_is_nothing_is_named_and_the_rest_stands(method: str) -> None:
    random = np.random.default_rng(7)
    start, rate = symbols("start", "rate")
    level = 10 * np.exp(0.2 * random.standard_normal((SUBJECTS, 1))) * np.exp(-0.5 * TIMES)
    data = events(level * (1 + 0.1 * random.standard_normal((SUBJECTS, 5))))
    parameters = {"start": Estimate(8.0, lognormal(0.3)), "rate": Estimate(0.4)}
    end = Endpoint("value", combined(0.3, 0.2))
    model = StatisticalModel(ClosedForm("decay", start * exp(-rate * (time - 1))), parameters, end)
    found = fit(model, data, method, saem=SaemSettings(200, 100), importance=100)
    assert found.converged_, found.verdict_
    assert "a = " in found.verdict_
    assert "border 0" in found.verdict_
    assert found.standard_errors_ is not None
    assert found.estimates_["b"] == pytest.approx(0.1, abs=3 * found.standard_errors_["b"])


def test_a_residual_that_shrinks_to_nothing_is_named() -> None:
    (level,) = symbols("level")
    value = 10 * np.exp(0.2 * np.random.default_rng(3).standard_normal((SUBJECTS, 1))) + np.zeros((SUBJECTS, 5))
    parameters = {"level": Estimate(8.0, lognormal(0.3))}
    model = StatisticalModel(ClosedForm("level", level), parameters, Endpoint("value", additive(0.5)))
    found = fit(model, events(value), "saem", saem=SaemSettings(200, 50, chains=4), importance=100)
    assert not found.converged_
    assert "the residual a has shrunk to nothing" in found.verdict_


@pytest.mark.parametrize("method", ["laplace", "saem"])
def test_samples_that_are_all_below_the_limit_leave_the_residuals_unknown(method: str) -> None:
    (level,) = symbols("level")
    data = events(np.full(100, 5.0), censoring=1)
    parameters = {"level": Estimate(3.0, lognormal(0.3))}
    model = StatisticalModel(ClosedForm("level", level), parameters, Endpoint("value", log_additive(0.3)))
    found = fit(model, data, method, saem=SaemSettings(30, 20, chains=2), importance=50)
    assert not found.converged_
    assert math.isnan(found.residual_shrinkage_)
    assert "of residuals not known (no row is a point)" in str(found)
    assert "nan" not in str(found).split("shrinkage")[1].split("standard errors")[0]


@pytest.mark.parametrize(("scale", "residual"), [("natural", log_additive(0.3)), ("log", additive(0.3))])
def test_m7_where_zero_has_no_logarithm_says_what_to_do(scale: str, residual: Residual) -> None:
    (level,) = symbols("level")
    data = events(np.full(100, 5.0), censoring=(np.arange(100) == 42).astype(int))
    model = StatisticalModel(
        ClosedForm("level", level), {"level": Estimate(3.0, lognormal(0.3))},
        Endpoint("value", residual, blq="M7", scale=scale),
    )  # fmt: skip
    with pytest.raises(InputError, match=r"M7 puts zero .* subject '8', row 43.*take M3"):
        Problem(model, data)


def test_one_subject_and_occasions_that_the_data_lack_are_refused() -> None:
    data = parallel_lines()
    with pytest.raises(FitError, match="one subject cannot tell how subjects differ"):
        fit(line(), data.take([0]), "focei")
    (level,) = symbols("level")
    twice = {"level": Estimate(9.0, normal(1.0), occasions=normal(0.5))}
    with pytest.raises(InputError, match="no subject of the data has two"):
        Problem(StatisticalModel(ClosedForm("level", level), twice, Endpoint("value")), data)


def test_a_prediction_without_logarithm_is_named_before_the_search() -> None:
    (level,) = symbols("level")
    form = ClosedForm("nothing", level * (time - 1))
    model = StatisticalModel(form, {"level": Estimate(9.0, lognormal(0.3))}, Endpoint("value", log_additive(0.3)))
    with pytest.raises(FitError, match="subject '0' no likelihood: a prediction is not a number or has no logarithm"):
        fit(model, events(np.ones(100)), "laplace")
