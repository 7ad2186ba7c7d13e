"""The parameters of a statistical model with its data, as one vector.

The vector ``theta`` holds, on scales without limits (logarithms, logits, Cholesky factors), the typical values and
covariate coefficients, the spread between subjects, the spread between occasions, the residual parameters and the
shares of classes. Random effects ``eta`` have one row per subject: first those between subjects, then those of each
occasion. Here stand the entries with their names and first guesses, the columns of covariates, and the distribution of
the effects; what data make of them is in :mod:`livingdrug.inference.problem`.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.scales import from_working, to_working

if TYPE_CHECKING:
    from livingdrug.inference.rows import Rows
    from livingdrug.inference.statistical import Effect, StatisticalModel

__all__ = ["LOG_2PI", "Block", "ParameterVector"]

Reals = NDArray[np.float64]
LOG_2PI = math.log(2.0 * math.pi)


@dataclass(frozen=True)
class Block:
    """A group of correlated effects: their places in ``eta`` (one list per occasion), their places in ``theta``."""

    names: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]
    entries: tuple[int, ...]
    level: str


class ParameterVector:
    """The entries of theta and the random effects of a model's subjects.

    Attributes:
        names: of the entries of theta, on the working scale.
        theta: first guess, shape (entry,).
        free: entries that are estimated.
        d: number of random effects of a subject, all occasions together.
        of_effects: entries that only the distribution of the effects depends on.
        loose: estimated typical values and coefficients that shift no effect between subjects.
        loose_parameters: the parameters that these belong to.
        moving: parameters that differ between subjects or are estimated; the others are numbers.
        notes: what the reader of a result should know of the model and data.
    """

    def __init__(self, model: StatisticalModel, rows: Rows) -> None:
        self.model, self.rows = model, rows
        self.by = list(model.estimates)
        self.subjects, self.units = rows.subjects, len(rows.unit_subject)
        self.names: list[str] = []
        self.notes: list[str] = []
        start: list[float] = []
        fixed: list[bool] = []
        self._typical(start, fixed)
        self._effects(start, fixed)
        self._residuals(start, fixed)
        self._shares(start, fixed)
        self.theta = np.array(start)
        self.free = np.flatnonzero(~np.array(fixed, bool))
        betas = self.free[self.free < self.betas]
        self.loose = np.setdiff1d(betas, self.centred)
        self.loose_parameters = sorted(set(self.beta_parameter[self.loose].tolist()))
        self.moving = sorted({*self.random, *self.repeated, *self.beta_parameter[betas].tolist()})

    # -- typical values and coefficients ------------------------------------------------------------------------------
    def _typical(self, start: list[float], fixed: list[bool]) -> None:
        """Typical values and coefficients: ``design`` has shape (unit, parameter, beta)."""
        columns: list[tuple[int, Reals]] = []
        for p, (name, one) in enumerate(self.model.estimates.items()):
            self.names.append(name)
            start.append(to_working(one, one.value))
            fixed.append(one.fixed)
            columns.append((p, np.ones(self.units)))
            for effect in one.covariates:
                for label, column in self._columns(name, effect):
                    self.names.append(label)
                    start.append(effect.value)
                    fixed.append(effect.fixed)
                    columns.append((p, column))
        self.class_columns = np.zeros(0, np.int64)
        if self.model.mixture is not None:
            self.class_columns = len(columns) + np.arange(len(self.model.mixture.shifts))
            for name, shift in self.model.mixture.shifts.items():
                self.names.append(f"{self.model.mixture.parameter}:class {name}")
                start.append(shift)
                fixed.append(False)
                columns.append((self.by.index(self.model.mixture.parameter), np.zeros(self.units)))
        self.betas = len(columns)
        self.beta_parameter = np.array([p for p, _ in columns])
        self.design = np.zeros((self.units, len(self.by), self.betas))
        for k, (p, column) in enumerate(columns):
            self.design[:, p, k] = column

    def _columns(self, name: str, effect: Effect) -> list[tuple[str, Reals]]:
        """Columns of a covariate, one value per unit."""
        covariates = self.rows.data.covariates
        if effect.covariate not in covariates:
            raise InputError(unknown_name("covariate of the data", effect.covariate, covariates, place=name))
        one = covariates[effect.covariate]
        order = np.argsort(self.rows.unit, kind="stable")
        at = self.rows.time[order][np.searchsorted(self.rows.unit[order], np.arange(self.units))]
        x = np.asarray(one.at(self.rows.unit_subject, at), float)
        if np.isnan(x).any():
            who = self.rows.data.ids[self.rows.unit_subject[int(np.argmax(np.isnan(x)))]]
            raise InputError(f"{name}: the covariate {effect.covariate!r} is missing for subject {who!r}")
        label = f"{name}:{effect.covariate}"
        if one.varies:
            self.notes.append(
                f"{effect.covariate!r} moves in time ({self.rows.moves(effect.covariate)}); {name!r} takes its value "
                "at the first sample used"
            )
        if effect.form == "category":
            return self._categories(label, effect, x, one.levels)
        if effect.form == "power":
            if (x <= 0).any():
                who = self.rows.data.ids[self.rows.unit_subject[int(np.argmax(x <= 0))]]
                raise InputError(f"{label}: a power needs positive values, got {x.min():g} for subject {who!r}")
            return [(label, np.log(x / effect.centre))]
        return [(label, x - effect.centre)]

    def _categories(self, label: str, effect: Effect, x: Reals, levels: tuple[str, ...]) -> list[tuple[str, Reals]]:
        words = {float(k): word for k, word in enumerate(levels)} if levels else {v: f"{v:g}" for v in np.unique(x)}
        reference = effect.reference if effect.reference is not None else next(iter(words.values()))
        if reference not in words.values():
            raise InputError(unknown_name("category", reference, words.values(), place=label))
        return [
            (f"{label}={word}", (x == v) * 1.0) for v, word in words.items() if word != reference and (x == v).any()
        ]

    # -- effects ------------------------------------------------------------------------------------------------------
    def _effects(self, start: list[float], fixed: list[bool]) -> None:
        """Random effects: ``place`` maps each effect of a unit to its parameter."""
        model = self.model
        self.random = [self.by.index(n) for n in model.random]
        self.repeated = [self.by.index(n) for n in model.by_occasion]
        q, r = len(self.random), len(self.repeated)
        self.occasions = int(self.rows.unit_occasion.max()) + 1 if r else 0
        self.d = q + self.occasions * r
        self._check_repeats()
        if not self.d:
            raise InputError(f"{model.structure.name}: no parameter differs between subjects; give one a spread")
        self.blocks: list[Block] = []
        for group in model.blocks():
            names = tuple(model.random[k] for k in group)
            self._block(names, (tuple(group),), "subject", start, fixed)
        for k, name in enumerate(model.by_occasion):
            places = tuple((q + o * r + k,) for o in range(self.occasions))
            self._block((name,), places, "occasion", start, fixed)
        self._link(q, r)
        self._place_entries()

    def _check_repeats(self) -> None:
        """Refuse differences between occasions where nobody has two."""
        if self.repeated and np.bincount(self.rows.unit_subject).max() < 2:
            names = ", ".join(map(repr, self.model.by_occasion))
            raise InputError(
                f"{self.model.structure.name}: {names} shall differ between occasions, but no subject of the data has "
                "two (the column OCC tells them apart); leave occasions out"
            )

    def _place_entries(self) -> None:
        """Where each entry of theta stands in the Cholesky factor of all effects."""
        found = [
            (places[j], places[k], entry, j == k)
            for block in self.blocks
            for places in block.places
            for (j, k), entry in zip(zip(*np.tril_indices(len(places)), strict=True), block.entries, strict=True)
        ]
        row, column, entry, diagonal = (np.array(part) for part in zip(*found, strict=True))
        self.factor_entries = row, column, entry, diagonal.astype(bool)
        self._remembered: tuple[bytes, Reals, Reals] = (b"", np.zeros(0), np.zeros(0))

    def _block(
        self,
        names: tuple[str, ...],
        places: tuple[tuple[int, ...], ...],
        level: str,
        start: list[float],
        fixed: list[bool],
    ) -> None:
        first = len(self.names)
        word = "omega" if level == "subject" else "gamma"
        for j, name in enumerate(names):
            one = self.model.estimates[name]
            spread = one.spread if level == "subject" else one.occasions
            assert spread is not None
            for k in range(j):
                self.names.append(f"{word}({name},{names[k]})")
                start.append(0.0)
                fixed.append(one.fixed_spread)
            self.names.append(f"{word}({name})")
            start.append(math.log(spread.sd))
            fixed.append(one.fixed_spread)
        self.blocks.append(Block(names, places, tuple(range(first, len(self.names))), level))

    def _link(self, q: int, r: int) -> None:
        """For occasions: which effect moves which parameter of each unit, shape (unit, parameter, effect)."""
        self.link: Reals | None = None
        if r:
            self.link = np.zeros((self.units, len(self.by), self.d))
            for j, p in enumerate(self.random):
                self.link[:, p, j] = 1.0
            for k, p in enumerate(self.repeated):
                self.link[np.arange(self.units), p, q + self.rows.unit_occasion * r + k] = 1.0
        # coefficients that only shift effects between subjects, the same in all units of a subject, are *centred*
        first = np.searchsorted(self.rows.unit_subject, np.arange(self.subjects))
        steady = (self.design == self.design[first][self.rows.unit_subject]).all(axis=(0, 1))
        self.centred = np.flatnonzero(np.isin(self.beta_parameter, self.random) & steady)
        entries = [entry for block in self.blocks for entry in block.entries]
        self.of_effects = np.concatenate([self.centred, np.array(entries, int)])
        self._make_shift()

    def _make_shift(self) -> None:
        """What centred coefficients add to each effect, shape (subject, d, centred coefficient)."""
        first = np.searchsorted(self.rows.unit_subject, np.arange(self.subjects))
        self.shift = np.zeros((self.subjects, self.d, len(self.centred)))
        self.shift[:, : len(self.random)] = self.design[first][:, self.random][:, :, self.centred]

    # -- residuals and classes ----------------------------------------------------------------------------------------
    def _residuals(self, start: list[float], fixed: list[bool]) -> None:
        self.sigma: list[slice] = []
        for endpoint in self.model.ends:
            first = len(self.names)
            several = len(self.model.ends) > 1
            self.names += [f"{endpoint.output}:{n}" if several else n for n in endpoint.residual.names]
            start += endpoint.residual.to_working(endpoint.residual.start)
            fixed += [endpoint.residual.fixed] * len(endpoint.residual.names)
            self.sigma.append(slice(first, len(self.names)))

    def _shares(self, start: list[float], fixed: list[bool]) -> None:
        """Shares of the classes of a mixture, as log-odds against the reference class."""
        self.odds = slice(len(self.names), len(self.names))
        self.classes = 1
        if self.model.mixture is not None:
            shares = self.model.mixture.first_shares()
            self.odds = slice(len(self.names), len(self.names) + len(shares))
            self.classes = 1 + len(shares)
            self.names += [f"share({name})" for name in shares]
            start += [math.log(share / (1.0 - sum(shares.values()))) for share in shares.values()]
            fixed += [False] * len(shares)

    def log_shares(self, theta: Reals) -> tuple[Reals, Reals]:
        """Logarithms of the shares of all classes, shape (class,), and their slopes by the free entries."""
        odds = np.r_[0.0, theta[self.odds]]
        logs = odds - np.logaddexp.reduce(odds)
        slopes = np.zeros((len(odds), len(theta)))
        slopes[:, self.odds] = np.eye(len(odds))[:, 1:] - np.exp(logs)[1:]
        return logs, slopes[:, self.free]

    def with_classes(self, labels: NDArray[np.int64] | int) -> Self:
        """The same problem where each subject's class is known: one number for all, or shape (subject,)."""
        known = copy.copy(self)
        known.classes = 1
        label = np.broadcast_to(labels, (self.subjects,))[self.rows.unit_subject]
        known.design = self.design.copy()
        for k, column in enumerate(self.class_columns):
            known.design[:, self.beta_parameter[column], column] = label == k + 1
        known._make_shift()
        return known

    def other_values(self, theta: Reals) -> dict[str, float]:
        """Values in the model's units of entries that a kind of model adds; none here."""
        del theta
        return {}

    # -- the distribution of the effects ------------------------------------------------------------------------------
    def cholesky(self, theta: Reals) -> Reals:
        """Cholesky factor of the covariance of all random effects, shape (chain, d, d)."""
        return self.factors(theta)[0]

    def factors(self, theta: Reals) -> tuple[Reals, Reals]:
        """The Cholesky factor of the covariance of all random effects and its inverse, shapes (chain, d, d).

        Those of the last theta are remembered.
        """
        key = theta[:, self.betas : self.sigma[0].start].tobytes()
        if key != self._remembered[0]:
            row, column, entry, diagonal = self.factor_entries
            values = theta[:, entry]
            values = np.where(diagonal, np.exp(np.clip(values, -300.0, 300.0)), values)
            L = np.zeros((len(theta), self.d, self.d))
            L[:, row, column] = values
            self._remembered = key, L, np.asarray(np.linalg.inv(L), np.float64)
        return self._remembered[1], self._remembered[2]

    def precision(self, theta: Reals) -> Reals:
        """Inverse covariance of all random effects, shape (chain, d, d)."""
        inverse = self.factors(theta)[1]
        return np.swapaxes(inverse, 1, 2) @ inverse

    def covariance(self, theta: Reals) -> Reals:
        """Covariance of the random effects of one theta, shape (d, d)."""
        L = self.cholesky(theta[None])[0]
        return L @ L.T

    def with_covariance(self, theta: Reals, omega: Reals) -> Reals:
        """Theta with another covariance (its free blocks); the first occasion stands for all."""
        theta, free = theta.copy(), set(self.free.tolist())
        for block in self.blocks:
            if set(block.entries) & free:
                at = list(block.places[0])
                L = np.linalg.cholesky(omega[np.ix_(at, at)])
                rows, columns = np.tril_indices(len(at))
                entry = L[rows, columns]
                theta[list(block.entries)] = np.where(rows == columns, np.log(np.abs(entry)), entry)
        return theta

    def log_prior(self, theta: Reals, eta: Reals) -> Reals:
        """Logarithm of the density of the random effects, shape (chain, subject)."""
        L, inverse = self.factors(theta)
        u = np.einsum("tij,tsj->tsi", inverse, eta) if len(L) > 1 else eta @ inverse[0].T
        half = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        return -0.5 * (u**2).sum(axis=-1) - half[:, None] - 0.5 * self.d * LOG_2PI

    def prior_score(self, theta: Reals, eta: Reals, result: Reals) -> None:
        """Add the derivative of the effects' log density by all entries to ``result``, (chain, subject, entry)."""
        L, inverse = self.factors(theta)
        u = np.einsum("tij,tsj->tsi", inverse, eta) if len(L) > 1 else eta @ inverse[0].T
        v = np.einsum("tji,tsj->tsi", inverse, u) if len(L) > 1 else u @ inverse[0]  # covariance^-1 eta
        result[..., self.centred] = np.einsum("ksd,sdc->ksc", v, self.shift)
        for block in self.blocks:
            for places in block.places:
                for (j, k), entry in zip(zip(*np.tril_indices(len(places)), strict=True), block.entries, strict=True):
                    a, b = places[j], places[k]
                    by = v[..., a] * u[..., b]
                    result[..., entry] += by * L[:, None, a, a] - 1.0 if j == k else by

    def shifts(self, theta: Reals) -> Reals:
        """What centred coefficients add to each effect, shape (chain, subject, d)."""
        return np.einsum("sdk,tk->tsd", self.shift, theta[:, self.centred])

    # -- individual parameters ----------------------------------------------------------------------------------------
    def working_parameters(self, theta: Reals, eta: Reals) -> Reals:
        """Parameters of each unit on their own scales, shape (chain, unit, parameter)."""
        phi = np.einsum("upk,tk->tup", self.design, theta[:, : self.betas])
        if self.link is not None:
            return phi + np.einsum("upd,kud->kup", self.link, eta[:, self.rows.unit_subject])
        phi = np.repeat(phi, len(eta), axis=0) if len(phi) < len(eta) else phi
        phi[..., self.random] += eta
        return phi

    def individual(self, theta: Reals, eta: Reals) -> Reals:
        """Parameters of each unit in the structural model's units, shape (chain, unit, parameter)."""
        return self._natural(self.working_parameters(theta, eta))[0]

    def _natural(self, phi: Reals) -> tuple[Reals, Reals, Reals]:
        """Natural values of working parameters, with first and second derivative."""
        values, first, second = np.empty_like(phi), np.empty_like(phi), np.empty_like(phi)
        for p, one in enumerate(self.model.estimates.values()):
            values[..., p], first[..., p], second[..., p] = from_working(one, phi[..., p])
        return values, first, second
