"""The ward: rounds of a year and of five years, grading of a million patient-days, compilation of the body.

Run: ``python -m benchmarks.ward`` (all), or with some of ``monitoring``, ``years``, ``grading``, ``compile``.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measure import Stopwatch

SEED = 3
RTOL = 1e-4
DISEASE, RULE = "lbcl_cd28", "asco-2021"
DAYS = {1: (0.0, 7, 14, 28, 90, 180, 365), 5: (0.0, 7, 14, 28, 90, 180, 365, 730, 1095, 1460, 1825)}
BLOCK = 20_000
PATIENTS, CHARTED_DAYS = 33_334, 30  # a million patient-days
VITAL = ("temperature", "systolic_pressure", "vasopressors", "oxygen_device", "oxygen_flow", "ice_score")
UNITS = ("degC", "mmHg", "", "", "L/min", "")
START = """
import time
begin, cpu = time.perf_counter(), time.process_time()
from livingdrug.body.twin import TwinBody
declared = time.process_time() - cpu
from livingdrug.engine.solve import solve
found = solve(TwinBody, {}, [0.0, 1.0], outputs=["tumour_volume"], threads=1)
print(f"{declared:.2f} {time.process_time() - cpu - declared:.2f} {time.perf_counter() - begin:.2f}")
"""


def say(what: str, watch: Stopwatch, more: str = "") -> None:
    """Print one figure."""
    print(f"{what}: {watch.wall:.1f} s by the clock, {watch.cpu:.1f} s of processor time{more}", flush=True)


def follow(count: int, years: int) -> tuple[Stopwatch, float, int]:
    """Follow patients with 84 rounds in 28 days, in blocks: (time, steps per patient, failed)."""
    from livingdrug.body.diseases import PATIENTS as TYPICAL
    from livingdrug.body.treatment import cells, lymphodepletion
    from livingdrug.body.variability import draw_patients
    from livingdrug.therapy.monitoring import monitor, usual_rounds

    patient = TYPICAL[DISEASE]
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells)]
    steps, failed = 0.0, 0
    with Stopwatch() as watch:
        for first in range(0, count, BLOCK):
            ids = np.arange(first, min(first + BLOCK, count))
            found = monitor(
                draw_patients(ids, patient.values(), seed=SEED), given, DAYS[years], rule=RULE,
                rounds=usual_rounds(28, 28), patient_ids=ids, seed=SEED, rtol=RTOL,
                outputs=["car_t_blood", "tumour_volume"],
            )  # fmt: skip
            steps, failed = steps + found.solution.steps.sum(), failed + int(found.solution.failed.sum())
    return watch, steps / count, failed


def monitoring() -> None:
    """20,000 patients for a year, and the same at a tolerance of 1e-9 for the error."""
    follow(100, 1)  # compiled before the clock starts
    watch, steps, failed = follow(20_000, 1)
    say("20,000 patients, 1 year, 84 rounds", watch, f"; {steps:.0f} steps per patient, {failed} failed")


def years() -> None:
    """100,000 journeys of five years."""
    follow(100, 5)
    watch, steps, failed = follow(100_000, 5)
    say("100,000 patients, 5 years, 84 rounds", watch, f"; {steps:.0f} steps per patient, {failed} failed")


def values() -> dict[str, np.ndarray]:
    """A million patient-days: item -> shape (day, patient)."""
    random, shape = np.random.default_rng(SEED), (CHARTED_DAYS, PATIENTS)
    device = random.choice(3, shape, p=[0.88, 0.1, 0.02])
    return {
        "temperature": np.clip(np.round(random.normal(37.6, 0.9, shape), 1), 34, 42),
        "systolic_pressure": np.clip(np.round(random.normal(112, 18, shape)), 45, 200),
        "vasopressors": (random.random(shape) < 0.04).astype(float),
        "oxygen_device": np.array([0.0, 2.0, 6.0])[device],
        "oxygen_flow": np.array([0.0, 3.0, 30.0])[device],
        "ice_score": np.where(random.random(shape) < 0.1, random.integers(0, 10, shape), 10).astype(float),
    }


def write_chart(found: dict[str, np.ndarray], path: Path) -> None:
    """Write the same days as a long table of six million rows."""
    import pyarrow as pa
    from pyarrow import csv

    from livingdrug.clinic.observations_items import ITEMS

    words, rows = np.array(ITEMS["oxygen_device"].words), PATIENTS * CHARTED_DAYS
    columns = [words[found[n].astype(int)] if n == "oxygen_device" else found[n].astype(str) for n in VITAL]
    day, patient = np.divmod(np.arange(rows), PATIENTS)
    table = pa.table({
        "patient": np.repeat(np.char.add("P", patient.astype(str)), len(VITAL)),
        "time": np.repeat(day + 0.25, len(VITAL)),
        "item": np.tile(np.array(VITAL), rows),
        "value": np.stack([column.reshape(-1) for column in columns], axis=1).astype(str).reshape(-1),
        "unit": np.tile(np.array(UNITS), rows),
    })  # fmt: skip
    csv.write_csv(table.sort_by([("patient", "ascending"), ("time", "ascending")]), path)


def grading() -> None:
    """Grade a million patient-days on ASTCT, from a file and from arrays."""
    from livingdrug.clinic.grading import begin_rounds, grade, grade_round
    from livingdrug.clinic.observations import observe
    from livingdrug.clinic.observations_files import read_observations

    grade(observe([("P", 1.0, "temperature", 39.0, "degC")]), "astct").by_time()  # imports before the clock starts
    found = values()
    with Stopwatch() as watch:
        course = begin_rounds(PATIENTS)
        for day in range(CHARTED_DAYS):
            _, course = grade_round("astct", {name: found[name][day] for name in VITAL}, day + 0.25, course)
    say("1,000,000 patient-days from arrays", watch)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "chart.csv"
        write_chart(found, path)
        with Stopwatch() as watch:
            chart = read_observations(path)
        say(f"{len(chart):,} rows of CSV read and checked", watch)
    with Stopwatch() as watch:
        grades = grade(chart, "astct")
        episodes = grades.episodes()
    say(f"graded, {len(episodes):,} episodes", watch)
    with Stopwatch() as watch:
        table = grades.by_time()
    say(f"the words of {len(table):,} grades", watch)


def compile_body() -> None:
    """Declare and compile the body without and with what is kept on disk."""
    with tempfile.TemporaryDirectory() as folder:
        for what in ("first use", "second use"):
            declared, rest, clock = _started({**os.environ, "LIVINGDRUG_CACHE": folder})
            print(f"{what}: declared in {declared:.2f} s, solved after {rest:.2f} s more; {clock:.2f} s by the clock")


def _started(environment: dict[str, str]) -> list[float]:
    answer = subprocess.run(
        [sys.executable, "-c", START], capture_output=True, text=True, check=True, env=environment
    ).stdout  # fmt: skip
    return [float(word) for word in answer.split()]


PARTS = {"monitoring": monitoring, "years": years, "grading": grading, "compile": compile_body}


def main(*parts: str) -> None:
    """Print the figures."""
    begin = time.perf_counter()
    for part in parts or PARTS:
        PARTS[part]()
    print(f"{time.perf_counter() - begin:.0f} s in all; {os.cpu_count()} processors")


if __name__ == "__main__":
    main(*sys.argv[1:])
