"""Write docs/validation-fits.md: our estimates beside exact maximum likelihood and beside published software.

The data and the exact answers lie beside the repository in ../shared/data and are not shipped; without them the page
cannot be made and stays as it is. Run ``python scripts/fit_validation_page.py``.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from livingdrug.exports.markdown import table as table_lines
from livingdrug.inference.comparison import evaluate
from livingdrug.inference.estimation import fit
from livingdrug.inference.marginal import approximate
from livingdrug.inference.nodes import quadrature_nodes
from livingdrug.inference.problem import Problem
from livingdrug.inference.residual import additive, proportional
from livingdrug.inference.vector import LOG_2PI

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"
PAGE = ROOT / "docs" / "validation-fits.md"

INTRODUCTION = """# Fits beside exact answers

**Not for clinical use.** Written by `scripts/fit_validation_page.py`.

For small data sets the answer of a mixed-effects fit can be computed to many digits: adaptive quadrature of the
marginal likelihood, maximised. Those exact answers were made independently of this package and agree with other
software where that maximises the same likelihood. Here they stand beside our estimates.

- **Quadrature** (7 nodes in each direction) and **SAEM** aim at the exact answer; differences are their own error (of
  too few nodes, of random draws).
- **FOCEI** and **Laplace** maximise an approximation. Their difference is not an error of the program but the bias of
  the approximation; it is shown so that nobody mistakes the one for the other.
- Every number was computed when the page was written. `%` is the difference from the exact answer. A spread is a
  standard deviation of the logarithm. A verdict other than *converged* is printed as it is.
