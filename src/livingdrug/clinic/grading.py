"""Grading: charts and the twin's rounds on the published scales, as the lowest and highest grade that agree with them.

What is not charted never counts as well: it leaves the grade open, and the answer says between what. Not for clinical
use.

Source:
    The rules with their sources: ``rules/grading_*.toml``.

Example:
    >>> from livingdrug.clinic.observations import observe
    >>> chart = observe(
    ...     [
    ...         ("P1", 2.0, "temperature", 39.1, "degC"),
    ...         ("P1", 2.0, "systolic_pressure", 84, "mmHg"),
    ...         ("P1", 2.0, "vasopressors", 0, ""),
    ...         ("P1", 2.0, "oxygen_device", "nasal_cannula", ""),
    ...         ("P1", 2.0, "oxygen_flow", 2, "L/min"),
    ...     ]
    ... )
    >>> grades = grade(chart, "astct-crs")
    >>> grades.by_time()[["time", "lowest", "highest", "rule"]].values.tolist()
    [[2.0, 2, 2, 'hypotension: low pressure, no vasopressor']]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.grading_rules import GROUPS, Cell, Condition, DayScale, Scale, group, scale
from livingdrug.clinic.grading_signs import OF_ORGANS, Memory, follow, signs
from livingdrug.clinic.grading_visits import Visits, one_round, visits
from livingdrug.clinic.observations import Observations
from livingdrug.clinic.observations_items import ITEMS
from livingdrug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Course", "Grades", "Round", "ScaleGrades", "begin_rounds", "grade", "grade_round", "scale_names"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int8]
OF_COURSE = ("febrile", "pressor_days", "high_dose_hours")


def scale_names() -> tuple[str, ...]:
    """Return the names that ``grade`` knows: groups first, then single scales, then ``all``.

    Example:
        >>> scale_names()[:3], scale_names()[-1]
        (('astct', 'icaht', 't-icaht'), 'all')
    """
    single = [each.name for each in group("all")]
    return (*GROUPS, *single, "all")


@dataclass(frozen=True)
class ScaleGrades:
    """The grades of one scale, one row per patient and time (for scales that count days: per patient and day).

    Attributes:
        scale: the scale.
        names: the patients.
        patient: (n,) place in ``names``.
        time: (n,) days since infusion.
        lowest: (n,) the lowest grade that agrees with the chart.
        highest: (n,) the highest one.
        rule_lowest: (n,) place of the deciding cell in the scale, -1 where no cell is met.
        rule_highest: (n,) the same for the highest grade.
        missing: item -> (n,) or (), the item was not known.
        assumed: item -> (n,) or (), a value was assumed.
        values: item -> what stands in the chart, for the words of the report.
        remarks: what was decided about causes -> (n,) or (), at which times.
    """

    scale: Scale | DayScale
    names: NDArray[np.object_]
    patient: NDArray[np.intp]
    time: Array
    lowest: Numbers
    highest: Numbers
    rule_lowest: Numbers
    rule_highest: Numbers
    missing: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    assumed: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    values: Mapping[str, Array] = field(default_factory=dict)
    remarks: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)

    def __len__(self) -> int:
        return self.time.size


@dataclass(frozen=True)
class Grades:
    """Grades of a chart on one or more scales; the tables are made when asked for."""

    scales: tuple[ScaleGrades, ...]
    findings: pd.DataFrame

    def by_time(self) -> pd.DataFrame:
        """Return a row per patient, time and scale: lowest, highest, rule, observations, missing, assumed, mark."""
        from livingdrug.clinic.grading_tables import by_time

        return by_time(self.scales)

    def by_day(self) -> pd.DataFrame:
        """Return a row per patient, day and scale with the day's grades; days without any row are open, not 0."""
        from livingdrug.clinic.grading_tables import by_day

        return by_day(self.scales)

    def episodes(self) -> pd.DataFrame:
        """Return a row per patient, scale and episode: onset, maximum, end, duration, and what is sure of it."""
        from livingdrug.clinic.grading_episodes import episodes

        return episodes(self.scales)

    def notices(self) -> tuple[str, ...]:
        """Return what must be said beside these grades: the proof of each scale, and what could not be confirmed."""
        return tuple(
            f"{g.scale.title}: {g.scale.mark} ({g.scale.source}). {g.scale.note}".rstrip() for g in self.scales
        )


