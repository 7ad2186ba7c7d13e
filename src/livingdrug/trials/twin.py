"""Running a trial of the twin: blocks of patients on any number of workers, kept in a folder, joined at the end.

A block is decided by its patients' identifiers and the seed alone. With a folder, finished blocks lie there as Parquet
files, so a killed run continues where it stopped; the table of all patients is written block by block, and its columns
are read when they are asked for, so memory hardly grows with the number of patients. Not for clinical use.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, LivingDrugError
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.simulate import simulate_arm
from livingdrug.trials.store import AS_PARQUET, Store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["BLOCK", "TwinOutcome", "arm_ids", "run_twin"]

BLOCK = 4_000
FORMAT = 2  # of the blocks: rises when the same configuration gives other numbers
MOST_PATIENTS = 10_000_000
ARM_STRIDE = 1_000_000_000  # identifiers of the second arm begin here: patients of arms share no luck
Ids = NDArray[np.uint64]


@dataclass(frozen=True, eq=False, repr=False)
class TwinOutcome:
    """The results of a simulated trial of the twin.

    Attributes:
        trial: the definition.
        seed: of all random streams.
        outcomes: one row per enrolled patient, arm after arm.
        endpoints: each endpoint by arm with its interval over trials of the real size.
        targets: for a calibration trial what was reported beside what is simulated; else empty.
        configuration: all that is needed to run the trial again.
    """

    trial: Protocol
    seed: int
    outcomes: Outcomes
    endpoints: pd.DataFrame
    targets: pd.DataFrame
    configuration: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<TwinOutcome of {self.trial.name}: {self.outcomes!r}, seed {self.seed}>"

    @property
    def failed(self) -> int:
        """How many infused patients could not be solved to the end."""
        return int((self.outcomes["infused"] & ~self.outcomes["solved"]).sum())


@dataclass(frozen=True)
class _Task:
    """What a worker needs for one block."""

    trial: Protocol
    arm: str
    first: int
    last: int
    seed: int
    settings: Mapping[str, float]
    days: float | None
    threads: int | None
    store: Store | None

    @property
    def size(self) -> int:
        return self.last - self.first + 1

    @property
    def ids(self) -> Ids:
        return np.arange(self.first, self.last + 1, dtype=np.uint64)


def arm_ids(trial: Protocol, patients: int) -> dict[str, Ids]:
    """Return the identifiers of each arm's patients when so many are enrolled in all; each arm has its own patients.

    Example:
        >>> {name: ids.size for name, ids in arm_ids(Protocol.builtin("zuma-7"), 100).items()}
        {'axi-cel': 50, 'standard': 50}
    """
    ends = np.round(np.cumsum([0.0, *(arm.share for arm in trial.arms)]) * patients).astype(int)
    return {
        arm.name: np.arange(1, ends[place + 1] - ends[place] + 1, dtype=np.uint64) + np.uint64(place * ARM_STRIDE)
        for place, arm in enumerate(trial.arms)
    }


def run_twin(
    trial: Protocol,
    patients: int = 2_000,
    seed: int = 1,
    *,
    folder: str | Path | None = None,
    settings: Mapping[str, float] | None = None,
    days: float | None = None,
    replicates: int = 1_000,
    workers: int = 1,
    threads: int | None = None,
    block: int = BLOCK,
    progress: Callable[[int, int], Any] | None = None,
) -> TwinOutcome:
    """Simulate a trial of the twin.

    Args:
        trial: the definition.
        patients: enrolled patients over all arms, 1 or more.
        seed: of all random streams; same seed, same outcome to the last bit, for any block, workers or threads.
        folder: where finished blocks are kept; a run that was interrupted continues there.
        settings: named effects of a calibration.
        days: last day that is simulated; the trial's horizon unless given.
        replicates: trials of the real size, for the intervals.
        workers: processes; ``threads`` of the solver in each.
        threads: see ``workers``.
        block: patients that are solved together.
        progress: called with (patients done, patients in all) after each block.

    Raises:
        InputError: a number cannot be used, or the folder belongs to another run.
        LivingDrugError: a block could not be written, e.g. because the disk is full.
    """
    from livingdrug.trials.replicates import endpoint_table

    configuration = _configuration(trial, patients, seed, dict(settings or {}), days, block)
    store = Store.open(folder, configuration, block) if folder is not None else None
    tasks = list(_tasks(trial, patients, seed, dict(settings or {}), days, threads, block, store))
    blocks = dict(_solved(tasks, workers, progress, patients))
    if folder is None:
        outcomes = Outcomes.joined([blocks.pop(number) for number in range(len(tasks))])
    else:
        outcomes = write_patients(Path(folder) / "patients.parquet", tasks)
    return TwinOutcome(
        trial, seed, outcomes, endpoint_table(outcomes, trial, count=replicates, seed=seed),
        target_table(outcomes, trial, count=replicates, seed=seed), configuration,
    )  # fmt: skip


def _tasks(
    trial: Protocol, patients: int, seed: int, settings: Mapping[str, float], days: float | None,
    threads: int | None, block: int, store: Store | None,
) -> Iterator[_Task]:  # fmt: skip
    for name, ids in arm_ids(trial, patients).items():
        for first in range(0, ids.size, block):
            part = ids[first : first + block]
            yield _Task(trial, name, int(part[0]), int(part[-1]), seed, settings, days, threads, store)


def _solved(
    tasks: list[_Task], workers: int, progress: Callable[[int, int], Any] | None, patients: int
) -> Iterator[tuple[int, Any]]:
    """Solve the blocks that do not lie in the folder; yield each one's number and outcomes, None with a folder."""
    from livingdrug.workers import in_processes

    waiting = [n for n, task in enumerate(tasks) if task.store is None or not task.store.path(task.ids).exists()]
    done = patients - sum(tasks[number].size for number in waiting)
    if progress and done:
        progress(done, patients)
    for place, outcomes in in_processes(_solve, [tasks[number] for number in waiting], workers):
        done += tasks[waiting[place]].size
        if progress:
            progress(done, patients)
        yield waiting[place], outcomes


