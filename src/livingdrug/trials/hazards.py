"""What else happens after the infusion: other deaths, transplant, further treatment, drop-out, life after relapse.

The body's course gives infections (as a hazard) and side effects (as grades); the rest are hazards by disease, stated
in ``hazards.toml`` with their sources, or as guesses beside the published range. What a disease does not state is the
number of ``[everyone]`` there. Each patient's luck is his or her own, so another dose or rule changes only what it
causes.

Left out: second cancers, and how a patient's age or frailty changes a hazard.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Annotated

import numpy as np
from numpy.typing import NDArray

from livingdrug.declared import Declared, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.streams import uniform
from livingdrug.therapy.stated import Fixed, within
from livingdrug.trials.protocol import Transplant

__all__ = [
    "Early",
    "Hazards",
    "early_events",
    "exponential",
    "hazards_of",
    "life_after",
    "transplant_death",
    "transplants",
]

Array = NDArray[np.float64]
Share = Annotated[Fixed, within("fraction", 0.0, 1.0)]
PerYear = Annotated[Fixed, within("1/year", 0.0, 100.0)]
Days = Annotated[Fixed, within("day", 0.0, 20_000.0)]
YEAR = 365.25
NEVER = np.inf
SEVERE = 4
TOXIC_LAG = 5.0  # days from grade 4 to a death of it: assumed


class Hazards(Declared):
    """Hazards of one disease; see the head of ``hazards.toml``."""

    rest_death: PerYear
    infection_fatality: Share
    toxicity_fatality: Share
    early_therapy: PerYear
    rescued: Share
    median_after: Days
    therapy_after: Days
    treated_again: Share
    transplant_death: Share


@lru_cache(maxsize=1)
def _all() -> dict[str, Hazards]:
    with resources.as_file(resources.files("livingdrug.trials") / "hazards.toml") as path:
        tables = read_toml(path)
    shared = tables.pop("everyone")
    return {name: declare(Hazards, {**shared, **table}, f"hazards.toml: {name}") for name, table in tables.items()}


def hazards_of(disease: str) -> Hazards:
    """Return the hazards of a disease, with those of everyone where it has none of its own.

    Raises:
        InputError: for an unknown disease, with the nearest names.

    Example:
        >>> hazards_of("lbcl").median_after.source
        'scholar1'
        >>> hazards_of("cll").infection_fatality == hazards_of("fl").infection_fatality  # both of everyone
        True
    """
    if disease not in _all():
        raise InputError(unknown_name("disease with hazards", disease, _all()))
    return _all()[disease]


@dataclass(frozen=True, eq=False)
class Early:
    """Days of what may happen before any relapse; infinity for never, shape (patient,)."""

    death: Array
    cause: NDArray[np.str_]
    infection: Array
    new_therapy: Array
    drop_out: Array


def exponential(seed: int, ids: NDArray[np.uint64], purpose: str, per_year: float) -> Array:
    """Return days to an event with a constant hazard, infinity if there is none."""
    if per_year <= 0:
        return np.full(ids.size, NEVER)
    return -np.log(uniform(seed, ids, purpose)[:, 0]) * YEAR / per_year


def early_events(
    ids: NDArray[np.uint64],
    seed: int,
    hazards: Hazards,
    drop_out: float,
    days: Array,
    infections: Array,
    severe_day: Array,
) -> Early:
    """Return deaths without relapse, further treatment and drop-out.

    Args:
        ids: patients, shape (patient,).
        seed: of the random streams.
        hazards: of the disease.
        drop_out: of the trial, per year.
        days: of the course, ascending, shape (day,).
        infections: the body's cumulated hazard of severe infections on these days, shape (patient, day).
        severe_day: day on which CRS or neurotoxicity reached grade 4, NaN for never, shape (patient,).
    """
    luck, fatality = uniform(seed, ids, "trial:early", 4), hazards.infection_fatality.value
    first = -np.log(luck[:, 0])  # the first severe infection kills by chance, or else a later one does
    later = first - np.log(luck[:, 2]) / max(fatality, 1e-12)
    infection = _first_above(days, infections, np.where(luck[:, 1] < fatality, first, later))
    toxic = np.where(luck[:, 3] < hazards.toxicity_fatality.value, severe_day + TOXIC_LAG, np.nan)
    other = exponential(seed, ids, "trial:other death", hazards.rest_death.value)
    table = np.stack([infection, np.nan_to_num(toxic, nan=NEVER), other])
    names = np.array(["infection", "toxicity", "other"])
    return Early(
        table.min(axis=0),
        names[table.argmin(axis=0)],
        _first_above(days, infections, first),
        exponential(seed, ids, "trial:early therapy", hazards.early_therapy.value),
        exponential(seed, ids, "trial:drop-out", drop_out),
    )


def _first_above(days: Array, values: Array, level: Array) -> Array:
    """Return the day on which a rising course passes a level, by straight lines; infinity if it does not."""
    rise = np.maximum(values - values[:, :1], 0.0)
    place = (rise <= level[:, None]).sum(axis=1)
    inside = np.clip(place, 1, days.size - 1)
    rows = np.arange(level.size)
    low, high = rise[rows, inside - 1], rise[rows, inside]
    part = np.divide(level - low, high - low, out=np.zeros(level.size), where=high > low)
    found = days[inside - 1] + part * (days[inside] - days[inside - 1])
    return np.where((place > 0) & (place < days.size), np.maximum(found, 0.0), NEVER)


def transplants(
    ids: NDArray[np.uint64], seed: int, plan: Transplant | None, response_day: Array
) -> tuple[Array, NDArray[np.bool_]]:
    """Return the day of a transplant (infinity for none) and whether it would prevent a relapse."""
    if plan is None:
        return np.full(ids.size, NEVER), np.zeros(ids.size, bool)
    luck = uniform(seed, ids, "trial:transplant", 2)
    chosen = np.isfinite(response_day) & (luck[:, 0] < plan.of_responders.value)
    day = np.maximum(plan.day.draw(seed, ids, "trial:transplant day"), np.nan_to_num(response_day) + 14.0)
    return np.where(chosen, day, NEVER), luck[:, 1] < plan.prevents.value


def transplant_death(ids: NDArray[np.uint64], seed: int, hazards: Hazards, transplant: Array) -> Array:
    """Return the day of a death of the transplant, within its first year; infinity for none."""
    luck = uniform(seed, ids, "trial:transplant death", 2)
    return np.where(luck[:, 0] < hazards.transplant_death.value, transplant + YEAR * luck[:, 1], NEVER)


def life_after(ids: NDArray[np.uint64], seed: int, hazards: Hazards, failure: Array) -> Mapping[str, Array]:
    """Return the days of death and of the next treatment after progression or failure; infinity for never.

    Some are rescued for good; the others die with a constant hazard.
    """
    luck = uniform(seed, ids, "trial:after progression", 4)
    lived = -np.log2(luck[:, 0]) * hazards.median_after.value
    death = np.where(luck[:, 1] < hazards.rescued.value, NEVER, failure + lived)
    waited = -np.log2(luck[:, 2]) * hazards.therapy_after.value
    again = np.where(luck[:, 3] < hazards.treated_again.value, failure + waited, NEVER)
    return {"death": death, "new_therapy": np.where(again < death, again, NEVER)}
