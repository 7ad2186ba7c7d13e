"""Residual models: how a measured value scatters around its prediction, on which scale and with which tails.

Each row has a standard deviation ``g(f)`` that depends on its prediction ``f``. The logarithm of a row's density, or of
its chance to lie in an interval, and the derivatives by ``f`` and ``g`` are computed for whole arrays.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError

__all__ = [
    "Residual",
    "additive",
    "cauchy",
    "combined",
    "log_additive",
    "power",
    "proportional",
    "row_terms",
    "student_t",
]

Reals = NDArray[np.float64]
COUNTS = (1, 3, 6)
"""Numbers of a row up to each order: the value, its slopes by f and g, and the three second derivatives."""
FAR_ABOVE = 1e100
"""Deviations by which a limit may lie above a prediction: with infinitely many, slopes would be no numbers."""
LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Residual:
    """A residual model.

    Attributes:
        kind: ``additive``, ``proportional``, ``combined`` (standard deviations added), ``combined_variances``
            (variances added), ``log_additive`` or ``power``.
        names: of its parameters.
        start: first guesses.
        fixed: parameters that are not estimated.
        degrees: degrees of freedom of Student's t, infinite for the normal distribution.
    """

    kind: str
    names: tuple[str, ...]
    start: tuple[float, ...]
    fixed: bool = False
    degrees: float = math.inf

    @property
    def logarithmic(self) -> bool:
        """Whether the scatter is that of logarithms."""
        return self.kind == "log_additive"

    def to_working(self, values: Sequence[float]) -> list[float]:
        """Logarithms of the parameters, but an exponent as it is."""
        return [v if name == "c" else math.log(v) for name, v in zip(self.names, values, strict=True)]

    def from_working(self, working: Reals) -> Reals:
        """Parameters of their working values, along the last axis."""
        plain = np.array([name == "c" for name in self.names])
        return np.where(plain, working, np.exp(np.where(plain, 0.0, working)))

    def spread(self, f: Reals, working: Reals) -> tuple[Reals, Reals, Reals, list[Reals]]:
        """Standard deviation at predictions.

        Args:
            f: predictions, shape (chain, row).
            working: parameters on the working scale, shape (chain or 1, parameter).

        Returns:
            The deviation, its first and second derivative by ``f``, and its derivatives by the working parameters; of
            shape (chain or 1, 1) where it does not depend on predictions.
        """
        s = [column[:, None] for column in self.from_working(working).T]
        if self.kind in {"additive", "log_additive"}:
            none = np.zeros_like(s[0])
            return s[0], none, none, [s[0]]
        none, size, sign = np.zeros_like(f), np.abs(f), np.sign(f)
        if self.kind == "proportional":
            g = s[0] * size
            return g, s[0] * sign, none, [g]
        if self.kind == "combined":
            return s[0] + s[1] * size, s[1] * sign, none, [s[0] + none, s[1] * size]
        if self.kind == "combined_variances":
            return _combined_variances(f, s[0], s[1])
        g = s[0] * size ** s[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            first = g * s[1] / f
            return g, first, first * (s[1] - 1) / f, [g, g * np.log(size)]


def _combined_variances(f: Reals, a: Reals, b: Reals) -> tuple[Reals, Reals, Reals, list[Reals]]:
    g = np.sqrt(a**2 + (b * f) ** 2)
    first = b**2 * f / g
    return g, first, (b**2 - first**2) / g, [a**2 / g, (b * f) ** 2 / g]


def additive(a: float = 1.0, *, fixed: bool = False) -> Residual:
    """Standard deviation ``a`` at every prediction."""
    return _made("additive", ("a",), (a,), fixed)


def proportional(b: float = 0.2, *, fixed: bool = False) -> Residual:
    """Standard deviation ``b |f|``."""
    return _made("proportional", ("b",), (b,), fixed)


def combined(a: float = 1.0, b: float = 0.2, *, definition: str = "variances", fixed: bool = False) -> Residual:
    """Both at once.

    Args:
        a: additive part.
        b: proportional part.
        definition: ``variances``: sqrt(a^2 + b^2 f^2), usual in NONMEM, Monolix's combined2; ``deviations``: a + b |f|,
            Monolix's combined1.
        fixed: whether they are held.
    """
    if definition not in {"variances", "deviations"}:
        raise InputError(f"combined: definition must be 'variances' or 'deviations', got {definition!r}")
    kind = "combined_variances" if definition == "variances" else "combined"
    return _made(kind, ("a", "b"), (a, b), fixed)


def power(b: float = 0.2, c: float = 1.0, *, fixed: bool = False) -> Residual:
    """Standard deviation ``b |f|^c``."""
    return _made("power", ("b", "c"), (b, c), fixed)


def log_additive(a: float = 0.3, *, fixed: bool = False) -> Residual:
    """Normal scatter of the logarithm; data and predictions are given on the natural scale."""
    return _made("log_additive", ("a",), (a,), fixed)


def student_t(residual: Residual, degrees: float = 4.0) -> Residual:
    """The same residual with the tails of Student's t, against outliers; ``degrees`` is held, not estimated."""
    if not 0.5 <= degrees < math.inf:
        raise InputError(f"student_t: degrees of freedom must be a number from 0.5, got {degrees!r}")
    return Residual(residual.kind, residual.names, residual.start, residual.fixed, float(degrees))


