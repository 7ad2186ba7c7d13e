"""Fit a statistical model to data: the one entrance to the estimators.

After SAEM, importance samples give the likelihood, the errors and the verdict. Where they show that SAEM's own draws
ended beside the maximum, Newton steps over them go the rest of the way (Monte Carlo Newton-Raphson: Kuk and Cheng
1997), and a note says how far that was. Where they are poor, draws of the chains at the estimate take their place.

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
from livingdrug.inference.nodes import AnyNodes, ClassNodes, importance_nodes, joined, quadrature_nodes
from livingdrug.inference.predictions import deviations
from livingdrug.inference.problem import Problem
from livingdrug.inference.result import LIKELIHOODS, FitResult
from livingdrug.inference.saem import Saem, SaemSettings
from livingdrug.inference.search import (
    STOPPED,
    Found,
    Stop,
    lifted,
    search_approximation,
    search_nodes,
    spreads_at_border,
)
from livingdrug.inference.uncertainty import (
    Uncertainty,
    of_approximation,
    of_nodes,
    reported,
    reported_errors,
    shrinkage,
)
from livingdrug.inference.verdict import FEW_POINTS, judged, noted
from livingdrug.streams import seed_words

if TYPE_CHECKING:
    from livingdrug.inference.data import EventData
    from livingdrug.inference.statistical import StatisticalModel

__all__ = ["METHODS", "fit"]

Reals = NDArray[np.float64]

METHODS = ("saem", "focei", "foce", "fo", "laplace", "quadrature", "importance")
STORED_EVERY = 20
"""SAEM iterations between two checkpoints."""
DRAWS, ROUNDS, DOUBLED = 600, 100, 3
"""Draws of each subject after SAEM, for the errors; rounds of the chains for them at most; and how often both are
doubled while a Newton step is not well known."""
WELL_KNOWN = 0.1
"""Standard errors to which a Newton step is known well enough."""
SMALLEST, FARTHEST, NEWTON = 1e-4, 1.0, 6
"""Newton steps after SAEM: moves, in standard errors, below which none is worth while and above which SAEM itself has
not arrived; and how many there are at most."""
SHARES = (1.0, 0.5, 0.25)
"""Of a Newton step that are tried: draws that know a direction badly make a whole one too long."""
SURELY = 3.0
"""Standard errors of its own, from the draws of the nodes, that such a move must have to be taken."""
WORTH = 1e-3
"""Gain of -2 log likelihood for which a second search is taken instead of the first."""
STOPPED_POINTS = 50
"""Points per subject of importance sampling after a search that the time limit ended: its numbers are no estimates."""
POINTS, PREDICTED = (500, 2000, 32_000), (1_200_000, 40_000_000)
"""Points per subject of importance sampling of closed forms: fewest, usual, most. More than usual where all are no more
than the first number of predictions, fewer where they would be more than the second."""


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
    uncertainty: Uncertainty | None = None
    moved: tuple[str, ...] = ()


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
        importance: points per subject of importance sampling (also for likelihood and errors after SAEM); if None,
            1000 for models that are solved, and 500 to 32000 for closed forms, many where data are few.
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
    began = time.monotonic()
    problem = model.problem(data)
    _check_start(problem)
    settings = _seeded(saem or SaemSettings(), seed)
    points = importance or _points(problem)
    store = Checkpoint(checkpoint, problem, repr((method, settings, nodes, points, starts)))
    options = _Options(method, seed, nodes, points, standard_errors, settings, began + time_limit, store)
    try:
        with np.errstate(all="ignore"):  # what a step too far gives is no number, and is refused as such
            runs = [
                _search(problem, theta, replace(options, checkpoint=store.numbered(k)))
                for k, theta in enumerate(_starts(problem, starts, seed))
            ]
            best = min(runs, key=lambda run: run.minus2ll if math.isfinite(run.minus2ll) else math.inf)
            return _finished(problem, best, options, tuple(run.minus2ll for run in runs), time.monotonic() - began)
    except np.linalg.LinAlgError as error:
        raise FitError(
            f"fit of {model.structure.name} by {method}: a matrix became singular ({error}); try other first guesses, "
            f"fewer random effects{'' if method == 'saem' else ', or method=' + repr('saem')}"
        ) from error


def _points(problem: Problem) -> int:
    """Points of importance sampling, as many as time and memory allow."""
    if not problem.model.structure.exact_curvature:
        return 1000
    fewest, usual, most = POINTS
    rows = len(problem.rows.time)
    return min(max(PREDICTED[0] // rows, min(usual, max(PREDICTED[1] // rows, fewest))), most)


def _seeded(settings: SaemSettings, seed: int) -> SaemSettings:
    return replace(settings, seed=seed)


def _check_start(problem: Problem) -> None:
    with np.errstate(all="ignore"):
        loglik = problem.loglik(problem.theta[None], np.zeros((1, problem.subjects, problem.d)))[0]
    if not np.isfinite(loglik).all():
        who = problem.rows.data.ids[int(np.argmin(np.isfinite(loglik)))]
        raise FitError(
            f"the first guesses give subject {who!r} no likelihood: a prediction is not a number or has no logarithm "
            "(is there a dose before it?), or a residual deviation is zero where a prediction is zero (a proportional "
            "residual at a time before the dose?). Change the first guesses, the residual model or the data"
        )
    between = range(problem.betas, problem.sigma[0].start)
    if problem.subjects == 1 and np.isin(problem.free, between).any():
        raise FitError(
            "one subject cannot tell how subjects differ; hold the spreads (fixed_spread=True), or fit more subjects"
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
    start, lowest = theta if stored is None else stored["theta"], math.inf

    def stop(at: Reals, value: float) -> bool:
        nonlocal lowest
        if value < lowest:
            lowest = value
            options.checkpoint.write({"theta": at})
        return options.late()

    if options.method in APPROXIMATIONS:
        found, nodes = _search_modes(problem, start, options.method, stop), None
    else:
        found, nodes = _search_nodes(problem, start, options, stop)
    return _Run(found.theta, found.finished, found.steps, found.message, found.minus2ll, nodes, np.zeros((0, 0)))


def _search_modes(problem: Problem, start: Reals, method: str, stop: Stop) -> Found:
    """Search by an approximation; where a spread ends as nothing, once more with that lifted, and take the better."""
    first = search_approximation(problem, start, method, stop)
    if not spreads_at_border(problem, first.theta).any():
        return first
    again = search_approximation(problem, lifted(problem, first.theta), method, stop)
    best = again if again.minus2ll < first.minus2ll - WORTH else first
    return best if again.message != STOPPED else replace(best, finished=False, message=STOPPED)


def _search_nodes(problem: Problem, start: Reals, options: _Options, stop: Stop) -> tuple[Found, AnyNodes]:
    """Search over nodes; where that gets stuck, once more from where Laplace's approximation ends, and take the better.

    Nodes pin the typical value of an effect whose spread is nothing, wherever it stands then; modes do not.
    """
    place = _placer(problem, options)
    first = search_nodes(problem, start, place, stop)
    stuck = not first[0].finished or spreads_at_border(problem, first[0].theta).any()
    if not stuck or options.late():
        return first
    laplace = _search_modes(problem, start, "laplace", lambda _at, _value: options.late())
    again = search_nodes(problem, laplace.theta, place, stop)
    return min(first, again, key=lambda one: one[0].minus2ll)


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
    theta, trace = run.estimate(), run.course()
    points = options.importance if done else min(options.importance, STOPPED_POINTS)
    nodes = importance_nodes(problem, theta, points, options.seed, run.chains.guess(), run.posterior())
    nodes, draws, uncertainty = _known(run, theta, nodes, options, done=done)
    found = _sharpened(problem, theta, draws, uncertainty, options) if done else (theta, uncertainty)
    message = "all iterations were done" if done else "stopped before the end"
    value = -2 * float(nodes.loglik(found[0]).sum())
    if done:
        trace[-1] = found[0]
    moved = () if found[0] is theta else (_moved(uncertainty),)
    return _Run(found[0], done, run.iteration, message, value, nodes, trace, found[1], moved)


def _moved(before: Uncertainty) -> str:
    return (
        f"the draws of SAEM ended {before.distance:.2g} standard errors from these estimates (most of all "
        f"{before.farthest}); Newton steps over importance samples or draws at its end went the rest"
    )


def _known(
    run: Saem, theta: Reals, nodes: AnyNodes, options: _Options, *, done: bool
) -> tuple[AnyNodes, AnyNodes, Uncertainty]:
    """Nodes of the likelihood, nodes that know where its maximum is, and what they say.

    These are the same where importance sampling is good; else the second are the chains' own draws at the estimate, as
    many as make a Newton step known well enough. A search that was ended is not looked into any further.
    """
    kind = options.errors or "information"
    found = of_nodes(run.problem, nodes, theta, kind)
    if not done or (found.noise < WELL_KNOWN and nodes.effective(theta).min() >= FEW_POINTS):
        return nodes, nodes, found
    rounds = min(-(-DRAWS // len(run.chains.place.centred)), ROUNDS)
    draws = run.chains.nodes(theta, rounds)
    found = of_nodes(run.problem, draws, theta, kind)
    for _ in range(DOUBLED):
        if options.late() or _well_known(found):
            break
        draws, rounds = joined(draws, run.chains.nodes(theta, rounds)), 2 * rounds
        found = of_nodes(run.problem, draws, theta, kind)
    return nodes, draws, found


def _well_known(found: Uncertainty) -> bool:
    """Whether more draws would change no verdict: the step is surely too far, or is known well."""
    return found.distance - 2 * found.noise > FARTHEST or found.noise < WELL_KNOWN


def _sharpened(
    problem: Problem, theta: Reals, nodes: AnyNodes, found: Uncertainty, options: _Options
) -> tuple[Reals, Uncertainty]:
    """Newton steps over nodes that are held, if these show surely that SAEM is not at the maximum."""
    value, enough = nodes.loglik(theta).sum(), max(SMALLEST, 0.1 * found.noise)
    if not found.distance > SURELY * found.noise:
        return theta, found
    for _ in range(NEWTON):
        if found.step is None or not enough < found.distance < FARTHEST or options.late():
            break
        for share in SHARES:
            near = theta.copy()
            near[problem.free] += share * found.step
            gained = nodes.loglik(near).sum()
            if gained > value:
                break
        else:
            break
        theta, value, found = near, gained, of_nodes(problem, nodes, near, found.kind)
    return theta, found


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
    against, sampled = _against(run, bool(modes.found.all()), options), options.method in {"saem", "importance"}
    verdict, converged = judged(problem, theta, uncertainty, against, sampled=sampled, nodes=run.nodes is not None)
    covariance = None if options.errors is None else uncertainty.covariance
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
        residual_shrinkage_=_residual_shrinkage(weighted),
        iterations_=run.steps, seconds_=seconds, seed_=options.seed, trace_=run.trace, starts_=starts,
        notes_=(*run.moved, *noted(problem, theta, run.nodes, modes.found)), nodes_=run.nodes, class_chances_=chance,
    )  # fmt: skip


def _residual_shrinkage(weighted: Reals) -> float:
    """1 - standard deviation of the weighted residuals; not a number where no row is a point."""
    known = weighted[np.isfinite(weighted)]
    return 1.0 - float(np.std(known)) if len(known) else math.nan


def _class_chances(problem: Problem, theta: Reals, method: str) -> Reals:
    """Each subject's chance to belong to each class, shape (class, subject), by an approximation."""
    parts = [approximate(problem.with_classes(k), theta[None], method) for k in range(problem.classes)]
    terms = np.array([-0.5 * part.minus2ll[0] for part in parts]) + problem.log_shares(theta)[0][:, None]
    return np.exp(terms - np.logaddexp.reduce(terms, axis=0))


def _uncertainty(problem: Problem, run: _Run, options: _Options) -> Uncertainty:
    kind = options.errors or "information"
    if run.uncertainty is not None:
        return run.uncertainty
    if run.nodes is not None:
        return of_nodes(problem, run.nodes, run.theta, kind)
    return of_approximation(problem, run.theta, options.method, None, kind)


def _against(run: _Run, modes_found: bool, options: _Options) -> list[str]:
    """What the search itself says against its end."""
    against: list[str] = []
    if not run.finished:
        against.append("the time limit ended the search" if options.late() else run.message)
    if not math.isfinite(run.minus2ll):
        against.append("the likelihood at the end is not a number")
    if not modes_found and options.method != "saem":
        against.append("the modes of some subjects were not found")
    return against
