"""Targets of Barros et al. 2021 (CARTmath)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from livingdrug.engine.solve import Crossing, solve
from livingdrug.library.barros2021 import LETHAL, Barros2021, virtual_mice
from livingdrug.qualification.target import Assessment, Expected, Target, between, printed, within

ASSESSMENT = Assessment(
    question="Which dose, at once or divided, clears a lymphoma in mice and leaves memory CAR T cells?",
    context="Simulates tumour, effector and memory cells in one mean mouse per cell line, and in virtual mice.",
    influence="low: it interprets experiments in mice; no result of it enters another model here",
    consequence="low: research and teaching; never a dose for a patient",
    applicability="HDLM-2 and RAJI in immunodeficient mice with the two CARs of the experiments; not humans",
)

_TEXT = "barros2021: text on the results with HDLM-2"
COMPLETE_RESPONSE = 8e5  # tumour cells on day 300
MICE = 4999
_SURVIVAL = {1.5e6: 0.95, 1e6: 0.87, 5e5: 0.62, 1e5: 0.07}
_SPLIT = {"7": (7, "7.6"), "14": (15, "14.4")}
_BALANCED = "tumour cells on day 300 after 5e5 CAR T cells"
_ESCAPED = "share of the capacity filled on day 350 after 2e5 CAR T cells"
_MINIMAL = "smallest dose for a complete response"
_DAY_200 = "memory cells on day 200"
_RAJI = "RAJI cells on day 14"
_INFERRED = "mice kept that are balanced without antigen and would die untreated by day 200: partly inferred"


def _share(value: float) -> Expected:
    error = np.sqrt(value * (1 - value) * 2 / MICE)
    return Expected(
        100 * value, float(100 * 4 * error + 0.5), f"4 standard errors of twice {MICE} mice, and the rounding"
    )


TARGETS = (
    Target("tumour cells on day 42", "cell", _TEXT, printed("2e7"), printed("2.15e7")),
    Target(
        _MINIMAL, "cell", _TEXT, within(0.05, 2.6e5, "'about 2.6e5', a boundary read off a grid of doses"),
        printed("2.53e5"), note="2e6 tumour cells at the start; complete response is at most 8e5 on day 300",
    ),
    Target(
        _BALANCED, "cell", _TEXT, between(1.0, COMPLETE_RESPONSE, "residual disease: neither gone nor grown"),
        printed("944"),
    ),
    Target("tumour cells on day 350 after 2e5 CAR T cells", "cell", _TEXT, recomputed=printed("7.09e11")),
    Target(_ESCAPED, "1", _TEXT, Expected(1.0, 0.01, "'reaches the capacity by day 350'")),
    *(
        Target(
            f"memory on day 200 of four doses of 5e5 every {days} days, beside one of 2e6", "percent", _TEXT,
            Expected(paper, 1.0, "'about', printed in whole per cent"), printed(own),
        )
        for days, (paper, own) in _SPLIT.items()
    ),
    Target(
        _DAY_200 + " after 10, 30 and 60 % of 2e6 on three days", "cell", _TEXT, printed("1.5e6"), printed("1.54e6")
    ),
    Target(
        _DAY_200 + " after 1.5e6 CAR T cells", "cell", _TEXT, printed("7e5"), printed("1.12e6"), reproducible=False,
        note="the value of day 300 is 6.8e5",
    ),
    *(
        Target(f"virtual mice that survive {dose:.2g} CAR T cells", "percent", _TEXT, _share(share), note=_INFERRED)
        for dose, share in _SURVIVAL.items()
    ),
    Target(
        "median survival of untreated virtual mice", "day", "spelman2023: vp_generate.m",
        Expected(128, 10, "the span that the script allows"), note=_INFERRED,
    ),
    Target(
        _RAJI, "cell", "barros2021: text on RAJI", printed("6e8"),
        note="3e6 cells on day 0, 1e7 CAR T cells on day 7",
    ),
)  # fmt: skip


def measure(_data: Path | None = None) -> dict[str, float]:
    """Compute the targets."""
    return {**_single_doses(), **_memory(), **_survival(), _MINIMAL: _minimal_dose(), _RAJI: _raji()}


def _single_doses() -> dict[str, float]:
    found = solve(Barros2021, {"first_dose": [5e5, 2e5]}, [42.0, 300.0, 350.0], rtol=1e-8)["tumour_cells"]
    return {
        "tumour cells on day 42": float(found[0, 0]),
        _BALANCED: float(found[0, 1]),
        "tumour cells on day 350 after 2e5 CAR T cells": float(found[1, 2]),
        _ESCAPED: float(found[1, 2] * Barros2021.parameters["inverse_capacity"].value),
    }


def _memory() -> dict[str, float]:
    """One dose of 2e6, four of 5e5 every 7 or 14 days, 10, 30 and 60 per cent on three days, and one of 1.5e6."""
    schedules = {
        "first_dose": [2e6, 5e5, 5e5, 2e5, 1.5e6],
        "second_dose": [0.0, 5e5, 5e5, 6e5, 0.0],
        "third_dose": [0.0, 5e5, 5e5, 1.2e6, 0.0],
        "fourth_dose": [0.0, 5e5, 5e5, 0.0, 0.0],
        "second_dose_day": [49.0, 49.0, 56.0, 43.0, 49.0],
        "third_dose_day": [56.0, 56.0, 70.0, 44.0, 56.0],
        "fourth_dose_day": [63.0, 63.0, 84.0, 63.0, 63.0],
    }
    single, week, fortnight, three, small = solve(Barros2021, schedules, [200.0], rtol=1e-8)["car_t_memory_total"][:, 0]
    name = "memory on day 200 of four doses of 5e5 every {} days, beside one of 2e6"
    return {
        name.format(7): float(100 * (week / single - 1)),
        name.format(14): float(100 * (fortnight / single - 1)),
        _DAY_200 + " after 10, 30 and 60 % of 2e6 on three days": float(three),
        _DAY_200 + " after 1.5e6 CAR T cells": float(small),
    }


def _survival() -> dict[str, float]:
    """A mouse dies on the day on which its tumour reaches 1e10 cells; it survives if that is not by day 300."""
    mice = virtual_mice(MICE, seed=1)
    doses = [0.0, *_SURVIVAL]
    parameters = {name: np.tile(values, len(doses)) for name, values in mice.items()}
    deaths = solve(
        Barros2021, {**parameters, "first_dose": np.repeat(doses, MICE)}, [300.0], outputs=["tumour_cells"],
        crossings={"death": Crossing("tumour_cells", above=LETHAL, stop=True)},
    ).crossing_time["death"].reshape(len(doses), MICE)  # fmt: skip
    survive = 100 * np.isnan(deaths).mean(axis=1)
    names = [f"virtual mice that survive {dose:.2g} CAR T cells" for dose in _SURVIVAL]
    return {
        **dict(zip(names, map(float, survive[1:]), strict=True)),
        "median survival of untreated virtual mice": float(np.median(deaths[0])),
    }


def _minimal_dose() -> float:
    """The smallest dose with a complete response, by halving a grid between 1e5 and 1e6 cells."""
    low, high = 1e5, 1e6
    for _ in range(4):
        doses = np.linspace(low, high, 33)
        left = solve(Barros2021, {"first_dose": doses}, [300.0], rtol=1e-8)["tumour_cells"][:, 0]
        k = int(np.argmax(left <= COMPLETE_RESPONSE))
        low, high = doses[k - 1], doses[k]
    return float(high)


def _raji() -> float:
    raji = Barros2021.parameter_sets["raji_car19"]
    return float(solve(Barros2021, raji, [14.0], rtol=1e-8)["tumour_cells"][0, 0])
