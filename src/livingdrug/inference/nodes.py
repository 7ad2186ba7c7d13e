"""The marginal likelihood as a weighted sum over points in the space of random effects: quadrature and importance.

Adaptive Gauss-Hermite quadrature puts a grid about each mode, scaled by the curvature there: the oracle of small
problems. Importance sampling draws from Student's t about each mode and knows its own standard error.

Points are kept as effects plus what the centred coefficients add to them. So held, they stay where the data put them
when theta moves, and a likelihood over held points can be maximised without finding modes again; its derivative is
exact (Fisher's identity).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.modes import Modes, find_modes
from livingdrug.inference.problem import Predicted, Problem

__all__ = ["AnyNodes", "ClassNodes", "Nodes", "importance_nodes", "joined", "quadrature_nodes"]

Reals = NDArray[np.float64]

MOST_NODES = 200_000
"""Points per subject that a quadrature may have."""
CHUNK = 4_000_000
"""Numbers of one array that are held at a time."""
DEGREES = 5.0
"""Degrees of freedom of the proposals of importance sampling: heavier tails than the target keep weights finite."""


@dataclass(eq=False)
class Nodes:
    """Points and weights for each subject.

    Attributes:
        problem: model and data.
        centred: effects plus shifts, shape (node, subject, d).
        log_weight: shape (node, subject).
        random: whether the points were drawn, so that sums have a standard error.
        predictions: those of each of the ``parts()``, once they are known; None where theta changes them.
    """

    problem: Problem
    centred: Reals
    log_weight: Reals
    random: bool
    predictions: list[Predicted] | None = None

    def keep(self, f: Reals) -> None:
        """Take predictions at the nodes for known, shape (node, row): theta must not change them."""
        self.predictions = [Predicted(f[part]) for part in self.parts()]

    def parts(self) -> Iterator[slice]:
        """Stretches of nodes that fit into memory."""
        rows = len(self.problem.rows.time) * (1 + len(self.problem.by))
        size = max(1, CHUNK // max(rows, self.problem.subjects * len(self.problem.names)))
        for first in range(0, len(self.centred), size):
            yield slice(first, first + size)

    def eta(self, theta: Reals, part: slice) -> Reals:
        """Effects at a theta of shape (1, entry)."""
        return self.centred[part] - self.problem.shifts(theta)

    def log_terms(self, theta: Reals) -> Reals:
        """Logarithm of each node's share in the likelihood of each subject, shape (node, subject)."""
        terms = [
            self.problem.loglik(theta, eta, None if found is None else found.f) + self.problem.log_prior(theta, eta)
            for eta, found in self._walk(theta, need_slopes=False)
        ]
        return np.concatenate(terms) + self.log_weight

    def loglik(self, theta: Reals) -> Reals:
        """Logarithm of the marginal likelihood of each subject, shape (subject,)."""
        return _log_sum(self.log_terms(theta[None]))

    def standard_error(self, theta: Reals) -> float:
        """Standard error of -2 log likelihood from drawing the nodes; 0 for a quadrature."""
        return 2.0 * math.sqrt(float(self.variances(theta).sum()))

    def variances(self, theta: Reals) -> Reals:
        """Variance of each subject's log likelihood from drawing the nodes."""
        if not self.random:
            return np.zeros(self.problem.subjects)
        terms = self.log_terms(theta[None])
        share = np.exp(terms - terms.max(axis=0))
        half = len(share) // 2
        pairs = (share[:half] + share[half:]) / 2  # a point and its mirror image are drawn together
        return pairs.var(axis=0, ddof=1) / pairs.mean(axis=0) ** 2 / half

    def effective(self, theta: Reals) -> Reals:
        """Effective number of nodes of each subject."""
        terms = self.log_terms(theta[None])
        share = np.exp(terms - terms.max(axis=0))
        return share.sum(axis=0) ** 2 / (share**2).sum(axis=0)

    def weights(self, theta: Reals) -> Reals:
        """Posterior weights of the nodes, shape (node, subject), summing to one over the nodes."""
        terms = self.log_terms(theta[None])
        share = np.exp(terms - terms.max(axis=0))
        return share / share.sum(axis=0)

    def value_and_score(self, theta: Reals) -> tuple[Reals, Reals]:
        """Log likelihood of each subject, and its derivative by the free entries, shape (subject, free entry)."""
        row, total = theta[None], self.log_terms(theta[None])
        loglik = _log_sum(total)
        weight = np.exp(total - loglik)
        score = np.zeros((self.problem.subjects, len(self.problem.free)))
        for part, (eta, found) in zip(self.parts(), self._walk(row, need_slopes=True), strict=True):
            each, by = weight[part], self.problem.score(row, eta, found)
            by[each == 0] = 0.0  # a point so far out that its prediction is no number counts for nothing
            score += np.einsum("ks,ksp->sp", each, by)
        return loglik, score

    def node_scores(self, theta: Reals, chance: Reals | None = None, more: Reals | float = 0.0) -> Reals:
        """What each node adds to the derivative of the log likelihood by the free entries, shape (node, free entry).

        Args:
            theta: shape (entry,).
            chance: by which each subject counts, shape (subject,).
            more: is added to the score of every node and subject, shape (free entry,).
        """
        row, weight, found = theta[None], self.weights(theta), []
        weight = weight if chance is None else weight * chance
        for part, (eta, predicted) in zip(self.parts(), self._walk(row, need_slopes=True), strict=True):
            by = self.problem.score(row, eta, predicted) + more
            by[weight[part] == 0] = 0.0
            found.append(np.einsum("ks,ksp->kp", weight[part], by))
        return np.concatenate(found)

    def means(self, theta: Reals) -> tuple[Reals, Reals]:
        """Posterior mean and covariance of the effects of each subject, shapes (subject, d), (subject, d, d)."""
        weight, eta = self.weights(theta), self.centred - self.problem.shifts(theta[None])
        mean = np.einsum("ks,ksd->sd", weight, eta)
        away = eta - mean
        return mean, np.einsum("ks,ksi,ksj->sij", weight, away, away)

    def _walk(self, theta: Reals, *, need_slopes: bool) -> Iterator[tuple[Reals, Predicted | None]]:
        """Effects of each part with predictions, which are kept where theta does not change them."""
        loose = sorted(set(self.problem.beta_parameter[self.problem.loose].tolist()))
        moves = bool(np.isin(self.problem.loose, self.problem.free).any())
        if moves:
            for part in self.parts():
                eta = self.eta(theta, part)
                yield eta, (self.problem.predict(theta, eta, 1, loose) if need_slopes else None)
            return
        if self.predictions is None:
            order = 1 if loose else 0
            self.predictions = [
                self.problem.predict(theta, self.eta(theta, part), order, loose) for part in self.parts()
            ]
        for part, found in zip(self.parts(), self.predictions, strict=True):
            yield self.eta(theta, part), found


