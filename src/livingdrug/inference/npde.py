"""Normalised prediction distribution errors: each measurement's place among simulations of its own design.

Under the model the errors are draws of a standard normal distribution, whatever the shape of the predictions (Brendel
et al. 2006, Comets et al. 2008). Samples beyond a limit follow the cdf method (Nguyen, Comets and Mentre 2012): a
place is drawn between the limits, with the chance that the model gives; simulated values beyond the limit of a row are
treated in the same way, so that observed and simulated rows remain alike.

``NPD`` looks at each row alone; ``NPDE`` takes out the correlation within a subject first (by the Cholesky factor of
the simulations' covariance), so that its values may be tested together.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.diagnostics import as_measured
from livingdrug.inference.predictions import simulate

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = ["NormalTest", "errors_of_subject", "normal_test", "npde", "row_limits", "row_sides"]

Reals = NDArray[np.float64]
LEAST_REPLICATES = 100


def npde(result: FitResult, replicates: int = 1000, *, seed: int = 0) -> Any:
    """Return ID, TIME, ENDPOINT, ROW, CENS, PRED, NPD and NPDE of every measurement as a pandas table.

    Args:
        result: a fit; its parameters, not those of single subjects, are simulated.
        replicates: simulated data sets, at least 100 and more than the samples of any subject.
        seed: of the simulations and of the places drawn beyond limits.

    Raises:
        InputError: too few replicates.
    """
    import pandas as pd

    measured = as_measured(result)
    problem, rows = measured.problem, measured.problem.rows
    most = int(np.bincount(rows.subject).max())
    if replicates < max(LEAST_REPLICATES, most + 1):
        raise InputError(
            f"npde: {replicates} replicates are too few; with at most {most} samples in a subject take at least "
            f"{max(LEAST_REPLICATES, most + 1)}"
        )
    simulated = simulate(measured, replicates, seed)
    random = np.random.Generator(np.random.Philox([seed, 5]))
    limits = row_limits(measured)
    alone, whole = (np.full(len(rows.time), np.nan) for _ in range(2))
    for subject in range(problem.subjects):
        at = np.flatnonzero(rows.subject == subject)
        alone[at], whole[at] = errors_of_subject(
            rows.value[at], rows.low[at], rows.high[at], simulated[:, at], limits[at], random
        )
    return pd.DataFrame(
        {
            "ID": [rows.data.ids[s] for s in rows.subject],
            "TIME": rows.time,
            "ENDPOINT": [problem.model.ends[k].output for k in rows.endpoint],
            "ROW": rows.data.observations.row[rows.source],
            "CENS": row_sides(measured),
            "PRED": problem.predict(measured.theta_[None], np.zeros((1, problem.subjects, problem.d))).f[0],
            "NPD": alone,
            "NPDE": whole,
        }
    )


def row_sides(result: FitResult) -> NDArray[np.int64]:
    """Whether every row was measured (0), or is known to lie below (1) or above (-1) a limit."""
    rows = result.problem.rows
    above = rows.data.observations.censoring[rows.source] == -1
    return np.where(rows.points, 0, np.where(above, -1, 1))


def row_limits(result: FitResult) -> Reals:
    """Limit of quantification of every row on its endpoint's scale, -inf where it is not known.

    Where the data tell limits of samples below them only (CENS), a measured sample has the most frequent of them that
    does not lie above its value: without it no simulated sample could fall below the limit there.
    """
    problem, rows = result.problem, result.problem.rows
    limits = rows.data.observations.lloq[rows.source].astype(float)
    below = row_sides(result) == 1
    for k, end in enumerate(problem.model.ends):
        at = problem.endpoint_rows[k]
        if end.limit is not None:
            limits[at] = end.limit
        if end.residual.logarithmic:
            limits[at] = np.log(limits[at], where=limits[at] > 0, out=np.full(len(at), np.nan))
        low = at[below[at]]
        limits[low] = rows.high[low]
        if len(low):
            _take_over(limits, at[np.isnan(limits[at])], rows.high[low], np.where(rows.points, rows.value, rows.low))
    return np.where(np.isnan(limits), -np.inf, limits)


def _take_over(limits: Reals, at: NDArray[np.intp], seen: Reals, value: Reals) -> None:
    """Give rows without a limit the most frequent of those seen that does not lie above their value."""
    found, times = np.unique(seen, return_counts=True)
    open_ = np.ones(len(at), bool)
    for limit in found[np.argsort(-times, kind="stable")]:
        fits = open_ & (value[at] >= limit)
        limits[at[fits]] = limit
        open_ &= ~fits


def errors_of_subject(
    value: Reals, low: Reals, high: Reals, simulated: Reals, limits: Reals, random: np.random.Generator
) -> tuple[Reals, Reals]:
    """Errors of the rows of one subject.

    Args:
        value: measured values, NaN of rows between ``low`` and ``high``, shape (row,).
        low: lower end of those intervals.
        high: upper end.
        simulated: shape (replicate, row).
        limits: below which simulated values are treated as the measured ones below it, -inf for none.
        random: draws the places within ties and beyond limits.

    Returns:
        Errors of each row alone, and errors without correlation.
    """
    from scipy.special import ndtri

    simulated = _filled(_nothing_as_lowest(simulated), limits, random)
    place = _places(value, low, high, simulated, random)
    filled = np.where(np.isnan(value), _at_place(simulated, place), value)
    mean, spread = simulated.mean(axis=0), np.cov(simulated, rowvar=False).reshape(len(value), len(value))
    flat = np.diag(spread) <= 1e-12 * (1.0 + mean**2)  # a row without scatter, such as a prediction of zero
    alone = np.where(flat, np.nan, ndtri(place))
    whole, moves = np.full(len(value), np.nan), np.flatnonzero(~flat)
    if len(moves):
        L = np.linalg.cholesky(spread[np.ix_(moves, moves)] + 1e-12 * np.diag(np.diag(spread)[moves]))
        apart = np.linalg.solve(L, (simulated[:, moves] - mean[moves]).T).T
        own = np.linalg.solve(L, filled[moves] - mean[moves])
        whole[moves] = ndtri(_rank(own, apart, random))
    return alone, whole


def _nothing_as_lowest(simulated: Reals) -> Reals:
    """Put the lowest other simulated value of the row where nothing is left: ranks stay, and a covariance exists."""
    lowest = np.min(simulated, axis=0, where=np.isfinite(simulated), initial=np.inf)
    return np.where(np.isneginf(simulated), np.where(np.isfinite(lowest), lowest, 0.0), simulated)


def _filled(simulated: Reals, limits: Reals, random: np.random.Generator) -> Reals:
    """Replace simulated values below the limit by others from below it: what was lost is drawn anew, as in the data."""
    filled = simulated.copy()
    for row in np.flatnonzero(np.isfinite(limits)):
        below = np.flatnonzero(simulated[:, row] < limits[row])
        if len(below):
            filled[below, row] = simulated[random.permutation(below), row]
    return filled


def _places(value: Reals, low: Reals, high: Reals, simulated: Reals, random: np.random.Generator) -> Reals:
    """Place of each row in the distribution of its simulations, between 0 and 1; drawn in intervals."""
    place = _rank(np.where(np.isnan(value), 0.0, value), simulated, random)
    size = len(simulated) + 1
    first = (simulated < low).sum(axis=0) / size
    last = ((simulated < high).sum(axis=0) + 1) / size
    drawn = first + (last - first) * random.random(len(value))
    return np.where(np.isnan(value), drawn, place)


def _rank(value: Reals, simulated: Reals, random: np.random.Generator) -> Reals:
    """Rank among the simulations, spread evenly within its step: exactly uniform if all are alike."""
    less, equal = (simulated < value).sum(axis=0), (simulated == value).sum(axis=0)
    return (less + (equal + 1) * random.random(len(value))) / (len(simulated) + 1)


def _at_place(simulated: Reals, place: Reals) -> Reals:
    """The simulated value at a place of each row's distribution."""
    ordered = np.sort(simulated, axis=0)
    at = np.minimum((place * len(simulated)).astype(int), len(simulated) - 1)
    return ordered[at, np.arange(len(place))]


