"""Running a trial of a paper: blocks of patients, each determined by the seed and its patients alone, kept in a folder.

A finished block is written under a temporary name and then renamed, as are the runs for published chances of cure, so
that a killed run leaves nothing half-written and continues where it stopped. A folder belongs to one configuration.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.patients import Patients
from livingdrug.population import read_values
from livingdrug.therapy.infusion import Course, follow, infuse
from livingdrug.therapy.stage import Attrition
from livingdrug.trials.endpoints import column_on_day, cure_row
from livingdrug.trials.outcome import Outcome, assemble
from livingdrug.trials.store import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from livingdrug.trials.design import Trial

__all__ = ["Block", "course_days", "run", "simulate_block"]

Array = NDArray[np.float64]
TEXTS = ("stages", "reasons", "responses")
ABOUT = b"livingdrug"
COURSES_KEPT = 10_000  # enrolled patients whose courses are kept and summarised
MOST_NUMBERS = 20_000_000  # in the courses kept; fewer patients where days and outputs are many
MOST_PATIENTS = 10_000_000
LARGEST_VOLUME = 20_000.0  # mL; more than any body holds of tumour
FIRST_OF_CURES = 1_000_000_000  # identifiers of the runs for published cures begin beyond those of any trial
FORMAT = 1


@dataclass(frozen=True, eq=False)
class Block:
    """The results of some patients of a run, in the order of their identifiers.

    Attributes:
        patients: enrolled patients with results as columns, NaN where one does not apply.
        stages: stage at which a patient left before the infusion, "" otherwise, shape (n,).
        reasons: why, shape (n,).
        responses: best response, shape (n,).
        values: courses of those that are kept, shape (kept, day, output).
        outputs: names of the outputs with their units.
        failures: patients whose solve failed.
    """

    patients: Patients
    stages: NDArray[np.str_]
    reasons: NDArray[np.str_]
    responses: NDArray[np.str_]
    values: Array
    outputs: dict[str, str] = field(default_factory=dict)
    failures: list[dict[str, Any]] = field(default_factory=list)


def to_table(block: Block) -> pa.Table:
    """Return a block as a table: courses stand in one list column per output, empty where they are not kept."""
    import pyarrow as pa

    columns: dict[str, Any] = {"patient": pa.array(block.patients.ids)}
    columns |= {f"column:{name}": pa.array(block.patients[name]) for name in block.patients}
    columns |= {f"text:{name}": pa.array(getattr(block, name).astype(str).tolist(), pa.string()) for name in TEXTS}
    kept, days, _ = block.values.shape
    for place, name in enumerate(block.outputs):
        flat = pa.array(block.values[:, :, place].ravel())
        some = pa.FixedSizeListArray.from_arrays(flat, days)
        columns[f"course:{name}"] = pa.concat_arrays([some, pa.nulls(len(block.patients) - kept, some.type)])
    about = {
        "units": dict(block.patients.units),
        "may_be_missing": sorted(block.patients.may_be_missing),
        "outputs": block.outputs,
        "shape": list(block.values.shape),
        "failures": block.failures,
    }
    return pa.table(columns).replace_schema_metadata({ABOUT: json.dumps(about).encode()})


def to_block(table: pa.Table) -> Block:
    """Return the block of a table; KeyError or ValueError if it is another one."""
    about = json.loads((table.schema.metadata or {})[ABOUT])
    columns = {name.removeprefix("column:"): name for name in table.column_names if name.startswith("column:")}
    patients = Patients(
        table["patient"].to_numpy(),
        {name: table[stored].to_numpy() for name, stored in columns.items()},
        about["units"],
        frozenset(about["may_be_missing"]),
    )
    kept, days, outputs = about["shape"]
    values = np.full((kept, days, outputs), np.nan)
    for place, name in enumerate(about["outputs"]):
        course = table[f"course:{name}"].combine_chunks().slice(0, kept)
        values[:, :, place] = course.flatten().to_numpy(zero_copy_only=False).reshape(kept, days)
    texts = {name: np.array(table[f"text:{name}"].to_pylist(), np.str_) for name in TEXTS}
    return Block(patients, **texts, values=values, outputs=about["outputs"], failures=about["failures"])


def run(
    trial: Trial,
    patients: int,
    seed: int,
    folder: str | Path | None = None,
    progress: Callable[[int, int], Any] | None = None,
    baseline: str | Path | None = None,
    *,
    threads: int | None = None,
    block: int = 2_000,
) -> Outcome:
    """Simulate a trial; arguments, results and errors as for ``Trial.run``."""
    from livingdrug.streams import seed_words

    _whole("patients", patients, MOST_PATIENTS)
    _whole("block", block, MOST_PATIENTS)
    seed_words(seed)
    trial = _with_baseline(trial, baseline)
    days = course_days(trial)
    configuration = _configuration(trial, patients, seed)
    store = Store.open(folder, configuration, block) if folder is not None else None
    keep = min(COURSES_KEPT, max(1, MOST_NUMBERS // (days.size * len(trial.follow_up.outputs))))
    blocks = []
    for first in range(0, patients, block):
        ids = np.arange(first + 1, min(first + block, patients) + 1, dtype=np.uint64)
        found = store.read(ids, to_block, lambda one: one.patients.ids) if store else None
        if found is None:
            found = simulate_block(trial, ids, seed, days, keep=keep, threads=threads)
            if store:
                store.write(ids, to_table(found))
        blocks.append(found)
        if progress:
            progress(int(ids[-1]), patients)
    counts = _published_cures(trial, seed, store, threads)
    cures = [cure_row(row, *found) for row, found in zip(trial.published_cures, counts, strict=True)]
    return assemble(trial, seed, blocks, days, cures, configuration)


def course_days(trial: Trial) -> Array:
    """Return the days of the courses: dense at first, then sparse, with all days of endpoints and responses."""
    plan = trial.follow_up
    horizon = plan.horizon_days
    late = np.arange(450, horizon, max(50, horizon / 100))
    grid = plan.days or (*range(31), *range(35, 101, 5), *range(110, 401, 10), *late, horizon)
    wanted = [*grid, *(row.day for row in trial.published if row.day is not None)]
    wanted += trial.response.days if trial.response else ()
    return np.unique([float(day) for day in wanted if 0 <= day <= horizon])


def simulate_block(
    trial: Trial,
    ids: NDArray[np.uint64],
    seed: int,
    days: Array,
    *,
    keep: int = COURSES_KEPT,
    threads: int | None = None,
) -> Block:
    """Return the results of the patients with these identifiers; courses are kept up to the identifier ``keep``."""
    enrolled = trial.population.sample_ids(ids, seed=seed)
    journey = trial.arms[0].journey
    dose, ready = journey.prepare(enrolled, seed=seed)
    if not len(dose):
        return _nobody(trial, enrolled, dose.attrition, int(np.sum(ids <= keep)), days)
    course = infuse(
        dose,
        ready,
        journey.infusion,
        times=days,
        outputs=trial.follow_up.outputs,
        crossings=lambda infused: _crossings(trial, infused),
        extremes=_extremes(trial),
        seed=seed,
        threads=threads,
    )
    return _gather(trial, enrolled, course, keep)


def _crossings(trial: Trial, infused: Patients) -> Mapping[str, Any]:
    from livingdrug.engine.solve import Crossing

    level = trial.follow_up.progression.value * infused[trial.follow_up.baseline]
    return {"progression": Crossing(trial.follow_up.tumour, above=level)}


def _extremes(trial: Trial) -> Mapping[str, Any]:
    from livingdrug.engine.solve import Extreme

    return {"car_peak": Extreme(trial.follow_up.car_t, "max")}


def _gather(trial: Trial, enrolled: Patients, course: Course, keep: int) -> Block:
    """Return the block of all enrolled patients from the course of those who were infused."""
    _check_units(trial, course)
    rows = np.searchsorted(enrolled.ids, course.patients.ids)
    results, units = _results(trial, course)
    after = _after_progression(course, results["progression_day"])
    values = np.array(course.values)
    values[:, :, course.outputs.index(trial.follow_up.tumour)][after] = np.nan
    columns = {**course.patients.columns, **results}
    wide = {name: _spread(column, rows, len(enrolled)) for name, column in columns.items() if name not in enrolled}
    wide["infused"], wide["solved"] = (np.nan_to_num(wide[name]) for name in ("infused", "solved"))
    patients = enrolled.with_columns(wide, {**course.patients.units, **units}, frozenset(wide))
    responses = np.full(len(enrolled), "", "<U2")
    responses[rows] = _responses(trial, course, results)
    kept = np.full((int(np.sum(enrolled.ids <= keep)), *values.shape[1:]), np.nan)
    inside = rows < kept.shape[0]
    kept[rows[inside]] = values[inside]
    stages, reasons = _left(enrolled, course.attrition)
    failures = [asdict(failure) for failure in course.solution.failures()]
    for failure in failures:
        failure.pop("row", None)  # its place in the block; the identifier names the patient
    return Block(patients, stages, reasons, responses, kept, dict(course.units), failures)


def _check_units(trial: Trial, course: Course) -> None:
    """Check that what is compared has one unit; otherwise an InputError."""
    plan = trial.follow_up
    pairs = [(plan.tumour, course.patients.units[plan.baseline], f"the column {plan.baseline}")]
    pairs += [(row.output, row.unit, row.label) for row in trial.published if row.endpoint == "output_on_day"]
    for output, unit, other in pairs:
        if course.units[output] != unit:
            raise InputError(f"{trial.name}: the output {output} is in {course.units[output]}, but {other} in {unit}")


def _results(trial: Trial, course: Course) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the results of the infused patients as columns with their units."""
    plan, solution = trial.follow_up, course.solution
    solved = np.asarray(solution.status) == 0
    progression = np.where(solved, solution.crossing_time["progression"], np.nan)
    extinct = np.where(solved, solution.extinct_time.get(plan.tumour_state, np.full(solved.size, np.nan)), np.nan)
    progressed = np.isfinite(progression) & ~(extinct <= progression)
    peak_day, peak = solution.extreme["car_peak"]
    car_unit = course.units[plan.car_t]
    results = {
        "infused": np.ones(solved.size),
        "solved": solved.astype(float),
        "progression_day": np.where(progressed, progression, np.nan),
        "cure_day": np.where(progressed, np.nan, extinct),
        "pfs_day": np.where(solved, np.where(progressed, progression, plan.horizon_days), np.nan),
        "pfs_event": np.where(solved, progressed.astype(float), np.nan),
        "car_peak": np.where(solved, peak, np.nan),
        "car_peak_day": np.where(solved, peak_day, np.nan),
    }
    units = {name: "day" for name in results if name.endswith("_day")} | {"car_peak": car_unit}
    for row in trial.published:
        if row.endpoint == "output_on_day" and row.day is not None:
            name = column_on_day(row.output, row.day)
            results[name] = np.where(solved, course[row.output][:, np.searchsorted(course.days, row.day)], np.nan)
            units[name] = course.units[row.output]
    return results, units