@dataclass(eq=False)
class ClassNodes:
    """Nodes of each class of a mixture, joined by the classes' shares."""

    problem: Problem
    parts: list[Nodes]

    @property
    def random(self) -> bool:
        """Whether the points were drawn."""
        return self.parts[0].random

    def chances(self, theta: Reals) -> tuple[Reals, Reals]:
        """Log likelihood of each subject, and its chance to belong to each class, shape (class, subject)."""
        terms = np.array([part.loglik(theta) for part in self.parts]) + self.problem.log_shares(theta)[0][:, None]
        total = np.logaddexp.reduce(terms, axis=0)
        return total, np.exp(terms - total)

    def loglik(self, theta: Reals) -> Reals:
        """Logarithm of the marginal likelihood of each subject."""
        return self.chances(theta)[0]

    def value_and_score(self, theta: Reals) -> tuple[Reals, Reals]:
        """Log likelihood of each subject and its derivative by the free entries."""
        total, chance = self.chances(theta)
        by_shares = self.problem.log_shares(theta)[1]
        scores = np.array([part.value_and_score(theta)[1] for part in self.parts]) + by_shares[:, None]
        return total, np.einsum("cs,csp->sp", chance, scores)

    def node_scores(self, theta: Reals) -> Reals:
        """What each node adds to the derivative of the log likelihood by the free entries, in all classes."""
        chance, more = self.chances(theta)[1], self.problem.log_shares(theta)[1]
        parts = zip(self.parts, chance, more, strict=True)
        return np.sum([part.node_scores(theta, share, by) for part, share, by in parts], axis=0)

    def standard_error(self, theta: Reals) -> float:
        """Standard error of -2 log likelihood from drawing the nodes."""
        variances = np.array([part.variances(theta) for part in self.parts])
        return 2.0 * math.sqrt(float((self.chances(theta)[1] ** 2 * variances).sum()))

    def effective(self, theta: Reals) -> Reals:
        """Effective number of nodes of each subject in its likeliest class."""
        best = self.chances(theta)[1].argmax(axis=0)
        return np.array([part.effective(theta) for part in self.parts])[best, np.arange(len(best))]


AnyNodes = Nodes | ClassNodes


def joined(first: AnyNodes, other: AnyNodes) -> AnyNodes:
    """Return the nodes of two sets of the same problem in one, their weights as they are."""
    if isinstance(first, ClassNodes) or isinstance(other, ClassNodes):
        assert isinstance(first, ClassNodes)
        assert isinstance(other, ClassNodes)
        parts = [joined(a, b) for a, b in zip(first.parts, other.parts, strict=True)]
        return ClassNodes(first.problem, parts)  # type: ignore[arg-type]
    pair = (first, other)
    centred, weight = (np.concatenate([getattr(one, name) for one in pair]) for name in ("centred", "log_weight"))
    found = Nodes(first.problem, centred, weight, random=first.random)
    if first.predictions is not None and other.predictions is not None:
        found.keep(np.concatenate([known.f for one in pair for known in one.predictions or []]))
    return found