def grade(observations: Observations, scale: str = "astct", *, assume_absent: Iterable[str] = ()) -> Grades:
    """Grade a chart.

    Args:
        observations: a checked chart, from ``observe`` or ``read_observations``.
        scale: a name of ``scale_names``: ``astct`` (CRS and ICANS), ``icaht``, ``lee``, ``all`` ...
        assume_absent: items that mean "well" wherever the chart says nothing about them; every output names them.

    Returns:
        The grades at each charted time from infusion on.

    Raises:
        InputError: an unknown scale or item.
    """
    scales, absent = group(scale), tuple(assume_absent)
    graded: dict[str, ScaleGrades] = {}
    at_visits = [each for each in scales if isinstance(each, Scale)]
    if at_visits:
        needed = dict.fromkeys(name for each in at_visits for name in each.items)
        laid = visits(observations, needed, absent)
        graded = {found.scale.name: found for found in _grade_visits(at_visits, laid)}
    for each in scales:
        if isinstance(each, DayScale):
            from livingdrug.clinic.grading_days import grade_days

            graded[each.name] = grade_days(observations, each)
    return Grades(tuple(graded[each.name] for each in scales), observations.findings)


def _grade_visits(scales: list[Scale], at: Visits) -> list[ScaleGrades]:
    keep = np.flatnonzero(at.time >= 0)
    course = any(c.name in OF_COURSE for each in scales for cell in each.cells for c in cell.conditions)
    bounds = []
    for values in (at.mild, at.worst):
        found = signs(values, at.baseline)
        bounds.append(found | _follow_all(found, at, keep, earliest=values is at.worst) if course else found)
    graded = []
    for each in scales:
        (low, rule_low), (high, rule_high) = (_judge(each, found, len(at)) for found in bounds)
        take = {name: _rows(at.missing[name], keep) for name in each.items}
        graded.append(
            ScaleGrades(
                each, at.names, at.patient[keep], at.time[keep], low[keep], high[keep], rule_low[keep], rule_high[keep],
                take, {name: _rows(at.assumed[name], keep) for name in each.items if name in at.assumed},
                {name: _rows(at.worst[name], keep) for name in each.items},
                {words: _rows(flag, keep) for words, flag in _remarks(each, at, bounds[0]).items()},
            )
        )  # fmt: skip
    return graded


def _remarks(each: Scale, at: Visits, found: Mapping[str, Array]) -> dict[str, NDArray[np.bool_]]:
    """Return what was decided about the causes of signs, and where."""
    remarks = {}
    used = {condition.name for cell in each.cells for condition in cell.conditions}
    if "febrile" in used:
        hidden = (found["febrile"] > 0) & (found["fever"] == 0)
        ill = (found["hypotension"] > 0) | (found["oxygen_level"] > 0)
        remarks["no fever, but treated since CRS began: still counts"] = hidden & ill
    if "oxygen_level" in used:
        cause = (at.mild["hypoxia_other_cause"] > 0) | (at.mild["ventilation_other_cause"] > 0)
        remarks["oxygen not more than before infusion: not counted"] = (
            (at.mild["oxygen_device"] > 0) & (found["oxygen_level"] == 0) & ~cause
        )
    for name in each.items:
        if name.endswith("_other_cause") or name == "intracranial_haemorrhage":
            remarks[f"{name}: not counted"] = at.mild[name] > 0
    return remarks


def _rows(values: NDArray, keep: NDArray[np.intp]) -> NDArray:
    return values[keep] if values.ndim else values


def _judge(each: Scale, found: Mapping[str, Array], count: int) -> tuple[Numbers, Numbers]:
    """Return grade and place of the deciding cell for ``count`` charts."""
    reached, rule = np.zeros(count, np.int8), np.full(count, -1, np.int8)
    for place, cell in enumerate(each.cells):  # in rising order of the grade
        met = np.broadcast_to(_is_met(cell, found), (count,))
        # Of cells with the same grade the first one stands.
        met = met & (reached < cell.grade)
        reached[met], rule[met] = cell.grade, place
    return reached, rule


def _is_met(cell: Cell, found: Mapping[str, Array]) -> NDArray[np.bool_]:
    met = np.ones((), bool)
    for condition in cell.conditions:
        met = met & condition.met_by(found[condition.name])
    return met


FOLLOWED = ("fever", "treated", "hypotension", "oxygen_level", "pressors", "high_dose_pressor")


def _follow_all(found: Mapping[str, Array], at: Visits, keep: NDArray[np.intp], *, earliest: bool) -> dict[str, Array]:
    """Follow all patients from time to time: the first time of each, the second time of each, and so on."""
    result = {name: np.zeros(len(at)) for name in OF_COURSE}
    counts = np.bincount(at.patient[keep], minlength=len(at.names))
    first = np.concatenate(([0], np.cumsum(counts)[:-1])) if len(counts) else counts
    order = np.argsort(-counts, kind="stable")
    counts, first = counts[order], first[order]
    followed = {name: np.broadcast_to(found[name], (len(at),)) for name in FOLLOWED}
    memory = Memory.fresh(len(order), earliest=earliest)
    for visit in range(int(counts[0]) if len(counts) else 0):
        active = int(np.searchsorted(-counts, -visit, side="left"))  # patients with more times than this
        rows = keep[first[:active] + visit]
        memory = memory.first(active)
        memory, course = follow(memory, {name: followed[name][rows] for name in FOLLOWED}, at.time[rows])
        for name in OF_COURSE:
            result[name][rows] = course[name]
    return result


