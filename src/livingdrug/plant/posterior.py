"""What a site's own batches say, together with what is known of other sites: exact up to one-dimensional sums.

On a scale where batches are normal, the batches of a site are ``y ~ N(center, spread**2)``. The centre is one of a
population of sites, ``center ~ N(prior.center, prior.between**2)``, and so is the spread, ``log spread ~
N(log prior.spread, prior.doubt**2)``. Given the spread, all is normal; the spread itself is summed on a grid.

Source:
    Gelman et al., Bayesian data analysis, third edition, chapters 3 and 5 (recalled); the formulas are derived here.

Example:
    >>> prior = SitePrior(center=0.0, between=1.0, spread=0.5, doubt=0.3)
    >>> site = update(prior, [1.1, 0.9, 1.3, 1.0])
    >>> site.center([0.05, 0.5, 0.95]).round(2).tolist()
    [0.67, 1.03, 1.36]
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError

__all__ = ["ChancePosterior", "SitePosterior", "SitePrior", "update", "update_chance"]

Array = NDArray[np.float64]
GRID = 400
REACH = 6.0  # standard deviations of the prior that the grid spans at least
BISECTIONS = 40


@dataclass(frozen=True)
class SitePrior:
    """A population of sites on the normal scale.

    Attributes:
        center: middle of the sites' centres.
        between: standard deviation of the centres between sites.
        spread: middle of the sites' standard deviations between batches.
        doubt: standard deviation of the logarithm of that spread between sites.
    """

    center: float
    between: float
    spread: float
    doubt: float

    def __post_init__(self) -> None:
        for name in ("between", "spread", "doubt"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"prior of a site: {name} must be above 0 and finite, got {getattr(self, name):g}")
        if not math.isfinite(self.center):
            raise InputError(f"prior of a site: the centre must be finite, got {self.center:g}")


@dataclass(frozen=True, eq=False)
class SitePosterior:
    """Centre and spread of one site after its batches, as a mixture over a grid of spreads.

    Attributes:
        batches: how many were seen.
        spreads: grid of the standard deviation between batches, and ``weights`` its chances (sum 1).
        means, errors: mean and standard deviation of the centre for each spread.
        own: share of the estimate that comes from the site's own batches, 0 to 1.
    """

    batches: int
    spreads: Array
    weights: Array
    means: Array
    errors: Array
    own: float

    def center(self, probability: ArrayLike) -> Array:
        """Return quantiles of the site's centre, same shape."""
        return self._quantile(probability, self.errors)

    def new_batch(self, probability: ArrayLike) -> Array:
        """Return quantiles of a batch to come, with what is not known of the site in them."""
        return self._quantile(probability, np.hypot(self.errors, self.spreads))

    def spread(self, probability: ArrayLike) -> Array:
        """Return quantiles of the standard deviation between the site's batches, same shape."""
        total = np.cumsum(self.weights) - 0.5 * self.weights
        return np.exp(np.interp(np.asarray(probability, np.float64), total, np.log(self.spreads)))

    def _quantile(self, probability: ArrayLike, sd: Array) -> Array:
        from scipy.special import ndtr

        wide = 9.0 * sd.max()
        low, high = self.means.min() - wide, self.means.max() + wide
        return _solved(lambda x: ndtr((x[:, None] - self.means) / sd) @ self.weights, probability, low, high)


def update(prior: SitePrior, values: ArrayLike) -> SitePosterior:
    """Return what is known of a site after its batches; with none, the population of sites.

    Args:
        prior: the population of sites.
        values: the site's batches on the normal scale, shape (n,), none or more.
    """
    y = np.atleast_1d(np.asarray(values, np.float64)) if np.size(values) else np.empty(0)
    if y.ndim != 1 or not np.all(np.isfinite(y)):
        raise InputError("update: the batches must be a row of finite numbers")
    mean = float(y.mean()) if y.size else prior.center
    squares = float(np.sum((y - mean) ** 2))
    log_spread = math.log(prior.spread)
    low, high = log_spread - REACH * prior.doubt, log_spread + REACH * prior.doubt
    if y.size > 1 and squares > 0:  # batches may tell of a spread that nobody expected
        own = 0.5 * math.log(squares / (y.size - 1))
        low, high = min(low, own - 1), max(high, own + 1)
    grid, weights = _focused(low, high, lambda at: _log_weight(prior, at, y.size, mean, squares))
    variance = np.exp(2 * grid)
    share = prior.between**2 / (prior.between**2 + variance / y.size) if y.size else np.zeros(GRID)
    means = prior.center + share * (mean - prior.center)
    errors = np.maximum(prior.between * np.sqrt(1 - share), 1e-12)
    return SitePosterior(int(y.size), np.exp(grid), weights, means, errors, float(weights @ share))