def cauchy(residual: Residual) -> Residual:
    """The same residual with the tails of the Cauchy distribution: Student's t with one degree of freedom."""
    return student_t(residual, 1.0)


def _made(kind: str, names: tuple[str, ...], start: tuple[float, ...], fixed: bool) -> Residual:
    for name, value in zip(names, start, strict=True):
        if not (math.isfinite(value) and (value > 0 or name == "c")):
            raise InputError(f"{kind} residual: {name} must be a positive number, got {value!r}")
    return Residual(kind, names, start, fixed)


# -- the density of rows ----------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class RowTerms:
    """Logarithm of the density of each row and its derivatives; all of shape (chain, row).

    Those that were not asked for repeat the last one that was.
    """

    value: Reals
    f: Reals
    g: Reals
    ff: Reals
    fg: Reals
    gg: Reals


def row_terms(
    residual: Residual, f: Reals, g: Reals, value: Reals, low: Reals, high: Reals, above: Reals, order: int = 2
) -> RowTerms:
    """Density of rows that are points or intervals, perhaps given that they lie above something.

    Args:
        residual: whose tails are used.
        f: predictions, shape (chain, row).
        g: standard deviations, the same shape or (chain or 1, 1).
        value: of points, NaN of intervals, shape (row,).
        low: lower end of intervals.
        high: upper end.
        above: what the row is known to lie above, -inf where nothing is known.
        order: of the derivatives that are wanted, 0 to 2.
    """
    tail = _Normal() if math.isinf(residual.degrees) else _Student(residual.degrees)
    with np.errstate(all="ignore"):
        total = _points(tail, f, g, value, order)  # of intervals this is no number, and is replaced
        for at, ends in ((np.flatnonzero(np.isnan(value)), (low, high)), (np.flatnonzero(np.isfinite(above)), None)):
            if not len(at):
                continue
            some = g if g.shape[1] == 1 else g[:, at]
            first, last = (above[at], np.full(len(at), np.inf)) if ends is None else (ends[0][at], ends[1][at])
            for whole, piece in zip(total, _intervals(tail, f[:, at], some, first, last, order), strict=True):
                whole[:, at] = piece if ends is not None else whole[:, at] - piece
    value_f_g = [*total, *([total[-1]] * (6 - len(total)))]
    return RowTerms(*value_f_g)


def _points(tail: Any, f: Reals, g: Reals, y: Reals, order: int) -> list[Reals]:
    z = y - f
    z /= g
    value, *slopes = tail.log_density(z, order)
    value -= np.log(g)
    if not order:
        return [value]
    chain = _chain(z, g, slopes[0], slopes[-1], order)
    chain[1] -= 1 / g
    if order > 1:
        chain[4] += 1 / g**2
    return [value, *chain]


