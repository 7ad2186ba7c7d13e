"""Readers for the tests of the text formats.

None of the programs that read these texts can be taken for granted where the tests run. Each test therefore has a
reader of its own for its language, made from the language's rules and not from the exporter, which turns the text into
functions that SciPy integrates. What the languages share (splitting into tokens, rules of precedence as a table) is
here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from livingdrug.engine.solve import solve
from livingdrug.model import (
    Model,
    absolute,
    bolus,
    ddt,
    exp,
    infusion,
    log,
    logitnormal,
    maximum,
    minimum,
    normal,
    output,
    parameter,
    reset,
    sqrt,
    state,
    time,
    where,
)


def _divide(a: float, b: float) -> float:
    return a / b if b else math.copysign(math.inf, a) if a else math.nan


def _whole_divide(a: float, b: float) -> float:
    return float(math.trunc(a / b))


def _power(a: float, b: float) -> float:
    try:
        return math.pow(a, b)
    except (ValueError, OverflowError):
        return math.nan if a < 0 else math.inf


def _log(a: float) -> float:
    return math.log(a) if a > 0 else -math.inf if a == 0 else math.nan


def _exp(a: float) -> float:
    return math.exp(a) if a < 709 else math.inf


def _sqrt(a: float) -> float:
    return math.sqrt(a) if a >= 0 else math.nan


MEANINGS = {
    "divide": _divide, "whole_divide": _whole_divide, "power": _power, "log": _log, "exp": _exp, "sqrt": _sqrt,
    "abs": abs, "min": min, "max": max,
}  # fmt: skip


@dataclass(frozen=True)
class Grammar:
    """The rules of one language.

    ``binary`` gives for each operator how firmly it binds and whether it groups to the right; ``sign`` how firmly a
    leading minus binds; ``sign_after_operator`` whether one may follow an operator; ``whole`` whether the quotient of
    whole numbers is whole; ``number`` the value and kind of a literal; ``arrays`` names that take an index.
    """

    tokens: str
    binary: Mapping[str, tuple[int, bool, str]]
    functions: Mapping[str, str]
    number: Callable[[str], tuple[str, str]]
    sign: int
    sign_after_operator: bool = True
    whole: bool = False
    choice: bool = False
    arrays: frozenset[str] = frozenset()
    ignore_case: bool = False


class Parser:
    """Turns one expression into Python text, by precedence climbing."""

    def __init__(self, grammar: Grammar, text: str) -> None:
        self.grammar = grammar
        found = re.findall(rf"\s*({grammar.tokens})", text)
        assert re.sub(r"\s", "", text) == "".join(found), f"cannot be read: {text}"
        self.tokens = [t.upper() for t in found] if grammar.ignore_case else found
        self.at = 0

    def parsed(self) -> str:
        text, _ = self.expression(0)
        assert self.at == len(self.tokens), f"left over: {self.tokens[self.at :]}"
        return text

    def take(self, wanted: str | None = None) -> str:
        token = self.tokens[self.at]
        assert wanted is None or token == wanted, f"{wanted} expected, found {token}"
        self.at += 1
        return token

    def next(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def expression(self, least: int, *, first: bool = True) -> tuple[str, str]:
        left = self.operand(first=first)
        while (token := self.next()) in self.grammar.binary:
            binds, to_the_right, meaning = self.grammar.binary[token]
            if binds < least:
                break
            self.take()
            right = self.expression(binds if to_the_right else binds + 1, first=False)
            left = self.combined(meaning, left, right)
        if self.grammar.choice and least == 0 and self.next() == "?":
            self.take()
            value = self.expression(0)[0]
            self.take(":")
            left = (f"({value} if {left[0]} else {self.expression(0)[0]})", "real")
        return left

    def operand(self, *, first: bool) -> tuple[str, str]:
        token = self.take()
        if token == "-":
            assert first or self.grammar.sign_after_operator, "a sign follows an operator"
            text, kind = self.expression(self.grammar.sign, first=False)
            return f"(-{text})", kind
        if token == "(":
            text, kind = self.expression(0)
            self.take(")")
            return f"({text})", kind
        if token[0].isdigit() or token[0] == ".":
            return self.grammar.number(token)
        if self.next() != "(":
            return f"v['{token}']", "real"
        return self.called(token), "real"

    def called(self, name: str) -> str:
        self.take("(")
        arguments = [self.expression(0)[0]]
        while self.next() == ",":
            self.take()
            arguments.append(self.expression(0)[0])
        self.take(")")
        if name in self.grammar.arrays:
            return f"v['{name}({int(float(arguments[0]))})']"
        meaning = self.grammar.functions[name]
        if meaning == "choice":
            return f"({arguments[1]} if {arguments[0]} else {arguments[2]})"
        return f"{meaning}({', '.join(arguments)})"

    def combined(self, meaning: str, left: tuple[str, str], right: tuple[str, str]) -> tuple[str, str]:
        kind = "whole" if left[1] == right[1] == "whole" else "real"
        if meaning == "divide":
            return f"{'whole_' if kind == 'whole' and self.grammar.whole else ''}divide({left[0]}, {right[0]})", kind
        if meaning == "power":
            return f"power({left[0]}, {right[0]})", kind
        return f"({left[0]} {meaning} {right[0]})", kind


def statements(grammar: Grammar, lines: Sequence[tuple[int, str, str]]) -> Callable[[dict[str, float]], None]:
    """Compile statements: (depth, what, expression), where what is a name, "if", "else" or "end"."""
    source = ["def run(v):", "    pass"]
    for depth, what, text in lines:
        indent = "    " * (depth + 1)
        if what == "if":
            source.append(f"{indent}if {Parser(grammar, text).parsed()}:")
        elif what == "else":
            source.append(f"{indent}else:")
        elif what != "end":
            source.append(f"{indent}v['{what}'] = {Parser(grammar, text).parsed()}")
    space: dict[str, Any] = dict(MEANINGS)
    exec("\n".join(source), space)
    return space["run"]


@dataclass
class Given:
    """A dose that a text tells of; ``kind`` is add, rate (until ``until``) or set."""

    kind: str
    state: int
    at: float
    amount: float
    until: float = math.inf


@dataclass
class Reading:
    """What a reader found in a text.

    ``start`` holds the values before anything runs; ``prepare`` is run once, ``rates`` and ``report`` at every time;
    the three lists name the variables with the initial values, the derivatives and the outputs.
    """

    states: list[str]
    clock: dict[str, str]
    start: dict[str, float]
    prepare: Callable[[dict[str, float]], None]
    rates: Callable[[dict[str, float]], None]
    report: Callable[[dict[str, float]], None]
    initial: list[str]
    slopes: list[str]
    outputs: list[str]
    doses: list[Given] = field(default_factory=list)
    stops: Callable[[dict[str, float]], list[tuple[str, float]]] = lambda _: []


def courses(reading: Reading, times: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Integrate what was read; the outputs in their order, shape (time, output)."""
    v = dict(reading.start)
    v[reading.clock["prepare"]] = 0.0
    reading.prepare(v)
    y = np.array([v[name] for name in reading.initial])
    stops = reading.stops(v)
    edges = sorted({0.0, *times, *(d.at for d in reading.doses), *(d.until for d in reading.doses)})
    edges = sorted({*edges, *(at for _, at in stops)})
    edges = [e for e in edges if 0 <= e <= times[-1]]
    found = []
    for k, edge in enumerate(edges):
        for dose in reading.doses:
            if dose.at == edge and dose.kind != "rate":
                y[dose.state] = dose.amount + (y[dose.state] if dose.kind == "add" else 0.0)
        for name, at in stops:
            v[name] = float(edge >= at)
        if edge in times:
            v |= dict(zip(reading.states, y, strict=True)) | {reading.clock["report"]: edge}
            reading.report(v)
            found.append([v[name] for name in reading.outputs])
        if k + 1 < len(edges) and np.isfinite(y).all():
            y = _advanced(reading, v, y, edge, edges[k + 1], scale)
    return np.array(found)


