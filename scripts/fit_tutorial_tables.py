"""Write the tables of docs/how-to/fit-a-model.md: fits of its data by several methods and models, beside the truth.

Run ``python scripts/fit_tutorial_tables.py`` (a few minutes); fits are those of ``livingdrug fit`` with its defaults.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from fit_tutorial_data import FILE, SCATTER, SPREADS

from livingdrug.exports.markdown import table
from livingdrug.inference.data import EventData, read_data
from livingdrug.inference.estimation import fit
from livingdrug.inference.ready import ready
from livingdrug.inference.ready_spec import read_specification, statistical_model
from livingdrug.inference.statistical import StatisticalModel
from livingdrug.library.stein2019 import Stein2019

PAGE = FILE.parents[1] / "fit-a-model.md"
END = "<!-- end -->"
BLQ = {
    "M3": "M3, by their chance", "M1": "M1, left out", "M5": "M5, half the limit",
    "M6": "M6, the first at half the limit, the others left out",
}  # fmt: skip
SHOWN = ("decline", "persistent_fraction", "sd(persistent_fraction)", "a")
HELD = {"stein2019_smooth", "saturable_expansion"}
"""Models in which the slow decline is held at its first guess."""
OTHERS = (*sorted(HELD, reverse=True), "lymphodepletion_limited", "exhaustion_limited")


def truth(name: str) -> float:
    """Return the value that made the data."""
    if name == "a":
        return SCATTER
    return SPREADS[name[3:-1]] if name.startswith("sd(") else Stein2019.parameters[name].value


def text(value: float) -> str:
    """Return a number with three digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.2g}" if abs(value) < 0.1 else f"{value:.3g}"


def verdict(result: Any) -> str:
    """Return what is added to the name of a fit that has not converged."""
    return "" if result.converged_ else " (NOT CONVERGED: last values)"


def tutorial_model() -> StatisticalModel:
    """Return stein2019 with the specification of the tutorial."""
    return statistical_model("stein2019", read_specification(FILE.with_suffix(".toml")))


def with_method(model: StatisticalModel, method: str) -> StatisticalModel:
    """Return the model with another method for values below the limit."""
    return replace(model, endpoints=tuple(replace(end, blq=method) for end in model.ends))


def other(name: str) -> StatisticalModel:
    """Return another model of the comparison."""
    model = ready(name)
    if name not in HELD:
        return model
    return replace(model, parameters={**model.parameters, "decline": model.estimates["decline"].value})


def answer(result: Any) -> list[str]:
    """Return the estimates beside the truth."""
    errors = result.standard_errors_ or {}
    head = "estimate" if result.converged_ else "last value (NOT CONVERGED)"
    found = result.estimates_
    rows = [
        (f"`{name}`", text(truth(name)), text(found[name]), text(errors[name]) if name in errors else "-")
        for name in (*Stein2019.parameters, "a")
        if name in found
    ]
    return table(("parameter", "truth", head, "standard error"), rows)


def methods(results: dict[str, Any]) -> list[str]:
    """Return the estimates by each method for values below the limit."""
    rows = [
        (BLQ[name] + verdict(result), *(text(result.estimates_[one]) for one in SHOWN))
        for name, result in results.items()
    ]
    rows.append(("M7, zero", "cannot be fitted: zero has no logarithm", "", "", ""))
    return table(("method", *(f"`{one}` (truth {text(truth(one))})" for one in SHOWN)), rows)


def models(results: dict[str, Any]) -> list[str]:
    """Return the criteria of the models, the best first."""
    rows = [
        (f"`{name}`" + (", the truth" if name == "stein2019" else "") + verdict(result), str(len(result.problem.free)),
         f"{result.aic_:.0f}", text(result.estimates_["a"]))
        for name, result in sorted(results.items(), key=lambda one: one[1].aic_)
    ]  # fmt: skip
    return table(("model", "parameters", "AIC", "scatter `a`"), rows)


def placed(page: str, name: str, lines: list[str]) -> str:
    """Return the page with a block written anew."""
    begin = f"<!-- {name}: written by scripts/fit_tutorial_tables.py -->"
    before, found, rest = page.partition(begin)
    if not found:
        sys.exit(f"{PAGE} has no line {begin}")
    return "\n".join([before + begin, *lines, END + rest.partition(END)[2]])


def main() -> None:
    """Fit and write."""
    data: EventData = read_data(FILE, covariates=())
    by_method = {name: fit(with_method(tutorial_model(), name), data) for name in BLQ}
    by_model = {"stein2019": by_method["M3"]} | {name: fit(other(name), data) for name in OTHERS}
    page = PAGE.read_text(encoding="utf-8")
    for name, lines in (
        ("answer", answer(by_method["M3"])), ("methods", methods(by_method)), ("models", models(by_model)),
    ):  # fmt: skip
        page = placed(page, name, lines)
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
