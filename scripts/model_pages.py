"""Write docs/models/<name>.md for every published model from its declaration; the pages are never written by hand.

Run ``python scripts/model_pages.py`` to write them and ``python scripts/model_pages.py --check`` to see whether they
are current.
"""

from __future__ import annotations

import sys
from inspect import cleandoc
from pathlib import Path

from livingdrug.library import load_model, model_names
from livingdrug.model import Model
from livingdrug.model.description import formula_text, number_text
from livingdrug.model.expressions import Expression, Number
from livingdrug.sources import cite

PAGES = Path(__file__).resolve().parents[1] / "docs" / "models"
MOST_SETS = 6


def pages() -> dict[str, str]:
    """Return the text of every page by file name."""
    models = [load_model(name) for name in model_names()]
    return {"index.md": index(models), **{f"{model.name}.md": page(model) for model in models}}


def index(models: list[type[Model]]) -> str:
    """Return the page that lists the models."""
    rows = [
        (
            f"[{m.name}]({m.name}.md)",
            m.summary(),
            str(len(m.states)),
            str(len(m.parameters)),
            str(len(m.parameter_sets)),
        )
        for m in models
    ]
    head = ("model", "what it describes", "states", "parameters", "parameter sets")
    return "\n".join(
        ["# Models", "", "Generated from the declarations. Not for clinical use.", "", *table(head, rows), ""]
    )


def page(model: type[Model]) -> str:
    """Return the page of one model."""
    parts = [f"# {model.name}", "", cleandoc(model.__doc__ or ""), "", f"Source: {cite(model.source)}", ""]
    parts += ["*Generated from the declaration. Not for clinical use.*", "", "## Equations", ""]
    parts += ["```math", model.to_latex().replace("align*", "aligned"), "```", ""]
    parts += ["## States", "", *table(("state", "letter", "unit", "starts at", "meaning"), state_rows(model)), ""]
    parts += [
        "## Parameters",
        "",
        *table(("parameter", "letter", "value", "unit", "meaning", "source"), parameter_rows(model)),
        "",
    ]
    parts += ["## Outputs", "", *table(("output", "unit", "meaning", "formula"), output_rows(model)), ""]
    if model.jumps:
        parts += ["## Jumps", "", *jump_lines(model), ""]
    if model.parameter_sets:
        parts += ["## Parameter sets", "", *set_lines(model), ""]
    parts += ["## Checks", "", *(f"- {line}" for line in model.checks), ""]
    parts += ["## Honest limits", "", *(f"- {line}" for line in model.limitations), ""]
    parts += ["## Sources", "", *(f"- `{key}`: {cite(key)} *{cite(key).note}*" for key in model.source_keys()), ""]
    return "\n".join(parts)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines]


def state_rows(model: type[Model]) -> list[tuple[str, ...]]:
    """Return one row per state."""
    rows = []
    for s in model.states.values():
        initial = (
            number_text(s.initial.value / s.factor) if isinstance(s.initial, Number) else f"`{formula_text(s.initial)}`"
        )
        rows.append((f"`{s.name}`", letter(s.symbol), s.unit, initial, s.meaning))
    return rows


def parameter_rows(model: type[Model]) -> list[tuple[str, ...]]:
    """Return one row per parameter."""
    rows = []
    for p in model.parameters.values():
        spread = f"; {p.spread.kind.replace('_', ' ')} spread, sd {number_text(p.spread.sd)}" if p.spread else ""
        source = p.source_place if p.source_key == model.source else f"{p.source_key}: {p.source_place}"
        unit = "" if p.unit == "1" else p.unit
        rows.append((f"`{p.name}`", letter(p.symbol), number_text(p.value), unit, p.meaning + spread, source))
    return rows


def output_rows(model: type[Model]) -> list[tuple[str, ...]]:
    """Return one row per output."""
    names: dict[Expression, str] = {formula: name for name, formula in model.definitions.items()}
    return [(f"`{n}`", o.unit, o.meaning, f"`{formula_text(o.expression, names)}`") for n, o in model.outputs.items()]


def jump_lines(model: type[Model]) -> list[str]:
    """Return one line per state that may die out."""
    names: dict[Expression, str] = {formula: name for name, formula in model.definitions.items()}
    return [
        f"`{j.state.name}` is counted one by one below {number_text(j.below / j.state.factor)} {j.state.unit} (and "
        "until "
        f"above {number_text(j.above / j.state.factor)}): births `{formula_text(j.birth, names)}`, deaths "
        f"`{formula_text(j.death, names)}` per day."
        for j in model.jumps
    ]


def set_lines(model: type[Model]) -> list[str]:
    """Return the names of the parameter sets, and their values where there are few."""
    sets = model.parameter_sets
    if len(sets) > MOST_SETS:
        return [f"{len(sets)} sets: {', '.join(f'`{name}`' for name in sets)}."]
    names = [n for n in model.parameters if any(n in values for values in sets.values())]
    rows = [
        (f"`{n}`", model.parameters[n].unit, *(number_text(v[n]) if n in v else "" for v in sets.values()))
        for n in names
    ]
    return table(("parameter", "unit", *sets), rows)


def letter(symbol: str | None) -> str:
    """Return the letter of the paper as code, or nothing."""
    return f"`{symbol}`" if symbol else ""


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` say which are not current."""
    stale = [
        n for n, text in pages().items() if not (PAGES / n).is_file() or (PAGES / n).read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        print("\n".join(f"docs/models/{name} is not current; run python scripts/model_pages.py" for name in stale))
        return 1 if stale else 0
    PAGES.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
    print(
        f"wrote {len(stale)} changed pages in "
        f"{PAGES.relative_to(Path.cwd()) if PAGES.is_relative_to(Path.cwd()) else PAGES}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
