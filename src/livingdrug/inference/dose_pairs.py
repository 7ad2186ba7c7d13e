"""Which doses a row of the data feels in a closed form, and what kind of dose each is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.graph import Graph
from livingdrug.errors import InputError, unknown_name
from livingdrug.inference import exponentials as sums
from livingdrug.inference.data import OTHER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livingdrug.inference.closed_form import ClosedForm
    from livingdrug.inference.data import Doses
    from livingdrug.inference.rows import Rows
    from livingdrug.model.expressions import Expression

__all__ = ["Kind", "Pairs", "pair", "response", "timing_name"]

Reals = NDArray[np.float64]
Whole = NDArray[np.intp]
MODEL_RATE = -1.0


def timing_name(rate: float, compartment: str) -> str:
    """Return the parameter that holds what the data leave to the model: the rate (RATE -1) or the duration (-2)."""
    return ("R" if rate == MODEL_RATE else "D") + compartment


@dataclass(frozen=True)
class Kind:
    """Doses whose response is one formula.

    Attributes:
        into: symbol of the dose in the formulas; empty where they read none.
        infused: whether it takes time.
        timing: parameter that holds its rate (``R1``) or duration (``D1``); empty where the data hold it.
        steady: whether it has always been repeated.
        endless: whether it is an infusion since ever, whose amount is one a day.
    """

    into: str = "dose"
    infused: bool = False
    timing: str = ""
    steady: bool = False
    endless: bool = False

    @property
    def reshaped(self) -> bool:
        """Whether the response is more than the formula as it stands."""
        return self.infused or self.steady


AT_ONCE = Kind()


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every row with every dose that it feels, in the order of the rows; each row alone if the form reads no dose.

    Attributes:
        row: index of the row.
        kind: index into ``kinds``.
        kinds: the kinds that occur.
        fixed: name of a symbol -> its values.
        doses, dose: all doses, and which of them stands in each pair.
        ids: names of the subjects.
    """

    row: Whole
    kind: Whole
    kinds: tuple[Kind, ...]
    fixed: Mapping[str, Reals]
    doses: Doses
    dose: Whole
    ids: tuple[str, ...]

    def place(self, k: int) -> str:
        """Subject and row of the dose of a pair, in words."""
        return _place(self.ids, self.doses, int(self.dose[k]))


def pair(form: ClosedForm, rows: Rows) -> Pairs:
    """Join rows and doses. A reset (EVID 3 and 4) and a steady state (SS 1) end what was given before them.

    Raises:
        InputError: doses that the form cannot have.
    """
    doses, n = rows.doses.take(rows.doses.evid != OTHER), len(rows.time)
    if not form.superposed:
        fixed = {"time": rows.time}
        return Pairs(np.arange(n), np.zeros(n, np.intp), (AT_ONCE,), fixed, doses, np.zeros(0, np.intp), rows.data.ids)
    endless = (doses.steady > 0) & (doses.amount == 0)
    gives = (doses.amount > 0) | endless
    _check(form, rows, doses, gives)
    row, dose, after = _felt(rows, doses, gives)
    each = [_kind(form, rows.data.compartments, doses, k) if gives[k] else AT_ONCE for k in range(len(doses))]
    kinds = tuple(dict.fromkeys(each[k] for k in np.unique(dose))) or (AT_ONCE,)
    number = np.array([kinds.index(one) if one in kinds else -1 for one in each], np.intp)
    fixed = {
        "time": after,
        "dose": np.where(endless, doses.rate, doses.amount)[dose],
        sums.LENGTH.name: np.nan_to_num(doses.duration)[dose],
        sums.INTERVAL.name: doses.interval[dose],
    }
    return Pairs(row, number[dose], kinds, fixed, doses, dose, rows.data.ids)


def _felt(rows: Rows, doses: Doses, gives: NDArray[np.bool_]) -> tuple[Whole, Whole, Reals]:
    """Row, dose and time between them."""
    asked, forgets = rows.asked, doses.forgets
    first = np.searchsorted(doses.subject, np.arange(rows.subjects + 1))
    found: list[tuple[Whole, Whole, Reals]] = []
    for s, start in enumerate(rows.starts):
        at = np.arange(start, rows.starts[s + 1] if s + 1 < rows.subjects else len(asked))
        d = np.arange(first[s], first[s + 1])
        course = np.cumsum(forgets[d])  # number of resets up to each dose
        after = asked[at, None] - doses.time[d]
        now = np.where(after >= 0, course, 0).max(axis=1, initial=0)
        row, dose = np.nonzero((after >= 0) & (course == now[:, None]) & gives[d])
        found.append((at[row], d[dose], after[row, dose]))
    row, dose, after = (np.concatenate(part) for part in zip(*found, strict=True))
    return row, dose, after


