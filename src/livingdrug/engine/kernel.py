"""The loop around the step: lanes, events, parking, failures; written as LLVM IR around a model's code.

One lane is one patient with a time, step, events and outputs of its own. A lane whose patient is done takes the next
one. Nothing passes between lanes: a patient's bits depend on neither neighbours, number of lanes nor thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from livingdrug.engine import inside, jumps, random_ir, unnoticed
from livingdrug.engine.functions import rough_exp2, rough_log2, write_functions
from livingdrug.engine.ir import Function, Value, Variable, declarations
from livingdrug.engine.layout import Request
from livingdrug.engine.lowering import System
from livingdrug.engine.step import Formulas, Step
from livingdrug.engine.tangents import TangentStep

ARGUMENTS = (
    "next", "count", "batch", "cancel",  # sharing the patients among threads
    "slots", "time", "step", "last_error", "event", "output", "steps", "rejected", "status", "worst",  # kept
    "end",  # where each patient stops
    "event_start", "event_time", "event_slot", "event_action", "event_value",  # schedule, one stretch per patient
    "event_slopes",  # for each event and tangent: slope of its time, slope of its value
    "values", "output_times", "output_stride", "output_count",  # results
    "inverse_square_tolerance", "first_step", "shortest_step", "most_steps", "reach",
    "crossing_time", "extreme", "extinct_time", "draws", "identity", "key",
)  # fmt: skip
"""Fields of the call block, eight bytes each: pointers, whole numbers, or doubles."""

REALS = {"inverse_square_tolerance", "first_step", "shortest_step", "most_steps", "reach"}
IN_A_ROW = 8
"""Slots that are copied without a jump between them."""
SOLVED, STEP_TOO_SMALL, TOO_MANY_STEPS, SINGULAR, BAD_START, BAD_OUTPUT, STOPPED = range(7)
"""How a patient's solve ended; STOPPED is at a crossing, as asked."""


def write_kernel(system: System, request: Request, lanes: int) -> str:
    """The whole module of IR for a lowered model: function ``advance`` and ``prepare``."""
    head = declarations(lanes) + write_functions(lanes)
    if system.layout.jumps:
        head += random_ir.write_draws(lanes)
    return head + Preparation(system, lanes).text() + KernelWriter(system, request, lanes).text()


class Preparation:
    """Writes ``prepare``: from parameters, the initial states and the model's own event times and amounts."""

    def __init__(self, system: System, lanes: int) -> None:
        self.system, self.lanes = system, lanes

    def text(self) -> str:
        """The function as IR: prepare(count, parameters, results), rows of patients."""
        system, layout, lanes = self.system, self.system.layout, self.lanes
        f = Function("prepare", [("count", "i"), ("parameters", "p"), ("results", "p")], lanes, attributes="nounwind")
        roots = [*system.initial, *system.stop_times, *system.stop_values, *system.stop_slopes]
        n_parameters = len(layout.parameters)
        slots = f.array("v", len(system.slots))
        bare = System(**{**system.__dict__, "slots": system.slots[: layout.kept]})
        with f.count(0, f["count"]) as group:
            first = group * lanes
            for k in range(n_parameters):
                with f.count(0, lanes) as lane:
                    row = (first + lane) * n_parameters
                    value = f.load(f["parameters"], row + k)
                    f.store(value, slots, f.like(row, (layout.first_parameter + k) * lanes) + lane)
            point = Formulas(f, bare, slots, roots).at(f.constant("v", 0.0), {})
            scratch = f.array("v", len(roots))
            for k, root in enumerate(roots):
                f.store(point.value(root), scratch, k)
            with f.count(0, lanes) as lane:
                row = (first + lane) * len(roots)
                for k in range(len(roots)):
                    f.store(f.load(scratch, f.like(lane, k * lanes) + lane), f["results"], row + k)
        f.give()
        return f.text()


