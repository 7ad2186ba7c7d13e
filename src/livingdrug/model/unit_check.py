"""Units of every term of a formula: a sum needs equal units, a function a pure number, and so on.

A number in a formula has no unit, except that 0 and infinity fit any, and that a number compared with ``time`` is in
days.
"""

from __future__ import annotations

from collections.abc import Mapping

from livingdrug.errors import DeclarationError
from livingdrug.model.description import formula_text
from livingdrug.model.expressions import Expression, Number, Symbol, time, walk
from livingdrug.units import DIMENSIONLESS, Dimension, parse_unit

__all__ = ["DAY", "dimension_of"]

DAY = parse_unit("day").dimension

# What a node can be: a dimension, a condition (true or false), or a number such as 0 that fits any dimension.
_CONDITION = "condition"
_ANY = "any"
_Kind = Dimension | str

_SAME = {"add": "add", "sub": "subtract", "min": "take the minimum of", "max": "take the maximum of"}
_PURE = {"exp", "log"}


def dimension_of(expression: Expression, dimensions: Mapping[Symbol, Dimension], place: str) -> Dimension | None:
    """Return the dimension of a formula; None if it fits any (it is 0).

    Args:
        expression: the formula.
        dimensions: dimension of each symbol in it, ``time`` included.
        place: where it stands, for the message, e.g. ``"kimmel2021: ddt(tumour)"``.

    Raises:
        DeclarationError: at the first term whose units do not fit.
    """
    kinds: dict[int, _Kind] = {}
    for node in walk(expression):
        if isinstance(node, Number):
            fits_any = node.value == 0 or node.value in (float("inf"), float("-inf"))
            kinds[id(node)] = _ANY if fits_any else DIMENSIONLESS
        elif isinstance(node, Symbol):
            kinds[id(node)] = dimensions[node]
        else:
            kinds[id(node)] = _combine(node, [kinds[id(o)] for o in node.operands], place)
    kind = kinds[id(expression)]
    if kind == _CONDITION:
        raise DeclarationError(
            f"{place}: {formula_text(expression)} is a condition, not a value; put it into where(...)"
        )
    return kind if isinstance(kind, Dimension) else None


def _combine(node: Expression, kinds: list[_Kind], place: str) -> _Kind:
    operation, operands = node.operation, node.operands
    if operation in ("and", "or", "not"):
        return _combined_condition(operands, kinds, place)
    conditions = kinds[:1] if operation == "where" else []
    for operand, kind in zip(operands[len(conditions) :], kinds[len(conditions) :], strict=True):
        if kind == _CONDITION:
            raise DeclarationError(
                f"{place}: the condition {formula_text(operand)} is used as a number; write where(condition, 1, 0)"
            )
    if operation == "where":
        return _same("choose between", operands[1:], kinds[1:], place)
    if operation in ("lt", "le"):
        _same(
            "compare",
            operands,
            [_days_beside_time(o, k, operands) for o, k in zip(operands, kinds, strict=True)],
            place,
        )
        return _CONDITION
    if operation in _SAME:
        return _same(_SAME[operation], operands, kinds, place)
    if operation in _PURE:
        return _pure(operation, operands[0], kinds[0], place)
    if operation in ("neg", "abs"):
        return kinds[0]
    if operation == "sqrt":
        return kinds[0] if kinds[0] == _ANY else kinds[0] ** 0.5  # type: ignore[operator]
    if operation == "pow":
        return _power(operands, kinds, place)
    return _product(operation, kinds)


def _combined_condition(operands: tuple[Expression, ...], kinds: list[_Kind], place: str) -> _Kind:
    for operand, kind in zip(operands, kinds, strict=True):
        if kind != _CONDITION:
            raise DeclarationError(f"{place}: {formula_text(operand)} is not a condition, but & | ~ combine conditions")
    return _CONDITION


def _same(verb: str, operands: tuple[Expression, ...], kinds: list[_Kind], place: str) -> _Kind:
    first, second = kinds
    if _ANY in (first, second):
        return second if first == _ANY else first
    if first != second:
        a, b = (formula_text(o) for o in operands)
        raise DeclarationError(
            f"{place}: cannot {verb} {a} [{first}] and {b} [{second}]; both need the same unit"
            + (_advice(operands) if DIMENSIONLESS in kinds else "")
        )
    return first


def _advice(operands: tuple[Expression, ...]) -> str:
    numbers = [formula_text(o) for o in operands if isinstance(o, Number)]
    return f" (a number such as {numbers[0]} has no unit: declare it as a parameter)" if numbers else ""


def _days_beside_time(operand: Expression, kind: _Kind, operands: tuple[Expression, ...]) -> _Kind:
    return DAY if isinstance(operand, Number) and any(o is time for o in operands) else kind


def _pure(operation: str, operand: Expression, kind: _Kind, place: str) -> _Kind:
    if kind not in (_ANY, DIMENSIONLESS):
        raise DeclarationError(
            f"{place}: {operation} needs a number without unit, got {formula_text(operand)} [{kind}]; "
            "divide it by a value of the same unit"
        )
    return DIMENSIONLESS


def _power(operands: tuple[Expression, ...], kinds: list[_Kind], place: str) -> _Kind:
    base, exponent = operands
    if kinds[1] not in (_ANY, DIMENSIONLESS):
        raise DeclarationError(f"{place}: an exponent has no unit, got {formula_text(exponent)} [{kinds[1]}]")
    if kinds[0] in (_ANY, DIMENSIONLESS):
        return kinds[0]
    if not isinstance(exponent, Number):
        raise DeclarationError(
            f"{place}: {formula_text(base)} [{kinds[0]}] can be raised to a number only, got {formula_text(exponent)}; "
            "divide it by a value of the same unit first, as in (x/half)**n"
        )
    return kinds[0] ** exponent.value  # type: ignore[operator]


def _product(operation: str, kinds: list[_Kind]) -> _Kind:
    first, second = kinds
    if not isinstance(first, Dimension):
        return _ANY
    if not isinstance(second, Dimension):
        return _ANY if operation == "mul" else first
    return first * second if operation == "mul" else first / second
