"""Three naive forecasts, from the numbers that the calibration trials reported and from nothing else.

They stand beside the twin in the same frozen file, so that the twin can be seen to be worth its trouble, or not: the
pooled mean of all calibration trials; that of the same product elsewhere; that of the same costimulation and disease.
Each joins three kinds of chance: of the mean, between trials, and of a trial of its own size.

Source:
    DerSimonian and Laird 1986 (``dersimonian1986``): mean and spread between trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.streams import normal, uniform
from livingdrug.trials.forecast import PERCENTAGES, TEXTS, forecast_row, forecast_table
from livingdrug.trials.scoring import plain_scale
from livingdrug.trials.wording import plain, plain_keys, plain_unit

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NAIVE", "Traits", "naive_forecasts"]

Array = NDArray[np.float64]
DRAWS = 4000
PATIENT_SPREAD = 1.0
"""Assumed: log standard deviation between patients where a report gives no coefficient of variation."""
COLUMNS = ("trial", "endpoint", "population", "timepoint", "statistic", "unit", "N", "observed")


@dataclass(frozen=True)
class Traits:
    """What a trial treats, and with what.

    Attributes:
        product: name of the product; empty for a comparator, which gets no naive forecast.
        disease: name of the disease.
        costimulation: of the receptor, e.g. "CD28" or "4-1BB".
    """

    product: str
    disease: str
    costimulation: str


NAIVE: dict[str, Callable[[Traits, Traits], bool]] = {
    "pooled mean": lambda ours, theirs: True,  # noqa: ARG005 - all are alike
    "same product": lambda ours, theirs: ours.product == theirs.product,
    "costimulation and disease": lambda ours, theirs: (
        (ours.costimulation, ours.disease) == (theirs.costimulation, theirs.disease)
    ),
}
"""Name of each naive forecast -> whether a calibration trial counts for it."""


def naive_forecasts(
    lines: pd.DataFrame,
    known: pd.DataFrame,
    traits: Mapping[str, Traits],
    *,
    arms: Mapping[tuple[str, str], Traits] | None = None,
) -> pd.DataFrame:
    """Return naive forecasts for the lines of the twin, where at least two calibration trials report the endpoint.

    A reported number counts if it has the same endpoint, set of patients, time, kind of statistic and unit, whatever
    the scale of grading and the window ("within 8 weeks") in which it was counted. A trial never counts for itself. The
    spread between trials comes from all trials that count for the pooled mean. Where no calibration trial counts for a
    naive forecast, that one has no such line.

    Args:
        lines: the twin's lines of a forecast.
        known: numbers of the calibration trials, columns trial, endpoint, population, timepoint, statistic, unit, N,
            observed, and optionally cv (coefficient of variation between patients, as a fraction).
        traits: of every trial in ``lines`` and ``known``, by name.
        arms: traits by (trial, arm) where the arms of a trial differ; they come before ``traits``.

    Returns:
        Lines with the columns of a forecast.

    Raises:
        InputError: a column or the traits of a trial are missing.
    """
    for name in COLUMNS:
        if name not in known:
            raise InputError(unknown_name("column of known numbers", name, known.columns))
    book = {plain("trial", name): one for name, one in traits.items()}
    by_arm = {(plain("trial", trial), plain("arm", arm)): one for (trial, arm), one in (arms or {}).items()}
    reports = [_report(row, book) for row in known.to_dict("records")]
    rows = []
    for line in lines.loc[:, [*TEXTS, "N"]].to_dict("records"):
        keys = plain_keys(line)
        ours = by_arm.get((keys["trial"], keys["arm"])) or _traits(keys["trial"], book)
        if not ours.product:
            continue
        alike = [one for one in reports if one["what"] == _what(keys, line) and not one["trials"] & _trials(keys)]
        rows += _forecasts(line, ours, alike)
    return forecast_table(rows)


def _what(keys: Mapping[str, str], row: Mapping[str, Any]) -> tuple[str, ...]:
    time = "" if keys["timepoint"].startswith("within ") else keys["timepoint"]
    return keys["endpoint"], keys["population"], time, _family(row["statistic"]), plain_unit(row["unit"])


def _family(statistic: str) -> str:
    """Return one word for statistics that say the same of patients with and without censoring."""
    return "percent" if statistic in PERCENTAGES else "median" if statistic.startswith("median") else statistic


def _trials(keys: Mapping[str, str]) -> set[str]:
    return {name.strip() for name in keys["trial"].split("+")}


def _traits(trial: str, book: Mapping[str, Traits]) -> Traits:
    if trial not in book:
        raise InputError(unknown_name("trial without product and disease", trial, book))
    return book[trial]


def _report(row: Mapping[str, Any], book: Mapping[str, Traits]) -> dict[str, Any]:
    keys, percent = plain_keys(row), row["statistic"] in PERCENTAGES
    size = max(float(row["N"]), 1.0) if np.isfinite(float(row["N"])) else 1.0
    (y,) = plain_scale(np.array([float(row["observed"])]), percent, size)
    cv = float(row.get("cv", math.nan))
    spread = math.sqrt(math.log1p(cv * cv)) if cv > 0 else PATIENT_SPREAD
    share = float(row["observed"]) / 100 * size
    variance = (1 / (share + 0.5) + 1 / (size - share + 0.5)) if percent else _own(str(row["statistic"]), spread, size)
    return {
        "what": _what(keys, row), "trials": _trials(keys), "traits": _traits(keys["trial"], book), "y": float(y),
        "variance": variance, "spread": spread,
    }  # fmt: skip


def _own(statistic: str, spread: float, size: float) -> float:
    """Return the variance, on the logarithm, of a statistic of ``size`` patients; medians scatter more than means."""
    return spread * spread / size * (math.pi / 2 if statistic.startswith("median") else 1.0)


def _forecasts(line: dict[str, Any], ours: Traits, alike: list[dict[str, Any]]) -> list[dict[str, Any]]:
    usable = [one for one in alike if math.isfinite(one["y"])]
    if len(usable) < 2:
        return []
    between = _between(*_columns(usable))
    rows = []
    for forecaster, counts in NAIVE.items():
        group = [one for one in usable if counts(ours, one["traits"])]
        if group:
            draws = _draws(line, group, between)
            keys = {key: line[key] for key in TEXTS if key not in ("forecaster", "statistic", "unit")}
            size, statistic, unit = int(line["N"]), line["statistic"], line["unit"]
            rows.append(forecast_row(draws, size=size, statistic=statistic, unit=unit, forecaster=forecaster, **keys))
    return rows


def _columns(group: list[dict[str, Any]]) -> tuple[Array, Array]:
    return np.array([one["y"] for one in group]), np.array([one["variance"] for one in group])


def _between(y: Array, variance: Array) -> float:
    """Return the variance between trials by the method of moments."""
    weight = 1 / variance
    mean = (weight * y).sum() / weight.sum()
    excess = (weight * (y - mean) ** 2).sum() - (y.size - 1)
    return max(0.0, excess / (weight.sum() - (weight**2).sum() / weight.sum()))


def _draws(line: dict[str, Any], group: list[dict[str, Any]], between: float) -> Array:
    from scipy.special import expit
    from scipy.stats import binom

    y, variance = _columns(group)
    weight = 1 / (variance + between)
    mean, size = (weight * y).sum() / weight.sum(), max(int(line["N"]), 1)
    ids = np.arange(DRAWS)
    true = mean + math.sqrt(between + 1 / weight.sum()) * normal(0, ids, "naive forecast")[:, 0]
    if line["statistic"] in PERCENTAGES:
        return 100 * binom.ppf(uniform(0, ids, "naive forecast, own trial")[:, 0], size, expit(true)) / size
    spread = float(np.mean([one["spread"] for one in group]))
    own = math.sqrt(_own(line["statistic"], spread, size))
    return np.exp(true + own * normal(0, ids, "naive forecast, own trial")[:, 0])
