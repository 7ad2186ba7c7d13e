"""Derivatives and simplifications of the formula graph, against SymPy, finite differences and plain evaluation."""

import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

from livingdrug.engine.graph import Graph
from livingdrug.engine.layout import Request
from livingdrug.engine.lowering import elimination, lower
from livingdrug.library import load_model, model_names
from livingdrug.model.expressions import (
    OPERATIONS,
    Expression,
    Symbol,
    absolute,
    as_expression,
    evaluate,
    exp,
    log,
    maximum,
    minimum,
    sqrt,
    to_sympy,
    where,
)

NAMES = ("x", "y", "z")
SYMBOLS = [Symbol(name, "state") for name in NAMES]
X, Y, Z = SYMBOLS


def value(graph, root, values):
    """Plain evaluation of a node: the meaning of the graph."""
    found = {}
    for node in graph.reachable([root]):
        operation, operands = graph.operation[node], [found[o] for o in graph.operands[node]]
        if operation == "number":
            found[node] = graph.value[node]
        elif operation == "symbol":
            found[node] = values[graph.symbol[node]]
        elif operation == "inv":
            found[node] = np.divide(1.0, operands[0])
        else:
            found[node] = OPERATIONS[operation](*operands)
    return found[root]


def read(expression):
    graph = Graph()
    return graph, graph.read(as_expression(expression), {})


def slopes(expression):
    """(graph, node, derivative node by each of x, y, z)."""
    graph, root = read(expression)
    row = graph.derivatives([root], [graph.named(n) for n in NAMES])[0]
    return graph, root, [row.get(j, graph.zero) for j in range(3)]


# Smooth and finite for arguments between 0.3 and 3: each operation keeps its result in a modest range.
def _grow(children):
    pair = st.tuples(children, children)
    return st.one_of(
        pair.map(lambda p: p[0] + p[1]),
        pair.map(lambda p: p[0] - p[1]),
        pair.map(lambda p: p[0] * p[1]),
        pair.map(lambda p: p[0] / (1 + p[1] * p[1])),
        children.map(lambda a: -a),
        children.map(lambda a: exp(-a * a)),
        children.map(lambda a: log(1 + a * a)),
        children.map(lambda a: sqrt(2 + a * a)),
        st.tuples(children, st.sampled_from([0, 1, 2, 3, 4, 5, 0.5, 1.7, -1, -2, -0.3])).map(
            lambda p: (1 + p[0] * p[0]) ** p[1]
        ),
        pair.map(lambda p: (1 + p[0] * p[0]) ** (p[1] / (1 + p[1] * p[1]))),
    )


leaves = st.one_of(st.sampled_from(SYMBOLS), st.sampled_from([0.0, 1.0, -1.0, 2.0, 0.5, 3.7, -0.25]).map(as_expression))
formulas = st.recursive(leaves, _grow, max_leaves=8).filter(lambda e: isinstance(e, Expression))
points = st.tuples(*[st.floats(0.3, 3.0)] * 3)


@settings(max_examples=200, deadline=None)
@given(formulas, points)
def test_simplifications_change_no_value(expression, point):
    values = dict(zip(NAMES, point, strict=True))
    with np.errstate(all="ignore"):
        expected = evaluate(expression, dict(zip(SYMBOLS, point, strict=True)))
        graph, root = read(expression)
        found = value(graph, root, values)
    if np.isfinite(expected):
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-10)


@settings(max_examples=60, deadline=None)
@given(formulas, points)
def test_derivatives_are_those_of_sympy(expression, point):
    values = dict(zip(NAMES, point, strict=True))
    names = {s: sympy.Symbol(s.name, positive=True) for s in SYMBOLS}
    exact = to_sympy(expression, names)
    with np.errstate(all="ignore"):
        graph, _, rows = slopes(expression)
        for s, node in zip(SYMBOLS, rows, strict=True):
            formula = sympy.diff(exact, names[s])
            expected = complex(formula.evalf(30, subs={names[k]: v for k, v in zip(SYMBOLS, point, strict=True)}))
            if np.isfinite(expected.real) and abs(expected.real) < 1e100:
                assert value(graph, node, values) == pytest.approx(expected.real, rel=1e-8, abs=1e-8)


@settings(max_examples=100, deadline=None)
@given(formulas, points)
def test_derivatives_are_those_of_finite_differences(expression, point):
    """Central differences of the plain formula; their own error is judged by halving the step."""
    with np.errstate(all="ignore"):
        graph, _, rows = slopes(expression)
        for s, node in zip(range(3), rows, strict=True):

            def difference(h, s=s):
                ends = [
                    evaluate(
                        expression, {k: v + (j == s) * d for j, (k, v) in enumerate(zip(SYMBOLS, point, strict=True))}
                    )
                    for d in (h, -h)
                ]
                return (ends[0] - ends[1]) / (2 * h)

            coarse, fine = difference(2e-5), difference(1e-5)
            if np.isfinite(coarse) and np.isfinite(fine):
                found = value(graph, node, dict(zip(NAMES, point, strict=True)))
                size = abs(evaluate(expression, dict(zip(SYMBOLS, point, strict=True))))
                assert found == pytest.approx(fine, rel=1e-5, abs=1e-7 + 3 * abs(coarse - fine) + 1e-9 * size)


