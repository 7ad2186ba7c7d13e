"""What a trial reports, computed from its outcomes: proportions, medians, geometric means, survival.

A measure names a statistic, a quantity, the set of patients and what else it needs; a new one is one function in
``YES_NO``, ``SETS`` or ``clock``. Every measure is computed for many replicates at once: rows of patient numbers, shape
(replicate, patient). Percentages are from 0 to 100. Not for clinical use.

Example:
    >>> some = Outcomes.of([1, 2, 3], {"infused": [True, True, False], "cmax": [10.0, 1000.0, np.nan]})
    >>> round(value(some, Measure(statistic="geometric mean", of="cmax")), 6)
    100.0
    >>> round(value(some, Measure(statistic="proportion", of="infused", among=["enrolled"])), 1)
    66.7
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from livingdrug.declared import Declared, Number, Text
from livingdrug.errors import InputError, unknown_name
from livingdrug.trials.outcomes import COLUMNS, Outcomes
from livingdrug.trials.survival import many_curves

__all__ = ["CLOCKS", "DAYS_PER_MONTH", "SETS", "YES_NO", "Measure", "clock", "samples_of", "value"]

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
DAYS_PER_MONTH = 365.25 / 12
CLOCKS = ("pfs", "efs", "os", "dor", "rfs", "b-cell aplasia")
STATISTICS = Literal[
    "proportion", "median", "geometric mean", "arithmetic mean", "geometric CV", "standard deviation", "survival",
    "median time",
]  # fmt: skip
REACH = 0.9  # a curve that ends earlier than this part of a landmark says nothing about it: assumed


class Measure(Declared):
    """How a number of a trial is computed.

    Attributes:
        statistic: which number.
        of: for a proportion a name in ``YES_NO`` or a yes/no column; for survival a clock; else a column.
        among: analysis sets, all of which a patient must be in; the first says from whom a replicate is drawn.
        scale: of grading, where the quantity or a set is about grades.
        at_least: least grade that counts; ``exactly``: the only grade that counts.
        day: of a landmark, or by which something must have happened.
        unit: of the number; times may be in days or months.
        followed: earliest and latest end of follow-up in days, for a data cut before the last one.
    """

    statistic: STATISTICS
    of: Text
    among: Annotated[tuple[Text, ...], Field(min_length=1)] = ("infused",)
    scale: Text = ""
    at_least: Annotated[int, Field(ge=1, le=5)] = 1
    exactly: Annotated[int, Field(ge=0, le=5)] | None = None
    day: Annotated[Number, Field(ge=0)] | None = None
    unit: Text = ""
    followed: tuple[Number, Number] | None = None

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name in self.among:
            if name not in SETS and not name.startswith("dose "):
                raise InputError(f"among: {unknown_name('set of patients', name, SETS)}")
        known: Any = {"proportion": (*YES_NO, *_yes_no_columns()), "survival": CLOCKS, "median time": CLOCKS}
        allowed = known.get(self.statistic, None)
        if allowed is None:
            allowed = (*COLUMNS, *GRADED)
        if self.of not in allowed:
            raise InputError(f"of: {unknown_name(f'quantity for a {self.statistic}', self.of, allowed)}")
        if self.statistic == "survival" and self.day is None:
            raise InputError("day: a share without event needs its day")
        return self


def _yes_no_columns() -> tuple[str, ...]:
    return tuple(name for name, (unit, _) in COLUMNS.items() if unit == "yes/no")


def _grade(syndrome: str) -> Callable[[Outcomes, Measure], Flags]:
    def graded(outcomes: Outcomes, measure: Measure) -> Flags:
        found = outcomes[f"{syndrome}_{measure.scale}"]
        return found == measure.exactly if measure.exactly is not None else found >= measure.at_least

    return graded


def _best(*names: str) -> Callable[[Outcomes, Measure], Flags]:
    return lambda outcomes, _: np.isin(outcomes["best_response"], names)


def _responded(outcomes: Outcomes, measure: Measure) -> Flags:
    return outcomes["response_day"] <= (math.inf if measure.day is None else measure.day)


def _in_complete_response(outcomes: Outcomes, measure: Measure) -> Flags:
    """In complete response on a day: reached by then, and neither progressed, nor treated anew, nor dead."""
    day = math.inf if measure.day is None else measure.day
    ends = ("progression_day", "new_therapy_day", "death_day")
    over = np.logical_or.reduce([outcomes[name] <= day for name in ends])
    return (outcomes["cr_day"] <= day) & ~over


def _left(reason: str) -> Callable[[Outcomes, Measure], Flags]:
    return lambda outcomes, _: outcomes["left_reason"] == reason


YES_NO: Mapping[str, Callable[[Outcomes, Measure], Flags]] = {
    "not infused": lambda outcomes, _: ~outcomes["infused"],
    "manufacturing failure": _left("manufacturing failure"),
    "death before infusion": _left("death"),
    "progression before infusion": _left("progression"),
    "adverse event before infusion": _left("adverse event"),
    "other reason before infusion": _left("other"),
    "response": _responded,
    "complete response": lambda outcomes, _: np.isfinite(outcomes["cr_day"]),
    "in complete response": _in_complete_response,
    "stringent complete response": _best("sCR"),
    "very good partial response": _best("VGPR", "CR", "sCR"),
    "residual disease negative": lambda outcomes, _: outcomes["mrd_negative"],
    "antigen-negative": lambda outcomes, _: outcomes["relapse_antigen"] == "negative",
    "crs": _grade("crs"),
    "neuro": _grade("neuro"),
    "transplant": lambda outcomes, _: np.isfinite(outcomes["transplant_day"]),
}
"""Quantities of a proportion, besides the yes/no columns."""

GRADED = ("crs onset", "crs duration", "crs days to 3", "neuro onset", "neuro duration", "neuro days to 3")
"""Columns of a scale of grading; the measure names the scale."""

SETS: Mapping[str, Callable[[Outcomes, Measure], Flags]] = {
    "enrolled": lambda outcomes, _: np.ones(len(outcomes), bool),
    "infused": lambda outcomes, _: outcomes["infused"],
    "responders": lambda outcomes, _: outcomes["infused"] & np.isfinite(outcomes["response_day"]),
    "non-responders": lambda outcomes, _: outcomes["infused"] & ~np.isfinite(outcomes["response_day"]),
    "complete responders": lambda outcomes, _: outcomes["infused"] & np.isfinite(outcomes["cr_day"]),
    "with crs": lambda outcomes, measure: outcomes[f"crs_{measure.scale}"] >= 1,
    "with severe crs": lambda outcomes, measure: outcomes[f"crs_{measure.scale}"] >= 3,
    "with neuro": lambda outcomes, measure: outcomes[f"neuro_{measure.scale}"] >= 1,
    "antigen known at relapse": lambda outcomes, measure: (
        (outcomes["relapse_antigen"] != "")
        & np.isfinite(outcomes["response_day"])
        & (outcomes["progression_day"] <= _watched(outcomes, measure))
    ),
}
"""Analysis sets; "dose 450e6" is the set of a dose level. A relapse follows a response, within the data cut."""


def member(outcomes: Outcomes, measure: Measure) -> Flags:
    """Return who is in all sets of a measure, shape (patient,)."""
    inside = np.ones(len(outcomes), bool)
    for name in measure.among:
        inside &= in_set(outcomes, name, measure)
    return inside


def in_set(outcomes: Outcomes, name: str, measure: Measure) -> Flags:
    """Return who is in one set, shape (patient,)."""
    if name.startswith("dose "):
        return outcomes["infused"] & (outcomes["dose_level"] == name.removeprefix("dose "))
    return SETS[name](outcomes, measure)


def clock(outcomes: Outcomes, name: str, rules: Mapping[str, str], measure: Measure, since: str = "infusion") -> Any:
    """Return days from the start of a clock to event or censoring, and whether it is an event, shape (patient,) each.

    The rule of the trial says what is an event and what only ends the watch (``clinic.survival_rules``). It is applied
    to days of events, which is all that outcomes keep; what is censored is censored on that day and not at the visit
    before. NaN where the clock never starts.

    Args:
        outcomes: of a trial.
        name: one of ``CLOCKS``.
        rules: clock -> name of the rule.
        measure: its data cut.
        since: "infusion" or "enrolment", for clocks that do not start with the response.

    Raises:
        InputError: the trial states no rule for this clock.
    """
    if name == "b-cell aplasia":
        end = _watched(outcomes, measure)
        stop = np.fmin(end, outcomes["progression_day"])
        return _counted(outcomes["b_cell_aplasia_end_day"], stop, np.zeros(len(outcomes)))
    from livingdrug.clinic.survival_rules import endpoint_rule

    if name not in rules:
        raise InputError(unknown_name("clock of this trial", name, rules))
    rule = endpoint_rule(rules[name])
    shift = np.zeros(len(outcomes)) if since == "infusion" else outcomes["day0_from_enrolment"]
    response = outcomes["response_day"] if rule.least_response != "CR" else outcomes["cr_day"]
    start = response if rule.start == "response" else -shift
    own = outcomes["death_cause"] == "disease"
    days = {
        "progression": outcomes["progression_day"],
        "death": outcomes["death_day"],
        "disease_death": np.where(own, outcomes["death_day"], np.nan),
        "no_response": np.where(
            outcomes["response_day"] <= rule.response_by_day - shift, np.nan, rule.response_by_day - shift
        ),
        "new_therapy": outcomes["new_therapy_day"],
    }
    event = np.fmin.reduce([np.asarray(days[each], np.float64) for each in rule.events])
    ends = [_watched(outcomes, measure)]
    ends += [outcomes["new_therapy_day"]] if rule.new_therapy == "censor" else []
    ends += [outcomes["transplant_day"]] if rule.transplant == "censor" else []
    ends += [outcomes["death_day"]] if "death" not in rule.events else []
    return _counted(event, np.fmin.reduce(ends), start)


def _watched(outcomes: Outcomes, measure: Measure) -> Array:
    """Return the last day under watch at the measure's data cut."""
    if measure.followed is None:
        return outcomes["last_followed_day"]
    first, last = measure.followed
    return np.fmin(outcomes["last_followed_day"], last + outcomes["accrual"] * (first - last))


