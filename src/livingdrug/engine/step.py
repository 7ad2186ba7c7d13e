"""One Rodas5P step of a model, written as straight-line vector code.

The order of the sums matters: for each earlier stage the coefficient stays in a register while all states are updated,
so the processor loads one number per multiply-add instead of two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from livingdrug.engine import tableau
from livingdrug.engine.functions import together
from livingdrug.engine.ir import Function, Value
from livingdrug.engine.lowering import System

STATES_AT_ONCE = 16
"""States whose sums are held in registers together (AVX-512 has 32)."""

SMALLEST_PIVOT = 1e-10
"""A pivot below this share of 1/(h*gamma) rejects the step."""


class Formulas:
    """Writes the nodes of a system's graph, each once for one point (time, states)."""

    def __init__(self, f: Function, system: System, slots: Value, roots: Iterable[int]) -> None:
        self.f, self.system, self.slots = f, system, slots
        self.uses: dict[int, int] = {}
        g = system.graph
        for node in g.reachable(roots):
            for operand in g.operands[node]:
                self.uses[operand] = self.uses.get(operand, 0) + 1
        for root in roots:
            self.uses[root] = self.uses.get(root, 0) + 1
        n = len(system.layout.states)
        self.slot_of = {node: k for k, node in enumerate(system.slots) if k >= n}
        self.depends_on_state: dict[int, bool] = {}
        states = set(system.slots[:n])
        for node in range(len(g.operation)):
            self.depends_on_state[node] = node in states or any(self.depends_on_state[o] for o in g.operands[node])
        for node in self.slot_of:
            self.depends_on_state[node] = False

    def of_time(self, roots: Iterable[int]) -> list[int]:
        """Parts of the roots that depend on time but on no state, in the order of evaluation."""
        g, found, by_time = self.system.graph, [], {self.system.time}
        for node in g.reachable(roots):
            if not self.depends_on_state[node] and node not in self.slot_of and by_time & set(g.operands[node]):
                by_time.add(node)
                found.append(node)
        return found

    def write_together(self, points: list[Point], nodes: list[int]) -> None:
        """Write parts that depend on time alone for all stages of a step at once, expensive functions side by side."""
        g = self.system.graph
        for node in nodes:
            if g.operation[node] in {"exp", "log", "pow"}:
                arguments = [[p.value(o) for p in points] for o in g.operands[node]]
                for point, value in zip(points, together(self.f, g.operation[node], arguments), strict=True):
                    point.shared[node] = value
            else:
                for point in points:
                    point.value(node)

    def at(self, time: Value, states: dict[int, Value] | list[Value], shared: dict[int, Value] | None = None) -> Point:
        """A point at which formulas are evaluated; ``shared`` carries parts that depend on time alone."""
        return Point(self, time, states, {} if shared is None else shared)