def _log_weight(prior: SitePrior, grid: Array, size: int, mean: float, squares: float) -> Array:
    """Return the log of the chance of each log spread, up to a constant; the centre is integrated out."""
    found = -0.5 * ((grid - math.log(prior.spread)) / prior.doubt) ** 2
    if not size:
        return found
    variance = np.exp(2 * grid)
    total = prior.between**2 + variance / size
    found -= (size - 1) * grid + squares / (2 * variance)
    return found - 0.5 * np.log(total) - (mean - prior.center) ** 2 / (2 * total)


@dataclass(frozen=True, eq=False)
class ChancePosterior:
    """The chance of an event at one site after its counts, on a grid of log-odds."""

    batches: int
    events: int
    log_odds: Array
    weights: Array

    def chance(self, probability: ArrayLike) -> Array:
        """Return quantiles of the site's chance, same shape."""
        from scipy.special import expit

        total = np.cumsum(self.weights) - 0.5 * self.weights
        return expit(np.interp(np.asarray(probability, np.float64), total, self.log_odds))

    @property
    def next_batch(self) -> float:
        """Chance that the next batch shows the event: the mean of the site's chance."""
        from scipy.special import expit

        return float(self.weights @ expit(self.log_odds))


def update_chance(center: float, between: float, events: int, batches: int) -> ChancePosterior:
    """Return what is known of a site's chance of an event after its counts.

    Args:
        center: log-odds of the middle of the sites.
        between: standard deviation of the log-odds between sites.
        events: seen at this site, 0 to ``batches``.
        batches: of this site.

    Example:
        >>> update_chance(0.0, 1.5, 3, 30).chance([0.05, 0.5, 0.95]).round(2).tolist()
        [0.05, 0.12, 0.23]
    """
    from scipy.special import log_expit

    if not 0 <= events <= batches or not 0 < between < math.inf or not math.isfinite(center):
        raise InputError(f"update_chance: {events} events in {batches} batches, centre {center:g}, SD {between:g}")

    def log_weight(at: Array) -> Array:
        counts = events * log_expit(at) + (batches - events) * log_expit(-at)
        return counts - 0.5 * ((at - center) / between) ** 2

    return ChancePosterior(batches, events, *_focused(center - 8 * between, center + 8 * between, log_weight))


def _focused(low: float, high: float, log_weight: Callable[[Array], Array]) -> tuple[Array, Array]:
    """Return a grid and its weights (sum 1), after a first coarse one has shown where the weight lies."""
    grid = np.linspace(low, high, GRID)
    found = log_weight(grid)
    seen = np.flatnonzero(found > found.max() - 30)
    grid = np.linspace(grid[max(seen[0] - 1, 0)], grid[min(seen[-1] + 1, GRID - 1)], GRID)
    found = log_weight(grid)
    weights = np.exp(found - found.max())
    return grid, weights / weights.sum()


def _solved(chance: Callable[[Array], Any], probability: ArrayLike, low: float, high: float) -> Array:
    """Return where a rising chance reaches each probability, by bisection, same shape."""
    wanted = np.asarray(probability, np.float64)
    flat = np.atleast_1d(wanted).ravel()
    left, right = np.full(flat.shape, low), np.full(flat.shape, high)
    for _ in range(BISECTIONS):
        middle = 0.5 * (left + right)
        below = chance(middle) < flat
        left, right = np.where(below, middle, left), np.where(below, right, middle)
    return (0.5 * (left + right)).reshape(wanted.shape)
