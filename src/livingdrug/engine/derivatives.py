"""The formulas that forward sensitivities need: derivatives of rates and outputs by states and chosen quantities."""

from __future__ import annotations

from dataclasses import dataclass

from livingdrug.engine.graph import POWER_FLOOR, Graph

Rows = list[dict[int, int]]


@dataclass
class TangentPlan:
    """Formulas (nodes) that the tangents need; index q runs over the chosen quantities.

    Attributes:
        slopes: for each rate, its exact derivative by each state.
        by_quantity: for each rate, its derivative by each quantity.
        direction: nodes that stand for K_s, one per state.
        curvature: for each rate, derivative of (J direction) by each state.
        curvature_by_quantity: the same by each quantity.
        time_slopes, time_by_quantity: derivatives of df/dt.
        outputs, outputs_by_quantity: derivatives of the outputs.
    """

    count: int
    slopes: Rows
    by_quantity: Rows
    direction: list[int]
    curvature: Rows
    curvature_by_quantity: Rows
    time_slopes: Rows
    time_by_quantity: Rows
    outputs: Rows
    outputs_by_quantity: Rows

    def roots(self) -> list[int]:
        """All formulas, for hoisting."""
        tables = (
            self.slopes, self.by_quantity, self.curvature, self.curvature_by_quantity,
            self.time_slopes, self.time_by_quantity, self.outputs, self.outputs_by_quantity,
        )  # fmt: skip
        return [node for table in tables for row in table for node in row.values()]


def plan_tangents(
    g: Graph, states: list[int], quantities: list[int], rates: list[int], by_time: list[int], outputs: list[int]
) -> TangentPlan:
    """Differentiate the rates and outputs as the tangents need it (see the module's formula)."""
    g.power_floor = 1e-300  # tangents are exact; only the Jacobian of the step has the bounded slope
    slopes = g.derivatives(rates, states)
    direction = [g.named(f"direction {i}") for i in range(len(states))]
    along = []
    for row in slopes:
        total = g.zero
        for j, slope in row.items():
            total = g.add(g.mul(slope, direction[j]), total)
        along.append(total)
    plan = TangentPlan(
        count=len(quantities),
        slopes=slopes,
        by_quantity=g.derivatives(rates, quantities),
        direction=direction,
        curvature=g.derivatives(along, states),
        curvature_by_quantity=g.derivatives(along, quantities),
        time_slopes=g.derivatives(by_time, states),
        time_by_quantity=g.derivatives(by_time, quantities),
        outputs=g.derivatives(outputs, states),
        outputs_by_quantity=g.derivatives(outputs, quantities),
    )
    g.power_floor = POWER_FLOOR
    return plan
