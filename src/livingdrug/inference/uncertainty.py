"""How well estimates are known: information, standard errors, shrinkage, and estimates in the units of the model."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.nodes import AnyNodes, ClassNodes, Nodes, Scores
from livingdrug.inference.problem import Problem
from livingdrug.inference.scales import from_working
from livingdrug.inference.search import NOTHING, approximate_slopes, spreads_at_border

__all__ = [
    "KINDS",
    "Uncertainty",
    "condition_number",
    "names_at_border",
    "of_approximation",
    "of_nodes",
    "reported",
    "reported_errors",
    "shrinkage",
]

Reals = NDArray[np.float64]

KINDS = ("information", "scores", "sandwich")
ROUNDING = 1e-11
"""Least eigenvalue of an information matrix with ones on its diagonal that is more than rounding."""
ENOUGH = 250
"""Drawn nodes of each subject, or a quarter of all, whose mean curvature is that of all where models are solved: it
costs as many solves as there are typical values without spread, and subjects average out what they miss."""
STEP, STEP_OF_NODES = 1e-3, 1e-5
"""Steps of the differences of slopes, on the working scale; the slopes of a likelihood over nodes are exact."""


@dataclass(frozen=True)
class Uncertainty:
    """What is known about an estimate; matrices are over the free entries of theta, on the working scale.

    Attributes:
        information: minus the second derivative of the log likelihood (NONMEM's R, halved for -2 log likelihood).
        products: sum of the products of the subjects' scores (NONMEM's S).
        kind: which of them the covariance is made of.
        covariance: of the estimate; None where the information is not positive definite.
        inverse: of the information; None likewise.
        gain: what -2 log likelihood could still gain by a Newton step.
        distance: largest move of that step, in standard errors, and ``farthest``, the entry that it would move so.
        step: that step, shape (free entry,).
        noise: standard error of the moves, in standard errors of the estimates, where the nodes were drawn.
        border: which entries stand at their border, deviations of nothing: they have no error and are left out.
        weak: names of the entries that the data tell least, where the information is not positive definite.
    """

    information: Reals
    products: Reals
    kind: str
    covariance: Reals | None
    inverse: Reals | None
    gain: float
    distance: float
    farthest: str = ""
    step: Reals | None = None
    noise: float = 0.0
    border: NDArray[np.bool_] | None = None
    weak: tuple[str, ...] = ()


def of_nodes(problem: Problem, nodes: AnyNodes, theta: Reals, kind: str = "information") -> Uncertainty:
    """Uncertainty of a likelihood over nodes: the observed information as Louis (1982) writes it.

    It is minus the mean second derivative of log p(data, effects) over the nodes, less the covariance of its first.
    """
    scores = nodes.scores(theta)
    information = -_mean_curvature(problem, nodes, theta) - scores.scatter
    found = _made(problem, theta, scores.mean, 0.5 * (information + information.T), kind)
    return replace(found, noise=_noise(scores, found)) if nodes.random else found


def _mean_curvature(problem: Problem, nodes: AnyNodes, theta: Reals) -> Reals:
    """Mean second derivative of log p(data, effects) by the free entries, weights held.

    By entries of the effects' distribution the data say nothing: theirs follows from means and covariances alone.
    """
    free, total = problem.free.tolist(), np.zeros((len(problem.free),) * 2)
    chances = nodes.chances(theta)[1] if isinstance(nodes, ClassNodes) else np.ones((1, problem.subjects))
    parts = nodes.parts if isinstance(nodes, ClassNodes) else [nodes]
    size = STEP_OF_NODES
    if problem.model.structure.exact_curvature:
        size *= 0.1  # predictions have no noise of a solver
    prior, shares = set(problem.of_effects.tolist()), set(range(problem.odds.start, problem.odds.stop))
    slow = [k for k, entry in enumerate(free) if entry not in prior | shares]
    others = [k for k, entry in enumerate(free) if entry not in shares]
    of_prior = [k for k, entry in enumerate(free) if entry in prior]
    for part, chance in zip(parts, chances, strict=True):
        some = part
        if part.random and not problem.model.structure.exact_curvature:  # the first points of a grid are a corner of it
            some = part.first(max(ENOUGH, len(part.centred) // 4))
        rows = some.held_curvature(theta, some.weights(theta) * chance, problem.free[slow].tolist(), size)
        total[np.ix_(slow, others)] += rows[:, others]
        total[np.ix_(of_prior, slow)] += rows[:, of_prior].T  # points that move with a loose entry change their prior
        total += _prior_curvature(part, theta, chance)
    odds = [k for k, entry in enumerate(free) if entry in shares]
    share = np.exp(problem.log_shares(theta)[0][1:])
    total[np.ix_(odds, odds)] -= problem.subjects * (np.diag(share) - np.outer(share, share))[: len(odds), : len(odds)]
    return total


def _prior_curvature(nodes: Nodes, theta: Reals, chance: Reals) -> Reals:
    """Mean second derivative of the effects' log density by the free entries, summed over subjects with a chance.

    The derivative is quadratic in the effects: a pair of points along each root of their covariance gives its mean.
    """
    problem, (mean, covariance) = nodes.problem, nodes.means(theta)
    size, root = np.linalg.eigh(covariance)
    away = np.moveaxis(root * np.sqrt(problem.d * np.maximum(size, 0.0))[:, None], -1, 0)
    centred = np.concatenate([mean + away, mean - away]) + problem.shifts(theta[None])

    def score(at: Reals) -> Reals:
        result = np.zeros((2 * problem.d, problem.subjects, len(problem.names)))
        problem.prior_score(at[None], centred - problem.shifts(at[None]), result)
        return np.einsum("s,ksp->p", chance, result)[problem.free] / (2 * problem.d)

    found = np.zeros((len(problem.free),) * 2)
    for k, entry in enumerate(problem.free):
        if entry in problem.of_effects:
            up, down = theta.copy(), theta.copy()
            up[entry] += STEP_OF_NODES
            down[entry] -= STEP_OF_NODES
            found[k] = (score(up) - score(down)) / (2 * STEP_OF_NODES)
    return found


def _noise(scores: Scores, found: Uncertainty) -> float:
    """Largest standard error of a Newton step's moves, in standard errors, from independent sets of nodes."""
    if found.inverse is None:
        return math.nan
    sd = np.sqrt(np.diag(found.inverse))
    known = sd > 0
    steps = (scores.replicates @ found.inverse)[:, known] / sd[known]
    return float(np.sqrt(steps.var(axis=0, ddof=1) / len(steps)).max())


