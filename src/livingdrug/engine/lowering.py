"""From a declared model to what a kernel computes: rates, Jacobian, elimination order, outputs, and their slots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from livingdrug.engine.derivatives import TangentPlan, plan_tangents
from livingdrug.engine.graph import Graph
from livingdrug.engine.layout import ADD, SET, JumpPlan, Layout, Request
from livingdrug.errors import DeclarationError, InputError, unknown_name
from livingdrug.model.expressions import Expression, Symbol, walk
from livingdrug.model.symbols import Parameter

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model
    from livingdrug.model.symbols import Event


@dataclass
class System:
    """A model in graph form, ready to be written as code."""

    graph: Graph
    layout: Layout
    time: int
    slots: list[int]  # node of each slot, the prepared ones last
    floors: list[float]
    rates: list[int]
    slopes: dict[tuple[int, int], int]  # Jacobian
    rates_by_time: list[int]
    initial: list[int]
    stop_times: list[int]
    stop_values: list[int]
    stop_slopes: list[int]  # for each stop and tangent: of its time, of its value
    outputs: list[int]
    crossings: list[tuple[int, int]]  # value, reached when >= 0, and its slope in time
    extremes: list[tuple[int, int]]  # value (to be maximised) and its slope in time
    jump_rates: list[tuple[int, int]] = field(default_factory=list)  # births and deaths per day
    tangents: TangentPlan | None = None
    pivots: list[int] = field(default_factory=list)
    pattern: list[tuple[int, int]] = field(default_factory=list)  # of the factorised matrix

    def output_roots(self) -> list[int]:
        """Formulas of the outputs and of their derivatives."""
        if self.tangents is None:
            return self.outputs
        tables = (*self.tangents.outputs, *self.tangents.outputs_by_quantity)
        return [*self.outputs, *(node for row in tables for node in row.values())]


def lower(model: type[Model], request: Request) -> System:
    """Turn a declared model and a request into a :class:`System`.

    Raises:
        InputError: if the request names an output, state or parameter that the model lacks.
        DeclarationError: if a condition on time cannot be turned into a stop, or sensitivities of a jump model are
            asked for.
    """
    return _Lowering(model, request).result()


class _Lowering:
    def __init__(self, model: type[Model], request: Request) -> None:
        self.model, self.request = model, request
        self.graph = Graph()
        self.layout = Layout()
        self.names: dict[Expression, int] = {}
        self.flag_times: list[int] = []
        self.flag_nodes: list[int] = []
        self.stop_slopes: list[list[int]] = []
        self.jump_rates: list[tuple[int, int]] = []
        g = self.graph
        self.time = g.named("time")
        self.state_nodes = [g.named(f"state {s}") for s in model.states]
        self.parameter_nodes = [g.named(f"parameter {p}") for p in model.parameters]
        for part, node in zip(model.states.values(), self.state_nodes, strict=True):
            self.names[part] = node
        for name, node in zip(model.parameters, self.parameter_nodes, strict=True):
            self.names[model.parameters[name]] = node
        self.jumps = list(model.jumps) if request.stochastic else []
        if request.tangents and self.jumps:
            raise DeclarationError(
                f"sensitivities of {model.name} were asked for, but {self.jumps[0].state.name} is a random birth-death "
                "process below its threshold and has no derivative; solve with stochastic=False"
            )

    def result(self) -> System:
        g, model, layout = self.graph, self.model, self.layout
        layout.states = list(model.states)
        layout.model_states = len(layout.states)
        layout.parameters = list(model.parameters)
        floors = [s.floor for s in model.states.values()]
        rates = [self.read(model.rates[s]) for s in model.states.values()]
        initial = [self.read(s.initial) for s in model.states.values()]
        self.infusions(rates)
        nodes = list(self.state_nodes)
        self.modes: list[int] = []
        plans = self.jump_processes(rates, nodes, floors, initial)
        outputs = [self.output(name) for name in self.request.outputs]
        for name, *_ in (*self.request.crossings, *self.request.extremes):
            self.output(name)  # every condition on time must be known before its stop is made
        stops = self.stops()
        crossings, levels = self.crossings(nodes, rates)
        plan = self.tangents(rates, floors, initial, outputs, stops) if self.request.tangents else None
        extremes = self.extremes(nodes, rates)
        layout.levels = len(levels)
        layout.flags, layout.modes = len(self.flag_nodes), len(self.modes)
        own = [*nodes, *(g.named(f"tangent {k}") for k in range(len(layout.states) - len(nodes)))]
        slots = [*own, *self.parameter_nodes, *levels, *self.rate_nodes, *self.flag_nodes, *self.modes]
        layout.jumps = [self.placed(p, layout) for p in plans]
        layout.stops = [(self.slot_of(target, slots), action) for _, target, action, _ in stops]
        derivatives = g.derivatives(rates, [*nodes, self.time])
        n = len(nodes)
        self.check_fixed([*initial, *(n for at, _, _, value in stops for n in (at, value))])
        system = System(
            graph=g,
            layout=layout,
            time=self.time,
            slots=slots,
            floors=floors,
            rates=rates,
            slopes={(i, j): d for i, row in enumerate(derivatives) for j, d in row.items() if j < n},
            rates_by_time=[row.get(n, g.zero) for row in derivatives],
            initial=initial,
            stop_times=[t for t, _, _, _ in stops],
            stop_values=[v for _, _, _, v in stops],
            stop_slopes=[s for row in self.stop_slopes for s in row],
            outputs=outputs,
            crossings=crossings,
            extremes=extremes,
            jump_rates=self.jump_rates,
            tangents=plan,
        )
        self.prepare(system)
        system.pivots, system.pattern = elimination(n, set(system.slopes))
        return system

    # -- formulas ---------------------------------------------------------------------------------------------------
    def read(self, expression: Expression) -> int:
        """Node of a declared formula, its conditions on time replaced by flags."""
        for part in walk(expression):
            if part not in self.names and part.operation in {"lt", "le"}:
                flag = self.flag(part)
                if flag is not None:
                    self.names[part] = flag
        return self.graph.read(expression, self.names | dict.fromkeys(_times(expression), self.time))

    def flag(self, condition: Expression) -> int | None:
        """Condition node for a comparison of time with parameters, or None if states take part."""
        kinds = {s.kind for s in walk(condition) if isinstance(s, Symbol)}
        if "time" not in kinds or "state" in kinds:
            return None
        g = self.graph
        names = self.names | dict.fromkeys(_times(condition), self.time)
        left, right = (g.read(o, names) for o in condition.operands)
        gap = g.sub(left, right)  # the condition holds where this is negative
        slope = g.derivatives([gap], [self.time])[0].get(0, g.zero)
        if not g.is_number(slope) or g.value[slope] == 0:
            raise DeclarationError(
                f"{self.model.name}: the condition {condition} does not compare time itself with something known; "
                "write it as time < ... or time > ..."
            )
        at_zero = self.replaced(gap, self.time, g.zero)
        at = g.make("div", g.neg(at_zero), slope)
        if at not in self.flag_times:
            self.flag_times.append(at)
            self.flag_nodes.append(g.named(f"flag {len(self.flag_nodes)}"))
        before = g.make("lt", g.number(0.5), self.flag_nodes[self.flag_times.index(at)])
        return before if g.value[slope] > 0 else g.make("not", before)

    def replaced(self, root: int, old: int, new: int) -> int:
        """The formula with one symbol replaced."""
        g, done = self.graph, {old: new}
        for node in g.reachable([root]):
            if node not in done:
                operands = tuple(done[o] for o in g.operands[node])
                done[node] = node if operands == g.operands[node] else g.make(g.operation[node], *operands)
        return done[root]

    def output(self, name: str) -> int:
        """Node of an output (in its declared unit) or of a state."""
        g = self.graph
        if name in self.model.outputs:
            output = self.model.outputs[name]
            return g.make("div", self.read(output.expression), g.number(output.factor))
        if name in self.model.states:
            state = self.model.states[name]
            return g.make("div", self.names[state], g.number(state.factor))
        raise InputError(unknown_name("output", name, [*self.model.outputs, *self.model.states], place=self.model.name))

    def check_fixed(self, roots: list[int]) -> None:
        """Initial values, event times and amounts must be known before the solve begins."""
        moving = self.graph.symbols(roots) - set(self.parameter_nodes)
        if moving:
            names = ", ".join(sorted(self.graph.symbol[n] for n in moving))
            raise DeclarationError(
                f"{self.model.name}: an initial value, or the time or amount of an event, depends on {names}; "
                "it may depend on parameters only (use rounds to act on the state of a patient)"
            )

    # -- the parts of a model ---------------------------------------------------------------------------------------
    def infusions(self, rates: list[int]) -> None:
        """One more slot and one more term for each state that is infused."""
        wanted = set(self.request.infused)
        wanted |= {e.target.name for e in self.model.events if e.kind == "infusion"}
        self.rate_nodes = []
        for i, name in enumerate(self.model.states):
            if name in wanted:
                node = self.graph.named(f"infusion {name}")
                self.rate_nodes.append(node)
                self.layout.rates.append(name)
                rates[i] = self.graph.add(rates[i], node)

    def jump_processes(self, rates: list[int], nodes: list[int], floors: list[float], initial: list[int]) -> list[Any]:
        """Freeze a state in jump mode and add the two numbers that its draws need.

        Rates proportional to the state, which nothing else depends on: the two integrals of Kendall's solution. Else:
        the integral of the rate of all events (in place of ``lean``) and the level at which the next one falls due; for
        a state that nobody notices, of the number at the start of the step, and from there.
        """
        g, plans = self.graph, []
        names = list(self.model.states)
        slopes = g.derivatives(rates, self.state_nodes)
        for jump in self.jumps:
            name = jump.state.name
            i = names.index(name)
            cells = self.names[jump.state]
            birth, death = self.read(jump.birth), self.read(jump.death)
            per_cell = [g.derivatives([rate], [cells])[0].get(0, g.zero) for rate in (birth, death)]
            alone = all(j == i or i not in row for j, row in enumerate(slopes))
            kendall = alone and cells not in g.symbols(per_cell)
            mode = g.named(f"mode {name}")
            self.modes.append(mode)
            jumping = g.make("lt", g.number(0.5), mode)
            counting = g.make("and", jumping, g.make("lt", mode, g.number(1.5)))
            rates[i] = g.where(jumping, g.zero, rates[i])
            lean = g.named(f"state lean of {name}")
            if kendall:
                rates.append(g.where(counting, g.sub(per_cell[1], per_cell[0]), g.zero))
                rates.append(g.where(counting, g.mul(per_cell[1], g.make("exp", lean)), g.zero))
            else:
                rates += [g.where(counting, g.add(birth, death), g.zero), g.zero]
            plans.append((jump, i, len(nodes), kendall))
            self.jump_rates.append((birth, death))
            nodes += [lean, g.named(f"state deaths of {name}")]
            self.layout.states += [f"lean of {name}", f"deaths of {name}"]
            floors += [1.0, 1.0]
            initial += [g.zero, g.zero]
        return plans

    def placed(self, plan: Any, layout: Layout) -> JumpPlan:
        jump, state, lean, kendall = plan
        mode = layout.first_mode + self.jumps.index(jump)
        name = jump.state.name
        rate = layout.first_rate + layout.rates.index(name) if name in layout.rates else -1
        size = float(jump.below), float(jump.above)
        return JumpPlan(name, state, lean, lean + 1, mode, rate, *size, kendall, jump.noticed or kendall)

    def stops(self) -> list[tuple[int, Any, int, int]]:
        """(time, target slot, action, value) of the model's own events and flags; values are nodes."""
        g, found = self.graph, []
        for event in self.model.events:
            at, amount = self.read(event.at), self.read(event.amount)
            target = self.names[event.target]
            self.check_differentiable(event)
            if event.kind == "infusion":
                found += self.infusion_stops(event, at, amount)
            else:
                found.append((at, target, ADD if event.kind == "bolus" else SET, amount))
        return [*((t, f, SET, g.zero) for t, f in zip(self.flag_times, self.flag_nodes, strict=True)), *found]

    def check_differentiable(self, event: Event) -> None:
        """A parameter that an event sets carries no derivative; a state that an event sets does."""
        asked = {name for name, _ in self.request.tangents}
        touched = {event.target.name}
        if isinstance(event.target, Parameter):
            touched |= {s.name for s in walk(event.amount) if isinstance(s, Symbol)}
        for name in sorted(asked & touched):
            raise InputError(
                f"{self.model.name}: sensitivities by {name} were asked for, but the model itself sets "
                f"{event.target.name} at an event, and sensitivities do not pass through that; use differences of two "
                "solves (livingdrug.analysis does so)"
            )

    def infusion_stops(self, event: Event, at: int, amount: int) -> list[tuple[int, Any, int, int]]:
        """Beginning and end of an infusion; one that lasts no time is a bolus."""
        g = self.graph
        duration = self.read(event.duration)
        slot, target = self.rate_nodes[self.layout.rates.index(event.target.name)], self.names[event.target]
        if g.is_number(duration):
            if g.value[duration] <= 0:
                return [(at, target, ADD, amount)]
            rate = g.mul(amount, g.inv(duration))
            return [(at, slot, ADD, rate), (g.add(at, duration), slot, ADD, g.neg(rate))]
        at_once = g.make("le", duration, g.zero)
        rate = g.where(at_once, g.zero, g.mul(amount, g.inv(g.where(at_once, g.number(1.0), duration))))
        return [
            (at, slot, ADD, rate),
            (g.add(at, duration), slot, ADD, g.neg(rate)),
            (at, target, ADD, g.where(at_once, amount, g.zero)),
        ]

    def slot_of(self, target: int, slots: Sequence[int]) -> int:
        return list(slots).index(target)

    def crossings(self, nodes: list[int], rates: list[int]) -> tuple[list[tuple[int, int]], list[int]]:
        """Values that are >= 0 from the crossing on, each with its slope in time, and the nodes of their levels."""
        g, found, levels = self.graph, [], []
        for k, (name, sign, _) in enumerate(self.request.crossings):
            level = g.named(f"level {k}")
            levels.append(level)
            value = self.output(name)
            value = g.sub(value, level) if sign > 0 else g.sub(level, value)
            found.append((value, self.slope(value, nodes, rates)))
        return found, levels

    def extremes(self, nodes: list[int], rates: list[int]) -> list[tuple[int, int]]:
        """Each value to be maximised with its slope in time."""
        found = []
        for name, sign in self.request.extremes:
            value = self.output(name) if sign > 0 else self.graph.neg(self.output(name))
            found.append((value, self.slope(value, nodes, rates)))
        return found

    def slope(self, value: int, nodes: list[int], rates: list[int]) -> int:
        """Total derivative in time of a value along the course."""
        g = self.graph
        slopes = g.derivatives([value], [*nodes, self.time])[0]
        total = slopes.pop(len(nodes), g.zero)
        for j, d in slopes.items():
            total = g.add(total, g.mul(d, rates[j]))
        return total

    # -- derivatives by parameters ----------------------------------------------------------------------------------
    def tangents(
        self, rates: list[int], floors: list[float], initial: list[int], outputs: list[int], stops: list[Any]
    ) -> TangentPlan:
        """Differentiate rates, starts, outputs and events by the chosen quantities."""
        g, n = self.graph, len(self.state_nodes)
        quantities = [self.direction(name) for name, _ in self.request.tangents]
        self.layout.tangents = [name for name, _ in self.request.tangents]
        by_time = [row.get(0, g.zero) for row in g.derivatives(rates, [self.time])]
        plan = plan_tangents(g, self.state_nodes, quantities, rates, by_time, outputs)
        starts = g.derivatives(initial, quantities)
        times = g.derivatives([s[0] for s in stops], quantities)
        values = g.derivatives([s[3] for s in stops], quantities)
        self.stop_slopes = [[] for _ in stops]
        for q, (name, size) in enumerate(self.request.tangents):
            own = [f"initial:{s}" == name for s in self.layout.states[:n]]
            initial += [g.one if own[i] else starts[i].get(q, g.zero) for i in range(n)]
            floors += [floor / size for floor in floors[:n]]
            self.layout.states += [f"{s} by {name}" for s in self.layout.states[:n]]
            for e in range(len(values)):
                self.stop_slopes[e] += [times[e].get(q, g.zero), values[e].get(q, g.zero)]
            self.infusion_slopes(q, name, plan, [row.get(q, g.zero) for row in values], stops)
        return plan

    def infusion_slopes(self, q: int, name: str, plan: TangentPlan, slopes: list[int], stops: list[Any]) -> None:
        """An infusion whose rate depends on the chosen quantity also feeds the tangent of its state."""
        g = self.graph
        infused = [s for s in self.layout.rates if " by " not in s]
        for e, slope in enumerate(slopes):
            at, target, action, _ = stops[e]
            if target in self.rate_nodes and slope != g.zero:
                state = infused[self.rate_nodes.index(target)]
                label = f"{state} by {name}"
                node = g.named(f"infusion {label}")
                if label not in self.layout.rates:
                    self.layout.rates.append(label)
                    self.rate_nodes.append(node)
                    row = plan.by_quantity[self.layout.states.index(state)]
                    row[q] = g.add(row.get(q, g.zero), node)
                stops.append((at, node, action, slope))
                self.stop_slopes.append([g.zero] * (2 * len(self.request.tangents)))

    def direction(self, name: str) -> int:
        """Node of the parameter, or a node of its own for the initial value of a state."""
        states = list(self.model.states)
        if name in self.model.parameters:
            return self.parameter_nodes[list(self.model.parameters).index(name)]
        if name.startswith("initial:") and name[8:] in states:
            return self.graph.named(name)
        allowed = [*self.model.parameters, *(f"initial:{s}" for s in states)]
        raise InputError(unknown_name("parameter", name, allowed, place=self.model.name))

    # -- hoisting ---------------------------------------------------------------------------------------------------
    def prepare(self, system: System) -> None:
        """Give a slot of its own to every largest part that depends on parameters alone."""
        g = self.graph
        roots = [*system.rates, *system.slopes.values(), *system.rates_by_time, *system.outputs]
        roots += [n for pair in [*system.crossings, *system.extremes, *system.jump_rates] for n in pair]
        roots += system.tangents.roots() if system.tangents is not None else []
        kept = set(self.parameter_nodes) | set(system.slots[self.layout.first_level : self.layout.first_rate])
        constant: dict[int, bool] = {}
        wanted: dict[int, None] = {}
        for node in g.reachable(roots):
            operands = g.operands[node]
            is_symbol = g.operation[node] == "symbol"
            constant[node] = node in kept if is_symbol else all(constant[o] for o in operands)
            if not constant[node]:
                wanted |= {o: None for o in operands if constant[o]}
        wanted |= {r: None for r in roots if constant[r]}
        prepared = [n for n in wanted if g.operands[n] and g.operation[n] not in {"lt", "le", "and", "or", "not"}]
        self.layout.prepared = len(prepared)
        system.slots += prepared


def _times(expression: Expression) -> list[Symbol]:
    return [s for s in walk(expression) if isinstance(s, Symbol) and s.kind == "time"]


def elimination(n: int, pattern: set[tuple[int, int]]) -> tuple[list[int], list[tuple[int, int]]]:
    """Order of pivots on the diagonal that makes little fill-in (Markowitz 1957), and the filled pattern."""
    columns: list[set[int]] = [{i} for i in range(n)]  # rows that hold an entry in column k
    rows: list[set[int]] = [{i} for i in range(n)]  # columns that row k has an entry in
    for i, j in pattern:
        rows[i].add(j)
        columns[j].add(i)
    left, pivots, filled = set(range(n)), [], {(i, j) for i in range(n) for j in rows[i]}
    while left:
        pivot = min(left, key=lambda k: ((len(columns[k]) - 1) * (len(rows[k]) - 1), k))
        pivots.append(pivot)
        left.remove(pivot)
        below, right = columns[pivot] - {pivot}, rows[pivot] - {pivot}
        for i in below:
            rows[i] |= right
            rows[i].discard(pivot)
            filled |= {(i, j) for j in right}
        for j in right:
            columns[j] |= below
            columns[j].discard(pivot)
    return pivots, sorted(filled)
