"""Straight lines through logarithms, for all subjects at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Fit", "best_fit", "whole_fit"]


@dataclass(frozen=True)
class Fit:
    """A line per subject: slope per day, adjusted R2, number of values, and the index of its outermost value."""

    slope: np.ndarray
    adjusted: np.ndarray
    count: np.ndarray
    start: np.ndarray


def best_fit(x: np.ndarray, y: np.ndarray, used: np.ndarray, least: int, tolerance: float) -> Fit:
    """Return the falling line through the last values that has the best adjusted R2.

    All runs of at least ``least`` used values that reach to the last used one are tried. Of those that fall and whose
    adjusted R2 is less than ``tolerance`` below the best of all, the longest counts: the rule of PKNCA.

    Args:
        x: times, shape (subject, value).
        y: logarithms.
        used: which values may be taken; where it is false, ``x`` and ``y`` may be anything.
        least: fewest values, 3 or more.
        tolerance: what a longer run may lose in adjusted R2.
    """
    sums = _sums(x, y, used)
    count, slope, adjusted = _lines(*(np.cumsum(one[:, ::-1], axis=1)[:, ::-1] for one in sums))
    tried = used & (count >= least)
    quality = np.where(tried & np.isfinite(adjusted), adjusted, -np.inf)
    good = tried & (slope < 0) & (quality > quality.max(axis=1, keepdims=True, initial=-np.inf) - tolerance)
    return _chosen(good, slope, adjusted, count)


def whole_fit(x: np.ndarray, y: np.ndarray, used: np.ndarray) -> Fit:
    """Return the line through all used values."""
    count, slope, adjusted = _lines(*(one.sum(axis=1, keepdims=True) for one in _sums(x, y, used)))
    return _chosen(count >= 2, slope, adjusted, count)


def _sums(x: np.ndarray, y: np.ndarray, used: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the terms of the sums; x and y are moved near zero first, which keeps the digits."""
    weight = used.astype(float)
    number = np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    x, y = np.where(used, x, 0.0), np.where(used, y, 0.0)
    x = np.where(used, x - x.sum(axis=1, keepdims=True) / number, 0.0)
    y = np.where(used, y - y.sum(axis=1, keepdims=True) / number, 0.0)
    return weight, x, y, x * x, x * y, y * y


def _lines(
    n: np.ndarray, sx: np.ndarray, sy: np.ndarray, sxx: np.ndarray, sxy: np.ndarray, syy: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return number of values, slope and adjusted R2 from sums."""
    vx, vy, cov = n * sxx - sx * sx, n * syy - sy * sy, n * sxy - sx * sy
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = np.where(vx > 0, cov / vx, np.nan)
        r2 = np.where((vx > 0) & (vy > 0), cov * cov / (vx * vy), np.nan)
        adjusted = np.where(n > 2, 1 - (1 - np.minimum(r2, 1.0)) * (n - 1) / (n - 2), np.nan)
    return n, slope, adjusted


def _chosen(good: np.ndarray, slope: np.ndarray, adjusted: np.ndarray, count: np.ndarray) -> Fit:
    """Return the first good line of each subject, NaN where there is none."""
    rows, start = np.arange(len(good)), good.argmax(axis=1)
    there = good.any(axis=1)
    return Fit(
        np.where(there, slope[rows, start], np.nan),
        np.where(there, adjusted[rows, start], np.nan),
        np.where(there, count[rows, start], 0).astype(int),
        np.where(there, start, -1),
    )
