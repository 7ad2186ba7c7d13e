"""Visits: a long chart laid out as one row per patient and time, with what is missing left open on both sides."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.observations import Observations, moments
from livingdrug.clinic.observations_items import ITEMS, Item, item

__all__ = ["Visits", "one_round", "visits"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

CHILD_AGE = 12.0  # years: younger patients are examined with CAPD; mdedge.com 192202
EPSILON = 1e-9  # days


@dataclass(frozen=True)
class Visits:
    """Charts at n times, sorted by patient and time.

    Attributes:
        names: the patients.
        patient: (n,) place in ``names``.
        time: (n,) days since infusion.
        mild: item -> (n,) the mildest value that agrees with the chart; of shape () where it is the same for all.
        worst: item -> the worst such value.
        missing: item -> (n,) or (), no value is known.
        assumed: item -> (n,) or (), a value was assumed that no chart holds.
        baseline: item -> (n,) the last value at or before infusion, NaN where there is none.
    """

    names: NDArray[np.object_]
    patient: NDArray[np.intp]
    time: Array
    mild: dict[str, Array]
    worst: dict[str, Array]
    missing: dict[str, Flags]
    assumed: dict[str, Flags]
    baseline: dict[str, Array]

    def __len__(self) -> int:
        return self.time.size


def visits(chart: Observations, needed: Iterable[str], assume_absent: Iterable[str] = ()) -> Visits:
    """Lay out a chart; items that are not needed are left out.

    Args:
        chart: checked observations.
        needed: the items that the scales ask for.
        assume_absent: items that stand for "well" wherever the chart says nothing.
    """
    table = chart.table
    key, names, codes, _ = moments(table["patient"], table["time"])
    row_visit, first = _numbered(key)
    order = np.lexsort((table["time"].to_numpy(float)[first], codes[first]))
    rank = np.empty(len(order), np.intp)
    rank[order] = np.arange(len(order))
    row_visit, first = rank[row_visit], first[order]
    layout = _Layout(np.asarray(names, object), codes[first], table["time"].to_numpy(float)[first])
    items, values = table["item"].cat.codes.to_numpy(), table["value"].to_numpy(float)
    places = {name: place for place, name in enumerate(table["item"].cat.categories)}
    for name in dict.fromkeys([*needed, "age", "ice_score", "capd_score"]):
        at = np.flatnonzero(items == places[name])
        layout.add(ITEMS[name], row_visit[at], values[at])
    return layout.finish(tuple(assume_absent))


def _numbered(key: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return for each row the number of its key, and the first row of each key."""
    import pandas as pd

    number, distinct = pd.factorize(key)
    first = np.zeros(len(distinct), np.intp)
    first[number[::-1]] = np.arange(len(key))[::-1]
    return number, first


class _Layout:
    def __init__(self, names: NDArray[np.object_], patient: NDArray[np.intp], time: Array) -> None:
        self.names, self.patient, self.time = names, patient, time
        starts = np.ones(len(time), bool)
        starts[1:] = patient[1:] != patient[:-1]
        self.begin = np.maximum.accumulate(np.where(starts, np.arange(len(time)), 0)) if len(time) else patient
        self.low: dict[str, Array] = {}
        self.high: dict[str, Array] = {}
        self.baseline: dict[str, Array] = {}

    def add(self, one: Item, visit: NDArray[np.intp], value: Array) -> None:
        """Enter the values of one item and let them stand as long as they hold."""
        if not visit.size:
            return
        if np.any(np.diff(visit) <= 0):
            order = np.lexsort((value, visit))
            visit, value = visit[order], value[order]
        change = np.flatnonzero(np.diff(visit)) + 1
        firsts, lasts = np.concatenate(([0], change)), np.concatenate((change - 1, [len(visit) - 1]))
        last = np.full(len(self.time), -1)
        last[visit[firsts]] = np.arange(len(firsts))
        last = np.maximum.accumulate(last)
        since = np.where(last >= 0, visit[firsts][last], -1)
        known = since >= self.begin
        self.low[one.name], self.high[one.name] = (
            self._held(one, value[ends], last, since, known) for ends in (firsts, lasts)
        )
        self._note_baseline(one, value[lasts], last, known)

    def _held(self, one: Item, value: Array, last: NDArray[np.intp], since: NDArray[np.intp], known: Flags) -> Array:
        if one.constant:
            return self._of_patient(value, last, known)
        fresh = known & (self.time - self.time[since] <= one.hold + EPSILON)
        if one.event:
            has = np.zeros(len(self.names), bool)
            has[self.patient[known]] = True
            here = known & (since == np.arange(len(since)))
            return np.where(here, value[last], np.where(has[self.patient], 0.0, np.nan))
        return np.where(fresh, value[last], np.nan)

    def _of_patient(self, value: Array, last: NDArray[np.intp], known: Flags) -> Array:
        """Return each patient's last value at all of the patient's times."""
        found = np.full(len(self.names), np.nan)
        found[self.patient[known]] = value[last[known]]  # the last one written stays
        return found[self.patient]

    def _note_baseline(self, one: Item, value: Array, last: NDArray[np.intp], known: Flags) -> None:
        before = known & (self.time <= 0)
        found = np.full(len(self.names), np.nan)
        found[self.patient[before]] = value[last[before]]
        self.baseline[one.name] = found[self.patient]

    def finish(self, assume_absent: tuple[str, ...]) -> Visits:
        low = {name: self.low.get(name, np.array(np.nan)) for name in ITEMS}
        high = {name: self.high.get(name, np.array(np.nan)) for name in ITEMS}
        by_capd = _by_capd(low, lambda name: self._charted(name)[self.patient])
        baseline = {name: self.baseline.get(name, np.array(np.nan)) for name in ITEMS}
        return _close(Visits(self.names, self.patient, self.time, low, high, {}, {}, baseline), by_capd, assume_absent)

    def _charted(self, name: str) -> Flags:
        found = np.zeros(len(self.names), bool)
        if name in self.low:
            found[self.patient[~np.isnan(self.low[name])]] = True
        return found


