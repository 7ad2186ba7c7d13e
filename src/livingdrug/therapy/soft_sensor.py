"""Soft sensor: what the probes for glucose and lactate, and a few counts, say about the cells at harvest.

Many copies of the culture model, each with numbers of its own, are moved towards what was measured by an ensemble
smoother with several small steps (Emerick and Reynolds 2013). The growth rate of every copy drifts from day to day,
because no model of growth is right; so the band widens with the time to the harvest. Copies that agree with the
measurements are then followed to the harvest.

Left out: oxygen and capacitance probes, readings that fail without looking odd, changes of the process by the operator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BeforeValidator, Field

from livingdrug.declared import Declared
from livingdrug.errors import InputError, unknown_name
from livingdrug.streams import normal
from livingdrug.therapy.devices import Device, device, usual_medium
from livingdrug.therapy.stated import Fixed, LogNormal, within

__all__ = ["Experience", "Forecast", "Readings", "SoftSensor"]

Array = NDArray[np.float64]
Positive = Annotated[Fixed, within("1", above=True)]
FEWEST = 1e-3


@dataclass(frozen=True)
class Readings:
    """What was measured on one or more runs of one process up to now; NaN is a missing value.

    Args:
        days: of the probes, ascending, shape (t,).
        glucose: mmol/L, shape (run, t) or (t,).
        lactate: mmol/L, like the glucose.
        count_days: of the counts, ascending, the first at day 0, shape (k,).
        counts: living cells in the vessel, shape (run, k) or (k,).
        run_ids: whole numbers; default 0, 1, 2, ...

    Raises:
        InputError: shapes do not fit, days do not ascend, a value is negative or the count at seeding is missing.

    Example:
        >>> Readings([0.5, 1.0], [24.8, 24.1], [0.3, 1.2], [0.0], [5e8]).glucose.shape
        (1, 2)
    """

    days: ArrayLike
    glucose: ArrayLike
    lactate: ArrayLike
    count_days: ArrayLike
    counts: ArrayLike
    run_ids: ArrayLike = field(default_factory=lambda: np.empty(0, np.uint64))

    def __post_init__(self) -> None:
        days, count_days = _ascending("days", self.days), _ascending("count_days", self.count_days)
        glucose = _table("glucose", self.glucose, days.size, "mmol/L")
        lactate = _table("lactate", self.lactate, days.size, "mmol/L")
        counts = _table("counts", self.counts, count_days.size, "cell")
        runs = {len(glucose), len(lactate), len(counts)}
        if len(runs) != 1:
            raise InputError(f"readings: glucose, lactate and counts have {sorted(runs)} runs; give the same number")
        if count_days.size == 0 or count_days[0] != 0 or not np.all(counts[:, 0] > 0):
            raise InputError("readings: every run needs a count above 0 at seeding (day 0)")
        ids = np.arange(len(counts)) if np.size(self.run_ids) == 0 else np.asarray(self.run_ids)
        if ids.shape != (len(counts),):
            raise InputError(f"readings: {ids.size} run_ids for {len(counts)} runs")
        for name, value in (("days", days), ("glucose", glucose), ("lactate", lactate), ("count_days", count_days)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "counts", counts)
        object.__setattr__(self, "run_ids", ids)


def _ascending(name: str, days: ArrayLike) -> Array:
    found = np.asarray(days, np.float64)
    if found.ndim != 1 or not np.all(np.isfinite(found)) or np.any(np.diff(found) <= 0) or np.any(found < 0):
        raise InputError(f"readings: {name} must be finite, at least 0 and ascend, got {found!r:.80}")
    return found


def _table(name: str, values: ArrayLike, width: int, unit: str) -> Array:
    found = np.atleast_2d(np.asarray(values, np.float64))
    if found.ndim != 2 or found.shape[1] != width:
        raise InputError(f"readings: {name} needs {width} values per run, got shape {found.shape}")
    bad = np.isinf(found) | (found < 0)
    if bad.any():
        run, place = (int(k) for k in np.argwhere(bad)[0])
        raise InputError(f"readings: {name} must be 0 or more, got {found[run, place]:g} {unit} in run {run}")
    return found


@dataclass(frozen=True)
class Forecast:
    """The cells to come.

    Attributes:
        days: of the course, the last is the harvest, shape (d,).
        living: living cells of every copy, shape (run, copy, d).
    """

    days: Array
    living: Array

    @property
    def harvest(self) -> Array:
        """Median of the living cells at harvest, shape (run,)."""
        return np.median(self.living[:, :, -1], axis=1)

    def interval(self, level: float = 0.9) -> tuple[Array, Array]:
        """Return the ends of the central interval of the living cells at harvest, each of shape (run,)."""
        low, high = self.band(level)
        return low[:, -1], high[:, -1]

    def band(self, level: float = 0.9) -> tuple[Array, Array]:
        """Return the ends of the central interval on every day, each of shape (run, d)."""
        if not 0 < level < 1:
            raise InputError(f"the level of an interval lies between 0 and 1, got {level!r}")
        tail = (1 - level) / 2
        low, high = np.quantile(self.living, [tail, 1 - tail], axis=1)
        return low, high


@dataclass(frozen=True)
class Experience:
    """What earlier runs taught: mean and covariance of the logarithms of a run's numbers, the daily drifts last.

    Attributes:
        mean: shape (number,).
        covariance: shape (number, number).
        runs: how many runs it was learned from.
        harvest_day: the last day that they tell of.
    """

    mean: Array
    covariance: Array
    runs: int
    harvest_day: float


def _device(value: Any) -> Any:
    return device(value) if isinstance(value, str) else value


def _around(median: float, log_sd: float, unit: str, note: str) -> LogNormal:
    return LogNormal(median=median, log_sd=log_sd, unit=unit, note=note)


def _one(value: float, note: str, unit: str = "1") -> Fixed:
    return Fixed(value=value, unit=unit, note=note)


LEARNED = (
    "growth_rate", "activation_half_life", "death_rate", "lag", "glucose_per_cell", "glucose_upkeep",
    "lactate_per_glucose", "lactate_half", "capacity",
)  # fmt: skip


class SoftSensor(Declared):
    """A vessel, what is known of the cells beforehand, and how far the probes and the model are trusted.

    What is known of the cells beforehand is wide on purpose: the readings have to say the rest.
    """

    device: Annotated[Device, BeforeValidator(_device)] = device("stirred tank")
    copies: Annotated[int, Field(strict=True, ge=20, le=5000)] = 200
    small_steps: Annotated[int, Field(strict=True, ge=1, le=20)] = 4
    growth_rate: Annotated[LogNormal, within("1/day")] = _around(1.5, 0.35, "1/day", "as the fitted rows; wide")
    activation_half_life: Annotated[LogNormal, within("day")] = _around(4.0, 0.8, "day", "the fitted 1.7 to 4.2; wide")
    death_rate: Annotated[LogNormal, within("1/day")] = _around(0.08, 0.3, "1/day", "as the fitted rows")
    lag: Annotated[LogNormal, within("day")] = _around(1.0, 0.4, "day", "about a day; wide")
    glucose_per_cell: Annotated[LogNormal, within("pmol/cell")] = _around(1.0, 0.6, "pmol/cell", "as the model; wide")
    glucose_upkeep: Annotated[LogNormal, within("pmol/cell/day")] = _around(
        0.8, 0.7, "pmol/cell/day", "as the model; wide"
    )
    lactate_per_glucose: Annotated[LogNormal, within("1")] = _around(
        1.7, 0.12, "1", "as the model; 1.5 to 1.9 recalled"
    )
    lactate_half: Annotated[LogNormal, within("mmol/L")] = _around(20.0, 0.3, "mmol/L", "15 to 25 recalled; wide")
    capacity: Annotated[LogNormal, within("cell")] = _around(1e10, 0.6, "cell", "about 1e7 per mL; wide")
    count_error: Positive = _one(0.10, "relative SD of a count")
    probe_error: Annotated[Fixed, within("mmol/L", above=True)] = _one(0.3, "SD of one reading", "mmol/L")
    probe_gain: Positive = _one(0.03, "SD of the gain of a probe between runs")
    model_error: Annotated[Fixed, within("mmol/L", above=True)] = _one(
        0.25, "SD by which the model itself misses glucose and lactate, alike for about a day", "mmol/L"
    )
    growth_drift: Positive = _one(
        0.15,
        "SD by which the logarithm of the growth rate drifts in a day; set on two other growth models, decision 0017",
    )
    harvest_error: Positive = _one(
        0.03, "SD by which the model misses the logarithm of the cells, per root of a day ahead"
    )
    bin_days: Annotated[Fixed, within("day", above=True)] = _one(0.5, "readings are averaged over this time", "day")

    def learn(
        self, finished: Readings, *, known: Mapping[str, ArrayLike] | None = None, passes: int = 6, seed: int = 0
    ) -> Experience:
        """Return what finished runs of the same process teach; their last count is that of the harvest.

        Args:
            finished: at least five runs, counted at harvest.
            known: as for ``predict``.
            passes: times that the runs are gone through, each with what the one before taught (an EM algorithm).
            seed: of the copies.

        Raises:
            InputError: there are fewer than five runs.
        """
        if len(np.asarray(finished.counts)) < 5:
            raise InputError(
                f"soft sensor: five finished runs are needed to learn from, got {len(np.asarray(finished.counts))}"
            )
        harvest = float(np.asarray(finished.count_days)[-1])
        experience = None
        for _ in range(passes):
            smoother = _Smoother(self, finished, harvest, dict(known or {}), seed, experience)
            experience = _taught(smoother.smoothed()[:, :, 1:], harvest, self.growth_drift.value)
        assert experience is not None
        return experience

    def predict(
        self,
        readings: Readings,
        harvest_day: float,
        *,
        known: Mapping[str, ArrayLike] | None = None,
        experience: Experience | None = None,
        seed: int = 0,
    ) -> Forecast:
        """Return the living cells from the last reading to the harvest.

        Args:
            readings: of one or more runs.
            harvest_day: days after seeding, after the last reading.
            known: parameters of the culture model that are known for these runs, name -> one value or shape (run,);
                the vessel's medium, feeding and exchange otherwise.
            experience: what earlier runs of the process taught; without it, the stated numbers.
            seed: of the copies; the same run and seed give the same forecast, whatever runs stand beside it.

        Raises:
            InputError: the harvest does not lie after the readings, or a name is unknown.
        """
        harvest = float(harvest_day)
        smoother = _Smoother(self, readings, harvest, dict(known or {}), seed, experience)
        if not smoother.last < harvest:
            raise InputError(
                f"soft sensor: the harvest on day {harvest:g} must lie after the last reading ({smoother.last:g})"
            )
        return smoother.forecast()


def _taught(numbers: Array, harvest: float, drift: float) -> Experience:
    """Mean and covariance over runs and copies, a little wider since the runs are few.

    A drift has a mean, where the model is wrong on the same day in all runs, but its spread stays as stated: few runs
    say little about it, and each pass would shrink it.
    """
    runs, pooled = len(numbers), numbers.reshape(-1, numbers.shape[2])
    covariance = np.cov(pooled.T) * (1 + 1 / runs)
    first = len(LEARNED) + 2
    covariance[first:, :] = covariance[:, first:] = 0.0
    covariance[first:, first:] = drift**2 * np.eye(len(covariance) - first)
    return Experience(pooled.mean(axis=0), covariance, runs, harvest)


@dataclass
class _Smoother:
    """One forecast: logarithms of the copies' numbers, shape (run, copy, number), and what they predict."""

    sensor: SoftSensor
    readings: Readings
    harvest: float
    known: dict[str, ArrayLike]
    seed: int
    experience: Experience | None = None

    def __post_init__(self) -> None:
        from livingdrug.therapy.culture import Culture

        for name in self.known:
            if name not in Culture.parameters:
                raise InputError(
                    unknown_name("parameter of the culture", name, Culture.parameters, place="soft sensor")
                )
        self.last = float(max(np.max(self.readings.days, initial=0.0), np.max(self.readings.count_days)))
        if not 0 < self.harvest < math.inf:
            raise InputError(f"soft sensor: the day of harvest must be above 0, got {self.harvest:g}")
        if self.experience is not None and self.harvest > self.experience.harvest_day:
            raise InputError(
                f"soft sensor: the earlier runs tell nothing after day {self.experience.harvest_day:g}, "
                f"but the harvest is on day {self.harvest:g}"
            )
        self.ids = np.asarray(self.readings.run_ids)
        self.names = ("seeded", *LEARNED, "glucose_gain", "lactate_gain")
        self.drift_days = np.arange(1.0, self.harvest)
        self.bins, self.measured, self.error = _measured(self.sensor, self.readings)

    def smoothed(self) -> Array:
        """The copies after all measurements."""
        numbers, steps = self._prior(), self.sensor.small_steps
        for step in range(steps):
            predicted = self._predicted(numbers)
            noise = normal(self.seed, self.ids, f"soft sensor step {step}", predicted[0].size)
            numbers = _moved(numbers, predicted, self.measured, self.error * steps, noise.reshape(predicted.shape))
        return numbers

    def forecast(self) -> Forecast:
        """The copies followed to the harvest."""
        numbers = self.smoothed()
        days = np.append(np.linspace(self.last, self.harvest, 13)[:-1], self.harvest)
        living = self._living(numbers, days)
        ahead = np.sqrt(days - self.last)
        miss = normal(self.seed, self.ids, "soft sensor harvest", self.sensor.copies)
        return Forecast(days, living * np.exp(self._value("harvest_error") * miss[:, :, None] * ahead))

    def _value(self, name: str) -> float:
        return float(getattr(self.sensor, name).value)

    def _prior(self) -> Array:
        """Numbers before anything is measured but the seeding: cells, gains of the probes, drift of each day."""
        copies, days = self.sensor.copies, self.drift_days.size
        stated = [getattr(self.sensor, name) for name in LEARNED]
        loose = normal(self.seed, self.ids, "soft sensor copies", copies * (3 + len(LEARNED) + days))
        loose = loose.reshape(-1, copies, 3 + len(LEARNED) + days)
        seeded = np.log(np.asarray(self.readings.counts)[:, :1]) + self._value("count_error") * loose[:, :, 0]
        if self.experience is not None:
            size = loose.shape[2] - 1
            root = np.linalg.cholesky(self.experience.covariance[:size, :size] + 1e-12 * np.eye(size))
            rest = self.experience.mean[:size] + loose[:, :, 1:] @ root.T
        else:
            middle = [math.log(number.median) for number in stated] + [0.0] * (2 + days)
            gain, drift = self._value("probe_gain"), self._value("growth_drift")
            spread = [number.log_sd for number in stated] + [gain, gain] + [drift] * days
            rest = np.array(middle) + np.array(spread) * loose[:, :, 1:]
        return np.concatenate([seeded[:, :, None], rest], axis=2)

    def _solve(self, numbers: Array, days: Array, outputs: Sequence[str]) -> Array:
        """What the copies do, shape (run, copy, day, output)."""
        from livingdrug.engine.solve import LOOSE, Change, solve
        from livingdrug.therapy.culture import Culture

        runs, copies, _ = numbers.shape
        flat = np.exp(np.clip(numbers.reshape(runs * copies, -1), -80, 80))
        given = dict(zip(self.names[:-2], flat[:, : len(self.names) - 2].T, strict=True))
        growth = given["growth_rate"][:, None] * np.exp(np.cumsum(np.log(flat[:, len(self.names) :]), axis=1))
        changes = [Change("growth_rate", growth[:, k], day) for k, day in enumerate(self.drift_days)]
        given["capacity"] = np.maximum(given["capacity"], 2 * given["seeded"])
        fixed = {**usual_medium(self.sensor.device), **self.known}
        spread = {name: np.repeat(np.broadcast_to(value, (runs,)), copies) for name, value in fixed.items()}
        found = solve(Culture, {**given, **spread}, days, outputs=outputs, doses=changes, rtol=LOOSE)
        values = np.where(found.failed[:, None, None], FEWEST, found.values)  # a copy that fails predicts nothing
        return values.reshape(runs, copies, len(days), len(outputs))

    def _living(self, numbers: Array, days: Array) -> Array:
        return np.maximum(self._solve(numbers, days, ["living_cells"])[:, :, :, 0], FEWEST)

    def _predicted(self, numbers: Array) -> Array:
        """What the copies say should have been measured, shape (run, copy, measurement)."""
        counted = np.asarray(self.readings.count_days)[1:]
        days = np.unique(np.concatenate([counted, self.bins, [0.0]]))
        values = self._solve(numbers, days, ["living_cells", "glucose_medium", "lactate_medium"])
        at_counts, at_bins = np.searchsorted(days, counted), np.searchsorted(days, self.bins)
        gain = np.exp(numbers[:, :, len(self.names) - 2 : len(self.names)])
        living = np.log(np.maximum(values[:, :, at_counts, 0], FEWEST))
        return np.concatenate(
            [living, values[:, :, at_bins, 1] * gain[:, :, :1], values[:, :, at_bins, 2] * gain[:, :, 1:]], axis=2
        )