def of_approximation(
    problem: Problem, theta: Reals, method: str, start: Reals | None, kind: str = "information"
) -> Uncertainty:
    """Uncertainty of FO, FOCE, FOCEI or Laplace, from differences of its slopes."""
    _, slopes, _ = approximate_slopes(problem, theta, method, start)
    second = _differences(
        problem, theta, lambda at: -0.5 * approximate_slopes(problem, at, method, start)[1].sum(axis=0)
    )
    return _made(problem, theta, -0.5 * slopes, second, kind)


def _differences(problem: Problem, theta: Reals, score: Callable[[Reals], Reals]) -> Reals:
    """Minus the derivative of a score."""
    rows = []
    for entry in problem.free:
        up, down = theta.copy(), theta.copy()
        up[entry] += STEP
        down[entry] -= STEP
        rows.append((score(down) - score(up)) / (2 * STEP))
    information = np.array(rows)
    return 0.5 * (information + information.T)


def _made(problem: Problem, theta: Reals, score: Reals, information: Reals, kind: str) -> Uncertainty:
    if kind not in KINDS:
        raise InputError(unknown_name("kind of standard errors", kind, KINDS))
    products, border = score.T @ score, at_border(problem, theta)[problem.free]
    inside = np.flatnonzero(~border)
    square = np.ix_(inside, inside)
    inner, total = information[square], score.sum(axis=0)[inside]
    if not _definite(inner):
        weak = tuple(problem.names[problem.free[inside[k]]] for k in _least_known(inner))
        return Uncertainty(information, products, kind, None, None, math.nan, math.nan, border=border, weak=weak)
    inverse = np.zeros_like(information)
    inverse[square] = np.linalg.inv(inner)
    step = inverse[square] @ total
    moves = np.abs(step / np.sqrt(np.diag(inverse)[inside]))
    covariance: Reals | None = inverse
    if kind == "sandwich":
        covariance = inverse @ products @ inverse
    if kind == "scores":
        known = np.linalg.matrix_rank(products[square]) == len(inside)
        covariance = None
        if known:
            covariance = np.zeros_like(information)
            covariance[square] = np.linalg.inv(products[square])
    farthest = problem.names[problem.free[inside[moves.argmax()]]]
    gain, distance = float(total @ step), float(moves.max())
    return Uncertainty(
        information, products, kind, covariance, inverse, gain, distance, farthest, inverse @ score.sum(axis=0),
        border=border,
    )  # fmt: skip


