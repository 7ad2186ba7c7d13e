"""From plausible to virtual patients: prevalence weights, so that a pool agrees with what is known of a population.

A pool of plausible patients covers what can be; a population is a weighting of it. Among all weightings that have the
wanted means, the one with the largest entropy relative to even weights changes the pool least: each patient's weight
is the exponential of a linear score, the ratio of the wanted to the plausible density (the form of Allen et al. 2016;
weights as in Schmidt et al. 2013). Patients are then accepted with a chance in proportion to it.

A mean can be that of a number, of its square (so a spread), or of a yes or no (so a proportion or a quantile).

Example:
    >>> import numpy as np
    >>> pool = {"high_crp": np.array([1.0, 1.0, 0.0, 0.0])}
    >>> found = prevalence_weights(pool, {"high_crp": 0.25})
    >>> found.weights.round(3).tolist(), round(found.effective_size, 1)
    ([0.125, 0.125, 0.375, 0.375], 3.2)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError, SolveError, unknown_name
from livingdrug.streams import patient_words, uniform

__all__ = ["Prevalence", "accept", "effective_size", "prevalence_weights"]

Array = NDArray[np.float64]
PRECISION = 1e-6  # of a mean, in standard deviations of the pool
MOST_STEPS = 200


@dataclass(frozen=True, eq=False)
class Prevalence:
    """Weights of a pool.

    Attributes:
        weights: shape (patient,), they add up to 1.
        means: quantity -> its weighted mean.
        effective_size: how many evenly weighted patients know as much.
        scores: quantity -> how much the logarithm of a weight rises per unit.
    """

    weights: Array
    means: Mapping[str, float]
    effective_size: float
    scores: Mapping[str, float]

    def __repr__(self) -> str:
        return f"<Prevalence: {self.weights.size} patients, effective size {self.effective_size:.1f}>"


def effective_size(weights: ArrayLike) -> float:
    """Return Kish's effective size, the square of the sum over the sum of the squares.

    Example:
        >>> effective_size([1.0, 1.0, 0.0])
        2.0
    """
    w = np.asarray(weights, np.float64)
    if w.ndim != 1 or not w.size or not np.isfinite(w).all() or (w < 0).any() or not w.sum() > 0:
        raise InputError("weights must be a row of numbers from 0 up, not all 0")
    return float(w.sum() ** 2 / (w**2).sum())


def prevalence_weights(pool: Mapping[str, ArrayLike], wanted: Mapping[str, float]) -> Prevalence:
    """Return the weights by which a pool has the wanted means.

    Args:
        pool: quantity -> number of each plausible patient, shape (patient,).
        wanted: quantity -> mean that is wanted.

    Raises:
        InputError: a wanted quantity is not in the pool, numbers are not finite or of different length, a quantity
            does not differ between the patients, or its mean lies outside what they have.
        SolveError: no weighting of this pool has these means together.

    Source:
        The dual of the largest entropy under linear constraints (Jaynes 1957, recalled), by Newton's method.
    """
    names = list(wanted)
    table = _table(pool, names)
    target = np.array([float(wanted[name]) for name in names])
    spread = table.std(axis=0)
    for name, value, low, high, sd in zip(names, target, table.min(axis=0), table.max(axis=0), spread, strict=True):
        if sd == 0:
            raise InputError(f"{name!r} is {low:g} in every patient of the pool; no weight can change its mean")
        if not low < value < high:
            raise InputError(f"the mean of {name!r} must lie between {low:g} and {high:g} of the pool, got {value:g}")
    scaled = (table - target) / spread
    score = _tilt(scaled)
    weights = _weights(scaled, score)
    found = {name: float(weights @ table[:, k]) for k, name in enumerate(names)}
    if np.abs(weights @ scaled).max() > 10 * PRECISION:
        raise SolveError(
            f"no weights of these {table.shape[0]} patients give the wanted means together; the nearest are "
            + ", ".join(f"{name} {found[name]:.4g} for {wanted[name]:.4g}" for name in names)
        )
    return Prevalence(weights, found, effective_size(weights), dict(zip(names, (score / spread).tolist(), strict=True)))


def _table(pool: Mapping[str, ArrayLike], names: list[str]) -> Array:
    if not names:
        raise InputError("at least one wanted mean is needed")
    columns = []
    for name in names:
        if name not in pool:
            raise InputError(unknown_name("quantity of the pool", name, pool))
        column = np.asarray(pool[name], np.float64)
        if column.ndim != 1 or not np.isfinite(column).all():
            raise InputError(f"{name!r} must be one finite number per patient")
        columns.append(column)
    if len({column.size for column in columns}) > 1:
        raise InputError(f"the quantities have different numbers of patients: {[c.size for c in columns]}")
    return np.column_stack(columns)


def _weights(scaled: Array, score: Array) -> Array:
    power = scaled @ score
    raised = np.exp(power - power.max())
    return raised / raised.sum()


def _tilt(scaled: Array) -> Array:
    """Return the score at which the weighted means are zero: the least of a convex function, by damped Newton steps."""
    from scipy.special import logsumexp

    score = np.zeros(scaled.shape[1])
    for _ in range(MOST_STEPS):
        weights = _weights(scaled, score)
        slope = weights @ scaled
        if np.abs(slope).max() < PRECISION:
            break
        curve = (scaled * weights[:, None]).T @ scaled - np.outer(slope, slope)
        step = np.linalg.lstsq(curve + 1e-12 * np.eye(score.size), -slope, rcond=None)[0]
        before, size, downhill = float(np.asarray(logsumexp(scaled @ score))), 1.0, float(slope @ step)
        while size > 1e-8 and np.asarray(logsumexp(scaled @ (score + size * step))) > before + 1e-4 * size * downhill:
            size /= 2
        score = score + size * step
    return score


def accept(ids: ArrayLike, weights: ArrayLike, *, seed: int = 0) -> NDArray[np.bool_]:
    """Return who of a pool belongs to the population, shape (patient,).

    A patient is accepted with the chance weight over largest weight, by the patient's own luck.

    Args:
        ids: whole numbers, shape (patient,).
        weights: such as :func:`prevalence_weights` gives them.
        seed: of the random streams.

    Raises:
        InputError: weights that are negative, all 0 or not one per patient.

    Example:
        >>> accept([1, 2, 3], [0.0, 0.5, 0.5]).tolist()
        [False, True, True]
    """
    w = np.asarray(weights, np.float64)
    effective_size(w)  # refuses weights that cannot be
    if w.size != patient_words(ids)[0].size:
        raise InputError(f"{w.size} weights do not fit {patient_words(ids)[0].size} patients")
    return uniform(seed, ids, "accepted")[:, 0] < w / w.max()