class KernelWriter:
    """Writes ``advance``: carry every patient from its parked state to its end."""

    def __init__(self, system: System, request: Request, lanes: int) -> None:
        self.system, self.request, self.lanes = system, request, lanes
        self.layout = system.layout
        self.n = self.layout.plain_states
        self.f = Function("advance", [("block", "p")], lanes, attributes="nounwind")
        f = self.f
        self.arg = {}
        for k, name in enumerate(ARGUMENTS):
            kind = "d" if name in REALS else "i" if name in {"count", "batch", "key"} else "p"
            if name in {"output_stride", "output_count"}:
                kind = "i"
            self.arg[name] = f.emit(kind, f"load {f.type(kind)}, ptr {f.at(f['block'], k, 'i').name}")
        self.slots = f.array("v", len(system.slots))
        vectors = ("t", "h", "stop", "end", "last_error", "due", "steps", "rejected")
        self.vec = {name: f.array("v", 1) for name in vectors}
        self.lane_int = {name: f.array("i", lanes) for name in ("id", "event", "output")}
        self.reached = [f.array("v", 1) for _ in request.crossings]
        self.jump_times = [f.array("v", 1) for _ in self.layout.jumps]
        self.candidates = [f.array("v", 1) for _ in request.crossings]
        self.best = [(f.array("v", 1), f.array("v", 1)) for _ in request.extremes]
        self.x_new = f.array("v", self.n)
        self.results = f.array("v", len(system.outputs) * (1 + len(self.layout.tangents)))
        self.full = (1 << lanes) - 1
        self.tangents = TangentStep(self) if self.layout.tangents else None
        if self.layout.tangents:
            self.rates_before, self.rates_after = (f.array("v", self.layout.plain_states) for _ in range(2))

    def text(self) -> str:
        """The function as IR."""
        f = self.f
        for k in range(len(self.system.slots)):
            f.store(f.constant("v", 1.0), self.slots, k)
        for pointer in self.vec.values():
            f.store(f.constant("v", 1.0), pointer)
        self.low, self.high = f.variable("i", 0), f.variable("i", 0)
        self.wanted, self.active = f.variable("i", self.full), f.variable("i", 0)
        with f.loop() as loop:
            with f.when(self.wanted.get().differs(0)):
                with f.each_bit(self.wanted.get()) as lane:
                    self.load_patient(lane)
                self.refresh()
                self.wanted.set(0)
            cancelled = f.emit("i", f"load volatile i64, ptr {self.arg['cancel'].name}")
            loop.leave_unless(self.active.get().differs(0) & cancelled.equals(0))
            self.advance_once()
        with f.each_bit(self.active.get()) as lane:  # cancelled: leave nothing undefined
            self.park(lane, f.constant("i", SOLVED))
        f.give()
        return f.text()

    # -- small accesses ---------------------------------------------------------------------------------------------
    def get(self, name: str) -> Value:
        """One of the lanes' own vectors."""
        return self.f.load(self.vec[name], 0, "v")

    def put(self, name: str, value: Value) -> None:
        """Set one of the lanes' own vectors."""
        self.f.store(value, self.vec[name], 0)

    def slot_place(self, slot: Value | int, lane: Value) -> Value:
        """Where a lane's entry of a slot lies."""
        if isinstance(slot, int):
            return lane + slot * self.lanes
        return slot * self.lanes + lane

    def read_patient(self, name: str, patient: Value, kind: str = "d") -> Value:
        """A number kept for a patient."""
        return self.f.load(self.arg[name], patient, kind)

    # -- one patient into or out of a lane --------------------------------------------------------------------------
    def load_patient(self, lane: Value) -> None:
        """Take the next patient, or mark the lane idle."""
        f = self.f
        with f.when(self.low.get() >= self.high.get()):
            batch = self.arg["batch"]
            first = f.emit("i", f"atomicrmw add ptr {self.arg['next'].name}, i64 {batch.name} monotonic")
            last = first + batch
            count = self.arg["count"]
            self.low.set(first)
            self.high.set(f.select(last < count, last, count))
        bit = f.emit("i", f"shl i64 1, {lane.name}")
        self.active.set(self.active.get() & ~bit)
        patient = self.low.get()
        with f.when(patient < self.high.get()):
            self.low.set(patient + 1)
            self.active.set(self.active.get() | bit)
            f.store(patient, self.lane_int["id"], lane)
            kept = self.layout.kept
            source = f.at(self.arg["slots"], patient * kept)
            self.copy(0, kept, lambda k: f.store(f.load(source, k), self.slots, self.slot_place(k, lane)))
            for name, source_name in (("t", "time"), ("h", "step"), ("last_error", "last_error"), ("end", "end")):
                f.store(self.read_patient(source_name, patient), self.vec[name], lane)
            for name in ("steps", "rejected"):
                whole = self.read_patient(name, patient, "i")
                f.store(f.emit("d", f"sitofp i64 {whole.name} to double"), self.vec[name], lane)
            for name in ("event", "output"):
                f.store(self.read_patient(name, patient, "i"), self.lane_int[name], lane)
            self.each_watch(lambda cell, place: f.store(f.load(place), cell, lane), patient)
            self.next_output(lane, patient)
            if self.layout.tangents:
                self.refresh()
            self.apply_events(lane, patient)
            step = f.load(self.vec["h"], lane)
            with f.when(~(step > 0.0)):
                f.store(self.arg["first_step"], self.vec["h"], lane)

    def each_watch(self, action: Callable[[Value, Value], object], patient: Value) -> None:
        """Copy crossing times and extremes between lane and patient."""
        f = self.f
        for k, cell in enumerate(self.reached):
            action(cell, f.at(self.arg["crossing_time"], patient * len(self.reached) + k))
        for k, (when, value) in enumerate(self.best):
            row = patient * (2 * len(self.best)) + 2 * k
            action(when, f.at(self.arg["extreme"], row))
            action(value, f.at(self.arg["extreme"], row + 1))

    def copy(self, first: int, last: int, one: Callable[[Value], object]) -> None:
        """Copy the slots from ``first`` to before ``last``, several in a row."""
        f, whole = self.f, first + (last - first) // IN_A_ROW * IN_A_ROW
        with f.count(0, (whole - first) // IN_A_ROW) as row:
            for k in range(IN_A_ROW):
                one(row * IN_A_ROW + (first + k))
        for k in range(whole, last):
            one(f.constant("i", k))

    def park(self, lane: Value, status: Value) -> None:
        """Write the lane's patient back; the lane is idle afterwards."""
        f = self.f
        patient = f.load(self.lane_int["id"], lane, "i")
        target = f.at(self.arg["slots"], patient * self.layout.kept)
        back = lambda k: f.store(f.load(self.slots, self.slot_place(k, lane)), target, k)  # noqa: E731
        self.copy(0, self.layout.first_parameter, back)  # an event that sets a parameter has written it itself
        self.copy(self.layout.first_level, self.layout.kept, back)
        for name, target_name in (("t", "time"), ("h", "step"), ("last_error", "last_error")):
            f.store(f.load(self.vec[name], lane), self.arg[target_name], patient)
        for name in ("steps", "rejected"):
            value = f.load(self.vec[name], lane)
            f.store(f.emit("i", f"fptosi double {value.name} to i64"), self.arg[name], patient)
        for name in ("event", "output"):
            f.store(f.load(self.lane_int[name], lane, "i"), self.arg[name], patient)
        self.each_watch(lambda cell, place: f.store(f.load(cell, lane), place, 0), patient)
        f.store(status, self.arg["status"], patient)
        bit = f.emit("i", f"shl i64 1, {lane.name}")
        self.active.set(self.active.get() & ~bit)

    def next_output(self, lane: Value, patient: Value) -> None:
        """Set the lane's next output time (infinite when there is none)."""
        f = self.f
        k = f.load(self.lane_int["output"], lane, "i")
        due = f.variable("d", math.inf)
        with f.when(k < self.arg["output_count"]):
            due.set(f.load(self.arg["output_times"], patient * self.arg["output_stride"] + k))
        f.store(due.get(), self.vec["due"], lane)

    # -- events -----------------------------------------------------------------------------------------------------
    def apply_events(self, lane: Value, patient: Value) -> None:
        """Apply every event that is due, then set the next stop."""
        f, arg = self.f, self.arg
        first = f.load(arg["event_start"], patient, "i")
        last = f.load(arg["event_start"], patient + 1, "i")
        now = f.load(self.vec["t"], lane)
        k = f.variable("i", first + f.load(self.lane_int["event"], lane, "i"))
        stop = f.variable("d", f.load(self.vec["end"], lane))
        with f.loop() as loop:
            loop.leave_unless(k.get() < last)
            event = k.get()
            due = f.load(arg["event_time"], event)
            with f.when(due > now):
                stop.set(f.select(due < stop.get(), due, stop.get()))
            loop.leave_unless(due <= now)
            place = self.slot_place(f.load(arg["event_slot"], event, "i"), lane)
            value = f.load(arg["event_value"], event)
            is_set = f.load(arg["event_action"], event, "i").differs(0)
            if self.layout.tangents:
                self.rates_now(self.rates_before)
            result = f.select(is_set, value, f.load(self.slots, place) + value)
            f.store(result, self.slots, place)
            f.store(result, arg["slots"], patient * self.layout.kept + f.load(arg["event_slot"], event, "i"))
            if self.layout.tangents:
                self.refresh()
                self.rates_now(self.rates_after)
                self.shift_tangents(lane, event, is_set)
            f.store(arg["first_step"], self.vec["h"], lane)
            k.set(event + 1)
        f.store(k.get() - first, self.lane_int["event"], lane)
        f.store(stop.get(), self.vec["stop"], lane)
        for number, jump in enumerate(self.layout.jumps):
            jumps.settle(self, lane, patient, number, jump)

    def rates_now(self, target: Value) -> None:
        """Rates of the plain states of all lanes as they stand."""
        f, rates = self.f, self.system.rates[: self.layout.plain_states]
        states = [f.load(self.slots, i, "v") for i in range(self.n)]
        point = Formulas(f, self.system, self.slots, rates).at(self.get("t"), states)
        for i, rate in enumerate(rates):
            f.store(point.value(rate), target, i)

    def shift_tangents(self, lane: Value, event: Value, is_set: Value) -> None:
        """Carry the tangents over an event.

        S+ = S- + (f- - f+) dT/dq + da/dq; or S+ = da/dq - f+ dT/dq for a state that is set.
        """
        f, arg, n = self.f, self.arg, self.layout.plain_states
        slot = f.load(arg["event_slot"], event, "i")
        for q in range(len(self.layout.tangents)):
            row = event * (2 * len(self.layout.tangents)) + 2 * q
            by_time, by_value = f.load(arg["event_slopes"], row), f.load(arg["event_slopes"], row + 1)
            for i in range(n):
                place = self.slot_place(n * (q + 1) + i, lane)
                old = f.load(self.slots, place)
                before = f.load(self.rates_before, self.slot_place(i, lane))
                after = f.load(self.rates_after, self.slot_place(i, lane))
                hit = slot.equals(i)
                carried = f.select(hit & is_set, f.like(old, 0.0), f.fma(before, by_time, old))
                shifted = f.fma(-after, by_time, carried) + f.select(hit, by_value, f.like(by_value, 0.0))
                f.store(shifted, self.slots, place)

    def refresh(self) -> None:
        """Recompute the prepared values of all lanes (a function of each lane's own parameters)."""
        f, system = self.f, self.system
        prepared = system.slots[self.layout.kept :]
        if not prepared:
            return
        bare = System(**{**system.__dict__, "slots": system.slots[: self.layout.kept]})
        point = Formulas(f, bare, self.slots, prepared).at(f.constant("v", 0.0), {})
        for k, node in enumerate(prepared):
            f.store(point.value(node), self.slots, self.layout.kept + k)

    # -- one round of the loop --------------------------------------------------------------------------------------
    def advance_once(self) -> None:
        """Step all lanes once and deal with what happened."""
        f = self.f
        self.t, self.stop, self.end = self.get("t"), self.get("stop"), self.get("end")
        for jump in self.layout.jumps:
            inside.write_outputs_at_start(self, jumps.is_counting(self, jump) & self.active_mask())
        proposed = self.get("h")
        halt = jumps.halt(self)
        left = halt - self.t
        last = proposed >= left * f.splat(self.arg["reach"])
        self.h = f.select(last, left, f.select(proposed > left * 0.5, left * 0.5, proposed))
        self.write_step()
        ok, growth, error = self.judge()
        ok, growth = unnoticed.hold_back(self, ok, growth)
        ok = ok & self.active_mask()
        stopped = f.variable("i", 0)
        arrived = self.look_inside(ok, f.select(last, halt, self.t + self.h), stopped)
        self.accept(ok, arrived)
        remembered = f.select(error > -10.0, error, f.like(error, -10.0))
        self.put("last_error", f.select(ok, remembered, self.get("last_error")))
        next_step = self.h * growth
        shortened = ok & last & (next_step < proposed)  # the stop shortened the step, not the error
        self.put("h", f.select(shortened, proposed, next_step))
        jumps.count_cells(self, ok)
        now = self.get("t")
        self.finish(f.any_bits(ok & (now >= self.stop)) | stopped.get(), stopped.get())
        self.give_up(ok, next_step)

    def write_step(self) -> None:
        """The step itself, and its tangents."""
        f, system = self.f, self.system
        x = [f.load(self.slots, i, "v") for i in range(self.n)]
        roots = [*system.rates, *system.slopes.values(), *system.rates_by_time]
        roots += [] if system.tangents is None else system.tangents.roots()
        formulas = Formulas(f, system, self.slots, roots)
        self.step = Step(f, system, formulas, self.t, self.h, x)
        if self.tangents is not None:
            self.tangents.write(self.step, formulas)
        for i in range(self.n):
            f.store(self.step.new[i], self.x_new, i)

    def look_inside(self, ok: Value, arrived: Value, stopped: Variable) -> Value:
        """End the step early where something happens in it, and write what is due; returns where it ends."""
        f = self.f
        new_time = f.array("v", 1)
        f.store(arrived, new_time)
        jumps.cut_at_thresholds(self, ok, new_time)
        jumps.cut_at_jumps(self, ok, new_time)
        inside.watch_crossings(self, ok, new_time, stopped)
        inside.watch_extremes(self, ok, new_time)
        arrived = f.load(new_time, 0, "v")
        inside.write_outputs(self, ok, arrived, stopped)
        return arrived

    def accept(self, ok: Value, arrived: Value) -> None:
        """Move the accepted lanes to the end of their step, and count the step in all."""
        f = self.f
        for i in range(self.n):
            old = f.load(self.slots, i, "v")
            f.store(f.select(ok, f.load(self.x_new, i, "v"), old), self.slots, i)
        if self.tangents is not None:
            self.tangents.accept(ok)
        one, none = f.constant("v", 1.0), f.constant("v", 0.0)
        active = self.active_mask()
        self.put("steps", self.get("steps") + f.select(active, one, none))
        self.put("rejected", self.get("rejected") + f.select(active & ~ok, one, none))
        self.put("t", f.select(ok, arrived, self.t))

    def give_up(self, ok: Value, next_step: Value) -> None:
        """Find the lanes whose step has become too small, or that have taken too many."""
        f = self.f
        too_small = f.compare("ult", "", next_step, f.splat(self.arg["shortest_step"])) & ~ok
        too_many = self.get("steps") > f.splat(self.arg["most_steps"])
        failing = f.any_bits(too_small | too_many) & self.active.get() & ~self.wanted.get()
        with f.when(failing.differs(0)):
            self.fail(failing, too_small)

    def active_mask(self) -> Value:
        """Lanes that hold a patient."""
        small = self.as_small(self.active.get())
        return self.f.emit("m", f"bitcast i{self.lanes} {small} to <{self.lanes} x i1>")

    def as_small(self, value: Value) -> str:
        """An integer of lane bits in the width of a mask."""
        return self.f.emit("i", f"trunc i64 {value.name} to i{self.lanes}").name

    def judge(self) -> tuple[Value, Value, Value]:
        """Accepted lanes, growth of the step, binary logarithm of the error over the tolerance.

        Error: root mean square over states of |estimate| / (tolerance * (|state| + floor)); step by a
        proportional-integral rule (Gustafsson 1991).
        """
        f, step = self.f, self.step
        total = f.constant("v", 0.0)
        for i in range(self.n):
            a, b = f.intrinsic("fabs", step.x[i]), f.intrinsic("fabs", step.new[i])
            size = f.select(a > b, a, b) + self.system.floors[i]
            share = step.error[i] / size
            total = f.fma(share, share, total)
        if self.tangents is not None:
            total = total + f.load(self.tangents.total, 0, "v")
        mean = total * (1.0 / len(self.layout.states))
        square = mean * f.splat(self.arg["inverse_square_tolerance"])  # of the error over the tolerance
        finite = square < math.inf  # false for NaN too
        ok = square <= 1.0
        square = f.select(square < 1e-30, f.like(square, 1e-30), square)
        error = rough_log2(f, f.select(finite, square, f.like(square, 1e30))) * 0.5
        exponent = f.fma(self.get("last_error"), f.like(error, 0.4 / 5), error * (-0.7 / 5))
        exponent = f.select(exponent < -3.0, f.like(exponent, -3.0), exponent)
        exponent = f.select(exponent > 4.0, f.like(exponent, 4.0), exponent)
        growth = rough_exp2(f, exponent) * 0.9
        growth = f.select(growth < 0.2, f.like(growth, 0.2), growth)
        growth = f.select(growth > 8.0, f.like(growth, 8.0), growth)
        growth = f.select(ok, growth, f.select(growth < 0.7, growth, f.like(growth, 0.7)))
        growth = f.select(finite, growth, f.like(growth, 0.2))
        if step.singular is not None:
            ok = ok & ~step.singular
            growth = f.select(step.singular, f.like(growth, 0.5), growth)
        return ok, growth, error

    def finish(self, lanes: Value, stopped: Value) -> None:
        """Lanes at a stop: apply events, or give the patient back and ask for the next."""
        f = self.f
        stale = f.variable("b", 0)
        with f.each_bit(lanes) as lane:
            bit = f.emit("i", f"shl i64 1, {lane.name}")
            now, end = f.load(self.vec["t"], lane), f.load(self.vec["end"], lane)
            over = (now >= end) | (stopped & bit).differs(0)
            with f.when(over):
                asked = (stopped & bit).differs(0)
                self.park(lane, f.select(asked, f.constant("i", STOPPED), f.constant("i", SOLVED)))
                self.wanted.set(self.wanted.get() | bit)
            with f.when(~over):
                self.apply_events(lane, f.load(self.lane_int["id"], lane, "i"))
                stale.set(1)
        with f.when(stale.get()):
            self.refresh()

    def fail(self, lanes: Value, too_small: Value) -> None:
        """Mark patients that cannot be solved, with the state that errs most."""
        f, step = self.f, self.step
        shares = f.array("v", self.n)
        for i in range(self.n):
            size = f.intrinsic("fabs", step.x[i]) + self.system.floors[i]
            f.store(f.intrinsic("fabs", step.error[i]) / size, shares, i)
        small = f.any_bits(too_small)
        singular = f.constant("i", 0) if step.singular is None else f.any_bits(step.singular)
        with f.each_bit(lanes) as lane:
            bit = f.emit("i", f"shl i64 1, {lane.name}")
            worst, largest = f.variable("i", 0), f.variable("d", -1.0)
            with f.count(0, self.n) as i:
                share = f.load(shares, i * self.lanes + lane)
                with f.when(f.compare("ugt", "", share, largest.get())):
                    worst.set(i)
                    largest.set(f.select(share.equals(share), share, f.like(share, math.inf)))
            patient = f.load(self.lane_int["id"], lane, "i")
            f.store(worst.get(), self.arg["worst"], patient)
            why = f.select((small & bit).differs(0), f.constant("i", STEP_TOO_SMALL), f.constant("i", TOO_MANY_STEPS))
            why = f.select((singular & bit).differs(0), f.constant("i", SINGULAR), why)
            self.park(lane, why)
            self.wanted.set(self.wanted.get() | bit)