def _advanced(reading: Reading, v: dict[str, float], y: np.ndarray, start: float, end: float, scale) -> np.ndarray:
    running = np.zeros(len(y))
    for dose in reading.doses:
        if dose.kind == "rate" and dose.at <= start < dose.until:
            running[dose.state] += dose.amount

    def slope(t: float, y: np.ndarray) -> np.ndarray:
        v.update(zip(reading.states, map(float, y), strict=True))
        v[reading.clock["rates"]] = t
        reading.rates(v)
        return np.array([v[name] for name in reading.slopes]) + running

    last = np.nextafter(end, start)
    with np.errstate(all="ignore"):  # a text with a mistake may run off
        run = solve_ivp(slope, (start, last), y, method="Radau", t_eval=[last], rtol=1e-8, atol=1e-10 * scale)
    return run.y[:, -1].copy() if run.success else np.full(len(y), np.nan)


def disagreement(model: Any, reading: Reading, values: Mapping[str, float], days: float = 90.0) -> float:
    """Largest difference to our engine, in parts of each output's largest value; infinite where SciPy gives up."""
    times = np.linspace(0.0, min(days, getattr(model, "follow_up", days)), 19)
    options: dict[str, Any] = {"rtol": 1e-10, "stochastic": False}
    solution = solve(model, values, times, outputs=[*model.states, *model.outputs], **options)
    assert not solution.failed.any(), solution.failures()
    own = solution.values[0]
    states, expected = own[:, : len(model.states)], own[:, len(model.states) :]
    factors = np.array([s.factor for s in model.states.values()])
    found = courses(reading, times, np.abs(states * factors).max(axis=0) + 1e-30)
    largest = np.abs(expected).max(axis=0)
    apart = np.abs(found - expected) / np.where(largest > 0, largest, 1.0)
    return float(np.nan_to_num(apart, nan=np.inf).max())


