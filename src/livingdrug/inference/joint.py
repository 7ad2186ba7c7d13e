"""Joint models: kinetics and the time to an event that follows exposure, fitted at once by the same estimators.

Fitting kinetics first and then a hazard to the individual modes is biased in two ways: modes are shrunken and
uncertain, so the association is distorted; and patients who drop out with their event leave shorter courses, so that
kinetics are biased too. In a joint fit each patient's effects enter both likelihoods.

Example:
    >>> from livingdrug.inference.closed_form import ClosedForm, symbols
    >>> from livingdrug.inference.estimation import fit
    >>> from livingdrug.inference.residual import additive
    >>> from livingdrug.inference.statistical import Endpoint, Estimate
    >>> from livingdrug.model import normal
    >>> (level,) = symbols("level")
    >>> data = EventData.from_arrays(
    ...     ids=range(8), subject=np.repeat(range(8), 2), time=np.tile([1.0, 2.0], 8),
    ...     value=np.repeat([0, 1, 2, 3, 4, 5, 6, 7.0], 2) + np.tile([-0.5, 0.5], 8),
    ... )
    >>> model = JointModel(
    ...     ClosedForm("level", level), {"level": Estimate(3.0, normal(2.0))}, Endpoint("value", additive(0.5)),
    ...     hazard=Hazard(Exposure("value"), "exponential"),
    ...     events=Events([30, 9, 14, 5, 3, 4, 1.5, 1], [0, 1, 1, 1, 1, 1, 1, 1]),
    ... )
    >>> found = fit(model, data, "quadrature")
    >>> found.converged_, found.estimates_["hazard:association"] > 0
    (True, True)
"""  # fmt: skip

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.data import EventData
from livingdrug.inference.joint_hazard import Events, Exposure, Hazard, Mesh, make_mesh
from livingdrug.inference.problem import Inner, Predicted, Problem
from livingdrug.inference.residual import additive
from livingdrug.inference.statistical import Endpoint, StatisticalModel

if TYPE_CHECKING:
    from livingdrug.inference.result import FitResult

__all__ = ["Events", "Exposure", "Hazard", "JointModel", "JointProblem", "TwoStage", "baseline", "two_stage"]

Reals = NDArray[np.float64]

REMEMBERED = 8
"""Courses at the times of the hazard that are kept, since estimators ask for the same ones again."""


@dataclass(frozen=True)
class JointModel(StatisticalModel):
    """A statistical model of what is measured, with a hazard that follows exposure.

    It is fitted by :func:`livingdrug.inference.estimation.fit` like any other (not by FO, FOCE or FOCEI, which know
    measurements only).

    Attributes:
        hazard: of the event.
        events: when each subject of the data had it.
    """

    hazard: Hazard | None = None
    events: Events | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.hazard is None or self.events is None:
            raise InputError("a joint model needs a hazard and the events of the subjects")
        if self.hazard.exposure.output not in self.structure.outputs:
            output = self.hazard.exposure.output
            raise InputError(unknown_name("output", output, self.structure.outputs, place="exposure"))
        if self.by_occasion or self.mixture is not None:
            raise InputError("a joint model with occasions or a mixture is not supported; leave them out")

    def problem(self, data: EventData) -> JointProblem:
        """Join the model with data."""
        return JointProblem(self, data)


class _Course(Problem):
    """The exposure's output at the times of the hazard; it need not depend on every parameter."""

    def _check_informed(self) -> None:
        return


@dataclass(frozen=True)
class _Risk:
    """The hazard at its nodes for some effects; shapes (chain, node), (chain, node, effect or parameter), ..."""

    log_hazard: Reals
    by_baseline: Reals
    x: Reals
    first: Reals | None
    second: Reals | None