def _definite(information: Reals) -> bool:
    """Whether an information matrix is positive definite, beyond rounding."""
    size = np.diag(information)
    if not np.isfinite(information).all() or (size <= 0).any():
        return False
    scale = np.sqrt(size)
    return bool(np.linalg.eigvalsh(information / scale[:, None] / scale)[0] > ROUNDING)


def at_border(problem: Problem, theta: Reals) -> NDArray[np.bool_]:
    """Which entries are deviations that have shrunk to nothing, shape (entry,).

    A spread: see :func:`livingdrug.inference.search.spreads_at_border`. A part of a residual: no row's deviation
    depends on it.
    """
    found = spreads_at_border(problem, theta)
    for k, end in enumerate(problem.model.ends):
        if len(end.residual.names) > 1:
            f = problem.predict(theta[None], np.zeros((1, problem.subjects, problem.d))).f[:, problem.endpoint_rows[k]]
            g, _, _, by = end.residual.spread(f, theta[None, problem.sigma[k]])
            with np.errstate(all="ignore"):
                found[problem.sigma[k]] = [bool(np.nanmax(np.abs(each / g)) < NOTHING**2) for each in by]
    return found


def names_at_border(problem: Problem, theta: Reals) -> list[str]:
    """Names of what :func:`at_border` found, as it is reported: deviations, or the correlations that reach 1."""
    border, found = at_border(problem, theta), []
    for block in problem.blocks:
        at = list(block.places[0])
        covariance, before = (problem.covariance(one)[np.ix_(at, at)] for one in (theta, problem.theta))
        for j, name in enumerate(block.names):
            if border[block.entries[j * (j + 3) // 2]]:
                alone = covariance[j, j] < NOTHING**2 * before[j, j] or j == 0
                word = "sd" if block.level == "subject" else "occasion sd"
                found += [f"{word}({name})"] if alone else [f"corr({name},{other})" for other in block.names[:j]]
    for place in problem.sigma:
        found += [problem.names[entry] for entry in range(place.start, place.stop) if border[entry]]
    return found


def _least_known(information: Reals) -> list[int]:
    """Entries that make up the direction of least information; those that are no numbers first."""
    bad = np.flatnonzero(~np.isfinite(information).all(axis=0))
    if len(bad):
        return bad.tolist()
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    direction = np.linalg.eigh(information / scale[:, None] / scale)[1][:, 0]
    return np.flatnonzero(np.abs(direction) > 0.3).tolist()


# -- in the units of the model ----------------------------------------------------------------------------------------
def reported(problem: Problem, theta: Reals) -> dict[str, float]:
    """Typical values, coefficients, standard deviations, correlations and residual parameters by name."""
    found: dict[str, float] = {}
    estimates = problem.model.estimates
    for b in range(problem.betas):
        name = problem.names[b]
        found[name] = float(from_working(estimates[name], theta[b])[0] if name in estimates else theta[b])
    for block in problem.blocks:
        at = list(block.places[0])
        covariance = problem.covariance(theta)[np.ix_(at, at)]
        sd = np.sqrt(np.diag(covariance))
        word = "sd" if block.level == "subject" else "occasion sd"
        for j, name in enumerate(block.names):
            found[f"{word}({name})"] = float(sd[j])
            for k in range(j):
                found[f"corr({name},{block.names[k]})"] = float(covariance[j, k] / sd[j] / sd[k])
    for place, endpoint in zip(problem.sigma, problem.model.ends, strict=True):
        values = endpoint.residual.from_working(theta[place])
        found |= dict(zip(problem.names[place], values.tolist(), strict=True))
    if problem.model.mixture is not None:
        shares = np.exp(problem.log_shares(theta)[0][1:])
        found |= dict(zip(problem.names[problem.odds], shares.tolist(), strict=True))
    return found | problem.other_values(theta)


def reported_errors(problem: Problem, theta: Reals, covariance: Reals) -> dict[str, float]:
    """Standard errors of what is reported (delta method); 0 for what was held, NaN for what stands at its border."""
    names = list(reported(problem, theta))
    slopes = np.zeros((len(names), len(problem.free)))
    for j, entry in enumerate(problem.free):
        up, down = theta.copy(), theta.copy()
        up[entry] += 1e-5
        down[entry] -= 1e-5
        high, low = reported(problem, up), reported(problem, down)
        slopes[:, j] = [(high[n] - low[n]) / 2e-5 for n in names]
    variances = np.einsum("ij,jk,ik->i", slopes, covariance, slopes)
    found = dict(zip(names, np.sqrt(np.maximum(variances, 0.0)).tolist(), strict=True))
    return found | dict.fromkeys(names_at_border(problem, theta), math.nan)


def condition_number(covariance: Reals) -> float:
    """Largest over smallest eigenvalue of the correlations of the estimates, as NONMEM prints it."""
    known = np.flatnonzero(np.diag(covariance) > 0)
    if not len(known):
        return math.nan
    covariance = covariance[np.ix_(known, known)]
    sd = np.sqrt(np.diag(covariance))
    values = np.linalg.eigvalsh(covariance / sd[:, None] / sd)
    return float(values[-1] / values[0]) if values[0] > 0 else math.inf


def shrinkage(problem: Problem, theta: Reals, eta: Reals) -> dict[str, float]:
    """Shrinkage of effects, 1 - sd(individual modes) / sd(population), for each parameter that differs."""
    found: dict[str, float] = {}
    for block in problem.blocks:
        for j, name in enumerate(block.names):
            places = [p[j] for p in block.places]
            sd = math.sqrt(problem.covariance(theta)[places[0], places[0]])
            word = name if block.level == "subject" else f"{name} by occasion"
            modes = math.sqrt(max(float(np.mean(eta[:, places] ** 2) - np.mean(eta[:, places]) ** 2), 0.0))
            found[word] = 1.0 - modes / sd if sd > 0 else math.nan
    return found


def as_table(result: Any) -> Any:
    """A pandas table of estimates: value, standard error, relative standard error in percent."""
    import pandas as pd

    errors = result.standard_errors_ or {}
    rows = [
        {
            "parameter": name,
            "estimate": value,
            "se": errors.get(name, math.nan),
            "rse_percent": 100 * errors[name] / abs(value) if name in errors and value else math.nan,
        }
        for name, value in result.estimates_.items()
    ]
    return pd.DataFrame(rows).set_index("parameter")
