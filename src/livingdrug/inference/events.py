"""Doses, resets and steady states of a data set as events of the engine, in the order of its rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.schedule import Change, Dose
from livingdrug.errors import InputError
from livingdrug.inference.data import OTHER
from livingdrug.inference.dose_pairs import timing_name
from livingdrug.inference.steady import Regimen, bent, check_linear, check_steady, drifting, settle, starts

if TYPE_CHECKING:
    from livingdrug.inference.data import Doses
    from livingdrug.inference.engine_model import EngineModel
    from livingdrug.inference.rows import Rows

__all__ = ["Events"]

Reals = NDArray[np.float64]
Whole = NDArray[np.int64]
Parameters = Callable[[Whole, Whole, Reals], Mapping[str, Reals]]
"""(subjects, units, times) -> every parameter for each chain and each of them, shape (chain * subject,)."""

MOST_AT_ONCE = 100
"""Infusions of one regimen in steady state that may run at the same time."""
LONGEST = 1e9
"""Days of an infusion whose rate comes close to nothing."""
ENDLESS = 1.0
"""Days that stand for the interval of an infusion without end; any would do, since nothing changes any more."""


class Events:
    """What is given to the subjects of a data set.

    A reset sets all states to their initial values and ends infusions; the model's own clock goes on. A dose in steady
    state (SS 1) does the same with the states before such a dose; SS 2 adds them.
    """

    def __init__(self, structure: EngineModel, rows: Rows) -> None:
        self.structure, self.model, self.subjects = structure, structure.model, rows.subjects
        doses = self.doses = rows.doses.take(rows.doses.evid != OTHER)
        self.names = [rows.data.compartments[c] for c in doses.compartment]
        self.place = [
            f"subject {rows.data.ids[s]!r}, row {row}" for s, row in zip(doses.subject, doses.row, strict=True)
        ]
        self.forgets, self.left = doses.forgets, doses.left
        self.endless = (doses.steady > 0) & (doses.amount == 0)
        self.gives = (doses.amount > 0) | self.endless
        self.of_model: list[int] = np.flatnonzero(np.isnan(doses.duration) & self.gives).tolist()
        self.settles = np.flatnonzero(doses.steady > 0)
        self.interval = np.where(self.endless, ENDLESS, doses.interval)
        self.tried, self.linear = False, bool(len(self.settles)) and not bent(self.model)
        self._check()
        self.target = np.array([structure.compartments.get(name, "") for name in self.names], object)
        self.positions = _positions(doses, self.subjects)

    def _check(self) -> None:
        for k in np.flatnonzero(self.gives):
            if self.names[k] not in self.structure.compartments:
                raise InputError(
                    f"{self.structure.name}: the data hold doses into compartment {self.names[k]!r}, but the model was "
                    "not told where they go; name the state, as in "
                    f"EngineModel(..., compartments={{{self.names[k]!r}: 'state'}})"
                )
        for k in self.settles:
            check_steady(self.model, self.place[k])
            if self.doses.steady[k] == 2:
                check_linear(self.model, self.place[k])
            if self.doses.duration[k] > MOST_AT_ONCE * self.interval[k]:
                raise InputError(
                    f"{self.place[k]}: an infusion over {self.doses.duration[k]:g} days every {self.interval[k]:g} "
                    f"days: more than {MOST_AT_ONCE} run at once in steady state; give their sum as one without end "
                    "(AMT 0)"
                )

    def timing(self, k: int) -> str:
        """Name of the parameter that holds the rate or duration of a dose that the model has."""
        return timing_name(self.doses.rate[k], self.names[k])

    def of(self, chains: int, unit: Whole, parameters: Parameters) -> tuple[list[Dose | Change], NDArray[np.bool_]]:
        """All events for each chain and subject, and which (chain, subject) has no steady state.

        Args:
            chains: how many.
            unit: whose parameters hold at each event.
            parameters: makes them.
        """
        if not len(self.doses):
            return [], np.zeros((chains, self.subjects), bool)
        duration = self._durations(chains, unit, parameters)
        states, lost = self._states(chains, unit, parameters, duration)
        found: list[Dose | Change] = []
        for pick in self.positions:
            found += self._forgotten(pick, states)
            for target in dict.fromkeys(self.target[pick[pick >= 0]]):
                found += self._given(pick, target, duration)
        return found, lost

    def _durations(self, chains: int, unit: Whole, parameters: Parameters) -> Reals:
        """Length of each infusion, shape (chain, dose); 0 is at once."""
        duration = np.tile(np.nan_to_num(self.doses.duration), (chains, 1))
        at = np.array(self.of_model, np.int64)
        if len(at):
            values = parameters(self.doses.subject[at], unit[at], self.doses.time[at])
            for j, k in enumerate(self.of_model):
                name = self.timing(k)
                held = np.asarray(values[name] if name in values else self.structure.defaults[name])
                held = np.broadcast_to(held, chains * len(at)).reshape(chains, len(at))[:, j]
                with np.errstate(divide="ignore", over="ignore"):
                    long = self.doses.amount[k] / held if name[0] == "R" else held
                duration[:, k] = np.minimum(long, LONGEST)
        return duration

    # -- states that are set ------------------------------------------------------------------------------------------
    def _states(
        self, chains: int, unit: Whole, parameters: Parameters, duration: Reals
    ) -> tuple[Reals, NDArray[np.bool_]]:
        """States from which each reset or steady state goes on, shape (chain, dose, state)."""
        doses, n = self.doses, len(self.model.states)
        states = np.zeros((chains, len(doses), n))
        lost = np.zeros((chains, self.subjects), bool)
        at = np.flatnonzero(self.forgets | (doses.steady > 0))
        if not len(at):
            return states, lost
        values = parameters(doses.subject[at], unit[at], doses.time[at])
        own = {name: v for name, v in values.items() if name in self.model.parameters}
        states[:, at] = self._starts(own).reshape(chains, len(at), n)
        if len(self.settles):
            lanes = (np.arange(chains)[:, None] * len(at) + np.searchsorted(at, self.settles)).reshape(-1)
            own = {name: v[lanes] for name, v in own.items()}
            found, settled, pushed = self._settled(states[:, self.settles], own, duration[:, self.settles])
            self._refuse_unsettled(settled, pushed)
            states[:, self.settles] = np.where(settled[..., None], found, states[:, self.settles])
            for j, k in enumerate(self.settles):
                lost[:, doses.subject[k]] |= ~settled[:, j]
        return states, lost

    def _starts(self, parameters: Mapping[str, Reals]) -> Reals:
        return starts(self.model, parameters, self.structure.initial, self.structure.threads)

    def _settled(
        self, first: Reals, parameters: Mapping[str, Reals], duration: Reals
    ) -> tuple[Reals, NDArray[np.bool_], Reals]:
        at, chains = self.settles, len(first)
        lanes = lambda values: np.broadcast_to(values, duration.shape).reshape(-1)  # noqa: E731
        interval, amount = self.interval[at], np.where(self.endless[at], 2 * self.doses.rate[at], self.doses.amount[at])
        duration = np.where(self.endless[at], 2 * ENDLESS, duration)
        given: list[Dose] = []
        for target in dict.fromkeys(self.target[at]):
            mine = self.target[at] == target
            for part, length in _running(np.where(mine, amount, 0.0), duration, interval, ~self.endless[at]):
                part, length = _cut(part, length, interval)
                given.append(Dose(target, lanes(part), np.zeros(duration.size), lanes(length)))
        regimen = Regimen(self.model, parameters, given, lanes(interval), self.structure.threads, self.linear)
        found, settled, pushed = settle(regimen, first.reshape(-1, first.shape[-1]))
        settled &= lanes(duration <= MOST_AT_ONCE * interval)
        settled &= (found >= 0).all(axis=1) | lanes(self.doses.steady[at] == 1)  # what is added is a dose
        return found.reshape(first.shape), settled.reshape(chains, -1), pushed.reshape(*first.shape, -1)

    def _refuse_unsettled(self, settled: NDArray[np.bool_], pushed: Reals) -> None:
        """Say in words what never settles at the first guesses; later it only makes parameters impossible."""
        never = ~settled.any(axis=0)
        if never.any() and not self.tried:
            j = int(np.argmax(never))
            k, state = self.settles[j], list(self.model.states)[drifting(pushed[0, j])]
            raise InputError(
                f"{self.place[k]}: no steady state (SS {self.doses.steady[k]}) is found at the first guesses: the "
                f"state {state!r} of {self.model.name} does not come back to itself from dose to dose. Write out the "
                "doses (ADDL and II), or begin with other values"
            )
        self.tried = True

    # -- columns of events --------------------------------------------------------------------------------------------
    def _forgotten(self, pick: Whole, states: Reals) -> list[Dose | Change]:
        """Events that set all states, or add a steady state to them."""
        doses, found = self.doses, []
        has, at = pick >= 0, doses.time[pick]
        sets, adds = has & self.forgets[pick], has & (doses.steady[pick] == 2)
        for i, name in enumerate(self.model.states):
            value = states[:, pick, i]
            if sets.any():
                from_start = np.where(sets, value, 0.0)
                found.append(Change(name, from_start.reshape(-1), _repeated(sets, at, len(value))))
            if adds.any():
                found.append(Dose(name, np.where(adds, value, 0.0).reshape(-1), _repeated(adds, at, len(value))))
        return found

    def _given(self, pick: Whole, target: str, duration: Reals) -> list[Dose | Change]:
        """The doses at one place in the order of each subject, into one state."""
        doses, chains = self.doses, len(duration)
        mine = (pick >= 0) & (self.target[pick] == target) & (doses.amount[pick] > 0)
        if not mine.any():
            return []
        steady = mine & (doses.steady[pick] > 0)
        amount = np.where(mine, doses.amount[pick], 0.0)
        found: list[Dose | Change] = []
        for part, length in _running(amount, np.where(mine, duration[:, pick], 0.0), self.interval[pick], steady):
            part, length = _cut(part, length, np.where(mine, self.left[pick], 0.0))
            found.append(Dose(target, part.reshape(-1), _repeated(mine, doses.time[pick], chains), length.reshape(-1)))
        return found


def _running(amount: Reals, duration: Reals, interval: Reals, steady: NDArray[np.bool_]) -> list[tuple[Reals, Reals]]:
    """A dose (amount, duration), and what is still to come of the infusions that were begun intervals before it."""
    found = [(np.broadcast_to(amount, duration.shape), duration)]
    for before in range(1, MOST_AT_ONCE + 1):
        rest = np.where(steady, duration - before * interval, 0.0)
        if not (rest > 0).any():
            break
        rest = np.maximum(rest, 0.0)
        found.append((amount * np.divide(rest, duration, out=np.zeros_like(rest), where=duration > 0), rest))
    return found


def _cut(amount: Reals, duration: Reals, left: Reals) -> tuple[Reals, Reals]:
    """What is given of an infusion before it is ended, and how long that takes."""
    kept = np.minimum(duration, left)
    return amount * np.divide(kept, duration, out=np.ones_like(kept), where=duration > 0), kept


def _repeated(chosen: NDArray[np.bool_], at: Reals, chains: int) -> Reals:
    """Times of those chosen, never for the others, for every chain."""
    return np.tile(np.where(chosen, at, np.nan), chains)


def _positions(doses: Doses, subjects: int) -> list[Whole]:
    """The first dose or reset of each subject (-1 for none), then the second, and so on."""
    first = np.searchsorted(doses.subject, np.arange(subjects + 1))
    counts = np.diff(first)
    nth = range(int(counts.max(initial=0)))
    return [np.where(counts > n, first[:-1] + n, -1) for n in nth]