class JointProblem(Problem):
    """A joint model with its data: the hazard's entries stand last in theta."""

    def __init__(self, model: JointModel, data: EventData) -> None:
        from scipy.sparse import csr_matrix

        super().__init__(model, data)
        assert model.hazard is not None
        assert model.events is not None
        self.hazard, self.events = model.hazard, model.events
        if len(self.events.time) != self.subjects:
            raise InputError(f"events are given for {len(self.events.time)} subjects; the data hold {self.subjects}")
        self.mesh = make_mesh(self.events, self.hazard)
        self.course = _Course(_course_model(model), _course_data(data, self.mesh, self.hazard.exposure.output))
        names, start = self.hazard.start(self.events, self.mesh.steps)
        self.hazards = slice(len(self.names), len(self.names) + len(names))
        self.baselines = len(names) - 1 - len(self.hazard.covariates)
        self.names += names
        self.theta = np.concatenate([self.theta, start])
        self.free = np.concatenate([self.free, np.arange(self.hazards.start, self.hazards.stop)])
        columns = [_column(data, name)[self.mesh.node_subject] for name in self.hazard.covariates]
        self.columns = np.array(columns).reshape(len(columns), len(self.mesh.node)).T
        nodes = np.arange(len(self.mesh.node))
        self.sums = csr_matrix((np.ones(len(nodes)), (self.mesh.node_subject, nodes)), (self.subjects, len(nodes)))
        self.last = np.zeros((1, self.subjects, self.d))
        self.kept: OrderedDict[Any, list[Reals]] = OrderedDict()

    def other_values(self, theta: Reals) -> dict[str, float]:
        """The hazard's values by name; the masses of a free baseline are left to :func:`baseline`."""
        found = {}
        for name, value in zip(self.names[self.hazards], theta[self.hazards], strict=True):
            logarithm = name == "hazard:rate" or (name == "hazard:shape" and self.hazard.baseline == "weibull")
            if not name.startswith("hazard:step"):
                found[name] = float(math.exp(value) if logarithm else value)
        return found

    # -- the hazard at its nodes --------------------------------------------------------------------------------------
    def _exposure(self, theta: Reals, eta: Reals, order: int, wanted: Any = None) -> list[Reals]:
        """Exposure at the nodes on its scale, with derivatives by all parameters on their own scales."""
        phi = self.course.working_parameters(theta, eta)
        key = (order, None if wanted is None else tuple(wanted), phi.shape, phi.tobytes())
        if key not in self.kept:
            found = self.course.predict(theta, eta, order, wanted)
            parts = [part for part in (found.f, found.first, found.second) if part is not None][: order + 1]
            raw = self.mesh.exposed(self.hazard.exposure.measure, parts)
            x, by, twice = self.hazard.exposure.scaled(raw[0])
            scaled = [x]
            if order:
                scaled.append(raw[1] * by[..., None])
            if order > 1:
                cross = raw[1][..., :, None] * raw[1][..., None, :]
                scaled.append(raw[2] * by[..., None, None] + cross * twice[..., None, None])
            self.kept[key] = scaled
            if len(self.kept) > REMEMBERED:
                self.kept.popitem(last=False)
        return self.kept[key]

    def risk(self, theta: Reals, eta: Reals, order: int = 0, wanted: Any = None) -> _Risk:
        """The log hazard at the nodes, and the exposure's derivatives by the parameters."""
        found = self._exposure(theta, eta, order, wanted)
        working = theta[:, self.hazards]
        base, by_baseline = self.hazard.baseline_slopes(working[:, : self.baselines], self.mesh)
        total = base + working[:, self.baselines, None] * found[0]
        if self.columns.size:
            total = total + working[:, self.baselines + 1 :] @ self.columns.T
        padded = [*found, None, None]
        return _Risk(np.clip(total, -700.0, 700.0), by_baseline, found[0], padded[1], padded[2])

    def by_node_subject(self, by_node: Reals) -> Reals:
        """Sums over the nodes of each subject, along axis 1."""
        first = np.moveaxis(by_node, 1, 0)
        summed = self.sums @ first.reshape(len(first), -1)
        return np.moveaxis(summed.reshape(self.subjects, *first.shape[1:]), 0, 1)

    def event_loglik(self, theta: Reals, eta: Reals) -> Reals:
        """Logarithm of the chance density of each subject's event or its absence, shape (chain, subject)."""
        log_hazard = self.risk(theta, eta).log_hazard
        terms = self.mesh.event * log_hazard - self.mesh.weight * np.exp(log_hazard)
        return np.nan_to_num(self.by_node_subject(terms), nan=-np.inf)

    def event_score(self, theta: Reals, eta: Reals) -> Reals:
        """Its derivative by the hazard's entries, effects held, shape (chain, subject, entry)."""
        risk = self.risk(theta, eta)
        surplus = self.mesh.event - self.mesh.weight * np.exp(risk.log_hazard)
        found = np.empty((len(surplus), self.subjects, self.hazards.stop - self.hazards.start))
        if self.mesh.steps:  # each mass of a free baseline has one node of each subject
            found[..., : self.baselines] = 0.0
            found[:, self.mesh.node_subject, self.mesh.step] = surplus
        else:
            found[..., : self.baselines] = self.by_node_subject(surplus[..., None] * risk.by_baseline)
        found[..., self.baselines :] = self.by_node_subject(surplus[..., None] * self._drivers(risk))
        return found

    def _drivers(self, risk: _Risk) -> Reals:
        """Exposure and covariates of the hazard at its nodes, shape (chain, node, entry)."""
        columns = np.broadcast_to(self.columns, (*risk.x.shape, self.columns.shape[1]))
        return np.concatenate([risk.x[..., None], columns], axis=-1)

    def _event_information(self, risk: _Risk, others: Reals) -> Reals:
        """Information of the events about the baseline and other slopes of the log hazard, mean over the chains."""
        pull = self.mesh.weight * np.exp(risk.log_hazard)
        if not self.mesh.steps:
            base = np.broadcast_to(risk.by_baseline, (*pull.shape, self.baselines))
            by = np.concatenate([base, others], axis=-1)
            return np.einsum("kn,kni,knj->ij", pull, by, by) / len(pull)
        mean = pull.mean(axis=0)
        mixed = np.einsum("kn,kni->ni", pull, others) / len(pull)
        cross = np.zeros((self.mesh.steps, others.shape[-1]))
        np.add.at(cross, self.mesh.step, mixed)
        own = np.diag(np.bincount(self.mesh.step, mean, minlength=self.mesh.steps))
        rest = np.einsum("kn,kni,knj->ij", pull, others, others) / len(pull)
        return np.block([[own, cross], [cross.T, rest]])

    # -- what estimators ask for --------------------------------------------------------------------------------------
    def loglik(self, theta: Reals, eta: Reals, f: Reals | None = None) -> Reals:
        """Logarithm of the density of each subject's measurements and event given its effects."""
        return super().loglik(theta, eta, f) + self.event_loglik(theta, eta)

    def inner(
        self, theta: Reals, eta: Reals, *, exact: bool = False, at_zero: Reals | None = None
    ) -> tuple[Inner, Predicted]:
        """Likelihood, gradient and information by the random effects; the exposure's bend counts if ``exact``."""
        found, predicted = super().inner(theta, eta, exact=exact, at_zero=at_zero)
        risk = self.risk(theta, eta, 2 if exact else 1)
        assert risk.first is not None
        G, a = self.course.by_effects(risk.first), theta[:, self.hazards][:, self.baselines, None]
        pull = self.mesh.weight * np.exp(risk.log_hazard)
        surplus = self.mesh.event - pull
        loglik = np.nan_to_num(self.by_node_subject(self.mesh.event * risk.log_hazard - pull), nan=-np.inf)
        gradient = self.by_node_subject((a * surplus)[..., None] * G)
        information = self.by_node_subject((a**2 * pull)[..., None, None] * G[..., :, None] * G[..., None, :])
        hessian = found.hessian
        if hessian is not None and risk.second is not None:
            bend = (a * surplus)[..., None, None] * self.course._twice(risk.second)
            hessian = hessian - information + self.by_node_subject(bend)
        whole = Inner(found.loglik + loglik, found.gradient + gradient, found.information + information, hessian)
        return whole, predicted

    def score(self, theta: Reals, eta: Reals, predicted: Predicted | None = None) -> Reals:
        """Derivative of log p(data, event, effects) by the free entries of theta."""
        self.last = eta
        result = super().score(theta, eta, predicted)
        result[..., self._free_places(self.hazards)] += self.event_score(theta, eta)
        by_loose, entries = self._loose_slopes(theta, eta)
        if len(entries):
            result[..., entries] += self.by_node_subject(by_loose[0][..., None] * by_loose[1])
        return result

    def effect_score(self, theta: Reals, eta: Reals, predicted: Predicted) -> Reals:
        """Derivative of log p(data, event, effects) by the effects."""
        risk = self.risk(theta, eta, 1)
        assert risk.first is not None
        a = theta[:, self.hazards][:, self.baselines, None]
        surplus = a * (self.mesh.event - self.mesh.weight * np.exp(risk.log_hazard))
        by_event = self.by_node_subject(surplus[..., None] * self.course.by_effects(risk.first))
        return super().effect_score(theta, eta, predicted) + by_event

    def row_information(
        self, theta: Reals, found: Predicted, entries: NDArray[np.int64], chance: Reals | None, movement: Reals
    ) -> Reals:
        """Information of measurements and events about the entries, at the effects of the last score."""
        total = super().row_information(theta, found, entries, chance, movement)
        risk = self.risk(theta, self.last, 1)
        loose, places = self._loose_slopes(theta, self.last)
        a = theta[:, self.hazards][:, self.baselines, None, None]
        parts = [self._drivers(risk)]
        if len(places):
            assert risk.first is not None
            along = np.einsum("knd,ndl->knl", self.course.by_effects(risk.first), movement[self.mesh.node_subject])
            parts.append(a * (loose[1] + along))
        events = np.nan_to_num(self._event_information(risk, np.concatenate(parts, axis=-1)))
        named = [*range(self.hazards.start, self.hazards.stop), *self.free[places].tolist()]
        whole = np.zeros((len(self.names),) * 2)
        whole[np.ix_(named, named)] = events
        return total + whole[np.ix_(entries, entries)]

    def _free_places(self, entries: slice) -> NDArray[np.int64]:
        return np.searchsorted(self.free, np.arange(entries.start, entries.stop))

    def _loose_slopes(self, theta: Reals, eta: Reals) -> tuple[tuple[Reals, Reals], NDArray[np.int64]]:
        """Surplus times association and the exposure's slopes by loose coefficients, and their free places."""
        free = self.loose.tolist()
        if not free:
            return (np.zeros(0), np.zeros(0)), np.zeros(0, np.int64)
        risk = self.risk(theta, eta, 1, self.loose_parameters)
        assert risk.first is not None
        a = theta[:, self.hazards][:, self.baselines, None]
        surplus = a * (self.mesh.event - self.mesh.weight * np.exp(risk.log_hazard))
        slopes = [
            risk.first[..., self.beta_parameter[b]] * self.design[self.mesh.node_subject, self.beta_parameter[b], b]
            for b in free
        ]
        return (surplus, np.stack(slopes, axis=-1)), np.searchsorted(self.free, free)


