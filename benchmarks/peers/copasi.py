"""COPASI through basico: its LSODA on SBML, the loop over patients in Python."""

from functools import lru_cache

import basico
import COPASI
import numpy as np

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem
from benchmarks.sbml import to_sbml

NAME = "COPASI (basico, LSODA)"
PACKAGE = "copasi-basico"
METHODS = ("lsoda",)


@lru_cache
def compiled(problem: Problem):
    """The model, its time course task, and the handles of its parameters and states."""
    model = basico.load_model_from_string(to_sbml(problem))
    names = [f"p{i}" for i in range(len(problem.parameters))] + [f"y{i}" for i in range(len(problem.states))]
    values = [model.getModel().getModelValue(name) for name in names]
    changed = COPASI.ObjectStdVector()
    for value in values:
        changed.append(value.getInitialValueReference())
    task = model.getTask("Time-Course")
    task.setMethodType(COPASI.CTaskEnum.Method_deterministic)
    settings = task.getProblem()
    settings.setUseValues(True)
    settings.setValues(" ".join(map(repr, [0.0, *problem.times.tolist()])))
    settings.setTimeSeriesRequested(True)
    settings.setDuration(problem.end)
    settings.setOutputStartTime(0.0)
    task.getMethod().getParameter("Max Internal Steps").setIntValue(1_000_000)
    return model, task, values, changed


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    model, task, handles, changed = compiled(problem)
    task.getMethod().getParameter("Relative Tolerance").setDblValue(tolerance)
    task.getMethod().getParameter("Absolute Tolerance").setDblValue(tolerance)
    states = len(problem.states)

    def course(p, state):
        for handle, value in zip(handles, [*p, *state], strict=True):
            handle.setInitialValue(float(value))
        model.getModel().updateInitialValues(changed)
        good = task.initializeRaw(COPASI.CCopasiTask.OUTPUT_UI) and task.processRaw(True)
        series = task.getTimeSeries()
        found = np.full((len(problem.times), states), np.nan)
        if good and series.getRecordedSteps() > len(problem.times):
            for k in range(len(problem.times)):
                for i in range(states):
                    found[k, i] = series.getConcentrationData(k + 1, columns[i])
        return found

    task.initializeRaw(COPASI.CCopasiTask.OUTPUT_UI)
    task.processRaw(True)
    titles = [task.getTimeSeries().getTitle(at) for at in range(task.getTimeSeries().getNumVariables())]
    columns = [titles.index(f"Values[y{i}]" if f"Values[y{i}]" in titles else f"y{i}") for i in range(states)]
    start = problem.scaled(parameters)[0]
    with Stopwatch() as watch:
        values = np.stack(list(map(course, parameters, start)))
    return Run(values * problem.floor, watch.cpu, watch.wall)