@pytest.fixture(scope="session")
def language() -> SimpleNamespace:
    """The tools that a reader is made of."""
    return SimpleNamespace(
        Grammar=Grammar, Reading=Reading, Given=Given, statements=statements, courses=courses,
        disagreement=disagreement, Parser=Parser, MEANINGS=MEANINGS,
    )  # fmt: skip


def _awkward() -> type[Model]:
    class Awkward(Model):
        """Every operation, every event, and names that mean something in other languages."""

        rate = parameter(0.3, "1/day", 'a rate; "quoted" \\ $THETA', spread=normal(0.05), limits=(0.01, 5.0))
        gamma = parameter(-0.5, "1", "an exponent; below zero", limits=(-2.0, 2.0))
        THETA = parameter(40.0, "1/hour", "a rate per hour", limits=(0.0, 1e3))
        share = parameter(0.4, "1", "a share", spread=logitnormal(0.3), limits=(0.1, 0.9))
        half = parameter(2.5e9, "cell", "a large number", limits=(1.0, 1e12))
        switch = parameter(36.0, "hour", "when the rate switches")
        a_name_that_is_long_for_nonmem_1 = parameter(0.2, "1/day", "first long name")
        a_name_that_is_long_for_nonmem_2 = parameter(0.7, "1/day", "second long name", limits=(-1.0, 5.0))
        A = state("cell", "dosed", initial=half * share, symbol="A")
        class_ = state("percent", "made", initial=3.0)
        F = state("cell", "reset to a number")
        dt = state("cell", "reset to nothing", initial=1e6)
        early = (time < switch) & ~(half * 0.001 > A)
        growth = where(early, rate, -a_name_that_is_long_for_nonmem_1) * sqrt(A / half + 1)
        _bound = minimum(absolute(A - half), maximum(2 * half, dt)) / half
        _deep = exp(-(_bound**2)) - (-_bound) ** 3 * 1e-3 + (1 + _bound) ** gamma - 2 ** (-_bound)
        equations = {
            ddt(A): growth * A
            - a_name_that_is_long_for_nonmem_2 * A * ((A - (A - half)) / half) / (1 + (A / half) ** 2),
            ddt(class_): where((time < 5) | (class_ < 1000), _deep, -_deep / 2) * rate * 1000
            - THETA * 0.01 * class_ * where(time >= 2 * switch, 1, 0.5),
            ddt(F): -(rate - a_name_that_is_long_for_nonmem_1) * F,
            ddt(dt): -rate * log(1 + dt / half) * dt + a_name_that_is_long_for_nonmem_1 * A * 1e-3,
        }
        events = (
            bolus(A, half * 0.1, at=4.0),
            infusion(A, 3e8, at=switch, duration=switch / 2),
            infusion(F, 3e8, at=0.0, duration=2 * switch),
            reset(F, 5e8, at=6.0),
            reset(dt, 0, at=7.5),
            reset(rate, 0.1, at=9.0),
            reset(rate, a_name_that_is_long_for_nonmem_1, at=3.0),
        )
        outputs = {
            "car_t_total": A + F,
            "made": output(class_, "percent", "made"),
            "pace": output(
                where(early, 1, 2) * where(time > 2 * switch, rate, 0 * rate), "1/hour", "a rate of day and hour"
            ),
            "other": output(maximum(dt, F), "cell", "the larger"),
        }

    return Awkward


@pytest.fixture(scope="session")
def awkward() -> type[Model]:
    """A model that holds all that a formula or an event can, under names that other languages keep for themselves."""
    return _awkward()
