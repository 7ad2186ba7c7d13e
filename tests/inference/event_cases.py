"""Rows of doses, resets and steady states, and what SciPy's solver makes of them with every dose written out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from livingdrug.model import Model, ddt, output, parameter, state

KA, CL, V = 1.2, 3.0, 20.0
MANY = 300  # doses that stand for "since ever" in the written-out course; exp(-300 * 0.15 / 2) = 1e-10


class Oral(Model):
    """One compartment with absorption."""

    depot = state("mg", "drug not yet absorbed", floor=1e-9)
    amount = state("mg", "drug", floor=1e-9)
    ka = parameter(KA, "1/day", "absorption")
    V = parameter(V, "L", "volume")
    CL = parameter(CL, "L/day", "clearance")
    equations = {ddt(depot): -ka * depot, ddt(amount): ka * depot - CL / V * amount}
    outputs = {"concentration": output(amount / V, "mg/L", "concentration")}


class Blood(Model):
    """One compartment with doses into it."""

    amount = state("mg", "drug", floor=1e-9)
    V = parameter(V, "L", "volume")
    CL = parameter(CL, "L/day", "clearance")
    equations = {ddt(amount): -CL / V * amount}
    outputs = {"concentration": output(amount / V, "mg/L", "concentration")}


def oral(_t: float, x: Any) -> list[float]:
    return [-KA * x[0], KA * x[0] - CL / V * x[1]]


Given = tuple[float, int, float, float]  # time, state, amount, duration


def course(
    rates: Callable[..., Any],
    first: Sequence[float],
    given: Sequence[Given],
    start: float,
    end: float,
) -> Any:
    """States at the end of a course with every dose written out; doses at the end are in.

    Rates may step on day 2 and do not read the time otherwise.
    """
    from scipy.integrate import solve_ivp

    breaks = {start, end, 2.0 if start < 2 < end else end}
    breaks |= {t for at, _, _, length in given for t in (at, at + length) if start < t < end}
    x = np.array(first, float)
    for low, high in zip(sorted(breaks), [*sorted(breaks)[1:], end], strict=True):
        for at, target, amount, length in given:
            x[target] += amount if at == low and not length else 0.0
        if low == high:
            break
        middle, inflow = (low + high) / 2, np.zeros(len(x))
        for at, target, amount, length in given:
            inflow[target] += amount / length if length and at < middle < at + length else 0.0
        found = solve_ivp(
            lambda _t, y, inflow=inflow, middle=middle: np.array(rates(middle, y)) + inflow,
            (low, high), x, method="LSODA", rtol=1e-10, atol=1e-12,
        )  # fmt: skip
        x = found.y[:, -1]
    return x


def ever(at: float, every: float, target: int, amount: float, length: float = 0.0, many: int = MANY) -> list[Given]:
    """The dose at a time, and all those before it."""
    return [(at - n * every, target, amount, length) for n in range(many, -1, -1)]


HEAD = "ID,TIME,AMT,DV,EVID,CMT,RATE,ADDL,II,SS\n"


def rows(who: str, *events: str) -> str:
    """Rows of a subject: ``1.5`` is a sample, anything longer is a row after the subject's name."""
    lines = [one if "," in one else f"{one},.,1,0,1,.,.,.,." for one in events]
    return "".join(f"{who},{line}\n" for line in lines)


