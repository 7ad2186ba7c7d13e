"""Simulation study of a published sampling design: what do three windows tell about phenotypes and tumour?

Patients are simulated from mueller_schoell2021 with its published values, sampled as klima2026 proposes and on three
fixed days, and the model is fitted to each simulated trial. Every finished fit is a line in a store, so a study that
was stopped goes on where it was: ``python -m benchmarks.design_study --replicates 200``.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.studies import Found, Study, judged, recorded, run_study, stored
from livingdrug.inference.data import EventData
from livingdrug.inference.problem import Problem
from livingdrug.inference.ready import ready
from livingdrug.inference.statistical import Estimate, StatisticalModel
from livingdrug.library.mueller_schoell2021 import MuellerSchoell2021, read_patients

DESIGNS = {
    "windows": ((2.0, 4.0), (12.0, 18.0), (32.0, 47.0)),  # klima2026; each patient's day is random there
    "fixed days": ((7.0, 7.0), (14.0, 14.0), (28.0, 28.0)),  # the usual days, its reference design
}
TUMOUR_DAYS = (0.0, 30.0, 90.0)
LEAST_VOLUME = 0.5
"""mL, assumed: about a lesion of 1 cm; a smaller tumour is reported as below it."""
TRUE = {name: one.value for name, one in MuellerSchoell2021.parameters.items()}
KNOWN = {
    "baseline_tumour_volume": "MTV", "prior_transplant": "ASCT", "cd4_cd8_ratio": "RATIO", "low_expansion": "LOW"
}  # fmt: skip
KILLING = ("central_killing", "half_kill_volume")
PUBLISHED = {"windows": ("within 20 %", "at most 70"), "fixed days": ("+25.8 to +36.5 %", "93.5 to 116")}
"""Of the errors of both values of ``KILLING`` in klima2026: median, and width of the middle half, percentage points."""
STUDY = Study(exploring=150, smoothing=100, chains=2, importance=500)
PAGE = Path(__file__).parents[1] / "docs" / "design-study.md"
STORE = Path(__file__).parent / "stores" / "design_study.jsonl"


def model(off: float = 1.0) -> StatisticalModel:
    """The published model, every value ``off`` times its own; the class of low expanders is known, as in klima2026."""
    ready_one = ready("mueller_schoell2021", phenotypes=True, tumour=True, columns=KNOWN)
    parameters = {name: replace(one, value=off * one.value) for name, one in ready_one.estimates.items()}
    for name, scale in (
        ("least_expansion", "lognormal"),
        ("transplant_effect", "lognormal"),
        ("ratio_exponent", "normal"),
    ):
        parameters[name] = Estimate(off * TRUE[name], scale=scale)
    return replace(ready_one, parameters=parameters)


def truth() -> dict[str, float]:
    """What every fit should find, as a result names it."""
    at = model()
    found = {name: one.value for name, one in at.estimates.items()}
    found |= {f"sd({name})": at.estimates[name].spread.sd for name in at.random}  # type: ignore[union-attr]
    return found | {f"{end.output}:a": end.residual.start[0] for end in at.ends}


def simulate(replicate: int, design: str, subjects: int = STUDY.subjects) -> EventData:
    """One trial: patients with the tumours and covariates of the paper's patients, drawn with replacement."""
    random = np.random.Generator(np.random.Philox([2026, replicate]))
    pool = list(read_patients().values())
    drawn = random.integers(len(pool), size=subjects)
    covariates = {column: np.array([pool[k][name] for k in drawn]) for name, column in KNOWN.items()}
    at = model()
    phenotypes = len(at.ends) - 1
    rows = []
    for who in range(subjects):
        for first, last in DESIGNS[design]:
            day = first + (last - first) * random.random()
            rows += [(who, day, end) for end in range(phenotypes)]
        rows += [(who, day, phenotypes) for day in TUMOUR_DAYS]
    table = np.array(sorted(rows))
    limit = np.where(table[:, 2] == phenotypes, LEAST_VOLUME, 0.0)

    def data(value: np.ndarray[Any, Any]) -> EventData:
        return EventData.from_arrays(
            ids=range(subjects), subject=table[:, 0].astype(int), time=table[:, 1], endpoint=table[:, 2].astype(int),
            value=np.maximum(value, limit), censoring=(value < limit).astype(int), covariates=covariates,
            endpoints=tuple(end.output for end in at.ends),
        )  # fmt: skip

    problem = Problem(at, data(np.ones(len(table))))
    eta = random.standard_normal((1, subjects, problem.d)) @ problem.cholesky(problem.theta[None])[0].T
    scatter = np.exp([problem.theta[place.start] for place in problem.sigma])[problem.rows.endpoint]
    clean = problem.predict(problem.theta[None], eta).f[0]
    return data(np.exp(clean + scatter * random.standard_normal(len(clean))))


def fit_once(replicate: int, design: str, study: Study) -> dict[str, Any]:
    """Fit one trial by SAEM, from first guesses that are not the truth."""
    return recorded(model(1.3), simulate(replicate, design, study.subjects), replicate, design, study)


