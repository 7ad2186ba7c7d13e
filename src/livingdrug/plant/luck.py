"""All chance of a fleet, drawn before it runs: one stream per patient and decision, so that plans share their luck."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError
from livingdrug.plant.plan import Arrivals, FleetPlan
from livingdrug.streams import uniform

__all__ = ["Luck", "draw_luck", "referral_days"]

Array = NDArray[np.float64]
MOST_VISITS = 100
MOST_NUMBERS = 100_000_000  # patients x visits of all steps


@dataclass(frozen=True)
class Luck:
    """What chance has in store for each patient.

    Attributes:
        referral: day, shape (n,), rising.
        group: index of the group, shape (n,).
        risk: factor on the hazards, shape (n,).
        budget: exponential number that the hazard of death uses up, shape (n,).
        too_ill: day on which the patient becomes too ill for the therapy, shape (n,).
        days: for each step the duration, shape (n, visits).
        failure: for each step the number of the failure that happens or -1, shape (n, visits).
        cost: for each step its cost, shape (n, visits).
    """

    ids: NDArray[np.uint64]
    referral: Array
    group: NDArray[np.intp]
    risk: Array
    budget: Array
    too_ill: Array
    days: list[Array]
    failure: list[NDArray[np.intp]]
    cost: list[Array]


def draw_luck(plan: FleetPlan, patients: int, seed: int, process: Any = None, arrivals: Any = None) -> Luck:
    """Return the luck of patients 1 to ``patients``."""
    ids = np.arange(1, patients + 1, dtype=np.uint64)
    referral = _given(arrivals, patients) if arrivals is not None else referral_days(plan.arrivals, ids, seed)
    shares = np.cumsum([group.share for group in plan.groups])
    group = np.searchsorted(shares[:-1], uniform(seed, ids, "plant group")[:, 0], side="right")
    factors = np.stack([kind.risk.draw(seed, ids, f"plant risk {kind.name}") for kind in plan.groups])
    risk = factors[group, np.arange(patients)]
    budget = -np.log(uniform(seed, ids, "plant death")[:, 0])
    patience = -np.log(uniform(seed, ids, "plant too ill")[:, 0])
    with np.errstate(divide="ignore"):
        too_ill = referral + patience / (plan.too_ill_per_day.value * risk)
    days, failure, cost = [], [], []
    most = sum(most_visits(plan, place) for place in range(len(plan.steps))) * patients
    if most > MOST_NUMBERS:
        raise InputError(f"{patients} patients could make {most} visits, more than {MOST_NUMBERS}; give fewer patients")
    for place, step in enumerate(plan.steps):
        visits = most_visits(plan, place)

        def drawn(what: str, value: Any, name: str = step.name, visits: int = visits) -> Array:
            return value.quantile(uniform(seed, ids, f"plant {name}: {what}", visits))

        days.append(drawn("days", step.days))
        cost.append(drawn("cost", step.cost))
        failure.append(_failures(step, lambda what, name=step.name, v=visits: uniform(seed, ids, f"{name}: {what}", v)))
        if step.process and process is not None:
            _replace(days[-1], failure[-1], process, ids, seed)
    return Luck(ids, referral, group.astype(np.intp), risk, budget, too_ill, days, failure, cost)


def most_visits(plan: FleetPlan, place: int) -> int:
    """Return how often a patient can come to a step at most: once, and once more for each way back past it."""
    names = [step.name for step in plan.steps]
    visits = 1
    for later in plan.steps[place:]:
        for failure in later.failures:
            if failure.back_to and names.index(failure.back_to) <= place:
                visits += failure.most
    if visits > MOST_VISITS:
        raise InputError(f"step {names[place]!r}: failures allow {visits} visits; at most {MOST_VISITS} are possible")
    return visits


def referral_days(arrivals: Arrivals, ids: NDArray[np.uint64], seed: int) -> Array:
    """Return the days of referral of patients in their order, shape (n,): even, or Poisson with a season."""
    rate = arrivals.per_day.value
    if arrivals.pattern == "even":
        return np.arange(ids.size) / rate
    expected = np.cumsum(-np.log(uniform(seed, ids, "plant arrival")[:, 0])) / rate
    if not arrivals.swing:
        return expected
    # the season: day + (swing / w) (sin w (day - peak) + sin w peak) patients' days have passed on a day
    turn = 2 * np.pi / 365.25
    days = expected.copy()
    for _ in range(60):  # Newton; the slope is at least 1 - swing
        passed = days + arrivals.swing / turn * (
            np.sin(turn * (days - arrivals.peak_day)) + np.sin(turn * arrivals.peak_day)
        )
        step = (passed - expected) / (1 + arrivals.swing * np.cos(turn * (days - arrivals.peak_day)))
        days -= np.clip(step, -20, 20)
        if np.max(np.abs(step)) < 1e-9:
            break
    return np.maximum.accumulate(days)


def _given(arrivals: Any, patients: int) -> Array:
    days = np.asarray(arrivals, np.float64)
    if days.shape != (patients,) or not np.all(np.isfinite(days)) or np.any(days < 0) or np.any(np.diff(days) < 0):
        raise InputError(f"arrivals: {patients} days are needed, 0 or more and rising, got shape {days.shape}")
    return days


def _failures(step: Any, chance: Callable[[str], Array]) -> NDArray[np.intp]:
    """Return the first failure that happens at each visit, -1 for none."""
    found = np.full(chance("none").shape, -1, np.intp)
    for number in reversed(range(len(step.failures))):
        failure = step.failures[number]
        limit = failure.chance.quantile(chance(f"chance {number}")) if failure.chance.kind != "fixed" else None
        luck = chance(f"failure {number}")
        found[luck < (failure.chance.value if limit is None else limit)] = number
    return found


def _replace(days: Array, failure: NDArray[np.intp], process: Any, ids: NDArray[np.uint64], seed: int) -> None:
    """Put the caller's durations and failures in place, attempt by attempt."""
    for attempt in range(days.shape[1]):
        given, failed = process(ids, (seed + (attempt << 32)) % 2**64)
        lasts = np.broadcast_to(np.asarray(given, np.float64), ids.shape)
        bad = ~(np.isfinite(lasts) & (lasts >= 0))
        if np.any(bad):
            row = int(np.argmax(bad))
            raise InputError(
                f"process: the days must be 0 or more and finite, got {lasts[row]:g} day for patient {ids[row]}"
            )
        days[:, attempt] = lasts
        failure[:, attempt] = np.where(np.broadcast_to(np.asarray(failed, bool), ids.shape), 0, -1)
