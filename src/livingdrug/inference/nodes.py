"""The marginal likelihood as a weighted sum over points in the space of random effects: quadrature and importance.

Adaptive Gauss-Hermite quadrature puts a grid about each mode, scaled by the curvature there: the oracle of small
problems. Importance sampling draws from Student's t about each mode and knows its own standard error. Its points fill
space evenly (SciPy's scrambled Halton sequence, shifted at random for each subject), so that a sum over few effects is
far better known than one over points drawn without order. They come in independent replicates, whose scatter is the
standard error.

Points are kept as effects plus what the centred coefficients add to them. So held, they stay where the data put them
when theta moves, and a likelihood over held points can be maximised without finding modes again; its derivative is
exact (Fisher's identity). With a typical value that has no spread the data would put them elsewhere: there they move
along with it, each subject's as its mode does, by a constant per unit. Such a shift changes no volume, so the sum stays
a sum over the same space; but nothing of a derivative is lost in the difference of two large numbers any more.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.modes import Modes, find_modes, movement
from livingdrug.inference.problem import Predicted, Problem

__all__ = ["AnyNodes", "ClassNodes", "Nodes", "importance_nodes", "joined", "quadrature_nodes"]

Reals = NDArray[np.float64]

MOST_NODES = 200_000
"""Points per subject that a quadrature may have."""
CHUNK = 400_000
"""Numbers of one array that are held at a time: few enough for a processor's cache."""
REPLICATES = 8
"""Independent sets of evenly spread points: their scatter tells how well a sum over all is known."""
PILOTS, PILOT = 8, 0.25
"""Pilots of importance sampling at most, which fit the proposal to what they find; their share of its points."""
GAIN, POOR = 0.95, 4.0
"""How far the variance of the likelihood must fall from one pilot to the next for another to follow; and the variance,
in units of that of as many points of the target itself, from which on another follows in any case."""
DEGREES = 5.0
"""Degrees of freedom of the proposals of importance sampling: heavier tails than the target keep weights finite."""

NEAREST = 1e-12
"""How near a point of the unit cube may come to its sides, where quantiles are infinite."""


@dataclass(frozen=True)
class Scores:
    """Derivative of the log likelihood by the free entries, over nodes.

    Attributes:
        mean: of each subject, shape (subject, free entry).
        replicates: how far the sum over subjects lies from it in each independent set, shape (replicate, free entry).
        scatter: sum over subjects of the covariance of log p(data, effects)'s derivative given the data.
    """

    mean: Reals
    replicates: Reals
    scatter: Reals


