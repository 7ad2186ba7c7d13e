"""Formulas as values: a small tree with operators, so that a model reads like its paper.

A tree is plain data. Declaring a model therefore imports neither SymPy nor Pint, and a model whose kernel is already
compiled starts in milliseconds; SymPy prints the trees (``to_sympy``) and Pint checks their units.

Example:
    >>> from livingdrug.model.expressions import Symbol, exp
    >>> x, k = Symbol("x", "state"), Symbol("k", "parameter")
    >>> print(-k * x + exp(x) / 2)
    -k*x + exp(x)/2
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from livingdrug.errors import DeclarationError

Operand = "Expression | float | int"

# What each operation means on numbers or arrays; the same table defines which operations exist.
OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "pow": np.power,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": np.minimum,
    "max": np.maximum,
    "lt": np.less,
    "le": np.less_equal,
    "and": np.logical_and,
    "or": np.logical_or,
    "not": np.logical_not,
    "where": np.where,
}
CONDITIONS = frozenset({"lt", "le", "and", "or", "not"})


class Expression:
    """One node of a formula: an operation and its operands.

    Nodes are immutable and compared by identity, so that a state can be a dictionary key. A comparison of two
    expressions (``time < peak``) is itself an expression, to be used in :func:`where`.
    """

    __slots__ = ("operands", "operation")
    __array_ufunc__ = None  # let numpy scalars on the left hand over to our operators

    def __init__(self, operation: str, operands: tuple[Any, ...]) -> None:
        self.operation = operation
        self.operands = operands

    def __add__(self, other: Any) -> Expression:
        return _node("add", self, other)

    def __radd__(self, other: Any) -> Expression:
        return _node("add", other, self)

    def __sub__(self, other: Any) -> Expression:
        return _node("sub", self, other)

    def __rsub__(self, other: Any) -> Expression:
        return _node("sub", other, self)

    def __mul__(self, other: Any) -> Expression:
        return _node("mul", self, other)

    def __rmul__(self, other: Any) -> Expression:
        return _node("mul", other, self)

    def __truediv__(self, other: Any) -> Expression:
        return _node("div", self, other)

    def __rtruediv__(self, other: Any) -> Expression:
        return _node("div", other, self)

    def __pow__(self, other: Any) -> Expression:
        return _node("pow", self, other)

    def __rpow__(self, other: Any) -> Expression:
        return _node("pow", other, self)

    def __neg__(self) -> Expression:
        return _node("neg", self)

    def __lt__(self, other: Any) -> Expression:
        return _node("lt", self, other)

    def __le__(self, other: Any) -> Expression:
        return _node("le", self, other)

    def __gt__(self, other: Any) -> Expression:
        return _node("lt", other, self)

    def __ge__(self, other: Any) -> Expression:
        return _node("le", other, self)

    def __and__(self, other: Any) -> Expression:
        return _node("and", self, other)

    def __or__(self, other: Any) -> Expression:
        return _node("or", self, other)

    def __invert__(self) -> Expression:
        return _node("not", self)

    def __bool__(self) -> bool:
        raise DeclarationError(
            "a formula has no truth value while it is being declared; write where(condition, value, otherwise), "
            "and combine conditions with & | ~ instead of and, or, not"
        )

    @property
    def is_condition(self) -> bool:
        """Whether this is a comparison or a combination of comparisons."""
        return self.operation in CONDITIONS

    def __str__(self) -> str:
        return str(to_sympy(self))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self}>"


class Number(Expression):
    """A constant in a formula."""

    __slots__ = ("value",)

    def __init__(self, value: float) -> None:
        super().__init__("number", ())
        self.value = float(value)


class Symbol(Expression):
    """A name in a formula. ``kind`` is ``"state"``, ``"parameter"``, ``"time"`` or ``"flag"`` (made by the engine)."""

    __slots__ = ("kind", "name")

    def __init__(self, name: str, kind: str) -> None:
        super().__init__("symbol", ())
        self.name = name
        self.kind = kind


time = Symbol("time", "time")
"""Time since the start of the model, in days. The one symbol that models share: it has no value of its own."""


def as_expression(value: Any) -> Expression:
    """Return ``value`` as an expression; numbers become constants.

    Raises:
        DeclarationError: if ``value`` is neither a number nor an expression.
    """
    if isinstance(value, Expression):
        return value
    if isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        return Number(float(value))
    raise DeclarationError(
        f"a formula takes numbers, states, parameters and time, got {type(value).__name__}: {value!r}"
    )


def _node(operation: str, *operands: Any) -> Expression:
    return Expression(operation, tuple(as_expression(o) for o in operands))


def exp(x: Any) -> Expression:
    """e to the power of ``x`` (``x`` without unit)."""
    return _node("exp", x)


def log(x: Any) -> Expression:
    """Natural logarithm of ``x`` (``x`` without unit)."""
    return _node("log", x)


def sqrt(x: Any) -> Expression:
    """Square root of ``x``."""
    return _node("sqrt", x)


def absolute(x: Any) -> Expression:
    """Size of ``x`` without its sign."""
    return _node("abs", x)


def minimum(a: Any, b: Any) -> Expression:
    """The smaller of two values."""
    return _node("min", a, b)


def maximum(a: Any, b: Any) -> Expression:
    """The larger of two values; ``maximum(x, 0)`` clips at zero."""
    return _node("max", a, b)


def where(condition: Any, value: Any, otherwise: Any) -> Expression:
    """``value`` where the condition holds, else ``otherwise``.

    A condition that compares ``time`` with numbers and parameters only becomes an exact stop of the solver.
    """
    if not (isinstance(condition, Expression) and condition.is_condition):
        raise DeclarationError(f"where() needs a comparison such as time < peak as its condition, got {condition!r}")
    return _node("where", condition, value, otherwise)


def walk(expression: Expression) -> Iterator[Expression]:
    """Yield every distinct node once, operands before the nodes that use them."""
    seen: set[int] = set()
    stack: list[tuple[Expression, bool]] = [(expression, False)]
    while stack:
        node, expanded = stack.pop()
        if id(node) in seen:
            continue
        if expanded or not node.operands:
            seen.add(id(node))
            yield node
        else:
            stack.append((node, True))
            stack.extend((o, False) for o in reversed(node.operands))


def symbols_in(expression: Expression) -> list[Symbol]:
    """Distinct symbols of a formula in the order in which they appear."""
    return [n for n in walk(expression) if isinstance(n, Symbol)]


def substitute(expression: Expression, replacements: Mapping[Expression, Expression]) -> Expression:
    """Return the formula with nodes (found by identity) replaced."""
    done: dict[int, Expression] = {}
    for node in walk(expression):
        if node in replacements:
            done[id(node)] = replacements[node]
        elif node.operands:
            operands = tuple(done[id(o)] for o in node.operands)
            unchanged = all(a is b for a, b in zip(operands, node.operands, strict=True))
            done[id(node)] = node if unchanged else Expression(node.operation, operands)
        else:
            done[id(node)] = node
    return done[id(expression)]


def evaluate(expression: Expression, values: Mapping[Expression, Any]) -> Any:
    """Value of a formula on numbers or arrays: the slow, plain reference for the compiled code.

    Args:
        expression: the formula.
        values: a number or array for each symbol in it.

    Raises:
        KeyError: if a symbol has no value.
    """
    done: dict[int, Any] = {}
    for node in walk(expression):
        if isinstance(node, Number):
            done[id(node)] = node.value
        elif isinstance(node, Symbol):
            done[id(node)] = values[node]
        else:
            done[id(node)] = OPERATIONS[node.operation](*(done[id(o)] for o in node.operands))
    return done[id(expression)]


def to_sympy(expression: Expression, names: Mapping[Expression, Any] | None = None) -> Any:
    """The formula as a SymPy expression, for printing, exports and checks.

    Args:
        expression: the formula.
        names: SymPy symbols to use; others are made from the symbols' names.
    """
    import sympy

    functions: dict[str, Callable[..., Any]] = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div": lambda a, b: a / b,
        "neg": lambda a: -a,
        "pow": lambda a, b: a**b,
        "exp": sympy.exp,
        "log": sympy.log,
        "sqrt": sympy.sqrt,
        "abs": sympy.Abs,
        "min": sympy.Min,
        "max": sympy.Max,
        "lt": lambda a, b: a < b,
        "le": lambda a, b: a <= b,
        "and": sympy.And,
        "or": sympy.Or,
        "not": sympy.Not,
        "where": lambda c, a, b: sympy.Piecewise((a, c), (b, True)),
    }
    done: dict[int, Any] = {}
    for node in walk(expression):
        if isinstance(node, Number):
            value = node.value
            done[id(node)] = (
                sympy.Integer(int(value)) if value.is_integer() and abs(value) < 1e15 else sympy.Float(value)
            )
            if math.isinf(value):
                done[id(node)] = sympy.oo if value > 0 else -sympy.oo
        elif isinstance(node, Symbol):
            given = None if names is None else names.get(node)
            done[id(node)] = sympy.Symbol(node.name, real=True) if given is None else given
        else:
            done[id(node)] = functions[node.operation](*(done[id(o)] for o in node.operands))
    return done[id(expression)]
