"""Many trials of the trial's own size, from one pool of simulated patients that are solved once.

A replicate draws as many patients as the trial had, with replacement, from the set that the number is about: the
enrolled, the infused, the responders. The spread of replicates is then the sampling error of a trial of that size
about the pool; the pool itself should be several times larger than the trial, since its own error is not in it.
With ``again=False`` nobody is drawn twice for a replicate: over many pools, one for each parameter set, the spread is
then that of a trial of this size and no more, since the pools bring their own chance. With ``apart=True`` replicates
are blocks of patients of their own, which needs a pool of that many.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.errors import InputError
from livingdrug.streams import uniform
from livingdrug.trials.measures import Measure, clock, in_set, samples_of
from livingdrug.trials.outcomes import Outcomes

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.trials.protocol import Protocol

__all__ = ["draws", "endpoint_table", "hazard_ratios", "interval", "two_arms"]


def draws(
    outcomes: Outcomes,
    measure: Measure,
    size: int,
    *,
    count: int = 1000,
    seed: int = 0,
    apart: bool = False,
    again: bool = True,
    among: NDArray[np.bool_] | None = None,
) -> NDArray[np.intp]:
    """Return the rows of the patients of each replicate, shape (count, size); no rows if the set is empty.

    Measures about one set and size share their draws, so numbers of one replicate belong together.

    Args:
        outcomes: the pool.
        measure: its first set says from whom to draw.
        size: patients of the trial.
        count: replicates.
        seed: of the random streams.
        apart: every patient in one replicate only, in the order of the pool.
        again: whether a patient may stand in a replicate more than once; if not, and the set is smaller than the
            trial, all of it is taken as often as it fits, and the rest is drawn.
        among: who of the pool may be drawn besides, shape (patient,); all unless given.

    Raises:
        InputError: the pool is too small for replicates of their own, or a number is not positive.
    """
    if size < 1 or count < 1:
        raise InputError(f"replicates need a size and a count of at least 1, got {size} and {count}")
    inside = in_set(outcomes, measure.among[0], measure)
    pool = np.flatnonzero(inside if among is None else inside & among)
    if apart:
        if pool.size < size * count:
            raise InputError(f"{count} replicates of {size} patients need {size * count}, the pool has {pool.size}")
        return pool[: size * count].reshape(count, size)
    if not pool.size:
        return np.empty((0, size), np.intp)
    purpose = f"replicates:{measure.among[0]}"
    if not again:
        order = uniform(seed, np.arange(count), purpose, pool.size).argsort(axis=1)
        return pool[np.tile(order, -(-size // pool.size))[:, :size]]
    luck = uniform(seed, np.arange(count), purpose, size)
    return pool[np.minimum((luck * pool.size).astype(np.intp), pool.size - 1)]


def interval(replicates: ArrayLike, level: float = 0.95) -> tuple[float, float, float]:
    """Return middle, lower and upper end of replicates; those in which a number does not exist are left out.

    A median that is not reached counts as infinite.

    Example:
        >>> interval([1.0, 2.0, 3.0, float("nan")], level=0.5)
        (2.0, 1.5, 2.5)
    """
    known = np.asarray(replicates, np.float64)
    known = known[~np.isnan(known)]
    if not known.size:
        return float("nan"), float("nan"), float("nan")
    tail = (1 - level) / 2
    if np.isinf(known).any():  # no straight line can be drawn to infinity
        low, middle, high = np.quantile(known, [tail, 0.5, 1 - tail], method="inverted_cdf")
    else:
        low, middle, high = np.quantile(known, [tail, 0.5, 1 - tail])
    return float(middle), float(low), float(high)


def endpoint_table(
    outcomes: Outcomes, trial: Protocol, *, count: int = 1000, seed: int = 0, level: float = 0.95
) -> pd.DataFrame:
    """Return every endpoint of a trial by arm: its value in the pool, and the interval over trials of its own size.

    The column ``estimable`` is the share of those trials in which the number exists. A median that is not reached
    does (infinite), and so does a hazard ratio with all events in one arm (0 or infinite); a hazard ratio without any
    event, or a landmark that nobody reaches, does not, and a trial would report none.

    Args:
        outcomes: of all arms.
        trial: says which endpoints, and how many patients each arm had.
        count: replicates.
        seed: of the random streams.
        level: part of the replicates inside the interval.
    """
    import pandas as pd

    from livingdrug.trials.endpoint_names import endpoints_of

    known = endpoints_of(trial)
    names = trial.endpoints or tuple(known)
    rows: list[Mapping[str, Any]] = []
    for arm in trial.arms:
        here = outcomes.take(outcomes["arm"] == arm.name)
        shown = [name for name in names if name in known and (not arm.comparator or _of_standard(known[name]))]
        rows += [_row(here, trial, arm.name, name, known[name], count, seed, level) for name in shown if len(here)]
    rows += [_ratio_row(outcomes, trial, name, count, seed, level) for name in _compared(outcomes, trial)]
    return pd.DataFrame(rows, columns=["arm", "endpoint", "unit", "value", "low", "high", "size", "estimable"])


def _compared(outcomes: Outcomes, trial: Protocol) -> tuple[str, ...]:
    """Return the clocks by which two arms are compared."""
    if not two_arms(outcomes, trial):
        return ()
    asked = [name for name in trial.follow_up.clocks if name not in ("dor", "rfs")]
    return tuple(name for name in asked if not trial.endpoints or f"{name} hazard ratio" in trial.endpoints)


def two_arms(outcomes: Outcomes, trial: Protocol) -> bool:
    """Return whether a trial has two arms and both have patients."""
    return len(trial.arms) == 2 and all((outcomes["arm"] == arm.name).any() for arm in trial.arms)


def hazard_ratios(
    outcomes: Outcomes, trial: Protocol, clock_name: str, *, count: int = 1000, seed: int = 0
) -> NDArray[np.float64]:
    """Return hazard ratios of the first arm over the second in many trials of the real size, shape (count,).

    Args:
        outcomes: of both arms.
        trial: a trial of two arms.
        clock_name: pfs, efs or os.
        count: replicates; 0 gives one ratio of all patients, shape (1,). As Cox's method has it, the ratio is 0 or
            infinite where all events fall in one arm, and NaN without any: trials report such a ratio as not estimable.
        seed: of the random streams.
    """
    from livingdrug.trials.comparisons import hazard_ratio

    measure = Measure(statistic="median time", of=clock_name, among=("enrolled",))
    days, events, treated = [], [], []
    for place, arm in enumerate(trial.arms):
        here = outcomes.take(outcomes["arm"] == arm.name)
        day, event = clock(here, clock_name, trial.follow_up.clocks, measure, trial.follow_up.clock_from)
        rows = (
            draws(here, measure, trial.enrolled_in(arm), count=count, seed=seed + place)
            if count
            else np.arange(len(here))[None]
        )
        days.append(day[rows])
        events.append(event[rows])
        treated.append(np.full(rows.shape[1], place == 0))
    return hazard_ratio(np.concatenate(days, 1), np.concatenate(events, 1), np.concatenate(treated)).ratio


def _ratio_row(
    outcomes: Outcomes, trial: Protocol, name: str, count: int, seed: int, level: float
) -> Mapping[str, Any]:
    every = hazard_ratios(outcomes, trial, name, count=count, seed=seed)
    _, low, high = interval(every, level)
    arms = " / ".join(arm.name for arm in trial.arms)
    found = float(hazard_ratios(outcomes, trial, name, count=0)[0])
    size = sum(trial.enrolled_in(arm) for arm in trial.arms)
    return {
        "arm": arms,
        "endpoint": f"{name} hazard ratio",
        "unit": "1",
        "value": found,
        "low": low,
        "high": high,
        "size": size,
        "estimable": _estimable(every),
    }


def _estimable(values: NDArray[np.float64]) -> float:
    return float((~np.isnan(values)).mean()) if values.size else 0.0


def _of_standard(measure: Measure) -> bool:
    """Return whether a comparator arm has this endpoint: responses and survival."""
    return measure.statistic in ("survival", "median time") or measure.of in ("response", "complete response")


def _row(
    here: Outcomes, trial: Protocol, arm: str, name: str, measure: Measure, count: int, seed: int, level: float
) -> Mapping[str, Any]:
    clocks, since = trial.follow_up.clocks, trial.follow_up.clock_from
    size = max(1, round(trial.enrolled_in(trial.arm(arm)) * float(in_set(here, measure.among[0], measure).mean())))
    every = np.arange(len(here))[None, :]
    found = float(samples_of(here, measure, every, clocks, since)[0])
    rows = draws(here, measure, size, count=count, seed=seed)
    drawn = samples_of(here, measure, rows, clocks, since) if rows.size else np.empty(0)
    _, low, high = interval(drawn, level)
    return {
        "arm": arm, "endpoint": name, "unit": measure.unit, "value": found, "low": low, "high": high, "size": size,
        "estimable": _estimable(drawn),
    }  # fmt: skip
