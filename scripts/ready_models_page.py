"""Write docs/ready-models.md from the declarations; with ``--check`` say whether the page is current."""

from __future__ import annotations

import sys
from pathlib import Path

from livingdrug.exports.markdown import table as table_lines
from livingdrug.inference.ready import READY, SUBSETS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ready-models.md"
HEAD = """# Models ready to fit

**Not for clinical use.** Written by `scripts/ready_models_page.py`.

A model ready to fit is a structure, the parameters that are estimated, how patients differ in them, the scatter of the
measurements and first guesses, under one name: `livingdrug fit NAME data.csv`, or `ready("NAME")` in Python. Any part
can be changed in a [file](how-to/fit-a-model.md#the-specification). Values below the limit count by their chance (M3).

Three of them say why the cells become fewer, and can be fitted side by side: at a set day (`stein2019`), because they
exhaust themselves (`exhaustion_limited`), or because the patient's lymphocytes return (`lymphodepletion_limited`). The
last two, the lag, the rounded peak and the saturable expansion are hypotheses of this project, not published models.
"""


def page() -> str:
    """Return the text of the page."""
    lines = [HEAD]
    rows = [
        (f"[`{one.name}`](#{one.name})", one.about, one.measured, one.origin, ", ".join(f"`{o}`" for o in one.options))
        for one in READY.values()
    ]
    lines += [*table_lines(("name", "what it says", "what the data hold", "first guesses from", "options"), rows), ""]
    for one in READY.values():
        model = one.build()
        lines += [f"## {one.name}", "", one.about, ""]
        rows = [
            (f"`{name}`", f"{e.value:.4g}", f"{e.spread.kind}, {e.spread.sd:.3g}" if e.spread else "the same in all")
            for name, e in model.estimates.items()
            if not e.fixed
        ]
        lines += [*table_lines(("estimated parameter", "first guess", "how patients differ (sd)"), rows), ""]
        ends = [
            f"`{end.output}` with {end.residual.kind.replace('_', '-')} scatter "
            f"({', '.join(f'{n} {v:g}' for n, v in zip(end.residual.names, end.residual.start, strict=True))})"
            for end in model.ends
        ]
        lines += [f"Measured: {'; '.join(ends)}.", ""]
    subsets = [(f"`{name}`", ", ".join(f"`{p}`" for p in names)) for name, names in SUBSETS.items()]
    lines += [
        "Subsets of `kirouac2023`; all other parameters are held at those of one virtual patient (`patient`):",
        "",
    ]
    lines += [*table_lines(("subset", "estimated"), subsets), ""]
    return "\n".join(lines)


def main() -> None:
    """Write or check the page."""
    text = page()
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
            else f"{PAGE} is not current; run this script"
        )
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
