"""Structural models in closed form: formulas whose values and derivatives are evaluated for all subjects at once.

A formula is written with the words of a model declaration. The engine's graph shares its parts and gives the exact
first and second derivatives; NumPy evaluates them for every chain, node and observation in one pass.

Example:
    >>> import numpy as np
    >>> from livingdrug.model import exp, time
    >>> P, k = symbols("P", "k")
    >>> decline = ClosedForm("decline", P * exp(-k * time))
    >>> decline.parameters
    ('P', 'k')
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from livingdrug.engine.graph import Graph
from livingdrug.errors import InputError, unknown_name
from livingdrug.model.expressions import (
    OPERATIONS,
    Expression,
    Symbol,
    as_expression,
    exp,
    log,
    symbols_in,
    time,
    where,
)

if TYPE_CHECKING:
    from livingdrug.inference.rows import Rows

__all__ = [
    "ClosedForm",
    "biexponential",
    "emax",
    "expansion_contraction",
    "logistic_growth",
    "one_compartment_oral",
    "symbols",
]

Reals = NDArray[np.float64]

DOSE = Symbol("dose", "dose")
"""Amount of one dose; a formula that reads it is the response to one dose, ``time`` counts from it, and all doses are
added."""

RESET = 3
"""The least EVID that ends what was given before."""
_FUNCTIONS: dict[str, Callable[..., Any]] = {**OPERATIONS, "inv": np.reciprocal}


def symbols(*names: str) -> tuple[Symbol, ...]:
    """Parameters of a formula.

    Example:
        >>> [s.name for s in symbols("ka", "CL")]
        ['ka', 'CL']
    """
    return tuple(Symbol(name, "parameter") for name in names)


def covariate(name: str) -> Symbol:
    """A column of the data that a formula reads, such as the dose level of a concentration-response curve."""
    return Symbol(name, "covariate")


class ClosedForm:
    """A structural model written as formulas of time, parameters, covariates and the dose.

    Args:
        name: of the model.
        outputs: one formula (its output is named ``value``), or output -> formula.

    Raises:
        DeclarationError: a formula holds something else than numbers and symbols.
        InputError: a formula holds a state.
    """

    exact_curvature = True

    def __init__(self, name: str, outputs: Any | Mapping[str, Any]) -> None:
        self.name = name
        given = outputs if isinstance(outputs, Mapping) else {"value": outputs}
        self.formulas: dict[str, Expression] = {word: as_expression(formula) for word, formula in given.items()}
        found = list(dict.fromkeys(s for formula in self.formulas.values() for s in symbols_in(formula)))
        if any(s.kind == "state" for s in found):
            raise InputError(f"{name}: a closed form has no states; fit the Model itself instead")
        self.outputs = tuple(self.formulas)
        self.parameters = tuple(dict.fromkeys(s.name for s in found if s.kind == "parameter"))
        self.covariates = tuple(dict.fromkeys(s.name for s in found if s.kind == "covariate"))
        self.superposed = any(s is DOSE for s in found)
        self.defaults: dict[str, float] = {}

    def bind(self, rows: Rows, outputs: Sequence[str], by: Sequence[str]) -> BoundForm:
        """Join the formulas with the data.

        Args:
            rows: the observations.
            outputs: the output that each endpoint of the rows reads.
            by: parameters in the order of the values that will be given.
        """
        for word in outputs:
            if word not in self.formulas:
                raise InputError(unknown_name("output", word, self.formulas, place=self.name))
        return BoundForm(self, rows, outputs, by)


class BoundForm:
    """A closed form at the times, doses and covariates of a data set."""

    def __init__(self, form: ClosedForm, rows: Rows, outputs: Sequence[str], by: Sequence[str]) -> None:
        self.form, self.rows, self.by = form, rows, list(by)
        self.count = len(rows.time)
        self.pair_row, times, amounts = _pairs(form, rows)
        self.fixed: dict[str, Reals] = {"time": times, "dose": amounts}
        for name in form.covariates:
            self.fixed[name] = rows.covariate(name)[self.pair_row]
        self.unit = rows.unit[self.pair_row]
        self.whole = len(self.pair_row) == self.count and bool((self.pair_row == np.arange(self.count)).all())
        self.parts = [(k, np.flatnonzero(rows.endpoint[self.pair_row] == k)) for k in range(len(outputs))]
        self.parts = [(k, at) for k, at in self.parts if len(at)]
        self.programs = [_Program(form.formulas[word], self.by) for word in outputs]

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
        shapes = [(chains, len(self.pair_row), *([p] * k)) for k in range(order + 1)]
        results = [np.empty(shapes[0]), *(np.zeros(shape) for shape in shapes[1:])]
        by_unit = {name: values[..., j] for j, name in enumerate(self.by)}
        for k, at in self.parts:
            whole = len(at) == len(self.pair_row)
            by_row = {n: v if whole else v[at] for n, v in self.fixed.items()}
            unit = self.unit if whole else self.unit[at]
            self.programs[k].run(by_row, by_unit, unit, results, slice(None) if whole else at, wanted)
        return tuple(results if self.whole else [self._summed(r) for r in results])

    def _summed(self, by_pair: Reals) -> Reals:
        """Sum over the doses of each row; a row before its first dose is zero."""
        result = np.zeros((len(by_pair), self.count, *by_pair.shape[2:]))
        if len(self.pair_row):
            first = np.flatnonzero(np.diff(self.pair_row, prepend=-1))
            result[:, self.pair_row[first]] = np.add.reduceat(by_pair, first, axis=1)
        return result


class _Program:
    """One formula with its first and second derivatives, in the order of evaluation."""

    def __init__(self, formula: Expression, by: Sequence[str]) -> None:
        g = self.graph = Graph()
        g.power_floor = 1e-300
        self.root = g.read(formula, {})
        self.variables = [g.named(name) for name in by]
        self.first = g.derivatives([self.root], self.variables)[0]
        rows = g.derivatives(list(self.first.values()), self.variables)
        self.second = {
            (i, j): node for i, row in zip(self.first, rows, strict=True) for j, node in row.items() if j >= i
        }
        self.plans: dict[Any, list[int]] = {}

    def run(
        self,
        by_row: Mapping[str, Any],
        by_unit: Mapping[str, Any],
        unit: NDArray[np.intp],
        results: list[Reals],
        at: Any,
        wanted: Sequence[int] | None,
    ) -> None:
        """Evaluate into the rows ``at`` of the results; what parameters alone decide once for each unit."""
        order = len(results) - 1
        chosen = range(len(self.variables)) if wanted is None else wanted
        first = {i: node for i, node in self.first.items() if order and i in chosen}
        second = {key: node for key, node in self.second.items() if order > 1 and set(key) <= set(chosen)}
        key = (order, tuple(chosen))
        if key not in self.plans:
            self.plans[key] = self.graph.reachable([self.root, *first.values(), *second.values()])
        done = self._values(self.plans[key], by_row, by_unit, unit)
        results[0][:, at] = done(self.root)
        for i, node in first.items():
            results[1][:, at, i] = done(node)
        for (i, j), node in second.items():
            results[2][:, at, i, j] = results[2][:, at, j, i] = done(node)

    def _values(
        self, plan: list[int], by_row: Mapping[str, Any], by_unit: Mapping[str, Any], unit: NDArray[np.intp]
    ) -> Callable[[int], Any]:
        """Evaluate in order; returns what gives a node's value at the rows."""
        g = self.graph
        once: dict[int, Any] = {}  # of each unit
        done: dict[int, Any] = {}  # of each row

        def at_rows(node: int) -> Any:
            if node not in done:
                done[node] = once[node] if np.ndim(once[node]) == 0 else np.take(once[node], unit, axis=1)
            return done[node]

        with np.errstate(all="ignore"):  # what is not a number is seen by the caller
            for node in plan:
                operation, operands = g.operation[node], g.operands[node]
                if operation == "number":
                    once[node] = np.float64(g.value[node])
                elif operation == "symbol":
                    name = g.symbol[node]
                    kept, value = (once, by_unit[name]) if name in by_unit else (done, by_row[name])
                    kept[node] = value
                elif all(o in once for o in operands):
                    once[node] = _FUNCTIONS[operation](*(once[o] for o in operands))
                else:
                    done[node] = _FUNCTIONS[operation](*(at_rows(o) for o in operands))
        return at_rows


