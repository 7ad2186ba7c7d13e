"""Values below and above limits of quantification: CENS and LIMIT, or BLQ and LLOQ, into one store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.data_columns import Rows
from livingdrug.inference.data_findings import WARNING, Report

__all__ = ["Limits", "read_limits"]


@dataclass(frozen=True, eq=False)
class Limits:
    """Per row of the table: value (the limit where it is censored), censoring, other end of the interval, LLOQ."""

    value: np.ndarray
    censoring: np.ndarray
    limit: np.ndarray
    lloq: np.ndarray


def read_limits(
    rows: Rows,
    measured: np.ndarray,
    endpoint: np.ndarray,
    endpoints: tuple[str, ...],
    lloq: float | Mapping[str, float] | None,
    report: Report,
) -> Limits:
    """Return the limits of each row; only rows that are ``measured`` are looked at.

    Which spelling counts: CENS if it is there, else BLQ, else a value below its LLOQ is below the limit.

    Raises:
        InputError: ``lloq`` names no endpoint or is no number.
    """
    known = _known_lloq(rows, endpoint, endpoints, lloq)
    dv = rows.get("DV")
    censoring = _censoring(rows, measured, dv, known, report)
    bound = _bound(rows, dv, known)
    left, limit = censoring == 1, rows.get("LIMIT")
    value = np.where(left, bound, dv)
    known = np.where(left, value, np.where((censoring == 0) & np.isnan(known), limit, known))
    limit = np.where(censoring == 0, np.nan, limit)
    _check_marks(rows, measured, dv, censoring, bound, report)
    with np.errstate(invalid="ignore"):
        unmarked = measured & (censoring == 0) & (dv < known)
    report.add(unmarked, rows.given["DV"], dv, "below its LLOQ, but not marked as such", WARNING)
    _check_intervals(rows, value, censoring, limit, report)
    return Limits(value, censoring, limit, known)


def _bound(rows: Rows, dv: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return the limit below which a row marked as such lies.

    With CENS that is DV, unless the table has a limit of its own or DV holds none; otherwise it is the LLOQ, and DV
    where there is none.
    """
    if "CENS" not in rows:
        return np.where(np.isnan(known), dv, known)
    own = rows.get("LLOQ")
    nothing = np.isnan(dv) | ((dv == 0) & ~np.isnan(known))
    return np.where(~np.isnan(own), own, np.where(nothing, known, dv))


def _known_lloq(
    rows: Rows, endpoint: np.ndarray, endpoints: tuple[str, ...], lloq: float | Mapping[str, float] | None
) -> np.ndarray:
    """Return the LLOQ of each row: that of the table, else that of its endpoint, else NaN."""
    by_endpoint = np.full(max(len(endpoints), 1), np.nan)
    if isinstance(lloq, Mapping):
        for name, one in lloq.items():
            if name not in endpoints:
                raise InputError(unknown_name("endpoint of lloq", name, endpoints))
            by_endpoint[endpoints.index(name)] = _a_limit(one, name)
    elif lloq is not None:
        by_endpoint[:] = _a_limit(lloq, "all endpoints")
    given = by_endpoint[np.clip(endpoint, 0, None)]
    own = rows.get("LLOQ")
    return np.where(np.isnan(own), given, own)


def _a_limit(value: float, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not np.isfinite(value):
        raise InputError(f"the limit of quantification of {place} must be a finite number, got {value!r:.40}")
    return float(value)


def _censoring(rows: Rows, measured: np.ndarray, dv: np.ndarray, known: np.ndarray, report: Report) -> np.ndarray:
    """Return -1, 0 or 1 for each row; 0 where nothing was measured."""
    if "CENS" in rows:
        cens = rows.get("CENS", 0.0)
        odd = measured & ~np.isin(cens, (-1, 0, 1))
        report.add(odd, rows.given["CENS"], cens, "must be 1 (below DV), -1 (above DV) or 0 (measured)")
        found = np.where(odd, 0, cens)
    elif "BLQ" in rows:
        blq = rows.get("BLQ", 0.0)
        odd = measured & ~np.isin(blq, (0, 1))
        report.add(odd, rows.given["BLQ"], blq, "must be 1 (below the limit of quantification) or 0")
        found = np.where(odd, 0, blq)
    else:
        found = np.where(dv < known, 1, 0)
    return np.where(measured, found, 0).astype(int)


def _check_marks(
    rows: Rows, measured: np.ndarray, dv: np.ndarray, censoring: np.ndarray, bound: np.ndarray, report: Report
) -> None:
    """Report marks without a limit, and marks that contradict each other."""
    mark = rows.given.get("CENS", rows.given.get("BLQ", "DV"))
    left, right, name = censoring == 1, censoring == -1, rows.given["DV"]
    report.add(
        (left & np.isnan(bound)) | (right & np.isnan(dv)), mark, censoring,
        "censored without a limit: write the limit in DV (or give LLOQ, where it is below)",
    )  # fmt: skip
    if "CENS" in rows and "BLQ" in rows:
        report.add(
            measured & ((rows.get("BLQ", 0.0) == 1) != left), rows.given["BLQ"], rows.get("BLQ"),
            "contradicts CENS; keep one of the two spellings",
        )  # fmt: skip
    with np.errstate(invalid="ignore"):
        above = left & (dv - bound > 1e-9 * np.abs(bound))
    report.add(above, name, dv, "a value below the limit lies above its LLOQ")
    report.add(
        left & (bound == 0), name, dv,
        "the value of a censored row is its limit; 0 is one only for logarithms", WARNING,
    )  # fmt: skip


def _check_intervals(rows: Rows, value: np.ndarray, censoring: np.ndarray, limit: np.ndarray, report: Report) -> None:
    if "LIMIT" not in rows:
        return
    with np.errstate(invalid="ignore"):
        report.add(
            (censoring == 1) & (limit >= value), rows.given["LIMIT"], limit,
            "the lower end of a censored interval must lie below DV",
        )  # fmt: skip
        report.add(
            (censoring == -1) & (limit <= value), rows.given["LIMIT"], limit,
            "the upper end of a censored interval must lie above DV",
        )  # fmt: skip
