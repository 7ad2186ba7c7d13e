"""A model in words: formulas as text, the whole as plain text, equations as LaTeX."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from livingdrug.model.expressions import Expression, Number, Symbol, substitute, time, to_sympy, walk

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

__all__ = ["describe", "formula_text", "number_text", "to_latex"]

_INFIX = {"add": (" + ", 4), "sub": (" - ", 4), "mul": ("*", 5), "div": ("/", 5), "pow": ("**", 7)}
_INFIX |= {"lt": (" < ", 1), "le": (" <= ", 1), "and": (" & ", 3), "or": (" | ", 2)}  # as Python binds them
_CALLS = {"min": "minimum", "max": "maximum"}
_LONGEST = 2000
_GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta kappa lambda mu nu xi pi rho sigma tau phi chi psi omega".split()  # noqa: SIM905
)
_ATOM = 9


def formula_text(expression: Expression, names: Mapping[Expression, str] | None = None) -> str:
    """Return a formula as it would be written in Python.

    Args:
        expression: the formula.
        names: names for whole sub-formulas (found by identity), which are then not written out.

    Example:
        >>> from livingdrug.model.expressions import Symbol
        >>> x, k = Symbol("x", "state"), Symbol("k", "parameter")
        >>> formula_text(-k * (x + 1))
        '-k*(x + 1)'
    """
    done: dict[int, tuple[str, int]] = {}
    for node in walk(expression):
        named = None if names is None else names.get(node)
        text, rank = (named, _ATOM) if named is not None else _node_text(node, [done[id(o)] for o in node.operands])
        done[id(node)] = (text, rank) if len(text) <= _LONGEST else ("(...)", _ATOM)
    return done[id(expression)][0]


def _node_text(node: Expression, parts: list[tuple[str, int]]) -> tuple[str, int]:
    if isinstance(node, Number):
        return (number_text(node.value), _ATOM if node.value >= 0 else 6)
    if isinstance(node, Symbol):
        return (node.name or "(unnamed)", _ATOM)
    if node.operation == "neg":
        return ("-" + _wrapped(parts[0], 5), 5)
    if node.operation == "not":
        return ("~" + _wrapped(parts[0], 8), 8)
    if node.operation in _INFIX:
        sign, rank = _INFIX[node.operation]
        left = rank + 1 if node.operation in ("pow", "lt", "le") else rank
        right = rank if node.operation in ("add", "mul", "and", "or") else rank + 1
        return (_wrapped(parts[0], left) + sign + _wrapped(parts[1], right), rank)
    return (_CALLS.get(node.operation, node.operation) + "(" + ", ".join(text for text, _ in parts) + ")", _ATOM)


def _wrapped(part: tuple[str, int], rank: int) -> str:
    return part[0] if part[1] >= rank else f"({part[0]})"


def number_text(value: float) -> str:
    """Return a number in the shortest form that reads back as the same value."""
    if abs(value) < 1e6 and value == int(value):
        return "-0.0" if value == 0 and str(value)[0] == "-" else str(int(value))
    return f"{value:.6g}" if float(f"{value:.6g}") == value else repr(value)


def describe(model: type[Model]) -> str:
    """Return the model as plain text: states, parameters, equations, doses, jumps, outputs, sources."""
    names: dict[Expression, str] = {formula: name for name, formula in model.definitions.items()}
    parts = [f"{model.name}: {model.summary()}", _source_line(model), "", "States"]
    rows = [
        (s.name, s.symbol or "", s.unit, f"starts at {_value_text(s.initial, s.factor, s.unit, names)}", s.meaning)
        for s in model.states.values()
    ]
    parts += _columns(rows)
    parts += ["", "Parameters"]
    parts += _columns(
        [
            (p.name, p.symbol or "", number_text(p.value), p.unit, p.meaning, f"[{p.source}]")
            for p in model.parameters.values()
        ]
    )
    if model.definitions:
        parts += ["", "Definitions"]
        parts += [f"  {n} = {_definition_text(f, names)}" for n, f in model.definitions.items()]
    parts += ["", "Equations"]
    parts += [f"  ddt({s.name}) = {formula_text(rate, names)}" for s, rate in model.rates.items()]
    if model.events:
        parts += ["", "Doses and resets"]
        parts += [
            f"  {e.kind} of {e.target.name}: {_value_text(e.amount, e.target.factor, e.target.unit, names)}, "
            f"day {formula_text(e.at, names)}"
            for e in model.events
        ]
    if model.jumps:
        parts += ["", "Jumps"]
        parts += [
            f"  {j.state.name}, below {number_text(j.below / j.state.factor)} {j.state.unit} until above "
            f"{number_text(j.above / j.state.factor)}: births {formula_text(j.birth, names)}, "
            f"deaths {formula_text(j.death, names)} per day"
            for j in model.jumps
        ]
    parts += ["", "Outputs"]
    parts += _columns(
        [(n, o.unit, o.meaning, "= " + formula_text(o.expression, names)) for n, o in model.outputs.items()]
    )
    if model.parameter_sets:
        parts += ["", "Parameter sets", "  " + ", ".join(model.parameter_sets)]
    if model.limitations:
        parts += ["", "Limits of the model", *(f"  - {line}" for line in model.limitations)]
    return "\n".join([*parts, "", "Not for clinical use."])


def to_latex(model: type[Model]) -> str:
    """Return the equations as a LaTeX ``align*`` environment, with the letters of the paper."""
    import sympy

    letters: dict[Expression, Any] = {}
    spelled: dict[Any, str] = {}
    for item in [*model.states.values(), *model.parameters.values()]:
        letters[item] = sympy.Symbol(item.name, real=True)
        spelled[letters[item]] = _letter(item.symbol) if item.symbol else _word(item.name)
    letters[time] = sympy.Symbol("time", real=True)
    spelled[letters[time]] = "t"
    stand_ins: dict[Expression, Expression] = {}
    for name, formula in model.definitions.items():
        stand_ins[formula] = stand_in = Symbol(name, "definition")
        letters[stand_in] = sympy.Symbol("definition_" + name, real=True)
        spelled[letters[stand_in]] = _word(name)

    def latex(formula: Expression, but: Expression | None = None) -> str:
        replaced = substitute(formula, {f: s for f, s in stand_ins.items() if f is not but})
        return sympy.latex(to_sympy(replaced, letters), symbol_names=spelled)

    lines = [rf"\frac{{d {spelled[letters[s]]}}}{{dt}} &= {latex(rate)}" for s, rate in model.rates.items()]
    lines += [rf"{spelled[letters[stand_ins[f]]]} &= {latex(f, but=f)}" for f in model.definitions.values()]
    return "\\begin{align*}\n" + " \\\\\n".join(lines) + "\n\\end{align*}"


def _letter(symbol: str) -> str:
    r"""A letter of a paper in LaTeX: ``gamma_B`` becomes ``\gamma_{B}``; what holds a backslash is taken as it is."""
    if "\\" in symbol:
        return symbol
    head, _, index = symbol.partition("_")
    head = "\\" + head if head in _GREEK else head
    return f"{head}_{{{index}}}" if index else head


def _word(name: str) -> str:
    return r"\mathrm{" + name.replace("_", r"\_") + "}"


def _source_line(model: type[Model]) -> str:
    if not model.source:
        return "No source is given."
    from livingdrug.sources import cite

    return str(cite(model.source))


def _definition_text(formula: Expression, names: Mapping[Expression, str]) -> str:
    return formula_text(formula, {f: n for f, n in names.items() if f is not formula})


def _value_text(value: Expression, factor: float, unit: str, names: Mapping[Expression, str]) -> str:
    if isinstance(value, Number):
        return f"{number_text(value.value / factor)} {unit}" if unit != "1" else number_text(value.value)
    return formula_text(value, names)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max((len(r[i]) for r in rows), default=0) for i in range(len(rows[0]))] if rows else []
    return ["  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in rows]
