"""Write the generated part of docs/body.md and its two pictures.

The blocks, their equations and the tables of parameters come from the declarations; the table of limits is computed.
Run ``python scripts/body_page.py``; with ``--check`` it says whether the page is current.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
import vl_convert

from livingdrug.body.diseases import PATIENTS, DefaultPatient
from livingdrug.body.late_effects import LIMITS
from livingdrug.body.limits import as_kimmel2021, as_kirouac2023
from livingdrug.body.treatment import cells, lymphodepletion, steroid, tocilizumab
from livingdrug.body.twin import TwinBody
from livingdrug.engine.solve import solve
from livingdrug.exports.markdown import state_rows, table
from livingdrug.library import load_model
from livingdrug.model.description import formula_text, number_text
from livingdrug.model.symbols import Parameter
from livingdrug.sources import cite

ROOT = Path(__file__).resolve().parents[1]
PAGE, IMAGES = ROOT / "docs" / "body.md", ROOT / "docs" / "images"
BEGIN, END = "<!-- body: written by scripts/body_page.py -->", "<!-- end of body -->"
DAYS = np.arange(-6.0, 91.0, 0.25)
# Parameter: what it moves (tested in tests/body/test_cohorts.py).
LEVERS = {
    "expansion_capacity": "the peak of CAR T cells, hardly its day",
    "fitness": "how fast they multiply: the peak and its day",
    "activation_lag": "when expansion and fever begin; for a product",
    "exhaustion": "how soon effectors are worn; early failures",
    "antigen_density": "how long antigen drives expansion",
    "resistance": "how many effectors killing needs; primary failures",
    "negative_share": "relapses without the antigen",
    "mutation": "new cells without it, while that clone exists",
    "cytokine_gain": "all cytokines, so the severity of their release",
    "endothelial_sensitivity": "pressure, oxygen, oedema",
    "brain_sensitivity": "neurotoxicity",
    "marrow_sensitivity": "depth and length of low counts",
}
BLOOD_CANCERS = [name for name in PATIENTS if name != "solid"]

# Boxes of the diagram: text, column, row, kind.
BOXES = {
    "dose": ("infused cells", 0, 0, "drug"), "depletion": ("lymphodepletion", 0, 2, "drug"),
    "blood": ("CAR T cells in blood:\nmemory, effector, exhausted", 1, 0, "cell"),
    "host": ("host T cells,\ninterleukin 7", 1, 1, "cell"), "marrow": ("marrow, blood counts", 1, 2, "organ"),
    "site": ("CAR T cells\nwithin the tumour", 2, 0, "cell"),
    "tumour": ("tumour with antigen\nand without", 3, 0, "tumour"),
    "b": ("B cells, plasma cells,\nantibodies", 0, 1, "cell"),
    "cytokines": ("interferon gamma,\nGM-CSF, interleukin 10", 2, 1, "signal"),
    "macrophages": ("macrophages,\ninterleukin 6", 2, 2, "signal"), "liver": ("CRP, ferritin", 3, 2, "organ"),
    "vessels": ("vessels", 2, 3, "organ"), "brain": ("brain barrier, injury", 3, 3, "organ"),
    "drugs": ("tocilizumab, steroids,\nanakinra", 1, 3, "drug"), "signs": ("vital signs and\nlaboratory", 2, 4, "sign"),
}  # fmt: skip
ARROWS = (
    ("dose", "blood", ""), ("depletion", "host", "kill"), ("depletion", "marrow", ""), ("host", "blood", "room"),
    ("blood", "site", "enter"), ("site", "tumour", "kill"), ("site", "cytokines", ""), ("blood", "cytokines", ""),
    ("blood", "b", "kill"), ("cytokines", "macrophages", "alarm"), ("macrophages", "liver", ""),
    ("macrophages", "vessels", ""), ("vessels", "brain", "open"), ("drugs", "vessels", ""),
    ("drugs", "macrophages", "calm"), ("cytokines", "marrow", "hold back"), ("vessels", "signs", ""),
)  # fmt: skip
FILLS = {
    "cell": "#cfe3f5", "tumour": "#f6d5c3", "signal": "#e9dcf2",
    "organ": "#dcead7", "drug": "#f3ecc8", "sign": "#e6e9ec",
}  # fmt: skip
WIDTH, HEIGHT, STEP_X, STEP_Y = 168, 46, 205, 88


def diagram() -> str:
    """Return the block diagram as SVG."""
    width, height = 3 * STEP_X + WIDTH + 20, 4 * STEP_Y + HEIGHT + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="Arial, Helvetica, '
        'sans-serif" font-size="12" role="img">',
        "<title>Blocks of the body</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 8 4 0 8Z" fill="#445"/></marker></defs>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for start, end, word in ARROWS:
        (x1, y1), (x2, y2) = _ends(start, end)
        lines.append(f'<path d="M{x1} {y1}L{x2} {y2}" stroke="#445" fill="none" marker-end="url(#tip)"/>')
        if word:
            x, y = (x1 + x2) / 2, (y1 + y2) / 2
            anchor = 'text-anchor="middle"' if y1 == y2 else 'dx="6"'
            lines.append(f'<text x="{x:g}" y="{y - 5:g}" {anchor} font-size="11" fill="#445">{word}</text>')
    lines += [_box(name) for name in BOXES]
    return "\n".join([*lines, "</svg>", ""])


def _corner(name: str) -> tuple[int, int]:
    _, column, row, _ = BOXES[name]
    return 10 + column * STEP_X, 10 + row * STEP_Y


def _ends(start: str, end: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves one box and meets the other: at the sides that face each other."""
    (x1, y1), (x2, y2) = _corner(start), _corner(end)
    if x1 == x2:
        down = y2 > y1
        x = x1 + WIDTH / 2
        return (x, y1 + HEIGHT if down else y1), (x, y2 if down else y2 + HEIGHT)
    right = x2 > x1
    leave, meet = (x1 + WIDTH if right else x1), (x2 if right else x2 + WIDTH)
    return (leave, y1 + HEIGHT / 2), (meet, y2 + HEIGHT / 2)


