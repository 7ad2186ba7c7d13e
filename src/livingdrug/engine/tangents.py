"""Exact forward sensitivities: the derivative of every Rodas5P stage, beside the step itself.

For a chosen quantity q the tangent S = dx/dq obeys S' = J S + df/dq. Applying the method to states and tangents
together gives stages with the same matrix as the step, so its factors serve for all tangents:

    W dK_s = J(x_s) dx_s + df/dq(x_s) + sum C[s][j] dK_j / h + (dJ/dx S + dJ/dq) K_s + h D[s] (d2f/dtdx S + d2f/dtdq)

What does not depend on q (the Jacobian at each stage, the curvature along K_s) is computed once per step; a loop then
runs over the chosen quantities, so the code does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from livingdrug.engine import tableau
from livingdrug.engine.ir import Value
from livingdrug.engine.step import Formulas, Point

if TYPE_CHECKING:
    from livingdrug.engine.kernel import KernelWriter
    from livingdrug.engine.step import Step


class TangentStep:
    """Writes the tangents' part of one step, and their dense output."""

    def __init__(self, kernel: KernelWriter) -> None:
        self.kernel, self.f = kernel, kernel.f
        self.plan = kernel.system.tangents
        assert self.plan is not None
        n, k = kernel.n, self.plan.count
        f = self.f
        self.fixed = f.array("v", k * tableau.STAGES * n)  # the part of each right-hand side that depends on q alone
        self.stages = f.array("v", k * tableau.STAGES * n)
        self.new = f.array("v", k * n)
        self.total = f.array("v", 1)
        with f.count(0, k * tableau.STAGES * n) as i:
            f.store(f.constant("v", 0.0), self.fixed, i)

    def write(self, step: Step, formulas: Formulas) -> None:
        """Advance all tangents over the step; leaves the sum of their squared errors in ``total``."""
        f, kernel, plan = self.f, self.kernel, self.plan
        assert plan is not None
        n = kernel.n
        self._at_stages(step, formulas)
        f.store(f.constant("v", 0.0), self.total)
        with f.count(0, plan.count) as q:
            first = (q + 1) * n
            old = [f.load(kernel.slots, first + i, "v") for i in range(n)]
            stages: list[list[Value]] = []
            arguments: dict[int, Value] = dict(enumerate(old))
            for s in range(tableau.STAGES):
                if s:
                    arguments = step.stage_arguments(s, dict(enumerate(old)), arguments, stages, range(n))
                row = q * (tableau.STAGES * n) + s * n
                none = f.constant("v", 0.0)
                right = [f.load(self.fixed, row + i, "v") if (s, i) in self.fed else none for i in range(n)]
                right = [self._right(i, r, s, old, arguments) for i, r in enumerate(right)]
                if s:
                    sums = step.sums(tableau.C[s], dict.fromkeys(range(n)), stages)
                    right = [f.fma(step.inverse_h, sums[i], r) for i, r in enumerate(right)]
                stages.append(step.solve(right))
                for i in range(n):
                    f.store(stages[-1][i], self.stages, row + i)
            self._finish(q, old, arguments, stages[-1])

    def _at_stages(self, step: Step, formulas: Formulas) -> None:
        """Jacobian and curvature of every stage, and the parts that depend on the quantities alone."""
        f, plan, n = self.f, self.plan, self.kernel.n
        assert plan is not None
        self.jacobian: list[list[dict[int, Value]]] = []
        self.bend: list[list[dict[int, Value]]] = []
        self.fed: set[tuple[int, int]] = set()
        start = step.points[0]
        scaled = [step.h * d for d in tableau.D]
        for s in range(tableau.STAGES):
            point = step.points[s]
            self.jacobian.append(_values(point, plan.slopes))
            moved = formulas.at(step.t, step.x, dict(start.shared))
            moved.own |= {node: step.stages[s][b] for b, node in enumerate(plan.direction)}
            bend = _values(moved, plan.curvature)
            by_q = [dict(row) for row in _values(point, plan.by_quantity)]
            extra = [_values(moved, plan.curvature_by_quantity)]
            if tableau.D[s]:
                for row, more in zip(bend, _values(start, plan.time_slopes), strict=True):
                    for j, value in more.items():
                        row[j] = f.fma(scaled[s], value, row[j]) if j in row else scaled[s] * value
                timed = _values(start, plan.time_by_quantity)
                extra.append([{q: scaled[s] * v for q, v in row.items()} for row in timed])
            for table in extra:
                for row, more in zip(by_q, table, strict=True):
                    for q, value in more.items():
                        row[q] = row[q] + value if q in row else value
            if s == 0:  # there the argument is the tangent itself
                for own, more in zip(self.jacobian[0], bend, strict=True):
                    own |= {j: own[j] + value if j in own else value for j, value in more.items()}
                bend = [{} for _ in bend]
            self.bend.append(bend)
            self.fed |= {(s, i) for i, row in enumerate(by_q) if row}
            for i, row in enumerate(by_q):
                for q, value in row.items():
                    f.store(value, self.fixed, (q * tableau.STAGES + s) * n + i)

    def _right(self, i: int, value: Value, s: int, old: list[Value], arguments: dict[int, Value]) -> Value:
        """One entry of the right-hand side before the earlier stages are added."""
        f = self.f
        for j, slope in self.jacobian[s][i].items():
            value = f.fma(slope, arguments[j], value)
        for j, bend in self.bend[s][i].items():
            value = f.fma(bend, old[j], value)
        return value

    def _finish(self, q: Value, old: list[Value], arguments: dict[int, Value], error: list[Value]) -> None:
        """New tangents and their share of the error."""
        f, kernel = self.f, self.kernel
        total = f.load(self.total, 0, "v")
        floors = f.array("d", len(kernel.system.floors))
        for k, floor in enumerate(kernel.system.floors):
            f.store(f.constant("d", floor), floors, k)
        for i, (before, last) in enumerate(zip(old, error, strict=True)):
            new = arguments[i] + last
            f.store(new, self.new, q * kernel.n + i)
            a, b = f.intrinsic("fabs", before), f.intrinsic("fabs", new)
            floor = f.splat(f.load(floors, (q + 1) * kernel.n + i))
            share = last / (f.select(a > b, a, b) + floor)
            total = f.fma(share, share, total)
        f.store(total, self.total)

    def accept(self, ok: Value) -> None:
        """Take over the new tangents of the accepted lanes."""
        f, kernel = self.f, self.kernel
        assert self.plan is not None
        with f.count(0, self.plan.count * kernel.n) as i:
            place = i + kernel.n
            old = f.load(kernel.slots, place, "v")
            f.store(f.select(ok, f.load(self.new, i, "v"), old), kernel.slots, place)

    def outputs(self, share: Value, point: Point, results: Value) -> None:
        """Derivatives of all outputs at a share of the step, behind the outputs themselves."""
        f, kernel, plan = self.f, self.kernel, self.plan
        assert plan is not None
        n, width = kernel.n, len(plan.outputs)
        slopes = _values(point, plan.outputs)
        for k, row in enumerate(_values(point, plan.outputs_by_quantity)):
            for q in range(plan.count):
                f.store(row.get(q, f.constant("v", 0.0)), results, (q + 1) * width + k)
        wanted = sorted({j for row in slopes for j in row})
        weights = kernel.step.dense_weights(share)
        rest = f.constant("v", 1.0) - share
        with f.count(0, plan.count) as q:
            inside = {}
            for j in wanted:
                old = f.load(kernel.slots, (q + 1) * n + j, "v")
                value = f.fma(share, f.load(self.new, q * n + j, "v"), rest * old)
                for s, weight in enumerate(weights):
                    stage = f.load(self.stages, q * (tableau.STAGES * n) + (s * n + j), "v")
                    value = f.fma(weight, stage, value)
                inside[j] = value
            for k, row in enumerate(slopes):
                place = (q + 1) * width + k
                value = f.load(results, place, "v")
                for j, slope in row.items():
                    value = f.fma(slope, inside[j], value)
                f.store(value, results, place)


def _values(point: Point, table: Iterable[dict[int, int]]) -> list[dict[int, Value]]:
    return [{j: point.value(node) for j, node in row.items()} for row in table]
