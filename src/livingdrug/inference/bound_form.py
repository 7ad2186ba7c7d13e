"""Closed forms at the times, doses and covariates of a data set: values and exact derivatives in one pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.graph import Graph
from livingdrug.errors import InputError
from livingdrug.inference.dose_pairs import Kind, pair, response
from livingdrug.inference.exponentials import INTERVAL, LENGTH, RUNNING
from livingdrug.model.expressions import OPERATIONS

if TYPE_CHECKING:
    from livingdrug.inference.closed_form import ClosedForm
    from livingdrug.inference.rows import Rows

__all__ = ["BoundForm"]

Reals = NDArray[np.float64]
BLOCK = 8192
"""Values of one node that are evaluated at once at most."""
_CONSTANT, _BY_UNIT, _BY_ROW = range(3)
_FUNCTIONS: dict[str, Callable[..., Any]] = {**OPERATIONS, "inv": np.reciprocal}


class BoundForm:
    """A closed form at the times, doses and covariates of a data set."""

    def __init__(self, form: ClosedForm, rows: Rows, outputs: Sequence[str], by: Sequence[str]) -> None:
        self.form, self.rows, self.by = form, rows, list(by)
        self.count = len(rows.time)
        self.pairs = pair(form, rows)
        self.pair_row = self.pairs.row
        self.fixed = dict(self.pairs.fixed)
        for name in form.covariates:
            self.fixed[name] = rows.covariate(name)[self.pair_row]
        self.unit = rows.unit[self.pair_row]
        self.whole = len(self.pair_row) == self.count and bool((self.pair_row == np.arange(self.count)).all())
        self.parts = [part for k, word in enumerate(outputs) for part in self._kinds(k, word)]
        self.tried = False

    def _kinds(self, k: int, word: str) -> list[_Part]:
        """The pairs of one endpoint, by the kind of their dose."""
        found = []
        of_endpoint = self.rows.endpoint[self.pair_row] == k
        for number, kind in enumerate(self.pairs.kinds):
            at = np.flatnonzero(of_endpoint & (self.pairs.kind == number))
            if not len(at):
                continue
            place = f"{self.form.name}: {self.pairs.place(at[0])}" if kind.reshaped else self.form.name
            self._check_timing(kind.timing, place)
            graph = Graph()
            graph.power_floor = 1e-300
            root, rates = response(self.form, self.form.formulas[word], kind, graph, place)
            blocks = [_Block(self, some) for some in self._cut(at)]
            found.append(_Part(kind, blocks, _Program(graph, root, self.by), rates))
        return found

    def _cut(self, at: NDArray[np.intp]) -> list[NDArray[np.intp]]:
        """Cut pairs into blocks, but no row: its doses are always summed in the same order."""
        starts = np.append(np.flatnonzero(np.diff(self.pair_row[at], prepend=-1)), len(at))
        edges = starts[np.searchsorted(starts, np.arange(BLOCK, len(at), BLOCK))]
        return [some for some in np.split(at, np.unique(edges)) if len(some)]

    def _check_timing(self, name: str, place: str) -> None:
        """Refuse infusions whose rate or duration nobody gives."""
        if not name or name in self.by:
            return
        what = "rate" if name[0] == "R" else "duration"
        more = "" if name in self.form.parameters else f", and write dose_into({name[1:]!r}) in place of DOSE"
        raise InputError(
            f"{place}: the data leave the {what} of the infusion to the model; give the parameter {name!r}, an "
            f"Estimate or a number{more}"
        )

    def evaluate(self, values: Reals, order: int = 0, wanted: Sequence[int] | None = None) -> tuple[Reals, ...]:
        """Predictions and their derivatives by the parameters.

        Args:
            values: individual parameters, shape (chain, unit, parameter).
            order: 0 for values, 1 with first, 2 with second derivatives.
            wanted: parameters by which to differentiate; all if None. Others have derivative zero.

        Returns:
            Arrays of shape (chain, row), (chain, row, parameter), (chain, row, parameter, parameter).
        """
        chains, p = len(values), len(self.by)
        results = [np.zeros((chains, self.count, *([p] * k))) for k in range(order + 1)]
        for part in self.parts:
            for block in part.blocks:
                most = max(BLOCK // len(block.at), 1)
                for c in range(0, chains, most):
                    some = slice(c, c + most)
                    self._evaluate(part, block, values[some], [one[some] for one in results], wanted)
        self.tried = True
        return tuple(results)

    def _evaluate(
        self, part: _Part, block: _Block, values: Reals, results: list[Reals], wanted: Sequence[int] | None
    ) -> None:
        """Evaluate some pairs of a part and add them up into the rows of the results."""
        by_row, by_unit = block.by_row, {name: values[:, block.units, j] for j, name in enumerate(self.by)}
        if part.kind.steady and part.kind.infused:
            by_row = {**by_row, RUNNING.name: _running(part.kind, by_row, by_unit, block.unit)}
        if part.rates and not self.tried:
            self._check_decline(part, block, by_row, by_unit)
        for place, found in part.program.run(by_row, by_unit, block.unit, len(results) - 1, wanted):
            if block.starts is not None:  # the sum over the doses of each row
                found = np.add.reduceat(np.broadcast_to(found, (len(values), len(block.at))), block.starts, axis=1)
            for index in {place, place[::-1]}:
                results[len(place)][(slice(None), block.rows, *index)] += found

    def _check_decline(self, part: _Part, block: _Block, by_row: Mapping[str, Any], by_unit: Mapping[str, Any]) -> None:
        """Say in words what never settles at the first guesses; later it only makes parameters impossible."""
        for values in part.program.values(part.rates, by_row, by_unit, block.unit):
            rates = np.broadcast_to(np.atleast_2d(values), (len(np.atleast_2d(values)), len(block.unit)))
            grows = ~(rates < 0).any(axis=0)
            if grows.any():
                k = int(np.argmax(grows))
                raise InputError(
                    f"{self.form.name}: {self.pairs.place(block.at[k])}: no steady state (SS) is found at the first "
                    f"guesses: a part of the formula does not decline with the time (its exponent is {rates[0, k]:g} "
                    "per day). Write out the doses (ADDL and II), or begin with other values"
                )


def _running(kind: Kind, by_row: Mapping[str, Any], by_unit: Mapping[str, Any], unit: Any) -> Any:
    """How many infusions of one regimen in steady state still run: that of the dose, and those begun before it."""
    length = by_row[LENGTH.name]
    with np.errstate(all="ignore"):
        if kind.timing:
            held = np.take(by_unit[kind.timing], unit, axis=1)
            length = by_row["dose"] / held if kind.timing[0] == "R" else held
        return np.maximum(np.ceil((length - by_row["time"]) / by_row[INTERVAL.name]), 0.0)


@dataclass(frozen=True, eq=False)
class _Part:
    """The pairs of one endpoint and kind of dose, and the formula of these."""

    kind: Kind
    blocks: list[_Block]
    program: _Program
    rates: list[int]


class _Block:
    """Some pairs, so few that all values on the way to theirs stay in the processor's own memory.

    Attributes:
        at: the pairs.
        by_row: name of a symbol -> its values.
        units: range of the units that they belong to.
        unit: which of these each belongs to.
        rows: rows of the results into which they are added.
        starts: where the doses of each row begin; None where pairs and rows are one.
    """

    def __init__(self, bound: BoundForm, at: NDArray[np.intp]) -> None:
        pairs: Any = slice(at[0], at[-1] + 1) if at[-1] - at[0] == len(at) - 1 else at
        unit, row = bound.unit[pairs], bound.pair_row[pairs]
        self.at, self.by_row = at, {name: values[pairs] for name, values in bound.fixed.items()}
        self.units = slice(unit.min(), unit.max() + 1)
        self.unit = unit - self.units.start
        self.starts = None if bound.whole else np.flatnonzero(np.diff(row, prepend=-1))
        self.rows = pairs if self.starts is None else row[self.starts]


class _Program:
    """One formula with its first and second derivatives."""

    def __init__(self, graph: Graph, root: int, by: Sequence[str]) -> None:
        g, self.graph, self.root, self.by = graph, graph, root, by
        self.variables = [g.named(name) for name in by]
        self.first = g.derivatives([self.root], self.variables)[0]
        rows = g.derivatives(list(self.first.values()), self.variables)
        self.second = {
            (i, j): node for i, row in zip(self.first, rows, strict=True) for j, node in row.items() if j >= i
        }
        self.plans: dict[Any, _Plan] = {}

    def values(
        self, nodes: list[int], by_row: Mapping[str, Any], by_unit: Mapping[str, Any], unit: NDArray[np.intp]
    ) -> list[Any]:
        """Values of nodes at the rows."""
        return _Plan(self.graph, nodes, self.by).values(by_row, by_unit, unit)

    def run(
        self,
        by_row: Mapping[str, Any],
        by_unit: Mapping[str, Any],
        unit: NDArray[np.intp],
        order: int,
        wanted: Sequence[int] | None,
    ) -> Iterator[tuple[tuple[int, ...], Any]]:
        """Yield the value and the derivatives at the rows, each after the parameters by which it is one."""
        chosen = range(len(self.variables)) if wanted is None else wanted
        nodes: dict[tuple[int, ...], int] = {(): self.root}
        if order:
            nodes |= {(i,): node for i, node in self.first.items() if i in chosen}
        if order > 1:
            nodes |= {key: node for key, node in self.second.items() if set(key) <= set(chosen)}
        key = (order, tuple(chosen))
        if key not in self.plans:
            self.plans[key] = _Plan(self.graph, list(nodes.values()), self.by)
        return zip(nodes, self.plans[key].values(by_row, by_unit, unit), strict=True)


class _Plan:
    """The order in which nodes are evaluated: what parameters alone decide once for each unit, all else at each row.

    Values lie in slots: numbers, then symbols, then those of the steps, one after the other.
    """

    def __init__(self, graph: Graph, nodes: Sequence[int], by: Sequence[str]) -> None:
        reachable = graph.reachable(nodes)
        leaves = {kind: [n for n in reachable if graph.operation[n] == kind] for kind in ("number", "symbol")}
        self.numbers = [np.float64(graph.value[node]) for node in leaves["number"]]
        self.symbols = [graph.symbol[node] for node in leaves["symbol"]]
        self.slot = {node: k for k, node in enumerate(leaves["number"] + leaves["symbol"])}
        self.level = dict.fromkeys(leaves["number"], _CONSTANT)
        self.level |= {n: _BY_UNIT if graph.symbol[n] in by else _BY_ROW for n in leaves["symbol"]}
        self.steps: list[tuple[Callable[..., Any] | None, list[int]]] = []
        self.taken: dict[int, int] = {}
        for node in reachable:
            if node not in self.slot:
                operands = graph.operands[node]
                self.level[node] = max(self.level[o] for o in operands)
                slots = [self._at_rows(o) if self.level[node] == _BY_ROW else self.slot[o] for o in operands]
                self.slot[node] = self._add(_FUNCTIONS[graph.operation[node]], slots)
        self.found = [self._at_rows(node) for node in nodes]
        self.spent = self._spent()

    def _spent(self) -> list[list[int]]:
        """After each step, the slots that nobody reads any more: their memory is still warm for what comes next."""
        first = len(self.numbers) + len(self.symbols)
        last: dict[int, int] = {}
        for step, (_, slots) in enumerate(self.steps):
            last |= dict.fromkeys(slots, step)
        spent: list[list[int]] = [[] for _ in self.steps]
        for slot, step in last.items():
            if slot >= first and slot not in self.found:
                spent[step].append(slot)
        return spent

    def _at_rows(self, node: int) -> int:
        """Where the value of a node at the rows lies; a step without a function takes that of each row's unit."""
        if self.level[node] != _BY_UNIT:
            return self.slot[node]
        if node not in self.taken:
            self.taken[node] = self._add(None, [self.slot[node]])
        return self.taken[node]

    def _add(self, function: Callable[..., Any] | None, slots: list[int]) -> int:
        self.steps.append((function, slots))
        return len(self.numbers) + len(self.symbols) + len(self.steps) - 1

    def values(self, by_row: Mapping[str, Any], by_unit: Mapping[str, Any], unit: NDArray[np.intp]) -> list[Any]:
        """Values of the nodes that were asked for, at the rows."""
        done: list[Any] = [*self.numbers, *(by_unit[n] if n in by_unit else by_row[n] for n in self.symbols)]
        with np.errstate(all="ignore"):  # what is not a number is seen by the caller
            for (function, slots), spent in zip(self.steps, self.spent, strict=True):
                if function is None:
                    done.append(done[slots[0]].take(unit, axis=1))
                else:
                    done.append(function(*[done[k] for k in slots]))
                for k in spent:
                    done[k] = None
        return [done[k] for k in self.found]
