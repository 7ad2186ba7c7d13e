"""Formulas: their text reads back, their units add up, their hash is one whatever the object."""

from __future__ import annotations

import ast
import math
import time as clock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import livingdrug.model.expressions as ex
from livingdrug.errors import DeclarationError
from livingdrug.model import Model, ddt, parameter, state
from livingdrug.model.description import formula_text, number_text
from livingdrug.model.expressions import Expression, Symbol, evaluate, symbols_in
from livingdrug.model.fingerprint import Writer
from livingdrug.model.unit_check import dimension_of
from livingdrug.units import DIMENSIONLESS, parse_unit

X, Y, K = Symbol("x", "state"), Symbol("y", "state"), Symbol("k", "parameter")
CELL, DAY = parse_unit("cell").dimension, parse_unit("day").dimension

numbers = st.floats(-100, 100, allow_nan=False).map(lambda v: ex.Number(round(v, 3)))
leaves = st.one_of(numbers, st.sampled_from([X, Y, K, ex.time]))


def grow(children):
    two = st.tuples(children, children)
    compare = two.map(lambda ab: ab[0] < ab[1]) | two.map(lambda ab: ab[0] <= ab[1])
    condition = compare | st.tuples(compare, compare).map(lambda c: c[0] & ~c[1])
    return st.one_of(
        two.map(lambda ab: ab[0] + ab[1]),
        two.map(lambda ab: ab[0] - ab[1]),
        two.map(lambda ab: ab[0] * ab[1]),
        two.map(lambda ab: ab[0] / ab[1]),
        two.map(lambda ab: ex.absolute(ab[0]) ** ab[1]),
        two.map(lambda ab: ex.minimum(*ab)),
        two.map(lambda ab: ex.maximum(*ab)),
        children.map(lambda a: -a),
        children.map(ex.exp),
        st.tuples(condition, children, children).map(lambda cab: ex.where(*cab)),
    )


formulas = st.recursive(leaves, grow, max_leaves=12)
PYTHON = {"abs": ex.absolute, "exp": ex.exp, "minimum": ex.minimum, "maximum": ex.maximum, "where": ex.where}


class Wrapped(ast.NodeTransformer):
    """Makes formulas of the plain numbers in a text, so that Python does not compute with them itself."""

    def visit_Constant(self, node):
        return ast.Call(ast.Name("Number", ast.Load()), [node], [])


def read(text):
    tree = ast.fix_missing_locations(Wrapped().visit(ast.parse(text, mode="eval")))
    names = {**PYTHON, "Number": ex.Number, "x": X, "y": Y, "k": K, "time": ex.time}
    return eval(compile(tree, "formula", "eval"), names)


@settings(max_examples=100, deadline=None)
@given(formulas, st.tuples(*[st.floats(-3, 3)] * 4))
def test_the_text_of_a_formula_reads_back(formula, values):
    point = dict(zip([X, Y, K, ex.time], values, strict=True))
    again = read(formula_text(formula))
    with np.errstate(all="ignore"):
        first = evaluate(formula, point)
        second = evaluate(again, point)
    assert float(first) == pytest.approx(float(second), rel=1e-12, nan_ok=True)


@settings(max_examples=100, deadline=None)
@given(formulas)
def test_units_are_right_or_refused(formula):
    """Without units everything fits; with units there is a dimension or a DeclarationError, never another failure."""
    bare = dict.fromkeys(symbols_in(formula), DIMENSIONLESS)
    try:
        assert dimension_of(formula, bare, "here") in (DIMENSIONLESS, None)
    except DeclarationError as error:
        assert "here: cannot compare" in str(error)  # noqa: PT017  a number beside time is in days
    try:
        dimension_of(formula, {X: CELL, Y: CELL, K: CELL / DAY, ex.time: DAY}, "here")
    except DeclarationError as error:
        assert str(error).startswith("here: ")  # noqa: PT017


@settings(max_examples=100, deadline=None)
@given(formulas)
def test_the_canonical_text_depends_on_the_formula_alone(formula):
    copy = ex.substitute(formula, {X: Symbol("x", "state"), K: Symbol("k", "parameter")})
    first, second = Writer(), Writer()
    first.formula("f", formula)
    second.formula("f", copy)
    assert first.text() == second.text()


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (lambda x, k: k * x, True),
        (lambda x, k: x * k, False),
        (lambda x, k: k * x * 2, False),
        (lambda x, k: k * (x + 0), False),
    ],
)
def test_the_fingerprint_changes_with_the_equations(change, same):
    def declare(rate):
        cells = state("cell", "cells")
        growth = parameter(1.0, "1/day", "growth")
        body = {"cells": cells, "growth": growth, "equations": {ddt(cells): rate(cells, growth)}}
        return type("M", (Model,), {**body, "outputs": {"car_t_total": cells}}).fingerprint

    assert (declare(change) == declare(lambda x, k: k * x)) is same


def test_shared_formulas_do_not_explode():
    """60 doublings: 2^60 paths, 60 nodes."""
    formula: Expression = X
    for _ in range(60):
        formula = formula + formula
    started = clock.perf_counter()
    writer = Writer()
    writer.formula("f", formula)
    assert writer.text().count("\n") < 70
    assert dimension_of(formula, {X: CELL}, "here") == CELL
    assert "(...)" in formula_text(formula)
    assert clock.perf_counter() - started < 1.0


def test_long_sums_need_no_deep_stack():
    formula: Expression = X
    for _ in range(20_000):
        formula = formula + K
    assert dimension_of(formula, {X: CELL, K: CELL}, "here") == CELL
    assert formula_text(formula).startswith("(...)")


@pytest.mark.parametrize(
    ("value", "text"), [(1.0, "1"), (-2.5, "-2.5"), (2.5e11, "2.5e+11"), (0.1 + 0.2, "0.30000000000000004")]
)
def test_numbers_are_short_and_read_back(value, text):
    assert number_text(value) == text
    assert float(text) == value


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (X**2, CELL**2),
        (ex.sqrt(X * X), CELL),
        (X ** (1 / 3) * X ** (2 / 3), CELL),
        (0 + X, CELL),
        (ex.maximum(X, 0) / X, DIMENSIONLESS),
        (ex.where(ex.time < 3, X, 0), CELL),
        (ex.exp(X / Y), DIMENSIONLESS),
        ((X / Y) ** (K * ex.time / X), DIMENSIONLESS),
        (ex.minimum(X, math.inf), CELL),
    ],
)
def test_dimensions(formula, expected):
    assert dimension_of(formula, {X: CELL, Y: CELL, K: CELL / DAY, ex.time: DAY}, "here") == expected
