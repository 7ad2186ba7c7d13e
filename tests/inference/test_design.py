"""Optimal design against PopED's printed output, a linear model worked out, exhaustive search, and simulated fits."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import ClosedForm, expansion_contraction, one_compartment_oral, symbols
from livingdrug.inference.data import EventData
from livingdrug.inference.design import Arm, expected, optimise
from livingdrug.inference.engine_model import EngineModel
from livingdrug.inference.estimation import fit
from livingdrug.inference.residual import Residual, additive, combined, log_additive, proportional, student_t
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.library import load_model
from livingdrug.model import exp, lognormal, normal, time

DAYS = [0.5, 1, 2, 6, 24, 36, 72, 120]
DOSE = {"time": 0.0, "amount": 70.0}


def warfarin(residual: Residual) -> StatisticalModel:
    """Warfarin after 70 mg: Nyberg et al. 2015, the shared example of PFIM, PopED, POPT, PopDes and PkStaMp."""
    parameters = {
        "CL": Estimate(0.15, lognormal(math.sqrt(0.07))),
        "V": Estimate(8.0, lognormal(math.sqrt(0.02))),
        "ka": Estimate(1.0, lognormal(math.sqrt(0.6))),
    }
    return StatisticalModel(one_compartment_oral(), parameters, Endpoint("concentration", residual))


# Relative standard errors in percent as PopED prints them for variances: its reference page evaluate.fim (reduced FIM,
# fim.calc.type 1, and full FIM, type 0), and ofv_criterion for the combined residual.
NAMES = ("CL", "V", "ka", "sd(CL)", "sd(V)", "sd(ka)")
POPED = {
    ("block", proportional(0.1)): (4.738266, 2.756206, 13.925829, 25.627205, 30.344316, 25.777327, 11.170784),
    ("full", proportional(0.1)): (3.560994, 2.560413, 4.811952, 26.270324, 30.901555, 26.503936, 12.409516),
    ("block", combined(0.5, 0.1)): (
        5.096246, 3.031164, 14.260384, 29.761226, 36.681388, 26.748640, 32.011719, 25.637971,
    ),
}  # fmt: skip
DETERMINANTS = {("block", "b"): 5.996147e22, ("full", "b"): 1.220371e24, ("block", "ba"): 1.143859e24}


@pytest.mark.parametrize(("information", "residual"), list(POPED))
def test_warfarin_is_what_poped_prints(information: str, residual: Residual) -> None:
    found = expected(warfarin(residual), Arm(32, DAYS, doses=DOSE), information=information)
    sigmas = ("b",) if residual.kind == "proportional" else ("b", "a")
    for name, theirs in zip([*NAMES, *sigmas], POPED[information, residual], strict=True):
        ours = found.relative_errors[name] * (1 if name in NAMES[:3] else 2)  # of a variance: twice that of the root
        assert ours == pytest.approx(theirs, rel=2e-6), name
    variances = [0.07, 0.02, 0.6, *(found.values[s] ** 2 for s in sigmas)]
    scale = np.prod([0.15, 8.0, 1.0, *(2 * v for v in variances)])  # from logarithms to values and variances
    assert math.exp(found.criterion) / scale**2 == pytest.approx(DETERMINANTS[information, "".join(sigmas)], rel=2e-6)


def test_a_linear_model_worked_out() -> None:
    """Mean level with n samples each: variance (w^2 + s^2/n)/N; both variances from the two strata."""
    (level,) = symbols("level")
    model = StatisticalModel(
        ClosedForm("level", level + 0 * time), {"level": Estimate(10.0, normal(2.0))}, Endpoint("value", additive(1.5))
    )
    found = expected(model, Arm(40, [1, 2, 3, 4]), information="full")
    between, within = 2.0**2 + 1.5**2 / 4, 1.5**2
    assert found.errors["level"] == pytest.approx(math.sqrt(between / 40))
    assert found.errors["a"] / 1.5 * 2 == pytest.approx(math.sqrt(2 / (40 * 3)))  # 120 degrees of freedom
    variance = 2 * between**2 / 40 + 2 * within**2 / 120 / 16
    assert found.errors["sd(level)"] * 2 * 2.0 == pytest.approx(math.sqrt(variance))


@pytest.mark.parametrize("information", ["block", "full"])
def test_correlated_effects_and_a_mixed_residual_by_differences(information: str) -> None:
    """Mean and covariance of one subject written out here; their slopes are differences."""
    start, gain, rate = symbols("start", "gain", "rate")
    model = StatisticalModel(
        ClosedForm("rise", start + gain * (1 - exp(-rate * time))),
        {
            "start": Estimate(5.0, normal(1.0)),
            "gain": Estimate(30.0, lognormal(0.4)),
            "rate": Estimate(0.3, lognormal(0.5)),
        },
        Endpoint("value", combined(0.8, 0.1, definition="deviations")),
        omega=[["gain", "rate"]],
    )
    t = np.array([0.5, 2, 4, 7, 15])

    def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        level, height, speed = x[0], math.exp(x[1]), math.exp(x[2])
        gone = np.exp(-speed * t)
        mean = level + height * (1 - gone)
        slopes = np.stack([np.ones(5), height * (1 - gone), height * gone * t * speed], axis=1)
        factor = np.diag(np.exp([x[3], x[4], x[6]]))
        factor[2, 1] = x[5]
        scatter = math.exp(x[7]) + math.exp(x[8]) * np.abs(mean)
        return mean, slopes @ factor @ factor.T @ slopes.T + np.diag(scatter**2)

    logs = np.log([30, 0.3, 1.0, 0.4]).tolist()
    x = np.array([5.0, *logs, 0.0, math.log(0.5), math.log(0.8), math.log(0.1)])
    near = [[moments(x + s * e) for s in (1e-5, -1e-5)] for e in np.eye(9)]
    by_mean, by_covariance = ([(up[k] - down[k]) / 2e-5 for up, down in near] for k in (0, 1))
    if information == "block":
        by_covariance[:3] = [0 * by_covariance[0]] * 3
    inverse = np.linalg.inv(moments(x)[1])
    wanted = [
        [p @ inverse @ q + np.trace(inverse @ A @ inverse @ B) / 2 for q, B in zip(by_mean, by_covariance, strict=True)]
        for p, A in zip(by_mean, by_covariance, strict=True)
    ]
    found = expected(model, Arm(20, list(t)), information=information)
    assert found.names == (
        "start", "gain", "rate", "omega(start)", "omega(gain)", "omega(rate,gain)", "omega(rate)", "a", "b",
    )  # fmt: skip
    size = np.sqrt(np.diag(found.information))
    assert found.information / np.outer(size, size) == pytest.approx(
        20 * np.array(wanted) / np.outer(size, size), abs=1e-7
    )


def test_subjects_and_arms_add_up() -> None:
    model = warfarin(proportional(0.1))
    arms = [Arm(10, DAYS, doses=DOSE), Arm(22, DAYS, doses=DOSE)]
    one, two = expected(model, Arm(32, DAYS, doses=DOSE)), expected(model, arms)
    assert two.information == pytest.approx(one.information)
    assert expected(model, Arm(64, DAYS, doses=DOSE)).efficiency(one) == pytest.approx(2.0)


def test_the_engine_gives_the_information_of_the_closed_form() -> None:
    parameters = {
        "fold_expansion": 3900.0, "peak_day": 9.3, "peak": Estimate(24000.0, lognormal(0.65)),
        "contraction": Estimate(0.16, lognormal(0.9)), "persistent_fraction": 0.0079, "decline": 0.0032,
    }  # fmt: skip
    end = Endpoint("car_t_transgene_blood", log_additive(0.56))
    arm = Arm(20, [5, 9, 14, 21, 28, 60])
    both = [
        expected(StatisticalModel(form, parameters, end), arm, information="full").information
        for form in (expansion_contraction(), EngineModel(load_model("stein2019")))
    ]
    assert both[1] == pytest.approx(both[0], rel=1e-4, abs=1e-4)


def test_exchange_finds_the_best_of_all_choices() -> None:
    model = warfarin(combined(0.5, 0.1))
    grid = np.linspace(1.0, 100.0, 12)
    windows = [(1.0, 100.0)] * 3
    held = StatisticalModel(
        one_compartment_oral(),
        {n: Estimate(e.value, e.spread, fixed_spread=True) for n, e in model.estimates.items()},
        Endpoint("concentration", additive(0.5, fixed=True)),
    )
    found = optimise(held, Arm(32, [2.0, 10.0, 50.0], windows=windows, doses=DOSE), points=12)
    best = max(expected(held, Arm(32, list(t), doses=DOSE)).criterion for t in itertools.combinations(grid, 3))
    assert found.best.criterion == pytest.approx(best, abs=1e-9)
    assert found.efficiency > 1.0
    assert len(set(found.best.arms[0].times)) == 3


TYPICAL = {"fold_expansion": 3900.0, "peak_day": 9.3, "peak": 24000.0, "contraction": 0.16,
           "persistent_fraction": 0.0079, "decline": 0.0032}  # fmt: skip
SPREAD = {"fold_expansion": 2.4, "peak_day": 0.38, "peak": 0.65, "contraction": 0.91, "persistent_fraction": 0.80,
          "decline": 0.86}  # fmt: skip


def test_windows_of_a_car_t_trial() -> None:
    """stein2019, table 1: eleven visits of a year, each moved by a few days at most."""
    model = StatisticalModel(
        expansion_contraction(), {n: Estimate(TYPICAL[n], lognormal(SPREAD[n])) for n in TYPICAL},
        Endpoint("car_t_transgene_blood", log_additive(0.56), limit=50.0),
    )  # fmt: skip
    visits = [2, 4, 7, 11, 14, 21, 28, 60, 90, 180, 365]
    width = [1, 1, 2, 2, 2, 3, 4, 14, 14, 30, 30]
    arm = Arm(60, visits, windows=[(v - w, v + w) for v, w in zip(visits, width, strict=True)])
    found = optimise(model, arm, points=9, starts=2)
    again = optimise(model, arm, points=9, starts=2)
    assert 1.0 < found.efficiency < 2.0
    assert found.best.arms == again.best.arms
    for (first, last), t in zip(arm.windows, found.best.arms[0].times, strict=True):  # type: ignore[arg-type]
        assert first <= t <= last
    unlimited = StatisticalModel(
        model.structure, model.parameters, Endpoint("car_t_transgene_blood", log_additive(0.56))
    )
    assert expected(unlimited, arm).efficiency(expected(model, arm)) > 1.05  # a limit costs information
    with pytest.raises(InputError, match="no observation depends on the parameter 'persistent_fraction'"):
        expected(unlimited, Arm(60, [2, 3, 4, 5, 6, 7]))  # nothing after the peak
    scarce = Arm(60, [2, 4, 7, 11, 14, 21])
    assert expected(unlimited, scarce).errors["decline"] > 20 * expected(unlimited, arm).errors["decline"]


@pytest.mark.slow
def test_expected_errors_are_those_of_fits_to_simulated_data() -> None:
    P, k = symbols("P", "k")
    model = StatisticalModel(
        ClosedForm("decay", P * exp(-k * time)),
        {"P": Estimate(10.0, lognormal(0.3)), "k": Estimate(0.2, lognormal(0.2))},
        Endpoint("value", log_additive(0.15)),
    )  # fmt: skip
    t, N, random = np.array([1.0, 3, 6, 10]), 50, np.random.default_rng(8)
    plan = expected(model, Arm(N, list(t)))
    found = []
    for _ in range(25):
        height, rate = (v * np.exp(s * random.standard_normal((N, 1))) for v, s in ((10.0, 0.3), (0.2, 0.2)))
        value = height * np.exp(-rate * t) * np.exp(0.15 * random.standard_normal((N, 4)))
        data = EventData.from_arrays(
            ids=range(N), subject=np.repeat(range(N), 4), time=np.tile(t, N), value=value.ravel()
        )
        found.append(fit(model, data, "focei", standard_errors=None).estimates_)
    for name, error in plan.errors.items():
        scatter = np.std([one[name] for one in found], ddof=1)
        assert 0.57 < scatter / error < 1.43, name  # 25 fits know a deviation to 14 %: three of its errors


def test_what_cannot_be_planned_says_so() -> None:
    model = warfarin(proportional(0.1))
    with pytest.raises(InputError, match="no windows"):
        optimise(model, Arm(3, DAYS, doses=DOSE))
    with pytest.raises(InputError, match="2 windows for 8 samples"):
        optimise(model, Arm(3, DAYS, windows=[(0, 1), (1, 2)], doses=DOSE))
    with pytest.raises(InputError, match="first to its last"):
        optimise(model, Arm(3, [1.0], windows=[(2, 1)], doses=DOSE))
    with pytest.raises(InputError, match="normal scatter"):
        expected(warfarin(student_t(additive(1.0), 4)), Arm(3, DAYS, doses=DOSE))
    with pytest.raises(InputError, match=r"first to its last time, got \(1,\)"):
        optimise(model, Arm(3, [1.0], windows=[(1,)], doses=DOSE))  # type: ignore[list-item]
    with pytest.raises(InputError, match="seed must be"):
        optimise(model, Arm(3, [1.0], windows=[(1, 2)], doses=DOSE), seed=-1)
    with pytest.raises(InputError, match="times that are numbers"):
        expected(model, Arm(3, ["one"], doses=DOSE))  # type: ignore[list-item]
    for wrong in (0, 2.5, "3", True):
        with pytest.raises(InputError, match="at least one subject"):
            Arm(wrong, DAYS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'block'"):
        expected(model, Arm(3, DAYS, doses=DOSE), information="blok")
    with pytest.raises(InputError, match="did you mean 'concentration'"):
        expected(model, Arm(3, {"concentrations": DAYS}, doses=DOSE))
    with pytest.raises(InputError, match="zero at a time of the plan"):
        expected(model, Arm(3, [0.0, 1.0], doses=DOSE))
    poor = expected(model, Arm(3, [1.0], doses=DOSE))
    assert poor.criterion == -math.inf or math.isinf(poor.errors["ka"])
