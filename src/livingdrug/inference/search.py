"""Search for the theta of lowest -2 log likelihood: approximations about modes, and likelihoods over nodes.

**Derivative of an approximation.** The mode moves with theta. Its movement follows from the mode's own equation
(implicit function theorem); the approximation is then evaluated a small step up and down in every entry of theta, the
modes moved along, and the differences give the derivative. All steps are one evaluation over many thetas. What is
approximate is the central difference alone (its error is of second order in the step); tests compare it with
differences in which every mode is found anew.

**Nodes.** Nodes are placed, the likelihood over them is maximised with its exact derivative, nodes are placed anew,
until nothing is gained.

**Ends.** What BFGS has learnt of the curvature may mislead it, above all where a spread becomes small: a descent that
ended with slopes left is begun anew. A spread that became nothing can be lifted again (:func:`lifted`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.inference.marginal import approximate, value_at, zero_predictions
from livingdrug.inference.modes import Modes
from livingdrug.inference.nodes import AnyNodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.vector import Block

__all__ = [
    "NOTHING",
    "STOPPED",
    "Found",
    "Stop",
    "approximate_slopes",
    "lifted",
    "reach",
    "search_approximation",
    "search_nodes",
    "spreads_at_border",
]

Reals = NDArray[np.float64]

STEP = 1e-4
"""Step of the differences, on the working scale (of logarithms and the like)."""
STOPPED = "stopped before the end"
NOTHING = 1e-3
"""A spread below this share of its first guess counts as none."""
LIFTED = 0.1
"""Share of its first guess from which a spread that became none is tried once more."""
ROUNDS = 5
"""Descents by an approximation, one after the other: what the first ones learnt of the curvature may mislead them."""
SPENT = 1e-7
"""Gain of -2 log likelihood that is none: of a round that was done, or of another, as the subjects' slopes suggest."""
HELD = {"modes": 0.1, "nodes": 0.9}
"""Share of its border below which a spread is held: sums over nodes lose their digits sooner than modes."""


@dataclass(frozen=True)
class Found:
    """Where a search ended.

    Attributes:
        theta: shape (entry,).
        minus2ll: there.
        slopes: of -2 log likelihood of each subject by the free entries, shape (subject, free entry).
        steps: iterations.
        message: of the optimiser.
        finished: whether it ended by itself.
    """

    theta: Reals
    minus2ll: float
    slopes: Reals
    steps: int
    message: str
    finished: bool


def approximate_slopes(
    problem: Problem, theta: Reals, method: str, start: Reals | None = None, *, again: bool = False
) -> tuple[Reals, Reals, Modes]:
    """An approximation and its derivative by the free entries.

    Args:
        problem: model and data.
        theta: shape (entry,).
        method: as for :func:`livingdrug.inference.marginal.approximate`.
        start: first guesses of the modes, shape (1, subject, d).
        again: whether every mode is found anew at each step, instead of moved along (slower; for comparison).

    Returns:
        -2 log likelihood of each subject, shape (subject,); its derivative, shape (subject, free entry); the modes (of
        a mixture: of each class, one after the other on the first axis).
    """
    if problem.classes > 1:
        return _slopes_of_classes(problem, theta, method, start, again=again)
    centre = approximate(problem, theta[None], method, start)
    near = np.tile(theta, (2 * len(problem.free), 1))
    for j, entry in enumerate(problem.free):
        near[2 * j : 2 * j + 2, entry] += [STEP, -STEP]
    if again or method == "fo":
        values = approximate(problem, near, method, centre.modes.eta).minus2ll
    else:
        at_zero = zero_predictions(problem, near) if method == "foce" else None
        moved = centre.modes.eta + _movement(problem, near, centre.modes, at_zero)
        values = value_at(problem, near, moved, method, at_zero)
    slopes = (values[::2] - values[1::2]) / (2 * STEP)
    return centre.minus2ll[0], slopes.T, centre.modes