def _counted(event: Array, stop: Array, start: Array) -> tuple[Array, Flags]:
    happened = event <= stop
    day = np.where(happened, event, stop) - start
    return np.where(np.isfinite(start), np.maximum(day, 0.0), np.nan), happened & np.isfinite(start)


def value(
    outcomes: Outcomes, measure: Measure, rules: Mapping[str, str] | None = None, since: str = "infusion"
) -> float:
    """Return a measure of all patients; NaN where there is nobody, infinite for a median that is not reached."""
    return float(samples_of(outcomes, measure, np.arange(len(outcomes))[None, :], rules, since)[0])


def samples_of(
    outcomes: Outcomes,
    measure: Measure,
    rows: NDArray[np.intp],
    rules: Mapping[str, str] | None = None,
    since: str = "infusion",
) -> Array:
    """Return a measure of many replicates, shape (replicate,).

    Args:
        outcomes: the pool of patients.
        measure: what is computed.
        rows: patients of each replicate as numbers of rows, shape (replicate, patient).
        rules: clock -> rule of censoring, for survival.
        since: where clocks begin: "infusion" or "enrolment".
    """
    inside = member(outcomes, measure)
    if measure.statistic in ("survival", "median time"):
        day, event = clock(outcomes, measure.of, rules or {}, measure, since)
        day = np.where(inside & np.isfinite(day), day, np.nan)
        curves = many_curves(day[rows], event[rows])
        if measure.statistic == "survival":
            assert measure.day is not None  # checked when it was declared
            return np.where(_reached(day[rows], event[rows], measure.day), 100 * curves.at(measure.day)[:, 0], np.nan)
        return curves.median() / (DAYS_PER_MONTH if measure.unit == "months" else 1.0)
    if measure.statistic == "proportion":
        found = YES_NO[measure.of](outcomes, measure) if measure.of in YES_NO else outcomes[measure.of]
        numbers = np.where(inside, 100.0 * found, np.nan)
        return _mean(numbers[rows])
    return REDUCE[measure.statistic](np.where(inside, _column(outcomes, measure), np.nan)[rows])


