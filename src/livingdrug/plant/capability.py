"""Capability, whether a process keeps its limits, and comparability, whether two differ by less than a stated margin.

Shares and counts of cells are not normal; ``scale`` says on which scale they are taken to be: ``"linear"``, ``"log"``
or ``"logit"``.

Left out: tolerance intervals, correlation between batches, sample sizes that differ so much that the normal shape
matters.

Example:
    >>> round(capability([9.0, 10.0, 11.0, 10.0, 9.5, 10.5], lower=5.0, upper=15.0).ppk, 2)
    2.36
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.plant.batch_scales import MEAN_RANGE, Scale, moving_range_sigma, positive, to_scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Capability", "Equivalence", "capability", "equivalence"]

Array = NDArray[np.float64]
NODES = 400  # of the quadrature over the spread


@dataclass(frozen=True)
class Capability:
    """How well a process keeps its limits: estimate and interval of each index, and the share expected outside.

    ``ppk`` uses the whole spread of the batches, ``cpk`` that between neighbours only (what the process could do
    without drift). ``pp`` and ``cp`` compare the widths alone; they need both limits and are NaN otherwise.
    """

    batches: int
    confidence: float
    ppk: float
    ppk_interval: tuple[float, float]
    cpk: float
    cpk_interval: tuple[float, float]
    pp: float
    pp_interval: tuple[float, float]
    cp: float
    cp_interval: tuple[float, float]
    outside: float

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table: index, estimate, low, high."""
        import pandas as pd

        names = ("ppk", "cpk", "pp", "cp")
        rows = [(name.capitalize(), getattr(self, name), *getattr(self, f"{name}_interval")) for name in names]
        return pd.DataFrame(rows, columns=["index", "estimate", "low", "high"])


def capability(
    values: ArrayLike,
    *,
    lower: float | None = None,
    upper: float | None = None,
    scale: Scale = "linear",
    confidence: float = 0.95,
) -> Capability:
    """Return the capability of a process against one or two limits.

    Args:
        values: one number per batch in order, shape (n,), 3 or more.
        lower: lower limit of the specification.
        upper: upper limit.
        scale: scale on which the values are normal; limits are taken to it.
        confidence: of the intervals.

    Raises:
        InputError: there is no limit, the limits cross, or the values cannot be used.

    Source:
        one limit: exact by the noncentral t distribution; two limits: the normal approximation of ``bissell1990``;
        widths: chi-squared. The degrees of freedom of the moving range match its variance.

    Example:
        >>> found = capability([0.88, 0.91, 0.9, 0.93, 0.89, 0.92, 0.9, 0.91], lower=0.8, scale="logit")
        >>> round(found.ppk, 2), [round(end, 2) for end in found.ppk_interval]
        (1.54, [0.72, 2.36])
    """
    if lower is None and upper is None:
        raise InputError("capability: a lower or an upper limit is needed")
    if not 0 < confidence < 1:
        raise InputError(f"capability: confidence must lie between 0 and 1, got {confidence:g}")
    y = to_scale(values, scale, least=3)
    ends = [None if limit is None else float(to_scale([limit], scale)[0]) for limit in (lower, upper)]
    if lower is not None and upper is not None and lower >= upper:
        raise InputError(f"capability: the lower limit {lower:g} must be below the upper limit {upper:g}")
    mean, whole = float(y.mean()), positive(float(y.std(ddof=1)), "the standard deviation")
    between = positive(moving_range_sigma(y), "the mean moving range")
    ppk, ppk_interval = _index(y.size, mean, whole, y.size - 1, ends, confidence)
    freedom = moving_range_freedom(y.size)
    cpk, cpk_interval = _index(y.size, mean, between, freedom, ends, confidence)
    pp, pp_interval = _width(whole, y.size - 1, ends, confidence)
    cp, cp_interval = _width(between, freedom, ends, confidence)
    return Capability(
        y.size, confidence, ppk, ppk_interval, cpk, cpk_interval, pp, pp_interval, cp, cp_interval,
        _outside(mean, whole, ends),
    )  # fmt: skip


def moving_range_freedom(size: int) -> float:
    """Return the degrees of freedom of a chi that varies as much as sigma from the mean moving range of n values.

    With distances d1 and d2 that share a value (correlation -1/2), the variance of the mean range follows from the
    variance of |d1| and the covariance of |d1| and |d2|, both closed forms of normal numbers.
    """
    square = MEAN_RANGE**2
    variance = 2 - square
    both = 4 / math.pi * (math.sqrt(0.75) + math.asin(0.5) / 2) - square
    relative = ((size - 1) * variance + 2 * (size - 2) * both) / ((size - 1) ** 2 * square)
    return 1 / (2 * relative)


Ends = Sequence[float | None]


def _index(
    size: int, mean: float, sigma: float, freedom: float, ends: Ends, confidence: float
) -> tuple[float, tuple[float, float]]:
    lower, upper = ends
    margins = [mean - lower if lower is not None else None, upper - mean if upper is not None else None]
    index = min(margin for margin in margins if margin is not None) / (3 * sigma)
    if None in margins:
        return index, _one_sided(index, size, freedom, confidence)
    from scipy.special import ndtri

    half = float(ndtri((1 + confidence) / 2)) * math.sqrt(1 / (9 * size) + index**2 / (2 * freedom))
    return index, (index - half, index + half)


def _one_sided(index: float, size: int, freedom: float, confidence: float) -> tuple[float, float]:
    """Return the exact interval: 3 sqrt(n) index is noncentral t, here as a mean of normal tails over chi."""
    from scipy.optimize import brentq
    from scipy.special import ndtr

    spread, share = _chi(freedom)
    t = 3 * math.sqrt(size) * index * spread

    def end(probability: float) -> float:
        def above(center: float) -> float:
            return float(share @ ndtr(t - center)) - probability

        found: Any = brentq(above, t.min() - 10, t.max() + 10)
        return found / (3 * math.sqrt(size))

    return end((1 + confidence) / 2), end((1 - confidence) / 2)