def quadrature_nodes(problem: Problem, theta: Reals, nodes: int = 9, start: Reals | None = None) -> AnyNodes:
    """Adaptive Gauss-Hermite grid with ``nodes`` points in each direction, about the modes at ``theta``.

    Raises:
        InputError: the grid would be too large.
    """
    d = problem.d
    if problem.classes > 1:
        parts = [problem.with_classes(k) for k in range(problem.classes)]
        starts = _starts(start, len(parts))
        found = [quadrature_nodes(part, theta, nodes, each) for part, each in zip(parts, starts, strict=True)]
        return ClassNodes(problem, found)  # type: ignore[arg-type]
    if nodes < 1 or float(nodes) ** d > MOST_NODES:
        raise InputError(
            f"quadrature with {nodes} nodes for {d} random effects needs {float(nodes) ** d:.3g} points per subject, "
            f"at most {MOST_NODES} are allowed; take fewer nodes or importance sampling"
        )
    modes = _sharp_modes(problem, theta, start)
    x, w = np.polynomial.hermite.hermgauss(nodes)
    grid = np.stack(np.meshgrid(*[x] * d, indexing="ij"), axis=-1).reshape(-1, d)
    weight = np.stack(np.meshgrid(*[np.log(w)] * d, indexing="ij"), axis=-1).reshape(-1, d).sum(axis=1)
    root, size = _roots(modes)
    eta = modes.eta[0] + math.sqrt(2.0) * np.einsum("sij,kj->ksi", root, grid)
    log_weight = (weight + (grid**2).sum(axis=1) + 0.5 * d * math.log(2.0))[:, None] + size
    return Nodes(problem, eta + problem.shifts(theta[None]), log_weight, random=False)


def importance_nodes(
    problem: Problem,
    theta: Reals,
    nodes: int = 1000,
    seed: int = 0,
    start: Reals | None = None,
    about: tuple[Reals, Reals] | None = None,
) -> AnyNodes:
    """Draw points from Student's t about each subject's mode, or about a mean that is known, every second one mirrored.

    Args:
        problem: model and data.
        theta: where modes are found, shape (entry,).
        nodes: points per subject.
        seed: of the draws.
        start: first guesses of the modes, shape (1 or class, subject, d).
        about: mean and covariance of the centred effects of each subject, shapes (subject, d) and (subject, d, d), as a
            Markov chain has shown them. Where predictions have kinks, a mode and its curvature mislead; these do not.

    Raises:
        InputError: fewer than 10 points.
    """
    if nodes < 10:
        raise InputError(f"importance sampling needs at least 10 points per subject, got {nodes}")
    d = problem.d
    if problem.classes > 1:
        parts = [problem.with_classes(k) for k in range(problem.classes)]
        starts = _starts(start, len(parts))
        found = [importance_nodes(part, theta, nodes, seed + k, starts[k]) for k, part in enumerate(parts)]
        return ClassNodes(problem, found)  # type: ignore[arg-type]
    if about is None:
        modes = _sharp_modes(problem, theta, start)
        root, size = _roots(modes)
        middle = modes.eta[0] + problem.shifts(theta[None])[0]
    else:
        middle, root = about[0], np.linalg.cholesky(about[1])
        size = np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
    random = np.random.Generator(np.random.Philox(seed))
    half = -(-nodes // 2)
    normal = random.standard_normal((half, problem.subjects, d))
    chi = random.chisquare(DEGREES, (half, problem.subjects)) / DEGREES
    z = normal / np.sqrt(chi)[..., None]
    z = np.concatenate([z, -z])
    centred = middle + np.einsum("sij,ksj->ksi", root, z)
    constant = math.lgamma((DEGREES + d) / 2) - math.lgamma(DEGREES / 2) - 0.5 * d * math.log(DEGREES * math.pi)
    density = constant - 0.5 * (DEGREES + d) * np.log1p((z**2).sum(axis=-1) / DEGREES) - size
    return Nodes(problem, centred, -density - math.log(2 * half), random=True)


def _starts(start: Reals | None, classes: int) -> list[Reals | None]:
    """First guesses of the modes for each class."""
    if start is None:
        return [None] * classes
    return [start[k : k + 1] if len(start) == classes else start for k in range(classes)]


def _sharp_modes(problem: Problem, theta: Reals, start: Reals | None) -> Modes:
    return find_modes(problem, theta[None], start, exact=problem.model.structure.exact_curvature)


def _roots(modes: Modes) -> tuple[Reals, Reals]:
    """Square roots of the covariances at the modes, and the logarithms of their determinants' roots."""
    curvature = (modes.curvature if modes.exact is None else modes.exact)[0]
    factor = np.linalg.cholesky(curvature)
    size = -np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
    return np.swapaxes(np.linalg.inv(factor), 1, 2), size


def _log_sum(terms: Reals) -> Reals:
    most = terms.max(axis=0)
    return most + np.log(np.exp(terms - most).sum(axis=0))
