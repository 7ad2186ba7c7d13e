"""Events of an SBML model whose time is known before the solve: doses, resets and switched rates.

An event may be triggered by time only. What it assigns may depend on parameters, and on the old value of its own target
only as ``target + amount``; anything else would need the state of the patient at that time, which the engine acts on in
rounds only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from livingdrug.exports.sbml_formulas import Formula, FormulaReader, as_condition, linear_in, number_of, simple
from livingdrug.exports.sbml_quantities import Quantities
from livingdrug.model.expressions import (
    Expression,
    Number,
    evaluate,
    maximum,
    minimum,
    substitute,
    symbols_in,
    time,
    where,
)
from livingdrug.model.symbols import Event, Parameter, State
from livingdrug.units import to_canonical

__all__ = ["read_events"]


@dataclass(frozen=True)
class _Span:
    """When a trigger is true: from ``start`` (None: from the beginning) until ``end`` (None: for ever), in days."""

    start: Expression | None
    end: Expression | None
    strict: bool = False


def read_events(
    quantities: Quantities, reader: FormulaReader, clock: Expression, days: Callable[[Expression], Expression]
) -> list[Event]:
    """Return the events of a model in the order in which they happen at one instant.

    Args:
        quantities: what has a value, read before.
        reader: reads formulas.
        clock: time in the unit of the file.
        days: turns a time in that unit into days.

    Raises:
        InputError: for a trigger, a delay or a value that is not known before the solve.
    """
    return _Events(quantities, reader, clock, days).all()


class _Events:
    def __init__(
        self, quantities: Quantities, reader: FormulaReader, clock: Expression, days: Callable[[Expression], Expression]
    ) -> None:
        self.days = days
        self.q, self.reader, self.clock = quantities, reader, clock
        self.sums: dict[Any, list[tuple[float, bool, Any]]] = {}
        symbols = {quantities.now.get(n) for n in quantities.changed}
        self.changed = {s for s in symbols if isinstance(s, Parameter)}

    def all(self) -> list[Event]:
        """Every event of the file, the most urgent first."""
        elements = [e for e in self.q.sbml.getListOfEvents() if e.getNumEventAssignments()]
        order = sorted(elements, key=lambda e: -self.priority(e) if len(elements) > 1 else 0.0)
        found = [change for element in order for change in self.event(element)]
        self.check_order()
        return found

    def priority(self, element: Any) -> float:
        """Rank among the events of one instant; 0 if the file leaves it open."""
        if not hasattr(element, "isSetPriority") or not element.isSetPriority():
            return 0.0
        known = number_of(self.reader.read(self.q.formula(element.getPriority()), self.q.now))
        if known is None or math.isnan(known):
            raise self.q.refuse(element.getPriority(), "a priority must be a number here")
        return known

    def event(self, element: Any) -> list[Event]:
        """Doses and resets of one event; none if it never happens."""
        at = self.moment(element)
        if number_of(at) == math.inf:
            return []
        executed = at + self.delay(element) if element.isSetDelay() else at
        executed = simple(executed)
        found = []
        for assignment in element.getListOfEventAssignments():
            role = self.q.own.role(element)
            if role == "infusion_end":
                continue
            change = self.infusion if role == "infusion" else self.change
            found.append(change(element, assignment, at, executed))
        return found

    # -- when -------------------------------------------------------------------------------------------------------
    def moment(self, element: Any) -> Expression:
        """When the trigger becomes true, in days; infinity if never."""
        trigger = element.getTrigger()
        if trigger is None or not trigger.isSetMath():
            raise self.q.refuse(element, "it has no trigger, so it never happens; remove it")
        value = as_condition(self.reader.read_value(self.q.formula(trigger), self.q.now))
        at_first = trigger.getInitialValue() if element.getLevel() == 3 else True
        if isinstance(value, bool):
            return Number(0.0 if value and not at_first else math.inf)
        span = self.span(trigger, value)
        self.check_lasting(element, trigger, span)
        if span.start is None:
            start = Number(math.inf if at_first else 0.0)
        else:
            self.check_known(trigger, "the time of the event", span.start)
            start = _at_start(span.start, span.strict, at_first)
        if span.end is None:
            return start
        self.check_known(trigger, "the time of the event", span.end)
        return _if(start < span.end, start)

    def span(self, trigger: Any, condition: Expression) -> _Span:
        """The time during which a trigger is true."""
        operation, operands = condition.operation, condition.operands
        if operation in ("lt", "le") and operands[1] is time:
            return _Span(operands[0], None, operation == "lt")
        if operation in ("lt", "le") and operands[0] is time:
            return _Span(None, operands[1])
        if operation == "not":
            inner = self.span(trigger, operands[0])
            if inner.start is None:
                return _Span(inner.end, None)
            if inner.end is None:
                return _Span(None, inner.start)
        if operation == "and":
            a, b = (self.span(trigger, o) for o in operands)
            return _Span(_meet(maximum, a.start, b.start), _meet(minimum, a.end, b.end), a.strict or b.strict)
        raise self.q.refuse(
            trigger,
            "an event can be triggered by time only, as in time >= 5; the engine does not watch other conditions",
        )

    def check_lasting(self, element: Any, trigger: Any, span: _Span) -> None:
        lasting = trigger.getPersistent() if element.getLevel() == 3 else True
        if element.isSetDelay() and not lasting and span.end is not None:
            raise self.q.refuse(
                trigger, "an event with a delay that is cancelled when its trigger ends (persistent=false) is not read"
            )

    def delay(self, element: Any) -> Expression:
        """The delay in days."""
        delay = element.getDelay()
        found = self.reader.read(self.q.formula(delay), self.q.now)
        self.check_known(delay, "the delay", found)
        known = number_of(found)
        if known is not None and not known >= 0:
            raise self.q.refuse(delay, f"a delay must not be negative, got {known:g}")
        return self.days(found)

    def check_known(self, element: Any, what: str, formula: Expression) -> None:
        """Refuse what depends on states, on time or on what an event sets."""
        moving = [s.name or _name_of(self.q, s) for s in symbols_in(formula) if not _is_fixed(s, self.changed)]
        if moving:
            raise self.q.refuse(
                element, f"{what} depends on {', '.join(moving)}, whose value is not known before the solve"
            )

    # -- what -------------------------------------------------------------------------------------------------------
    def change(self, element: Any, assignment: Any, at: Expression, executed: Expression) -> Event:
        """A reset, or a dose where the new value is the old one plus an amount."""
        name = assignment.getVariable()
        target = self.target(assignment, name)
        at_trigger = not hasattr(element, "getUseValuesFromTriggerTime") or element.getUseValuesFromTriggerTime()
        value = self.reader.read(self.q.formula(assignment), self.q.now)
        found = linear_in(value, self.q.now[name]) if isinstance(target, State) else (0.0, value)
        if found is None or found[0] not in (0.0, 1.0):
            raise self.q.refuse(
                assignment,
                f"the new value may hold {name!r} only as {name} + amount; the engine cannot multiply at an event",
            )
        change = self.in_state(name, found[1], at if at_trigger else executed)
        self.check_known(assignment, "the new value", change)
        added = found[0] == 1.0
        if added and at_trigger and element.isSetDelay():
            raise self.q.refuse(assignment, f"{name} + amount with a delay needs useValuesFromTriggerTime=false here")
        self.sums.setdefault(target, []).append((self.default(executed), added and at_trigger, assignment))
        return Event("bolus" if added else "set", target, _plain(change, target.unit), _plain(executed, "day"))

    def infusion(self, _element: Any, assignment: Any, at: Expression, _executed: Expression) -> Event:
        """An infusion of ours: rate + amount / duration."""
        target = self.q.states.get(self.q.own.words(self.q.all[assignment.getVariable()]).get("target", ""))
        tree = assignment.getMath()
        quotient = tree.getChild(1) if tree.getNumChildren() == 2 else None
        if target is None or quotient is None or quotient.getNumChildren() != 2 or quotient.getCharacter() != "/":
            raise self.q.refuse(assignment, "an infusion that livingdrug wrote was changed by hand; it is not read")
        place = self.q.formula(assignment).place
        amount, duration = (self.reader.read(Formula(quotient.getChild(k), place), self.q.now) for k in (0, 1))
        self.check_known(assignment, "the infusion", amount + duration)
        return Event("infusion", target, _plain(amount, target.unit), _plain(at, "day"), _plain(duration, "day"))

    def target(self, assignment: Any, name: str) -> State | Parameter:
        found = self.q.states[name] if name in self.q.states else self.q.now.get(name)
        if not isinstance(found, (State, Parameter)):
            raise self.q.refuse(assignment, f"an event cannot change {name!r}, which a rule determines")
        return found

    def in_state(self, name: str, value: Expression, moment: Expression) -> Expression:
        """The value as that of the state, an amount where a concentration is followed as one, at a time."""
        if self.q.is_kept_as_amount(name):
            value = value * self.q.room(self.q.all[name], self.q.now)
        return simple(substitute(value, self.clock_at(moment)))

    def clock_at(self, moment: Expression) -> Mapping[Expression, Expression]:
        """Time, in the unit of the file and in days, as it is at the event."""
        if self.clock is time:
            return {time: moment}
        if isinstance(moment, Number):
            one = self.days(Number(1.0))
            return {self.clock: Number(moment.value / one.value), time: moment}  # type: ignore[attr-defined]
        return {self.clock: moment / self.clock.operands[1], time: moment}

    def default(self, at: Expression) -> float:
        """The time in days with the values of the file."""
        days: dict[Expression, float] = {
            s: s.value * to_canonical(s.unit) for s in symbols_in(at) if isinstance(s, Parameter)
        }
        return float(evaluate(at, days))

    def check_order(self) -> None:
        """Sums of values from before an instant and another change at that instant do not add up in the engine."""
        for changes in self.sums.values():
            for k, (at, remembers, assignment) in enumerate(changes):
                if remembers and any(other == at for i, (other, _, _) in enumerate(changes) if i != k):
                    raise self.q.refuse(
                        assignment,
                        "two events change it at one time, and this one adds to the value from before both; "
                        "set useValuesFromTriggerTime=false",
                    )


def _is_fixed(symbol: Any, changed: set[Parameter]) -> bool:
    return isinstance(symbol, Parameter) and symbol not in changed


def _name_of(quantities: Quantities, symbol: Any) -> str:
    return next((repr(name) for name, s in quantities.attributes.items() if s is symbol), "time")


def _meet(choose: Any, a: Expression | None, b: Expression | None) -> Expression | None:
    if a is None or b is None:
        return a if b is None else b
    return simple(choose(a, b))


def _at_start(start: Expression, strict: bool, at_first: bool) -> Expression:
    """When a trigger that is true from ``start`` on becomes so, if it is taken to be true (or not) before time 0."""
    if not at_first:
        return start if number_of(start) is None else simple(maximum(start, 0))
    return _if(start >= 0 if strict else start > 0, start)


def _if(condition: Expression, at: Expression) -> Expression:
    """A time, or never; both sides of the condition are in days."""
    known = all(number_of(side) is not None for side in condition.operands)
    if known:
        return at if evaluate(condition, {}) else Number(math.inf)
    return where(condition, at, math.inf)


def _plain(value: Expression, unit: str) -> Any:
    """A number as it is declared, in its unit; a formula as it is."""
    return value.value / to_canonical(unit) if isinstance(value, Number) else value