def _course_model(model: JointModel) -> StatisticalModel:
    assert model.hazard is not None
    end = Endpoint(model.hazard.exposure.output, additive(1.0), data="exposure")
    return StatisticalModel(model.structure, model.parameters, end, model.omega)


def _course_data(data: EventData, mesh: Mesh, output: str) -> EventData:
    """The same subjects, doses and covariates, observed at the rows of the mesh."""
    rows = EventData.from_arrays(
        ids=data.ids, subject=mesh.subject, time=mesh.at, value=1.0, endpoints=("exposure",),
        occasion=data.observations.occasion[0] if len(data.observations) else 0,
    )  # fmt: skip
    del output
    return replace(data, observations=rows.observations, endpoints=rows.endpoints)


def _column(data: EventData, name: str) -> Reals:
    values = np.asarray(data.covariate(name), float)
    if np.isnan(values).any():
        raise InputError(
            f"hazard: the covariate {name!r} is missing for subject {data.ids[int(np.argmax(np.isnan(values)))]!r}"
        )
    return values


# -- the free baseline, and the two stages that a joint fit replaces --------------------------------------------------
def baseline(result: FitResult) -> Any:
    """The free baseline hazard of a fit with ``cox``: a pandas table of times, masses and their running sum."""
    import pandas as pd

    problem = result.problem
    if not isinstance(problem, JointProblem) or problem.hazard.baseline != "cox":
        raise InputError("baseline: the fit has no free baseline hazard (baseline='cox')")
    masses = np.exp(result.theta_[problem.hazards][: problem.mesh.steps])
    times = np.unique(problem.events.time[problem.events.happened])
    return pd.DataFrame({"time": times, "mass": masses, "cumulative": np.cumsum(masses)})


