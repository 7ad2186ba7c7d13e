"""Optimal design: how well a sampling plan would let a model be fitted, and which times do best within clinic windows.

The expected Fisher information is that of the model linearised in the random effects about zero (FO; Mentré et al.
1997, Retout et al. 2002). With mean f and covariance V = G Omega G' + R of a patient's samples, two entries of theta
share the information f_k' V^-1 f_l + tr(V^-1 V_k V^-1 V_l) / 2. ``block`` lets typical values move the mean only (the
default of PFIM and PopED, and nearer to what fits find); ``full`` lets them move the covariance too.

Example:
    >>> from livingdrug.inference.closed_form import one_compartment_oral
    >>> from livingdrug.inference.residual import proportional
    >>> from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
    >>> from livingdrug.model import lognormal
    >>> warfarin = StatisticalModel(
    ...     one_compartment_oral(),
    ...     {
    ...         "CL": Estimate(0.15, lognormal(0.07**0.5)),
    ...         "V": Estimate(8.0, lognormal(0.02**0.5)),
    ...         "ka": Estimate(1.0, lognormal(0.6**0.5)),
    ...     },
    ...     Endpoint("concentration", proportional(0.1)),
    ... )
    >>> plan = Arm(32, [0.5, 1, 2, 6, 24, 36, 72, 120], doses={"time": 0.0, "amount": 70.0})
    >>> round(expected(warfarin, plan).relative_errors["CL"], 2)
    4.74
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.design_plan import Arm, Expected, Plan, by_output
from livingdrug.inference.statistical import StatisticalModel
from livingdrug.streams import seed_words

__all__ = ["Arm", "Choice", "Expected", "expected", "optimise"]

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]

MOST_PASSES = 50


@dataclass(frozen=True, eq=False)
class Choice:
    """A plan that was chosen: what it and the plan before it let a fit know, and how much more it gives."""

    best: Expected
    given: Expected
    passes: int

    @property
    def efficiency(self) -> float:
        """D-efficiency of the chosen plan against the given one."""
        return self.best.efficiency(self.given)


def expected(
    model: StatisticalModel, arms: Arm | Sequence[Arm], *, information: str = "block", values: Any = None
) -> Expected:
    """Expected information and standard errors of a sampling plan.

    Args:
        model: what would be fitted; its first guesses are taken for the truth.
        arms: one or several.
        information: ``block`` or ``full``.
        values: theta on the working scale to be taken for the truth instead.

    A sample of an endpoint with a limit counts by the chance that it lies above the limit.

    Raises:
        InputError: an arm without samples, a residual that is not normal, an unknown output or kind of information.
    """
    plan = Plan(model, _arms(arms), information, values)
    return plan.expected()


def optimise(
    model: StatisticalModel,
    arms: Arm | Sequence[Arm],
    *,
    information: str = "block",
    points: int = 25,
    apart: float = 0.0,
    starts: int = 3,
    seed: int = 0,
    values: Any = None,
) -> Choice:
    """Choose sampling times within their windows so that the determinant of the information is largest.

    One sample after the other is moved to the best time of its window, until none moves; from the given times, and
    from others drawn in the windows.

    Args:
        model: what would be fitted; its first guesses are taken for the truth.
        arms: plans with windows.
        information: ``block`` or ``full``.
        points: times that are tried in each window, evenly spaced from its first to its last.
        apart: samples of one endpoint must be further apart than this.
        starts: searches.
        seed: of the drawn starts.
        values: theta on the working scale to be taken for the truth instead.

    Raises:
        InputError: as for :func:`expected`; an arm without windows, or windows that leave no room.
    """
    arms = _arms(arms)
    if points < 2 or starts < 1 or apart < 0:
        raise InputError(
            f"optimise: points must be at least 2, starts 1 and apart 0, got {points}, {starts} and {apart}"
        )
    seed_words(seed)
    given = expected(model, arms, information=information, values=values)
    search = _Search(model, arms, information, values, points, apart)
    random = np.random.Generator(np.random.Philox([seed % 2**63, 4]))
    tried = [search.from_times(), *(search.drawn(random) for _ in range(starts - 1))]
    found = [search.run(start) for start in tried if start is not None]
    if not found:
        raise InputError("optimise: no start keeps the samples apart; widen the windows, or ask for a smaller distance")
    value, chosen, passes = max(found, key=lambda one: one[0])
    if value <= given.criterion:
        return Choice(given, given, passes)
    best = expected(model, search.named(chosen), information=information, values=values)
    return Choice(best, given, passes)


def _arms(arms: Arm | Sequence[Arm]) -> tuple[Arm, ...]:
    found = (arms,) if isinstance(arms, Arm) else tuple(arms)
    if not found:
        raise InputError("a plan needs at least one arm")
    return found


@dataclass(frozen=True)
class _Slot:
    """One sample: its arm, its output, its place among that output's samples, and the rows it may take."""

    arm: int
    output: str
    rows: Whole


