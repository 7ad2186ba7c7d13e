"""pydiffsol: the solvers of diffsol (Rust), the model compiled by LLVM, the loop over patients in Python."""

from functools import lru_cache

import numpy as np
import pydiffsol
import sympy

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem
from benchmarks.segments import from_dose_to_dose

NAME = "pydiffsol"
PACKAGE = "pydiffsol"
METHODS = ("tsit45", "bdf")


class _DiffSL(sympy.printing.StrPrinter):
    """SymPy to DiffSL, which has numbers without sign in the exponent's place and no power operator."""

    def _print_Pow(self, expr, rational=False):
        if expr.exp == -1:
            return f"(1.0/({self._print(expr.base)}))"
        return f"pow({self._print(expr.base)}, {self._print(expr.exp)})"

    def _print_Integer(self, expr):
        return f"{int(expr)}.0"

    def _print_Rational(self, expr):
        return f"({int(expr.p)}.0/{int(expr.q)}.0)"

    def _print_Float(self, expr):
        return repr(float(expr))


@lru_cache
def compiled(problem: Problem) -> pydiffsol.Ode:
    """The compiled model; its inputs are the parameters and then the initial states."""
    shared, rates = problem.code(_DiffSL().doprint)
    inputs = [f"p{i} = 1.0" for i in range(len(problem.parameters))] + [f"x{i} = 1.0" for i in range(len(rates))]
    lines = ["in_i { " + ", ".join(inputs) + " }"]
    lines += ["u_i { " + ", ".join(f"y{i} = x{i}" for i in range(len(rates))) + " }"]
    lines += [f"{name} {{ {code} }}" for name, code in shared]
    lines += ["F_i { " + ", ".join(rates) + " }"]
    return pydiffsol.Ode("\n".join(lines))


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    ode = compiled(problem)
    ode.rtol = ode.atol = tolerance
    ode.ode_solver = getattr(pydiffsol, method)
    ode.options.min_timestep = 1e-14

    def course(state, p, days, added):
        def solve(state, grid):
            ode.t0, ode.h0 = float(grid[0]), 1e-3
            try:
                return ode.solve_dense(np.concatenate([p, state]), grid).ys.T
            except RuntimeError:
                return None

        return from_dose_to_dose(solve, state, problem.times, days, added)

    start, days, added = problem.scaled(parameters)
    with Stopwatch() as watch:
        values = np.stack(list(map(course, start, parameters, days, added)))
    return Run(values * problem.floor, watch.cpu, watch.wall)