def one_round(values: Mapping[str, ArrayLike], count: int, baseline: Mapping[str, ArrayLike]) -> Visits:
    """Return one time of ``count`` patients as visits.

    Args:
        values: item -> (count,) or one number, in the item's unit; NaN where it was not observed. Words are their
            number. An item that is not given was not observed.
        count: patients.
        baseline: item -> the same at infusion.
    """
    given = {item(name).name: np.asarray(value, float) for name, value in values.items()}
    none = np.array(np.nan)
    both = {name: given.get(name, none) for name in ITEMS}
    by_capd = _by_capd(both, lambda name: ~np.isnan(both[name]))
    usual = {name: np.asarray(baseline.get(name, np.nan), float) for name in ITEMS}
    numbers = np.arange(count)
    at = Visits(numbers.astype(object), numbers, np.zeros(count), dict(both), dict(both), {}, {}, usual)
    return _close(at, by_capd, ())


def _by_capd(values: Mapping[str, Array], charted: object) -> Array:
    """Return 1 where CAPD stands for ICE: in children, and where only CAPD is charted."""
    only = charted("capd_score") & ~charted("ice_score")  # type: ignore[operator]
    return np.asarray((values["age"] < CHILD_AGE) | only, float)


def _close(at: Visits, by_capd: Array, assume_absent: tuple[str, ...]) -> Visits:
    """Fill what is missing: with what it means when absent, else with the mildest and the worst possible value."""
    for name in assume_absent:
        item(name)
    mild, worst = {"by_capd": by_capd}, {"by_capd": by_capd}
    missing, assumed = {}, {}
    for name, one in ITEMS.items():
        low, high = at.mild[name], at.worst[name]
        open_ = np.isnan(low)
        absent = one.absent if name not in assume_absent else one.mildest
        if absent is not None:
            low, high = np.where(open_, absent, low), np.where(open_, absent, high)
            assumed[name] = open_ & (one.constant or name in assume_absent)
            missing[name] = np.zeros((), bool)
        else:
            missing[name] = open_
        better, worse = (high, low) if one.worse == "low" else (low, high)
        mild[name] = np.where(np.isnan(better), one.mildest, better) if absent is None else better
        worst[name] = np.where(np.isnan(worse), one.worst, worse) if absent is None else worse
    _settle(mild, worst, missing)
    return Visits(at.names, at.patient, at.time, mild, worst, missing, assumed, at.baseline)


def _settle(mild: dict[str, Array], worst: dict[str, Array], missing: dict[str, Flags]) -> None:
    """Close what other items tell: no flow in room air, no dose without a vasopressor, oxygen where it flows."""
    air = ~missing["oxygen_device"] & (worst["oxygen_device"] == 0)
    none = ~missing["vasopressors"] & (worst["vasopressors"] == 0) & (worst["vasopressin"] == 0)
    for name, closed in (("oxygen_flow", air), ("vasopressor_dose", none)):
        closed = closed & missing[name]
        worst[name] = np.where(closed, ITEMS[name].mildest, worst[name])
        missing[name] = missing[name] & ~closed
    flows = missing["oxygen_device"] & ~missing["oxygen_flow"] & (mild["oxygen_flow"] > 0)
    mild["oxygen_device"] = np.where(flows, np.maximum(mild["oxygen_device"], 1.0), mild["oxygen_device"])
