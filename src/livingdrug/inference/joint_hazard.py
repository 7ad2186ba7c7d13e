"""Hazards that follow exposure: what a joint model of kinetics and times to an event says of each subject's event.

The hazard is ``h0(t) exp(a x(t) + g z)``: a baseline, an exposure ``x`` computed from the subject's own course, and
covariates ``z``. The baseline is exponential, Weibull or Gompertz, or free (``cox``): then it is a mass at each time at
which an event was seen, as in Cox's model, and the association is that of the partial likelihood when courses are
known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, unknown_name

__all__ = ["BASELINES", "Events", "Exposure", "Hazard", "Mesh", "make_mesh"]

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]

BASELINES = ("exponential", "weibull", "gompertz", "cox")
MEASURES = ("value", "auc", "cmax")
SCALES = ("natural", "log", "log1p")
PANELS = (0.0, 0.01, 0.03, 0.07, 0.15, 0.3, 0.55, 1.0)
"""Ends of the stretches of a subject's time, as shares of it: fine early, where cells expand and contract."""
NEAR_ZERO = (0.0, 1e-5, 1e-3)
"""Further ends for Weibull's baseline, which is infinite or has a kink at time zero unless its shape is 1."""
POINTS = 5
"""Points of the Gauss-Legendre rule in each stretch."""


@dataclass(frozen=True, eq=False)
class Events:
    """When each subject had the event, or until when it was followed without; in the order of the data's subjects.

    Attributes:
        time: after day 0, shape (subject,).
        happened: whether the event was seen then; otherwise follow-up ended.
    """

    time: Any
    happened: Any

    def __post_init__(self) -> None:
        try:
            time, happened = np.array(self.time, float), np.array(self.happened)
        except (TypeError, ValueError) as error:
            raise InputError(f"events: times must be positive numbers ({error})") from None
        if time.ndim != 1 or time.shape != happened.shape:
            raise InputError(f"events: time and happened must be rows of one length, got {time.shape} {happened.shape}")
        if not np.isin(happened, (0, 1)).all():
            raise InputError("events: happened must be true or false")
        if not (np.isfinite(time) & (time > 0)).all():
            bad = int(np.argmin(np.isfinite(time) & (time > 0)))
            raise InputError(f"events: times must be positive numbers, got {time[bad]:g} for subject number {bad + 1}")
        object.__setattr__(self, "time", time)
        object.__setattr__(self, "happened", happened.astype(bool))


@dataclass(frozen=True)
class Exposure:
    """What drives the hazard.

    Attributes:
        output: of the structural model.
        measure: ``value`` (at that time), ``auc`` (area until then) or ``cmax`` (highest so far).
        scale: ``natural``; ``log``; or ``log1p``, ln(1 + x), where it may be zero.
        unit: the exposure is divided by it first.
    """

    output: str
    measure: str = "value"
    scale: str = "natural"
    unit: float = 1.0

    def __post_init__(self) -> None:
        if self.measure not in MEASURES:
            raise InputError(unknown_name("measure of exposure", self.measure, MEASURES))
        if self.scale not in SCALES:
            raise InputError(unknown_name("scale of exposure", self.scale, SCALES))
        if not 0 < self.unit < math.inf:
            raise InputError(f"exposure: unit must be a positive number, got {self.unit!r}")

    def scaled(self, raw: Reals) -> tuple[Reals, Reals, Reals]:
        """The exposure on its scale, and its first and second derivative by the raw one."""
        x = raw / self.unit
        if self.scale == "natural":
            return x, np.full_like(x, 1 / self.unit), np.zeros_like(x)
        shifted = np.maximum(x if self.scale == "log" else 1 + x, 1e-300)
        return np.log(shifted), 1 / shifted / self.unit, -1 / (shifted * self.unit) ** 2