def _pairs(form: ClosedForm, rows: Rows) -> tuple[NDArray[np.intp], Reals, Reals]:
    """Row, time and dose of every response that counts: each row once, or once for every dose before it.

    A reset (EVID 3 and 4) ends what was given before it.
    """
    if not form.superposed:
        n = len(rows.time)
        return np.arange(n), rows.time, np.zeros(n)
    _check_superposed(form, rows)
    doses, asked = rows.doses, rows.asked
    first = np.searchsorted(doses.subject, np.arange(rows.subjects + 1))
    found: list[tuple[NDArray[np.intp], Reals, Reals]] = []
    for s, start in enumerate(rows.starts):
        at = np.arange(start, rows.starts[s + 1] if s + 1 < rows.subjects else len(asked))
        d = np.arange(first[s], first[s + 1])
        course = np.cumsum(doses.evid[d] >= RESET)  # number of resets up to each dose
        after = asked[at, None] - doses.time[d]
        now = np.where(after >= 0, course, 0).max(axis=1, initial=0)
        row, dose = np.nonzero((after >= 0) & (course == now[:, None]) & (doses.amount[d] > 0))
        found.append((at[row], after[row, dose], doses.amount[d[dose]]))
    row, after, amount = (np.concatenate(part) for part in zip(*found, strict=True))
    return row, after, amount


