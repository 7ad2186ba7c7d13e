"""Objectives in the conventions of different programs, and runs side by side by one yardstick."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from livingdrug.errors import InputError
from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.comparison import compare, evaluate, objectives, theta_of
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.statistical import Endpoint, Estimate, Mixture, StatisticalModel
from livingdrug.model import lognormal, normal

_spec = importlib.util.spec_from_file_location("fit_sets", Path(__file__).with_name("fit_sets.py"))
assert _spec is not None
assert _spec.loader is not None
sets = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sets)


def levels(*, logs: bool = False, limit: float | None = None) -> tuple[StatisticalModel, EventData]:
    """Twelve subjects with three values each; the same data as they are, or as logarithms with an additive residual."""
    random = np.random.default_rng(1)
    value = np.exp(2 + 0.4 * random.standard_normal((12, 1)) + 0.2 * random.standard_normal((12, 3))).ravel()
    (level,) = symbols("level")
    residual = additive(0.2) if logs else log_additive(0.2)
    model = StatisticalModel(
        ClosedForm("level", level), {"level": Estimate(7.0, lognormal(0.4))},
        Endpoint("value", residual, scale="log" if logs else "natural", limit=limit),
    )  # fmt: skip
    data = EventData.from_arrays(
        ids=range(12),
        subject=np.repeat(range(12), 3),
        time=np.tile([1.0, 2, 3], 12),
        value=np.log(value) if logs else value,
    )
    return model, data


def test_constants_of_the_objectives_by_hand():
    plain, logs = fit(*levels(), "focei"), fit(*levels(logs=True), "focei")
    found, other = objectives(plain), objectives(logs)
    assert plain.estimates_["level"] == pytest.approx(logs.estimates_["level"], rel=1e-4)
    assert found["minus2ll"] - found["nonmem"] == pytest.approx(36 * math.log(2 * math.pi))
    assert found["minus2ll"] - other["minus2ll"] == pytest.approx(
        2 * levels(logs=True)[1].observations.value.sum(), abs=1e-4
    )
    assert found["logarithms"] == pytest.approx(other["nonmem"], abs=1e-4)
    assert other["logarithms"] == other["nonmem"]


def test_rows_below_a_limit_have_no_constant():
    run = fit(*levels(limit=6.0), "focei")
    assert 0 < 36 - run.points_ < 20
    assert objectives(run)["minus2ll"] - objectives(run)["nonmem"] == pytest.approx(run.points_ * math.log(2 * math.pi))


def test_runs_by_one_yardstick_agree_where_their_objectives_do_not():
    model, data = levels()
    runs = {"focei": fit(model, data, "focei"), "quadrature": fit(model, data, "quadrature")}
    found = compare(runs, points=4000)
    one, two = found.table["YARDSTICK"]
    exact = runs["quadrature"].minus2ll_
    for value, error in zip((one, two), found.table["YARDSTICK_SE"], strict=True):
        assert abs(value - exact) < 0.01 + 4 * error
    text = str(found)
    assert "36 ln(2 pi)" in text
    assert f"{36 * math.log(2 * math.pi):.4f}" in text
    assert "mixes ways to approximate the likelihood" in text
    assert "log-normal residual" in text
    assert found.table["DELTA_AIC"].min() == 0


def test_runs_on_other_data_or_that_failed_are_named():
    model, data = levels()
    short = fit(model, data, "quadrature", time_limit=1e-9)
    assert not short.converged_
    found = compare({"all": fit(model, data, "focei"), "few": fit(model, data.take(range(6)), "focei"), "short": short})
    text = " ".join(found.notes)
    assert "do not see the same data" in text
    assert "Not converged: short" in text
    same = compare({"as they are": fit(model, data, "focei"), "again": fit(model, data, "laplace")})
    assert "do not see the same data" not in " ".join(same.notes)
    lower = StatisticalModel(model.structure, model.parameters, Endpoint("value", log_additive(0.2), limit=6.0))
    other = compare({"limit": fit(lower, data, "focei"), "none": fit(model, data, "focei")})
    assert "do not see the same data" in " ".join(other.notes)
    with pytest.raises(InputError, match="at least two runs"):
        compare({"one": short})


def test_a_vector_from_printed_estimates():
    a, b = symbols("a", "b")
    model = StatisticalModel(
        ClosedForm("sum", a + b), {"a": Estimate(1.0, normal(0.5)), "b": Estimate(2.0, lognormal(0.3))},
        Endpoint("value", additive(0.2)), omega="full",
    )  # fmt: skip
    data = EventData.from_arrays(ids="AB", subject=[0, 0, 1], time=[1.0, 2, 1], value=[3.0, 3.2, 2.9])
    problem = Problem(model, data)
    given = {"a": 1.5, "b": 2.5, "sd(a)": 0.7, "sd(b)": 0.2, "corr(b,a)": -0.4, problem.names[-1]: 0.3}
    theta = theta_of(problem, given)
    omega = problem.covariance(theta)
    assert np.sqrt(np.diag(omega)) == pytest.approx([0.7, 0.2])
    assert omega[0, 1] == pytest.approx(-0.4 * 0.7 * 0.2)
    from livingdrug.inference.uncertainty import reported

    assert reported(problem, theta) == pytest.approx(given)
    with pytest.raises(InputError, match="unknown estimate 'c'"):
        theta_of(problem, {"c": 1.0})
    with pytest.raises(InputError, match="fit no covariance"):
        theta_of(problem, {"corr(b,a)": 1.5})


def test_the_yardstick_of_a_mixture_counts_both_classes():
    """A result knows each subject's likeliest class; its likelihood still is that of the mixture."""
    model, data = levels()
    two = replace(model, mixture=Mixture("level", {"high": 0.8}, {"high": 0.3}))
    found = fit(two, data, "quadrature", standard_errors=None)
    value, error = evaluate(two, data, found.estimates_, points=4000)
    assert abs(value - found.minus2ll_) < 0.01 + 4 * error
    table = compare({"mixture": found, "one": fit(model, data, "quadrature")}, points=2000).table
    assert abs(table["YARDSTICK"][0] - found.minus2ll_) < 0.01 + 4 * table["YARDSTICK_SE"][0]


