"""From the start of a process to its first result: a model never seen before, and one whose code is cached."""

import os
import subprocess
import sys
import tempfile
import time
from statistics import median

PROGRAM = """
from livingdrug.engine.solve import solve
from livingdrug.library import load_model
solution = solve(load_model({model!r}), {{}}, times=[0, 7, 14, 28])
assert not solution.failed.any()
"""


def seconds(model: str, cache: str) -> float:
    """Wall seconds of one process that solves one patient."""
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", PROGRAM.format(model=model)],
        env={**os.environ, "LIVINGDRUG_CACHE": cache},
        check=True,
    )
    return time.perf_counter() - start


def first_results(models: tuple[str, ...] = ("kimmel2021", "kirouac2023", "stein2019")) -> dict[str, dict[str, float]]:
    """For each model the seconds when new (one run in an empty cache) and when cached (median of 5)."""
    found = {}
    for model in models:
        with tempfile.TemporaryDirectory() as cache:
            new = seconds(model, cache)
            found[model] = {"new": new, "cached": median(seconds(model, cache) for _ in range(5))}
    return found
