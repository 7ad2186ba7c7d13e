"""What was reported, on the scale on which a calibration compares: a number, and how far chance may move it.

Proportions and shares without event are compared as logits, everything else as logarithms. The variance of a target is
that of a trial of its size: binomial for proportions, from the reported coefficient of variation, range or confidence
interval for the others, and that of the rounding in print.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.trials.outcomes import COLUMNS
from livingdrug.trials.targets import Target

__all__ = [
    "as_printed",
    "chance_variance",
    "compared",
    "is_inside",
    "is_share",
    "observed",
    "printed_step",
    "reported_width",
]

Array = NDArray[np.float64]
Z95 = 1.959963984540054
USUAL_SPREAD = 0.7  # SD of the logarithm of times between patients where no range was reported: assumed
MEDIAN = 1.2533  # SD of a median over that of a mean, normal case: sqrt(pi / 2)
LEAST = 0.25  # days below are read as a quarter of a day, so that day 0 has a logarithm
FARTHEST = 30.0  # what is farther off, or not reached, counts as so many times more or less than reported


def is_share(target: Target) -> bool:
    """Whether it is a percentage of patients."""
    return target.measure.statistic in ("proportion", "survival")


def compared(target: Target, values: ArrayLike) -> Array:
    """Return values of a target on the scale of comparison; what is not reached (infinite) counts as very late.

    Example:
        >>> from livingdrug.trials.targets import targets
        >>> rate = next(t for t in targets("eliana") if t.endpoint == "CR/CRi")
        >>> float(compared(rate, 50.0))
        0.0
    """
    v = np.asarray(values, np.float64)
    if is_share(target):
        share = (v / 100 * target.size + 0.5) / (target.size + 1)
        return np.log(share / (1 - share))
    if target.measure.statistic == "geometric CV":
        v = _spread(v)
    floor = LEAST if target.unit == "days" else 0.0
    middle = _spread(target.value) if target.measure.statistic == "geometric CV" else max(target.value, floor)
    return np.log(np.clip(v, max(middle / FARTHEST, floor), middle * FARTHEST))


def _spread(cv: ArrayLike) -> Array:
    """Return the SD of the logarithm for a coefficient of variation in per cent."""
    return np.sqrt(np.log1p((np.asarray(cv, np.float64) / 100) ** 2))


def observed(target: Target) -> float:
    """Return the reported number on the scale of comparison."""
    return float(compared(target, target.value))


def printed_step(target: Target) -> float:
    """Return the last printed digit of a reported number: 1 for 8 days, 0.1 for 8.8 months.

    Example:
        >>> from livingdrug.trials.targets import targets
        >>> [printed_step(t) for t in targets("eliana")[:3]]
        [100.0, 100.0, 0.01]
    """
    text = f"{target.value:.10g}"
    if "." in text:
        return 10.0 ** -len(text.split(".")[1])
    return 10.0 ** (len(text) - len(text.rstrip("0"))) if target.value >= 1000 else 1.0


def as_printed(target: Target, values: ArrayLike, limit: float) -> Array:
    """Return simulated numbers of a target as a report would print them.

    Days are rounded as the reported number is, and a median of an assay is no less than the assay's limit. All other
    numbers stay as they are; see :func:`is_inside`.
    """
    found = np.asarray(values, np.float64)
    if COLUMNS.get(target.measure.of, ("",))[0] == "assay" and target.measure.statistic == "median":
        found = np.maximum(found, limit)
    step = printed_step(target)
    return np.round(found / step) * step if target.unit == "days" else found


def is_inside(target: Target, low: float, high: float) -> bool:
    """Whether an interval holds the reported number, which stands for all numbers that are printed like it.

    Its ends come from numbers :func:`as_printed`.

    Example:
        >>> from livingdrug.trials.targets import targets
        >>> survival = next(t for t in targets("juliet") if t.endpoint == "median OS")
        >>> survival.value, is_inside(survival, 11.14, 20.0), is_inside(survival, 11.16, 20.0)
        (11.1, True, False)
    """
    half = 0.0 if target.unit == "days" else printed_step(target) / 2
    return bool(low - half <= target.value <= high + half)


def chance_variance(target: Target) -> float:
    """Return the variance that chance in a trial of its size gives a target, on the scale of comparison."""
    if is_share(target):
        return _of_share(target)
    sd = reported_width(target)
    rounding = printed_step(target) ** 2 / 12 / max(target.value, LEAST) ** 2
    return sd**2 + (0.0 if target.measure.statistic == "geometric CV" else rounding)


def _of_share(target: Target) -> float:
    if target.measure.statistic == "survival" and target.low is not None and target.high is not None:
        low, high = (compared(target, end) for end in (target.low, target.high))
        return float(((high - low) / 2 / Z95) ** 2)
    events = (target.value / 100 * target.size + 0.5) * target.size / (target.size + 1)
    return float(1 / events + 1 / (target.size - min(events, target.size - 0.5)))


def reported_width(target: Target) -> float:
    """Return the SD that chance gives a number that is no share, on the logarithmic scale."""
    n, statistic = target.size, target.measure.statistic
    if statistic == "geometric CV":
        return 1 / math.sqrt(2 * n)
    if statistic == "standard deviation":
        return 1.5 / math.sqrt(2 * n)  # the data have heavier tails than the normal
    if statistic == "geometric mean":
        spread = float(_spread(target.cv)) if target.cv else 1.0
        return spread / math.sqrt(n)
    if statistic == "arithmetic mean":
        return (target.sd / target.value if target.sd else 1.0) / math.sqrt(n)
    if statistic == "median time":
        if target.low is not None and target.high is not None:
            return math.log(target.high / target.low) / 2 / Z95
        return 1 / math.log(2) / math.sqrt(n)  # of exponential times
    return MEDIAN * _spread_of_range(target) / math.sqrt(n)


def _spread_of_range(target: Target) -> float:
    from scipy.special import ndtri

    low, high = target.range_low, target.range_high
    if low is None or high is None or not high > low:
        return USUAL_SPREAD
    reach = math.log(high / max(low, LEAST if target.unit == "days" else 1e-9))
    if "interquartile" in target.note or "interquartile" in target.statistic:
        return reach / (2 * float(ndtri(0.75)))
    return reach / (2 * float(ndtri(1 - 1 / (target.size + 1))))
