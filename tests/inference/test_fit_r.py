"""Fits beside R's lme4 and nlme, where theirs is the same likelihood: models that are linear in the random effects.

The expected numbers are R's: of ``r/fit.R`` on the made-up data beside it (and on Orange), by lme4 1.1-31 and nlme
3.1-162 under R 4.2.2, kept in ``r/references.csv``. Where R is present the script runs again and must say the same.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData, read_data
from livingdrug.inference.estimation import fit
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.result import FitResult
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, exponential_effect
from livingdrug.model import exp, lognormal, normal, time

_spec = importlib.util.spec_from_file_location("fit_sets", Path(__file__).with_name("fit_sets.py"))
assert _spec is not None
assert _spec.loader is not None
sets = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sets)

FOLDER = Path(__file__).with_name("r")
WITHIN = {"focei": 5e-5, "laplace": 5e-5, "quadrature": 5e-5, "saem": 1e-3}
"""Relative: the exact methods end at R's maximum; the sums of SAEM are drawn."""
ORANGE = {"Asym": "Asym", "xmid": "xmid", "scal": "scal", "sd_Asym": "sd(Asym)", "sigma": "a"}
Case = tuple[StatisticalModel, EventData, dict[str, str]]


def references(file: Path) -> dict[tuple[str, str], dict[str, float]]:
    """Name -> value, by set of data and program."""
    table = pd.read_csv(file)
    found: dict[tuple[str, str], dict[str, float]] = {}
    for data, program, name, value in table.itertuples(index=False):
        found.setdefault((data, program), {})[name] = value
    return found


R = references(FOLDER / "references.csv")


def line() -> Case:
    """Level and slope that are correlated, and a covariate of the slope."""
    level, slope = symbols("level", "slope")
    parameters = {
        "level": Estimate(8.0, normal(1.0)),
        "slope": Estimate(1.0, normal(1.0), covariates=(exponential_effect("X", 0.0),)),
    }
    form = ClosedForm("line", level + slope * time)
    names = {"level": "level", "slope": "slope", "effect": "slope:X", "sd_level": "sd(level)", "sd_slope": "sd(slope)",
             "correlation": "corr(slope,level)", "sigma": "a"}  # fmt: skip
    model = StatisticalModel(form, parameters, Endpoint("value", additive(2.0)), omega="full")
    return model, read_data(FOLDER / "line.csv", covariates=("X",)), names


def decline() -> Case:
    """A transgene's decline with log-normal scatter: a line, once logarithms are taken."""
    peak, rate = symbols("peak", "rate")
    parameters = {"peak": Estimate(1e4, lognormal(0.5)), "rate": Estimate(0.1, normal(0.1))}
    form = ClosedForm("decline", peak * exp(-rate * time))
    names = {"peak": "peak", "rate": "rate", "sd_peak": "sd(peak)", "sd_rate": "sd(rate)", "sigma": "a"}
    model = StatisticalModel(form, parameters, Endpoint("value", log_additive(1.0)))
    return model, read_data(FOLDER / "decline.csv"), names


def occasions() -> Case:
    """A level that differs between subjects, and between the occasions of each."""
    level, slope = symbols("level", "slope")
    parameters = {
        "level": Estimate(4.0, normal(1.0), occasions=normal(1.0)),
        "slope": Estimate(0.1, scale="normal"),
    }
    form = ClosedForm("occasions", level + slope * time)
    names = {"level": "level", "slope": "slope", "sd_level": "sd(level)", "occasion_sd": "occasion sd(level)",
             "sigma": "a"}  # fmt: skip
    model = StatisticalModel(form, parameters, Endpoint("value", additive(1.0)))
    return model, read_data(FOLDER / "occasions.csv"), names


CASES = {"line": line, "decline": decline, "occasions": occasions}


def compare(found: FitResult, theirs: dict[str, float], names: dict[str, str], deviance: float = 1e-5) -> None:
    """Every value as R's, and -2 log likelihood, where it is drawn within four of its standard errors."""
    assert found.converged_, found.verdict_
    away = {ours: found.estimates_[ours] / theirs[name] - 1 for name, ours in names.items()}
    assert max(map(abs, away.values())) < WITHIN[found.method_], away
    assert abs(found.minus2ll_ - theirs["deviance"]) < max(deviance, 4 * found.minus2ll_se_)


@pytest.mark.parametrize("method", WITHIN)
@pytest.mark.parametrize("name", CASES)
def test_linear_models_end_where_lme4_and_nlme_end(name: str, method: str) -> None:
    model, data, names = CASES[name]()
    found = fit(model, data, method, nodes=3, saem=SaemSettings(200, 150))
    # R is given logarithms of the decline: the density of the values themselves holds the slope of these too
    slope = 2 * float(np.log(data.observations.value).sum()) if name == "decline" else 0.0
    for program in ("lme4", "nlme"):
        theirs = R[name, program]
        compare(found, theirs | {"deviance": theirs["deviance"] + slope}, names)


@pytest.mark.parametrize("method", ["focei", "quadrature"])
def test_a_curve_with_one_effect_in_front_ends_where_nlmer_ends(shared_data: Path, method: str) -> None:
    """nlmer stops its inner iteration early: ours is the higher likelihood, by 1.3e-5."""
    model, data = sets.orange(shared_data)
    found = fit(model, data, method)
    compare(found, R["orange", "lme4"], ORANGE, deviance=1e-4)


def r_is_here() -> bool:
    """Whether R, lme4 and nlme are installed."""
    has = "quit(status = !all(sapply(c('lme4', 'nlme'), requireNamespace, quietly = TRUE)))"
    return bool(shutil.which("Rscript")) and not subprocess.run(["Rscript", "-e", has], check=False).returncode


if r_is_here():  # no skipped test where it is not: its numbers, which are kept, are checked above all the same

    def test_r_still_says_what_is_kept(tmp_path: Path) -> None:
        file = tmp_path / "references.csv"
        with file.open("w", encoding="utf-8") as out:
            subprocess.run(["Rscript", str(FOLDER / "fit.R"), str(FOLDER)], check=True, stdout=out)
        found = references(file)
        assert len(found) == 2 * len(CASES)
        for key, values in found.items():
            assert values == pytest.approx(R[key], rel=1e-5), key
