"""The scale on which batches are taken to be normal, and their spread from one batch to the next."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

__all__ = ["MEAN_RANGE", "SCALES", "Scale", "moving_range_sigma", "positive", "to_scale"]

Array = NDArray[np.float64]
Scale = Literal["linear", "log", "logit"]
SCALES = ("linear", "log", "logit")
MEAN_RANGE = 2 / math.sqrt(math.pi)  # d2: mean distance of two standard normal numbers
MOST_BATCHES = 1_000_000


def to_scale(values: ArrayLike, scale: Scale, *, least: int = 1) -> Array:
    """Return values on a scale, shape (n,); InputError names the first one that has no place on it.

    Args:
        values: numbers, shape (n,).
        scale: ``"linear"``, ``"log"`` (above 0) or ``"logit"`` (above 0 and below 1).
        least: how many are needed.
    """
    from scipy.special import logit

    rules: Mapping[str, tuple[str, float, float, Any]] = {
        "linear": ("finite", -math.inf, math.inf, np.asarray),
        "log": ("finite and above 0", 0.0, math.inf, np.log),
        "logit": ("above 0 and below 1", 0.0, 1.0, logit),
    }
    if scale not in rules:
        raise InputError(unknown_name("scale", scale, SCALES))
    words, low, high, way = rules[scale]
    try:
        found = np.atleast_1d(np.asarray(values, np.float64))
    except (TypeError, ValueError) as error:
        raise InputError(f"batches must be a row of numbers: {error}") from error
    if found.ndim != 1 or not least <= found.size <= MOST_BATCHES:
        raise InputError(f"{least} to {MOST_BATCHES} batches are needed, got shape {found.shape}")
    bad = ~((found > low) & (found < high))
    if np.any(bad):
        row = int(np.argmax(bad))
        raise InputError(f"batch {row + 1} must be {words} on the {scale} scale, got {found[row]:g}")
    return np.asarray(way(found), np.float64)


def moving_range_sigma(points: Array) -> float:
    """Return sigma from the mean distance of neighbours, which slow drifts hardly enlarge."""
    return float(np.abs(np.diff(points)).mean() / MEAN_RANGE)


def positive(value: float, what: str) -> float:
    """Return a spread that is above 0; an InputError names ``what`` is not."""
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{what} is {value:g}: the batches do not differ, so nothing can be said of their spread")
    return value
