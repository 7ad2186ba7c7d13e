"""livingdrug's own solver, measured like any peer, on one thread."""

import numpy as np

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import PROBLEMS, Problem
from livingdrug.engine.compile import compile_kernel
from livingdrug.engine.layout import Request
from livingdrug.engine.solve import Solution, solve

NAME = "livingdrug"
PACKAGE = "livingdrug"
METHODS = ("Rodas5P",)


def solved(problem: Problem, parameters, tolerance: float, threads: int = 1, **options) -> Solution:
    """The cohort solved for all states at the problem's times."""
    return solve(
        problem.model,
        problem.named(parameters),
        problem.times,
        outputs=problem.states,
        rtol=tolerance,
        threads=threads,
        **options,
    )


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0], threads: int = 1) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    solved(problem, parameters[:1], 1e-3)
    with Stopwatch() as watch:
        found = solved(problem, parameters, tolerance, threads)
    return Run(found.values, watch.cpu, watch.wall)


def gradients(problem: Problem, parameters, tolerance: float, threads: int = 1) -> Run:
    """The states' derivatives by the problem's chosen parameters (patient, time, state, parameter)."""
    solved(problem, parameters[:1], 1e-3, tangents=problem.chosen)
    with Stopwatch() as watch:
        found = solved(problem, parameters, tolerance, threads, tangents=problem.chosen)
    return Run(np.stack([found.tangents[name] for name in problem.chosen], -1), watch.cpu, watch.wall)


def work(problem: str, tolerance: float) -> dict[str, float]:
    """Steps and floating-point operations for one patient, counted from the formulas.

    A step of Rodas5P evaluates the rates eight times and the Jacobian once, factorises once and solves eight times
    over the non-zeros, and combines eight stages; 60 outputs are interpolated. Copies, tests and the choice of the step
    are not counted: what is counted is what the method needs.
    """
    case = PROBLEMS[problem]
    found = solved(case, case.sample(2_000, seed=7), tolerance)
    steps = float(np.mean(found.steps + found.rejected))
    counted = compile_kernel(case.model, Request(outputs=tuple(case.states)), None).layout.flops
    states, filled = len(case.states), counted["pattern"]
    one_step = counted["jacobian"] + 7 * counted["rates"] + 2 * filled + 8 * (2 * filled - states) + 100 * states
    outputs = len(case.times) * 56 * states
    return {"steps": steps, "flops_per_step": one_step, "flops": steps * one_step + outputs}


def failures(problem: str, tolerance: float, count: int = 50_000) -> int:
    """How many of many patients could not be solved."""
    case, failed = PROBLEMS[problem], 0
    parameters = case.sample(count, seed=11)
    for first in range(0, count, 5_000):
        failed += int(solved(case, parameters[first : first + 5_000], tolerance, threads=None).failed.sum())
    return failed


def threaded(problem: str, tolerance: float, threads: int) -> float:
    """Patients per wall second with some threads."""
    case = PROBLEMS[problem]
    return max(20_000 / run(case, case.sample(20_000, seed=7), tolerance, threads=threads).wall for _ in range(3))
