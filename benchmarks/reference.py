"""What is taken as the truth: SciPy's LSODA at 1e-12, far tighter than anything measured, kept in a cache."""

from pathlib import Path

import numpy as np

from benchmarks.peers import scipy_lsoda
from benchmarks.problems import Problem

PATIENTS = 200
SEED = 1
CACHE = Path(__file__).parent / ".cache"


def reference(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Parameters of 200 patients and their states (patient, time, state)."""
    parameters = problem.sample(PATIENTS, SEED)
    file = CACHE / f"{problem.name}-{problem.fingerprint}.npy"
    if not file.exists():
        CACHE.mkdir(exist_ok=True)
        found = scipy_lsoda.run(problem, parameters, 1e-12)
        if not np.isfinite(found.values).all():
            raise RuntimeError(f"the reference of {problem.name} failed for some patients")
        np.save(file, found.values)
    return parameters, np.load(file)
