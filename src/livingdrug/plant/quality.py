"""Quality over many batches: control charts, capability, and whether two processes are comparable.

A control chart asks whether a process has changed, capability whether it keeps its limits, and an equivalence test
whether two processes differ by less than a stated margin. Shares and counts of cells are not normal; ``scale`` says
on which scale they are taken to be: ``"linear"``, ``"log"`` or ``"logit"``.

Left out: charts for several quantities at once, correlation between batches, tolerance intervals, CUSUM charts (an
EWMA chart sees the same small shifts), sample sizes that differ so much that the normal shape matters.

Example:
    >>> chart = individuals_chart([50.0, 52.0, 49.0, 51.0, 50.0, 70.0, 51.0, 49.0], center=50.5, sigma=1.5)
    >>> [(signal.batch, signal.rule) for signal in chart.signals(WESTERN_ELECTRIC)]
    [(6, 'beyond 3 sigma')]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NELSON", "SCALES", "WESTERN_ELECTRIC", "Capability", "ControlChart", "Equivalence", "Pattern", "Signal", "Trend",
    "average_run_length", "capability", "equivalence", "ewma_chart", "ewma_run_length", "individuals_chart", "p_chart",
    "to_scale", "xbar_s_charts",
]  # fmt: skip

Array = NDArray[np.float64]
Scale = Literal["linear", "log", "logit"]
MOST_SHIFT = 100.0  # sigma
SCALES = ("linear", "log", "logit")
MEAN_RANGE = 2 / math.sqrt(math.pi)  # d2: mean distance of two standard normal numbers
MOST_BATCHES = 1_000_000
NODES = 400  # of the quadrature over the spread
FALSE_ALARM = 0.00135  # chance of a normal number to lie beyond three sigma on one side


@dataclass(frozen=True)
class Pattern:
    """A rule: at least ``need`` of ``of`` points in a row lie from ``low`` to ``high`` sigma, on one side or on both.

    ``side`` "one" means all above or all below the centre line; "either" counts both sides together.
    """

    name: str
    need: int
    of: int
    low: float
    high: float = math.inf
    side: Literal["one", "either"] = "one"

    def masks(self, z: Array) -> list[NDArray[np.bool_]]:
        """Return which points count, once per side, each shape (n,)."""
        if self.side == "either":
            return [(np.abs(z) > self.low) & (np.abs(z) <= self.high)]
        return [(s * z > self.low) & (s * z <= self.high) for s in (1.0, -1.0)]

    def found(self, z: Array) -> NDArray[np.bool_]:
        """Return at which points the rule is met; the last point itself counts, shape (n,)."""
        met = np.zeros(z.size, bool)
        for mask in self.masks(z):
            total = np.cumsum(np.concatenate([np.zeros(self.of), mask]))
            met |= mask & (total[self.of :] - total[: z.size] >= self.need)
        return met


@dataclass(frozen=True)
class Trend:
    """A rule on neighbours: ``points`` in a row that rise or fall all along, or that go up and down in turn."""

    name: str
    points: int
    alternating: bool = False

    def found(self, z: Array) -> NDArray[np.bool_]:
        """Return at which points the rule is met, shape (n,)."""
        met = np.zeros(z.size, bool)
        steps = np.sign(np.diff(z))
        if self.alternating:
            going = np.concatenate([[False], steps[1:] * steps[:-1] < 0]) if steps.size else np.zeros(0, bool)
            kept, needed = [going], self.points - 2
        else:
            kept, needed = [steps > 0, steps < 0], self.points - 1
        for mask in kept:
            total = np.cumsum(np.concatenate([np.zeros(needed), mask]))
            met[1:] |= total[needed:][: mask.size] - total[: mask.size] >= needed
        return met


Rule = Pattern | Trend
BEYOND = Pattern("beyond 3 sigma", 1, 1, 3.0)
TWO_OF_THREE = Pattern("2 of 3 beyond 2 sigma", 2, 3, 2.0)
FOUR_OF_FIVE = Pattern("4 of 5 beyond 1 sigma", 4, 5, 1.0)
WESTERN_ELECTRIC: tuple[Rule, ...] = (
    BEYOND, TWO_OF_THREE, FOUR_OF_FIVE, Pattern("8 on one side", 8, 8, 0.0),
)  # fmt: skip
"""The four zone rules of Western Electric (1956)."""
NELSON: tuple[Rule, ...] = (
    BEYOND, Pattern("9 on one side", 9, 9, 0.0), Trend("6 rising or falling", 6), Trend("14 up and down", 14, True),
    TWO_OF_THREE, FOUR_OF_FIVE, Pattern("15 within 1 sigma", 15, 15, -1.0, 1.0, "either"),
    Pattern("8 outside 1 sigma", 8, 8, 1.0, side="either"),
)  # fmt: skip
"""The eight rules of ``nelson1984``, in his order."""


@dataclass(frozen=True)
class Signal:
    """A point at which a rule is met: number of the batch (from 1), the rule, and the value plotted."""

    batch: int
    rule: str
    value: float


@dataclass(frozen=True, eq=False)
class ControlChart:
    """What is plotted (``points``), the centre line and the control limits, shape (n,) each, and sigma of the points.

    ``zones`` tells whether rules on zones make sense: not for ranges, shares of failures and moving averages.
    """

    name: str
    points: Array
    center: Array
    lower: Array
    upper: Array
    sigma: Array
    zones: bool = True

    def signals(self, rules: Sequence[Rule] = (BEYOND,)) -> list[Signal]:
        """Return where a rule is met; without zones only points beyond the control limits.

        Raises:
            InputError: rules other than the limits are asked of a chart without zones.
        """
        if not self.zones:
            if any(rule is not BEYOND for rule in rules):
                raise InputError(f"{self.name}: rules on zones need points of one normal distribution; use the limits")
            beyond = (self.points > self.upper) | (self.points < self.lower)
            return [
                Signal(int(row) + 1, "beyond the limits", float(self.points[row])) for row in np.flatnonzero(beyond)
            ]
        z = (self.points - self.center) / self.sigma
        hits = [(int(row), rule.name) for rule in rules for row in np.flatnonzero(rule.found(z))]
        return [Signal(row + 1, name, float(self.points[row])) for row, name in sorted(hits)]

    def to_frame(self) -> pd.DataFrame:
        """Return a pandas table: batch, point, center, lower, upper."""
        import pandas as pd

        return pd.DataFrame(
            {"batch": np.arange(1, self.points.size + 1), "point": self.points, "center": self.center,
             "lower": self.lower, "upper": self.upper}
        )  # fmt: skip


def individuals_chart(
    values: ArrayLike, *, center: float | None = None, sigma: float | None = None, scale: Scale = "linear"
) -> ControlChart:
    """Return the chart of single batches; sigma is the mean moving range / 1.128 unless it is known.

    Args:
        values: one number per batch in the order of their making, shape (n,), 2 or more.
        center: mean of the process on the scale, where it is known.
        sigma: standard deviation on the scale, where it is known.
        scale: scale on which the values are normal; the chart is drawn on it.

    Raises:
        InputError: a value is not finite or not on the scale, or all values are equal and sigma is not given.
    """
    points = to_scale(values, scale, least=2)
    middle = float(points.mean()) if center is None else float(center)
    spread = _positive(moving_range_sigma(points) if sigma is None else float(sigma), "sigma")
    return _chart("individuals", points, middle, spread, 3.0)


def moving_range_sigma(points: Array) -> float:
    """Return sigma from the mean distance of neighbours, which slow drifts hardly enlarge."""
    return float(np.abs(np.diff(points)).mean() / MEAN_RANGE)


def xbar_s_charts(groups: Sequence[ArrayLike], *, scale: Scale = "linear") -> tuple[ControlChart, ControlChart]:
    """Return the charts of means and of standard deviations of groups of batches, e.g. one group per month.

    Args:
        groups: two or more groups of two or more values; sizes may differ.
        scale: scale on which the values are normal.

    Source:
        unbiased by c4(n); groups pooled with weights n - 1, so that sizes may differ.
    """
    sets = [to_scale(group, scale, least=2) for group in groups]
    if len(sets) < 2:
        raise InputError(f"xbar_s_charts: 2 or more groups are needed, got {len(sets)}")
    sizes = np.array([values.size for values in sets], float)
    means, spreads = np.array([v.mean() for v in sets]), np.array([v.std(ddof=1) for v in sets])
    pooled = math.sqrt(float(np.sum((sizes - 1) * spreads**2) / np.sum(sizes - 1)))
    sigma = _positive(pooled / unbiasing(np.sum(sizes - 1) + 1), "sigma within groups")
    middle = float(np.sum(sizes * means) / sizes.sum())
    factor = unbiasing(sizes)
    s_sigma = sigma * np.sqrt(1 - factor**2)
    s_chart = ControlChart(
        "standard deviations", spreads, factor * sigma, np.maximum(factor * sigma - 3 * s_sigma, 0.0),
        factor * sigma + 3 * s_sigma, s_sigma, zones=False,
    )  # fmt: skip
    return _chart("means", means, middle, sigma / np.sqrt(sizes), 3.0), s_chart


def unbiasing(size: ArrayLike) -> Any:
    """Return c4(n), the mean standard deviation of n standard normal numbers.

    Example:
        >>> round(float(unbiasing(5)), 4)
        0.94
    """
    from scipy.special import gammaln

    n = np.asarray(size, np.float64)
    return np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))


def p_chart(failures: ArrayLike, batches: ArrayLike, *, center: float | None = None) -> ControlChart:
    """Return the chart of the share of failures per period, with exact binomial limits.

    The limits leave at most 0.135 % outside on each side, as three sigma do for normal numbers; with the few batches of
    a month three sigma themselves would ring too often.

    Args:
        failures: failed batches per period, whole numbers, shape (n,).
        batches: all batches per period, 1 or more, shape (n,).
        center: share of failures where it is known; otherwise that of all periods.

    Example:
        >>> p_chart([0, 1, 6], [20, 20, 20], center=0.05).signals()
        [Signal(batch=3, rule='beyond the limits', value=0.3)]
    """
    from scipy.stats import binom

    failed, made = _whole(failures, "failures"), _whole(batches, "batches")
    if failed.shape != made.shape or np.any(made < 1) or np.any(failed > made):
        raise InputError("p_chart: each period needs 1 or more batches and at most as many failures as batches")
    share = float(failed.sum() / made.sum()) if center is None else float(center)
    if not 0 <= share <= 1:
        raise InputError(f"p_chart: center must be from 0 to 1, got {share:g}")
    low, high = binom.ppf(FALSE_ALARM, made, share), binom.isf(FALSE_ALARM, made, share)
    middle = np.full(made.shape, share)
    sigma = np.sqrt(share * (1 - share) / made)
    return ControlChart("share of failures", failed / made, middle, low / made, high / made, sigma, zones=False)


def ewma_chart(
    values: ArrayLike,
    *,
    weight: float = 0.2,
    width: float = 2.86,
    center: float | None = None,
    sigma: float | None = None,
    scale: Scale = "linear",
) -> ControlChart:
    """Return the chart of the exponentially weighted moving average, which sees small lasting shifts early.

    Args:
        values: one number per batch in order, shape (n,).
        weight: of the newest value, above 0 and at most 1.
        width: of the limits in sigma of the average; see ``ewma_run_length`` for what it means.
        center: mean of the process where it is known.
        sigma: of single values where it is known, otherwise from the moving range.
        scale: scale on which the values are normal.
    """
    if not 0 < weight <= 1 or not 0 < width < math.inf:
        raise InputError(
            f"ewma_chart: weight must be above 0 and at most 1 and width above 0, got {weight:g}, {width:g}"
        )
    from scipy.signal import lfilter

    points = to_scale(values, scale, least=2)
    middle = float(points.mean()) if center is None else float(center)
    spread = _positive(moving_range_sigma(points) if sigma is None else float(sigma), "sigma")
    average, _ = lfilter([weight], [1, weight - 1], points - middle, zi=[0.0])
    batch = np.arange(1, points.size + 1)
    spreads = spread * np.sqrt(weight / (2 - weight) * (1 - (1 - weight) ** (2 * batch)))
    name = f"moving average, weight {weight:g}"
    return ControlChart(name, middle + average, *_lines(middle, spreads, width), spreads, zones=False)


def _lines(middle: float, spread: Array, width: float) -> tuple[Array, Array, Array]:
    return np.full(spread.shape, middle), middle - width * spread, middle + width * spread


def _chart(name: str, points: Array, middle: float, spread: ArrayLike, width: float) -> ControlChart:
    spreads = np.broadcast_to(np.asarray(spread, np.float64), points.shape)
    return ControlChart(name, points, *_lines(middle, spreads, width), spreads)


def average_run_length(rules: Sequence[Rule] = WESTERN_ELECTRIC, shift: float = 0.0) -> float:
    """Return how many batches pass on average until a rule is met, exactly, for independent normal values.

    Args:
        rules: patterns on zones; rules on trends have no finite chain of zones.
        shift: of the mean, in sigma.

    Source:
        the Markov chain of zones (``champwoodall1987``), built here without its minimal form.

    Example:
        >>> round(average_run_length([BEYOND]), 1), round(average_run_length(WESTERN_ELECTRIC, 1.0), 1)
        (370.4, 9.2)
    """
    from scipy.sparse import csr_array, identity
    from scipy.sparse.linalg import spsolve

    _check_shift("average_run_length", shift)
    patterns = [rule for rule in rules if isinstance(rule, Pattern)]
    if len(patterns) != len(rules) or not patterns:
        raise InputError("average_run_length: only rules on zones can be computed; simulate those on trends")
    chances, counted = _zones(patterns, shift)
    needs = [(rule.need, rule.of) for rule in patterns for _ in rule.masks(np.zeros(1))]
    states: dict[tuple[int, ...], int] = {(0,) * len(needs): 0}
    waiting, rows, columns, weights = [(0,) * len(needs)], [], [], []
    while waiting:
        state = waiting.pop()
        for chance, marks in zip(chances, counted, strict=True):
            after = _after(state, marks, needs)
            if after is None:
                continue
            if after not in states:
                states[after] = len(states)
                waiting.append(after)
            rows.append(states[state])
            columns.append(states[after])
            weights.append(chance)
    size = len(states)
    stay = csr_array((weights, (rows, columns)), shape=(size, size))
    lengths: Any = spsolve((identity(size, format="csc") - stay).tocsc(), np.ones(size))
    return float(np.ravel(lengths)[0])


def _zones(patterns: Sequence[Pattern], shift: float) -> tuple[list[float], list[tuple[bool, ...]]]:
    """Return for each zone between the limits of the rules its chance and for which counts it counts."""
    from scipy.special import ndtr

    edges = {s * edge for rule in patterns for edge in (rule.low, rule.high) for s in (1, -1)} | {0.0}
    cuts = np.array([-np.inf, *sorted(edge for edge in edges if math.isfinite(edge)), np.inf])
    chances = np.diff(ndtr(cuts - shift))
    middles = np.concatenate([[cuts[1] - 1], (cuts[1:-2] + cuts[2:-1]) / 2, [cuts[-2] + 1]])
    marks = [mask for rule in patterns for mask in rule.masks(middles)]
    return chances.tolist(), [tuple(bool(mask[k]) for mask in marks) for k in range(middles.size)]


def _after(state: tuple[int, ...], marks: tuple[bool, ...], needs: list[tuple[int, int]]) -> tuple[int, ...] | None:
    """Return the memory after one more point, or None at a signal; each rule remembers its last points as bits."""
    new = []
    for bits, mark, (need, of) in zip(state, marks, needs, strict=True):
        seen = (bits << 1 | mark) & ((1 << of) - 1)
        if mark and seen.bit_count() >= need:
            return None
        seen &= (1 << (of - 1)) - 1
        if need == of:  # a run: only its length matters
            seen = (1 << (~seen & (seen + 1)).bit_length() - 1) - 1
        new.append(seen)
    return tuple(new)


def _check_shift(what: str, shift: float) -> None:
    if not abs(shift) <= MOST_SHIFT:
        raise InputError(f"{what}: shift must be a number from -{MOST_SHIFT:g} to {MOST_SHIFT:g} sigma, got {shift}")


def ewma_run_length(weight: float, width: float, shift: float = 0.0, nodes: int = 80) -> float:
    """Return how many batches an EWMA chart with constant limits needs on average until it signals.

    Args:
        weight: of the newest value, above 0 and at most 1.
        width: of the limits in sigma of the average.
        shift: of the mean, in sigma of single values.
        nodes: of the quadrature.

    Source:
        integral equation of ``crowder1987``, solved at Gauss-Legendre nodes.

    Example:
        >>> round(ewma_run_length(0.25, 3.0, shift=1.0), 4)
        11.1543
    """
    _check_shift("ewma_run_length", shift)
    if not 0 < weight <= 1 or not 0 < width < math.inf:
        raise InputError(f"ewma_run_length: weight must be above 0 and at most 1, width above 0, got {weight}, {width}")
    limit = width * math.sqrt(weight / (2 - weight))
    at, share = np.polynomial.legendre.leggauss(nodes)
    at, share = limit * at, limit * share

    def step(start: ArrayLike) -> Array:
        z = (at - (1 - weight) * np.atleast_1d(np.asarray(start, np.float64))[:, None]) / weight - shift
        return share * np.exp(-0.5 * z * z) / (weight * math.sqrt(2 * math.pi))

    lengths = np.linalg.solve(np.eye(nodes) - step(at), np.ones(nodes))
    return float(1 + (step(0.0) @ lengths)[0])


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
    mean, whole = float(y.mean()), _positive(float(y.std(ddof=1)), "the standard deviation")
    between = _positive(moving_range_sigma(y), "the mean moving range")
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
    ratio = float(a.std(ddof=1) / _positive(float(b.std(ddof=1)), "the second standard deviation"))
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
        return _positive(math.sqrt(variance * (1 / a.size + 1 / b.size)), "the standard error"), float(freedom)
    u, v = a.var(ddof=1) / a.size, b.var(ddof=1) / b.size
    error = _positive(math.sqrt(u + v), "the standard error")
    return error, float((u + v) ** 2 / (u**2 / (a.size - 1) + v**2 / (b.size - 1)))


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


def _whole(values: ArrayLike, what: str) -> Array:
    found = to_scale(values, "linear")
    if np.any(found < 0) or np.any(found != np.rint(found)):
        raise InputError(f"p_chart: {what} must be whole numbers from 0 up")
    return found


def _positive(value: float, what: str) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{what} is {value:g}: the batches do not differ, so nothing can be said of their spread")
    return value
