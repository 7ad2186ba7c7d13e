"""Timeline: the day of every event of a patient, from referral to infusion, and where the time goes.

All days are counted from the (first) collection, so that what lies before it is negative.

Example:
    >>> dose = Stage(
    ...     Patients(
    ...         [1], {"culture_days": [8.0], "testing_days": [7.0]}, {"culture_days": "day", "testing_days": "day"}
    ...     ),
    ...     Attrition.none(),
    ... )
    >>> dated = with_events(dose, Schedule())
    >>> float(dated.patients["infusion_day"][0])
    25.0
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, TypeVar

import numpy as np

from livingdrug.declared import Declared
from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy.bad_rows import CHOICES, OnBadRow
from livingdrug.therapy.stage import Attrition, Stage, require
from livingdrug.therapy.stated import Fixed, StatedValue, within

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "EVENTS",
    "SEGMENTS",
    "US_COMMUNITY",
    "Schedule",
    "check_order",
    "collected_on",
    "events",
    "segments",
    "with_events",
]

S = TypeVar("S", bound=Stage)
Days = Annotated[StatedValue, within("day")]
EVENTS = ("referral", "consultation", "collection", "arrival", "start", "harvest", "tested", "release", "return",
          "conditioning", "infusion")  # fmt: skip
"""In their order; the column of an event is its name with ``_day``."""
SEGMENTS = {
    "consultation": "referral to consultation",
    "collection": "consultation to collection",
    "arrival": "collection to arrival at the plant",
    "start": "waiting for a suite",
    "harvest": "culture",
    "tested": "release tests",
    "release": "review and decision",
    "return": "way back",
    "conditioning": "waiting for the bed",
    "infusion": "conditioning",
}
"""Event at which a segment ends -> the segment in words."""


def _days(value: float, note: str = "") -> Fixed:
    return Fixed(value=value, unit="day", note=note or "no published median of this segment at hand")


class Schedule(Declared):
    """How long each segment lasts that the stages do not know themselves; culture and tests come from the product."""

    referral_to_consultation: Days = _days(0.0, "not followed unless a setting says so")
    consultation_to_collection: Days = _days(0.0, "not followed unless a setting says so")
    way_to_plant: Days = _days(1.0)
    wait_for_suite: Days = _days(1.0)
    review: Days = _days(1.0)
    way_back: Days = _days(1.0)
    wait_for_bed: Days = _days(1.0)
    conditioning: Days = Fixed(
        value=5.0, unit="day", source="yescarta2024", mark="read", note="first day of lymphodepletion is day -5"
    )


US_COMMUNITY = Schedule(
    referral_to_consultation=Fixed(value=11.0, unit="day", source="communityaccess2025", mark="read", note="median"),
    consultation_to_collection=Fixed(value=107.0, unit="day", source="communityaccess2025", mark="read", note="median"),
)
"""With the way to the collection in community practice in the United States, 2018 to 2022."""


def with_events(stage: S, schedule: Schedule | None = None, *, seed: int = 0) -> S:
    """Return the stage with the day of each event as a column, e.g. ``harvest_day``.

    Args:
        stage: needs ``culture_days`` and ``testing_days`` (day); ``collection_day`` is the day of the last
            collection, 0 where it is missing.
        schedule: the other segments.
        seed: of the patients' random streams.

    Raises:
        InputError: a column is missing, negative or in another unit.
    """
    schedule, patients = schedule or Schedule(), stage.patients
    require(patients, {"culture_days": "day", "testing_days": "day"}, "with_events")

    def lasts(name: str) -> np.ndarray:
        return getattr(schedule, name).draw(seed, patients.ids, f"schedule {name}")

    consulted = -lasts("consultation_to_collection")
    steps = (
        ("collection", collected_on(patients)),
        ("arrival", lasts("way_to_plant")),
        ("start", lasts("wait_for_suite")),
        ("harvest", patients["culture_days"]),
        ("tested", patients["testing_days"]),
        ("release", lasts("review")),
        ("return", lasts("way_back")),
        ("conditioning", lasts("wait_for_bed")),
        ("infusion", lasts("conditioning")),
    )
    columns = {"referral_day": consulted - lasts("referral_to_consultation"), "consultation_day": consulted}
    day = np.zeros(len(patients))
    for name, days in steps:
        day = day + days
        columns[f"{name}_day"] = day
    return replace(stage, patients=patients.with_columns(columns, dict.fromkeys(columns, "day")))


def collected_on(patients: Patients) -> np.ndarray:
    """Return the day of the last collection, shape (n,); 0 where the patients have no such column."""
    return patients["collection_day"] if "collection_day" in patients else np.zeros(len(patients))


def segments(patients: Patients) -> pd.DataFrame:
    """Return where the time goes: median, 10th and 90th percentile and mean of each segment in days, and of the sum.

    The last row, "vein to vein", runs from collection to infusion; means of segments add up, medians need not.
    """
    import pandas as pd

    spans = {name: _day(patients, end) - _day(patients, start) for start, end, name in _pairs()}
    spans["vein to vein"] = _day(patients, "infusion") - _day(patients, "collection")
    rows = [
        (name, *np.quantile(days, (0.5, 0.1, 0.9)), days.mean()) if len(patients) else (name, *[np.nan] * 4)
        for name, days in spans.items()
    ]
    return pd.DataFrame(rows, columns=["segment", "median", "p10", "p90", "mean"])


def _pairs() -> list[tuple[str, str, str]]:
    return [(start, end, SEGMENTS[end]) for start, end in pairwise(EVENTS)]


def _day(patients: Patients, event: str) -> np.ndarray:
    return patients[f"{event}_day"]


def events(stage: Stage, *, planned: Patients | None = None, collected: str | None = None) -> pd.DataFrame:
    """Return one row per patient and event in order: patient, day, event, and date where ``collected`` is given.

    Who left the therapy has a last row with the reason as event.

    Args:
        stage: with the columns of ``with_events``, e.g. from ``wait``.
        planned: the patients with their days before anyone was lost; then the events of those who left after that
            are shown too, as far as they came.
        collected: date of day 0 of all patients, e.g. ``"2026-01-05"``.

    Raises:
        InputError: the date is not one, or the days are missing or out of order.
    """
    import pandas as pd

    left = stage.attrition
    last = dict(zip(left.ids.tolist(), left.days, strict=True))
    parts = []
    for patients in (stage.patients, _of_those(planned, left)):
        check_order(patients)
        ends = np.array([last.get(i, np.inf) for i in patients.ids.tolist()])
        for event in EVENTS if len(patients) else ():
            came = _day(patients, event) <= ends
            parts.append(
                pd.DataFrame({"patient": patients.ids[came], "day": _day(patients, event)[came], "event": event})
            )
    reasons = [f"left ({place}): {why}" for place, why in zip(left.stages, left.reasons, strict=True)]
    parts.append(pd.DataFrame({"patient": left.ids, "day": np.asarray(left.days, np.float64), "event": reasons}))
    found = pd.concat([part for part in parts if len(part)] or parts, ignore_index=True)
    found = found.sort_values(["patient", "day"], kind="stable", ignore_index=True)
    found["day"] += 0.0  # no "-0.0" in tables
    if collected is not None:
        found = found.assign(date=check_date(collected) + pd.to_timedelta(np.floor(found["day"]), unit="D"))
    return found


def _of_those(planned: Patients | None, left: Attrition) -> Patients:
    """Return the planned patients who left; none where no plan is given."""
    return Patients(np.empty(0, np.uint64)) if planned is None else planned.take(np.isin(planned.ids, left.ids))


def check_date(text: str) -> dt.datetime:
    """Return the date of day 0 as midnight; InputError if it is none."""
    try:
        return dt.datetime.combine(dt.date.fromisoformat(text), dt.time())
    except (TypeError, ValueError) as error:
        raise InputError(f"collected must be a date such as 2026-01-05, got {text!r:.40}") from error


def check_order(
    patients: Patients, on_bad_row: OnBadRow = "raise", attrition: Attrition | None = None
) -> tuple[Patients, Attrition]:
    """Return the patients whose events follow one another, and the attrition with those whose events do not.

    Args:
        patients: columns of events that are missing are not checked.
        on_bad_row: refuse the cohort (``"raise"``), or let the bad rows leave with the reason (``"mark"``).
        attrition: who left before.

    Raises:
        InputError: an event before the one that it needs, e.g. a harvest before the collection.
    """
    if on_bad_row not in CHOICES:
        raise InputError(f"on_bad_row must be one of {', '.join(CHOICES)}, got {on_bad_row!r}")
    known = [event for event in EVENTS if f"{event}_day" in patients]
    wrong: dict[int, str] = {}
    for before, after in pairwise(known):
        first, then = _day(patients, before), _day(patients, after)
        for row in np.flatnonzero(~(then >= first)):
            said = f"{after}_day is {then[row]:g} day, allowed {first[row]:g} day ({before}_day) or later"
            if on_bad_row == "raise":
                raise InputError(f"patient {patients.ids[row]}: {said}")
            wrong.setdefault(int(row), said)
    attrition = attrition or Attrition.none()
    if not wrong:
        return patients, attrition
    rows = np.array(sorted(wrong))
    keep = np.ones(len(patients), bool)
    keep[rows] = False
    reasons = [f"bad input: {wrong[row]}" for row in rows]
    return patients.take(keep), attrition.leave(patients.ids[rows], "timeline", reasons, 0.0)
