"""What a fit returns: estimates with their errors, likelihood, individual values, a verdict, and a printed summary."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.inference.nodes import AnyNodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.statistical import REFERENCE
from livingdrug.inference.uncertainty import Uncertainty, as_table, condition_number
from livingdrug.inference.vector import LOG_2PI

__all__ = ["FitResult"]

Reals = NDArray[np.float64]

LIKELIHOODS = {
    "fo": "FO (model linear in the effects about zero)",
    "foce": "FOCE without interaction",
    "focei": "FOCEI (first-order conditional, with interaction)",
    "laplace": "Laplace (exact curvature)",
    "quadrature": "adaptive Gauss-Hermite quadrature",
    "importance": "importance sampling",
}
SURE = 0.9
"""Chance from which a subject is said to belong to a class of a mixture for sure."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """A fitted model.

    Attributes:
        method_: estimator.
        verdict_: ``converged``, or what speaks against it, in words.
        converged_: whether nothing does.
        estimates_: name -> value in the model's units: typical values, coefficients, ``sd(...)`` of effects,
            correlations, residual parameters.
        standard_errors_: the same names -> standard error; None where they could not be had.
        theta_: all entries on the working scale, and ``free_`` those that were estimated.
        covariance_: of the free entries, on the working scale.
        minus2ll_: -2 log likelihood with all constants, and ``minus2ll_se_`` its standard error from sampling.
        likelihood_: how it was computed.
        eta_: individual modes of the effects, shape (subject, effect).
        trace_: working parameters by iteration, shape (iteration, entry); empty where the method has none.
        starts_: -2 log likelihood of every start.
        notes_: what else the reader should know.
        class_chances_: of a mixture: each subject's chance to belong to each class, shape (class, subject). Individual
            values are those of the likeliest class.
    """

    problem: Problem
    method_: str
    verdict_: str
    converged_: bool
    estimates_: Mapping[str, float]
    standard_errors_: Mapping[str, float] | None
    theta_: Reals
    uncertainty_: Uncertainty | None
    minus2ll_: float
    minus2ll_se_: float
    likelihood_: str
    eta_: Reals
    shrinkage_: Mapping[str, float]
    residual_shrinkage_: float
    iterations_: int
    seconds_: float
    seed_: int
    trace_: Reals = field(default_factory=lambda: np.zeros((0, 0)))
    starts_: tuple[float, ...] = ()
    notes_: tuple[str, ...] = ()
    nodes_: AnyNodes | None = None
    class_chances_: Reals | None = None

    @property
    def classes_(self) -> dict[str, int]:
        """Of a mixture: class -> subjects of whom it is the likeliest, ``reference`` first; empty without classes."""
        mixture = self.problem.model.mixture
        if mixture is None or self.class_chances_ is None:
            return {}
        names = (REFERENCE, *mixture.shifts)
        counts = np.bincount(self.class_chances_.argmax(axis=0), minlength=len(names)).tolist()
        return dict(zip(names, counts, strict=True))

    # -- likelihood ---------------------------------------------------------------------------------------------------
    @property
    def free_(self) -> tuple[str, ...]:
        """Names of the estimated entries of theta."""
        return tuple(self.problem.names[k] for k in self.problem.free)

    @property
    def covariance_(self) -> Reals | None:
        """Covariance of the estimated entries, on the working scale."""
        return None if self.uncertainty_ is None else self.uncertainty_.covariance

    @property
    def condition_number_(self) -> float:
        """Of the correlations of the estimates; not a number where there is no covariance."""
        return math.nan if self.covariance_ is None else condition_number(self.covariance_)

    @property
    def objective_(self) -> float:
        """NONMEM's objective: -2 log likelihood without ln(2 pi) of each row that is a point."""
        return self.minus2ll_ - self.points_ * LOG_2PI

    @property
    def points_(self) -> int:
        """Rows that are points; the others count by the chance of an interval."""
        return int(self.problem.rows.points.sum())

    @property
    def aic_(self) -> float:
        """-2 log likelihood + 2 for each estimated parameter."""
        return self.minus2ll_ + 2 * len(self.problem.free)

    def bic_(self, counting: str = "mixed") -> float:
        """-2 log likelihood + a logarithm for each estimated parameter.

        Args:
            counting: of what the logarithm is taken: ``subjects`` (Monolix's BIC), ``observations`` (nlme's), or
                ``mixed``: subjects for parameters with random effects and for spreads, observations for the others
                (Delattre et al. 2014, Monolix's BICc).
        """
        rows, subjects = len(self.problem.rows.time), self.problem.subjects
        free = self.problem.free
        between = np.isin(free, self.problem.centred) | (
            (free >= self.problem.betas) & (free < self.problem.sigma[0].start)
        )
        by_subject = {"subjects": len(free), "observations": 0, "mixed": int(between.sum())}
        if counting not in by_subject:
            from livingdrug.errors import InputError, unknown_name

            raise InputError(unknown_name("counting rule", counting, by_subject))
        few = by_subject[counting]
        return self.minus2ll_ + few * math.log(subjects) + (len(free) - few) * math.log(rows)

    # -- tables -------------------------------------------------------------------------------------------------------
    def to_frame(self) -> Any:
        """Return estimates, standard errors and relative standard errors as a pandas table."""
        return as_table(self)

    def individual_parameters(self) -> Any:
        """Return each unit's parameters at the modes as a pandas table (a unit is a subject, or one occasion of it)."""
        from livingdrug.inference.predictions import individual_parameters

        return individual_parameters(self)

    def predictions(self) -> Any:
        """Return DV, PRED, IPRED, IRES and IWRES of every row as a pandas table."""
        from livingdrug.inference.predictions import predictions

        return predictions(self)

    def eta_samples(self, count: int = 100, *, seed: int = 0) -> Reals:
        """Draw effects of each subject from their distribution given the data, shape (draw, subject, effect)."""
        from livingdrug.inference.predictions import eta_samples

        return eta_samples(self, count, seed)

    def simulate(self, replicates: int = 1, *, seed: int = 0) -> Reals:
        """Simulate new subjects with the same designs, shape (replicate, row), on the endpoints' scales."""
        from livingdrug.inference.predictions import simulate

        return simulate(self, replicates, seed)

    # -- words --------------------------------------------------------------------------------------------------------
    def summary(self) -> str:
        """Return the printed summary."""
        return "\n".join([*self._heading(), *self._estimates(), *self._rest()]) + "\n"

    def __str__(self) -> str:
        return self.summary()

    def _heading(self) -> list[str]:
        rows, problem = self.problem.rows, self.problem
        mark = "CONVERGED" if self.converged_ else "NOT CONVERGED"
        censored = len(rows.time) - self.points_
        methods = sorted({f"{e.output}: {e.blq}" for e in problem.model.ends})
        error = f" (standard error {self.minus2ll_se_:.3f})" if self.minus2ll_se_ else ""
        return [
            f"{problem.model.structure.name}: {self.method_.upper()}, {mark}",
            f"  {self.verdict_}",
            "",
            f"  subjects {problem.subjects}, observations {len(rows.time)}, of them by the chance of an interval "
            f"{censored} (method for values below the limit: {', '.join(methods)})",
            f"  -2 log likelihood {self.minus2ll_:.4f}{error} by {self.likelihood_}",
            f"  objective without ln(2 pi) of {self.points_} points {self.objective_:.4f} (as NONMEM prints it)",
            f"  AIC {self.aic_:.2f}; BIC {self.bic_('mixed'):.2f} (mixed count), {self.bic_('subjects'):.2f} "
            f"(subjects), {self.bic_('observations'):.2f} (observations)",
            "",
        ]

    def _estimates(self) -> list[str]:
        errors = self.standard_errors_ or {}
        word = "estimate" if self.converged_ else "last value"
        lines = [f"  {'parameter':<34}{word:>14}{'SE':>12}{'RSE %':>9}"]
        held = self.held_
        for name, value in self.estimates_.items():
            if name in held:
                continue
            se = errors.get(name, math.nan)
            if math.isnan(se):
                tail = f"{'-':>12}{'-':>9}"
            else:
                tail = f"{se:>12.4g}{100 * se / abs(value) if value else math.nan:>9.1f}"
            lines.append(f"  {name:<34}{value:>14.6g}{tail}")
        words = "held, taken for known: " + ", ".join(f"{name} {value:.6g}" for name, value in held.items())
        return [*lines, *(textwrap.wrap(words, 110, initial_indent="  ", subsequent_indent="    ") if held else []), ""]

    @property
    def held_(self) -> dict[str, float]:
        """Values that were not estimated, by name."""
        errors, free = self.standard_errors_ or {}, set(self.problem.free.tolist())
        numbers = {name for b, name in enumerate(self.problem.names[: self.problem.betas]) if b not in free}
        return {name: value for name, value in self.estimates_.items() if name in numbers or errors.get(name) == 0}

    def _rest(self) -> list[str]:
        shrunk = ", ".join(f"{name} {_percent(value)}" for name, value in self.shrinkage_.items())
        residual = "not known (no row is a point)" if math.isnan(self.residual_shrinkage_) else ""
        residual = residual or _percent(self.residual_shrinkage_)
        known = self.uncertainty_ is not None and self.standard_errors_ is not None
        kind = self.uncertainty_.kind if known and self.uncertainty_ is not None else "none"
        lines = [
            f"  shrinkage of effects: {shrunk}; of residuals {residual}",
            f"  standard errors from: {kind}; condition number {self.condition_number_:.3g}",
            f"  iterations {self.iterations_}, {self.seconds_:.1f} s, seed {self.seed_}",
        ]
        if self.class_chances_ is not None:
            belong = ", ".join(f"{name} {subjects}" for name, subjects in self.classes_.items())
            unsure = int((self.class_chances_.max(axis=0) < SURE).sum())
            lines.append(
                f"  classes: {belong} (subjects by their likeliest class; less than {_percent(SURE)} sure for {unsure})"
            )
        if len(self.starts_) > 1:
            lines.append("  -2 log likelihood of the starts: " + ", ".join(f"{v:.3f}" for v in self.starts_))
        return [*lines, *(f"  note: {note}" for note in self.notes_), "  Not for clinical use."]


def _percent(share: float) -> str:
    return "not known" if math.isnan(share) else f"{100 * share:.0f} %"