class _Search:
    """Exchange of sampling times over a grid in each window."""

    def __init__(
        self, model: StatisticalModel, arms: Sequence[Arm], information: str, values: Any, points: int, apart: float
    ) -> None:
        self.arms, self.apart, self.model = arms, apart, model
        grids = [list(_grids(model, arm, points)) for arm in arms]
        every = [
            replace(arm, times={name: np.unique(np.concatenate([g for n, g in found if n == name]))
                                for name in dict.fromkeys(n for n, _ in found)})
            for arm, found in zip(arms, grids, strict=True)
        ]  # fmt: skip
        self.plan = Plan(model, every, information, values)
        rows = self.plan.problem.rows
        outputs = [endpoint.output for endpoint in model.ends]
        self.slots = [
            _Slot(a, name, np.flatnonzero(
                (rows.subject == a) & (rows.endpoint == outputs.index(name)) & np.isin(rows.time, grid)))
            for a, found in enumerate(grids) for name, grid in found
        ]  # fmt: skip
        self.time = rows.time

    def from_times(self) -> Whole | None:
        """The rows next to the given times, if they are apart."""
        given = [t for arm in self.arms for times in by_output(self.model, arm.times).values() for t in times]
        chosen = np.array(
            [slot.rows[np.argmin(np.abs(self.time[slot.rows] - t))] for slot, t in zip(self.slots, given, strict=True)]
        )
        return (
            chosen if all(self._free(chosen, k)[chosen[k] == s.rows].all() for k, s in enumerate(self.slots)) else None
        )

    def drawn(self, random: np.random.Generator) -> Whole | None:
        """Rows drawn one by one among those that are left."""
        chosen = np.full(len(self.slots), -1)
        for k in random.permutation(len(self.slots)):
            left = self.slots[k].rows[self._free(chosen, k)]
            if not len(left):
                return None
            chosen[k] = random.choice(left)
        return chosen

    def _free(self, chosen: Whole, k: int) -> NDArray[np.bool_]:
        """Which rows of a slot are far enough from the other samples of its endpoint."""
        slot = self.slots[k]
        others = [
            chosen[j]
            for j, other in enumerate(self.slots)
            if j != k and chosen[j] >= 0 and (other.arm, other.output) == (slot.arm, slot.output)
        ]
        away = np.abs(self.time[slot.rows][:, None] - self.time[np.array(others, int)])
        return np.asarray((away > self.apart).all(axis=1), bool)

    def run(self, chosen: Whole) -> tuple[float, Whole, int]:
        """Exchange until nothing is gained: criterion, rows, passes."""
        chosen, best, number = chosen.copy(), -math.inf, 0
        while number < MOST_PASSES:
            before, number = best, number + 1
            for k in range(len(self.slots)):
                best, chosen[k] = self._best(chosen, k)
            if not best > before + 1e-9:
                break
        return best, chosen, number

    def _best(self, chosen: Whole, k: int) -> tuple[float, int]:
        """The best row of one slot, the others held."""
        slot = self.slots[k]
        tried = np.union1d(slot.rows[self._free(chosen, k)], chosen[k])
        rest = sum(
            (self.arms[a].subjects * self.plan.information(self._of(chosen, a)[None])[0]
             for a in range(len(self.arms)) if a != slot.arm), np.zeros(1),
        )  # fmt: skip
        rows = np.repeat(chosen[None], len(tried), axis=0)
        rows[:, k] = tried
        mine = np.array([one.arm == slot.arm for one in self.slots])
        total = rest + self.arms[slot.arm].subjects * self.plan.information(rows[:, mine])
        sign, size = np.linalg.slogdet(total)
        value = np.where(sign > 0, size, -math.inf)
        return float(value.max()), int(tried[np.argmax(value)])

    def _of(self, chosen: Whole, arm: int) -> Whole:
        return chosen[[k for k, slot in enumerate(self.slots) if slot.arm == arm]]

    def named(self, chosen: Whole) -> tuple[Arm, ...]:
        """The arms with the chosen times."""
        found: list[dict[str, list[float]]] = [{} for _ in self.arms]
        for slot, row in zip(self.slots, chosen, strict=True):
            found[slot.arm].setdefault(slot.output, []).append(float(self.time[row]))
        sorted_times = [{name: sorted(times) for name, times in one.items()} for one in found]
        plain = len(self.model.ends) == 1
        return tuple(
            replace(arm, times=next(iter(times.values())) if plain else times)
            for arm, times in zip(self.arms, sorted_times, strict=True)
        )


def _grids(model: StatisticalModel, arm: Arm, points: int) -> Iterator[tuple[str, Reals]]:
    """Output and allowed times of each sample of an arm."""
    if arm.windows is None:
        raise InputError("an arm has no windows; give the first and last allowed time of each sample")
    times = by_output(model, arm.times)
    for name, windows in by_output(model, arm.windows).items():
        if len(windows) != len(times[name]):
            raise InputError(f"{name}: {len(windows)} windows for {len(times[name])} samples")
        for window in windows:
            first, last = window if isinstance(window, Sequence) and len(window) == 2 else (math.nan, math.nan)
            if not (math.isfinite(first) and math.isfinite(last) and first <= last):
                raise InputError(f"{name}: a window must run from its first to its last time, got {window!r}")
            yield name, np.unique(np.linspace(first, last, points)) if last > first else np.array([float(first)])