def _slopes_of_classes(
    problem: Problem, theta: Reals, method: str, start: Reals | None, *, again: bool
) -> tuple[Reals, Reals, Modes]:
    """Slopes of a mixture: those of each class, weighted by each subject's chance to belong to it."""
    parts = [
        approximate_slopes(
            problem.with_classes(k), theta, method, None if start is None else start[k : k + 1], again=again
        )
        for k in range(problem.classes)
    ]
    logs, by_theta = problem.log_shares(theta)
    terms = np.array([-0.5 * value for value, _, _ in parts]) + logs[:, None]
    total = np.logaddexp.reduce(terms, axis=0)
    slopes = np.array([slope for _, slope, _ in parts]) - 2 * by_theta[:, None]
    slopes = np.einsum("cs,csp->sp", np.exp(terms - total), slopes)
    modes = [part[2] for part in parts]
    joined = Modes(
        *(np.concatenate([getattr(m, n) for m in modes]) for n in ("eta", "loglik", "curvature")),
        exact=None,
        found=np.concatenate([m.found for m in modes]),
    )
    return -2 * total, slopes, joined


def _movement(problem: Problem, near: Reals, modes: Modes, at_zero: Reals | None) -> Reals:
    """How modes move to neighbouring thetas, to first order, shape (theta, subject, d)."""
    eta = np.repeat(modes.eta, len(near), axis=0)
    pull = _joint_gradient(problem, near, eta, at_zero)
    middle = 0.5 * (pull[::2] + pull[1::2])  # the gradient at the mode itself is zero but for rounding
    held = None if at_zero is None else 0.5 * (at_zero[:1] + at_zero[1:2])
    hessian = -joint_hessian(problem, 0.5 * (near[:1] + near[1:2]), modes.eta, held)
    move = np.linalg.solve(hessian, (pull - np.repeat(middle, 2, axis=0))[..., None])
    return np.asarray(move[..., 0], np.float64)


def _joint_gradient(problem: Problem, theta: Reals, eta: Reals, at_zero: Reals | None) -> Reals:
    found, _ = problem.inner(theta, eta, at_zero=at_zero)
    precision = problem.precision(theta)
    return found.gradient - np.einsum("tij,tsj->tsi", np.broadcast_to(precision, (len(eta), *precision.shape[1:])), eta)


def joint_hessian(problem: Problem, theta: Reals, eta: Reals, at_zero: Reals | None) -> Reals:
    """Second derivative of log p(data, effects) by the effects at one theta, shape (1, subject, d, d).

    Exact for closed forms; else by central differences of the exact gradient.
    """
    if problem.model.structure.exact_curvature:
        found, _ = problem.inner(theta, eta, exact=True, at_zero=at_zero)
        assert found.hessian is not None
        return found.hessian - problem.precision(theta)[:, None]
    d = problem.d
    size = 1e-4 * np.sqrt(np.diag(problem.covariance(theta[0])))
    near = np.repeat(eta, 2 * d, axis=0)
    for j in range(d):
        near[2 * j, :, j] += size[j]
        near[2 * j + 1, :, j] -= size[j]
    gradient = _joint_gradient(problem, theta, near, at_zero)
    by = (gradient[::2] - gradient[1::2]) / (2 * size[:, None, None])
    hessian = np.moveaxis(by, 0, -1)
    return (0.5 * (hessian + np.swapaxes(hessian, -1, -2)))[None]


Stop = Callable[[Reals, float], bool]
Objective = Callable[[Reals], tuple[float, Reals]]


def search_approximation(problem: Problem, theta: Reals, method: str, stop: Stop | None = None) -> Found:
    """Minimise an approximation of -2 log likelihood from a start.

    Spreads stop past their border: beyond it nothing changes but that modes lose their digits. A descent that has ended
    is begun anew where it is, until nothing is gained.
    """
    held: dict[str, Reals] = {}
    least = spread_borders(problem) + math.log(HELD["modes"])

    def objective(free: Reals) -> tuple[float, Reals]:
        near = _with(problem, theta, free)
        with np.errstate(all="ignore"):  # a step too far is refused
            value, slopes, modes = approximate_slopes(problem, np.maximum(near, least), method, held.get("eta"))
        held["eta"] = modes.eta
        return float(value.sum()), slopes.sum(axis=0) * (near >= least)[problem.free]

    def seen(free: Reals, value: float) -> bool:
        return stop is not None and stop(_with(problem, theta, free), value)

    value, slopes, _ = approximate_slopes(problem, theta, method)
    best, total, message = theta, 0, "the rounds of descent were used up"
    for _ in range(ROUNDS):
        free, steps, early = descend(objective, best[problem.free], slopes, reach(problem, best), seen)
        best, before, total = np.maximum(_with(problem, theta, free), least), float(value.sum()), total + steps
        value, slopes, _ = approximate_slopes(problem, best, method, held.get("eta"))
        left = slopes.sum(axis=0) @ inverse_spread(slopes) @ slopes.sum(axis=0)
        if early == STOPPED or left < SPENT or before - float(value.sum()) < SPENT:
            message = early
            break
    return Found(best, float(value.sum()), slopes, total, message or "nothing is left to gain", not message)