@dataclass(frozen=True)
class Course:
    """What rounds must remember between each other: one memory for the mildest and one for the worst chart."""

    mild: Memory
    worst: Memory
    baseline: Mapping[str, ArrayLike]
    time: float = -np.inf


@dataclass(frozen=True)
class Round:
    """Grades of one round, one value per patient."""

    lowest: Numbers
    highest: Numbers
    rule_lowest: Numbers
    rule_highest: Numbers


def begin_rounds(count: int, baseline: Mapping[str, ArrayLike] | None = None) -> Course:
    """Return the course of ``count`` patients before their first round.

    Args:
        count: patients.
        baseline: item -> (count,) values at infusion, e.g. oxygen already needed then.
    """
    return Course(Memory.fresh(count), Memory.fresh(count, earliest=True), dict(baseline or {}))


def grade_round(
    scales: str | Iterable[str], values: Mapping[str, ArrayLike], time: float, course: Course
) -> tuple[dict[str, Round], Course]:
    """Grade one round of all patients, by the same rules and code as a chart.

    Args:
        scales: names of ``scale_names`` that are graded at a time (not those that count days).
        values: item -> (patients,) values in the items' units, NaN where not observed; drugs: 1 where one was given
            since the last round.
        time: days since infusion, later than the round before.
        course: from ``begin_rounds`` or the round before.

    Returns:
        Scale -> grades, and the course for the next round.

    Raises:
        InputError: an unknown name, a scale that counts days, or a time that is not later.

    Example:
        >>> course = begin_rounds(2)
        >>> seen = {"temperature": [36.9, 39.0], "systolic_pressure": 120, "vasopressors": 0, "oxygen_device": 0}
        >>> graded, course = grade_round("astct-crs", seen, 1.0, course)
        >>> graded["astct-crs"].lowest.tolist(), graded["astct-crs"].highest.tolist()
        ([0, 1], [0, 1])
    """
    if not time > course.time:
        raise InputError(f"a round must be later than the one before (day {course.time:g}), got day {time:g}")
    count, wanted = len(course.mild.begun), _at_visits(scales)
    at = one_round(values, count, course.baseline)
    asked = {condition.name for each in wanted for cell in each.cells for condition in cell.conditions}
    unused = () if np.any(at.mild["by_capd"]) else ("capd_score",)
    known = not any(np.any(at.missing[name]) for name in _items_of(frozenset(asked)) if name not in unused)
    memories, bounds, organs = [], [], not asked.isdisjoint(OF_ORGANS)
    mild = signs(at.mild, at.baseline, organs=organs)
    worst = mild if known else signs(at.worst, at.baseline, organs=organs)
    for memory, found in ((course.mild, mild), (course.worst, worst)):
        whole = {name: np.broadcast_to(found[name], (count,)) for name in FOLLOWED}
        after, followed = follow(memory, whole, np.full(count, float(time)))
        memories.append(after)
        bounds.append(found | followed)
    same = known and all(np.array_equal(bounds[0][name], bounds[1][name]) for name in asked.intersection(OF_COURSE))
    graded = {}
    for each in wanted:
        lowest = _judge(each, bounds[0], count)
        highest = lowest if same else _judge(each, bounds[1], count)
        graded[each.name] = Round(lowest[0], highest[0], lowest[1], highest[1])
    return graded, Course(memories[0], memories[1], course.baseline, float(time))


@lru_cache(maxsize=64)
def _items_of(signs_and_items: frozenset[str]) -> tuple[str, ...]:
    """Return the items on which these signs hang, and those that are followed from round to round."""
    names = (*signs_and_items, *FOLLOWED, *OF_COURSE, "age")
    return tuple({item for name in names for item in Condition(name, 0.0, upward=True).items if item in ITEMS})


def _at_visits(scales: str | Iterable[str]) -> list[Scale]:
    found = []
    for name in (scales,) if isinstance(scales, str) else scales:
        for each in group(name):
            if not isinstance(each, Scale):
                raise InputError(f"{each.name} counts days; grade its chart afterwards with grade()")
            found.append(each)
    return found


def cell_of(name: str, place: int) -> str:
    """Return the words of a deciding cell, as in the tables ("" where no cell is met)."""
    if place < 0:
        return ""
    cell = scale(name).cells[place]
    return f"{cell.domain}: {cell.text}"
