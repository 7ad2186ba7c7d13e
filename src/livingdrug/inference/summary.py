"""What an event data set holds: subjects, records, and the share below the limit by endpoint and time.

Example:
    >>> from livingdrug.inference.data import EventData
    >>> data = EventData.from_arrays(
    ...     ids=["A", "B"], subject=[0, 0, 1, 1], time=[7, 28, 7, 28], value=[120, 50, 9000, 80], censoring=[0, 1, 0, 0]
    ... )
    >>> summarise(data).below_limit[["time", "samples", "below", "share"]].to_dict("list")
    {'time': [7.0, 28.0], 'samples': [2, 2], 'below': [0, 1], 'share': [0.0, 0.5]}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.inference.data import EventData

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Summary", "summarise", "time_groups"]

MOST_GROUPS = 12
MOST_LEVELS = 6


@dataclass(frozen=True, eq=False)
class Summary:
    """An event data set in numbers.

    Attributes:
        endpoints: one row per endpoint: subjects, samples, below and above the limit, limits, times and values.
        below_limit: one row per endpoint and group of times: samples, how many lie below the limit, their share.
        doses: one row per compartment: subjects, doses (additional ones counted), amounts.
        covariates: one row per covariate.
        subjects: how many subjects, and how many without a sample or a dose.
    """

    endpoints: pd.DataFrame
    below_limit: pd.DataFrame
    doses: pd.DataFrame
    covariates: pd.DataFrame
    subjects: dict[str, int]

    def lines(self) -> list[str]:
        """Return the summary as sentences."""
        who = self.subjects
        first = (
            f"{who['all']:,} subjects, {who['without_samples']:,} without a sample, "
            f"{who['without_doses']:,} without a dose."
        )
        samples = [_endpoint_line(one) for one in self.endpoints.to_dict("records")]
        doses = [_dose_line(one) for one in self.doses.to_dict("records")]
        covariates = [f"{one['covariate']}: {one['what']}." for one in self.covariates.to_dict("records")]
        return [first, *samples, *doses, *covariates]


def _endpoint_line(one: Mapping[Any, Any]) -> str:
    return (
        f"{one['endpoint']}: {one['samples']:,} samples of {one['subjects']:,} subjects, day {one['first_day']:g} to "
        f"{one['last_day']:g}; {one['below']:,} below the limit ({one['share_below']:.1%}), {one['above']:,} above; "
        f"limits {one['limits'] or 'not known'}; measured {one['lowest']:.4g} to {one['highest']:.4g} "
        f"(median {one['median']:.4g})."
    )


def _dose_line(one: Mapping[Any, Any]) -> str:
    return (
        f"Doses into {one['compartment']}: {one['doses']:,} for {one['subjects']:,} subjects, amount "
        f"{one['lowest']:.4g} to {one['highest']:.4g} (median {one['median']:.4g})."
    )


def summarise(data: EventData, edges: Any = None) -> Summary:
    """Return the summary of a data set.

    Args:
        data: the data set.
        edges: days between which samples are put together; found from the data unless given.
    """
    import pandas as pd

    seen = data.observations
    sampled, dosed = set(seen.subject.tolist()), set(data.doses.subject[data.doses.amount > 0].tolist())
    rows = [_endpoint(name, data.endpoint(name)) for name in data.endpoints]
    below = [one for name in data.endpoints for one in _below(name, data.endpoint(name), edges)]
    subjects = {
        "all": len(data),
        "without_samples": len(data) - len(sampled),
        "without_doses": len(data) - len(dosed),
    }
    return Summary(
        pd.DataFrame(rows), pd.DataFrame(below), pd.DataFrame(_doses(data)), pd.DataFrame(_covariates(data)), subjects
    )


def time_groups(time: np.ndarray, edges: Any = None) -> np.ndarray:
    """Return the group of each sample by its time: the same time, or neighbouring ones where there are many.

    Example:
        >>> time_groups(np.array([0.0, 7.0, 7.0, 14.0])).tolist()
        [0, 1, 1, 2]
    """
    distinct = np.unique(time)
    if edges is None:
        if len(distinct) <= MOST_GROUPS:
            return np.searchsorted(distinct, time)
        edges = np.unique(np.quantile(time, np.linspace(0, 1, MOST_GROUPS + 1)))[1:-1]
    return np.searchsorted(np.asarray(edges, float), time, side="right")


def _endpoint(name: str, seen: Any) -> dict[str, Any]:
    measured = seen.value[seen.censoring == 0]
    limits = np.unique(seen.lloq[~np.isnan(seen.lloq)])
    text = ", ".join(f"{one:.4g}" for one in limits[:5]) + (f" and {len(limits) - 5} more" if len(limits) > 5 else "")
    below = int((seen.censoring == 1).sum())
    return {
        "endpoint": name,
        "subjects": len(np.unique(seen.subject)),
        "samples": len(seen),
        "below": below,
        "above": int((seen.censoring == -1).sum()),
        "share_below": below / len(seen) if len(seen) else np.nan,
        "limits": text,
        "first_day": seen.time.min(initial=np.inf) if len(seen) else np.nan,
        "last_day": seen.time.max(initial=-np.inf) if len(seen) else np.nan,
        **_range(measured),
    }


def _range(values: np.ndarray) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("lowest", "median", "highest"), np.nan)
    return {"lowest": float(values.min()), "median": float(np.median(values)), "highest": float(values.max())}


def _below(name: str, seen: Any, edges: Any) -> list[dict[str, Any]]:
    """Return one row per group of times."""
    if not len(seen):
        return []
    group = time_groups(seen.time, edges)
    rows = []
    for one in np.unique(group):
        here = group == one
        low = int((seen.censoring[here] == 1).sum())
        times = seen.time[here]
        rows.append(
            {"endpoint": name, "time": float(np.median(times)), "from": float(times.min()), "to": float(times.max()),
             "samples": int(here.sum()), "below": low, "share": low / int(here.sum())}
        )  # fmt: skip
    return rows


def _doses(data: EventData) -> list[dict[str, Any]]:
    rows = []
    for index, name in enumerate(data.compartments):
        here = (data.doses.compartment == index) & (data.doses.amount > 0)
        if here.any():
            rows.append(
                {"compartment": name, "subjects": len(np.unique(data.doses.subject[here])),
                 "doses": int((1 + data.doses.additional[here]).sum()), **_range(data.doses.amount[here])}
            )  # fmt: skip
    return rows


def _covariates(data: EventData) -> list[dict[str, Any]]:
    rows = []
    for name, one in data.covariates.items():
        if one.levels:
            counts = [(int((one.values == code).sum()), level) for code, level in enumerate(one.levels)]
            most = sorted(counts, key=lambda pair: -pair[0])[:MOST_LEVELS]
            what = ", ".join(f"{level} {count}" for count, level in most)
            what += f" and {len(counts) - MOST_LEVELS} more levels" if len(counts) > MOST_LEVELS else ""
        else:
            found = _range(one.values)
            what = f"{found['lowest']:.4g} to {found['highest']:.4g} (median {found['median']:.4g})"
        rows.append({"covariate": name, "what": what + (", changes in time" if one.varies else "")})
    return rows
