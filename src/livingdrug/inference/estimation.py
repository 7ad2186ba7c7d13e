"""Fit a statistical model to data: the one entrance to the estimators.

Example:
    >>> import numpy as np
    >>> from livingdrug.inference.closed_form import ClosedForm, symbols
    >>> from livingdrug.inference.data import EventData
    >>> from livingdrug.inference.residual import additive
    >>> from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
    >>> from livingdrug.model import lognormal
    >>> (level,) = symbols("level")
    >>> data = EventData.from_arrays(
    ...     ids=range(6),
    ...     subject=np.repeat(range(6), 3),
    ...     time=np.tile([1.0, 2.0, 3.0], 6),
    ...     value=np.repeat([8, 9, 10, 11, 12, 14.0], 3) + np.tile([-0.5, 0, 0.5], 6),
    ... )
    >>> model = StatisticalModel(
    ...     ClosedForm("level", level), {"level": Estimate(9.0, lognormal(0.3))}, Endpoint("value", additive(1.0))
    ... )
    >>> found = fit(model, data, "quadrature")
    >>> found.converged_, round(found.estimates_["level"], 2)
    (True, 10.49)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import FitError, InputError, unknown_name
from livingdrug.inference.checkpoint import Checkpoint
from livingdrug.inference.marginal import APPROXIMATIONS, approximate
from livingdrug.inference.modes import find_modes
from livingdrug.inference.nodes import AnyNodes, ClassNodes, importance_nodes, quadrature_nodes
from livingdrug.inference.predictions import deviations
from livingdrug.inference.problem import Problem
from livingdrug.inference.result import LIKELIHOODS, FitResult
from livingdrug.inference.saem import Saem, SaemSettings
from livingdrug.inference.search import search_approximation, search_nodes
from livingdrug.inference.uncertainty import (
    Uncertainty,
    of_approximation,
    of_nodes,
    reported,
    reported_errors,
    shrinkage,
)
from livingdrug.streams import seed_words

if TYPE_CHECKING:
    from livingdrug.inference.data import EventData
    from livingdrug.inference.statistical import StatisticalModel

__all__ = ["METHODS", "fit"]

Reals = NDArray[np.float64]

METHODS = ("saem", "focei", "foce", "fo", "laplace", "quadrature", "importance")
FAR = 0.15
"""Standard errors by which a Newton step may still move an estimate that counts as converged."""
FAR_SAMPLED = 0.3
"""The same for estimates that come from random draws."""
STORED_EVERY = 20
"""SAEM iterations between two checkpoints."""


@dataclass
class _Options:
    """What the caller of :func:`fit` asked for."""

    method: str
    seed: int
    nodes: int
    importance: int
    errors: str | None
    saem: SaemSettings
    deadline: float
    checkpoint: Checkpoint

    def late(self) -> bool:
        """Whether the time is up."""
        return time.monotonic() > self.deadline


@dataclass
class _Run:
    """One finished search."""

    theta: Reals
    finished: bool
    steps: int
    message: str
    minus2ll: float
    nodes: AnyNodes | None
    trace: Reals


def fit(
    model: StatisticalModel,
    data: EventData,
    method: str = "saem",
    *,
    seed: int = 0,
    starts: int = 1,
    nodes: int = 9,
    importance: int | None = None,
    standard_errors: str | None = "information",
    saem: SaemSettings | None = None,
    time_limit: float = math.inf,
    checkpoint: str | Path | None = None,
) -> FitResult:
    """Estimate the parameters of a mixed-effects model by maximum likelihood.

    Args:
        model: what is estimated.
        data: see :class:`livingdrug.inference.data.EventData`.
        method: ``saem``; ``focei``, ``foce``, ``fo``, ``laplace`` (approximations about the modes); ``quadrature``
            (exact for few effects); ``importance`` (Monte Carlo maximum likelihood).
        seed: of all random numbers; the same seed gives the same result, on one processor or more.
        starts: searches from different first guesses; the best is returned.
        nodes: of the quadrature in each direction.
        importance: points per subject of importance sampling (also for the likelihood after SAEM); 2000 for closed
            forms, 1000 for models that are solved.
        standard_errors: from ``information`` (second derivative), ``scores`` (products of the subjects' scores),
            ``sandwich`` (both), or None for none.
        saem: settings of SAEM; its seed is replaced by ``seed``.
        time_limit: seconds after which the search ends with what it has; the verdict says so.
        checkpoint: file to which the state is written now and then; if it exists, the fit goes on from there.

    Raises:
        InputError: a name, value or setting that cannot be used; data that do not fit the model.
        FitError: the first guesses give the data no likelihood.
    """
    if method not in METHODS:
        raise InputError(unknown_name("method", method, METHODS))
    seed_words(seed)
    if starts < 1 or not time_limit > 0:
        raise InputError(f"fit: starts must be at least 1 and time_limit positive, got {starts} and {time_limit}")
    if model.mixture is not None and method == "saem":
        raise InputError("fit: a mixture is not fitted by saem; take quadrature, importance, laplace or focei")
    began = time.monotonic()
    problem = model.problem(data)
    _check_start(problem)
    settings = _seeded(saem or SaemSettings(), seed)
    points = importance or (2000 if model.structure.exact_curvature else 1000)
    store = Checkpoint(checkpoint, problem, repr((method, settings, nodes, points, starts)))
    options = _Options(method, seed, nodes, points, standard_errors, settings, began + time_limit, store)
    try:
        runs = [
            _search(problem, theta, replace(options, checkpoint=store.numbered(k)))
            for k, theta in enumerate(_starts(problem, starts, seed))
        ]
        best = min(runs, key=lambda run: run.minus2ll if math.isfinite(run.minus2ll) else math.inf)
        return _finished(problem, best, options, tuple(run.minus2ll for run in runs), time.monotonic() - began)
    except np.linalg.LinAlgError as error:
        raise FitError(
            f"fit of {model.structure.name} by {method}: a matrix became singular ({error}); try other first guesses, "
            "fewer random effects, or method='saem'"
        ) from error


def _seeded(settings: SaemSettings, seed: int) -> SaemSettings:
    return replace(settings, seed=seed)


def _check_start(problem: Problem) -> None:
    loglik = problem.loglik(problem.theta[None], np.zeros((1, problem.subjects, problem.d)))[0]
    if not np.isfinite(loglik).all():
        who = problem.rows.data.ids[int(np.argmin(np.isfinite(loglik)))]
        raise FitError(
            f"the first guesses give subject {who!r} no likelihood: a prediction is not a number, or a residual "
            "deviation is zero where a prediction is zero (a proportional residual at a time before the dose?). "
            "Change the first guesses, the residual model or the data"
        )


def _starts(problem: Problem, count: int, seed: int) -> list[Reals]:
    """First guesses: the given one, then others around it."""
    random = np.random.Generator(np.random.Philox([seed, 3]))
    found = [problem.theta]
    while len(found) < count:
        theta = problem.theta.copy()
        theta[problem.free] += 0.5 * random.standard_normal(len(problem.free))
        loglik = problem.loglik(theta[None], np.zeros((1, problem.subjects, problem.d)))
        if np.isfinite(loglik).all():
            found.append(theta)
    return found


# -- searching --------------------------------------------------------------------------------------------------------
def _search(problem: Problem, theta: Reals, options: _Options) -> _Run:
    if options.method == "saem":
        return _run_saem(problem, theta, options)
    stored = options.checkpoint.read()
    start = theta if stored is None else stored["theta"]

    def stop(at: Reals, _value: float) -> bool:
        options.checkpoint.write({"theta": at})
        return options.late()

    if options.method in APPROXIMATIONS:
        found, nodes = search_approximation(problem, start, options.method, stop), None
    else:
        found, nodes = search_nodes(problem, start, _placer(problem, options), stop)
    return _Run(found.theta, found.finished, found.steps, found.message, found.minus2ll, nodes, np.zeros((0, 0)))


def _placer(problem: Problem, options: _Options) -> Callable[[Reals], AnyNodes]:
    def place(theta: Reals) -> AnyNodes:
        if options.method == "quadrature":
            return quadrature_nodes(problem, theta, options.nodes)
        return importance_nodes(problem, theta, options.importance, options.seed)

    return place


def _run_saem(problem: Problem, theta: Reals, options: _Options) -> _Run:
    run = Saem(problem, options.saem, theta.copy())
    stored = options.checkpoint.read()
    if stored is not None:
        run.take_up(stored)

    def keep() -> None:
        if run.iteration % STORED_EVERY == 0:
            options.checkpoint.write(run.to_state())

    done = run.run(options.late, keep)
    if not done:
        options.checkpoint.write(run.to_state())
    nodes = importance_nodes(problem, run.theta, options.importance, options.seed, run.guess(), run.posterior())
    value = -2 * float(nodes.loglik(run.theta).sum())
    message = "all iterations were done" if done else "stopped before the end"
    return _Run(run.theta, done, run.iteration, message, value, nodes, np.array(run.trace))


# -- finishing --------------------------------------------------------------------------------------------------------
def _finished(problem: Problem, run: _Run, options: _Options, starts: tuple[float, ...], seconds: float) -> FitResult:
    theta = run.theta
    uncertainty = _uncertainty(problem, run, options)
    chance = None if not isinstance(run.nodes, ClassNodes) else run.nodes.chances(theta)[1]
    if problem.classes > 1 and chance is None:
        chance = _class_chances(problem, theta, options.method)
    if chance is not None:
        problem = problem.with_classes(chance.argmax(axis=0))
    modes = find_modes(problem, theta[None], exact=problem.model.structure.exact_curvature)
    verdict, converged = _verdict(run, uncertainty, bool(modes.found.all()), options)
    covariance = None if uncertainty is None or options.errors is None else uncertainty.covariance
    f = problem.predict(theta[None], modes.eta).f
    weighted = ((problem.rows.value - f) / deviations(problem, theta, f))[0][problem.rows.points]
    kind = options.method if options.method != "saem" else "importance"
    return FitResult(
        problem=problem, method_=options.method, verdict_=verdict, converged_=converged,
        estimates_=reported(problem, theta),
        standard_errors_=None if covariance is None else reported_errors(problem, theta, covariance),
        theta_=theta, uncertainty_=uncertainty, minus2ll_=run.minus2ll,
        minus2ll_se_=0.0 if run.nodes is None else run.nodes.standard_error(theta),
        likelihood_=LIKELIHOODS[kind], eta_=modes.eta[0], shrinkage_=shrinkage(problem, theta, modes.eta[0]),
        residual_shrinkage_=1.0 - float(np.std(weighted)) if len(weighted) else math.nan,
        iterations_=run.steps, seconds_=seconds, seed_=options.seed, trace_=run.trace, starts_=starts,
        notes_=_notes(problem, theta, run, modes.found), nodes_=run.nodes, class_chances_=chance,
    )  # fmt: skip


def _class_chances(problem: Problem, theta: Reals, method: str) -> Reals:
    """Each subject's chance to belong to each class, shape (class, subject), by an approximation."""
    parts = [approximate(problem.with_classes(k), theta[None], method) for k in range(problem.classes)]
    terms = np.array([-0.5 * part.minus2ll[0] for part in parts]) + problem.log_shares(theta)[0][:, None]
    return np.exp(terms - np.logaddexp.reduce(terms, axis=0))


def _uncertainty(problem: Problem, run: _Run, options: _Options) -> Uncertainty | None:
    kind = options.errors or "information"
    if run.nodes is not None:
        return of_nodes(problem, run.nodes, run.theta, kind)
    return of_approximation(problem, run.theta, options.method, None, kind)


def _verdict(run: _Run, uncertainty: Uncertainty | None, modes_found: bool, options: _Options) -> tuple[str, bool]:
    """Whether the estimates are the maximum, in words."""
    against: list[str] = []
    if not run.finished:
        late = options.late()
        against.append("the time limit ended the search" if late else run.message)
    if not math.isfinite(run.minus2ll):
        against.append("the likelihood at the end is not a number")
    if not modes_found and options.method != "saem":
        against.append("the modes of some subjects were not found")
    if uncertainty is None or math.isnan(uncertainty.distance):
        against.append("the information matrix is not positive definite: the data do not determine every parameter")
    else:
        far = FAR_SAMPLED if options.method in {"saem", "importance"} else FAR
        if uncertainty.distance > far:
            against.append(
                f"a Newton step would move an estimate by another {uncertainty.distance:.2f} standard errors "
                f"(allowed {far:g})"
            )
    if against:
        return "Not converged: " + "; ".join(against) + ".", False
    assert uncertainty is not None
    return (
        f"Converged: a Newton step would move no estimate by more than {uncertainty.distance:.1g} standard errors and "
        f"lower -2 log likelihood by {max(uncertainty.gain, 0.0):.1g}.",
        True,
    )


def _notes(problem: Problem, theta: Reals, run: _Run, found: NDArray[np.bool_]) -> tuple[str, ...]:
    notes: list[str] = []
    if not found.all():
        notes.append(
            f"the modes of {int((~found).sum())} subjects lie at a kink of the predictions or were not found; "
            "individual values there are rough"
        )
    sd = np.sqrt(np.diag(problem.covariance(theta)))
    for block in problem.blocks:
        for j, name in enumerate(block.names):
            if sd[block.places[0][j]] < 1e-3:
                notes.append(f"the spread of {name!r} is next to nothing; leave it out")
    if run.nodes is not None and run.nodes.random:
        least = float(run.nodes.effective(theta).min())
        if least < 50:
            notes.append(
                f"importance sampling rests on {least:.0f} effective points in one subject; ask for more points"
            )
    notes += [*problem.notes, *problem.rows.data.notes]
    return tuple(notes)
