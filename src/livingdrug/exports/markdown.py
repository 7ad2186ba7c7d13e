"""A model as a page of Markdown: equations, and tables of states, parameters, doses and outputs.

The pages of the documentation are made by the same functions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING

from livingdrug.exports.sheet import chosen_values
from livingdrug.model.description import formula_text, number_text
from livingdrug.model.expressions import Expression, Number

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["table", "to_markdown"]

MOST_SETS = 6

Row = tuple[str, ...]


def to_markdown(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> str:
    """Return a page with the equations, and tables with unit, value and source of everything in them.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> [line for line in to_markdown(load_model("stein2019")).splitlines() if "`peak_day`" in line][0][:41]
        '| `peak_day` | `T_max` | 9.3 | day | day '
    """
    from livingdrug.sources import cite

    chosen = chosen_values(model, parameter_set, values)
    parts = [f"# {model.name}", "", cleandoc(model.__doc__ or ""), ""]
    parts += [f"Source: {cite(model.source)}", ""] if model.source else []
    parts += [f"*Values: {_whose_values(parameter_set, values)}*", ""] if parameter_set or values else []
    parts += ["*Generated from the declaration. Not for clinical use.*", "", "## Equations", ""]
    parts += ["```math", model.to_latex().replace("align*", "aligned"), "```", ""]
    parts += _section("States", table(("state", "letter", "unit", "starts at", "meaning"), state_rows(model)))
    heading = ("parameter", "letter", "value", "unit", "meaning", "source")
    parts += _section("Parameters", table(heading, parameter_rows(model, chosen)))
    parts += _section("Doses and resets", event_lines(model))
    parts += _section("Outputs", table(("output", "unit", "meaning", "formula"), output_rows(model)))
    parts += _section("Jumps", jump_lines(model))
    parts += _section("Parameter sets", set_lines(model))
    parts += _section("What the paper claims", [f"- {line}" for line in model.claims])
    parts += _section("Known errata", [f"- {line}" for line in model.errata])
    parts += _section("Honest limits", [f"- {line}" for line in model.limitations])
    parts += _section("Sources", [f"- `{key}`: {cite(key)} *{cite(key).note}*" for key in model.source_keys()])
    return "\n".join(parts)


def table(head: Row, rows: Sequence[Row]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [head, tuple("---" for _ in head), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def state_rows(model: type[Model]) -> list[Row]:
    """Return one row per state."""
    rows = []
    for s in model.states.values():
        initial = (
            number_text(s.initial.value / s.factor) if isinstance(s.initial, Number) else f"`{formula_text(s.initial)}`"
        )
        rows.append((f"`{s.name}`", _letter(s.symbol), s.unit, initial, s.meaning))
    return rows


def parameter_rows(model: type[Model], values: Mapping[str, float] | None = None) -> list[Row]:
    """Return one row per parameter; ``values`` in declared units, the declared ones if not given."""
    rows = []
    for p in model.parameters.values():
        value = p.value if values is None else values[p.name]
        spread = f"; {p.spread.kind.replace('_', ' ')} spread, sd {number_text(p.spread.sd)}" if p.spread else ""
        source = p.source_place if p.source_key == model.source else f"{p.source_key}: {p.source_place}"
        source = source if value == p.value else "given for this page"
        unit = "" if p.unit == "1" else p.unit
        rows.append((f"`{p.name}`", _letter(p.symbol), number_text(value), unit, p.meaning + spread, source))
    return rows


def output_rows(model: type[Model]) -> list[Row]:
    """Return one row per output."""
    names = _names(model)
    return [
        (f"`{n}`", o.unit, o.meaning or "", f"`{formula_text(o.expression, names)}`") for n, o in model.outputs.items()
    ]


def event_lines(model: type[Model]) -> list[str]:
    """Return one line per dose or reset that belongs to the model."""
    names, lines = _names(model), []
    for event in model.events:
        target = event.target
        plain = isinstance(event.amount, Number)
        amount = number_text(event.amount.value / target.factor) if plain else f"`{formula_text(event.amount, names)}`"
        unit = f" {target.unit}" if plain and target.unit != "1" else ""
        over = "" if event.duration is None else f", over `{formula_text(event.duration, names)}` days"
        what = f"`{target.name}` is set to" if event.kind == "set" else f"{event.kind} into `{target.name}` of"
        lines.append(f"- {what} {amount}{unit} on day `{formula_text(event.at, names)}`{over}")
    return lines


def jump_lines(model: type[Model]) -> list[str]:
    """Return one line per state that may die out."""
    names = _names(model)
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
    if not sets:
        return []
    if len(sets) > MOST_SETS:
        return [f"{len(sets)} sets: {', '.join(f'`{name}`' for name in sets)}."]
    names = [n for n in model.parameters if any(n in values for values in sets.values())]
    rows = [
        (f"`{n}`", model.parameters[n].unit, *(number_text(v[n]) if n in v else "" for v in sets.values()))
        for n in names
    ]
    return table(("parameter", "unit", *sets), rows)


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _whose_values(parameter_set: str | None, values: Mapping[str, float] | None) -> str:
    parts = [f"parameter set {parameter_set}"] if parameter_set else []
    parts += [f"{', '.join(values)} as given"] if values else []
    return "; ".join(parts) + "."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|")


def _letter(symbol: str | None) -> str:
    return f"`{symbol}`" if symbol else ""


def _names(model: type[Model]) -> dict[Expression, str]:
    return {formula: name for name, formula in model.definitions.items()}
