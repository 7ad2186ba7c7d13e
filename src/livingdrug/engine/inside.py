"""What happens inside a step: crossings of levels, extremes, outputs; written on the step's dense output."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from livingdrug.engine.ir import Value, Variable
from livingdrug.engine.step import Formulas, Point

if TYPE_CHECKING:
    from livingdrug.engine.kernel import KernelWriter

INSIDE = (0.25, 0.5, 0.75)
"""Shares of a step at which crossings and extremes are looked for besides its ends."""
BISECTIONS = 48


def at_share(kernel: KernelWriter, share: Value, roots: list[int]) -> Point:
    """The point at a share of the step, with the states that the formulas need."""
    system = kernel.system
    needed = system.graph.symbols(roots)
    wanted = [i for i in range(kernel.n) if system.slots[i] in needed]
    formulas = Formulas(kernel.f, system, kernel.slots, roots)
    return formulas.at(kernel.f.fma(share, kernel.h, kernel.t), kernel.step.dense(share, wanted))


def point_inside(kernel: KernelWriter, share: Value, roots: list[int]) -> list[Value]:
    """Values of formulas at a share of the step."""
    point = at_share(kernel, share, roots)
    return [point.value(r) for r in roots]


def bisect(kernel: KernelWriter, low: Value, high: Value, reached: Callable[[Value], Value]) -> Value:
    """Smallest share of the step between low and high at which ``reached`` holds; it holds at high."""
    f = kernel.f
    a, b = f.array("v", 1), f.array("v", 1)
    f.store(low, a)
    f.store(high, b)
    with f.count(0, BISECTIONS):
        left, right = f.load(a, 0, "v"), f.load(b, 0, "v")
        middle = (left + right) * 0.5
        there = reached(middle)
        f.store(f.select(there, left, middle), a)
        f.store(f.select(there, middle, right), b)
    return f.load(b, 0, "v")


def first_share(kernel: KernelWriter, value: int, slope: int, open_: Value) -> tuple[Value, Value, Value]:
    """(found, low, high): the first part of the step, in lanes still open, in which the formula becomes >= 0.

    Looks at a few shares of the step, and between two looks at the top where the slope changes sign, so that a value
    that comes and goes within one step is not missed.
    """
    f = kernel.f
    bounds = {name: f.array("v", 1) for name in ("found", "low", "high")}

    def take(where: Value, low: Value, high: Value) -> None:
        new = where & (f.load(bounds["found"], 0, "v") < 0.5)
        for name, with_ in (("low", low), ("high", high), ("found", f.constant("v", 1.0))):
            f.store(f.select(new, with_, f.load(bounds[name], 0, "v")), bounds[name])

    before = f.constant("v", 0.0)
    start, rising = point_inside(kernel, before, [value, slope])
    for name in ("low", "high"):
        f.store(before, bounds[name])
    f.store(f.select(start >= 0.0, f.constant("v", 1.0), before), bounds["found"])
    for look in (*INSIDE, 1.0):
        share = f.constant("v", look)
        here, rise = point_inside(kernel, share, [value, slope])
        not_yet = open_ & (f.load(bounds["found"], 0, "v") < 0.5)
        turned = not_yet & (here < 0.0) & (rising > 0.0) & (rise <= 0.0)
        with f.when(f.any_bits(turned).differs(0)):
            top = bisect(kernel, before, share, lambda u: point_inside(kernel, u, [slope])[0] <= 0.0)
            take(turned & (point_inside(kernel, top, [value])[0] >= 0.0), before, top)
        take(here >= 0.0, before, share)
        before, rising = share, rise
    found, low, high = (f.load(bounds[name], 0, "v") for name in ("found", "low", "high"))
    return open_ & (found > 0.5), low, high


def cut(kernel: KernelWriter, where: Value, share: Value, new_time: Value) -> None:
    """End the step of some lanes early, at a share of it."""
    f = kernel.f
    for i, value in kernel.step.dense(share, range(kernel.n)).items():
        f.store(f.select(where, value, f.load(kernel.x_new, i, "v")), kernel.x_new, i)
    f.store(f.select(where, f.fma(share, kernel.h, kernel.t), f.load(new_time, 0, "v")), new_time, 0)


def watch_crossings(kernel: KernelWriter, ok: Value, new_time: Value, stopped: Variable) -> None:
    """Note the first time at which each watched output reaches its level; end the solve there if asked."""
    f = kernel.f
    for k, (_, _, ends) in enumerate(kernel.request.crossings):
        (node, slope), candidate = kernel.system.crossings[k], kernel.candidates[k]
        known = f.load(kernel.reached[k], 0, "v")
        open_ = ok & known.differs(known)
        f.store(f.constant("v", math.inf), candidate)
        with f.when(f.any_bits(open_).differs(0)):
            found, low, high = first_share(kernel, node, slope, open_)
            with f.when(f.any_bits(found).differs(0)):
                share = bisect(kernel, low, high, lambda u, node=node: point_inside(kernel, u, [node])[0] >= 0.0)
                share = f.select(high.equals(0.0), high, share)  # reached from the start
                at = f.fma(share, kernel.h, kernel.t)
                found = found & (at <= f.load(new_time, 0, "v"))
                f.store(f.select(found, at, f.load(candidate, 0, "v")), candidate)
                if ends:
                    cut(kernel, found, share, new_time)
                    stopped.set(stopped.get() | f.any_bits(found))
    for cell, candidate in zip(kernel.reached, kernel.candidates, strict=True):
        at = f.load(candidate, 0, "v")
        f.store(f.select(at <= f.load(new_time, 0, "v"), at, f.load(cell, 0, "v")), cell)


def watch_extremes(kernel: KernelWriter, ok: Value, new_time: Value) -> None:
    """Keep the largest value so far of each watched output and its time."""
    f = kernel.f
    for k, (when, best) in enumerate(kernel.best):
        node, slope = kernel.system.extremes[k]
        whole = (f.load(new_time, 0, "v") - kernel.t) / kernel.h
        shares = [f.constant("v", 0.0), *(whole * s for s in INSIDE), whole]
        slopes = []
        for share in shares:
            value, rise = point_inside(kernel, share, [node, slope])
            keep_best(kernel, ok, when, best, share, value)
            slopes.append(rise)
        low = high = f.constant("v", 0.0)
        found = ok & (low > 1.0)
        for j in range(len(shares) - 1):
            turns = ok & (slopes[j] > 0.0) & (slopes[j + 1] <= 0.0) & ~found
            low, high = f.select(turns, shares[j], low), f.select(turns, shares[j + 1], high)
            found = found | turns
        with f.when(f.any_bits(found).differs(0)):
            share = bisect(kernel, low, high, lambda u, s=slope: point_inside(kernel, u, [s])[0] <= 0.0)
            keep_best(kernel, found, when, best, share, point_inside(kernel, share, [node])[0])


def keep_best(kernel: KernelWriter, where: Value, when: Value, best: Value, share: Value, value: Value) -> None:
    """Take over the value where it is larger than the best so far."""
    f = kernel.f
    old = f.load(best, 0, "v")
    better = where & f.compare("ugt", "", value, old) & value.equals(value)
    f.store(f.select(better, value, old), best, 0)
    f.store(f.select(better, f.fma(share, kernel.h, kernel.t), f.load(when, 0, "v")), when, 0)


def write_outputs(kernel: KernelWriter, ok: Value, arrived: Value, stopped: Variable) -> None:
    """Write all outputs that are due before the end of the step (at it, only where a crossing ends the solve)."""
    f = kernel.f
    stopped_mask = f.emit("m", f"bitcast i{kernel.lanes} {kernel.as_small(stopped.get())} to <{kernel.lanes} x i1>")
    with f.loop() as loop:
        due = kernel.get("due")
        ready = ok & ((due < arrived) | (stopped_mask & (due <= arrived)))
        lanes = f.any_bits(ready)
        loop.leave_unless(lanes.differs(0))
        share = f.select(ready, (due - kernel.t) / kernel.h, f.constant("v", 0.0))
        point = at_share(kernel, share, kernel.system.output_roots())
        store_outputs(kernel, point, lanes, share)


def write_outputs_at_start(kernel: KernelWriter, lanes_in_question: Value) -> None:
    """Write the outputs that are due at the very beginning of the step."""
    f, system = kernel.f, kernel.system
    with f.loop() as loop:
        lanes = f.any_bits(lanes_in_question & (kernel.get("due") <= kernel.t))
        loop.leave_unless(lanes.differs(0))
        states = [f.load(kernel.slots, i, "v") for i in range(kernel.n)]
        point = Formulas(f, system, kernel.slots, system.output_roots()).at(kernel.t, states)
        store_outputs(kernel, point, lanes, None)


def store_outputs(kernel: KernelWriter, point: Point, lanes: Value, share: Value | None) -> None:
    """Write one row of outputs for some lanes and go on to their next output times."""
    f, outputs = kernel.f, kernel.system.outputs
    width = len(outputs) * (1 + len(kernel.layout.tangents))
    for k, output in enumerate(outputs):
        f.store(point.value(output), kernel.results, k)
    if kernel.tangents is not None and share is not None:
        kernel.tangents.outputs(share, point, kernel.results)
    with f.each_bit(lanes) as lane:
        patient = f.load(kernel.lane_int["id"], lane, "i")
        k = f.load(kernel.lane_int["output"], lane, "i")
        row = f.at(kernel.arg["values"], (patient * kernel.arg["output_count"] + k) * width)
        for j in range(width):
            f.store(f.load(kernel.results, kernel.slot_place(j, lane)), row, j)
        f.store(k + 1, kernel.lane_int["output"], lane)
        kernel.next_output(lane, patient)
