"""Data, models and answers of the comparison with R's lme4 and nlme."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from livingdrug.inference.closed_form import ClosedForm, symbols
from livingdrug.inference.data import EventData, read_data
from livingdrug.inference.residual import additive, log_additive
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel, exponential_effect
from livingdrug.model import exp, lognormal, normal, time

FOLDER = Path(__file__).with_name("r")
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


def logarithms(name: str, data: EventData) -> float:
    """What -2 log likelihood is more by where R is given logarithms: the density of the values has their slope too."""
    return 2 * float(np.log(data.observations.value).sum()) if name == "decline" else 0.0
