"""How well a course fits measured values, and the parameters that fit best: a small weighted least-squares fit.

With a known standard deviation of every value, minus twice the log-likelihood is the sum of squared residuals and a
constant. Parameters are searched on a logarithmic scale; the derivatives are the engine's forward sensitivities.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.analysis.quantities import output_unit
from livingdrug.analysis.ranges import Range, base_values, make_ranges
from livingdrug.analysis.slopes import Slopes, slopes
from livingdrug.engine.solve import solve
from livingdrug.errors import FitError, InputError, unknown_name
from livingdrug.streams import normal, seed_words

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.model.declaration import Model

__all__ = ["COLUMNS", "ESTIMATION", "Fit", "Objective", "fit", "read_data", "simulate_data"]

Reals = NDArray[np.float64]

COLUMNS = ("time_day", "output", "value", "sd")
ERRORS = ("normal", "lognormal")
ESTIMATION = 1e-8
"""Relative tolerance of one step: tighter than elsewhere, because a loose one roughens the likelihood."""
SCREENED, POLISHED = 256, 4
"""Starting points that are looked at, and those from which a search begins, besides the given one."""
UNSOLVED = 1e6
"""Residual of every value where the course cannot be solved."""
MOST_ROWS = 100_000


@dataclass(frozen=True)
class Fit:
    """The best fit.

    Attributes:
        values: estimated parameters in declared units.
        misfit: sum of squared residuals, each in standard deviations.
        residuals: shape (value,): measured less fitted, in standard deviations.
        count: number of measured values.
        unsolved: how often a course could not be solved during the search.
    """

    values: Mapping[str, float]
    misfit: float
    residuals: Reals
    count: int
    unsolved: int


def read_data(source: str | os.PathLike[str]) -> dict[str, list[Any]]:
    """Read measured values from a CSV file with the columns ``time_day, output, value, sd`` and perhaps ``error``.

    Returns:
        The columns, as :func:`fit` and :func:`livingdrug.analysis.profiles` take them.

    Raises:
        InputError: the file cannot be read, a column is missing or a number is none; the message names the line.
    """
    path = Path(source)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read as a CSV file: {error}") from error
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise InputError(f"{path}: the column {missing[0]!r} is missing; needed are {', '.join(COLUMNS)}")
    names = [*COLUMNS, "error"] if "error" in rows[0] else [*COLUMNS]
    found: dict[str, list[Any]] = {name: [] for name in names}
    for line, row in enumerate(rows, start=2):
        for name in names:
            found[name].append(_cell(path, line, name, row[name]))
    return found


def simulate_data(
    model: type[Model],
    design: Mapping[str, ArrayLike],
    *,
    sd: float,
    error: str = "lognormal",
    parameters: Mapping[str, float] | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    seed: int | None = 0,
) -> pd.DataFrame:
    """Simulate measured values of one patient.

    Args:
        model: a declared model; populations that may die out follow their equation.
        design: output -> days on which it is measured.
        sd: standard deviation: of the natural logarithm if ``error`` is ``lognormal``, else in the output's unit.
        error: ``normal`` or ``lognormal``.
        parameters: values of the patient where they are not the defaults.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        seed: of the errors; None adds none, so that the data are the course itself.

    Returns:
        A table with the columns ``time_day, output, value, sd, error``.

    Raises:
        InputError: an unknown name, or a value that is not positive where the error is log-normal.

    Example:
        >>> from livingdrug.library import load_model
        >>> simulate_data(load_model("stein2019"), {"car_t_transgene_blood": [7, 28]}, sd=0.3, seed=None)["value"].size
        2
    """
    import pandas as pd

    rows = [(float(day), output) for output, days in design.items() for day in np.atleast_1d(np.asarray(days, float))]
    plan = {"time_day": [day for day, _ in rows], "output": [output for _, output in rows]}
    data = _Data(model, {**plan, "value": [1.0] * len(rows), "sd": [sd] * len(rows)}, error)
    values = data.courses(model, base_values(model, parameters), initial, doses)[0]
    if error == "lognormal" and not (values > 0).all():
        raise InputError(f"{model.name}: log-normal errors need positive values, but an output is {values.min():g}")
    noise = np.zeros(len(rows)) if seed is None else sd * normal(seed, [0], "simulated data", len(rows))[0]
    measured = values * np.exp(noise) if error == "lognormal" else values + noise
    return pd.DataFrame({**plan, "value": measured, "sd": sd, "error": error})


def fit(
    model: type[Model],
    data: Any,
    estimate: str | Mapping[str, Any],
    *,
    error: str = "lognormal",
    parameters: Mapping[str, float] | None = None,
    initial: Mapping[str, float] | None = None,
    doses: Sequence[Any] = (),
    seed: int = 0,
) -> Fit:
    """Estimate parameters by weighted least squares, which is maximum likelihood when the errors' size is known.

    The search starts from the given values and from the best of 256 random points, and keeps the lowest misfit.

    Args:
        model: a declared model; populations that may die out follow their equation.
        data: columns ``time_day``, ``output``, ``value``, ``sd`` (a mapping or a pandas table) and perhaps ``error``.
        estimate: parameters and the limits between which they are searched, on a logarithmic scale; as for
            :func:`livingdrug.analysis.make_ranges`.
        error: ``normal`` (``sd`` in the output's unit) or ``lognormal`` (``sd`` of the natural logarithm); used where
            the data have no column of that name.
        parameters: values of the patient where they are not the defaults; estimated ones start there.
        initial: states that start elsewhere than the model says.
        doses: doses and changes besides the model's own.
        seed: of the random starting points.

    Raises:
        InputError: an unknown name, a value or limit that cannot be used.
        FitError: no starting point could be solved.

    Example:
        >>> from livingdrug.library import load_model
        >>> model = load_model("stein2019")
        >>> data = simulate_data(model, {"car_t_transgene_blood": [3, 7, 14, 28]}, sd=0.3, seed=None)
        >>> found = fit(model, data, {"peak": (1e3, 1e6), "contraction": (0.01, 1.0)})
        >>> round(found.values["peak"]), round(found.values["contraction"], 4)
        (24000, 0.16)
    """
    objective = Objective(model, data, estimate, error, parameters, initial, doses)
    return objective.as_fit(objective.best(seed))


class Objective:
    """Residuals of the data and their derivatives by the logarithms of the estimated parameters."""

    def __init__(
        self,
        model: type[Model],
        data: Any,
        estimate: str | Mapping[str, Any],
        error: str,
        parameters: Mapping[str, float] | None,
        initial: Mapping[str, float] | None,
        doses: Sequence[Any],
    ) -> None:
        self.model, self.initial, self.doses = model, initial, doses
        self.data = _Data(model, data, error)
        self.base = base_values(model, parameters)
        self.ranges = make_ranges(model, estimate, parameters)
        self.names = [item.parameter for item in self.ranges]
        self.low, self.high = np.log(np.array([_limits(item) for item in self.ranges])).T
        typical = [min(max(self.base[item.parameter], item.low), item.high) for item in self.ranges]
        self.start = np.log(typical)
        self.unsolved = 0
        self._exact = True  # until a course has no forward sensitivities
        self._last: tuple[bytes, Reals, Reals] = (b"", np.zeros(0), np.zeros((0, 0)))

    def residuals(self, point: Reals) -> Reals:
        """Fitted less measured in standard deviations, shape (value,)."""
        return self._at(point)[1]

    def jacobian(self, point: Reals) -> Reals:
        """Derivatives of the residuals by the logarithms, shape (value, parameter)."""
        return self._at(point)[2]

    def misfit(self, point: Reals) -> float:
        """Sum of the squared residuals."""
        return float(np.sum(self.residuals(point) ** 2))

    def search(self, start: Reals, free: Sequence[int]) -> tuple[Reals, float]:
        """Lowest misfit over the free parameters from a start, all others held; returns the point and the misfit."""
        from scipy.optimize import least_squares

        point, chosen = start.copy(), list(free)
        if not chosen:
            return point, self.misfit(point)

        def whole(part: Reals) -> Reals:
            point[chosen] = part
            return point

        low, high = self.low[chosen], self.high[chosen]
        inside = np.clip(start[chosen], low + 1e-9 * (high - low), high - 1e-9 * (high - low))
        found = least_squares(
            lambda part: self.residuals(whole(part)),
            inside,
            jac=lambda part: self.jacobian(whole(part))[:, chosen],  # type: ignore[arg-type]
            bounds=(low, high),
            xtol=1e-10,
            ftol=1e-12,
            gtol=1e-10,
            max_nfev=200,
        )
        return whole(found.x).copy(), 2.0 * float(found.cost)

    def best(self, seed: int) -> Reals:
        """Return the point of lowest misfit; FitError if nothing could be solved."""
        starts = [self.start, *self._screened(seed)]
        everything = range(len(self.names))
        found = [self.search(start, everything) for start in starts if self.solved(self.misfit(start))]
        if not found:
            raise FitError(f"fit of {self.model.name}: no starting point could be solved; narrow the limits")
        return min(found, key=lambda pair: pair[1])[0]

    def solved(self, misfit: float) -> bool:
        """Whether a misfit belongs to a course that could be solved."""
        return misfit < UNSOLVED**2

    def as_fit(self, point: Reals) -> Fit:
        """Return a point as parameters in declared units, with its residuals."""
        residuals = -self.residuals(point)
        values = dict(zip(self.names, np.exp(point).tolist(), strict=True))
        return Fit(values, float(np.sum(residuals**2)), residuals, len(residuals), self.unsolved)

    def _screened(self, seed: int) -> list[Reals]:
        """The best few of many random points within the limits."""
        from scipy.stats import qmc

        seed_words(seed)  # refuses what is no seed
        shares = qmc.Sobol(len(self.names), rng=np.random.default_rng(seed)).random(SCREENED)
        points = self.low + shares * (self.high - self.low)
        drawn = {item.parameter: _inside(np.exp(points[:, k]), item) for k, item in enumerate(self.ranges)}
        columns = {**self.base, **drawn}
        values = self.data.courses(self.model, columns, self.initial, self.doses)
        misfits = np.sum(self.data.residuals(values) ** 2, axis=1)
        return [points[k] for k in np.argsort(misfits, kind="stable")[:POLISHED]]

    def _at(self, point: Reals) -> tuple[bytes, Reals, Reals]:
        key = point.tobytes()
        if key != self._last[0]:
            given = {name: float(_inside(np.exp(point[k]), self.ranges[k])) for k, name in enumerate(self.names)}
            found = slopes(
                self.model, {**self.base, **given}, self.data.times, self.data.outputs, self.names,
                initial=self.initial, doses=self.doses, rtol=ESTIMATION, exact=self._exact,
            )  # fmt: skip
            residuals = np.full(self.data.count, UNSOLVED)
            derivatives = np.zeros((self.data.count, len(self.names)))
            if isinstance(found, Slopes):
                self._exact = found.exact
                values, by = self.data.picked(found.values[None]), self.data.picked(found.slopes)
                residuals = self.data.residuals(values)[0]
                derivatives = self.data.slopes(values[0], by, np.exp(point))
            self.unsolved += bool((residuals == UNSOLVED).all())
            self._last = key, residuals, derivatives
        return self._last


class _Data:
    """Checked columns of measured values, and what the model must report for them."""

    def __init__(self, model: type[Model], given: Any, error: str) -> None:
        columns = {str(name): list(given[name]) for name in given}
        missing = [name for name in COLUMNS if name not in columns]
        if missing:
            raise InputError(f"data: {unknown_name('column', missing[0], columns)}; needed are {', '.join(COLUMNS)}")
        days, self.measured, self.sd = (_numbers(name, columns[name]) for name in ("time_day", "value", "sd"))
        names = [str(name) for name in columns["output"]]
        self.count = count = len(days)
        if not 0 < count <= MOST_ROWS or {len(column) for column in columns.values()} != {count}:
            raise InputError(f"data: all columns must have the same length, from 1 to {MOST_ROWS} values")
        for name in dict.fromkeys(names):
            output_unit(model, name)
        self.lognormal = _lognormal(columns.get("error", [error] * count))
        self._check(days)
        self.times, self._time = np.unique(days, return_inverse=True)
        self.outputs = list(dict.fromkeys(names))
        self._output = np.array([self.outputs.index(name) for name in names])

    def courses(
        self,
        model: type[Model],
        parameters: Mapping[str, Any],
        initial: Mapping[str, float] | None,
        doses: Sequence[Any],
    ) -> Reals:
        """Values where they were measured, shape (patient, value); NaN where a course cannot be solved."""
        found = solve(
            model, parameters, self.times, outputs=self.outputs, initial=initial, doses=doses, stochastic=False,
            rtol=ESTIMATION,
        )  # fmt: skip
        return np.where(found.failed[:, None], np.nan, self.picked(found.values))

    def picked(self, courses: Reals) -> Reals:
        """Of courses of shape (any, time, output) what was measured, shape (any, value)."""
        return courses[:, self._time, self._output]

    def residuals(self, values: Reals) -> Reals:
        """Fitted less measured in standard deviations, shape (patient, value)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.log(values / np.where(self.lognormal, self.measured, 1.0))
            apart = np.where(self.lognormal, ratio, values - self.measured) / self.sd
        bad = ~np.isfinite(apart).all(axis=1, keepdims=True)
        return np.where(bad, UNSOLVED, apart)

    def slopes(self, values: Reals, slopes: Reals, parameters: Reals) -> Reals:
        """Derivatives of the residuals by the logarithms of the parameters, shape (value, parameter)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            scale = np.where(self.lognormal, values, 1.0) * self.sd
            found = slopes.T * parameters / scale[:, None]
        return np.where(np.isfinite(found), found, 0.0)

    def _check(self, days: Reals) -> None:
        for what, bad in (
            ("time_day must not be negative", days < 0),
            ("sd must be positive", self.sd <= 0),
            ("a value with a log-normal error must be positive", self.lognormal & (self.measured <= 0)),
        ):
            if bad.any():
                raise InputError(f"data: {what}; see row {int(np.argmax(bad))} of {len(days)} (counted from 0)")


def _limits(item: Range) -> tuple[float, float]:
    if item.low <= 0 or not math.isfinite(item.high):
        raise InputError(f"estimate {item.parameter}: limits must be finite and above 0 (log scale), got {item.words}")
    return item.low, item.high


def _inside(values: Any, item: Range) -> Any:
    """Undo what rounding in exp and log adds to a limit."""
    return np.clip(values, item.low, item.high)


def _numbers(name: str, values: Sequence[Any]) -> Reals:
    try:
        found = np.array(values, np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"data: the column {name!r} must hold numbers: {error}") from None
    if found.ndim != 1 or not np.isfinite(found).all():
        raise InputError(f"data: the column {name!r} must hold finite numbers")
    return found


def _lognormal(kinds: Sequence[Any]) -> NDArray[np.bool_]:
    for kind in kinds:
        if kind not in ERRORS:
            raise InputError(unknown_name("kind of error", kind, ERRORS, place="data"))
    return np.array([kind == "lognormal" for kind in kinds])


def _cell(path: Path, line: int, name: str, text: str | None) -> Any:
    if name in ("output", "error"):
        return (text or "").strip()
    try:
        return float(text or "")
    except ValueError:
        raise InputError(f"{path}, line {line}: {name} must be a number, got {text!r:.40}") from None