def _box(name: str) -> str:
    text, _, _, kind = BOXES[name]
    x, y = _corner(name)
    rows = text.split("\n")
    first = y + HEIGHT / 2 + 4 - 7.5 * (len(rows) - 1)
    words = "".join(
        f'<text x="{x + WIDTH / 2:g}" y="{first + 15 * k:g}" text-anchor="middle" fill="#1d2730">{row}</text>'
        for k, row in enumerate(rows)
    )
    return f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="7" fill="{FILLS[kind]}" stroke="#778"/>{words}'


def follow(patient: DefaultPatient, days: Any = DAYS, more: Any = (), dose: float | None = None) -> Any:
    """Return the course of a default patient without chance."""
    given = [*lymphodepletion(patient.lymphodepletion), *cells(patient.dose_cells if dose is None else dose), *more]
    names = [*TwinBody.states, *TwinBody.outputs]
    return solve(TwinBody, patient.values(), days, doses=given, outputs=names, stochastic=False)


def courses() -> alt.VConcatChart:
    """Return four panels with the courses of the default patients."""
    panels = {
        "car_t_blood": "CAR T cells per µL of blood", "tumour_cells": "tumour cells",
        "il6": "interleukin 6, pg/mL", "neutrophils": "neutrophils per µL",
    }  # fmt: skip
    rows = []
    for name, patient in PATIENTS.items():
        found = follow(patient)
        for panel in panels:
            least = {"car_t_blood": 1e-2, "tumour_cells": 1.0, "il6": 1.0, "neutrophils": 1.0}[panel]
            values = np.maximum(found[panel][0], least)
            rows += [
                {"day": float(day), "value": float(f"{value:.4g}"), "patient": name, "panel": panel}
                for day, value in zip(DAYS[::3], values[::3], strict=True)
            ]
    table_ = pd.DataFrame(rows)
    charts = []
    for panel, title in panels.items():
        shown = table_[table_["panel"] == panel]
        y = alt.Y(
            "value:Q",
            title=title,
            scale=alt.Scale(type="log"),
            axis=alt.Axis(format=".0e" if panel == "tumour_cells" else "~g", tickCount=5),
        )
        x = alt.X("day:Q", title="day after the infusion", scale=alt.Scale(domain=[-6, 90]))
        colour = alt.Color("patient:N", title="default patient", scale=alt.Scale(scheme="dark2"))
        charts.append(alt.Chart(shown).mark_line().encode(x, y, colour).properties(width=330, height=170))
    return alt.vconcat(alt.hconcat(*charts[:2]), alt.hconcat(*charts[2:]))


