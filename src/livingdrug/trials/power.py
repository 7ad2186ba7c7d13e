"""Power of a trial: by simulation from virtual patients, and exactly for single-arm trials with a proportion.

Virtual patients come as tables of what happens to the same patient under each arm (potential outcomes): one row per
patient, with the same luck in both arms. A simulated trial draws different patients for its two arms, as a real one
does; designs, sizes and effects that are compared with one seed draw the same patients, so that their difference is
seen with far fewer replicates (common random numbers). An ensemble of parameter sets gives the probability of success
(assurance): the power averaged over what is not known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.streams import uniform
from livingdrug.trials.comparisons import log_rank

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Endpoint", "PowerCurve", "SingleArm", "TwoStage", "exact_single_arm", "mean_endpoint", "power_curve",
    "proportion_endpoint", "simon_two_stage", "single_arm_power", "survival_endpoint",
]  # fmt: skip

Array = NDArray[np.float64]
Test = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], Array]
MOST_PATIENTS = 5000
FEWEST_PER_SET = 100
BLOCK = 500_000  # patients that are drawn at once, so that memory stays flat


@dataclass(frozen=True, eq=False)
class Endpoint:
    """What is compared, and the test.

    Attributes:
        test: takes the parameter set of each replicate, and the drawn patients of the treated and of the other arm,
            shape (replicate, patient); returns the statistic z, above 0 where the treated arm does better.
        patients: virtual patients per parameter set.
        sets: parameter sets.
    """

    test: Test
    patients: int
    sets: int


def proportion_endpoint(treated: ArrayLike, other: ArrayLike, *, good: bool = True) -> Endpoint:
    """Return an endpoint that patients reach or not, tested by the pooled z test of two proportions.

    Args:
        treated: True where the patient reaches it in the treated arm, shape (patient,) or (set, patient).
        other: the same patients in the other arm, the same shape.
        good: whether reaching it is good (response) or bad (side effect).

    Raises:
        InputError: shapes that differ.
    """
    yes, no = _tables(treated, other)

    def test(sets: NDArray[np.int64], ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Array:
        p, q = yes[sets[:, None], ours].mean(axis=1), no[sets[:, None], theirs].mean(axis=1)
        n, m = ours.shape[1], theirs.shape[1]
        pooled = (p * n + q * m) / (n + m)
        z = _over(p - q, np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m)))
        return z if good else -z

    return Endpoint(test, yes.shape[1], len(yes))


def survival_endpoint(
    treated: ArrayLike, treated_events: ArrayLike, other: ArrayLike, other_events: ArrayLike
) -> Endpoint:
    """Return a time to an event, tested by the log-rank test; a later event is better.

    Args:
        treated: day of the event or of censoring in the treated arm, shape (patient,) or (set, patient).
        treated_events: True for an event, the same shape.
        other: the same patients in the other arm, the same shape.
        other_events: True for an event, the same shape.

    Raises:
        InputError: shapes that differ.
    """
    (day, other_day), (event, other_event) = _tables(treated, other), _tables(treated_events, other_events)
    if event.shape != day.shape:
        raise InputError(f"survival needs days and events of one shape, got {day.shape} and {event.shape}")

    def test(sets: NDArray[np.int64], ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Array:
        row = sets[:, None]
        days = np.concatenate([day[row, ours], other_day[row, theirs]], axis=1)
        events = np.concatenate([event[row, ours], other_event[row, theirs]], axis=1)
        arm = np.arange(days.shape[1]) < ours.shape[1]
        return -log_rank(days, events, arm).z

    return Endpoint(test, day.shape[1], len(day))


def mean_endpoint(treated: ArrayLike, other: ArrayLike, *, good: bool = True) -> Endpoint:
    """Return a number per patient, tested by Welch's t test, its t turned into the z of the same probability.

    Args:
        treated: number in the treated arm, shape (patient,) or (set, patient).
        other: the same patients in the other arm, the same shape.
        good: whether a larger number is better.

    Raises:
        InputError: shapes that differ, or a number that is not finite.
    """
    ours_table, other_table = _tables(treated, other)

    def test(sets: NDArray[np.int64], ours: NDArray[np.int64], theirs: NDArray[np.int64]) -> Array:
        from scipy.special import ndtri, stdtr

        x, y = ours_table[sets[:, None], ours], other_table[sets[:, None], theirs]
        a, b = x.var(axis=1, ddof=1) / x.shape[1], y.var(axis=1, ddof=1) / y.shape[1]
        t = _over(x.mean(axis=1) - y.mean(axis=1), np.sqrt(a + b))
        freedom = _over((a + b) ** 2, a * a / (x.shape[1] - 1) + b * b / (y.shape[1] - 1), otherwise=1.0)
        z = -np.sign(t) * ndtri(np.maximum(stdtr(freedom, -np.abs(t)), 1e-300))
        return z if good else -z

    return Endpoint(test, ours_table.shape[1], len(ours_table))


def _over(above: Array, below: Array, otherwise: float = 0.0) -> Array:
    return np.divide(above, below, out=np.full(np.shape(above), otherwise), where=below > 0)


def _tables(treated: ArrayLike, other: ArrayLike) -> tuple[Array, Array]:
    ours, theirs = (np.atleast_2d(np.asarray(values, np.float64)) for values in (treated, other))
    if ours.shape != theirs.shape or ours.ndim != 2 or ours.size == 0:
        raise InputError(
            f"both arms need the same patients, shape (patient,) or (set, patient), got {ours.shape} and {theirs.shape}"
        )
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        raise InputError("an endpoint needs a finite number for every virtual patient in both arms")
    return ours, theirs


@dataclass(frozen=True, eq=False)
class PowerCurve:
    """Power at several sizes.

    Attributes:
        size: patients of the treated arm, shape (size,).
        other_size: patients of the other arm.
        success: whether each replicate succeeds, shape (size, replicate).
        sets: parameter set of each replicate.
    """

    size: NDArray[np.int64]
    other_size: NDArray[np.int64]
    success: NDArray[np.bool_]
    sets: NDArray[np.int64]

    @property
    def power(self) -> Array:
        """Share of replicates that succeed: with an ensemble the probability of success (assurance)."""
        return self.by_set().mean(axis=1)

    def by_set(self) -> Array:
        """Return the power under each parameter set, shape (size, set)."""
        count = np.bincount(self.sets)
        return np.stack([np.bincount(self.sets, row) / count for row in self.success.astype(float)])

    @property
    def error(self) -> Array:
        """Monte-Carlo standard error of ``power``: of few replicates and of few parameter sets together."""
        return _mean_error(self.success.astype(float), self.sets)

    def gain_over(self, other: PowerCurve) -> tuple[Array, Array]:
        """Return by how much the power exceeds that of another design, and the Monte-Carlo standard error.

        Both must come from one seed and one number of replicates: the patients are then the same, and what they share
        cancels.

        Raises:
            InputError: the curves do not have the same sizes, replicates and parameter sets.
        """
        if self.success.shape != other.success.shape or np.any(self.sets != other.sets):
            raise InputError("curves are compared that have the same sizes, replicates and parameter sets")
        gain = self.success.astype(float) - other.success
        return self.power - other.power, _mean_error(gain, self.sets)

    def table(self) -> pd.DataFrame:
        """Return size, other_size, power, its Monte-Carlo standard error, and the range over the parameter sets.

        The range is left out (NaN) below 100 replicates per set, since it would show the chance of the simulation.
        """
        import pandas as pd

        enough = np.bincount(self.sets).min() >= FEWEST_PER_SET
        each = self.by_set() if enough else np.full((self.size.size, 1), np.nan)
        return pd.DataFrame({
            "size": self.size, "other_size": self.other_size, "power": self.power, "error": self.error,
            "lowest_set": each.min(axis=1), "highest_set": each.max(axis=1),
        })  # fmt: skip


def _mean_error(values: Array, sets: NDArray[np.int64]) -> Array:
    count = np.bincount(sets)
    if count.size == 1:
        return values.std(axis=1, ddof=1) / math.sqrt(values.shape[1])
    means = np.stack([np.bincount(sets, row) / count for row in values])
    return means.std(axis=1, ddof=1) / math.sqrt(count.size)


def power_curve(
    endpoint: Endpoint,
    sizes: Sequence[int],
    *,
    seed: int,
    replicates: int = 1000,
    ratio: float = 1.0,
    alpha: float = 0.025,
) -> PowerCurve:
    """Return how often a two-armed trial succeeds, for several sizes.

    Success means that the treated arm is better with a one-sided probability below ``alpha``. Patients are drawn with
    replacement from the virtual ones, different ones for each arm; a larger trial contains the smaller one.

    Args:
        endpoint: what is compared.
        sizes: patients of the treated arm, 2 or more.
        seed: of the draws.
        replicates: simulated trials; at least as many as parameter sets, which take turns.
        ratio: patients of the other arm per patient of the treated arm.
        alpha: one-sided level.

    Raises:
        InputError: values out of range.

    Example:
        >>> import numpy as np
        >>> responds = np.arange(1000) % 10 < 6, np.arange(1000) % 10 < 4
        >>> curve = power_curve(proportion_endpoint(*responds), [50, 100], seed=1)
        >>> bool(0.4 < curve.power[0] < 0.6), bool(0.75 < curve.power[1] < 0.9)
        (True, True)
    """
    from scipy.special import ndtri

    size = np.asarray(sizes, np.int64)
    other = np.maximum(np.rint(size * ratio), 0).astype(np.int64)
    if (
        size.ndim != 1
        or not size.size
        or min(size.min(), other.min()) < 2
        or max(size.max(), other.max()) > MOST_PATIENTS
    ):
        raise InputError(
            f"power needs sizes from 2 to {MOST_PATIENTS} in both arms, got {list(sizes)[:5]}, ratio {ratio}"
        )
    if not 0 < alpha < 0.5:
        raise InputError(f"the one-sided level must lie between 0 and 0.5, got {alpha}")
    if replicates < max(2, endpoint.sets):
        raise InputError(f"power needs at least 2 replicates and one per parameter set ({endpoint.sets})")
    sets, limit = np.arange(replicates) % endpoint.sets, -ndtri(alpha)
    block = max(1, BLOCK // int(max(size.max(), other.max())))
    success = []
    for first in range(0, replicates, block):
        ids = np.arange(first, min(first + block, replicates))
        ours, theirs = _drawn(endpoint, seed, ids, int(size.max()), int(other.max()))
        z = [endpoint.test(sets[ids], ours[:, :n], theirs[:, :m]) for n, m in zip(size, other, strict=True)]
        success.append(np.stack(z) > limit)
    return PowerCurve(size, other, np.concatenate(success, axis=1), sets)


def _drawn(endpoint: Endpoint, seed: int, ids: NDArray[np.int64], most: int, others: int) -> list[NDArray[np.int64]]:
    """Return the patients of both arms of the replicates ``ids``, shape (replicate, patient)."""
    return [
        (uniform(seed, ids, f"patients of the {arm} arm", count) * endpoint.patients).astype(np.int64)
        for arm, count in (("treated", most), ("other", others))
    ]


@dataclass(frozen=True)
class SingleArm:
    """A single-arm trial: success with at least ``needed`` of ``size`` patients.

    Attributes:
        size: patients.
        needed: patients with the endpoint from which on the trial succeeds.
        alpha: chance of success if the share is the one that is not worth while.
        power: chance of success if it is the one hoped for.
    """

    size: int
    needed: int
    alpha: float
    power: float


def single_arm_power(size: int, null: float, share: ArrayLike, alpha: float = 0.025) -> Array:
    """Return the exact chance that a single-arm trial rejects the null share.

    Args:
        size: patients.
        null: share that is not worth while.
        share: true share, any shape (for instance one per parameter set; their mean is the probability of success).
        alpha: one-sided level.

    Raises:
        InputError: values out of range.

    Example:
        >>> float(single_arm_power(78, 0.1, 0.2, alpha=0.05).round(4))
        0.8082
    """
    from scipy.special import bdtrc

    _shares(null, alpha)
    if not 1 <= size <= MOST_PATIENTS:
        raise InputError(f"a single-arm trial needs 1 to {MOST_PATIENTS} patients, got {size}")
    true = np.asarray(share, np.float64)
    if not np.all((true >= 0) & (true <= 1)):
        raise InputError("the true share must lie between 0 and 1")
    return np.asarray(bdtrc(_needed(size, null, alpha) - 1.0, size, true), np.float64)


def _needed(size: int, null: float, alpha: float) -> int:
    from scipy.special import bdtrc

    chance = bdtrc(np.arange(-1.0, size + 1), size, null)  # of more than k
    return int(np.argmax(chance <= alpha))


def exact_single_arm(null: float, hoped: float, *, alpha: float = 0.05, power: float = 0.8) -> SingleArm:
    """Return the smallest single-arm trial whose exact binomial test keeps the level and the power.

    Args:
        null: share that is not worth while.
        hoped: share that is.
        alpha: one-sided level.
        power: wanted chance of success at ``hoped``.

    Raises:
        InputError: values out of range, or no trial of up to 5000 patients.

    Source:
        A'Hern 2001 (``ahern2001``).

    Example:
        >>> exact_single_arm(0.1, 0.2).size
        78
    """
    from scipy.special import bdtrc

    _shares(null, alpha, hoped, power)
    needed = 1  # grows with the size, by one at most
    for size in range(1, MOST_PATIENTS + 1):
        needed += bool(bdtrc(needed - 1.0, size, null) > alpha)
        reached = float(bdtrc(needed - 1.0, size, hoped))
        if needed <= size and reached >= power:
            return SingleArm(size, needed, float(bdtrc(needed - 1.0, size, null)), reached)
    raise InputError(f"no trial of up to {MOST_PATIENTS} patients tells {hoped} from {null} with power {power}")


@dataclass(frozen=True)
class TwoStage:
    """Simon's two-stage trial: it stops with at most ``stop`` of ``first``, fails with at most ``fail`` of ``size``.

    Attributes:
        stop: largest number of patients with the endpoint at which the trial ends after the first stage.
        first: patients of the first stage.
        fail: largest number of patients with the endpoint at which the trial fails in the end.
        size: patients of both stages.
        alpha: chance of success at the share that is not worth while.
        power: chance of success at the share hoped for.
        expected: mean number of patients at the share that is not worth while.
        early: chance to end after the first stage then.
    """

    stop: int
    first: int
    fail: int
    size: int
    alpha: float
    power: float
    expected: float
    early: float


def simon_two_stage(
    null: float, hoped: float, *, alpha: float = 0.05, power: float = 0.8, largest: int = 100
) -> dict[str, TwoStage]:
    """Return Simon's optimal and minimax designs.

    Args:
        null: share that is not worth while.
        hoped: share that is.
        alpha: largest chance of success at ``null``.
        power: smallest chance of success at ``hoped``.
        largest: most patients that are searched, up to 200.

    Returns:
        ``optimal`` (fewest patients on average at ``null``) and ``minimax`` (fewest patients in all).

    Raises:
        InputError: values out of range, or no design within ``largest``.

    Source:
        Simon 1989 (``simon1989``).

    Example:
        >>> design = simon_two_stage(0.2, 0.4, largest=50)["optimal"]
        >>> design.stop, design.first, design.fail, design.size
        (3, 13, 12, 43)
    """
    _shares(null, alpha, hoped, power)
    if not 2 <= largest <= 200:
        raise InputError(f"Simon's designs are searched up to 2 to 200 patients, got {largest}")
    optimal = minimax = None
    for size in range(2, largest + 1):
        if _best_power(null, hoped, alpha, size) < power:
            continue
        for first in range(1, size):
            if optimal and minimax and size > minimax.size and first >= optimal.expected:
                break  # the mean number of patients is above that of the first stage
            for design in _two_stage(null, hoped, alpha, power, first, size):
                if optimal is None or design.expected < optimal.expected:
                    optimal = design
                if minimax is None or (design.size, design.expected) < (minimax.size, minimax.expected):
                    minimax = design
    if optimal is None or minimax is None:
        raise InputError(f"no two-stage design of up to {largest} patients tells {hoped} from {null}; search further")
    return {"optimal": optimal, "minimax": minimax}


def _best_power(null: float, hoped: float, alpha: float, size: int) -> float:
    """Return the power that no test of that level and size exceeds (Neyman and Pearson's randomised test)."""
    from scipy.stats import binom

    needed = _needed(size, null, alpha)
    spare = (alpha - binom.sf(needed - 1, size, null)) / binom.pmf(needed - 1, size, null)
    return float(binom.sf(needed - 1, size, hoped) + spare * binom.pmf(needed - 1, size, hoped))


def _two_stage(null: float, hoped: float, alpha: float, power: float, first: int, size: int) -> list[TwoStage]:
    """Return for each stop the design with the smallest fail that keeps the level, where it has the power."""
    from scipy.special import bdtrc

    stage, total = np.arange(first + 1), np.arange(size)
    success = []
    for share in (null, hoped):
        chance = -np.diff(bdtrc(np.arange(-1.0, first + 1), first, share), prepend=1.0)[1:]
        later = _more_than(total[:, None] - stage, size - first, share)  # shape (fail, responses in the first stage)
        # success for each stop (column): sum over the first-stage responses above it
        success.append(np.cumsum((chance * later)[:, ::-1], axis=1)[:, ::-1][:, 1:])
    level, reached = success
    fail = (level <= alpha).argmax(axis=0)  # level falls with fail
    stop = np.arange(first)
    good = (level[fail, stop] <= alpha) & (reached[fail, stop] >= power)
    designs = []
    for s in stop[good]:
        early = 1 - float(bdtrc(float(s), first, null))
        f = int(fail[s])
        expected = first + (1 - early) * (size - first)
        designs.append(TwoStage(int(s), first, f, size, float(level[f, s]), float(reached[f, s]), expected, early))
    return designs


def _more_than(count: NDArray[np.int64], size: int, share: float) -> Array:
    from scipy.special import bdtrc

    inside = bdtrc(np.clip(count, 0, size).astype(float), size, share)
    return np.where(count < 0, 1.0, inside)


def _shares(null: float, alpha: float, hoped: float | None = None, power: float | None = None) -> None:
    if not 0 < null < 1 or (hoped is not None and not null < hoped < 1):
        raise InputError(f"shares must rise from above 0 to below 1, got {null} and {hoped}")
    if not 0 < alpha < 0.5 or (power is not None and not 0.5 <= power < 1):
        raise InputError(f"alpha must lie between 0 and 0.5 and power from 0.5 to below 1, got {alpha} and {power}")