def search_nodes(
    problem: Problem, theta: Reals, place: Callable[[Reals], AnyNodes], stop: Stop | None = None, rounds: int = 20
) -> tuple[Found, AnyNodes]:
    """Maximise a likelihood over nodes that are placed anew until the gain is spent.

    Spreads stop just past their border: beyond it nothing changes but that sums over nodes lose their digits.
    """
    theta, total, message = theta.copy(), 0, "the rounds of placing nodes were used up"
    nodes, least = place(theta), spread_borders(problem) + math.log(HELD["nodes"])
    for _ in range(rounds):

        def objective(free: Reals, held: AnyNodes = nodes, at: Reals = theta) -> tuple[float, Reals]:
            near = _with(problem, at, free)
            with np.errstate(all="ignore"):
                value, slopes = held.value_and_score(np.maximum(near, least))
            return -2 * float(value.sum()), -2 * slopes.sum(axis=0) * (near >= least)[problem.free]

        def seen(free: Reals, value: float, at: Reals = theta) -> bool:
            return stop is not None and stop(_with(problem, at, free), value)

        value, score = nodes.value_and_score(theta)
        free, steps, early = descend(objective, theta[problem.free], 2 * score, reach(problem, theta), seen, most=60)
        gained = -2 * float(value.sum()) - objective(free)[0]
        theta, total = np.maximum(_with(problem, theta, free), least), total + steps
        nodes = place(theta)
        if early == STOPPED:
            message = STOPPED
            break
        if gained < SPENT or spreads_at_border(problem, theta).any():  # past a border nothing more is to be had
            message = ""
            break
    value, score = nodes.value_and_score(theta)
    found = Found(theta, -2 * float(value.sum()), -2 * score, total, message or "nothing is left to gain", not message)
    return found, nodes


def spread_borders(problem: Problem) -> Reals:
    """Below which value a spread counts as none, shape (entry,); minus infinity for all other entries."""
    found = np.full(len(problem.theta), -np.inf)
    for block in problem.blocks:
        diagonal = _diagonal(block)
        found[diagonal] = problem.theta[diagonal] + math.log(NOTHING)
    return found


def spreads_at_border(problem: Problem, theta: Reals) -> NDArray[np.bool_]:
    """Which entries are spreads that count as none, shape (entry,).

    Beside their first guess, or beside the whole spread of an effect that follows from those before it.
    """
    found, omega = theta < spread_borders(problem), problem.covariance(theta)
    for block in problem.blocks:
        diagonal = _diagonal(block)
        found[diagonal] |= np.exp(theta[diagonal]) < NOTHING * np.sqrt(np.diag(omega)[list(block.places[0])])
    return found


def lifted(problem: Problem, theta: Reals) -> Reals:
    """A theta with the spreads that count as none lifted again, and their block's correlations forgotten.

    Spreads are sought by their logarithm, along which any likelihood is flat where they are nothing: a search that
    once stepped too far sees no way back, even where a small spread is likelier than none.
    """
    omega, none = problem.covariance(theta), spreads_at_border(problem, theta)
    for block in problem.blocks:
        diagonal, at = _diagonal(block), list(block.places[0])
        if none[diagonal].any():
            least = LIFTED * np.exp(problem.theta[diagonal])
            omega[np.ix_(at, at)] = np.diag(np.maximum(np.diag(omega)[at], least**2))
    return problem.with_covariance(theta, omega)