def generated() -> str:
    """Return the generated part of the page."""
    parts = ["## The limits that hold", "", *limits(), "", "## One number each", "", *levers(), ""]
    parts += ["## Late harm and its limits", "", *late_limits(), "", "## Default patients", "", *patients(), ""]
    parts += [
        "## The blocks, one by one",
        "",
        f"{len(TwinBody.states)} states and {len(TwinBody.parameters)} parameters.",
        "",
    ]
    names = {formula: name for name, formula in TwinBody.definitions.items()}
    for block in TwinBody.blocks:
        parts += [f"### {block.__name__}", "", cleandoc(block.__doc__ or ""), ""]
        if block.equations and block is not TwinBody.blocks[0]:
            parts += ["```text", *equation_lines(block, names), "```", ""]
        if block is TwinBody.blocks[0]:
            parts += [*table(("state", "letter", "unit", "starts at", "meaning"), state_rows(TwinBody)), ""]
        parts += [*parameter_table([p for p in vars(block).values() if isinstance(p, Parameter)]), ""]
    own = [p for p in vars(TwinBody).values() if isinstance(p, Parameter)]
    parts += ["### Readouts", "", *parameter_table(own), "", "## Sources", ""]
    keys = sorted({*TwinBody.source_keys(), "santurio2025", "derippe2023", "hay2017"})
    parts += [f"- `{key}`: {cite(key)} *{cite(key).note}*" for key in keys]
    return "\n".join(parts)


def equation_lines(block: Any, names: dict[Any, str]) -> list[str]:
    """Return the equations of a block and the formulas that it names."""
    lines = [f"d {left.state.name}/dt = {formula_text(right, names)}" for left, right in block.equations.items()]
    own = [name for name, value in vars(block).items() if TwinBody.definitions.get(name) is value]
    for name in own:
        formula = TwinBody.definitions[name]
        lines.append(f"{name} = {formula_text(formula, {f: n for f, n in names.items() if f is not formula})}")
    return lines


def parameter_table(parameters: list[Parameter]) -> list[str]:
    """Return a table of parameters with their sources."""
    rows = []
    for p in parameters:
        spread = f"; {p.spread.kind} spread, sd {number_text(p.spread.sd)}" if p.spread else ""
        unit = "" if p.unit == "1" else p.unit
        rows.append((f"`{p.name}`", p.symbol or "", number_text(p.value), unit, p.meaning + spread, p.source))
    return table(("parameter", "letter", "value", "unit", "meaning", "source"), rows)


def levers() -> list[str]:
    """Return the table of the numbers in which products and patients differ, with their spreads."""
    rows = []
    for name, moves in LEVERS.items():
        p = TwinBody.parameters[name]
        spread = f"{p.spread.kind}, sd {number_text(p.spread.sd)}" if p.spread else "none"
        rows.append((f"`{name}`", number_text(p.value), moves, spread, p.source))
    return table(("parameter", "value", "what it moves", "spread between patients", "source"), rows)


def late_limits() -> list[str]:
    """Return the table of counts that are called low."""
    rows = [(f"`{name}`", f"{value:g} {unit}", source) for name, (value, unit, source) in LIMITS.items()]
    return table(("state", "low below", "source"), rows)


def patients() -> list[str]:
    """Return a table of the default patients and one of the numbers in which they differ from the body's own."""
    rows = [
        (f"`{name}`", p.disease, p.product, f"{p.dose_cells:.2g} ({p.dose_source})", p.lymphodepletion)
        for name, p in PATIENTS.items()
    ]
    lines = table(("patient", "disease", "product", "dose, cells", "lymphodepletion"), rows)
    stated = [
        (f"`{name}`", f"`{parameter}`", number_text(value), source)
        for name, p in PATIENTS.items()
        for parameter, (value, source) in p.stated.items()
    ]
    return [*lines, "", *table(("patient", "parameter", "value", "source"), stated)]


