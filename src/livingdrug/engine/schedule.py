"""Doses and other changes at known times, per patient, in the order in which the kernel meets them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.engine.layout import ADD, SET, Layout
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model
    from livingdrug.model.symbols import State

Reals = NDArray[np.float64]

AFTER_LAST = 1e-9
"""Days by which a solve outlasts its last output time, so that an event at that very time is in the value."""


@dataclass(frozen=True)
class Dose:
    """An amount given into a state: at once, or evenly over a duration; perhaps repeated.

    Args:
        target: name of a state.
        amount: amount in the state's declared unit, one number or one per patient; at least 0.
        at: time of the first dose in days, one number or one per patient; NaN gives this patient none.
        duration: length of the infusion in days; 0 is a bolus.
        every: days between repeats.
        count: number of doses.
        lag: days between giving and arriving.

    Example:
        >>> Dose("drug", amount=100.0, at=[0.0, 1.5], duration=0.5, every=7.0, count=3).count
        3
    """

    target: str
    amount: ArrayLike
    at: ArrayLike = 0.0
    duration: ArrayLike = 0.0
    every: float = 0.0
    count: int = 1
    lag: ArrayLike = 0.0


@dataclass(frozen=True)
class Change:
    """A state or parameter that takes a new value at a time: a reset, or one step of a time-varying covariate.

    Args:
        target: name of a state or parameter.
        value: new value in its declared unit, one number or one per patient.
        at: time in days, one number or one per patient; NaN means never.
    """

    target: str
    value: ArrayLike
    at: ArrayLike


@dataclass(frozen=True)
class Schedule:
    """All events of all patients: one stretch of each array per patient, sorted by time."""

    start: NDArray[np.int64]
    time: Reals
    slot: NDArray[np.int64]
    action: NDArray[np.int64]
    value: Reals
    slopes: Reals


@dataclass(frozen=True)
class Column:
    """One event per patient: a time and a value for each, a slot and an action for all.

    ``slopes`` has shape (patient, 2 * tangents): derivative of the time and of the value by each chosen quantity.
    """

    time: Reals
    slot: int
    action: int
    value: Reals
    slopes: Reals | None = None


def per_patient(what: str, value: Any, count: int, *, allow_nan: bool = False) -> Reals:
    """The value as one number per patient.

    Raises:
        InputError: if the length is neither 1 nor the number of patients, or a value is not a finite number.
    """
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: expected a number or one number per patient, got {value!r}") from None
    if array.ndim > 1 or (array.ndim == 1 and len(array) not in {1, count}):
        raise InputError(f"{what}: expected one number or one for each of {count} patients, got shape {array.shape}")
    array = np.broadcast_to(array, (count,))
    wrong = ~np.isfinite(array) & ~(np.isnan(array) if allow_nan else False)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{what}: must be a finite number, got {array[row]} for patient in row {row}")
    return array


def counts_cells(state: State) -> bool:
    """Whether the state is a number or concentration of cells or copies, which cannot be negative."""
    return state.unit.split("/")[0].strip() in {"cell", "copy"}


def check_cells(what: str, state: State, values: Reals) -> None:
    """Refuse a negative number of cells."""
    wrong = counts_cells(state) & (values < 0)
    if np.any(wrong):
        row = int(np.flatnonzero(wrong)[0])
        raise InputError(f"{what}: there cannot be {values[row]:g} {state.unit} (patient in row {row}); give 0 or more")


def columns(
    model: type[Model], layout: Layout, events: Sequence[Dose | Change], count: int, start: Reals
) -> list[Column]:
    """Turn the caller's doses and changes into events on slots.

    Raises:
        InputError: for an unknown target, a negative amount, or a time before the patient's start.
    """
    found: list[Column] = []
    for event in events:
        found += (
            _dose(model, layout, event, count, start)
            if isinstance(event, Dose)
            else _change(model, layout, event, count, start)
        )
    return found


def _times(what: str, at: ArrayLike, count: int, start: Reals) -> Reals:
    times = per_patient(f"{what}: time", at, count, allow_nan=True)
    early = times < start
    if early.any():
        row = int(np.flatnonzero(early)[0])
        raise InputError(
            f"{what}: time {times[row]:g} day lies before the start at {start[row]:g} day (patient in row {row}); "
            "events must not lie before the start of the solve"
        )
    return np.where(np.isnan(times), np.inf, times)


def _dose(model: type[Model], layout: Layout, dose: Dose, count: int, start: Reals) -> list[Column]:
    what = f"dose into {dose.target!r}"
    if dose.target not in model.states:
        raise InputError(unknown_name("state", dose.target, list(model.states), place=f"a dose for {model.name}"))
    amount = per_patient(f"{what}: amount", dose.amount, count)
    duration = per_patient(f"{what}: duration", dose.duration, count)
    lag = per_patient(f"{what}: lag", dose.lag, count)
    for word, values in (("amount", amount), ("duration", duration), ("lag", lag)):
        if (values < 0).any():
            raise InputError(f"{what}: {word} must not be negative, got {values.min():g}")
    if dose.count < 1 or (dose.count > 1 and not dose.every > 0):
        raise InputError(
            f"{what}: {dose.count} doses every {dose.every:g} day; repeats need a count of at least 1 and an "
            "interval above 0"
        )
    amount = amount * model.states[dose.target].factor
    first = _times(what, dose.at, count, start) + lag
    state = layout.states.index(dose.target)
    found = []
    for k in range(dose.count):
        at = first + k * dose.every
        if dose.target in layout.rates:
            slot = layout.first_rate + layout.rates.index(dose.target)
            infused = duration > 0
            rate = np.divide(amount, duration, out=np.zeros(count), where=infused)
            found.append(Column(np.where(infused, at, np.inf), slot, ADD, rate))
            found.append(Column(np.where(infused, at + duration, np.inf), slot, ADD, -rate))
            at = np.where(infused, np.inf, at)
        found.append(Column(at, state, ADD, amount))
    return found


def _change(model: type[Model], layout: Layout, change: Change, count: int, start: Reals) -> list[Column]:
    what = f"change of {change.target!r}"
    names = [*model.states, *model.parameters]
    if change.target not in names:
        raise InputError(unknown_name("state or parameter", change.target, names, place=model.name))
    value = per_patient(f"{what}: value", change.value, count)
    times = _times(what, change.at, count, start)
    if change.target in model.states:
        check_cells(what, model.states[change.target], value)
        factor, slot = model.states[change.target].factor, layout.states.index(change.target)
    else:
        factor = model.parameters[change.target].factor
        slot = layout.first_parameter + layout.parameters.index(change.target)
    return [Column(times, slot, SET, value * factor)]


def flat(array: NDArray[Any]) -> NDArray[Any]:
    """The numbers of an array in one row."""
    return np.ascontiguousarray(array).reshape(-1)


def merge(found: Sequence[Column], count: int, tangents: int = 0) -> Schedule:
    """Sort the events of each patient by time; events at one time keep the order in which they were declared."""
    if not found:
        none = np.zeros(0)
        whole = np.zeros(0, np.int64)
        return Schedule(np.zeros(count + 1, np.int64), none, whole, whole, none, none)
    time = np.stack([c.time for c in found], axis=1)
    value = np.stack([c.value for c in found], axis=1)
    order = np.argsort(time, axis=1, kind="stable")
    time = np.take_along_axis(time, order, axis=1)
    value = np.take_along_axis(value, order, axis=1)
    slot = np.array([c.slot for c in found], np.int64)[order]
    action = np.array([c.action for c in found], np.int64)[order]
    width = time.shape[1]
    starts = np.arange(count + 1, dtype=np.int64) * width  # an infinite time is never reached
    slopes = np.zeros((count, width if tangents else 0, 2 * tangents))
    if tangents:
        still = np.zeros((count, 2 * tangents))
        stacked = np.stack([still if c.slopes is None else c.slopes for c in found], axis=1)
        slopes = np.take_along_axis(stacked, order[:, :, None], axis=1)
    return Schedule(starts, *map(flat, (time, slot, action, value, slopes)))
