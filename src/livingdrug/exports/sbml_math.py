"""Formulas as libSBML's trees, every number with its unit."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from livingdrug.exports.unit_definitions import DAY, UnitDefinitions
from livingdrug.model.expressions import Expression, Number, Symbol, time, walk
from livingdrug.units import DIMENSIONLESS, Dimension

__all__ = ["MathWriter", "large_shared_parts"]

_TYPES = {
    "add": "AST_PLUS", "sub": "AST_MINUS", "mul": "AST_TIMES", "div": "AST_DIVIDE", "neg": "AST_MINUS",
    "pow": "AST_POWER", "exp": "AST_FUNCTION_EXP", "log": "AST_FUNCTION_LN", "sqrt": "AST_FUNCTION_ROOT",
    "abs": "AST_FUNCTION_ABS", "min": "AST_FUNCTION_MIN", "max": "AST_FUNCTION_MAX", "lt": "AST_RELATIONAL_LT",
    "le": "AST_RELATIONAL_LEQ", "and": "AST_LOGICAL_AND", "or": "AST_LOGICAL_OR", "not": "AST_LOGICAL_NOT",
    "where": "AST_FUNCTION_PIECEWISE",
}  # fmt: skip
_SAME_UNIT = frozenset({"add", "sub", "neg", "abs", "min", "max", "where"})
_CHAINS = frozenset({"add", "mul", "and", "or"})
_LARGE = 40


class MathWriter:
    """Writes formulas of one model.

    Args:
        libsbml: the imported package.
        names: identifiers of whole sub-formulas (found by identity), which are then not written out.
        dimensions: dimension of each symbol, ``time`` included.
        units: the unit definitions of the document.
    """

    def __init__(
        self, libsbml: Any, names: Mapping[Expression, str], dimensions: Mapping[Symbol, Dimension],
        units: UnitDefinitions,
    ) -> None:  # fmt: skip
        self._libsbml, self._dimensions, self._units = libsbml, dimensions, units
        self._names = names
        self._known: dict[int, Dimension | None] = {}

    def dimension(self, formula: Expression) -> Dimension | None:
        """Dimension of a formula; None if it fits any (it is 0)."""
        from livingdrug.model.unit_check import dimension_of

        if id(formula) not in self._known:
            self._known[id(formula)] = dimension_of(formula, self._dimensions, "export to SBML")
        return self._known[id(formula)]

    def write(self, formula: Expression, wanted: Dimension | None = None, *, itself: bool = False) -> Any:
        """The tree of a formula.

        Args:
            formula: a formula of the model.
            wanted: its dimension, which a 0 in it cannot tell.
            itself: whether the formula is written out although it has a name.
        """
        finished: list[Any] = []
        stack: list[tuple[Expression, Dimension | None, int]] = [(formula, wanted, -1)]
        while stack:
            node, dimension, count = stack.pop()
            if count >= 0:
                finished[len(finished) - count :] = [self._operation(node, finished[len(finished) - count :])]
            elif node in self._names and not (itself and node is formula):
                finished.append(self.name(self._names[node]))
            elif isinstance(node, Number):
                finished.append(self.number(node.value, dimension))
            elif node is time:
                finished.append(self._time())
            else:
                operands = self._operands(node)
                stack.append((node, dimension, len(operands)))
                dimensions = self._operand_dimensions(node, operands, dimension)
                stack.extend((o, d, -1) for o, d in zip(reversed(operands), reversed(dimensions), strict=True))
        return finished[0]

    def number(self, value: float, dimension: Dimension | None) -> Any:
        """A number with the canonical unit of its dimension."""
        return self.number_in(value, self._units.canonical(dimension or DIMENSIONLESS))

    def number_in(self, value: float, unit: str) -> Any:
        """A number with the unit of this identifier; a negative one is written with a sign before it."""
        node = self._libsbml.ASTNode(self._libsbml.AST_REAL)
        node.setValue(abs(value))
        node.setUnits(unit)
        return self._make("AST_MINUS", [node]) if math.copysign(1.0, value) < 0 else node

    def call(self, operation: str, *operands: Any) -> Any:
        """The tree of an operation on trees."""
        return self._make(_TYPES[operation], list(operands))

    def after(self, at: Any) -> Any:
        """The tree of ``time >= at``."""
        return self._make("AST_RELATIONAL_GEQ", [self._time(), at])

    def _operands(self, node: Expression) -> list[Expression]:
        """Operands of a node; a chain such as (a + b) + c is one sum of three, so that trees stay flat."""
        if node.operation == "where":
            condition, value, otherwise = node.operands
            return [value, condition, otherwise]
        found = list(node.operands)
        while node.operation in _CHAINS and found[0].operation == node.operation and found[0] not in self._names:
            found[:1] = found[0].operands
        return found

    def _operand_dimensions(
        self, node: Expression, operands: list[Expression], wanted: Dimension | None
    ) -> list[Dimension | None]:
        """What a number such as 0 among the operands is measured in."""
        if node.operation in ("lt", "le"):
            if time in operands:
                return [DAY, DAY]
            known = [self.dimension(o) for o in operands]
            return [known[0] or known[1]] * 2
        if node.operation not in _SAME_UNIT:
            return [None] * len(operands)
        same = wanted or self.dimension(node)
        # Only 0 and infinity have the unit of their surroundings; any other number has none.
        found = [same if not isinstance(o, Number) or o.value in (0, math.inf, -math.inf) else None for o in operands]
        if node.operation == "where":
            found[1] = None
        return found

    def _operation(self, node: Expression, operands: list[Any]) -> Any:
        if node.operation == "sqrt":
            operands = [self.number(2.0, None), *operands]
        return self.call(node.operation, *operands)

    def _make(self, kind: str, children: list[Any]) -> Any:
        node = self._libsbml.ASTNode(getattr(self._libsbml, kind))
        for child in children:
            node.addChild(child)
        return node

    def name(self, name: str) -> Any:
        """The tree of a name."""
        node = self._libsbml.ASTNode(self._libsbml.AST_NAME)
        node.setName(name)
        return node

    def _time(self) -> Any:
        node = self._libsbml.ASTNode(self._libsbml.AST_NAME_TIME)
        node.setName("time")
        return node


def large_shared_parts(formulas: list[Expression], named: Mapping[Expression, str]) -> Iterator[Expression]:
    """Yield sub-formulas without a name that are large and occur more than once: written out they would multiply.

    A part comes before the parts that use it.
    """
    users: dict[int, int] = {}
    sizes: dict[int, int] = {}
    order: dict[int, Expression] = {}
    for formula in formulas:
        users[id(formula)] = users.get(id(formula), 0) + 1
        for node in walk(formula):
            if id(node) in order:
                continue
            order[id(node)] = node
            for operand in node.operands:
                users[id(operand)] = users.get(id(operand), 0) + 1
    for key, node in order.items():
        sizes[key] = 1 if node in named else 1 + sum(sizes[id(o)] for o in node.operands)
        if sizes[key] > _LARGE and users[key] > 1 and not node.is_condition and node not in named:
            sizes[key] = 1
            yield node
