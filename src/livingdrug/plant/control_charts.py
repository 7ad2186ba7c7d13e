"""Control charts: whether a process has changed, and how often a chart rings without cause.

Shares and counts of cells are not normal; ``scale`` says on which scale they are taken to be: ``"linear"``, ``"log"``
or ``"logit"``.

Left out: charts for several quantities at once, correlation between batches, CUSUM charts (an EWMA chart sees the same
small shifts).

Example:
    >>> chart = individuals_chart([50.0, 52.0, 49.0, 51.0, 50.0, 70.0, 51.0, 49.0], center=50.5, sigma=1.5)
    >>> [(signal.batch, signal.rule) for signal in chart.signals(WESTERN_ELECTRIC)]
    [(6, 'beyond 3 sigma')]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.plant.batch_scales import Scale, moving_range_sigma, positive, to_scale

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "NELSON", "WESTERN_ELECTRIC", "ControlChart", "Pattern", "Signal", "Trend", "average_run_length", "ewma_chart",
    "ewma_run_length", "individuals_chart", "p_chart", "xbar_s_charts",
]  # fmt: skip

Array = NDArray[np.float64]
MOST_SHIFT = 100.0  # sigma
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
    spread = positive(moving_range_sigma(points) if sigma is None else float(sigma), "sigma")
    return _chart("individuals", points, middle, spread, 3.0)


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
    sigma = positive(pooled / unbiasing(np.sum(sizes - 1) + 1), "sigma within groups")
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
    spread = positive(moving_range_sigma(points) if sigma is None else float(sigma), "sigma")
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


def _whole(values: ArrayLike, what: str) -> Array:
    found = to_scale(values, "linear")
    if np.any(found < 0) or np.any(found != np.rint(found)):
        raise InputError(f"p_chart: {what} must be whole numbers from 0 up")
    return found