def _measured(sensor: SoftSensor, readings: Readings) -> tuple[Array, Array, Array]:
    """Days of the averages, what was measured (run, measurement), and the covariance of its error (run, m, m)."""
    days, width = np.asarray(readings.days), float(sensor.bin_days.value)
    member = np.floor(days / width).astype(int)
    labels = np.unique(member)
    bins = np.array([days[member == label].mean() for label in labels])
    averages, variances = [], []
    for table in (np.asarray(readings.glucose), np.asarray(readings.lactate)):
        parts = [table[:, member == label] for label in labels]
        number = np.stack([np.sum(np.isfinite(part), axis=1) for part in parts], axis=1)
        total = np.stack([np.nansum(part, axis=1) for part in parts], axis=1)
        averages.append(np.where(number > 0, total / np.maximum(number, 1), np.nan))
        variances.append(float(sensor.probe_error.value) ** 2 / np.maximum(number, 1))
    with np.errstate(divide="ignore"):
        counts = np.log(np.asarray(readings.counts)[:, 1:])
    counts = np.where(np.isfinite(counts), counts, np.nan)
    measured = np.concatenate([counts, *averages], axis=1)
    runs, first = measured.shape[0], counts.shape[1]
    error = np.zeros((runs, measured.shape[1], measured.shape[1]))
    diagonal = np.arange(measured.shape[1])
    count_variance = np.full(counts.shape, float(sensor.count_error.value) ** 2)
    error[:, diagonal, diagonal] = np.concatenate([count_variance, *variances], axis=1)
    alike = float(sensor.model_error.value) ** 2 * np.exp(-np.abs(bins[:, None] - bins))
    for start in (first, first + bins.size):
        error[:, start : start + bins.size, start : start + bins.size] += alike
    return bins, measured, error


def _moved(numbers: Array, predicted: Array, measured: Array, error: Array, noise: Array) -> Array:
    """The copies moved towards what was measured (one small step); missing values do not move them."""
    missing = np.isnan(measured)
    wanted = np.where(missing, 0.0, measured)[:, None, :] + np.einsum("rij,rcj->rci", np.linalg.cholesky(error), noise)
    away = np.where(missing[:, None, :], 0.0, wanted - predicted)
    spread = np.where(missing[:, None, :], 0.0, predicted - predicted.mean(axis=1, keepdims=True))
    about = numbers - numbers.mean(axis=1, keepdims=True)
    copies = numbers.shape[1] - 1
    shared = np.einsum("rci,rcj->rij", spread, spread) / copies + error
    cross = np.einsum("rcp,rcj->rpj", about, spread) / copies
    gained = np.linalg.solve(shared, away.transpose(0, 2, 1))
    return numbers + np.einsum("rpj,rjc->rcp", cross, gained)
