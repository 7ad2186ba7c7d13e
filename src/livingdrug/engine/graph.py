"""Formulas as a graph in which equal parts are one node: sharing, simplification and exact derivatives.

Declared formulas are trees; here they become nodes of one :class:`Graph`, numbered in the order of evaluation. A part
that occurs twice is one node, so common sub-expressions need no search, and a derivative reuses the values of what it
is the derivative of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from livingdrug.errors import DeclarationError
from livingdrug.model.expressions import OPERATIONS, Expression, Number, Symbol, walk

POWER_FLOOR = 1e-30
"""Below this base the slope of ``x**p``, the square root among them, is evaluated as ``p * x**p / POWER_FLOOR``.

For p < 1 the true slope is infinite at zero, which no implicit step survives; this one is exact above the floor,
bounded by ``p * POWER_FLOOR**(p - 1)`` and zero at zero. It enters the Jacobian only, so it can cost steps (the error
control sees the value, which is exact) but never accuracy."""

_SMALLEST = 1e-300
_COMMUTATIVE = {"add", "mul", "min", "max", "and", "or"}


class Graph:
    """Nodes of shared formulas. A node is an integer; operands always have smaller numbers than their users."""

    def __init__(self) -> None:
        self.operation: list[str] = []
        self.operands: list[tuple[int, ...]] = []
        self.value: list[float] = []  # of "number" nodes
        self.symbol: list[str] = []  # of "symbol" nodes
        self._known: dict[object, int] = {}
        self.power_floor = POWER_FLOOR
        self.zero = self.number(0.0)
        self.one = self.number(1.0)

    # -- making nodes -----------------------------------------------------------------------------------------------
    def _new(
        self, key: object, operation: str, operands: tuple[int, ...] = (), value: float = 0.0, name: str = ""
    ) -> int:
        node = self._known.get(key)
        if node is None:
            node = self._known[key] = len(self.operation)
            self.operation.append(operation)
            self.operands.append(operands)
            self.value.append(value)
            self.symbol.append(name)
        return node

    def number(self, value: float) -> int:
        """Node of a constant."""
        return self._new(("number", float(value).hex()), "number", value=float(value))

    def named(self, name: str) -> int:
        """Node of a symbol; the same name is the same node."""
        return self._new(("symbol", name), "symbol", name=name)

    def is_number(self, node: int) -> bool:
        """Whether the node is a constant."""
        return self.operation[node] == "number"

    def make(self, operation: str, *operands: int) -> int:
        """Node of an operation, simplified where that changes no value."""
        if all(self.is_number(o) for o in operands) and operation not in {"inv"}:
            return self._fold(operation, [self.value[o] for o in operands])
        simpler = getattr(self, f"_simplify_{operation}", None)
        if simpler is not None:
            result = simpler(*operands)
            if result is not None:
                return result
        key = tuple(sorted(operands)) if operation in _COMMUTATIVE else operands
        return self._new((operation, key), operation, key)

    def _fold(self, operation: str, values: list[float]) -> int:
        with_warnings_off = {"div": lambda a, b: a / b if b else math.copysign(math.inf, a) if a else math.nan}
        function = with_warnings_off.get(operation, OPERATIONS[operation])
        return self.number(float(function(*values)))

    def add(self, a: int, b: int) -> int:
        """Node of a + b."""
        return self.make("add", a, b)

    def sub(self, a: int, b: int) -> int:
        """Node of a - b."""
        return self.make("sub", a, b)

    def mul(self, a: int, b: int) -> int:
        """Node of a * b."""
        return self.make("mul", a, b)

    def neg(self, a: int) -> int:
        """Node of -a."""
        return self.make("neg", a)

    def inv(self, a: int) -> int:
        """Node of 1 / a, shared by all that divide by a."""
        return self._new(("inv", a), "inv", (a,))

    def where(self, condition: int, a: int, b: int) -> int:
        """Node of a where the condition holds, else b."""
        return a if a == b else self.make("where", condition, a, b)

    def _simplify_add(self, a: int, b: int) -> int | None:
        if a == self.zero:
            return b
        if b == self.zero:
            return a
        if self.operation[b] == "neg":
            return self.sub(a, self.operands[b][0])
        if self.operation[a] == "neg":
            return self.sub(b, self.operands[a][0])
        return None

    def _simplify_sub(self, a: int, b: int) -> int | None:
        if b == self.zero:
            return a
        if a == self.zero:
            return self.neg(b)
        if a == b:
            return self.zero
        if self.operation[b] == "neg":
            return self.add(a, self.operands[b][0])
        return None

    def _simplify_neg(self, a: int) -> int | None:
        if self.operation[a] == "neg":
            return self.operands[a][0]
        if self.operation[a] == "sub":
            return self.sub(self.operands[a][1], self.operands[a][0])
        return None

    def _simplify_mul(self, a: int, b: int) -> int | None:
        if self.zero in (a, b):
            return self.zero
        for one, other in ((a, b), (b, a)):
            if one == self.one:
                return other
            if self.is_number(one) and self.value[one] == -1.0:
                return self.neg(other)
            if self.operation[one] == "neg":
                return self.neg(self.mul(self.operands[one][0], other))
            if self.operation[one] == "inv" and self.operands[one][0] == other:
                return self.one
        return None

    def _simplify_div(self, a: int, b: int) -> int | None:
        if a == self.zero:
            return self.zero
        if self.is_number(b) and self.value[b] != 0:
            return self.mul(a, self.number(1.0 / self.value[b])) if math.frexp(self.value[b])[0] == 0.5 else None
        return self.mul(a, self.inv(b))

    def _simplify_pow(self, base: int, exponent: int) -> int | None:
        if not self.is_number(exponent):
            return None
        p = self.value[exponent]
        if p == 0:
            return self.one
        if p == 0.5:
            return self.make("sqrt", base)
        if p.is_integer() and abs(p) <= 4:
            root = base if p > 0 else self.inv(base)
            square = self.mul(root, root)
            return {1: root, 2: square, 3: self.mul(square, root), 4: self.mul(square, square)}[int(abs(p))]
        return None

    # -- reading formulas -------------------------------------------------------------------------------------------
    def read(self, expression: Expression, names: Mapping[Expression, int]) -> int:
        """Node of a declared formula.

        Args:
            expression: the formula.
            names: node for each symbol; a symbol that is absent gets a node of its own name.
        """
        done: dict[int, int] = {}
        for part in walk(expression):
            if part in names:
                done[id(part)] = names[part]
            elif isinstance(part, Number):
                done[id(part)] = self.number(part.value)
            elif isinstance(part, Symbol):
                done[id(part)] = self.named(part.name)
            else:
                done[id(part)] = self.make(part.operation, *(done[id(o)] for o in part.operands))
        return done[id(expression)]

    # -- asking -----------------------------------------------------------------------------------------------------
    def reachable(self, roots: Iterable[int]) -> list[int]:
        """All nodes that the roots need, in the order of evaluation."""
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                stack.extend(self.operands[node])
        return sorted(seen)

    def symbols(self, roots: Iterable[int]) -> set[int]:
        """Symbol nodes that the roots depend on."""
        return {n for n in self.reachable(roots) if self.operation[n] == "symbol"}

    def flops(self, roots: Iterable[int]) -> int:
        """Floating-point operations to evaluate the roots once (exp 28, log 25, power 90, the rest 1)."""
        cost = {"number": 0, "symbol": 0, "exp": 28, "log": 25, "pow": 90}
        return sum(cost.get(self.operation[n], 1) for n in self.reachable(roots))

    # -- derivatives ------------------------------------------------------------------------------------------------
    def derivatives(self, roots: list[int], variables: list[int]) -> list[dict[int, int]]:
        """For each root, {index of the variable: node of the derivative}; absent means zero.

        Forward through the graph: every shared part is differentiated once.
        """
        table: dict[int, dict[int, int]] = {v: {j: self.one} for j, v in enumerate(variables)}
        for node in self.reachable(roots):
            if node not in table:
                table[node] = self._derivative(node, table)
        return [table[r] for r in roots]

    def _derivative(self, node: int, table: Mapping[int, dict[int, int]]) -> dict[int, int]:
        operands = self.operands[node]
        inner = [table[o] for o in operands]
        which = sorted(set().union(*inner)) if inner else []
        if not which or self.operation[node] in {"lt", "le", "and", "or", "not"}:
            return {}
        rule = getattr(self, f"_slope_{self.operation[node]}", None)
        if rule is None:
            raise DeclarationError(f"the engine cannot differentiate {self.operation[node]!r}")
        result = {}
        for j in which:
            d = rule(node, *operands, *(table_o.get(j, self.zero) for table_o in inner))
            if d != self.zero:
                result[j] = d
        return result

    def _slope_add(self, _n: int, _a: int, _b: int, da: int, db: int) -> int:
        return self.add(da, db)

    def _slope_sub(self, _n: int, _a: int, _b: int, da: int, db: int) -> int:
        return self.sub(da, db)

    def _slope_neg(self, _n: int, _a: int, da: int) -> int:
        return self.neg(da)

    def _slope_mul(self, _n: int, a: int, b: int, da: int, db: int) -> int:
        return self.add(self.mul(da, b), self.mul(a, db))

    def _slope_div(self, _n: int, _a: int, b: int, da: int, _db: int) -> int:
        return self.make("div", da, b)  # only divisions by a constant are left as such

    def _slope_inv(self, n: int, _a: int, da: int) -> int:
        return self.neg(self.mul(da, self.mul(n, n)))

    def _slope_exp(self, n: int, _a: int, da: int) -> int:
        return self.mul(da, n)

    def _slope_log(self, _n: int, a: int, da: int) -> int:
        return self.mul(da, self.inv(a))

    def _slope_sqrt(self, n: int, a: int, da: int) -> int:
        floored = self.make("max", a, self.number(self.power_floor))  # as for any power below 1: infinite at zero
        return self.mul(da, self.mul(self.number(0.5), self.mul(n, self.inv(floored))))

    def _slope_pow(self, n: int, base: int, exponent: int, db: int, de: int) -> int:
        if self.is_number(exponent) and self.value[exponent].is_integer():
            below = self.make("pow", base, self.number(self.value[exponent] - 1))
            return self.mul(db, self.mul(exponent, below))
        steep = self.make("lt", exponent, self.one)  # only then is the slope at zero infinite
        floor = self.where(steep, self.number(self.power_floor), self.number(_SMALLEST))
        floored = self.make("max", base, floor)
        by_base = self.mul(db, self.mul(self.mul(exponent, n), self.inv(floored)))
        if de == self.zero:
            return by_base
        positive = self.make("max", base, self.number(_SMALLEST))  # x**p log x tends to 0 with x
        return self.add(by_base, self.mul(de, self.mul(n, self.make("log", positive))))

    def _slope_abs(self, _n: int, a: int, da: int) -> int:
        return self.where(self.make("lt", a, self.zero), self.neg(da), da)

    def _slope_min(self, _n: int, a: int, b: int, da: int, db: int) -> int:
        return self.where(self.make("lt", a, b), da, db)

    def _slope_max(self, _n: int, a: int, b: int, da: int, db: int) -> int:
        return self.where(self.make("lt", b, a), da, db)

    def _slope_where(self, _n: int, condition: int, _a: int, _b: int, _dc: int, da: int, db: int) -> int:
        return self.where(condition, da, db)
