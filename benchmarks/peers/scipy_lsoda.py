"""SciPy: LSODA through odeint, the right-hand side compiled by Numba, the loop over patients in Python."""

from functools import lru_cache

import numba
import numpy as np
from scipy.integrate import odeint

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem
from benchmarks.segments import from_dose_to_dose

NAME = "SciPy (numba rhs)"
PACKAGE = "scipy"
METHODS = ("LSODA",)


@lru_cache
def right_hand_side(problem: Problem):
    """The compiled right-hand side f(t, y, p)."""
    return compiled(*problem.code(), len(problem.parameters))


def compiled(shared: list[tuple[str, str]], rates: list[str], parameters: int):
    """Compile a right-hand side given as text."""
    lines = ["def rhs(t, y, p):", f"    dy = np.empty({len(rates)})"]
    lines += [f"    y{i} = y[{i}]" for i in range(len(rates))]
    lines += [f"    p{i} = p[{i}]" for i in range(parameters)]
    lines += [f"    {name} = {code}" for name, code in shared]
    lines += [f"    dy[{i}] = {code}" for i, code in enumerate(rates)]
    lines += ["    return dy"]
    space: dict = {"math": __import__("math"), "np": np}
    exec("\n".join(lines), space)
    vector = numba.float64[::1]
    return numba.njit(vector(numba.float64, vector, vector), fastmath=True, error_model="numpy")(space["rhs"])


def integrate(rhs, state, grid, p, tolerance: float):
    """States at the times of the grid, whose first is the state's own; None if LSODA failed."""
    found, told = odeint(
        rhs, state, grid, (p,), rtol=tolerance, atol=tolerance, mxstep=100_000, tfirst=True, full_output=True
    )
    return found if told["message"] == "Integration successful." else None


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    rhs = right_hand_side(problem)

    def course(state, p, days, added):
        def solve(state, grid):
            return integrate(rhs, state, grid, p, tolerance)

        return from_dose_to_dose(solve, state, problem.times, days, added)

    start, days, added = problem.scaled(parameters)
    with Stopwatch() as watch:
        values = np.stack(list(map(course, start, parameters, days, added)))
    return Run(values * problem.floor, watch.cpu, watch.wall)
