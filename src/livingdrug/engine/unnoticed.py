"""Small populations that the rest of a model does not notice: many births and deaths within one step of the solve.

A step need not end at an event if nothing else feels it. Through the step the rest of the model sees the number at its
start; the dense output gives the integral of the rate of all events for that number. From each event to the next the
integral is taken times the ratio of the rates with the number that there now is and with the number at the start: exact
where rates are proportional to the number, and right at each event where they are not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from livingdrug.engine import jumps, tableau
from livingdrug.engine.ir import Value
from livingdrug.engine.layout import JumpPlan
from livingdrug.engine.step import Formulas, Point

if TYPE_CHECKING:
    from livingdrug.engine.kernel import KernelWriter

EVENTS_PER_CELL = 2.0
"""Births and deaths that may fall into one step, in the mean, for each cell at its start; else the step is too long."""
CORRECTIONS = 4
"""Steps of Newton's method by which an event is placed within its step; the integral is nearly straight."""


def hold_back(kernel: KernelWriter, ok: Value, growth: Value) -> tuple[Value, Value]:
    """Refuse steps with too many events, and let no step grow to that: (accepted lanes, growth of the step)."""
    f, step = kernel.f, kernel.step
    for jump in kernel.layout.jumps:
        if not jump.noticed:
            share = step.new[jump.lean] / (step.x[jump.state] * EVENTS_PER_CELL)
            counting = jumps.is_counting(kernel, jump)
            refused = counting & (share > 1.0)
            ok = ok & ~refused
            most = f.constant("v", 0.9) / share
            growth = f.select(counting & (growth > most), most, growth)
            growth = f.select(refused & (growth > 0.7), f.constant("v", 0.7), growth)  # as after an error
    return ok, growth


def draw_many(kernel: KernelWriter, counted: Value, number: int, jump: JumpPlan) -> None:
    """Draw all births and deaths of the accepted step in the lanes that count."""
    f = kernel.f
    with f.when(f.any_bits(counted).differs(0)):
        whole = (kernel.get("t") - kernel.t) / kernel.h
        lean = _Integral(kernel, jump.lean)
        end = lean.at(whole)[0]
        cell = {name: f.array("v", 1) for name in ("busy", "pace", "share", "passed", "chance")}
        one, zero = f.constant("v", 1.0), f.constant("v", 0.0)
        f.store(f.select(counted, one, zero), cell["busy"])
        for name, value in (("pace", one), ("share", zero), ("passed", zero)):
            f.store(value, cell[name])
        with f.loop() as loop:
            busy = f.load(cell["busy"], 0, "v") > 0.5
            loop.leave_unless(f.any_bits(busy).differs(0))
            level, pace, passed = f.load(kernel.slots, jump.deaths, "v"), *(_get(kernel, cell, "pace", "passed"))
            target = passed + level / pace
            due = busy & (target < end)
            left = level - pace * (end - passed)
            left = f.select(left > 0.0, left, zero)
            f.store(f.select(busy & ~due, left, level), kernel.slots, jump.deaths)
            f.store(f.select(due, one, zero), cell["busy"])
            with f.when(f.any_bits(due).differs(0)):
                share = lean.reaches(target, f.load(cell["share"], 0, "v"), whole)
                f.store(f.select(due, share, f.load(cell["share"], 0, "v")), cell["share"])
                f.store(f.select(due, target, passed), cell["passed"])
                _events(kernel, due, share, cell, number, jump)
        f.store(f.select(counted, zero, f.load(kernel.slots, jump.lean, "v")), kernel.slots, jump.lean)


def _get(kernel: KernelWriter, cell: dict[str, Value], *names: str) -> list[Value]:
    return [kernel.f.load(cell[name], 0, "v") for name in names]


