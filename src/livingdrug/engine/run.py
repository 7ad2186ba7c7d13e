"""One solve: the patients' parked state, the arrays that a kernel fills, and the workers that carry it."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from livingdrug.engine.compile import CompiledKernel, compile_kernel
from livingdrug.engine.kernel import ARGUMENTS, BAD_OUTPUT, BAD_START, REALS, STOPPED
from livingdrug.engine.layout import Layout, Request
from livingdrug.engine.schedule import (
    AFTER_LAST,
    Change,
    Column,
    Dose,
    Schedule,
    check_cells,
    columns,
    counts_cells,
    flat,
    merge,
    per_patient,
)
from livingdrug.engine.solution import Solution
from livingdrug.engine.watch import Crossing, Extreme, direction, extreme_sign
from livingdrug.errors import InputError, unknown_name

if TYPE_CHECKING:
    from livingdrug.model.declaration import Model

Reals = NDArray[np.float64]

FIRST_STEP = 1e-2
"""Days: length of the first step, and of the first step after each event."""
SHORTEST_STEP = 1e-13
MOST_STEPS = 200_000
REACH = 0.999
"""A step that would come at least so far towards a stop goes there at once."""
BATCH = 16
"""Patients that a worker takes at a time."""


_kept = threading.local()


def _threads(workers: int) -> ThreadPoolExecutor:
    """Threads of the caller's own, kept from solve to solve: to start them costs more than a small solve.

    A forked process has none of its parent's threads and starts its own.
    """
    process, size = getattr(_kept, "what", (None, 0))
    if process != os.getpid() or size < workers:
        _kept.what, _kept.pool = (os.getpid(), workers), ThreadPoolExecutor(workers)
    return _kept.pool


class Cohort:
    """Validated parameters and starts of the patients, in canonical units."""

    def __init__(
        self,
        model: type[Model],
        parameters: Mapping[str, ArrayLike],
        initial: Mapping[str, ArrayLike],
        patient_ids: ArrayLike | None,
        doses: Sequence[Dose | Change],
    ) -> None:
        self.model = model
        given = [*parameters.values(), *initial.values()]
        lengths = {len(np.atleast_1d(np.asarray(v))) for v in given if np.ndim(v) > 0}
        if patient_ids is not None:
            lengths.add(len(np.atleast_1d(np.asarray(patient_ids))))
        for event in doses:
            values = (event.amount, event.at) if isinstance(event, Dose) else (event.value, event.at)
            lengths |= {len(np.atleast_1d(np.asarray(v))) for v in values if np.ndim(v) > 0}
        lengths.discard(1)
        if len(lengths) > 1:
            raise InputError(
                f"{model.name}: columns of different lengths {sorted(lengths)}; give one value per patient everywhere"
            )
        self.count = lengths.pop() if lengths else 1
        canonical = model.canonical(parameters)
        self.parameters = np.empty((self.count, len(model.parameters)))
        for k, name in enumerate(model.parameters):
            self.parameters[:, k] = per_patient(f"{model.name}: {name}", canonical[name], self.count)
        self.initial: dict[str, Reals] = {}
        for name, value in initial.items():
            if name not in model.states:
                raise InputError(unknown_name("state", name, list(model.states), place=model.name))
            start = per_patient(f"{model.name}: initial {name}", value, self.count)
            check_cells(f"{model.name}: initial {name}", model.states[name], start)
            self.initial[name] = start * model.states[name].factor
        self.ids = _identifiers(patient_ids, self.count)


class Run:
    """One solve: the compiled kernel, each patient's parked state, and the arrays that it fills."""

    def __init__(
        self,
        cohort: Cohort,
        times: ArrayLike,
        outputs: Sequence[str] | None,
        doses: Sequence[Dose | Change],
        crossings: Mapping[str, Crossing],
        extremes: Mapping[str, Extreme],
        tangents: Sequence[str],
        *,
        seed: int,
        stochastic: bool,
        rtol: float,
        threads: int | None,
        lanes: int | None,
        most_steps: int = MOST_STEPS,
    ) -> None:
        self.cohort, self.model, self.count = cohort, cohort.model, cohort.count
        self.outputs = tuple(self.model.outputs if outputs is None else outputs)
        self.crossings, self.extremes = dict(crossings), dict(extremes)
        self.times = _checked_times(times, self.count)
        self.rtol, self.seed = _checked_tolerance(rtol), _checked_seed(seed)
        self.most_steps = _checked_count("most_steps", most_steps, MOST_STEPS)
        self.threads = _processors() if threads is None else _checked_count("threads", threads, 1024)
        if lanes not in {None, 2, 4, 8, 16}:
            raise InputError(f"lanes: expected 2, 4, 8 or 16, got {lanes!r}")
        infused = {d.target for d in doses if isinstance(d, Dose) and np.any(np.asarray(d.duration) > 0)}
        for name in infused - set(self.model.states):
            raise InputError(
                unknown_name("state", name, list(self.model.states), place=f"a dose for {self.model.name}")
            )
        self.request = Request(
            outputs=self.outputs,
            infused=tuple(sorted(infused)),
            crossings=tuple((c.output, direction(k, c), c.stop) for k, c in self.crossings.items()),
            extremes=tuple((e.output, extreme_sign(k, e)) for k, e in self.extremes.items()),
            tangents=tuple((name, _typical_size(self.model, name)) for name in tangents),
            stochastic=stochastic and bool(self.model.jumps),
        )
        self.kernel: CompiledKernel = compile_kernel(self.model, self.request, lanes)
        self.layout: Layout = self.kernel.layout
        ends = np.broadcast_to(self.times[..., [0, -1]], (self.count, 2))
        self.start = np.minimum(0.0, ends[:, 0])
        self.last_time = ends[:, 1] + AFTER_LAST * np.maximum(1.0, np.abs(ends[:, 1]))
        self._allocate()
        self._begin(doses)

    # -- arrays -----------------------------------------------------------------------------------------------------
    def _allocate(self) -> None:
        n, layout = self.count, self.layout
        self.reach = REACH
        self.slots = np.zeros((n, layout.kept))
        self.time = self.start.copy()
        self.step = np.zeros(n)
        self.last_error = np.zeros(n)
        whole = lambda: np.zeros(n, np.int64)  # noqa: E731
        self.event, self.output, self.steps, self.rejected, self.status, self.worst = (whole() for _ in range(6))
        width = len(self.outputs) * (1 + len(layout.tangents))
        self.values = np.empty((n, self.times.shape[-1], width))  # the kernel fills them in order
        self.reached = np.full((n, len(self.crossings)), np.nan)
        self.best = np.full((n, 2 * len(self.extremes)), -np.inf)
        self.best[:, ::2] = np.nan
        self.extinct = np.full((n, len(layout.jumps)), np.nan)
        self.draws = np.zeros((n, len(layout.jumps)), np.int64)

    def _begin(self, doses: Sequence[Dose | Change]) -> None:
        """Initial states, levels, flags and the schedule."""
        layout, n = self.layout, self.count
        self.slots[:, layout.first_parameter : layout.first_level] = self.cohort.parameters
        for k, crossing in enumerate(self.crossings.values()):
            level = crossing.above if crossing.above is not None else crossing.below
            name = list(self.crossings)[k]
            self.slots[:, layout.first_level + k] = per_patient(f"crossing {name!r}: level", level, n)
        self.slots[:, layout.first_flag : layout.first_mode] = 1.0
        states, stop_times, stop_values, slopes = self._prepared()
        self.slots[:, : len(layout.states)] = states
        for name, start in self.cohort.initial.items():
            self._set_start(name, start)
        wrong = ~np.isfinite(self.slots[:, : len(layout.states)])
        for k, state in enumerate(self.model.states.values()):
            if counts_cells(state):
                wrong[:, k] |= self.slots[:, k] < 0
        bad = wrong.any(axis=1)
        self.status[bad] = BAD_START
        self.worst[bad] = np.argmax(wrong[bad], axis=1)
        changed = {d.target for d in doses if isinstance(d, Change)} & set(layout.tangents)
        if changed:
            raise InputError(f"tangents by {sorted(changed)}: a change sets them; differentiate by something else")
        own = []
        for k, (slot, action) in enumerate(layout.stops):
            at = stop_times[:, k]
            own.append(Column(np.where(np.isnan(at), np.inf, at), slot, action, stop_values[:, k], slopes[:, k]))
        self.events = own + columns(self.model, layout, doses, n, self.start)
        self.schedule: Schedule = merge(self.events, n, len(layout.tangents))

    def _set_start(self, name: str, start: Reals) -> None:
        """Start a state elsewhere than the model says; its tangents then are 0, or 1 by its own initial value."""
        layout = self.layout
        i = layout.states.index(name)
        self.slots[:, i] = start
        for q, quantity in enumerate(layout.tangents):
            self.slots[:, layout.plain_states * (q + 1) + i] = float(quantity == f"initial:{name}")

    def _prepared(self) -> tuple[Reals, Reals, Reals, Reals]:
        layout, n, lanes = self.layout, self.count, self.kernel.lanes
        padded = -(-n // lanes) * lanes
        parameters = np.ones((padded, len(layout.parameters)))
        parameters[:n] = self.cohort.parameters
        n_states, n_stops = len(layout.states), len(layout.stops)
        n_slopes = 2 * len(layout.tangents)
        results = np.empty((padded, n_states + (2 + n_slopes) * n_stops))
        self.kernel.prepare(padded // lanes, parameters.ctypes.data, results.ctypes.data)
        results = results[:n]
        states, stop_times, stop_values, slopes = np.split(
            results, [n_states, n_states + n_stops, n_states + 2 * n_stops], axis=1
        )
        return states, stop_times, stop_values, slopes.reshape(n, n_stops, n_slopes)

    # -- running ----------------------------------------------------------------------------------------------------
    def advance(self, end: ArrayLike) -> None:
        """Carry all patients that are still running to ``end``; Ctrl-C is answered within a tenth of a second.

        Raises:
            KeyboardInterrupt: after the workers have stopped.
        """
        ends = np.ascontiguousarray(np.broadcast_to(np.asarray(end, np.float64), (self.count,)))
        order = np.flatnonzero((self.status == 0) & (self.time < ends))
        if len(order) == 0:
            return
        whole = len(order) == self.count
        part = self if whole else Part(self, order)
        cancel, following = np.zeros(1, np.int64), np.zeros(1, np.int64)
        block = call_block(self, part, ends if whole else np.ascontiguousarray(ends[order]), cancel, following)
        workers = max(1, min(self.threads, -(-len(order) // BATCH)))
        kernel, held = self.kernel, (block, part, self)

        def work() -> None:
            kernel.advance(held[0].ctypes.data)  # holds every array, whatever becomes of the caller

        pool, working = _threads(workers), set[Future[None]]()
        try:
            for _ in range(workers):
                working.add(pool.submit(work))
            while working:  # wake up often, so that Ctrl-C is heard
                done, working = wait(working, timeout=0.1)
                for one in done:
                    one.result()
        except BaseException:
            cancel[0] = 1  # the kernels look at this after every step
            wait(working)
            raise
        if not whole:
            part.give_back()  # type: ignore[union-attr]

    # -- results ----------------------------------------------------------------------------------------------------
    def _blank_unwritten(self) -> None:
        """Outputs that were never reached are not a number."""
        for row in np.flatnonzero(self.output < self.times.shape[-1]):
            self.values[row, self.output[row] :] = np.nan

    def _final_status(self) -> tuple[NDArray[np.int8], Reals]:
        """Status and time reached; an output that is not a number within a patient's own time is a failure."""
        last = np.broadcast_to(self.times[..., -1], (self.count,))
        reached = np.minimum(self.time, last)
        status = np.where(self.status == STOPPED, 0, self.status)
        for row in np.flatnonzero((status == 0) & np.isnan(self.values).any(axis=(1, 2))):
            times = np.broadcast_to(self.times, (self.count, self.times.shape[-1]))[row]
            unknown = np.isnan(self.values[row]).any(axis=1) & (times <= reached[row])
            if unknown.any():
                status[row], reached[row] = BAD_OUTPUT, times[np.argmax(unknown)]
        return status.astype(np.int8), reached

    def solution(self) -> Solution:
        """What the run has found, as the caller sees it."""
        self._blank_unwritten()
        layout, width = self.layout, len(self.outputs)
        signs = {k: 1.0 if e.kind == "max" else -1.0 for k, e in self.extremes.items()}
        tangents = {}
        for q, name in enumerate(layout.tangents):
            part = self.values[:, :, width * (q + 1) : width * (q + 2)]
            tangents[name] = part * _tangent_factor(self.model, name)
        status, reached = self._final_status()
        return Solution(
            values=self.values[:, :, :width],
            times=self.times,
            outputs=self.outputs,
            units=tuple(_unit(self.model, name) for name in self.outputs),
            patient_ids=self.cohort.ids,
            status=status,
            time_reached=reached,
            final=self.slots[:, : layout.model_states].copy(),
            states=tuple(layout.states),
            steps=self.steps,
            rejected=self.rejected,
            worst=self.worst,
            crossing_time={name: self.reached[:, k].copy() for k, name in enumerate(self.crossings)},
            extreme={
                name: (self.best[:, 2 * k].copy(), signs[name] * self.best[:, 2 * k + 1])
                for k, name in enumerate(self.extremes)
            },
            extinct_time={j.name: self.extinct[:, k].copy() for k, j in enumerate(layout.jumps)},
            tangents=tangents,
        )


class Part:
    """Copies of the rows of some patients, so that the kernel sees them side by side."""

    FIELDS = (
        "slots", "time", "step", "last_error", "event", "output", "steps", "rejected", "status", "worst",
        "values", "reached", "best", "extinct", "draws",
    )  # fmt: skip

    def __init__(self, run: Run, order: NDArray[np.int64]) -> None:
        self.run, self.order = run, order
        for name in self.FIELDS:
            setattr(self, name, np.ascontiguousarray(getattr(run, name)[order]))

    def give_back(self) -> None:
        """Write the rows back."""
        for name in self.FIELDS:
            getattr(self.run, name)[self.order] = getattr(self, name)


def call_block(
    run: Run, part: Any, ends: Reals, cancel: NDArray[np.int64], following: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The kernel's call block; see ``ARGUMENTS``. ``part`` keeps the arrays alive."""
    order = getattr(part, "order", np.arange(run.count))
    starts = run.schedule.start
    width = int(starts[1] - starts[0]) if run.count else 0
    schedule = run.schedule
    if len(order) != run.count and width:
        rows = (schedule.time, schedule.slot, schedule.action, schedule.value, schedule.slopes)
        schedule = Schedule(starts[: len(order) + 1], *(flat(a.reshape(run.count, -1)[order]) for a in rows))
    times = run.times if run.times.ndim == 1 or len(order) == run.count else np.ascontiguousarray(run.times[order])
    identity = np.ascontiguousarray(run.cohort.ids[order])
    fields: dict[str, Any] = {
        "next": following, "count": len(order), "batch": BATCH, "cancel": cancel,
        "slots": part.slots, "time": part.time, "step": part.step, "last_error": part.last_error,
        "event": part.event, "output": part.output, "steps": part.steps, "rejected": part.rejected,
        "status": part.status, "worst": part.worst, "end": ends,
        "event_start": schedule.start, "event_time": schedule.time, "event_slot": schedule.slot,
        "event_action": schedule.action, "event_value": schedule.value,
        "event_slopes": schedule.slopes,
        "values": part.values, "output_times": times,
        "output_stride": 0 if times.ndim == 1 else times.shape[1], "output_count": times.shape[-1],
        "inverse_square_tolerance": run.rtol**-2, "first_step": FIRST_STEP, "shortest_step": SHORTEST_STEP,
        "most_steps": float(run.most_steps), "reach": run.reach,
        "crossing_time": part.reached, "extreme": part.best, "extinct_time": part.extinct, "draws": part.draws,
        "identity": identity, "key": run.seed,
    }  # fmt: skip
    block = np.zeros(len(ARGUMENTS), np.int64)
    for k, name in enumerate(ARGUMENTS):
        value = fields[name]
        if isinstance(value, np.ndarray):
            block[k] = value.ctypes.data
        elif name in REALS:
            block[k] = np.float64(value).view(np.int64)
        else:
            block[k] = np.uint64(value).view(np.int64)
    part._held = fields
    return block


def _identifiers(given: ArrayLike | None, count: int) -> NDArray[np.uint64]:
    if given is None:
        return np.arange(count, dtype=np.uint64)
    ids = np.asarray(given)
    if ids.ndim != 1 or len(ids) != count or ids.dtype.kind not in "iu" or (ids < 0).any():
        raise InputError(f"patient_ids: expected {count} whole numbers from 0, got {ids.dtype} of shape {ids.shape}")
    return ids.astype(np.uint64)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _checked_tolerance(rtol: Any) -> float:
    if isinstance(rtol, bool) or not isinstance(rtol, (int, float, np.floating)) or not 1e-14 <= rtol <= 0.1:
        raise InputError(f"rtol: expected a number from 1e-14 to 0.1, got {rtol!r}")
    return float(rtol)


def _checked_count(name: str, given: Any, most: int) -> int:
    if isinstance(given, bool) or not isinstance(given, (int, np.integer)) or not 1 <= given <= most:
        raise InputError(f"{name}: expected a whole number from 1 to {most}, got {given!r}")
    return int(given)


def _checked_seed(seed: int) -> int:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < 2**64:
        raise InputError(f"seed: expected a whole number from 0 to 2**64 - 1, got {seed!r}")
    return int(seed)


def _checked_times(times: ArrayLike, count: int) -> Reals:
    try:
        array = np.ascontiguousarray(np.atleast_1d(np.asarray(times, np.float64)))
    except (TypeError, ValueError):
        raise InputError(f"times: expected numbers in days, got {times!r}") from None
    if array.ndim > 2 or array.shape[-1] == 0 or (array.ndim == 2 and len(array) != count):
        raise InputError(f"times: expected shape (time,) or ({count}, time) with at least one time, got {array.shape}")
    if not np.isfinite(array).all():
        raise InputError("times: every time must be a finite number of days")
    steps = np.diff(array, axis=-1)
    if (steps < 0).any():
        where = np.argwhere(steps < 0)[0]
        later, earlier = array[(*where[:-1], where[-1])], array[(*where[:-1], where[-1] + 1)]
        raise InputError(f"times: must ascend, but {earlier:g} day follows {later:g} day; sort them")
    return array


def _unit(model: type[Model], name: str) -> str:
    return model.outputs[name].unit if name in model.outputs else model.states[name].unit


def _typical_size(model: type[Model], name: str) -> float:
    """Size of a differentiated quantity in canonical units, by which the error of its tangents is scaled."""
    if name.startswith("initial:") and name[8:] in model.states:
        return max(1.0, model.states[name[8:]].floor)
    return abs(model.parameters[name].canonical_value) or 1.0 if name in model.parameters else 1.0


def _tangent_factor(model: type[Model], name: str) -> float:
    """From a derivative by the canonical quantity to one by the quantity in its declared unit."""
    return model.states[name[8:]].factor if name.startswith("initial:") else model.parameters[name].factor