@dataclass(frozen=True)
class Hazard:
    """A hazard model; the numbers are first guesses.

    Attributes:
        exposure: what drives it.
        baseline: ``exponential``, ``weibull``, ``gompertz`` or ``cox``.
        association: change of the log hazard per unit of exposure.
        rate: of the baseline, per day; events per subject-time if None.
        shape: Weibull's exponent (1: constant hazard), Gompertz's growth per day (0 unless given).
        covariates: column of the data -> change of the log hazard per unit.
    """

    exposure: Exposure
    baseline: str = "weibull"
    association: float = 0.0
    rate: float | None = None
    shape: float | None = None
    covariates: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.baseline not in BASELINES:
            raise InputError(unknown_name("baseline hazard", self.baseline, BASELINES))
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise InputError(f"hazard: rate must be positive, got {self.rate!r}")
        if self.baseline == "weibull" and self.shape is not None and not 0 < self.shape < math.inf:
            raise InputError(f"hazard: Weibull's shape must be positive, got {self.shape!r}")
        given = {"association": self.association, "shape": self.shape or 0.0, **self.covariates}
        for name, value in given.items():
            if not math.isfinite(value):
                raise InputError(f"hazard: the first guess of {name!r} must be a number, got {value!r}")

    @property
    def shapes(self) -> tuple[str, ...]:
        """Names of the baseline's parameters besides the masses of ``cox``."""
        return {"exponential": ("rate",), "cox": ()}.get(self.baseline, ("rate", "shape"))

    def start(self, events: Events, steps: int) -> tuple[list[str], list[float]]:
        """Names and working values: baseline (logarithms, but Gompertz's growth plain), association, covariates."""
        rate = self.rate or max(events.happened.sum(), 1) / events.time.sum()
        shape = {"weibull": math.log(self.shape or 1.0), "gompertz": self.shape or 0.0}.get(self.baseline, 0.0)
        names = [f"hazard:step {k + 1}" for k in range(steps)] + [f"hazard:{n}" for n in self.shapes]
        mass = math.log(rate * float(np.median(events.time)) / steps) if steps else 0.0
        values = [mass] * steps + [math.log(rate), shape][: len(self.shapes)]
        names += ["hazard:association", *(f"hazard:{n}" for n in self.covariates)]
        return names, [*values, self.association, *self.covariates.values()]

    def baseline_slopes(self, working: Reals, mesh: Mesh) -> tuple[Reals, Reals]:
        """Log baseline hazard of each node, shape (chain, node), and its slopes by the baseline's working values.

        The slopes by the masses of ``cox`` are left out: each is one at the nodes of its step.
        """
        t = mesh.time
        if self.baseline == "cox":
            return working[:, mesh.step], np.zeros((len(working), 0, 0))
        rate = working[:, :1] + 0 * t
        one = np.ones_like(rate)
        if self.baseline == "exponential":
            return rate, one[..., None]
        if self.baseline == "gompertz":
            return rate + working[:, 1:2] * t, np.stack([one, one * t], axis=-1)
        k = np.exp(working[:, 1:2])
        power = k * (rate + np.log(t))
        return np.log(k) + power - np.log(t), np.stack([k * one, 1 + power], axis=-1)


@dataclass(frozen=True, eq=False)
class Mesh:
    """Where courses are computed, and which of these times carry the hazard's integral and the event.

    Attributes:
        subject, at: of each row, in order of subject and time, shape (row,).
        node: rows that are nodes of the hazard, shape (node,); the last of a subject is its end.
        weight: of each node in the integral of the hazard.
        event: 1 for the node at which a subject had its event.
        step: for ``cox``, which mass a node belongs to.
        steps: number of masses.
        area: matrix from values at the rows to areas until each row.
    """

    subject: Whole
    at: Reals
    node: Whole
    weight: Reals
    event: Reals
    step: Whole
    steps: int
    area: Any

    @property
    def time(self) -> Reals:
        """Of each node."""
        return self.at[self.node]

    @property
    def node_subject(self) -> Whole:
        """Of each node."""
        return self.subject[self.node]

    def exposed(self, measure: str, found: list[Reals]) -> list[Reals]:
        """Exposure at the nodes from values at the rows, and its derivatives; rows are the second axis."""
        if measure == "value":
            return [part[:, self.node] for part in found]
        if measure == "auc":
            return [np.moveaxis(_times(self.area, np.moveaxis(part, 1, 0)), 0, 1)[:, self.node] for part in found]
        highest = self._highest(found[0])
        return [_taken(part, highest)[:, self.node] for part in found]

    def _highest(self, f: Reals) -> Whole:
        """The row of the highest value of the same subject so far."""
        best = np.tile(np.arange(f.shape[1]), (len(f), 1))
        for row in range(1, f.shape[1]):
            if self.subject[row] == self.subject[row - 1]:
                before = best[:, row - 1]
                lower = np.take_along_axis(f, before[:, None], 1)[:, 0] >= f[:, row]
                best[:, row] = np.where(lower, before, row)
        return best


