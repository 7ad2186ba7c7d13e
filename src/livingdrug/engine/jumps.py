"""Populations that may die out: handed over below a threshold, drawn cell by cell, handed back when they have grown.

Where births and deaths are proportional to the number of cells and nothing else depends on it, the number at the end of
a step is drawn from Kendall's solution (1948) with rates that change in time; else every birth and death is drawn for
itself, when the integral of their rate reaches an exponential number (exact for any rates, and it needs no bound).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from livingdrug.engine import inside, random_ir, unnoticed
from livingdrug.engine.ir import Value
from livingdrug.engine.layout import JumpPlan
from livingdrug.engine.step import Formulas

if TYPE_CHECKING:
    from livingdrug.engine.kernel import KernelWriter


def unfed(kernel: KernelWriter, jump: JumpPlan) -> Value:
    """Lanes in which the state is not being infused; what is infused follows its equation."""
    f = kernel.f
    return f.constant("m", 1) if jump.rate < 0 else f.load(kernel.slots, jump.rate, "v").equals(0.0)


def is_counting(kernel: KernelWriter, jump: JumpPlan) -> Value:
    """Lanes in which the state is counted cell by cell and not extinct."""
    mode = kernel.f.load(kernel.slots, jump.mode, "v")
    return (mode > 0.5) & (mode < 1.5)


def halt(kernel: KernelWriter) -> Value:
    """Where the step must end at the latest: the stop, or an output time of a patient whose cells are being counted."""
    f, due, halt = kernel.f, kernel.get("due"), kernel.stop
    for jump in kernel.layout.jumps:
        halt = f.select(is_counting(kernel, jump) & (due > kernel.t) & (due < halt), due, halt)
    return halt


def cut_at_thresholds(kernel: KernelWriter, ok: Value, new_time: Value) -> None:
    """End the step where a clone falls below its threshold, so that it is handed over there."""
    f = kernel.f
    for jump in kernel.layout.jumps:
        smooth = (f.load(kernel.slots, jump.mode, "v") < 0.5) & unfed(kernel, jump)
        below = (
            ok
            & smooth
            & (f.load(kernel.x_new, jump.state, "v") < jump.below)
            & (kernel.step.x[jump.state] >= jump.below)
        )
        with f.when(f.any_bits(below).differs(0)):
            zero, one = f.constant("v", 0.0), f.constant("v", 1.0)
            share = inside.bisect(
                kernel, zero, one, lambda u, i=jump.state, level=jump.below: kernel.step.dense(u, [i])[i] < level
            )
            inside.cut(kernel, below, share, new_time)


def cut_at_jumps(kernel: KernelWriter, ok: Value, new_time: Value) -> None:
    """End the step at the next birth or death of a process whose events are drawn one by one."""
    f = kernel.f
    for jump, cell in zip(kernel.layout.jumps, kernel.jump_times, strict=True):
        f.store(f.constant("v", math.inf), cell)
        if jump.kendall or not jump.noticed:
            continue
        level = f.load(kernel.slots, jump.deaths, "v")
        due = ok & is_counting(kernel, jump) & (kernel.step.new[jump.lean] >= level)
        with f.when(f.any_bits(due).differs(0)):
            zero, one = f.constant("v", 0.0), f.constant("v", 1.0)
            share = inside.bisect(
                kernel, zero, one, lambda u, i=jump.lean, level=level: kernel.step.dense(u, [i])[i] >= level
            )
            at = f.fma(share, kernel.h, kernel.t)
            due = due & (at <= f.load(new_time, 0, "v"))
            f.store(f.select(due, at, f.load(cell, 0, "v")), cell)
            inside.cut(kernel, due, share, new_time)


def settle(kernel: KernelWriter, lane: Value, patient: Value, number: int, jump: JumpPlan) -> None:
    """Decide by its size whether a state follows its equation or is counted; give a counted one a whole number."""
    f = kernel.f
    mode_place, place = kernel.slot_place(jump.mode, lane), kernel.slot_place(jump.state, lane)
    cells, mode = f.load(kernel.slots, place), f.load(kernel.slots, mode_place)
    counted = (cells < jump.below) | ((mode > 0.5) & (cells < jump.above))
    if jump.rate >= 0:
        counted = counted & f.load(kernel.slots, kernel.slot_place(jump.rate, lane)).equals(0.0)
    with f.when(counted):
        whole = f.intrinsic("floor", cells)
        rest = cells - whole
        rounded = f.variable("d", whole)
        with f.when(rest > 0.0):
            rounded.set(f.select(draw(kernel, patient, number) < rest, whole + 1.0, whole))
        f.store(rounded.get(), kernel.slots, place)
        begin_drawing(kernel, lane, patient, number, jump)
        note_count(kernel, lane, patient, number, jump, rounded.get(), f.load(kernel.vec["t"], lane))
    with f.when(~counted):
        f.store(f.constant("d", 0.0), kernel.slots, mode_place)
        forget_extinction(kernel, patient, number)


def note_count(
    kernel: KernelWriter, lane: Value, patient: Value, number: int, jump: JumpPlan, cells: Value, at: Value
) -> None:
    """Set the mode of a counted state, and when it died out."""
    f = kernel.f
    alive = cells > 0.5
    f.store(
        f.select(alive, f.constant("d", 1.0), f.constant("d", 2.0)), kernel.slots, kernel.slot_place(jump.mode, lane)
    )
    with f.when(alive):
        forget_extinction(kernel, patient, number)
    with f.when(~alive):
        note_extinction(kernel, patient, number, at)


def draw(kernel: KernelWriter, patient: Value, number: int) -> Value:
    """The next uniform number of this patient's own stream."""
    f, count = kernel.f, len(kernel.layout.jumps)
    counter = f.at(kernel.arg["draws"], patient * count + number, "i")
    identity = f.load(kernel.arg["identity"], patient, "i")
    k = f.load(counter, 0, "i")
    f.store(k + 1, counter, 0)
    purpose = f.constant("i", random_ir.PURPOSE_JUMP + number)
    return f.call("uniform", "d", kernel.arg["key"], identity, purpose, k)


