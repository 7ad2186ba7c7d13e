"""Values beyond the limits of quantification: what each of the methods M1 to M7 makes of them (Beal 2001).

| method | a sample below the limit | a measured sample |
|---|---|---|
| M1 | left out | as it is |
| M2 | left out | given that it lies above the limit |
| M3 | the chance to lie below the limit (default) | as it is |
| M4 | the chance to lie below the limit, given that it is positive | given that it is positive |
| M5 | half the limit | as it is |
| M6 | half the limit for the first of a row of them, the others left out | as it is |
| M7 | zero | as it is |

Samples above an upper limit and samples known to lie in an interval count by their chance under every method but M1, M2
and M6, which leave them out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name

__all__ = ["METHODS", "Treated", "treat"]

Reals = NDArray[np.float64]

METHODS = ("M1", "M2", "M3", "M4", "M5", "M6", "M7")


@dataclass(frozen=True)
class Treated:
    """Samples of one endpoint after the method was applied.

    Attributes:
        kept: which samples take part, shape (sample,).
        value: the value of a point; NaN where the sample counts by its chance to lie between ``low`` and ``high``.
        low, high: ends of that interval.
        above: the sample counts given that it lies above this; -inf where nothing is given.
    """

    kept: NDArray[np.bool_]
    value: Reals
    low: Reals
    high: Reals
    above: Reals


def treat(
    method: str, subject: NDArray[np.int64], value: Reals, censoring: NDArray[np.int64], other: Reals, lloq: Reals
) -> Treated:
    """Apply a method to the samples of one endpoint.

    Args:
        method: ``M1`` to ``M7``.
        subject: of each sample, shape (sample,); the samples of one subject in order of time.
        value: measured value, or the limit of a censored sample.
        censoring: 0 measured, 1 below the value, -1 above it.
        other: other end of the interval of a censored sample, NaN for none.
        lloq: lower limit in force, NaN where unknown.

    Raises:
        InputError: an unknown method, or M2 without the limit of a measured sample.

    Example:
        >>> found = treat(
        ...     "M5", np.zeros(2, int), np.array([3.0, 2.0]), np.array([0, 1]), np.full(2, np.nan), np.full(2, 2.0)
        ... )
        >>> found.value.tolist()
        [3.0, 1.0]
    """
    if method not in METHODS:
        raise InputError(unknown_name("method for values below the limit", method, METHODS))
    below, beyond = censoring == 1, censoring != 0
    kept = np.ones(len(value), bool)
    point = np.where(beyond, np.nan, value)
    low = np.where(censoring == -1, value, np.where(np.isnan(other), -np.inf, other))
    high = np.where(censoring == -1, np.where(np.isnan(other), np.inf, other), value)
    above = np.full(len(value), -np.inf)
    if method in {"M1", "M2"}:
        kept &= ~beyond
    if method == "M2":
        above = _limits(value, lloq)
    if method == "M4":
        low = np.where(below & np.isinf(low), 0.0, low)
        above = np.zeros(len(value))
    if method in {"M5", "M6", "M7"}:
        point = np.where(below, 0.0 if method == "M7" else value / 2, point)
    if method == "M6":
        again = below & np.r_[False, below[:-1] & (subject[1:] == subject[:-1])]
        kept &= ~again & (below | ~beyond)
    return Treated(kept, point, low, high, above)


def _limits(value: Reals, lloq: Reals) -> Reals:
    if np.isnan(lloq).all():
        raise InputError("M2 needs the limit of quantification of measured samples; give it as the endpoint's limit")
    limits = np.where(np.isnan(lloq), np.nanmax(lloq), lloq)
    return np.where(value < limits, -np.inf, limits)
