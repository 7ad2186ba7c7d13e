"""Simulation studies of fits: is the truth found again, and do the intervals cover it?

Patients are simulated from a published model, their samples below the limit are censored, and the model is fitted to
each simulated trial by several methods for values below the limit. Every finished fit is a line in a store, so a study
that was stopped goes on where it was: ``python -m benchmarks.studies --replicates 200``.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from livingdrug.errors import FitError
from livingdrug.inference.closed_form import expansion_contraction
from livingdrug.inference.data import EventData
from livingdrug.inference.estimation import fit
from livingdrug.inference.residual import combined, log_additive
from livingdrug.inference.saem import SaemSettings
from livingdrug.inference.statistical import Endpoint, Estimate, StatisticalModel
from livingdrug.library.stein2019 import Stein2019, spreads, transgene
from livingdrug.model import lognormal

OUTPUT = "car_t_transgene_blood"
NAMES = ("fold_expansion", "peak_day", "peak", "contraction", "persistent_fraction", "decline")
TYPICAL = {name: Stein2019.parameters[name].value for name in NAMES}
SPREADS = {name: spread.sd for name, spread in spreads().items()}
RESIDUAL = 0.56  # stein2019, table 1: constant on the scale of natural logarithms
DAYS = np.array([2.0, 4, 7, 9, 11, 14, 17, 21, 28, 60, 90, 180, 270, 365, 545, 730])  # assumed, as trials sample
LIMIT = 50.0  # copies per ug; assumed
METHODS = ("M3", "M1", "M5", "M6", "M7")
ON_LOGS = METHODS[:4]  # M7 puts zero, which has no logarithm: it is fitted with a residual that allows zero
NORMAL_95 = 1.959964
PAGE = Path(__file__).parents[1] / "docs" / "fit-studies.md"
STORE = Path(__file__).parent / "stores" / "studies.jsonl"


@dataclass(frozen=True)
class Study:
    """A simulated trial and how it is fitted: subjects, iterations of SAEM, chains, points of importance sampling."""

    subjects: int = 60
    exploring: int = 150
    smoothing: int = 100
    chains: int = 4
    importance: int | None = None


Fit = Callable[[int, str, Study], dict[str, Any]]


def simulate(replicate: int, subjects: int) -> EventData:
    """One trial of the published model; samples below the limit are censored."""
    random = np.random.Generator(np.random.Philox([2019, replicate]))
    values = {name: TYPICAL[name] * np.exp(SPREADS[name] * random.standard_normal(subjects))[:, None] for name in NAMES}
    clean = transgene(DAYS, **values)
    measured = clean * np.exp(RESIDUAL * random.standard_normal(clean.shape))
    below = measured < LIMIT
    return EventData.from_arrays(
        ids=range(subjects), subject=np.repeat(np.arange(subjects), len(DAYS)), time=np.tile(DAYS, subjects),
        value=np.where(below, LIMIT, measured).ravel(), censoring=below.ravel().astype(int), endpoints=(OUTPUT,),
    )  # fmt: skip


def model(method: str) -> StatisticalModel:
    """The model that is fitted, from first guesses that are not the truth."""
    parameters = {name: Estimate(1.3 * TYPICAL[name], lognormal(0.7)) for name in NAMES}
    residual = log_additive(0.8) if method in ON_LOGS else combined(LIMIT / 2, 0.6)
    return StatisticalModel(expansion_contraction(), parameters, Endpoint(OUTPUT, residual, blq=method))


def truth() -> dict[str, float]:
    """What every fit should find."""
    return TYPICAL | {f"sd({name})": SPREADS[name] for name in NAMES} | {"a": RESIDUAL}


def informed(data: EventData, method: str) -> EventData:
    """The data without subjects whom the method leaves nothing: M1 drops every sample below the limit."""
    if method != "M1":
        return data
    seen = np.bincount(data.observations.subject[data.observations.censoring == 0], minlength=len(data))
    return data.take(seen > 0)


def fit_once(replicate: int, method: str, study: Study) -> dict[str, Any]:
    """Fit one trial by SAEM."""
    data = informed(simulate(replicate, study.subjects), method)
    return recorded(model(method), data, replicate, method, study)


def recorded(model: StatisticalModel, data: EventData, replicate: int, method: str, study: Study) -> dict[str, Any]:
    """Fit by SAEM and say what came of it, as the store keeps it: numbers with six digits."""
    start = time.process_time()
    settings = SaemSettings(study.exploring, study.smoothing, study.chains)
    try:
        found = fit(model, data, "saem", seed=replicate, saem=settings, importance=study.importance)
    except FitError as error:  # nothing came of it, which is a finding too
        said = {"estimates": {}, "errors": None, "converged": False, "verdict": str(error)}
        return {"replicate": replicate, "method": method, **said, "seconds": _short(time.process_time() - start)}
    errors = None if found.standard_errors_ is None else _all_short(found.standard_errors_)
    return {
        "replicate": replicate, "method": method, "estimates": _all_short(found.estimates_), "errors": errors,
        "converged": found.converged_, "verdict": found.verdict_, "seconds": _short(time.process_time() - start),
    }  # fmt: skip


def _short(number: float) -> float:
    return float(f"{number:.6g}")


def _all_short(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: _short(number) for name, number in numbers.items()}


# -- many of them -----------------------------------------------------------------------------------------------------
def stored(path: Path) -> list[dict[str, Any]]:
    """The finished fits; a last line that was cut off is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return found


