"""The posterior density of a statistical model's parameters and random effects, with its gradient.

Priors are normal and independent on the working scale (of logarithms and logits): a log-normal prior for a typical
value, a standard deviation or a residual. Each is stated by its middle, in the model's units, and its spread.

A sampler is quick where the density is round and the same everywhere. The effects of patients with many samples are
held by their data, those of patients with few by the population, and the scale of the latter is a parameter itself.
So each patient's effects are written as the mean that data and population would give them if the model were linear,
plus standard normal numbers times the deviation that it would give. The data's part is computed once, at the first
guesses. Whatever it is, the density is exact; only the speed depends on it (Papaspiliopoulos, Roberts and Skoeld 2007
on partial centring).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.modes import find_modes
from livingdrug.inference.problem import Problem
from livingdrug.inference.scales import to_working
from livingdrug.inference.vector import LOG_2PI

__all__ = ["Posterior", "Prior", "default_priors"]

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Prior:
    """A normal prior on the working scale.

    Attributes:
        middle: the median, in the model's units (of a spread: of the standard deviation, and among correlated effects
            of the part that the effects before it do not explain; of a coefficient, or of an element of the Cholesky
            factor beside its diagonal: as it is).
        spread: standard deviation on the working scale; of a logarithm, 0.7 means "within a factor of four".
    """

    middle: float
    spread: float

    def __post_init__(self) -> None:
        try:
            fine = math.isfinite(self.middle) and 0 < self.spread < math.inf
        except TypeError:
            fine = False
        if not fine:
            raise InputError(
                f"prior: middle must be a number and spread positive, got {self.middle!r}, {self.spread!r}"
            )


def default_priors(problem: Problem) -> dict[str, Prior]:
    """Weak priors about the first guesses, by name of the estimated entries.

    Typical values on a logarithmic or logit scale: spread 1; plain ones: their own size. Coefficients: 1. Standard
    deviations and residuals, as logarithms: 0.7. Covariances: half the first guess of the standard deviation.

    Example:
        >>> from livingdrug.inference.closed_form import ClosedForm, symbols
        >>> from livingdrug.inference.data import EventData
        >>> from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
        >>> from livingdrug.model import lognormal
        >>> data = EventData.from_arrays(ids=[1], subject=[0], time=[1.0], value=[2.0])
        >>> model = StatisticalModel(
        ...     ClosedForm("level", *symbols("level")), {"level": Estimate(3.0, lognormal(0.4))}, Endpoint("value")
        ... )
        >>> default_priors(Problem(model, data))["omega(level)"]
        Prior(middle=0.4, spread=0.7)
    """
    found = {}
    for entry in problem.free:
        name, start = problem.names[entry], float(problem.theta[entry])
        if entry < problem.betas:
            one = problem.model.estimates.get(name)
            plain = one is None or one.kind == "normal"
            size = max(abs(start), one.spread.sd if one.spread else 0.0, 1e-6) if one else 1.0
            found[name] = Prior(start if plain else one.value, size if plain else 1.0)  # type: ignore[union-attr]
        elif _is_logarithm(problem, name):
            found[name] = Prior(math.exp(start), 0.7)
        else:
            row = name.partition("(")[2].partition(",")[0]
            one = problem.model.estimates.get(row)
            found[name] = Prior(start, 0.5 * one.spread.sd if one and one.spread else 1.0)
    return found


def _is_logarithm(problem: Problem, name: str) -> bool:
    """Whether an entry after the typical values and coefficients is a logarithm."""
    entry = problem.names.index(name)
    if entry < problem.sigma[0].start:
        return name.startswith(("omega(", "gamma(")) and "," not in name
    if name.startswith("hazard:"):
        return name.startswith(("hazard:rate", "hazard:step")) or (
            name == "hazard:shape" and getattr(problem, "hazard").baseline == "weibull"  # noqa: B009
        )
    return not (name == "c" or name.endswith(":c"))


class Posterior:
    """Logarithm of the posterior density and its gradient.

    The point holds the estimated entries of theta, then the standard normal numbers of the subjects' effects.

    Args:
        problem: model and data.
        priors: by name; those not named are :func:`default_priors`.

    Raises:
        InputError: a mixture, an unknown prior, or a middle that its parameter cannot have.
    """

    def __init__(self, problem: Problem, priors: Mapping[str, Prior] | None = None) -> None:
        if problem.model.mixture is not None:
            raise InputError("bayes: mixtures are not supported; fit them by quadrature or laplace")
        self.problem, self.priors = problem, default_priors(problem)
        if not isinstance(priors or {}, Mapping):
            raise InputError(f"priors: give name -> Prior(middle, spread), got {priors!r}")
        for name, prior in (priors or {}).items():
            if name not in self.priors:
                raise InputError(unknown_name("prior", name, self.priors))
            if not isinstance(prior, Prior):
                raise InputError(f"prior of {name!r}: give a Prior(middle, spread), got {prior!r}")
            self.priors[name] = prior
        self.mean = np.array([self._working(name, prior.middle) for name, prior in self.priors.items()])
        self.sd = np.array([prior.spread for prior in self.priors.values()])
        self.size = len(self.mean) + problem.subjects * problem.d
        # measurements alone, and slopes that are not quotients: all that is needed comes from one prediction
        self.plain = type(problem) is Problem and not problem.remembers
        self.constant = float(problem.rows.constant.sum()) - 0.5 * problem.subjects * problem.d * LOG_2PI
        self.each, self.unit = np.arange(problem.d), np.eye(problem.d)
        self.shift = problem.shift.reshape(problem.subjects * problem.d, -1)
        self.half = np.tril(np.ones((problem.d, problem.d))) - 0.5 * self.unit
        self._see_data()

    def _working(self, name: str, middle: float) -> float:
        one = self.problem.model.estimates.get(name)
        if one is not None:
            low, high = {"lognormal": (0.0, math.inf), "normal": (-math.inf, math.inf)}.get(one.kind, one.limits)
            if not low < middle < high:
                raise InputError(f"prior of {name!r}: the middle must lie between {low:g} and {high:g}, got {middle!r}")
            return to_working(one, middle)
        if self.problem.names.index(name) >= self.problem.betas and _is_logarithm(self.problem, name):
            if middle <= 0:
                raise InputError(f"prior of {name!r}: the middle must be positive, got {middle!r}")
            return math.log(middle)
        return middle

    def _see_data(self) -> None:
        """What each subject's data say of its effects: their information and its product with the best values."""
        problem, row = self.problem, self.problem.theta[None]
        with np.errstate(all="ignore"):
            eta = find_modes(problem, row, most=50).eta
            found, _ = problem.inner(row, eta)
            centre = eta[0] + problem.shifts(row)[0]
            pull = found.gradient[0] + (found.information[0] @ centre[..., None])[..., 0]
        fine = np.isfinite(found.information[0]).all(axis=(1, 2)) & np.isfinite(pull).all(axis=1)
        self.known = np.where(fine[:, None, None], found.information[0], 0.0)
        self.pull = np.where(fine[:, None], pull, 0.0)

    # -- points -------------------------------------------------------------------------------------------------------
    def theta(self, point: Reals) -> Reals:
        """All entries of theta at a point."""
        theta = self.problem.theta.copy()
        theta[self.problem.free] = point[: len(self.mean)]
        return theta

    def start(self, random: np.random.Generator, size: float) -> Reals:
        """A point near the first guesses."""
        point = np.zeros(self.size)
        point[: len(self.mean)] = self.problem.theta[self.problem.free] + size * random.standard_normal(len(self.mean))
        return point

    def effects(self, point: Reals) -> Reals:
        """Random effects at a point, shape (subject, effect)."""
        row = self.theta(point)[None]
        inverse = self.problem.factors(row)[1][0]
        return self._at(self._normal(point), inverse.T @ inverse, self.problem.shifts(row)[0])[0]

    def _normal(self, point: Reals) -> Reals:
        return point[len(self.mean) :].reshape(self.problem.subjects, self.problem.d)

    def _at(self, z: Reals, precision: Reals, shift: Reals) -> tuple[Reals, Reals, Reals]:
        """Effects; what these are less the shift in the middle, and the inverse Cholesky factor of their precision."""
        inverse: Reals = np.asarray(np.linalg.inv(np.linalg.cholesky(self.known + precision)), np.float64)
        centre = _back(inverse, self.pull + shift @ precision)
        middle = _forth(inverse, centre) - shift
        return _forth(inverse, centre + z) - shift, middle, inverse

    # -- the density --------------------------------------------------------------------------------------------------
    def __call__(self, point: Reals) -> tuple[float, Reals]:
        """Logarithm of the density, up to a constant, and its gradient; -inf where it cannot be computed."""
        with np.errstate(all="ignore"):  # the sampler looks far away now and then
            try:
                value, gradient = self._density(point)
            except np.linalg.LinAlgError:
                return -math.inf, np.zeros(self.size)
        if not (math.isfinite(value) and np.isfinite(gradient).all()):
            return -math.inf, np.zeros(self.size)
        return value, gradient

    def _density(self, point: Reals) -> tuple[float, Reals]:
        problem, row, z = self.problem, self.theta(point)[None], self._normal(point)
        L, root = (part[0] for part in problem.factors(row))
        precision = root.T @ root
        eta, middle, inverse = self._at(z, precision, problem.shifts(row)[0])
        value, slope, score = self._measured(row, eta, L, root) if self.plain else self._asked(row, eta)
        away = (point[: len(self.mean)] - self.mean) / self.sd
        value += float(np.log(inverse[:, self.each, self.each]).sum()) - 0.5 * float(away @ away)
        by_z = _back(inverse, slope - eta @ precision)
        along = _forth(inverse, by_z) @ precision
        # the mean and the deviation of the effects move with the population
        moved = -(along.T @ middle @ precision + precision @ self._bend(inverse, by_z, z) @ precision)
        self._add(score, along, -(moved + moved.T) @ L, L)
        gradient = np.empty(self.size)
        gradient[: len(away)] = score[problem.free] - away / self.sd
        gradient[len(away) :] = by_z.ravel()
        return value, gradient

    def _asked(self, row: Reals, eta: Reals) -> tuple[float, Reals, Reals]:
        """Log density of data and effects, with slopes where effects plus shifts are held.

        Returns:
            The value; slopes of the data's part by effects; slopes by all entries of theta.
        """
        problem, eta = self.problem, eta[None]
        inner, found = problem.inner(row, eta)
        score = np.zeros(len(problem.names))
        score[problem.free] = problem.score(row, eta, found).sum(axis=(0, 1))
        value = float(inner.loglik.sum() + problem.log_prior(row, eta).sum())
        return value, inner.gradient[0], score

    def _measured(self, row: Reals, eta: Reals, L: Reals, inverse: Reals) -> tuple[float, Reals, Reals]:
        """The same from one prediction, at half the time; with the factor of the covariance and its inverse."""
        problem, score = self.problem, np.zeros(len(self.problem.names))
        found = problem.predict(row, eta[None], 1)
        assert found.first is not None
        value, slope = self.constant, np.empty_like(found.f)
        for k, at in enumerate(problem.endpoint_rows):
            t, _, g_f, _, g_s = problem.end_terms(k, at, found.f[:, at], row, order=1)
            slope[:, at] = t.f + t.g * g_f
            value += float(t.value.sum())
            for j, by in enumerate(g_s):
                score[problem.sigma[k].start + j] = float((t.g * by).sum())
        for b in problem.loose:
            p = problem.beta_parameter[b]
            score[b] = float((slope * found.first[..., p])[0] @ problem.design[problem.rows.unit, p, b])
        by_effects = problem.per_subject(slope[..., None] * problem.by_effects(found.first))[0]
        u = eta @ inverse.T
        v, diagonal = u @ inverse, L.diagonal()
        value -= 0.5 * float((u * u).sum()) + len(u) * float(np.log(diagonal).sum())
        self._add(score, v, v.T @ u - np.diag(len(u) / diagonal), L)
        return value, by_effects, score

    def _bend(self, inverse: Reals, by_z: Reals, z: Reals) -> Reals:
        """What a change dP of the precision does through its Cholesky factor L, summed over subjects (less its sign).

        dL = L tril(L^-1 dP L^-T), the diagonal halved; the effects move by L^-T z, the volume by the diagonal of L.
        """
        own = self.half * (z[:, :, None] * by_z[:, None, :] + self.unit)
        return (np.swapaxes(inverse, 1, 2) @ own @ inverse).sum(axis=0)

    def _add(self, score: Reals, by_shift: Reals, by_factor: Reals, L: Reals) -> None:
        """Add slopes by the shifts and by the Cholesky factor of the effects to those by theta."""
        score[self.problem.centred] += self.shift.T @ by_shift.ravel()
        row, column, entry, diagonal = self.problem.factor_entries
        by = by_factor[row, column]
        by[diagonal] *= L[row[diagonal], row[diagonal]]
        score += np.bincount(entry, by, len(score))


def _forth(inverse: Reals, z: Reals) -> Reals:
    """L^-T z of each subject, from the inverse of L."""
    return (z[:, None] @ inverse)[:, 0]


def _back(inverse: Reals, x: Reals) -> Reals:
    """L^-1 x of each subject."""
    return (inverse @ x[..., None])[..., 0]