def _kind(form: ClosedForm, compartments: tuple[str, ...], doses: Doses, k: int) -> Kind:
    word, steady = compartments[doses.compartment[k]], bool(doses.steady[k] > 0)
    into = form.doses.get(word, "dose")
    if steady and doses.amount[k] == 0:
        return Kind(into, steady=True, endless=True)
    timing = timing_name(doses.rate[k], word) if np.isnan(doses.duration[k]) else ""
    return Kind(into, bool(timing) or bool(doses.duration[k] > 0), timing, steady)


def _place(ids: tuple[str, ...], doses: Doses, k: int) -> str:
    return f"subject {ids[doses.subject[k]]!r}, row {doses.row[k]}"


def _check(form: ClosedForm, rows: Rows, doses: Doses, gives: NDArray[np.bool_]) -> None:
    """Refuse doses into a place that the formula does not know, and a form without doses."""
    if not gives.any():
        raise InputError(
            f"{form.name}: the formula is the response to a dose, but the data hold none (rows with AMT and EVID 1)"
        )
    words = rows.data.compartments
    first = words[doses.compartment[int(np.argmax(gives))]]
    for k in np.flatnonzero(gives):
        word = words[doses.compartment[k]]
        place = f"{form.name}: {_place(rows.data.ids, doses, int(k))}"
        if form.doses and word not in form.doses:
            raise InputError(unknown_name("compartment of a dose", word, form.doses, place=place))
        if not form.doses and word != first:
            raise InputError(
                f"{place}: doses go into two compartments, {first!r} and {word!r}, but the formula is the response to "
                f"one kind of dose; write the response to each (dose_into({first!r}), dose_into({word!r}))"
            )
        if doses.steady[k] > 0 and doses.amount[k] > 0 and not doses.interval[k] > 0:
            raise InputError(f"{place}: steady state (SS) without the time between doses (II)")


def response(form: ClosedForm, formula: Expression, kind: Kind, graph: Graph, place: str) -> tuple[int, list[int]]:
    """Node of the response to doses of one kind, and the rates that must be negative for it to exist.

    Raises:
        InputError: an infusion or a steady state of what is no sum of exponentials.
    """
    amount = graph.named("dose")
    names: dict[Expression, int] = {
        symbol: amount if symbol.name == kind.into else graph.zero for symbol in form.dose_symbols
    }
    if not kind.reshaped:
        return graph.read(formula, names), []
    terms = sums.exponentials(graph, formula, names)
    what = "a steady state (SS)" if kind.steady else "an infusion (RATE)"
    if terms is None:
        raise InputError(
            f"{place}: {what} needs a formula that is written as a sum of exponentials of the time, such "
            "as dose / V * exp(-k * time); this one is not. Fit a Model with states instead"
        )
    dose = next((symbol for symbol in form.dose_symbols if symbol.name == kind.into), None)
    if (kind.infused or kind.endless) and dose is not None and not sums.is_linear(graph, formula, names, dose):
        raise InputError(
            f"{place}: the formula does not grow in proportion to the dose, so it tells nothing of an "
            "infusion; fit a Model with states instead"
        )
    given: dict[Expression, int] = {sums.LENGTH: _length(graph, kind, amount)}
    return sums.summed(graph, terms, _shape(kind), given), list(terms) if kind.steady else []


def _shape(kind: Kind) -> Expression:
    """What the kind of dose makes of one exponential."""
    if kind.endless:
        return sums.ENDLESS
    if kind.steady:
        return sums.STEADY_INFUSED if kind.infused else sums.STEADY
    return sums.INFUSED


def _length(graph: Graph, kind: Kind, amount: int) -> int:
    """Node of the duration of an infusion; a negative one is no number."""
    if not kind.timing:
        return graph.named(sums.LENGTH.name)
    held = graph.named(kind.timing)
    length = graph.mul(amount, graph.inv(held)) if kind.timing[0] == "R" else held
    return graph.where(graph.make("lt", held, graph.zero), graph.number(float("nan")), length)