class Point:
    """Values of formulas at one time and state; parts already written are reused."""

    def __init__(
        self, formulas: Formulas, time: Value, states: dict[int, Value] | list[Value], shared: dict[int, Value]
    ):
        self.formulas, self.f = formulas, formulas.f
        self.system = formulas.system
        self.own: dict[int, Value] = {}
        self.slots = self.f.opaque(formulas.slots)
        self.shared = shared
        shared[self.system.time] = time
        items = states.items() if isinstance(states, dict) else enumerate(states)
        for i, value in items:
            self.own[self.system.slots[i]] = value

    def value(self, root: int) -> Value:
        """The root's value, written now if it was not before."""
        g = self.system.graph
        stack = [root]
        while stack:
            node = stack[-1]
            if self._known(node) is not None:
                stack.pop()
                continue
            if node in self.formulas.slot_of:
                self.own[node] = self.f.load(self.slots, self.formulas.slot_of[node], "v")
                continue
            missing = [o for o in g.operands[node] if self._known(o) is None]
            if missing:
                stack.extend(reversed(missing))
                continue
            memo = self.own if self.formulas.depends_on_state[node] else self.shared
            memo[node] = self._write(node)
        found = self._known(root)
        assert found is not None
        return found

    def _known(self, node: int) -> Value | None:
        value = self.own.get(node)
        return value if value is not None else self.shared.get(node)

    def _write(self, node: int) -> Value:
        g, f = self.system.graph, self.f
        operation, operands = g.operation[node], g.operands[node]
        if operation == "number":
            return f.constant("v", g.value[node])
        if operation == "symbol":
            raise AssertionError(f"{g.symbol[node]} has no slot")
        values = [self._known(o) for o in operands]
        a = values[0]
        assert a is not None
        if len(values) == 1:
            return self._unary(operation, a)
        b = values[1]
        assert b is not None
        if operation in {"add", "sub"}:
            return self._sum(operation, operands, a, b)
        if operation == "where":
            c = values[2]
            assert c is not None
            return f.select(a, b, c)
        if operation in {"min", "max"}:
            word = "ult" if operation == "min" else "ugt"  # true for NaN: the first operand's NaN is kept
            chosen = f.select(f.compare(word, "", a, b), a, b)
            return chosen if g.is_number(operands[1]) else f.select(b.differs(b), b, chosen)
        writers = {
            "mul": lambda: a * b,
            "div": lambda: a / b,
            "lt": lambda: a < b,
            "le": lambda: a <= b,
            "and": lambda: a & b,
            "or": lambda: a | b,
            "pow": lambda: f.call("pow.v", "v", a, b),
        }
        return writers[operation]()

    def _unary(self, operation: str, a: Value) -> Value:
        f = self.f
        if operation == "neg":
            return -a
        if operation == "inv":
            return f.constant("v", 1.0) / a
        if operation == "not":
            return ~a
        if operation == "abs":
            return f.intrinsic("fabs", a)
        if operation == "sqrt":
            return f.intrinsic("sqrt", a)
        return f.call(f"{operation}.v", "v", a)

    def _sum(self, operation: str, operands: tuple[int, ...], a: Value, b: Value) -> Value:
        """A sum; a product that is used only here becomes part of a multiply-add."""
        left, right = operands
        for product, other, flip in ((right, a, operation == "sub"), (left, b, False)):
            if self._is_lone_product(product):
                x, y = (self._known(o) for o in self.system.graph.operands[product])
                assert x is not None
                assert y is not None
                if product == right:
                    return self.f.fma(-x if flip else x, y, other)
                return self.f.fma(x, y, -other if operation == "sub" else other)
        return a + b if operation == "add" else a - b

    def _is_lone_product(self, node: int) -> bool:
        g = self.system.graph
        if g.operation[node] != "mul" or self.formulas.uses.get(node, 0) != 1 or node in self.formulas.slot_of:
            return False
        return all(self._known(o) is not None for o in g.operands[node])