def run_study(
    path: Path, replicates: int, methods: Iterable[str], study: Study, workers: int, fit_one: Fit = fit_once
) -> Iterator[int]:
    """Fit by ``fit_one`` what is not in the store yet; yields how many are still to be done.

    A fit that raises leaves the others in the store; the first such error is raised when all are done.
    """
    done = {(one["replicate"], one["method"]) for one in stored(path)}
    todo = [(r, m) for m in methods for r in range(replicates) if (r, m) not in done]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")  # after a line that was cut off
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = [pool.submit(fit_one, r, m, study) for r, m in todo]
        for left, one in zip(range(len(todo) - 1, -1, -1), running, strict=True):
            if one.exception() is None:
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(one.result()) + "\n")
            yield left
        for one in running:
            one.result()


@dataclass(frozen=True)
class Found:
    """What a method made of one parameter: relative bias of three averages, standard error of the first, cover.

    There is no geometric mean of estimates that are not all positive.
    """

    bias: float
    geometric: float | None
    median: float
    noise: float
    cover: float

    def cells(self) -> list[str]:
        """The cells of a table, all but the bias of the plain mean."""
        geometric = "" if self.geometric is None else f"{100 * self.geometric:+.1f} %"
        return [geometric, f"{100 * self.median:+.1f} %", f"{100 * self.cover:.0f} %"]

    def mean(self) -> str:
        """The bias of the plain mean with its noise."""
        return f"{100 * self.bias:+.1f} ± {100 * self.noise:.1f} %"


def judged(records: Iterable[dict[str, Any]], method: str, true: Mapping[str, float] | None = None) -> dict[str, Found]:
    """Bias, noise and cover of each parameter; intervals of positive ones are made on the scale of logarithms."""
    rows, found = [one for one in records if one["method"] == method and one["estimates"]], {}
    for name, value in (true or truth()).items():
        estimates = np.array([one["estimates"][name] for one in rows])
        errors = np.array([one["errors"][name] if one["errors"] else math.nan for one in rows])
        positive = value > 0 and (estimates > 0).all()
        logs = np.log(estimates / value) if positive else (estimates - value) / estimates
        away = np.abs(logs / (errors / estimates))
        known = np.isfinite(away)
        found[name] = Found(
            estimates.mean() / value - 1,
            math.expm1(logs.mean()) if positive else None,
            float(np.median(estimates)) / value - 1,
            estimates.std(ddof=1) / abs(value) / math.sqrt(len(rows)),
            float((away[known] < NORMAL_95).mean()) if known.any() else math.nan,
        )
    return found


