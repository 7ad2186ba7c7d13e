"""Markov chains of all subjects' effects, drawn from their distribution given the data at a theta that may move.

Each round draws, for all subjects and chains at once: a proposal from the population, proposals from Student's t
about the individual modes, as they were some rounds ago (Karimi et al. 2020), and a random walk along the covariance
there. Before modes are known, and now and then later, walks along each effect help chains out of odd places.

What is kept are effects plus what the centred coefficients add to them: these stay where the data put them when theta
moves. Of a mixture no class is drawn: the chains follow the sum over the classes, and know each class's chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.inference.modes import find_modes, movement
from livingdrug.inference.nodes import DEGREES, AnyNodes, ClassNodes, Nodes
from livingdrug.inference.problem import Problem

__all__ = ["Chains", "Place"]

Reals = NDArray[np.float64]

FIRST_MODES, MODES_EVERY = 10, 25
"""Round at which modes are found first, and rounds until they are found again."""
WANTED, WANTED_ALONE = 0.3, 0.44
"""Share of random-walk proposals that should be accepted: along all effects, and along one."""
BATCHES = 20
"""Stretches of draws whose scatter tells how well their mean is known."""
LEAST_CHANCE = 0.1
"""Of each class among the proposals about the modes, whatever its mode promises."""


@dataclass(frozen=True)
class Place:
    """Where the chains are.

    Attributes:
        centred: effects plus shifts, shape (chain, subject, d).
        f: predictions, shape (1 or class, chain, row): one for all classes where these differ in effects alone.
        target: logarithm of the density of data and effects, classes summed, shape (chain, subject).
        prior: that of the effects alone.
        chance: of each class, given data and effects, shape (class, chain, subject).
    """

    centred: Reals
    f: Reals
    target: Reals
    prior: Reals
    chance: Reals


class Chains:
    """Chains of all subjects.

    Attributes:
        problem: model and data.
        parts: the problem of each class, with the class known (the problem itself if there is no mixture).
        theta: at which effects are drawn, shape (entry,).
        rounds: done.
        place: where the chains are.
        accepted: share of accepted proposals of the last round, by kind.
    """

    STORED = ("walk", "reach", "centre", "root", "odds", "movement")

    def __init__(self, problem: Problem, count: int, theta: Reals, random: np.random.Generator) -> None:
        self.problem, self.random = problem, random
        several = problem.classes > 1
        self.parts = [problem.with_classes(k) for k in range(problem.classes)] if several else [problem]
        self.alike = bool(np.isin(problem.class_columns, problem.centred).all())
        S, d, classes = problem.subjects, problem.d, len(self.parts)
        L = problem.cholesky(theta[None])[0]
        self.theta, self.rounds = theta, 0
        self.accepted: dict[str, float] = {}
        self.walk = np.full((S, d), 0.5) * np.diag(L)  # deviations of the walks along one effect
        self.reach = np.full(S, 2.4 / math.sqrt(d))  # of the walks along all
        self.centre = np.zeros((classes, S, d))  # centred modes
        self.root = np.tile(0.5 * L, (classes, S, 1, 1))  # square root of the covariance about them
        self.odds = np.full((classes, S), 1.0 / classes)  # chance that a proposal is made about the mode of a class
        self.movement = np.zeros((classes, S, d, len(problem.loose)))  # of the modes with typical values
        shifts = self._shifts()
        self.place = self._at(np.stack([shifts[k % classes] for k in range(count)]))

    def _shifts(self) -> list[Reals]:
        """What centred coefficients add to the effects in each class, shape (subject, d)."""
        return [part.shifts(self.theta[None])[0] for part in self.parts]

    def _at(self, centred: Reals, f: Reals | None = None) -> Place:
        """A place, with predictions that are known or not."""
        theta = self.theta[None]
        etas = [centred - shift for shift in self._shifts()]
        alone = list(zip(self.parts, etas, strict=True))[: 1 if self.alike else None]
        if f is None:
            f = np.stack([part.predict(theta, eta).f for part, eta in alone])
        loglik = np.stack([part.loglik(theta, eta, each) for (part, eta), each in zip(alone, f, strict=True)])
        prior = np.stack([part.log_prior(theta, eta) for part, eta in zip(self.parts, etas, strict=True)])
        if len(self.parts) == 1:
            return Place(centred, f, loglik[0] + prior[0], prior[0], np.ones((1, *centred.shape[:2])))
        prior += self.problem.log_shares(self.theta)[0][:, None, None]
        joint = loglik + prior
        target = np.logaddexp.reduce(joint, axis=0)
        chance = np.exp(joint - np.where(np.isfinite(target), target, 0.0))
        return Place(centred, f, target, np.logaddexp.reduce(prior, axis=0), chance)

    # -- drawing ------------------------------------------------------------------------------------------------------
    def draw(self, theta: Reals) -> None:
        """One round of all proposals, at a theta."""
        self.rounds, self.theta = self.rounds + 1, theta
        # predictions stay as they are where theta moves effects alone
        self.place = self._at(self.place.centred, None if len(self.problem.loose) else self.place.f)
        self._from_population()
        known = self.rounds >= FIRST_MODES
        if known and (self.rounds - FIRST_MODES) % MODES_EVERY == 0:
            self._find_modes()
        if not known or self.rounds % 10 == 0:
            self._along_each()
        if known:
            self._about_modes()
            self._about_modes()
        self._along_all()

    def _propose(self, centred: Reals, correction: Reals | float = 0.0) -> NDArray[np.bool_]:
        """Accept or refuse proposals by Metropolis' rule; returns what was accepted, shape (chain, subject).

        ``correction`` is the logarithm of the old place's proposal density over that of the new one.
        """
        return self._choose(self._at(centred), correction)

    def _choose(self, new: Place, correction: Reals | float) -> NDArray[np.bool_]:
        old = self.place
        with np.errstate(invalid="ignore"):
            gain = new.target - old.target + correction
        yes = np.log(self.random.random(gain.shape)) < np.where(np.isnan(gain), -np.inf, gain)
        self.place = Place(
            np.where(yes[..., None], new.centred, old.centred),
            np.where(yes[:, self.problem.rows.subject], new.f, old.f),
            *(np.where(yes, getattr(new, name), getattr(old, name)) for name in ("target", "prior", "chance")),
        )
        return yes

    def _from_population(self) -> None:
        L = self.problem.cholesky(self.theta[None])[0]
        shape = self.place.centred.shape
        drawn = self.random.standard_normal(shape) @ L.T
        shifts = np.stack(self._shifts())
        new = self._at(drawn + shifts[self._classes(np.exp(self._log_shares())), np.arange(shape[1])])
        self.accepted["population"] = float(self._choose(new, self.place.prior - new.prior).mean())

    def _log_shares(self) -> Reals:
        """Logarithms of the shares of the classes, shape (class, subject)."""
        logs = self.problem.log_shares(self.theta)[0] if len(self.parts) > 1 else np.zeros(1)
        return np.repeat(logs[:, None], self.problem.subjects, axis=1)

    def _classes(self, chance: Reals) -> NDArray[np.int64]:
        """Draw a class for each chain and subject, from chances of shape (class, subject)."""
        shape = self.place.target.shape
        if len(chance) == 1:
            return np.zeros(shape, np.int64)
        edges = np.cumsum(chance, axis=0)[:-1, None]
        return np.asarray((self.random.random(shape) > edges).sum(axis=0))

    def _find_modes(self) -> None:
        """Modes and the curvature there, for the proposals to come."""
        exact, theta = self.problem.model.structure.exact_curvature, self.theta[None]
        promise = np.empty(self.odds.shape)
        for k, (part, shift) in enumerate(zip(self.parts, self._shifts(), strict=True)):
            near = self.centre[k : k + 1] - shift
            modes = find_modes(part, theta, near, exact=exact, close=1e-3, most=20)
            factor = np.linalg.cholesky((modes.curvature if modes.exact is None else modes.exact)[0])
            self.centre[k] = modes.eta[0] + shift
            if self.movement.size:
                self.movement[k] = movement(part, self.theta, modes, part.loose)
            self.root[k] = np.swapaxes(np.linalg.inv(factor), 1, 2)
            size = np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(axis=1)
            promise[k] = np.maximum((modes.loglik + part.log_prior(theta, modes.eta))[0] - size, -1e300)
        if len(self.parts) > 1:
            promise += self._log_shares()
            self.odds = np.maximum(np.exp(promise - np.logaddexp.reduce(promise, axis=0)), LEAST_CHANCE)
            self.odds /= self.odds.sum(axis=0)

    def _about_modes(self) -> None:
        """Proposals from Student's t about the modes, whatever the chain's place."""
        shape = self.place.centred.shape
        at = self._classes(self.odds), np.arange(shape[1])
        chi = self.random.chisquare(DEGREES, shape[:2]) / DEGREES
        z = self.random.standard_normal(shape) / np.sqrt(chi)[..., None]
        new = self.centre[at] + np.einsum("ksij,ksj->ksi", self.root[at], z)
        inverse = np.linalg.inv(self.root)
        correction = self._about_density(self.place.centred, inverse) - self._about_density(new, inverse)
        self.accepted["about modes"] = float(self._propose(new, correction).mean())

    def _about_density(self, centred: Reals, inverse: Reals) -> Reals:
        """Logarithm of the density of proposals about the modes, but for a constant, shape (chain, subject)."""
        z = np.einsum("csij,cksj->cksi", inverse, centred - self.centre[:, None])
        logs = -0.5 * (DEGREES + z.shape[-1]) * np.log1p((z**2).sum(axis=-1) / DEGREES)
        if len(self.parts) == 1:
            return logs[0]
        size = np.linalg.slogdet(inverse)[1] + np.log(self.odds)
        return np.asarray(np.logaddexp.reduce(logs + size[:, None], axis=0))

    def _along_each(self) -> None:
        rate, shares = self._adaptation(), []
        for j in range(self.problem.d):
            centred = self.place.centred.copy()
            centred[..., j] += self.walk[:, j] * self.random.standard_normal(centred.shape[:2])
            share = self._propose(centred).mean(axis=0)
            self.walk[:, j] *= np.exp(rate * (share - WANTED_ALONE))
            shares.append(share.mean())
        self.accepted["each effect"] = float(np.mean(shares))

    def _along_all(self) -> None:
        """A walk along the covariance about the mode of the class that a subject belongs to most likely."""
        z = self.random.standard_normal(self.place.centred.shape)
        root = self.root[self.odds.argmax(axis=0), np.arange(self.problem.subjects)]
        yes = self._propose(self.place.centred + self.reach[:, None] * np.einsum("sij,ksj->ksi", root, z))
        share = yes.mean(axis=0)
        self.reach *= np.exp(self._adaptation() * (share - WANTED))
        self.accepted["all effects"] = float(share.mean())

    def _adaptation(self) -> float:
        return min(1.0, 3.0 / self.rounds**0.6)

    # -- what others make of the draws --------------------------------------------------------------------------------
    def guess(self) -> Reals:
        """Effects that are near the modes, those of each class one after the other, shape (class, subject, d)."""
        return self.centre - np.stack(self._shifts())

    def nodes(self, theta: Reals, rounds: int) -> AnyNodes:
        """Draw so many rounds at a theta, and take the draws for nodes of equal weight there.

        The likelihood over them is that at any theta over that at this one, but for a constant.
        """
        places = []
        for _ in range(rounds):
            self.draw(theta)
            places.append(self.place)
        centred, target = (np.concatenate([getattr(p, name) for p in places]) for name in ("centred", "target"))
        f = np.concatenate([p.f for p in places], axis=1)
        found = []
        for k, part in enumerate(self.parts):
            nodes = Nodes(part, centred, -target, random=True, replicates=BATCHES)
            if self.movement.size:
                nodes.follow(theta, self.movement[k])
            if not len(self.problem.loose):
                nodes.keep(f[0 if self.alike else k])
            found.append(nodes)
        return found[0] if len(found) == 1 else ClassNodes(self.problem, found)

    # -- storing ------------------------------------------------------------------------------------------------------
    def to_state(self) -> dict[str, Any]:
        """Everything that later rounds need to go on with the same numbers."""
        own = {name: getattr(self, name) for name in self.STORED}
        more = {"rounds": self.rounds, "random": self.random.bit_generator.state}
        return {**own, "centred": self.place.centred, "drawn_at": self.theta, **more}

    def take_up(self, state: dict[str, Any]) -> None:
        """Go on where stored chains stopped."""
        for name in self.STORED:
            setattr(self, name, state[name])
        self.rounds, self.theta = int(state["rounds"]), state["drawn_at"]
        self.random.bit_generator.state = state["random"]
        self.place = self._at(state["centred"])