class Step:
    """The values of one written step: new state, error, and what dense output needs."""

    def __init__(self, f: Function, system: System, formulas: Formulas, t: Value, h: Value, x: list[Value]) -> None:
        self.f, self.system, self.t, self.h, self.x = f, system, t, h, x
        self.stages: list[list[Value]] = []
        self.points: list[Point] = []
        self._write(formulas)

    def _write(self, formulas: Formulas) -> None:
        f, system, n = self.f, self.system, len(self.x)
        times: dict[float, dict[int, Value]] = {}
        start = formulas.at(self.t, self.x, times.setdefault(0.0, {}))
        self.inverse_h = inverse_h = f.constant("v", 1.0) / self.h
        self._factorise(start, inverse_h * (1.0 / tableau.GAMMA))
        zero = system.graph.zero
        by_time = [None if node == zero else start.value(node) for node in system.rates_by_time]
        points = [
            formulas.at(self.t + self.h * c, {}, times.setdefault(c, {})) for c in dict.fromkeys(tableau.TIMES) if c
        ]
        formulas.write_together([start, *points], formulas.of_time(system.rates))
        read = system.graph.symbols(system.rates)
        needed = [i for i in range(n) if system.slots[i] in read]
        arguments: dict[int, Value] = dict(enumerate(self.x))
        self.points.append(start)
        start_values = dict(enumerate(self.x))
        for s in range(tableau.STAGES):
            if s == 0:
                right = [start.value(r) for r in system.rates]
            else:
                wanted = range(n) if s >= tableau.STAGES - 3 else needed
                arguments = self.stage_arguments(s, start_values, arguments, self.stages, wanted)
                moment = tableau.TIMES[s]
                point = formulas.at(times[moment][system.time], arguments, times[moment])
                self.points.append(point)
                right = self._stage_sums(s, [point.value(r) for r in system.rates], inverse_h)
            if tableau.D[s]:
                scaled = self.h * tableau.D[s]
                right = [r if d is None else f.fma(scaled, d, r) for r, d in zip(right, by_time, strict=True)]
            self.stages.append(self.solve(right))
        self.error = self.stages[-1]
        self.new = [arguments[i] + self.error[i] for i in range(n)]

    def stage_arguments(
        self,
        s: int,
        start: dict[int, Value],
        before: dict[int, Value],
        stages: list[list[Value]],
        wanted: Iterable[int],
    ) -> dict[int, Value]:
        """Where stage s evaluates the rates: start + sum of A[s][j] * stage j."""
        if s >= len(tableau.A):
            return {i: before[i] + stages[s - 1][i] for i in wanted}
        return self.sums(tableau.A[s], {i: start[i] for i in wanted}, stages)

    def _stage_sums(self, s: int, rates: list[Value], inverse_h: Value) -> list[Value]:
        f = self.f
        sums = self.sums(tableau.C[s], dict.fromkeys(range(len(rates))), self.stages)
        return [f.fma(inverse_h, sums[i], rate) for i, rate in enumerate(rates)]

    def sums(
        self, coefficients: Iterable[float], starts: Mapping[int, Value | None], stages: list[list[Value]]
    ) -> dict[int, Value]:
        """Start + sum of coefficient * stage, for each state."""
        f = self.f
        result: dict[int, Value] = {}
        names = list(starts)
        for first in range(0, len(names), STATES_AT_ONCE):
            group = names[first : first + STATES_AT_ONCE]
            sums = {i: starts[i] for i in group}
            for j, c in enumerate(coefficients):
                factor = f.constant("v", c)
                for i in group:
                    k, so_far = stages[j][i], sums[i]
                    sums[i] = k * factor if so_far is None else f.fma(factor, k, so_far)
            result |= {i: v for i, v in sums.items() if v is not None}
        return result

    # -- linear algebra ---------------------------------------------------------------------------------------------
    def _factorise(self, start: Point, diagonal: Value) -> None:
        """LU factors of diagonal*I - J in the pattern found symbolically; flags pivots that are too small."""
        f, system = self.f, self.system
        g = system.graph
        matrix: dict[tuple[int, int], Value] = {}
        for i, j in system.pattern:
            slope = system.slopes.get((i, j))
            value = None if slope is None else start.value(slope)
            if i == j:
                matrix[i, j] = diagonal if value is None else diagonal - value
            elif value is not None:
                matrix[i, j] = -value
        least = diagonal * SMALLEST_PIVOT
        self.singular: Value | None = None
        self.inverse: dict[int, Value] = {}
        self.lower: dict[tuple[int, int], Value] = {}
        self.upper = matrix
        order = {p: k for k, p in enumerate(system.pivots)}
        for k in system.pivots:
            pivot = matrix[k, k]
            if system.slopes.get((k, k), g.zero) != g.zero or any(key == k for _, key in self.lower):
                small = f.compare("ult", "", f.intrinsic("fabs", pivot), least)
                self.singular = small if self.singular is None else self.singular | small
            self.inverse[k] = f.constant("v", 1.0) / pivot
            below = [i for i in system.pivots[order[k] + 1 :] if (i, k) in matrix]
            right = [j for j in system.pivots[order[k] + 1 :] if (k, j) in matrix]
            for i in below:
                factor = -(matrix[i, k] * self.inverse[k])
                self.lower[i, k] = factor
                for j in right:
                    old = matrix.get((i, j))
                    matrix[i, j] = factor * matrix[k, j] if old is None else f.fma(factor, matrix[k, j], old)

    def solve(self, right: list[Value]) -> list[Value]:
        """Solution of the factorised system."""
        f, pivots = self.f, self.system.pivots
        v = list(right)
        for a, k in enumerate(pivots):
            for i in pivots[a + 1 :]:
                factor = self.lower.get((i, k))
                if factor is not None:
                    v[i] = f.fma(factor, v[k], v[i])
        for a in range(len(pivots) - 1, -1, -1):
            k = pivots[a]
            for j in pivots[a + 1 :]:
                entry = self.upper.get((k, j))
                if entry is not None:
                    v[k] = f.fma(-entry, v[j], v[k])
            v[k] = v[k] * self.inverse[k]
        return v

    # -- inside the step --------------------------------------------------------------------------------------------
    def dense_weights(self, share: Value) -> list[Value]:
        """Weight of each stage at ``t + share * h``."""
        f = self.f
        both = share * (f.constant("v", 1.0) - share)
        d0, d1, d2 = tableau.DENSE
        weights = []
        for j in range(tableau.STAGES):
            inner = f.fma(share, f.constant("v", d2[j]), f.constant("v", d1[j]))
            weights.append(both * f.fma(share, inner, f.constant("v", d0[j])))
        return weights

    def dense(self, share: Value, wanted: Iterable[int]) -> dict[int, Value]:
        """States at ``t + share * h`` (order 4)."""
        f = self.f
        rest = f.constant("v", 1.0) - share
        wanted = list(wanted)
        sums = {i: f.fma(share, self.new[i], rest * self.x[i]) for i in wanted}
        for j, weight in enumerate(self.dense_weights(share)):
            for i in wanted:
                sums[i] = f.fma(weight, self.stages[j][i], sums[i])
        return sums
