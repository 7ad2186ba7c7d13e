"""What an ensemble predicts of the calibration trials, beside what they reported.

Each member simulates the trial with the trial effects that it found in the calibration, or with fresh ones where the
trial took no part; from its patients several trials of the real size are drawn. Together they are the predictive
distribution: parameters and the chance of a trial of that size. Days
are rounded as the reports print them, any other number stands for all that would be printed like it, and a median
below the assay's limit counts as the limit. An interval may be wide, but not at will: its width is set beside a
limit of twice Wilson's for shares, twice the sampling width of the logarithm for means and spreads, and twice the
width over replicates of one typical member for medians.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.trials.calibration import fresh_trial_effects, own_trial_effects
from livingdrug.trials.ensemble import Ensemble
from livingdrug.trials.evidence import Z95, as_printed, is_inside, is_share, reported_width
from livingdrug.trials.member_runs import MEMBERS_AT_ONCE, pools
from livingdrug.trials.protocol import Protocol
from livingdrug.trials.survival import wilson
from livingdrug.trials.targets import Target, expanded, target_replicates, target_trials, targets
from livingdrug.workers import in_processes

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GOAL", "GOAL_PART", "PATIENTS", "coverage_summary", "coverage_table", "predict_targets"]

Array = NDArray[np.float64]
PATIENTS = 500
REPLICATES = 20
GOAL, GOAL_PART = 0.90, 0.75  # share of targets inside: of all, and in each trial and class
FIRST_ID = 500_000_001  # patients of predictions are none of the calibration's


def coverage_table(
    ensemble: Ensemble,
    *,
    trials: Sequence[str] = (),
    seed: int = 2,
    workers: int = 2,
    progress: Callable[[int, int], Any] | None = None,
) -> pd.DataFrame:
    """Return one line per target: reported, predicted, inside or not, and the width beside its limit.

    Args:
        ensemble: the parameter sets.
        trials: those of ``targets.target_trials``; all unless given.
        seed: of the patients, the trial effects and the draws.
        workers: processes.
        progress: is called with the pieces that are done and all pieces.
    """
    import pandas as pd

    names = tuple(trials) or target_trials()
    found = predict_targets(ensemble, names, seed=seed, workers=workers, progress=progress)
    rows = []
    for trial in names:
        limit = Protocol.builtin(trial).sampling.lloq.value
        for number, target in enumerate(expanded(targets(trial))):
            draws, bootstrap = found[trial]
            seen = (as_printed(target, each[number], limit) for each in (draws, bootstrap))
            rows.append({"trial": trial, **_line(target, *seen)})
    return pd.DataFrame(rows)


def predict_targets(
    ensemble: Ensemble,
    trials: Sequence[str],
    *,
    seed: int = 2,
    workers: int = 2,
    progress: Callable[[int, int], Any] | None = None,
) -> dict[str, Array]:
    """Return the draws of each trial's targets, trial -> shape (2, target, member, replicate).

    First replicates in which nobody stands twice: over all members they scatter as a trial of that size under uncertain
    parameters. Then replicates with replacement: about their own member they scatter by the chance of that size alone.
    """
    groups = np.array_split(np.arange(len(ensemble)), max(1, -(-len(ensemble) // MEMBERS_AT_ONCE)))
    tasks = []
    for trial in trials:
        effects = own_trial_effects(ensemble.trial_effects, trial)
        effects = effects or fresh_trial_effects(len(ensemble), seed, trial)
        every = {**ensemble.settings, **effects}
        tasks += [({name: values[group] for name, values in every.items()}, trial, group, seed) for group in groups]
    done: dict[int, Array] = {}
    for number, piece in in_processes(_predicted, tasks, workers):
        done[number] = piece
        if progress:
            progress(len(done), len(tasks))
    size = len(groups)
    return {trial: np.concatenate([done[k * size + g] for g in range(size)], axis=2) for k, trial in enumerate(trials)}


def _predicted(task: tuple[Mapping[str, Array], str, NDArray[np.intp], int]) -> Array:
    """Return draws of a trial's targets from some members, shape (2, target, member, replicate)."""
    settings, trial, group, seed = task
    protocol = Protocol.builtin(trial)
    found = pools(protocol, settings, PATIENTS, FIRST_ID + int(group[0]) * PATIENTS, seed=seed)
    own = list(zip(found, seed + group, strict=True))  # every member draws other patients
    return np.array([
        [
            [target_replicates(pool, each, protocol, count=REPLICATES, seed=int(k), again=again) for pool, k in own]
            for each in expanded(targets(trial))
        ]
        for again in (False, True)
    ])  # fmt: skip