@dataclass(frozen=True)
class NormalTest:
    """Whether errors are standard normal.

    Attributes:
        count: of errors.
        mean, sd: of the errors; 0 and 1 under the model.
        p_mean, p_sd, p_shape: chances of values so far off under the model: t test, chi-squared test of the variance,
            Shapiro and Wilk's test (of 5000 errors at most).
        p: the smallest of the three times three (Bonferroni), at most 1.
    """

    count: int
    mean: float
    sd: float
    p_mean: float
    p_sd: float
    p_shape: float

    @property
    def p(self) -> float:
        """Adjusted chance of all three tests together."""
        return min(1.0, 3 * min(self.p_mean, self.p_sd, self.p_shape))


def normal_test(errors: Any) -> NormalTest:
    """Test errors against the standard normal distribution.

    Raises:
        InputError: fewer than three errors.

    Example:
        >>> from scipy.special import ndtri
        >>> found = normal_test(ndtri((np.arange(200) + 0.5) / 200))
        >>> round(found.mean, 6), round(found.sd, 2), found.p > 0.9
        (0.0, 1.0, True)
    """
    from scipy import stats

    z = np.asarray(errors, float)
    z = z[np.isfinite(z)]
    if len(z) < 3:
        raise InputError(f"a test of normal errors needs at least three of them, got {len(z)}")
    n, sd = len(z), float(z.std(ddof=1))
    chi = stats.chi2(n - 1).cdf((n - 1) * sd**2)
    return NormalTest(
        n, float(z.mean()), sd, float(np.asarray(stats.ttest_1samp(z, 0.0))[1]), float(2 * min(chi, 1 - chi)),
        float(stats.shapiro(z[:5000]).pvalue),
    )  # fmt: skip
