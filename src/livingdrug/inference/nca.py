"""Non-compartmental analysis of cell therapies: peak, areas, half-lives, expansion; all subjects at once.

The rules are named (:class:`~livingdrug.inference.nca_rules.NcaRules`) and every result carries them.

Example:
    >>> found = nca([0, 7, 10, 14, 21, 28], [[0, 400, 8000, 2000, 250, 100]], lloq=50)
    >>> found["cmax"].tolist(), found["tmax"].tolist(), round(float(found["auc_interval"][0]))
    ([8000.0], [10.0], 38349)
    >>> round(float(found["fold_expansion"][0])), round(float(found["doubling_time"][0]), 2)
    (20, 0.69)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.nca_areas import area
from livingdrug.inference.nca_fits import Fit, best_fit, whole_fit
from livingdrug.inference.nca_rules import DROP, HALF, LIMIT, NcaRules

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.inference.data import EventData

__all__ = ["PARAMETERS", "Nca", "NcaRules", "nca", "nca_of"]

PARAMETERS = {
    "cmax": ("highest measurable value", "value", "CMAX"),
    "tmax": ("time of the highest value, the first one", "day", "TMAX"),
    "clast": ("last measurable value", "value", "CLST"),
    "tlast": ("time of the last measurable value", "day", "TLST"),
    "auc_last": ("area from the start to the last measurable value", "value * day", "AUCLST"),
    "auc_interval": ("area over the interval", "value * day", "AUCINT"),
    "terminal_half_life": ("half-life at the end", "day", "LAMZHL"),
    "terminal_r2": ("adjusted R2 of the terminal line", "1", "R2ADJ"),
    "terminal_count": ("values in the terminal line", "1", "LAMZNPT"),
    "terminal_span": ("days that the terminal line spans, over its half-life", "1", ""),
    "contraction_half_life": ("half-life of the fall just after the peak", "day", ""),
    "contraction_count": ("values in the contraction line", "1", ""),
    "fold_expansion": ("peak over the value at which the expansion starts", "1", ""),
    "doubling_time": ("time in which the cells double before the peak", "day", ""),
}
"""Name -> meaning, unit, and the code of CDISC's PPTESTCD where there is one."""

TIMES = ("tmax", "tlast")
COUNTS = ("terminal_count", "contraction_count", "terminal_r2", "terminal_span")
MOST_VALUES = 500_000_000


@dataclass(frozen=True, eq=False)
class Nca:
    """The parameters of every subject, and the rules by which they were found.

    Attributes:
        values: name -> one number per subject, NaN where the rules give none.
        rules: the rules.
        ids: names of the subjects.
        notes: what one should know of the data, in words.
    """

    values: dict[str, np.ndarray]
    rules: NcaRules
    ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.values:
            raise InputError(unknown_name("NCA parameter", name, self.values))
        return self.values[name]

    def __len__(self) -> int:
        return len(self.values["cmax"])

    def table(self) -> pd.DataFrame:
        """Return one row per subject."""
        import pandas as pd

        ids = self.ids or tuple(str(index + 1) for index in range(len(self)))
        return pd.DataFrame({"id": list(ids), **self.values})

    def statistics(self, by: Sequence[Any] | None = None) -> pd.DataFrame:
        """Return the statistics that labels print, of all subjects or of groups of them.

        Args:
            by: one group per subject.
        """
        from livingdrug.inference.nca_statistics import statistics

        return statistics(self.values, by)