def _reached(day: Array, event: Flags, landmark: float) -> Flags:
    """Return whether a curve tells of a landmark: somebody was watched until shortly before, or all had events."""
    last = np.nan_to_num(day, nan=-np.inf).max(axis=1, initial=-np.inf)
    return (last >= REACH * landmark) | (event | np.isnan(day)).all(axis=1)


def _column(outcomes: Outcomes, measure: Measure) -> Array:
    if measure.of in GRADED:
        syndrome, rest = measure.of.split(" ", 1)
        return outcomes[f"{syndrome}_{rest.replace(' ', '_')}_{measure.scale}"]
    return np.asarray(outcomes[measure.of], np.float64)


def _mean(values: Array) -> Array:
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, count, out=np.full(len(values), np.nan), where=count > 0)


def _sd(values: Array) -> Array:
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    square = np.where(known, (values - _mean(values)[:, None]) ** 2, 0.0).sum(axis=1)
    return np.sqrt(np.divide(square, count - 1, out=np.full(len(values), np.nan), where=count > 1))


def _median(values: Array) -> Array:
    ordered = np.sort(values, axis=1)  # NaN last
    count = (~np.isnan(values)).sum(axis=1)
    rows = np.arange(len(values))
    low, high = np.maximum((count - 1) // 2, 0), np.minimum(count // 2, values.shape[1] - 1)
    return np.where(count > 0, (ordered[rows, low] + ordered[rows, high]) / 2, np.nan)


def _log(values: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(values > 0, np.log(values), np.nan)


REDUCE: Mapping[str, Callable[[Array], Array]] = {
    "median": _median,
    "arithmetic mean": _mean,
    "standard deviation": _sd,
    "geometric mean": lambda values: np.exp(_mean(_log(values))),
    "geometric CV": lambda values: 100 * np.sqrt(np.expm1(_sd(_log(values)) ** 2)),
}
