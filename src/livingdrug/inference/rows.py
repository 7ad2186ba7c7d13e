"""Observations as an estimator reads them: in order of subject, each a point or an interval on its endpoint's scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.limits import Treated, treat

if TYPE_CHECKING:
    from livingdrug.inference.data import Doses, EventData, Observations
    from livingdrug.inference.statistical import Endpoint

__all__ = ["Rows", "make_rows"]

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
    def points(self) -> NDArray[np.bool_]:
        """Rows that are points, not intervals."""
        return ~np.isnan(self.value)

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
            row = data.observations.row[np.argmax(data.observations.endpoint == k)]
            raise InputError(
                f"the data hold observations of {name!r} (first in row {row}), which no endpoint of the model reads; "
                "add an endpoint or leave these rows out"
            )


def _endpoint_rows(data: EventData, endpoint: Endpoint, number: int) -> list[NDArray]:
    """Rows of one endpoint: source, endpoint, value, low, high, above, constant."""
    name = endpoint.data_name(data)
    if name not in data.endpoints:
        raise InputError(unknown_name("endpoint of the data", name, data.endpoints))
    source = np.flatnonzero(data.observations.endpoint == data.endpoints.index(name))
    seen = data.observations.take(source)
    value, censoring, lloq = seen.value, seen.censoring, seen.lloq
    if endpoint.limit is not None:
        under = (censoring == 0) & (value < endpoint.limit)
        censoring, value = np.where(under, 1, censoring), np.where(under, endpoint.limit, value)
        lloq = np.full(len(value), float(endpoint.limit))
    found = treat(endpoint.blq, seen.subject, value, censoring, seen.limit, lloq)
    constant = np.zeros(len(value))
    if endpoint.residual.logarithmic:
        found, constant = _logarithms(data, endpoint, seen, found)
    columns = (source, np.full(len(source), number), found.value, found.low, found.high, found.above, constant)
    return [column[found.kept] for column in columns]


def _logarithms(data: EventData, endpoint: Endpoint, seen: Observations, found: Treated) -> tuple[Treated, Reals]:
    """Values and limits of a log-normal residual as logarithms, and the logarithm of the density's factor."""
    bad = found.kept & (found.value <= 0)
    if bad.any():
        k = int(np.argmax(bad))
        raise InputError(
            f"subject {data.ids[seen.subject[k]]!r}, row {seen.row[k]}: the value {found.value[k]:g} has no logarithm; "
            f"the residual of {endpoint.output!r} is log-additive. Mark the row as below the limit (CENS 1)"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high, above, value = (
            np.log(np.maximum(part, 0.0)) for part in (found.low, found.high, found.above, found.value)
        )
    return Treated(found.kept, value, low, high, above), -np.where(np.isnan(value), 0.0, value)


def _units(data: EventData, seen: Observations, occasions: bool) -> tuple[Whole, Whole, Whole]:
    """Unit of each row, and subject and occasion (counted from 0 within the data) of each unit."""
    if not occasions:
        everyone = np.arange(len(data.ids))
        return seen.subject, everyone, np.zeros(len(data.ids), np.int64)
    names, occasion = np.unique(seen.occasion, return_inverse=True)
    key = seen.subject * len(names) + occasion
    found, unit = np.unique(key, return_inverse=True)
    return unit, found // len(names), found % len(names)