def nca(
    times: Any,
    values: Any,
    lloq: Any = None,
    *,
    below: Any = None,
    rules: NcaRules | None = None,
    ids: Sequence[str] = (),
) -> Nca:
    """Return the non-compartmental parameters of many curves.

    Args:
        times: days, shape (value,) for all or (subject, value); NaN where there is no sample.
        values: shape (subject, value) or (value,); NaN where there is no sample.
        lloq: limit of quantification, one number or one per value; smaller values are below the limit. Without one
            only zeros are.
        below: which values are below the limit, where that is known otherwise; their values are not looked at.
        rules: the rules; those of PKNCA unless given.
        ids: names of the subjects for messages and tables.

    Raises:
        InputError: shapes do not fit, times run backwards or repeat, a value is negative or not finite, or a rule
            needs a limit that is not given.
    """
    rules = rules or NcaRules()
    time, value, limit, low = _checked(times, values, lloq, below, ids)
    sampled = ~np.isnan(time)
    measurable = sampled & ~low
    peak, last = _peak(value, measurable), _last(measurable)
    any_value = measurable.any(axis=1)
    rows = np.arange(len(time))
    cmax = np.where(any_value, value[rows, peak], np.where(sampled.any(axis=1), 0.0, np.nan))
    tmax = np.where(any_value, time[rows, peak], np.nan)
    found = {
        "cmax": cmax,
        "tmax": tmax,
        "clast": np.where(any_value, value[rows, last], np.nan),
        "tlast": np.where(any_value, time[rows, last], np.nan),
    }
    log = np.log(np.where(measurable, value, 1.0))
    terminal = _terminal(time, log, measurable, peak, rules)
    curve = _curve(time, value, limit, low & sampled, measurable, rules)
    found |= _areas(*curve, found, terminal.slope, rules)
    found |= _halves(time, log, measurable, peak, terminal, rules)
    spanned = found["tlast"] - time[rows, np.maximum(terminal.start, 0)]
    found["terminal_span"] = spanned / found["terminal_half_life"]
    found |= _expansion(time, value, log, measurable, peak, rules)
    return Nca({name: found[name] for name in PARAMETERS}, rules, tuple(ids))


def nca_of(data: EventData, endpoint: str | None = None, rules: NcaRules | None = None) -> Nca:
    """Return the parameters of every subject of an event data set; times count from the subject's first dose.

    Raises:
        InputError: the data have several endpoints and none is named, or two values of one time.
    """
    if endpoint is None and len(data.endpoints) != 1:
        raise InputError(f"the data have {len(data.endpoints)} endpoints ({', '.join(data.endpoints)}); name one")
    seen = data.endpoint(endpoint or data.endpoints[0])
    first = np.full(len(data), np.inf)
    given = data.doses.amount > 0
    np.minimum.at(first, data.doses.subject[given], data.doses.time[given])
    place = np.arange(len(seen)) - np.searchsorted(seen.subject, seen.subject)
    shape = (len(data), int(place.max(initial=0)) + 1)
    time, value, lloq = (np.full(shape, np.nan) for _ in range(3))
    below = np.zeros(shape, bool)
    at = (seen.subject, place)
    time[at] = seen.time - np.where(np.isfinite(first), first, 0.0)[seen.subject]
    value[at], lloq[at], below[at] = seen.value, seen.lloq, seen.censoring == 1
    found = nca(time, value, lloq, below=below, rules=rules, ids=data.ids)
    above = int((seen.censoring == -1).sum())
    notes = (f"{above} values above the upper limit count as the limit",) if above else ()
    return Nca(found.values, found.rules, data.ids, notes)


