"""Growth and death in culture from what a site writes down: harvest, days and viability of each batch.

The culture model is solved for each batch at the middle of all other numbers of the plan, and growth rate and death
rate are changed until it gives the harvest and the viability that were seen. Without a viability the death rate stays
that of the plan.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.declared import Declared
from livingdrug.patients import Patients
from livingdrug.plant.site_file import SiteBatches
from livingdrug.therapy.multiplication import MultiplicationPlan
from livingdrug.therapy.stated import Fixed, Stated

__all__ = ["fit_culture", "middle_plan"]

Array = NDArray[np.float64]
EDGE = 1e-3
STEPS = 12  # of Newton's method
LONGEST_STEP = 0.7  # of the logarithm of a rate
LIMITS = np.log([[0.02, 8.0], [1e-3, 3.0]])  # 1/day: growth rate, death rate
NUDGE = 1e-3
CLOSE = 0.02  # of ln(harvest) and of the log-odds of the viability: 2 %


def fit_culture(
    batches: SiteBatches, plan: MultiplicationPlan, messages: list[str], *, threads: int | None = None
) -> tuple[Array, Array]:
    """Return growth rate and death rate of each batch (1/day), NaN where the batches do not tell them.

    Args:
        batches: need ``seeded_cells``, ``culture_days`` and one of ``harvested_cells``, ``doublings``,
            ``growth_per_day``; ``viability_fraction`` for the death rate.
        plan: vessel and medium.
        messages: gets a line where something cannot be told.
        threads: of the solver.
    """
    growth, death = np.full(len(batches), np.nan), np.full(len(batches), np.nan)
    seeded, days, fold = _grown(batches, messages)
    rows = np.flatnonzero(np.isfinite(seeded) & np.isfinite(days) & np.isfinite(fold))
    if not rows.size:
        return growth, death
    viability = batches.columns.get("viability_fraction", np.full(len(batches), np.nan))[rows]
    known = np.isfinite(viability)
    odds = np.clip(np.where(known, viability, 0.9), EDGE, 1 - EDGE)
    wanted = np.column_stack([fold[rows], np.log(odds / (1 - odds))])
    culture = _Culture(seeded[rows], days[rows], middle_plan(plan), threads)
    logs, close = _newton(culture, wanted, known)
    growth[rows] = np.where(close, np.exp(logs[:, 0]), np.nan)
    death[rows] = np.where(close & known, np.exp(logs[:, 1]), np.nan)
    if not close.all():
        named = ", ".join(repr(batches.names[row][:40]) for row in rows[~close][:3])
        messages.append(
            f"growth_rate: {int((~close).sum())} of {rows.size} batches cannot be explained by the culture model "
            f"of this vessel and are left out there, e.g. {named}; check days, seeded cells and the device"
        )
    return growth, death


def _grown(batches: SiteBatches, messages: list[str]) -> tuple[Array, Array, Array]:
    """Return seeded cells, days, and ln(harvested / seeded), NaN where unknown."""
    columns, nothing = batches.columns, np.full(len(batches), np.nan)
    seeded, days = columns.get("seeded_cells", nothing), columns.get("culture_days", nothing)
    fold = np.log(columns.get("harvested_cells", nothing) / seeded)
    fold = np.where(np.isfinite(fold), fold, np.log(2) * columns.get("doublings", nothing))
    fold = np.where(np.isfinite(fold), fold, columns.get("growth_per_day", nothing) * days)
    some = {"harvested_cells", "doublings", "growth_per_day"} & columns.keys()
    if some and not np.any(np.isfinite(seeded) & np.isfinite(days) & np.isfinite(fold)):
        messages.append(f"growth_rate: {min(some)} tells of growth only together with seeded_cells and culture_days")
    return seeded, days, fold


def middle_plan(plan: Any) -> Any:
    """Return a plan whose varying numbers all stand at their medians."""
    fields: dict[str, Any] = {}
    for name in type(plan).model_fields:
        value = getattr(plan, name)
        if isinstance(value, Stated):
            value = Fixed(value=float(value.quantile(0.5)), unit=value.unit)
        elif isinstance(value, Declared):
            value = middle_plan(value)
        fields[name] = value
    return type(plan)(**fields)


class _Culture:
    """The culture model at the middle of a plan for batches with their own seeding and days."""

    def __init__(self, seeded: Array, days: Array, plan: MultiplicationPlan, threads: int | None) -> None:
        from livingdrug.therapy.multiplication import _batches

        self.ids, self.plan, self.threads = np.arange(1, seeded.size + 1, dtype=np.uint64), plan, threads
        cells = Patients(self.ids, {"engineered_t_cells": seeded}, {"engineered_t_cells": "cell"})
        given = _batches(cells, plan, 0)
        # what was seeded was seeded, whatever the plan's limit; the vessel then holds it, too
        dead = given["seeded_dead"] / np.maximum(given["seeded"], 1e-300)
        self.seeded, capacity = seeded, np.maximum(given["capacity"], 1.01 * seeded)
        self.given = given | {"seeded": seeded, "seeded_dead": dead * seeded, "capacity": capacity, "duration": days}

    def __call__(self, logs: Array) -> Array:
        """Return ln(harvest / seeded) and the log-odds of the viability, shape (n, 2); ``logs`` are ln(1/day)."""
        from livingdrug.therapy.multiplication import PHENOTYPES, _solved

        rates = {"growth_rate": np.exp(logs[:, 0]), "death_rate": np.exp(logs[:, 1])}
        harvest, _ = _solved(self.given | rates, self.plan, self.ids, self.threads)
        living = np.maximum(np.sum([harvest[name] for name in PHENOTYPES], axis=0), 1e-9)
        return np.column_stack([np.log(living / self.seeded), np.log(living / np.maximum(harvest["dead"], 1e-9))])


def _newton(culture: _Culture, wanted: Array, known: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
    """Return the logarithms of both rates, shape (n, 2), and for which batches they were found."""
    vessel = culture.plan
    growth, death = vessel.growth_rate or vessel.device.growth_rate, vessel.death_rate or vessel.device.death_rate
    start = np.log([float(growth.quantile(0.5)), float(death.quantile(0.5))])
    logs = np.tile(start, (wanted.shape[0], 1))
    miss = culture(logs) - wanted
    for _ in range(STEPS):
        slopes = np.stack(
            [(culture(logs + NUDGE * unit) - miss - wanted) / NUDGE for unit in np.eye(2)], axis=2
        )  # (batch, seen, rate)
        slopes[~known, 1], slopes[~known, 0, 1] = (0.0, 1.0), 0.0
        miss[~known, 1] = 0.0
        flat = np.abs(np.linalg.det(slopes)) < 1e-9
        slopes[flat] = np.eye(2)
        step = -np.linalg.solve(slopes, miss[:, :, None])[:, :, 0]
        step *= np.minimum(1.0, LONGEST_STEP / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        logs = np.clip(logs + step, LIMITS[:, 0], LIMITS[:, 1])
        miss = culture(logs) - wanted
    miss[~known, 1] = 0.0
    return logs, np.abs(miss).max(axis=1) < CLOSE