def limits() -> list[str]:
    """Return the table of the required limits, computed now."""
    rows = [
        ("follows kirouac2023, 36 sets: largest distance / peak", "< 1 %", f"{100 * kirouac():.2f} %"),
        ("follows kimmel2021, 2 sets: largest distance / peak", "< 1 %", f"{100 * kimmel():.2f} %"),
    ]
    plain = {name: follow(PATIENTS[name]) for name in BLOOD_CANCERS}
    short = max(
        1 - exposure(follow(PATIENTS[name], more=steroid(10.0, day=first, count=12))) / exposure(plain[name])
        for name in plain
        for first in (3.0, 5.0, 7.0)
    )
    long = [
        1 - exposure(follow(PATIENTS[n], more=steroid(10.0, day=1.0, count=56))) / exposure(plain[n]) for n in plain
    ]
    rows.append(("three days of steroid lower AUC0-28 by at most", "< 25 %", f"{100 * short:.0f} %"))
    rows.append(("fourteen days from day 1 lower it by at least", "lower", f"{100 * min(long):.0f} %"))
    blocked = follow(PATIENTS["lbcl_cd28"], more=tocilizumab(70.0, day=4.0))
    late = (DAYS > 4) & (DAYS < 14)
    change = [
        blocked[n][0, late].max() / plain["lbcl_cd28"][n][0, late].max() for n in ("il6", "il6_effect", "car_t_blood")
    ]
    rows.append(("tocilizumab on day 4: measured interleukin 6", "rises", f"x {change[0]:.1f}"))
    rows.append(("its effect", "falls", f"x {change[1]:.2f}"))
    rows.append(("peak of CAR T cells", "unchanged", f"x {change[2]:.3f}"))
    ratio = ten_times_the_dose()
    rows.append(("ten times the dose at 1e12 tumour cells: peak", "< x 2", f"x {ratio:.2f}"))
    return table(("limit", "required", "found"), rows)


def exposure(found: Any) -> float:
    """Return AUC from day 0 to 28."""
    inside = (DAYS >= 0) & (DAYS <= 28)
    return float(np.trapezoid(found["car_t_blood"][0, inside], DAYS[inside]))


def ten_times_the_dose() -> float:
    """Return the largest ratio of peaks over the default patients with blood cancers and much antigen."""
    found = []
    for name in BLOOD_CANCERS:
        patient = PATIENTS[name]
        much = DefaultPatient("", "", {**patient.stated, "tumour_at_start": (1e12, "")}, 0, "", patient.lymphodepletion)
        low, high = (follow(much, dose=dose)["car_t_blood"].max() for dose in (3e7, 3e8))
        found.append(high / low)
    return max(found)


def kirouac() -> float:
    """Return the largest distance from kirouac2023 over its sets, relative to the peak."""
    model, days = load_model("kirouac2023"), np.linspace(0, 365, 366)
    sets = list(model.parameter_sets.values())
    theirs = solve(model, {k: np.array([s[k] for s in sets]) for k in sets[0]}, days)["car_t_total"]
    ours = [as_kirouac2023(s) for s in sets]
    columns = {k: np.array([s[k] for s in ours]) for k in ours[0]}
    names = [*TwinBody.states, *TwinBody.outputs]
    options = {"outputs": names, "initial": {"antigen": 1e10}, "stochastic": False}
    found = solve(TwinBody, columns, days, doses=cells(1e8), **options)
    total = sum(found[n] for n in ("memory", "early", "expanded", "exhausted"))
    return float((np.abs(total - theirs).max(axis=1) / theirs.max(axis=1)).max())


def kimmel() -> float:
    """Return the largest distance from kimmel2021 over its sets, relative to the peak."""
    model, days, worst = load_model("kimmel2021"), np.linspace(0, 365, 366), 0.0
    for chosen in model.parameter_sets.values():
        values = {n: p.value for n, p in model.parameters.items()} | dict(chosen)
        theirs = solve(model, values, days, stochastic=False)["car_t_total"]
        names = [*TwinBody.states, *TwinBody.outputs]
        options = {"outputs": names, "initial": {"expanded": values["car_t_at_infusion"]}, "stochastic": False}
        found = solve(TwinBody, as_kimmel2021(values), days, doses=cells(0.0), **options)["expanded"]
        worst = max(worst, float(np.abs(found - theirs).max() / theirs.max()))
    return worst


def page() -> str:
    """Return the page with its generated part brought up to date."""
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{generated()}\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Write the page and its pictures, or with ``--check`` say whether the page is current."""
    text = page()
    if "--check" in arguments:
        stale = PAGE.read_text(encoding="utf-8") != text
        print("docs/body.md is not current; run python scripts/body_page.py" if stale else "docs/body.md is current")
        return int(stale)
    PAGE.write_text(text, encoding="utf-8")
    (IMAGES / "body.svg").write_text(diagram(), encoding="utf-8")
    drawing = vl_convert.vegalite_to_svg(courses().to_json())
    (IMAGES / "body-courses.svg").write_text(drawing, encoding="utf-8")
    print("wrote docs/body.md and its two pictures")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