@dataclass(frozen=True)
class TwoStage:
    """A hazard fitted to known courses.

    Attributes:
        estimates: the hazard's values by name.
        errors: their standard errors, which take the courses for known.
        loglik: of the events.
    """

    estimates: Mapping[str, float]
    errors: Mapping[str, float]
    loglik: float


def two_stage(
    model: JointModel, data: EventData, kinetics: FitResult | None = None, *, effects: Any = None
) -> TwoStage:
    """Fit the hazard of a joint model to courses that are taken for known, as is often done; for comparison.

    Args:
        model: the joint model.
        data: its data.
        kinetics: a fit of the measurements alone, whose individual modes give the courses.
        effects: the subjects' effects, shape (subject, effect), instead of the modes.
    """
    from scipy.optimize import minimize

    problem = JointProblem(model, data)
    theta = problem.theta.copy()
    if kinetics is not None:
        theta[: len(kinetics.theta_)] = kinetics.theta_
    eta = np.asarray(effects if effects is not None else None if kinetics is None else kinetics.eta_, float)
    if eta.shape != (problem.subjects, problem.d):
        raise InputError("two_stage: give a fit of the same subjects, or effects of shape (subject, effect)")

    def objective(working: Reals) -> tuple[float, Reals]:
        theta[problem.hazards] = working
        value = problem.event_loglik(theta[None], eta[None]).sum()
        return -float(value), -problem.event_score(theta[None], eta[None]).sum(axis=(0, 1))

    found = minimize(objective, theta[problem.hazards], jac=True, method="BFGS", options={"gtol": 1e-8})
    working, step = found.x, 1e-5
    rows = [
        (objective(working + step * e)[1] - objective(working - step * e)[1]) / (2 * step) for e in np.eye(len(working))
    ]
    covariance = np.linalg.inv(0.5 * (np.array(rows) + np.array(rows).T))
    theta[problem.hazards] = working
    values = problem.other_values(theta)
    names = problem.names[problem.hazards]
    errors = {}
    for k, name in enumerate(names):
        if name in values:
            slope = values[name] if values[name] != working[k] else 1.0  # a logarithm, or the value itself
            errors[name] = math.sqrt(covariance[k, k]) * slope
    return TwoStage(values, errors, -float(found.fun))
