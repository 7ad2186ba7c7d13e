"""The loop around the step: lanes, events, outputs, crossings, jumps, parking; written as LLVM IR around a model's code.

One lane is one patient with a time, step, events and outputs of its own. A lane whose patient is done takes the next
one. Nothing passes between lanes, so a patient's bits depend on neither the neighbours, the number of lanes nor the thread.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from livingdrug.engine import random_ir
from livingdrug.engine.functions import write_functions
from livingdrug.engine.ir import Function, Value, Variable, declarations
from livingdrug.engine.lowering import JumpPlan, Request, System
from livingdrug.engine.step import Formulas, Step

ARGUMENTS = (
    "next", "count", "batch", "cancel",  # sharing the patients among threads
    "slots", "time", "step", "last_error", "event", "output", "steps", "rejected", "status", "worst",  # per patient, kept
    "end",  # where each patient stops
    "event_start", "event_time", "event_slot", "event_action", "event_value",  # schedule, one stretch per patient
    "event_slopes",  # for each event and tangent: slope of its time, slope of its value
    "values", "output_times", "output_stride", "output_count",  # results
    "tolerance", "first_step", "shortest_step", "most_steps",
    "crossing_time", "extreme", "extinct_time", "draws", "identity", "key",
)  # fmt: skip
"""Fields of the call block, eight bytes each: pointers, whole numbers, or doubles."""

REALS = {"tolerance", "first_step", "shortest_step", "most_steps"}
SOLVED, STEP_TOO_SMALL, TOO_MANY_STEPS, SINGULAR, BAD_START, BAD_OUTPUT, STOPPED = range(7)
"""How a patient's solve ended; STOPPED is at a crossing, as asked."""
INSIDE = (0.25, 0.5, 0.75)
"""Shares of a step at which crossings and extremes are looked for besides its ends."""
BISECTIONS = 48


def write_kernel(system: System, request: Request, lanes: int) -> str:
    """The whole module of IR for a lowered model: function ``advance`` and ``prepare``."""
    head = declarations(lanes) + write_functions(lanes)
    if system.layout.jumps:
        head += random_ir.write_draws(lanes)
    return head + Preparation(system, lanes).text() + Kernel(system, request, lanes).text()


class Preparation:
    """Writes ``prepare``: initial states and the model's own event times and amounts from parameters, for many patients."""

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


