"""A million batches from collection to dose: seconds and memory. Run: ``python -m benchmarks.making`` (Linux)."""

import sys
import time
from pathlib import Path

import numpy as np

from livingdrug.therapy.multiplication import BLOCK
from livingdrug.therapy.processes import process

BATCHES = 1_000_000
SEED = 1


def main(batches: int = BATCHES) -> None:
    """Draw the patients, then time stages 1 to 4 in blocks, and the whole run with waiting and table beside it."""
    standard = process("standard")
    people = standard.patients(batches, seed=SEED)
    standard.run(3, seed=SEED)  # the culture is compiled before the clock starts
    begin, doses = time.perf_counter(), 0
    for first in range(0, batches, BLOCK):
        block = people.take(np.arange(first, min(first + BLOCK, batches)))
        doses += len(standard.own_cells(block, SEED)["release"])
    stages = time.perf_counter() - begin
    print(f"{batches} batches, stages 1 to 4: {stages:.1f} s, {doses} doses, peak {_peak()} MB")
    begin = time.perf_counter()
    made = standard.run(people, seed=SEED)
    print(f"with days, waiting and one table: {time.perf_counter() - begin:.1f} s, {made!r}, peak {_peak()} MB")


def _peak() -> int:
    line = next(
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    return int(line.split()[1]) // 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else BATCHES)
