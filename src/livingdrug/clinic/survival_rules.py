"""Times to an event from visits: OS, PFS, EFS and duration of response, by rules of censoring that are data.

The rules stand in ``rules/response_endpoints.toml`` with their sources. What comes out are days and events per patient,
as a Kaplan-Meier curve needs them. Not for clinical use.

Example:
    A response on day 28, progression on day 180; the second patient starts another treatment on day 100.

    >>> visits = FollowUp(
    ...     days=[28, 90, 180],
    ...     codes=[[code("PR"), code("CR"), code("PD")], [code("PR"), code("SD"), code("PD")]],
    ...     last_contact=[200, 300],
    ...     new_therapy=[np.nan, 100],
    ... )
    >>> found = time_to_event("pfs_fda", visits)
    >>> found.day.tolist(), found.event.tolist(), found.reason.tolist()
    ([180.0, 90.0], [True, False], ['progression', 'new therapy'])
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.clinic.response import NOTE, check_visits, code
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["EndpointRule", "FollowUp", "TimeToEvent", "code", "endpoint_rule", "endpoint_rules", "time_to_event"]

Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]
FILE = Path(__file__).with_name("rules") / "response_endpoints.toml"
NEVER = np.inf


@dataclass(frozen=True)
class EndpointRule:
    """How a time to an event is counted; see the head of the file of rules for the words."""

    name: str
    title: str
    start: str
    events: tuple[str, ...]
    new_therapy: str
    transplant: str
    censor_at: str
    source: str
    place: str
    mark: str
    most_missed: float = NEVER
    least_response: str = "PR"
    response_by_day: float = NEVER
    recalled: tuple[str, ...] = ()
    note: str = ""


@lru_cache(maxsize=1)
def _file() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


def endpoint_rules() -> tuple[str, ...]:
    """Return the names of all rules."""
    return tuple(_file())


@lru_cache(maxsize=32)
def endpoint_rule(name: str) -> EndpointRule:
    """Return a rule by name; an unknown name is an InputError with the nearest ones.

    Example:
        >>> endpoint_rule("os").events
        ('death',)
    """
    if name not in _file():
        raise InputError(unknown_name("endpoint rule", name, _file()))
    values: dict[str, Any] = dict(_file()[name])
    lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
    return EndpointRule(name=name, **{**values, **lists})


@dataclass(frozen=True, eq=False)
class FollowUp:
    """What is known of a cohort after the infusion; days are days since the infusion.

    Args:
        days: planned days of the visits, ascending, shape (visit,).
        codes: response codes at the visits, shape (patient, visit); "NE" where a visit was missed. Confirm responses
            and progression before (``confirm_response``, ``confirm_progression``) where the criteria ask for it.
        last_contact: last day on which the patient was known to be alive, shape (patient,).
        death: day of death, shape (patient,); NaN if alive.
        new_therapy: day of the next treatment of the cancer, shape (patient,); NaN for none.
        transplant: day of a stem cell transplant, shape (patient,); NaN for none.
        death_of_disease: whether the death was due to the cancer, shape (patient,); all of them unless given.

    Raises:
        InputError: a wrong shape, a day before the infusion, or a visit that was evaluated after the death.
    """

    days: Any
    codes: Any
    last_contact: Any
    death: Any = None
    new_therapy: Any = None
    transplant: Any = None
    death_of_disease: Any = None

    def __post_init__(self) -> None:
        codes, days = check_visits(self.codes, self.days)
        size = codes.shape[0]
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "days", days)
        for name in ("last_contact", "death", "new_therapy", "transplant"):
            object.__setattr__(self, name, _days(name, getattr(self, name), size))
        if np.isinf(self.last_contact).any():
            raise InputError("last_contact must be a day for every patient")
        due = np.ones(size, bool) if self.death_of_disease is None else np.asarray(self.death_of_disease)
        if due.shape != (size,) or due.dtype != np.bool_:
            raise InputError(f"death_of_disease must be True or False for each of {size} patients")
        object.__setattr__(self, "death_of_disease", due)
        end = np.minimum(self.death, self.last_contact)
        late = (codes != code("NE")) & (days[None, :] > end[:, None])
        if late.any():
            row, visit = np.argwhere(late)[0]
            raise InputError(
                f"patient row {row} was evaluated on day {days[visit]:g}, after death or last contact on {end[row]:g}"
            )


def _days(name: str, values: ArrayLike | None, size: int) -> Reals:
    """Return one day per patient, infinity for never; a wrong shape or a negative day is an InputError."""
    if values is None:
        return np.full(size, NEVER)
    found = np.nan_to_num(np.asarray(values, np.float64), nan=NEVER)
    if found.shape != (size,) or (found < 0).any():
        raise InputError(f"{name} must be one day of 0 or more for each of {size} patients (NaN: never)")
    return found


@dataclass(frozen=True, eq=False)
class TimeToEvent:
    """Days and events per patient.

    Attributes:
        rule: the rule.
        day: days from the start of the clock to event or censoring, shape (patient,); NaN where the clock never starts.
        event: True for an event, False for censoring.
        reason: why the clock stopped, e.g. ``"progression"``, ``"missed visits"``; ``"no response"`` where it never
            started.
    """

    rule: EndpointRule
    day: Reals
    event: Flags
    reason: NDArray[np.str_]

    def to_frame(self) -> pd.DataFrame:
        """Return one line per patient with the rule and its source."""
        import pandas as pd

        told = {"rule": self.rule.name, "source": self.rule.source, "mark": self.rule.mark, "note": NOTE}
        return pd.DataFrame({"day": self.day, "event": self.event, "reason": self.reason}).assign(**told)


def time_to_event(rule: EndpointRule | str, follow_up: FollowUp) -> TimeToEvent:
    """Return the time to the event of a rule for each patient.

    An event and a reason to censor on one day count as the event. Censoring goes back to the last visit that was
    evaluated (day 0 if there is none), except for survival, which goes to the last contact.
    """
    rule = endpoint_rule(rule) if isinstance(rule, str) else rule
    course = follow_up
    start = _start(rule, course)
    when, why = _first_event(rule, course, start)
    stop, stop_why = _stop(rule, course)
    seen_until = np.minimum(when, stop)
    gap = _missed_before(course, seen_until) > rule.most_missed
    event = np.isfinite(when) & (when <= stop) & ~gap
    nothing = ~np.isfinite(when) & ~np.isfinite(stop)
    why = np.where(event, why, np.where(nothing, "no event so far", np.where(when <= stop, "missed visits", stop_why)))
    last = course.last_contact if rule.censor_at == "last_contact" else _last_assessment(course, seen_until)
    day = np.where(event, when, last) - start
    started = np.isfinite(start)
    return TimeToEvent(
        rule=rule,
        day=np.where(started, np.maximum(np.where(started, day, 0.0), 0.0), np.nan),
        event=event & started,
        reason=np.where(started, why, "no response"),
    )


def _first_response(rule: EndpointRule, course: FollowUp) -> Reals:
    """Return the day of the first response that the rule asks for, before progression; infinity for none."""
    before = np.cumsum(course.codes == code("PD"), axis=1) == 0
    in_time = course.days[None, :] <= np.minimum(course.new_therapy, course.death)[:, None]
    return _first_day(course, (course.codes >= code(rule.least_response)) & before & in_time)


def _first_day(course: FollowUp, where: Flags) -> Reals:
    return np.where(where, course.days[None, :], NEVER).min(axis=1, initial=NEVER)


def _start(rule: EndpointRule, course: FollowUp) -> Reals:
    if rule.start == "response":
        return _first_response(rule, course)
    return np.zeros(course.codes.shape[0])


def _first_event(rule: EndpointRule, course: FollowUp, start: Reals) -> tuple[Reals, NDArray[np.str_]]:
    """Return the day of the first event and its name; infinity where there is none."""
    finite = np.where(np.isfinite(start), start, 0.0)
    late = _first_response(rule, course) > rule.response_by_day
    watched = np.maximum(course.last_contact, np.where(np.isfinite(course.death), course.death, 0.0))
    days = {
        "progression": _first_day(course, (course.codes == code("PD")) & (course.days[None, :] >= finite[:, None])),
        "death": course.death,
        "disease_death": np.where(course.death_of_disease, course.death, NEVER),
        "no_response": np.where(late & (watched >= rule.response_by_day), rule.response_by_day, NEVER),
        "new_therapy": course.new_therapy,
    }
    table = np.stack([days[name] for name in rule.events])
    names = np.array([name.replace("_", " ") for name in rule.events])
    return table.min(axis=0), names[table.argmin(axis=0)]


def _stop(rule: EndpointRule, course: FollowUp) -> tuple[Reals, NDArray[np.str_]]:
    """Return the day on which the watching stops without an event, and why; infinity where it does not."""
    days = {"new therapy": course.new_therapy if rule.new_therapy == "censor" else np.full(course.death.size, NEVER)}
    days["transplant"] = course.transplant if rule.transplant == "censor" else np.full(course.death.size, NEVER)
    other_death = "death" not in rule.events
    days["death of another cause"] = np.where(other_death & ~course.death_of_disease, course.death, NEVER)
    table, names = np.stack(list(days.values())), np.array(list(days))
    return table.min(axis=0), names[table.argmin(axis=0)]


def _last_assessment(course: FollowUp, until: Reals) -> Reals:
    """Return the day of the last evaluated visit up to a day, without progression; 0 if there is none."""
    fine = (course.codes > code("PD")) & (course.days[None, :] <= until[:, None])
    return np.where(fine, course.days[None, :], 0.0).max(axis=1, initial=0.0)


def _missed_before(course: FollowUp, until: Reals) -> NDArray[np.int64]:
    """Return how many visits in a row were missed just before a day."""
    last = _last_assessment(course, until)
    between = (course.days[None, :] > last[:, None]) & (course.days[None, :] < until[:, None])
    return (between & (course.codes == code("NE"))).sum(axis=1)