def _checked(
    times: Any, values: Any, lloq: Any, below: Any, ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return times, values and limits as (subject, value) in order of time, and which values are below the limit."""
    try:
        time, value = np.asarray(times, float), np.atleast_2d(np.asarray(values, float))
        limit = np.asarray(np.nan if lloq is None else lloq, float)
        time, value, limit = np.broadcast_arrays(time, value, limit)
        low = np.zeros(value.shape, bool) if below is None else np.broadcast_to(np.asarray(below, bool), value.shape)
    except (ValueError, TypeError) as error:
        raise InputError(f"times, values and lloq must be numbers of fitting shapes: {error!s:.120}") from error
    if value.ndim != 2 or value.shape[1] == 0 or value.size > MOST_VALUES:
        raise InputError(f"values must have the shape (subject, value), got {np.shape(values)}")
    missing = np.isnan(time) | (np.isnan(value) & ~low)
    time = np.where(missing, np.nan, time)
    _check_numbers(time, value, limit, low, ids)
    time, value, limit, low = _in_order(time, value, limit, low, ids)
    value = np.where(low & ~np.isnan(time), 0.0, value)
    with np.errstate(invalid="ignore"):
        low = low | (value <= 0) | (value < limit)
    return time, value, limit, low & ~np.isnan(time)


def _check_numbers(time: np.ndarray, value: np.ndarray, limit: np.ndarray, low: np.ndarray, ids: Sequence[str]) -> None:
    with np.errstate(invalid="ignore"):
        wrong = ~np.isnan(time) & ~low & ~((value >= 0) & (value < np.inf))
        wrong_time, wrong_limit = np.isinf(time), np.isinf(limit) | (limit <= 0)
    for bad, what, rule, numbers in (
        (wrong, "value", "must be 0 or more and finite (are they logarithms?)", value),
        (wrong_time, "time", "must be finite", time),
        (wrong_limit, "limit of quantification", "must be above 0 and finite", limit),
    ):
        if bad.any():
            row, column = np.argwhere(bad)[0]
            raise InputError(f"the {what} of subject {_name(ids, row)} {rule}, got {numbers[row, column]:g}")


def _name(ids: Sequence[str], row: int) -> str:
    return str(ids[row])[:40] if len(ids) > row else str(row + 1)


def _in_order(
    time: np.ndarray, value: np.ndarray, limit: np.ndarray, low: np.ndarray, ids: Sequence[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return the values in order of time with the missing ones behind; two at one time are an InputError."""
    with np.errstate(invalid="ignore"):
        sorted_ = (np.diff(time, axis=1) > 0) | np.isnan(time[:, 1:])
    if not (sorted_.all() and not (np.isnan(time[:, :-1]) & ~np.isnan(time[:, 1:])).any()):
        order = np.argsort(time, axis=1, kind="stable")
        time, value, limit, low = (np.take_along_axis(one, order, axis=1) for one in (time, value, limit, low))
    with np.errstate(invalid="ignore"):
        twice = np.diff(time, axis=1) == 0
    if twice.any():
        row, column = np.argwhere(twice)[0]
        raise InputError(f"subject {_name(ids, row)} has two values at time {time[row, column]:g}; keep one, or a mean")
    return time, value, limit, low


def _peak(value: np.ndarray, measurable: np.ndarray) -> np.ndarray:
    """Return the index of the first highest measurable value."""
    return np.where(measurable, value, -1.0).argmax(axis=1)


def _last(measurable: np.ndarray) -> np.ndarray:
    """Return the index of the last measurable value."""
    return measurable.shape[1] - 1 - measurable[:, ::-1].argmax(axis=1)


def _curve(
    time: np.ndarray, value: np.ndarray, limit: np.ndarray, low: np.ndarray, measurable: np.ndarray, rules: NcaRules
) -> tuple[np.ndarray, np.ndarray]:
    """Return times and values of the curve whose area is taken; NaN behind its last value."""
    there = measurable.any(axis=1, keepdims=True)
    column = np.arange(time.shape[1])
    begun = np.where(there, measurable.argmax(axis=1)[:, None], time.shape[1])
    over = np.where(there, _last(measurable)[:, None], time.shape[1])
    places = {"first": low & (column < begun), "last": low & (column > over)}
    places["middle"] = low & ~places["first"] & ~places["last"]
    curve, used = np.where(measurable, value, 0.0), measurable.copy()
    for name, where in places.items():
        rule = getattr(rules, name)
        if rule in (LIMIT, HALF) and np.isnan(limit[where]).any():
            raise InputError(f"the NCA rule {name}={rule!r} needs the limit of quantification; give lloq")
        used |= where & (rule != DROP)
        if rule in (LIMIT, HALF):
            curve = np.where(where, limit * (1.0 if rule == LIMIT else 0.5), curve)
    order = np.argsort(~used, axis=1, kind="stable")
    behind = ~np.take_along_axis(used, order, axis=1)
    packed = [np.where(behind, np.nan, np.take_along_axis(one, order, axis=1)) for one in (time, curve)]
    return _with_start(packed[0], packed[1], rules)


def _with_start(time: np.ndarray, value: np.ndarray, rules: NcaRules) -> tuple[np.ndarray, np.ndarray]:
    """Return the curve with a value at the start of the interval put before the first one, where the rule says so."""
    with np.errstate(invalid="ignore"):
        late = (time[:, 0] > rules.start) & (rules.before_first != "missing")
    if not late.any():
        return time, value
    first = np.zeros(len(time)) if rules.before_first == "zero" else value[:, 0]
    time_before, value_before = np.c_[np.full(len(time), rules.start), time], np.c_[first, value]
    nothing = np.full((len(time), 1), np.nan)
    return (
        np.where(late[:, None], time_before, np.c_[time, nothing]),
        np.where(late[:, None], value_before, np.c_[value, nothing]),
    )


def _areas(
    time: np.ndarray, value: np.ndarray, found: dict[str, np.ndarray], slope: np.ndarray, rules: NcaRules
) -> dict[str, np.ndarray]:
    """Return the area to the last measurable value and that over the interval."""
    low, high = np.full(len(time), float(rules.start)), np.full(len(time), float(rules.end))
    tlast = np.where(np.isnan(found["tlast"]), rules.start, found["tlast"])
    last = np.where(np.isnan(time), -np.inf, time).argmax(axis=1)
    rows = np.arange(len(time))
    end_time, end_value = time[rows, last], value[rows, last]
    with np.errstate(invalid="ignore"):
        started = (time[:, 0] <= rules.start) & ~np.isnan(time[:, 0])
        ended = end_time >= rules.end
    auc_last = np.where(started, area(time, value, low, np.maximum(tlast, low), found["tmax"], rules.method), np.nan)
    whole = area(time, value, low, high, found["tmax"], rules.method)
    if rules.after_last == "extrapolate":
        begin = np.maximum(end_time, rules.start)
        with np.errstate(invalid="ignore", over="ignore"):
            tail = end_value * (np.exp(slope * (begin - end_time)) - np.exp(slope * (rules.end - end_time))) / -slope
        whole = np.where(ended | (end_value == 0), whole, whole + tail)
    elif rules.after_last == "missing":
        whole = np.where(ended, whole, np.nan)
    return {"auc_last": auc_last, "auc_interval": np.where(started, whole, np.nan)}


def _terminal(time: np.ndarray, log: np.ndarray, measurable: np.ndarray, peak: np.ndarray, rules: NcaRules) -> Fit:
    column = np.arange(time.shape[1])
    after = column >= peak[:, None] + (0 if rules.terminal_peak else 1)
    return best_fit(time, log, measurable & after, rules.terminal_points, rules.terminal_tolerance)


def _halves(
    time: np.ndarray, log: np.ndarray, measurable: np.ndarray, peak: np.ndarray, terminal: Fit, rules: NcaRules
) -> dict[str, np.ndarray]:
    """Return the half-lives and how well they are known."""
    falling = measurable & (np.arange(time.shape[1]) >= peak[:, None])
    if rules.contraction == "window":
        with np.errstate(invalid="ignore"):
            falling &= time <= rules.contraction_until
        fit = whole_fit(time, log, falling)
        enough = (fit.count >= rules.contraction_points) & (fit.slope < 0)
    else:
        back = (time[:, ::-1], log[:, ::-1], falling[:, ::-1])
        fit = best_fit(*back, rules.contraction_points, rules.terminal_tolerance)
        enough = fit.count > 0
    return {
        "terminal_half_life": np.log(2) / -terminal.slope,
        "terminal_r2": terminal.adjusted,
        "terminal_count": np.where(np.isnan(terminal.slope), np.nan, terminal.count),
        "contraction_half_life": np.where(enough, np.log(2) / -np.where(enough, fit.slope, -1.0), np.nan),
        "contraction_count": np.where(enough, fit.count, np.nan),
    }


def _expansion(
    time: np.ndarray, value: np.ndarray, log: np.ndarray, measurable: np.ndarray, peak: np.ndarray, rules: NcaRules
) -> dict[str, np.ndarray]:
    """Return how many times the cells grew before the peak, and how fast they doubled."""
    column, rows = np.arange(time.shape[1]), np.arange(len(time))
    before = measurable & (column < peak[:, None])
    there = before.any(axis=1)
    base = np.where(before, value, np.inf).argmin(axis=1) if rules.expansion_from == "lowest" else before.argmax(axis=1)
    with np.errstate(over="ignore", divide="ignore"):
        fold = np.where(there, value[rows, peak] / np.where(there, value[rows, base], 1.0), np.nan)
    if rules.doubling == "regression":
        between = measurable & (column >= base[:, None]) & (column <= peak[:, None])
        growth = np.where(there, whole_fit(time, log, between).slope, np.nan)
    else:
        growth = np.log(fold) / np.where(there, time[rows, peak] - time[rows, base], np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        doubling = np.where(growth > 0, np.log(2) / growth, np.nan)
    return {"fold_expansion": fold, "doubling_time": doubling}
