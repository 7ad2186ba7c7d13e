"""Targets of Kimmel, Locke and Altrock 2021."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Crossing, Extreme, solve
from livingdrug.library.kimmel2021 import Kimmel2021
from livingdrug.qualification.target import Assessment, Expected, Target, outcome, printed, within
from livingdrug.streams import normal

ASSESSMENT = Assessment(
    question="How do competition with normal T cells and chance decide between cure and progression after axi-cel?",
    context="Simulates courses and the chance of cure of lymphoma patients with a given tumour volume and growth.",
    influence="medium: its chance of cure drives the virtual ZUMA-1 trial, beside the published curve",
    consequence="low: research and teaching; never a decision about a patient",
    applicability="axi-cel in ZUMA-1, of which it was itself fitted; other products and diseases are extrapolation",
)

PATIENTS = 20_000
_TABLE = "kimmel2021: table 1, solved independently"
_CODE = "cartecology: growth rate of the hybrid runs, solved independently"
_RUNS = "kimmel2021: figure on the chance of cure, 1,000 runs each"
_VOLUMES = {"smallest": 2.3, "median": 94.8, "largest": 1275.0}
_CURED = {"smallest": (0.703, 0.712), "median": (0.403, 0.424), "largest": (0.274, 0.260)}
_DAYS = (14.0, 28.0, 90.0)


def _chance(value: float, runs: int) -> Expected:
    error = np.sqrt(value * (1 - value) * (1 / runs + 1 / PATIENTS))
    return Expected(value, float(4 * error), f"4 standard errors of {runs} and {PATIENTS} runs")


TARGETS = (
    Target("peak of CAR T cells", "cell/uL", _TABLE, recomputed=printed("30.2")),
    Target("day of the peak", "day", _TABLE, recomputed=printed("7.0")),
    *(
        Target(f"CAR T cells on day {day}", "cell/uL", _TABLE, recomputed=printed(value))
        for day, value in ((14, "9.05"), (28, "2.51"), (90, "0.341"))
    ),
    *(
        Target(f"normal T cells on day {day}", "cell/uL", _TABLE, recomputed=printed(value))
        for day, value in ((7, "109"), (14, "295"), (28, "473"), (90, "500"))
    ),
    Target("peak of CAR T cells, growth of the code", "cell/uL", _CODE, recomputed=printed("32.1")),
    Target("CAR T cells on day 28, growth of the code", "cell/uL", _CODE, recomputed=printed("2.11")),
    Target("CAR T cells on day 90, growth of the code", "cell/uL", _CODE, recomputed=printed("0.112")),
    Target("tumour below 100 cells, growth 0.065 per day", "day", _TABLE, recomputed=printed("36")),
    Target("tumour below 100 cells, growth 0.105 per day", "day", _TABLE, recomputed=printed("42")),
    Target("tumour never below 100 cells, growth 0.19 and 0.265 per day", "1", _TABLE, recomputed=outcome(True)),
    Target("progression, growth 0.19 per day", "day", _TABLE, recomputed=printed("195")),
    Target("progression, growth 0.265 per day", "day", _TABLE, recomputed=printed("137")),
    *(
        Target(
            f"chance of cure, {name} tumour ({_VOLUMES[name]:g} mL)", "1", _RUNS,
            paper=_chance(paper, 1000), recomputed=_chance(own, 250),
            note="53 points in docs/validation-kimmel2021.md",
        )
        for name, (paper, own) in _CURED.items()
    ),
    *(
        Target(
            f"median day of the cures, {name} tumour", "day", "kimmel2021: 250 independent runs of the same process",
            recomputed=within(0.1, value, "a median of about a hundred cures; its standard error is some 4 per cent"),
        )
        for name, value in (("smallest", 41.0), ("median", 48.0), ("largest", 56.0))
    ),
    Target(
        "cures between days 20 and 80, median tumour", "1", "kimmel2021: text",
        Expected(1.0, 0.5, "'most' is taken as more than half"),
    ),
    Target(
        "cures after day 140, median tumour", "1", "kimmel2021: text",
        Expected(0.0, 0.01, "'none after about 140'; one in a hundred of our many more runs is allowed"),
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    return _courses() | _crossings() | _cures()


def _courses() -> dict[str, float]:
    solution = solve(
        Kimmel2021, {"car_t_growth": [0.0251, 0.037]}, [7.0, *_DAYS], outputs=["car_t_blood", "normal_t_blood"],
        stochastic=False, extremes={"peak": Extreme("car_t_blood", "max")},
    )  # fmt: skip
    car_t, normal_t = solution["car_t_blood"], solution["normal_t_blood"]
    days, peaks = solution.extreme["peak"]
    found = {
        "peak of CAR T cells": peaks[0],
        "day of the peak": days[0],
        "peak of CAR T cells, growth of the code": peaks[1],
        "CAR T cells on day 28, growth of the code": car_t[1, 2],
        "CAR T cells on day 90, growth of the code": car_t[1, 3],
    }
    found |= {f"CAR T cells on day {day:g}": car_t[0, k + 1] for k, day in enumerate(_DAYS)}
    found |= {f"normal T cells on day {day:g}": normal_t[0, k] for k, day in enumerate((7.0, *_DAYS))}
    return {name: float(value) for name, value in found.items()}


def _crossings() -> dict[str, float]:
    start = Kimmel2021.parameters["baseline_tumour_volume"].value * 1e9
    solution = solve(
        Kimmel2021, {"tumour_growth": [0.065, 0.105, 0.19, 0.265]}, [0.0, 250.0], stochastic=False,
        crossings={
            "below 100": Crossing("tumour_cells", below=100),
            "progression": Crossing("tumour_cells", above=1.2 * start),
        },
    )  # fmt: skip
    below, progression = solution.crossing_time["below 100"], solution.crossing_time["progression"]
    return {
        "tumour below 100 cells, growth 0.065 per day": float(below[0]),
        "tumour below 100 cells, growth 0.105 per day": float(below[1]),
        "tumour never below 100 cells, growth 0.19 and 0.265 per day": float(np.isnan(below[2:]).all()),
        "progression, growth 0.19 per day": float(progression[2]),
        "progression, growth 0.265 per day": float(progression[3]),
    }


def _cures() -> dict[str, float]:
    """The hybrid runs: nine parameters multiplied by 1 + 0.05 N(0, 1), 1,000 days are enough (no cure is so late)."""
    typical = {n: p.value for n, p in Kimmel2021.parameters.items()} | dict(Kimmel2021.parameter_sets["code"])
    spreads = {n: p.spread for n, p in Kimmel2021.parameters.items() if p.spread}
    ids = np.arange(PATIENTS)
    drawn = {n: s.apply(typical[n], normal(2021, ids, n, 1)[:, 0], (0.0, np.inf)) for n, s in spreads.items()}
    found = {}
    for name, volume in _VOLUMES.items():
        values = typical | drawn | {"baseline_tumour_volume": volume}
        days = solve(Kimmel2021, values, [0.0, 365.0], outputs=["tumour_cells"], seed=2021).extinct_time["tumour"]
        cured = np.isfinite(days)
        found[f"chance of cure, {name} tumour ({volume:g} mL)"] = float(cured.mean())
        found[f"median day of the cures, {name} tumour"] = float(np.median(days[cured]))
        if name == "median":
            inside = (days[cured] > 20) & (days[cured] < 80)
            found["cures between days 20 and 80, median tumour"] = float(inside.mean())
            found["cures after day 140, median tumour"] = float((days[cured] > 140).mean())
    return found
