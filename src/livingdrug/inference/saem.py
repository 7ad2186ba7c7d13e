"""Stochastic approximation EM: random effects are drawn by Markov chains, parameters follow averaged statistics.

Typical values and spreads of parameters that differ between subjects follow from averaged sums of the drawn effects
(Kuhn and Lavielle 2005). Residual parameters, and typical values of parameters without spread, follow the averaged
derivative of the likelihood (a Robbins-Monro step scaled by the information). That derivative is taken of each row as
it is, a point or the chance of an interval, so values below the limit enter the residual as they do in the likelihood.

Each iteration draws, for all subjects and chains at once: a proposal from the population, proposals from Student's t
about the individual modes, as they were some iterations ago (Karimi et al. 2020), and a random walk along the
covariance there. Before modes are known, and now and then later, walks along each effect help chains out of odd
places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.modes import find_modes
from livingdrug.inference.nodes import DEGREES
from livingdrug.inference.problem import Predicted, Problem

__all__ = ["Saem", "SaemSettings"]

Reals = NDArray[np.float64]

DRAWN, DRAWN_IF_SOLVED = 300, 120
"""Subjects times chains that are drawn at least: of closed forms, and of models that are solved."""
FIRST_MODES, MODES_EVERY = 10, 25
"""Iteration at which modes are found first, and iterations until they are found again."""
LATE = 0.5
"""Share of the exploring iterations, the last ones, from whose mean smoothing begins."""
FORGETTING = 0.8
"""Exponent of the gain 1 / k^a of the smoothing iterations: below 1, so that slow directions still arrive."""
WANTED = 0.3
"""Share of random-walk proposals that should be accepted."""


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
        eta: current effects, shape (chain, subject, d).
        accepted: share of accepted proposals of the last iteration, by kind.
    """

    problem: Problem
    settings: SaemSettings
    theta: Reals
    iteration: int = 0
    trace: list[Reals] = field(default_factory=list)
    accepted: dict[str, float] = field(default_factory=dict)
    late: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problem = self.problem
        self.random = np.random.Generator(np.random.Philox(self.settings.seed))
        wanted = DRAWN if problem.model.structure.exact_curvature else DRAWN_IF_SOLVED
        chains = self.settings.chains or max(2, -(-wanted // problem.subjects))
        S, d = problem.subjects, problem.d
        L = problem.cholesky(self.theta[None])[0]
        self.eta = np.zeros((chains, S, d))
        self.f = problem.predict(self.theta[None], self.eta).f
        self.first = np.zeros((S, d))  # averaged centred effects
        self.second = np.zeros((d, d))  # averaged sum of their products
        self.walk = np.full((S, d), 0.5) * np.diag(L)  # deviations of the walks along one effect
        self.reach = np.full(S, 2.4 / math.sqrt(d))  # of the walks along all
        self.centre = np.zeros((S, d))  # centred modes
        self.root = np.tile(0.5 * L, (S, 1, 1))  # square root of the covariance about them
        self.drawn = np.zeros((S, d))  # sums of the centred effects of the smoothing iterations, and of their products
        self.products = np.zeros((S, d, d))
        self.information: Reals | None = None
        self._plan()

    def _plan(self) -> None:
        """Which entries follow which statistics."""
        problem = self.problem
        free = set(problem.free.tolist())
        self.centred = np.array([k for k, b in enumerate(problem.centred) if b in free], int)
        slow = [
            k for k, e in enumerate(problem.free) if e in set(problem.loose.tolist()) or e >= problem.sigma[0].start
        ]
        self.slow = np.array(slow, int)  # places in the free entries
        self.loose = sorted(set(problem.beta_parameter[problem.loose].tolist()))
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
        self.draw()
        self._average(gain)
        self._move(gain)
        self.trace.append(self.theta.copy())
        if k > 0:
            centred = self.eta + self.problem.shifts(self.theta[None])
            self.drawn += centred.mean(axis=0)
            self.products += np.einsum("ksi,ksj->sij", centred, centred) / len(centred)
        if -self.settings.exploring * LATE < k <= 0:
            for name, now in (("first", self.first), ("second", self.second), ("theta", self.theta)):
                self.late[name] = self.late.get(name, 0.0) + now

    def _start_smoothing(self) -> None:
        """Begin from the mean of the late exploring iterations, not from the chance of the last one."""
        count = math.ceil(self.settings.exploring * LATE)
        self.first, self.second, theta = (self.late[name] / count for name in ("first", "second", "theta"))
        held = self.eta + self.problem.shifts(self.theta[None])
        self.theta = self._spreads(theta, theta)
        self.eta = held - self.problem.shifts(self.theta[None])

    # -- drawing ------------------------------------------------------------------------------------------------------
    def draw(self) -> None:
        """One round of all proposals."""
        L = self.problem.cholesky(self.theta[None])[0]
        if self.loose:  # else predictions stay as they are: theta moves, effects plus shifts do not
            self.f = self.problem.predict(self.theta[None], self.eta).f
        self.loglik = self.problem.loglik(self.theta[None], self.eta, self.f)
        self.prior = self.problem.log_prior(self.theta[None], self.eta)
        self._from_population(L)
        known = self.iteration >= FIRST_MODES
        if known and (self.iteration - FIRST_MODES) % MODES_EVERY == 0:
            self._find_modes()
        if not known or self.iteration % 10 == 0:
            self._along_each()
        if known:
            self._about_modes()
            self._about_modes()
        self._along_all()

    def _propose(self, eta: Reals, correction: Reals | float = 0.0) -> NDArray[np.bool_]:
        """Accept or refuse proposals by Metropolis' rule; returns what was accepted, shape (chain, subject).

        ``correction`` is the logarithm of the old effects' proposal density over that of the new ones.
        """
        f = self.problem.predict(self.theta[None], eta).f
        loglik = self.problem.loglik(self.theta[None], eta, f)
        prior = self.problem.log_prior(self.theta[None], eta)
        gain = loglik - self.loglik + prior - self.prior + correction
        yes = np.log(self.random.random(gain.shape)) < np.where(np.isnan(gain), -np.inf, gain)
        self.eta = np.where(yes[..., None], eta, self.eta)
        self.f = np.where(yes[:, self.problem.rows.subject], f, self.f)
        self.loglik, self.prior = np.where(yes, loglik, self.loglik), np.where(yes, prior, self.prior)
        return yes

    def _from_population(self, L: Reals) -> None:
        drawn = self.random.standard_normal(self.eta.shape) @ L.T
        correction = self.prior - self.problem.log_prior(self.theta[None], drawn)
        self.accepted["population"] = float(self._propose(drawn, correction).mean())

    def _find_modes(self) -> None:
        """Modes and the curvature there, for the proposals to come."""
        exact = self.problem.model.structure.exact_curvature
        shift = self.problem.shifts(self.theta[None])
        modes = find_modes(self.problem, self.theta[None], self.centre - shift, exact=exact, close=1e-3, most=20)
        curvature = modes.curvature if modes.exact is None else modes.exact
        factor = np.linalg.cholesky(curvature[0])
        self.centre = (modes.eta + shift)[0]
        self.root = np.swapaxes(np.linalg.inv(factor), 1, 2)

    def _about_modes(self) -> None:
        """Proposals from Student's t about the modes, whatever the chain's place."""
        d = self.eta.shape[-1]
        shift = self.problem.shifts(self.theta[None])
        inverse = np.linalg.inv(self.root)
        old = np.einsum("sij,ksj->ksi", inverse, self.eta + shift - self.centre)
        chi = self.random.chisquare(DEGREES, self.eta.shape[:2]) / DEGREES
        new = self.random.standard_normal(self.eta.shape) / np.sqrt(chi)[..., None]
        eta = self.centre + np.einsum("sij,ksj->ksi", self.root, new) - shift
        sizes = [np.log1p((z**2).sum(axis=-1) / DEGREES) for z in (new, old)]
        correction = 0.5 * (DEGREES + d) * (sizes[0] - sizes[1])
        self.accepted["about modes"] = float(self._propose(eta, correction).mean())

    def _along_each(self) -> None:
        rate, shares = self._adaptation(), []
        for j in range(self.eta.shape[-1]):
            eta = self.eta.copy()
            eta[..., j] += self.walk[:, j] * self.random.standard_normal(eta.shape[:2])
            share = self._propose(eta).mean(axis=0)
            self.walk[:, j] *= np.exp(rate * (share - 0.44))
            shares.append(share.mean())
        self.accepted["each effect"] = float(np.mean(shares))

    def _along_all(self) -> None:
        z = self.random.standard_normal(self.eta.shape)
        yes = self._propose(self.eta + self.reach[:, None] * np.einsum("sij,ksj->ksi", self.root, z)).mean(axis=0)
        self.reach *= np.exp(self._adaptation() * (yes - WANTED))
        self.accepted["all effects"] = float(yes.mean())

    def _adaptation(self) -> float:
        return min(1.0, 3.0 / self.iteration**0.6)

    # -- parameters ---------------------------------------------------------------------------------------------------
    def _average(self, gain: float) -> None:
        centred = self.eta + self.problem.shifts(self.theta[None])
        self.first += gain * (centred.mean(axis=0) - self.first)
        kept = np.where(self.used, centred, 0.0)
        products = np.einsum("ksi,ksj->ij", kept, kept) / len(centred)
        self.second += gain * (products - self.second)

    def _move(self, gain: float) -> None:
        old, problem = self.theta, self.problem
        theta = self._slow_step(old, gain) if len(self.slow) else old.copy()
        held = self.eta + problem.shifts(old[None])
        if len(self.centred):
            theta = self._typical(theta)
        theta = self._spreads(theta, old)
        self.theta = theta
        self.eta = held - problem.shifts(theta[None])

    def _typical(self, theta: Reals) -> Reals:
        """Centred coefficients by generalised least squares of the averaged effects."""
        problem, theta = self.problem, theta.copy()
        precision = problem.precision(theta[None])[0]
        entries = problem.centred[self.centred]
        X = problem.shift[:, :, self.centred]
        theta_without = theta.copy()
        theta_without[entries] = 0.0
        rest = self.first - problem.shifts(theta_without[None])[0]
        left = np.einsum("sdi,de,sej->ij", X, precision, X)
        right = np.einsum("sdi,de,se->i", X, precision, rest)
        theta[entries] = np.linalg.solve(left, right)
        return theta

    def _spreads(self, theta: Reals, old: Reals) -> Reals:
        """Covariance of the effects: averaged products about their means, shrinking slowly while annealing."""
        problem = self.problem
        m = problem.shifts(theta[None])[0]
        cross = (np.where(self.used, self.first, 0.0)).T @ m
        total = self.second - cross - cross.T + m.T @ m
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
        row = theta[None]
        found = problem.predict(row, self.eta, 1, self.loose) if self.loose else Predicted(self.f)
        score = problem.score(row, self.eta, found).mean(axis=0).sum(axis=0)[self.slow]
        information = problem.row_information(row, found, problem.free[self.slow])
        if self.information is None:
            self.information = information
        self.information = self.information + gain * (information - self.information)
        scale = 1e-8 * np.trace(self.information) * np.eye(len(score))
        step = np.clip(gain * np.linalg.solve(self.information + scale, score), -0.5, 0.5)
        entries = problem.free[self.slow]
        if self._annealing:
            step = np.where(entries >= problem.sigma[0].start, np.maximum(step, math.log(0.95)), step)
        theta[entries] += step
        return theta

    def posterior(self) -> tuple[Reals, Reals] | None:
        """Mean and covariance of each subject's centred effects over the smoothing iterations; None before them."""
        count = self.iteration - self.settings.exploring
        if count < 1:
            return None
        mean = self.drawn / count
        covariance = self.products / count - mean[:, :, None] * mean[:, None, :]
        floor = 1e-6 * np.diag(np.diag(self.problem.covariance(self.theta)))
        return mean, covariance + floor

    def guess(self) -> Reals:
        """Effects that are near the modes, shape (1, subject, d)."""
        return (self.centre - self.problem.shifts(self.theta[None])[0])[None]

    # -- storing ------------------------------------------------------------------------------------------------------
    STORED = ("theta", "eta", "first", "second", "walk", "reach", "centre", "root", "drawn", "products", "information")

    def to_state(self) -> dict[str, Any]:
        """Everything that a later run needs to go on with the same numbers."""
        return {
            "iteration": self.iteration,
            "trace": np.array(self.trace),
            **{f"late {name}": np.asarray(value) for name, value in self.late.items()},
            "random": self.random.bit_generator.state,
            **{name: getattr(self, name) for name in self.STORED},
        }

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where a stored run stopped."""
        for name in self.STORED:
            setattr(self, name, state[name])
        self.late = {name[5:]: value for name, value in state.items() if name.startswith("late ")}
        self.iteration, self.trace = int(state["iteration"]), list(state["trace"])
        self.random.bit_generator.state = state["random"]
        self.f = self.problem.predict(self.theta[None], self.eta).f


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
