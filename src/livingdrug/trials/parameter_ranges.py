"""Ranges of a trial's numbers when the numbers of the model are not known exactly, beside those of chance alone.

Each parameter set of the calibrated ensemble plays the trial once at its real size, with patients of its own. The
spread of what these trials report holds both: chance, and what the calibration left open. A trial that took part in
the calibration keeps the effects that it found there; others get fresh ones, and the spread between diseases and
products where theirs was not calibrated. Not for clinical use.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.trials.calibration import own_trial_effects
from livingdrug.trials.ensemble import Ensemble
from livingdrug.trials.evidence import as_printed, is_inside
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.predict import prediction_settings
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.replicates import endpoint_table, interval
from livingdrug.trials.simulate import simulate_arm
from livingdrug.trials.targets import expanded, target_trials, target_value, targets
from livingdrug.trials.twin import ARM_STRIDE, TwinOutcome
from livingdrug.workers import in_processes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEAST_SETS", "inside", "with_parameter_ranges"]

Array = NDArray[np.float64]
Values = Mapping[tuple[str, str], float]
LEAST_SETS = 20  # with fewer there are no ends of a range
SETS_AT_ONCE = 25
FIRST_ID = 700_000_001  # these patients are none of the run's
TARGET = ""  # stands for the arm of what a trial reported


def with_parameter_ranges(
    outcome: TwinOutcome,
    ensemble: Ensemble,
    sets: int = 100,
    *,
    workers: int = 1,
    progress: Callable[[int, int], Any] | None = None,
) -> TwinOutcome:
    """Return an outcome whose endpoints and targets also have ``sets_low`` and ``sets_high``: chance and parameters.

    Targets have ``sets_inside`` besides.

    Args:
        outcome: of a run with the medians of the ensemble.
        ensemble: the parameter sets.
        sets: how many of them play the trial, spread evenly; all if there are fewer.
        workers: processes.
        progress: called with (trials played, trials in all).

    Raises:
        InputError: too few sets.
    """
    chosen = np.unique(np.linspace(0, len(ensemble) - 1, min(sets, len(ensemble))).round().astype(int))
    if chosen.size < LEAST_SETS:
        raise InputError(f"ranges over parameters need at least {LEAST_SETS} sets, got {chosen.size}")
    groups = np.array_split(chosen, -(-chosen.size // SETS_AT_ONCE))
    days, every = outcome.configuration.get("days"), _settings(outcome.trial, ensemble, outcome.seed)
    tasks = [(outcome.trial, every, group, outcome.seed, days) for group in groups]
    played: list[Values] = []
    for _, piece in in_processes(_played, tasks, workers):
        played += piece
        if progress:
            progress(len(played), int(chosen.size))
    facts = {"ensemble": ensemble.name, "ensemble_sha256": ensemble.hash, "parameter_sets": int(chosen.size)}
    return replace(
        outcome, endpoints=_ranged(outcome.endpoints, played, _endpoint_key),
        targets=_judged(_ranged(outcome.targets, played, _target_key), outcome.trial),
        configuration={**outcome.configuration, **facts},
    )  # fmt: skip


def inside(targets: pd.DataFrame) -> tuple[int, int | None]:
    """Return how many reported numbers lie inside the range by chance, and by chance and parameters where there is one.

    Args:
        targets: of an outcome.
    """
    both = int(np.count_nonzero(targets["sets_inside"])) if "sets_inside" in targets else None
    return int(np.count_nonzero(targets["inside"])), both


def _endpoint_key(_: int, row: Any) -> tuple[str, str]:
    return str(row.arm), str(row.endpoint)


def _target_key(number: int, _: Any) -> tuple[str, str]:
    return TARGET, str(number)


def _ranged(table: pd.DataFrame, played: list[Values], key: Callable[[int, Any], tuple[str, str]]) -> pd.DataFrame:
    """Return a table with the range of each row's number over the trials that were played."""
    ends = []
    for number, row in enumerate(table.itertuples()):
        _, low, high = interval([one.get(key(number, row), np.nan) for one in played])
        ends.append((low, high))
    low, high = np.array(ends, np.float64).reshape(-1, 2).T
    return table.assign(sets_low=low, sets_high=high) if len(table) else table


def _judged(table: pd.DataFrame, trial: Protocol) -> pd.DataFrame:
    """Return the table of targets with what lies inside the wider range."""
    if not len(table):
        return table
    rows = zip(expanded(targets(trial.name)), table.to_dict("records"), strict=True)
    return table.assign(sets_inside=[is_inside(one, row["sets_low"], row["sets_high"]) for one, row in rows])


def _settings(trial: Protocol, ensemble: Ensemble, seed: int) -> dict[str, dict[str, Array]]:
    """Return arm -> settings of each parameter set, name -> shape (set,); none for a comparator."""
    known = own_trial_effects(ensemble.trial_effects, trial.name)
    found: dict[str, dict[str, Array]] = {arm.name: {} for arm in trial.arms}
    for arm in trial.arms:
        if arm.product:
            own = {**ensemble.settings, **known} if known else prediction_settings(ensemble.settings, trial, arm, seed)
            found[arm.name] = {name: np.asarray(values) for name, values in own.items()}
    return found


def _played(
    task: tuple[Protocol, Mapping[str, Mapping[str, Array]], NDArray[np.intp], int, float | None],
) -> list[Values]:
    """Return what the trial reports under each of some parameter sets."""
    trial, settings, group, seed, days = task
    arms = [_arm(trial, place, settings[arm.name], group, seed, days) for place, arm in enumerate(trial.arms)]
    found = []
    for k in range(group.size):
        whole = Outcomes.joined([outcomes.take(owner == k) for outcomes, owner in arms])
        rows = endpoint_table(whole, trial, count=1, seed=seed).to_dict("records")
        values = {(str(row["arm"]), str(row["endpoint"])): float(row["value"]) for row in rows}
        found.append({**values, **_reported(whole, trial)})
    return found


def _reported(whole: Outcomes, trial: Protocol) -> Values:
    """Return the numbers that the real trial reported, for a trial that is as it was published."""
    if trial.name not in target_trials() or trial != Protocol.builtin(trial.name):
        return {}
    limit = trial.sampling.lloq.value
    return {
        (TARGET, str(n)): float(as_printed(one, target_value(whole, one, trial), limit))
        for n, one in enumerate(expanded(targets(trial.name)))
    }


def _arm(
    trial: Protocol, place: int, settings: Mapping[str, Array], group: NDArray[np.intp], seed: int, days: float | None
) -> tuple[Outcomes, NDArray[np.intp]]:
    """Return the patients of one arm in the trials of some parameter sets, and whose they are."""
    arm = trial.arms[place]
    each = trial.enrolled_in(arm)
    first = FIRST_ID + place * ARM_STRIDE + int(group[0]) * each
    owner = np.repeat(np.arange(group.size), each)
    own = {name: values[group][owner] for name, values in settings.items()}
    return simulate_arm(trial, arm, first + np.arange(owner.size), seed, own, days=days, threads=1), owner
