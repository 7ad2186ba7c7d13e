"""Formulas that are sums of exponentials of the time, and what infusions and steady states make of them.

The course after one dose of a linear compartment model is such a sum, ``c1 exp(r1 t) + c2 exp(r2 t) + ...``. An
infusion integrates every exponential over the times at which it ran, and a dose that has always been repeated adds a
geometric series; both are formulas again, so their derivatives are exact.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from livingdrug.engine.graph import Graph
from livingdrug.model.expressions import Expression, Symbol, exp, time, walk, where

__all__ = [
    "ENDLESS",
    "INFUSED",
    "INTERVAL",
    "LENGTH",
    "RATE",
    "RUNNING",
    "STEADY",
    "STEADY_INFUSED",
    "exponentials",
    "is_linear",
    "summed",
]

RATE = Symbol("rate of an exponential", "parameter")
LENGTH = Symbol("days of an infusion", "dose")
INTERVAL = Symbol("days between doses", "dose")
RUNNING = Symbol("infusions that still run", "dose")
"""Of those that began at the dose or whole intervals before it."""

NEAR = 1e-2
"""Size of x below which (exp(x) - 1) / x is its series: to x^4, so the error is below x^5 / 720 = 1.4e-13."""


def _growth(x: Expression) -> Expression:
    """``(exp(x) - 1) / x``, exact near zero too."""
    series = 1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5)))
    return where(x * x < NEAR**2, series, (exp(x) - 1) / x)


def _declining(response: Expression) -> Expression:
    return where(RATE < 0, response, math.nan)


def _infused() -> Expression:
    """The mean of ``exp(rate * t)`` over the length of an infusion, as far as it has run."""
    runs = time < LENGTH
    run = where(runs, time, LENGTH)
    return exp(RATE * (time - run)) * where(runs, time / LENGTH, 1) * _growth(RATE * run)


def _steady_infused() -> Expression:
    """Infusions of one unit at every interval since ever; they may be longer than the interval.

    Those that have ended are a geometric series. Of those that still run, the last began at the dose; the others began
    1, 2 ... intervals before it, and each of them holds ``(1 - exp(rate * time it has run)) / (-rate * length)``.
    """
    ended = exp(RATE * (time + RUNNING * INTERVAL - LENGTH)) * _growth(RATE * LENGTH) / LOST
    others, first = RUNNING - 1, exp(RATE * (time + INTERVAL))
    running = (others - first * (1 - exp(RATE * others * INTERVAL)) / LOST) / (-RATE * LENGTH)
    return ended + where(RUNNING < 1, 0, INFUSED + running)


LOST = 1 - exp(RATE * INTERVAL)
"""What is lost of an exponential over an interval: one over the geometric series."""
INFUSED = _infused()
"""One unit, infused."""
STEADY = _declining(exp(RATE * time) / LOST)
"""One unit at every interval since ever, at once."""
STEADY_INFUSED = _declining(_steady_infused())
ENDLESS = _declining(exp(RATE * time) / -RATE)
"""After one unit a day that was given since ever and ends now."""

Terms = dict[int, int]
"""Rate of each exponential -> its factor, as nodes; the rate zero is a constant."""


def exponentials(graph: Graph, formula: Expression, names: Mapping[Expression, int]) -> Terms | None:
    """Return a formula as a sum of exponentials of the time, or None if it is not written as one.

    Args:
        graph: where nodes are made.
        formula: of time, parameters and covariates.
        names: node of each symbol that does not go by its own name.
    """
    done: dict[int, Terms | None] = {}
    for part in walk(formula):
        if part is time:
            done[id(part)] = None  # alone it is no exponential; inside exp() it is read below
        elif part in names or not part.operands:
            done[id(part)] = _constant(graph, graph.read(part, names))
        else:
            done[id(part)] = _joined(graph, part, [done[id(o)] for o in part.operands], names)
    return done[id(formula)]


def summed(graph: Graph, terms: Terms, response: Expression, names: Mapping[Expression, int]) -> int:
    """Node of the sum in which every exponential has given way to a response in :data:`RATE` and time."""
    total = graph.zero
    for rate, factor in terms.items():
        total = graph.add(total, graph.mul(factor, graph.read(response, {**names, RATE: rate})))
    return total


def is_linear(graph: Graph, formula: Expression, names: Mapping[Expression, int], dose: Symbol) -> bool:
    """Whether twice the dose makes twice the response, as far as the formula shows it."""
    terms = exponentials(graph, formula, names) or {}
    slopes = [row.get(0, graph.zero) for row in graph.derivatives(list(terms.values()), [names[dose]])]
    without = exponentials(graph, formula, {**names, dose: graph.zero}) or {}
    return names[dose] not in graph.symbols([*terms, *slopes]) and set(without.values()) <= {graph.zero}


def _constant(graph: Graph, node: int) -> Terms:
    return {} if node == graph.zero else {graph.zero: node}


def _joined(graph: Graph, part: Expression, given: list[Terms | None], names: Mapping[Expression, int]) -> Terms | None:
    """An operation on what is a sum already, or None."""
    if part.operation == "exp" and given[0] is None:
        return _exponential(graph, part.operands[0], names)
    known = [terms for terms in given if terms is not None]
    if len(known) < len(given):
        return None
    still = [terms.get(graph.zero, graph.zero) for terms in known]
    moving = [not set(terms) <= {graph.zero} for terms in known]
    if not any(moving):
        return _constant(graph, graph.make(part.operation, *still))
    if part.operation == "mul":
        return _product(graph, *known)
    if part.operation == "div" and not moving[1]:
        return {rate: graph.make("div", factor, still[1]) for rate, factor in known[0].items()}
    fixed = 1 if part.operation == "where" and not moving[0] else 0  # a condition that the time does not decide
    if fixed or part.operation in {"add", "sub", "neg"}:
        rates = dict.fromkeys(rate for terms in known[fixed:] for rate in terms)
        factors = {rate: [terms.get(rate, graph.zero) for terms in known[fixed:]] for rate in rates}
        return {rate: graph.make(part.operation, *still[:fixed], *each) for rate, each in factors.items()}
    return None


def _product(graph: Graph, left: Terms, right: Terms) -> Terms:
    found: Terms = {}
    for rate, factor in left.items():
        for other, by in right.items():
            both = graph.add(rate, other)
            found[both] = graph.add(found.get(both, graph.zero), graph.mul(factor, by))
    return found


def _exponential(graph: Graph, exponent: Expression, names: Mapping[Expression, int]) -> Terms | None:
    """``exp(a + b * time)`` with a and b free of the time."""
    node, clock = graph.read(exponent, names), graph.named(time.name)
    rate = graph.derivatives([node], [clock])[0].get(0, graph.zero)
    asks = [n for n in graph.reachable([node]) if graph.operation[n] in {"lt", "le"}]
    if clock in graph.symbols([rate, *asks]):
        return None
    return {rate: graph.make("exp", graph.read(exponent, {**names, time: graph.number(0.0)}))}