def _check_superposed(form: ClosedForm, rows: Rows) -> None:
    """Refuse doses whose response is not that of one dose at once, into one place."""
    doses = rows.doses
    given = doses.amount > 0
    for wrong, what in (
        (doses.duration > 0, "infusions are not superposed; fit a Model with states instead"),
        (np.isnan(doses.duration), "a closed form has no rate or duration of its own (RATE -1, -2)"),
        (doses.steady > 0, "steady state (SS) is not computed; write out the doses before it"),
        (given & (doses.compartment != doses.compartment[np.argmax(given)] if len(doses) else given),
         "doses go into two compartments, but the formula is the response to one kind of dose"),
    ):  # fmt: skip
        if wrong.any():
            k = int(np.argmax(wrong))
            where = f"subject {rows.data.ids[doses.subject[k]]!r}, row {doses.row[k]}"
            raise InputError(f"{form.name}: {where}: {what}")
    if not given.any():
        raise InputError(
            f"{form.name}: the formula is the response to a dose, but the data hold none (rows with AMT and EVID 1)"
        )


# -- forms in common use ----------------------------------------------------------------------------------------------
def one_compartment_oral() -> ClosedForm:
    """One compartment with first-order absorption: ``ka``, ``CL``, ``V``; doses from the data are added up.

    Example:
        >>> one_compartment_oral().parameters
        ('ka', 'V', 'CL')
    """
    ka, CL, V = symbols("ka", "CL", "V")
    form = ka / (V * ka - CL) * (exp(-CL / V * time) - exp(-ka * time))
    return ClosedForm("one_compartment_oral", {"concentration": DOSE * form})


def emax(level: str = "DOSE") -> ClosedForm:
    """Effect ``E0 + Emax d / (ED50 + d)`` of the dose level in the column ``level``."""
    E0, Emax, ED50 = symbols("E0", "Emax", "ED50")
    d = covariate(level)
    return ClosedForm("emax", {"effect": E0 + Emax * d / (ED50 + d)})


def logistic_growth() -> ClosedForm:
    """Growth ``Asym / (1 + exp((xmid - t) / scal))`` to an asymptote."""
    Asym, xmid, scal = symbols("Asym", "xmid", "scal")
    return ClosedForm("logistic_growth", {"size": Asym / (1 + exp((xmid - time) / scal))})


def biexponential(scale: str = "log10") -> ClosedForm:
    """Two-phase decline ``P1 exp(-l1 t) + P2 exp(-l2 t)``, as its decimal logarithm unless ``scale`` is natural."""
    P1, l1, P2, l2 = symbols("P1", "l1", "P2", "l2")
    total = P1 * exp(-l1 * time) + P2 * exp(-l2 * time)
    if scale not in {"natural", "log10"}:
        raise InputError(unknown_name("scale", scale, ("natural", "log10"), place="biexponential"))
    return ClosedForm("biexponential", {"load": log(total) / math.log(10) if scale == "log10" else total})


def expansion_contraction() -> ClosedForm:
    """Transgene of :class:`livingdrug.library.stein2019.Stein2019` in closed form, without co-medication."""
    fold, day, peak = symbols("fold_expansion", "peak_day", "peak")
    alpha, share, beta = symbols("contraction", "persistent_fraction", "decline")
    after = time - day
    rise = peak / fold * exp(log(fold) * time / day)
    fall = peak * ((1 - share) * exp(-alpha * after) + share * exp(-beta * after))
    return ClosedForm("expansion_contraction", {"car_t_transgene_blood": where(time < day, rise, fall)})
