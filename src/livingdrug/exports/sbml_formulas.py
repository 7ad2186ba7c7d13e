"""Formulas of an SBML file as ours: names are looked up, functions written out, conditions on time brought to one form.

A formula is read with a stack of its own, not by recursion, and all formulas of a file together may have a limited
number of nodes: functions that call functions could otherwise grow without bound.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import Any

import numpy as np

from livingdrug.errors import InputError
from livingdrug.model.expressions import (
    Expression,
    Number,
    absolute,
    evaluate,
    exp,
    log,
    maximum,
    minimum,
    sqrt,
    symbols_in,
    time,
    walk,
    where,
)

__all__ = ["Formula", "FormulaReader", "Value", "as_condition", "linear_in", "names_in", "number_of", "simple"]

MOST_NODES = 200_000

Value = Expression | bool
"""A formula, or a condition that is always true or false."""


@dataclass(frozen=True)
class Formula:
    """A formula of the file and where it stands, for messages."""

    tree: Any
    place: str


def names_in(tree: Any) -> list[str]:
    """Names of values and of functions in a formula of libSBML."""
    found: dict[str, None] = {}
    stack = [tree]
    while stack:
        node = stack.pop()
        if (node.isName() or node.isFunction()) and node.getName():
            found[node.getName()] = None
        stack.extend(node.getChild(k) for k in range(node.getNumChildren()))
    return list(found)


class FormulaReader:
    """Reads the formulas of one file.

    Args:
        libsbml: the imported package.
        functions: its function definitions by identifier.
        clock: time in the file's unit.
        days: turns a time in that unit into days.
    """

    def __init__(self, libsbml: Any, functions: Mapping[str, Any], clock: Expression, days: Callable[..., Any]) -> None:
        self._functions, self._clock, self._days = functions, clock, days
        self._nodes = 0
        self._operations = {getattr(libsbml, kind): build for kind, build in _OPERATIONS.items()}
        self._constants = {getattr(libsbml, kind): value for kind, value in _CONSTANTS.items()}
        self._time, self._call = libsbml.AST_NAME_TIME, libsbml.AST_FUNCTION
        self._avogadro = libsbml.AST_NAME_AVOGADRO
        self._piecewise = libsbml.AST_FUNCTION_PIECEWISE
        self._comparisons = {getattr(libsbml, kind): build for kind, build in _COMPARISONS.items()}
        self._formula_text = libsbml.formulaToL3String

    def read(self, formula: Formula, names: Mapping[str, Value]) -> Expression:
        """The formula as a number.

        Raises:
            InputError: for a name without a value, a function that the engine lacks, or too many nodes.
        """
        return as_number(self.read_value(formula, names))

    def read_value(self, formula: Formula, names: Mapping[str, Value]) -> Value:
        """The formula as a number or a condition."""
        done: list[Value] = []
        stack: list[tuple[Any, Mapping[str, Value], int]] = [(formula.tree, names, -1)]
        while stack:
            node, scope, count = stack.pop()
            if count < 0:
                self._visit(formula, node, scope, stack, done)
                continue
            operands = done[len(done) - count :]
            del done[len(done) - count :]
            if node.getType() == self._call:
                body, arguments = self._function(formula, node, count)
                stack.append((body, dict(zip(arguments, operands, strict=True)), -1))
            else:
                done.append(self._operation(formula, node, operands))
        return done[0]

    def _visit(
        self, formula: Formula, node: Any, scope: Mapping[str, Value], stack: list[Any], done: list[Value]
    ) -> None:
        self._nodes += 1
        if self._nodes > MOST_NODES:
            raise InputError(
                f"{formula.place}: the formulas of the file have more than {MOST_NODES} nodes, written out"
            )
        kind = node.getType()
        if kind == self._time:
            done.append(self._clock)
        elif kind == self._avogadro or node.isNumber():
            done.append(self._number(formula, node.getValue()))
        elif kind in self._constants:
            done.append(self._constants[kind])
        elif node.isName():
            done.append(self._named(formula, node.getName(), scope))
        else:
            count = node.getNumChildren()
            stack.append((node, scope, count))
            stack.extend((node.getChild(k), scope, -1) for k in reversed(range(count)))

    def _number(self, formula: Formula, value: float) -> Expression:
        if math.isnan(value):
            raise InputError(f"{formula.place}: a number in the formula is not a number (NaN)")
        return Number(value)

    def _named(self, formula: Formula, name: str, scope: Mapping[str, Value]) -> Value:
        if name not in scope:
            raise InputError(f"{formula.place}: {name!r} has no value that a formula can use")
        return scope[name]

    def _function(self, formula: Formula, node: Any, count: int) -> tuple[Any, list[str]]:
        definition = self._functions.get(node.getName())
        if definition is None or definition.getBody() is None:
            raise InputError(f"{formula.place}: the function {node.getName()!r} is not defined in the file")
        if definition.getNumArguments() != count:
            raise InputError(
                f"{formula.place}: the function {node.getName()!r} takes {definition.getNumArguments()} arguments, "
                f"got {count}"
            )
        return definition.getBody(), [definition.getArgument(k).getName() for k in range(count)]

    def _operation(self, formula: Formula, node: Any, operands: list[Value]) -> Value:
        kind = node.getType()
        if kind in self._comparisons:
            return self._compared(formula, self._comparisons[kind], [as_number(o) for o in operands])
        if kind == self._piecewise:
            return _pieces(formula, operands)
        if kind not in self._operations:
            shown = node.getName() or self._formula_text(node)[:60]
            raise InputError(f"{formula.place}: {shown!r} is not among the functions that the engine knows")
        try:
            return self._operations[kind](operands)
        except IndexError:
            shown = node.getName() or self._formula_text(node)[:60]
            raise InputError(f"{formula.place}: {shown!r} lacks an operand") from None

    def _compared(
        self, formula: Formula, build: Callable[[Expression, Expression], Value], sides: list[Expression]
    ) -> Value:
        """A comparison of two or more numbers in turn."""
        if len(sides) < 2:
            return True
        return _both([self._pair(formula, build, a, b) for a, b in pairwise(sides)])

    def _pair(
        self, formula: Formula, build: Callable[[Expression, Expression], Value], a: Expression, b: Expression
    ) -> Value:
        """A comparison of two numbers."""
        found = _of_choice(build, a, b)
        return build(*self._with_time_alone(formula, a, b)) if found is None else found

    def _with_time_alone(self, formula: Formula, a: Expression, b: Expression) -> tuple[Expression, Expression]:
        """Both sides of a comparison, so that time stands alone on one side if no state takes part."""
        symbols = [*symbols_in(a), *symbols_in(b)]
        if time not in symbols or any(s.kind == "state" for s in symbols):
            return a, b
        if self._clock is time and time in (a, b) and (a is time) + (b is time) + _uses_time(a) + _uses_time(b) == 2:
            return a, b  # already so, and nothing is to be rounded
        found = linear_in(a - b, self._clock)
        if found is None or found[0] == 0:
            raise InputError(
                f"{formula.place}: the condition compares time in a way that the solver cannot turn into a time at "
                "which to stop; write it as time < ..."
            )
        slope, rest = found
        limit = simple(-rest if slope == 1 else rest if slope == -1 else rest / -slope)
        limit = self._days(limit)
        return (time, limit) if slope > 0 else (limit, time)


def _uses_time(side: Expression) -> bool:
    return time in symbols_in(side)


def number_of(formula: Expression) -> float | None:
    """Value of a formula without symbols; None if it has some."""
    if symbols_in(formula):
        return None
    with np.errstate(all="ignore"):
        return float(evaluate(formula, {}))


def simple(formula: Expression) -> Expression:
    """The formula, or the number that it stands for."""
    value = number_of(formula)
    return formula if value is None or math.isnan(value) else Number(value)


def linear_in(formula: Expression, symbol: Expression) -> tuple[float, Expression] | None:
    """Slope and rest of a formula that is ``slope * symbol + rest``; None if it is not, or the slope is no number."""
    parts: dict[int, tuple[float, Expression] | None] = {}
    for node in _walk_above(formula, symbol):
        if node is symbol:
            parts[id(node)] = (1.0, Number(0.0))
        elif not any(id(o) in parts for o in node.operands):
            continue  # symbol does not occur in it
        else:
            pairs = [parts.get(id(o), (0.0, o)) for o in node.operands]
            known = [p for p in pairs if p is not None]
            parts[id(node)] = _combine_linear(node.operation, known) if len(known) == len(pairs) else None
    return parts.get(id(formula), (0.0, formula))


def _walk_above(formula: Expression, symbol: Expression) -> Iterator[Expression]:
    """Nodes of a formula, operands first, without those below ``symbol``."""
    below = {id(node) for node in walk(symbol)} - {id(symbol)}
    return (node for node in walk(formula) if id(node) not in below)


def _combine_linear(operation: str, pairs: list[tuple[float, Expression]]) -> tuple[float, Expression] | None:
    if operation == "neg":
        ((slope, rest),) = pairs
        return -slope, simple(-rest)
    if operation in ("add", "sub"):
        (a, x), (b, y) = pairs
        return (a + b, _sum(x, y)) if operation == "add" else (a - b, _sum(x, -y))
    if operation not in ("mul", "div"):
        return None
    (a, x), (b, y) = pairs
    if operation == "mul" and b != 0:
        (a, x), (b, y) = (b, y), (a, x)
    factor = number_of(y)
    if b != 0 or not factor:
        return None
    return (a * factor, simple(x * y)) if operation == "mul" else (a / factor, simple(x / y))


def _sum(x: Expression, y: Expression) -> Expression:
    if number_of(x) == 0:
        return simple(y)
    return x if number_of(y) == 0 else simple(x + y)


def as_number(value: Value) -> Expression:
    """A condition used as a number is 1 or 0, as in SBML."""
    if isinstance(value, bool):
        return Number(float(value))
    return where(value, 1, 0) if value.is_condition else value


def as_condition(value: Value) -> Value:
    """A number used as a condition is true unless it is 0."""
    if isinstance(value, bool) or value.is_condition:
        return value
    known = number_of(value)
    if known is not None:
        return known != 0
    found = _of_choice(_unequal, value, Number(0.0))
    return (value < 0) | (value > 0) if found is None else found


def _of_choice(build: Callable[[Expression, Expression], Value], a: Expression, b: Expression) -> Value | None:
    """What the comparison of a switch (numbers by conditions) with a number says of its conditions; None for others.

    A file may hold a switch such as ``on := piecewise(1, time >= 3, 0)`` and ask elsewhere whether ``on == 1``.
    """
    switch, other = (a, b) if a.operation == "where" else (b, a)
    if switch.operation != "where" or not isinstance(other, Number):
        return None
    found: dict[int, Value] = {}
    for node in walk(switch):  # operands first, each once: switches may be nested deeply and share parts
        if isinstance(node, Number):
            found[id(node)] = build(node, other) if switch is a else build(other, node)
        elif node.operation == "where" and all(id(side) in found for side in node.operands[1:]):
            condition, yes, no = node.operands[0], *(found[id(side)] for side in node.operands[1:])
            found[id(node)] = yes if yes is no else _either([_both([condition, yes]), _both([_not(condition), no])])
    return found.get(id(switch))


def _pieces(formula: Formula, operands: list[Value]) -> Value:
    if len(operands) % 2 == 0:
        raise InputError(f"{formula.place}: a piecewise formula without <otherwise> has no value elsewhere; add one")
    found: Value = operands[-1]
    for k in reversed(range(0, len(operands) - 1, 2)):
        condition = as_condition(operands[k + 1])
        if isinstance(condition, bool):
            found = operands[k] if condition else found
        else:
            found = where(condition, as_number(operands[k]), as_number(found))
    return found


def _both(conditions: list[Value]) -> Value:
    """Whether all conditions hold."""
    known = [as_condition(c) for c in conditions]
    if any(c is False for c in known):
        return False
    undecided = [c for c in known if isinstance(c, Expression)]
    return reduce(lambda a, b: a & b, undecided) if undecided else True


def _either(conditions: list[Value]) -> Value:
    """Whether one condition holds."""
    known = [as_condition(c) for c in conditions]
    if any(c is True for c in known):
        return True
    undecided = [c for c in known if isinstance(c, Expression)]
    return reduce(lambda a, b: a | b, undecided) if undecided else False


def _not(condition: Value) -> Value:
    condition = as_condition(condition)
    return not condition if isinstance(condition, bool) else ~condition


def _xor(conditions: list[Value]) -> Value:
    return reduce(lambda a, b: _either([_both([a, _not(b)]), _both([_not(a), b])]), conditions, False)


def _less(a: Expression, b: Expression) -> Value:
    x, y = number_of(a), number_of(b)
    return x < y if x is not None and y is not None else a < b


def _at_most(a: Expression, b: Expression) -> Value:
    x, y = number_of(a), number_of(b)
    return x <= y if x is not None and y is not None else a <= b


def _equal(a: Expression, b: Expression) -> Value:
    return _both([_at_most(a, b), _at_most(b, a)])


def _unequal(a: Expression, b: Expression) -> Value:
    return _not(_equal(a, b))


def _chain(build: Callable[[Any, Any], Expression], empty: float) -> Callable[[list[Value]], Expression]:
    """A sum, product, minimum or maximum of any number of operands."""
    return lambda operands: reduce(build, map(as_number, operands)) if operands else Number(empty)


def _one(build: Callable[[Any], Expression]) -> Callable[[list[Value]], Expression]:
    return lambda operands: build(as_number(operands[0]))


def _minus(operands: list[Value]) -> Expression:
    first = as_number(operands[0])
    if len(operands) == 2:
        return first - as_number(operands[1])
    return Number(-first.value) if isinstance(first, Number) else -first


def _root(operands: list[Value]) -> Expression:
    """A root: SBML gives its degree first, 2 if there is one operand."""
    degree = as_number(operands[0]) if len(operands) == 2 else Number(2.0)
    base = as_number(operands[-1])
    return sqrt(base) if number_of(degree) == 2 else base ** simple(1 / degree)


def _logarithm(operands: list[Value]) -> Expression:
    """A logarithm: SBML gives its base first, 10 if there is one operand."""
    base = as_number(operands[0]) if len(operands) == 2 else Number(10.0)
    return log(as_number(operands[-1])) / simple(log(base))


def _tanh(x: Expression) -> Expression:
    return 1 - 2 / (exp(2 * x) + 1)


_CONSTANTS: dict[str, Value] = {
    "AST_CONSTANT_E": Number(math.e),
    "AST_CONSTANT_PI": Number(math.pi),
    "AST_CONSTANT_TRUE": True,
    "AST_CONSTANT_FALSE": False,
}
_COMPARISONS: dict[str, Callable[[Expression, Expression], Value]] = {
    "AST_RELATIONAL_LT": _less,
    "AST_RELATIONAL_LEQ": _at_most,
    "AST_RELATIONAL_GT": lambda a, b: _less(b, a),
    "AST_RELATIONAL_GEQ": lambda a, b: _at_most(b, a),
    "AST_RELATIONAL_EQ": _equal,
    "AST_RELATIONAL_NEQ": _unequal,
}
_OPERATIONS: dict[str, Callable[[list[Value]], Value]] = {
    "AST_PLUS": _chain(lambda a, b: a + b, 0.0),
    "AST_TIMES": _chain(lambda a, b: a * b, 1.0),
    "AST_MINUS": _minus,
    "AST_DIVIDE": lambda o: as_number(o[0]) / as_number(o[1]),
    "AST_POWER": lambda o: as_number(o[0]) ** as_number(o[1]),
    "AST_FUNCTION_POWER": lambda o: as_number(o[0]) ** as_number(o[1]),
    "AST_FUNCTION_EXP": _one(exp),
    "AST_FUNCTION_LN": _one(log),
    "AST_FUNCTION_LOG": _logarithm,
    "AST_FUNCTION_ROOT": _root,
    "AST_FUNCTION_ABS": _one(absolute),
    "AST_FUNCTION_MIN": _chain(minimum, math.inf),
    "AST_FUNCTION_MAX": _chain(maximum, -math.inf),
    "AST_FUNCTION_SINH": _one(lambda x: (exp(x) - exp(-x)) / 2),
    "AST_FUNCTION_COSH": _one(lambda x: (exp(x) + exp(-x)) / 2),
    "AST_FUNCTION_TANH": _one(_tanh),
    "AST_LOGICAL_AND": _both,
    "AST_LOGICAL_OR": _either,
    "AST_LOGICAL_NOT": lambda o: _not(o[0]),
    "AST_LOGICAL_XOR": _xor,
    "AST_LOGICAL_IMPLIES": lambda o: _either([_not(o[0]), o[1]]),
}
