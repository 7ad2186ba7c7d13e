"""Stochastic approximation EM: random effects are drawn by Markov chains, parameters follow averaged statistics.

Typical values and spreads of parameters that differ between subjects follow from averaged sums of the drawn effects
(Kuhn and Lavielle 2005). Residual parameters, and typical values of parameters without spread, follow the averaged
derivative of the likelihood (a Robbins-Monro step scaled by the information). That derivative is taken of each row as
it is, a point or the chance of an interval, so values below the limit enter the residual as they do in the likelihood.

The classes of a mixture enter every sum by their chances given the drawn effects (Rao and Blackwell), so that no class
is drawn; shares follow the averaged chances.

The estimate is the mean of theta over the later smoothing iterations (Polyak and Juditsky 1992): the steps can then be
long enough for slow directions, and their noise is averaged out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.chains import Chains
from livingdrug.inference.problem import Predicted, Problem
from livingdrug.inference.search import reach

__all__ = ["Saem", "SaemSettings"]

Reals = NDArray[np.float64]

DRAWN, DRAWN_IF_SOLVED = 300, 120
"""Subjects times chains that are drawn at least: of closed forms, and of models that are solved."""
LATE = 0.5
"""Share of the exploring iterations, the last ones, from whose mean smoothing begins."""
FORGETTING = 0.7
"""Exponent of the gain 1 / k^a of the smoothing iterations: below 1, so that slow directions still arrive."""
DAMPED = 0.2
"""Share of a Newton step that typical values without spread make: a whole one would follow the chance of the draws."""
AVERAGED = 0.5
"""Share of the smoothing iterations, the last ones, whose mean is the estimate."""
LEAST_SHARE = 1e-3
"""Of a class of a mixture: one that nobody belongs to keeps this."""


@dataclass(frozen=True)
class SaemSettings:
    """How SAEM runs.

    Attributes:
        exploring: iterations in which each draw counts fully.
        smoothing: iterations in which draws are averaged.
        chains: per subject; enough for 300 chains in all if None (120 of models that are solved).
        annealing: share of the exploring iterations in which spreads may shrink by 5 % each only.
        seed: of the random numbers.
    """

    exploring: int = 300
    smoothing: int = 200
    chains: int | None = None
    annealing: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.exploring < 1 or self.smoothing < 1 or (self.chains is not None and self.chains < 1):
            raise InputError("SAEM needs at least one exploring and one smoothing iteration and one chain")


@dataclass
class Saem:
    """The state of a run, which can be stored and taken up again.

    Attributes:
        problem: model and data.
        settings: how it runs.
        theta: current parameters, shape (entry,).
        iteration: iterations done.
        trace: theta after each iteration.
        chains: of the effects.
    """

    problem: Problem
    settings: SaemSettings
    theta: Reals
    iteration: int = 0
    trace: list[Reals] = field(default_factory=list)
    late: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problem = self.problem
        wanted = DRAWN if problem.model.structure.exact_curvature else DRAWN_IF_SOLVED
        count = self.settings.chains or max(2, -(-wanted // problem.subjects))
        random = np.random.Generator(np.random.Philox(self.settings.seed))
        self.chains = Chains(problem, count, self.theta, random)
        S, d, classes = problem.subjects, problem.d, problem.classes
        # averages of the draws: of each class's chances, of the centred effects in each, of the sum of their products
        self.members, self.first, self.second = np.zeros((classes, S)), np.zeros((classes, S, d)), np.zeros((d, d))
        # sums of the centred effects of the smoothing iterations, and of their products
        self.drawn, self.products = np.zeros((S, d)), np.zeros((S, d, d))
        self.information: Reals | None = None
        self._plan()

    def _plan(self) -> None:
        """Which entries follow which statistics."""
        problem = self.problem
        free = set(problem.free.tolist())
        self.centred = np.array([k for k, b in enumerate(problem.centred) if b in free], int)
        loose, odds = set(problem.loose.tolist()), range(problem.odds.start, problem.odds.stop)
        slow = [k for k, e in enumerate(problem.free) if e in loose or (e >= problem.sigma[0].start and e not in odds)]
        self.slow = np.array(slow, int)  # places in the free entries
        self.loose = np.flatnonzero(np.isin(problem.free[self.slow], problem.loose))  # places in these
        self.used = np.ones((problem.subjects, problem.d), bool)
        r, q = len(problem.repeated), len(problem.random)
        if r:
            self.used[:, q:] = False
            for subject, occasion in zip(problem.rows.unit_subject, problem.rows.unit_occasion, strict=True):
                self.used[subject, q + occasion * r : q + (occasion + 1) * r] = True

    @property
    def length(self) -> int:
        """Iterations in all."""
        return self.settings.exploring + self.settings.smoothing

    @property
    def accepted(self) -> dict[str, float]:
        """Share of accepted proposals of the last iteration, by kind."""
        return self.chains.accepted

    def run(self, stop: Callable[[], bool] | None = None, every: Callable[[], None] | None = None) -> bool:
        """Iterate to the end; returns False if ``stop`` said so before."""
        while self.iteration < self.length:
            if stop is not None and stop():
                return False
            self.iterate()
            if every is not None:
                every()
        return True

    def iterate(self) -> None:
        """Draw effects, average, update parameters."""
        self.iteration += 1
        k = self.iteration - self.settings.exploring
        gain = 1.0 if k < 1 else 1.0 / (k + 1) ** FORGETTING
        if k == 1:
            self._start_smoothing()
        self.chains.draw(self.theta)
        self._average(gain)
        self._move(gain)
        self.trace.append(self.theta.copy())
        if k > 0:
            centred = self.chains.place.centred
            self.drawn += centred.mean(axis=0)
            self.products += np.einsum("ksi,ksj->sij", centred, centred) / len(centred)
        if -self.settings.exploring * LATE < k <= 0:
            for name in ("members", "first", "second", "theta"):
                self.late[name] = self.late.get(name, 0.0) + getattr(self, name)

    def _start_smoothing(self) -> None:
        """Begin from the mean of the late exploring iterations, not from the chance of the last one."""
        count = math.ceil(self.settings.exploring * LATE)
        self.members, self.first, self.second, theta = (
            self.late[name] / count for name in ("members", "first", "second", "theta")
        )
        self.theta = self._spreads(theta, theta)

    def estimate(self) -> Reals:
        """The mean of theta over the later smoothing iterations; before them, theta as it is."""
        done = self.iteration - self.settings.exploring
        later = done - int(self.settings.smoothing * (1 - AVERAGED))
        return self.theta.copy() if later < 1 else np.mean(self.trace[-later:], axis=0)

    def course(self) -> Reals:
        """Theta after each iteration, in the averaged ones the mean so far, so that it ends at the estimate."""
        found, first = np.array(self.trace), self.settings.exploring + int(self.settings.smoothing * (1 - AVERAGED))
        if len(found) <= first:
            return found
        averaged = np.cumsum(found[first:], axis=0)
        found[first:] = averaged / np.arange(1, len(averaged) + 1)[:, None]
        return found

    # -- parameters ---------------------------------------------------------------------------------------------------
    def _average(self, gain: float) -> None:
        place = self.chains.place
        members, first = place.chance.mean(axis=1), _in_classes(place.chance, place.centred)
        kept = np.where(self.used, place.centred, 0.0)
        products = np.einsum("ksi,ksj->ij", kept, kept) / len(kept)
        self.members = self.members + gain * (members - self.members)
        self.first = self.first + gain * (first - self.first)
        self.second = self.second + gain * (products - self.second)

    def _move(self, gain: float) -> None:
        old = self.theta
        theta = self._slow_step(old, gain) if len(self.slow) else old.copy()
        if len(self.centred):
            theta = self._typical(theta)
        theta = self._spreads(theta, old)
        if self.problem.classes > 1:
            share = np.maximum(self.members.mean(axis=1), LEAST_SHARE)
            theta[self.problem.odds] = np.log(share[1:] / share[0])
        self.theta = theta

    def _typical(self, theta: Reals) -> Reals:
        """Centred coefficients by generalised least squares of the averaged effects."""
        problem, theta = self.problem, theta.copy()
        precision = problem.precision(theta[None])[0]
        entries = problem.centred[self.centred]
        without = theta.copy()
        without[entries] = 0.0
        left, right = 0.0, 0.0
        for part, members, first in zip(self.chains.parts, self.members, self.first, strict=True):
            X = part.shift[:, :, self.centred]
            rest = first - members[:, None] * part.shifts(without[None])[0]
            weighed = precision @ X
            left = left + np.tensordot(X * members[:, None, None], weighed, ((0, 1), (0, 1)))
            right = right + np.tensordot(weighed, rest, ((0, 1), (0, 1)))
        theta[entries] = np.linalg.solve(left, right)
        return theta

    def _spreads(self, theta: Reals, old: Reals) -> Reals:
        """Covariance of the effects: averaged products about their means, shrinking slowly while annealing."""
        problem, total = self.problem, self.second.copy()
        for part, members, first in zip(self.chains.parts, self.members, self.first, strict=True):
            m = part.shifts(theta[None])[0]
            cross = np.where(self.used, first, 0.0).T @ m
            total += (m * members[:, None]).T @ m - cross - cross.T
        before = problem.covariance(old)
        omega = before.copy()
        for block in problem.blocks:
            subjects = [int(self.used[:, places[0]].sum()) for places in block.places]
            whole = np.sum([total[np.ix_(places, places)] for places in block.places], axis=0) / sum(subjects)
            at = np.ix_(block.places[0], block.places[0])
            omega[at] = _annealed(whole, before[at]) if self._annealing else _kept_positive(whole, before[at])
        return problem.with_covariance(theta, omega)

    @property
    def _annealing(self) -> bool:
        return self.iteration <= self.settings.annealing * self.settings.exploring

    def _slow_step(self, theta: Reals, gain: float) -> Reals:
        """Robbins-Monro step of residual parameters and of typical values without spread."""
        problem, theta = self.problem, theta.copy()
        score, information = self._slow_slopes(theta[None])
        if self.information is None:
            self.information = information
        self.information = self.information + gain * (information - self.information)
        scale = max(1e-8 * np.trace(self.information), 1e-12) * np.eye(len(score))
        far = 0.5 * reach(problem, theta)[self.slow]
        step = np.clip(gain * np.linalg.solve(self.information + scale, score), -far, far)
        step[self.loose] *= DAMPED
        entries = problem.free[self.slow]
        if self._annealing:
            step = np.where(entries >= problem.sigma[0].start, np.maximum(step, math.log(0.95)), step)
        theta[entries] += step
        return theta

    def _slow_slopes(self, row: Reals) -> tuple[Reals, Reals]:
        """Derivative of the log likelihood by the slow entries and their information, mean over the chains.

        Effects move along with typical values that have no spread, as the modes do: the mean slope stays the same, but
        both tell how the likelihood of the data alone changes. With effects that are held such a value would hardly
        move, where the data pin each subject's effects only as long as it stays.
        """
        place = self.chains.place
        score, information = np.zeros(len(self.slow)), np.zeros((len(self.slow),) * 2)
        parts = self.chains.parts
        effects = [place.centred - part.shifts(row) for part in parts]
        known = [  # one for all classes where these differ in effects alone
            part.predict(row, eta, 1) if len(self.loose) else Predicted(f)
            for part, eta, f in zip(parts, effects, place.f, strict=False)
        ]
        for k, (part, eta) in enumerate(zip(parts, effects, strict=True)):
            found, chance = known[k % len(known)], place.chance[k] if len(parts) > 1 else None
            slopes = part.score(row, eta, found)[..., self.slow]
            if self.chains.movement.size:
                pull = part.effect_score(row, eta, found)
                slopes[..., self.loose] += np.einsum("ksd,sdl->ksl", pull, self.chains.movement[k])
            slopes = slopes if chance is None else np.where(chance[..., None] > 0, chance[..., None] * slopes, 0.0)
            slopes = np.where(np.isfinite(slopes), slopes, 0.0)  # of a prediction too large for a number
            score += slopes.mean(axis=0).sum(axis=0)
            information += part.row_information(
                row, found, self.problem.free[self.slow], chance, self.chains.movement[k]
            )
            information[np.ix_(self.loose, self.loose)] += part.prior_information(row, self.chains.movement[k], chance)
        return score, information

    def posterior(self) -> tuple[Reals, Reals] | None:
        """Mean and covariance of each subject's centred effects over the smoothing iterations; None before them."""
        count = self.iteration - self.settings.exploring
        if count < 1:
            return None
        mean = self.drawn / count
        covariance = self.products / count - mean[:, :, None] * mean[:, None, :]
        floor = 1e-6 * np.diag(np.diag(self.problem.covariance(self.theta)))
        return mean, covariance + floor

    # -- storing ------------------------------------------------------------------------------------------------------
    STORED = ("theta", "members", "first", "second", "drawn", "products", "information")

    def to_state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on with the same numbers."""
        return {
            "iteration": self.iteration,
            "trace": np.array(self.trace),
            **{f"late {name}": np.asarray(value) for name, value in self.late.items()},
            **{name: getattr(self, name) for name in self.STORED},
            **self.chains.to_state(),
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where a stored run stopped."""
        for name in self.STORED:
            setattr(self, name, state[name])
        self.late = {name[5:]: value for name, value in state.items() if name.startswith("late ")}
        self.iteration, self.trace = int(state["iteration"]), list(state["trace"])
        self.chains.take_up(state)


def _in_classes(chance: Reals, centred: Reals) -> Reals:
    """Mean of the effects over the chains, each counted by its chance to be of a class, shape (class, subject, d)."""
    return np.einsum("cks,ksd->csd", chance, centred) / len(centred)


def _annealed(found: Reals, before: Reals) -> Reals:
    """The covariance found, its variances not below 95 % of those before."""
    floor = 0.95 * np.diag(before)
    lift = np.sqrt(np.maximum(np.diag(found), floor) / np.maximum(np.diag(found), 1e-300))
    lifted = found * np.minimum(lift, 1e6)[:, None] * np.minimum(lift, 1e6)
    return _kept_positive(lifted, before)


def _kept_positive(found: Reals, before: Reals) -> Reals:
    """The covariance found, or half way from the one before where it is not positive definite."""
    for _ in range(30):
        if (np.diag(found) > 0).all() and np.linalg.eigvalsh(found)[0] > 1e-12 * np.trace(found):
            return found
        found = 0.5 * (found + before)
    return before