@dataclass(eq=False)
class Nodes:
    """Points and weights for each subject.

    Attributes:
        problem: model and data.
        centred: effects plus shifts, shape (node, subject, d).
        log_weight: shape (node, subject).
        random: whether the points were drawn, so that sums have a standard error.
        replicates: independent sets, one after the other, whose scatter is that error.
        movement: how a subject's points move with the loose entries, shape (subject, d, loose); None if they do not.
        origin: those entries where the points are as given, shape (loose,).
        predictions: those of each of the ``parts()``, once they are known; None where theta changes them.
        known: the last theta with its ``log_terms``.
    """

    problem: Problem
    centred: Reals
    log_weight: Reals
    random: bool
    replicates: int = REPLICATES
    movement: Reals | None = None
    origin: Reals | None = None
    predictions: list[Predicted] | None = None
    known: tuple[bytes, Reals] = (b"", np.zeros(0))

    def __post_init__(self) -> None:
        self.loose = self.problem.loose
        self.places = np.searchsorted(self.problem.free, self.loose)

    def follow(self, theta: Reals, movement: Reals) -> Nodes:
        """Let the points, which lie where they belong at ``theta``, move with the loose parameters from there on."""
        self.movement, self.origin = movement, theta[self.loose]
        return self

    def first(self, count: int) -> Nodes:
        """Some of the nodes, whose weights are to be taken among themselves."""
        found = replace(self, centred=self.centred[:count], log_weight=self.log_weight[:count], predictions=None)
        found.known = self.known[0], self.known[1][:count]
        return found

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
        eta = self.centred[part] - self.problem.shifts(theta)
        return eta if self.movement is None else eta + self.movement @ (theta[0, self.loose] - self.origin)

    def log_terms(self, theta: Reals) -> Reals:
        """Logarithm of each node's share in the likelihood of each subject, shape (node, subject)."""
        if theta.tobytes() != self.known[0]:
            terms = [
                self.problem.loglik(theta, eta, None if found is None else found.f) + self.problem.log_prior(theta, eta)
                for eta, found in self._walk(theta, need_slopes=False)
            ]
            self.known = theta.tobytes(), np.concatenate(terms) + self.log_weight
        return self.known[1]

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
        sets = np.array([part.mean(axis=0) for part in np.array_split(share, self.replicates)])
        return sets.var(axis=0, ddof=1) / sets.mean(axis=0) ** 2 / self.replicates

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
        return self.loglik(theta), self.scores(theta).mean

    def scores(self, theta: Reals) -> Scores:
        """What the points say of the derivative of the log likelihood, in one pass over them."""
        return _joined_scores([self.score_sums(theta, np.ones(self.problem.subjects), 0.0)], self.replicates)

    def score_sums(self, theta: Reals, chance: Reals, more: Reals | float) -> tuple[Reals, ...]:
        """Sums of the nodes' scores, each subject counted by its ``chance``, with ``more`` added to each score.

        Returns:
            Over nodes, shape (subject, free entry); over subjects, (node, free entry); of the products of the scores,
            (free entry, free entry); and the weights, (node, subject).
        """
        size, weight = len(self.problem.free), self.weights(theta) * chance
        mean, each, products = np.zeros((self.problem.subjects, size)), [], np.zeros((size, size))
        for part, (eta, found) in zip(self.parts(), self._walk(theta[None], need_slopes=True), strict=True):
            by = self._score(theta[None], eta, found) + more
            by[weight[part] == 0] = 0.0  # a point so far out that its prediction is no number counts for nothing
            weighed = by * weight[part][..., None]
            mean += weighed.sum(axis=0)
            each.append(weighed.sum(axis=1))
            products += by.reshape(-1, size).T @ weighed.reshape(-1, size)
        return mean, np.concatenate(each), products, weight

    def held_curvature(self, theta: Reals, weight: Reals, entries: Sequence[int], step: float) -> Reals:
        """Second derivative of log p(data, effects) by some entries and all free ones, with weights that are held.

        Args:
            theta: shape (entry,).
            weight: shape (node, subject).
            entries: residual parameters, or typical values without spread.
            step: of the differences of the exact first derivative.

        Returns:
            Shape (one of ``entries``, free entry).
        """
        total = np.zeros((len(entries), len(self.problem.free)))
        for part, (eta, found) in zip(self.parts(), self._walk(theta[None], need_slopes=True), strict=True):
            start = self._weighed_score(theta[None], eta, found, weight[part])
            for k, entry in enumerate(entries):
                near = theta[None].copy()
                near[0, entry] += step
                at = (eta, found) if entry not in self.loose else self._moved(near, part, need_slopes=True)
                total[k] += (self._weighed_score(near, *at, weight[part]) - start) / step
        return total

    def _weighed_score(self, theta: Reals, eta: Reals, found: Predicted | None, weight: Reals) -> Reals:
        by = self._score(theta, eta, found)
        by[weight == 0] = 0.0
        return np.asarray(weight.ravel() @ by.reshape(weight.size, -1))

    def _score(self, theta: Reals, eta: Reals, found: Predicted | None) -> Reals:
        """Derivative of log p(data, effects) by the free entries, the points moving along; (node, subject, entry)."""
        by = self.problem.score(theta, eta, found)
        if self.movement is not None:
            assert found is not None
            pull = self.problem.effect_score(theta, eta, found)
            by[..., self.places] += np.einsum("ksd,sdl->ksl", pull, self.movement)
        return by

    def means(self, theta: Reals) -> tuple[Reals, Reals]:
        """Posterior mean and covariance of the effects of each subject, shapes (subject, d), (subject, d, d)."""
        weight, eta = self.weights(theta), self.eta(theta[None], slice(None))
        mean = (weight[..., None] * eta).sum(axis=0)
        away = np.swapaxes(eta - mean, 0, 1)
        return mean, np.swapaxes(weight.T[..., None] * away, 1, 2) @ away

    def _walk(self, theta: Reals, *, need_slopes: bool) -> Iterator[tuple[Reals, Predicted | None]]:
        """Effects of each part with predictions, which are kept where theta does not change them."""
        if len(self.loose):
            for part in self.parts():
                yield self._moved(theta, part, need_slopes=need_slopes)
            return
        if self.predictions is None:
            self.predictions = [self.problem.predict(theta, self.eta(theta, part)) for part in self.parts()]
        for part, found in zip(self.parts(), self.predictions, strict=True):
            yield self.eta(theta, part), found

    def _moved(self, theta: Reals, part: slice, *, need_slopes: bool) -> tuple[Reals, Predicted | None]:
        """Effects of a part, and predictions with the slopes that a score needs."""
        eta = self.eta(theta, part)
        if not need_slopes:
            return eta, None
        wanted = self.problem.loose_parameters if self.movement is None else None
        return eta, self.problem.predict(theta, eta, 1, wanted)


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
        return self.loglik(theta), self.scores(theta).mean

    def scores(self, theta: Reals) -> Scores:
        """What the points of all classes say of the derivative of the log likelihood."""
        chance, more = self.chances(theta)[1], self.problem.log_shares(theta)[1]
        each = zip(self.parts, chance, more, strict=True)
        return _joined_scores([part.score_sums(theta, share, by) for part, share, by in each], self.parts[0].replicates)

    def standard_error(self, theta: Reals) -> float:
        """Standard error of -2 log likelihood from drawing the nodes."""
        variances = np.array([part.variances(theta) for part in self.parts])
        return 2.0 * math.sqrt(float((self.chances(theta)[1] ** 2 * variances).sum()))

    def effective(self, theta: Reals) -> Reals:
        """Effective number of nodes of each subject in its likeliest class."""
        best = self.chances(theta)[1].argmax(axis=0)
        return np.array([part.effective(theta) for part in self.parts])[best, np.arange(len(best))]