def _events(
    kernel: KernelWriter, due: Value, share: Value, cell: dict[str, Value], number: int, jump: JumpPlan
) -> None:
    """One birth or death in each lane that is due, and how fast events follow each other from then on."""
    f = kernel.f
    rates = _Rates(kernel, share, number, jump)
    births, deaths = rates.of(f.load(kernel.slots, jump.state, "v"))
    f.store(births / (births + deaths), cell["chance"])
    times = f.array("v", 1)
    f.store(f.fma(share, kernel.h, kernel.t), times)
    with f.each_bit(f.any_bits(due)) as lane:
        patient = f.load(kernel.lane_int["id"], lane, "i")
        place = kernel.slot_place(jump.state, lane)
        born = jumps.draw(kernel, patient, number) < f.load(cell["chance"], lane)
        cells = f.load(kernel.slots, place) + f.select(born, f.constant("d", 1.0), f.constant("d", -1.0))
        f.store(cells, kernel.slots, place)
        jumps.begin_drawing(kernel, lane, patient, number, jump)
        jumps.note_count(kernel, lane, patient, number, jump, cells, f.load(times, lane))
        with f.when(cells < 0.5):
            f.store(f.constant("d", 0.0), cell["busy"], lane)
    births, deaths = rates.of(f.load(kernel.slots, jump.state, "v"))
    pace = (births + deaths) / rates.at_start
    pace = f.select(rates.at_start > 0.0, pace, f.constant("v", 0.0))
    f.store(f.select(due, pace, f.load(cell["pace"], 0, "v")), cell["pace"])


class _Rates:
    """Births and deaths at one moment of a step, for any number of cells; what does not hang on it is written once."""

    def __init__(self, kernel: KernelWriter, share: Value, number: int, jump: JumpPlan) -> None:
        system = kernel.system
        self.roots = list(system.jump_rates[number])
        self.cells = system.slots[jump.state]
        needed = system.graph.symbols(self.roots)
        wanted = [i for i in range(kernel.n) if system.slots[i] in needed and i != jump.state]
        formulas = Formulas(kernel.f, system, kernel.slots, self.roots)
        states = kernel.step.dense(share, wanted) | {jump.state: kernel.step.x[jump.state]}
        self.point = formulas.at(kernel.f.fma(share, kernel.h, kernel.t), states)
        births, deaths = (self.point.value(root) for root in self.roots)
        self.at_start = births + deaths
        self.hanging = {self.cells}
        for node in system.graph.reachable(self.roots):
            if self.hanging & set(system.graph.operands[node]):
                self.hanging.add(node)

    def of(self, cells: Value) -> tuple[Value, Value]:
        """Births and deaths per day of so many cells."""
        known = self.point
        other = Point(known.formulas, known.shared[known.system.time], {}, known.shared)
        other.own = {node: value for node, value in known.own.items() if node not in self.hanging}
        other.own[self.cells] = cells
        births, deaths = (other.value(root) for root in self.roots)
        return births, deaths


class _Integral:
    """The dense output of one state that is zero at the start of the step, by the share of the step."""

    def __init__(self, kernel: KernelWriter, state: int) -> None:
        self.f, step = kernel.f, kernel.step
        self.end = step.new[state]
        self.bends = []
        for row in tableau.DENSE:
            total = self.f.constant("v", 0.0)
            for j in range(tableau.STAGES):
                total = self.f.fma(self.f.constant("v", row[j]), step.stages[j][state], total)
            self.bends.append(total)

    def at(self, share: Value) -> tuple[Value, Value]:
        """Value and slope."""
        f, (a, b, c) = self.f, self.bends
        rest = f.constant("v", 1.0) - share
        bend = f.fma(share, f.fma(share, c, b), a)
        mean = f.fma(rest, bend, self.end)
        turn = f.fma(rest, f.fma(share, c + c, b), -bend)
        return share * mean, f.fma(share, turn, mean)

    def reaches(self, target: Value, low: Value, high: Value) -> Value:
        """The share between low and high at which the value is the target, by Newton's method."""
        f = self.f
        share = f.array("v", 1)
        guess = high * target / self.at(high)[0]
        f.store(f.select(guess > low, guess, low), share)
        with f.count(0, CORRECTIONS):
            before = f.load(share, 0, "v")
            value, slope = self.at(before)
            better = before + (target - value) / slope
            better = f.select(better > low, better, low)  # also where it is not a number
            f.store(f.select(better < high, better, high), share)
        return f.load(share, 0, "v")