@lru_cache(maxsize=64)
def _chi(freedom: float) -> tuple[Array, Array]:
    """Return nodes and weights of the distribution of s / sigma with these degrees of freedom."""
    from scipy.special import chdtri

    at, share = np.polynomial.legendre.leggauss(NODES)
    return np.sqrt(chdtri(freedom, (1 + at) / 2) / freedom), share / 2


def _width(sigma: float, freedom: float, ends: Ends, confidence: float) -> tuple[float, tuple[float, float]]:
    lower, upper = ends
    if lower is None or upper is None:
        return math.nan, (math.nan, math.nan)
    from scipy.stats import chi2

    index = (upper - lower) / (6 * sigma)
    low, high = np.sqrt(chi2.ppf([(1 - confidence) / 2, (1 + confidence) / 2], freedom) / freedom)
    return index, (float(index * low), float(index * high))


def _outside(mean: float, sigma: float, ends: Ends) -> float:
    from scipy.special import ndtr

    lower, upper = ends
    below = 0.0 if lower is None else float(ndtr((lower - mean) / sigma))
    return below + (0.0 if upper is None else float(ndtr((mean - upper) / sigma)))


@dataclass(frozen=True)
class Equivalence:
    """Whether two processes differ by less than a margin.

    ``estimate`` and ``interval`` are the difference of means (linear), the ratio of medians (log) or the ratio of odds
    (logit) of the first to the second; ``equivalent`` if the whole interval lies within the margins.
    ``spread_ratio`` is that of the standard deviations on the scale.
    """

    scale: Scale
    sizes: tuple[int, int]
    margins: tuple[float, float]
    estimate: float
    interval: tuple[float, float]
    p: float
    equivalent: bool
    spread_ratio: float
    spread_interval: tuple[float, float]
    level: float


def equivalence(
    first: ArrayLike,
    second: ArrayLike,
    margins: tuple[float, float],
    *,
    scale: Scale = "linear",
    level: float = 0.05,
    pooled: bool = False,
) -> Equivalence:
    """Test whether two processes or sites are comparable: two one-sided t tests against stated margins.

    That no difference is seen proves nothing; that the difference is inside the margin does. The interval belongs to
    the test: it has a confidence of 1 - 2 x level.

    Args:
        first: values of one process, shape (n,), 2 or more.
        second: values of the other, shape (m,), 2 or more.
        margins: lowest and highest difference that does not matter (linear), or lowest and highest ratio of medians
            (log) or of odds (logit), e.g. ``(0.8, 1.25)``. They are a medical judgement and have no default.
        scale: scale on which the values are normal.
        level: chance to call a difference at the margin equivalent.
        pooled: take the two spreads as equal; otherwise Welch's degrees of freedom are used.

    Raises:
        InputError: the margins do not include "no difference", or a value cannot be used.

    Source:
        two one-sided tests (``schuirmann1987``) with Welch's degrees of freedom.

    Example:
        >>> found = equivalence([2.1, 2.4, 1.9, 2.2], [2.0, 2.3, 2.2, 2.1], (0.8, 1.25), scale="log")
        >>> found.equivalent, round(found.estimate, 2)
        (True, 1.0)
    """
    from scipy.special import stdtr, stdtrit
    from scipy.stats import f

    if not 0 < level < 0.5:
        raise InputError(f"equivalence: level must lie between 0 and 0.5, got {level:g}")
    low, high = _margins(margins, scale)
    a, b = to_scale(first, scale, least=2), to_scale(second, scale, least=2)
    error, freedom = _standard_error(a, b, pooled)
    difference = float(a.mean() - b.mean())
    p = max(float(stdtr(freedom, -(difference - low) / error)), float(stdtr(freedom, (difference - high) / error)))
    half = float(stdtrit(freedom, 1 - level)) * error
    ratio = float(a.std(ddof=1) / positive(float(b.std(ddof=1)), "the second standard deviation"))
    spread = [ratio / math.sqrt(q) for q in f.ppf([1 - level, level], a.size - 1, b.size - 1)]
    back: Callable[[float], float] = (lambda x: x) if scale == "linear" else math.exp
    interval = (back(difference - half), back(difference + half))
    return Equivalence(
        scale, (a.size, b.size), (float(margins[0]), float(margins[1])), back(difference), interval, p, p < level,
        ratio, (spread[0], spread[1]), level,
    )  # fmt: skip


def _margins(margins: tuple[float, float], scale: Scale) -> tuple[float, float]:
    low, high = float(margins[0]), float(margins[1])
    none = 0.0 if scale == "linear" else 1.0
    if not (math.isfinite(low) and math.isfinite(high) and low < none < high and (none == 0 or low > 0)):
        raise InputError(
            f"equivalence: margins must be finite and lie on both sides of {none:g}, got {low:g}, {high:g}"
        )
    return (low, high) if scale == "linear" else (math.log(low), math.log(high))


def _standard_error(a: Array, b: Array, pooled: bool) -> tuple[float, float]:
    """Return the standard error of the difference and its degrees of freedom."""
    if pooled:
        freedom = a.size + b.size - 2
        variance = ((a.size - 1) * a.var(ddof=1) + (b.size - 1) * b.var(ddof=1)) / freedom
        return positive(math.sqrt(variance * (1 / a.size + 1 / b.size)), "the standard error"), float(freedom)
    u, v = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
    error = positive(math.sqrt(u + v), "the standard error")
    return error, float((u + v) ** 2 / (u**2 / (a.size - 1) + v**2 / (b.size - 1)))
