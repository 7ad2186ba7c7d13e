"""Formulas printed in another language: operators, functions and numbers by a dialect, long formulas in named steps.

Every language that is written here reads the text in the same way, because nothing is left to its rules of precedence
that differs between them: a sign never follows an operator, powers and right-hand operands stand in brackets.

Example:
    >>> from livingdrug.model.expressions import Symbol, maximum
    >>> x, k = Symbol("x", "state"), Symbol("k", "parameter")
    >>> block = Block(Dialect(), {x: "x", k: "k"}, {}, [formula := -k * maximum(x, 0) ** 0.5])
    >>> block.text(formula)
    '-k*max(x, 0.0)^0.5'
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from livingdrug.errors import InputError
from livingdrug.model.expressions import Expression, Number, Symbol, walk

__all__ = ["Block", "Dialect", "Text", "decimal", "wrapped"]

# How firmly a piece of text holds together; a leading sign lies between a product and a sum.
_ATOM, _POWER, _PRODUCT, _SIGN, _SUM, _COMPARISON, _AND, _OR = 9, 7, 6, 5, 4, 3, 2, 1
_INFIX = {  # rank of the result, rank that the left and the right operand need
    "add": (_SUM, _SUM, _PRODUCT),
    "sub": (_SUM, _SUM, _PRODUCT),
    "mul": (_PRODUCT, _SIGN, _POWER),
    "div": (_PRODUCT, _SIGN, _POWER),
    "pow": (_POWER, _ATOM, _ATOM),
    "lt": (_COMPARISON, _SUM, _SUM),
    "le": (_COMPARISON, _SUM, _SUM),
    "gt": (_COMPARISON, _SUM, _SUM),
    "ge": (_COMPARISON, _SUM, _SUM),
    "and": (_AND, _COMPARISON, _COMPARISON),
    "or": (_OR, _COMPARISON, _COMPARISON),
}
_OPPOSITE = {"lt": "ge", "le": "gt", "and": "or", "or": "and"}
_SIGNS = {"add": " + ", "sub": " - ", "mul": "*", "div": "/", "pow": "^", "lt": " < ", "le": " <= ", "gt": " > "}
_SIGNS |= {"ge": " >= ", "and": " && ", "or": " || "}
_LONG = 80  # characters above which a part that is used more than once gets a name of its own
_LONGEST = 1500  # and above which any part does, so that no formula grows without bound

Text = tuple[str, int]


def decimal(value: float) -> str:
    """Return a number that no language takes for a whole one, in the shortest form that reads back the same.

    Example:
        >>> decimal(2), decimal(1e-06), decimal(0.25)
        ('2.0', '1e-06', '0.25')
    """
    return repr(float(value))


@dataclass(frozen=True)
class Dialect:
    """How one language writes formulas.

    Args:
        name: of the language, for messages.
        signs: text of the operators that differ from C's.
        functions: names of the functions that differ from ours (exp, log, sqrt, abs, min, max).
        where: a choice inside a formula, with ``{condition}``, ``{value}`` and ``{otherwise}``; None if there is none.
        number: how a number is written.
        power: writes a power from its base and exponent; None if it is an operator like the others.
        steps: operations that need statements of their own.
    """

    name: str = "plain"
    signs: Mapping[str, str] = field(default_factory=dict)
    functions: Mapping[str, str] = field(default_factory=dict)
    where: str | None = None
    number: Callable[[float], str] = decimal
    power: Callable[[Block, Expression, Text, Text], Text] | None = None
    steps: frozenset[str] = frozenset()


class Block:
    """One stretch of code: prints formulas, and collects before them the statements that they need.

    Args:
        dialect: how the language writes formulas.
        symbols: text of each symbol.
        definitions: name of each part that gets a statement of its own; not used parts get none.
        roots: all formulas of the block, so that parts that they share are found.
        assign: writes a statement, or several for a choice or a bound: (name, operation, texts) to lines.
        new_name: gives a free name for a step that has none.
        conditions: text of some conditions and of their opposites, where the language has its own way to say them.
    """

    def __init__(
        self,
        dialect: Dialect,
        symbols: Mapping[Expression, str],
        definitions: Mapping[Expression, str],
        roots: Iterable[Expression],
        assign: Callable[[str, str, list[str]], list[str]] = lambda name, _, texts: [f"{name} = {texts[0]}"],
        new_name: Callable[[str], str] = lambda stem: stem,
        conditions: Mapping[Expression, tuple[str, str]] = MappingProxyType({}),
    ) -> None:
        self.dialect, self.definitions = dialect, definitions
        self.assign, self.new_name = assign, new_name
        self.statements: list[str] = []
        self._done: dict[tuple[Expression, bool], Text] = {(s, False): (text, _ATOM) for s, text in symbols.items()}
        for node, opposites in conditions.items():
            self._done |= {(node, negated): (opposites[negated], _COMPARISON) for negated in (False, True)}
        self._uses = Counter(id(o) for node in _nodes(roots) for o in node.operands)

    def text(self, expression: Expression) -> str:
        """Return the formula; statements that it needs are added to ``statements``."""
        self._prepare(expression)
        return self._done[expression, False][0]

    def _prepare(self, expression: Expression) -> None:
        """Print all parts, operands first, so that nothing depends on how deep a formula is."""
        for node in walk(expression):
            if (node, False) not in self._done:
                self._done[node, False] = self._named(node, self._node(node))

    def _node(self, node: Expression) -> Text:
        if isinstance(node, Number):
            return self._number(node.value)
        if isinstance(node, Symbol):
            raise InputError(f"{self.dialect.name}: the symbol {node.name!r} has no meaning here")
        if node.is_condition:
            return self._condition(node, False)
        parts = [self._done[o, False] for o in node.operands]
        if node.operation == "where":
            return self._choice(parts)
        if node.operation in self.dialect.steps:
            return self.step(node.operation, [text for text, _ in parts])
        if node.operation == "neg":
            return "-" + wrapped(parts[0], _PRODUCT), _SIGN
        if node.operation == "pow" and self.dialect.power:
            return self.dialect.power(self, node, parts[0], parts[1])
        if node.operation in _INFIX:
            return self._infix(node.operation, parts[0], parts[1])
        name = self.dialect.functions.get(node.operation, node.operation)
        return f"{name}({', '.join(text for text, _ in parts)})", _ATOM

    def _number(self, value: float) -> Text:
        if not math.isfinite(value):
            raise InputError(f"{self.dialect.name}: a formula holds the number {value}, which cannot be written there")
        return self.dialect.number(value), _ATOM if math.copysign(1, value) > 0 else _SIGN

    def _infix(self, operation: str, left: Text, right: Text) -> Text:
        rank, needs_left, needs_right = _INFIX[operation]
        sign = self.dialect.signs.get(operation, _SIGNS[operation])
        if rank == _PRODUCT and left[1] == _SIGN:
            rank = _SIGN
        return wrapped(left, needs_left) + sign + wrapped(right, needs_right), rank

    def _condition(self, node: Expression, negated: bool) -> Text:
        """A condition without the word "not": its opposite is written instead."""
        if (node, negated) in self._done:
            return self._done[node, negated]
        if node.operation == "not":
            return self._condition(node.operands[0], not negated)
        if node.operation in ("and", "or"):
            parts = [self._condition(o, negated) for o in node.operands]
        else:
            parts = [self._done[o, False] for o in node.operands]
        operation = _OPPOSITE[node.operation] if negated else node.operation
        self._done[node, negated] = self._infix(operation, parts[0], parts[1])
        return self._done[node, negated]

    def _choice(self, parts: list[Text]) -> Text:
        texts = [text for text, _ in parts]
        if self.dialect.where is None:
            return self.step("where", texts)
        condition, value, otherwise = texts
        return self.dialect.where.format(condition=condition, value=value, otherwise=otherwise), _ATOM

    def step(self, operation: str, texts: list[str]) -> Text:
        """Add the statements of one operation and return the name of its result."""
        name = self.new_name("step")
        self.statements += self.assign(name, operation, texts)
        return name, _ATOM

    def _named(self, node: Expression, printed: Text) -> Text:
        """Give a part its own statement if the model names it, or if it is long."""
        if node.is_condition:
            return printed
        name = self.definitions.get(node)
        if name is None:
            if len(printed[0]) <= (_LONG if self._uses[id(node)] > 1 else _LONGEST):
                return printed
            name = self.new_name("part")
        self.statements += self.assign(name, "value", [printed[0]])
        return name, _ATOM


def _nodes(roots: Iterable[Expression]) -> Iterable[Expression]:
    seen: dict[int, Any] = {}
    for root in roots:
        seen |= {id(node): node for node in walk(root)}
    return seen.values()


def wrapped(part: Text, rank: int = _ATOM) -> str:
    """Return text in brackets unless it holds together as firmly as asked."""
    return part[0] if part[1] >= rank else f"({part[0]})"
