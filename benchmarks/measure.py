"""How the bench measures: one run, and the loosest tolerance that is accurate enough."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
LADDER = [10 ** (-k / 4) for k in range(8, 53)]
"""The tolerances that are tried: from 1e-2 to 1e-13 in quarters of a decade."""


@dataclass
class Run:
    """One run of a solver: values (patient, time, state), NaN where it failed; CPU and wall seconds."""

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
