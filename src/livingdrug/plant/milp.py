"""The mixed-integer linear programme behind a network's design, and why it has no solution when it has none.

Variables: ``open[plant]`` (0 or 1) and ``made[group, plant, way out, way back, wait]`` (whole), where a group is the
patients who come to one centre on one day. Rows: every patient is made once; begun batches in any stretch of making
days do not exceed the lines of an open plant; so many plants are open at most.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.errors import InputError, SolveError

if TYPE_CHECKING:
    import pandas as pd

    from livingdrug.plant.network import Network, NetworkOptions

__all__ = ["Programme"]

Array = NDArray[np.float64]
TREATED, LINES, OPEN, TURNAROUND = "treated", "lines", "open", "turnaround"
DONE, OUT_OF_TIME, INFEASIBLE = 0, 1, 2  # of scipy.optimize.milp
MOST_VARIABLES = 5_000_000
HALF_A_CENT = 0.005  # HiGHS may stop with a gap of rounding, e.g. 1e-14, and call it optimal


@dataclass(frozen=True)
class Way:
    """One way for one group: where its cells are made, how they travel, and when making begins."""

    group: int
    plant: int
    out: str
    back: str
    begin: int
    turnaround: int
    usd: float


@dataclass(frozen=True)
class _Row:
    kind: str
    entries: dict[int, float]
    low: float
    high: float


class Programme:
    """The programme of one network with its options; ``solve`` returns open plants, counts per way and the gap."""

    def __init__(self, network: Network, options: NetworkOptions) -> None:
        self.network, self.options = network, options
        groups: dict[tuple[str, int], list[str]] = defaultdict(list)
        for patient, arrival in network.patients.items():
            groups[arrival].append(patient)
        self.arrivals = list(groups)
        self.members = list(groups.values())
        self.all_ways = list(self._ways())
        limit = options.within_days
        self.ways = [way for way in self.all_ways if limit is None or way.turnaround <= limit]

    def solve(self) -> tuple[tuple[str, ...], NDArray[np.int64], float]:
        """Return the open plants, how many patients go each way, and the gap.

        Raises:
            InputError: no network fits.
            SolveError: the time was too short for the proof.
        """
        answer = self._minimise(self.ways, self._rows(self.ways), self._costs(self.ways))
        if answer.status == INFEASIBLE:
            raise InputError(self._why_not())
        if answer.status != DONE or answer.mip_gap * abs(answer.fun) > HALF_A_CENT:
            gap = f"gap {answer.mip_gap:.2%}" if answer.x is not None else "no network found yet"
            raise SolveError(
                f"{self.network.name}: no proof within {self.options.time_limit:g} s ({gap}); raise time_limit"
            )
        whole = np.rint(answer.x).astype(np.int64)
        count = len(self.ways)
        chosen = tuple(plant for plant, is_open in zip(self.network.plants, whole[count:], strict=True) if is_open)
        return chosen, whole[:count], float(answer.mip_gap)

    def assignments(self, counts: NDArray[np.int64]) -> pd.DataFrame:
        """Return one row per patient; equal patients take the ways of their group in the order of the file."""
        import pandas as pd

        waiting = [list(members) for members in self.members]
        rows = [
            self._assignment(waiting[way.group].pop(0), way)
            for way, count in zip(self.ways, counts, strict=True)
            for _ in range(count)
        ]
        order = {patient: place for place, patient in enumerate(self.network.patients)}
        return pd.DataFrame(sorted(rows, key=lambda row: order[row["patient"]]))

    def _assignment(self, patient: str, way: Way) -> dict[str, Any]:
        centre, day = self.arrivals[way.group]
        ready = way.begin + self.options.making_days
        return {
            "patient": patient,
            "centre": centre,
            "plant": self.network.plants[way.plant],
            "mode_out": way.out,
            "mode_back": way.back,
            "collection_day": day,
            "begin_day": way.begin,
            "harvest_day": ready,
            "release_day": ready + self.options.testing_days,
            "return_day": day + way.turnaround,
            "turnaround_days": way.turnaround,
            "transport_usd": way.usd,
        }

    def _ways(self) -> Iterable[Way]:
        network, options = self.network, self.options
        fixed = network.collection_days + options.making_days + options.testing_days + network.administration_days
        per_group = len(network.plants) * len(network.modes) ** 2 * (options.most_wait_days + 1)
        if per_group * len(self.arrivals) > MOST_VARIABLES:
            raise InputError(f"{network.name}: {per_group * len(self.arrivals)} variables are too many")
        choices = list(
            product(enumerate(network.plants), network.modes, network.modes, range(options.most_wait_days + 1))
        )
        for group, (centre, day) in enumerate(self.arrivals):
            for (place, plant), out, back, wait in choices:
                usd = network.cost_out[centre, plant, out] + network.cost_back[plant, centre, back]
                begin = day + network.collection_days + network.days_out[out] + wait
                turnaround = fixed + network.days_out[out] + wait + network.days_back[back]
                yield Way(group, place, out, back, begin, turnaround, usd)

    def _costs(self, ways: list[Way]) -> Array:
        """Return the cost of each variable: first the ways, then the open plants."""
        options = self.options
        made = [way.usd + options.day_of_waiting * way.turnaround for way in ways]
        per_therapy = options.materials + options.tests
        plants = [self.network.daily[plant] * options.horizon_days for plant in self.network.plants]
        return np.array([cost + per_therapy for cost in made] + plants)

    def _rows(self, ways: list[Way]) -> list[_Row]:
        plants, count = self.network.plants, len(ways)
        of_group: list[dict[int, float]] = [{} for _ in self.arrivals]
        begun: dict[tuple[int, int], list[int]] = defaultdict(list)
        for number, way in enumerate(ways):
            of_group[way.group][number] = 1.0
            begun[way.plant, way.begin].append(number)
        rows = [
            _Row(TREATED, entries, float(len(members)), float(len(members)))
            for entries, members in zip(of_group, self.members, strict=True)
        ]
        for place, plant in enumerate(plants):
            for day in sorted(day for where, day in begun if where == place):
                stretch = range(day, day + self.options.making_days)
                entries = {number: 1.0 for at in stretch for number in begun.get((place, at), ())}
                rows.append(_Row(LINES, {**entries, count + place: -float(self.network.lines[plant])}, -np.inf, 0.0))
        rows.append(
            _Row(OPEN, {count + place: 1.0 for place in range(len(plants))}, 0.0, float(self.options.most_open))
        )
        return rows

    def _minimise(self, ways: list[Way], rows: list[_Row], costs: Array, slack: Iterable[str] = ()) -> Any:
        """Run HiGHS; rows of the kinds in ``slack`` may be broken, each by a variable of its own at the end."""
        from scipy.optimize import Bounds, LinearConstraint, milp
        from scipy.sparse import coo_array

        most = [len(self.members[way.group]) for way in ways] + [1] * len(self.network.plants)
        soft = [number for number, row in enumerate(rows) if row.kind in set(slack)]
        size = len(costs)
        line, column, value = [], [], []
        for number, row in enumerate(rows):
            line += [number] * len(row.entries)
            column += row.entries
            value += row.entries.values()
        for extra, number in enumerate(soft):  # a treated patient too few, a batch or a plant too many
            line.append(number)
            column.append(size + extra)
            value.append(1.0 if rows[number].kind == TREATED else -1.0)
        width = size + len(soft)
        matrix = coo_array((value, (line, column)), shape=(len(rows), width)).tocsr()
        least: Any = [row.low for row in rows]  # SciPy's stubs know single numbers only
        highest: Any = [row.high for row in rows]
        largest: Any = np.concatenate([np.asarray(most, float), np.full(len(soft), np.inf)])
        limits = LinearConstraint(matrix, least, highest)
        bounds = Bounds(0, largest)
        objective = np.concatenate([costs, np.ones(len(soft))])
        return milp(
            objective,
            constraints=limits,
            bounds=bounds,
            integrality=np.ones(width),
            options={"mip_rel_gap": 0.0, "time_limit": self.options.time_limit},
        )

    def _why_not(self) -> str:
        """Return which groups of constraints stand in the way: each that, given up alone, leaves a solution."""
        reasons = []
        if len(self.ways) < len(self.all_ways):
            needed = self._least_turnaround()
            if needed is not None:
                reasons.append(f"the turnaround limit of {self.options.within_days} days ({needed})")
        for kind, words in (
            (OPEN, "the number of open plants (at most {most}; {slack:g} more would do)"),
            (LINES, "the lines of the plants ({slack:g} batches too many in the fullest stretches together)"),
            (TREATED, "the demand ({slack:g} of the patients left out)"),
        ):
            answer = self._elastic(kind)
            if answer is not None:
                reasons.append(words.format(most=self.options.most_open, slack=answer))
        listed = "; or ".join(reasons) or "several groups together: turnaround, open plants, lines"
        return f"{self.network.name}: no network fits. Giving up one of these would leave a solution: {listed}"

    def _elastic(self, kind: str) -> float | None:
        """Return by how much the rows of one kind must be broken at least, or None if that does not help."""
        rows = self._rows(self.ways)
        count = len(self.ways) + len(self.network.plants)
        answer = self._minimise(self.ways, rows, np.zeros(count), [kind])
        return round(float(answer.fun), 6) if answer.status == DONE else None

    def _least_turnaround(self) -> str | None:
        """Return the shortest limit that would do, in words; None if even no limit leaves no solution."""
        for limit in sorted({way.turnaround for way in self.all_ways}):
            if self.options.within_days is not None and limit <= self.options.within_days:
                continue
            ways = [way for way in self.all_ways if way.turnaround <= limit]
            count = len(ways) + len(self.network.plants)
            if self._minimise(ways, self._rows(ways), np.zeros(count)).status == DONE:
                return f"{limit} days would do"
        return None
