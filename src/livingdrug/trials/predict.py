"""Predictions of trials from the ensemble, with nothing adjusted, to be frozen before anything is compared.

Every member of the ensemble simulates the trial with fresh trial effects. Diseases and products without a calibration
trial vary besides, by the spread that ``population.free.between`` states. Comparator arms are their stated models.
Each member has more patients of its own than the trial, and no replicate draws one of them twice, so the
spread of all draws is that of parameters and of a trial of this size, and no more.

Two things are not as the definition of a published trial has them. Who was lost before the infusion stands there, as
the trial told it, so those numbers are no forecast and get no line. And its data cut is a guess: landmarks that fewer
than half of the patients reach by then are of a later report, in which all were watched until the horizon.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.population.free import between
from livingdrug.streams import normal
from livingdrug.therapy.stated import Fixed
from livingdrug.trials.calibration import fresh_trial_effects
from livingdrug.trials.endpoint_names import KINETIC_SUMMARIES, endpoints_of, flow_endpoints
from livingdrug.trials.ensemble import Ensemble
from livingdrug.trials.forecast import forecast_row
from livingdrug.trials.measures import Measure, clock, in_set, samples_of
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Arm, Protocol, protocol_names, registered_names
from livingdrug.trials.replicates import draws
from livingdrug.trials.simulate import simulate_arm
from livingdrug.workers import in_processes

__all__ = ["predict_trials", "predicted_protocols", "prediction_settings"]

Array = NDArray[np.float64]
PATIENTS = 150  # of each member
POOL = 1.5  # and at least so many for each patient of the arm, so that replicates of a member differ
REPLICATES = 10
MEMBERS_AT_ONCE = 10
FIRST_ID = 900_000_001
KINETICS_CALIBRATED = ("ensign",)  # its kinetics are pooled with those of a calibration trial, so they are no forecast
APART = 1_000_000  # between the seeds of the draws of two arms
HAZARD_RATIOS = ("pfs", "efs", "os")


def predicted_protocols() -> tuple[Protocol, ...]:
    """Return every shipped trial of the twin that took no part in the calibration, registered ones last.

    Example:
        >>> [each.name for each in predicted_protocols() if each.disease == "cll"]
        ['transcend-cll-004', 'nct07194980']
    """
    every = (Protocol.builtin(name) for name in (*protocol_names(), *registered_names()))
    return tuple(each for each in every if not each.calibration)


def prediction_settings(settings: Mapping[str, Array], protocol: Protocol, arm: Arm, seed: int) -> dict[str, Array]:
    """Return the settings of each member in a trial that was not calibrated, name -> shape (member,)."""
    members = len(next(iter(settings.values())))
    found = {**settings, **fresh_trial_effects(members, seed, protocol.name)}
    for name, sd in between(protocol.disease, arm.product).items():
        z = normal(seed, np.arange(members), f"between:{name}")[:, 0]
        found[name] = found.get(name, 1.0) * np.exp(sd * z)
    return found


def predict_trials(
    ensemble: Ensemble,
    protocols: Sequence[Protocol],
    *,
    seed: int = 3,
    workers: int = 2,
    progress: Callable[[int, int], Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the lines of a forecast of every endpoint of every arm, and hazard ratios of randomised trials.

    Args:
        ensemble: the parameter sets.
        protocols: definitions of trials.
        seed: of patients, trial effects and draws.
        workers: processes.
        progress: is called with the pieces that are done and all pieces.
    """
    members = len(ensemble)
    groups = np.array_split(np.arange(members), max(1, -(-members // MEMBERS_AT_ONCE)))
    tasks = [(dict(ensemble.settings), each, group, seed) for each in protocols for group in groups]
    done: dict[int, dict[tuple[str, str], Array]] = {}
    for number, piece in in_processes(_predicted, tasks, workers):
        done[number] = piece
        if progress:
            progress(len(done), len(tasks))
    rows: list[dict[str, Any]] = []
    for k, protocol in enumerate(protocols):
        parts = [done[k * len(groups) + g] for g in range(len(groups))]
        rows += _rows(protocol, {key: np.concatenate([part[key] for part in parts], axis=1) for key in parts[0]})
    return rows


def _predicted(task: tuple[Mapping[str, Array], Protocol, NDArray[np.intp], int]) -> dict[tuple[str, str], Array]:
    """Return draws from some members and the patients behind each, (arm, endpoint) -> shape (2, member * replicate)."""
    settings, protocol, group, seed = task
    arms = {arm.name: _arm_pools(protocol, arm, settings, group, seed) for arm in protocol.arms}
    found: dict[tuple[str, str], Array] = {}
    for arm in protocol.arms:
        measures = _reported(protocol, arm)
        later = _arm_pools(_watched_on(protocol), arm, settings, group, seed) if _late(protocol, measures) else []
        for name, measure in measures.items():
            of = later if name in _late(protocol, measures) else arms[arm.name]
            parts = [_draws(pool, protocol, arm, measure, seed + int(m)) for pool, m in zip(of, group, strict=True)]
            found[arm.name, name] = np.concatenate(parts, axis=1)
    if len(protocol.arms) == 2:
        for name in (each for each in HAZARD_RATIOS if each in protocol.follow_up.clocks):
            pairs = zip(*(arms[arm.name] for arm in _new_first(protocol)), group, strict=True)
            ratios = [_ratios(one, other, protocol, name, seed + int(m)) for one, other, m in pairs]
            values = np.concatenate(ratios)
            found["", f"{name} hazard ratio"] = np.stack([values, np.full(values.size, protocol.size.enrolled)])
    return found


def _arm_pools(
    protocol: Protocol, arm: Arm, settings: Mapping[str, Array], group: NDArray[np.intp], seed: int
) -> list[Outcomes]:
    each = max(PATIENTS, round(POOL * protocol.enrolled_in(arm)))
    ids = FIRST_ID + int(group[0]) * each + np.arange(group.size * each)
    if arm.comparator:
        own: dict[str, Array] = {}
    else:
        of_members = prediction_settings(settings, protocol, arm, seed)
        own = {name: np.repeat(np.asarray(values)[group], each) for name, values in of_members.items()}
    found = simulate_arm(protocol, arm, ids, seed, own, threads=1)
    return [found.take(np.arange(k * each, (k + 1) * each)) for k in range(group.size)]


def _watched_on(protocol: Protocol) -> Protocol:
    """Return the trial as of a later report: all are watched until the horizon, but for drop-out."""
    days = Fixed(value=protocol.follow_up.horizon_days, unit="day", note="all until the horizon")
    return protocol.model_copy(update={"follow_up": protocol.follow_up.model_copy(update={"days": days})})


def _late(protocol: Protocol, measures: Mapping[str, Measure]) -> set[str]:
    """Return the landmarks that fewer than half of the patients reach by the data cut."""
    middle = float(protocol.follow_up.days.quantile(0.5))
    return {name for name, m in measures.items() if m.statistic == "survival" and (m.day or 0.0) > middle}


def _reported(protocol: Protocol, arm: Arm) -> dict[str, Measure]:
    known = endpoints_of(protocol)
    if not arm.comparator:
        stated = set() if protocol.registered else set(flow_endpoints())
        pooled = protocol.name in KINETICS_CALIBRATED
        return {n: m for n, m in known.items() if n not in stated and not (pooled and m.of in KINETIC_SUMMARIES)}
    survival = ("survival", "median time")
    return {n: m for n, m in known.items() if m.statistic in survival or m.of in ("response", "complete response")}


def _size(protocol: Protocol, arm: Arm, pool: Outcomes, measure: Measure) -> int:
    return max(1, round(protocol.enrolled_in(arm) * float(in_set(pool, measure.among[0], measure).mean())))


def _draws(pool: Outcomes, protocol: Protocol, arm: Arm, measure: Measure, seed: int) -> Array:
    follow, size = protocol.follow_up, _size(protocol, arm, pool, measure)
    rows = draws(pool, measure, size, count=REPLICATES, seed=seed, again=False)
    if not rows.size:
        return np.stack([np.full(REPLICATES, np.nan), np.zeros(REPLICATES)])
    values = samples_of(pool, measure, rows, follow.clocks, follow.clock_from)
    return np.stack([values, np.full(REPLICATES, size)])


def _new_first(protocol: Protocol) -> tuple[Arm, Arm]:
    """Return the arm with the product, then the comparator."""
    one, other = protocol.arms
    return (other, one) if one.comparator else (one, other)


def _ratios(one: Outcomes, other: Outcomes, protocol: Protocol, name: str, seed: int) -> Array:
    """Return hazard ratios of the new treatment against the comparator in replicates of the trial's size."""
    from livingdrug.trials.comparisons import hazard_ratio

    follow, days, events, treated = protocol.follow_up, [], [], []
    for place, (pool, arm) in enumerate(zip((one, other), _new_first(protocol), strict=True)):
        measure = Measure(statistic="median time", of=name, among=("enrolled",))
        rows = draws(pool, measure, protocol.enrolled_in(arm), count=REPLICATES, seed=seed + place * APART, again=False)
        day, event = clock(pool, name, follow.clocks, measure, follow.clock_from)
        days.append(day[rows])
        events.append(event[rows])
        treated.append(np.full(rows.shape[1], pool is one))
    return hazard_ratio(*(np.concatenate(parts, axis=-1) for parts in (days, events, treated))).ratio


def _rows(protocol: Protocol, found: Mapping[tuple[str, str], Array]) -> list[dict[str, Any]]:
    rows = []
    for (arm, name), (values, sizes) in found.items():
        size = round(float(np.median(sizes)))
        if name.endswith("hazard ratio"):
            keys = {"trial": protocol.label, "arm": arm, "population": "randomised", "endpoint": name}
            rows.append(forecast_row(values, size=size, statistic="hazard ratio", unit="1", **keys))
            continue
        measure = endpoints_of(protocol)[name]
        plain = name.removesuffix(f" {measure.among[0]}")  # the set has a column of its own
        keys = {
            "trial": protocol.label, "arm": arm, "population": measure.among[0], "endpoint": plain,
            "grading_scale": measure.scale,
        }  # fmt: skip
        rows.append(forecast_row(values, size=size, statistic=measure.statistic, unit=measure.unit, **keys))
    return rows
