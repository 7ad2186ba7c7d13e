"""A statistical model joined with data: parameters as one vector, and likelihoods of all subjects at once.

The vector ``theta`` holds, on scales without limits (logarithms, logits, Cholesky factors), the typical values and
covariate coefficients, the spread between subjects, the spread between occasions, and the residual parameters. Random
effects ``eta`` have one row per subject: first those between subjects, then those of each occasion. All functions take
many chains (or quadrature nodes, or neighbouring thetas) at once, on the first axis.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.residual import row_terms
from livingdrug.inference.rows import Rows, make_rows

if TYPE_CHECKING:
    from livingdrug.inference.data import EventData
    from livingdrug.inference.statistical import Effect, Estimate, StatisticalModel

__all__ = ["Inner", "Predicted", "Problem"]

Reals = NDArray[np.float64]
LOG_2PI = math.log(2.0 * math.pi)
LOG10 = math.log(10.0)


@dataclass(frozen=True)
class Predicted:
    """Predictions on the endpoints' scales and their derivatives by the parameters on their own scales.

    Shapes (chain, row), (chain, row, parameter), (chain, row, parameter, parameter).
    """

    f: Reals
    first: Reals | None = None
    second: Reals | None = None


@dataclass(frozen=True)
class Inner:
    """Likelihood of the data of each subject given its random effects; shapes (chain, subject, ...).

    Attributes:
        loglik: logarithm of the density.
        gradient: by the random effects.
        information: expected information of points, that of the linearised model; observed of intervals.
        hessian: the exact second derivative, if asked for.
    """

    loglik: Reals
    gradient: Reals
    information: Reals
    hessian: Reals | None = None


@dataclass(frozen=True)
class Block:
    """A group of correlated effects: their places in ``eta`` (one list per occasion), their places in ``theta``."""

    names: tuple[str, ...]
    places: tuple[tuple[int, ...], ...]
    entries: tuple[int, ...]
    level: str


class Problem:
    """A statistical model with its data.

    Attributes:
        names: of the entries of theta, on the working scale.
        theta: first guess, shape (entry,).
        free: entries that are estimated.
        d: number of random effects of a subject, all occasions together.
        notes: what the reader of a result should know of the model and data.
    """

    def __init__(self, model: StatisticalModel, data: EventData) -> None:
        self.model = model
        self.by = list(model.estimates)
        self.rows: Rows = make_rows(data, model.ends, occasions=bool(model.by_occasion))
        self.subjects, self.units = self.rows.subjects, len(self.rows.unit_subject)
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
        self.bound = model.structure.bind(self.rows, [e.output for e in model.ends], self.by)
        self.endpoint_rows = [np.flatnonzero(self.rows.endpoint == k) for k in range(len(model.ends))]
        self.starts = self.rows.starts
        self.remembers = bool(self.occasions) and not model.structure.exact_curvature
        self._check_informed()
        self._check_occasions()

    # -- the vector ---------------------------------------------------------------------------------------------------
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
            self.notes.append(f"{effect.covariate!r} moves in time; {name!r} takes its value at the first sample used")
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

    def _effects(self, start: list[float], fixed: list[bool]) -> None:
        """Random effects: ``place`` maps each effect of a unit to its parameter."""
        model = self.model
        self.random = [self.by.index(n) for n in model.random]
        self.repeated = [self.by.index(n) for n in model.by_occasion]
        q, r = len(self.random), len(self.repeated)
        self.occasions = int(self.rows.unit_occasion.max()) + 1 if r else 0
        self.d = q + self.occasions * r
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

    def _place_entries(self) -> None:
        """Where each entry of theta stands in the Cholesky factor of all effects."""
        found = [
            (places[j], places[k], entry, j == k)
            for block in self.blocks
            for places in block.places
            for (j, k), entry in zip(zip(*np.tril_indices(len(places)), strict=True), block.entries, strict=True)
        ]
        row, column, entry, diagonal = (np.array(part) for part in zip(*found, strict=True))
        self._places = row, column, entry, diagonal.astype(bool)
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
        self.loose = np.setdiff1d(np.arange(self.betas), self.centred)
        self._make_shift()

    def _make_shift(self) -> None:
        """What centred coefficients add to each effect, shape (subject, d, centred coefficient)."""
        first = np.searchsorted(self.rows.unit_subject, np.arange(self.subjects))
        self.shift = np.zeros((self.subjects, self.d, len(self.centred)))
        self.shift[:, : len(self.random)] = self.design[first][:, self.random][:, :, self.centred]

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

    def with_classes(self, labels: NDArray[np.int64] | int) -> Problem:
        """The same problem where each subject's class is known: one number for all, or shape (subject,)."""
        known = copy.copy(self)
        known.classes = 1
        label = np.broadcast_to(labels, (self.subjects,))[self.rows.unit_subject]
        known.design = self.design.copy()
        for k, column in enumerate(self.class_columns):
            known.design[:, self.beta_parameter[column], column] = label == k + 1
        known._make_shift()
        return known

    def _residuals(self, start: list[float], fixed: list[bool]) -> None:
        self.sigma: list[slice] = []
        for endpoint in self.model.ends:
            first = len(self.names)
            several = len(self.model.ends) > 1
            self.names += [f"{endpoint.output}:{n}" if several else n for n in endpoint.residual.names]
            start += endpoint.residual.to_working(endpoint.residual.start)
            fixed += [endpoint.residual.fixed] * len(endpoint.residual.names)
            self.sigma.append(slice(first, len(self.names)))

    def _check_informed(self) -> None:
        """Refuse an estimated parameter by which no prediction changes."""
        eta = np.full((1, self.subjects, self.d), 0.1)
        found = self.predict(self.theta[None], eta, 1)
        assert found.first is not None
        for p, name in enumerate(self.by):
            one = self.model.estimates[name]
            slopes = found.first[..., p]
            if not (one.fixed and not one.spread) and np.isfinite(slopes).all() and not slopes.any():
                raise InputError(
                    f"{self.model.structure.name}: no observation depends on the parameter {name!r}; hold it (give a "
                    "number) or measure what it changes"
                )

    def _check_occasions(self) -> None:
        """Refuse what has no derivative: a typical value without spread, where rows remember earlier occasions."""
        loose = set(self.loose.tolist()) & set(self.free.tolist())
        if self.remembers and loose:
            name = self.names[min(loose)]
            raise InputError(
                f"{name}: in a model that is solved over several occasions every estimated parameter needs a spread "
                "between subjects (and covariates that do not change in time); give one, or hold the value"
            )

    def other_values(self, theta: Reals) -> dict[str, float]:
        """Values in the model's units of entries that a kind of model adds; none here."""
        del theta
        return {}

    # -- parts of theta -----------------------------------------------------------------------------------------------
    def cholesky(self, theta: Reals) -> Reals:
        """Cholesky factor of the covariance of all random effects, shape (chain, d, d)."""
        return self._factors(theta)[0]

    def _factors(self, theta: Reals) -> tuple[Reals, Reals]:
        """The Cholesky factor and its inverse; those of the last theta are remembered."""
        key = theta[:, self.betas : self.sigma[0].start].tobytes()
        if key != self._remembered[0]:
            row, column, entry, diagonal = self._places
            values = theta[:, entry]
            values = np.where(diagonal, np.exp(np.clip(values, -300.0, 300.0)), values)
            L = np.zeros((len(theta), self.d, self.d))
            L[:, row, column] = values
            self._remembered = key, L, np.asarray(np.linalg.inv(L), np.float64)
        return self._remembered[1], self._remembered[2]

    def precision(self, theta: Reals) -> Reals:
        """Inverse covariance of all random effects, shape (chain, d, d)."""
        inverse = self._factors(theta)[1]
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
        L, inverse = self._factors(theta)
        u = np.einsum("tij,tsj->tsi", inverse, eta) if len(L) > 1 else eta @ inverse[0].T
        half = np.log(np.diagonal(L, axis1=1, axis2=2)).sum(axis=1)
        return -0.5 * (u**2).sum(axis=-1) - half[:, None] - 0.5 * self.d * LOG_2PI

    def shifts(self, theta: Reals) -> Reals:
        """What centred coefficients add to each effect, shape (chain, subject, d)."""
        return np.einsum("sdk,tk->tsd", self.shift, theta[:, self.centred])

    # -- predictions --------------------------------------------------------------------------------------------------
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
        values, first, second = np.empty_like(phi), np.ones_like(phi), np.zeros_like(phi)
        for p, one in enumerate(self.model.estimates.values()):
            x = phi[..., p]
            if one.kind == "normal":
                values[..., p] = x
            elif one.kind == "lognormal":
                values[..., p] = first[..., p] = second[..., p] = np.exp(np.clip(x, -300.0, 300.0))
            else:
                low, high = one.limits
                share = 1.0 / (1.0 + np.exp(-np.clip(x, -300.0, 300.0)))
                values[..., p] = low + (high - low) * share
                first[..., p] = (high - low) * share * (1 - share)
                second[..., p] = first[..., p] * (1 - 2 * share)
        return values, first, second

    def predict(self, theta: Reals, eta: Reals, order: int = 0, wanted: Any = None) -> Predicted:
        """Predictions and derivatives by the parameters on their own scales."""
        values, slope, bend = self._natural(self.working_parameters(theta, eta))
        found = list(self.bound.evaluate(values, order, wanted))
        unit = self.rows.unit
        if order > 1:
            h = slope[:, unit]
            found[2] *= h[..., :, None] * h[..., None, :]
            diagonal = np.arange(len(self.by))
            found[2][..., diagonal, diagonal] += found[1] * bend[:, unit]
        if order:
            found[1] *= slope[:, unit]
        for k, endpoint in enumerate(self.model.ends):
            scale = "log" if endpoint.residual.logarithmic else endpoint.scale
            if scale != "natural":
                _take_logarithm(found, self.endpoint_rows[k], 1.0 if scale == "log" else 1.0 / LOG10)
        return Predicted(*found)

    def by_effects(self, slopes: Reals) -> Reals:
        """Derivatives by random effects from those by parameters, along the last axis."""
        if self.link is None:
            return slopes[..., self.random]
        return np.einsum("knp,npd->knd", slopes, self.link[self.rows.unit])

    # -- likelihood ---------------------------------------------------------------------------------------------------
    def per_subject(self, by_row: Reals) -> Reals:
        """Sums over the rows of each subject, along axis 1."""
        return np.add.reduceat(by_row, self.starts, axis=1)

    def loglik(self, theta: Reals, eta: Reals, f: Reals | None = None) -> Reals:
        """Logarithm of the density of each subject's data given its effects, shape (chain, subject)."""
        if f is None:
            f = self.predict(theta, eta).f
        total = np.empty_like(f)
        for k, at in enumerate(self.endpoint_rows):
            total[:, at] = self._terms(k, at, f[:, at], theta, order=0)[0].value
        return np.nan_to_num(self.per_subject(total) + self.rows.constant, nan=-np.inf)

    def _terms(
        self, k: int, at: NDArray[np.intp], f: Reals, theta: Reals, *, order: int = 2, at_zero: Reals | None = None
    ) -> tuple[Any, ...]:
        """Row terms of endpoint ``k`` with the deviation and its slopes; ``at_zero`` holds it where effects are 0."""
        residual, rows = self.model.ends[k].residual, self.rows
        g, g_f, g_ff, g_s = residual.spread(f if at_zero is None else at_zero + 0 * f, theta[:, self.sigma[k]])
        if at_zero is not None:
            g_f, g_ff = np.zeros_like(g_f), np.zeros_like(g_ff)
        terms = row_terms(residual, f, g, rows.value[at], rows.low[at], rows.high[at], rows.above[at], order)
        return terms, g, g_f, g_ff, g_s

    def inner(
        self, theta: Reals, eta: Reals, *, exact: bool = False, at_zero: Reals | None = None
    ) -> tuple[Inner, Predicted]:
        """Likelihood, gradient and information by the random effects.

        Args:
            theta: shape (1 or chain, entry).
            eta: shape (chain, subject, d).
            exact: whether the exact second derivative is wanted too.
            at_zero: predictions where all effects are zero, if residual deviations are held at these (no interaction).
        """
        if self.remembers and exact:
            raise InputError(
                "laplace: a model that is solved over several occasions has no exact curvature; take focei"
            )
        found = self.predict(theta, eta, 0 if self.remembers else 2 if exact else 1)
        value, slope, expected, bend = (np.empty_like(found.f) for _ in range(4))
        for k, at in enumerate(self.endpoint_rows):
            held = None if at_zero is None else at_zero[:, at]
            t, g, g_f, g_ff, _ = self._terms(k, at, found.f[:, at], theta, at_zero=held)
            value[:, at] = t.value
            slope[:, at] = t.f + t.g * g_f
            second = t.ff + 2 * t.fg * g_f + t.gg * g_f**2 + t.g * g_ff
            bend[:, at] = second
            expected[:, at] = self._expected(k, at, g, g_f, second)
        G = self._effect_quotients(theta, eta) if found.first is None else self.by_effects(found.first)
        information = self.per_subject(np.einsum("kn,kni,knj->knij", expected, G, G))
        hessian = None
        if exact:
            assert found.second is not None
            hessian = self.per_subject(
                np.einsum("kn,kni,knj->knij", bend, G, G) + slope[..., None, None] * self._twice(found.second)
            )
        gradient = self.per_subject(slope[..., None] * G)
        loglik = self.per_subject(value) + self.rows.constant
        return Inner(np.nan_to_num(loglik, nan=-np.inf), gradient, information, hessian), found

    def _effect_quotients(self, theta: Reals, eta: Reals) -> Reals:
        """Derivatives by the effects where rows depend on earlier occasions, shape (chain, row, d)."""
        size = 1e-3 * np.sqrt(np.diag(self.covariance(theta[0])))
        near = np.concatenate([eta + sign * step for step in np.diag(size) for sign in (1.0, -1.0)])
        row = theta if len(theta) == 1 else np.tile(theta, (2 * self.d, 1))
        f = self.predict(row, near).f.reshape(self.d, 2, *eta.shape[:1], -1)
        return np.moveaxis((f[:, 0] - f[:, 1]) / (2 * size[:, None, None]), 0, -1)

    def _twice(self, second: Reals) -> Reals:
        if self.link is None:
            return second[..., self.random, :][..., self.random]
        link = self.link[self.rows.unit]
        return np.einsum("npi,knpq,nqj->knij", link, second, link)

    def _expected(self, k: int, at: NDArray[np.intp], g: Reals, g_f: Reals, second: Reals) -> Reals:
        """Expected information of points about their prediction; the observed one of intervals and truncated points."""
        n = self.model.ends[k].residual.degrees
        if math.isinf(n):
            by_f, by_g = 1.0, 2.0
        else:  # Student's t (Lange et al. 1989)
            by_f, by_g = (n + 1) / (n + 3), 2 * n / (n + 3)
        expected = (by_f + by_g * g_f**2) / g**2
        odd = ~self.rows.points[at] | np.isfinite(self.rows.above[at])
        return np.where(odd, np.maximum(-second, 0.0), expected) if odd.any() else expected

    # -- scores -------------------------------------------------------------------------------------------------------
    def score(self, theta: Reals, eta: Reals, predicted: Predicted | None = None) -> Reals:
        """Derivative of log p(data, effects) by the free entries of theta, shape (chain, subject, free entry).

        Effects plus what centred coefficients add to them are held, so that these coefficients act through the
        density of the effects alone.
        """
        wanted = sorted(set(self.beta_parameter[self.loose].tolist()))
        if predicted is None:
            predicted = self.predict(theta, eta, 1 if wanted else 0, wanted)
        result = np.zeros((len(eta), self.subjects, len(self.names)))
        slope = np.empty_like(predicted.f)
        for k, at in enumerate(self.endpoint_rows):
            t, _, g_f, _, g_s = self._terms(k, at, predicted.f[:, at], theta, order=1)
            slope[:, at] = t.f + t.g * g_f
            for j, by in enumerate(g_s):
                whole = np.zeros_like(predicted.f)
                whole[:, at] = t.g * by
                result[..., self.sigma[k].start + j] = self.per_subject(whole)
        if wanted:
            assert predicted.first is not None
            for b in self.loose:
                p = self.beta_parameter[b]
                column = self.design[self.rows.unit, p, b]
                result[..., b] = self.per_subject(slope * predicted.first[..., p] * column)
        self._prior_score(theta, eta, result)
        return result[..., self.free]

    def row_information(self, theta: Reals, found: Predicted, entries: NDArray[np.int64]) -> Reals:
        """Information of the rows about residual parameters and loose coefficients, mean over the chains.

        The expected one of points, the observed one of intervals.
        """
        by_f, by_g = (np.zeros((*found.f.shape, len(entries))) for _ in range(2))
        weight_f, weight_g = np.empty_like(found.f), np.empty_like(found.f)
        for k, at in enumerate(self.endpoint_rows):
            t, g, g_f, _, g_s = self._terms(k, at, found.f[:, at], theta)
            point = self.rows.points[at]
            weight_f[:, at] = np.where(point, 1.0 / g**2, np.maximum(-t.ff, 0.0))
            weight_g[:, at] = np.where(point, 2.0 / g**2, np.maximum(-t.gg, 0.0))
            for j, entry in enumerate(entries):
                if self.sigma[k].start <= entry < self.sigma[k].stop:
                    by_g[:, at, j] = g_s[entry - self.sigma[k].start]
                elif entry < self.betas and found.first is not None:
                    p = self.beta_parameter[entry]
                    by_f[:, at, j] = found.first[:, at, p] * self.design[self.rows.unit[at], p, entry]
                    by_g[:, at, j] = g_f * by_f[:, at, j]
        total = np.einsum("kn,kni,knj->ij", weight_f, by_f, by_f) + np.einsum("kn,kni,knj->ij", weight_g, by_g, by_g)
        return np.nan_to_num(total) / len(found.f)

    def _prior_score(self, theta: Reals, eta: Reals, result: Reals) -> None:
        L, inverse = self._factors(theta)
        u = np.einsum("tij,tsj->tsi", inverse, eta) if len(L) > 1 else eta @ inverse[0].T
        v = np.einsum("tji,tsj->tsi", inverse, u) if len(L) > 1 else u @ inverse[0]  # covariance^-1 eta
        result[..., self.centred] = np.einsum("ksd,sdc->ksc", v, self.shift)
        for block in self.blocks:
            for places in block.places:
                for (j, k), entry in zip(zip(*np.tril_indices(len(places)), strict=True), block.entries, strict=True):
                    a, b = places[j], places[k]
                    by = v[..., a] * u[..., b]
                    result[..., entry] += by * L[:, None, a, a] - 1.0 if j == k else by