class Kernel:
    """Writes ``advance``: carry every patient from its parked state to its end."""

    def __init__(self, system: System, request: Request, lanes: int) -> None:
        self.system, self.request, self.lanes = system, request, lanes
        self.layout = system.layout
        self.n = len(self.layout.states)
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
        self.results = f.array("v", len(system.outputs))
        self.full = (1 << lanes) - 1
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
        return self.f.load(self.vec[name], 0, "v")

    def put(self, name: str, value: Value) -> None:
        self.f.store(value, self.vec[name], 0)

    def slot_place(self, slot: Value | int, lane: Value) -> Value:
        if isinstance(slot, int):
            return lane + slot * self.lanes
        return slot * self.lanes + lane

    def read_patient(self, name: str, patient: Value, kind: str = "d") -> Value:
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
            with f.count(0, kept) as k:
                f.store(f.load(source, k), self.slots, k * self.lanes + lane)
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

    def park(self, lane: Value, status: Value) -> None:
        """Write the lane's patient back; the lane is idle afterwards."""
        f = self.f
        patient = f.load(self.lane_int["id"], lane, "i")
        target = f.at(self.arg["slots"], patient * self.layout.kept)
        with f.count(0, self.layout.kept) as k:
            f.store(f.load(self.slots, k * self.lanes + lane), target, k)
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
            f.store(f.select(is_set, value, f.load(self.slots, place) + value), self.slots, place)
            if self.layout.tangents:
                self.refresh()
                self.rates_now(self.rates_after)
                self.shift_tangents(lane, event, is_set)
            f.store(arg["first_step"], self.vec["h"], lane)
            k.set(event + 1)
        f.store(k.get() - first, self.lane_int["event"], lane)
        f.store(stop.get(), self.vec["stop"], lane)
        for number, jump in enumerate(self.layout.jumps):
            self.settle(lane, patient, number, jump)

    def rates_now(self, target: Value) -> None:
        """Rates of the plain states of all lanes as they stand."""
        f, rates = self.f, self.system.rates[: self.layout.plain_states]
        states = [f.load(self.slots, i, "v") for i in range(self.n)]
        point = Formulas(f, self.system, self.slots, rates).at(self.get("t"), states)
        for i, rate in enumerate(rates):
            f.store(point.value(rate), target, i)

    def shift_tangents(self, lane: Value, event: Value, is_set: Value) -> None:
        """Carry the tangents over an event: S+ = S- + (f- - f+) dT/dq + da/dq, or da/dq - f+ dT/dq where a state is set."""
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
        h = proposed = self.get("h")
        halt = self.halt()
        left = halt - self.t
        last = h >= left * 0.999
        self.h = f.select(last, left, f.select(h > left * 0.5, left * 0.5, h))
        x = [f.load(self.slots, i, "v") for i in range(self.n)]
        layout, system = self.layout, self.system
        roots = [*system.rates, *system.slopes.values(), *system.rates_by_time]
        self.step = Step(f, system, Formulas(f, system, self.slots, roots), self.t, self.h, x)
        for i in range(self.n):
            f.store(self.step.new[i], self.x_new, i)
        ok, growth, error = self.judge()
        arrived = f.select(last, halt, self.t + self.h)
        active = f.emit("m", f"bitcast i{self.lanes} {self.as_small(self.active.get())} to <{self.lanes} x i1>")
        ok = ok & active
        new_time = f.array("v", 1)
        f.store(arrived, new_time)
        stopped = f.variable("i", 0)
        self.cut_at_thresholds(ok, new_time)
        self.cut_at_jumps(ok, new_time)
        self.watch_crossings(ok, new_time, stopped)
        self.watch_extremes(ok, new_time)
        arrived = f.load(new_time, 0, "v")
        self.write_outputs(ok, arrived, stopped)
        for i in range(self.n):
            old = f.load(self.slots, i, "v")
            f.store(f.select(ok, f.load(self.x_new, i, "v"), old), self.slots, i)
        counted = f.select(active, f.constant("v", 1.0), f.constant("v", 0.0))
        refused = f.select(active & ~ok, f.constant("v", 1.0), f.constant("v", 0.0))
        self.put("steps", self.get("steps") + counted)
        self.put("rejected", self.get("rejected") + refused)
        self.put("last_error", f.select(ok, f.select(error > -7.0, error, f.like(error, -7.0)), self.get("last_error")))
        now = f.select(ok, arrived, self.t)
        self.put("t", now)
        next_step = self.h * growth
        shortened = ok & last & (next_step < proposed)  # the stop shortened the step, not the error
        self.put("h", f.select(shortened, proposed, next_step))
        if layout.jumps:
            self.count_cells(ok)
        finished = f.any_bits(ok & (now >= self.stop)) | stopped.get()
        self.finish(finished, stopped.get())
        shortest = f.splat(self.arg["shortest_step"])
        too_small = f.compare("ult", "", next_step, shortest) & ~ok
        too_many = self.get("steps") > f.splat(self.arg["most_steps"])
        failing = f.any_bits((too_small | too_many) & active) & self.active.get() & ~self.wanted.get()
        with f.when(failing.differs(0)):
            self.fail(failing, too_small)

    def halt(self) -> Value:
        """Where the step must end at the latest: the stop, or an output time of a patient whose cells are being counted."""
        f, due, halt = self.f, self.get("due"), self.stop
        for jump in self.layout.jumps:
            halt = f.select(self.is_counting(jump) & (due > self.t) & (due < halt), due, halt)
        return halt

    def as_small(self, value: Value) -> str:
        return self.f.emit("i", f"trunc i64 {value.name} to i{self.lanes}").name

    def judge(self) -> tuple[Value, Value, Value]:
        """Accepted lanes, growth of the step, logarithm of the error over the tolerance.

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
        mean = total * (1.0 / self.n)
        tolerance = f.splat(self.arg["tolerance"])
        mean = f.select(mean < 1e-40, f.like(mean, 1e-40), mean)
        error = f.call("log.v", "v", mean) * 0.5 - f.call("log.v", "v", tolerance)
        finite = total.equals(total) & (total < math.inf)
        ok = (error <= 0.0) & finite
        exponent = f.fma(self.get("last_error"), f.like(error, 0.4 / 5), error * (-0.7 / 5))
        growth = f.call("exp.v", "v", exponent) * 0.9
        growth = f.select(growth < 0.2, f.like(growth, 0.2), growth)
        growth = f.select(growth > 8.0, f.like(growth, 8.0), growth)
        growth = f.select(ok, growth, f.select(growth < 0.7, growth, f.like(growth, 0.7)))
        growth = f.select(finite, growth, f.like(growth, 0.2))
        if step.singular is not None:
            ok = ok & ~step.singular
            growth = f.select(step.singular, f.like(growth, 0.5), growth)
        return ok, growth, error

    # -- looking inside the step ------------------------------------------------------------------------------------
    def point_inside(self, share: Value, roots: list[int]) -> list[Value]:
        """Values of formulas at a share of the step."""
        needed = self.system.graph.symbols(roots)
        wanted = [i for i in range(self.n) if self.system.slots[i] in needed]
        point = Formulas(self.f, self.system, self.slots, roots).at(
            self.f.fma(share, self.h, self.t), self.step.dense(share, wanted)
        )
        return [point.value(r) for r in roots]

    def bisect(self, low: Value, high: Value, reached: Callable[[Value], Value]) -> Value:
        """Smallest share of the step between low and high at which ``reached`` holds; it holds at high."""
        f = self.f
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

    def first_share(self, node: int, start: Value) -> tuple[Value, Value, Value]:
        """(found, low, high): the first part of the step in which the formula becomes >= 0."""
        f = self.f
        found = start >= 0.0
        low = high = f.constant("v", 0.0)
        previous = 0.0
        for share in (*INSIDE, 1.0):
            there = (self.point_inside(f.constant("v", share), [node])[0] >= 0.0) & ~found
            low = f.select(there, f.like(low, previous), low)
            high = f.select(there, f.like(high, share), high)
            found, previous = found | there, share
        return found, low, high

    def cut(self, where: Value, share: Value, new_time: Value) -> None:
        """End the step of some lanes early, at a share of it."""
        f = self.f
        for i, value in self.step.dense(share, range(self.n)).items():
            f.store(f.select(where, value, f.load(self.x_new, i, "v")), self.x_new, i)
        f.store(f.select(where, f.fma(share, self.h, self.t), f.load(new_time, 0, "v")), new_time, 0)

    def cut_at_thresholds(self, ok: Value, new_time: Value) -> None:
        """End the step where a clone falls below its threshold, so that it is handed over there."""
        f = self.f
        for jump in self.layout.jumps:
            smooth = (f.load(self.slots, jump.mode, "v") < 0.5) & self.unfed(jump)
            below = ok & smooth & (f.load(self.x_new, jump.state, "v") < jump.below) & (self.step.x[jump.state] >= jump.below)
            with f.when(f.any_bits(below).differs(0)):
                zero, one = f.constant("v", 0.0), f.constant("v", 1.0)
                share = self.bisect(
                    zero, one, lambda u, i=jump.state, level=jump.below: self.step.dense(u, [i])[i] < level
                )
                self.cut(below, share, new_time)

    def cut_at_jumps(self, ok: Value, new_time: Value) -> None:
        """End the step at the next birth or death of a process whose events are drawn one by one."""
        f = self.f
        for jump, cell in zip(self.layout.jumps, self.jump_times, strict=True):
            f.store(f.constant("v", math.inf), cell)
            if jump.kendall:
                continue
            level = f.load(self.slots, jump.deaths, "v")
            due = ok & self.is_counting(jump) & (self.step.new[jump.lean] >= level)
            with f.when(f.any_bits(due).differs(0)):
                zero, one = f.constant("v", 0.0), f.constant("v", 1.0)
                share = self.bisect(
                    zero, one, lambda u, i=jump.lean, level=level: self.step.dense(u, [i])[i] >= level
                )
                at = f.fma(share, self.h, self.t)
                due = due & (at <= f.load(new_time, 0, "v"))
                f.store(f.select(due, at, f.load(cell, 0, "v")), cell)
                self.cut(due, share, new_time)

    def is_counting(self, jump: JumpPlan) -> Value:
        """Lanes in which the state is counted cell by cell and not extinct."""
        mode = self.f.load(self.slots, jump.mode, "v")
        return (mode > 0.5) & (mode < 1.5)

    def watch_crossings(self, ok: Value, new_time: Value, stopped: Variable) -> None:
        """Note the first time at which each watched output reaches its level; end the solve there if asked."""
        f = self.f
        for k, (_, _, ends) in enumerate(self.request.crossings):
            node, candidate = self.system.crossings[k], self.candidates[k]
            known = f.load(self.reached[k], 0, "v")
            open_ = ok & known.differs(known)
            f.store(f.constant("v", math.inf), candidate)
            with f.when(f.any_bits(open_).differs(0)):
                start = self.point_inside(f.constant("v", 0.0), [node])[0]
                found, low, high = self.first_share(node, start)
                found = found & open_
                with f.when(f.any_bits(found).differs(0)):
                    share = self.bisect(low, high, lambda u, node=node: self.point_inside(u, [node])[0] >= 0.0)
                    share = f.select(start >= 0.0, f.constant("v", 0.0), share)
                    at = f.fma(share, self.h, self.t)
                    found = found & (at <= f.load(new_time, 0, "v"))
                    f.store(f.select(found, at, f.load(candidate, 0, "v")), candidate)
                    if ends:
                        self.cut(found, share, new_time)
                        stopped.set(stopped.get() | f.any_bits(found))
        for cell, candidate in zip(self.reached, self.candidates, strict=True):
            at = f.load(candidate, 0, "v")
            f.store(f.select(at <= f.load(new_time, 0, "v"), at, f.load(cell, 0, "v")), cell)

    def watch_extremes(self, ok: Value, new_time: Value) -> None:
        """Keep the largest value so far of each watched output and its time."""
        f = self.f
        for k, (when, best) in enumerate(self.best):
            node, slope = self.system.extremes[k]
            whole = (f.load(new_time, 0, "v") - self.t) / self.h
            shares = [f.constant("v", 0.0), *(whole * s for s in INSIDE), whole]
            slopes = []
            for share in shares:
                value, rise = self.point_inside(share, [node, slope])
                self.keep_best(ok, when, best, share, value)
                slopes.append(rise)
            low = high = f.constant("v", 0.0)
            found = ok & (low > 1.0)
            for j in range(len(shares) - 1):
                turns = ok & (slopes[j] > 0.0) & (slopes[j + 1] <= 0.0) & ~found
                low, high = f.select(turns, shares[j], low), f.select(turns, shares[j + 1], high)
                found = found | turns
            with f.when(f.any_bits(found).differs(0)):
                share = self.bisect(low, high, lambda u, s=slope: self.point_inside(u, [s])[0] <= 0.0)
                self.keep_best(found, when, best, share, self.point_inside(share, [node])[0])

    def keep_best(self, where: Value, when: Value, best: Value, share: Value, value: Value) -> None:
        f = self.f
        old = f.load(best, 0, "v")
        better = where & f.compare("ugt", "", value, old) & value.equals(value)
        f.store(f.select(better, value, old), best, 0)
        f.store(f.select(better, f.fma(share, self.h, self.t), f.load(when, 0, "v")), when, 0)

    def write_outputs(self, ok: Value, arrived: Value, stopped: Variable) -> None:
        """Write all outputs that are due before the end of the step (at it, only where a crossing ends the solve)."""
        f = self.f
        width = len(self.system.outputs)
        stopped_mask = f.emit("m", f"bitcast i{self.lanes} {self.as_small(stopped.get())} to <{self.lanes} x i1>")
        with f.loop() as loop:
            due = self.get("due")
            ready = ok & ((due < arrived) | (stopped_mask & (due <= arrived)))
            lanes = f.any_bits(ready)
            loop.leave_unless(lanes.differs(0))
            share = f.select(ready, (due - self.t) / self.h, f.constant("v", 0.0))
            for k, value in enumerate(self.point_inside(share, self.system.outputs)):
                f.store(value, self.results, k)
            with f.each_bit(lanes) as lane:
                patient = f.load(self.lane_int["id"], lane, "i")
                k = f.load(self.lane_int["output"], lane, "i")
                row = f.at(self.arg["values"], (patient * self.arg["output_count"] + k) * width)
                for j in range(width):
                    f.store(f.load(self.results, self.slot_place(j, lane)), row, j)
                f.store(k + 1, self.lane_int["output"], lane)
                self.next_output(lane, patient)

    # -- jumps ------------------------------------------------------------------------------------------------------
    def unfed(self, jump: JumpPlan) -> Value:
        """Lanes in which the state is not being infused; what is infused follows its equation."""
        f = self.f
        return f.constant("m", 1) if jump.rate < 0 else f.load(self.slots, jump.rate, "v").equals(0.0)

    def settle(self, lane: Value, patient: Value, number: int, jump: JumpPlan) -> None:
        """Decide by its size whether a state follows its equation or is counted; give a counted one a whole number."""
        f = self.f
        mode_place, place = self.slot_place(jump.mode, lane), self.slot_place(jump.state, lane)
        cells, mode = f.load(self.slots, place), f.load(self.slots, mode_place)
        counted = (cells < jump.below) | ((mode > 0.5) & (cells < jump.above))
        if jump.rate >= 0:
            counted = counted & f.load(self.slots, self.slot_place(jump.rate, lane)).equals(0.0)
        with f.when(counted):
            whole = f.intrinsic("floor", cells)
            rest = cells - whole
            rounded = f.variable("d", whole)
            with f.when(rest > 0.0):
                rounded.set(f.select(self.draw(patient, number) < rest, whole + 1.0, whole))
            f.store(rounded.get(), self.slots, place)
            self.begin_drawing(lane, patient, number, jump)
            self.note_count(lane, patient, number, jump, rounded.get(), f.load(self.vec["t"], lane))
        with f.when(~counted):
            f.store(f.constant("d", 0.0), self.slots, mode_place)
            self.forget_extinction(patient, number)

    def note_count(self, lane: Value, patient: Value, number: int, jump: JumpPlan, cells: Value, at: Value) -> None:
        """Set the mode of a counted state, and when it died out."""
        f = self.f
        alive = cells > 0.5
        f.store(f.select(alive, f.constant("d", 1.0), f.constant("d", 2.0)), self.slots, self.slot_place(jump.mode, lane))
        with f.when(alive):
            self.forget_extinction(patient, number)
        with f.when(~alive):
            self.note_extinction(patient, number, at)

    def draw(self, patient: Value, number: int) -> Value:
        """The next uniform number of this patient's own stream."""
        f, count = self.f, len(self.layout.jumps)
        counter = f.at(self.arg["draws"], patient * count + number, "i")
        identity = f.load(self.arg["identity"], patient, "i")
        k = f.load(counter, 0, "i")
        f.store(k + 1, counter, 0)
        purpose = f.constant("i", random_ir.PURPOSE_JUMP + number)
        return f.call("uniform", "d", self.arg["key"], identity, purpose, k)

    def note_extinction(self, patient: Value, number: int, at: Value) -> None:
        f = self.f
        place = f.at(self.arg["extinct_time"], patient * len(self.layout.jumps) + number)
        old = f.load(place)
        f.store(f.select(old.differs(old), at, old), place, 0)

    def forget_extinction(self, patient: Value, number: int) -> None:
        place = self.f.at(self.arg["extinct_time"], patient * len(self.layout.jumps) + number)
        self.f.store(self.f.constant("d", math.nan), place, 0)

    def count_cells(self, ok: Value) -> None:
        """Draw the number of cells at the end of the step from Kendall's solution; hand over what crossed a threshold."""
        f = self.f
        for number, jump in enumerate(self.layout.jumps):
            mode = f.load(self.slots, jump.mode, "v")
            counted = ok & self.is_counting(jump)
            if jump.kendall:
                with f.each_bit(f.any_bits(counted)) as lane:
                    self.draw_cells(lane, number, jump)
            else:
                self.draw_events(counted & (f.load(self.jump_times[number], 0, "v") <= self.get("t")), number, jump)
            cells = f.load(self.slots, jump.state, "v")
            entering = ok & (mode < 0.5) & (cells < jump.below) & self.unfed(jump)
            leaving = counted & (cells >= jump.above)
            with f.each_bit(f.any_bits(entering | leaving)) as lane:
                self.settle(lane, f.load(self.lane_int["id"], lane, "i"), number, jump)
                f.store(self.arg["first_step"], self.vec["h"], lane)

    def begin_drawing(self, lane: Value, patient: Value, number: int, jump: JumpPlan) -> None:
        """Set the two integrals to their start: zero, or zero and the level at which the next event falls due."""
        f = self.f
        f.store(f.constant("d", 0.0), self.slots, self.slot_place(jump.lean, lane))
        level = f.constant("d", 0.0)
        if not jump.kendall:
            level = -f.call("log.d", "d", self.draw(patient, number))
        f.store(level, self.slots, self.slot_place(jump.deaths, lane))

    def draw_events(self, due: Value, number: int, jump: JumpPlan) -> None:
        """One birth or one death in each lane whose integral of events has reached its level.

        Exact for any rates: the integral of the rate of all events up to the next event is exponential with mean 1.
        """
        f, system = self.f, self.system
        with f.when(f.any_bits(due).differs(0)):
            states = [f.load(self.slots, i, "v") for i in range(self.n)]
            birth, death = system.jump_rates[number]
            point = Formulas(f, system, self.slots, [birth, death]).at(self.get("t"), states)
            births = point.value(birth)
            shares = f.array("v", 1)
            f.store(births / (births + point.value(death)), shares)
            with f.each_bit(f.any_bits(due)) as lane:
                patient = f.load(self.lane_int["id"], lane, "i")
                place = self.slot_place(jump.state, lane)
                born = self.draw(patient, number) < f.load(shares, lane)
                change = f.select(born, f.constant("d", 1.0), f.constant("d", -1.0))
                cells = f.load(self.slots, place) + change
                f.store(cells, self.slots, place)
                self.begin_drawing(lane, patient, number, jump)
                self.note_count(lane, patient, number, jump, cells, f.load(self.vec["t"], lane))

    def draw_cells(self, lane: Value, number: int, jump: JumpPlan) -> None:
        """New number of cells of one lane; if none is left, when the last one went."""
        f, count = self.f, len(self.layout.jumps)
        patient = f.load(self.lane_int["id"], lane, "i")
        place = self.slot_place(jump.state, lane)
        cells = f.load(self.slots, place)
        lean, deaths = (f.load(self.slots, self.slot_place(s, lane)) for s in (jump.lean, jump.deaths))
        counter = f.at(self.arg["draws"], patient * count + number, "i")
        gone_by = self.draw(patient, number)
        share = f.call("pow.d", "d", gone_by, f.constant("d", 1.0) / cells)
        level = share / (f.constant("d", 1.0) - share)  # the integral at which the last family dies out
        for integral in (jump.lean, jump.deaths):
            f.store(f.constant("d", 0.0), self.slots, self.slot_place(integral, lane))
        dies = level < deaths
        with f.when(dies):
            f.store(f.constant("d", 0.0), self.slots, place)
            target = f.splat(level)
            zero, one = f.constant("v", 0.0), f.constant("v", 1.0)
            inside = self.bisect(zero, one, lambda u: self.step.dense(u, [jump.deaths])[jump.deaths] >= target)
            at = f.fma(inside, self.h, self.t)
            when = f.emit("d", f"extractelement {f.type('v')} {at.name}, i64 {lane.name}")
            self.note_count(lane, patient, number, jump, f.constant("d", 0.0), when)
        with f.when(~dies):
            identity = f.load(self.arg["identity"], patient, "i")
            purpose = f.constant("i", random_ir.PURPOSE_JUMP + number)
            survivors = f.call(
                "survivors", "d", cells, lean, deaths, self.arg["key"], identity, purpose, counter
            )
            f.store(survivors, self.slots, place)

    # -- ends -------------------------------------------------------------------------------------------------------
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