def _chain(z: Reals, g: Reals, first: Reals, second: Reals, order: int) -> list[Reals]:
    """Derivatives by f and g of a function of z = (y - f) / g, from those by z."""
    by_f = -first / g
    if order == 1:
        return [by_f, by_f * z]
    gg = g * g
    return [
        by_f,
        by_f * z,
        second / gg,
        (second * z + first) / gg,
        (second * z + 2 * first) * z / gg,
    ]


def _intervals(tail: Any, f: Reals, g: Reals, low: Reals, high: Reals, order: int) -> list[Reals]:
    """Logarithm of the chance to lie between two values."""
    if np.isinf(low).all():
        return _below(tail, f, g, high, order)
    l, u = (low - f) / g, (high - f) / g
    swap = (l > 0) | np.isinf(u)  # in the upper tail the same chance is taken from the other side
    first, last = np.where(swap, -u, l), np.where(swap, -l, u)
    upper, lower = tail.log_cdf(last), tail.log_cdf(first)
    chance = upper + np.where(np.isinf(first), 0.0, np.log1p(-np.exp(np.minimum(lower - upper, 0.0))))
    chance = np.where(last > first, chance, -np.inf)
    if not order:
        return [chance]
    total = [chance, *(np.zeros_like(f) for _ in range(COUNTS[order] - 1))]
    ends = []
    for z, sign in ((u, 1.0), (l, -1.0)):
        finite = np.isfinite(z)
        safe = np.where(finite, z, 0.0)
        log_density, slope, _ = tail.log_density(safe)
        weight = np.where(finite, sign * np.exp(log_density - chance), 0.0)
        for k, part in enumerate(_chain(safe, g, weight, weight * slope - weight**2, order)):
            total[k + 1] += np.where(finite, part, 0.0)
        ends.append((safe, weight))
    if order == 1:
        return total
    (zu, wu), (zl, wl) = ends  # the mixed second derivative of both ends is -wu wl
    cross = -wu * wl / g**2
    total[3] += 2 * cross
    total[4] += cross * (zu + zl)
    total[5] += 2 * cross * zu * zl
    return total


def _below(tail: Any, f: Reals, g: Reals, high: Reals, order: int) -> list[Reals]:
    """Logarithm of the chance to lie below a value: the usual case of the above."""
    u = np.minimum((high - f) / g, FAR_ABOVE)
    chance = tail.log_cdf(u)
    if not order:
        return [chance]
    log_density, slope, _ = tail.log_density(u)
    weight = np.exp(log_density - chance)
    return [chance, *_chain(u, g, weight, weight * slope - weight**2, order)]


class _Normal:
    @staticmethod
    def log_density(z: Reals, order: int = 2) -> tuple[Reals, ...]:
        """Logarithm of the density and its derivatives."""
        value = z * z
        value *= -0.5
        value -= LOG_ROOT_2PI
        if not order:
            return (value,)
        return (value, -z) if order == 1 else (value, -z, np.full_like(z, -1.0))

    @staticmethod
    def log_cdf(z: Reals) -> Reals:
        from scipy.special import log_ndtr

        return np.asarray(log_ndtr(z))


class _Student:
    def __init__(self, degrees: float) -> None:
        self.n = degrees
        self.constant = math.lgamma((degrees + 1) / 2) - math.lgamma(degrees / 2) - 0.5 * math.log(degrees * math.pi)

    def log_density(self, z: Reals, order: int = 2) -> tuple[Reals, ...]:
        n, square = self.n, z * z
        value = self.constant - 0.5 * (n + 1) * np.log1p(square / n)
        if not order:
            return (value,)
        return value, -(n + 1) * z / (n + square), -(n + 1) * (n - square) / (n + square) ** 2

    def log_cdf(self, z: Reals) -> Reals:
        from scipy.special import stdtr

        return np.log(stdtr(self.n, z))
