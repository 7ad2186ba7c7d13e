"""Rounds: the solve stops, a function looks at the patients as they are and changes what it may, the solve goes on.

A ward sees its patients at rounds. The function is called once per round with all patients still running; it works on
columns (one entry per patient) and must treat every patient by that patient's own row alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.engine.schedule import AFTER_LAST, Change, Dose, check_cells, columns, merge, per_patient
from livingdrug.errors import InputError, unknown_name
from livingdrug.model.expressions import Expression, evaluate, time, walk
from livingdrug.model.symbols import Parameter, State

if TYPE_CHECKING:
    from livingdrug.engine.run import Run

Reals = NDArray[np.float64]

REACH = 0.75
"""As in ``run``, between rounds: the steps before were cut short, too, and their growth lags behind what is allowed."""


class Round:
    """The patients at one round.

    Attributes:
        time: day of the round.
        number: 0 for the first round.
        patient_ids: identifiers of all patients, shape (patient,).
        running: which patients are still followed, shape (patient,); the others' entries are what they last were.
    """

    def __init__(self, run: Run, number: int, day: float) -> None:
        self._run, self.number, self.time = run, number, day
        self.patient_ids = run.cohort.ids
        self.running: NDArray[np.bool_] = (run.status == 0) & (run.time >= day)

    def __getitem__(self, name: str) -> Reals:
        """A state, parameter or output of every patient, in its declared unit, shape (patient,)."""
        run, model, layout = self._run, self._run.model, self._run.layout
        if name in model.states:
            return run.slots[:, layout.states.index(name)] / model.states[name].factor
        if name in model.parameters:
            slot = layout.first_parameter + layout.parameters.index(name)
            return run.slots[:, slot] / model.parameters[name].factor
        if name in model.outputs:
            output = model.outputs[name]
            return np.broadcast_to(
                evaluate(output.expression, self._values(output.expression)) / output.factor, (run.count,)
            )
        names = [*model.states, *model.parameters, *model.outputs]
        raise InputError(unknown_name("state, parameter or output", name, names, place=model.name))

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        """Give a state or parameter new values (declared unit); who keeps a value, or no longer runs, is left alone."""
        run, model, layout = self._run, self._run.model, self._run.layout
        given = np.asarray(value)
        if given.shape == (run.count,) and given.dtype.kind in "iuf":
            given = np.where(self.running, given, 0.0)  # the others keep what they have
        values = per_patient(f"round on day {self.time:g}: {name}", given, run.count)
        if name in model.states:
            check_cells(f"round on day {self.time:g}: {name}", model.states[name], values)
            slot, factor = layout.states.index(name), model.states[name].factor
        elif name in model.parameters:
            slot, factor = layout.first_parameter + layout.parameters.index(name), model.parameters[name].factor
        else:
            names = [*model.states, *model.parameters]
            raise InputError(unknown_name("state or parameter", name, names, place=model.name))
        changed = self.running & (values != run.slots[:, slot] / factor)  # as it is read: nobody else's row is touched
        run.slots[changed, slot] = values[changed] * factor
        run.step[changed] = 0.0  # begin again with a short step

    def give(self, *events: Dose | Change) -> None:
        """Add doses or changes from now on; a patient with the time NaN gets none.

        Raises:
            InputError: if an event lies before the round, or is an infusion into a state that had none so far.
        """
        run = self._run
        for event in events:
            infused = isinstance(event, Dose) and bool(np.any(np.asarray(event.duration) > 0))
            if infused and event.target not in run.layout.rates:
                raise InputError(
                    f"round on day {self.time:g}: infusion into {event.target!r}, which has none in the doses of this "
                    f"solve; add Dose({event.target!r}, amount=0, duration=1) to doses="
                )
        run.events += columns(run.model, run.layout, events, run.count, np.full(run.count, self.time))
        run.schedule = merge(run.events, run.count, len(run.layout.tangents))

    def stop(self, where: ArrayLike) -> None:
        """End the follow-up of some patients now."""
        mask = np.broadcast_to(np.asarray(where, bool), (self._run.count,))
        self._run.last_time[mask & self.running] = self.time + AFTER_LAST

    def _values(self, expression: Expression) -> dict[Any, Any]:
        """The symbols of a formula, in canonical units."""
        run, layout = self._run, self._run.layout
        values: dict[Any, Any] = {time: self.time}
        for symbol in walk(expression):
            if isinstance(symbol, State):
                values[symbol] = run.slots[:, layout.states.index(symbol.name)]
            elif isinstance(symbol, Parameter):
                values[symbol] = run.slots[:, layout.first_parameter + layout.parameters.index(symbol.name)]
        return values


def make_rounds(run: Run, days: Sequence[float], visit: Callable[[Round], None] | None) -> None:
    """Advance from round to round, calling ``visit`` at each.

    Raises:
        InputError: if the days do not ascend, or there is no function to call.
    """
    if visit is None or not len(days):
        raise InputError("rounds: give both the days of the rounds and a function visit(round)")
    previous, run.reach = -np.inf, REACH
    for number, day in enumerate(days):
        if not np.isfinite(day) or day <= previous:
            raise InputError(f"rounds: days must be finite and ascend, but {day:g} follows {previous:g}")
        previous = day
        run.last_error[:] = 0.0  # the error of a step that a round cut short says little of the next one
        run.advance(np.minimum(day, run.last_time))
        visit(Round(run, number, float(day)))
