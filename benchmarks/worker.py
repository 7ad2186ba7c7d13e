"""What one solver does in a process of its own: answer how accurate and how fast it is."""

import importlib
import importlib.metadata
import os
from functools import cache
from types import ModuleType

import numpy as np

from benchmarks.measure import LADDER, Run, loosest
from benchmarks.problems import PROBLEMS, errors, gradient_errors

LONG_ENOUGH = 1.0
"""CPU seconds that a timed run should take."""
MOST_PATIENTS = 4_000


def start() -> None:
    """Let a process use one core as well as it can, and find the tools of its environment."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["JAX_PLATFORMS"] = "cpu"


def engine(name: str) -> ModuleType:
    """The module of a solver: "ours", or a file in peers/."""
    return importlib.import_module("benchmarks.ours" if name == "ours" else f"benchmarks.peers.{name}")


def introduce(name: str) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and methods of a solver.

    Raises:
        ImportError: if it is not installed.
    """
    module = engine(name)
    return module.NAME, importlib.metadata.version(module.PACKAGE), module.METHODS


@cache
def truth(problem: str):
    """Parameters, reference and reference of the gradients; made by the main process before."""
    from benchmarks.reference import gradient_reference, reference

    return *reference(PROBLEMS[problem]), gradient_reference(PROBLEMS[problem])


def run(name: str, problem: str, tolerance: float, method: str | None, parameters) -> Run:
    """Courses (with a method) or gradients (without)."""
    if method is None:
        return engine(name).gradients(PROBLEMS[problem], parameters, tolerance)
    return engine(name).run(PROBLEMS[problem], parameters, tolerance, method)


def search(name: str, problem: str, targets: list[float], method: str | None) -> dict[float, dict | None]:
    """For each target the loosest tolerance with a 95th percentile of the error at most that, or None."""
    parameters, reference, gradients = truth(problem)
    if method is None:
        parameters, reference = parameters[: len(gradients)], reference[: len(gradients)]
    tried: dict[float, dict] = {}

    def accuracy(tolerance: float) -> float:
        if tolerance not in tried:
            found = run(name, problem, tolerance, method, parameters)
            if method is None:
                off = gradient_errors(PROBLEMS[problem], parameters, reference, found.values, gradients)
            else:
                off = errors(PROBLEMS[problem], parameters, found.values, reference)
            tried[tolerance] = {
                "method": method,
                "tolerance": tolerance,
                "error_median": float(np.median(off)),
                "error_p95": float(np.quantile(off, 0.95)),
                "error_worst": float(off.max()),
                "per_second": len(parameters) / max(found.cpu, 1e-6),
            }
        return tried[tolerance]["error_p95"]

    result: dict[float, dict | None] = {}
    first = 0
    for target in targets:
        at = None if first is None else loosest(accuracy, target, first=first)
        result[target] = None if at is None else tried[LADDER[at]]
        first = at
    return result


def timed(name: str, problem: str, tolerance: float, method: str | None, per_second: float) -> tuple[float, float]:
    """Patients per CPU second and per wall second, over runs of at most 4 000 patients, one second of CPU or more."""
    wanted = int(np.clip(per_second * LONG_ENOUGH, 50, MOST_PATIENTS if method else MOST_PATIENTS // 8))
    count = -(-wanted // 200) * 200 if wanted > 200 else wanted
    parameters = PROBLEMS[problem].sample(count, seed=7)
    cpu = wall = done = 0.0
    while cpu < LONG_ENOUGH:
        found = run(name, problem, tolerance, method, parameters)
        cpu, wall, done = cpu + found.cpu, wall + found.wall, done + count
    return done / cpu, done / wall