def note_extinction(kernel: KernelWriter, patient: Value, number: int, at: Value) -> None:
    """Keep the first time at which the state died out."""
    f = kernel.f
    place = f.at(kernel.arg["extinct_time"], patient * len(kernel.layout.jumps) + number)
    old = f.load(place)
    f.store(f.select(old.differs(old), at, old), place, 0)


def forget_extinction(kernel: KernelWriter, patient: Value, number: int) -> None:
    """The state is alive (again)."""
    place = kernel.f.at(kernel.arg["extinct_time"], patient * len(kernel.layout.jumps) + number)
    kernel.f.store(kernel.f.constant("d", math.nan), place, 0)


def count_cells(kernel: KernelWriter, ok: Value) -> None:
    """Draw the number of cells at the end of the step from Kendall's solution; hand over what crossed a threshold."""
    f = kernel.f
    for number, jump in enumerate(kernel.layout.jumps):
        mode = f.load(kernel.slots, jump.mode, "v")
        counted = ok & is_counting(kernel, jump)
        if jump.kendall:
            with f.each_bit(f.any_bits(counted)) as lane:
                draw_cells(kernel, lane, number, jump)
        elif not jump.noticed:
            unnoticed.draw_many(kernel, counted, number, jump)
        else:
            draw_events(kernel, counted & (f.load(kernel.jump_times[number], 0, "v") <= kernel.get("t")), number, jump)
        cells = f.load(kernel.slots, jump.state, "v")
        entering = ok & (mode < 0.5) & (cells < jump.below) & unfed(kernel, jump)
        leaving = counted & (cells >= jump.above)
        with f.each_bit(f.any_bits(entering | leaving)) as lane:
            settle(kernel, lane, f.load(kernel.lane_int["id"], lane, "i"), number, jump)
            f.store(kernel.arg["first_step"], kernel.vec["h"], lane)