AnyNodes = Nodes | ClassNodes


def _joined_scores(parts: list[tuple[Reals, ...]], replicates: int) -> Scores:
    """Scores over the nodes of all classes, from the sums of each."""
    mean, products = (np.sum([part[k] for part in parts], axis=0) for k in (0, 2))
    away = np.sum([each - weight @ mean for _, each, _, weight in parts], axis=0)
    sets = np.array([part.sum(axis=0) for part in np.array_split(away, replicates)])
    return Scores(mean, replicates * sets, products - mean.T @ mean)


def joined(first: AnyNodes, other: AnyNodes) -> AnyNodes:
    """Return the nodes of two sets of the same problem in one, their weights as they are."""
    if isinstance(first, ClassNodes) or isinstance(other, ClassNodes):
        assert isinstance(first, ClassNodes)
        assert isinstance(other, ClassNodes)
        parts = [joined(a, b) for a, b in zip(first.parts, other.parts, strict=True)]
        return ClassNodes(first.problem, parts)  # type: ignore[arg-type]
    pair = (first, other)
    centred, weight = (np.concatenate([getattr(one, name) for one in pair]) for name in ("centred", "log_weight"))
    assert np.array_equal(np.asarray(first.origin), np.asarray(other.origin))
    found = Nodes(first.problem, centred, weight, first.random, first.replicates, first.movement, first.origin)
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
    """Draw points from Student's t about each subject's mode, or about a mean that is known, spread evenly.

    Args:
        problem: model and data.
        theta: where modes are found, shape (entry,).
        nodes: points per subject, rounded up to equal replicates of a point and its mirror image each.
        seed: of the draws.
        start: first guesses of the modes, shape (1 or class, subject, d).
        about: mean and covariance of the centred effects of each subject, shapes (subject, d) and (subject, d, d), as a
            Markov chain has shown them. Where predictions have kinks, a mode and its curvature mislead; these do not.

    Raises:
        InputError: fewer than 10 points.
    """
    if nodes < 10:
        raise InputError(f"importance sampling needs at least 10 points per subject, got {nodes}")
    if problem.classes > 1:
        parts = [problem.with_classes(k) for k in range(problem.classes)]
        starts = _starts(start, len(parts))
        found = [importance_nodes(part, theta, nodes, seed + k, starts[k]) for k, part in enumerate(parts)]
        return ClassNodes(problem, found)  # type: ignore[arg-type]
    if about is None:
        modes = _sharp_modes(problem, theta, start)
        middle, root = modes.eta[0] + problem.shifts(theta[None])[0], _roots(modes)[0]
    else:
        middle, root = about[0], _cholesky(about[1])
    random = np.random.Generator(np.random.Philox(seed))
    variance = math.inf
    for _ in range(PILOTS):
        pilot = _about(problem, middle, root, max(10, int(PILOT * nodes)), random)
        middle, root = _fitted(pilot, theta, middle, root)
        before, variance = variance, float((1.0 / pilot.effective(theta)).mean())
        if GAIN * before <= variance < POOR / len(pilot.centred):
            break
    found = _about(problem, middle, root, nodes, random)
    if not len(found.loose):
        return found
    modes = find_modes(problem, theta[None], middle - problem.shifts(theta[None]))
    return found.follow(theta, movement(problem, theta, modes, found.loose))


