"""From dose to dose: for solvers that know no doses, or know them at a loss of speed."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def from_dose_to_dose(
    solve: Callable[[Array, Array], Array | None], state: Array, times: Array, days: Array, added: Array
) -> Array:
    """One patient's states at ``times``; a value at the time of a dose is the value just after it.

    Args:
        solve: (state, grid) -> states at each time of the grid, whose first time is the state's, or None if it failed.
        state: at time zero.
        times: output times, ascending.
        days: of the doses, ascending.
        added: what each dose adds (dose, state).

    Returns:
        (time, state); NaN from the time at which ``solve`` failed.
    """
    values, now = np.full((len(times), len(state)), np.nan), 0.0
    for at, until in enumerate([*days, times[-1]]):
        if until > now:
            wanted = (times > now) & (times < until)
            values[times == now] = state
            found = solve(state, np.concatenate([[now], times[wanted], [until]]))
            if found is None:
                return values
            values[wanted] = found[1:-1]
            state, now = found[-1], until
        if at < len(days):
            state = state + added[at]
    values[times >= now] = state
    return values