def page(records: list[dict[str, Any]], study: Study, note: str = "") -> str:
    """The page of the docs; ``note`` is a sentence on where the fits come from."""
    methods = [m for m in ON_LOGS if any(one["method"] == m for one in records)]
    counts = {m: sum(one["method"] == m for one in records) for m in methods}
    tables = {m: judged(records, m) for m in methods}
    words = {name: f"`{name}`" for name in truth()} | {"a": "residual (log scale)"}
    first = "| parameter | truth | " + " | ".join(f"{m}: bias" for m in methods)
    lines = [
        f"{first} | M3: bias of the geometric mean | of the median | M3: cover of 95 % intervals |",
        "|---|---|" + "---|" * (len(methods) + 3),
    ]
    for name, value in truth().items():
        cells = [*(tables[m][name].mean() for m in methods), *tables["M3"][name].cells()]
        lines.append(f"| {words[name]} | {value:g} | " + " | ".join(cells) + " |")
    below = np.mean([(simulate(r, study.subjects).observations.censoring == 1).mean() for r in range(20)])
    converged = sum(one["converged"] for one in records if one["method"] == "M3")
    without = sum(one["errors"] is None for one in records if one["method"] == "M3")
    return PAGE_TEXT.format(
        table="\n".join(lines), subjects=study.subjects, days=", ".join(f"{d:g}" for d in DAYS), limit=LIMIT,
        below=100 * below, counts=", ".join(f"{m} {n}" for m, n in counts.items()), without=without,
        converged=converged, exploring=study.exploring, smoothing=study.smoothing, chains=study.chains, note=note,
        zeros=zeros(records), widest=max(SPREADS.values()),
        skewed=100 * math.expm1(0.5 * max(SPREADS.values()) ** 2 / study.subjects),
    )  # fmt: skip


def zeros(records: list[dict[str, Any]]) -> str:
    """What became of the fits by M7, in a sentence."""
    fits = [one for one in records if one["method"] == "M7"]
    if not fits:
        return "Not fitted here: zero has no logarithm, and this model scatters on that scale."
    ended = [one["estimates"] for one in fits if one["estimates"]]
    middle = {n: float(np.median([each[n] for each in ended])) for n in truth() if n != "a"}
    said = ", ".join(
        f"`{n}` {middle[n]:.3g} (truth {truth()[n]:g})" for n in ("fold_expansion", "sd(persistent_fraction)")
    )
    return (
        f"Zero has no logarithm, so it was fitted with an additive and proportional residual: {len(fits)} trials, of "
        f"which {sum(one['converged'] for one in fits)} converged; medians of the last values: {said}."
    )


PAGE_TEXT = """# Does a fit find the truth again?

**Not for clinical use.**

Patients were simulated, so their true numbers are known; then the model was fitted to them as if they were real. A
good method finds the truth on average (its *bias* is near zero), and its 95 % intervals hold the truth in about 95 of
100 trials (their *cover*). Written by `python -m benchmarks.studies`; do not edit.

**The study.** The model of stein2019 (`expansion_contraction`) with its published typical values, spreads between
patients and residual; {subjects} patients per trial; blood on days {days}; values below {limit:g} copies/ug are
reported as "below the limit" ({below:.0f} % of the samples). Days and limit are assumed, in the manner of the trials.
Fits: SAEM with {exploring} + {smoothing} iterations and {chains} chains, started 30 % off in every typical value;
intervals from the observed information, on the scale of logarithms. Simulated trials: {counts}. Fits by M3 that call
themselves converged: {converged}; without intervals: {without}; all are counted. {note}

{table}

± is the noise of the study itself (one standard error of the mean). Estimates of a wide parameter lie skewed about the
truth, as a log-normal does: the plain mean is then too high where the geometric mean and the median are not. With
{subjects} patients and a spread of {widest:g} it would be {skewed:.1f} % too high even if each patient's own value were
known without error.

- **M3** counts a value below the limit by the chance that it lies there: what livingdrug does unless told otherwise.
- **M1** leaves such values out.
- **M5** puts half of the limit in their place; **M6** does so for the first of a run and leaves out the others.
- **M7** puts zero in their place. {zeros}

*Not for clinical use.*
"""


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--note", default="", help="a sentence for the page on where the stored fits come from")
    options = parser.parse_args()
    study = Study()
    for left in run_study(options.store, options.replicates, options.methods, study, options.workers):
        print(f"  {left} fits left", file=sys.stderr, flush=True)
    asked = [one for one in stored(options.store) if one["replicate"] < options.replicates]
    options.page.write_text(page(asked, study, options.note), encoding="utf-8")


if __name__ == "__main__":
    main()