def _after_progression(course: Course, progression: Array) -> NDArray[np.bool_]:
    """Return where the follow-up of the tumour has ended, shape (patient, day)."""
    return course.days[None, :] > np.where(np.isfinite(progression), progression, math.inf)[:, None]


def _responses(trial: Trial, course: Course, results: Mapping[str, Array]) -> NDArray[np.str_]:
    """Return the best response of each infused patient at the assessments before progression."""
    rule = trial.response
    best = np.full(len(course.patients), "", "<U2")
    if rule is None:
        return best
    places = np.searchsorted(course.days, rule.days)
    seen = ~_after_progression(course, results["progression_day"])[:, places]
    volume = np.where(seen, course[trial.follow_up.tumour][:, places], math.inf)
    least = volume.min(axis=1)
    first = course.patients[trial.follow_up.baseline]
    solved = results["solved"] > 0
    best[solved] = "SD"
    best[solved & (results["progression_day"] <= rule.days[0])] = "PD"
    best[solved & (least <= rule.partial_fraction.value * first)] = "PR"
    best[solved & (least <= rule.complete_below.value)] = "CR"
    return best


def _spread(column: Array, rows: NDArray[np.intp], size: int) -> Array:
    wide = np.full(size, np.nan)
    wide[rows] = column
    return wide