def _diagonal(block: Block) -> list[int]:
    """Entries of the logarithms on the diagonal of a block's Cholesky factor."""
    return [block.entries[j * (j + 3) // 2] for j in range(len(block.names))]


def descend(
    objective: Objective,
    start: Reals,
    slopes: Reals,
    reach: Reals,
    stop: Stop | None = None,
    most: int = 300,
) -> tuple[Reals, int, str]:
    """Minimise by BFGS with a bound on every step, which SciPy's has not: likelihoods have cliffs.

    Args:
        objective: value and derivative.
        start: first point.
        slopes: derivative of each subject's part there, shape (subject, entry): they scale the first step.
        reach: how far one step may move each entry.
        stop: asked after each step.
        most: steps at most.

    Returns:
        The point, the number of steps, and why it ended early ("" if it did not).
    """
    point, inverse = start.copy(), inverse_spread(slopes)
    value, slope = objective(point)
    for step in range(1, most + 1):
        direction = -inverse @ slope
        if not slope @ direction < 0 or not np.isfinite(direction).all():
            inverse = np.diag(1.0 / np.maximum(np.abs(slope), 1.0))
            direction = -inverse @ slope
        if -slope @ direction < 1e-8:
            return point, step, ""
        direction *= min(1.0, float((reach / np.maximum(np.abs(direction), 1e-300)).min()))
        share, new, new_slope = _backtrack(objective, point, value, slope, direction)
        if share == 0:
            small = -slope @ direction < 1e-3  # differences have a noise of their own
            return point, step, "" if small else "no step lowers the objective any more"
        inverse = _updated(inverse, share * direction, new_slope - slope, first=step == 1)
        point, value, slope = point + share * direction, new, new_slope
        if stop is not None and stop(point, value):
            return point, step, STOPPED
    return point, most, f"the maximum of {most} steps was reached"


def _backtrack(
    objective: Objective, point: Reals, value: float, slope: Reals, direction: Reals
) -> tuple[float, float, Reals]:
    """Halve a step until it lowers the value enough; a share of 0 if none does."""
    share = 1.0
    for _ in range(30):
        new, new_slope = objective(point + share * direction)
        good = math.isfinite(new) and np.isfinite(new_slope).all()
        if good and new <= value + 1e-4 * share * (slope @ direction):
            return share, new, new_slope
        share *= 0.5 if good else 0.25
    return 0.0, value, slope


def _updated(inverse: Reals, moved: Reals, bent: Reals, *, first: bool) -> Reals:
    """The inverse Hessian after a step (BFGS)."""
    product = float(moved @ bent)
    if product <= 1e-12 * float(np.linalg.norm(moved) * np.linalg.norm(bent)):
        return inverse
    if first:
        inverse = inverse * product / float(bent @ inverse @ bent)
    away = np.eye(len(moved)) - np.outer(moved, bent) / product
    return away @ inverse @ away.T + np.outer(moved, moved) / product


def _with(problem: Problem, theta: Reals, free: Reals) -> Reals:
    theta = theta.copy()
    theta[problem.free] = free
    return theta


def reach(problem: Problem, theta: Reals) -> Reals:
    """How far one step may move each free entry: one unit of a logarithm or logit, of a plain value its size.

    A coefficient may go as far as it moves its parameter by that much.
    """
    far = np.ones(len(theta))
    for b in range(problem.betas):
        p = int(problem.beta_parameter[b])
        one = problem.model.estimates[problem.by[p]]
        if one.kind == "normal":
            typical = abs(theta[problem.names.index(problem.by[p])])
            far[b] = max(typical, one.spread.sd if one.spread else 0.0, 1e-3)
        if problem.names[b] != problem.by[p]:
            far[b] /= max(float(np.abs(problem.design[:, p, b]).max()), 1e-3)
    return far[problem.free]


def inverse_spread(slopes: Reals) -> Reals:
    """Inverse Hessian of -2 log likelihood as the subjects' slopes suggest it: a start for the optimiser."""
    hessian = 0.5 * slopes.T @ slopes
    scale = np.sqrt(np.maximum(np.diag(hessian), 1e-8))
    balanced = hessian / scale[:, None] / scale + 0.1 * np.eye(len(scale))
    inverse = np.linalg.inv(balanced) / scale[:, None] / scale
    return 0.5 * (inverse + inverse.T)
