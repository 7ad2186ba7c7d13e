"""numbalsoda: LSODA in C++, the loop over patients and the right-hand side compiled by Numba.

Its DOP853 was tried, too: slower at equal accuracy on both problems.
"""

from functools import lru_cache

import numba
import numbalsoda
import numpy as np

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem

NAME = "numbalsoda (numba rhs and loop)"
PACKAGE = "numbalsoda"
METHODS = ("lsoda",)


@lru_cache
def right_hand_side(problem: Problem) -> int:
    """Address of the compiled right-hand side."""
    shared, rates = problem.code()
    lines = ["def rhs(t, y, dy, p):"]
    lines += [f"    y{i} = y[{i}]" for i in range(len(rates))]
    lines += [f"    p{i} = p[{i}]" for i in range(len(problem.parameters))]
    lines += [f"    {name} = {code}" for name, code in shared]
    lines += [f"    dy[{i}] = {code}" for i, code in enumerate(rates)]
    space: dict = {"math": __import__("math")}
    exec("\n".join(lines), space)
    return numba.cfunc(numbalsoda.lsoda_sig, nopython=True, fastmath=True, error_model="numpy")(space["rhs"]).address


@lru_cache
def loop(method: str):
    """The compiled loop over patients with one of numbalsoda's solvers."""
    solver = getattr(numbalsoda, method)

    @numba.njit(nogil=True)
    def solve_all(rhs, start, parameters, times, days, added, tolerance):
        """Every patient from dose to dose; a value at the time of a dose is the value just after it."""
        values = np.full((len(start), len(times), start.shape[1]), np.nan)
        for i in range(len(start)):
            state, now, k = start[i].copy(), 0.0, 0
            p = parameters[i].copy()
            for e in range(days.shape[1] + 1):
                last = e == days.shape[1]
                until = times[-1] if last else days[i, e]
                if until > now:
                    while k < len(times) and times[k] == now:
                        values[i, k] = state
                        k += 1
                    to = k
                    while to < len(times) and times[to] < until:
                        to += 1
                    grid = np.empty(to - k + 2)
                    grid[0], grid[-1] = now, until
                    grid[1:-1] = times[k:to]
                    found, good = solver(rhs, state, grid, p, tolerance, tolerance, 100000)
                    if not good:
                        break
                    values[i, k:to] = found[1:-1]
                    state, now, k = found[-1].copy(), until, to
                if not last:
                    state = state + added[i, e]
            else:
                values[i, k:] = state
        return values

    return solve_all


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    rhs, solve_all = right_hand_side(problem), loop(method)
    start, days, added = problem.scaled(parameters)
    solve_all(rhs, start[:1], parameters[:1], problem.times, days[:1], added[:1], 1e-3)
    with Stopwatch() as watch:
        values = solve_all(rhs, start, parameters, problem.times, days, added, tolerance)
    return Run(values * problem.floor, watch.cpu, watch.wall)
