"""The same patients under several plans: what differs between the plans is then due to the plans alone.

Every patient keeps identifier and random streams from plan to plan (common random numbers). With an ensemble each
parameter set has patients of its own, the same ones under every plan. Finished blocks lie in a folder, so a run that
was stopped goes on. Not for clinical use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.simulate import simulate_arm
from livingdrug.trials.store import Store
from livingdrug.trials.twin import FORMAT
from livingdrug.workers import in_processes

__all__ = ["Pool", "Scenario", "parameter_sets", "simulate_scenarios"]

Array = NDArray[np.float64]
BLOCK = 1_000
ENSEMBLE_FROM = 20  # parameter sets from which on their range is shown instead of the chance of the patients
RESAMPLES = 400
MOST_PATIENTS = 1_000_000


@dataclass(frozen=True)
class Scenario:
    """A plan: an arm of a trial, under a name."""

    name: str
    trial: Protocol
    arm: str = ""

    @property
    def slug(self) -> str:
        """Return the name as that of a folder."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.name.lower()).strip("-")


@dataclass(frozen=True, eq=False)
class Pool:
    """Patients under several plans.

    Attributes:
        found: plan -> outcomes, the same patients in the same order.
        scenarios: plan -> how it was.
        patients: per parameter set.
        sets: parameter sets.
        seed: of all random streams.
    """

    found: Mapping[str, Outcomes]
    scenarios: Mapping[str, Scenario]
    patients: int
    sets: int
    seed: int

    def rows(self) -> NDArray[np.intp]:
        """Return rows of patients over which a number scatters, shape (replicate, patient).

        With many parameter sets one replicate per set; else patients drawn again with replacement.
        """
        total = self.patients * self.sets
        if self.sets >= ENSEMBLE_FROM:
            return np.arange(total).reshape(self.sets, self.patients)
        return np.random.default_rng(self.seed).integers(0, total, (RESAMPLES, total))

    def interval_words(self) -> str:
        """Say what intervals over :meth:`rows` mean."""
        if self.sets >= ENSEMBLE_FROM:
            return f"95 % of {self.sets} calibrated parameter sets, each with {self.patients} patients"
        return f"95 % interval of the chance of {self.patients * self.sets} simulated patients"


def parameter_sets(count: int) -> tuple[dict[str, Array], str]:
    """Return settings of so many members of the newest ensemble, name -> shape (set,), and where they are from.

    Without a shipped ensemble the settings are empty: one set, the default values.
    """
    from livingdrug.trials.ensemble import ensemble_names, load_ensemble

    if not ensemble_names():
        return {}, "default values, not calibrated: no ensemble is shipped"
    found = load_ensemble()
    where = f"ensemble {found.name}, SHA-256 {found.hash}"
    if count <= 1:
        return {name: np.array([value]) for name, value in found.middle().items()}, f"medians of {where}"
    spread = np.unique(np.linspace(0, len(found) - 1, min(count, len(found))).round().astype(int))
    return {name: np.asarray(values)[spread] for name, values in found.settings.items()}, where


def simulate_scenarios(
    scenarios: Sequence[Scenario],
    patients: int = 1_000,
    seed: int = 1,
    *,
    settings: Mapping[str, Array] | None = None,
    folder: str | Path | None = None,
    days: float | None = None,
    workers: int = 1,
    threads: int | None = None,
    block: int = BLOCK,
    progress: Callable[[int, int], Any] | None = None,
) -> Pool:
    """Simulate the same enrolled patients under each plan.

    Args:
        scenarios: plans with names of their own.
        patients: enrolled per plan and parameter set.
        seed: of all random streams.
        settings: name -> shape (set,); default values without.
        folder: where finished blocks are kept; a plan that lies there already is not solved again.
        days: last day; that of each trial unless given.
        workers: processes.
        threads: of the solver in each.
        block: patients that are solved together.
        progress: called with (patients done, patients in all).

    Raises:
        InputError: a number cannot be used, or the folder belongs to another run.
    """
    given = {name: np.atleast_1d(np.asarray(values, np.float64)) for name, values in (settings or {}).items()}
    sets = len(next(iter(given.values()))) if given else 1
    _checked(scenarios, patients, sets)
    tasks = [
        task for one in scenarios for task in _tasks(one, patients, sets, seed, given, days, threads, block, folder)
    ]
    done, total, found = 0, patients * sets * len(scenarios), {}
    for number, outcomes in in_processes(_solve, tasks, workers):
        found[number] = outcomes
        done += tasks[number].ids.size
        if progress:
            progress(done, total)
    joined = {
        one.name: Outcomes.joined([found[k] for k, task in enumerate(tasks) if task.scenario is one])
        for one in scenarios
    }  # fmt: skip
    return Pool(joined, {one.name: one for one in scenarios}, patients, sets, seed)


def _checked(scenarios: Sequence[Scenario], patients: int, sets: int) -> None:
    if isinstance(patients, bool) or not isinstance(patients, int) or not 2 <= patients * sets <= MOST_PATIENTS:
        raise InputError(f"patients times parameter sets must be 2 to {MOST_PATIENTS}, got {patients!r:.20} x {sets}")
    if not scenarios or len({one.slug for one in scenarios}) < len(scenarios):
        raise InputError("plans need names of their own, at least one")


@dataclass(frozen=True, eq=False)
class _Task:
    """What a worker needs for one block."""

    scenario: Scenario
    ids: NDArray[np.uint64]
    seed: int
    settings: Mapping[str, Array]
    days: float | None
    threads: int | None
    store: Store | None


def _tasks(
    one: Scenario, patients: int, sets: int, seed: int, settings: Mapping[str, Array], days: float | None,
    threads: int | None, block: int, folder: str | Path | None,
) -> Iterator[_Task]:  # fmt: skip
    parts: dict[str, Any] = {
        "format": FORMAT, "trial": one.trial.model_dump(mode="json"), "arm": one.arm, "patients": patients,
        "seed": seed, "model": "twin", "settings": {name: values.tolist() for name, values in settings.items()},
        "days": days, "body": _fingerprint(),
    }  # fmt: skip
    parts["hash"] = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    store = Store.open(Path(folder) / one.slug, parts, block) if folder is not None else None
    ids = np.arange(1, patients * sets + 1, dtype=np.uint64)
    each = {name: np.repeat(values, patients) for name, values in settings.items()}
    for first in range(0, ids.size, block):
        part = slice(first, first + block)
        yield _Task(one, ids[part], seed, {k: v[part] for k, v in each.items()}, days, threads, store)


def _fingerprint() -> str:
    from livingdrug.body.twin import TwinBody

    return str(getattr(TwinBody, "fingerprint", ""))


def _solve(task: _Task) -> Outcomes:
    """Return a block, from the folder if it lies there."""
    if task.store is not None:
        kept = task.store.read(task.ids, Outcomes.from_table, lambda one: one.ids)
        if kept is not None:
            return kept
    one = task.scenario
    found = simulate_arm(
        one.trial, one.trial.arm(one.arm), task.ids, task.seed, task.settings, days=task.days, threads=task.threads
    )
    if task.store is not None:
        task.store.write(task.ids, found.to_table())
    return found