def begin_drawing(kernel: KernelWriter, lane: Value, patient: Value, number: int, jump: JumpPlan) -> None:
    """Set the two integrals to their start: zero, or zero and the level at which the next event falls due."""
    f = kernel.f
    f.store(f.constant("d", 0.0), kernel.slots, kernel.slot_place(jump.lean, lane))
    level = f.constant("d", 0.0)
    if not jump.kendall:
        level = -f.call("log.d", "d", draw(kernel, patient, number))
    f.store(level, kernel.slots, kernel.slot_place(jump.deaths, lane))


def draw_events(kernel: KernelWriter, due: Value, number: int, jump: JumpPlan) -> None:
    """One birth or one death in each lane whose integral of events has reached its level.

    Exact for any rates: the integral of the rate of all events up to the next event is exponential with mean 1.
    """
    f, system = kernel.f, kernel.system
    with f.when(f.any_bits(due).differs(0)):
        states = [f.load(kernel.slots, i, "v") for i in range(kernel.n)]
        birth, death = system.jump_rates[number]
        point = Formulas(f, system, kernel.slots, [birth, death]).at(kernel.get("t"), states)
        births = point.value(birth)
        shares = f.array("v", 1)
        f.store(births / (births + point.value(death)), shares)
        with f.each_bit(f.any_bits(due)) as lane:
            patient = f.load(kernel.lane_int["id"], lane, "i")
            place = kernel.slot_place(jump.state, lane)
            born = draw(kernel, patient, number) < f.load(shares, lane)
            change = f.select(born, f.constant("d", 1.0), f.constant("d", -1.0))
            cells = f.load(kernel.slots, place) + change
            f.store(cells, kernel.slots, place)
            begin_drawing(kernel, lane, patient, number, jump)
            note_count(kernel, lane, patient, number, jump, cells, f.load(kernel.vec["t"], lane))


def draw_cells(kernel: KernelWriter, lane: Value, number: int, jump: JumpPlan) -> None:
    """New number of cells of one lane; if none is left, when the last one went."""
    f, count = kernel.f, len(kernel.layout.jumps)
    patient = f.load(kernel.lane_int["id"], lane, "i")
    place = kernel.slot_place(jump.state, lane)
    cells = f.load(kernel.slots, place)
    lean, deaths = (f.load(kernel.slots, kernel.slot_place(s, lane)) for s in (jump.lean, jump.deaths))
    counter = f.at(kernel.arg["draws"], patient * count + number, "i")
    gone_by = draw(kernel, patient, number)
    root = f.call("pow.d", "d", gone_by, f.constant("d", 1.0) / cells)
    level = root / (f.constant("d", 1.0) - root)  # the integral at which the last family dies out
    for integral in (jump.lean, jump.deaths):
        f.store(f.constant("d", 0.0), kernel.slots, kernel.slot_place(integral, lane))
    dies = level < deaths
    with f.when(dies):
        f.store(f.constant("d", 0.0), kernel.slots, place)
        target = f.splat(level)
        zero, one = f.constant("v", 0.0), f.constant("v", 1.0)
        share = inside.bisect(kernel, zero, one, lambda u: kernel.step.dense(u, [jump.deaths])[jump.deaths] >= target)
        at = f.fma(share, kernel.h, kernel.t)
        when = f.emit("d", f"extractelement {f.type('v')} {at.name}, i64 {lane.name}")
        note_count(kernel, lane, patient, number, jump, f.constant("d", 0.0), when)
    with f.when(~dies):
        identity = f.load(kernel.arg["identity"], patient, "i")
        purpose = f.constant("i", random_ir.PURPOSE_JUMP + number)
        survivors = f.call("survivors", "d", cells, lean, deaths, kernel.arg["key"], identity, purpose, counter)
        f.store(survivors, kernel.slots, place)
