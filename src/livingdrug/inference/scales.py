"""The scales on which parameters differ between subjects: as they are, logarithms, logits between two limits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from livingdrug.inference.statistical import Estimate

__all__ = ["from_working", "to_working"]

Reals = NDArray[np.float64]

FAR = 300.0
"""Logarithms and logits further out are taken for this: their exponential is still a number."""


def to_working(one: Estimate, value: float) -> float:
    """Return a typical value on the scale of its effects.

    Example:
        >>> from livingdrug.inference.statistical import Estimate
        >>> to_working(Estimate(0.25, scale="logitnormal"), 0.25) == -math.log(3)
        True
    """
    if one.kind == "normal":
        return float(value)
    if one.kind == "lognormal":
        return math.log(value)
    low, high = one.limits
    return math.log((value - low) / (high - value))


def from_working(one: Estimate, working: Reals) -> tuple[Reals, Reals, Reals]:
    """Return values in the model's unit of those on the scale of effects, with first and second derivative."""
    x = np.asarray(working, float)
    if one.kind == "normal":
        return x, np.ones_like(x), np.zeros_like(x)
    if one.kind == "lognormal":
        value = np.exp(np.clip(x, -FAR, FAR))
        return value, value, value
    low, high = one.limits
    share = 1.0 / (1.0 + np.exp(-np.clip(x, -FAR, FAR)))
    first = (high - low) * share * (1 - share)
    return low + (high - low) * share, first, first * (1 - 2 * share)
