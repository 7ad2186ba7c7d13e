"""One batch, watched: its course in the vessel, what probes and counts would read, and the soft sensor's forecast.

The readings are simulated from the batch with the errors that the soft sensor states.

Example:
    >>> from livingdrug.therapy.processes import process
    >>> seen = watch(process("standard").run(2, seed=1), 1)
    >>> bool(seen.low[-1] < seen.living[-1] < seen.high[-1]), seen.read_until < seen.harvest_day
    (True, True)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.streams import normal
from livingdrug.therapy.engineering import EngineeredCells
from livingdrug.therapy.multiplication import MultiplicationPlan, courses
from livingdrug.therapy.processes import Batches
from livingdrug.therapy.soft_sensor import Readings, SoftSensor

__all__ = ["Watched", "watch"]

Array = NDArray[np.float64]
AHEAD = 2.5  # days before the harvest at which the forecast is made, as in the published benchmark (facer2025)
LEAST_AHEAD = 0.25
DENSE = 97


@dataclass(frozen=True, eq=False)
class Watched:
    """One batch in its vessel.

    Attributes:
        patient: whose batch it is.
        days: since seeding, shape (d,); ``living`` the true living cells on them.
        read_until: last day of probes and counts.
        count_days: of the simulated counts, ``counts`` their values.
        forecast_days: from the last reading to the harvest; ``middle``, ``low`` and ``high`` the forecast and its 90 %
            interval. Empty where the culture is too short for a forecast.
    """

    patient: int
    days: Array
    living: Array
    read_until: float
    count_days: Array
    counts: Array
    forecast_days: Array
    middle: Array
    low: Array
    high: Array

    @property
    def harvest_day(self) -> float:
        """Days from seeding to harvest."""
        return float(self.days[-1])


def watch(batches: Batches, patient: int, *, seed: int | None = None) -> Watched:
    """Return the course of one patient's batch, with simulated readings and the forecast made from them.

    Args:
        batches: what a process made.
        patient: who came at least as far as the culture.
        seed: of the errors of the readings; that of the batches unless given.

    Raises:
        InputError: there is no such patient, or no culture was begun.
    """
    cells, lot_seed, harvest = _cells_of(batches, patient)
    plan, sensor = batches.process.multiplication, SoftSensor(device=batches.process.multiplication.device)
    seed = batches.seed if seed is None else seed
    last = harvest - AHEAD if harvest >= 2 * AHEAD else harvest / 2
    days = np.linspace(0.0, harvest, DENSE)
    true = courses(cells, days, plan, seed=lot_seed)[0]
    probe_days = np.arange(1, max(int(last * 24), 2) + 1) / 24.0
    count_days = np.unique(np.append(np.arange(0.0, last, 2.0), last))
    readings = _readings(cells, plan, sensor, probe_days[probe_days <= last], count_days, seed, lot_seed)
    empty = np.empty(0)
    band = (empty, empty, empty, empty)
    if last >= 1.0 and harvest - last > LEAST_AHEAD:
        forecast = sensor.predict(readings, harvest, seed=seed)
        low, high = forecast.band(0.9)
        band = (np.asarray(forecast.days), np.median(forecast.living[0], axis=0), low[0], high[0])
    return Watched(patient, days, true[:, 0], last, count_days, np.asarray(readings.counts)[0], *band)


def _cells_of(batches: Batches, patient: int) -> tuple[EngineeredCells, int, float]:
    """Return the engineered cells of one patient's batch, the seed of its culture, and the day of harvest."""
    rows = np.flatnonzero(batches.patients.ids == patient)
    if not rows.size:
        raise InputError(f"patient {patient} is not among the {len(batches)} patients of {batches.process.name}")
    row = batches.patients.take(rows)
    known = {name: row[name] for name in row if not np.isnan(row[name][0])}
    one, seed = Patients(row.ids, known, {name: row.units[name] for name in known}), batches.seed
    days = "lot_culture_days" if batches.process.donors else "culture_days"
    if days not in one:
        left = dict(zip(batches.attrition.ids.tolist(), batches.attrition.reasons, strict=True)).get(patient, "")
        raise InputError(f"no culture was begun for patient {patient}: {left}")
    if batches.process.donors:
        one, seed = batches.process.lot(one.ids, one, int(one["lots_made"][0]) - 1, batches.seed)
    made = batches.process.own_cells(one, seed)["engineer"]
    assert isinstance(made, EngineeredCells)
    if not made.patients["engineered_t_cells"][0] > 0:
        raise InputError(f"no living T cell was seeded for patient {patient}, so that nothing grew; choose another one")
    return made, seed, float(known[days][0])


def _readings(
    cells: EngineeredCells,
    plan: MultiplicationPlan,
    sensor: SoftSensor,
    probe_days: Array,
    count_days: Array,
    seed: int,
    lot_seed: int,
) -> Readings:
    ids = cells.patients.ids
    probed = courses(cells, np.append(0.0, probe_days), plan, seed=lot_seed)[0, 1:]
    counted = courses(cells, count_days, plan, seed=lot_seed)[0, :, 0]

    def read(true: Array, what: str) -> Array:
        gain = np.exp(sensor.probe_gain.value * normal(seed, ids, f"gain of {what}")[0, 0])
        noise = sensor.probe_error.value * normal(seed, ids, f"noise of {what}", true.size)[0]
        return np.maximum(true * gain + noise, 0.0)

    noise = normal(seed, ids, "counts of the vessel", count_days.size)[0]
    counts = counted * np.exp(sensor.count_error.value * np.where(count_days > 0, noise, 0.0))
    return Readings(probe_days, read(probed[:, 1], "glucose"), read(probed[:, 2], "lactate"), count_days, counts)
