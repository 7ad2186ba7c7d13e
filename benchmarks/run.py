"""Measure livingdrug beside its peers, in one run on one machine: ``make bench``.

Prints a table, writes results.json in this folder and the table in docs/performance.md. A peer that is missing or
breaks makes the run fail.
"""

import argparse
import json
import os
import platform
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import ours, peak, startup, worker
from benchmarks.problems import PROBLEMS
from benchmarks.reference import gradient_reference, reference
from benchmarks.tables import performance_page, printed

PEERS = ["numbalsoda_", "pydiffsol_", "diffrax_", "copasi", "roadrunner_", "amici_", "scipy_lsoda"]
WITH_GRADIENTS = [("amici_", "small"), ("amici_", "full"), ("diffrax_", "small")]
TARGETS = [1e-4, 1e-6]
ROUNDS = 3
HERE = Path(__file__).parent


class Engine:
    """A solver in a process of its own, so that no two libraries meet in one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.process = ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=worker.start)
        self.title, self.version, self.methods = self("introduce")

    def __call__(self, what: str, *arguments: Any) -> Any:
        """Let its process do one of the worker's functions."""
        return self.process.submit(getattr(worker, what), self.name, *arguments).result()


def told(what: str) -> None:
    """Progress, beside the table that goes to the standard output."""
    print(f"  {what}", file=sys.stderr, flush=True)


def started(names: list[str]) -> list[Engine]:
    """All solvers, ours first.

    Raises:
        SystemExit: if one is missing.
    """
    engines, missing = [], []
    for name in ["ours", *names]:
        try:
            engines.append(Engine(name))
        except ImportError as error:
            missing.append(f"{name}: {error}")
    if missing:
        sys.exit("The bench is not run without all of its peers. Missing:\n  " + "\n  ".join(missing))
    return engines


def compare(engines: list[Engine], problem: str, gradients: bool) -> list[dict[str, Any]]:
    """Tolerance, error and speed of every solver on one problem; the timed runs take turns."""
    rows = []
    for engine in engines:
        for method in [None] if gradients else engine.methods:
            start = time.perf_counter()
            found = engine("search", problem, TARGETS[:1] if gradients else TARGETS, method)
            told(f"{problem}: {engine.title}, {method or 'gradients'}: {time.perf_counter() - start:.0f} s to search")
            for target, best in found.items():
                row = {"problem": problem, "target": target, "gradients": gradients}
                row |= {"engine": engine.title, "version": engine.version, "method": method, "reached": bool(best)}
                row |= {"methods": len(engine.methods)}
                rows.append(row | {"_engine": engine} | (best or {}))
    told(f"{problem}: timing")
    measured: dict[int, list[tuple[float, float]]] = {}
    for _ in range(ROUNDS):
        for at, row in enumerate(rows):
            if row["reached"]:
                arguments = (row["problem"], row["tolerance"], row["method"], row["per_second"])
                measured.setdefault(at, []).append(row["_engine"]("timed", *arguments))
    for at, row in enumerate(rows):
        del row["_engine"]
        if at in measured:
            row["per_second"] = median(cpu for cpu, _ in measured[at])
            row["per_second_wall"] = median(wall for _, wall in measured[at])
            row["lowest"], row["highest"] = min(measured[at])[0], max(measured[at])[0]
    return fastest_methods(rows)


def fastest_methods(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each solver's methods the fastest, for each target; then its ratio to ours."""
    best: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        key = (row["engine"], row["target"])
        if key not in best or row.get("per_second", 0) > best[key].get("per_second", 0):
            best[key] = row
    for (_, target), row in best.items():
        mine = best[(ours.NAME, target)]
        if row["reached"] and mine["reached"]:
            row["ours_times"] = mine["per_second"] / row["per_second"]
    return list(best.values())


def machine() -> dict[str, Any]:
    """What it was measured on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "processor": named,
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "system": platform.system(),
        "python": platform.python_version(),
        "peak_gflops_per_core": peak.peak(),
    }


def own_figures(rows: list[dict[str, Any]], peak_gflops: float, patients: int) -> list[dict[str, Any]]:
    """What is said of our solver beside the ratios."""
    figures = []
    for row in rows:
        if row["engine"] == ours.NAME and row["reached"]:
            work = ours.work(row["problem"], row["tolerance"])
            figures.append(
                {
                    "problem": row["problem"],
                    "target": row["target"],
                    **work,
                    "per_second": row["per_second"],
                    "per_second_per_gflops": row["per_second"] / peak_gflops,
                    "share_of_peak": row["per_second"] * work["flops"] / (peak_gflops * 1e9),
                    "all_cores_per_second": ours.threaded(
                        row["problem"], row["tolerance"], len(os.sched_getaffinity(0))
                    ),
                    "patients": patients,
                    "failures": ours.failures(row["problem"], row["tolerance"], patients),
                }
            )
    return figures


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__.splitlines()[0])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS), choices=list(PROBLEMS))
    parser.add_argument("--peers", nargs="+", default=PEERS, choices=PEERS, help="for a trial; nothing is written then")
    parser.add_argument("--no-gradients", action="store_true", help="for a trial; nothing is written then")
    parser.add_argument("--patients", type=int, default=50_000, help="whose failures are counted")
    return parser.parse_args()


def main() -> None:
    """Measure, print, write."""
    options = asked()
    whole = options.peers == PEERS and options.problems == list(PROBLEMS) and not options.no_gradients
    worker.start()
    for name in options.problems:
        told(f"{name}: reference")
        reference(PROBLEMS[name])
        if not options.no_gradients:
            gradient_reference(PROBLEMS[name])
    engines = started(options.peers)
    results: dict[str, Any] = {"machine": machine()}
    results["peers"] = [row for name in options.problems for row in compare(engines, name, gradients=False)]
    results["gradients"] = []
    for name in [] if options.no_gradients else options.problems:
        able = ["ours", *(peer for peer, problem in WITH_GRADIENTS if problem == name)]
        results["gradients"] += compare([e for e in engines if e.name in able], name, gradients=True)
    own = [row for row in results["peers"] if row["engine"] == ours.NAME]
    results["own"] = own_figures(own, results["machine"]["peak_gflops_per_core"], options.patients)
    results["startup"] = startup.first_results()
    print(printed(results))
    if whole:
        (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
        page = HERE.parent / "docs" / "performance.md"
        page.write_text(performance_page(page.read_text(encoding="utf-8"), results))


if __name__ == "__main__":
    main()
