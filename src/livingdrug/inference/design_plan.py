"""Sampling plans and what they would let a fit know: the model linearised at all times of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name
from livingdrug.inference.data import EventData
from livingdrug.inference.problem import LOG10, Problem
from livingdrug.inference.statistical import StatisticalModel
from livingdrug.inference.uncertainty import reported, reported_errors

__all__ = ["Arm", "Expected", "Plan", "by_output"]

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]

INFORMATION = ("block", "full")


@dataclass(frozen=True)
class Arm:
    """Patients who are sampled alike.

    Attributes:
        subjects: how many.
        times: of the samples, in the data's unit; output -> times, where there are several endpoints.
        windows: first and last allowed time of each sample, in the order and shape of ``times``; only for choosing.
        doses: columns of doses as for :meth:`livingdrug.inference.data.EventData.from_arrays`, without ``subject``.
        covariates: name -> value of everybody in the arm.
    """

    subjects: int
    times: Sequence[float] | Mapping[str, Sequence[float]]
    windows: Sequence[tuple[float, float]] | Mapping[str, Sequence[tuple[float, float]]] | None = None
    doses: Mapping[str, Any] = field(default_factory=dict)
    covariates: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        whole = isinstance(self.subjects, int | np.integer) and not isinstance(self.subjects, bool)
        if not whole or self.subjects < 1:
            raise InputError(f"an arm needs at least one subject, and whole ones, got {self.subjects!r}")


@dataclass(frozen=True, eq=False)
class Expected:
    """What a fit to a plan would know.

    Attributes:
        arms: the plan.
        names: of the estimated entries of theta, on the working scale.
        information: expected Fisher information of all subjects together, over these entries.
        values: name -> value, in the model's units, as a fit reports them.
        errors: the same names -> expected standard error; infinite where the plan does not determine them.
    """

    arms: tuple[Arm, ...]
    names: tuple[str, ...]
    information: Reals
    values: Mapping[str, float]
    errors: Mapping[str, float]

    @property
    def relative_errors(self) -> dict[str, float]:
        """Expected standard errors in percent of the values (of a coefficient that is zero: infinite)."""
        return {n: 100 * self.errors[n] / abs(v) if v else math.inf for n, v in self.values.items()}

    @property
    def criterion(self) -> float:
        """Logarithm of the determinant of the information (D-optimality); larger is better."""
        sign, size = np.linalg.slogdet(self.information)
        return float(size) if sign > 0 else -math.inf

    def efficiency(self, other: Expected) -> float:
        """D-efficiency against another plan: how many times more subjects the other one would need."""
        return math.exp((self.criterion - other.criterion) / len(self.names))

    def to_frame(self) -> Any:
        """Return values, expected standard errors and relative standard errors as a pandas table."""
        import pandas as pd

        relative = self.relative_errors
        rows = [(n, v, self.errors[n], relative[n]) for n, v in self.values.items()]
        return pd.DataFrame(rows, columns=["parameter", "value", "se", "rse_percent"]).set_index("parameter")


def by_output(model: StatisticalModel, given: Any) -> dict[str, list[Any]]:
    """Times or windows by output."""
    outputs = [endpoint.output for endpoint in model.ends]
    if not isinstance(given, Mapping):
        if len(outputs) > 1:
            raise InputError(f"the model has several endpoints; name them: {{output: times}} with {', '.join(outputs)}")
        given = {outputs[0]: given}
    for name in given:
        if name not in outputs:
            raise InputError(unknown_name("output of the endpoints", name, outputs))
    return {name: list(given.get(name, ())) for name in outputs}


def _data(model: StatisticalModel, arms: Sequence[Arm]) -> EventData:
    """One subject per arm; the values do not matter."""
    outputs = [endpoint.output for endpoint in model.ends]
    found = [
        (subject, t, outputs.index(name))
        for subject, arm in enumerate(arms)
        for name, times in by_output(model, arm.times).items()
        for t in times
    ]
    subject, time, endpoint = (np.array(part) for part in zip(*found, strict=True)) if found else [np.zeros(0)] * 3
    if not found or time.dtype.kind not in "iuf" or not np.isfinite(time).all():
        raise InputError("a plan needs sampling times that are numbers")
    return EventData.from_arrays(
        ids=range(1, len(arms) + 1), subject=subject, time=time, value=1.0, endpoint=endpoint.astype(int),
        endpoints=[end.data or end.output for end in model.ends], doses=_doses(arms), covariates=_covariates(arms),
    )  # fmt: skip


def _doses(arms: Sequence[Arm]) -> dict[str, Any]:
    columns: dict[str, list[Any]] = {}
    for subject, arm in enumerate(arms):
        if not arm.doses:
            continue
        names = list(arm.doses)
        arrays = np.broadcast_arrays(*(np.atleast_1d(np.asarray(arm.doses[name])) for name in names))
        for name, values in zip(["subject", *names], [np.full(len(arrays[0]), subject), *arrays], strict=True):
            columns.setdefault(name, []).append(values)
    if len({len(parts) for parts in columns.values()}) > 1:
        raise InputError("the doses of all arms need the same columns")
    return {name: np.concatenate(parts) for name, parts in columns.items()}


def _covariates(arms: Sequence[Arm]) -> dict[str, Any]:
    names = dict.fromkeys(name for arm in arms for name in arm.covariates)
    for name in names:
        if any(name not in arm.covariates for arm in arms):
            raise InputError(f"the covariate {name!r} is not given for every arm")
    return {name: np.array([arm.covariates[name] for arm in arms]) for name in names}


class Plan:
    """The linearised model at all times of a plan, whose information follows for any choice of them."""

    def __init__(self, model: StatisticalModel, arms: Sequence[Arm], information: str, values: Any) -> None:
        if information not in INFORMATION:
            raise InputError(unknown_name("kind of information", information, INFORMATION))
        for endpoint in model.ends:
            if math.isfinite(endpoint.residual.degrees):
                raise InputError(f"{endpoint.output}: expected information needs a residual with normal scatter")
        self.full, self.arms = information == "full", tuple(arms)
        unlimited = replace(model, endpoints=[replace(end, limit=None, blq="M3") for end in model.ends])
        problem = self.problem = Problem(unlimited, _data(model, arms))
        self.theta = problem.theta if values is None else np.asarray(values, float)
        if self.theta.shape != problem.theta.shape or not np.isfinite(self.theta).all():
            raise InputError(f"values: expected {len(problem.names)} numbers ({', '.join(problem.names)})")
        self.omega = problem.covariance(self.theta)
        self._linearise(model)

    def _linearise(self, model: StatisticalModel) -> None:
        """Slopes of the mean, of the effects' loadings and of the residual, by row and free entry."""
        problem, row = self.problem, self.theta[None]
        found = problem.predict(row, np.zeros((1, len(self.arms), problem.d)), 2 if self.full else 1)
        assert found.first is not None
        f, N, P = found.f, found.f.shape[1], len(problem.free)
        if not np.isfinite(f).all() or not np.isfinite(found.first).all():
            raise InputError("a prediction of the plan is not a number; check the times, doses and values")
        self.f, self.G = f[0], problem.by_effects(found.first)[0]
        self.mean, self.bend = np.zeros((N, P)), np.zeros((N, problem.d, P))
        self.g, self.g_f, self.g_s = np.zeros(N), np.zeros(N), np.zeros((N, P))
        for k, entry in enumerate(problem.free):
            if entry < problem.betas:
                p = problem.beta_parameter[entry]
                column = problem.design[problem.rows.unit, p, entry]
                self.mean[:, k] = found.first[0, :, p] * column
                if found.second is not None:
                    self.bend[..., k] = problem.by_effects(found.second[..., p])[0] * column[:, None]
        for e, at in enumerate(problem.endpoint_rows):
            place = problem.sigma[e]
            g, g_f, _, g_s = model.ends[e].residual.spread(f[:, at], row[:, place])
            self.g[at], self.g_f[at] = g[0], g_f[0]
            for k, entry in enumerate(problem.free):
                if place.start <= entry < place.stop:
                    self.g_s[at, k] = g_s[entry - place.start][0]
        if not (self.g > 0).all():
            raise InputError(
                "the residual deviation is zero at a time of the plan (a proportional one before the dose?)"
            )
        self.seen = self._seen(model)
        self.omegas = self._omega_slopes()

    def _seen(self, model: StatisticalModel) -> Reals:
        """Chance of each sample to lie above its limit."""
        from scipy.special import ndtr

        seen = np.ones(len(self.f))
        for e, at in enumerate(self.problem.endpoint_rows):
            end = model.ends[e]
            if end.limit is not None:
                scale = "log" if end.residual.logarithmic else end.scale
                limit = {"log": math.log, "log10": lambda x: math.log(x) / LOG10}.get(scale, float)(end.limit)
                sd = np.sqrt(np.einsum("ni,ij,nj->n", self.G[at], self.omega, self.G[at]) + self.g[at] ** 2)
                seen[at] = ndtr((self.f[at] - limit) / sd)
        return np.maximum(seen, 1e-9)

    def _omega_slopes(self) -> Reals:
        """Derivatives of the effects' covariance by the free entries, shape (entry, d, d)."""
        problem, L = self.problem, self.problem.cholesky(self.theta[None])[0]
        place = {int(entry): k for k, entry in enumerate(problem.free)}
        found = np.zeros((len(problem.free), problem.d, problem.d))
        for block in problem.blocks:
            for places in block.places:
                for (j, k), entry in zip(zip(*np.tril_indices(len(places)), strict=True), block.entries, strict=True):
                    if entry in place:
                        a, b = places[j], places[k]
                        slope = np.zeros_like(L)
                        slope[a, b] = L[a, b] if j == k else 1.0
                        found[place[entry]] += slope @ L.T + L @ slope.T
        return found

    def information(self, rows: Whole) -> Reals:
        """Information of one subject sampled at some rows; shape (choice, row) gives (choice, entry, entry)."""
        G, F, g = self.G[rows], self.mean[rows], self.g[rows]
        diagonal = np.arange(rows.shape[1])
        V = G @ self.omega @ np.swapaxes(G, 1, 2)
        V[:, diagonal, diagonal] += g**2 / self.seen[rows]
        inverse = np.linalg.inv(V)
        slopes = np.einsum("bni,kij,bmj->bknm", G, self.omegas, G)
        slopes[..., diagonal, diagonal] += np.swapaxes(2 * g[..., None] * self.g_s[rows], 1, 2)
        if self.full:
            moved = np.einsum("bnik,ij,bmj->bknm", self.bend[rows], self.omega, G)
            slopes += moved + np.swapaxes(moved, 2, 3)
            slopes[..., diagonal, diagonal] += np.swapaxes(2 * (g * self.g_f[rows])[..., None] * F, 1, 2)
        weighted = inverse[:, None] @ slopes
        return np.swapaxes(F, 1, 2) @ inverse @ F + 0.5 * np.einsum("bkij,blji->bkl", weighted, weighted)

    def expected(self) -> Expected:
        """Return what a fit to all arms would know."""
        problem = self.problem
        total = np.zeros((len(problem.free),) * 2)
        for s, arm in enumerate(self.arms):
            total += arm.subjects * self.information(np.flatnonzero(problem.rows.subject == s)[None])[0]
        values = reported(problem, self.theta)
        scale = np.sqrt(np.maximum(np.diag(total), 1e-300))
        known = np.linalg.eigvalsh(total / scale[:, None] / scale)[0] > 1e-10
        errors = dict.fromkeys(values, math.inf)
        if known:
            inverse: Any = np.linalg.inv(total)
            errors = reported_errors(problem, self.theta, inverse)
        return Expected(self.arms, tuple(problem.names[k] for k in problem.free), total, values, errors)
