"""A million 17-state patients in blocks: seconds and memory. Run: ``python -m benchmarks.million`` (Linux)."""

import time
from pathlib import Path

import numpy as np

from benchmarks.problems import PROBLEMS
from livingdrug.engine.solve import solve_in_blocks

PATIENTS = 1_000_000
BLOCK = 8_192
TOLERANCE = 5.6e-5  # where the bench reaches a 95th percentile of the error of 1e-4


def main() -> None:
    """Sample and solve all patients for two states at the problem's 60 times, and print what it took."""
    problem = PROBLEMS["full"]
    ids = np.arange(PATIENTS, dtype=np.uint64)
    begin, seen, failed = time.perf_counter(), 0, 0
    for part in solve_in_blocks(
        problem.model,
        lambda block: problem.named(problem.sample(len(block), seed=int(block[0]))),
        ids,
        problem.times,
        outputs=problem.states[:2],
        rtol=TOLERANCE,
        block=BLOCK,
    ):
        seen += len(part.values)
        failed += int(part.failed.sum())
    peak = next(
        line for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
    )
    took, megabytes = time.perf_counter() - begin, int(peak.split()[1]) // 1024
    print(f"{seen} patients in {took:.1f} s, {failed} failed, peak {megabytes} MB")


if __name__ == "__main__":
    main()