def _left(enrolled: Patients, attrition: Attrition) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    stages, reasons = np.full(len(enrolled), "", object), np.full(len(enrolled), "", object)
    rows = np.searchsorted(enrolled.ids, attrition.ids)
    stages[rows], reasons[rows] = attrition.stages, attrition.reasons
    return stages.astype(np.str_), reasons.astype(np.str_)


def _nobody(trial: Trial, enrolled: Patients, attrition: Attrition, kept: int, days: Array) -> Block:
    """Return the block in which nobody reached the infusion."""
    empty = np.full(len(enrolled), np.nan)
    names = ("progression_day", "cure_day", "pfs_day", "pfs_event", "car_peak", "car_peak_day")
    names += tuple(
        column_on_day(row.output, row.day or 0) for row in trial.published if row.endpoint == "output_on_day"
    )
    columns = {"infused": np.zeros(len(enrolled)), "solved": np.zeros(len(enrolled)), **dict.fromkeys(names, empty)}
    stages, reasons = _left(enrolled, attrition)
    values = np.full((kept, days.size, len(trial.follow_up.outputs)), np.nan)
    patients = enrolled.with_columns(columns, {}, frozenset(names))
    return Block(patients, stages, reasons, np.full(len(enrolled), "", "<U2"), values)


def _published_cures(trial: Trial, seed: int, store: Store | None, threads: int | None) -> list[tuple[int, int]]:
    """Return (cured, solved) of each published probability of cure, from the folder if they were run before."""
    lines = len(trial.published_cures)
    counts = store.read_cures(lines) if store and lines else None
    if counts is None:
        counts = [_published_cure(trial, number, seed, threads) for number in range(lines)]
        if store and lines:
            store.write_cures(counts)
    return counts