# -- what was found ---------------------------------------------------------------------------------------------------
def page(records: list[dict[str, Any]], study: Study, note: str = "") -> str:
    """The page of the docs; ``note`` is a sentence on where the fits come from."""
    designs = [name for name in DESIGNS if any(one["method"] == name for one in records)]
    fits = {name: [one for one in records if one["method"] == name and one["estimates"]] for name in designs}
    tables = {name: judged(records, name, truth()) for name in designs}
    whats = ("bias", "of the geometric mean", "of the median", "cover")
    heads = [f"{name}: {what}" for name in designs for what in whats]
    lines = ["| parameter | truth | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(heads)]
    for name, value in truth().items():
        cells = []
        for one in (tables[design][name] for design in designs):
            cells += [one.mean(), *one.cells()]
        lines.append(f"| `{name}` | {value:.3g} | " + " | ".join(cells) + " |")
    beside = ["| design | parameter | median error, ours | published | middle half of the errors, ours | published |"]
    beside += ["|---|---|---|---|---|---|"]
    beside += [_beside(name, parameter, fits[name]) for name in designs for parameter in KILLING]
    ended = ". ".join(
        f"{name.capitalize()}: {len(some)} trials, {sum(one['converged'] for one in some)} fits converged, "
        f"{np.median([one['seconds'] for one in some]):.0f} s of processor time each (median)"
        for name, some in ((name, [one for one in records if one["method"] == name]) for name in designs)
    )
    return PAGE_TEXT.format(
        table="\n".join(lines), beside="\n".join(beside), subjects=study.subjects, ended=ended,
        worst="; ".join(f"{name}: {_worst(tables[name])}" for name in designs), note=note and f" {note}",
        limit=LEAST_VOLUME, exploring=study.exploring, smoothing=study.smoothing, chains=study.chains,
        below=100 * np.mean([(simulate(r, "windows").observations.censoring == 1).mean() for r in range(5)]),
    )  # fmt: skip


def _worst(table: dict[str, Found]) -> str:
    """The largest error of an average of typical values and of spreads, and the range of the covers."""
    covers = [one.cover for one in table.values()]
    said = []
    for what, spreads in (("typical value", False), ("spread or residual", True)):
        some = {n: one for n, one in table.items() if n.endswith((")", ":a")) == spreads}
        mean, middle = max(some, key=lambda n: abs(some[n].bias)), max(some, key=lambda n: abs(some[n].median))
        said.append(
            f"{what} {100 * some[mean].bias:+.1f} % in the mean (`{mean}`), {100 * some[middle].median:+.1f} % in the "
            f"median (`{middle}`)"
        )
    return "; ".join(said) + f"; cover {100 * min(covers):.0f} to {100 * max(covers):.0f} %"


def _beside(design: str, name: str, fits: list[dict[str, Any]]) -> str:
    """A row of what was found of a rate of killing beside what was published."""
    errors = 100 * (np.array([one["estimates"][name] for one in fits]) / truth()[name] - 1)
    first, median, third = np.percentile(errors, (25, 50, 75))
    medians, ranges = PUBLISHED[design]
    return (
        f"| {design} | `{name}` | {median:+.1f} % | {medians} | {first:+.0f} to {third:+.0f} %, width "
        f"{third - first:.0f} | width {ranges} |"
    )


PAGE_TEXT = """# What do three samples of each patient tell?

**Not for clinical use.**

Blood of a patient is precious, and each sample costs. A published study of designs (klima2026; known to us by digests,
not read) found that three samples of CAR T cells in *windows* of time (days 2 to 4, 12 to 18, 32 to 47) and three scans
of the tumour (days 0, 30, 90) of 60 patients suffice for the model of mueller_schoell2021. Samples on the usual days 7,
14 and 28 left the killing of the tumour further off. This page repeats that with livingdrug. Written by
`python -m benchmarks.design_study`; do not edit.

**The study.** {subjects} patients per trial, with the tumours, transplants, ratios of CD4 to CD8 cells and classes of
the paper's 19, drawn with replacement; all other values as published, the four phenotypes and the tumour with the
published scatter. As in the published study a patient's day in a window is random, and who belongs to the class of low
expanders is known. Assumed, since the digests do not say: each sample counts four phenotypes, and a tumour below
{limit:g} mL is reported as such ({below:.0f} % of all values). Started 30 % off in every value; SAEM with {exploring} +
{smoothing} iterations and {chains} chains; intervals from the observed information. {ended}.{note}

{table}

± is the noise of the study itself (one standard error of the mean); *cover* is the share of 95 % intervals that hold
the truth. **Farthest off:** {worst}.

**The killing of the tumour**, beside the published study (500 trials, fitted by NONMEM; the digests give one number for
both values):

{beside}

`central_killing` and `half_kill_volume` are known together or not at all: a tumour that shrinks fast may be killed
fast, or its killing may saturate late. Their estimates lie about the truth as a log-normal does, so that a plain mean
is too high by half the variance of the logarithm; the geometric mean and the median show the method's own bias.

*Not for clinical use.*
"""


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.design_study", description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--designs", nargs="+", default=list(DESIGNS), choices=list(DESIGNS))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", type=Path, default=STORE)
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--note", default="", help="a sentence for the page on where the stored fits come from")
    options = parser.parse_args()
    for left in run_study(options.store, options.replicates, options.designs, STUDY, options.workers, fit_once):
        print(f"  {left} fits left", file=sys.stderr, flush=True)
    asked = [one for one in stored(options.store) if one["replicate"] < options.replicates]
    options.page.write_text(page(asked, STUDY, options.note), encoding="utf-8")


if __name__ == "__main__":
    main()
