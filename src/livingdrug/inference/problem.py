"""A statistical model joined with data: predictions and likelihoods of all subjects at once.

All functions take many chains (or quadrature nodes, or neighbouring thetas) at once, on the first axis. What stands
where in theta and in the random effects is in :mod:`livingdrug.inference.vector`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.inference.residual import row_terms
from livingdrug.inference.rows import make_rows
from livingdrug.inference.vector import ParameterVector

if TYPE_CHECKING:
    from livingdrug.inference.data import EventData
    from livingdrug.inference.statistical import StatisticalModel

__all__ = ["Inner", "Predicted", "Problem"]

Reals = NDArray[np.float64]
LOG10 = math.log(10.0)
NOTHING = 1e-300
"""A prediction below this counts as nothing."""


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


class Problem(ParameterVector):
    """A statistical model with its data."""

    def __init__(self, model: StatisticalModel, data: EventData) -> None:
        super().__init__(model, make_rows(data, model.ends, occasions=bool(model.by_occasion)))
        self.bound = model.structure.bind(self.rows, [e.output for e in model.ends], self.by)
        self.endpoint_rows = [np.flatnonzero(self.rows.endpoint == k) for k in range(len(model.ends))]
        self.parts = [slice(None)] if len(model.ends) == 1 else self.endpoint_rows  # without copies where there is one
        self.starts = self.rows.starts
        self.remembers = bool(self.occasions) and not model.structure.exact_curvature
        self._check_informed()
        self._check_occasions()

    def _check_informed(self) -> None:
        """Refuse an estimated parameter by which no prediction changes."""
        eta = np.full((1, self.subjects, self.d), 0.1)
        found = self.predict(self.theta[None], eta, 1)
        assert found.first is not None
        for p in self.moving:
            slopes = found.first[..., p]
            if np.isfinite(slopes).all() and not slopes.any():
                raise InputError(
                    f"{self.model.structure.name}: no observation depends on the parameter {self.by[p]!r}; hold it "
                    "(give a number) or measure what it changes"
                )

    def _check_occasions(self) -> None:
        """Refuse what has no derivative: a typical value without spread, where rows remember earlier occasions."""
        if self.remembers and len(self.loose):
            name = self.names[self.loose[0]]
            raise InputError(
                f"{name}: in a model that is solved over several occasions every estimated parameter needs a spread "
                "between subjects (and covariates that do not change in time); give one, or hold the value"
            )

    # -- predictions --------------------------------------------------------------------------------------------------
    def predict(self, theta: Reals, eta: Reals, order: int = 0, wanted: Any = None) -> Predicted:
        """Predictions and derivatives by the parameters on their own scales: those ``wanted``, or all that move."""
        values, slope, bend = self._natural(self.working_parameters(theta, eta))
        found = list(self.bound.evaluate(values, order, self.moving if wanted is None else wanted))
        unit = self.rows.unit
        if order > 1:
            h = slope[:, unit]
            found[2] *= h[..., :, None] * h[..., None, :]
            diagonal = np.arange(len(self.by))
            found[2][..., diagonal, diagonal] += found[1] * bend[:, unit]
        if order:
            found[1] *= slope[:, unit]
        for k, at in enumerate(self.parts):
            factor = self.log_factor(k)
            if factor is not None:
                _take_logarithm(found, at, factor, ~self.rows.points[at])
        return Predicted(*found)

    def log_factor(self, k: int) -> float | None:
        """What natural logarithms are multiplied with on the scale of an endpoint; None where it is no logarithm."""
        end = self.model.ends[k]
        scale = "log" if end.residual.logarithmic else end.scale
        return {"natural": None, "log": 1.0, "log10": 1.0 / LOG10}[scale]

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
        terms = [self.end_terms(k, at, f[:, at], theta, order=0)[0].value for k, at in enumerate(self.parts)]
        total = terms[0] if len(terms) == 1 else np.empty_like(f)
        if len(terms) > 1:
            for at, part in zip(self.parts, terms, strict=True):
                total[:, at] = part
        return _likelihood(self.per_subject(total) + self.rows.constant)

    def end_terms(
        self, k: int, at: Any, f: Reals, theta: Reals, *, order: int = 2, at_zero: Reals | None = None
    ) -> tuple[Any, ...]:
        """Terms of the rows of one endpoint in the log likelihood, with the residual deviation and its slopes.

        Args:
            k: the endpoint.
            at: its rows, one of ``parts``.
            f: predictions of these rows, shape (chain, row).
            theta: shape (chain, entry).
            order: highest derivative that is wanted.
            at_zero: predictions where the effects are 0, at which the deviation is held (FOCE without interaction).

        Returns:
            The terms; the deviation; its first and second slope by the prediction; its slopes by the residual's
            entries.
        """
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
        for k, at in enumerate(self.parts):
            held = None if at_zero is None else at_zero[:, at]
            t, g, g_f, g_ff, _ = self.end_terms(k, at, found.f[:, at], theta, at_zero=held)
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
        return Inner(_likelihood(loglik), gradient, information, hessian), found

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

    def _expected(self, k: int, at: Any, g: Reals, g_f: Reals, second: Reals) -> Reals:
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
        wanted = self.loose_parameters
        if predicted is None:
            predicted = self.predict(theta, eta, 1 if wanted else 0, wanted)
        result = np.zeros((len(eta), self.subjects, len(self.names)))
        for k, at in enumerate(self.parts):
            t, _, _, _, g_s = self.end_terms(k, at, predicted.f[:, at], theta, order=1)
            for j, by in enumerate(g_s):
                each = t.g * by
                if len(self.parts) > 1:
                    whole = np.zeros_like(predicted.f)
                    whole[:, at] = each
                    each = whole
                result[..., self.sigma[k].start + j] = self.per_subject(each)
        if wanted:
            assert predicted.first is not None
            slope = self._slope(theta, predicted)
            for b in self.loose:
                p = self.beta_parameter[b]
                column = self.design[self.rows.unit, p, b]
                result[..., b] = self.per_subject(slope * predicted.first[..., p] * column)
        self.prior_score(theta, eta, result)
        return result[..., self.free]

    def effect_score(self, theta: Reals, eta: Reals, predicted: Predicted) -> Reals:
        """Derivative of log p(data, effects) by the effects, shape (chain, subject, d)."""
        assert predicted.first is not None
        by_row = self._slope(theta, predicted)[..., None] * self.by_effects(predicted.first)
        return self.per_subject(by_row) - np.einsum("tij,tsj->tsi", self.precision(theta), eta)

    def _slope(self, theta: Reals, predicted: Predicted) -> Reals:
        """Derivative of each row's log density by its prediction, the deviation's change with it included."""
        slope = np.empty_like(predicted.f)
        for k, at in enumerate(self.parts):
            t, _, g_f, _, _ = self.end_terms(k, at, predicted.f[:, at], theta, order=1)
            slope[:, at] = t.f + t.g * g_f
        return slope

    def row_information(
        self, theta: Reals, found: Predicted, entries: NDArray[np.int64], chance: Reals | None, movement: Reals
    ) -> Reals:
        """Information of the rows about residual parameters and loose coefficients, mean over the chains.

        The expected one of points, the observed one of intervals. Each subject's rows count by ``chance``, shape
        (chain, subject), if it is given. Effects move with the coefficients, (subject, d, one of ``loose``).
        """
        by_f, by_g = (np.zeros((*found.f.shape, len(entries))) for _ in range(2))
        weight_f, weight_g = np.empty_like(found.f), np.empty_like(found.f)
        along = None
        if movement.size and found.first is not None:
            along = np.einsum("knd,ndl->knl", self.by_effects(found.first), movement[self.rows.subject])
        for k, at in enumerate(self.parts):
            t, g, g_f, _, g_s = self.end_terms(k, at, found.f[:, at], theta)
            point = self.rows.points[at]
            weight_f[:, at] = np.where(point, 1.0 / g**2, np.maximum(-t.ff, 0.0))
            weight_g[:, at] = np.where(point, 2.0 / g**2, np.maximum(-t.gg, 0.0))
            for j, entry in enumerate(entries):
                if self.sigma[k].start <= entry < self.sigma[k].stop:
                    by_g[:, at, j] = g_s[entry - self.sigma[k].start]
                elif entry < self.betas and found.first is not None:
                    p = self.beta_parameter[entry]
                    by_f[:, at, j] = found.first[:, at, p] * self.design[self.rows.unit[at], p, entry]
                    if along is not None:
                        by_f[:, at, j] += along[:, at, self.loose.tolist().index(entry)]
                    by_g[:, at, j] = g_f * by_f[:, at, j]
        if chance is not None:
            each = chance[:, self.rows.subject]
            weight_f, weight_g = np.where(each > 0, each * weight_f, 0.0), np.where(each > 0, each * weight_g, 0.0)
        total = np.einsum("kn,kni,knj->ij", weight_f, by_f, by_f) + np.einsum("kn,kni,knj->ij", weight_g, by_g, by_g)
        return np.nan_to_num(total) / len(found.f)

    def prior_information(self, theta: Reals, movement: Reals, chance: Reals | None) -> Reals:
        """Information of the effects' distribution about free loose coefficients with which the effects move."""
        share = np.ones(self.subjects) if chance is None else chance.mean(axis=0)
        return np.einsum("s,sdl,de,sem->lm", share, movement, self.precision(theta)[0], movement)


def _likelihood(found: Reals) -> Reals:
    """A log likelihood where what is no number counts as impossible."""
    return np.where(np.isnan(found), -np.inf, found)


def _take_logarithm(found: list[Reals], at: Any, factor: float, intervals: NDArray[np.bool_]) -> None:
    """Replace predictions by their logarithms, and the derivatives accordingly.

    Nothing has no logarithm, nor what a solver's rounding leaves below it. A measured value is impossible there, and
    has no slope; one below a limit is certain, and stays so nearby.
    """
    with np.errstate(all="ignore"):
        f = found[0][:, at]
        none = intervals & (f < NOTHING)
        f = np.where(none, NOTHING, f)
        if len(found) == 1:
            f = np.maximum(f, 0.0)  # a simulated value there lies below any limit, not above all others as NaN does
        if len(found) > 1:
            relative = found[1][:, at] / f[..., None]
            relative[none] = 0.0
            found[1][:, at] = factor * relative
            if len(found) > 2:
                second = found[2][:, at] / f[..., None, None]
                second[none] = 0.0
                cross = relative[..., :, None] * relative[..., None, :]
                found[2][:, at] = factor * (second - cross)
        found[0][:, at] = np.log(f) if factor == 1 else factor * np.log(f)