@pytest.mark.parametrize(
    ("expression", "at", "expected"),
    [
        (absolute(X), -2.0, -1.0), (absolute(X), 2.0, 1.0), (minimum(X, 1), 0.5, 1.0), (minimum(X, 1), 2.0, 0.0),
        (maximum(X, 1), 0.5, 0.0), (maximum(3 * X, 1), 2.0, 3.0), (where(X < 1, X * X, 5 * X), 0.5, 1.0),
        (where(X < 1, X * X, 5 * X), 2.0, 5.0), (X**3, -2.0, 12.0), (X**4, -2.0, -32.0), (X**5, -2.0, 80.0),
        (X**7, -1.5, 7 * 1.5**6), (X**-2, -2.0, 0.25), (X**-3, -2.0, -3 / 16), (X**0, 2.0, 0.0),
        (sqrt(X), 4.0, 0.25), (2.0**X, 3.0, 8 * np.log(2)),
        (1 / X, -0.5, -4.0), (X / X, 3.0, 0.0), (5.0 - (-X), 1.0, 1.0),
    ],
)  # fmt: skip
def test_derivatives_with_corners_and_negative_bases(expression, at, expected):
    """School calculus; at each point the formula has a derivative."""
    graph, _, rows = slopes(expression)
    assert value(graph, rows[0], {"x": at}) == pytest.approx(expected, rel=1e-13)


def test_the_slope_of_a_power_near_zero_is_bounded():
    """As POWER_FLOOR states: below 1e-6 the slope is p * x**p / 1e-6, zero at zero, and never infinite."""
    graph, _, rows = slopes(X**0.3)
    assert value(graph, rows[0], {"x": 0.0}) == 0
    assert value(graph, rows[0], {"x": 1e-6}) == pytest.approx(0.3 * 1e-6**-0.7)
    assert np.isfinite(value(graph, rows[0], {"x": 1e-300}))


def test_so_is_that_of_a_root():
    """The slope of sqrt(x) is 1/(2 sqrt(x)) above the floor and zero at zero."""
    graph, _, rows = slopes(sqrt(X))
    assert value(graph, rows[0], {"x": 0.0}) == 0
    assert value(graph, rows[0], {"x": 1e-20}) == pytest.approx(5e9)
    assert np.isfinite(value(graph, rows[0], {"x": 1e-300}))


def test_equal_parts_are_one_node():
    graph, root = read((X + Y) * (Y + X) + exp(X * Y) + exp(Y * X))
    assert graph.flops([root]) == 1 + 1 + 1 + 28 + 1 + 1  # x+y, its square, x*y, one exp, doubling it, the sum


def test_a_derivative_of_a_constant_is_absent():
    graph, root = read(as_expression(3.0) * Y)
    assert graph.derivatives([root], [graph.named("x")]) == [{}]


@pytest.mark.parametrize("name", model_names())
def test_jacobian_of_each_library_model_is_that_of_sympy(name):
    """All entries at one point inside the model's range, and zero wherever the engine has no entry."""
    model = load_model(name)
    system = lower(model, Request(tuple(model.outputs), stochastic=False))
    random = np.random.default_rng(3)
    values = {p: p.canonical_value for p in model.parameters.values()}
    for s in model.states.values():  # about a tenth to ten times the start, or what follows from a thousand floors
        values[s] = max(float(evaluate(s.initial, values)), 1e3 * s.floor) * 10 ** random.uniform(-1, 1)
    numbers = {f"parameter {p.name}": v for p, v in values.items()} | {
        f"state {s.name}": values[s] for s in model.states.values()
    }
    numbers |= {f"flag {k}": 1.0 for k in range(system.layout.flags)} | {"time": 0.0}
    names = {symbol: sympy.Symbol(f"{symbol.kind}_{symbol.name}", positive=True) for symbol in values}
    subs = {names[s]: v for s, v in values.items()} | {sympy.Symbol("time", real=True): 0.0}
    for i, rate in enumerate(model.rates.values()):
        exact = to_sympy(rate, names)
        for j, s in enumerate(model.states.values()):
            expected = float(sympy.diff(exact, names[s]).evalf(30, subs=subs))
            node = system.slopes.get((i, j), system.graph.zero)
            assert value(system.graph, node, numbers) == pytest.approx(expected, rel=1e-9, abs=1e-100), (i, s.name)


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 9), st.data())
def test_elimination_fills_in_what_the_factors_need(n, data):
    """No factor of a random matrix has an entry outside the filled pattern, and each pivot is used once."""
    entries = data.draw(st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=3 * n))
    pivots, filled = elimination(n, set(entries))
    assert sorted(pivots) == list(range(n))
    assert set(filled) >= entries | {(i, i) for i in range(n)}
    random = np.random.default_rng(n)
    matrix = np.eye(n) * 50
    for i, j in entries:
        matrix[i, j] += random.uniform(1, 2)
    for k, pivot in enumerate(pivots):
        for i in pivots[k + 1 :]:
            matrix[i, pivot] /= matrix[pivot, pivot]
            for j in pivots[k + 1 :]:
                matrix[i, j] -= matrix[i, pivot] * matrix[pivot, j]
    outside = {(i, j) for i, j in np.argwhere(matrix != 0)} - set(filled)
    assert outside == set()


def test_elimination_of_an_arrow_makes_no_fill():
    """An arrow matrix stays an arrow when its tip is taken last: 3 n - 2 entries."""
    n = 8
    arrow = {(0, j) for j in range(n)} | {(i, 0) for i in range(n)}
    pivots, filled = elimination(n, arrow)
    assert len(filled) == 3 * n - 2
    assert pivots.index(0) >= n - 2
