"""Many runs of one plan with different luck: the spread of its results, on any number of processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError
from livingdrug.workers import in_processes

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.plant.plan import FleetPlan

__all__ = ["replicate"]

MOST_RUNS = 10_000


def replicate(
    plan: FleetPlan,
    patients: int,
    seed: int = 1,
    runs: int = 20,
    *,
    workers: int = 1,
    progress: Callable[[int, int], Any] | None = None,
) -> pd.DataFrame:
    """Return the summary of many runs: per quantity the mean, its 95 % interval and the spread between runs.

    Args:
        plan: the plant.
        patients: of each run.
        seed: of the first run; the next runs have the seeds after it.
        runs: how many, 2 or more.
        workers: processes; the result is the same for any number.
        progress: called with (runs done, runs in all).

    Raises:
        InputError: a number cannot be used.
    """
    if not 2 <= runs <= MOST_RUNS or workers < 1:
        raise InputError(f"runs must be 2 to {MOST_RUNS} and workers 1 or more, got {runs} and {workers}")
    tasks = [(plan, patients, seed + number) for number in range(runs)]
    tables: dict[int, pd.DataFrame] = {}
    for number, table in in_processes(_one, tasks, workers):
        tables[number] = table
        if progress:
            progress(len(tables), runs)
    return _together([tables[number] for number in range(runs)])


def _one(task: tuple[FleetPlan, int, int]) -> pd.DataFrame:
    plan, patients, seed = task
    return plan.run(patients, seed).table


def _together(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Return mean, interval of the mean and standard deviation between runs."""
    import pandas as pd
    from scipy.special import stdtrit

    values = np.array([table["mean"].to_numpy() for table in tables])
    mean, spread = values.mean(axis=0), values.std(axis=0, ddof=1)
    half = stdtrit(len(tables) - 1, 0.975) * spread / np.sqrt(len(tables))
    frame = pd.DataFrame({"quantity": tables[0]["quantity"], "unit": tables[0]["unit"], "mean": mean})
    return frame.assign(low=mean - half, high=mean + half, sd_between_runs=spread, runs=len(tables))
