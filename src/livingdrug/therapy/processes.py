"""Processes: ways of making the product, from the vein to the released dose, as parameter sets of the same stages.

Built in are ``standard``, ``two_day``, ``next_day``, ``point_of_care`` and ``donor_bank``. A file says only where it
differs from the process that it starts from.

Example:
    >>> made = process("two_day").run(3, seed=1)
    >>> len(made), made.patients["culture_days"].tolist()
    (3, [2.0, 2.0, 2.0])
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from livingdrug.declared import Declared, Text, declare, read_toml
from livingdrug.errors import InputError, unknown_name
from livingdrug.patients import Patients
from livingdrug.therapy.bad_rows import OnBadRow
from livingdrug.therapy.collection import CollectionPlan, collect
from livingdrug.therapy.engineering import EngineeringPlan, engineer
from livingdrug.therapy.multiplication import BLOCK, MultiplicationPlan, multiply
from livingdrug.therapy.release import Dose, ReleasePlan, release
from livingdrug.therapy.stage import Attrition, Stage
from livingdrug.therapy.stated import Fixed, StatedValue
from livingdrug.therapy.timeline import EVENTS, Schedule, events, segments, with_events
from livingdrug.therapy.waiting import WaitingPlan, wait

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Batches", "Making", "Process", "compare", "process", "process_names", "read_process"]

FOLDER = Path(__file__).with_name("builtin")
MOST_LOTS = 20
NOT_INHERITED = ("process", "name", "title", "description", "assumptions")
STEP = 0x9E3779B97F4A7C15  # between the seeds of one patient's lots
UNDATED = {"collection_day": "day", "culture_days": "day", "testing_days": "day", "late_result_days": "day"}
STOCK = {"lots_made": "1", "doses_per_lot": "1"}


class Making(Declared):
    """The plans from collection to the day of infusion; ``process`` names one to start from.

    With ``donors`` (columns of healthy donors) the cells come from a bank: lots are made before anyone needs them, a
    lot that fails is replaced, and the patient's time begins with the order.
    """

    process: Text = ""
    donors: dict[str, StatedValue] = {}
    collection: CollectionPlan = CollectionPlan()
    engineering: EngineeringPlan = EngineeringPlan()
    multiplication: MultiplicationPlan = MultiplicationPlan()
    release: ReleasePlan = ReleasePlan()
    waiting: WaitingPlan = WaitingPlan()

    @model_validator(mode="before")
    @classmethod
    def _start_from(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not isinstance(values.get("process"), str) or not values["process"]:
            return values
        known = {key: table for key, table in _tables(values["process"]).items() if key in cls.model_fields}
        return _over({key: table for key, table in known.items() if key not in NOT_INHERITED}, values)

    def stages(
        self, patients: Patients, *, seed: int = 0, on_bad_row: OnBadRow = "raise", threads: int | None = None
    ) -> dict[str, Stage]:
        """Return what each stage hands on, by its verb: collect, engineer, multiply, release, wait.

        With donors only release and wait, whose rows are the patients.

        Args:
            patients: columns ``weight_kg`` (kg), and ``cd3_per_uL`` or ``lymphocytes_per_uL`` (1/uL) unless there are
                donors.
            seed: of the patients' random streams.
            on_bad_row: refuse impossible values, or let those patients leave with the reason.
            threads: of the solver; the results do not depend on it.
        """
        make = self._from_stock if self.donors else self.own_cells
        found = make(patients, seed, on_bad_row, threads)
        dose = found["release"]
        if self.waiting.schedule is not None:
            found["release"] = dose = with_events(dose, self.waiting.schedule, seed=seed)
        return {**found, "wait": wait(dose, self.waiting, seed=seed)}

    def own_cells(
        self, patients: Patients, seed: int = 0, on_bad_row: OnBadRow = "raise", threads: int | None = None
    ) -> dict[str, Stage]:
        """Return stages 1 to 4 of the cells that these people give themselves, without days and waiting."""
        bag = collect(patients, self.collection, seed=seed, on_bad_row=on_bad_row)
        cells = engineer(bag, self.engineering, seed=seed)
        product = multiply(cells, self.multiplication, seed=seed, on_bad_row=on_bad_row, threads=threads)
        dose = release(product, self.release, seed=seed, on_bad_row=on_bad_row)
        return {"collect": bag, "engineer": cells, "multiply": product, "release": dose}

    def lot(self, ids: NDArray[np.uint64], weight: Patients, number: int, seed: int) -> tuple[Patients, int]:
        """Return the donors of these patients' lots of that number (0, 1, ...) with the patients' weight; the seed."""
        lot_seed = (seed + number * STEP) % 2**64
        columns = {name: stated.draw(lot_seed, ids, f"donor:{name}") for name, stated in self.donors.items()}
        units = {name: stated.unit for name, stated in self.donors.items()}
        known = {"weight_kg": weight["weight_kg"]} if "weight_kg" in weight else {}
        return Patients(ids, {**known, **columns}, {**dict.fromkeys(known, "kg"), **units}), lot_seed

    def _from_stock(self, patients: Patients, seed: int, on_bad_row: OnBadRow, threads: int | None) -> dict[str, Stage]:
        """Give each patient a dose of a lot of its own draw; who meets only failing lots leaves."""
        without, taken, attrition = patients, [], Attrition.none()
        for number in range(MOST_LOTS):
            if not len(without):
                break
            donors, lot_seed = self.lot(without.ids, without, number, seed)
            lots = self.own_cells(donors, lot_seed, on_bad_row, threads)["release"]
            attrition = _with_bad_rows(attrition, lots.attrition)
            good = lots.patients.take(lots.patients["late_failure"] == 0)
            taken.append(good.with_columns({"lots_made": np.full(len(good), number + 1.0)}))
            without = without.take(~np.isin(without.ids, np.concatenate([good.ids, attrition.ids])))
        attrition = attrition.leave(without.ids, "stock", ["no released lot"] * len(without), 0.0)
        served = patients.take(~np.isin(patients.ids, attrition.ids))
        return {"release": Dose(_stocked(_gathered(served.ids, [served, *taken])), attrition)}


def _with_bad_rows(attrition: Attrition, lots: Attrition) -> Attrition:
    """Return the attrition with the patients whose own values are impossible; a failed lot loses nobody."""
    bad = [row for row, reason in enumerate(lots.reasons) if reason.startswith("bad input")]
    places = [lots.stages[row] for row in bad]
    for row, place in zip(bad, places, strict=True):
        attrition = attrition.leave(lots.ids[[row]], place, [lots.reasons[row]], lots.days[row])
    return attrition


def _stocked(lots: Patients) -> Patients:
    """Return the patients with the lot's days under names of their own, because nobody waits for them."""
    kept = {f"lot_{name}": lots[name] for name in UNDATED}
    none = dict.fromkeys(UNDATED, np.zeros(len(lots)))
    filled = np.maximum(lots["dose_cells"] + lots["lost_at_thawing"], 1.0)
    doses = 1 + np.floor(lots["surplus_car_t_cells"] / filled)
    units = {f"lot_{name}": unit for name, unit in UNDATED.items()}
    return lots.with_columns({**kept, **none, "doses_per_lot": doses}, {**units, **UNDATED, "doses_per_lot": "1"})