def _published_cure(trial: Trial, number: int, seed: int, threads: int | None) -> tuple[int, int]:
    """Run the model with exactly the setting of a published probability of cure; return cured and solved runs.

    These runs have patient identifiers of their own, so that no chance is shared with the trial or another line.
    """
    row = trial.published_cures[number]
    ids = np.arange(1, row.runs + 1, dtype=np.uint64) + np.uint64((number + 1) * FIRST_OF_CURES)
    patients = Patients(ids, {name: np.full(ids.size, value) for name, value in row.setting.items()})
    course = follow(
        patients,
        Attrition.none(),
        trial.arms[0].journey.infusion,
        times=[0.0, trial.horizon_days],
        outputs=trial.follow_up.outputs,
        crossings=lambda infused: _crossings(trial, infused),
        extremes=_extremes(trial),
        seed=seed,
        threads=threads,
    )
    bare = trial.model_copy(update={"published": ()})
    results, _ = _results(bare, course)
    return int(np.isfinite(results["cure_day"]).sum()), int(results["solved"].sum())


def _with_baseline(trial: Trial, path: str | Path | None) -> Trial:
    if path is None:
        return trial
    name = trial.follow_up.baseline
    unit = trial.population.columns[name].unit
    values = read_values(path, name, unit, least=1e-3, most=LARGEST_VOLUME)
    return trial.model_copy(update={"population": trial.population.with_values(name, values)})


def _configuration(trial: Trial, patients: int, seed: int) -> dict[str, Any]:
    """Return all that decides the numbers of a run, and its hash."""
    from livingdrug.therapy.infusion import library_model

    model = library_model(trial.model)
    parts = {
        "format": FORMAT,
        "trial": trial.model_dump(mode="json"),
        "patients": patients,
        "seed": seed,
        "model": trial.model,
        "model_fingerprint": str(getattr(model, "fingerprint", "")),
    }
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return {**parts, "hash": hashlib.sha256(text.encode()).hexdigest()}


def _whole(name: str, value: Any, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= most:
        raise InputError(f"{name} must be a whole number from 1 to {most}, got {value!r:.40}")
