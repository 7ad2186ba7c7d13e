"""Write docs/ready-models.md from the declarations; with ``--check`` say whether the page is current."""

from __future__ import annotations

import sys
from pathlib import Path

from livingdrug.exports.markdown import table as table_lines
from livingdrug.inference.ready import LOSSES, READY, SUBSETS
from livingdrug.inference.statistical import StatisticalModel

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

SEEN = """## What fits of the two solved models showed

Data were simulated from each model at values beside the first guesses (a tenth to a half away), and fitted by
`livingdrug fit` as it stands (SAEM with 500 iterations, then 1000 importance samples per patient). Processor seconds
are of one run each, both cores together, on a machine that other work shared (22 and 23 November 2026). The last column
is the estimate farthest from what made the data, in its own standard errors, on the scale of logarithms.

| model | patients x samples | below the limit | processor seconds | verdict | farthest |
| --- | --- | --- | --- | --- | --- |
| `kirouac2023`, `expansion` | 40 x 12 | 24 % | 64 | converged | `exhaustion`, 2.0 |
| `kirouac2023`, `persistence` | 40 x 12 | 15 % | 136 | converged | `return_to_memory`, 2.3 |
| `kirouac2023`, `tumour` | 40 x 12 of cells and of tumour | 8 % | 61 | converged | `sd(exhaustion)`, 2.4 |
| `mueller_schoell2021` | 19 x 11 | 19 % | 5 | converged | `reference_expansion`, 1.3 |
| `mueller_schoell2021` | 60 x 11 | 20 % | 5 | converged | `sd(reference_expansion)`, 1.2 |
| `mueller_schoell2021`, phenotypes | 19 x 11 of each of four | 8 % | 21 | converged | `car_t_effector_blood:a`, 1.9 |

Of five more data sets of 19 patients with all cells of `mueller_schoell2021` in one number, four converged in 4 to 5
seconds each; in the fifth the likelihood has a ridge along `central_killing` and its spread, and SAEM said that it had
not converged, where `--method quadrature --nodes 25` did. These are single data sets, which show that a fit ends and
where; [a study of bias and of the cover of intervals](design-study.md) has a page of its own.

What such data do not tell:

- `kirouac2023`: of the two ways to lose expanded cells, the slower one (its expected standard error is 59 to 370 % at
  `CR1`), which is why it is held. In the subset `expansion` the spreads of `expansion` and `exhaustion` are known to
  45 % only, in `persistence` that of `exhaustion` to 52 %. Where the cells never rise above the limit, as in the
  non-responders (`NR1` to `NR12`), next to nothing is told.
- `mueller_schoell2021` with all cells in one number: how one phenotype becomes the next, and the death of effectors
  (with 60 patients the standard error of its spread was four times the spread). `half_expansion_car_t` is held there:
  free, it goes with `reference_expansion`, and with 19 patients the information matrix was not positive definite. (Both
  were seen before the killing of its phenotypes was tied, decision 0029.)
- With phenotypes and few patients, importance samples know the standard error of `half_expansion_car_t` badly (0.25
  beside 0.14 by quadrature with 25 nodes, on the scale of logarithms). `--method quadrature` ended there in 4
  processor seconds, with 0.14.
- Held values are taken for known. Here they were those that made the data; with patients they are not, and the
  standard errors do not say so. A fit with other held values (`patient`, or numbers in a file) shows how much hangs on
  them.
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
        lines += [f"## {one.name}", "", one.about, "", *_model(one.build())]
        if "phenotypes" in one.options:
            lines += ["With `phenotypes` instead:", "", *_model(one.build(phenotypes=True))]
    subsets = [(f"`{name}`", ", ".join(f"`{p}`" for p in names)) for name, names in SUBSETS.items()]
    lines += [
        f"Subsets of `kirouac2023`. Beside them {' or '.join(f'`{name}`' for name in LOSSES)} is estimated, whichever "
        "is the faster in the virtual patient (`patient`) at whose values all other parameters are held:",
        "",
    ]
    lines += [*table_lines(("subset", "estimated"), subsets), "", SEEN]
    return "\n".join(lines)


def _model(model: StatisticalModel) -> list[str]:
    """What is estimated and measured."""
    rows = [
        (f"`{name}`", f"{e.value:.4g}", f"{e.spread.kind}, {e.spread.sd:.3g}" if e.spread else "the same in all")
        for name, e in model.estimates.items()
        if not e.fixed
    ]
    ends = [
        f"`{end.output}` with {end.residual.kind.replace('_', '-')} scatter "
        f"({', '.join(f'{n} {v:g}' for n, v in zip(end.residual.names, end.residual.start, strict=True))})"
        for end in model.ends
    ]
    table = table_lines(("estimated parameter", "first guess", "how patients differ (sd)"), rows)
    return [*table, "", f"Measured: {'; '.join(ends)}.", ""]


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