def _solve(task: _Task) -> Outcomes | None:
    """Simulate a block; with a folder, write it there and hand nothing back."""
    outcomes = simulate_arm(
        task.trial, task.arm, task.ids, task.seed, task.settings, days=task.days, threads=task.threads
    )
    if task.store is None:
        return outcomes
    task.store.write(task.ids, outcomes.to_table())
    return None


def write_patients(path: Path, tasks: list[_Task]) -> Outcomes:
    """Write the table of all patients from the blocks in the folder, whole or not at all; return it."""
    import pyarrow.parquet as pq

    draft = path.with_name(f".{path.name}.part")
    try:
        with pq.ParquetWriter(draft, _stored(tasks[0]).to_table().schema, **AS_PARQUET) as writer:
            for task in tasks:
                writer.write_table(_stored(task).to_table())
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise LivingDrugError(f"cannot write {path}: {error.strerror or error}; finished blocks are kept") from error
    finally:
        draft.unlink(missing_ok=True)  # also after Ctrl-C
    return Outcomes.read(path)


def _stored(task: _Task) -> Outcomes:
    assert task.store is not None  # only then a block is not handed back
    found = task.store.read(task.ids, Outcomes.from_table, lambda one: one.ids)
    if found is None:
        raise InputError(f"{task.store.path(task.ids)}: the file has gone; run again")
    return found


def target_table(outcomes: Outcomes, trial: Protocol, *, count: int = 1000, seed: int = 0) -> pd.DataFrame:
    """Return what a calibration trial reported beside the same numbers of simulated outcomes, with their interval."""
    import pandas as pd

    from livingdrug.trials.evidence import as_printed, is_inside
    from livingdrug.trials.replicates import interval
    from livingdrug.trials.targets import expanded, target_replicates, target_trials, target_value, targets

    rows = []
    as_published = trial.name in target_trials() and trial == Protocol.builtin(trial.name)
    for each in expanded(targets(trial.name)) if as_published else ():
        found = target_replicates(outcomes, each, trial, count=count, seed=seed)
        _, low, high = interval(as_printed(each, found, trial.sampling.lloq.value))
        rows.append(
            {
                "population": each.population, "endpoint": each.endpoint, "timepoint": each.timepoint,
                "grading_scale": each.grading_scale, "statistic": each.statistic, "unit": each.unit,
                "size": each.size, "reported": each.value, "reported_low": each.low, "reported_high": each.high,
                "simulated": target_value(outcomes, each, trial), "low": low, "high": high,
                "inside": is_inside(each, low, high), "kind": each.kind, "source": each.source,
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def _configuration(
    trial: Protocol, patients: int, seed: int, settings: dict[str, float], days: float | None, block: int
) -> dict[str, Any]:
    """Return all that decides the numbers of a run, and its hash; the numbers are checked."""
    from livingdrug.body.twin import TwinBody
    from livingdrug.streams import seed_words

    for name, value in (("patients", patients), ("block", block)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 1 <= value <= MOST_PATIENTS:
            raise InputError(f"{name} must be a whole number from 1 to {MOST_PATIENTS}, got {value!r:.40}")
    seed_words(seed)
    parts = {
        "format": FORMAT, "trial": trial.model_dump(mode="json"), "patients": int(patients), "seed": int(seed),
        "model": "twin", "model_fingerprint": str(getattr(TwinBody, "fingerprint", "")), "settings": settings,
        "days": days,
    }  # fmt: skip
    text = json.dumps(parts, sort_keys=True, allow_nan=False)
    return {**parts, "hash": hashlib.sha256(text.encode()).hexdigest()}
