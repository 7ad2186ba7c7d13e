"""Write docs/models/<name>.md and the table of models in the README; these are never written by hand.

The pages come from the declarations and from docs/validation.json (see validation_page.py). Run
``python scripts/model_pages.py`` to write them with their figures, and ``python scripts/model_pages.py --check`` to see
whether they are current.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from livingdrug.engine.solve import solve
from livingdrug.exports.markdown import table, to_markdown
from livingdrug.library import load_model, model_names
from livingdrug.model import Model
from livingdrug.qualification.formats import number
from livingdrug.qualification.target import NEEDS_DATA, NOT_REPRODUCIBLE, PASS
from livingdrug.reports.curves import write_course

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "models"
BEGIN, END = "<!-- models: written by scripts/model_pages.py -->", "<!-- end of models -->"
POINTS = 401
MOST_CURVES = 4


def pages() -> dict[Path, str]:
    """Return the text of every generated page by its path."""
    checked = json.loads((ROOT / "docs" / "validation.json").read_text(encoding="utf-8"))["models"]
    models = [load_model(name) for name in model_names()]
    found = {PAGES / f"{m.name}.md": page(m, checked[m.name]) for m in models}
    found[PAGES / "index.md"] = index(models, checked)
    found[ROOT / "README.md"] = readme(models, checked)
    return found


def page(model: type[Model], checked: dict[str, Any]) -> str:
    """Return the page of one model: its declaration, a figure, and what of its paper is reproduced."""
    text = to_markdown(model)
    figure = [
        "## Figure",
        "",
        f"![Course of {model.name} with its default values]({model.name}.svg)",
        "",
        f"*The model with its default values over {model.follow_up:g} days, without chance. Not for clinical use.*",
        "",
    ]
    rows = [
        (
            r["quantity"] + ("" if r["unit"] == "1" else f" [{r['unit']}]"),
            _value(r["paper"]),
            _value(r["recomputed"]),
            "" if r["ours"] is None else number(r["ours"]),
            r["status"] + (f" ({r['note']})" if r["note"] else ""),
        )
        for r in checked["results"]
    ]
    proof = [
        "## What is reproduced",
        "",
        "Computed by `livingdrug qualify`; tolerances and sources on the page [Validation](../validation.md).",
        "",
        *table(("quantity", "paper", "independent", "ours", "verdict"), rows),
        "",
    ]
    text = text.replace("## States\n", "\n".join(figure) + "\n## States\n", 1)
    return text.replace("## Honest limits\n", "\n".join(proof) + "\n## Honest limits\n", 1)


def index(models: list[type[Model]], checked: dict[str, Any]) -> str:
    """Return the page that lists the models."""
    rows = [
        (
            f"[{m.name}]({m.name}.md)",
            m.summary(),
            ", ".join(m.diseases),
            ", ".join(m.antigens),
            m.system,
            str(len(m.states)),
            str(len(m.parameters)),
            str(len(m.parameter_sets) or ""),
            "yes" if m.has_cytokines() else "",
            "yes" if m.has_variability() else "",
            _status(checked[m.name]),
        )
        for m in models
    ]
    head = ("model", "what it describes", "disease", "antigen", "system", "states", "parameters", "sets")
    return "\n".join(
        [
            "# Models",
            "",
            "Generated from the declarations. Not for clinical use.",
            "",
            "The last column counts the numbers of the paper, or of an independent implementation, that are met; "
            "[Validation](../validation.md) shows each. [Models that are not here, and why](../models-not-coded.md).",
            "",
            *table((*head, "cytokines", "variability", "proof"), rows),
            "",
        ]
    )


def readme(models: list[type[Model]], checked: dict[str, Any]) -> str:
    """Return the README with its table of models brought up to date."""
    rows = [
        (
            f"[{m.name}](docs/models/{m.name}.md)",
            "; ".join([", ".join(m.diseases), *([", ".join(m.antigens)] if m.antigens else []), m.system]),
            _status(checked[m.name]),
        )
        for m in models
    ]
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = "\n".join(table(("model", "for", "proof"), rows))
    return f"{before}{BEGIN}\n{lines}\n{END}{after}"


def draw(model: type[Model]) -> None:
    """Write the figure of a model: its first outputs over the days that the paper shows."""
    names = list(model.outputs)[:MOST_CURVES]
    times = np.linspace(0, model.follow_up, POINTS)
    solution = solve(model, {}, times, outputs=names, stochastic=False)
    course = pd.DataFrame(solution.values[0], columns=names)
    course.insert(0, "day", times)
    units = dict(zip(names, solution.units, strict=True))
    write_course(course, units, model.name, PAGES / f"{model.name}.svg")


def _status(checked: dict[str, Any]) -> str:
    counts = Counter(r["status"] for r in checked["results"])
    rest = [(counts[NOT_REPRODUCIBLE], "not reproducible in source"), (counts[NEEDS_DATA], "without data")]
    failed = sum(counts.values()) - counts[PASS] - sum(n for n, _ in rest)
    words = [f"{counts[PASS]} met", *(f"{n} {word}" for n, word in [(failed, "failed"), *rest] if n)]
    return ", ".join(words)


def _value(expected: dict[str, Any] | None) -> str:
    return "" if expected is None else number(expected["value"])


def main(arguments: list[str]) -> int:
    """Write the pages and figures, or with ``--check`` say which pages are not current."""
    found = pages()
    stale = [p for p, text in found.items() if not p.is_file() or p.read_text(encoding="utf-8") != text]
    if "--check" in arguments:
        print("\n".join(f"{path.relative_to(ROOT)} is not current; run make docs" for path in stale))
        return 1 if stale else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for path, text in found.items():
        path.write_text(text, encoding="utf-8")
    for name in model_names():
        draw(load_model(name))
    print(f"wrote {len(stale)} changed pages and {len(model_names())} figures")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
