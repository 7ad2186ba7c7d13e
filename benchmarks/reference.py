"""What is taken as the truth: SciPy's LSODA at 1e-12, far tighter than anything measured, kept in a cache."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import sympy

from benchmarks.peers import scipy_lsoda
from benchmarks.problems import Array, Problem
from benchmarks.segments import from_dose_to_dose

PATIENTS = 200
PATIENTS_WITH_GRADIENTS = 50
SEED = 1
CACHE = Path(__file__).parent / ".cache"


def reference(problem: Problem) -> tuple[Array, Array]:
    """Parameters of 200 patients and their states (patient, time, state)."""
    parameters = problem.sample(PATIENTS, SEED)
    return parameters, kept(problem, "states", lambda: scipy_lsoda.run(problem, parameters, 1e-12).values)


def gradient_reference(problem: Problem) -> Array:
    """Derivatives of the first 50 patients' states by the chosen parameters (patient, time, state, parameter).

    They come from the variational equations, d(dy/dp)/dt = J dy/dp + df/dp, solved together with the states.
    """
    parameters = problem.sample(PATIENTS, SEED)[:PATIENTS_WITH_GRADIENTS]
    return kept(problem, "gradients", lambda: variational(problem, parameters))


def kept(problem: Problem, what: str, make: Callable[[], Array]) -> Array:
    """A result from the cache, or made and put there."""
    file = CACHE / f"{problem.name}-{what}-{problem.fingerprint}.npy"
    if not file.exists():
        values = make()
        if not np.isfinite(values).all():
            raise RuntimeError(f"the reference of {problem.name} ({what}) failed for some patients")
        CACHE.mkdir(exist_ok=True)
        np.save(file, values)
    return np.load(file)


def variational(problem: Problem, parameters: Array) -> Array:
    """Solve states and derivatives by the logarithms of the chosen parameters as one system."""
    symbols, states = problem.symbols, list(problem.model.states.values())
    y = sympy.Matrix([symbols[state] for state in states])
    p = sympy.Matrix([symbols[problem.model.parameters[name]] for name in problem.chosen])
    f = sympy.Matrix(problem.rates)
    slopes = sympy.Matrix(len(y), len(p), lambda i, j: sympy.Symbol(f"y{len(y) * (j + 1) + i}", real=True))
    rates = [*f, *(f.jacobian(y) * slopes + f.jacobian(p) * sympy.diag(*p)).T]
    rhs = scipy_lsoda.compiled(*problem.code(rates=rates), len(problem.parameters))

    def with_slopes(formulas: list[sympy.Expr]) -> Callable[[Array], Array]:
        by_log = (sympy.Matrix(formulas).jacobian(p) * sympy.diag(*p)).T
        arguments = [symbols[parameter] for parameter in problem.model.parameters.values()]
        return lambda values: np.array(sympy.lambdify(arguments, [*formulas, *by_log])(*values), float)

    start, doses = with_slopes(problem.start_formulas), [with_slopes(dose) for dose in problem.dose_formulas]
    days = problem.scaled(parameters)[1]

    def course(values, days):
        def solve(state, grid):
            return scipy_lsoda.integrate(rhs, state, grid, values, 1e-11)

        added = np.array([dose(values) for dose in doses])
        return from_dose_to_dose(solve, start(values), problem.times, days, added)

    found = np.stack(list(map(course, parameters, days)))
    slopes = found[:, :, len(y) :].reshape(*found.shape[:2], len(p), len(y)).swapaxes(2, 3)
    at = [problem.parameters.index(name) for name in problem.chosen]
    return slopes * problem.floor[:, None] / parameters[:, None, None, at]
