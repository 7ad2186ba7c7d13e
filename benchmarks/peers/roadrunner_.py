"""libRoadRunner: CVODE on SBML compiled by LLVM, the loop over patients in Python."""

import os
from functools import lru_cache

import numpy as np
import roadrunner

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem
from benchmarks.sbml import to_sbml

NAME = "libRoadRunner (CVODE)"
PACKAGE = "libroadrunner"
METHODS = ("cvode",)

# Its CVODE tells each failed step on both output streams, whatever the logger is set to; this process has nothing else
# to say there, since results and errors are handed to the main process.
roadrunner.Logger.setLevel(roadrunner.Logger.LOG_FATAL)
for stream in (1, 2):
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream)


@lru_cache
def compiled(problem: Problem) -> tuple[roadrunner.RoadRunner, list[int], list[int]]:
    """The compiled model and where its parameters and states stand."""
    model = roadrunner.RoadRunner(to_sbml(problem))
    model.timeCourseSelections = [f"y{i}" for i in range(len(problem.states))]
    names = {name: at for at, name in enumerate(model.model.getGlobalParameterIds())}
    model.integrator.maximum_num_steps = 20_000  # between two outputs; at a loose tolerance it gets stuck
    return (
        model,
        [names[f"p{i}"] for i in range(len(problem.parameters))],
        [names[f"y{i}"] for i in range(len(problem.states))],
    )


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    model, at_parameters, at_states = compiled(problem)
    model.integrator.relative_tolerance = tolerance
    model.integrator.absolute_tolerance = tolerance
    times = [0.0, *problem.times.tolist()]

    def course(p, state):
        model.model.setGlobalParameterValues(at_parameters, p)
        model.reset()
        model.model.setGlobalParameterValues(at_parameters, p)
        model.model.setGlobalParameterValues(at_states, state)
        try:
            return np.array(model.simulate(times=times))[1:]
        except RuntimeError:
            return np.full((len(problem.times), len(state)), np.nan)

    start = problem.scaled(parameters)[0]
    with Stopwatch() as watch:
        values = np.stack(list(map(course, parameters, start)))
    return Run(values * problem.floor, watch.cpu, watch.wall)