def _line(target: Target, draws: Array, bootstrap: Array) -> dict[str, Any]:
    flat = draws[~np.isnan(draws)]
    low, middle, high = np.quantile(flat, [0.025, 0.5, 0.975], method="inverted_cdf") if flat.size else [np.nan] * 3
    width, limit = _width(target, low, high, bootstrap)
    return {
        "label": target.label(), "kind": target.kind, "statistic": target.measure.statistic, "unit": target.unit,
        "observed": target.value, "size": target.size, "counted": target.counted, "middle": middle, "low": low,
        "high": high, "inside": is_inside(target, low, high), "width": width, "width_limit": limit,
        "wide": bool(width > limit),
    }  # fmt: skip


def _width(target: Target, low: float, high: float, bootstrap: Array) -> tuple[float, float]:
    """Return the width of the interval and its limit: percentage points for shares, logarithms for the others."""
    if is_share(target):
        ends = wilson(target.value / 100 * target.size, target.size)
        return high - low, 2 * 100 * (ends[1] - ends[0])
    if target.measure.statistic == "geometric CV":  # its error is that of the SD of the logarithm
        low, high = (float(np.sqrt(np.log1p((end / 100) ** 2))) for end in (low, high))
    width = float(np.log(high / low)) if low > 0 else np.inf
    if target.measure.statistic in ("median", "median time"):
        return width, 2 * _typical_width(bootstrap)
    if target.measure.statistic == "arithmetic mean" and target.sd:  # of a log-normal quantity with this variation
        return width, 2 * 2 * Z95 * float(np.sqrt(np.log1p((target.sd / target.value) ** 2) / target.size))
    return width, 2 * 2 * Z95 * reported_width(target)


def _typical_width(bootstrap: Array) -> float:
    """Return the width that chance alone gives a median: its spread over the replicates of each member, pooled."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(bootstrap)
        apart = logs - np.median(logs, axis=1, keepdims=True)
    known = apart[np.isfinite(apart)]
    if not known.size:
        return np.nan
    factor = np.sqrt(bootstrap.shape[1] / (bootstrap.shape[1] - 1))  # the median of few replicates follows them
    return float(np.diff(np.quantile(known, [0.025, 0.975]))[0]) * factor


def coverage_summary(table: pd.DataFrame) -> pd.DataFrame:
    """Return over all, by trial and by class: how many of the targets that count are inside, or too wide, and the goal.

    Columns by, name, targets, inside, share, wide, narrow (inside an interval that is not too wide), goal, met. The
    goal is 90 % of all targets inside an interval that is not too wide, and 75 % in each trial and in each class.
    """
    import pandas as pd

    counted = table[table["counted"]]
    parts = [("all", "all", counted)]
    parts += [("trial", str(name), group) for name, group in counted.groupby("trial")]
    parts += [("class", str(name), group) for name, group in counted.groupby("kind")]
    rows = []
    for by, name, group in parts:
        goal, size = GOAL if by == "all" else GOAL_PART, len(group)
        within, wide = (np.asarray(group[column], bool) for column in ("inside", "wide"))
        inside, narrow = int(within.sum()), int((within & ~wide).sum())
        rows.append({"by": by, "name": name, "targets": size, "inside": inside,
                     "share": inside / size if size else np.nan, "wide": int(wide.sum()), "narrow": narrow,
                     "goal": goal, "met": bool(size and narrow >= goal * size)})  # fmt: skip
    return pd.DataFrame(rows)