"""


def _of_tests(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tests" / "inference" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Names = Mapping[str, str]
KINETICS = {"ka": "ka", "CL": "CL", "V": "V", "om_ka": "sd(ka)", "om_CL": "sd(CL)", "om_V": "sd(V)", "sigma": "a"}
VIRUS = {n: n for n in ("P1", "l1", "P2", "l2")} | {f"om_{n}": f"sd({n})" for n in ("P1", "l1", "P2", "l2")}
TREES = {"Asym": "Asym", "xmid": "xmid", "scal": "scal", "om": "sd(Asym)", "sigma": "a"}
NOT_CONVERGED = (
    " The exact answer is itself not converged to the last digits: its -2 log likelihood still falls by 0.3 from 9 to "
    "11 nodes. Nor are its estimates the likeliest: quadrature with 15 nodes in each of the four directions, which "
    "SAEM does not use, finds more where SAEM ends (tested)."
)
FOUR = ("quadrature", "saem", "focei", "laplace")


def say(text: str) -> None:
    """Tell what is being done."""
    sys.stderr.write(text + "\n")


def compared(
    title: str, reference: Mapping[str, Any], made: Any, names: Names, methods: tuple[str, ...], note: str = ""
) -> list[str]:
    """Return the lines of one data set: exact answers, and ours by several methods with their difference."""
    say(title)
    exact = _exact(reference, names)
    model, data = made
    found = {method: fit(model, data, method, seed=1, nodes=7, standard_errors=None) for method in methods}
    rows = []
    for theirs, ours in names.items():
        values = [run.estimates_[ours] for run in found.values()]
        cells = [f"{value:.5g} ({100 * (value / exact[theirs] - 1):+.2f} %)" for value in values]
        rows.append((f"`{ours}`", f"{exact[theirs]:.5g}", *cells))
    minus2ll = [
        f"{run.minus2ll_:.3f}" + (f" ± {run.minus2ll_se_:.2f}" if run.minus2ll_se_ else "") for run in found.values()
    ]
    rows.append(("-2 log likelihood", f"{reference['minus2LL']:.3f}", *minus2ll))
    rows.append(("verdict", "", *("converged" if run.converged_ else run.verdict_ for run in found.values())))
    heads = ("", "exact", *methods)
    words = f"{reference['model']}. {reference['n_subjects']} subjects, {reference['n_obs']} observations"
    words += f", {reference['n_cens']} below the limit." if reference["n_cens"] else "."
    words = words[0].upper() + words[1:] + f" Tolerance of the set: {reference['tolerance']}.{note}"
    return [f"## {title}", "", words, "", *table_lines(heads, rows), ""]


def _exact(reference: Mapping[str, Any], names: Names) -> dict[str, float]:
    if "estimates_natural" in reference:
        return dict(reference["estimates_natural"])
    working = reference["estimates_working_scale"]  # wang2007: ke as it is, logarithms of the others
    return {key: working[key] if key == "ke" else math.exp(working[f"log_{key}"]) for key in names}


def other_programs(sets: Any, reference: Mapping[str, Any]) -> list[str]:
    """Return what other programs find for theophylline, and how likely the data are at their estimates."""
    say("other programs")
    rows, (model, data) = [], sets.theophylline(SHARED)
    for program, theirs in reference["other_software"].items():
        r = "lka" in theirs
        typical = {n: math.exp(theirs[f"{'l' if r else 't'}{n.lower()}"]) for n in ("ka", "CL", "V")}
        spread = {
            f"sd({n})": theirs[f"sd_l{n.lower()}"] if r else math.sqrt(theirs[f"om2_{n.lower()}"])
            for n in ("ka", "CL", "V")
        }
        scatter = theirs["sigma" if r else "add_sd"]
        value, error = evaluate(model, data, {**typical, **spread, "a": scatter}, points=4000)
        own = theirs.get("OFV", theirs.get("minus2LL", math.nan) - (132 * LOG_2PI if r else 0))
        there = (f"{theirs['exact_OFV_at_these_estimates']:.3f}", f"{value - 132 * LOG_2PI:.3f} ± {error:.2f}")
        rows.append((program, *(f"{v:.4g}" for v in typical.values()), f"{scatter:.4f}", f"{own:.3f}", *there))
    exact = reference["estimates_natural"]
    best = f"{reference['nonmem_style_OFV']:.3f}"
    rows.append(("exact", *(f"{exact[n]:.4g}" for n in ("ka", "CL", "V")), f"{exact['sigma']:.4f}", "", best, ""))
    heads = ("program", "ka", "CL", "V", "a", "its own objective", "exact objective there", "ours there")
    return ["## Other programs on theophylline", "",
            "Their reported objectives differ by six units; the exact likelihood of their estimates differs by 0.03. "
            "Compare "
            "estimates by one yardstick, not objectives of different programs. Objectives are without ln(2π), as "
            "NONMEM's. The "
            "last column is our importance sampling at their estimates "
            "(`livingdrug.inference.comparison.evaluate`).", "",
            *table_lines(heads, rows), ""]  # fmt: skip


def published_objectives(sets: Any, reference: Mapping[str, Any]) -> list[str]:
    """Return NONMEM's published objectives at fixed parameters beside ours."""
    say("Wang 2007, fixed parameters")
    rows = []
    for kind, make in (("proportional", proportional), ("additive", additive)):
        problem = Problem(*sets.wang(SHARED, make(math.sqrt(0.1))))
        for method in ("FO", "FOCE", "FOCEI"):
            value = float(approximate(problem, problem.theta[None], method.lower()).minus2ll.sum()) - 20 * LOG_2PI
            rows.append((kind, method, f"{reference['nonmem_style_OFV'][kind][method]:.3f}", f"{value:.3f}"))
        nodes = quadrature_nodes(problem, problem.theta, 61)
        value = -2 * float(nodes.loglik(problem.theta).sum()) - 20 * LOG_2PI
        rows.append((kind, "exact", f"{reference['nonmem_style_OFV'][kind]['exact']:.3f}", f"{value:.3f}"))
    return ["## NONMEM's objectives at fixed parameters (Wang 2007)", "",
            "One-compartment decline, 10 subjects with two values each; nothing is estimated. NONMEM's values are "
            "those of the "
            "paper's tables.", "", *table_lines(("residual", "method", "published", "ours"), rows), ""]  # fmt: skip


def response(sets: Any, references: Mapping[str, Any], replicate: int) -> list[str]:
    """Return the Emax model with its full covariance."""
    title = f"Emax with a full covariance, replicate {replicate}"
    say(title)
    reference = references[f"emax_rich_rep{replicate}"]
    exact, runs = reference["estimates_natural"], {}
    model, data = sets.response(SHARED, replicate)
    for method in FOUR:
        runs[method] = fit(model, data, method, seed=1, nodes=7, standard_errors=None)
    rows = []
    for name in ("E0", "Emax", "ED50", "b"):
        cells = [
            f"{run.estimates_[name]:.5g} ({100 * (run.estimates_[name] / exact[name] - 1):+.2f} %)"
            for run in runs.values()
        ]
        rows.append((f"`{name}`", f"{exact[name]:.5g}", *cells))
    order = ["E0", "Emax", "ED50"]
    for j, one in enumerate(order):
        for k, two in enumerate(order[: j + 1]):
            truth, cells = exact["omega"][j][k], []
            for run in runs.values():
                at = [run.problem.model.random.index(n) for n in (one, two)]
                value = run.problem.covariance(run.theta_)[at[0], at[1]]
                cells.append(f"{value:.5g} ({value - truth:+.4f})")
            rows.append((f"omega({one}, {two})", f"{truth:.5g}", *cells))
    rows.append(
        ("-2 log likelihood", f"{reference['minus2LL']:.3f}", *(f"{run.minus2ll_:.3f}" for run in runs.values()))
    )
    rows.append(("verdict", "", *("converged" if run.converged_ else run.verdict_ for run in runs.values())))
    theirs = reference["other_software"]["saemix 3.1 SAEM (E0 covariances fixed to 0)"]
    words = (
        "100 subjects at four doses, proportional residual, simulated. Tolerance of the set: "
        f"{reference['tolerance']}. "
        f"saemix 3.1 with the covariances of E0 held at zero prints -2 log likelihood {theirs['minus2LL_IS']:.2f} for "
        f"estimates at which it is {theirs['exact_minus2LL_at_these_estimates']:.2f}."
    )
    return [f"## {title}", "", words, "", *table_lines(("", "exact", *FOUR), rows), ""]


