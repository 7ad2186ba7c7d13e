"""Observations as an estimator reads them: in order of subject, each a point or an interval on its endpoint's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.limits import Treated, treat

if TYPE_CHECKING:
    from livingdrug.inference.data import Doses, EventData, Observations
    from livingdrug.inference.statistical import Endpoint

__all__ = ["Rows", "make_rows"]

JUST_BEFORE = 1e-8
"""Share of a time (at least of a day) by which a sample precedes a dose of the same time that its table lists later."""

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Rows:
    """What takes part in a fit.

    A *unit* is a subject, or a subject in one occasion where parameters differ between occasions.

    Attributes:
        data: the data set.
        subject, time, endpoint: of each row, shape (row,), in order of subject.
        value: the value on the endpoint's scale; NaN where the row counts by its chance to lie in (low, high).
        low, high, above: see :class:`livingdrug.inference.limits.Treated`.
        source: number of the observation in ``data.observations``.
        unit: of each row.
        unit_subject, unit_occasion: of each unit, shape (unit,).
        doses: all doses, each addition one of its own.
        constant: sum of the logarithms by which densities of the values differ from those on the endpoints' scales.
    """

    data: EventData
    subject: Whole
    time: Reals
    endpoint: Whole
    value: Reals
    low: Reals
    high: Reals
    above: Reals
    source: Whole
    unit: Whole
    unit_subject: Whole
    unit_occasion: Whole
    doses: Doses
    constant: Reals

    @property
    def subjects(self) -> int:
        """Number of subjects."""
        return len(self.data.ids)

    @property
    def starts(self) -> Whole:
        """First row of each subject."""
        return np.searchsorted(self.subject, np.arange(self.subjects))

    @property
    def asked(self) -> Reals:
        """Times of predictions: just before a dose of the same time where the table lists the sample first."""
        trough = np.asarray(self.data.observations.before_dose)[self.source] == 1
        return np.where(trough, self.time - JUST_BEFORE * np.maximum(1.0, np.abs(self.time)), self.time)

    @property
    def points(self) -> NDArray[np.bool_]:
        """Rows that are points, not intervals."""
        return ~np.isnan(self.value)

    def moves(self, name: str) -> str:
        """Where a covariate first moves in time, in words with subject and row; empty if it does not.

        The row is the subject's first observation or dose from which on the new value holds.
        """
        one = self.data.covariates[name]
        moved = (one.subject[1:] == one.subject[:-1]) & (one.changed[1:] != one.changed[:-1])
        if not moved.any():
            return ""
        at = 1 + int(np.argmax(moved))
        rows = [
            part.row[(part.subject == one.subject[at]) & (part.time >= one.time[at])]
            for part in (self.data.observations, self.data.doses)
        ]
        row = f", row {min(np.concatenate(rows))}" if len(np.concatenate(rows)) else ""
        return f"first of subject {self.data.ids[one.subject[at]]!r}{row}"

    def covariate(self, name: str) -> Reals:
        """Values of a covariate at the rows."""
        if name not in self.data.covariates:
            raise InputError(unknown_name("covariate of the data", name, self.data.covariates))
        return np.asarray(self.data.covariates[name].at(self.subject, self.time), float)


def make_rows(data: EventData, endpoints: Sequence[Endpoint], *, occasions: bool = False) -> Rows:
    """Choose, scale and censor the observations that the endpoints of a model read.

    Raises:
        InputError: an endpoint that the data lack or the model lacks, a value that its scale cannot hold, a subject
            without observations.
    """
    if not len(data.ids):
        raise InputError("the data hold no subject")
    parts = [_endpoint_rows(data, endpoint, number) for number, endpoint in enumerate(endpoints)]
    _check_endpoints(data, endpoints)
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.lexsort((columns[0], data.observations.time[columns[0]], data.observations.subject[columns[0]]))
    source, number, value, low, high, above, constant = (column[order] for column in columns)
    seen = data.observations.take(source)
    unit, unit_subject, unit_occasion = _units(data, seen, occasions)
    counts = np.bincount(seen.subject, minlength=len(data.ids))
    if (counts == 0).any():
        bare = data.ids[int(np.argmin(counts))]
        raise InputError(
            f"subject {bare!r} has no observation that takes part in the fit; leave it out with data.take(...)"
        )
    return Rows(
        data, seen.subject, seen.time, number, value, low, high, above, source, unit, unit_subject, unit_occasion,
        data.doses.unrolled(), np.bincount(seen.subject, constant, minlength=len(data.ids)).astype(float),
    )  # fmt: skip


def _check_endpoints(data: EventData, endpoints: Sequence[Endpoint]) -> None:
    used = {endpoint.data_name(data) for endpoint in endpoints}
    present = np.bincount(data.observations.endpoint, minlength=len(data.endpoints)) > 0
    for k, name in enumerate(data.endpoints):
        if present[k] and name not in used:
            first = int(np.argmax(data.observations.endpoint == k))
            who, row = data.ids[data.observations.subject[first]], data.observations.row[first]
            raise InputError(
                f"the data hold observations of {name!r} (first of subject {who!r} in row {row}), which no endpoint of "
                f"the model reads; add an endpoint, say which one reads them (data={name!r}), or leave these rows out"
            )


def _endpoint_rows(data: EventData, endpoint: Endpoint, number: int) -> list[NDArray]:
    """Rows of one endpoint: source, endpoint, value, low, high, above, constant."""
    name = endpoint.data_name(data)
    if name not in data.endpoints:
        raise InputError(
            f"{unknown_name('endpoint of the data', name, data.endpoints)}; say which of them {endpoint.output!r} is "
            f"(data={data.endpoints[0]!r})"
        )
    source = np.flatnonzero(data.observations.endpoint == data.endpoints.index(name))
    seen = data.observations.take(source)
    value, censoring, lloq = seen.value, seen.censoring, seen.lloq
    if endpoint.limit is not None:
        under = (censoring == 0) & (value < endpoint.limit)
        censoring, value = np.where(under, 1, censoring), np.where(under, endpoint.limit, value)
        lloq = np.full(len(value), float(endpoint.limit))
    _check_zero(data, endpoint, seen, censoring)
    base = {"log": np.e, "log10": 10.0}.get(endpoint.scale)
    if base is None or endpoint.blq in {"M1", "M2", "M3"}:
        found = treat(endpoint.blq, seen.subject, value, censoring, seen.limit, lloq)
    else:  # half a limit, and that a value is positive, are meant on the natural scale
        natural = [np.power(base, part) for part in (value, seen.limit, lloq)]
        found = _as_logarithms(treat(endpoint.blq, seen.subject, natural[0], censoring, *natural[1:]), base)
        found = replace(found, value=np.where(censoring == 0, value, found.value))
    constant = np.zeros(len(value))
    if endpoint.residual.logarithmic:
        found, constant = _logarithms(data, endpoint, seen, found)
    columns = (source, np.full(len(source), number), found.value, found.low, found.high, found.above, constant)
    return [column[found.kept] for column in columns]


def _check_zero(data: EventData, endpoint: Endpoint, seen: Observations, censoring: NDArray) -> None:
    """Refuse M7 where the scatter is that of logarithms."""
    logarithmic = endpoint.residual.logarithmic or endpoint.scale != "natural"
    if endpoint.blq == "M7" and logarithmic and (censoring == 1).any():
        k = int(np.argmax(censoring == 1))
        raise InputError(
            f"M7 puts zero in place of samples below the limit (first of subject {data.ids[seen.subject[k]]!r}, row "
            f"{seen.row[k]}), but {endpoint.output!r} scatters on the scale of logarithms, where zero has no place; "
            "take M3 (or M5 or M6, to compare), or data and a residual on the natural scale"
        )


def _as_logarithms(found: Treated, base: float = np.e) -> Treated:
    """Values and limits as logarithms; what lies below zero has that of zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = (np.log(np.maximum(part, 0.0)) for part in (found.value, found.low, found.high, found.above))
        return Treated(found.kept, *(part / np.log(base) for part in parts))


def _logarithms(data: EventData, endpoint: Endpoint, seen: Observations, found: Treated) -> tuple[Treated, Reals]:
    """Values and limits of a log-normal residual as logarithms, and the logarithm of the density's factor."""
    bad = found.kept & (found.value <= 0)
    if bad.any():
        k = int(np.argmax(bad))
        raise InputError(
            f"subject {data.ids[seen.subject[k]]!r}, row {seen.row[k]}: the value {found.value[k]:g} has no logarithm; "
            f"the residual of {endpoint.output!r} is log-additive. Mark the row as below the limit (CENS 1)"
        )
    found = _as_logarithms(found)
    return found, -np.where(np.isnan(found.value), 0.0, found.value)


def _units(data: EventData, seen: Observations, occasions: bool) -> tuple[Whole, Whole, Whole]:
    """Unit of each row, and subject and occasion (counted from 0 within the data) of each unit."""
    if not occasions:
        everyone = np.arange(len(data.ids))
        return seen.subject, everyone, np.zeros(len(data.ids), np.int64)
    names, occasion = np.unique(seen.occasion, return_inverse=True)
    key = seen.subject * len(names) + occasion
    found, unit = np.unique(key, return_inverse=True)
    return unit, found // len(names), found % len(names)
