"""Visual predictive checks: do data simulated from the fitted model look like the data that were measured?

Quantiles of the measurements at each time stand beside the range of the same quantiles in simulated trials of the same
design. A value below the limit of quantification counts as lower than every measured one, in the data and in the
simulations alike; a quantile that falls among such values is ``-inf``. The share of samples below the limit is a panel
of its own, since a model may hit the high values and miss how many are low.

With a prediction correction (Bergstrand et al. 2011) measured and simulated values are scaled by the typical
prediction of their group of times over their own; then different doses and covariates do not widen the range. On
logarithmic data the ratio is a difference. A value below its limit stays the lowest.

Every table is joined by the key ``ROW`` (row of the data table), never by order.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.diagnostics import as_measured
from livingdrug.inference.npde import row_limits, row_sides
from livingdrug.inference.predictions import simulate
from livingdrug.inference.summary import time_groups

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = ["Vpc", "quantiles_with_limits", "vpc", "vpc_of"]

Reals = NDArray[np.float64]
QUANTILES = (0.05, 0.5, 0.95)
LEAST_REPLICATES = 20


@dataclass(frozen=True, eq=False)
class Vpc:
    """A visual predictive check of one endpoint.

    Attributes:
        endpoint: its name.
        quantiles: pandas table, one row per group of times, quantile and stratum: BIN, STRATUM, TIME (median of the
            group), SAMPLES, QUANTILE, OBSERVED, and LOW, MIDDLE, HIGH of the simulations; ``-inf`` is below the limit.
        below: one row per group and stratum: share of samples below the limit, OBSERVED and LOW, MIDDLE, HIGH.
        points: the measurements: ROW, ID, TIME, BIN, STRATUM, DV, CENS, LIMIT, PRED; in the unit of the measurement.
        level: coverage of the range of the simulations.
        replicates: simulated data sets.
        corrected: whether predictions were corrected for.
    """

    endpoint: str
    quantiles: Any
    below: Any
    points: Any
    level: float
    replicates: int
    corrected: bool

    @property
    def has_limit(self) -> bool:
        """Whether some sample has a limit of quantification."""
        return bool(np.isfinite(self.points["LIMIT"]).any())

    def outside(self) -> Any:
        """Return the rows of ``quantiles`` whose observed quantile lies outside the range of the simulations."""
        table = self.quantiles
        return table[(table["OBSERVED"] < table["LOW"]) | (table["OBSERVED"] > table["HIGH"])]


def vpc(
    result: FitResult,
    endpoint: str | None = None,
    *,
    replicates: int = 500,
    quantiles: Sequence[float] = QUANTILES,
    level: float = 0.95,
    edges: Sequence[float] | None = None,
    by: str | None = None,
    corrected: bool = False,
    seed: int = 0,
) -> Vpc:
    """Simulate the design of the data many times and compare.

    Args:
        result: a fit.
        endpoint: output of the model, if there are several.
        replicates: simulated data sets.
        quantiles: of the values at one time.
        level: coverage of the range of the simulated quantiles.
        edges: times between groups; the sampling times themselves, or neighbouring ones together, if None.
        by: covariate whose values (a category) get checks of their own.
        corrected: prediction-corrected.
        seed: of the simulations.

    Raises:
        InputError: an unknown endpoint or covariate, or settings out of range.
    """
    import pandas as pd

    _check(replicates, quantiles, level)
    measured = as_measured(result)
    problem, rows = measured.problem, measured.problem.rows
    names = [end.output for end in problem.model.ends]
    if endpoint is None and len(names) > 1:
        raise InputError(f"vpc: the model has {len(names)} endpoints ({', '.join(names)}); name one")
    if endpoint is not None and endpoint not in names:
        raise InputError(unknown_name("endpoint", endpoint, names, place="vpc"))
    at = problem.endpoint_rows[names.index(endpoint or names[0])]
    side = row_sides(measured)
    none = np.zeros((1, problem.subjects, problem.d))
    typical = problem.with_classes(0).predict(measured.theta_[None], none).f[0]  # simulations draw classes anew
    points = pd.DataFrame(
        {
            "ROW": rows.data.observations.row[rows.source[at]],
            "ID": [rows.data.ids[s] for s in rows.subject[at]],
            "TIME": rows.time[at],
            "DV": np.select([side == 0, side == 1], [rows.value, rows.high], rows.low)[at],
            "CENS": side[at],
            "LIMIT": row_limits(measured)[at],
            "PRED": typical[at],
            "STRATUM": _strata(measured, at, by),
        }
    )
    end = problem.model.ends[names.index(endpoint or names[0])]
    base = 10.0 if end.scale == "log10" else math.e if end.scale == "log" or end.residual.logarithmic else None
    simulated = simulate(measured, replicates, seed)[:, at]
    return _made(end.output, points, simulated, quantiles, level, edges, corrected, base)


def vpc_of(
    observed: Any,
    simulated: Any,
    *,
    quantiles: Sequence[float] = QUANTILES,
    level: float = 0.95,
    edges: Sequence[float] | None = None,
    corrected: bool = False,
    base: float | None = None,
    endpoint: str = "DV",
) -> Vpc:
    """Compare measurements with simulations that come from anywhere, joined by their key.

    Args:
        observed: pandas table with ROW (the key), TIME, DV, and if wanted ID, CENS, LIMIT, PRED, STRATUM.
        simulated: pandas table with REP, ROW and DV; every replicate has every row once, in any order.
        quantiles: of the values at one time.
        level: coverage of the range of the simulated quantiles.
        edges: times between groups, see :func:`vpc`.
        corrected: prediction-corrected; needs PRED.
        base: of the logarithms that the values are (10, or ``math.e``); they are turned back. None if they are none.
        endpoint: its name.

    Raises:
        InputError: a row has no simulation, or two; a column is missing.
    """
    for name, table, needed in (
        ("observed", observed, {"ROW", "TIME", "DV"}),
        ("simulated", simulated, {"REP", "ROW", "DV"}),
    ):
        missing = needed - set(table.columns)
        if missing:
            raise InputError(f"vpc: the {name} table lacks the columns {', '.join(sorted(missing))}")
    if simulated.duplicated(["REP", "ROW"]).any() or observed["ROW"].duplicated().any():
        raise InputError("vpc: a ROW stands twice in the measurements or in one replicate; the key must be unique")
    wide = simulated.pivot(index="REP", columns="ROW", values="DV").reindex(columns=observed["ROW"])
    if wide.isna().to_numpy().any():
        lost = wide.columns[wide.isna().any()][0]
        raise InputError(f"vpc: row {lost} has no simulated value in some replicate; simulate the rows of the data")
    points = observed.copy()
    defaults = {"ID": "", "CENS": 0, "LIMIT": -np.inf, "PRED": np.nan, "STRATUM": ""}
    for name, value in defaults.items():
        if name not in points:
            points[name] = value
    points["LIMIT"] = points["LIMIT"].fillna(-np.inf)
    _check(len(wide), quantiles, level)
    return _made(endpoint, points, wide.to_numpy(float), quantiles, level, edges, corrected, base)


def _check(replicates: int, quantiles: Sequence[float], level: float) -> None:
    if replicates < LEAST_REPLICATES:
        raise InputError(f"vpc: at least {LEAST_REPLICATES} replicates are needed, got {replicates}")
    if not all(0 < q < 1 for q in quantiles) or not 0 < level < 1:
        raise InputError(f"vpc: quantiles and level must lie between 0 and 1, got {list(quantiles)} and {level}")


def _strata(result: FitResult, at: NDArray[np.intp], by: str | None) -> Any:
    if by is None:
        return ""
    rows = result.problem.rows
    values, levels = rows.covariate(by)[at], rows.data.covariates[by].levels
    return [f"{by} {levels[int(v)] if levels else f'{v:g}'}" for v in values]


def _made(
    endpoint: str,
    points: Any,
    simulated: Reals,
    quantiles: Sequence[float],
    level: float,
    edges: Sequence[float] | None,
    corrected: bool,
    base: float | None,
) -> Vpc:
    import pandas as pd

    points["BIN"] = time_groups(points["TIME"].to_numpy(float), edges)
    limit = points["LIMIT"].to_numpy(float)
    low = points["CENS"].to_numpy() == 1
    value = np.where(low, -np.inf, points["DV"].to_numpy(float))
    with np.errstate(invalid="ignore"):
        drawn = np.where(simulated < limit, -np.inf, simulated)
    if corrected:
        factor = _correction(points, logarithmic=base is not None)
        value, drawn = (part * factor if base is None else part + factor for part in (value, drawn))
        points["DV"] = np.where(low, points["DV"], value)
    groups = points.groupby(["STRATUM", "BIN"], sort=True).indices
    ends = np.array([(1 - level) / 2, 0.5, (1 + level) / 2])
    found, below = [], []
    for (stratum, number), at in groups.items():
        head = {"BIN": number, "STRATUM": stratum, "TIME": float(points["TIME"].iloc[at].median()), "SAMPLES": len(at)}
        mine, theirs = value[at], drawn[:, at]
        for q in quantiles:
            spread = quantiles_with_limits(quantiles_with_limits(theirs, q), ends)
            seen = float(quantiles_with_limits(mine, q))
            found.append(
                head | {"QUANTILE": q, "OBSERVED": seen} | dict(zip(("LOW", "MIDDLE", "HIGH"), spread, strict=True))
            )
        shares = np.quantile((theirs == -np.inf).mean(axis=1), ends)
        below.append(
            head | {"OBSERVED": float(low[at].mean())} | dict(zip(("LOW", "MIDDLE", "HIGH"), shares, strict=True))
        )
    quantile_table = pd.DataFrame(found)
    _turn_back(quantile_table, ("OBSERVED", "LOW", "MIDDLE", "HIGH"), base)
    _turn_back(points, ("DV", "LIMIT", "PRED"), base)
    return Vpc(endpoint, quantile_table, pd.DataFrame(below), points, level, len(simulated), corrected)


def _turn_back(table: Any, columns: Sequence[str], base: float | None) -> None:
    """Replace logarithms by what they are logarithms of; what is below a limit stays -inf."""
    if base is None:
        return
    for name in columns:
        values = table[name].to_numpy(float)
        table[name] = np.where(values == -np.inf, -np.inf, np.power(base, values))


def _correction(points: Any, *, logarithmic: bool) -> Reals:
    """What each row is multiplied by (added to, of logarithms): typical prediction of its group over its own."""
    typical = points.groupby(["STRATUM", "BIN"])["PRED"].transform("median").to_numpy(float)
    own = points["PRED"].to_numpy(float)
    if logarithmic:
        return typical - own
    if not (np.isfinite(own).all() and (own >= 0).all()):
        raise InputError("vpc: a prediction correction by ratios needs predictions of zero or more (PRED)")
    return np.where(own > 0, typical / np.where(own > 0, own, 1.0), 1.0)


def quantiles_with_limits(values: Any, q: Any) -> Any:
    """Quantiles along the last axis by linear interpolation, where -inf stands for values below a limit.

    A quantile that touches such a value is -inf: it is only known to lie below the limit.

    Example:
        >>> quantiles_with_limits(np.array([-np.inf, 1.0, 2.0, 4.0]), [0.1, 0.5]).tolist()
        [-inf, 1.5]
    """
    ordered = np.sort(np.asarray(values, float), axis=-1)
    place = np.asarray(q, float) * (ordered.shape[-1] - 1)
    first = np.floor(place + 1e-12).astype(int)
    share = np.clip(place - first, 0.0, 1.0)
    low = np.take(ordered, first, axis=-1)
    high = np.take(ordered, np.minimum(first + 1, ordered.shape[-1] - 1), axis=-1)
    known = np.isfinite(low)
    safe = np.where(known, low, 0.0)
    between = safe + share * (np.where(np.isfinite(high), high, 0.0) - safe)
    return np.where(known, between, np.where((low == -np.inf), -np.inf, low))