@pytest.mark.parametrize("program", ["nlmixr2 7.0.1 focei", "nlmixr2 7.0.1 saem", "R nlme 3.1-162 (Debian 12)"])
def test_estimates_of_other_programs_by_the_exact_likelihood(shared_data: Path, program: str) -> None:
    """references.json holds the exact objective at what each program found (importance sampling, 400,000 draws)."""
    theirs: dict[str, Any] = sets.references(shared_data)["theophylline_additive_with_t0"]["other_software"][program]
    if program.startswith("R"):
        found = {"ka": theirs["lka"], "CL": theirs["lcl"], "V": theirs["lv"]}
        spread = {
            "sd(ka)": theirs["sd_lka"],
            "sd(CL)": theirs["sd_lcl"],
            "sd(V)": theirs["sd_lv"],
            "a": theirs["sigma"],
        }
    else:
        found = {"ka": theirs["tka"], "CL": theirs["tcl"], "V": theirs["tv"]}
        spread = {f"sd({n})": math.sqrt(theirs[f"om2_{n.lower()}"]) for n in ("ka", "CL", "V")} | {
            "a": theirs["add_sd"]
        }
    model, data = sets.theophylline(shared_data)
    estimates = {name: math.exp(value) for name, value in found.items()} | spread
    value, error = evaluate(model, data, estimates, points=4000)
    assert abs(value - 132 * math.log(2 * math.pi) - theirs["exact_OFV_at_these_estimates"]) < 0.007 + 3 * error
    assert error < 0.1
