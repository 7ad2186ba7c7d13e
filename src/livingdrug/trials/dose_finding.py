"""Dose finding: 3+3, BOIN and CRM, and how each does when the true chance of toxicity of every dose is known.

Doses are counted from 0 in the code; -1 means no dose (the trial stopped because the lowest one was too toxic). Each
virtual patient has one tolerance, a uniform number that belongs to the seed, the replicate and the patient's place in
it: a dose is toxic for a patient whose tolerance lies below its chance of toxicity. Designs that are compared with one
seed therefore meet the same patients.

Source:
    3+3: Storer 1989 (``storer1989``), with return to the dose below. BOIN: Liu and Yuan 2015 (``liu2015``). CRM:
    O'Quigley, Pepe and Fisher 1990 (``oquigley1990``), one-parameter power model as in the R package dfcrm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.streams import uniform

__all__ = [
    "BOIN",
    "CRM",
    "Design",
    "Operating",
    "ThreePlusThree",
    "operating_characteristics",
    "three_plus_three_exact",
]

Array = NDArray[np.float64]
Counts = NDArray[np.int64]
MOST_PATIENTS = 1000


class Design(Protocol):
    """A rule that finds a dose; arrays hold many replicates at once."""

    cohort: int

    def next_dose(self, treated: Counts, toxic: Counts, dose: Counts) -> Counts:
        """Return the dose of the next cohort, -1 to stop; counts shape (replicate, dose), ``dose`` (replicate,)."""
        ...

    def chosen(self, treated: Counts, toxic: Counts) -> Counts:
        """Return the dose that is recommended in the end, -1 for none, shape (replicate,)."""
        ...


@dataclass(frozen=True)
class ThreePlusThree:
    """Three patients per dose, three more after one toxicity, down after two; ends by itself.

    The recommended dose is the highest at which at most one of six patients had a toxicity.
    """

    cohort: int = 3

    def __post_init__(self) -> None:
        """Refuse a cohort that is not 3."""
        if self.cohort != 3:
            raise InputError(f"3+3 has cohorts of 3, got {self.cohort}")

    def next_dose(self, treated: Counts, toxic: Counts, dose: Counts) -> Counts:
        """Return the dose of the next cohort, -1 to stop."""
        row, top = np.arange(len(dose)), treated.shape[1] - 1
        n, y = treated[row, dose], toxic[row, dose]
        blocked = (dose == top) | (treated[row, np.minimum(dose + 1, top)] > 0)
        passed = np.where(n == 3, y == 0, y <= 1)
        up = np.where(~blocked, dose + 1, np.where(n == 3, dose, -1))
        below = np.maximum(dose - 1, 0)
        down = np.where((dose == 0) | (treated[row, below] == 6), -1, below)
        return np.where(passed, up, np.where((n == 3) & (y == 1), dose, down))

    def chosen(self, treated: Counts, toxic: Counts) -> Counts:
        """Return the highest dose with at most one toxicity in six patients, -1 for none."""
        good = (treated == 6) & (toxic <= 1)
        return np.where(good.any(axis=1), treated.shape[1] - 1 - good[:, ::-1].argmax(axis=1), -1)


def three_plus_three_exact(toxicity: ArrayLike) -> tuple[Array, Array]:
    """Return the exact operating characteristics of 3+3 from the lowest dose.

    Args:
        toxicity: true chance of toxicity per dose, shape (dose,).

    Returns:
        Chance that each dose is recommended, shape (dose + 1,), the last entry for none; mean number of patients per
        dose, shape (dose,).

    Raises:
        InputError: a chance that is not between 0 and 1.

    Source:
        Own derivation over the cohorts of the rule of ``ThreePlusThree``.

    Example:
        >>> chosen, patients = three_plus_three_exact([0.0, 1.0])
        >>> chosen.tolist(), patients.tolist()
        ([1.0, 0.0, 0.0], [6.0, 3.0])
    """
    p = _toxicity(toxicity)[0]
    none, one = (1 - p) ** 3, 3 * p * (1 - p) ** 2
    first, second = none, one * none  # passes with three patients, with six
    again = none + one  # at most one toxicity among three more, after none among three
    reached = np.concatenate([[1.0], np.cumprod(first + second)])
    back = np.empty(p.size + 1)  # chance that the trial goes below a dose once it has come there
    back[-1] = 1.0  # above the highest dose there is none: three more patients there, as if it had come back
    for dose in range(p.size - 1, -1, -1):
        back[dose] = 1 - first[dose] - second[dose] + first[dose] * back[dose + 1] * (1 - again[dose])
    chosen = reached[:-1] * back[1:] * (second + first * again)
    patients = 3 * reached[:-1] * (1 + one + first * back[1:])
    return np.append(chosen, back[0]), patients


@dataclass(frozen=True)
class BOIN:
    """Bayesian optimal interval design: up, stay or down by the share of toxicities at the current dose.

    Attributes:
        target: wanted chance of toxicity.
        cohort: patients per cohort.
        low: highest chance that is too low, 0.6 of the target unless given.
        high: lowest chance that is too high, 1.4 of the target unless given.
        elimination: a dose, with all above, is given up if its chance lies above the target with this probability,
            from three patients on.
    """

    target: float
    cohort: int = 3
    low: float | None = None
    high: float | None = None
    elimination: float = 0.95

    def __post_init__(self) -> None:
        """Refuse values that are out of order."""
        low, high = self._ends()
        _within("BOIN", 0 < low < self.target < high < 1, f"0 < {low:.4g} < {self.target:.4g} < {high:.4g} < 1")
        _within("BOIN", 0.5 < self.elimination < 1, f"elimination between 0.5 and 1 (got {self.elimination})")
        _within("BOIN", self.cohort >= 1, f"a cohort of at least 1 (got {self.cohort})")

    def _ends(self) -> tuple[float, float]:
        return (
            0.6 * self.target if self.low is None else self.low,
            1.4 * self.target if self.high is None else self.high,
        )

    def boundaries(self) -> tuple[float, float]:
        """Return the shares of toxicities at or below which the dose rises, and at or above which it falls.

        Source:
            Liu and Yuan 2015 (``liu2015``).

        Example:
            >>> [round(share, 3) for share in BOIN(0.3).boundaries()]
            [0.236, 0.359]
        """
        (low, high), t = self._ends(), self.target
        rise = math.log((1 - low) / (1 - t)) / math.log(t * (1 - low) / (low * (1 - t)))
        return rise, math.log((1 - t) / (1 - high)) / math.log(high * (1 - t) / (t * (1 - high)))

    def eliminated(self, treated: Counts, toxic: Counts) -> NDArray[np.bool_]:
        """Return which doses are given up, shape (replicate, dose)."""
        from scipy.special import betainc

        too_high = 1 - betainc(toxic + 1.0, treated - toxic + 1.0, self.target) > self.elimination
        return np.logical_or.accumulate(too_high & (treated >= 3), axis=1)

    def next_dose(self, treated: Counts, toxic: Counts, dose: Counts) -> Counts:
        """Return the dose of the next cohort, -1 to stop."""
        row, top = np.arange(len(dose)), treated.shape[1] - 1
        gone = self.eliminated(treated, toxic)
        rise, fall = self.boundaries()
        share = toxic[row, dose] / np.maximum(treated[row, dose], 1)
        above = np.minimum(dose + 1, top)
        up = (share <= rise) & ~gone[row, above]
        step = np.where((share >= fall) | gone[row, dose], np.maximum(dose - 1, 0), np.where(up, above, dose))
        return np.where(gone[:, 0], -1, step)

    def chosen(self, treated: Counts, toxic: Counts) -> Counts:
        """Return the dose whose isotonic estimate lies nearest to the target, -1 for none."""
        open_doses = (treated > 0) & ~self.eliminated(treated, toxic)
        return np.array([
            self._nearest(np.flatnonzero(tried), n, y)
            for tried, n, y in zip(open_doses, treated, toxic, strict=True)
        ], np.int64)  # fmt: skip

    def _nearest(self, doses: Counts, treated: Counts, toxic: Counts) -> int:
        from scipy.optimize import isotonic_regression

        if not doses.size:
            return -1
        n, y = treated[doses] + 0.1, toxic[doses] + 0.05
        rising = isotonic_regression(y / n, weights=n * n * (n + 1) / (y * (n - y))).x
        # of equal estimates the highest dose if they lie below the target, the lowest if above
        return int(doses[np.argmin(np.abs(rising + 1e-10 * np.arange(doses.size) - self.target))])


@dataclass(frozen=True)
class CRM:
    """Continual reassessment: the chance at each dose is skeleton ** exp(b), with b normal around 0 beforehand.

    A dose is never skipped on the way up; the trial stops if the lowest dose is too toxic with a given probability.

    Attributes:
        skeleton: first guess of the chance of toxicity per dose, rising.
        target: wanted chance of toxicity.
        cohort: patients per cohort.
        spread: standard deviation of b beforehand.
        elimination: the trial stops if the chance at the lowest dose lies above the target with this probability.
    """

    skeleton: tuple[float, ...]
    target: float
    cohort: int = 3
    spread: float = math.sqrt(1.34)
    elimination: float = 0.95

    def __post_init__(self) -> None:
        """Refuse values that are out of order."""
        guess = np.asarray(self.skeleton, np.float64)
        _within("CRM", guess.ndim == 1 and guess.size > 0, "a skeleton of at least one dose")
        _within("CRM", bool(np.all((guess > 0) & (guess < 1))), "a skeleton between 0 and 1")
        _within("CRM", bool(np.all(np.diff(guess) > 0)), "a skeleton that rises")
        _within("CRM", 0 < self.target < 1, f"a target between 0 and 1 (got {self.target})")
        _within("CRM", self.spread > 0 and self.cohort >= 1, "a spread above 0 and a cohort of at least 1")
        _within("CRM", 0.5 < self.elimination < 1, f"elimination between 0.5 and 1 (got {self.elimination})")

    def chances(self, treated: ArrayLike, toxic: ArrayLike) -> tuple[Array, Array]:
        """Return the estimated chance of toxicity per dose, and the probability that the lowest one exceeds the target.

        Args:
            treated: patients per dose, shape (replicate, dose).
            toxic: those with toxicity, the same shape.

        Returns:
            Chances at the mean of b given the data, shape (replicate, dose); probability, shape (replicate,).

        Source:
            O'Quigley, Pepe and Fisher 1990 (``oquigley1990``), plug-in estimate of the R package dfcrm.
        """
        n, y = (np.atleast_2d(np.asarray(values, np.float64)) for values in (treated, toxic))
        b = np.linspace(-8.0, 8.0, 401) * self.spread  # trapezoid sums converge fast on a smooth, decaying density
        log_skeleton = np.log(np.asarray(self.skeleton, np.float64))
        log_chance = np.exp(b) * log_skeleton[:, None]
        log_none = np.log(-np.expm1(np.minimum(log_chance, -1e-300)))
        density = y @ log_chance + (n - y) @ log_none - 0.5 * (b / self.spread) ** 2
        weight = np.exp(density - density.max(axis=1, keepdims=True))
        weight /= weight.sum(axis=1, keepdims=True)
        mean = weight @ b
        limit = math.log(math.log(self.target) / log_skeleton[0])  # below it the lowest dose is too toxic
        place = np.clip((limit - b[0]) / (b[1] - b[0]) + 0.5, 0, b.size)
        whole = int(place)
        above = weight[:, :whole].sum(axis=1) + (place - whole) * weight[:, min(whole, b.size - 1)]
        return np.exp(np.exp(mean)[:, None] * log_skeleton), above

    def next_dose(self, treated: Counts, toxic: Counts, dose: Counts) -> Counts:  # noqa: ARG002 - one rule, all data
        """Return the dose of the next cohort, -1 to stop."""
        chance, above = self.chances(treated, toxic)
        highest = treated.shape[1] - 1 - (treated > 0)[:, ::-1].argmax(axis=1)
        wanted = np.abs(chance - self.target).argmin(axis=1)
        return np.where(above > self.elimination, -1, np.minimum(wanted, highest + 1))

    def chosen(self, treated: Counts, toxic: Counts) -> Counts:
        """Return the dose, among those that were given, whose chance lies nearest to the target, -1 for none."""
        chance, above = self.chances(treated, toxic)
        distance = np.where(treated > 0, np.abs(chance - self.target), np.inf)
        return np.where(above > self.elimination, -1, distance.argmin(axis=1))


@dataclass(frozen=True, eq=False)
class Operating:
    """How a design does when the truth is known, over many replicates.

    Attributes:
        chosen: share of trials that recommend each dose, shape (dose + 1,); the last entry: none.
        error: Monte-Carlo standard error of ``chosen``.
        patients: mean number of patients per dose, shape (dose,).
        toxic: mean number of toxicities per dose, shape (dose,).
        size: patients of each trial, shape (replicate,).
        picked: recommended dose of each trial, -1 for none, shape (replicate,).
    """

    chosen: Array
    error: Array
    patients: Array
    toxic: Array
    size: Counts
    picked: Counts


def operating_characteristics(
    design: Design,
    toxicity: ArrayLike,
    *,
    seed: int,
    largest: int = 30,
    replicates: int = 1000,
    start: int = 0,
) -> Operating:
    """Return how often a design recommends each dose, how many patients get it and how many are harmed.

    Args:
        design: the rule.
        toxicity: true chance of toxicity per dose, shape (dose,), or (set, dose) for an ensemble: replicate i gets set
            i modulo the number of sets.
        seed: of the patients' tolerances.
        largest: most patients in a trial (3+3 may end before).
        replicates: trials.
        start: dose of the first cohort.

    Raises:
        InputError: values that are out of range or do not fit the design.

    Example:
        >>> found = operating_characteristics(ThreePlusThree(), [0.0, 1.0], seed=1, replicates=10)
        >>> found.chosen.tolist(), found.patients.tolist()
        ([1.0, 0.0, 0.0], [6.0, 3.0])
    """
    truth = _toxicity(toxicity)
    doses = truth.shape[1]
    _within("dose finding", 1 <= design.cohort <= largest <= MOST_PATIENTS, f"1 to {MOST_PATIENTS} patients")
    _within("dose finding", 0 <= start < doses, f"a first dose from 0 to {doses - 1}, got {start}")
    _within("dose finding", replicates >= 1, f"at least one replicate, got {replicates}")
    if isinstance(design, CRM):
        _within("CRM", len(design.skeleton) == doses, f"as many doses in the skeleton as in the truth ({doses})")
    truth = truth[np.arange(replicates) % len(truth)]
    tolerance = uniform(seed, np.arange(replicates), "tolerance of a dose", largest)
    treated, toxic = _run(design, truth, tolerance, start)
    picked = design.chosen(treated, toxic)
    chosen = np.bincount(np.where(picked < 0, doses, picked), minlength=doses + 1) / replicates
    error = np.sqrt(chosen * (1 - chosen) / replicates)
    return Operating(chosen, error, treated.mean(axis=0), toxic.mean(axis=0), treated.sum(axis=1), picked)


def _run(design: Design, truth: Array, tolerance: Array, start: int) -> tuple[Counts, Counts]:
    treated, toxic = np.zeros(truth.shape, np.int64), np.zeros(truth.shape, np.int64)
    dose = np.full(len(truth), start, np.int64)
    running = np.arange(len(truth))
    for first in range(0, tolerance.shape[1] - design.cohort + 1, design.cohort):
        now = dose[running]
        harmed = tolerance[running, first : first + design.cohort] < truth[running, now][:, None]
        treated[running, now] += design.cohort
        toxic[running, now] += harmed.sum(axis=1)
        dose[running] = design.next_dose(treated[running], toxic[running], now)
        running = running[dose[running] >= 0]
        if not running.size:
            break
    return treated, toxic


def _toxicity(toxicity: ArrayLike) -> Array:
    truth = np.atleast_2d(np.asarray(toxicity, np.float64))
    fits = truth.ndim == 2 and truth.size > 0 and np.all((truth >= 0) & (truth <= 1))
    _within("dose finding", bool(fits), "chances of toxicity between 0 and 1, shape (dose,) or (set, dose)")
    return truth


def _within(what: str, good: bool, needed: str) -> None:
    if not good:
        raise InputError(f"{what} needs {needed}")
