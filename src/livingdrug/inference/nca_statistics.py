"""Statistics of non-compartmental parameters as labels print them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError
from livingdrug.inference.nca import COUNTS, TIMES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["describe", "statistics"]

ALL = "all"


def describe(values: Any) -> dict[str, float]:
    """Return the statistics of one parameter over subjects.

    The geometric coefficient of variation is ``100 sqrt(exp(s^2) - 1)`` with the standard deviation ``s`` of the
    logarithms; the interval of the geometric mean is that of Student's t on the logarithms, 95 %. Values that are not
    above zero have no logarithm: they are in ``n`` and the median, and not in ``n_geometric``.

    Args:
        values: one per subject; NaN are left out.

    Example:
        >>> found = describe([1.0, 10.0, 100.0])
        >>> [round(found[name], 2) for name in ("geometric_mean", "geometric_cv", "median", "min", "max")]
        [10.0, 1413.21, 10.0, 1.0, 100.0]
    """
    values = np.asarray(values, float)
    known = values[~np.isnan(values)]
    logs = np.log(known[known > 0])
    found = {"n": float(len(known)), "n_geometric": float(len(logs))}
    found |= dict.fromkeys(("geometric_mean", "geometric_cv", "geometric_low", "geometric_high"), np.nan)
    if len(logs):
        found["geometric_mean"] = float(np.exp(logs.mean()))
    if len(logs) > 1:
        found |= _spread(logs)
    summary = ("mean", "sd", "median", "q1", "q3", "min", "max")
    if not len(known):
        return found | dict.fromkeys(summary, np.nan)
    sd = known.std(ddof=1) if len(known) > 1 else np.nan
    quarters = np.percentile(known, (50, 25, 75, 0, 100))
    return found | {name: float(one) for name, one in zip(summary, (known.mean(), sd, *quarters), strict=True)}


def _spread(logs: np.ndarray) -> dict[str, float]:
    from scipy.stats import t

    sd = logs.std(ddof=1)
    half = t.ppf(0.975, len(logs) - 1) * sd / np.sqrt(len(logs))
    with np.errstate(over="ignore"):
        cv = 100 * np.sqrt(np.expm1(sd**2))
    return {
        "geometric_cv": float(cv),
        "geometric_low": float(np.exp(logs.mean() - half)),
        "geometric_high": float(np.exp(logs.mean() + half)),
    }


def statistics(values: Mapping[str, np.ndarray], by: Sequence[Any] | None = None) -> pd.DataFrame:
    """Return one row per group and parameter: :func:`describe`, and the line as a label prints it.

    Raises:
        InputError: ``by`` does not have one group per subject.
    """
    import pandas as pd

    count = len(next(iter(values.values())))
    groups = np.full(count, ALL, object) if by is None else np.array([str(one) for one in by], object)
    if len(groups) != count:
        raise InputError(f"by needs one group per subject: {len(groups)} groups for {count} subjects")
    rows = []
    for group in sorted(set(groups.tolist())):
        for name, numbers in values.items():
            found = describe(numbers[groups == group])
            rows.append({"group": group, "parameter": name, **found, "label": label(name, found)})
    return pd.DataFrame(rows)


def label(name: str, found: Mapping[str, float]) -> str:
    """Return a parameter as a label prints it: times and counts by median and range, all else by geometric mean.

    Example:
        >>> label("cmax", describe([20000.0, 45000.0])), label("tmax", describe([7.0, 9.0, 14.0]))
        ('30,000 (62.4 %)', '9 [7 to 14]')
    """
    if not found["n"]:
        return "not known"
    if name in TIMES or name in COUNTS:
        return f"{_figures(found['median'])} [{_figures(found['min'])} to {_figures(found['max'])}]"
    if np.isnan(found["geometric_mean"]):
        return "not known"
    cv = f" ({found['geometric_cv']:.1f} %)" if np.isfinite(found["geometric_cv"]) else ""
    return _figures(found["geometric_mean"]) + cv


def _figures(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
