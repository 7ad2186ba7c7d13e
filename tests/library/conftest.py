"""The declared rates solved by SciPy over the plain ``evaluate``: a path that shares nothing with the engine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.integrate import solve_ivp

from livingdrug.model import Model
from livingdrug.model.expressions import Expression, evaluate, time


def _solve(
    model: type[Model],
    overrides: dict[str, Any],
    times: Sequence[float] | np.ndarray,
    *,
    stops: Sequence[float] = (),
    rtol: float = 1e-8,
    atol: float = 1e-4,
) -> dict[str, np.ndarray]:
    """Values of every state (canonical) and output (declared unit): (times,) or, for a cohort, (patients, times).

    A cohort is solved as one system. The solver starts anew at each of ``stops``, so that it never steps over a switch.
    """
    fixed: dict[Expression, Any] = {model.parameters[n]: v for n, v in model.canonical(overrides).items()}
    states = list(model.states.values())
    count = max(np.size(v) for v in fixed.values())
    times = np.asarray(times, dtype=float)

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        values = {**fixed, **dict(zip(states, y.reshape(len(states), count), strict=True)), time: t}
        return np.concatenate([np.broadcast_to(evaluate(model.rates[s], values), count) for s in states])

    y = np.concatenate([np.broadcast_to(evaluate(s.initial, fixed), count) for s in states]).astype(float)
    found = np.empty((len(y), len(times)))
    coupled = sparse.kron(np.ones((len(states),) * 2), sparse.eye(count)) if count > 1 else None
    edges = [0.0, *[s for s in sorted(stops) if 0 < s < times.max()], times.max()]
    for start, end in pairwise(edges):
        inside = (times >= start) & (times <= end)
        # Just before the end: at a switch the formula holds what comes after it.
        last = np.nextafter(end, start)
        asked = np.unique(np.append(np.clip(times[inside], start, last), last))
        method: dict[str, Any] = (
            {"method": "LSODA"} if coupled is None else {"method": "Radau", "jac_sparsity": coupled}
        )
        run = solve_ivp(slope, (start, last), y, t_eval=asked, rtol=rtol, atol=atol, **method)
        assert run.success, run.message
        found[:, inside] = run.y[:, np.searchsorted(asked, np.clip(times[inside], start, last))]
        y = run.y[:, -1]
    per_state = found.reshape(len(states), count, len(times))
    shaped = {p: np.asarray(v)[..., None] if np.ndim(v) else v for p, v in fixed.items()}
    values = {**shaped, **dict(zip(states, per_state, strict=True)), time: times}
    courses = {s.name: values[s] for s in states}
    for name, output in model.outputs.items():
        courses[name] = np.broadcast_to(evaluate(output.expression, values) / output.factor, (count, len(times)))
    return courses if count > 1 else {name: course[0] for name, course in courses.items()}


@pytest.fixture(scope="session")
def solve() -> Callable[..., dict[str, np.ndarray]]:
    """``solve(model, overrides, times, stops=, rtol=, atol=)``: the courses by name of state and output."""
    return _solve
