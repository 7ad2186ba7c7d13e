"""livingdrug's own solver, measured like any peer, on one thread."""

from livingdrug.engine.solve import solve

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem

NAME = "livingdrug"
PACKAGE = "livingdrug"
METHODS = ("Rodas5P",)


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0], threads: int = 1) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    columns = problem.named(parameters)
    few = {name: column[:1] for name, column in columns.items()}
    solve(problem.model, few, problem.times, outputs=problem.states, threads=1)
    with Stopwatch() as watch:
        found = solve(problem.model, columns, problem.times, outputs=problem.states, rtol=tolerance, threads=threads)
    return Run(found.values, watch.cpu, watch.wall)


def gradients(problem: Problem, parameters, tolerance: float, chosen: list[int], threads: int = 1) -> Run:
    """The states' derivatives by the chosen parameters (patient, time, state, parameter)."""
    raise NotImplementedError