# name -> rows, then what holds from which time: (from, where the course begins, doses written out), and sample times
Phase = tuple[float, float, list[Given]]
ORAL: dict[str, tuple[tuple[str, ...], list[Phase], list[float]]] = {
    "reset": (
        ("0,100,.,1,1,.,.,.,.", "1", "2,.,.,3,1,.,.,.,.", "2", "3", "4,50,.,1,1,.,.,.,.", "5"),
        [(0, 0, [(0, 0, 100, 0)]), (2, 2, [(4, 0, 50, 0)])],
        [1, 2, 3, 5],
    ),
    "reset and dose, infusion cut, later doses cancelled": (
        ("0,100,.,1,2,20,.,.,.", "0,60,.,1,1,.,6,1,.", "1.5", "2,40,.,4,1,.,1,2,.", "2", "3.5", "7"),
        [
            (0, 0, [(0, 1, 100, 5), *((n, 0, 60, 0) for n in range(2))]),
            (2, 2, [(2, 0, 40, 0), (4, 0, 40, 0)]),
        ],
        [1.5, 2, 3.5, 7],
    ),
    "steady state": (
        ("0,80,.,1,1,.,9,.5,.", "1.2", "2,100,.,1,1,.,1,1,1", "2", "2.4", "3.5", "5"),
        [
            (0, 0, [(0, 0, 80, 0), (0.5, 0, 80, 0), (1, 0, 80, 0)]),
            (2, 2 - MANY, [*ever(2, 1, 0, 100), (3, 0, 100, 0)]),
        ],
        [1.2, 2, 2.4, 3.5, 5],
    ),
    "steady state of infusions": (
        ("0,100,.,1,2,250,.,1,1", "0", "0.2", "0.4", "1.5"),
        [(0, -MANY, ever(0, 1, 1, 100, 0.4))],
        [0, 0.2, 0.4, 1.5],
    ),
    "infusions longer than their interval": (
        ("0,100,.,1,2,40,1,1,1", "0", "0.3", "1.2", "2.2", "4"),
        [(0, -MANY, [*ever(0, 1, 1, 100, 2.5), (1, 1, 100, 2.5)])],
        [0, 0.3, 1.2, 2.2, 4],
    ),
    "infusion without end": (
        ("1,0,.,1,2,30,.,.,1", "1", "2", "4"),
        [(0, -400, [(-400, 1, 401 * 30, 401)])],
        [1, 2, 4],
    ),
    "steady state added": (
        ("0,60,.,1,2,.,.,.,.", "1", "1.5,90,.,1,1,.,1,1,2", "1.5", "2", "4"),
        [(0, 1.5 - MANY, [(0, 1, 60, 0), *ever(1.5, 1, 0, 90), (2.5, 0, 90, 0)])],
        [1, 1.5, 2, 4],
    ),
    "reset and steady state": (
        ("0,60,.,1,2,.,.,.,.", "1", "2,90,.,4,2,.,.,1,1", "2", "3"),
        [(0, 0, [(0, 1, 60, 0)]), (2, 2 - MANY, ever(2, 1, 1, 90))],
        [1, 2, 3],
    ),
    "duration of the model": (
        ("0,100,.,1,2,-2,1,2,.", "0.5", "1.5", "2.5", "4"),
        [(0, 0, [(0, 1, 100, 0.75), (2, 1, 100, 0.75)])],
        [0.5, 1.5, 2.5, 4],
    ),
    "rate of the model": (
        ("0,100,.,1,1,-1,.,.,.", "1", "3", "4"),
        [(0, 0, [(0, 0, 100, 100 / 55)])],
        [1, 3, 4],
    ),
    "steady state with a duration of the model": (
        ("0,100,.,1,2,-2,.,.5,1", "0", "0.2", "0.6", "2"),
        [(0, -MANY / 2, ever(0, 0.5, 1, 100, 0.75))],
        [0, 0.2, 0.6, 2],
    ),
    "steady state with a rate of the model": (
        ("0,100,.,1,1,-1,.,1,1", "0", "0.5", "0.9", "1.5", "3"),
        [(0, -MANY, ever(0, 1, 0, 100, 100 / 55))],
        [0, 0.5, 0.9, 1.5, 3],
    ),
}  # fmt: skip
TIMING = {"D2": 0.75, "R1": 55.0}


def written_out(rates: Callable[..., Any], first: Sequence[float], phases: list[Phase], at: float) -> Any:
    """States at a sample: the last phase that has begun counts, and nothing before it."""
    begin, given = next((start, given) for since, start, given in reversed(phases) if since <= at)
    # before the phase's own steady state begins to count, its earlier doses do not exist
    return course(rates, first, [one for one in given if one[0] <= at], begin, at)


@cache
def expected_oral(name: str) -> list[float]:
    _, phases, times = ORAL[name]
    if name == "steady state added":  # the earlier doses of the steady state appear with its row, not before
        alone: list[Phase] = [(0, 0, [one for one in phases[0][2] if one[1] == 1])]
        return [written_out(oral, (0, 0), alone if t < 1.5 else phases, t)[1] / V for t in times]
    return [written_out(oral, (0, 0), phases, t)[1] / V for t in times]


def timing_of(*texts: str) -> dict[str, float]:
    rates = {"D2": ",-2,", "R1": ",-1,"}
    return {name: TIMING[name] for name, mark in rates.items() if any(mark in text for text in texts)}