class Process(Making):
    """A way of making with its name, what it is in words, and the patients that it is shown with."""

    name: Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,60}$")]
    title: Text
    description: Text = ""
    assumptions: tuple[Text, ...] = ()
    columns: Annotated[dict[str, StatedValue], Field(min_length=1)]

    @model_validator(mode="after")
    def _is_dated(self) -> Process:
        if self.waiting.schedule is None:
            raise InputError(
                "waiting.schedule: a process needs one, so that its days can be told; write a table "
                "[waiting.schedule], or start from one with process = 'standard'"
            )
        return self

    def patients(self, count: int, *, seed: int = 0) -> Patients:
        """Return patients 1 to ``count`` with the columns that the process states."""
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10_000_000:
            raise InputError(f"the number of patients must be a whole number from 1 to 10000000, got {count!r:.40}")
        ids = np.arange(1, count + 1, dtype=np.uint64)
        columns = {name: stated.draw(seed, ids, f"column:{name}") for name, stated in self.columns.items()}
        return Patients(ids, columns, {name: stated.unit for name, stated in self.columns.items()})

    def run(
        self,
        patients: int | Patients,
        *,
        seed: int = 0,
        left: Attrition | None = None,
        on_bad_row: OnBadRow = "raise",
        threads: int | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Batches:
        """Make the product of every patient.

        Args:
            patients: how many, or the patients themselves.
            seed: of all chance; the same seed gives the same batches, in any order and for any number of threads.
            left: patients who left before (bad rows of a file).
            on_bad_row: refuse impossible values (``"raise"``), or let those patients leave with the reason.
            threads: of the solver.
            progress: called with (done, total).

        Raises:
            InputError: a column is missing, in another unit or impossible.
        """
        cohort = patients if isinstance(patients, Patients) else self.patients(patients, seed=seed)
        parts, lost = [], [left or Attrition.none()]
        for first in range(0, len(cohort), BLOCK):
            block = cohort.take(np.arange(first, min(first + BLOCK, len(cohort))))
            stages = self.stages(block, seed=seed, on_bad_row=on_bad_row, threads=threads)
            parts.append(_gathered(block.ids, [block, *(stage.patients for stage in stages.values())]))
            lost.append(stages["wait"].attrition)
            if progress is not None:
                progress(min(first + BLOCK, len(cohort)), len(cohort))
        ids = np.concatenate([cohort.ids, lost[0].ids])
        return Batches(self, seed, _gathered(ids, parts), _together(lost))

    def planned(self) -> dict[str, float]:
        """Return the planned day of each event: the middle of every segment."""
        schedule = self.waiting.schedule or Schedule()
        middles = {name: Fixed(value=_middle(value), unit="day") for name, value in schedule.parts()}
        tests = [_middle(assay.turnaround) for _, assay in self.release.assays.parts() if not assay.after_release]
        culture, day = _middle(self.multiplication.duration), _middle(self.collection.day)
        days = (0.0, 0.0, 0.0) if self.donors else (day, culture, max(tests, default=0.0))
        columns = dict(zip(("collection_day", "culture_days", "testing_days"), ([day] for day in days), strict=True))
        one = Stage(Patients([1], columns, dict.fromkeys(columns, "day")), Attrition.none())  # type: ignore[arg-type]
        dated = with_events(one, Schedule(**middles)).patients
        return {event: float(dated[f"{event}_day"][0]) + 0.0 for event in EVENTS}


@dataclass(frozen=True, eq=False, repr=False)
class Batches:
    """The batches of a process.

    Attributes:
        process: the process.
        seed: of all chance.
        patients: everyone who began; NaN where a patient did not come so far.
        attrition: who left where and why.
    """

    process: Process
    seed: int
    patients: Patients
    attrition: Attrition

    def __len__(self) -> int:
        return len(self.patients)

    def __repr__(self) -> str:
        return f"<Batches of {self.process.name}: {len(self)} patients, {len(self) - len(self.attrition)} infused>"

    @property
    def infused(self) -> Patients:
        """Those who are infused, with the columns that all of them have."""
        there = self.patients.take(~np.isin(self.patients.ids, self.attrition.ids))
        known = {name: there[name] for name in there if not np.any(np.isnan(there[name]))}
        return Patients(there.ids, known, {name: there.units[name] for name in known})

    def segments(self) -> pd.DataFrame:
        """Return where the time of the infused goes, as ``timeline.segments``."""
        return segments(self.infused)

    def funnel(self) -> list[tuple[str, str, int]]:
        """Return (stage, reason, patients) of those who left, in the order of the stages."""
        return [(stage, reason, number) for (stage, reason), number in sorted(
            self.attrition.counts().items(), key=lambda entry: (_place(entry[0][0]), -entry[1])
        )]  # fmt: skip

    def events(self, collected: str | None = None) -> pd.DataFrame:
        """Return one row per patient and event, as ``timeline.events``; with dates if that of day 0 is given."""
        days = [f"{event}_day" for event in EVENTS]
        dated = self.patients
        if days[-1] not in dated:
            dated = dated.take([]).with_columns(dict.fromkeys(days, np.empty(0)), dict.fromkeys(days, "day"))
        dated = dated.take(~np.isnan(dated[days[-1]]))
        known = Patients(dated.ids, {day: dated[day] for day in days}, dict.fromkeys(days, "day"))
        stays = ~np.isin(known.ids, self.attrition.ids)
        return events(Stage(known.take(stays), self.attrition), planned=known.take(~stays), collected=collected)

    def to_frame(self) -> pd.DataFrame:
        """Return one row per patient: all columns, and ``left_stage``, ``left_reason`` and ``left_day``."""
        import pandas as pd

        left = pd.DataFrame(
            {
                "patient": self.attrition.ids,
                "left_stage": pd.Series(self.attrition.stages, dtype="object"),
                "left_reason": pd.Series(self.attrition.reasons, dtype="object"),
                "left_day": pd.Series(self.attrition.days, dtype="float64"),
            }
        )
        return self.patients.to_frame().merge(left, on="patient", how="left")


PLACES = ("cohort file", "stock", "collection", "engineering", "multiplication", "release", "timeline", "waiting")


def _place(stage: str) -> int:
    return PLACES.index(stage) if stage in PLACES else len(PLACES)


def compare(made: Sequence[Batches]) -> pd.DataFrame:
    """Return one row per process: days from vein to vein and their parts, who is infused, what is infused.

    ``not_culture_days`` is the mean time from vein to vein that is not culture; ``early_share`` the naive and central
    memory cells of the product.
    """
    import pandas as pd

    return pd.DataFrame([_row(batches) for batches in made])


def _row(batches: Batches) -> dict[str, Any]:
    people = batches.infused
    if not len(people):
        raise InputError(f"{batches.process.name}: nobody is infused, so there is nothing to compare")
    days = people["infusion_day"] - people["collection_day"]
    culture = people["culture_days"]
    early = people["harvested_naive_fraction"] + people["harvested_central_memory_fraction"]
    return {
        "process": batches.process.name,
        "patients": len(batches),
        "infused_share": len(people) / len(batches),
        "vein_to_vein_median": float(np.median(days)),
        "vein_to_vein_p10": float(np.quantile(days, 0.1)),
        "vein_to_vein_p90": float(np.quantile(days, 0.9)),
        "vein_to_vein_mean": float(days.mean()),
        "culture_days": float(culture.mean()),
        "not_culture_days": float((days - culture).mean()),
        "no_product_share": _share_left(batches, ("collection", "engineering", "multiplication", "release", "stock")),
        "lost_waiting_share": _share_left(batches, ("waiting",)),
        "dose_cells_median": float(np.median(people["dose_cells"])),
        "viability_median": float(np.median(people["viability"])),
        "early_share": float(np.median(early)),
        "doublings": float(np.median(people["divisions"])),
    }  # fmt: skip


def _share_left(batches: Batches, stages: Sequence[str]) -> float:
    return sum(stage in stages for stage in batches.attrition.stages) / len(batches)


def process_names() -> tuple[str, ...]:
    """Return the names of the built-in processes.

    Example:
        >>> process_names()
        ('standard', 'two_day', 'next_day', 'point_of_care', 'donor_bank')
    """
    first = ("standard", "two_day", "next_day", "point_of_care", "donor_bank")
    found = sorted(path.stem for path in FOLDER.glob("*.toml"))
    return tuple(sorted(found, key=lambda name: first.index(name) if name in first else len(first)))


@lru_cache(maxsize=16)
def process(name: str) -> Process:
    """Return a built-in process; an unknown name is an InputError with the nearest names."""
    return declare(Process, _tables(name), f"process {name!r}")


def read_process(path: str | Path) -> Process:
    """Read a process from a TOML file; what it does not state is that of ``standard`` or of the one it starts from.

    Raises:
        InputError: names the key, the nearest allowed ones and the file.
    """
    name = re.sub(r"[^a-z0-9_-]+", "_", Path(path).stem.lower()).strip("_-")[:60] or "own"
    return declare(Process, {"process": "standard", "name": name, "title": name, **read_toml(path)}, str(path))


def _tables(name: str) -> dict[str, Any]:
    """Return the tables of a built-in process, with those that it starts from."""
    if name not in process_names():
        raise InputError(unknown_name("process", name, process_names()))
    own = read_toml(FOLDER / f"{name}.toml")
    base = _tables(own["process"]) if own.get("process") else {}
    return _over({key: table for key, table in base.items() if key not in NOT_INHERITED}, own)


def _over(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tables of ``base`` with those of ``own`` laid over them; a stated number is replaced as a whole."""
    found = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(base.get(key), Mapping)
        found[key] = _over(base[key], value) if both and not _is_number(value) and not _is_number(base[key]) else value
    return found


def _is_number(table: Mapping[str, Any]) -> bool:
    return "value" in table or "kind" in table


def _middle(stated: Any) -> float:
    return float(stated.quantile(0.5))


def _together(parts: Sequence[Attrition]) -> Attrition:
    ids = np.concatenate([part.ids for part in parts])
    stages, reasons, days = (tuple(x for p in parts for x in getattr(p, n)) for n in ("stages", "reasons", "days"))
    return Attrition(ids, stages, reasons, days)


def _gathered(ids: NDArray[np.uint64], parts: Sequence[Patients]) -> Patients:
    """Return all columns of the parts for these patients, a later part over an earlier one; NaN where none has one."""
    columns: dict[str, NDArray[np.float64]] = {}
    units: dict[str, str] = {}
    for part in parts:
        rows = _rows(ids, part.ids)
        for name in part:
            if name not in columns:
                columns[name] = np.full(ids.size, np.nan)
            columns[name][rows] = part[name]
            units[name] = part.units[name]
    missing = frozenset(name for name, values in columns.items() if np.isnan(values).any())
    return Patients(ids, columns, units, missing)


def _rows(ids: NDArray[np.uint64], some: NDArray[np.uint64]) -> Any:
    """Return where some of the identifiers stand among all."""
    if np.array_equal(ids, some):
        return slice(None)
    order = np.argsort(ids)
    return order[np.searchsorted(ids, some, sorter=order)]
