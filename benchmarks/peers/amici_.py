"""AMICI: CVODES on SBML compiled as C++, with forward sensitivities; one patient per call."""

import logging
from functools import lru_cache

import amici
import amici.sim.sundials
import numpy as np
from amici.importers.sbml import SbmlImporter

from benchmarks.measure import Run, Stopwatch
from benchmarks.problems import Problem
from benchmarks.reference import CACHE
from benchmarks.sbml import to_sbml

NAME = "AMICI (CVODES)"
PACKAGE = "amici"
METHODS = ("cvodes",)

logging.getLogger("amici").setLevel(logging.CRITICAL)


@lru_cache
def compiled(problem: Problem):
    """The compiled model with a solver; the C++ is kept in the cache folder."""
    name, folder = f"bench_{problem.name}", CACHE / f"amici-{amici.__version__}-{problem.name}-{problem.fingerprint}"
    if not folder.exists():
        SbmlImporter(to_sbml(problem), from_file=False).sbml2amici(name, folder, observation_model=[], verbose=False)
    model = amici.import_model_module(name, folder).get_model()
    model.set_timepoints(problem.times)
    model.set_parameter_scale(amici.sim.sundials.ParameterScaling.ln)  # so that sensitivities are of like size
    solver = model.create_solver()
    solver.set_max_steps(1_000_000)
    return model, solver


def order(names: list[str], letter: str) -> list[int]:
    """Where y0, y1, ... stand in the model's own order."""
    return [names.index(f"{letter}{i}") for i in range(len([n for n in names if n.startswith(letter)]))]


def prepared(problem: Problem, tolerance: float):
    """The model and its solver at a tolerance, and the model's order of parameters and states."""
    model, solver = compiled(problem)
    solver.set_relative_tolerance(tolerance)
    solver.set_absolute_tolerance(tolerance)
    parameters = list(model.get_free_parameter_ids())
    return model, solver, [int(name[1:]) for name in parameters], order(list(model.get_state_ids()), "y")


def run(problem: Problem, parameters, tolerance: float, method: str = METHODS[0]) -> Run:
    """Solve for all patients; compilation happens before the clock starts."""
    model, solver, of_parameters, of_states = prepared(problem, tolerance)
    solver.set_sensitivity_order(amici.sim.sundials.SensitivityOrder.none)

    def course(p):
        model.set_free_parameters(np.log(p[of_parameters]))
        return np.array(amici.sim.sundials.run_simulation(model, solver)["x"])[:, of_states]

    with Stopwatch() as watch:
        values = np.stack(list(map(course, parameters)))
    return Run(values * problem.floor, watch.cpu, watch.wall)


def gradients(problem: Problem, parameters, tolerance: float) -> Run:
    """The states' derivatives by the problem's chosen parameters (patient, time, state, parameter)."""
    model, solver, of_parameters, of_states = prepared(problem, tolerance)
    solver.set_sensitivity_order(amici.sim.sundials.SensitivityOrder.first)
    solver.set_sensitivity_method(amici.sim.sundials.SensitivityMethod.forward)
    chosen = [problem.parameters.index(name) for name in problem.chosen]
    model.set_parameter_list([of_parameters.index(i) for i in chosen])

    def course(p):
        model.set_free_parameters(np.log(p[of_parameters]))
        by_log = np.array(amici.sim.sundials.run_simulation(model, solver)["sx"])[:, :, of_states].transpose(0, 2, 1)
        return by_log / p[chosen]

    with Stopwatch() as watch:
        values = np.stack(list(map(course, parameters)))
    return Run(values * problem.floor[:, None], watch.cpu, watch.wall)
