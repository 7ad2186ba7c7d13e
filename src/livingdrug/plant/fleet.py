"""The discrete-event simulation of a plant (SimPy): each patient walks through the steps and queues for resources.

Rules that a reader may want to know:

- Whoever is lost while queueing leaves the queue at once. A step that has begun is finished, since a batch is not
  stopped; a patient who was lost meanwhile leaves after it, with the true day of the loss.
- A unit that is held outside its working hours waits for the next opening; work by hand must fit into one shift.
- An outage takes units as soon as they become free and keeps them until its end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from livingdrug.errors import InputError, MissingExtra
from livingdrug.plant.luck import Luck, draw_luck
from livingdrug.plant.plan import Failure, FleetPlan, Resource, Step
from livingdrug.streams import seed_words, uniform
from livingdrug.therapy.stated import Fixed

if TYPE_CHECKING:
    from livingdrug.plant.result import FleetResult

__all__ = ["opening", "run"]

MOST_PATIENTS = 1_000_000
OUTAGE_FIRST = -math.inf  # the priority of an outage: before every patient
DIED, TOO_ILL, NO_PLACE = "died while waiting", "too ill for the therapy", "turned away: queue full"
ANY_FAILURE = Failure(reason="batch failed", chance=Fixed(value=1.0, unit="fraction"))
DONE_EVERY = 100
Walk = Generator[Any, Any, Any]


@dataclass
class Records:
    """What is written down while the fleet runs; one list per column."""

    visits: list[tuple[int, int, int, float, float, float]] = field(default_factory=list)  # asked, begin, end
    holds: list[tuple[int, int, float, float, float]] = field(default_factory=list)  # resource, row, asked, from, to
    outages: list[tuple[int, float, float]] = field(default_factory=list)
    ends: dict[int, tuple[float, int, str]] = field(default_factory=dict)  # row -> day, step, reason ("" infused)


def run(
    plan: FleetPlan,
    patients: int,
    seed: int,
    *,
    process: Any = None,
    arrivals: Any = None,
    progress: Callable[[int, int], Any] | None = None,
) -> FleetResult:
    """Simulate a plan; arguments as for ``FleetPlan.run``."""
    from livingdrug.plant.result import FleetResult

    if isinstance(patients, bool) or not isinstance(patients, int | np.integer) or not 1 <= patients <= MOST_PATIENTS:
        raise InputError(f"patients must be a whole number from 1 to {MOST_PATIENTS}, got {patients!r}")
    seed_words(seed)
    luck = draw_luck(plan, int(patients), seed, process, arrivals)
    fleet = _Fleet(plan, luck, seed, progress or (lambda *_: None))
    return FleetResult.from_records(plan, seed, luck, fleet.play())


class _Fleet:
    """One run: SimPy's environment, its resources and what each patient does."""

    def __init__(self, plan: FleetPlan, luck: Luck, seed: int, progress: Callable[[int, int], Any]) -> None:
        simpy = _simpy()
        self.plan, self.seed, self.progress = plan, seed, progress
        self.count = luck.ids.size
        self.env = simpy.Environment()
        self.finished = self.env.event()
        self.records = Records()
        self.numbers = {kind.name: place for place, kind in enumerate(plan.resources)}
        self.pools = [simpy.PriorityResource(self.env, kind.units) for kind in plan.resources]
        self.referral = luck.referral.tolist()
        self.risk = luck.risk.tolist()
        self.urgency = [plan.groups[place].urgency for place in luck.group]
        self.days = [days.tolist() for days in luck.days]
        self.failure = [failure.tolist() for failure in luck.failure]
        self.place = {step.name: place for place, step in enumerate(plan.steps)}
        died = np.full(self.count, np.inf)
        if plan.risk is not None:
            died = luck.referral + plan.risk.death_day(luck.budget, np.inf, luck.risk)
        self.died = died.tolist()
        self.leaves = np.minimum(died, luck.too_ill).tolist()

    def play(self) -> Records:
        """Run until every patient is infused or lost."""
        for number, outage in enumerate(self.plan.outages):
            for unit in range(outage.units):
                self.env.process(self._outage(number, unit))
        self.env.process(self._arrive())
        self.env.run(until=self.finished)
        return self.records

    def _arrive(self) -> Walk:
        for row in range(self.count):
            if self.referral[row] > self.env.now:
                yield self.env.timeout(self.referral[row] - self.env.now)
            self.env.process(self._patient(row))

    def _patient(self, row: int) -> Walk:
        """Let a patient walk through the steps, back after failures, until the infusion or the loss."""
        visits = [0] * len(self.plan.steps)
        back: dict[tuple[int, int], int] = {}
        place = 0
        while place < len(self.plan.steps):
            visit = visits[place]
            visits[place] += 1
            lost = yield from self._step(row, place, visit)
            if lost:
                return self._end(row, place, *lost)
            failure = self.failure[place][row][visit]
            if failure < 0:
                place += 1
                continue
            what = self.plan.steps[place].failures[failure] if self.plan.steps[place].failures else ANY_FAILURE
            back[place, failure] = back.get((place, failure), 0) + 1
            if not what.back_to or back[place, failure] > what.most:
                return self._end(row, place, self.env.now, what.reason)
            place = self.place[what.back_to]
        return self._end(row, place - 1, self.env.now, "")

    def _end(self, row: int, place: int, day: float, reason: str) -> None:
        self.records.ends[row] = (day, place, reason)
        done = len(self.records.ends)
        if done % DONE_EVERY == 0 or done == self.count:
            self.progress(done, self.count)
        if done == self.count:
            self.finished.succeed()

    def _step(self, row: int, place: int, visit: int) -> Walk:
        """Do one step; returns (day, reason) if the patient is lost in it."""
        step, env = self.plan.steps[place], self.env
        asked, leaves, days = env.now, self.leaves[row], self.days[place][row][visit]
        if not step.needs and not step.by:  # at home or on the way: nothing is held
            yield env.timeout(min(days, max(leaves - asked, 0.0)))
            self.records.visits.append((row, place, visit, asked, asked, env.now))
            return self._loss(row) if leaves <= env.now else None
        if not step.needs:
            yield from self._work(row, place, visit, asked, days, None)
            return self._loss(row) if leaves <= env.now else None
        number = self.numbers[step.needs]
        pool, kind = self.pools[number], self.plan.resources[number]
        if kind.most_waiting is not None and pool.count >= pool.capacity and len(pool.queue) >= kind.most_waiting:
            return (asked, NO_PLACE)
        request = yield from self._queue(row, pool)
        if request is None:
            self._left(row, place, visit, asked, number)
            return self._loss(row)
        with request:
            yield from self._work(row, place, visit, asked, days, number)
        return self._loss(row) if leaves <= env.now else None

    def _left(self, row: int, place: int, visit: int, asked: float, number: int) -> None:
        """Write down that a patient left without having begun."""
        self.records.visits.append((row, place, visit, asked, math.nan, self.env.now))
        self.records.holds.append((number, row, asked, math.nan, self.env.now))

    def _loss(self, row: int) -> tuple[float, str]:
        return self.leaves[row], DIED if self.died[row] <= self.leaves[row] else TOO_ILL

    def _queue(self, row: int, pool: Any) -> Walk:
        """Wait for a unit; returns the granted request, or None if the patient left the queue."""
        request = pool.request(priority=self._priority(row))
        leaves = self.leaves[row]
        if request.triggered or leaves == math.inf:
            yield request
            return request
        yield request | self.env.timeout(max(leaves - self.env.now, 0.0))
        if request.triggered:
            return request
        request.cancel()
        return None

    def _priority(self, row: int) -> float:
        """Return the place in the queue, smallest first; equal ones are served in the order of joining."""
        if self.plan.rule == "urgency":
            return self.urgency[row]
        if self.plan.rule == "survival" and self.plan.risk is not None:
            return -self.plan.risk.loss_per_day(self.env.now - self.referral[row], self.risk[row])
        return 0.0

    def _work(self, row: int, place: int, visit: int, asked: float, days: float, number: int | None) -> Walk:
        """Do the step while its unit is held: wait for the opening, work by hand, let it run, work by hand."""
        step, env = self.plan.steps[place], self.env
        granted = env.now
        if number is not None:
            begin = opening(self.plan.resources[number], granted, days)
            if begin > self.leaves[row]:  # lost before the unit opens: nothing is begun
                yield env.timeout(max(self.leaves[row] - granted, 0.0))
                return self._left(row, place, visit, asked, number)
            if begin > granted:
                yield env.timeout(begin - granted)
        begin = env.now
        first = yield from self._by_hand(row, step, step.hands_first.value)
        yield env.timeout(days)
        yield from self._by_hand(row, step, step.hands_last.value)
        self.records.visits.append((row, place, visit, asked, begin if first is None else first, env.now))
        if number is not None:
            self.records.holds.append((number, row, asked, begin, env.now))

    def _by_hand(self, row: int, step: Step, hands: float) -> Walk:
        """Let an operator work; returns when the work began, None if there is none."""
        if not hands:
            return None
        number = self.numbers[step.by]
        asked = self.env.now
        with self.pools[number].request(priority=self._priority(row)) as request:
            yield request
            begin = opening(self.plan.resources[number], self.env.now, hands)
            if begin > self.env.now:
                yield self.env.timeout(begin - self.env.now)
            begin = self.env.now
            yield self.env.timeout(hands)
        self.records.holds.append((number, row, asked, begin, self.env.now))
        return begin

    def _outage(self, number: int, unit: int) -> Walk:
        """Take a unit out of work at its day, or again and again by chance."""
        outage, count = self.plan.outages[number], 0
        pool = self.numbers[outage.needs]
        clock = outage.start_day or 0.0
        while True:
            who, what = [count], f"plant outage {number} {unit}"
            if outage.per_year is not None:
                clock += -math.log(float(uniform(self.seed, who, what)[0, 0])) * 365.25 / outage.per_year
            end = clock + float(outage.days.draw(self.seed, who, what + " days")[0])
            yield self.env.timeout(max(clock - self.env.now, 0.0))
            with self.pools[pool].request(priority=OUTAGE_FIRST) as request:
                yield request
                taken = self.env.now
                yield self.env.timeout(max(end - taken, 0.0))
            if end > taken:
                self.records.outages.append((pool, taken, end))
            if outage.per_year is None:
                return
            clock, count = max(end, self.env.now), count + 1


def opening(kind: Resource, now: float, needed: float) -> float:
    """Return the first time from ``now`` at which a unit may begin work of ``needed`` days.

    Work that fits into one working day is not begun so late that it would not; longer work only has to begin in it.

    Example:
        >>> desk = Resource(name="desk", units=1, week="weekdays", opens=8.0, closes=16.0)
        >>> opening(desk, 4.6, 0.1)  # Friday afternoon, 14:24, until 16:48: not before Monday at eight
        7.333333333333333
    """
    length = kind.open_days
    if length == 1 and kind.week == "every day":
        return now
    latest = length - needed if needed < length else length
    day = math.floor(now)
    for later in range(day, day + 8):
        if kind.week == "weekdays" and later % 7 >= 5:
            continue
        start = max(now, later + kind.opens / 24)
        if start <= later + kind.opens / 24 + latest + 1e-12:
            return start
    raise AssertionError("a week without a working day")


def _simpy() -> Any:
    try:
        import simpy
    except ImportError:
        raise MissingExtra("the simulation of a plant", "simpy", "plant") from None
    return simpy
