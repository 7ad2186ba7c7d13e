"""The batch record of a simulated patient: every step of the chain as entries, marked as simulated.

Lots, people, places and temperatures are placeholders, since no stage simulates them; cells, tests and days are those
of the chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.therapy.harvest import LOSSES
from livingdrug.therapy.identity import OPAQUE, IdentifierScheme, simulated_identifier
from livingdrug.therapy.multiplication import Product
from livingdrug.therapy.record import BatchRecord, sign_decision
from livingdrug.therapy.record_entries import (
    MOMENT,
    Entry,
    HandOver,
    Infusion,
    LabelCheck,
    Material,
    Opened,
    Reconciliation,
    Step,
    TestResult,
    Value,
    moment,
)
from livingdrug.therapy.record_lines import read_private_key
from livingdrug.therapy.record_reading import Line
from livingdrug.therapy.release import Dose, ReleasePlan, release_tests
from livingdrug.therapy.stage import Attrition
from livingdrug.therapy.timeline import EVENTS, collected_on

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["record_simulated"]

FRESH = {"name": "temperature", "unit": "degC", "planned": 5.0, "least": 2.0, "most": 8.0, "actual": 5.0}
FROZEN = {"name": "temperature", "unit": "degC", "planned": -150.0, "most": -130.0, "actual": -150.0}
ORIGIN = "2026-01-05T08:00:00Z"
OPERATOR, QUALITY, NURSE = "SIM-OPERATOR", "SIM-QUALITY", "SIM-NURSE"
HOSPITAL, COURIER, PLANT = "SIM-HOSPITAL", "SIM-COURIER", "SIM-PLANT"
AT_LEAST = ("viability too low", "T cell purity too low", "too few CAR-positive cells", "dose too small")
RECORDED = {
    "collection": (("collected_t_cells", "cell"), ("processed_volume_L", "L")),
    "engineering": (("engineered_t_cells", "cell"), ("car_positive", "fraction"), ("copies_per_cell", "copy/cell")),
    "multiplication": (("seeded_t_cells", "cell"), ("harvested_t_cells", "cell"), ("culture_days", "day")),
    "harvest": (("viability", "fraction"), ("harvested_car_t_cells", "cell")),
    "thawing": (("thawed_viability", "fraction"), ("dose_cells", "cell")),
}


def record_simulated(
    path: str | Path,
    dose: Dose,
    patient: int,
    key: Ed25519PrivateKey | str | Path,
    *,
    plan: ReleasePlan | None = None,
    seed: int = 0,
    collected: str = ORIGIN,
    scheme: IdentifierScheme = OPAQUE,
    identity: str | None = None,
) -> tuple[Line, ...]:
    """Write the batch record of one simulated patient and return its lines.

    Args:
        path: a file that does not exist yet.
        dose: with the days of all events, from ``wait`` with a schedule.
        patient: identifier of a patient who is infused.
        key: the private key that signs, or its file.
        plan: the release plan that was used.
        seed: that was used.
        collected: time of the collection, e.g. ``"2026-01-05T08:00:00Z"``.
        scheme: of the chain-of-identity identifier.
        identity: the identifier; made from seed and patient unless given.

    Raises:
        InputError: the patient is not among the infused, a column is missing, or the file exists.
    """
    one = _one(dose, patient)
    start = moment(collected)
    key = key if not isinstance(key, str | Path) else read_private_key(key)
    identity = identity or simulated_identifier(seed, patient)
    now = [start]
    first, *rest = _entries(one, plan or ReleasePlan(), seed, start, identity, key)
    if not isinstance(first, Opened):
        raise InputError("a record begins with its opening")
    with BatchRecord.create(path, identity, key, first, scheme=scheme, clock=lambda: now[0]) as record:
        for entry in rest:
            now[0] = max(now[0], moment(entry.at))
            record.append(entry)
        return record.lines


def _one(dose: Dose, patient: int) -> Patients:
    rows = np.flatnonzero(dose.patients.ids == patient)
    if rows.size != 1:
        left = dict(zip(dose.attrition.ids.tolist(), dose.attrition.reasons, strict=True)).get(patient)
        why = f": {left}" if left else f"; it has {len(dose)} patients"
        raise InputError(f"patient {patient} is not among those who are infused{why}")
    missing = [f"{event}_day" for event in EVENTS if f"{event}_day" not in dose.patients]
    if missing:
        raise InputError(
            f"the record needs the days of all events, {missing[0]!r} is missing; use wait with a plan that has a "
            "schedule: WaitingPlan(schedule=Schedule())"
        )
    return dose.patients.take(rows)


def _entries(one: Patients, plan: ReleasePlan, seed: int, start: datetime, identity: str, key: Any) -> Iterator[Entry]:
    """Yield the entries in the order of their times; the opening first."""
    yield Opened(at=start.strftime(MOMENT), by=QUALITY, product="simulated CAR T cells", process="livingdrug",
                 scheme="opaque", donations=("SIM-DONATION-1",), simulated=True)  # fmt: skip
    tests = release_tests(Product(one, Attrition.none()), plan, seed=seed)
    entries = [*_making(one, start), *_tests(one, tests, plan, seed, start), *_giving(one, start)]
    decided = {
        "at": _at(one, start, "release"),
        "by": QUALITY,
        "decision": "released under exception" if one["out_of_specification"][0] else "released",
        "reasons": tuple(dict.fromkeys(t.reason for t in tests if t.failed[0] and not t.late)) if _excused(one) else (),
        "open_tests": tuple(dict.fromkeys(t.assay.replace("_", " ") for t in tests if t.late)),
    }
    entries.append(sign_decision(identity, [(QUALITY, "decides on the release (simulated)", key)], **decided))
    yield from sorted(entries, key=lambda entry: entry.at)


def _excused(one: Patients) -> bool:
    return bool(one["out_of_specification"][0])


def _at(one: Patients, start: datetime, event: str, *, hours: float = 0.0) -> str:
    """Return the time of an event; the collection is the start."""
    return _on(one, start, float(one[f"{event}_day"][0]), hours)


def _on(one: Patients, start: datetime, day: float, hours: float = 0.0) -> str:
    days = day - float(collected_on(one)[0])
    return (start + timedelta(seconds=round((days * 24 + hours) * 3600))).strftime(MOMENT)


def _values(one: Patients, step: str) -> tuple[Value, ...]:
    return tuple(
        Value(name=name.replace("_", " "), unit=unit, actual=float(one[name][0]))
        for name, unit in RECORDED.get(step, ())
        if name in one
    )


def _step(one: Patients, start: datetime, step: str, begins: str, ends: str, hours: tuple[float, float]) -> Step:
    at, ended = _at(one, start, begins, hours=hours[0]), _at(one, start, ends, hours=hours[1])
    return Step(at=at, by=OPERATOR, step=step, ended=max(at, ended), values=_values(one, step))


def _making(one: Patients, start: datetime) -> list[Entry]:
    """Return collection, way to the plant, and the steps to the frozen bag."""
    whole = {name: int(np.rint(one[name][0])) for name in ("collected_t_cells", "engineered_t_cells")}
    harvested = {name: int(one[name][0]) for name in ("dose_cells", *LOSSES)}
    arrival, harvest = _at(one, start, "arrival"), _at(one, start, "harvest", hours=6)
    return [
        _step(one, start, "collection", "collection", "collection", (0, 4)),
        _hand_over("apheresis", HOSPITAL, COURIER, HOSPITAL, _at(one, start, "collection", hours=5), FRESH),
        _hand_over("apheresis", COURIER, PLANT, PLANT, arrival, FRESH),
        Material(at=_at(one, start, "start"), by=OPERATOR, name="vector", lot="SIM-1", expires="2099-12-31"),
        _step(one, start, "engineering", "start", "start", (0, 20)),
        Reconciliation(
            at=_at(one, start, "start", hours=20), by=OPERATOR, step="engineering", cells_in=whole["collected_t_cells"],
            cells_out=min(whole["engineered_t_cells"], whole["collected_t_cells"]),
            losses={"preparation": max(whole["collected_t_cells"] - whole["engineered_t_cells"], 0)},
        ),
        _step(one, start, "multiplication", "start", "harvest", (20, 0)),
        _step(one, start, "harvest", "harvest", "harvest", (0, 2)),
        _step(one, start, "wash", "harvest", "harvest", (2, 4)),
        _step(one, start, "freezing", "harvest", "harvest", (4, 6)),
        Reconciliation(
            at=harvest, by=OPERATOR, step="harvest to thawing, planned", cells_in=sum(harvested.values()),
            cells_out=harvested["dose_cells"], losses={name.replace("_", " "): harvested[name] for name in LOSSES},
        ),
    ]  # fmt: skip


def _hand_over(item: str, giver: str, taker: str, place: str, at: str, temperature: dict[str, Any]) -> HandOver:
    reading = Value(**temperature)
    return HandOver(
        at=at, by=taker, item=item, giver=giver, taker=taker, place=place, temperature=reading, label_matches=True
    )


def _tests(one: Patients, tests: Sequence[Any], plan: ReleasePlan, seed: int, start: datetime) -> list[Entry]:
    """Return the results with the day on which each arrives; those of a repeat stand at their limit at least."""
    found: list[Entry] = []
    again = bool(one["repeated"][0])
    for test in tests:
        days = float(getattr(plan.assays, test.assay).turnaround.draw(seed, one.ids, f"turnaround of {test.assay}")[0])
        read, limit = float(test.read[0]), float(test.limit[0])
        least = test.reason in AT_LEAST
        if again:
            read = max(read, limit) if least else min(read, limit)
        value = Value(name=test.assay.replace("_", " "), unit=test.unit, actual=read, **_range(limit, least))
        at = _on(one, start, float(one["harvest_day"][0]) + days, hours=8)
        found.append(
            TestResult(
                at=at, by=QUALITY, test=value.name, acceptance=f"{'at least' if least else 'at most'} {limit:g}",
                result=value, passes=not value.outside, for_release=not test.late,
            )
        )  # fmt: skip
    return found


def _range(limit: float, least: bool) -> dict[str, float]:
    return {"least": limit} if least else {"most": limit}


def _giving(one: Patients, start: datetime) -> list[Entry]:
    """Return the way back, thawing, the label check and the infusion."""
    frozen, back = _at(one, start, "release", hours=2), _at(one, start, "return")
    given = _at(one, start, "infusion", hours=1)
    return [
        _hand_over("product", PLANT, COURIER, PLANT, frozen, FROZEN),
        _hand_over("product", COURIER, HOSPITAL, HOSPITAL, max(back, frozen), FROZEN),
        _step(one, start, "thawing", "infusion", "infusion", (0, 0.5)),
        LabelCheck(
            at=_at(one, start, "infusion", hours=0.75), by=NURSE, place=HOSPITAL, second_person="SIM-NURSE-2",
            matches=True,
        ),
        Infusion(
            at=given, by=NURSE, place=HOSPITAL, cells=int(one["dose_cells"][0]),
            volume=Value(name="volume", unit="mL", planned=68.0, actual=68.0),
        ),
    ]  # fmt: skip
