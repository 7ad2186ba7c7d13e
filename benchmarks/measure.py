"""How the bench measures: one run, and the loosest tolerance that is accurate enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LADDER = [10 ** (-k / 4) for k in range(6, 53)]
"""The tolerances that are tried: from 3e-2 to 1e-13 in quarters of a decade."""


@dataclass
class Run:
    """One run of a solver: values (patient, time, state) in natural units, NaN where it failed; CPU and wall seconds."""

    values: Array
    cpu: float
    wall: float


@dataclass
class Stopwatch:
    """Measures what happens between ``with`` and its end; CPU seconds count all threads of the process."""

    cpu: float = field(default=0.0)
    wall: float = field(default=0.0)

    def __enter__(self) -> "Stopwatch":
        self._start = time.process_time(), time.perf_counter()
        return self

    def __exit__(self, *error: object) -> None:
        self.cpu = time.process_time() - self._start[0]
        self.wall = time.perf_counter() - self._start[1]


def loosest(accuracy_of: Callable[[float], float], target: float, *, first: int = 0) -> int | None:
    """Index on the ladder of the loosest tolerance with an error of at most ``target``, or None if none is left.

    The ladder is climbed down in whole decades and then back up in quarters: the error need not fall at each rung, so
    the loosest rung found good is taken among those beside the first good decade.
    """
    at = next((k for k in range(first, len(LADDER), 4) if accuracy_of(LADDER[k]) <= target), None)
    if at is None:
        return None
    finer = [k for k in range(max(first, at - 3), at) if accuracy_of(LADDER[k]) <= target]
    return min([*finer, at])


def repeated(run: Callable[[], Run], times: int = 3) -> tuple[float, float]:
    """Median CPU and wall seconds of some runs."""
    runs = [run() for _ in range(times)]
    return median(r.cpu for r in runs), median(r.wall for r in runs)