def _take_logarithm(found: list[Reals], at: NDArray[np.intp], factor: float) -> None:
    """Replace predictions by their logarithms, and the derivatives accordingly."""
    with np.errstate(all="ignore"):
        f = found[0][:, at]
        found[0][:, at] = factor * np.log(f)
        relative = found[1][:, at] / f[..., None] if len(found) > 1 else np.zeros(0)
        if len(found) > 1:
            found[1][:, at] = factor * relative
        if len(found) > 2:
            cross = relative[..., :, None] * relative[..., None, :]
            found[2][:, at] = factor * (found[2][:, at] / f[..., None, None] - cross)


def to_working(one: Estimate, value: float) -> float:
    """A typical value on the scale of its effects."""
    if one.kind == "normal":
        return float(value)
    if one.kind == "lognormal":
        return math.log(value)
    low, high = one.limits
    return math.log((value - low) / (high - value))


def from_working(one: Estimate, value: float) -> tuple[float, float]:
    """A typical value from the scale of its effects, and its derivative."""
    if one.kind == "normal":
        return value, 1.0
    if one.kind == "lognormal":
        return math.exp(value), math.exp(value)
    low, high = one.limits
    share = 1.0 / (1.0 + math.exp(-value))
    return low + (high - low) * share, (high - low) * share * (1 - share)
