"""Individual modes: the random effects that are most probable given the data, all subjects and thetas at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.inference.problem import Problem

__all__ = ["Modes", "find_modes", "movement"]

Reals = NDArray[np.float64]

CLOSE, CLOSE_IF_SOLVED = 1e-11, 1e-9
"""Newton's decrement at which a mode counts as found (twice what the log density can still gain): of closed forms, and
of models that are solved."""
MOST_STEPS = 200
PATIENCE, POOR, GOOD = 20, 0.25, 0.75
"""Steps after which a search that still goes on is taken to zigzag, so that its damping follows the share of the
promised gain that a step brought: more damping where it was poor, less where it was good (Marquardt's rule)."""
NEARBY = 1e-3
"""Step of an entry of theta by which the movement of modes is found."""


@dataclass(frozen=True)
class Modes:
    """Modes and what was found there; shapes (theta, subject, ...).

    Attributes:
        eta: the modes.
        loglik: of the data given the effects.
        curvature: information of the data plus that of the effects' distribution: of the linearised model.
        exact: the exact second derivative instead, where it was asked for and is positive definite.
        found: whether the search ended at a mode.
    """

    eta: Reals
    loglik: Reals
    curvature: Reals
    exact: Reals | None
    found: NDArray[np.bool_]


def find_modes(
    problem: Problem,
    theta: Reals,
    start: Reals | None = None,
    *,
    exact: bool = False,
    at_zero: Reals | None = None,
    close: float | None = None,
    most: int = MOST_STEPS,
) -> Modes:
    """Find the modes by Newton steps with the linearised curvature, damped where they fail.

    Args:
        problem: model and data.
        theta: shape (theta, entry).
        start: first guesses, shape (theta, subject, d); zero if None.
        exact: whether the exact curvature is used and returned too.
        at_zero: predictions where effects are zero, if residual deviations are held there.
        close: Newton's decrement to be reached; ``CLOSE`` or ``CLOSE_IF_SOLVED`` if None.
        most: steps that are taken at most.
    """
    if close is None:
        close = CLOSE if problem.model.structure.exact_curvature else CLOSE_IF_SOLVED
    shape = (len(theta), problem.subjects, problem.d)
    eta = np.zeros(shape) if start is None else np.broadcast_to(start, shape).copy()
    precision = problem.precision(theta)[:, None]
    search = _Search(problem, theta, precision, exact, at_zero)
    state = search.at(eta)
    damping = np.zeros(shape[:2])
    done = np.zeros(shape[:2], bool)
    for turn in range(most):
        step, decrement, promised = search.step(state, damping)
        done = (decrement < close) & np.isfinite(state.target)
        if done.all():
            break
        trial = search.at(state.eta + np.where(done[..., None], 0.0, step))
        better = trial.target >= state.target - 1e-13 * np.abs(state.target)
        stuck = ~better & (damping > 1e8)
        done |= stuck
        with np.errstate(invalid="ignore"):  # where neither is possible
            gained = trial.target - state.target
        eased = _eased(damping, gained, promised if turn >= PATIENCE else None)
        damping = np.where(better, eased, np.maximum(4 * damping, 1e-2))
        state = state.replaced(trial, better & ~done)
        if done.all():
            break
    curvature = state.information + precision
    sharp = None if state.hessian is None else _definite(-state.hessian + precision, curvature)
    return Modes(state.eta, state.loglik, curvature, sharp, done)


def movement(problem: Problem, theta: Reals, modes: Modes, entries: NDArray[np.int64]) -> Reals:
    """How modes move with typical values that have no spread, by the linearised curvature: (subject, d, entry).

    Args:
        problem: model and data.
        theta: where the modes were found, shape (entry,).
        modes: of this one theta.
        entries: of theta, some of ``problem.loose``.
    """
    near = np.tile(theta, (len(entries) + 1, 1))
    near[np.arange(len(entries)), entries] += NEARBY
    with np.errstate(all="ignore"):
        pull = problem.inner(near, np.repeat(modes.eta, len(near), axis=0))[0].gradient
        by = np.moveaxis((pull[:-1] - pull[-1]) / NEARBY, 0, -1)
    return np.nan_to_num(np.linalg.solve(modes.curvature[0], by), posinf=0.0, neginf=0.0)


@dataclass
class _State:
    eta: Reals
    loglik: Reals
    target: Reals
    gradient: Reals
    information: Reals
    hessian: Reals | None

    def replaced(self, other: _State, where: NDArray[np.bool_]) -> _State:
        """This state with the subjects ``where`` taken from another."""

        def pick(new: Reals, old: Reals) -> Reals:
            return np.where(where.reshape(where.shape + (1,) * (new.ndim - 2)), new, old)

        hessian = None if self.hessian is None or other.hessian is None else pick(other.hessian, self.hessian)
        return _State(
            pick(other.eta, self.eta), pick(other.loglik, self.loglik), pick(other.target, self.target),
            pick(other.gradient, self.gradient), pick(other.information, self.information), hessian,
        )  # fmt: skip


class _Search:
    def __init__(self, problem: Problem, theta: Reals, precision: Reals, exact: bool, at_zero: Reals | None) -> None:
        self.problem, self.theta, self.precision, self.exact, self.at_zero = problem, theta, precision, exact, at_zero

    def at(self, eta: Reals) -> _State:
        with np.errstate(all="ignore"):
            found, _ = self.problem.inner(self.theta, eta, exact=self.exact, at_zero=self.at_zero)
            pull = np.einsum("tsij,tsj->tsi", np.broadcast_to(self.precision, (*eta.shape, eta.shape[-1])), eta)
            target = found.loglik - 0.5 * (eta * pull).sum(axis=-1)
        target = np.where(np.isfinite(target), target, -np.inf)
        gradient = np.nan_to_num(found.gradient) - pull
        return _State(
            eta, found.loglik, target, gradient, np.nan_to_num(found.information),
            None if found.hessian is None else np.nan_to_num(found.hessian),
        )  # fmt: skip

    def step(self, state: _State, damping: Reals) -> tuple[Reals, Reals, Reals]:
        """Newton step, its decrement, and what the damped step should gain."""
        H = state.information + self.precision
        if state.hessian is not None:
            H = _definite(-state.hessian + self.precision, H)
        decrement = np.einsum("tsi,tsi->ts", state.gradient, _solve(H, state.gradient))
        diagonal = np.arange(H.shape[-1])
        damped = H.copy()
        damped[..., diagonal, diagonal] *= 1 + damping[..., None]
        step = _solve(damped, state.gradient)
        half = state.gradient - 0.5 * np.einsum("tsij,tsj->tsi", H, step)
        return step, decrement, np.einsum("tsi,tsi->ts", step, half)


def _eased(damping: Reals, gained: Reals, promised: Reals | None) -> Reals:
    """Damping after steps that were taken; what they promised is None where it does not matter."""
    less = np.where(damping < 1e-3, 0.0, damping / 8)
    if promised is None:
        return less
    held = np.where(gained < GOOD * promised, damping, less)
    return np.where(gained < POOR * promised, np.maximum(2 * damping, 0.25), held)


def _solve(H: Reals, g: Reals) -> Reals:
    return np.asarray(np.linalg.solve(H, g[..., None])[..., 0], np.float64)


def _definite(wanted: Reals, otherwise: Reals) -> Reals:
    """The wanted matrices where they are positive definite, else the others."""
    good = np.linalg.eigvalsh(wanted)[..., 0] > 1e-10 * np.abs(np.trace(wanted, axis1=-2, axis2=-1))
    return np.where(good[..., None, None], wanted, otherwise)
