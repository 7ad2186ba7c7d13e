"""Comparator arms: standard treatment as a few stated numbers from earlier trials, drawn for each patient.

A comparator has no body: some responders never progress; the others do with a constant hazard, soon without a response
and later with one. Survival after it is a stated hazard, with or without crossover to CAR T cells. Day 0 is the start
of treatment.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from livingdrug.declared import Declared, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.streams import uniform
from livingdrug.therapy.stated import Fixed, within
from livingdrug.trials.observed import dated_progression
from livingdrug.trials.protocol import Visits

__all__ = ["COMPARATORS", "Comparator", "comparator"]

Array = NDArray[np.float64]
Share = Annotated[Fixed, within("fraction", 0.0, 1.0)]
Days = Annotated[Fixed, within("day", 0.0, 20_000.0, above=True)]
FILE = Path(__file__).with_name("comparators.toml")
YEAR = 365.25
NEVER = np.inf


class Comparator(Declared):
    """A standard treatment; see the head of ``comparators.toml``."""

    title: Text
    disease: Text
    complete: Share
    partial: Share
    response_day: Days
    event_free: Share
    median_unanswered: Days
    median_answered: Days
    rescued: Share
    median_after: Days
    crossed_rescued: Share
    crossed_median: Days
    early_death: Annotated[Fixed, within("1/year", 0.0, 10.0)]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.complete.value + self.partial.value > 1:
            raise InputError("complete and partial responses are more than all patients")
        if self.event_free.value > self.complete.value + self.partial.value:
            raise InputError("event_free: only responders stay free of progression, but there are more of them")
        return self

    def draw(
        self, ids: NDArray[np.uint64], seed: int, visits: Array, crossover: float, plan: Visits | None = None
    ) -> dict[str, Any]:
        """Return what becomes of patients, column of outcomes -> shape (patient,); infinity is never.

        Args:
            ids: patients.
            seed: of the random streams.
            visits: days on which progression can be seen.
            crossover: share who get CAR T cells after progression.
            plan: how a progression is dated, as in an arm with a product; on the visit's planned day without.
        """
        luck = uniform(seed, ids, "trial:comparator", 7)
        order = luck[:, 0]
        responds = self._responses(order)
        answered = responds != ""
        day = np.where(answered, self.response_day.value * (0.75 + 0.5 * luck[:, 1]), NEVER)
        lasts = -np.log2(luck[:, 6]) * np.where(answered, self.median_answered.value, self.median_unanswered.value)
        free = order > 1 - self.event_free.value
        seen = _next_visit(visits, np.where(free, NEVER, np.where(answered, day, 0.0) + lasts))
        first = seen <= visits[0]
        if plan is not None:  # no progression before the response that it ends
            seen = np.maximum(dated_progression(plan, visits, ids, seed, seen), np.where(answered, day, 0.0))
        crossed = luck[:, 2] < crossover
        rescued = np.where(crossed, self.crossed_rescued.value, self.rescued.value)
        median = np.where(crossed, self.crossed_median.value, self.median_after.value)
        after = np.where(luck[:, 3] < rescued, NEVER, seen - np.log2(luck[:, 4]) * median)
        other = -np.log(luck[:, 5]) * YEAR / max(self.early_death.value, 1e-12)
        return {
            "progression_day": seen,
            "best_response": np.where(responds == "", np.where(first, "PD", "SD"), responds),
            "response_day": day,
            "cr_day": np.where(responds == "CR", day, NEVER),
            "new_therapy_day": np.where(np.isfinite(seen), seen + 14.0, NEVER),
            "death_day": np.minimum(after, other),
            "death_cause": np.where(after <= other, "disease", "other"),
        }

    def _responses(self, order: Array) -> NDArray[np.str_]:
        complete, partial = self.complete.value, self.partial.value
        return np.where(order > 1 - complete, "CR", np.where(order > 1 - complete - partial, "PR", ""))


def _next_visit(visits: Array, day: Array) -> Array:
    """Return the first visit on or after a day; the day itself after the last visit."""
    place = np.searchsorted(visits, day)
    return np.where(place < visits.size, visits[np.minimum(place, visits.size - 1)], day)


@lru_cache(maxsize=1)
def _all() -> dict[str, Comparator]:
    return {name: declare(Comparator, table, f"{FILE.name}: {name}") for name, table in read_toml(FILE).items()}


COMPARATORS: tuple[str, ...] = (
    "fl_relapsed", "lbcl_first_line_high_risk", "lbcl_second_line", "myeloma_lenalidomide_refractory",
    "myeloma_triple_exposed",
)  # fmt: skip
"""Names of the comparators."""


def comparator(name: str) -> Comparator:
    """Return a comparator by name; an unknown one is an InputError with the nearest names.

    Example:
        >>> comparator("lbcl_second_line").complete.source
        'orcharrd'
    """
    if name not in _all():
        raise InputError(unknown_name("comparator", name, _all()))
    return _all()[name]