def _about(problem: Problem, middle: Reals, root: Reals, nodes: int, random: np.random.Generator) -> Nodes:
    """Points of Student's t about each subject's middle, shape (subject, d), stretched by its root, (subject, d, d)."""
    d, half = problem.d, -(-nodes // (2 * REPLICATES))
    z = np.concatenate([_even_student(random, half, problem.subjects, d) for _ in range(REPLICATES)])
    size = np.linalg.slogdet(root)[1]
    constant = math.lgamma((DEGREES + d) / 2) - math.lgamma(DEGREES / 2) - 0.5 * d * math.log(DEGREES * math.pi)
    density = constant - 0.5 * (DEGREES + d) * np.log1p((z**2).sum(axis=-1) / DEGREES) - size
    centred = middle + np.swapaxes(np.swapaxes(z, 0, 1) @ np.swapaxes(root, 1, 2), 0, 1)
    return Nodes(problem, centred, -density - math.log(len(z)), random=True)


def _fitted(pilot: Nodes, theta: Reals, middle: Reals, root: Reals) -> tuple[Reals, Reals]:
    """Middle and root by a pilot's weighted mean and covariance, the more the more points these rest on."""
    points = np.nan_to_num(pilot.effective(theta))
    share = points / (points + 4 * pilot.problem.d)
    with np.errstate(invalid="ignore"):
        mean, covariance = (np.nan_to_num(part) for part in pilot.means(theta))
    centred = mean + pilot.problem.shifts(theta[None])[0]
    blend = share[:, None, None] * covariance + (1 - share)[:, None, None] * (root @ np.swapaxes(root, 1, 2))
    return middle + share[:, None] * (centred - middle), _cholesky(blend)


def _cholesky(covariance: Reals) -> Reals:
    return np.asarray(np.linalg.cholesky(covariance), np.float64)


def _even_student(random: np.random.Generator, half: int, subjects: int, d: int) -> Reals:
    """Evenly spread points of Student's t and their mirror images, shape (2 half, subject, d).

    Each subject has its own shift, in length and direction: else all would err together, unseen by the error of a sum.
    """
    from scipy.special import gammaincinv, ndtri
    from scipy.stats.qmc import Halton

    even = Halton(d + 1, rng=random).random(half)[:, None]
    shares = np.clip((even + random.random((subjects, d + 1))) % 1.0, NEAREST, 1.0 - NEAREST)
    chi = 2.0 * gammaincinv(0.5 * DEGREES, shares[..., 0]) / DEGREES
    z = ndtri(shares[..., 1:]) / np.sqrt(chi)[..., None]
    return np.concatenate([z, -z])


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