def beside_r(cases: Any) -> list[str]:
    """Return R's estimates and ours of models that are linear in the effects."""
    say("R")
    answers = cases.references(cases.FOLDER / "references.csv")
    rows = []
    for name, case in cases.CASES.items():
        model, data, names = case()
        found = fit(model, data, "focei", standard_errors=None)
        ours = {theirs: found.estimates_[own] for theirs, own in names.items()}
        ours["deviance"] = found.minus2ll_ - cases.logarithms(name, data)
        for theirs, value in ours.items():
            word = "-2 log likelihood" if theirs == "deviance" else f"`{names[theirs]}`"
            rows.append((name, word, *(f"{answers[name, r][theirs]:.7g}" for r in ("lme4", "nlme")), f"{value:.7g}"))
    heads = ("data", "", "lme4 1.1-31", "nlme 3.1-162", "livingdrug, focei")
    return ["## lme4 and nlme", "",
            "Where a model is linear in its random effects, all three maximise the same likelihood: a line with "
            "correlated level and slope and a covariate, the decline of a transgene on the scale of logarithms (its "
            "likelihood here is that of the logarithms), and a level that differs between subjects and occasions. The "
            "data are made up and lie with R's script in `tests/inference/r`; R ran once, under version 4.2.2.", "",
            *table_lines(heads, rows), ""]  # fmt: skip


def main() -> None:
    """Write the page."""
    if not SHARED.is_dir():
        sys.exit("the data lie beside the repository in ../shared/data; the folder is absent, the page stays as it is")
    sets = _of_tests("fit_sets")
    references = json.loads((SHARED / "nlme" / "references.json").read_text(encoding="utf-8"))
    lines = [INTRODUCTION]
    plain = references["theophylline_additive_with_t0"]
    sections: list[Callable[[], list[str]]] = [
        lambda: compared("Theophylline", plain, sets.theophylline(SHARED), KINETICS, FOUR),
        lambda: other_programs(sets, plain),
        lambda: compared("Theophylline with values below the limit (M3)", references["theophylline_M3_lloq2"],
                         sets.theophylline(SHARED, "M3_lloq2"), KINETICS, FOUR),
        lambda: compared("Theophylline, proportional residual", references["theophylline_proportional_without_t0"],
                         sets.theophylline(SHARED, "proportional_without_t0"), KINETICS | {"sigma": "b"}, FOUR),
        lambda: compared("Orange trees", references["orange_trees"], sets.orange(SHARED), TREES, FOUR),
        lambda: published_objectives(sets, references["wang2007_fixed_parameters"]),
        lambda: compared("Virus load in 50 simulated patients", references["hiv_virload_full"], sets.virus(SHARED),
                         VIRUS | {"sigma": "a"}, ("saem", "focei", "laplace")),
        lambda: compared("Virus load with values below 20 copies/mL (M3)", references["hiv_virload_lloq20"],
                         sets.virus(SHARED, 20), VIRUS | {"sigma": "a"}, ("saem", "focei", "laplace")),
        lambda: compared("Virus load in ACTG 315 (measured)", references["actg315_days_0_84"], sets.actg(SHARED),
                         VIRUS | {"sigma": "a"}, ("saem", "laplace"), NOT_CONVERGED),
        lambda: response(sets, references, 1),
        lambda: response(sets, references, 2),
        lambda: beside_r(_of_tests("r_cases")),
    ]  # fmt: skip
    for section in sections:
        lines += section()
    PAGE.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
