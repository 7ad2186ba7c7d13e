"""A model as a LaTeX document that stands alone: equations, and tables with unit, value and source."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from typing import TYPE_CHECKING

from livingdrug.exports.markdown import Row, event_lines, jump_lines, output_rows, parameter_rows, state_rows
from livingdrug.exports.sheet import chosen_values

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["to_latex"]

_HEAD = r"""\documentclass[a4paper,10pt,landscape]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[margin=15mm]{geometry}
\usepackage{amsmath,longtable,array}
\allowdisplaybreaks
\setlength{\parindent}{0pt}
\begin{document}
"""
_SPECIAL = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


def to_latex(model: type[Model], parameter_set: str | None = None, values: Mapping[str, float] | None = None) -> str:
    r"""Return a document with the equations in the letters of the paper, and tables of all quantities in them.

    Raises:
        InputError: for an unknown set or parameter, or a value outside its limits.

    Example:
        >>> from livingdrug.library import load_model
        >>> to_latex(load_model("stein2019")).splitlines()[-1]
        '\\end{document}'
    """
    from livingdrug.sources import cite

    chosen = chosen_values(model, parameter_set, values)
    parts = [_HEAD, rf"\section*{{{escaped(model.name)}}}", escaped(cleandoc(model.__doc__ or "")), ""]
    parts += [f"Source: {escaped(str(cite(model.source)))}", ""] if model.source else []
    parts += [f"Values of the parameter set {escaped(parameter_set)}.", ""] if parameter_set else []
    parts += [r"\textbf{Not for clinical use.}", "", r"\subsection*{Equations}", model.to_latex(), ""]
    parts += _table(
        "States", ("state", "letter", "unit", "starts at", "meaning"), state_rows(model), "p{4cm}lp{2.5cm}p{5cm}p{9cm}"
    )
    heading = ("parameter", "letter", "value", "unit", "meaning", "source")
    parts += _table("Parameters", heading, parameter_rows(model, chosen), "p{4cm}lp{2.5cm}p{2cm}p{8cm}p{5.5cm}")
    parts += _list("Doses and resets", [line.removeprefix("- ") for line in event_lines(model)])
    parts += _table(
        "Outputs", ("output", "unit", "meaning", "formula"), output_rows(model), "p{5cm}p{2.5cm}p{7cm}p{9cm}"
    )
    parts += _list("Jumps", jump_lines(model))
    parts += _list("Limits of the model", list(model.limitations))
    return "\n".join([*parts, r"\end{document}"]) + "\n"


def escaped(text: str) -> str:
    r"""Return text in which no character has a meaning to LaTeX.

    Example:
        >>> print(escaped("50 % of car_t"))
        50 \% of car\_t
    """
    return "".join(_SPECIAL.get(c, c) for c in text)


def _table(title: str, head: Row, rows: Sequence[Row], columns: str) -> list[str]:
    lines = [rf"\subsection*{{{title}}}", rf"\begin{{longtable}}{{{columns}}}", r"\hline"]
    lines += [" & ".join(head) + r" \\", r"\hline", r"\endhead"]
    lines += [" & ".join(escaped(cell.replace("`", "")) for cell in row) + r" \\" for row in rows]
    return [*lines, r"\hline", r"\end{longtable}", ""]


def _list(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return []
    items = [rf"\item {escaped(line.replace('`', ''))}" for line in lines]
    return [rf"\subsection*{{{title}}}", r"\begin{itemize}", *items, r"\end{itemize}", ""]