def _times(matrix: Any, values: Reals) -> Reals:
    return (matrix @ values.reshape(len(values), -1)).reshape(values.shape)


def _taken(part: Reals, rows: Whole) -> Reals:
    return np.take_along_axis(part, rows.reshape(rows.shape + (1,) * (part.ndim - 2)), axis=1)


def make_mesh(events: Events, hazard: Hazard) -> Mesh:
    """Rows and nodes of all subjects.

    Raises:
        InputError: ``cox`` without any event.
    """
    from scipy.sparse import csr_matrix

    free = hazard.baseline == "cox"
    moments = np.unique(events.time[events.happened]) if free else np.zeros(0)
    if free and not len(moments):
        raise InputError("a free baseline (cox) needs at least one event")
    points = 0 if free and hazard.exposure.measure == "value" else POINTS
    panels = (*NEAR_ZERO, *PANELS[1:]) if hazard.baseline == "weibull" else PANELS
    parts = [_of_subject(float(T), bool(seen), moments, points, free, panels) for T, seen in
             zip(events.time, events.happened, strict=True)]  # fmt: skip
    counts = np.array([len(part[0]) for part in parts])
    offset = np.cumsum(counts) - counts
    subject = np.repeat(np.arange(len(parts)), counts)
    at, weight, seen = (np.concatenate([part[k] for part in parts]) for k in (0, 2, 3))
    node = np.concatenate([part[1] + first for part, first in zip(parts, offset, strict=True)]).astype(np.int64)
    rows, columns, values = (
        np.concatenate([part[4][k] + (first if k < 2 else 0) for part, first in zip(parts, offset, strict=True)])
        for k in range(3)
    )
    area = csr_matrix((values, (rows.astype(int), columns.astype(int))), shape=(len(at), len(at)))
    step = np.minimum(np.searchsorted(moments, at[node]), max(len(moments) - 1, 0))
    return Mesh(subject, at, node, weight, seen, step, len(moments), area)


def _of_subject(
    T: float, seen: bool, moments: Reals, points: int, free: bool, panels: tuple[float, ...]
) -> tuple[Any, ...]:
    """Rows, nodes, weights, marks of events and the entries of the area matrix of one subject."""
    edges = np.concatenate([[0.0], moments[moments <= T]]) if free else T * np.array(panels)
    if edges[-1] < T:
        edges = np.append(edges, T)
    x, w, inner = _rule(points)
    at, node, weight, entries = [], [], [], []
    before: list[tuple[int, float]] = []  # rows and weights of the area until the panel
    for first, last in pairwise(edges):
        half, base = (last - first) / 2, len(at)
        at += [*(first + half * (x + 1)), last]
        for i in range(points + 1):
            own = half * (inner[i] if i < points else w)
            entries += [(base + i, row, v) for row, v in before]
            entries += [(base + i, base + j, float(v)) for j, v in enumerate(own)]
        before += [(base + j, float(half * v)) for j, v in enumerate(w)]
        if not free:
            node += range(base, base + points)
            weight += list(half * w)
        elif (moments == last).any():
            node.append(base + points)
            weight.append(1.0)
    marks = np.zeros(len(node))
    if seen and free:
        marks[-1] = 1.0
    elif seen:
        node.append(len(at) - 1)
        weight.append(0.0)
        marks = np.append(marks, 1.0)
    table = np.array(entries).reshape(-1, 3).T
    return np.array(at), np.array(node, int), np.array(weight), marks, table


def _rule(points: int) -> tuple[Reals, Reals, Reals]:
    """Gauss-Legendre points and weights, and weights of the integrals from -1 to each point."""
    if not points:
        return np.zeros(0), np.zeros(0), np.zeros((0, 0))
    x, w = np.polynomial.legendre.leggauss(points)
    powers = np.arange(points)
    at_points = x[:, None] ** powers
    until = (x[:, None] ** (powers + 1) - (-1.0) ** (powers + 1)) / (powers + 1)
    return x, w, until @ np.linalg.inv(at_points)
